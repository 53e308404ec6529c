"""Rows to files and back, as plainly as can be: what tests of the codec compare."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

from octavo.layout.fold import fold, heads, logs_of
from octavo.layout.found import Entry
from octavo.layout.layout import VERSION, Kind, Layout, Place
from octavo.layout.listing import contents
from octavo.layout.reader import Reader
from octavo.postgres.connection import Connection
from octavo.schema.datamodel import Datamodel, Model
from octavo.schema.ddl import sql_type
from octavo.schema.native import quote, table_name
from octavo.values.registry import value_type

Row: TypeAlias = tuple[bytes | None, ...]


def pieces(connection: Connection, layout: Layout, place: Place) -> list[tuple[list[str], bytes]]:
    """The rows of a fold: what names it, and the piece without the end of its line."""
    found = []
    for *head, piece in connection.execute(fold(layout, place).encode()).fetchall():
        assert len(head) == len(heads(layout, place))
        assert piece.endswith("\n") == (place.kind is not Kind.DOCUMENT)
        found.append(([value or "" for value in head], piece.removesuffix("\n").encode()))
    return found


def write_files(connection: Connection, layout: Layout, root: Path) -> None:
    """Write every file of a layout below ``root``."""
    for folder in layout.folders:
        (root / folder).mkdir(exist_ok=True, parents=True)
    for family in layout.families:
        arrays = []
        for place in family.places:
            found = pieces(connection, layout, place)
            if place.kind is Kind.FILE:
                for names, piece in found:
                    (root / place.file_for(names)).write_bytes(piece + b"\n")
            elif place.kind is Kind.DOCUMENT:
                inner = b",\n    ".join(piece for _, piece in found)
                array = b"[\n    %b\n  ]" % inner if found else b"[]"
                arrays.append(b',\n  "%b": %b' % (place.array.encode(), array))
            else:
                for names, piece in found:
                    path = place.file_for(names) if family.varies else family.path
                    with open(root / path, "ab") as file:
                        file.write(piece + b"\n")
            for log in logs_of(layout, place.model):
                for names in keys(connection, layout.datamodel, place.model):
                    (root / log.file_for(names)).touch()
        if family.kind is Kind.DOCUMENT:
            text = b'{\n  "_version": %d%b\n}\n' % (VERSION, b"".join(arrays))
            (root / family.path).write_bytes(text)
        elif family.kind is Kind.LOG:
            (root / family.path).touch()


def keys(connection: Connection, datamodel: Datamodel, model: Model) -> list[list[str]]:
    """The key of each row, as texts."""
    columns = [value_type(f, datamodel).text_sql(f"t.{quote(f.column)}") for f in model.key_fields]
    query = f"SELECT {', '.join(columns)} FROM {table_name(model)} AS t"
    return [list(row) for row in connection.execute(query.encode()).fetchall()]


def file_rows(layout: Layout, root: Path) -> dict[str, list[Row]]:
    """The rows that stand in the files, by model, in order of their texts.  Fails for anything damaged."""
    reader, there = Reader(layout, root), contents(layout, root)
    assert (there.missing, there.strays) == ((), ())
    found: dict[str, list[Row]] = {m.name: [] for m in layout.datamodel.tables}
    for file in there.files:
        for item in reader.read(file):
            assert isinstance(item, Entry), item
            assert not item.unknown
            found[item.place.model.name].append(tuple(item.values))
            for place, values in item.embedded:
                found[place.model.name].append(tuple(values))
    return {name: sorted(rows, key=_sortable) for name, rows in found.items()}


def database_rows(connection: Connection, datamodel: Datamodel) -> dict[str, list[Row]]:
    """The same of the database: what PostgreSQL prints for each column."""
    found = {}
    for model in datamodel.tables:
        columns = [value_type(f, datamodel).text_sql(f"t.{quote(f.column)}") for f in model.scalars]
        query = f"SELECT {', '.join(columns)} FROM {table_name(model)} AS t"
        rows = connection.execute(query.encode()).fetchall()
        found[model.name] = [tuple(None if v is None else v.encode() for v in row) for row in rows]
    return {name: sorted(rows, key=_sortable) for name, rows in found.items()}


def insert(connection: Connection, datamodel: Datamodel, model: Model, row: Mapping[str, object]) -> None:
    """Insert one row of texts, or of lists of texts; what is not named is NULL."""
    casts = ", ".join(
        f"%s::{'text[]' if f.is_list else 'text'}::{sql_type(datamodel, f)}" for f in model.scalars
    )
    query = f"INSERT INTO {table_name(model)} VALUES ({casts})"
    connection.execute(query.encode(), [row.get(f.name) for f in model.scalars])


def _sortable(row: Row) -> list[tuple[bool, bytes]]:
    return [(value is None, value or b"") for value in row]
