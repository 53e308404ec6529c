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
from collections.abc import Callable
from contextlib import suppress

from octavo.errors import BusyError
from octavo.store.system import FILE_MODE, FOLDER_MODE, in_background

NAME = "cache/write.lock"
TIMEOUT = 30.0
"""seconds to wait, where the caller says nothing"""


class ProcessLock:
    """The kernel's lock on one file, held by this process or not."""

    def __init__(self, path: str, holder: Callable[[], str]) -> None:
        """``holder`` says who holds it, for an error's message."""
        self.path, self._holder = path, holder
        self._descriptor = -1
        self._opened = 0, 0
        """device and inode of the file that is open"""

    def acquire(self, timeout: float | None) -> bool:
        """Take the lock, waiting ``timeout`` seconds at most (None: forever).

        Whether its file had to be opened: the first time, or as there is another one now.  Raises BusyError,
        which names the holder, when the time is up; OSError as the system does.
        """
        opened = False
        end = None if timeout is None else time.monotonic() + timeout
        while True:
            descriptor = self._descriptor
            if descriptor < 0:
                descriptor = self._open()
                found = os.fstat(descriptor)
                self._opened = found.st_dev, found.st_ino
                opened = True
            try:
                if not _lock(descriptor, None if end is None else end - time.monotonic()):
                    raise BusyError(timeout or 0, self._holder())
                # Somebody may have removed the file, or put another store in the place of this one.
                if self._is_still_there():
                    self._descriptor = descriptor
                    return opened
            except BaseException:
                self._descriptor = -1
                os.close(descriptor)
                raise
            self._descriptor = -1
            os.close(descriptor)

    def _is_still_there(self) -> bool:
        """Whether the file that is open is the one of this name."""
        try:
            found = os.lstat(self.path)
        except FileNotFoundError:
            return False
        return (found.st_dev, found.st_ino) == self._opened

    def _open(self) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            return os.open(self.path, flags, FILE_MODE)
        except FileNotFoundError:
            # Its folder may go at any time.
            os.mkdir(os.path.dirname(self.path), FOLDER_MODE)
            return os.open(self.path, flags, FILE_MODE)

    def release(self) -> None:
        """Let the next one have it."""
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        if self._descriptor >= 0:
            # Forgotten first: closed twice, the number may be another file's by then.
            descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)


def _lock(descriptor: int, timeout: float | None) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        pass
    if timeout is None:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        return True
    if timeout <= 0:
        return False
    return _lock_in_time(descriptor, timeout)


def _lock_in_time(descriptor: int, timeout: float) -> bool:
    """Wait in the kernel's queue, which is in order, in a thread that can be left behind."""
    mutex, got, given_up = threading.Lock(), threading.Lock(), False
    got.acquire()
    # A descriptor of its own, so that what is left behind can let go without its owner.
    waiting = os.dup(descriptor)

    def wait() -> None:
        with suppress(OSError):
            fcntl.flock(waiting, fcntl.LOCK_EX)
        with mutex:
            if given_up:
                fcntl.flock(waiting, fcntl.LOCK_UN)
            else:
                got.release()
        os.close(waiting)

    in_background(wait)
    if got.acquire(timeout=timeout):
        return True
    with mutex:
        given_up = not got.acquire(blocking=False)
    return not given_up
