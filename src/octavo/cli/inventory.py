"""``octavo inventory``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def inventory(
    database_url: Annotated[
        str | None, typer.Option("--database-url", envvar="DATABASE_URL", help="The database to read.")
    ] = None,
    data_dir: Annotated[
        Path, typer.Option("--data-dir", envvar="DATA_DIR", help="Where the inventory is kept, below cache/.")
    ] = Path("data"),
    as_json: Annotated[bool, typer.Option("--json", help="Print the inventory as JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing but problems.")] = False,
) -> None:
    """Count and describe everything: cache/prisma-metadata-<date>.json and a readable report.

    Ends with 1 if the database is not what the schema says.
    """
    from octavo.migrate.inventory import generate_prisma_metadata, save_inventory

    saved = save_inventory(generate_prisma_metadata(database_url), data_dir)
    metadata = saved.metadata
    if as_json:
        answer = {
            **metadata,
            "files": {"json": str(saved.json), "report": str(saved.report)},
            "baseline": str(saved.baseline) if saved.baseline else None,
            "changes": list(saved.changes),
        }
        typer.echo(json.dumps(answer, indent=2, ensure_ascii=False))
    elif not quiet:
        width = max(map(len, metadata["counts"]), default=0)
        for model, count in metadata["counts"].items():
            typer.echo(f"{model:<{width}}  {count:>12,}")
        typer.echo(f"{len(metadata['counts'])} models, {metadata['totalRecords']:,} records")
        if saved.baseline is not None:
            typer.echo(f"{len(saved.changes) or 'no'} changes since {saved.baseline.name}")
        for change in saved.changes:
            typer.echo(f"  {change}")
        typer.echo(f"inventory: {saved.json}")
        typer.echo(f"report:    {saved.report}")
    for finding in metadata["drift"]:
        typer.echo(f"drift: {finding}", err=True)
    if metadata["drift"]:
        raise typer.Exit(1)
