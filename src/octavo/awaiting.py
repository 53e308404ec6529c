"""Work that threads do for the tasks of asyncio, and that is given up with them."""

from __future__ import annotations

import asyncio
import threading
from asyncio import CancelledError
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from contextvars import copy_context
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class GivenUp(Exception):
    """Work of a thread that no task waits for is left, and nothing of it is kept."""


async def settled(future: Future[Any], timeout: float | None = None) -> bool:
    """Wait until a thread has settled a future, or for some seconds; whether it has.

    A task that is cancelled meanwhile leaves the thread as it is.
    """
    if future.done():
        return True
    loop = asyncio.get_running_loop()
    waiter = loop.create_future()

    def wake() -> None:
        if not waiter.done():
            waiter.set_result(None)

    def settle(_: object) -> None:
        # The loop may be closed by now.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(wake)

    timer = None if timeout is None else loop.call_later(timeout, wake)
    future.add_done_callback(settle)
    try:
        await waiter
    finally:
        if timer is not None:
            timer.cancel()
    return future.done()


async def outcome(future: Future[Any]) -> None:
    """Wait until a thread has settled a future; a cancellation is raised when it has."""
    cancelled = None
    while not future.done():
        try:
            await settled(future)
        except CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled


class Work(Generic[T]):
    """A call that a thread makes.  Until it is claimed it can be given up."""

    def __init__(self, call: Callable[[], T]) -> None:
        self._call, self._context = call, copy_context()
        self._mutex = threading.Lock()
        self._is_claimed = self._is_given_up = False

    def run(self) -> T:
        return self._context.run(self._run)

    def _run(self) -> T:
        doing.work = self
        try:
            return self._call()
        finally:
            del doing.work

    def claim(self) -> None:
        """From now on it happens, or fails, whatever becomes of its task.  Raises GivenUp."""
        with self._mutex:
            if self._is_given_up:
                raise GivenUp
            self._is_claimed = True

    def give_up(self) -> bool:
        """Whether it never happens."""
        with self._mutex:
            self._is_given_up = not self._is_claimed
            return self._is_given_up


class _Doing(threading.local):
    work: Work[Any]


doing = _Doing()
"""the work that this thread does"""
