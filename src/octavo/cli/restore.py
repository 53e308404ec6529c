"""``octavo restore``."""

from __future__ import annotations

import typer

from octavo.cli import console
from octavo.cli.options import (
    DEFAULT_DATA_DIR,
    DEFAULT_FILES_ROOT,
    DatabaseUrlOption,
    DataDirOption,
    FilesRootOption,
    JsonOption,
    LayoutOption,
    QuietOption,
    SchemaOption,
    chosen_layout,
    chosen_schema,
    chosen_url,
)


def restore(
    database_url: DatabaseUrlOption = None,
    data_dir: DataDirOption = DEFAULT_DATA_DIR,
    files_root: FilesRootOption = DEFAULT_FILES_ROOT,
    schema: SchemaOption = None,
    layout: LayoutOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Files → an empty PostgreSQL, in one transaction.

    Payloads are written back to the files root, never over a file with other content. The database holds no
    tables yet, or the schema's tables without rows.
    """
    from octavo.migrate.restore import restore as run

    url = chosen_url(database_url)
    chosen = chosen_layout(layout, chosen_schema(schema))
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
        total = console.some(sum(report.counts.values()), "row")
        typer.echo(f"{made} {total} in {report.seconds:.1f} s")
        typer.echo(f"database: {console.plain(url.display)}")
        root = console.plain(str(files_root))
        typer.echo(f"payloads: of {console.some(report.payloads, 'record')}, below {root}")
        if report.payload_notes:
            typer.echo("payloads to look at:")
            console.listed(report.payload_notes)
    elif report.payload_notes:
        console.warning(f"{console.some(len(report.payload_notes), 'payload')} could not be written")
