"""Brings what a process has of a store in memory up to date with the disk.

That is done before each answer that may be stale, and whenever the write lock was taken.  A store that a
writer has left half changed is recovered then.
"""

from __future__ import annotations

import os
import stat

from octavo.errors import DamagedError, disk_errors
from octavo.layout.layout import Layout
from octavo.store.freshness import Behind, World
from octavo.store.indexfile import keep_if_whole
from octavo.store.journal import Journal
from octavo.store.overlay import Base
from octavo.store.recovery import Resolve, recover
from octavo.store.shared import COUNT, NAME, Openers, SharedState


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

        Raises Behind, ReplacedError, DamagedError, DiskError.
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
        """Take notice of what others have changed.  Raises Behind while another process is writing."""
        world = self.world
        with world.mutex, world.guard:
            commits = world.words[COUNT]
            if commits % 2 and commits - 1 != world.known:
                raise Behind
            refused, world.untold = world.untold, True
            files = world.watch.take()
            if files is None:
                check_folders(world.root, self.base.layout)
            self.base.suspect(None if refused else files)
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
