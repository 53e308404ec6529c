"""``octavo layout``: where the records of a schema would live, and whether a layout file fits it."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import click

from octavo.cli import console
from octavo.cli.parameters import Argument, Option
from octavo.cli.runner import Answer, Job, command

if TYPE_CHECKING:
    from octavo.schema.datamodel import Datamodel


@command("schema", "layout_file")
def propose(
    job: Job,
    counted: Annotated[
        str | None,
        Option("--database-url", help="Count the rows of this database.", show_default=False),
    ] = None,
) -> Answer:
    """Print a layout as TOML, with the reason of each line.

    With --layout, what that file places stays as it is, and the rest is proposed.
    """
    from octavo.layout.load import proposal_for
    from octavo.layout.written import layout_text

    counts = None if counted is None else _counts(job.datamodel.complete, counted)
    found = proposal_for(job.datamodel.complete, job.layout_file, counts)
    places = [
        {
            "model": place.model.name,
            "kind": str(place.kind),
            "path": found.layout.host(place.model.name).path,
            "array": place.array or None,
            "reason": found.reasons.get(place.model.name),
        }
        for place in found.layout.places
    ]
    text = layout_text(found.layout, found.reasons)
    excluded = [model.name for model in found.layout.datamodel.excluded]
    value = {"layout": text, "places": places, "excluded": excluded, "rows": counts}
    return Answer(value, lambda: click.echo(text, nl=False), brief=lambda: click.echo(text, nl=False))


@command("schema")
def check(
    job: Job,
    file: Annotated[Path, Argument(help="The layout file.", exists=True, dir_okay=False)],
) -> Answer:
    """Hold a layout file against the schema.

    Ends with 0 if it fits, with 2 and the reason if it does not.
    """
    from octavo.layout.load import proposal_for
    from octavo.store.rules import Rules

    layout, reasons = proposal_for(job.datamodel.complete, file)
    Rules(layout)
    placed = [place.model.name for place in layout.places if place.model.name in reasons]
    excluded = [model.name for model in layout.datamodel.excluded]
    value = {
        "layout": str(file),
        "models": len(layout.places),
        "files": [family.path for family in layout.families],
        "proposed": placed,
        "excluded": excluded,
    }

    def show() -> None:
        click.echo(f"{console.plain(str(file))} fits: {len(layout.places)} models")
        for name in placed:
            place = layout.place(name)
            where = place.path or f"{place.relation.parent if place.relation else ''}.{place.array}"
            click.echo(f"note: {console.plain(name)} is placed by the proposal: {console.plain(where)}")
        for name in excluded:
            click.echo(f"note: {console.plain(name)} is left out")

    return Answer(value, show)


def _counts(datamodel: Datamodel, address: str) -> dict[str, int]:
    """The number of rows of each model whose table is there.  Raises UsageError, DatabaseError."""
    from octavo.postgres.connection import connect, transaction
    from octavo.schema.native import table_name
    from octavo.url import DatabaseUrl

    url = DatabaseUrl.parse(address)
    found: dict[str, int] = {}
    with (
        closing(connect(url)) as connection,
        transaction(connection, url.schema, isolation="REPEATABLE READ", read_only=True),
    ):
        for model in datamodel.tables:
            name: Any = table_name(model)
            there = connection.execute("SELECT to_regclass(%s)", [name]).fetchone()
            if there is not None and there[0] is not None:
                row = connection.execute(f"SELECT count(*) FROM {name}").fetchone()
                found[model.name] = 0 if row is None else int(row[0])
    return found
