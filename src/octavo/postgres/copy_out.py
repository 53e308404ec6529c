"""Rows as ``COPY … TO STDOUT (FORMAT binary)`` sends them.

A row is the number of its columns (two bytes), then of each its length (four bytes, -1 for NULL) and its
bytes.  Before the first is a header, after the last two bytes that are no number of columns (PostgreSQL's
documentation of COPY, section Binary Format).  Of a text the bytes are its own, so nothing is escaped.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from psycopg.errors import error_from_result

if TYPE_CHECKING:
    from psycopg import Copy

    from octavo.postgres.connection import Connection

COUNT, LENGTH = 2, 4
"""bytes of the number of a row's columns, and of a column's length"""
_HEADER = 19


@contextmanager
def copied(connection: Connection, query: str) -> Iterator[Iterator[list[bytes]]]:
    """The rows of a query as they come: each list has what one read brought, a few kilobytes or one row.

    The COPY holds the connection's lock, so it must end with the block: in a generator it would last as long
    as the traceback of what the generator's consumer raised.  Raises psycopg's errors.
    """
    statement = f"COPY ({query}) TO STDOUT (FORMAT binary)".encode()
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        yield _batches(copy)


def _batches(copy: Copy) -> Iterator[list[bytes]]:
    take = copy.connection.pgconn.get_copy_data
    row = bytes(copy.read())[_HEADER:]
    while len(row) != COUNT:
        rows = [row] if row else []
        size, data = take(1)
        while size > COUNT:
            rows.append(bytes(data))
            size, data = take(1)
        if rows:
            yield rows
        if size < 0:
            # The server ended the statement by an error: what follows that is nothing but its end.
            failed, *_ = iter(copy.connection.pgconn.get_result, None)
            raise error_from_result(failed)
        row = bytes(data if size else copy.read())
    # psycopg takes the statement's result.
    copy.read()


def columns(row: bytes) -> list[bytes | None]:
    """The values of a row."""
    at, found = COUNT, []
    while at < len(row):
        size = int.from_bytes(row[at : at + LENGTH], signed=True)
        at += LENGTH
        found.append(row[at : at + size] if size >= 0 else None)
        at += max(size, 0)
    return found
