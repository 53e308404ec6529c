"""What lies in a data folder, by name, and all its files as they are at one moment, while writers go on.

The files are visited without a lock first, each with its signature noted, and again as far as they have
changed meanwhile.  Then, under the write lock, only what has changed since is visited once more: that is all
that writers wait for.  What a crash has left in the journal is replayed on copies: no file is changed.
"""

from __future__ import annotations

import os
import re
import stat
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from octavo.errors import BusyError, DamagedError
from octavo.layout.layout import FileFamily, Layout
from octavo.store.changes import is_left_over
from octavo.store.identity import is_identity
from octavo.store.indexfile import FOLDER as INDEX
from octavo.store.journal import NAME, Journal, outcome
from octavo.store.journal import NAME as JOURNAL
from octavo.store.payloads import is_abandoned, is_incoming
from octavo.store.shared import boot_id
from octavo.store.system import FileSystem, Signature, read_whole

_SHELF = re.compile(r"[0-9a-f]{2}")
_SCRATCH = re.compile(r"cache/verify-[^/]+")
_SCRATCH_AGE = 86_400.0
"""seconds after which a scratch folder is no longer used"""


@dataclass
class Survey:
    """Paths are relative to the data folder."""

    files: dict[str, tuple[FileFamily, Signature]] = field(default_factory=dict)
    """the layout's files"""
    payloads: dict[str, tuple[str, Signature]] = field(default_factory=dict)
    """those whose names are digests, with the digest"""
    identity: dict[str, Signature] = field(default_factory=dict)
    """those that say what the store is"""
    folders: set[str] = field(default_factory=set)
    others: dict[str, Signature] = field(default_factory=dict)
    """regular files that are not Octavo's"""
    links: list[str] = field(default_factory=list)
    """symbolic links, wherever they are"""
    in_the_way: list[str] = field(default_factory=list)
    """what is no regular file, or no folder, and stands where one of the layout belongs"""
    odd: list[str] = field(default_factory=list)
    """devices, sockets and the like, anywhere else"""
    left_overs: list[str] = field(default_factory=list)
    """what was being written when a crash came"""
    stale: list[str] = field(default_factory=list)
    """folders below ``cache/`` that are no longer used"""
    open_to_others: dict[str, bool] = field(default_factory=dict)
    """what of the store others may read or enter, and whether it is a folder"""
    unlisted: dict[str, str] = field(default_factory=dict)
    """folders that cannot be listed, with the reason"""


def survey(layout: Layout, root: Path, before: Survey | None = None) -> Survey:
    """Look a data folder over; ``cache/`` only for what is stale in it and what is open to others.

    A folder in it that cannot be looked at is among what was found.  What is as it was ``before`` takes no
    memory once more.  Raises OSError if even the data folder cannot.
    """
    return _Surveyor(layout, root, before or Survey()).run()


class _Surveyor:
    def __init__(self, layout: Layout, root: Path, before: Survey) -> None:
        self.layout, self.root, self.found, self.before = layout, root, Survey(), before
        self._base = os.path.join(root, "")

    def run(self) -> Survey:
        self._note_mode(".", os.stat(self.root))
        pending = [""]
        while pending:
            folder = pending.pop()
            try:
                # What a scan gives for each file would be held for a hundred thousand at once.
                for name in sorted(os.listdir(self.root / folder)):
                    path = f"{folder}/{name}" if folder else name
                    if self._is_folder_to_enter(path):
                        pending.append(path)
            except FileNotFoundError:
                continue
            except OSError as error:
                if not folder:
                    raise
                self.found.unlisted[folder] = error.strerror or str(error)
        return self.found

    def _is_folder_to_enter(self, path: str) -> bool:
        try:
            found = os.lstat(f"{self._base}{path}")
        except FileNotFoundError:
            return False
        kind, layout = stat.S_IFMT(found.st_mode), self.layout
        if kind == stat.S_IFLNK:
            self.found.links.append(path)
            return False
        if path.startswith("cache/"):
            self._note_mode(path, found)
            if self._is_stale(path, found):
                self.found.stale.append(path)
            # What lies in a scratch folder comes and goes, and no other user can enter it.
            return kind == stat.S_IFDIR and not _SCRATCH.fullmatch(path)
        if (kind != stat.S_IFREG and layout.family(path)) or (
            kind != stat.S_IFDIR and path in layout.folders
        ):
            self.found.in_the_way.append(path)
        elif kind == stat.S_IFDIR:
            self.found.folders.add(path)
            if layout.is_own_folder(path):
                self._note_mode(path, found)
            return True
        elif kind == stat.S_IFREG:
            if self._take_file(path, Signature.of(found)):
                self._note_mode(path, found)
        else:
            self.found.odd.append(path)
        return False

    def _take_file(self, path: str, found: Signature) -> bool:
        """Note a file; whether it is one of the store's."""
        family = self.layout.family(path)
        folder, _, name = path.rpartition("/")
        if family is not None:
            state = family, found
            known = self.before.files.get(path)
            # There may be many: equal names and states are held once.
            self.found.files[sys.intern(path)] = known if known is not None and known == state else state
        elif is_identity(path):
            self.found.identity[path] = found
        elif self._is_payload(folder, name):
            self.found.payloads[path] = name, found
        elif folder.startswith(INDEX):
            # Made and dropped as it is needed, and not under the write lock.
            pass
        elif is_left_over(name) and (not folder or self.layout.is_own_folder(folder)):
            self.found.left_overs.append(path)
        elif folder == self.layout.payload_folder and is_incoming(name):
            if is_abandoned(f"{self._base}{path}"):
                self.found.left_overs.append(path)
        elif path != JOURNAL:
            self.found.others[path] = found
            return False
        return True

    def _is_payload(self, folder: str, name: str) -> bool:
        above, _, shelf = folder.rpartition("/")
        return (
            bool(self.layout.payload_folder)
            and above == self.layout.payload_folder
            and _SHELF.fullmatch(shelf) is not None
            and name[:2] == shelf
            and len(name) == 64
            and not name.strip("0123456789abcdef")
        )

    def _is_stale(self, path: str, found: os.stat_result) -> bool:
        folder, _, name = path.rpartition("/")
        if folder == INDEX:
            return name != f"{boot_id():016x}"
        return _SCRATCH.fullmatch(path) is not None and found.st_mtime < time.time() - _SCRATCH_AGE

    def _note_mode(self, path: str, found: os.stat_result) -> None:
        if stat.S_IMODE(found.st_mode) & 0o077:
            self.found.open_to_others[path] = stat.S_ISDIR(found.st_mode)


_PASSES = 20


class Visitor:
    """What is done with each file.  A file that has changed is forgotten before it is visited again."""

    def look(self) -> Mapping[str, Signature]:
        """The files there are now, each with the signature of its state."""
        raise NotImplementedError

    def visit(self, file: str) -> None:
        """Take a file in.  FileNotFoundError: it is gone already."""
        raise NotImplementedError

    def forget(self, file: str) -> None:
        """What a file gave does not count any more."""
        raise NotImplementedError


def visit_all(visitor: Visitor, alone: Callable[[], AbstractContextManager[bool]]) -> None:
    """Visit all files as they are at one moment.

    ``alone`` gives a block inside which no process writes, and whether that is sure; if it is not, the files
    are visited until a whole pass finds no change.  Raises BusyError if there never is such a pass.
    """
    seen: dict[str, Signature] = {}
    _catch_up(visitor, seen)
    _catch_up(visitor, seen)
    with alone() as sure:
        for _ in range(_PASSES):
            if _catch_up(visitor, seen) == 0 or sure:
                return
    raise BusyError(0, "a writer that cannot be kept out")


def _catch_up(visitor: Visitor, seen: dict[str, Signature]) -> int:
    """Visit what has changed since it was seen; how many files that were."""
    there = visitor.look()
    gone = seen.keys() - there.keys()
    changed = [file for file, found in there.items() if seen.get(file) != found]
    for file in (*gone, *changed):
        if seen.pop(file, None) is not None:
            visitor.forget(file)
    for file in changed:
        with suppress(FileNotFoundError):
            visitor.visit(file)
            seen[file] = there[file]
    return len(gone) + len(changed)


class _Unsynced(FileSystem):
    """A file system of which nothing has to last."""

    def sync(self, descriptor: int) -> None:
        pass


@dataclass
class Recovered:
    """What the journal says that the files may lack."""

    root: Path
    """a folder with those of the files that there would be"""
    entries: int = 0
    in_doubt: int = 0
    torn: int = 0
    """bytes at the journal's end of a commit that never returned"""
    files: set[str] = field(default_factory=set)
    """those that the journal names, whether they would be there or not"""
    damage: DamagedError | None = None
    """why it cannot be replayed"""


def recovered(root: Path, scratch: Path) -> Recovered:
    """Replay the journal of the store at ``root`` on copies below ``scratch``.

    Damage is in what is given.  Raises OSError if the copies cannot be written.
    """
    found = Recovered(scratch)
    journal = Journal(str(root), FileSystem())
    try:
        try:
            journal.catch_up(None)
        except OSError as error:
            raise DamagedError(f"cannot be read: {error.strerror}", file=NAME) from error
        found.entries, found.files = len(journal.entries), journal.pending
        found.torn = journal.torn
        _, doubtful = outcome(journal.entries)
        found.in_doubt = len(doubtful)
        if found.files:
            _replay(root, scratch, journal)
    except DamagedError as error:
        found.damage = error
    return found


def _replay(root: Path, scratch: Path, journal: Journal) -> None:
    for file in (*journal.pending, NAME):
        target = scratch / file
        target.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            data, _ = read_whole(str(root / file))
            target.write_bytes(data)
    again = Journal(str(scratch), _Unsynced())
    again.catch_up(None)
    again.replay(lambda note: False)
