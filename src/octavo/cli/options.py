"""Options that several commands share, and what they stand for."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from octavo.errors import UsageError

if TYPE_CHECKING:
    from octavo.layout.layout import Layout
    from octavo.schema.datamodel import Datamodel
    from octavo.url import DatabaseUrl


def _not_a_file(data_dir: Path) -> Path:
    """The data folder asked for, which may not be there yet.  Raises UsageError if something else is."""
    if data_dir.exists() and not data_dir.is_dir():
        raise UsageError(f"{data_dir} is not a folder", hint="--data-dir (DATA_DIR) names the data folder")
    return data_dir


Url: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--database-url",
        envvar="DATABASE_URL",
        show_default=False,
        help="The PostgreSQL database, as a Prisma application's DATABASE_URL.",
    ),
]
DataDir: TypeAlias = Annotated[
    Path,
    typer.Option("--data-dir", envvar="DATA_DIR", callback=_not_a_file, help="The data folder."),
]
FilesRoot: TypeAlias = Annotated[
    Path,
    typer.Option(
        "--files-root", envvar="FILES_ROOT", help="The folder that holds the application's payloads."
    ),
]
FilesRootIfThere: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--files-root",
        envvar="FILES_ROOT",
        show_default="public, if there is such a folder",
        help="The folder that holds the application's payloads.",
    ),
]
Json: TypeAlias = Annotated[bool, typer.Option("--json", help="Answer on stdout, as JSON.")]
Quiet: TypeAlias = Annotated[bool, typer.Option("--quiet", help="Print nothing but problems.")]
SchemaPath: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--schema",
        show_default=False,
        help="A Prisma schema file or folder, instead of the frozen schema.",
    ),
]
LayoutPath: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--layout",
        exists=True,
        dir_okay=False,
        show_default=False,
        help="A layout file, instead of the one shipped.",
    ),
]
Jobs: TypeAlias = Annotated[int, typer.Option("--jobs", min=1, max=64, help="How many workers read at once.")]

DATA_DIR = Path("data")
FILES_ROOT = Path("public")
JOBS = 2


def chosen_url(text: str | None) -> DatabaseUrl:
    """The database asked for.  Raises UsageError if there is none.

    A ``.env`` file is not read, as which one holds depends on where one stands; it is named where it could
    have been meant.
    """
    from octavo.url import EXPECTED, DatabaseUrl

    if not text:
        hint = f"set DATABASE_URL or give --database-url, such as {EXPECTED}"
        if file := _environment_file():
            hint = f"there is one in {file}, which is taken by: set -a; . {file}; set +a"
        raise UsageError("no database is named: DATABASE_URL is not set", hint=hint)
    return DatabaseUrl.parse(text)


def _environment_file() -> str:
    """The ``.env`` file from which Prisma would take the address here; empty if there is none."""
    for name in ("./.env", "./prisma/.env"):
        try:
            text = Path(name).read_text("utf-8", "replace")
        except OSError:
            continue
        if re.search(r"^\s*(?:export\s+)?DATABASE_URL\s*=\s*\S", text, re.MULTILINE):
            return name
    return ""


def chosen_schema(schema: Path | None, data_dir: Path | None = None, layout: Path | None = None) -> Datamodel:
    """The schema asked for; the frozen one if none is.  Raises SchemaError."""
    from octavo.store.decoded import load_datamodel

    return load_datamodel(data_dir, schema, layout)


def chosen_layout(layout: Path | None, schema: Path | None, data_dir: Path | None = None) -> Layout:
    """The layout asked for, of the schema asked for; if none is, the frozen schema's own, or one made up for
    another schema.

    Raises LayoutError, SchemaError.
    """
    from octavo.layout.load import layout_for

    return layout_for(chosen_schema(schema, data_dir, layout), layout)
