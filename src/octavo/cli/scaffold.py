"""``octavo scaffold``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def scaffold(
    data_dir: Annotated[
        Path, typer.Option("--data-dir", envvar="DATA_DIR", help="The data folder to make.")
    ] = Path("data"),
    as_json: Annotated[bool, typer.Option("--json", help="Print what was done as JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing but warnings.")] = False,
) -> None:
    """Make the folders and empty files of a store; what is there stays as it is."""
    from octavo.layout.layout import frozen_layout
    from octavo.migrate.scaffold import scaffold as make

    report = make(data_dir, frozen_layout())
    if as_json:
        answer = {
            "dataDir": str(data_dir),
            "foldersMade": report.folders_made,
            "filesMade": report.files_made,
            "foldersTightened": report.tightened,
            "filesKept": report.kept,
            "warnings": report.warnings,
        }
        typer.echo(json.dumps(answer, indent=2, ensure_ascii=False))
    elif not quiet:
        for path in (*report.folders_made, *report.files_made):
            typer.echo(f"made {path}")
        for path in report.tightened:
            typer.echo(f"closed {path} to others (0700)")
        for path in report.kept:
            typer.echo(f"kept {path}, which holds records")
        done = "is ready" if report.changed else "is as it should be; nothing to do"
        typer.echo(f"{data_dir} {done}")
    for warning in report.warnings:
        typer.echo(f"warning: {warning}", err=True)
