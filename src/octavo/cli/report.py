"""``octavo report``."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from octavo.cli import console
from octavo.cli.options import (
    DEFAULT_DATA_DIR,
    DatabaseUrlOption,
    DataDirOption,
    JsonOption,
    LayoutOption,
    QuietOption,
    SchemaOption,
    chosen_layout,
    chosen_schema,
)
from octavo.errors import UsageError, disk_errors

if TYPE_CHECKING:
    from octavo.report.facts import Facts


def report(
    database_url: DatabaseUrlOption = None,
    data_dir: DataDirOption = DEFAULT_DATA_DIR,
    schema: SchemaOption = None,
    layout: LayoutOption = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", show_default=False, help="The file to write [<DATA_DIR>/cache/report-<date>.html]."
        ),
    ] = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Write a page to look at: the schema as a diagram, the files, the verification, the move.

    One HTML file that needs no network. The database is counted if it is named. Ends with 1 if something in
    the data folder is damaged: the page tells it.
    """
    from octavo.postgres.url import DatabaseUrl
    from octavo.report.facts import gather
    from octavo.report.page import render
    from octavo.store import disk

    chosen = chosen_layout(layout, chosen_schema(schema))
    text = schema.read_bytes().decode() if schema is not None and schema.is_file() else None
    url = DatabaseUrl.parse(database_url) if database_url else None
    target = out or data_dir / "cache" / f"report-{datetime.now(UTC):%Y-%m-%d}.html"
    _require_ours(target)
    with console.progress(quiet=quiet or as_json) as progress:
        facts = gather(data_dir, chosen, url=url, schema_text=text, progress=progress)
    page = render(facts)
    disk.write_file(target, page.encode())
    if as_json:
        console.answer({"path": str(target), "bytes": os.path.getsize(target), **_held(facts)})
    elif not quiet:
        typer.echo(f"The report is {target}")
    for problem in facts.problems:
        console.warning(problem)
    if facts.damaged:
        raise typer.Exit(1)


def _require_ours(target: Path) -> None:
    """Refuse to write over something that is no report."""
    from octavo.report.page import GENERATOR

    with disk_errors("looking at the report's place"):
        if target.is_dir():
            raise UsageError(f"{target} is a folder", hint="name a file with --out")
        if not target.exists():
            return
        with open(target, "rb") as file:
            head = file.read(4096)
    if f'name="generator" content="{GENERATOR}"'.encode() not in head:
        raise UsageError(f"{target} is there already, and is no report", hint="name another file with --out")


def _held(facts: Facts) -> dict[str, Any]:
    """What the page shows, for a machine."""
    found, store = facts.verification, facts.store
    return {
        "made": facts.made.isoformat(),
        "models": len(facts.layout.places),
        "foreignKeys": len(facts.layout.datamodel.foreign_keys),
        "files": None
        if store is None
        else {"files": store.files, "bytes": store.size, "records": store.records},
        "database": None if facts.database is None else {"records": sum(facts.database.values())},
        "verification": None
        if found is None
        else {"time": found.time.isoformat(), "equal": found.equal, "differences": found.total},
        "counts": len(facts.snapshots),
        "phase": facts.state.phase,
        "backend": facts.state.backend,
        "transitions": len(facts.state.transitions),
        "problems": list(facts.problems),
    }
