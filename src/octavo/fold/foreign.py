"""What in a data folder is not Octavo's (``.git``, a README, notes): it stays when a store is replaced.

Replacing exchanges two folders.  So the user's files get a second name in the new folder first (a hard link,
durably); after the exchange they lose the one in the old folder.  At every moment the folder at the path has
all of them, and their content is never copied where the file system has hard links.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from octavo.errors import UsageError
from octavo.layout.layout import Kind, Layout
from octavo.store.changes import is_left_over
from octavo.store.journal import NAME as JOURNAL
from octavo.store.payloads import is_incoming
from octavo.store.system import FOLDER_MODE, SYSTEM, Signature, signature, sync_all

_CACHE = "cache"
_PAYLOAD = re.compile(r"(?:.*/)?([0-9a-f]{2})/\1[0-9a-f]{62}")
_BEGINNINGS = (b'{\n  "_version": ', b'{"_model":')
"""how a document or record file begins, and a log"""
_NO_LINKS = (errno.EPERM, errno.EACCES, errno.EMLINK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)


def foreign(root: Path, layout: Layout) -> Iterator[tuple[str, os.stat_result]]:
    """What lies in a data folder and is not Octavo's, folders before what is in them; paths relative to it.

    ``cache/`` is left out.  Of a store with another layout, what that has made is told by its form.  Raises
    OSError.
    """
    yield from _Foreign(root, layout).below("", is_own=True)


class _Foreign:
    def __init__(self, root: Path, layout: Layout) -> None:
        self._root, self._layout = root, layout
        fixed = (root / family.path for family in layout.families if family.kind in (Kind.DOCUMENT, Kind.LOG))
        self._fits = all((root / f).is_dir() for f in layout.folders) and all(f.is_file() for f in fixed)

    def below(self, folder: str, *, is_own: bool) -> Iterator[tuple[str, os.stat_result]]:
        with os.scandir(self._root / folder) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
        for entry in found:
            path = f"{folder}/{entry.name}" if folder else entry.name
            try:
                state = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                # The user is at work.
                continue
            if is_own and self._layout.is_own_folder(path):
                if path != _CACHE and stat.S_ISDIR(state.st_mode):
                    yield from self.below(path, is_own=True)
            elif stat.S_ISDIR(state.st_mode):
                inner = list(self.below(path, is_own=False))
                if inner or self._fits:
                    yield path, state
                yield from inner
            elif not (is_own and self._is_own(path)) and (self._fits or not self._is_of_a_store(path, state)):
                yield path, state

    def _is_own(self, path: str) -> bool:
        name = os.path.basename(path)
        is_known = self._layout.family(path) is not None or path == JOURNAL
        return is_known or is_left_over(name) or is_incoming(name) or _PAYLOAD.fullmatch(path) is not None

    def _is_of_a_store(self, path: str, state: os.stat_result) -> bool:
        """Whether a file has the form of one that a store of some layout has."""
        if not stat.S_ISREG(state.st_mode):
            return False
        if not path.endswith((".json", ".jsonl")):
            return _PAYLOAD.fullmatch(path) is not None
        with open(self._root / path, "rb") as file:
            beginning = file.read(max(map(len, _BEGINNINGS)))
        return beginning.startswith(_BEGINNINGS) or (not beginning and path.endswith(".jsonl"))


class Carried:
    """The user's files in a folder, while another one is put in its place."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._named: dict[str, tuple[Signature, Signature]] = {}
        """of each file that got a name in the new folder: its state in the old one, and in the new one"""

    def name_in(self, old: Path, new: Path) -> None:
        """Give everything a name in the new folder, too, durably.

        Raises UsageError for what lies on another file system, OSError.
        """
        device = old.stat().st_dev
        folders: list[tuple[str, os.stat_result]] = []
        for path, state in foreign(old, self._layout):
            if state.st_dev != device:
                raise _elsewhere(old / path)
            if stat.S_ISDIR(state.st_mode):
                (new / path).mkdir(FOLDER_MODE)
                folders.append((path, state))
                continue
            (new / path).parent.mkdir(FOLDER_MODE, exist_ok=True)
            with suppress(FileNotFoundError):
                _name(old / path, new / path)
                self._named[path] = Signature.of(state), Signature.of(os.lstat(new / path))
        for path, state in reversed(folders):
            with suppress(PermissionError):
                os.chown(new / path, state.st_uid, state.st_gid)
            with suppress(FileNotFoundError):
                shutil.copystat(old / path, new / path)
        if folders or self._named:
            sync_all(SYSTEM, str(new))

    def leave(self, old: Path, new: Path) -> None:
        """After the exchange: take the old folder's names away, and bring over what came or went meanwhile.

        Raises OSError.
        """
        folders, left = [], set()
        for path, state in foreign(old, self._layout):
            if stat.S_ISDIR(state.st_mode):
                (new / path).mkdir(stat.S_IMODE(state.st_mode), exist_ok=True)
                folders.append(path)
                continue
            left.add(path)
            (new / path).parent.mkdir(FOLDER_MODE, exist_ok=True)
            with suppress(FileNotFoundError):
                if self._is_here(path, Signature.of(state), new):
                    # What cannot be taken away is a second name of a file that is where it was.
                    with suppress(PermissionError):
                        os.unlink(old / path)
                else:
                    os.rename(old / path, new / path)
        for path in self._named.keys() - left:
            with suppress(FileNotFoundError):
                if _is_same(Signature.of(os.lstat(new / path)), self._named[path][1]):
                    os.unlink(new / path)
        for path in reversed(folders):
            with suppress(OSError):
                os.rmdir(old / path)

    def _is_here(self, path: str, state: Signature, new: Path) -> bool:
        """Whether the new folder has a file in this state, or has had it."""
        if path in self._named and _is_same(state, self._named[path][0]):
            return True
        there = signature(str(new / path))
        return there is not None and there.inode == state.inode


def _is_same(one: Signature, other: Signature) -> bool:
    """Whether a file is as it was, but for the number of its names."""
    return (one.inode, one.size, one.modified) == (other.inode, other.size, other.modified)


def _name(source: Path, target: Path) -> None:
    """Give a file another name; a copy of its own where there can be none."""
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError as error:
        if error.errno == errno.EXDEV:
            raise _elsewhere(source) from error
        if error.errno not in _NO_LINKS:
            raise
        shutil.copy2(source, target, follow_symlinks=False)


def _elsewhere(path: Path) -> UsageError:
    return UsageError(
        f"{path} lies on another file system, and could not stay where it is",
        hint="unmount it first, or move it out of the data folder",
    )
