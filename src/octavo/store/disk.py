"""The few file-system steps on which durability rests, each written once.

A new file is written beside its target, synced, renamed over it, and its folder synced.  A whole folder is
built beside its target, synced, and put in place by one rename; a folder that is replaced is exchanged, so
that at no moment there is none.  Folders are 0700, files 0600.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from octavo.errors import UsageError, disk_errors
from octavo.store.system import FILE_MODE, FOLDER_MODE

_AT_FDCWD, _NOREPLACE, _EXCHANGE = -100, 1, 2
_libc = ctypes.CDLL(None, use_errno=True)


def make_folder(path: Path) -> None:
    """Make a folder, and those above it, where there is none yet."""
    path.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)


def create(path: str | Path) -> int:
    """A descriptor of a new file to write to.  Raises FileExistsError if there is one."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)


def write_all(descriptor: int, data: bytes | memoryview) -> None:
    """Write every byte; a short write goes on, an error is raised."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def write_file(path: Path, data: bytes) -> None:
    """Put a file in place whole and durably: beside its target, synced, renamed, its folder synced."""
    with disk_errors(f"writing {path.name}"):
        make_folder(path.parent)
        beside = path.with_name(f".{path.name[:100]}.{os.urandom(4).hex()}.new")
        try:
            descriptor = create(beside)
            try:
                write_all(descriptor, data)
                sync_file(descriptor)
            finally:
                os.close(descriptor)
            os.replace(beside, path)
        except BaseException:
            with suppress(OSError):
                beside.unlink()
            raise
        sync_folder(path.parent)


def sync_file(descriptor: int) -> None:
    """Make what was written to a file durable."""
    os.fsync(descriptor)


def sync_folder(path: str | Path) -> None:
    """Make the entries of a folder durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(root: str | Path) -> None:
    """Make everything below a folder durable, names included.

    On Linux one call syncs the whole file system (syncfs, which reports write errors since Linux 5.8);
    elsewhere each file and folder is synced.
    """
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if _syncfs_reports() and _libc.syncfs(descriptor) == 0:
            return
        if _syncfs_reports():
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(root))
    finally:
        os.close(descriptor)
    for folder, _, names in os.walk(root, topdown=False):
        for name in names:
            file = os.open(os.path.join(folder, name), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                os.fsync(file)
            finally:
                os.close(file)
        sync_folder(folder)


def _syncfs_reports() -> bool:
    if not sys.platform.startswith("linux") or not hasattr(_libc, "syncfs"):
        return False
    major, minor = (int("".join(filter(str.isdigit, part))) for part in os.uname().release.split(".")[:2])
    return (major, minor) >= (5, 8)


def put_in_place(built: Path, target: Path) -> None:
    """Rename a synced folder to where nothing is yet.  Raises FileExistsError if something is."""
    if not _rename(built, target, _NOREPLACE):
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
        os.rename(built, target)
    sync_folder(target.parent)


def exchange(built: Path, target: Path) -> None:
    """Swap two folders in one step: afterwards each has the other's name.

    Raises UsageError where the system cannot do that, having changed nothing.
    """
    if not _rename(built, target, _EXCHANGE):
        raise UsageError(
            f"{target}: this file system cannot exchange two folders in one step",
            hint="move the old folder away yourself, then export again",
        )
    sync_folder(target.parent)


def _rename(source: Path, target: Path, flags: int) -> bool:
    """renameat2 (Linux) or renamex_np (macOS); False where neither is there for this file system."""
    if hasattr(_libc, "renameat2"):
        done = _libc.renameat2(_AT_FDCWD, os.fsencode(source), _AT_FDCWD, os.fsencode(target), flags)
    elif hasattr(_libc, "renamex_np"):
        done = _libc.renamex_np(os.fsencode(source), os.fsencode(target), 4 if flags == _NOREPLACE else 2)
    else:
        return False
    if done == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
        return False
    raise OSError(number, os.strerror(number), str(source), None, str(target))


def lock_folder(path: Path) -> int | None:
    """Take the kernel's lock on a folder: it marks what is alive, and dies with its holder.

    Gives the descriptor whose closing ends it; None if somebody else holds it, or the folder of this name is
    gone or another by then.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(descriptor), os.lstat(path)):
            return descriptor
    except (BlockingIOError, FileNotFoundError):
        pass
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None


@contextmanager
def unlocked_folder(path: Path) -> Iterator[bool]:
    """Hold the lock inside the block, if nobody alive does: whether it is held now."""
    descriptor = lock_folder(path)
    try:
        yield descriptor is not None
    finally:
        if descriptor is not None:
            os.close(descriptor)


def is_locked(path: Path) -> bool:
    """Whether somebody alive holds the lock of this folder."""
    if not path.is_dir():
        return False
    with unlocked_folder(path) as free:
        return not free
