"""The database side of a move: one snapshot of it, known to be what the schema says, and its origin.

``cache/origin.json`` says which databases the files belong to.  Files can be compared with any database that
has their schema, such as one that they were restored into.  What is found there says nothing about the move:
that is about the database that the files were made from.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec
from msgspec.structs import replace

from octavo.errors import disk_errors
from octavo.layout.layout import Layout
from octavo.postgres.catalog import introspect
from octavo.postgres.connection import HERE, Connection, Snapshot, read_snapshot
from octavo.postgres.drift import Drift, compare
from octavo.postgres.failures import database_errors
from octavo.schema.datamodel import Datamodel, Model
from octavo.schema.native import quote, table_name
from octavo.store import disk
from octavo.store.phase import Database, Migration
from octavo.text import some
from octavo.url import DatabaseUrl

EXCLUDED = "the layout excludes it"


@dataclass(frozen=True, slots=True)
class Source:
    """A snapshot and what was found in comparing its structure with the schema."""

    snapshot: Snapshot
    drift: Drift

    def counts(self, datamodel: Datamodel) -> dict[str, int]:
        """The number of rows of each table, by model."""
        return self._count(datamodel.tables)

    def left_out(self, layout: Layout) -> list[str]:
        """The tables that the layout excludes, with the number of their rows."""
        excluded = layout.datamodel.excluded
        numbers = self._count(excluded)
        return [f"{some(numbers[m.name], 'row')} of {m.name}: {EXCLUDED}" for m in excluded]

    def orphans(self, layout: Layout) -> list[str]:
        """As :func:`orphans`, in the snapshot."""
        return orphans(self.snapshot.connection, self.snapshot.url, layout)

    def _count(self, tables: Sequence[Model]) -> dict[str, int]:
        if not tables:
            return {}
        each = ", ".join(f"(SELECT count(*) FROM {table_name(m)})" for m in tables)
        with database_errors(self.snapshot.url, "counting rows"):
            row = self.snapshot.connection.execute(f"SELECT ARRAY[{each}]".encode()).fetchone()
        return dict(zip((m.name for m in tables), row[0] if row else (), strict=True))


def orphans(connection: Connection, url: DatabaseUrl, layout: Layout) -> list[str]:
    """How many rows point at a missing one, by foreign key, where the client is to keep them."""
    datamodel = layout.datamodel
    keys = () if datamodel.held_keys else datamodel.foreign_keys
    tables = {m.name for m in datamodel.tables}
    found = []
    for key in keys:
        if not tables.issuperset((key.child, key.parent)):
            continue
        child, parent = datamodel.model(key.child), datamodel.model(key.parent)
        own = [f"k.{quote(child.scalar(f).column)}" for f in key.fields]
        theirs = [f"p.{quote(parent.scalar(f).column)}" for f in key.references]
        same = " AND ".join(f"{a} = {b}" for a, b in zip(own, theirs, strict=True))
        query = (
            f"SELECT count(*) FROM {table_name(child)} AS k WHERE num_nulls({', '.join(own)}) = 0"
            f" AND NOT EXISTS (SELECT FROM {table_name(parent)} AS p WHERE {same})"
        )
        with database_errors(url, "looking for rows without a parent"):
            row = connection.execute(query.encode()).fetchone()
        if row and row[0]:
            by = ", ".join(key.fields)
            found.append(f"{some(row[0], 'row')} of {child.name} by {by}: no such {parent.name}")
    return found


@contextmanager
def open_source(
    url: DatabaseUrl,
    layout: Layout,
    cut: AbstractContextManager[object] | None = None,
    *,
    snapshot: str | None = None,
    allow: Collection[str] = (),
) -> Iterator[Source]:
    """Open a snapshot of the database and compare its structure with the schema.

    ``cut`` is entered for as long as it takes to open the snapshot.  ``snapshot`` is the id of one that is
    open already, and is to be read.  ``allow``: the kinds of drift that are waived.  Raises DatabaseError if
    it cannot be read.  Drift is not raised here: see :attr:`Source.drift`.
    """
    schemas = layout.datamodel.datasource.schemas or (url.schema,)
    with ExitStack() as stack:
        with cut or nullcontext():
            opened = stack.enter_context(read_snapshot(url, schemas=schemas, snapshot=snapshot))
        with database_errors(url, "reading the catalog"):
            catalog = introspect(opened.connection, schemas)
        drift = compare(layout.datamodel, catalog)
        if drift.loose:
            drift = drift.settled(partial(_has_null, opened, layout.datamodel.complete))
        yield Source(opened, drift.allowing(allow))


def _has_null(snapshot: Snapshot, datamodel: Datamodel, model: str, field: str) -> bool:
    """Whether a row of a model has NULL in a field.  Raises DatabaseError."""
    table = datamodel.model(model)
    column = quote(table.scalar(field).column)
    query = f"SELECT EXISTS (SELECT FROM {table_name(table)} WHERE {column} IS NULL)"
    with database_errors(snapshot.url, f"looking for NULL in {model}.{field}"):
        row = snapshot.connection.execute(query.encode()).fetchone()
    return bool(row and row[0])


ORIGIN = "cache/origin.json"


class Origin(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What is known of the files' databases."""

    database: Database | None = None
    """the one that they were made from, or carried back to"""
    copies: tuple[Database, ...] = ()
    """those that they were restored into"""
    allowed: tuple[str, ...] = ()
    """the kinds of drift that the export waived"""

    def is_about_another(self, here: Database, state: Migration) -> bool:
        """Whether the move is about another database than this one: this is a copy, or the last verification
        that counts was of another.  The one that the files were made from is always right."""
        if here == self.database:
            return False
        verified = state.verified.database if state.verified is not None else None
        return here in self.copies or verified not in (None, here)


def database_of(connection: Connection, url: DatabaseUrl) -> Database:
    """The database that a connection leads to.  Raises DatabaseError."""
    with database_errors(url, "asking for the database's name"):
        row = connection.execute(f"SELECT {HERE}".encode()).fetchone() or ("", "")
    return Database(system=row[0], name=row[1], schema=url.schema)


def leave_origin(root: Path, origin: Origin, *, synced: bool = True) -> None:
    """Write down in a data folder what is known; see :func:`disk.write_file`.  Raises DiskError."""
    disk.make_folder(root / "cache")
    disk.write_file(root / ORIGIN, msgspec.json.encode(origin) + b"\n", synced=synced)


def known_origin(root: Path) -> Origin:
    """What is known in a data folder.  Raises DiskError."""
    nothing = (FileNotFoundError, NotADirectoryError, msgspec.MsgspecError)
    with disk_errors("looking for the files' origin"), suppress(*nothing):
        return msgspec.json.decode((root / ORIGIN).read_bytes(), type=Origin)
    return Origin()


def add_copy(root: Path, here: Database) -> None:
    """The files were restored into this database.  Raises DiskError."""
    origin = known_origin(root)
    if here not in origin.copies:
        leave_origin(root, replace(origin, copies=(*origin.copies, here)))


def allowed_drift(root: Path, more: Iterable[str] = ()) -> tuple[str, ...]:
    """The kinds of drift that are waived: those that the export of these files waived, and more."""
    return (*known_origin(root).allowed, *more)
