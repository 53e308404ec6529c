"""Where a client's operations run: each as a transaction of its own, or all within one.

A write by the client, inside one of the client's own transactions, would be another transaction, which on the
files waits for the first one to end.  So it is refused at once.  Which code is inside is known by the context
(:mod:`contextvars`): that of a thread, or of a task and those that it starts.  A server has one context for
all its callers; it names them by :func:`on_behalf_of`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Protocol, TypeVar

from octavo.errors import (
    DamagedError,
    DiskError,
    OwnTransaction,
    RecordNotFound,
    RequiredRelationViolation,
    TransactionFailed,
    UsageError,
)
from octavo.query.protocols import Backend, Isolation, Reader, Transaction

if TYPE_CHECKING:
    from octavo.query.raw import RawResult, RawStatement

T = TypeVar("T")


class Session(Protocol):
    """Where operations run: on a backend by themselves, or within one transaction."""

    @property
    def reader(self) -> Reader:
        """For a look-up by a unique."""

    def read(self, work: Callable[[Reader], T], *, several: bool) -> T:
        """What a function makes of one reading call, or of several that must see one state."""

    def raw(self, statement: RawStatement) -> RawResult:
        """The answer to a statement of raw SQL."""

    def writing(self, *, single: bool) -> AbstractContextManager[Transaction]:
        """One writing operation, as a block; ``single``: it is exactly one write."""

    owns_transaction: bool


class Inside:
    """An open transaction, as the code in its block sees it.  ``owner`` is on whose behalf it was begun."""

    def __init__(self, client: Alone) -> None:
        self.client, self.owner = client, _owner.get()
        self.outer = _inside.get()
        self.is_open = True

    def enter(self) -> None:
        """The code of this context is in the block from now on."""
        _inside.set(self)

    def leave(self) -> None:
        """The transaction has ended."""
        self.is_open = False
        # In another context (a fixture's, say) it stays, and counts no more.
        if _inside.get() is self:
            _inside.set(self.outer)


_inside: ContextVar[Inside | None] = ContextVar("octavo_transaction", default=None)
"""the innermost transaction that the code of a context is in the block of"""
_owner: ContextVar[object] = ContextVar("octavo_owner", default=None)
"""on whose behalf it calls"""


@contextmanager
def on_behalf_of(owner: object) -> Iterator[None]:
    """Name the owner of the calls in the block, for a program that serves several callers in one context.

    A write that would wait for the end of a transaction of its own owner is refused with OwnTransaction.
    """
    token = _owner.set(owner)
    try:
        yield
    finally:
        _owner.reset(token)


class Alone:
    """Each operation is a transaction of its own."""

    owns_transaction = True

    def __init__(self, backend: Backend) -> None:
        self.reader: Reader = backend
        self.backend = backend
        self._owned: set[Together] = set()
        """the open transactions that have an owner"""

    def read(self, work: Callable[[Reader], T], *, several: bool) -> T:
        return self.backend.read(work) if several else work(self.backend)

    def raw(self, statement: RawStatement) -> RawResult:
        return self.backend.raw(statement)

    def writing(self, *, single: bool) -> AbstractContextManager[Transaction]:
        if self._owned or _inside.get() is not None:
            self.check()
        return self.backend.transaction(single=single)

    def check(self, caller: str = "thread") -> None:
        """Raise OwnTransaction for a write inside a transaction of the same client."""
        inside = _inside.get()
        while inside is not None:
            # On the files it would wait for itself; so it is refused on PostgreSQL too.
            if inside.is_open and inside.client is self:
                raise OwnTransaction(f"a transaction cannot begin inside another one of the same {caller}")
            inside = inside.outer
        owner = _owner.get()
        if owner is not None and any(t.owner == owner and t.transaction.holds_turn for t in self._owned):
            raise OwnTransaction("the write would wait for an open transaction of the same caller")

    @contextmanager
    def together(self, isolation: Isolation, max_wait: float, timeout: float) -> Iterator[Together]:
        """A transaction of several operations: those in the block."""
        self.check()
        inside = Inside(self)
        try:
            with self.backend.transaction(
                max_wait=max_wait, timeout=timeout, isolation=isolation
            ) as transaction:
                session = Together(transaction, inside.owner)
                try:
                    if inside.owner is not None:
                        self._owned.add(session)
                    inside.enter()
                    yield session
                    session.check()
                    session.end = "committed"
                finally:
                    session.state = session.state or "has ended"
                    inside.leave()
                    self._owned.discard(session)
        finally:
            # Once more, where an interruption came before that.
            inside.leave()


_HARMLESS = (RecordNotFound, RequiredRelationViolation, UsageError)
"""What is found out before a write, or taken back with it: the transaction goes on."""
_HARMLESS_READING = (*_HARMLESS, DamagedError, DiskError)


class Together:
    """All operations run in one transaction, which the first error of the database dooms."""

    owns_transaction = False

    def __init__(self, transaction: Transaction, owner: object = None, outer: Together | None = None) -> None:
        self.transaction, self.owner, self._outer = transaction, owner, outer
        self.state = ""
        """why nothing more can be done in it"""
        self.end = "rolled back"
        """how it has ended then"""
        self._late: TransactionFailed | None = None
        """the error, where it ran out of time"""

    @property
    def reader(self) -> Reader:
        self.check()
        return self.transaction

    def check(self) -> None:
        """Raise TransactionFailed if nothing more can be done."""
        if self._late is not None:
            raise self._late.with_traceback(None)
        if self.state:
            said = f"the transaction {self.state}; nothing more can be done in it"
            raise TransactionFailed(said, end=self.end)
        if self._outer is not None:
            self._outer.check()

    @contextmanager
    def _watched(self, harmless: tuple[type[Exception], ...] = _HARMLESS) -> Iterator[Transaction]:
        self.check()
        try:
            yield self.transaction
        except harmless:
            raise
        except BaseException as error:
            self.state = "has failed"
            if isinstance(error, TransactionFailed) and error.timeout is not None:
                self._late = error
            raise

    def read(self, work: Callable[[Reader], T], *, several: bool) -> T:
        with self._watched(_HARMLESS_READING) as transaction:
            return transaction.read(work) if several else work(transaction)

    def raw(self, statement: RawStatement) -> RawResult:
        with self._watched() as transaction:
            return transaction.raw(statement)

    @contextmanager
    def writing(self, *, single: bool) -> Iterator[Transaction]:
        with self._watched() as transaction:
            transaction.claim()
            if single:
                yield transaction
            else:
                # What an operation of several writes has done goes if one of them finds no record.
                with transaction.savepoint():
                    yield transaction

    @contextmanager
    def part(self) -> Iterator[Together]:
        """A transaction within this one: taken back by itself, kept with this one."""
        self.check()
        inner = Together(self.transaction, self.owner, self)
        with self.transaction.savepoint():
            try:
                yield inner
                inner.check()
            finally:
                inner.state = inner.state or "has ended"
