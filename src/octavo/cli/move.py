"""``octavo cutover``, ``octavo rollback`` and ``octavo cleanup``: where the move turns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from octavo.cli import console, failures
from octavo.cli.runner import Answer, Job, command

if TYPE_CHECKING:
    from octavo.move.sides import Gate, MoveReport, Sides

_Patience: TypeAlias = Annotated[
    float, typer.Option("--patience", min=0, help="Seconds to wait for those who are writing.")
]


@command("database_url", "data_dir", "files_root", "schema", "layout_file", "jobs")
def cutover(
    job: Job,
    waive: Annotated[
        list[str] | None,
        typer.Option("--waive", show_default=False, help="Pass this gate although it is closed."),
    ] = None,
    patience: _Patience = 30.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Look at the gates; change nothing.")] = False,
) -> Answer:
    """Make the files the backend of record.

    Every gate is checked and printed with its reason. If all are open: writes are refused for a moment, the
    last changes are brought over, everything is verified, and the files are of record. Ends with 1 if a gate
    is closed or both sides differ. Can be interrupted anywhere, and run again.
    """
    from octavo.crypto import pepper_from_env
    from octavo.move.cutover import CutoverOptions
    from octavo.move.cutover import cutover as run
    from octavo.report.page import write_page_of_move

    sides = _sides(job)
    options = CutoverOptions(
        files_root=job.files_root,
        pepper=pepper_from_env(),
        jobs=job.jobs,
        waive=waive or (),
        dry_run=dry_run,
        patience=patience,
    )
    show_gates = len if job.silent else _show_gates
    with failures.telling_what_is_left(), job.progress() as progress:
        report = run(sides, options, progress=progress, tell=job.tell, show=show_gates)
        if report.report is not None:
            write_page_of_move(report, sides, options.pepper, progress, job.tell)

    def show() -> None:
        if job.quiet:
            _show_gates(report.closed)
        if report.done:
            _show_end(report, "the files are the backend of record", "DATA_BACKEND=json")
        elif report.closed:
            typer.echo("nothing was changed")
        else:
            typer.echo("dry run: every gate is open; nothing was changed")

    return Answer(report.to_dict(), show, good=not report.closed, shows_if_quiet=True)


@command("database_url", "data_dir", "files_root", "schema", "layout_file", "jobs")
def rollback(
    job: Job,
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Give up what was written to PostgreSQL since the cutover."),
    ] = False,
    patience: _Patience = 30.0,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would change in PostgreSQL; keep nothing of it.")
    ] = False,
) -> Answer:
    """Go back to PostgreSQL, with all that was written since.

    Its tables become what the files are, in one transaction; payloads go back to the files root; everything
    is verified. Can be interrupted anywhere, and run again.
    """
    from octavo.crypto import pepper_from_env
    from octavo.move.rollback import RollbackOptions
    from octavo.move.rollback import rollback as run
    from octavo.report.page import write_page_of_move

    sides = _sides(job)
    options = RollbackOptions(
        files_root=job.files_root,
        pepper=pepper_from_env(),
        jobs=job.jobs,
        overwrite=overwrite,
        dry_run=dry_run,
        patience=patience,
    )
    with failures.telling_what_is_left(), job.progress() as progress:
        report = run(sides, options, progress=progress, tell=job.tell)
        if report.report is not None:
            write_page_of_move(report, sides, options.pepper, progress, job.tell)

    def show() -> None:
        if report.changes:
            rows = [[name, *(f"{n:,}" for n in counts.values())] for name, counts in report.changes.items()]
            console.table(["model", "inserted", "changed", "deleted"], rows)
        if report.done:
            _show_end(report, "PostgreSQL is the backend of record", "DATA_BACKEND=dual or prisma")
        else:
            typer.echo("dry run: PostgreSQL is as it was")

    return Answer(report.to_dict(), show)


@command("database_url", "data_dir", "schema", "layout_file")
def cleanup(
    job: Job,
    yes: Annotated[bool, typer.Option("--yes", help="Yes, there is to be no way back.")] = False,
) -> Answer:
    """End the move: give up the way back.

    What Octavo has made in the database is removed, if it is still there; its tables and rows stay as they
    are.
    """
    from octavo.errors import UsageError
    from octavo.move.cutover import cleanup as run

    if not yes:
        raise UsageError("after this, octavo rollback is not possible any more", hint="octavo cleanup --yes")
    with failures.telling_what_is_left():
        report = run(_sides(job, url_needed=False), tell=job.tell)
    return Answer(report.to_dict(), lambda: _show_end(report, "the move is over", "DATA_BACKEND=json"))


def _sides(job: Job, *, url_needed: bool = True) -> Sides:
    from octavo.move.sides import Sides

    if url_needed:
        _ = job.url
    return Sides(job.vocabulary, job.settings())


def _show_gates(gates: Sequence[Gate]) -> None:
    for gate in gates:
        state = "open" if gate.open else "WAIVED" if gate.waived else "CLOSED"
        typer.echo(f"  {state:<7} {gate.name:<13} {console.plain(gate.reason)}")
        if not gate.passed and gate.hint:
            typer.echo(f"  {'':<21} → {gate.hint}")


def _show_end(report: MoveReport, word: str, setting: str) -> None:
    for note in report.notes:
        typer.echo(f"note: {console.plain(note)}")
    for path in filter(None, (report.report, report.page)):
        typer.echo(f"report: {console.plain(str(path))}")
    console.verdict(True, "DONE", f"{word}: start the application with {setting}")
