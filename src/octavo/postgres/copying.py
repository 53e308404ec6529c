"""The rows of a ``COPY … TO STDOUT`` in binary format, read as they come.

psycopg's own iterator waits for each row and is told of each; this one hands over what libpq has received,
and says when there is nothing yet, so that the caller can do something else meanwhile.

A row is the number of its columns, then of each its length (-1 for NULL) and its bytes; of a text these are
its own, so nothing is escaped (PostgreSQL's documentation of COPY, section Binary Format).
"""

from __future__ import annotations

import select
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, TypeVar

import psycopg
from psycopg.pq import ExecStatus

if TYPE_CHECKING:
    from psycopg.pq.abc import PGresult

    from octavo.postgres.connection import Connection

COUNT, LENGTH = 2, 4
"""bytes of the number of a row's columns, and of a column's length"""
_HEADER = 19
"""bytes in front of the first row: signature, flags, length of an extension that is not used"""
_TRAILER = 2
"""bytes of the mark that ends the rows"""
_AT_ONCE = 256
_PATIENCE = 1000
"""milliseconds"""
_Row = TypeVar("_Row", bytes, memoryview)


class CopyOut:
    """The rows of a COPY, as they come.  What PostgreSQL refuses comes out as psycopg's error."""

    def __init__(self, connection: Connection, statement: bytes) -> None:
        self._server = connection.pgconn
        self._server.send_query(statement)
        self._skipped: int | None = None
        """what is left to skip in front of the next row; None: the server has not answered"""
        self.ended = False

    def fileno(self) -> int:
        return self._server.socket

    def take(self) -> list[bytes]:
        """Some of the rows that have come; none where it has ended, or the next row has not come yet."""
        found: list[bytes] = []
        if self._skipped is None and not self._begin():
            return found
        get = self._server.get_copy_data
        while len(found) < _AT_ONCE:
            size, row = get(1)
            if size == 0:
                if found:
                    break
                self._server.consume_input()
                size, row = get(1)
            if size > 0:
                found.append(bytes(row))
            elif size == 0:
                break
            else:
                self._end()
                break
        if self._skipped and found:
            found[0], self._skipped = found[0][self._skipped :], 0
        if found and len(found[-1]) <= _TRAILER:
            found.pop()
        return found

    def rows(self) -> Iterator[bytes]:
        """Every row, waiting for each."""
        for found in self.batches():
            yield from found

    def batches(self) -> Iterator[list[bytes]]:
        """The rows as many at once as have come, waiting for each."""
        while not self.ended:
            if found := self.take():
                yield found
            elif not self.ended:
                wait_for([self])

    def views(self) -> Iterator[memoryview]:
        """Every row, waiting for each, where libpq has put it: for large ones, of which a copy takes time."""
        get = self._server.get_copy_data
        while not self.ended:
            size, row = get(1) if self._skipped is not None or self._begin() else (0, memoryview(b""))
            if size < 0:
                self._end()
            elif size == 0:
                wait_for([self])
                self._server.consume_input()
            else:
                row, self._skipped = row[self._skipped :], 0
                if len(row) > _TRAILER:
                    yield row

    def _begin(self) -> bool:
        self._server.consume_input()
        if self._server.is_busy():
            return False
        result = self._server.get_result()
        if result is None or result.status != ExecStatus.COPY_OUT:
            self._finish()
            raise _error(result)
        self._skipped = _HEADER
        return True

    def _end(self) -> None:
        for result in self._finish():
            if result.status != ExecStatus.COMMAND_OK:
                raise _error(result)

    def _finish(self) -> list[PGresult]:
        """Take what is left of the answer, so that the connection can be used again."""
        self.ended = True
        return [*iter(self._server.get_result, None)]


def wait_for(copies: Iterable[CopyOut]) -> None:
    """Wait until one of them has something to take, or should look whether another thread has closed it."""
    waiting = select.poll()
    for copy in copies:
        waiting.register(copy, select.POLLIN)
    waiting.poll(_PATIENCE)


def _error(result: PGresult | None) -> psycopg.Error:
    if result is None:
        return psycopg.OperationalError("the server has ended the connection")
    return psycopg.errors.error_from_result(result)


def columns(row: _Row) -> list[_Row | None]:
    """The values of a row."""
    at = COUNT
    found: list[_Row | None] = []
    while at < len(row):
        size = int.from_bytes(row[at : at + LENGTH], signed=True)
        at += LENGTH
        found.append(row[at : at + size] if size >= 0 else None)
        at += max(size, 0)
    return found
