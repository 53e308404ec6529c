"""The database side of a move: one snapshot of it, known to be what the schema says."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass

from octavo.layout.layout import Layout
from octavo.postgres.catalog import introspect
from octavo.postgres.connection import Snapshot, read_snapshot
from octavo.postgres.drift import Drift, compare
from octavo.postgres.failures import database_errors
from octavo.schema.datamodel import Datamodel
from octavo.schema.sql import table_name
from octavo.url import DatabaseUrl


@dataclass(frozen=True, slots=True)
class Source:
    """A snapshot and what was found in comparing its structure with the schema."""

    snapshot: Snapshot
    drift: Drift

    def counts(self, datamodel: Datamodel) -> dict[str, int]:
        """The number of rows of each table, by model."""
        tables = datamodel.tables
        if not tables:
            return {}
        each = ", ".join(f"(SELECT count(*) FROM {table_name(m)})" for m in tables)
        with database_errors(self.snapshot.url, "counting rows"):
            row = self.snapshot.connection.execute(f"SELECT ARRAY[{each}]".encode()).fetchone()
        return dict(zip((m.name for m in tables), row[0] if row else (), strict=True))


@contextmanager
def open_source(
    url: DatabaseUrl,
    layout: Layout,
    cut: AbstractContextManager[object] | None = None,
    *,
    snapshot: str | None = None,
) -> Iterator[Source]:
    """Open a snapshot of the database and compare its structure with the schema.

    ``cut`` is entered for as long as it takes to open the snapshot.  ``snapshot`` is the id of one that is
    open already, and is to be read.  Raises DatabaseError if it cannot be read.  Drift is not raised here:
    see :attr:`Source.drift`.
    """
    schemas = layout.datamodel.datasource.schemas or (url.schema,)
    with ExitStack() as stack:
        with cut or nullcontext():
            opened = stack.enter_context(read_snapshot(url, schemas=schemas, snapshot=snapshot))
        with database_errors(url, "reading the catalog"):
            catalog = introspect(opened.connection, schemas)
        yield Source(opened, compare(layout.datamodel, catalog))
