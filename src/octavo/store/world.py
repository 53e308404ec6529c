"""The disk as one process sees it: files read at one commit, and what has changed since.

A :class:`World` knows the commit that everything in memory belongs to, and hears of files that somebody else
has changed.  A file is only ever read while no commit is under way, so that what is in memory fits together.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, NoReturn, TypeVar

from octavo.errors import UsageError
from octavo.store.shared import COUNT, SharedState
from octavo.store.system import (
    FOLDER_MODE,
    FileSystem,
    Signature,
    open_privately,
    open_to_write,
    read_whole,
    signature,
    sync,
)
from octavo.store.watch import Watch

T = TypeVar("T")

TORN = "cache/torn"
"""where what a crash has left of lines is kept"""
_TORN = 1 << 20
"""bytes of a torn line to keep"""


class Behind(Exception):
    """What is in memory does not fit what is on disk: to be caught up with, and tried again."""


class _Closed(Sequence[int]):
    """What a closed store has in the place of the page's numbers."""

    def __getitem__(self, at: object) -> NoReturn:
        raise UsageError("the store is closed")

    def __len__(self) -> int:
        return 0


class _Change(AbstractContextManager[None]):
    """The block of :meth:`World.change`."""

    __slots__ = ("_world",)

    def __init__(self, world: World) -> None:
        self._world = world

    def __enter__(self) -> None:
        self._world.mutex.acquire()
        self._world.epoch += 1

    def __exit__(self, *_: object) -> None:
        self._world.epoch += 1
        self._world.mutex.release()


class World:
    """What is known of the files below ``root``."""

    def __init__(self, root: str, system: FileSystem, state: SharedState | None, watch: Watch) -> None:
        self.root, self.system, self.watch = root, system, watch
        self.mutex = threading.RLock()
        """held while what is in memory is read from files or changed"""
        self.state: SharedState | None = None
        self.words: Sequence[int] = (0,) * (COUNT + 1)
        self.known = 0
        """the commit that what is in memory belongs to"""
        if state is not None:
            self.use(state)
        self._change = _Change(self)
        self.epoch = 0
        """odd while what is in memory is being changed to mean something else, another one afterwards"""
        self.replaced = 0
        """how often what was in memory had to be read again"""
        self.in_flight: frozenset[str] = frozenset()
        """the files that this process's own commit is changing; in memory they are as before"""
        self.wait_for_own_commit: Callable[[], bool] = lambda: False
        """waits, in a thread that may write, for the commit before its own; whether there was one"""
        self._steady = threading.local()

    def change(self) -> AbstractContextManager[None]:
        """Change what is in memory inside the block, so that whoever is reading it reads again."""
        return self._change

    def use(self, state: SharedState) -> None:
        """Share this page with other processes from now on; what is in memory belongs to its commit."""
        self.state, self.words, self.known = state, state.words, state.commits

    def close(self) -> None:
        """Let go of the page and of the watch; whoever asks for the count then is told so."""
        self.watch.close()
        state, self.state, self.words = self.state, None, _Closed()
        if state is not None:
            state.close()

    def path(self, file: str) -> str:
        return f"{self.root}/{file}"

    @property
    def commits(self) -> int:
        return self.words[COUNT]

    def read(self, file: str) -> tuple[bytes, Signature]:
        """A file's content as of the known commit.  Raises Behind, FileNotFoundError, OSError."""
        if self.commits == self.known:
            try:
                return read_whole(self.path(file))
            finally:
                if self.commits != self.known:
                    raise Behind
        raise Behind

    def check(self) -> None:
        """Raise Behind if somebody else may have changed what was just looked at, but not read."""
        if self.commits != self.known and not self.in_flight:
            raise Behind

    def steadily(self, work: Callable[[], T], mutex: AbstractContextManager[Any] | None = None) -> T:
        """What some work gives that may read files, done under a mutex: :attr:`mutex`, or another one.

        If a commit of this process has to end first, it is begun again then: not waited for under the mutex,
        which that commit needs to end.  Work within such work leaves beginning again to the outer one, which
        holds its mutex still.  Raises what it raises; Behind if somebody else is writing.
        """
        is_inner, self._steady.is_working = getattr(self._steady, "is_working", False), True
        try:
            while True:
                try:
                    with mutex or self.mutex:
                        return work()
                except Behind:
                    # It may also have ended just now.
                    if is_inner or (not self.wait_for_own_commit() and self.commits != self.known):
                        raise
        finally:
            self._steady.is_working = is_inner

    def cut(self, file: str, size: int) -> None:
        """Cut what a crash has left of a line, and keep it below ``cache/torn``.  Under the write lock only.

        Raises OSError.
        """
        descriptor = open_to_write(self.path(file))
        try:
            torn = os.pread(descriptor, _TORN, size)
            kept = os.path.join(self.root, TORN)
            os.makedirs(kept, FOLDER_MODE, exist_ok=True)
            name = f"{file.replace('/', '+')}.{size}"
            with open(os.path.join(kept, name), "wb", opener=open_privately) as copy:
                copy.write(torn)
            self.system.truncate(descriptor, size)
            sync(self.system, descriptor)
        finally:
            os.close(descriptor)

    def signature(self, file: str) -> Signature | None:
        return signature(self.path(file))
