"""Connections that are used again, shared among threads: as many at once as the URL allows.

Whoever needs one and finds none idle opens it, in its own thread: what the server says to that (a wrong
password, nothing listening) is what the caller hears, at once.  There are no threads of the pool's own, and a
process that was forked begins with an empty one.
"""

from __future__ import annotations

import contextlib
import os
import select
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import psycopg
from psycopg import pq

from octavo.errors import TransactionFailed, UsageError
from octavo.postgres.connection import SETTINGS, connect, settings_for
from octavo.postgres.failures import database_errors
from octavo.schema.sql import literal
from octavo.url import DatabaseUrl

_WAIT = 10.0
"""seconds that a caller waits for a connection unless it says otherwise: Prisma's ``pool_timeout``"""
_PREPARE_AFTER = 2
"""executions, after which a statement is prepared"""
_MOST_PREPARED = 500
_TIMEOUTS = tuple(name for name in SETTINGS if name.endswith("_timeout"))
"""what an administrator sets for the application, and no answer depends on"""


class Session:
    """One connection to the server.  ``pooled``: a pooler stands between, so that nothing may be left behind
    there; then settings are pinned for each transaction, and nothing is prepared."""

    def __init__(self, url: DatabaseUrl) -> None:
        self.connection = connect(url)
        with database_errors(url):
            self.pooled = url.pgbouncer or self._is_behind_a_pooler()
            settings = settings_for(self.connection, url.schema)
            if not self.pooled:
                self._resets(name for name in (*_TIMEOUTS, "transaction_timeout") if name in settings)
                self.connection.prepare_threshold = _PREPARE_AFTER
                self.connection.prepared_max = _MOST_PREPARED
        pinned = [(n, v) for n, v in settings.items() if n not in _TIMEOUTS and n != "transaction_timeout"]
        calls = ", ".join(f"set_config({literal(n)}, {literal(v)}, true)" for n, v in pinned)
        self._pin = f"; SELECT {calls}" if self.pooled else ""
        self.cursor = psycopg.RawCursor(self.connection)

    def _is_behind_a_pooler(self) -> bool:
        found = self.connection.execute("SELECT pg_backend_pid()").fetchone()
        return found != (self.connection.info.backend_pid,)

    def _resets(self, names: Iterator[str]) -> None:
        self.connection.execute("; ".join(f"RESET {name}" for name in names).encode())

    @property
    def is_alive(self) -> bool:
        """Whether an idle connection is still there, as far as can be told without asking the server: one
        that was ended by the other side has something to read."""
        if self.connection.closed or self.connection.info.transaction_status != pq.TransactionStatus.IDLE:
            return False
        waiting = select.poll()
        waiting.register(self.connection.fileno(), select.POLLIN)
        return not waiting.poll(0)

    def begin(self, mode: str, settings: Sequence[tuple[str, str]] = (), asking: str = "") -> Any:
        """Begin a transaction of this mode, with further settings for it alone; the row that the query
        ``asking`` gives, if there is one."""
        more = "".join(f"; SET LOCAL {name} = {literal(value)}" for name, value in settings)
        last = f"; {asking}" if asking else ""
        answer = self.cursor.execute(f"BEGIN {mode}{more}{self._pin}{last}".encode(), prepare=False)
        while answer.nextset():
            pass
        return answer.fetchone() if asking else None

    def commit(self) -> bool:
        """Commit; False where PostgreSQL rolled back, since a statement had failed."""
        return self.cursor.execute("COMMIT", prepare=False).statusmessage == "COMMIT"

    def rollback(self) -> None:
        """Roll back.  What went wrong first is what matters; a connection that is gone has done so itself."""
        with contextlib.suppress(psycopg.Error):
            self.cursor.execute("ROLLBACK", prepare=False)

    def close(self) -> None:
        self.connection.close()


class Pool:
    """The connections to one database."""

    def __init__(self, url: DatabaseUrl) -> None:
        self.url = url
        # Prisma's own default.
        self.limit = url.connection_limit or 2 * (os.cpu_count() or 1) + 1
        self._closed = False
        self._begin()

    def _begin(self) -> None:
        self._process = os.getpid()
        self._slots = threading.BoundedSemaphore(self.limit)
        self._idle: list[Session] = []

    @contextlib.contextmanager
    def session(self, wait: float | None = None) -> Iterator[Session]:
        """A connection for the length of the block, outside a transaction.

        Raises TransactionFailed if none becomes free within ``wait`` seconds, DatabaseError if it cannot be
        opened, UsageError after :meth:`close`.
        """
        if self._process != os.getpid():
            # The parent's connections are kept and never touched, so that nothing ends them.
            self._inherited = self._idle
            self._begin()
        if self._closed:
            raise UsageError("the client is closed")
        slots, wait = self._slots, _WAIT if wait is None else wait
        if not slots.acquire(blocking=False) and not slots.acquire(timeout=max(0.0, wait)):
            raise TransactionFailed(
                f"none of {self.limit} connections became free within {wait:g} s",
                hint="raise connection_limit in DATABASE_URL, or end transactions sooner",
            )
        try:
            session = self._take()
            try:
                yield session
            finally:
                self._give_back(session)
        finally:
            slots.release()

    def _take(self) -> Session:
        while self._idle:
            try:
                # The one that was used last is the likeliest to be warm.
                session = self._idle.pop()
            except IndexError:
                break
            if session.is_alive:
                return session
            session.close()
        return Session(self.url)

    def _give_back(self, session: Session) -> None:
        idle = session.connection.info.transaction_status == pq.TransactionStatus.IDLE
        if idle and not self._closed and not session.connection.closed:
            self._idle.append(session)
        else:
            session.close()

    def close(self) -> None:
        """Close what is idle; what is in use, when it is given back."""
        self._closed = True
        if self._process == os.getpid():
            while self._idle:
                self._idle.pop().close()
