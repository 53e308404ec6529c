"""``octavo inventory``."""

from __future__ import annotations

import typer

from octavo.cli import console, options
from octavo.text import some


def inventory(
    database_url: options.Url = None,
    data_dir: options.DataDir = options.DATA_DIR,
    schema: options.SchemaPath = None,
    layout: options.LayoutPath = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Count and describe everything in the database.

    Written to cache/prisma-metadata-<date>.json, the baseline of later runs, and to a readable report beside
    it. Ends with 1 if the database is not what the schema says.
    """
    from octavo.fold.inventory import generate_prisma_metadata, save_inventory
    from octavo.schema.texts import schema_text

    chosen = options.chosen_layout(layout, schema, data_dir)
    text = None if schema is None else schema_text(schema)
    metadata = generate_prisma_metadata(options.chosen_url(database_url), layout=chosen, schema_text=text)
    saved = save_inventory(metadata, data_dir)
    metadata = saved.metadata
    if as_json:
        answer = {
            **metadata,
            "files": {"json": str(saved.json), "report": str(saved.report)},
            "baseline": str(saved.baseline) if saved.baseline else None,
            "changes": list(saved.changes),
        }
        console.answer(answer)
    elif not quiet:
        counts = metadata["counts"]
        console.table(["model", "rows", ""], [[model, f"{n:,}", ""] for model, n in counts.items()])
        typer.echo()
        models, records = (
            some(n, w) for n, w in ((len(counts), "model"), (metadata["totalRecords"], "record"))
        )
        typer.echo(f"{models}, {records}")
        if saved.baseline is not None:
            changed = some(len(saved.changes), "change") if saved.changes else "no changes"
            typer.echo(f"{changed} since {saved.baseline.name}")
        console.listed(saved.changes)
        if metadata["notes"]:
            typer.echo("beside the schema, the database has:")
            console.listed(metadata["notes"])
        typer.echo(f"inventory: {console.plain(str(saved.json))}")
        typer.echo(f"report:    {console.plain(str(saved.report))}")
    for finding in metadata["drift"]:
        console.problem("drift", finding)
    if metadata["drift"]:
        raise typer.Exit(1)
