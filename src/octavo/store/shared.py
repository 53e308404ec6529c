"""What the processes that have a store open tell each other: one page of memory, ``cache/state``.

It counts commits.  The count is odd while a commit changes files, so that a reader can tell whether what it
has read belongs together: it reads again if the count was odd or has moved.  A count that stays odd when
nobody holds the write lock means that a writer died, and that the store has to be recovered.

The page belongs to one boot of the machine, as nothing in it is ever synced.  Without it, or with that of
another boot, a store is recovered before it is used.
"""

from __future__ import annotations

import errno
import mmap
import os
import time
from functools import cache

from octavo.store.system import FILE_MODE

NAME = "cache/state"
READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)
"""why one may not write"""
_SIZE = 4096
_MAGIC = int.from_bytes(b"OCTAVO\x00\x01", "little")
_MAGIC_AT, _BOOT_AT, COUNT, _JOURNAL_AT, _JOURNALS_AT, _HOLDER_AT, _SINCE_AT, _INDEXED_AT = range(8)
"""where in the page each number stands; the count is looked at for every answer"""


@cache
def boot_id() -> int:
    """A number that is another one after the machine was started again."""
    try:
        with open("/proc/sys/kernel/random/boot_id", "rb") as file:
            text = file.read()
    except OSError:
        # Without a number of the boot, the hour of its beginning has to do.
        import socket

        text = f"{socket.gethostname()} {(time.time() - time.monotonic()) // 3600}".encode()
    return int.from_bytes(text.replace(b"-", b"").strip()[:16].rjust(16, b"0"), "little") & (2**63 - 1)


class SharedState:
    """The page at ``path``, mapped.  Raises OSError if it cannot be."""

    def __init__(self, path: str, *, create: bool) -> None:
        """``create`` makes a file that is missing or is no page; under the write lock only.  Without it, who
        may only read follows what others note in the page."""
        flags, access = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, mmap.ACCESS_WRITE
        try:
            descriptor = os.open(path, flags | (os.O_CREAT if create else 0), FILE_MODE)
        except OSError as error:
            if create or error.errno not in READ_ONLY:
                raise
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            access = mmap.ACCESS_READ
        try:
            if os.fstat(descriptor).st_size != _SIZE:
                if not create:
                    raise FileNotFoundError(2, "is no page of state", path)
                os.ftruncate(descriptor, 0)
                # Written, so that there is room for it: a page that a full disk has no room for is the death
                # of who touches it.
                if os.pwrite(descriptor, bytes(_SIZE), 0) != _SIZE:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
            self.inode = os.fstat(descriptor).st_ino
            self._map = mmap.mmap(descriptor, _SIZE, access=access)
        finally:
            os.close(descriptor)
        self.words = memoryview(self._map).cast("Q")

    @property
    def is_current(self) -> bool:
        """Whether the page is one, and of this boot."""
        return self.words[_MAGIC_AT] == _MAGIC and self.words[_BOOT_AT] == boot_id()

    @property
    def commits(self) -> int:
        """How often a commit has begun or ended: odd while one changes files."""
        return self.words[COUNT]

    @property
    def journal_end(self) -> int:
        """How many bytes of the journal hold whole entries."""
        return self.words[_JOURNAL_AT]

    @property
    def journals(self) -> int:
        """How often the journal has begun anew."""
        return self.words[_JOURNALS_AT]

    def note_journal(self, end: int) -> None:
        """The journal's whole entries end here; at 0 it begins anew.  Under the write lock only."""
        self.words[_JOURNAL_AT] = end
        if end == 0:
            self.words[_JOURNALS_AT] += 1

    @property
    def indexed(self) -> bool:
        """Whether somebody has made an index of locations, which commits are to follow."""
        return self.words[_INDEXED_AT] != 0

    def note_index(self) -> None:
        """There is an index of locations from now on."""
        self.words[_INDEXED_AT] = 1

    def sign(self) -> None:
        """This process holds the write lock now."""
        self.words[_HOLDER_AT] = os.getpid()
        self.words[_SINCE_AT] = int(time.time())

    def holder(self) -> tuple[int, int]:
        """The process that took the write lock last, and when, in seconds of the epoch."""
        return self.words[_HOLDER_AT], self.words[_SINCE_AT]

    def clear(self) -> None:
        """Forget what stands in what is no page of this boot.  Under the write lock only."""
        for at in range(len(self.words)):
            self.words[at] = 0

    def begin(self) -> None:
        """A commit begins to change files: the count becomes odd.  Under the write lock only."""
        self.words[COUNT] |= 1

    def end(self) -> None:
        """The files are whole again: the count becomes the next even one.  Under the write lock only."""
        self.words[COUNT] = (self.words[COUNT] | 1) + 1

    def start(self) -> None:
        """The store has been recovered: the page is one of this boot.  Under the write lock only."""
        self.words[_BOOT_AT] = boot_id()
        self.words[_MAGIC_AT] = _MAGIC
        self.end()

    def close(self) -> None:
        self.words.release()
        self._map.close()


def describe_holder(state: SharedState | None) -> str:
    """Who took the write lock last, in words."""
    pid, since = state.holder() if state is not None else (0, 0)
    if not pid:
        return "another process"
    name = process_name(pid)
    at = time.strftime("%H:%M:%S", time.localtime(since))
    return f"process {pid}{f' ({name})' if name else ''} since {at}"


def holder_in(root: str) -> str:
    """Who took the write lock of the store in a folder last, in words."""
    try:
        state = SharedState(os.path.join(root, NAME), create=False)
    except OSError:
        return describe_holder(None)
    try:
        return describe_holder(state)
    finally:
        state.close()


def commits_in(root: str) -> int | None:
    """How often a commit has begun or ended in the store of a folder, as far as this boot knows; None where
    nobody has opened it."""
    try:
        state = SharedState(os.path.join(root, NAME), create=False)
    except OSError:
        return None
    try:
        return state.commits
    finally:
        state.close()


def process_name(pid: int) -> str:
    """What the system calls a process, without what it was started with; empty if it does not say."""
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return ""
