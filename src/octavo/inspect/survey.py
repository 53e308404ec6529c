"""What lies in a data folder, by name, and all its files as they are at one moment, while writers go on.

The files are visited without a lock first, each with its signature noted, and again as far as they have
changed meanwhile.  Then, under the write lock, only what has changed since is visited once more: that is all
that writers wait for.  What a crash has left in the journal is replayed on copies: no file is changed.
"""

from __future__ import annotations

import os
import re
import stat
import struct
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from octavo.errors import BusyError, DamagedError
from octavo.layout.layout import Layout
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


State: TypeAlias = bytes
"""a :class:`Signature` in 32 bytes, as there may be a hundred thousand files"""
_STATE = struct.Struct("=Qqqq")


def state_of(found: os.stat_result) -> State:
    """The state of a file."""
    return _STATE.pack(found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def signature(state: State) -> Signature:
    """The same as the store has it."""
    return Signature(*_STATE.unpack(state))


def size_of(state: State) -> int:
    """The bytes of a file in this state."""
    return int(_STATE.unpack(state)[1])


@dataclass
class Known:
    """What was seen of the files of a data folder: by its path, each with its state.  Paths are relative."""

    files: dict[str, State] = field(default_factory=dict)
    """the layout's files"""
    payloads: dict[str, State] = field(default_factory=dict)
    """those whose names are digests"""
    identity: dict[str, State] = field(default_factory=dict)
    """those that say what the store is"""
    others: dict[str, State] = field(default_factory=dict)
    """regular files that are not Octavo's"""

    @property
    def all(self) -> tuple[dict[str, State], ...]:
        return self.files, self.payloads, self.identity, self.others


@dataclass
class Survey:
    """What a look at a data folder found.  Paths are relative to it."""

    known: Known
    changed: list[str] = field(default_factory=list)
    """the files whose state is another than before"""
    new: list[str] = field(default_factory=list)
    """those that were not there before"""
    gone: list[str] = field(default_factory=list)
    """those that are no more"""
    folders: set[str] = field(default_factory=set)
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

    def only(self, wanted: Callable[[str], bool]) -> None:
        """Let others than these files be as before."""
        self.changed = list(filter(wanted, self.changed))
        self.new = list(filter(wanted, self.new))


def survey(
    layout: Layout, root: Path, known: Known, instead: Mapping[str, State | None] | None = None
) -> Survey:
    """Look a data folder over; ``cache/`` only for what is stale in it and what is open to others.

    ``known`` has what was found before, and is brought up to date.  ``instead``: the states of files that
    count in place of those in the folder, None for one that counts as gone.  A folder in it that cannot be
    looked at is among what was found.  Raises OSError if even the data folder cannot.
    """
    instead = instead or {}
    found = _Surveyor(layout, root, known, instead).run()
    if found.noted < sum(map(len, known.all)):
        # Something is gone: what is there is then held by name, too.
        again = _Surveyor(layout, root, known, instead, by_name=True).run()
        again.found.changed += found.found.changed
        again.found.new += found.found.new
        again.drop_what_is_gone()
        found = again
    return found.found


class _Surveyor:
    def __init__(
        self,
        layout: Layout,
        root: Path,
        known: Known,
        instead: Mapping[str, State | None],
        *,
        by_name: bool = False,
    ) -> None:
        self.layout, self.root, self.known, self.instead = layout, root, known, instead
        self.found = Survey(known)
        self.noted = 0
        """the files that there are"""
        self.names: set[str] | None = set() if by_name else None

    def run(self) -> _Surveyor:
        self._note_mode(".", os.stat(self.root))
        pending = [""]
        while pending:
            folder = pending.pop()
            try:
                # As they come: sorted, the names of a hundred thousand files would be held twice.
                with os.scandir(os.path.join(self.root, folder)) as entries:
                    for entry in entries:
                        path = f"{folder}/{entry.name}" if folder else entry.name
                        if self._is_folder_to_enter(path, entry):
                            pending.append(path)
            except FileNotFoundError:
                continue
            except OSError as error:
                if not folder:
                    raise
                self.found.unlisted[folder] = error.strerror or str(error)
        for path, state in self.instead.items():
            if state is not None:
                self._note(self.known.files, path, state)
        return self

    def drop_what_is_gone(self) -> None:
        there = self.names or set()
        for known in self.known.all:
            for path in [path for path in known if path not in there]:
                del known[path]
                self.found.gone.append(path)
        self.found.new = [path for path in self.found.new if path in there]
        changed = {*self.found.changed} - {*self.found.new}
        self.found.changed = [path for path in changed if path in there]

    def _note(self, known: dict[str, State], path: str, state: State) -> None:
        self.noted += 1
        if self.names is not None:
            self.names.add(path)
        before = known.get(path)
        if before != state:
            known[path] = state
            (self.found.new if before is None else self.found.changed).append(path)

    def _is_folder_to_enter(self, path: str, entry: os.DirEntry[str]) -> bool:
        try:
            found = entry.stat(follow_symlinks=False)
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
            if self._take_file(path, state_of(found)):
                self._note_mode(path, found)
        else:
            self.found.odd.append(path)
        return False

    def _take_file(self, path: str, state: State) -> bool:
        """Note a file; whether it is one of the store's."""
        if path in self.instead:
            return True
        folder, _, name = path.rpartition("/")
        if path in self.known.files or self.layout.family(path) is not None:
            self._note(self.known.files, path, state)
        elif is_identity(path):
            self._note(self.known.identity, path, state)
        elif self._is_payload(folder, name):
            self._note(self.known.payloads, path, state)
        elif folder.startswith(INDEX):
            # Made and dropped as it is needed, and not under the write lock.
            pass
        elif is_left_over(name) and (not folder or self.layout.is_own_folder(folder)):
            self.found.left_overs.append(path)
        elif folder == self.layout.payload_folder and is_incoming(name):
            if is_abandoned(os.path.join(self.root, path)):
                self.found.left_overs.append(path)
        elif path != JOURNAL:
            self._note(self.known.others, path, state)
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
_LONG = 0.5
"""seconds of a first pass, in which more may change than writers are to wait for"""


class Visitor:
    """What is done with the files.  One that has changed is forgotten before it is visited again."""

    def look(self) -> Survey:
        """Look for the files there are now."""
        raise NotImplementedError

    def visit(self, files: Sequence[str]) -> Iterable[str]:
        """Take files in; those that are gone already are given."""
        raise NotImplementedError

    def forget(self, file: str) -> None:
        """What a file gave, if it was visited, does not count any more."""
        raise NotImplementedError


def visit_all(visitor: Visitor, alone: Callable[[], AbstractContextManager[bool]]) -> None:
    """Visit all files as they are at one moment.

    ``alone`` gives a block inside which no process writes, and whether that is sure; if it is not, the files
    are visited until a whole pass finds no change.  Raises BusyError if there never is such a pass.
    """
    started = time.monotonic()
    _catch_up(visitor)
    if time.monotonic() - started > _LONG:
        _catch_up(visitor)
    with alone() as sure:
        for _ in range(_PASSES):
            if _catch_up(visitor) == 0 or sure:
                return
    raise BusyError(0, "a writer that cannot be kept out")


def _catch_up(visitor: Visitor) -> int:
    """Visit what has changed since it was seen; how many files that were."""
    found = visitor.look()
    for file in (*found.gone, *found.changed):
        visitor.forget(file)
    # Files of a folder together, in the order of their names.
    wanted = sorted([*found.changed, *found.new])
    for file in visitor.visit(wanted):
        for known in found.known.all:
            known.pop(file, None)
    return len(found.gone) + len(wanted)


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

    def state(self, file: str) -> State | None:
        """The state of one of them, None if it would not be there."""
        path = self.root / file
        return state_of(os.lstat(path)) if path.is_file() else None


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
