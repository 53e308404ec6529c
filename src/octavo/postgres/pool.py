"""Connections that are used again, shared among threads: as many at once as the URL allows.

A thread that needs one and finds none idle opens it itself: what the server says to that (a wrong
password, nothing listening) is what the caller hears, at once.  There are no threads of the pool's own, and a
process that was forked begins with an empty one.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from queue import Empty, SimpleQueue

from psycopg import pq

from octavo.errors import TransactionFailed, UsageError
from octavo.postgres.session import Session
from octavo.url import DatabaseUrl

_WAIT = 10.0
"""seconds that a caller waits for a connection unless it says otherwise: Prisma's ``pool_timeout``"""


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
        # A semaphore of ``threading`` is Python code: an interruption could leave its lock taken for good.
        self._slots: SimpleQueue[None] = SimpleQueue()
        for _ in range(self.limit):
            self._slots.put(None)
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
        try:
            slots.get(timeout=max(0.0, wait))
        except Empty:
            raise TransactionFailed(
                f"none of {self.limit} connections became free within {wait:g} s",
                hint="raise connection_limit in DATABASE_URL, or end transactions sooner",
            ) from None
        try:
            session = self._take()
            try:
                yield session
            finally:
                self._give_back(session)
        finally:
            slots.put(None)

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
