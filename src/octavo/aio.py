"""The client for asyncio: the synchronous client's operations, awaited.

``db = await octavo.connect_async()``, or ``async with octavo.connect_async() as db``.  Every operation is
:class:`octavo.client.ModelClient`'s own; what is here decides on which thread it runs:

- A read of the files that memory answers runs on the loop's thread.  It raises
  :class:`octavo.store.freshness.Stale` where it would wait or read a file, and is repeated on a thread.
- Everything else runs on the client's own threads: reads, writes and transactions each have some, so that
  none of them takes the threads that another one needs in order to end.
- A transaction has one thread for its length, as the store's turns belong to threads.  It does what it is
  handed, and rolls back when its time is up, or when its event loop is closed.

A write that is cancelled is *given up* as long as its thread has not begun to commit; then it never happens.
Afterwards the cancelled task waits for the outcome, so that CancelledError always finds the write settled.

Nothing here belongs to an event loop: any may use the client, also one after the other.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from asyncio import CancelledError
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from contextvars import copy_context
from datetime import timedelta
from functools import partial, wraps
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, Protocol, Self, TypeVar, cast

from octavo.awaiting import GivenUp, Work, doing, outcome, settled
from octavo.client import Client, Fields, ModelClient, Models, Within, isolation, seconds
from octavo.errors import BusyError, TransactionFailed, UsageError
from octavo.query.bodies import Types
from octavo.query.protocols import Isolation, Reader, Transaction
from octavo.query.run import Shown
from octavo.sessions import Inside
from octavo.store.freshness import Stale

if TYPE_CHECKING:
    from octavo.query.raw import RawResult, RawStatement
    from octavo.query.search import Hit

P = ParamSpec("P")
T = TypeVar("T")
C = TypeVar("C")

THREADS = 32
"""how many reads, writes and transactions may each be under way, unless the caller says otherwise"""
_LOOK = 0.25
"""seconds after which an idle transaction looks whether its event loop is still there"""


class _AtOnce:
    """Operations that read, from memory alone."""

    owns_transaction = True

    def __init__(self, reader: Any) -> None:
        self.reader: Reader = reader
        self._read = reader.read

    def read(self, work: Callable[[Reader], T], *, several: bool) -> T:
        found: T = self._read(work) if several else work(self.reader)
        return found

    def raw(self, statement: RawStatement) -> RawResult:
        raise Stale

    def writing(self, *, single: bool) -> Any:
        raise Stale


class _Claiming:
    """Operations that are transactions by themselves, that may be given up until they commit."""

    owns_transaction = True

    def __init__(self, client: Client) -> None:
        self._alone = client._alone
        self.reader, self.read = self._alone.reader, self._alone.read
        self.raw = self._alone.raw

    @contextmanager
    def writing(self, *, single: bool) -> Iterator[Transaction]:
        work = doing.work
        with self._alone.writing(single=single) as transaction:
            if single:
                # The one write may commit by itself.
                work.claim()
            yield transaction
            if not single:
                work.claim()


class _Place(Protocol):
    """Where calls run: on the client's threads, or on that of a transaction."""

    async def _do(self, call: Callable[[], T], *, writes: bool) -> T:
        """What a call gives that a thread makes.  Of a task that is cancelled it does not happen, or is over
        when CancelledError is raised."""

    async def _call(self, call: Callable[[Any], T]) -> T:
        """The same of a call with the synchronous client, or transaction."""


def _reading(operation: Callable[..., T]) -> Callable[..., Coroutine[Any, Any, T]]:
    @wraps(operation)
    async def call(self: AsyncModelClient, **arguments: Any) -> T:
        if self._at_once is not None:
            with suppress(Stale):
                return operation(self._at_once, **arguments)
        return await self._place._do(partial(operation, self._model, **arguments), writes=False)

    return call


def _writing(operation: Callable[..., T]) -> Callable[..., Coroutine[Any, Any, T]]:
    @wraps(operation)
    async def call(self: AsyncModelClient, **arguments: Any) -> T:
        return await self._place._do(partial(operation, self._model, **arguments), writes=True)

    return call


class AsyncModelClient:
    """The operations on one model, as :class:`octavo.client.ModelClient` has them."""

    def __init__(self, model: ModelClient, at_once: ModelClient | None, place: _Place) -> None:
        self._model, self._at_once, self._place = model, at_once, place

    @property
    def fields(self) -> Fields:
        """As :attr:`octavo.client.ModelClient.fields`."""
        return self._model.fields

    find_unique = _reading(ModelClient.find_unique)
    find_unique_or_raise = _reading(ModelClient.find_unique_or_raise)
    find_first = _reading(ModelClient.find_first)
    find_first_or_raise = _reading(ModelClient.find_first_or_raise)
    find_many = _reading(ModelClient.find_many)

    async def search(self, query: str, **arguments: Any) -> list[Hit]:
        # An index is a file, and without one every record is looked at.
        return await self._place._do(partial(self._model.search, query, **arguments), writes=False)

    search.__doc__ = ModelClient.search.__doc__

    count = _reading(ModelClient.count)
    aggregate = _reading(ModelClient.aggregate)
    group_by = _reading(ModelClient.group_by)
    create = _writing(ModelClient.create)
    create_many = _writing(ModelClient.create_many)
    create_many_and_return = _writing(ModelClient.create_many_and_return)
    update = _writing(ModelClient.update)
    update_many = _writing(ModelClient.update_many)
    update_many_and_return = _writing(ModelClient.update_many_and_return)
    upsert = _writing(ModelClient.upsert)
    delete = _writing(ModelClient.delete)
    delete_many = _writing(ModelClient.delete_many)


class AsyncModels:
    """Accessors of the models, as :class:`octavo.client.Models` has them."""

    def __init__(self, models: Models, at_once: Models | None, place: _Place) -> None:
        self._models, self._at_once, self._place = models, at_once, place

    def __getattr__(self, name: str) -> AsyncModelClient:
        if name.startswith("_"):
            raise AttributeError(name)
        at_once = None if self._at_once is None else getattr(self._at_once, name)
        accessor = AsyncModelClient(getattr(self._models, name), at_once, self._place)
        self.__dict__[name] = accessor
        return accessor

    def __getitem__(self, model: str) -> AsyncModelClient:
        """The accessor of a model by the schema's name.  Raises KeyError."""
        at_once = None if self._at_once is None else self._at_once[model]
        return AsyncModelClient(self._models[model], at_once, self._place)

    def savepoint(self) -> AbstractAsyncContextManager[AsyncWithin]:
        """As :meth:`octavo.client.Models.savepoint`."""
        raise UsageError("a savepoint is set within a transaction")

    async def query_raw(self, query: str, *parameters: Any) -> list[dict[str, Any]]:
        """As :meth:`octavo.client.Models.query_raw`."""
        return await self._place._do(partial(self._models.query_raw, query, *parameters), writes=False)

    async def query_first(self, query: str, *parameters: Any) -> dict[str, Any] | None:
        """As :meth:`octavo.client.Models.query_first`."""
        return await self._place._do(partial(self._models.query_first, query, *parameters), writes=False)

    async def execute_raw(self, query: str, *parameters: Any) -> int:
        """As :meth:`octavo.client.Models.execute_raw`."""
        return await self._place._do(partial(self._models.execute_raw, query, *parameters), writes=True)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *dir(self._models)})


class _Thread:
    """A transaction and the thread that it runs on, which makes the calls that it is handed."""

    def __init__(self, client: Client, level: Isolation, wait: float, limit: float) -> None:
        self._client, self._level, self._wait, self._limit = client, level, wait, limit
        self._asked = time.monotonic()
        self._loop = asyncio.get_running_loop()
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        """what the thread is to do; None: it is to end"""
        self._mutex = threading.Lock()
        """held for moments only"""
        self._is_over = self._is_left = False
        """whether nothing is done any more; whether nothing is to be kept"""
        self._failed = ""
        """why nothing more can be done in it"""
        self.begun: Future[Within] = Future()
        self.ended: Future[None] = Future()

    def run(self) -> None:
        """All that the thread does."""
        try:
            left = self._wait - (time.monotonic() - self._asked)
            wait = max(left, 0.0)
            with self._client.tx(isolation_level=self._level, max_wait=wait, timeout=self._limit) as models:
                self.begun.set_result(models)
                self._do_jobs()
        except BaseException as error:
            if isinstance(error, TransactionFailed):
                self._failed = self._failed or error.message
            self._refuse_jobs()
            if not self.begun.done():
                self.begun.set_exception(error)
            self.ended.set_exception(error)
        else:
            self._refuse_jobs()
            self.ended.set_result(None)

    def _do_jobs(self) -> None:
        end = time.monotonic() + self._limit
        while (job := self._next(end)) is not None:
            job()
        if self._is_left:
            raise GivenUp
        if self._failed:
            raise self.failure()

    def _next(self, end: float) -> Callable[[], None] | None:
        while True:
            left = end - time.monotonic()
            if left <= 0:
                raise TransactionFailed.late(self._limit, self._limit - left)
            with suppress(Empty):
                return self._jobs.get(timeout=min(left, _LOOK))
            if self._loop.is_closed():
                raise GivenUp

    def _refuse_jobs(self) -> None:
        with self._mutex:
            self._is_over = True
        while not self._jobs.empty():
            if (job := self._jobs.get()) is not None:
                job()

    def failure(self) -> TransactionFailed:
        """Why nothing more can be done in it."""
        return TransactionFailed(self._failed or "the transaction has ended; nothing more can be done in it")

    def fail(self, state: str) -> None:
        """Nothing more can be done in it, and nothing of it is kept."""
        self._failed = self._failed or f"the transaction {state}; nothing more can be done in it"

    def abandon(self) -> bool:
        """Let it never happen, if it has not written yet; whether it has not."""
        return self.begun.result()._session.transaction.abandon()

    def end(self, *, keep: bool) -> None:
        """Let it commit, or roll back, when the thread has done what it was handed."""
        self._is_left = self._is_left or not keep
        self._jobs.put(None)

    async def _do(self, call: Callable[[], T], *, writes: bool) -> T:
        """What a call gives that the thread makes.  A task that is cancelled in it fails the transaction."""
        future: Future[T] = Future()
        context = copy_context()

        def job() -> None:
            try:
                if self._is_over or self._failed:
                    raise self.failure()
                future.set_result(context.run(call))
            except BaseException as error:
                future.set_exception(error)

        with self._mutex:
            if self._is_over:
                raise self.failure()
            self._jobs.put(job)
        try:
            await settled(future)
        except BaseException:
            self.fail("was cancelled during a call")
            raise
        return future.result()

    async def _call(self, call: Callable[[Any], T]) -> T:
        return await self._do(lambda: call(self.begun.result()), writes=True)


class AsyncWithin(AsyncModels):
    """What a transaction gives."""

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[AsyncWithin]:
        """As :meth:`octavo.client.Within.savepoint`."""
        do, block = self._place._do, self._models.savepoint()
        models = await do(block.__enter__, writes=True)
        try:
            yield AsyncWithin(models, None, self._place)
        except BaseException as error:
            leaving = partial(block.__exit__, type(error), error, error.__traceback__)
            if not await do(leaving, writes=True):
                raise
        else:
            await do(partial(block.__exit__, None, None, None), writes=True)


class _Block(AbstractAsyncContextManager[AsyncWithin]):
    """The block of a transaction."""

    def __init__(self, client: AsyncClient, level: Isolation, wait: float, limit: float) -> None:
        self._client, self._level, self._wait, self._limit = client, level, wait, limit

    async def __aenter__(self) -> AsyncWithin:
        client, alone = self._client, self._client._sync._alone
        alone.check("task")
        made = self._thread = _Thread(client._sync, self._level, self._wait, self._limit)
        client._open.add(made)
        try:
            waiting = client._submit("transactions", partial(copy_context().run, made.run))
            # All threads may be taken by other transactions.
            if not await settled(made.begun, self._wait) and waiting.cancel():
                raise BusyError(self._wait, "other transactions of this client")
            await settled(made.begun)
            models = made.begun.result()
        except BaseException:
            # What has not begun never does.
            made.end(keep=False)
            client._open.discard(made)
            raise
        self._inside = Inside(alone)
        self._inside.enter()
        return AsyncWithin(models, None, made)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        made = self._thread
        try:
            made.end(keep=error is None)
            if isinstance(error, GeneratorExit) or (error is not None and made.abandon()):
                # The task is no more, and cannot wait; or nothing has been written, nor will be.
                return
            await outcome(made.ended)
        finally:
            self._client._open.discard(made)
            self._inside.leave()
        if error is None and (failed := made.ended.exception()) is not None:
            raise made.failure() if isinstance(failed, GivenUp) else failed


_KINDS = ("reads", "writes", "transactions")


class AsyncClient(AsyncModels):
    """A connection to the data, wherever it lives, for the tasks of asyncio."""

    def __init__(self, client: Client, threads: int = THREADS) -> None:
        """``threads``: how many reads, writes and transactions may each be under way."""
        self._sync, self._threads = client, require_threads(threads)
        at_once = getattr(client._backend, "at_once", None)
        super().__init__(
            Models(client._schema, _Claiming(client)),
            None if at_once is None else Models(client._schema, _AtOnce(at_once)),
            self,
        )
        self._open: set[_Thread] = set()
        """the transactions that are under way"""
        self._closing: Future[None] | None = None
        self._make_pools()

    @property
    def types(self) -> Types:
        """As :attr:`octavo.client.Client.types`."""
        return self._sync.types

    def _make_pools(self) -> None:
        self._process = os.getpid()
        self._pools = {
            kind: ThreadPoolExecutor(self._threads, thread_name_prefix=f"octavo-{kind}") for kind in _KINDS
        }

    def _submit(self, kind: str, work: Callable[[], T]) -> Future[T]:
        if self._process != os.getpid():
            # Threads do not survive a fork.
            self._make_pools()
        if self._closing is not None:
            raise UsageError("the client is closed")
        try:
            return self._pools[kind].submit(work)
        except RuntimeError as error:
            raise UsageError(f"the client cannot be used any more: {error}") from None

    async def _do(self, call: Callable[[], T], *, writes: bool) -> T:
        if writes:
            self._sync._alone.check("task")
        work = Work(call)
        future = self._submit("writes" if writes else "reads", work.run)
        try:
            await settled(future)
        except CancelledError:
            if not (future.cancel() or work.give_up()):
                await outcome(future)
            raise
        return future.result()

    async def _call(self, call: Callable[[Any], T]) -> T:
        def claimed() -> T:
            doing.work.claim()
            return call(self._sync)

        return await self._do(claimed, writes=True)

    def tx(
        self,
        *,
        isolation_level: str = "ReadCommitted",
        max_wait: float | timedelta = 2.0,
        timeout: float | timedelta = 5.0,
    ) -> AbstractAsyncContextManager[AsyncWithin]:
        """A transaction: what is done with the client that this gives happens whole or not at all.

        As :meth:`octavo.client.Client.tx`.  A block that is cancelled is rolled back, and so is one whose
        ``timeout`` is over, even if its task does nothing.  A call that is cancelled fails the transaction.
        Inside the block, this task and those that it starts write by nothing else: OwnTransaction.
        """
        level = isolation(isolation_level)
        return _Block(self, level, seconds("max_wait", max_wait), seconds("timeout", timeout))

    def as_prisma(self) -> AsyncClient:
        """As :meth:`octavo.client.Client.as_prisma`, on threads of its own."""
        return AsyncClient(self._sync.as_prisma(), self._threads)

    async def payload(self, record: Shown) -> bytes | None:
        """As :meth:`octavo.client.Client.payload`."""
        return await self._do(partial(self._sync.payload, record), writes=False)

    async def close(self) -> None:
        """Wait for the calls that are under way, roll back open transactions, and let go of the data.

        May be called twice.
        """
        if self._closing is None:
            thread = ThreadPoolExecutor(1, thread_name_prefix="octavo-close")
            self._closing = thread.submit(self._close)
            thread.shutdown(wait=False)
            for transaction in list(self._open):
                transaction.fail("was ended by closing the client")
                transaction.end(keep=False)
        await outcome(self._closing)
        self._closing.result()

    def _close(self) -> None:
        for pool in self._pools.values():
            pool.shutdown()
        self._sync.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


async def call(
    db: Any, function: Callable[Concatenate[Any, P], T], /, *args: P.args, **kwargs: P.kwargs
) -> T:
    """What a function of a synchronous client makes of an asynchronous one, or of its transaction::

        await aio.call(db, app.append_message, chat_id, data)

    It runs on a thread, and gets the synchronous client, or transaction.  Once it has begun, a task that is
    cancelled waits until it is over.
    """
    place: _Place = db._place
    return await place._call(lambda sync: function(sync, *args, **kwargs))


def _close(opened: Future[Client]) -> None:
    opened.result().close()


class Opening(Generic[C]):
    """A client that is being opened: ``await`` it, or use it as a block that closes it."""

    def __init__(self, connect: Callable[[], Client], threads: int) -> None:
        self._connect, self._threads = connect, require_threads(threads)
        self._opened: AsyncClient | None = None

    def __await__(self) -> Generator[Any, None, C]:
        return self._open().__await__()

    async def _open(self) -> Any:
        work = Work(self._connected)
        thread = ThreadPoolExecutor(1, thread_name_prefix="octavo-open")
        future = thread.submit(work.run)
        thread.shutdown(wait=False)
        try:
            await settled(future)
        except CancelledError:
            if not (future.cancel() or work.give_up()):
                # It is open, and no task will have it.
                future.add_done_callback(_close)
            raise
        return AsyncClient(future.result(), self._threads)

    def _connected(self) -> Client:
        client = self._connect()
        try:
            doing.work.claim()
        except BaseException:
            client.close()
            raise
        return client

    async def __aenter__(self) -> C:
        self._opened = await self._open()
        return cast(C, self._opened)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._opened is not None:
            await self._opened.close()


def require_threads(threads: int) -> int:
    """Raise UsageError for what is no number of threads."""
    if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
        raise UsageError(f"threads is a whole number from 1 on, not {threads!r}")
    return threads
