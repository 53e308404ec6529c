"""Files and folders put in place whole, by the steps on which durability rests.

A new file is written beside its target, synced, renamed over it, and its folder synced.  A whole folder is
built beside its target, synced, and put in place by one rename; a folder that is replaced is exchanged, so
that at no moment there is none.  Folders are 0700, files 0600.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from octavo.errors import UsageError, disk_errors
from octavo.store.lock import LockFile
from octavo.store.system import FILE_MODE, FOLDER_MODE, SYSTEM, open_privately, sync, sync_folder

_AT_FDCWD, _NOREPLACE, _EXCHANGE = -100, 1, 2
_libc = ctypes.CDLL(None, use_errno=True)


def make_folder(path: Path) -> None:
    """Make a folder, and those above it, where there is none yet: each for its owner alone."""
    try:
        path.mkdir(mode=FOLDER_MODE, exist_ok=True)
    except FileNotFoundError:
        if path.parent == path:
            raise
        make_folder(path.parent)
        path.mkdir(mode=FOLDER_MODE, exist_ok=True)


def dated_names(base: Path, ending: str = "") -> Iterator[Path]:
    """Names for something that is made now: where one is taken, the caller tries the next."""
    stamp = time.strftime("%Y-%m-%dT%H%M%S")
    for suffix in ("", *(f"-{n}" for n in range(2, 1000))):
        yield base.with_name(f"{base.name}-{stamp}{suffix}{ending}")


def create(path: Path, buffering: int = -1) -> BinaryIO:
    """A new file to write to.  Raises FileExistsError if there is one."""
    return open(path, "xb", buffering, opener=open_privately)


def sync_file(file: BinaryIO) -> None:
    """Make what was written to a file durable."""
    file.flush()
    sync(SYSTEM, file.fileno())


def write_file(path: Path, data: bytes, *, synced: bool = True) -> None:
    """Put a file in place whole and durably, also over one that is there.  Raises DiskError.

    ``synced=False``: not yet durably, as the folder is under construction and will be synced as a whole.
    """
    with disk_errors(f"writing {path.name}"):
        make_folder(path.parent)
        with _written_beside(path, data, synced=synced) as beside:
            os.replace(beside, path)
        if synced:
            sync_folder(SYSTEM, path.parent)


def make_file(path: Path, data: bytes) -> None:
    """Put a file in place whole and durably where none is yet.

    Raises FileExistsError if one is, and OSError as the system does.
    """
    with _written_beside(path, data) as beside:
        put_in_place(beside, path)


@contextmanager
def _written_beside(path: Path, data: bytes, *, synced: bool = True) -> Iterator[Path]:
    """A file, synced, that is to be renamed; it is removed if that fails."""
    beside = path.with_name(f".{path.name[:100]}.{os.urandom(4).hex()}.new")
    try:
        with create(beside) as file:
            file.write(data)
            if synced:
                sync_file(file)
        yield beside
    except BaseException:
        with suppress(OSError):
            beside.unlink()
        raise


def put_in_place(built: Path, target: Path) -> None:
    """Rename a synced folder or file to where nothing is yet.  Raises FileExistsError if something is."""
    if not _rename(built, target, _NOREPLACE):
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
        os.rename(built, target)
    sync_folder(SYSTEM, target.parent)


def exchange(built: Path, target: Path) -> None:
    """Swap two folders in one step: afterwards each has the other's name.

    Raises UsageError where the system cannot do that, having changed nothing.
    """
    if not _rename(built, target, _EXCHANGE):
        raise UsageError(
            f"{target}: this file system cannot exchange two folders in one step",
            hint="move the old folder away yourself, then export again",
        )
    sync_folder(SYSTEM, target.parent)


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


def lock_folder(path: Path) -> LockFile | None:
    """Take the kernel's lock on a folder: it marks what is alive, and dies with its holder.

    Gives the open folder whose closing ends it; None if another process holds it, or the folder of this name
    is gone or another by then.
    """
    try:
        return _locked(path, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        return None


def lock_file(path: Path) -> LockFile | None:
    """A file, made if there is none, open to be written, and locked.

    None if another process holds the lock, or has removed or replaced the file by then.  Raises OSError.
    """
    return _locked(path, os.O_RDWR | os.O_CREAT)


def _locked(path: Path, flags: int) -> LockFile | None:
    """What is opened with these flags, if it can be locked, and has its name still."""
    flags |= os.O_NOFOLLOW | os.O_CLOEXEC
    file = LockFile(lambda: os.open(path, flags, FILE_MODE))
    try:
        with suppress(FileNotFoundError):
            if file.lock(fcntl.LOCK_EX) and os.path.samestat(os.fstat(file.descriptor), os.lstat(path)):
                return file
    except BaseException:
        file.close()
        raise
    file.close()
    return None


@contextmanager
def unlocked_folder(path: Path) -> Iterator[bool]:
    """Hold the lock inside the block, if no living process does: whether it is held now.

    In a shared folder anything may have the name: what is no folder, or not open to this user, is not held.
    """
    try:
        folder = lock_folder(path)
    except OSError as error:
        if error.errno not in (errno.ENOTDIR, errno.ELOOP, errno.EACCES, errno.EPERM):
            raise
        folder = None
    try:
        yield folder is not None
    finally:
        if folder is not None:
            folder.close()


def is_locked(path: Path) -> bool:
    """Whether a living process holds the lock of this folder."""
    if not path.is_dir():
        return False
    with unlocked_folder(path) as free:
        return not free
