"""Who may write: one at a time, across threads and processes.

Between processes the kernel's advisory lock on ``cache/write.lock`` decides (flock): it dies with its holder,
and those who wait get it in the order in which they came.  Threads of one process take turns before that
(:mod:`octavo.store.commit`).
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from weakref import ref

from octavo.errors import BusyError
from octavo.store.system import FILE_MODE, FOLDER_MODE, in_background

NAME = "cache/write.lock"
TIMEOUT = 30.0
"""seconds to wait, where the caller says nothing"""


_forking = threading.RLock()
"""held while a lock's file is opened or closed, and during a fork"""
_open: dict[ref[LockFile], int] = {}
"""the descriptors of all that are open"""
_dropped: deque[ref[LockFile]] = deque()
"""files to which nothing refers any more: an interrupted ``with`` may not have closed them"""


class LockFile(AbstractContextManager["LockFile"]):
    """An open file, or folder, on which this process may hold a kernel lock; to be closed in its time.

    ``flock`` belongs to the open file.  A child of fork shares that, so it would hold the lock for as long as
    it lives.  Every such file is therefore opened here, where a fork waits until it is known, and a child
    closes all of them before anything else of Octavo runs in it.
    """

    def __init__(self, opened: Callable[[], int]) -> None:
        """``opened`` opens the file, and gives its descriptor.  Raises what it raises."""
        with _forking:
            while _dropped:
                # One that was dropped before it was noted cannot be looked up, and holds no lock.
                with suppress(TypeError):
                    if (descriptor := _open.pop(_dropped.popleft(), -1)) >= 0:
                        os.close(descriptor)
            self.descriptor = opened()
            self._mark = ref(self, _dropped.append)
            _open[self._mark] = self.descriptor

    def lock(self, how: int) -> bool:
        """Take the lock (LOCK_SH or LOCK_EX) without waiting; False if another open file holds it."""
        try:
            fcntl.flock(self.descriptor, how | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def unlock(self) -> None:
        """Let go of the lock, if it is held.  In a child of fork, and after closing, this does nothing."""
        with _forking:
            if self._mark in _open:
                fcntl.flock(self.descriptor, fcntl.LOCK_UN)

    def close(self, *, unlock: bool = True) -> None:
        """Let go of the lock, and close the file.  In a child of fork, and a second time, this does nothing.

        Without ``unlock`` the lock stays with another descriptor of the same open file.
        """
        with _forking:
            if self._mark not in _open:
                return
            try:
                # At once, although a child that is just being made may have the file open for a moment yet.
                if unlock:
                    self.unlock()
            finally:
                # Forgotten first: closed twice, the number may be another file's by then.
                descriptor = _open.pop(self._mark)
                os.close(descriptor)

    def __exit__(self, *_: object) -> None:
        self.close()


def _let_go() -> None:
    """In a child of fork: have none of the parent's locks."""
    for mark, descriptor in list(_open.items()):
        # A child may have closed what it does not know, as a daemon does.
        with suppress(OSError):
            os.close(descriptor)
        if (file := mark()) is not None:
            file.descriptor = -1
    _open.clear()
    _dropped.clear()
    _forking.release()


os.register_at_fork(before=_forking.acquire, after_in_parent=_forking.release, after_in_child=_let_go)


class ProcessLock:
    """The kernel's lock on one file, held by this process or not."""

    def __init__(self, path: str, holder: Callable[[], str]) -> None:
        """``holder`` says who holds it, for an error's message."""
        self.path, self._holder = path, holder
        self._file: LockFile | None = None
        self._inode = self._device = -1
        """of the file that is open, whose inode no other one gets meanwhile"""

    def acquire(self, timeout: float | None) -> bool:
        """Take the lock, waiting ``timeout`` seconds at most (None: forever).

        Whether its file had to be opened: the first time, or as there is another one now.  Raises BusyError,
        which names the holder, when the time is up; OSError as the system does.  Whatever is raised, the lock
        is not held then.
        """
        end = None
        try:
            while True:
                opened = self._file is None
                if (file := self._file) is None:
                    file = self._file = LockFile(self._open)
                    made = os.fstat(file.descriptor)
                    self._inode, self._device = made.st_ino, made.st_dev
                if not file.lock(fcntl.LOCK_EX):
                    if timeout is not None and end is None:
                        end = time.monotonic() + timeout
                    if not _wait(file, None if end is None else end - time.monotonic()):
                        raise BusyError(timeout or 0, self._holder())
                # The file may have been removed, or another store put in the place of this one.
                if self._is_in_place():
                    return opened
                self.close()
        except BaseException:
            self.close()
            raise

    def _is_in_place(self) -> bool:
        """Whether the file that is open is the one of this name."""
        try:
            found = os.lstat(self.path)
        except FileNotFoundError:
            return False
        return found.st_ino == self._inode and found.st_dev == self._device

    def _open(self) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            return os.open(self.path, flags, FILE_MODE)
        except FileNotFoundError:
            # Its folder may go at any time.
            os.mkdir(os.path.dirname(self.path), FOLDER_MODE)
            return os.open(self.path, flags, FILE_MODE)

    def release(self) -> None:
        """Let the next one have it.  Without the lock, this does nothing."""
        if self._file is not None:
            self._file.unlock()

    def close(self) -> None:
        """Let go of the lock, if it is held, and of its file."""
        if self._file is not None:
            self._file.close()
            self._file = None


def _wait(file: LockFile, timeout: float | None) -> bool:
    """Wait for a lock that another open file holds; False if the time is up."""
    if timeout is None:
        fcntl.flock(file.descriptor, fcntl.LOCK_EX)
        return True
    if timeout <= 0:
        return False
    return _lock_in_time(file, timeout)


def _lock_in_time(file: LockFile, timeout: float) -> bool:
    """Wait in the kernel's queue, which is in order, in a thread that may outlive the wait."""
    done, failed = threading.Lock(), list[OSError]()
    done.acquire()
    # A descriptor of its own: a lock that it gets too late ends with it, as its owner has closed the other.
    waiting = LockFile(lambda: os.dup(file.descriptor))

    def wait() -> None:
        try:
            fcntl.flock(waiting.descriptor, fcntl.LOCK_EX)
        except OSError as error:
            failed.append(error)
        done.release()
        waiting.close(unlock=False)

    try:
        in_background(wait)
    except RuntimeError:
        # There is no room for another thread.
        waiting.close()
        raise
    got = done.acquire(timeout=timeout)
    if failed:
        raise failed[0]
    return got
