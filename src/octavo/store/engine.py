"""One opening of a store's folder: its lock, what is in memory of it, and its committer.

All that an engine knows can be read from disk again.  So one that was interrupted in the midst of something,
by an exception that nothing here raises, is *lost*: it is given up as a process is that was killed there, and
its store opens another one, which recovers the folder as after any death.

What is in memory is brought up to date before each answer that may be stale, and whenever the write lock was
taken (:class:`Refresher`).  A store that a writer has left half changed is recovered then.
"""

from __future__ import annotations

import os
import stat
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, TypeVar

from octavo.errors import (
    BusyError,
    ConflictError,
    DamagedError,
    DiskError,
    OctavoError,
    ReplacedError,
    disk_errors,
    is_of_system,
)
from octavo.layout.keys import Key
from octavo.layout.layout import RESERVED_FOLDERS, Layout
from octavo.layout.record import Record, Row
from octavo.store import position
from octavo.store.changes import is_left_over
from octavo.store.commit import Committer, Lost
from octavo.store.freshness import Eventually, Place, Stale, Watch, World, is_foreseen
from octavo.store.identity import FOLDER, Standing
from octavo.store.index import Spec
from octavo.store.indexfile import keep_if_whole, settle
from octavo.store.journal import Journal
from octavo.store.lock import NAME as _LOCK
from octavo.store.lock import ProcessLock
from octavo.store.overlay import Base
from octavo.store.rules import Rules
from octavo.store.shared import COUNT, NAME, READ_ONLY, Openers, SharedState, holder_in
from octavo.store.system import FOLDER_MODE, FileSystem, sync_all
from octavo.store.view import View
from octavo.store.writer import Writer

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

    def __init__(
        self, base: Base, journal: Journal, openers: Openers, standing: Standing, resolve: Resolve | None
    ) -> None:
        self.base, self.journal, self.openers, self.standing = base, journal, openers, standing
        self.world: World = base.world
        self._resolve = resolve
        self._schema: tuple[int, int] | None = None
        """the folder that says what the store is, in the state in which it was looked at"""
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
                schema = check_folders(world.root, self.base.layout)
                is_same = schema == self._schema and not refused
            else:
                schema, is_same = self._schema, not refused and not any(f.startswith(FOLDER) for f in files)
            if not is_same:
                self.standing.check()
                self._schema = schema
            if refused or files is None:
                self.base.suspect(None)
            elif others := world.of_others(files):
                self.base.suspect(others)
            world.untold = False
            if commits != world.known and commits % 2 == 0:
                self.changes_of_others += 1
                with world.change:
                    world.known = commits


def check_folders(root: str, layout: Layout) -> tuple[int, int] | None:
    """Raise DamagedError for a folder that is missing, or that leads elsewhere.  Gives the state of
    ``schema/``, if it is there."""
    schema = None
    for name in layout.folders:
        try:
            found = os.lstat(os.path.join(root, name))
            mode = found.st_mode
            if name == FOLDER:
                schema = found.st_ino, found.st_mtime_ns
        except (FileNotFoundError, NotADirectoryError):
            mode = 0
        if stat.S_ISLNK(mode):
            raise DamagedError("is a symbolic link, which a folder of a store never is", file=name)
        if name not in ("cache", FOLDER) and not stat.S_ISDIR(mode):
            raise DamagedError("the folder is missing", file=name)
    return schema


def _is_there(path: str, inode: int) -> bool:
    try:
        return os.lstat(path).st_ino == inode
    except FileNotFoundError:
        return False


T = TypeVar("T")

_PATIENT_TRIES = 8


class Engine:
    """What a process has of a store, from opening it to letting go of it.  Safe to share among threads."""

    def __init__(
        self,
        root: str,
        rules: Rules,
        system: FileSystem,
        *,
        batched: bool,
        lock_timeout: float | None,
        log_budget: int,
        resolve: Resolve | None,
    ) -> None:
        """Open the store in the folder ``root``, and recover it first if it has to be.

        Raises DamagedError, BusyError, ReplacedError, DiskError.
        """
        self.open = ExitStack()
        """what is to be let go of"""
        self.root, self.rules, self.layout = root, rules, rules.layout
        self.lock_timeout, self.system = lock_timeout, system
        self.read_only = False
        self.is_inherited = False
        """whether it is of the process that this one was forked from"""
        try:
            os.makedirs(os.path.join(root, "cache"), FOLDER_MODE, exist_ok=True)
        except OSError as error:
            if not is_of_system(error):
                raise
            self.read_only = True
        lock = ProcessLock(os.path.join(root, _LOCK), lambda: holder_in(root))
        try:
            standing, place, self.openers, state, watching = self._look_at_folder()
            self.world = World(place, system, state, watching)
            self.world.is_alone = self.openers.is_alone
            self.open.callback(self.world.close)
            self.open.callback(lock.close)
            self.base = Base(self.world, self.layout, rules.codecs, log_budget)
            self.open.callback(self.base.close)
            self.journal = Journal(root, system)
            self.open.callback(self.journal.close)
            self.writer = Writer(self.base, self.journal)
            self.refresher = Refresher(self.base, self.journal, self.openers, standing, resolve)
            self.committer = Committer(self.writer, lock, self.refresher.enter, batched=batched)
            self.view = View(rules, _Newest(self.committer) if batched else self.base)
            if state is None or not state.is_current or state.commits % 2:
                self._recover_now()
        except BaseException:
            # A signal handler may raise at any line: nothing else would close what is open by then.
            self.close()
            raise

    def _look_at_folder(self) -> tuple[Standing, Place, Openers, SharedState | None, Watch]:
        """What the folder at the path says it is, the folder, who has it open, its page of state, and a watch
        on it.

        All are of one folder, though another may be put in its place meanwhile.
        """
        folders = [f for f in self.layout.folders if f.partition("/")[0] not in RESERVED_FOLDERS]
        while True:
            place = Place(self.root)
            self.open.callback(place.close)
            standing = Standing(self.root, self.layout)
            with disk_errors("opening the store"):
                openers = Openers(self.root)
            self.open.callback(openers.close)
            if (state := self._open_state()) is not None:
                self.open.callback(state.close)
            watching = Eventually(self.root, [*folders, FOLDER] if standing.is_said else folders)
            self.open.callback(watching.close)
            try:
                place.check()
            except ReplacedError:
                self.open.close()
            else:
                # Not before: until then it is this look that came too early.
                place.replaced = standing.replaced
                openers.join(state)
                return standing, place, openers, state, watching

    def _open_state(self) -> SharedState | None:
        try:
            return SharedState(self.root, create=False)
        except OSError:
            return None

    def _recover_now(self) -> None:
        """Recover the store, unless another process just has."""
        try:
            with self.committer.turn(self.lock_timeout):
                pass
            # A process that only reads needs it no more.
            self.committer.lock.close()
        except DiskError as error:
            if error.errno not in READ_ONLY:
                raise
            # Nothing can be written here, so nothing changes either.
            self.read_only = True
            with disk_errors("reading the journal"):
                self.journal.catch_up(None)
            if self.journal.entries:
                raise DiskError("the store has to be recovered, and cannot be written to") from error

    @property
    def is_lost(self) -> bool:
        """Whether it was interrupted in the midst of something: another one is to be opened."""
        return self.committer.is_lost or self.world.torn

    def read(self, work: Callable[[View], T], timeout: float | None) -> T:
        """What a function makes of the store, as it is between two commits; see :meth:`Store.read`.

        Raises Lost if another engine has to be asked.
        """
        world = self.world
        tries, epoch = 0, -1
        while True:
            if self.is_lost:
                raise Lost
            try:
                # In this order: a thread that takes changes from the watch says first that they are untold.
                is_stale = world.commits != world.known or world.watch.changed() or world.untold
                world.place.check()
                if is_stale:
                    self.refresher.refresh()
                epoch = world.epoch
                if epoch % 2 == 0:
                    result = work(self.view)
                    if world.epoch == epoch:
                        return result
            except Stale:
                pass
            except (RuntimeError, KeyError):
                # A dict that changed while it was read; otherwise it is the function's own.
                if world.epoch == epoch:
                    raise
            except OctavoError:
                # What is missing or damaged may be so in another folder.
                world.place.check()
                raise
            tries += 1
            if tries > _PATIENT_TRIES:
                return self._read_alone(work, timeout)
            self._wait(tries)

    def read_at_once(self, work: Callable[[View], T]) -> T:
        """What a function makes of the store, from memory; see :meth:`Store.read_at_once`."""
        if self.is_lost:
            raise Stale
        world, taken = self.world, False
        try:
            try:
                # With it, no lock below has to be waited for.
                if not (taken := world.mutex.acquire(blocking=False)):
                    raise Stale
                world.hurried = threading.get_ident()
                if world.commits != world.known or world.watch.changed() or world.untold:
                    self.refresher.refresh()
                world.place.check()
                epoch = world.epoch
                result = work(self.view)
                if epoch % 2 or world.epoch != epoch:
                    raise Stale
                world.hurried = 0
                return result
            finally:
                world.mutex.release()
        except BaseException as error:
            # What has not been taken cannot be released.
            why = error if taken or error.__context__ is None else error.__context__
            if not is_foreseen(why) and not isinstance(why, RuntimeError | KeyError):
                world.tear()
                raise why from None
            # A thread that takes its time finds out what is wrong.
            world.hurried = 0
            raise Stale from None

    def _wait(self, tries: int) -> None:
        """Wait for the process that is writing; recover the store if none is any more."""
        if self.committer.wait_until_written():
            return
        if tries % 8 == 7 and self.world.commits % 2:
            with suppress(BusyError), self.committer.turn(0):
                pass
        time.sleep(min(0.0002 * tries, 0.01))

    def _read_alone(self, work: Callable[[View], T], timeout: float | None) -> T:
        """Read while no transaction can commit."""
        with self.committer.turn(timeout) as overlay, reading():
            return work(View(self.rules, overlay))

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the write lock inside the block, with all that was committed in the files, and synced.

        Raises Lost, BusyError, DiskError.
        """
        with self.committer.turn(self.lock_timeout):
            self.committer.flush()
            self.writer.checkpoint()
            yield

    def settle(self, *, in_use: bool) -> None:
        """Make the index durable.  ``in_use``: threads of this process may be about to commit."""
        self.base.note()
        settle(self.world.state, in_use=in_use)

    def close(self) -> None:
        """Let go of everything; nothing is written."""
        self.open.close()


class _Newest:
    """What is committed, written or not: a batched commit is seen before it is durable."""

    def __init__(self, committer: Committer) -> None:
        self._committer = committer

    def record(self, model: str, key: Key) -> Row | None:
        return self._committer.top.record(model, key)

    def find(self, spec: Spec, values: Any) -> list[Row]:
        return self._committer.top.find(spec, values)

    def all(self, model: str) -> Iterator[Row]:
        return self._committer.top.all(model)

    def rows_in_order(self, spec: Spec, values: Any) -> Sequence[Record] | None:
        return self._committer.top.rows_in_order(spec, values)

    def holding(self, model: str, parts: Sequence[str]) -> list[Row] | None:
        return self._committer.top.holding(model, parts)

    def ranked(
        self, model: str, words: Sequence[str], fields: Sequence[str]
    ) -> Iterator[tuple[Row, float]] | None:
        return self._committer.top.ranked(model, words, fields)


@contextmanager
def reading() -> Iterator[None]:
    """Read files under the write lock."""
    try:
        yield
    except Stale:
        raise unlocked() from None


def unlocked() -> ConflictError:
    """The error of a thread that holds the write lock and finds that another process has committed."""
    return ConflictError("the store was changed by a process that does not hold its lock")
