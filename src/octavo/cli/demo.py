"""``octavo demo``."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from octavo.cli import console
from octavo.cli.options import JsonOption, QuietOption

if TYPE_CHECKING:
    from octavo.demo.run import DemoReport


def demo(
    messages: Annotated[
        int, typer.Option("--messages", min=1, help="How many chat messages to make.")
    ] = 5000,
    keep: Annotated[
        Path | None,
        typer.Option("--keep", show_default=False, help="The folder to leave the result in [./octavo-demo]."),
    ] = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """An embedded PostgreSQL, sample data, the whole migration, a report."""
    from octavo.demo.run import run_demo

    folder = keep or _free(Path("octavo-demo"))
    with console.progress(quiet=quiet or as_json) as progress:
        report = run_demo(folder, messages, progress)
    if as_json:
        console.answer(
            {
                "folder": str(report.folder),
                "dataDir": str(report.data_dir),
                "filesRoot": str(report.files_root),
                "steps": [
                    {"step": s.name, "outcome": s.outcome, "seconds": round(s.seconds, 3)}
                    for s in report.steps
                ],
                "seconds": round(report.seconds, 3),
            }
        )
    elif not quiet:
        show(report)


def show(report: DemoReport) -> None:
    """Print what the demo did, where things are, and what to try next."""
    console.table(
        ["step", "seconds", "what came of it"],
        [[s.name, f"{s.seconds:.1f}", s.outcome] for s in report.steps],
    )
    data = shlex.quote(os.path.relpath(report.data_dir))
    typer.echo(
        f"""
Done in {report.seconds:.1f} s. The files are in {data}; nothing else runs any more.

Try next:
  ls {data}/*
  head -n 1 {data}/chats/index.jsonl
  grep -rl lantern {data}/chats | head -n 3
  octavo schema show
  octavo schema json-schema --out {shlex.quote(os.path.relpath(report.folder))}/schemas

With a database of your own:
  export DATABASE_URL='postgresql://user:password@localhost:5432/app?schema=public'
  octavo inventory && octavo export --files-root ./public && octavo verify"""
    )


def _free(wanted: Path) -> Path:
    """A name that nothing has yet: the demo never writes over anything."""
    name, number = wanted, 1
    while os.path.lexists(name):
        number += 1
        name = wanted.with_name(f"{wanted.name}-{number}")
    return name
