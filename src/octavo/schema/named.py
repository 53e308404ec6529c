"""Which schema and layout are meant where a caller names none.

The first of these that names a schema counts: what a caller gives; ``OCTAVO_SCHEMA`` and ``OCTAVO_LAYOUT``;
the keys ``schema`` and ``layout`` of an ``octavo.toml`` in the working directory.  A layout goes with a
schema: where the schema is named in one of these places, no later place is asked for a layout.

Where nothing is named, and no store says what it is, a schema is looked for where Prisma looks:
``package.json``'s ``prisma.schema``, ``prisma/schema.prisma``, the folder ``prisma/``, ``schema.prisma``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from octavo.backend import PathName
from octavo.errors import SchemaError, UsageError

SCHEMA_VARIABLE, LAYOUT_VARIABLE = "OCTAVO_SCHEMA", "OCTAVO_LAYOUT"
FILE = "octavo.toml"
_KEYS = ("schema", "layout")


class Named(NamedTuple):
    """A schema and a layout by their paths, and where they were named; None: they were not."""

    schema: PathName | None
    layout: PathName | None
    where: str = ""


def named(
    schema: PathName | None = None,
    layout: PathName | None = None,
    environ: Mapping[str, str] | None = None,
    *,
    elsewhere: bool = True,
) -> Named:
    """What is named, by a caller or (``elsewhere``) for it.

    Raises UsageError for an ``octavo.toml`` that cannot be read.
    """
    if not elsewhere:
        return Named(schema, layout)
    for place, found in _places(schema, layout, os.environ if environ is None else environ):
        layout = layout or found.layout
        if found.schema is not None:
            return Named(found.schema, layout, place)
    return Named(None, layout)


def _places(
    schema: PathName | None, layout: PathName | None, environ: Mapping[str, str]
) -> Iterator[tuple[str, Named]]:
    yield "", Named(schema, layout)
    yield (
        SCHEMA_VARIABLE,
        Named(environ.get(SCHEMA_VARIABLE) or None, environ.get(LAYOUT_VARIABLE) or None),
    )
    if os.path.exists(FILE):
        yield FILE, _of_file()


def _of_file() -> Named:
    import tomllib

    try:
        with open(FILE, "rb") as file:
            found = tomllib.load(file)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{FILE} cannot be read: {error}") from error
    if unknown := sorted(found.keys() - set(_KEYS)):
        raise UsageError(f"{FILE}: unknown key {', '.join(unknown)}; there are {', '.join(_KEYS)}")
    if wrong := [key for key, value in found.items() if not (isinstance(value, str) and value)]:
        raise UsageError(f"{FILE}: {wrong[0]} must be the path of a file")
    return Named(found.get("schema"), found.get("layout"))


def found_schema() -> str | None:
    """The schema file or folder that Prisma would use in the working directory, if there is one.

    Raises SchemaError for a ``package.json`` that names one that does not exist.
    """
    if (path := _of_package()) is not None:
        if not os.path.exists(path):
            raise SchemaError("does not exist, and package.json names it as prisma.schema", file=path)
        return path
    single = os.path.join("prisma", "schema.prisma")
    if os.path.isfile(single):
        return single
    if any(name.endswith(".prisma") for _, _, names in os.walk("prisma") for name in names):
        return "prisma"
    return "schema.prisma" if os.path.isfile("schema.prisma") else None


def _of_package() -> str | None:
    try:
        with open("package.json", encoding="utf-8") as file:
            found = json.load(file)
    except (OSError, ValueError):
        # Not ours to judge: it need not be there, nor be read by Octavo.
        return None
    prisma = found.get("prisma") if isinstance(found, dict) else None
    path = prisma.get("schema") if isinstance(prisma, dict) else None
    return path if isinstance(path, str) and path else None
