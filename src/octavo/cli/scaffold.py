"""``octavo scaffold``."""

from __future__ import annotations

import typer

from octavo.cli import console
from octavo.cli.options import (
    DEFAULT_DATA_DIR,
    DataDirOption,
    JsonOption,
    LayoutOption,
    QuietOption,
    SchemaOption,
    chosen_layout,
    chosen_schema,
)


def scaffold(
    data_dir: DataDirOption = DEFAULT_DATA_DIR,
    schema: SchemaOption = None,
    layout: LayoutOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Make the folders and empty files of a store.

    What is there stays as it is.
    """
    from octavo.migrate.scaffold import scaffold as make

    report = make(data_dir, chosen_layout(layout, chosen_schema(schema)))
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
