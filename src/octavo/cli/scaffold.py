"""``octavo scaffold``."""

from __future__ import annotations

import typer

from octavo.cli import console, options


def scaffold(
    data_dir: options.DataDir = options.DATA_DIR,
    schema: options.SchemaPath = None,
    layout: options.LayoutPath = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Make the folders and empty files of a store.

    What is there stays as it is.
    """
    from octavo.fold.scaffold import scaffold as make

    report = make(data_dir, options.chosen_layout(layout, schema, data_dir))
    if as_json:
        answer = {
            "dataDir": str(data_dir),
            "foldersMade": report.folders_made,
            "filesMade": report.files_made,
            "foldersTightened": report.tightened,
            "filesKept": report.kept,
            "warnings": report.warnings,
        }
        console.answer(answer)
    elif not quiet:
        for path in (*report.folders_made, *report.files_made):
            typer.echo(f"made {path}")
        for path in report.tightened:
            typer.echo(f"closed {path} to others (0700)")
        for path in report.kept:
            typer.echo(f"kept {path}, which holds records")
        done = "is ready" if report.changed else "is as it should be; nothing to do"
        typer.echo(f"{console.plain(str(data_dir))} {done}")
    for warning in report.warnings:
        console.warning(warning)
