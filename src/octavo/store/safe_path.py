"""Files that lie below a folder and nowhere else: no ``..``, no absolute path, no symbolic link."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

from octavo.backend import PathName
from octavo.store.system import SYSTEM, sync

if TYPE_CHECKING:
    pass

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Outside(ValueError):
    """The path leads out of the folder, or over a symbolic link, or names no file.  ``reason`` says which."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def parts_of(path: str) -> list[str]:
    """The names on a relative path.  Raises Outside for one that could lead anywhere else."""
    if "\0" in path:
        raise Outside("holds a NUL")
    if path.startswith("/"):
        raise Outside("is an absolute path")
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if not parts or path.endswith("/"):
        raise Outside("names no file")
    if ".." in parts:
        raise Outside("leads out of the folder by ..")
    return parts


def require_beneath(root: str, path: str) -> None:
    """Raise Outside for a path that is not spelled in the one way that Octavo does, or that leads elsewhere.

    Whether there is such a file does not matter.  Raises OSError if that cannot be told.
    """
    parts = parts_of(path)
    if path != "/".join(parts):
        raise Outside("is spelled in another way than Octavo does")
    at = root
    for part in parts:
        at = f"{at}/{part}"
        try:
            if stat.S_ISLNK(os.lstat(at).st_mode):
                raise Outside("leads over a symbolic link")
        except (FileNotFoundError, NotADirectoryError):
            return


def open_beneath(root: PathName, path: str) -> int:
    """A descriptor to read a regular file below ``root``, opened name by name.

    Raises Outside if the path leads elsewhere, FileNotFoundError if there is no such file, and OSError as
    the system does.
    """
    *folders, name = parts_of(path)
    at = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for folder in folders:
            at, above = _step(folder, _FOLDER, at), at
            os.close(above)
        descriptor = _step(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, at)
    finally:
        os.close(at)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise Outside("is no regular file")
    return descriptor


def folder_beneath(root: PathName, path: str) -> int:
    """A descriptor of the folder that a file at ``path`` lies in, made as far as it is missing.

    Raises Outside if the path leads elsewhere.
    """
    *folders, _ = parts_of(path)
    at = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    for folder in folders:
        above = at
        try:
            try:
                at = _step(folder, _FOLDER, above)
            except FileNotFoundError:
                os.mkdir(folder, dir_fd=above)
                sync(SYSTEM, above)
                at = _step(folder, _FOLDER, above)
        finally:
            os.close(above)
    return at


def _step(name: str, flags: int, at: int) -> int:
    try:
        return os.open(name, flags, dir_fd=at)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise Outside("leads over a symbolic link") from error
        if error.errno == errno.ENOTDIR:
            if _is_link(name, at):
                raise Outside("leads over a symbolic link") from error
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name) from error
        raise


def _is_link(name: str, at: int) -> bool:
    try:
        return stat.S_ISLNK(os.lstat(name, dir_fd=at).st_mode)
    except OSError:
        return False
