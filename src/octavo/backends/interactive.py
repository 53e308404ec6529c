"""A transaction of several operations on a backend that lets one transaction write at a time.

It begins there with its first write: before that, each operation reads what is committed, as in PostgreSQL's
READ COMMITTED, and waits for no writer; after that no other transaction writes until it ends.  With a
stricter level it begins with the first operation of any kind, so that all it reads is of one state.

Its time is counted from its opening.  When that is up, it is rolled back by another thread, so that
waiting writers get the right to write, whatever its own caller does.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, TypeVar
from weakref import ref

from octavo.errors import BusyError, OctavoError, TransactionFailed
from octavo.layout.record import Record
from octavo.query.plan import Change, Condition, Insert
from octavo.query.protocols import Backend, Isolation, Reader, SingleReads, Transaction
from octavo.store.system import in_background

if TYPE_CHECKING:
    from octavo.query.raw import RawResult, RawStatement

T = TypeVar("T")

_LOOK = 1.0
"""seconds after which a watch looks whether its transaction is still there"""


class OneWriter(Backend, Protocol):
    """A backend on which one transaction writes at a time."""

    def locked(
        self, max_wait: float | None, timeout: float | None, isolation: Isolation
    ) -> AbstractContextManager[Transaction]:
        """A transaction that has the right to write.  Entering waits for it: in the order of asking."""


class Interactive(SingleReads, AbstractContextManager["Interactive"]):
    """One such transaction, for the length of a ``with`` block.  Threads may share it."""

    def __init__(self, backend: OneWriter, timeout: float | None, isolation: Isolation) -> None:
        self._backend, self._timeout, self._isolation = backend, timeout, isolation
        self._mutex = threading.Lock()
        """held during a call"""
        self._block: AbstractContextManager[Transaction] | None = None
        self._inner: Transaction | None = None
        """the transaction, once it has begun"""
        self._end = ""
        """how it has ended"""
        self._beginning = threading.Lock()
        """held briefly, to let it begin or to let it never begin"""
        self._done = threading.Lock()
        """what its watch waits for"""
        self._done.acquire()

    def __enter__(self) -> Interactive:
        self._opened = time.monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._mutex:
            self._done.release()
            late = None if error is not None else self._late()
            if self._end:
                # It was rolled back from outside.
                if error is None:
                    raise late or TransactionFailed.over(self._end)
                return
            self._end = "committed" if error is None and late is None else "rolled back"
            block, self._block, self._inner = self._block, None, None
            if late is not None:
                if block is not None:
                    _leave(block, late)
                raise late
            if block is not None:
                block.__exit__(kind, error, trace)

    def _late(self) -> TransactionFailed | None:
        if self._timeout is None or (taken := time.monotonic() - self._opened) < self._timeout:
            return None
        return TransactionFailed.late(self._timeout, taken)

    def _call(self, work: Callable[[Transaction | None], T], *, writes: bool = False) -> T:
        """One call: what a function makes of the transaction, or of None if it has not begun.

        A ``with`` block over a generator would not do: what interrupts just before its first line leaves the
        generator waiting with the mutex, as long as the traceback lasts.
        """
        with self._mutex:
            if late := self._late():
                raise late
            if self._end:
                raise TransactionFailed.over(self._end)
            if self._inner is None and (writes or self._isolation.is_repeatable):
                self._begin()
            try:
                return work(self._inner)
            except TransactionFailed as error:
                # The server counts from when it heard of the transaction.
                if error.timeout is not None and (late := self._late()):
                    raise late from error
                raise

    def _begin(self) -> None:
        left = None if self._timeout is None else self._opened + self._timeout - time.monotonic()
        block = self._backend.locked(left, left, self._isolation)
        try:
            inner = block.__enter__()
        except BusyError as busy:
            if self._late() is None:
                raise
            raise BusyError(busy.waited, busy.holder, timeout=self._timeout) from busy
        with self._beginning:
            if not self._end:
                self._block, self._inner = block, inner
        if self._inner is None:
            error = TransactionFailed.over(self._end)
            _leave(block, error)
            raise error
        if self._timeout is not None:
            watch, done, end = ref(self), self._done, self._opened + self._timeout
            in_background(lambda: _watch(watch, done, end))

    def abandon(self) -> bool:
        """Let it never happen, if it has not begun; whether it has not."""
        with self._beginning:
            if self._inner is None and not self._end:
                self._end = "rolled back"
            return self._inner is None

    def expire(self) -> None:
        """Roll it back, if it is still open and its time is up."""
        with self._mutex:
            late, block = self._late(), self._block
            if late is not None and not self._end and block is not None:
                self._end, self._block, self._inner = "rolled back", None, None
                _leave(block, late)

    # The protocol

    def _one(self, work: Callable[[Reader], T]) -> T:
        return self._call(lambda inner: work(self._backend if inner is None else inner))

    def read(self, work: Callable[[Reader], T]) -> T:
        return self._call(lambda inner: self._backend.read(work) if inner is None else inner.read(work))

    def raw(self, statement: RawStatement) -> RawResult:
        return self._call(
            lambda inner: self._backend.raw(statement) if inner is None else inner.raw(statement)
        )

    @property
    def holds_turn(self) -> bool:
        return self._inner is not None

    def claim(self) -> None:
        self._call(lambda inner: None, writes=True)

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        point = self._call(_savepoint)
        try:
            yield
        except BaseException as error:
            with self._mutex:
                self._back_to(point, error)
            raise
        else:
            with self._mutex:
                if point is not None and not self._end:
                    point.__exit__(None, None, None)

    def _back_to(self, point: AbstractContextManager[None] | None, error: BaseException) -> None:
        if self._end or self._block is None:
            return
        if point is not None:
            with suppress(type(error)):
                point.__exit__(type(error), error, error.__traceback__)
            return
        # All that was written, was written since.
        block, self._block, self._inner = self._block, None, None
        _leave(block, error)

    def insert(self, new: Insert) -> list[Record]:
        return self._write(lambda inner: inner.insert(new))

    def update(self, model: str, where: Condition, changes: Sequence[Change]) -> list[Record]:
        return self._write(lambda inner: inner.update(model, where, changes))

    def delete(self, model: str, where: Condition) -> int:
        return self._write(lambda inner: inner.delete(model, where))

    def _write(self, work: Callable[[Transaction], T]) -> T:
        def begun(inner: Transaction | None) -> T:
            assert inner is not None
            return work(inner)

        return self._call(begun, writes=True)


def _savepoint(inner: Transaction | None) -> AbstractContextManager[None] | None:
    """A savepoint that has begun; None in a transaction that has not."""
    point = None if inner is None else inner.savepoint()
    if point is not None:
        point.__enter__()
    return point


def _leave(block: AbstractContextManager[Transaction], error: BaseException) -> None:
    """Roll back.  Why is more important than what goes wrong in that."""
    with suppress(OctavoError, type(error)):
        block.__exit__(type(error), error, error.__traceback__)


def _watch(watched: ref[Interactive], done: threading.Lock, end: float) -> None:
    """Let a transaction expire when its time is up, unless it is done."""
    while (left := end - time.monotonic()) > 0:
        if done.acquire(timeout=min(left, _LOOK)) or watched() is None:
            return
    if (found := watched()) is not None:
        found.expire()
