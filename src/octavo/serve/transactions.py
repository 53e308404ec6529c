"""Interactive transactions: begun by one request, used by some, ended by another.

Each has an unguessable id and a deadline.  It runs on a thread of its own (:mod:`octavo.aio`), which rolls it
back when the time is up, whatever has become of its caller.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from octavo.aio import AsyncClient, AsyncWithin
from octavo.errors import TransactionFailed
from octavo.query.protocols import Isolation
from octavo.serve.refusals import Refused

MAX_WAIT, TIMEOUT = 2.0, 5.0
"""seconds: Prisma's defaults"""
_REMEMBERED = 100
"""how many closed transactions are told from unknown ones"""


class _GivenUp(Exception):
    """Leaves the block of a transaction that is rolled back."""


class Interactive:
    """A transaction that is open."""

    def __init__(self, block: AbstractAsyncContextManager[AsyncWithin], limit: float) -> None:
        self.block, self.limit = block, limit
        self.models: AsyncWithin
        self.outer: list[tuple[AbstractAsyncContextManager[AsyncWithin], AsyncWithin]] = []
        """the parts that it is in (nested transactions): each one's block, and what is used outside it"""
        self.began = time.monotonic()
        self.turn = asyncio.Lock()
        """held by the one request that uses it"""

    @property
    def is_over(self) -> bool:
        """Whether its time is up."""
        return time.monotonic() - self.began > self.limit

    def late(self) -> TransactionFailed:
        """The error of a use after its time."""
        return TransactionFailed.late(self.limit, time.monotonic() - self.began)


class Transactions:
    """The interactive transactions of one server."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client
        self._open: dict[str, Interactive] = {}
        self._closed: OrderedDict[str, Callable[[], TransactionFailed]] = OrderedDict()
        """by id, what makes the error of using a transaction that is over"""
        self._ending: set[asyncio.Task[None]] = set()
        self.count = 0
        """how many have begun"""

    def __len__(self) -> int:
        return len(self._open)

    def idle(self) -> list[str]:
        """The ids of those that no request uses."""
        return [key for key, made in self._open.items() if not made.turn.locked()]

    async def begin(self, wait: float, limit: float, isolation: str, *, refused: bool) -> str:
        """Begin one, unless they are refused, and give its id.  Raises TransactionFailed."""
        if refused:
            raise TransactionFailed("the server is shutting down")
        block = self._client.tx(isolation_level=isolation, max_wait=wait, timeout=limit)
        made = Interactive(block, limit)
        made.models = await block.__aenter__()
        key = secrets.token_urlsafe(24)
        self._open[key] = made
        self.count += 1
        # A little later than the thread itself, which knows best why it ended.
        asyncio.get_running_loop().call_later(limit + 0.1, self._expire, key)
        return key

    async def begin_part(self, key: str) -> str:
        """Begin a transaction within an open one, which has the same id.  Raises TransactionFailed."""
        async with self.turn(key) as made:
            part = made.models.savepoint()
            models = await part.__aenter__()
            made.outer.append((part, made.models))
            made.models = models
        return key

    @asynccontextmanager
    async def turn(self, key: str) -> AsyncIterator[Interactive]:
        """The open one with this id, for the caller alone.  Raises TransactionFailed."""
        async with self._get(key).turn:
            # It may have ended while the caller waited.
            yield self._get(key)

    def _get(self, key: str) -> Interactive:
        found = self._open.get(key)
        if found is not None and found.is_over:
            self._expire(key)
            found = None
        if found is None:
            closed = self._closed.get(key)
            raise TransactionFailed(_UNKNOWN) if closed is None else closed()
        return found

    async def end(self, key: str, *, keep: bool) -> None:
        """Commit its innermost part, or roll that back.  Raises what the commit raises."""
        async with self.turn(key) as made:
            if made.outer:
                part, made.models = made.outer.pop()
                await _leave(part, keep=keep)
                return
            self._forget(key, _committed if keep else _rolled_back)
            await _leave(made.block, keep=keep)

    def _forget(self, key: str, tell: Callable[[], TransactionFailed]) -> Interactive | None:
        self._closed[key] = tell
        while len(self._closed) > _REMEMBERED:
            self._closed.popitem(last=False)
        return self._open.pop(key, None)

    def _expire(self, key: str) -> None:
        if (made := self._open.get(key)) is not None:
            self._forget(key, made.late)
            task = asyncio.ensure_future(_leave(made.block, keep=False))
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)

    async def close(self) -> None:
        """Roll back all that are open."""
        for key in list(self._open):
            made = self._forget(key, _rolled_back)
            if made is not None:
                await _leave(made.block, keep=False)


async def _leave(block: AbstractAsyncContextManager[AsyncWithin], *, keep: bool) -> None:
    if keep:
        await block.__aexit__(None, None, None)
        return
    error = _GivenUp()
    await block.__aexit__(type(error), error, None)


_UNKNOWN = (
    "Transaction not found. Transaction ID is invalid, refers to an old closed transaction Prisma doesn't"
    " have information about anymore, or was obtained before disconnecting."
)


def _refused(message: str, meta: dict[str, Any] | None = None) -> Refused:
    return Refused(f"Transaction API error: {message}", meta or {}, "P2028")


def _committed() -> TransactionFailed:
    return TransactionFailed.over("committed")


def _rolled_back() -> TransactionFailed:
    return TransactionFailed.over("rolled back")


def isolation_level(given: Any) -> str:
    """An isolation level; None: the default.  Raises Refused."""
    if given is None:
        return Isolation.READ_COMMITTED
    if given not in [*Isolation]:
        raise _refused(f"Invalid isolation level: {given}", {"isolationLevel": given})
    return str(given)


def options(given: Any) -> tuple[float, float, str]:
    """What the body of a beginning asks for: seconds to wait and to run, and the isolation level.

    Raises Refused.
    """
    if type(given) is not dict:
        raise _refused("the request is not an object")
    level = isolation_level(given.get("isolation_level"))
    found = []
    for name, default in (("max_wait", MAX_WAIT), ("timeout", TIMEOUT)):
        value = given.get(name)
        if value is not None and (type(value) not in (int, float) or value < 0):
            raise _refused(f"{name} is not a number of milliseconds")
        found.append(default if value is None else value / 1000)
    return found[0], found[1], level
