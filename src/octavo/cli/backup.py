"""``octavo backup``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from octavo.cli import console, options
from octavo.errors import UsageError
from octavo.text import size, some

if TYPE_CHECKING:
    from octavo.care.backup import BackupReport


def backup(
    target: Annotated[
        Path | None,
        typer.Argument(
            show_default=False,
            help="The archive (.tar, .tar.gz), or a folder for it [beside the data folder].",
        ),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Hold an archive against its manifest instead.")
    ] = False,
    data_dir: options.DataDir = options.DATA_DIR,
    schema: options.SchemaPath = None,
    layout: options.LayoutPath = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Archive the store as it is at one moment.

    Writers go on meanwhile. Nothing is ever written over, and nothing into the store. What is damaged is in
    the archive as it is, and ends the command with 1; with --check, an archive that is not as it was made.
    """
    from octavo.care import backup as care

    with console.progress(quiet=quiet or as_json) as progress:
        if check:
            if target is None:
                raise UsageError("no archive is named to be checked")
            report = care.check(target, progress)
        else:
            facts = care.schema_of(schema)
            report = care.back_up(
                data_dir, options.chosen_layout(layout, schema, data_dir), target, facts, progress
            )
    if as_json:
        console.answer(report.to_dict())
    elif not quiet:
        show(report, checked=check)
    for text in report.damaged[: console.SHOWN]:
        console.warning(text)
    if len(report.damaged) > console.SHOWN:
        console.warning(f"… and {len(report.damaged) - console.SHOWN:,} more")
    if report.damaged and not check:
        console.detail("what is damaged is in the archive as it is: octavo doctor says more")
    for text in report.left_out:
        console.warning(f"left out: {text}")
    if report.damaged:
        raise typer.Exit(1)


def show(report: BackupReport, *, checked: bool) -> None:
    """Print what is in an archive."""
    manifest = report.manifest
    files = some(len(manifest.files), "file")
    records = some(sum(manifest.counts.values()), "record")
    total = size(sum(file.size for file in manifest.files))
    text = f"{files}, {records}, {total}, as of {manifest.made_at}"
    if checked:
        good = not report.damaged
        console.verdict(good, "SOUND" if good else "DAMAGED", text)
    else:
        typer.echo(f"{text}, in {report.seconds:.1f} s")
        typer.echo(f"archive: {console.plain(str(report.target))}, {size(report.size)}")
