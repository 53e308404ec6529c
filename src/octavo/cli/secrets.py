"""``octavo secrets``: whether every secret opens, and a new pepper for all of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from octavo.cli import console, failures
from octavo.cli.runner import Answer, Job, command
from octavo.errors import UsageError
from octavo.text import some

if TYPE_CHECKING:
    from octavo.secrets.check import SecretsReport, Unopeneds
    from octavo.secrets.pepper import NewPepper
    from octavo.secrets.rotate import Rotation

app = typer.Typer(help="Whether every secret opens; a new pepper for all.")


def _pepper() -> str:
    from octavo.crypto import PEPPER_VARIABLE, pepper_from_env

    pepper = pepper_from_env()
    if pepper is None:
        raise UsageError(f"{PEPPER_VARIABLE} is not set", hint="it is what the application encrypts with")
    return pepper


@app.command()
@command("database_url", "data_dir", "schema", "layout_file")
def check(job: Job) -> Answer:
    """Decrypt every encrypted value with ENCRYPTION_MASTER_PEPPER, and look at every hash.

    Where DATA_BACKEND says; both sides in dual. Shows no value. Ends with 1 if one does not open.
    """
    from octavo.backend import get_data_backend
    from octavo.secrets.check import check as run

    pepper = _pepper()
    with job.progress() as progress:
        report = run(get_data_backend(), job.vocabulary, job.settings(), pepper, progress)
    return Answer(report.to_dict(), lambda: show(report), good=report.good, shows_if_quiet=True)


def show(report: SecretsReport) -> None:
    """Print what a check found."""
    for side, counts in report.sides.items():
        told = ", ".join(f"{number:,} × {scheme}" for scheme, number in counts.items() if number)
        typer.echo(f"{side:<10}{told or 'no secrets'}")
    _unopened(report.unopened)
    looked_at = f"{some(report.values, 'value')}, in {report.seconds:.1f} s"
    if report.good:
        console.verdict(True, "ALL OPEN", looked_at)
    else:
        console.verdict(False, "NOT ALL OPEN", f"{report.unopened.total:,} of {looked_at}")


@app.command()
@command("database_url", "data_dir", "schema", "layout_file")
def rotate(
    job: Job,
    generate: Annotated[
        Path | None,
        typer.Option(
            "--generate",
            metavar="FILE",
            show_default=False,
            help="Make a new pepper and write it to FILE, for its owner alone.",
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Look at everything; change nothing.")] = False,
) -> Answer:
    """Encrypt everything anew, from ENCRYPTION_MASTER_PEPPER to ENCRYPTION_NEW_PEPPER.

    All of it or nothing, where DATA_BACKEND says; both sides in dual. Run again after an interruption, it
    goes on. Ends with 1, having changed nothing, if a value opens with neither pepper.
    """
    from octavo.backend import get_data_backend
    from octavo.secrets.rotate import rotate as run

    old, new = _pepper(), _new_pepper(job, generate)
    kind, settings = get_data_backend(), job.settings()
    with failures.telling_what_is_left(), job.progress() as progress:
        done = run(kind, job.vocabulary, settings, old, new, dry_run=dry_run, progress=progress)
    return Answer(done.to_dict(), lambda: show_rotation(done), good=done.good, shows_if_quiet=True)


def _new_pepper(job: Job, generate: Path | None) -> NewPepper:
    from octavo.crypto import pepper_from_env
    from octavo.secrets.pepper import NEW_VARIABLE, NewPepper

    if generate is None:
        return NewPepper.from_env()
    if pepper_from_env(variable=NEW_VARIABLE) is not None:
        raise UsageError(f"{NEW_VARIABLE} is set, and --generate is to make another pepper")
    return NewPepper.generated(generate, job.data_dir)


def show_rotation(done: Rotation) -> None:
    """Print what was found and done."""
    from octavo.secrets.rotate import Opens

    names = {Opens.OLD: "the old pepper", Opens.NEW: "the new one", Opens.NEITHER: "neither"}
    for side, counts in done.before.sides.items():
        told = ", ".join(f"{counts[o]:,} with {name}" for o, name in names.items() if counts[o])
        typer.echo(f"{side:<10}{f'opened {told}' if told else 'no encrypted values'}")
    _unopened(done.unopened)
    console.verdict(done.good, *_verdict(done))
    if done.good and not done.dry_run:
        _show_next(done)


def _verdict(done: Rotation) -> tuple[str, str]:
    from octavo.secrets.rotate import Opens, State

    if done.after is None:
        if done.before.state is State.BROKEN:
            broken = some(done.unopened.total, "value opens", "values open")
            return "NOT ROTATED", f"{broken} with neither pepper; nothing was changed"
        number = done.before.count(Opens.OLD)
        if not number:
            return "NOTHING TO DO", "nothing opens with the old pepper alone"
        return "DRY RUN", f"{some(number, 'value')} would be encrypted anew; nothing was changed"
    told = f"{some(done.changed, 'value')} encrypted anew, in {done.seconds:.1f} s"
    if written := done.left + done.unopened.total:
        late = some(written, "value that does", "values that do")
        return "NOT ALL ROTATED", f"{told}; {late} not open with the new pepper came in meanwhile"
    return "ROTATED", told


def _show_next(done: Rotation) -> None:
    from octavo.crypto import PEPPER_VARIABLE

    typer.echo("passwords and tokens do not depend on the pepper; they are as they were")
    if done.follows:
        typer.echo("the files follow PostgreSQL: octavo follow brings over what was changed there")
    if done.pepper_file:
        typer.echo(f"the new pepper is in {console.plain(str(done.pepper_file))}")
    typer.echo(f"start the application with it as {PEPPER_VARIABLE}")


def _unopened(unopened: Unopeneds) -> None:
    shown = unopened.first[: console.SHOWN]
    console.listed([str(one) for one in shown])
    if (more := unopened.total - len(shown)) > 0:
        typer.echo(f"  … and {more:,} more")
