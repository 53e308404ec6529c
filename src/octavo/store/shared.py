"""What the processes that have a store open tell each other: one page of memory, ``cache/state``.

It counts commits.  The count is odd while a commit changes files, so that a reader can tell whether what it
has read belongs together: it reads again if the count was odd or has moved.  A count that stays odd when
nobody holds the write lock means that a writer died, and that the store has to be recovered.

The page belongs to one boot of the machine, as nothing in it is ever synced.  Without it, or with that of
another boot, a store is recovered before it is used.
"""

from __future__ import annotations

import mmap
import os
from functools import cache

from octavo.store.system import FILE_MODE

NAME = "cache/state"
_SIZE = 4096
_MAGIC = int.from_bytes(b"OCTAVO\x00\x01", "little")
_MAGIC_AT, _BOOT_AT, COUNT, _JOURNAL_AT = 0, 1, 2, 3
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
        import time

        text = f"{socket.gethostname()} {(time.time() - time.monotonic()) // 3600}".encode()
    return int.from_bytes(text.replace(b"-", b"").strip()[:16].rjust(16, b"0"), "little") & (2**63 - 1)


class SharedState:
    """The page at ``path``, mapped.  Raises OSError if it cannot be."""

    def __init__(self, path: str, *, create: bool) -> None:
        """``create`` makes a file that is missing or is no page; under the write lock only."""
        flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | (os.O_CREAT if create else 0)
        descriptor = os.open(path, flags, FILE_MODE)
        try:
            if os.fstat(descriptor).st_size != _SIZE:
                if not create:
                    raise FileNotFoundError(2, "is no page of state", path)
                os.ftruncate(descriptor, 0)
                os.ftruncate(descriptor, _SIZE)
            self.inode = os.fstat(descriptor).st_ino
            self._map = mmap.mmap(descriptor, _SIZE)
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

    @journal_end.setter
    def journal_end(self, size: int) -> None:
        self.words[_JOURNAL_AT] = size

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
