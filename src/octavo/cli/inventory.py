"""``octavo inventory``."""

from __future__ import annotations

import json

import typer

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
    chosen_url,
)


def inventory(
    database_url: DatabaseUrlOption = None,
    data_dir: DataDirOption = DEFAULT_DATA_DIR,
    schema: SchemaOption = None,
    layout: LayoutOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Count and describe everything: cache/prisma-metadata-<date>.json and a readable report.

    Ends with 1 if the database is not what the schema says.
    """
    from octavo.migrate.inventory import generate_prisma_metadata, save_inventory

    chosen = chosen_layout(layout, chosen_schema(schema))
    text = schema.read_text("utf-8") if schema is not None and schema.is_file() else None
    metadata = generate_prisma_metadata(chosen_url(database_url), layout=chosen, schema_text=text)
    saved = save_inventory(metadata, data_dir)
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
