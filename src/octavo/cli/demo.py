"""``octavo demo``."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import click

from octavo.cli import console
from octavo.cli.parameters import Option
from octavo.cli.runner import Answer, Job, command

if TYPE_CHECKING:
    from octavo.demo.run import DemoReport


@command()
def demo(
    job: Job,
    messages: Annotated[int, Option("--messages", min=1, help="How many chat messages to make.")] = 5000,
    live: Annotated[
        bool,
        Option("--live", help="Move an application that goes on writing, there and back again."),
    ] = False,
    follow: Annotated[
        bool,
        Option("--follow", help="With --live: of an application that does not use Octavo's client."),
    ] = False,
    keep: Annotated[
        Path | None,
        Option("--keep", show_default=False, help="The folder to leave the result in [./octavo-demo]."),
    ] = None,
) -> Answer:
    """Run the whole migration on sample data.

    It brings its own PostgreSQL, and leaves the files in ./octavo-demo, or the next free name; nothing is
    ever overwritten.
    """
    from octavo.demo.run import run_demo

    folder = keep or _free(Path("octavo-demo"))
    if live or follow:
        return _live(job, folder, messages, follow=follow)
    with job.progress() as progress:
        report = run_demo(folder, messages, progress)
    value = {
        "folder": report.folder,
        "dataDir": report.data_dir,
        "filesRoot": report.files_root,
        "restoredFilesRoot": report.restored_files,
        "steps": report.steps,
        "seconds": round(report.seconds, 3),
        "next": next_commands(report),
    }
    return Answer(value, lambda: show(report))


def _live(job: Job, folder: Path, messages: int, *, follow: bool) -> Answer:
    from octavo.demo.run import new_folder, run_live

    with new_folder(folder) as made, job.progress() as progress:
        report = run_live(made, messages, progress, job.tell, following=follow)
    value = {
        "folder": report.folder,
        "steps": report.steps,
        "acknowledged": report.acknowledged,
        "seconds": round(report.seconds, 3),
    }
    text = f"there and back in {report.seconds:.0f} s; {report.acknowledged:,} writes, none lost"
    return Answer(value, lambda: console.verdict(True, "EQUAL", text))


def show(report: DemoReport) -> None:
    console.table(
        ["step", "seconds", "what came of it"],
        [[s.name, f"{s.seconds:.1f}", s.outcome] for s in report.steps],
    )
    data, files, again = (shown_path(p) for p in (report.data_dir, report.files_root, report.restored_files))
    click.echo(f"\nDone in {report.seconds:.1f} s. The server has ended; what is left are files:\n")
    click.echo(f"  {data}/   the database as files\n  {files}/   the payloads they were made with")
    click.echo(f"  {again}/   the payloads as they were restored\n\nTry next:\n")
    for line in next_commands(report):
        click.echo(f"  {line}")
    click.echo(
        f"""
With a database of your own:

  export DATABASE_URL='postgresql://user:password@localhost:5432/app?schema=public'
  {program()} inventory
  {program()} export --files-root ./public
  {program()} verify --files-root ./public"""
    )


def next_commands(report: DemoReport) -> list[str]:
    """Commands that work when they are copied into the shell that the demo was started from."""
    data = shown_path(report.data_dir)
    return [
        f"head -n 30 {data}/settings/general.json",
        f"head -n 1 {data}/chats/index.jsonl",
        f"wc -l {data}/chats/*.jsonl",
        f"{program()} schema show",
        f"{program()} schema json-schema --out {shown_path(report.folder / 'schemas')}",
    ]


def program() -> str:
    """How this program is called from here."""
    called = sys.argv[0]
    found = shutil.which("octavo")
    if found is not None and os.path.exists(called) and os.path.samefile(found, called):
        return "octavo"
    if os.path.basename(called) == "octavo" and os.path.exists(called):
        return shown_path(Path(called))
    return f"{shlex.quote(sys.executable)} -m octavo"


def shown_path(path: Path) -> str:
    """A path for a shell, from here if it lies below."""
    relative = os.path.relpath(path)
    return shlex.quote(str(path) if relative.startswith("..") else relative)


def _free(wanted: Path) -> Path:
    """A name that nothing has yet: the demo never writes over anything."""
    name, number = wanted, 1
    while os.path.lexists(name):
        number += 1
        name = wanted.with_name(f"{wanted.name}-{number}")
    return name
