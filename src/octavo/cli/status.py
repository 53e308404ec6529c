"""``octavo status``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

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
    chosen_schema,
)

if TYPE_CHECKING:
    from octavo.migrate.status import Status


def status(
    database_url: DatabaseUrlOption = None,
    data_dir: DataDirOption = DEFAULT_DATA_DIR,
    schema: SchemaOption = None,
    layout: LayoutOption = None,
    heal: Annotated[
        bool,
        typer.Option("--heal", help="Recover the files, and copy what differs to them from PostgreSQL."),
    ] = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Show where the data lives, and what is known to differ.

    Changes nothing unless told to heal. Ends with 1 if something is left to do, with 3 if one side cannot be
    reached.
    """
    from octavo.backend import get_data_backend
    from octavo.client import Settings
    from octavo.migrate.status import status as look
    from octavo.query.vocabulary import Vocabulary

    settings = Settings(database_url=database_url or "", data_dir=data_dir, layout=layout)
    found = look(get_data_backend(), Vocabulary(chosen_schema(schema)), settings, heal=heal)
    if as_json:
        console.answer(found.to_dict())
    elif not quiet:
        show(found)
    for healed in found.healed:
        if healed.error:
            console.problem("not healed", f"{healed.divergence.model}: {healed.error}")
    if found.store or found.database:
        raise typer.Exit(3)
    if not found.good:
        raise typer.Exit(1)


def show(found: Status) -> None:
    """Print how things stand."""
    typer.echo(f"backend      {found.backend.value}")
    for name, reason in (("PostgreSQL", found.database), ("files", found.store)):
        if reason is not None:
            typer.echo(f"{name:<13}{console.plain(reason) or 'there'}")
    if found.store == "":
        doubt = f", {found.in_doubt:,} in doubt" if found.in_doubt else ""
        lag = ", to be recovered" if found.lagging else ""
        busy = ", being written to" if found.writing else ""
        typer.echo(f"journal      {console.some(found.entries, 'entry', 'entries')}{doubt}{lag}{busy}")
        compared, different, failed = (found.counters.get(n, 0) for n in ("compared", "different", "failed"))
        typer.echo(
            f"compared     {console.some(compared, 'read')}, {different:,} different, {failed:,} failed"
        )
    if found.healed:
        good = [h for h in found.healed if not h.error]
        copied = console.some(sum(h.copied for h in good), "record")
        typer.echo(f"healed       {len(good):,} of {len(found.healed):,}, {copied} copied")
    ages = found.ages
    if ages is not None:
        oldest, newest = (f"{age / 60:,.0f} min" for age in ages)
        typer.echo(f"divergences  {len(found.divergences):,}, the oldest {oldest} old, the newest {newest}")
        console.listed(
            [
                " ".join(filter(None, (d.kind, *d.about, ", ".join(d.fields), d.reason)))
                for d in found.divergences
            ]
        )
    if not found.good and not found.healed:
        console.detail("octavo status --heal makes the files what PostgreSQL is")
