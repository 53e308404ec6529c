"""The system calls by which a store changes the disk, and no others: one method each.

Everything that writes goes through a :class:`FileSystem`, so that a test can count its calls, let any one of
them fail or be the last, or record them and replay what a power loss may leave of them.
"""

from __future__ import annotations

import _thread
import fcntl
import os
import stat
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from octavo.errors import is_of_system
from octavo.layout.holes import refuse_holes

if TYPE_CHECKING:
    from pathlib import Path

FOLDER_MODE, FILE_MODE = 0o700, 0o600
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC


class Signature(NamedTuple):
    """What tells one state of a file from another without reading it."""

    inode: int
    size: int
    modified: int
    changed: int
    """both in nanoseconds"""

    @classmethod
    def of(cls, found: os.stat_result) -> Signature:
        return cls(found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


class FileSystem:
    """The calls themselves.  Each raises OSError as the system does."""

    def create(self, path: str) -> int:
        """A descriptor of a new file to write to.  Raises FileExistsError if there is one."""
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)

    def write(self, descriptor: int, data: bytes | memoryview, at: int) -> int:
        """Write at a position; how many bytes were written, which can be fewer."""
        return os.pwrite(descriptor, data, at)

    def truncate(self, descriptor: int, size: int) -> None:
        """Cut a file to this size, or lengthen it by zeros."""
        os.ftruncate(descriptor, size)

    def sync(self, descriptor: int) -> None:
        """Make a file's contents and size durable, or a folder's entries."""
        _sync(descriptor)

    def sync_all(self, path: str) -> None:
        """Make everything below a folder durable, entries too, whichever process has written it."""
        _sync_tree(path)

    def rename(self, source: str, target: str) -> None:
        """Give a file another name, in place of what had it."""
        os.rename(source, target)

    def remove(self, path: str) -> None:
        """Remove a file's name."""
        os.unlink(path)

    def make_folder(self, path: str) -> None:
        """Make a folder.  Raises FileExistsError if there is one."""
        os.mkdir(path, FOLDER_MODE)


if sys.platform == "darwin":

    def _sync(descriptor: int) -> None:
        # There fsync hands the data to the drive and does not wait for it.
        fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)

else:
    # Times need not be durable; all that it takes to read the contents again is.
    _sync = os.fdatasync


def _sync_tree(root: str) -> None:
    """On Linux one call syncs the whole file system (syncfs, which reports write errors since Linux 5.8);
    elsewhere each file and folder is synced."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    if hasattr(libc, "syncfs") and _syncfs_reports():
        descriptor = os.open(root, _FOLDER)
        try:
            if libc.syncfs(descriptor) != 0:
                number = ctypes.get_errno()
                raise OSError(number, os.strerror(number), root)
        finally:
            os.close(descriptor)
        return
    for folder, _, names in os.walk(root, topdown=False):
        files = [path for name in names if stat.S_ISREG(os.lstat(path := os.path.join(folder, name)).st_mode)]
        for path, flags in [*((file, _FILE) for file in files), (folder, _FOLDER)]:
            descriptor = os.open(path, flags)
            try:
                _sync(descriptor)
            finally:
                os.close(descriptor)


def _syncfs_reports() -> bool:
    if not sys.platform.startswith("linux"):
        return False
    major, minor = (int("".join(filter(str.isdigit, part))) for part in os.uname().release.split(".")[:2])
    return (major, minor) >= (5, 8)


class SyncError(OSError):
    """A sync failed.  What it was to make durable is lost or not, and syncing again would not tell."""


def sync(system: FileSystem, descriptor: int) -> None:
    """Make a file or a folder durable.  Raises SyncError."""
    try:
        system.sync(descriptor)
    except OSError as error:
        if not is_of_system(error):
            raise
        raise SyncError(error.errno, error.strerror, error.filename) from error


def sync_all(system: FileSystem, path: str) -> None:
    """Make everything below a folder durable, whichever process has written it.  Raises SyncError."""
    try:
        system.sync_all(path)
    except OSError as error:
        if not is_of_system(error):
            raise
        raise SyncError(error.errno, error.strerror, error.filename) from error


SYSTEM = FileSystem()
"""the real one"""


def open_privately(path: str, flags: int) -> int:
    """The opener of a new file that only its owner may read."""
    return os.open(path, flags, FILE_MODE)


def open_to_write(path: str) -> int:
    """A descriptor of a file that is there, never over a symbolic link."""
    return os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)


def open_to_read(path: str) -> int:
    """A descriptor of a regular file, never over a symbolic link.

    Raises OSError as the system does, and IsADirectoryError for anything that is no regular file.
    """
    return _opened(path)[0]


def open_signed(path: str) -> tuple[int, Signature]:
    """The same of a file that holds records or changes, and its signature as it was opened.

    Raises Hollow, too.
    """
    descriptor, found = _opened(path)
    try:
        refuse_holes(descriptor, path, found)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor, Signature.of(found)


def _opened(path: str) -> tuple[int, os.stat_result]:
    descriptor = os.open(path, _FILE | os.O_NONBLOCK)
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        os.close(descriptor)
        raise IsADirectoryError(21, "Is no regular file", path)
    return descriptor, found


def read_whole(path: str, start: int = 0) -> tuple[bytes, Signature]:
    """The content of a file, from ``start`` on, and the signature of just this state of it.

    A file that is written meanwhile is read again.  Raises OSError.
    """
    descriptor, before = open_signed(path)
    try:
        while True:
            chunks, at = [], start
            while at < before.size and (chunk := os.pread(descriptor, before.size - at, at)):
                chunks.append(chunk)
                at += len(chunk)
            after = Signature.of(os.fstat(descriptor))
            if after == before:
                return chunks[0] if len(chunks) == 1 else b"".join(chunks), after
            before = after
    finally:
        os.close(descriptor)


def signature(path: str) -> Signature | None:
    """The signature of the file of this name; None if there is none.  Raises OSError for other reasons."""
    try:
        return Signature.of(os.lstat(path))
    except FileNotFoundError:
        return None


def write_all(system: FileSystem, descriptor: int, data: bytes, at: int) -> None:
    """Write every byte at a position; a short write goes on, an error is raised."""
    done = system.write(descriptor, data, at)
    while done < len(data):
        done += system.write(descriptor, memoryview(data)[done:], at + done)


def in_background(work: Callable[[], object]) -> None:
    """Let a thread of its own do some work.

    It is started by the system alone: ``threading.Thread.start`` waits in Python code, which does not bear an
    exception that a signal handler raises there.
    """
    _thread.start_new_thread(work, ())


def sync_folder(system: FileSystem, path: str | Path) -> None:
    """Make the entries of a folder durable.  Raises SyncError."""
    descriptor = os.open(path, _FOLDER)
    try:
        sync(system, descriptor)
    finally:
        os.close(descriptor)
