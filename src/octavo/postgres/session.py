"""Connections on which statements run with as few round trips as possible, and their pool.

A transaction's BEGIN is sent together with its first statement, and a statement is prepared together with its
execution (libpq's pipeline mode).  Statements and values are text; so are the answers.

A thread that needs a connection and finds none idle opens it itself: what the server says to that (a wrong
password, nothing listening) is what the caller hears, at once.  The pool has no threads, and a process that
was forked begins with an empty one.
"""

from __future__ import annotations

import contextlib
import os
import select
from collections.abc import Iterator, Sequence
from functools import cached_property
from queue import Empty, SimpleQueue
from typing import NamedTuple

import psycopg
from psycopg import pq
from psycopg.abc import PQGen
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGresult
from psycopg.waiting import Ready, Wait

from octavo.errors import TransactionFailed, UsageError
from octavo.postgres.connection import HERE, SETTINGS, Connection, connect, settings_for
from octavo.postgres.failures import database_errors
from octavo.schema.native import literal
from octavo.url import DatabaseUrl

_PREPARE_AFTER = 2
"""executions, after which a statement is prepared"""
_MOST_PREPARED = 500
_TIMEOUTS = tuple(name for name in SETTINGS if name.endswith("_timeout"))
"""what an administrator sets for the application, and no answer depends on"""
_OUTDATED = "0A000"
"""feature_not_supported: a change of its tables has made a prepared statement useless"""


class Session:
    """One connection to the server.  ``pooled``: a pooler stands between, so that nothing may be left
    there; then settings are pinned for each transaction, and nothing is prepared."""

    def __init__(self, url: DatabaseUrl) -> None:
        self.connection = connect(url)
        try:
            self._set_up(url)
        except BaseException:
            self.connection.close()
            raise
        self._unsent: list[str] = []
        """statements that go with the next one: such as begin a transaction, set or release a savepoint"""
        self._has_begun = False
        """whether the server has heard of the transaction"""
        self._asking = -1
        """the place among them of a query that is asked at the beginning"""
        self._savepoints = 0
        """how many were set in the transaction"""
        self.told: PGresult | None = None
        """the answer to that query"""
        self._executed: dict[str, int] = {}
        """how often statements that are not prepared were executed"""
        self._prepared: dict[str, bytes] = {}
        """the names of those that are, the least recently used first"""
        self._outdated: list[bytes] = []
        """the names of those that are used no more"""
        self._number = 0
        self.is_tainted = False
        """whether a statement of a caller may have left something behind in it"""

    def _set_up(self, url: DatabaseUrl) -> None:
        """Find out what stands between, and what to pin."""
        self._pg = self.connection.pgconn
        with database_errors(url):
            self.pooled = url.pgbouncer or self._is_behind_a_pooler()
            settings = settings_for(self.connection, url.schema)
            if not self.pooled:
                self._resets(name for name in (*_TIMEOUTS, "transaction_timeout") if name in settings)
        pinned = [(n, v) for n, v in settings.items() if n not in _TIMEOUTS and n != "transaction_timeout"]
        calls = ", ".join(f"set_config({literal(n)}, {literal(v)}, true)" for n, v in pinned)
        self._pin = f"SELECT {calls}" if self.pooled else ""

    def _is_behind_a_pooler(self) -> bool:
        found = self.connection.execute("SELECT pg_backend_pid()").fetchone()
        return found != (self.connection.info.backend_pid,)

    def _resets(self, names: Iterator[str]) -> None:
        self.connection.execute("; ".join(f"RESET {name}" for name in names).encode())

    @cached_property
    def place(self) -> tuple[str, str]:
        """What tells the database: its cluster's number and its name."""
        answer = self.execute(f"SELECT {HERE}")
        system, database = ((answer.get_value(0, n) or b"").decode() for n in range(2))
        return system, database

    @property
    def version(self) -> int:
        """The server's."""
        return self._pg.server_version

    @property
    def is_alive(self) -> bool:
        """Whether an idle connection is still there, as far as can be told without asking the server: one
        that was ended by the other side has something to read."""
        if self.connection.closed or self._pg.transaction_status != pq.TransactionStatus.IDLE:
            return False
        waiting = select.poll()
        waiting.register(self._pg.socket, select.POLLIN)
        return not waiting.poll(0)

    def begin(self, mode: str, settings: Sequence[tuple[str, str]] = (), asking: str = "") -> None:
        """Begin a transaction of this mode, with further settings for it alone.  The server hears of it
        with the first statement, and the session is :attr:`told` the answer to the query ``asking``."""
        more = (f"SET LOCAL {name} = {literal(value)}" for name, value in settings)
        self.told, self._has_begun, self._savepoints = None, False, 0
        self._unsent = [f"BEGIN {mode}", *more, *filter(None, (self._pin, asking))]
        self._asking = len(self._unsent) - 1 if asking else -1

    def set_savepoint(self, *more: str) -> str:
        """Set a savepoint in the transaction, and send more statements after it; its name.  The server hears
        of it with the next statement."""
        self._savepoints += 1
        name = f"octavo_{self._savepoints}"
        self._unsent += [f"SAVEPOINT {name}", *more]
        return name

    def release_savepoint(self, name: str) -> None:
        """Keep what was done since a savepoint as a part of what is around it."""
        if not self._forget(name):
            self._unsent.append(f"RELEASE SAVEPOINT {name}")

    def back_to_savepoint(self, name: str) -> None:
        """Take back what was done since a savepoint, which is released then.  A connection that is gone has
        done so itself."""
        if self._forget(name):
            return
        self._unsent = []
        with contextlib.suppress(psycopg.Error):
            self._run([(f"ROLLBACK TO SAVEPOINT {name}", ()), (f"RELEASE SAVEPOINT {name}", ())])

    def _forget(self, name: str) -> bool:
        """Whether the server has not heard of a savepoint; then it never does."""
        if (statement := f"SAVEPOINT {name}") not in self._unsent:
            return False
        del self._unsent[self._unsent.index(statement) :]
        return True

    def commit(self) -> bool:
        """Commit; False where PostgreSQL rolled back, since a statement had failed."""
        self._unsent = []
        if not self._has_begun:
            return True
        kept = self._run([("COMMIT", ())])[0].command_status == b"COMMIT"
        self._has_begun = False
        return kept

    def rollback(self) -> None:
        """Roll back.  What went wrong first is what matters; a connection that is gone has done so itself."""
        self._unsent = []
        if not self._has_begun:
            return
        with contextlib.suppress(psycopg.Error):
            self._run([("ROLLBACK", ())])
        self._has_begun = False

    def execute(self, text: str, parameters: Sequence[str | None] = ()) -> PGresult:
        """The answer to one statement with parameters ``$1`` ….  Raises psycopg.Error."""
        first, self._unsent = self._unsent, []
        self._has_begun = self._has_begun or bool(first)
        told: list[PGresult | None]
        if first and self.pooled:
            # What a pooler makes of several statements on their way is not known.
            cursor = self.connection.execute("; ".join(first).encode())
            told = [cursor.pgresult]
            while cursor.nextset():
                told.append(cursor.pgresult)
            first = []
            answer = self._run([(text, parameters)])[-1]
        else:
            *before, answer = self._run([*((statement, ()) for statement in first), (text, parameters)])
            told = [*before]
        if self._asking >= 0 and told:
            self.told, self._asking = told[self._asking], -1
        return answer

    def _run(self, statements: Sequence[tuple[str, Sequence[str | None]]]) -> list[PGresult]:
        """The answers to statements that are sent together.  After one that fails, none is executed."""
        sent: list[tuple[str, bytes | None]] = []
        self._pg.enter_pipeline_mode()
        for text, parameters in statements:
            self._send(text, [None if value is None else value.encode() for value in parameters], sent)
        self._pg.pipeline_sync()
        found = self.connection.wait(self._answers())
        if self._pg.status == pq.ConnStatus.OK:
            self._pg.exit_pipeline_mode()
        answers = []
        for (text, name), result in zip(sent, found, strict=False):
            if result.status == ExecStatus.FATAL_ERROR:
                error = psycopg.errors.error_from_result(result, encoding="utf-8")
                if error.sqlstate == _OUTDATED and text in self._prepared:
                    self._outdated.append(self._prepared.pop(text))
                raise error
            if name is None:
                answers.append(result)
            elif name:
                self._prepared[text] = name
        return answers

    def _send(self, text: str, values: Sequence[bytes | None], sent: list[tuple[str, bytes | None]]) -> None:
        """Send a statement, and note in ``sent`` what each answer will be about: it, or (by its name) the
        making of a prepared statement of it."""
        if (name := self._prepared.pop(text, None)) is not None:
            # The last is the one that was used last.
            self._prepared[text] = name
        elif self._is_worth_preparing(text):
            if len(self._prepared) >= _MOST_PREPARED:
                self._outdated.append(self._prepared.pop(next(iter(self._prepared))))
            while self._outdated:
                self._pg.send_query_params(b"DEALLOCATE " + self._outdated.pop(), None)
                sent.append(("", b""))
            self._number += 1
            name = b"octavo_%d" % self._number
            self._pg.send_prepare(name, text.encode())
            sent.append((text, name))
        if name is None:
            self._pg.send_query_params(text.encode(), values)
        else:
            self._pg.send_query_prepared(name, values)
        sent.append((text, None))

    def _is_worth_preparing(self, text: str) -> bool:
        if self.pooled:
            return False
        times = self._executed.pop(text, 0)
        if times >= _PREPARE_AFTER:
            return True
        if len(self._executed) >= _MOST_PREPARED:
            self._executed.clear()
        self._executed[text] = times + 1
        return False

    def _answers(self) -> PQGen[list[PGresult]]:
        """What the server answers, until it has answered everything."""
        found: list[PGresult] = []
        try:
            while self._pg.flush():
                # It may wait until we take what it has sent.
                if (yield Wait.RW) & Ready.R:
                    self._pg.consume_input()
            while True:
                while self._pg.is_busy():
                    yield Wait.R
                    self._pg.consume_input()
                result = self._pg.get_result()
                if result is not None:
                    if result.status == ExecStatus.PIPELINE_SYNC:
                        return found
                    found.append(result)
                elif self._pg.status != pq.ConnStatus.OK:
                    raise psycopg.OperationalError("the connection is lost")
        except psycopg.OperationalError:
            # Why the server has ended it is among the answers, if it said so.
            if any(result.status == ExecStatus.FATAL_ERROR for result in found):
                return found
            raise

    def close(self) -> None:
        self.connection.close()


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
        usable = not (session.is_tainted or session.connection.closed)
        if idle and usable and not self._closed:
            self._idle.append(session)
        else:
            session.close()

    def close(self) -> None:
        """Close what is idle; what is in use, when it is given back."""
        self._closed = True
        if self._process == os.getpid():
            while self._idle:
                self._idle.pop().close()


_SINCE = 130000
"""the first server's version that tells these numbers in full"""


class Window(NamedTuple):
    """What a snapshot sees: all transactions before ``first``, and none from ``next`` on."""

    first: int
    next: int


def window(connection: Connection) -> Window | None:
    """That of the connection's snapshot; None if the server does not tell."""
    if connection.info.server_version < _SINCE:
        return None
    row = connection.execute(
        "SELECT pg_snapshot_xmin(s)::text, pg_snapshot_xmax(s)::text FROM pg_current_snapshot() AS s"
    ).fetchone()
    return Window(*map(int, row)) if row else None


def written_since(alias: str, first: int) -> str:
    """The condition that a row was written by this transaction or a later one, as far as 32 bits tell."""
    return f"({alias}.xmin::text::bigint - {first}) & 4294967295 < 2147483648"


def unseen_since(alias: str, first: int) -> str:
    """The same condition, quicker; it holds while fewer than 2**31 transactions have begun since that one.

    ``age`` counts back from the newest transaction and is signed, so that rows of a long time ago may be
    among them; rows from before PostgreSQL counted so, which have no number, are not.
    """
    return f"age({alias}.xmin) <= age('{first % 2**32}'::xid)"


def is_since(xmin: int, first: int) -> bool:
    """The same of a row's ``xmin`` that was read."""
    return (xmin - first) % 2**32 < 2**31
