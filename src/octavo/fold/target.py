"""The folder that an export puts in place: built beside its target, then moved there in one step.

What lies beside the target tells by its name what it is.  ``.<target>.octavo-building-…`` is under
construction; the builder holds a lock on it, and without one it is rubbish.
``.<target>.octavo-exchange-<inode>`` is about to change places with the target: while the folder of that
name is the one with that inode, it is the new one; afterwards it is the store that was replaced.

Applications may have the store open that is replaced.  The exchange is made under its write lock, so that
what they have committed is in the folder that is kept, and what they commit later is refused.

What in a data folder is not Octavo's (``.git``, a README, notes) stays in the folder at the path.  The user's
files get a second name in the new folder first (a hard link, durably); after the exchange they lose the one
in the old folder.  At every moment the folder at the path has all of them, and their content is never copied
where the file system has hard links.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
import stat
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TypeAlias

from octavo.backends import divergence, gap
from octavo.errors import DiskError, UsageError, disk_errors
from octavo.fold.source import ORIGIN
from octavo.layout.layout import FileFamily, Kind, Layout
from octavo.layout.listing import empty_file
from octavo.store import disk, phase, searchfile
from octavo.store.changes import is_left_over
from octavo.store.definition import layout_of_store
from octavo.store.engine import Resolve
from octavo.store.identity import FOLDER as IDENTITY
from octavo.store.identity import MIGRATED, is_identity
from octavo.store.journal import FOLDER as JOURNAL_FOLDER
from octavo.store.journal import NAME as JOURNAL
from octavo.store.lock import TIMEOUT
from octavo.store.offline import OWN, at_rest
from octavo.store.payloads import is_incoming
from octavo.store.system import FOLDER_MODE, SYSTEM, Signature, signature, sync_all, sync_folder

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
    yield from _Foreign(root, layout_of_store(root, layout)).below("", is_own=True)


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
            if is_own and (self._layout.is_own_folder(path) or path.startswith(f"{IDENTITY}/")):
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
        is_known = self._layout.family(path) is not None or path == JOURNAL or is_identity(path)
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
                (new / path).mkdir(FOLDER_MODE, exist_ok=True)
                folders.append((path, state))
                continue
            (new / path).parent.mkdir(FOLDER_MODE, exist_ok=True)
            with suppress(FileNotFoundError):
                give_name(old / path, new / path)
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


def give_name(source: Path, target: Path) -> None:
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


_CACHE = "cache"
_OWN = OWN | {divergence.NAME, gap.SEED, gap.TOUCHED, ORIGIN, phase.LOCK, searchfile.FOLDER, MIGRATED}
"""what of ``cache/`` a store does not get from the one that it replaces"""
Held: TypeAlias = "Callable[[], AbstractContextManager[object]]"
"""Holds the store that is to be replaced at rest"""


class State(StrEnum):
    """What stands at a ``DATA_DIR``."""

    NOTHING = "nothing"
    EMPTY = "no store yet"
    """nothing but ``cache/``, or what ``scaffold`` makes, with or without files of the user's"""
    STORE = "a store"


def state_of(target: Path, layout: Layout) -> State:
    """What stands there now.  Raises UsageError if it is no folder, DiskError if it cannot be looked into."""
    with disk_errors("looking into the data folder"):
        if not os.path.lexists(target):
            return State.NOTHING
        if not target.is_dir():
            raise UsageError(f"{target} is not a folder")
        # Without what scaffold makes it is any folder, with files that were not meant for a data folder.
        users = {path for path, _ in foreign(target, layout)} if (target / JOURNAL_FOLDER).is_dir() else set()
        return State.EMPTY if _is_empty(target, layout, users) else State.STORE


def _is_empty(target: Path, layout: Layout, users: Collection[str] = ()) -> bool:
    """Whether there is nothing but what ``scaffold`` makes, and these files and folders of the user's."""
    layout = layout_of_store(target, layout)
    known = set(layout.folders)
    for folder, names, files in os.walk(target, onerror=_raise):
        relative = os.path.relpath(folder, target).replace(os.sep, "/")
        below = "" if relative == "." else f"{relative}/"
        names[:] = [n for n in names if below + n != _CACHE and below + n not in users]
        if below and relative not in known and not below.startswith(f"{IDENTITY}/"):
            return False
        if any(os.path.islink(os.path.join(folder, name)) for name in names):
            return False
        for name in files:
            if below + name in users or is_identity(below + name):
                continue
            family = layout.family(below + name)
            if family is None or not _is_untouched(Path(folder) / name, family):
                return False
    return True


def _is_untouched(file: Path, family: FileFamily) -> bool:
    """Whether this is the empty file that ``scaffold`` makes."""
    made, found = empty_file(family), file.lstat()
    if made is None or not stat.S_ISREG(found.st_mode) or found.st_size != len(made):
        return False
    return file.read_bytes() == made


def _raise(error: OSError) -> None:
    raise error


class Building:
    """A data folder under construction, at ``path``."""

    def __init__(self, target: Path, path: Path, layout: Layout, held: Held, old: Layout) -> None:
        self.target, self.path, self.layout, self._held, self._old = target, path, layout, held, old
        self.settled: list[Path] = []
        """where stores are kept that an export set aside which was interrupted before it named them"""

    def put_in_place(self, *, replace: bool, last: Callable[[Path], None] | None = None) -> Path | None:
        """Sync what was built and give it its name.  Gives where the store that it replaced is kept now.

        ``last`` may change what was built once more, durably, when that store is closed to writers.
        Raises UsageError if a store stands there by now and ``replace`` is not wanted, or if what stands
        there cannot be exchanged; BusyError if an application goes on writing to it, DifferenceError if its
        journal cannot be emptied; DiskError.  Then what stands there is as it was.
        """
        with disk_errors("syncing the export"):
            sync_all(SYSTEM, str(self.path))
        with disk_errors("putting the export in place"):
            if state_of(self.target, self.layout) is State.NOTHING:
                try:
                    disk.put_in_place(self.path, self.target)
                except FileExistsError as error:
                    raise UsageError(
                        f"{self.target} has come into being meanwhile", hint="run again"
                    ) from error
                return None
            with self._held():
                if not replace and state_of(self.target, self.layout) is State.STORE:
                    raise refusal(self.target)
                _bring_cache(self.target / _CACHE, self.path / _CACHE, durably=True)
                if last is not None:
                    last(self.path)
                if self.path.stat().st_dev != self.target.stat().st_dev:
                    raise _mounted(self.target)
                carried = Carried(self._old)
                carried.name_in(self.target, self.path)
                self._exchange()
                carried.leave(self.path, self.target)
                return _settle(self.path, self.target, self._old)

    def _exchange(self) -> None:
        announced = self.target.with_name(f"{_exchanging(self.target)}{self.path.stat().st_ino}")
        os.rename(self.path, announced)
        self.path = announced
        try:
            disk.exchange(announced, self.target)
        except OSError as error:
            if error.errno in (errno.EBUSY, errno.EXDEV):
                raise _mounted(self.target) from error
            raise


def _mounted(target: Path) -> UsageError:
    return UsageError(
        f"{target} is a mount point, which cannot be put in place whole", hint="name a folder inside it"
    )


def _settle(old: Path, target: Path, layout: Layout) -> Path | None:
    """Give what was replaced a name of its own, or remove it if it is no store.  Gives the name."""
    if _is_empty(old, layout):
        shutil.rmtree(old)
        return None
    for kept in disk.dated_names(target.with_name(f"{target.name}.replaced")):
        with suppress(FileExistsError):
            disk.put_in_place(old, kept)
            return kept
    raise DiskError("no free name for the replaced store", path=str(old))


def refusal(target: Path) -> UsageError:
    """The error for a store that stands where one is to be put."""
    return UsageError(
        f"{target} already holds a store",
        hint="say --replace to put a new one in its place (the old is kept)",
    )


@contextmanager
def building(
    target: Path,
    layout: Layout,
    *,
    lock_timeout: float | None = TIMEOUT,
    resolve: Resolve | None = None,
    held: Held | None = None,
    old: Layout | None = None,
) -> Iterator[Building]:
    """Make a folder beside the target to build in; whatever is left of it at the end is removed.

    Leftovers of a builder that was killed are removed too.  ``lock_timeout``: seconds to wait for the write
    lock of a store that is there, None for ever.  ``resolve`` tells the fate of what is in doubt there.
    ``held`` holds that store at rest where its lock is the caller's; ``old`` is its layout, if another.
    Raises DiskError if nothing can be written there, and what
    :meth:`Building.put_in_place` raises of a store that could not be replaced.
    """
    if target.is_symlink():
        target = target.resolve()
    held = held or partial(at_rest, target, timeout=lock_timeout, resolve=resolve)
    missing = missing_above(target)
    try:
        with disk_errors("making a folder beside the data folder"):
            make_above(missing)
            settled = _sweep(target, old or layout)
        if target.is_dir():
            # What would refuse the exchange is better known before the work than after it.
            with held():
                pass
        with _new_folder(target) as path:
            built = Building(target, path, layout, held, old or layout)
            built.settled = settled
            try:
                with disk_errors("preparing the export"):
                    for folder in layout.folders:
                        (path / folder).mkdir(mode=FOLDER_MODE)
                    _bring_cache(target / _CACHE, path / _CACHE)
                yield built
            finally:
                if _is_rubbish(built.path, target):
                    shutil.rmtree(built.path, ignore_errors=True)
    finally:
        remove_above(missing)


def missing_above(target: Path) -> list[Path]:
    """The folders that are still to be made for a target to lie in, the innermost first."""
    return [above for above in target.parents if not above.exists()]


def make_above(missing: Sequence[Path]) -> None:
    """Make these folders, durably.  Raises OSError."""
    for folder in reversed(missing):
        with suppress(FileExistsError):
            folder.mkdir()
            sync_folder(SYSTEM, folder.parent)


def remove_above(made: Sequence[Path]) -> None:
    """Remove those of the folders that are empty."""
    for folder in sorted(made, key=lambda path: len(path.parts), reverse=True):
        with suppress(OSError):
            folder.rmdir()


def _building(target: Path) -> str:
    return f".{target.name}.octavo-building-"


def _exchanging(target: Path) -> str:
    return f".{target.name}.octavo-exchange-"


@contextmanager
def _new_folder(target: Path) -> Iterator[Path]:
    """A new folder to build in, locked.  Another builder's sweep may take one away before that."""
    with disk_errors("making a folder beside the data folder"):
        while True:
            path = target.with_name(f"{_building(target)}{secrets.token_hex(4)}")
            path.mkdir(mode=FOLDER_MODE)
            lock = disk.lock_folder(path)
            if lock is not None:
                break
    try:
        yield path
    finally:
        lock.close()


def _is_rubbish(path: Path, target: Path) -> bool:
    """Whether this is a folder that was built and not put in place; not the store that it replaced."""
    if path.name.startswith(_building(target)):
        return True
    try:
        return path.name == f"{_exchanging(target)}{path.lstat().st_ino}"
    except OSError:
        return False


def _left(target: Path) -> Iterator[Path]:
    """What builders, dead or alive, have beside the target."""
    names = os.listdir(target.parent) if target.parent.is_dir() else ()
    return (target.with_name(n) for n in names if n.startswith((_building(target), _exchanging(target))))


def set_aside(target: Path) -> list[Path]:
    """The stores that were replaced at the target, and have no name of their own yet: their export was
    interrupted, or is just about to name them.  None where the folder above cannot be listed.  Raises
    DiskError."""
    with disk_errors("looking beside the data folder"), suppress(PermissionError):
        return sorted(path for path in _left(target.resolve()) if not _is_rubbish(path, target.resolve()))
    return []


def _sweep(target: Path, layout: Layout) -> list[Path]:
    """Remove what dead builders have left; a store that they exchanged gets the name it was to have.  Gives
    these names."""
    settled = []
    for left in _left(target):
        with suppress(FileNotFoundError), disk.unlocked_folder(left) as mine:
            if mine and _is_rubbish(left, target):
                shutil.rmtree(left, ignore_errors=True)
            elif mine and not disk.is_locked(target) and (kept := _settle(left, target, layout)):
                settled.append(kept)
    return settled


def _bring_cache(old: Path, new: Path, *, durably: bool = False) -> None:
    """The baseline, the reports of earlier runs and the state of the move stay with the store: as they are
    at the beginning, and once more, ``durably``, what has changed by the end."""

    def own(folder: str, names: list[str]) -> list[str]:
        below = os.path.relpath(folder, old.parent)
        return [name for name in names if os.path.join(below, name) in _OWN]

    def copy(source: str, target: str) -> None:
        if durably and _is_copy(source, target):
            return
        shutil.copy2(source, target)
        if durably:
            with open(target, "rb") as file:
                disk.sync_file(file)

    if old.is_dir():
        shutil.copytree(old, new, dirs_exist_ok=True, symlinks=True, ignore=own, copy_function=copy)


def _is_copy(one: str, other: str) -> bool:
    """Whether a file is the copy that was made of another, as far as size and time tell."""
    with suppress(FileNotFoundError):
        a, b = os.stat(one), os.stat(other)
        return (a.st_size, a.st_mtime_ns) == (b.st_size, b.st_mtime_ns)
    return False
