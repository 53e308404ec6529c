"""A database with rows becomes what the files are, to the last digit, in one transaction.

The rows of the files go into temporary tables.  What of the database is not the same, byte for byte, is
deleted, and what is then missing is inserted: so no unique is in the way of another, and nothing that is the
same is touched.  Foreign keys are dropped before that and made again after it, which checks them; triggers of
the application do not run.  Nothing is given to the server but the rows themselves.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg

from octavo.fold.restore import Loading, advance_counters
from octavo.postgres.connection import Connection
from octavo.postgres.failures import database_errors
from octavo.postgres.fence import PATIENCE, locked
from octavo.schema.datamodel import Datamodel, Model
from octavo.schema.sql import quote, table_name
from octavo.url import DatabaseUrl


@dataclass(frozen=True, slots=True)
class Carried:
    """What became of the rows of one model."""

    inserted: int = 0
    changed: int = 0
    deleted: int = 0
    total: int = 0
    """rows there now"""

    @property
    def touched(self) -> int:
        return self.inserted + self.changed + self.deleted


@contextmanager
def carrying(
    connection: Connection, url: DatabaseUrl, loading: Loading, *, patience: float = PATIENCE
) -> Iterator[dict[str, Carried]]:
    """Make the database what the files are; kept if the block ends without raising.

    What was done is given by model.  The tables are locked meanwhile.  Raises DamagedError and
    DifferenceError for files that cannot be loaded, DatabaseError; then the database is as it was.
    """
    datamodel = loading.reader.layout.datamodel
    with locked(connection, url, datamodel.tables, "ACCESS EXCLUSIVE", patience):
        tables = [_Table(model, number) for number, model in enumerate(datamodel.tables)]
        for table in tables:
            connection.execute(f"CREATE TEMP TABLE {table.new} (LIKE {table.name}) ON COMMIT DROP".encode())
            loading.copy(connection, table.model, table.new)
        loading.check_logs()
        with database_errors(url, "bringing the rows back"):
            for table in tables:
                connection.execute(f"ANALYZE {table.new}".encode())
            again = [*_without_foreign_keys(connection, datamodel), *_without_triggers(connection, datamodel)]
            done = _exchange(connection, tables)
        try:
            for statement in again:
                connection.execute(statement.encode())
        except psycopg.IntegrityError as error:
            raise loading.inconsistent(error) from error
        advance_counters(connection, datamodel)
        yield done


class _Table:
    """A table, and the temporary one that holds what it is to be."""

    def __init__(self, model: Model, number: int) -> None:
        self.model, self.name = model, table_name(model)
        self.new = f"pg_temp.{quote(f'octavo_{number}')}"
        same = " AND ".join(f"n.{quote(f.column)} = o.{quote(f.column)}" for f in model.key_fields)
        self.has_key = f"EXISTS (SELECT FROM {self.new} n WHERE {same})"
        # It compares the stored bytes: 1.0 is not 1.00, nor is a Json value of other digits.  Without
        # the stars, n and o would be columns of these names, where the table has them.
        equal = "pg_catalog.record_image_eq(n.*, o.*)"
        self.is_same = f"EXISTS (SELECT FROM {self.new} n WHERE {same} AND {equal})"
        self.is_there = f"EXISTS (SELECT FROM {self.name} o WHERE {same})"


def _exchange(connection: Connection, tables: list[_Table]) -> dict[str, Carried]:
    """Delete what is not to be, then insert what is missing."""
    gone: dict[str, tuple[int, int]] = {}
    for table in tables:
        row = connection.execute(
            f"WITH gone AS (DELETE FROM {table.name} o WHERE NOT {table.is_same}"
            f" RETURNING {table.has_key} AS kept)"
            " SELECT count(*) FILTER (WHERE kept), count(*) FILTER (WHERE NOT kept) FROM gone".encode()
        ).fetchone()
        gone[table.name] = row or (0, 0)
    done = {}
    for table in tables:
        columns = ", ".join(quote(f.column) for f in table.model.scalars)
        inserted = connection.execute(
            f"INSERT INTO {table.name} ({columns}) OVERRIDING SYSTEM VALUE"
            f" SELECT {columns} FROM {table.new} n WHERE NOT {table.is_there}".encode()
        ).rowcount
        total = connection.execute(f"SELECT count(*) FROM {table.name}".encode()).fetchone()
        changed, deleted = gone[table.name]
        done[table.model.name] = Carried(inserted - changed, changed, deleted, total[0] if total else 0)
    return done


def _without_foreign_keys(connection: Connection, datamodel: Datamodel) -> list[str]:
    """Drop all foreign keys of the tables, and to them.  Gives the statements that make them again."""
    rows = connection.execute(
        """
        SELECT conrelid::regclass::text, quote_ident(conname), pg_get_constraintdef(oid)
        FROM pg_catalog.pg_constraint
        WHERE contype = 'f' AND conparentid = 0
          AND (conrelid = ANY(%(tables)s::regclass[]) OR confrelid = ANY(%(tables)s::regclass[]))
        ORDER BY 1, 2
        """,
        {"tables": [table_name(m) for m in datamodel.tables]},
    ).fetchall()
    for table, name, _ in rows:
        connection.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}".encode())
    return [f"ALTER TABLE {table} ADD CONSTRAINT {name} {how}" for table, name, how in rows]


_AGAIN = {"O": "ENABLE TRIGGER", "R": "ENABLE REPLICA TRIGGER", "A": "ENABLE ALWAYS TRIGGER"}


def _without_triggers(connection: Connection, datamodel: Datamodel) -> list[str]:
    """Let no trigger of the tables run.  Gives the statements that let them again."""
    rows = connection.execute(
        """
        SELECT tgrelid::regclass::text, quote_ident(tgname), tgenabled::text
        FROM pg_catalog.pg_trigger
        WHERE NOT tgisinternal AND tgenabled <> 'D' AND tgrelid = ANY(%s::regclass[])
        ORDER BY 1, 2
        """,
        [[table_name(m) for m in datamodel.tables]],
    ).fetchall()
    for table, name, _ in rows:
        connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER {name}".encode())
    return [f"ALTER TABLE {table} {_AGAIN[how]} {name}" for table, name, how in rows]
