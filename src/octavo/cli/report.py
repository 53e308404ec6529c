"""``octavo report``."""

from __future__ import annotations

import os
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from octavo.cli import console, options
from octavo.errors import UsageError, disk_errors

if TYPE_CHECKING:
    from octavo.report.facts import Facts


def report(
    database_url: options.Url = None,
    data_dir: options.DataDir = options.DATA_DIR,
    schema: options.SchemaPath = None,
    layout: options.LayoutPath = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", show_default=False, help="The file to write [<DATA_DIR>/cache/report-<date>.html]."
        ),
    ] = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Write a page to look at, as one HTML file.

    The schema as a diagram, the files, the last verification, the checklist, growth, and the steps of the
    move. It needs no network, and looks at all that octavo status looks at. Ends with 1 only if an earlier
    inventory or verification cannot be read, which the page tells.
    """
    from octavo.backend import Settings, get_data_backend
    from octavo.crypto import pepper_from_env
    from octavo.move.status import Looking, status
    from octavo.query.vocabulary import Vocabulary
    from octavo.report.page import write_page
    from octavo.schema.texts import schema_text

    chosen = options.chosen_layout(layout, schema, data_dir)
    text = None if schema is None else schema_text(schema)
    settings = Settings(database_url=database_url or "", data_dir=data_dir, layout=layout)
    looking = Looking(pepper=pepper_from_env())
    target = out or data_dir / "cache" / f"report-{datetime.now(UTC):%Y-%m-%d}.html"
    _require_ours(target)
    with console.progress(quiet=quiet or as_json) as progress:
        found = status(get_data_backend(), Vocabulary(chosen.datamodel), settings, looking, progress)
    facts = write_page(found, chosen, target, text)
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
    found, store = facts.verification, facts.files
    records = {side: facts.counted(side) for side in ("database", "files")}
    return {
        "made": facts.made.isoformat(),
        "models": len(facts.layout.places),
        "foreignKeys": len(facts.layout.datamodel.foreign_keys),
        "files": None if store is None else {"files": store.files, "bytes": store.size},
        "records": {side: None if n is None else sum(n.values()) for side, n in records.items()},
        "verification": None
        if found is None
        else {
            "time": found.time.isoformat(),
            "equal": found.holds,
            "equalThen": found.equal,
            "writtenSince": found.written,
            "differences": found.total,
        },
        "counts": len(facts.snapshots),
        "checklist": dict(Counter(item.verdict.value for item in facts.status.checklist)),
        "phase": facts.status.phase,
        "backend": facts.state.backend,
        "transitions": len(facts.state.transitions),
        "problems": list(facts.problems),
    }
