"""``octavo restore``."""

from __future__ import annotations

import typer

from octavo.cli import console, options
from octavo.text import some


def restore(
    database_url: options.Url = None,
    data_dir: options.DataDir = options.DATA_DIR,
    files_root: options.FilesRoot = options.FILES_ROOT,
    schema: options.SchemaPath = None,
    layout: options.LayoutPath = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Files → an empty PostgreSQL, in one transaction.

    Payloads are written back to the files root, never over a file with other content. The database holds no
    tables yet, or the schema's tables without rows.
    """
    from octavo.fold.restore import restore as run

    url = options.chosen_url(database_url)
    chosen = options.chosen_layout(layout, schema, data_dir)
    with console.progress(quiet=quiet or as_json) as progress:
        report = run(url, data_dir, chosen, files_root, progress)
    if as_json:
        console.answer(
            {
                "database": url.display,
                "dataDir": str(report.data_dir),
                "filesRoot": str(files_root),
                "counts": report.counts,
                "createdTables": report.created_tables,
                "payloads": {"written": report.payloads, "notes": report.payload_notes},
                "seconds": round(report.seconds, 3),
            }
        )
    elif not quiet:
        console.table(["model", "rows", ""], [[name, f"{n:,}", ""] for name, n in report.counts.items()])
        typer.echo()
        made = "made the tables and loaded" if report.created_tables else "loaded"
        total = some(sum(report.counts.values()), "row")
        typer.echo(f"{made} {total} in {report.seconds:.1f} s")
        typer.echo(f"database: {console.plain(url.display)}")
        root = console.plain(str(files_root))
        typer.echo(f"payloads: of {some(report.payloads, 'record')}, below {root}")
        if report.payload_notes:
            typer.echo("payloads to look at:")
            console.listed(report.payload_notes)
    elif report.payload_notes:
        console.warning(f"{some(len(report.payload_notes), 'payload')} could not be written")
