"""``octavo compact``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from octavo.cli import console, failures, options
from octavo.text import size, some

if TYPE_CHECKING:
    from octavo.store.compaction import Compaction
    from octavo.store.payloads import Removed


def compact(
    data_dir: options.DataDir = options.DATA_DIR,
    schema: options.SchemaPath = None,
    layout: options.LayoutPath = None,
    payloads: Annotated[
        bool,
        typer.Option("--payloads", help="Also remove payloads that no record names, if an hour old."),
    ] = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Leave one line a record in every log, as an export writes them.

    Writers get their turn between two logs. Ends with 1 if a log cannot be read; it stays as it is.
    """
    from octavo.store.store import Store

    removed: list[Removed] = []
    left = "every record is as it was; some logs may be compacted, and the next run does the others"
    with (
        failures.telling_what_is_left(left),
        Store.open(data_dir, options.chosen_layout(layout, schema, data_dir)) as store,
    ):
        with console.progress(quiet=quiet or as_json) as progress:
            progress.begin("compact", 0, "logs")
            report = store.compact(progress.advance)
        if payloads:
            removed = store.remove_payloads()
    if as_json:
        console.answer({"dataDir": str(data_dir), **_as_json(report, removed)})
    elif not quiet:
        show(report, removed)
    for error in report.damaged:
        console.problem("damaged", str(error))
    if report.damaged:
        console.detail("such a log stays as it is: octavo doctor says more")
        raise typer.Exit(1)


def _as_json(report: Compaction, removed: list[Removed]) -> dict[str, object]:
    return {
        "logs": [
            {
                "file": log.file,
                "lines": {"before": log.lines_before, "after": log.lines_after},
                "bytes": {"before": log.bytes_before, "after": log.bytes_after},
                "rewritten": log.rewritten,
            }
            for log in report.logs
        ],
        "lines": dict(zip(("before", "after"), report.lines, strict=True)),
        "bytes": dict(zip(("before", "after"), report.bytes, strict=True)),
        "damaged": [{"file": e.file, "line": e.line, "reason": e.reason} for e in report.damaged],
        "payloadsRemoved": [{"file": file, "bytes": size} for file, size in removed],
    }


def show(report: Compaction, removed: list[Removed]) -> None:
    """Print what became of each log, and of payloads."""
    rewritten = [log for log in report.logs if log.rewritten]
    if rewritten:
        rows = [
            [
                log.file,
                f"{log.lines_before:,}",
                f"{log.lines_after:,}",
                size(log.bytes_before),
                size(log.bytes_after),
                "",
            ]
            for log in rewritten[: console.SHOWN]
        ]
        console.table(["log", "lines", "now", "bytes", "now", ""], rows)
        if len(rewritten) > console.SHOWN:
            typer.echo(f"… and {len(rewritten) - console.SHOWN:,} more")
    (lines, lines_now), (held, held_now) = report.lines, report.bytes
    typer.echo(
        f"{some(len(report.logs), 'log')}, {len(rewritten):,} rewritten: "
        f"{lines:,} → {lines_now:,} lines, {size(held)} → {size(held_now)}"
    )
    if removed:
        freed = size(sum(payload.size for payload in removed))
        typer.echo(f"removed {some(len(removed), 'payload')} that no record names, {freed}")
