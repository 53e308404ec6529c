"""Carries over what the stream brings, and goes on after whatever has interrupted it.

Transactions that wait together are applied together, as one of the store.  What is confirmed to the server is
durable here before: the server may then discard its log up to there.  A connection that is lost is made
again, and goes on at the files' position; nothing else is remembered of the one before.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from datetime import UTC
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeAlias

import psycopg

from octavo.errors import BusyError, DatabaseError, DivergedError, DriftError
from octavo.follow import slot
from octavo.follow.apply import Applier, Decoder, Net
from octavo.follow.protocol import (
    Begin,
    Commit,
    Delete,
    Insert,
    Keepalive,
    Message,
    Relation,
    Truncate,
    Update,
    position_text,
)
from octavo.follow.protocol import position as position_of
from octavo.follow.state import FollowReport, Plan, Position, Watcher, read_position
from octavo.follow.stream import Stopped, Stream
from octavo.follow.tables import RESEED, Table, Tables, is_under_way, require_published, require_unchanged
from octavo.layout.layout import Layout
from octavo.postgres.connection import Connection, connect, transaction
from octavo.store.store import Store
from octavo.url import DatabaseUrl

_BATCH = 2_000
"""changes after which those that have come are applied, though more may be waiting"""
_IDLE = 10.0
"""seconds after which a position that no row goes with is written down, so that the server can let go"""
_FAR = 16 << 20
"""bytes after which that is done at once"""
_TURN = 0.2
"""seconds to wait for a message"""
_SHOWN = 1.0
"""seconds between two times that the watcher hears how things stand"""
_LOOK = 5.0
"""seconds between two looks for what is not sent: a change of the catalog, a payload that was missing"""
_MOMENT = 0.005
"""seconds after which a transaction that has been sent should be over"""
_LONGEST_PAUSE = 10.0
_PATIENCE = 60.0
"""seconds to try to connect again, where the end is to be reached soon"""


Change: TypeAlias = Callable[[Net], None]


class Place(NamedTuple):
    """Where the files are, and where their payloads come from."""

    data_dir: Path
    files_root: Path


class Follower:
    """One store that follows one database."""

    def __init__(
        self, url: DatabaseUrl, layout: Layout, store: Store, place: Place, watcher: Watcher
    ) -> None:
        self.url, self.layout, self.store, self.place, self.watcher = url, layout, store, place, watcher
        self.report = FollowReport(place.data_dir)

    def run(self, plan: Plan, report: FollowReport, *, until_caught_up: bool) -> None:
        """Follow until the watcher says that it is over, or all is there that was committed before now.

        Raises DriftError, DivergedError, DifferenceError, DatabaseError, DiskError; the position is before
        what could not be applied.
        """
        self.report = report
        target: int | None = None
        pause, since = _TURN, time.monotonic()
        while not self.watcher.is_over():
            session = None
            try:
                with self._session(plan) as session:
                    if until_caught_up and target is None:
                        target = session.now()
                    report.caught_up = session.run(target)
                    return
            except Stopped:
                return
            except BusyError as error:
                self.watcher.says(f"{error.message}; trying again")
            except DatabaseError as error:
                if session is not None and session.is_streaming:
                    pause, since = _TURN, time.monotonic()
                elif not self._is_worth_waiting(error, time.monotonic() - since, until_caught_up):
                    raise
                if not _is_passing(error):
                    raise
                report.reconnected += 1
                self.watcher.says(f"{error.message}; trying again")
                self._wait(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)

    def _is_worth_waiting(self, error: DatabaseError, waited: float, until_caught_up: bool) -> bool:
        """Whether to try again what did not even begin.

        The first connection has to come about, as an address may simply be wrong; but the server may need a
        while to notice that the reader before is gone.
        """
        if error.sqlstate == _TAKEN or until_caught_up:
            return waited < _PATIENCE
        return bool(self.report.position)

    def _wait(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end and not self.watcher.is_over():
            time.sleep(_TURN)

    @contextmanager
    def _session(self, plan: Plan) -> Iterator[_Session]:
        """Both connections, found to be such that nothing is missed."""
        with ExitStack() as stack:
            stream = stack.enter_context(closing(Stream(self.url, self.watcher.is_over)))
            connection = stack.enter_context(closing(connect(self.url)))
            there = stream.identify()
            if (there.identifier, there.database) != (plan.system, plan.database):
                raise DatabaseError(
                    "this is another database than the one that the files follow", hint=RESEED
                )
            if there.timeline != plan.timeline:
                raise DatabaseError(
                    "the database was restored or has failed over since: its history is another one, which"
                    " need not hold all that the files have",
                    hint=RESEED,
                )
            found = slot.state(connection, plan)
            position = read_position(self.place.data_dir, plan)
            if found.confirmed > position.at:
                raise slot.lost(plan, "was read by another client")
            session = _Session(self, stream, connection, plan, position)
            session.require_same()
            yield session


class _Session:
    """One life of the connections."""

    def __init__(
        self,
        follower: Follower,
        stream: Stream,
        connection: Connection,
        plan: Plan,
        position: Position,
    ) -> None:
        self._follower, self._stream, self._connection = follower, stream, connection
        self._tables = Tables(connection, follower.url, follower.layout)
        self._watcher, self._report = follower.watcher, follower.report
        self._plan, self._position = plan, position
        self._applier = Applier(
            follower.store, follower.layout, Decoder(connection, follower.layout), follower.place.files_root
        )
        self.is_streaming = False
        """whether the server has begun to send"""
        self._applied = position.at
        """all that was committed before is in the files"""
        self._seen = position.at
        """all that was committed before has been received"""
        self._relations: dict[int, Table] = {}
        self._current: list[Change] | None = None
        """what has come of a transaction whose commit has not; None: there is none"""
        self._skipping = False
        self._net = Net()
        """what was committed, and is not in the files"""
        self._commit: Commit | None = None
        """the last commit of that"""
        self._written = self._shown = self._looked = time.monotonic()
        self._number = 0
        """of the transaction that is being received"""
        self._transactions: list[int] = []
        """the numbers of those in the net"""

    def now(self) -> int:
        """A position after everything that is committed now.

        A message of our own is logged there, so that the server reaches it even without other writers.
        """
        with transaction(self._connection, self._follower.url.schema):
            self._connection.execute("SET LOCAL synchronous_commit = 'local'")
            row = self._connection.execute(
                "SELECT pg_catalog.pg_logical_emit_message(true, 'octavo', '')::text"
            ).fetchone()
        return position_of(row[0]) if row else 0

    def run(self, target: int | None) -> bool:
        """Follow; whether the target was reached, if there is one."""
        self._stream.start(self._plan.slot, self._plan.publication, self._applied)
        self.is_streaming = True
        self._applier.find_missing()
        self._show()
        reached = False
        while not reached and not self._watcher.is_over():
            message = self._stream.next(0 if self._commit else _TURN)
            if message is not None:
                self._take(message)
            if message is None or self._net.changes >= _BATCH:
                self._settle()
            if message is None and target is not None:
                # A server that has nothing to send says how far it is only when it is asked.
                self._stream.confirm(self._applied, reply=True)
            self._rest()
            reached = target is not None and self._is_reached(target)
        self._finish()
        return reached

    def _is_reached(self, target: int) -> bool:
        if self._current is not None or self._commit or self._seen < target:
            return False
        self._tables = Tables(self._connection, self._follower.url, self._follower.layout)
        self.require_same()
        return True

    def require_same(self) -> None:
        """Raise DriftError if something has changed of which the log does not tell; DatabaseError."""
        require_published(self._connection, self._plan.publication, self._tables.published)
        self._require_unchanged()

    def _require_unchanged(self) -> None:
        while self._transactions and is_under_way(self._connection, self._transactions):
            if self._watcher.is_over():
                raise Stopped
            time.sleep(_MOMENT)
        try:
            require_unchanged(self._connection, self._plan.publication, self._tables.places, self._plan.marks)
        except DriftError:
            if self.is_streaming:
                # A row of an altered table tells where that was: what was committed before is applied.
                with suppress(DivergedError):
                    self._take_until(self.now())
            raise

    def _take_until(self, target: int) -> None:
        """Receive what was committed before a position, and apply nothing."""
        while self._seen < target and not self._watcher.is_over():
            if (message := self._stream.next(_TURN)) is not None:
                self._take(message)
            else:
                self._stream.confirm(self._applied, reply=True)

    def _finish(self) -> None:
        """Write down how far all is received, if nothing of it is left to apply."""
        self._applier.carry_missing()
        self._settle()
        if self._seen > self._applied:
            self._advance()
        self._show()

    # Messages

    def _take(self, message: Keepalive | Message) -> None:
        match message:
            case Keepalive():
                if self._current is None:
                    self._seen = max(self._seen, message.end)
                if message.reply:
                    self._stream.confirm(self._applied)
            case Begin():
                # A commit before the position is in the files; the server sends none, as it was told.
                self._current, self._skipping = [], message.commit < self._applied
                self._number = message.transaction
            case Commit():
                self._end_of_transaction(message)
            case Relation() | Insert() | Update() | Delete() | Truncate():
                try:
                    self._understand(message)
                except DriftError:
                    # What was committed before the change is good.
                    self._apply()
                    raise

    def _understand(self, message: Relation | Insert | Update | Delete | Truncate) -> None:
        if isinstance(message, Relation):
            self._relations[message.oid] = self._tables.table(message)
        elif self._current is not None and not self._skipping:
            self._current.append(self._change(message))

    def _end_of_transaction(self, commit: Commit) -> None:
        for change in self._current or ():
            change(self._net)
        if not self._skipping:
            self._commit = commit
            self._transactions.append(self._number)
        self._current, self._seen = None, max(self._seen, commit.end)

    def _change(self, message: Insert | Update | Delete | Truncate) -> Change:
        """What a message does, with its rows read as their table is now."""
        match message:
            case Insert():
                table = self._relations[message.relation]
                return partial(Net.insert, table=table, values=table.row(message.row))
            case Update():
                table = self._relations[message.relation]
                old = None if message.old is None else table.old(message.old)
                return partial(Net.update, table=table, old=old, values=table.row(message.row))
            case Delete():
                table = self._relations[message.relation]
                return partial(Net.delete, table=table, old=table.old(message.old))
            case Truncate():
                tables = [self._relations[oid] for oid in message.relations]
                return partial(_truncated, tables=self._tables.truncated(tables))

    # Positions

    def _settle(self) -> None:
        """Apply what was committed, unless something has changed of which the log does not tell."""
        if self._commit is not None:
            self._require_unchanged()
            self._apply()

    def _apply(self) -> None:
        """Make what was committed durable in the files, and let the server know."""
        if self._commit is None:
            return
        committed = self._commit.time.astimezone(UTC).isoformat(timespec="milliseconds")
        position = Position(
            slot=self._plan.slot,
            position=position_text(self._commit.end),
            committed=committed.replace("+00:00", "Z"),
        )
        self._applier.apply(self._net, position)
        self._report.transactions += len(self._transactions)
        self._report.rows += self._net.changes
        self._position, self._applied = position, self._commit.end
        self._net, self._commit, self._transactions = Net(), None, []
        self._written = time.monotonic()
        self._stream.confirm(self._applied)
        self._note()

    def _advance(self) -> None:
        """Write down a position that no row goes with: all that was committed before it is in the files."""
        self._require_unchanged()
        position = Position(
            slot=self._plan.slot, position=position_text(self._seen), committed=self._position.committed
        )
        self._applier.apply(Net(), position)
        self._position, self._applied, self._written = position, self._seen, time.monotonic()
        self._stream.confirm(self._applied)
        self._note()

    def _rest(self) -> None:
        """Do what has to be done now and then."""
        now = time.monotonic()
        far = self._seen - self._applied
        if self._commit is None and far > 0 and (far > _FAR or now - self._written > _IDLE):
            self._advance()
        if now - self._looked > _LOOK:
            self._require_unchanged()
            self._applier.carry_missing()
            self._looked = time.monotonic()
        if now - self._shown > _SHOWN:
            self._show()

    # Telling

    def _note(self) -> None:
        report = self._report
        report.position, report.committed = self._position.position, self._position.committed
        report.payload_problems = list(self._applier.missing.values())

    def _show(self) -> None:
        self._note()
        self._shown = time.monotonic()
        if self._watcher.wants_lag:
            there = position_text(self._applied if self._commit else max(self._applied, self._seen))
            self._report.behind = slot.behind(self._connection, there)
            if not self._report.behind:
                self._require_unchanged()
        self._watcher.stands(self._report)


def _truncated(net: Net, tables: Sequence[Table]) -> None:
    for table in tables:
        net.truncate(table)


_TAKEN = "55006"
"""object_in_use: the server has not noticed yet that the reader before is gone"""
_PASSING = ("08", "57P", "53300", _TAKEN)


def _is_passing(error: DatabaseError) -> bool:
    """Whether it may be over when it is tried again: a connection that is lost, a server that starts."""
    if error.sqlstate:
        return error.sqlstate.startswith(_PASSING)
    return isinstance(error.__cause__, psycopg.OperationalError)
