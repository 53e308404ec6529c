"""The connection by which PostgreSQL sends what was committed.

It speaks the replication protocol (PostgreSQL's manual, *Streaming Replication Protocol*): a few commands,
then a stream in both directions.  Nothing here waits where it could not be told to stop.
"""

from __future__ import annotations

import select
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import NamedTuple

import psycopg
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGresult

from octavo.errors import DatabaseError, UsageError
from octavo.follow import protocol
from octavo.follow.protocol import Keepalive, Message
from octavo.postgres.connection import connect
from octavo.postgres.failures import database_errors
from octavo.schema.native import literal, quote
from octavo.url import DatabaseUrl

_CANCEL = 5.0
"""seconds to tell the server to cancel"""
_TURN = 0.2
"""seconds of waiting after which it is asked whether to stop"""


class Stopped(Exception):
    """It was asked to stop while waiting for the server."""


class System(NamedTuple):
    """Which database it is: the number of its cluster, the history that the cluster is in, its name."""

    identifier: str
    timeline: int
    database: str


class Slot(NamedTuple):
    """A slot that has just been made: everything from ``position`` on will be sent, and ``snapshot`` shows
    what was there before, until the connection is used again."""

    position: int
    snapshot: str


class Stream:
    """A replication connection.  Raises DatabaseError from everything that is lost or refused."""

    def __init__(self, url: DatabaseUrl, is_over: Callable[[], bool] = lambda: False) -> None:
        """``is_over`` tells whether to stop waiting for an answer, by Stopped.

        Raises UsageError for the address of a pooler, DatabaseError.
        """
        if url.pgbouncer:
            raise UsageError(
                "DATABASE_URL is the address of a pooler (pgbouncer=true), which sends no log",
                hint="give the database's own address, such as Prisma's directUrl, by --database-url",
            )
        self.url, self._is_over = url, is_over
        try:
            self._connection = connect(url, replication=True)
        except DatabaseError as error:
            if not _is_unprivileged(error):
                raise
            raise DatabaseError(error.message, sqlstate=error.sqlstate, hint=_PRIVILEGE) from error
        self._pg = self._connection.pgconn

    def close(self) -> None:
        self._connection.close()

    def identify(self) -> System:
        [[identifier, timeline, _position, database]] = self._command("IDENTIFY_SYSTEM")
        return System(identifier, int(timeline), database)

    def create_slot(self, name: str) -> Slot:
        """Make a slot, which waits until every transaction that is under way has ended."""
        command = f"CREATE_REPLICATION_SLOT {quote(name)} LOGICAL pgoutput EXPORT_SNAPSHOT"
        [[_name, position, snapshot, _plugin]] = self._command(command)
        return Slot(protocol.position(position), snapshot)

    def drop_slot(self, name: str) -> None:
        self._command(f"DROP_REPLICATION_SLOT {quote(name)}")

    def start(self, slot: str, publication: str, at: int) -> None:
        """Let everything be sent that was committed from a position on."""
        options = f"proto_version '{protocol.VERSION}', publication_names {literal(quote(publication))}"
        command = f"START_REPLICATION SLOT {quote(slot)} LOGICAL {protocol.position_text(at)} ({options})"
        with database_errors(self.url, "following"):
            self._pg.send_query(command.encode())
            self._wait_for_result()
            result = self._pg.get_result()
            if result is None or result.status != ExecStatus.COPY_BOTH:
                raise self._refused(result)
            self._pg.nonblocking = 1

    def next(self, timeout: float) -> Keepalive | Message | None:
        """The next message; None if there is none within so many seconds."""
        end = time.monotonic() + timeout
        with database_errors(self.url, "following"):
            while True:
                length, data = self._pg.get_copy_data(1)
                if length > 0:
                    return self._understood(bytes(data))
                if length < 0:
                    raise self._refused(self._pg.get_result())
                left = end - time.monotonic()
                if not self._readable(max(left, 0)) and left <= 0:
                    return None
                self._pg.consume_input()

    def confirm(self, position: int, *, reply: bool = False) -> None:
        """Tell the server what is durable here, so that it need not keep it; let it answer, if wanted."""
        with database_errors(self.url, "following"):
            self._pg.put_copy_data(protocol.status(position, datetime.now(UTC), reply=reply))
            while self._pg.flush():
                # What the server has sent may have to be taken before it takes anything.
                select.select([self._pg.socket], [self._pg.socket], [], _TURN)
                self._pg.consume_input()

    def _understood(self, data: bytes) -> Keepalive | Message:
        try:
            return protocol.received(data)
        except protocol.ProtocolError as error:
            raise DatabaseError(f"PostgreSQL has sent what its protocol does not know: {error}") from error

    def _readable(self, timeout: float) -> bool:
        return bool(select.select([self._pg.socket], [], [], min(timeout, _TURN))[0])

    def _command(self, command: str) -> list[list[str]]:
        with database_errors(self.url):
            self._pg.send_query(command.encode())
            self._wait_for_result()
            rows: list[list[str]] = []
            while (result := self._pg.get_result()) is not None:
                if result.status not in (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK):
                    raise self._refused(result)
                rows += [
                    [(result.get_value(n, m) or b"").decode() for m in range(result.nfields)]
                    for n in range(result.ntuples)
                ]
            return rows

    def _wait_for_result(self) -> None:
        self._pg.flush()
        try:
            while self._pg.is_busy():
                if self._readable(_TURN):
                    self._pg.consume_input()
                elif self._is_over():
                    raise Stopped
        except (Stopped, KeyboardInterrupt, SystemExit):
            # The server, which waits for others, would not notice that its client waits no more.
            with suppress(psycopg.Error):
                self._connection.cancel_safe(timeout=_CANCEL)
            raise

    def _refused(self, result: PGresult | None) -> psycopg.Error:
        """Why the server has ended a command or the stream."""
        if result is None or result.status != ExecStatus.FATAL_ERROR:
            return psycopg.OperationalError("server closed the connection unexpectedly")
        return psycopg.errors.error_from_result(result, encoding="utf-8")


_PRIVILEGE = (
    'the user needs the attribute REPLICATION: ALTER ROLE "…" REPLICATION (or the role that your provider has'
    " for it)"
)


def _is_unprivileged(error: DatabaseError) -> bool:
    return "replication" in error.message or "WAL sender" in error.message
