"""What the processes that have a store open tell each other: one page of memory, ``cache/state``.

It counts commits.  The count is odd while a commit changes files, so that a reader can tell whether what it
has read belongs together: it reads again if the count was odd or has moved.  A count that stays odd when
no process holds the write lock means that a writer died, and that the store has to be recovered.

The page is not synced, so it tells nothing about a folder that has been brought back to an earlier state: by
a power cut, from a snapshot, as a disk that was pulled and put back.  It counts while a process has had the
store open without interruption since it was last recovered, and only in the folder in which it was written.
So each process that has the store open shares a kernel lock (:class:`Openers`).  The first one finds that no
other does, and recovers the store, which costs nothing where the journal is empty.
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import struct
import time
from contextlib import suppress
from functools import cache

from octavo.store.lock import LockFile
from octavo.store.system import FILE_MODE, FileSystem, Signature, sync

NAME = "cache/state"
OPENERS = "cache/openers"
READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)
"""why one may not write"""
_SIZE = 4096
_MAGIC = int.from_bytes(b"OCTAVO\x00\x02", "little")
_HERE = struct.Struct("<6Q")
"""what the page begins with: what it is, the boot, and the folder that it belongs to"""
_TRUSTED_AT, COUNT, _JOURNAL_AT, _JOURNALS_AT, _HOLDER_AT, _SINCE_AT, _INDEXED_AT, _WHOLE_AT = range(6, 14)
"""where in the page each number stands; the count is looked at for every answer"""
_WHOLE = slice(_WHOLE_AT, _WHOLE_AT + len(Signature._fields))
_UNSIGNED = (1 << 64) - 1


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


def _here(root: str) -> bytes:
    """What the page of a folder begins with on this boot; empty if no process has opened the store there.

    The folder is known by its inode and by that of a file that never changes, with the time when it was made:
    a copy has other ones, wherever it is made.
    """
    folder = os.stat(root)
    try:
        made = os.lstat(os.path.join(root, OPENERS))
    except FileNotFoundError:
        return b""
    place = folder.st_dev, folder.st_ino, made.st_ino, made.st_ctime_ns
    return _HERE.pack(_MAGIC, boot_id(), *_numbers(place))


class SharedState:
    """The page of the store in a folder, mapped.  Raises OSError if it cannot be."""

    def __init__(self, root: str, *, create: bool) -> None:
        """``create`` makes a file that is missing or is no page; under the write lock only.  Without it, a
        process that may only read follows what others note in the page."""
        self.root = root
        path = os.path.join(root, NAME)
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
                # Not cut and written again: that would kill a process that has mapped it.
                # Forgotten first: interrupted in between, it would be closed twice.
                found, descriptor = descriptor, -1
                os.close(found)
                os.unlink(path)
                descriptor = os.open(path, flags | os.O_CREAT | os.O_EXCL, FILE_MODE)
                # Written, so that there is room for it: a page that a full disk has no room for is the death
                # of who touches it.
                if os.pwrite(descriptor, bytes(_SIZE), 0) != _SIZE:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
            self.inode = os.fstat(descriptor).st_ino
            self._map = mmap.mmap(descriptor, _SIZE, access=access)
            self.is_writable = access == mmap.ACCESS_WRITE
            self._is_doubted = False
            self._here = _here(root)
            self.words = memoryview(self._map).cast("Q")
        except BaseException:
            if descriptor >= 0:
                os.close(descriptor)
            raise
        self._descriptor = descriptor

    @property
    def is_of_here(self) -> bool:
        """Whether the page was written on this boot, and in this folder."""
        return self._map[: _HERE.size] == self._here

    @property
    def is_current(self) -> bool:
        """Whether it is of here, and no process has doubted it since the store was recovered."""
        here = self._map[: _HERE.size] == self._here
        return here and self.words[_TRUSTED_AT] == 1 and not self._is_doubted

    @property
    def counts(self) -> bool:
        """Whether it can be believed now, as a process has the store open; for those that have not.

        Raises OSError.
        """
        return self.is_current and self.commits % 2 == 0 and is_open(self.root)

    def distrust(self) -> bool:
        """No process has the store open: what the page says may be of a state that is no more.  Whether all
        others are told, too: not by a process that may only read."""
        if self.is_writable:
            self.words[_TRUSTED_AT] = 0
        else:
            self._is_doubted = True
        return self.is_writable

    @property
    def commits(self) -> int:
        """How often a commit has begun or ended: odd while one changes files."""
        return self.words[COUNT]

    @property
    def journal_end(self) -> int:
        """How many bytes of the journal hold whole entries."""
        return self.words[_JOURNAL_AT]

    @property
    def journal(self) -> tuple[int, int]:
        """How often the journal has begun anew, and how many bytes of it hold whole entries."""
        return self.words[_JOURNALS_AT], self.words[_JOURNAL_AT]

    def note_journal(self, end: int) -> None:
        """The journal's whole entries end here; at 0 it begins anew.  Under the write lock only."""
        self.words[_JOURNAL_AT] = end
        if end == 0:
            self.words[_JOURNALS_AT] += 1

    @property
    def indexed(self) -> bool:
        """Whether there is an index of locations, which commits are to follow."""
        return self.words[_INDEXED_AT] != 0

    def note_index(self, there: bool = True) -> None:
        """There is an index of locations from now on, or none."""
        self.words[_INDEXED_AT] = there

    @property
    def is_index_whole(self) -> bool:
        """Whether the index is whole on disk, as it has not been changed since that was noted."""
        return self.words[_WHOLE_AT] != 0

    def is_whole(self, found: Signature) -> bool:
        """Whether an index in the file of this signature is whole."""
        return self.words[_WHOLE].tolist() == _numbers(found)

    def note_whole(self, found: Signature) -> None:
        """The index is whole on disk, in the file of this signature."""
        for at, number in reversed(list(enumerate(_numbers(found), _WHOLE_AT))):
            self.words[at] = number

    def change_index(self, system: FileSystem) -> None:
        """The index is about to be changed: it is not whole from now on, durably.  Raises OSError."""
        inode = self.words[_WHOLE_AT]
        if inode:
            self.words[_WHOLE_AT] = 0
            try:
                sync(system, self._descriptor)
            except BaseException:
                # The next change has to try again.
                self.words[_WHOLE_AT] = inode
                raise

    def sign(self) -> None:
        """This process holds the write lock now."""
        self.words[_HOLDER_AT] = os.getpid()
        self.words[_SINCE_AT] = int(time.time())

    def holder(self) -> tuple[int, int]:
        """The process that took the write lock last, and when, in seconds of the epoch."""
        return self.words[_HOLDER_AT], self.words[_SINCE_AT]

    def clear(self) -> None:
        """Forget what stands in a page that is not of here.  Under the write lock only."""
        self._map[:] = bytes(_SIZE)
        # No process takes these counts for those that it knows from before.
        self.words[COUNT] = self.words[_JOURNALS_AT] = time.time_ns() & ~1

    def begin(self) -> None:
        """A commit begins to change files: the count becomes odd.  Under the write lock only."""
        self.words[COUNT] |= 1

    def end(self) -> None:
        """The files are whole again: the count becomes the next even one.  Under the write lock only."""
        self.words[COUNT] = (self.words[COUNT] | 1) + 1

    def start(self) -> None:
        """The store has been recovered: the page counts.  Under the write lock only."""
        self._here = _here(self.root)
        self._map[: len(self._here)] = self._here
        self.words[_TRUSTED_AT] = 1
        if self.commits % 2:
            self.end()

    def close(self) -> None:
        self.words.release()
        self._map.close()
        if self._descriptor >= 0:
            # Forgotten first: closed twice, the number may be another file's by then.
            descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)


def _numbers(found: tuple[int, ...]) -> list[int]:
    return [number & _UNSIGNED for number in found]


class Openers:
    """Who has the store in a folder open: each holds ``cache/openers``, shared, as long as it has.

    The lock is one of the open file (``F_OFD_SETLK``), of which the kernel tells whether another holds it
    without taking anything.  Where it cannot tell, each is the first one: it recovers the store under the
    write lock, which does no harm to those that have it open.
    """

    def __init__(self, root: str) -> None:
        """Raises OSError, but not for a lack of permission: then it stays unknown who has the store open."""
        self._path = os.path.join(root, OPENERS)
        self.open()

    def open(self) -> None:
        """Open the file of this name: another one, if ``cache/`` was removed.  Raises as the constructor."""
        self._file: LockFile | None = None
        flags = os.O_RDONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            self._file = LockFile(lambda: os.open(self._path, flags, FILE_MODE))
        except OSError as error:
            if error.errno not in (*READ_ONLY, errno.ENOENT):
                raise

    def are_there(self) -> bool:
        """Whether another process, or another opening in this one, has the store open."""
        return self._file is not None and _is_shared(self._file)

    def is_alone(self) -> bool:
        """Whether no other has it open; False where the kernel cannot tell."""
        return self._file is not None and not _is_shared(self._file, unknown=True)

    def join(self, state: SharedState | None) -> None:
        """Have the store open from now on.

        Where no other has, the page is doubted first, so that those who come next do not believe it before
        the store has been recovered.  (Of two who come at once, the second may doubt what the first has just
        recovered; then it is recovered once more.)  Without the right to do that, the process does not count
        as one who has the store open.
        """
        counts = self.are_there() or state is None or state.distrust()
        if self._file is not None and counts:
            _share(self._file, fcntl.F_RDLCK)

    def is_in_place(self) -> bool:
        """Whether the lock is that of the file of this name."""
        try:
            return self._file is not None and os.path.samestat(
                os.fstat(self._file.descriptor), os.lstat(self._path)
            )
        except FileNotFoundError:
            return False

    def leave(self) -> bool:
        """Get ready to let go of the store; whether this is the last one that has it open.

        Of those that leave at once, one or more are told so.
        """
        if self._file is not None and self.are_there():
            _share(self._file, fcntl.F_UNLCK)
        return not self.are_there()

    def close(self) -> None:
        if self._file is not None:
            _share(self._file, fcntl.F_UNLCK)
            self._file.close()


_FLOCK = struct.Struct("hhqqi0q")
"""C's ``struct flock``: type, whence, start, length, process"""


def _share(file: LockFile, kind: int) -> None:
    """Take the lock shared, or let go of it, where the kernel has such locks; not in a child of fork."""
    if hasattr(fcntl, "F_OFD_SETLK") and file.descriptor >= 0:
        with suppress(OSError):
            fcntl.fcntl(file.descriptor, fcntl.F_OFD_SETLK, _FLOCK.pack(kind, os.SEEK_SET, 0, 0, 0))


def _is_shared(file: LockFile, *, unknown: bool = False) -> bool:
    """Whether another open file shares the lock; ``unknown`` where the kernel cannot tell."""
    if not hasattr(fcntl, "F_OFD_GETLK"):
        return unknown
    asked = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    try:
        answer = fcntl.fcntl(file.descriptor, fcntl.F_OFD_GETLK, asked)
    except OSError:
        return unknown
    return bool(_FLOCK.unpack(answer)[0] != fcntl.F_UNLCK)


def is_open(root: str) -> bool:
    """Whether a process has the store in a folder open just now.  Raises OSError."""
    try:
        with LockFile(
            lambda: os.open(os.path.join(root, OPENERS), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        ) as file:
            return _is_shared(file)
    except FileNotFoundError:
        return False


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
        state = SharedState(root, create=False)
    except OSError:
        return describe_holder(None)
    try:
        return describe_holder(state)
    finally:
        state.close()


def commits_in(root: str) -> int | None:
    """How often a commit has begun or ended in the store of a folder, as far as this boot knows; None where
    no process has opened it."""
    try:
        state = SharedState(root, create=False)
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
