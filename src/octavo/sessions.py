"""Where a client's operations run: each as a transaction of its own, or all within one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from threading import get_ident
from typing import TYPE_CHECKING, Protocol, TypeVar

from octavo.errors import OwnTransaction, TransactionFailed
from octavo.query.plan import Backend, Reader, Transaction

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

    def writing(self, *, single: bool) -> AbstractContextManager[Transaction]: ...

    owns_transaction: bool


class Alone:
    """Each operation is a transaction of its own."""

    owns_transaction = True

    def __init__(self, backend: Backend) -> None:
        self.reader: Reader = backend
        self.backend = backend
        self._holders: set[int] = set()
        """the threads that have a transaction"""

    def read(self, work: Callable[[Reader], T], *, several: bool) -> T:
        return self.backend.read(work) if several else work(self.backend)

    def raw(self, statement: RawStatement) -> RawResult:
        return self.backend.raw(statement)

    def writing(self, *, single: bool) -> AbstractContextManager[Transaction]:
        if self._holders:
            self._check(get_ident())
        return self.backend.transaction(single=single)

    @contextmanager
    def together(self, max_wait: float, timeout: float) -> Iterator[Transaction]:
        """A transaction of several operations, the only one that this thread has."""
        thread = get_ident()
        self._check(thread)
        with self.backend.transaction(max_wait=max_wait, timeout=timeout) as transaction:
            try:
                self._holders.add(thread)
                yield transaction
            finally:
                self._holders.discard(thread)

    def _check(self, thread: int) -> None:
        # On the files it would wait for itself; so it is refused on PostgreSQL too.
        if thread in self._holders:
            raise OwnTransaction("a transaction cannot begin inside another one of the same thread")


class Together:
    """All operations run in one transaction, which the first error of the data or the place dooms."""

    owns_transaction = False

    def __init__(self, transaction: Transaction) -> None:
        self.transaction = transaction
        self.state = ""

    @property
    def reader(self) -> Reader:
        self.check()
        return self.transaction

    def check(self) -> None:
        if self.state:
            raise TransactionFailed(f"the transaction {self.state}; nothing more can be done in it")

    @contextmanager
    def _watched(self) -> Iterator[Transaction]:
        self.check()
        try:
            yield self.transaction
        except BaseException:
            self.state = "has failed"
            raise

    def read(self, work: Callable[[Reader], T], *, several: bool) -> T:
        with self._watched() as transaction:
            return work(transaction)

    def raw(self, statement: RawStatement) -> RawResult:
        with self._watched() as transaction:
            return transaction.raw(statement)

    def writing(self, *, single: bool) -> AbstractContextManager[Transaction]:
        return self._watched()
