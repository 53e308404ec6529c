"""What was written to PostgreSQL alone between an export and the first dual write: ``cache/seed.json``.

An export knows nothing of what came later.  It leaves a *seed*: which transactions its snapshot may lack, and
how many records there are.  Whoever writes in ``dual`` first looks which rows PostgreSQL has from such
transactions (it keeps the number of the transaction that wrote it with each row), holds them against the
files, and counts.  If all are equal, and as many, then both sides are: of every other row, the snapshot had
what is there now.

A gap is told, and does not hinder: it is closed by ``octavo status --heal``, or by another export while
``dual`` goes on.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import msgspec
import psycopg

from octavo.backends.keys import in_store
from octavo.backends.prisma import Schema
from octavo.backends.sql.columns import ROW, Table
from octavo.errors import disk_errors
from octavo.postgres.connection import Connection
from octavo.postgres.session import Session
from octavo.store import disk
from octavo.store.view import View
from octavo.url import DatabaseUrl

NAME = "cache/seed.json"
_SINCE_NUMBERS = 130000
"""the first server's version that tells transactions' numbers in full"""
_PAGE = 500
"""rows that are held against the files at once"""
_PATIENCE = 2.0
"""seconds that the look may take, as everybody waits for it"""
HERE = "(SELECT system_identifier::text FROM pg_control_system()), current_database()::text"
"""what tells a database: its cluster's number and its name"""
_SNAPSHOT = "pg_snapshot_xmin(pg_current_snapshot())::text, pg_snapshot_xmax(pg_current_snapshot())::text"


class Seed(msgspec.Struct, frozen=True, kw_only=True):
    """What an export knew."""

    system: str
    database: str
    first: int
    """the number of the first transaction that the snapshot may lack"""
    next: int
    """the number that the next transaction was to get"""
    counts: dict[str, int]
    """records by model"""


def seed_of(connection: Connection, counts: dict[str, int]) -> Seed | None:
    """The seed of an export from this connection's snapshot; None if the server does not tell as much."""
    if connection.info.server_version < _SINCE_NUMBERS:
        return None
    row: Any = connection.execute(f"SELECT {HERE}, {_SNAPSHOT}".encode()).fetchone()
    return Seed(system=row[0], database=row[1], first=int(row[2]), next=int(row[3]), counts=counts)


def leave(root: Path, seed: Seed) -> None:
    """Write a seed down in a data folder.  Raises DiskError."""
    disk.write_file(root / NAME, msgspec.json.encode(seed))


def left(root: str) -> Seed | None:
    """The seed of the files, if nobody has written to them in ``dual`` yet.  Raises DiskError."""
    with (
        disk_errors("looking for what an export has left"),
        suppress(FileNotFoundError, msgspec.MsgspecError),
        open(os.path.join(root, NAME), "rb") as file,
    ):
        return msgspec.json.decode(file.read(), type=Seed)
    return None


def spend(root: str) -> None:
    """From now on the files are written to in ``dual``.  Under the write lock.  Raises DiskError."""
    with disk_errors("removing what an export has left"), suppress(FileNotFoundError):
        os.unlink(os.path.join(root, NAME))


class Unlooked(Exception):
    """It could not be looked for a gap; the message says why."""


def gaps(seed: Seed, schema: Schema, url: DatabaseUrl, view: View) -> Iterator[str]:
    """The models of which PostgreSQL has not the records that the files have, as far as it could have been
    written to since the export.  Under the write lock.

    Raises Unlooked, and what reading the files raises.
    """
    try:
        with closing(Session(url)) as session:
            yield from _Look(seed, schema, session, view).models()
    except psycopg.Error as error:
        raise Unlooked(type(error).__name__) from None


class _Look:
    def __init__(self, seed: Seed, schema: Schema, session: Session, view: View) -> None:
        self._seed, self._schema, self._session, self._view = seed, schema, session, view
        self._end = time.monotonic() + _PATIENCE

    def models(self) -> Iterator[str]:
        self._session.begin("ISOLATION LEVEL REPEATABLE READ READ ONLY")
        system, database, _, following = self._row(f"SELECT {HERE}, {_SNAPSHOT}")
        if (system, database) != (self._seed.system, self._seed.database):
            raise Unlooked("the files were made from another database")
        if self._seed.first == self._seed.next == int(following):
            # Nobody has written anything.
            return
        for model in self._schema.vocabulary.datamodel.tables:
            if self._is_gap(model.name):
                yield model.name

    def _row(self, query: str) -> list[str]:
        left = self._end - time.monotonic()
        if left <= 0:
            raise Unlooked("it would take too long")
        self._session.execute(f"SET LOCAL statement_timeout = {max(1, int(left * 1000))}")
        answer = self._session.execute(query)
        return [(answer.get_value(0, column) or b"").decode() for column in range(answer.nfields)]

    def _is_gap(self, model: str) -> bool:
        table = self._schema.tables[model]
        later = f"({ROW}.xmin::text::bigint - {self._seed.first}) & 4294967295 < 2147483648"
        counts = f"SELECT count(*), count(*) FILTER (WHERE {later}) FROM {table.name} AS {ROW}"
        number, new = map(int, self._row(counts))
        if new and self._differ(table, later):
            return True
        # The files may have been written to by others than dual, too.
        return bool(number != self._seed.counts.get(model) and number != self._view.count(model))

    def _differ(self, table: Table, later: str) -> bool:
        terms = table.terms
        query = f"SELECT {table.record} FROM {table.name} AS {ROW} WHERE {later}"
        with self._session.connection.cursor(name="later") as cursor:
            cursor.execute(query.encode())
            while rows := cursor.fetchmany(_PAGE):
                for record in table.decode([row[0].encode() for row in rows]):
                    key = terms.key_of(record)
                    if self._view.find(terms.name, terms.key, in_store(key)) != [record]:
                        return True
                if time.monotonic() > self._end:
                    raise Unlooked("it would take too long")
        return False
