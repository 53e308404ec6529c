"""The disk as one process sees it: files read at one commit, and what has changed since.

A :class:`World` knows the commit that everything in memory belongs to, and hears of files that others
have changed.  A file is only ever read while no commit is under way, so that what is in memory fits together.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, NoReturn, TypeVar, cast

from octavo.errors import (
    DiskError,
    OctavoError,
    ReplacedError,
    UsageError,
    disk_errors,
    is_of_handler,
    is_of_system,
)
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
_REMEMBERED = 1_000
"""files of which it is known how commits have left them"""


class Stale(Exception):
    """The in-memory state is stale: refresh and retry."""


def is_foreseen(error: BaseException) -> bool:
    """Whether the store's own code raises this, leaving nothing half done.

    Anything else can come out of any line: a signal handler runs between any two instructions of the main
    thread.  It may raise what the store raises, too.
    """
    if isinstance(error, OSError):
        return is_of_system(error)
    return isinstance(error, (OctavoError, Stale)) and not is_of_handler(error)


class Place:
    """The folder that a store was opened in: whether it still is the one at its path.

    The kernel reports changes inside a folder that is watched.  It does not report that the path leads to
    another folder by now: over a symbolic link, below a renamed parent, or to a file system that was mounted
    there.  So the path is looked up for every answer: one system call.
    """

    def __init__(self, path: str) -> None:
        """Raises DiskError if there is no folder at ``path``."""
        self.path = path
        with disk_errors("opening the data folder"):
            # An open folder keeps its inode: no other one gets that number when this one is removed.
            self._descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            found = os.fstat(self._descriptor)
        self._inode, self._device = found.st_ino, found.st_dev

    def check(self) -> None:
        """Raise ReplacedError if the path leads to another folder, or ever did when it was checked before.

        Raises DiskError if there is no folder.
        """
        try:
            found = os.stat(self.path)
        except OSError as error:
            raise DiskError.of(error, "looking for the data folder") from error
        if found.st_ino != self._inode or found.st_dev != self._device:
            # Memory may hold parts of both folders by now, whichever of them comes back.
            self._inode = -1
            raise ReplacedError(
                "the data folder was replaced by another one; close the store and open it again"
            )

    def close(self) -> None:
        """Let go of the folder."""
        if self._descriptor >= 0:
            # Forgotten first: closed twice, the number may be another file's by then.
            descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)


class _Closed(Sequence[int]):
    """What a closed store has in the place of the page's numbers."""

    def __getitem__(self, at: object) -> NoReturn:
        raise UsageError("the store is closed")

    def __len__(self) -> int:
        return 0


class _Guard(AbstractContextManager[None]):
    """The block of :attr:`World.guard`."""

    __slots__ = ("_world",)

    def __init__(self, world: World) -> None:
        self._world = world

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is not None and not is_foreseen(error):
            self._world.tear()


class _Change(_Guard):
    """The block of :attr:`World.change`."""

    __slots__ = ()

    def __enter__(self) -> None:
        self._world.epoch |= 1

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        super().__exit__(kind, error, trace)
        if not self._world.torn:
            self._world.epoch = (self._world.epoch | 1) + 1


class World:
    """What is known of the files in one folder."""

    def __init__(self, place: Place, system: FileSystem, state: SharedState | None, watch: Watch) -> None:
        self.place, self.root, self.system, self.watch = place, place.path, system, watch
        self.mutex = threading.RLock()
        """held while what is in memory is read from files or changed"""
        self.state: SharedState | None = None
        self.words: Sequence[int] = (0,) * (COUNT + 1)
        self.known = 0
        """the commit that what is in memory belongs to"""
        self.untold = False
        """whether the watch's changes were taken, and what is in memory has not been told of them yet"""
        if state is not None:
            self.use(state)
        self.guard: AbstractContextManager[None] = _Guard(self)
        """a block that changes what is in memory, under the mutex: an unforeseen exception tears it"""
        self.change: AbstractContextManager[None] = _Change(self)
        """such a block that makes it mean something else: a thread that is reading it reads again"""
        self.epoch = 0
        """odd while what is in memory is being changed to mean something else, another one afterwards"""
        self.torn = False
        """whether an exception came out of the midst of a change: what is in memory counts for nothing"""
        self.replaced = 0
        """how often what was in memory had to be read again"""
        self.followed: dict[str, Signature] = {}
        """the state in which a commit of this process has left a file, and in which memory has it"""
        self.in_flight: frozenset[str] = frozenset()
        """the files that this process's own commit is changing; in memory they are as before"""
        self.wait_for_own_commit: Callable[[], bool] = lambda: False
        """waits, in a thread that may write, for the commit before its own; whether there was one"""

    def tear(self) -> None:
        """What is in memory may be half changed: nothing is answered from it any more."""
        self.torn = True
        self.epoch |= 1

    def use(self, state: SharedState) -> None:
        """Share this page with other processes from now on; what is in memory belongs to its commit."""
        self.state, self.words, self.known = state, state.words, state.commits

    def close(self) -> None:
        """Let go of the folder, the page and the watch; a thread that asks for the count then is told so."""
        self.place.close()
        self.watch.close()
        state, self.state, self.words = self.state, None, _Closed()
        if state is not None:
            state.close()

    def follow(self, found: Mapping[str, Signature]) -> None:
        """A commit of this process has left files in these states."""
        if len(self.followed) > _REMEMBERED:
            self.followed.clear()
        self.followed.update(found)

    def of_others(self, files: set[str]) -> set[str]:
        """Of files that were changed, those that another than this process has changed since."""
        known = self.followed
        return {f for f in files if f not in known or known[f] != self.signature(f)}

    def path(self, file: str) -> str:
        return f"{self.root}/{file}"

    @property
    def commits(self) -> int:
        return self.words[COUNT]

    def read(self, file: str) -> tuple[bytes, Signature]:
        """A file's content as of the known commit.

        Raises Stale, ReplacedError, FileNotFoundError, OSError.
        """
        found = None
        if self.commits == self.known:
            try:
                found = read_whole(self.path(file))
            except OSError:
                self.place.check()
                if self.commits == self.known:
                    raise
            self.place.check()
        if found is None or self.commits != self.known:
            raise Stale
        return found

    def check(self) -> None:
        """Raise Stale if what was just looked at, but not read, may have been changed by another process."""
        if self.commits != self.known and not self.in_flight:
            raise Stale

    def steadily(self, work: Callable[[], T]) -> T:
        """What some work gives that may read files, done under :attr:`mutex`.

        If a commit of this process has to end first, it is begun again then: not waited for under the mutex,
        which that commit needs to end.  Work within such work leaves beginning again to the outer one, which
        holds the mutex still.  Raises what it raises; Stale if another process is writing.
        """
        while True:
            try:
                with self.mutex, self.guard:
                    return work()
            except Stale:
                # It may also have ended just now.
                if self._is_held() or (not self.wait_for_own_commit() and self.commits != self.known):
                    raise

    def _is_held(self) -> bool:
        """Whether this thread holds the mutex.  (Condition variables ask a lock in the same way.)"""
        held: bool = cast(Any, self.mutex)._is_owned()
        return held

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
