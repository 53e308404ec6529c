"""What a backend must be able to do: read, write within transactions, and answer raw SQL."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeAlias, TypeVar

from octavo.layout.record import Record
from octavo.query.plan import Change, Condition, Group, Grouping, Insert, Link, Query, Search

if TYPE_CHECKING:
    from octavo.query.raw import RawResult, RawStatement

Key: TypeAlias = tuple[Any, ...]
"""Values of some fields of one record, in stored form; none of them is NULL."""
T = TypeVar("T")


class Reader(Protocol):
    """Answers from one state of the data, where it comes from :meth:`Backend.read` or a transaction;
    otherwise each call answers from the state that is current."""

    def find(self, model: str, fields: tuple[str, ...], values: Key) -> Record | None:
        """The record with these values of its primary key or of a unique (its fields in their order)."""

    def select(self, query: Query) -> list[Record]:
        """The records that a query means, in its order."""

    def related(self, query: Query, link: Link, keys: Sequence[Key]) -> list[list[Record]]:
        """For each of the keys (different values of ``link.fields``), in their order: the records of
        ``link.target`` that are linked to it, as the query chooses, orders, skips and takes them *for each
        key by itself*.  One call for a whole level of an include."""

    def count(self, query: Query) -> int:
        """How many records :meth:`select` would give."""

    def count_related(self, link: Link, where: Condition, keys: Sequence[Key]) -> list[int]:
        """For each of the keys (as above): how many linked records fulfil the condition."""

    def aggregate(self, grouping: Grouping) -> list[Group]:
        """The groups that a grouping gives, in its order.  Raises ValueOutOfRange where a sum or an average
        is out of range."""

    def search(self, search: Search) -> list[tuple[Record, float]]:
        """The records that a search finds, in its order, with their rank: the greater, the better."""


class Isolation(StrEnum):
    """How far transactions that run at the same time are kept apart, by Prisma's names."""

    READ_UNCOMMITTED = "ReadUncommitted"
    """in PostgreSQL, and here, the same as the next"""
    READ_COMMITTED = "ReadCommitted"
    REPEATABLE_READ = "RepeatableRead"
    SERIALIZABLE = "Serializable"

    @property
    def is_repeatable(self) -> bool:
        """Whether all that is read must be of one state."""
        return self in (Isolation.REPEATABLE_READ, Isolation.SERIALIZABLE)


class Transaction(Reader, Protocol):
    """Reads that see the transaction's own writes, and writes that all happen or none."""

    def read(self, work: Callable[[Reader], T]) -> T:
        """What a function makes of one state of the data, with the transaction's own writes.

        The function only reads, and may be called again, with another state.
        """

    @property
    def holds_turn(self) -> bool:
        """Whether all other writers wait for its end."""

    def abandon(self) -> bool:
        """Let it never happen, if it has not written yet; whether it has not.  Another thread calls this,
        which need not wait for what the transaction is doing."""

    def claim(self) -> None:
        """Have the right to write, before the first of several steps of which the last ones write: wait for
        it, where the backend has one for all.  Raises TransactionFailed if the time runs out meanwhile."""

    def savepoint(self) -> AbstractContextManager[None]:
        """A part of the transaction: what it has written is taken back if the block is left by an
        exception."""

    def insert(self, new: Insert) -> list[Record]:
        """Store new records and give them back as stored, in their order, without those that were left
        out.  Raises UsageError for ``dbgenerated(…)`` where PostgreSQL has no part."""

    def update(self, model: str, where: Condition, changes: Sequence[Change]) -> list[Record]:
        """Change every record that fulfils the condition, and give them as they are afterwards, in any
        order.  Referential actions (``onUpdate``) are carried out."""

    def delete(self, model: str, where: Condition) -> int:
        """Delete every record that fulfils the condition; how many these were.  Referential actions
        (``onDelete``) are carried out, and what they delete is not counted.  ``model`` may be a join table.
        """

    def raw(self, statement: RawStatement) -> RawResult:
        """As :meth:`Backend.raw`, within the transaction."""


class Backend(Reader, Protocol):
    """Where the data lives: ten methods on records, raw SQL, and two ways to bracket them.  Safe to share
    among threads.

    Everything else (nested writes, includes, upsert, defaults, cursors) is built on these in one place, so
    that it is the same on every backend.

    Records are those of :func:`octavo.layout.record.record_type`, one type per model and Datamodel.  They may
    be shared between callers: they are never changed.
    ``values`` are in stored form, by field name.  Errors:

    =============================  ==========================================================================
    ``UniqueViolation``            ``insert`` or ``update`` would give two records the same key or unique
    ``ForeignKeyViolation``        a write would leave a foreign key that points at nothing: a parent is
                                   missing, or ``Restrict`` or ``NoAction`` keeps one that is pointed at
    ``NullViolation``              a required field would be NULL, by ``SetNull`` for instance
    ``ValueOutOfRange``            a computed value does not fit its column
    ``RequiredRelationViolation``, ``RecordNotFound``   never from here: the executor's
    ``TransactionFailed``          the transaction could not begin in time (``BusyError``) or ran out of time
    ``ConflictError``              it lost a conflict with another, or a deadlock, and may be tried again
    ``DatabaseError``, ``DiskError``, ``DamagedError``   the place itself failed
    =============================  ==========================================================================

    After an error from a write, its transaction is lost: the caller leaves the ``with`` by an exception.
    """

    def read(self, work: Callable[[Reader], T]) -> T:
        """What a function makes of one state of the data, whatever is written meanwhile.

        The function only reads, and may be called again, with another state.
        """

    def transaction(
        self,
        *,
        single: bool = False,
        max_wait: float | None = None,
        timeout: float | None = None,
        isolation: Isolation | None = None,
    ) -> AbstractContextManager[Transaction]:
        """A transaction.  Left without an exception it is committed, otherwise rolled back, whole.

        Without ``isolation`` it is that of one operation, which has the right to write from its beginning;
        ``single``: exactly one write is going to be asked for, which may commit by itself.  With it, several
        operations follow, perhaps after pauses, and it waits for nothing that it does not need.

        ``max_wait`` and ``timeout`` are in seconds; when one has passed, TransactionFailed is raised and
        nothing of the transaction is kept.  It is then rolled back even if its caller does nothing.
        Transactions are not nested: a thread that holds one asks it, not the backend.
        """

    def raw(self, statement: RawStatement) -> RawResult:
        """The answer to a statement of SQL: on PostgreSQL to any, in ``dual`` to one that reads, on the files
        to a SELECT of constants.  Raises RawQueryError, and UsageError for what the place does not do."""

    def payload(self, record: Record) -> bytes | None:
        """The content of the file that a record points at; None if there is none, or it cannot be had."""

    def searched(self, model: str) -> tuple[str, ...]:
        """The fields in which a search looks that names none.  Raises LayoutError."""

    def close(self) -> None:
        """Let go of everything.  May be called twice."""


class Begun:
    """What a transaction says that has begun, and holds already what it writes with."""

    holds_turn = True

    def read(self, work: Callable[[Self], T]) -> T:
        return work(self)

    def abandon(self) -> bool:
        return False

    def claim(self) -> None:
        """Nothing is left to wait for."""


class SingleReads:
    """The seven reads of a backend, where each is a function of a reader that :meth:`_one` finds for it."""

    def _one(self, work: Callable[[Reader], T]) -> T:
        """What a function makes of the state that is current; it asks one question."""
        raise NotImplementedError

    def find(self, model: str, fields: tuple[str, ...], values: Key) -> Record | None:
        return self._one(lambda reader: reader.find(model, fields, values))

    def select(self, query: Query) -> list[Record]:
        return self._one(lambda reader: reader.select(query))

    def related(self, query: Query, link: Link, keys: Sequence[Key]) -> list[list[Record]]:
        return self._one(lambda reader: reader.related(query, link, keys))

    def count(self, query: Query) -> int:
        return self._one(lambda reader: reader.count(query))

    def count_related(self, link: Link, where: Condition, keys: Sequence[Key]) -> list[int]:
        return self._one(lambda reader: reader.count_related(link, where, keys))

    def aggregate(self, grouping: Grouping) -> list[Group]:
        return self._one(lambda reader: reader.aggregate(grouping))

    def search(self, search: Search) -> list[tuple[Record, float]]:
        return self._one(lambda reader: reader.search(search))
