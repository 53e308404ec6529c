"""``octavo cutover``, ``octavo rollback`` and ``octavo cleanup``: where the move turns."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from octavo.cli import console, failures, options

if TYPE_CHECKING:
    from octavo.move.gates import Gate
    from octavo.move.sides import MoveReport, Sides

_Patience: TypeAlias = Annotated[
    float, typer.Option("--patience", min=0, help="Seconds to wait for those who are writing.")
]


def cutover(
    database_url: options.Url = None,
    data_dir: options.DataDir = options.DATA_DIR,
    files_root: options.FilesRoot = options.FILES_ROOT,
    schema: options.SchemaPath = None,
    layout: options.LayoutPath = None,
    jobs: options.Jobs = options.JOBS,
    waive: Annotated[
        list[str] | None,
        typer.Option("--waive", show_default=False, help="Pass this gate although it is closed."),
    ] = None,
    patience: _Patience = 30.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Look at the gates; change nothing.")] = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Make the files the backend of record.

    Every gate is looked at and printed with its reason. If all are open: nobody can write for a moment, the
    last changes are brought over, everything is verified, and the files are of record. Ends with 1 if a gate
    is closed or both sides differ. Can be interrupted anywhere, and run again.
    """
    from octavo.crypto import pepper_from_env
    from octavo.move.cutover import CutoverOptions
    from octavo.move.cutover import cutover as run
    from octavo.report.page import write_page_of_move

    sides = _sides(database_url, data_dir, schema, layout)
    wanted = CutoverOptions(
        files_root=files_root,
        pepper=pepper_from_env(),
        jobs=jobs,
        waive=waive or (),
        dry_run=dry_run,
        patience=patience,
    )
    with failures.telling_what_is_left(), console.progress(quiet=quiet or as_json) as progress:
        silent = quiet or as_json
        tell = console.told(quiet=silent)
        report = run(sides, wanted, progress=progress, tell=tell, show=len if silent else _show_gates)
        if report.report is not None:
            write_page_of_move(report, sides, wanted.pepper, progress, tell)
    if as_json:
        console.answer(report.to_dict())
    elif not quiet or report.closed:
        if quiet:
            _show_gates(report.closed)
        if report.done:
            _show_end(report, "the files are the backend of record", "DATA_BACKEND=json")
        elif report.closed:
            typer.echo("nothing was changed")
        else:
            typer.echo("dry run: every gate is open; nothing was changed")
    if report.closed:
        raise typer.Exit(1)


def rollback(
    database_url: options.Url = None,
    data_dir: options.DataDir = options.DATA_DIR,
    files_root: options.FilesRoot = options.FILES_ROOT,
    schema: options.SchemaPath = None,
    layout: options.LayoutPath = None,
    jobs: options.Jobs = options.JOBS,
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Give up what was written to PostgreSQL since the cutover."),
    ] = False,
    patience: _Patience = 30.0,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would change in PostgreSQL; keep nothing of it.")
    ] = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Go back to PostgreSQL, with all that was written since.

    Its tables become what the files are, in one transaction; payloads go back to the files root; everything
    is verified. Can be interrupted anywhere, and run again.
    """
    from octavo.crypto import pepper_from_env
    from octavo.move.rollback import RollbackOptions
    from octavo.move.rollback import rollback as run
    from octavo.report.page import write_page_of_move

    sides = _sides(database_url, data_dir, schema, layout)
    wanted = RollbackOptions(
        files_root=files_root,
        pepper=pepper_from_env(),
        jobs=jobs,
        overwrite=overwrite,
        dry_run=dry_run,
        patience=patience,
    )
    with failures.telling_what_is_left(), console.progress(quiet=quiet or as_json) as progress:
        tell = console.told(quiet=quiet or as_json)
        report = run(sides, wanted, progress=progress, tell=tell)
        if report.report is not None:
            write_page_of_move(report, sides, wanted.pepper, progress, tell)
    if as_json:
        console.answer(report.to_dict())
    elif not quiet:
        if report.changes:
            rows = [[name, *(f"{n:,}" for n in counts.values())] for name, counts in report.changes.items()]
            console.table(["model", "inserted", "changed", "deleted"], rows)
        if report.done:
            _show_end(report, "PostgreSQL is the backend of record", "DATA_BACKEND=dual or prisma")
        else:
            typer.echo("dry run: PostgreSQL is as it was")


def cleanup(
    database_url: options.Url = None,
    data_dir: options.DataDir = options.DATA_DIR,
    schema: options.SchemaPath = None,
    layout: options.LayoutPath = None,
    yes: Annotated[bool, typer.Option("--yes", help="Yes, there is to be no way back.")] = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """End the move: give up the way back.

    What Octavo has made in the database is removed, if it is still there; its tables and rows stay as they
    are.
    """
    from octavo.errors import UsageError
    from octavo.move.cutover import cleanup as run

    if not yes:
        raise UsageError("after this, octavo rollback is not possible any more", hint="octavo cleanup --yes")
    sides = _sides(database_url, data_dir, schema, layout, url_needed=False)
    with failures.telling_what_is_left():
        report = run(sides, tell=console.told(quiet=quiet or as_json))
    if as_json:
        console.answer(report.to_dict())
    elif not quiet:
        _show_end(report, "the move is over", "DATA_BACKEND=json")


def _sides(
    database_url: str | None,
    data_dir: Path,
    schema: Path | None,
    layout: Path | None,
    *,
    url_needed: bool = True,
) -> Sides:
    from octavo.backend import Settings
    from octavo.move.sides import Sides
    from octavo.query.vocabulary import Vocabulary

    if url_needed:
        options.chosen_url(database_url)
    settings = Settings(database_url=database_url or "", data_dir=data_dir, layout=layout)
    return Sides(Vocabulary(options.chosen_schema(schema, data_dir, layout)), settings)


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
