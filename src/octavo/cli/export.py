"""``octavo export``."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from octavo.cli import console
from octavo.cli.options import (
    DEFAULT_DATA_DIR,
    DEFAULT_FILES_ROOT,
    DatabaseUrlOption,
    DataDirOption,
    FilesRootOption,
    JobsOption,
    JsonOption,
    LayoutOption,
    QuietOption,
    SchemaOption,
    chosen_layout,
    chosen_schema,
    chosen_url,
)

if TYPE_CHECKING:
    from octavo.layout.layout import Layout
    from octavo.migrate.export import ExportReport


def export(
    database_url: DatabaseUrlOption = None,
    data_dir: DataDirOption = DEFAULT_DATA_DIR,
    files_root: FilesRootOption = DEFAULT_FILES_ROOT,
    schema: SchemaOption = None,
    layout: LayoutOption = None,
    jobs: JobsOption = 2,
    replace: Annotated[
        bool, typer.Option("--replace", help="Put the export in the place of a store; the old one is kept.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check and count; write nothing.")] = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """PostgreSQL → files, from one snapshot, put in place whole."""
    from octavo.migrate.export import ExportOptions
    from octavo.migrate.export import export as run

    url = chosen_url(database_url)
    chosen = chosen_layout(layout, chosen_schema(schema))
    options = ExportOptions(files_root, jobs, replace, dry_run)
    with console.progress(quiet=quiet or as_json) as progress:
        report = run(url, data_dir, chosen, options, progress)
    if as_json:
        console.answer(_as_json(report))
    elif not quiet:
        show(report, chosen)


def show(report: ExportReport, layout: Layout) -> None:
    """Print what an export did."""
    rows = [[name, f"{count:,}", layout.host(name).path] for name, count in report.counts.items()]
    console.table(["model", "rows", "file"], rows)
    total = sum(report.counts.values())
    typer.echo()
    if report.dry_run:
        verb = "would replace" if report.replaces else "would be written to"
        typer.echo(f"dry run: {total:,} rows {verb} {report.target}; nothing was written")
    else:
        typer.echo(f"{total:,} rows in {report.files:,} files, in {report.seconds:.1f} s: {report.target}")
        typer.echo(f"payloads kept: {report.payloads:,} ({console.size(report.payload_bytes)} on disk)")
    if report.kept:
        typer.echo(f"the store that was there is kept: {report.kept}")
    if report.files_root_missing:
        typer.echo("the files root is not there: no payload could be kept (--files-root names it)")
    if report.payload_problems:
        lost = sum(not p.kept for p in report.payload_problems)
        typer.echo(f"payloads to look at: {len(report.payload_problems):,} ({lost:,} not kept; rows all are)")
        console.listed([f"{p.model} {p.key}: {p.path!r} {p.reason}" for p in report.payload_problems])
    if report.notes:
        typer.echo("beside the schema, the database has:")
        console.listed(list(report.notes))


def _as_json(report: ExportReport) -> dict[str, Any]:
    kinds = Counter("kept" if p.kept else "missing" for p in report.payload_problems)
    return {
        "dataDir": str(report.target),
        "dryRun": report.dry_run,
        "counts": report.counts,
        "files": report.files,
        "replaced": str(report.kept) if report.kept else None,
        "payloads": {
            "kept": report.payloads,
            "bytes": report.payload_bytes,
            "filesRootMissing": report.files_root_missing,
            "problems": [
                {"model": p.model, "key": p.key, "path": p.path, "reason": p.reason, "kept": p.kept}
                for p in report.payload_problems
            ],
            "notKept": kinds["missing"],
        },
        "notes": list(report.notes),
        "seconds": round(report.seconds, 3),
    }
