"""``octavo export``."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from octavo.cli import console, options
from octavo.text import size, some

if TYPE_CHECKING:
    from octavo.fold.export import ExportReport
    from octavo.layout.layout import Layout
    from octavo.store.intake import PayloadProblem

_PROBLEMS_ANSWERED = 1000
"""how many payloads a machine's answer names; it counts them all"""


def export(
    database_url: options.Url = None,
    data_dir: options.DataDir = options.DATA_DIR,
    files_root: options.FilesRoot = options.FILES_ROOT,
    schema: options.SchemaPath = None,
    layout: options.LayoutPath = None,
    jobs: options.Jobs = options.JOBS,
    replace: Annotated[
        bool, typer.Option("--replace", help="Put the export in the place of a store; the old one is kept.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check and count; write nothing.")] = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """PostgreSQL → files, from one snapshot, put in place whole."""
    from octavo.fold.export import ExportOptions
    from octavo.fold.export import export as run

    url = options.chosen_url(database_url)
    chosen = options.chosen_layout(layout, schema, data_dir)
    wanted = ExportOptions(files_root, jobs, replace, dry_run)
    with console.progress(quiet=quiet or as_json) as progress:
        report = run(url, data_dir, chosen, wanted, progress)
    if as_json:
        console.answer(_as_json(report))
    elif not quiet:
        show(report, chosen)
    else:
        for text in _warnings(report):
            console.warning(text)


def show(report: ExportReport, layout: Layout) -> None:
    """Print what an export did."""
    rows = [[name, f"{count:,}", layout.host(name).path] for name, count in report.counts.items()]
    console.table(["model", "rows", "file"], rows)
    total = some(sum(report.counts.values()), "row")
    where = console.plain(str(report.target))
    typer.echo()
    if report.dry_run:
        verb = "would replace the store" if report.replaces else "would be written"
        typer.echo(f"dry run: {total} {verb}; nothing was written")
        typer.echo(f"data: {where}")
    else:
        typer.echo(f"{total} in {some(report.files, 'file')}, in {report.seconds:.1f} s")
        typer.echo(f"data: {where}")
        if report.caught_up:
            again = some(report.caught_up, "record")
            typer.echo(f"written meanwhile: {again}, which were copied again")
        kept = some(report.payloads, "record")
        typer.echo(f"payloads: of {kept}, {size(report.payload_bytes)}")
    if report.kept:
        typer.echo(f"the store that was there: {console.plain(str(report.kept))}")
    for settled in report.settled:
        typer.echo(f"the store that an interrupted export replaced: {console.plain(str(settled))}")
    for text in _warnings(report):
        console.warning(text)
    if report.payload_problems:
        typer.echo("payloads to look at:")
        console.listed([_line(p) for p in report.payload_problems])
    if report.notes:
        typer.echo("beside the schema, the database has:")
        console.listed(report.notes)


def _warnings(report: ExportReport) -> list[str]:
    """What somebody should look at, a sentence each; the records themselves are all kept."""
    found = []
    if report.files_root_missing and report.payload_problems:
        found.append("the files root is not there, so no payload was kept: --files-root names it")
    for reason, count in _by_reason(report).items():
        said = reason if count == 1 else reason.replace("is ", "are ", 1)
        found.append(f"{some(count, 'payload')} {said}")
    return found


def _by_reason(report: ExportReport) -> dict[str, int]:
    """How many payloads there is something to say about, by what it is."""
    return dict(Counter(p.reason if not p.kept else "kept, of another size" for p in report.payload_problems))


def _line(problem: PayloadProblem) -> str:
    key, path = console.short(problem.key), console.short(problem.path, 120)
    return f"{problem.model} {key}: {path!r} {problem.reason}"


def _as_json(report: ExportReport) -> dict[str, Any]:
    problems = report.payload_problems
    return {
        "dataDir": str(report.target),
        "dryRun": report.dry_run,
        "replaces": report.replaces,
        "counts": report.counts,
        "caughtUp": report.caught_up,
        "files": report.files,
        "replaced": str(report.kept) if report.kept else None,
        "settled": [str(kept) for kept in report.settled],
        "payloads": {
            "kept": report.payloads,
            "bytes": report.payload_bytes,
            "filesRootMissing": report.files_root_missing,
            "problems": [
                {"model": p.model, "key": p.key, "path": p.path, "reason": p.reason, "kept": p.kept}
                for p in problems[:_PROBLEMS_ANSWERED]
            ],
            "problemsTotal": len(problems),
            "problemsByReason": _by_reason(report),
            "notKept": sum(not p.kept for p in problems),
        },
        "notes": list(report.notes),
        "seconds": round(report.seconds, 3),
    }
