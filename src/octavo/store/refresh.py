"""Brings what a process has of a store in memory up to date with the disk.

That is done before each answer that may be stale, and whenever the write lock was taken.  A store that a
writer has left half changed is recovered then.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from contextlib import suppress

from octavo.errors import DamagedError, disk_errors
from octavo.layout.layout import Layout
from octavo.store import position
from octavo.store.changes import is_left_over
from octavo.store.freshness import Stale, World
from octavo.store.indexfile import keep_if_whole
from octavo.store.journal import Journal
from octavo.store.overlay import Base
from octavo.store.shared import COUNT, NAME, Openers, SharedState
from octavo.store.system import FileSystem, sync_all

Resolve = Callable[[dict[str, str]], bool]
"""Tells whether the changes of a prepared entry count, from its note."""


def recover(root: str, layout: Layout, journal: Journal, system: FileSystem, resolve: Resolve | None) -> None:
    """Replay the journal, sync what it changed, and sweep what a crash has left.

    What a writer had done without its commit's being over is seen by everybody from now on, as far as it is
    whole: so it has to be durable first.  That goes for the removal of a journal too.

    Doing it twice, or being killed in it and doing it again, comes to the same.  The write lock is held.
    Raises DamagedError, OSError.
    """
    sync_all(system, root)
    journal.catch_up(None)
    journal.replay(resolve)
    journal.checkpoint()
    for file in left_overs(root, layout):
        with suppress(FileNotFoundError):
            system.remove(os.path.join(root, file))


def left_overs(root: str, layout: Layout) -> list[str]:
    """Files that were being written when a crash came, relative to the data folder."""
    # What it takes to tell a payload on its way is not needed to open a store that is at rest.
    from octavo.store.payloads import is_abandoned, is_incoming

    found = []
    for folder in ("", *layout.folders):
        if folder == "cache":
            continue
        with suppress(FileNotFoundError), os.scandir(os.path.join(root, folder)) as entries:
            for entry in entries:
                is_payload = folder == layout.payload_folder and is_incoming(entry.name)
                if is_left_over(entry.name) or (is_payload and is_abandoned(entry.path)):
                    found.append(os.path.join(folder, entry.name))
    # Of what lies in the cache only this is written under the write lock.
    beside = os.path.dirname(position.NAME)
    with suppress(FileNotFoundError):
        found += [os.path.join(beside, n) for n in os.listdir(os.path.join(root, beside)) if _is_position(n)]
    return found


def _is_position(name: str) -> bool:
    return is_left_over(name) and name.startswith(f".{os.path.basename(position.NAME)}.")


class Refresher:
    """What one opening of a store knows of the disk, and how it catches up."""

    def __init__(self, base: Base, journal: Journal, openers: Openers, resolve: Resolve | None) -> None:
        self.base, self.journal, self.openers = base, journal, openers
        self.world: World = base.world
        self._resolve = resolve
        self._journals = -1
        """which of its lives the journal is in, as far as is known here"""
        self.changes_of_others = 0
        """how often it was noticed, under the write lock or not, that another process has committed"""

    def enter(self, lock_opened: bool) -> None:
        """The write lock was taken; ``lock_opened``: for the first time, or on another file than before.

        Raises Stale, ReplacedError, DamagedError, DiskError.
        """
        world = self.world
        state = world.state
        world.place.check()
        if lock_opened:
            state = self._reopened(state)
        if state is None or not state.is_current or state.words[COUNT] % 2:
            state = self._recovered(state)
        lives, end = state.journal
        if lives != self._journals or end != self.journal.end:
            with disk_errors("reading the journal"):
                if lives != self._journals:
                    self.journal.forget()
                self.journal.catch_up(end)
            self._journals = lives
        state.sign()
        self.refresh()

    def _reopened(self, state: SharedState | None) -> SharedState | None:
        """The page, if it still is the one of this name; ``cache/`` may have been removed."""
        if not self.openers.is_in_place():
            self.openers.close()
            with disk_errors("opening the store"):
                self.openers.open()
            self.openers.join(None)
        if state is not None and not _is_there(self.world.path(NAME), state.inode):
            return None
        return state

    def _recovered(self, state: SharedState | None) -> SharedState:
        """Bring the store back to what was committed, where that is needed; the page counts from then on."""
        world, root = self.world, self.world.root
        with disk_errors("recovering the store"):
            if state is None:
                state = SharedState(root, create=True)
            if not state.is_of_here:
                state.clear()
                state.begin()
            if state.commits % 2 or not self.journal.is_absent:
                state.begin()
                recover(root, self.base.layout, self.journal, world.system, self._resolve)
            if not state.is_current:
                # While it is, the index has been followed without a gap.
                state.note_index(keep_if_whole(root, state))
            state.note_journal(0)
            state.start()
        self.changes_of_others += 1
        with world.mutex, world.change:
            world.use(state)
            self.base.suspect(None)
        return state

    def refresh(self) -> None:
        """Take notice of what others have changed.  Raises Stale while another process is writing."""
        world = self.world
        with world.mutex, world.guard:
            commits = world.words[COUNT]
            if commits % 2 and commits - 1 != world.known:
                raise Stale
            refused, world.untold = world.untold, True
            files = world.watch.take()
            if files is None:
                check_folders(world.root, self.base.layout)
            if refused or files is None:
                self.base.suspect(None)
            elif others := world.of_others(files):
                self.base.suspect(others)
            world.untold = False
            if commits != world.known and commits % 2 == 0:
                self.changes_of_others += 1
                with world.change:
                    world.known = commits


def check_folders(root: str, layout: Layout) -> None:
    """Raise DamagedError for a folder that is missing, or that leads elsewhere."""
    for name in layout.folders:
        try:
            mode = os.lstat(os.path.join(root, name)).st_mode
        except (FileNotFoundError, NotADirectoryError):
            mode = 0
        if stat.S_ISLNK(mode):
            raise DamagedError("is a symbolic link, which a folder of a store never is", file=name)
        if name != "cache" and not stat.S_ISDIR(mode):
            raise DamagedError("the folder is missing", file=name)


def _is_there(path: str, inode: int) -> bool:
    try:
        return os.lstat(path).st_ino == inode
    except FileNotFoundError:
        return False
