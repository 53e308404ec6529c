"""One opening of a store's folder: its lock, what is in memory of it, and its committer.

All that an engine knows can be read from disk again.  So one that was interrupted in the midst of something,
by an exception that nothing here raises, is *lost*: it is given up as a process is that was killed there, and
its store opens another one, which recovers the folder as after any death.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, TypeVar

from octavo.errors import (
    BusyError,
    ConflictError,
    DiskError,
    OctavoError,
    ReplacedError,
    disk_errors,
    is_of_system,
)
from octavo.layout.keys import Key
from octavo.layout.layout import RESERVED_FOLDERS
from octavo.layout.record import Record, Row
from octavo.store.commit import Committer, Lost
from octavo.store.freshness import Place, Stale, World
from octavo.store.index import Spec
from octavo.store.journal import Journal
from octavo.store.lock import NAME as _LOCK
from octavo.store.lock import ProcessLock
from octavo.store.overlay import Base
from octavo.store.refresh import Refresher, Resolve
from octavo.store.rules import Rules
from octavo.store.shared import READ_ONLY, Openers, SharedState, holder_in
from octavo.store.system import FOLDER_MODE, FileSystem
from octavo.store.view import View
from octavo.store.watch import Eventually, Watch
from octavo.store.writer import Writer

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
        place, openers, state, watching = self._look_at_folder()
        self.openers = openers
        self.open.callback(openers.close)
        self.world = World(place, system, state, watching)
        self.open.callback(self.world.close)
        self.open.callback(lock.close)
        self.base = Base(self.world, self.layout, rules.codecs, log_budget)
        self.open.callback(self.base.close)
        self.journal = Journal(root, system)
        self.open.callback(self.journal.close)
        self.writer = Writer(self.base, self.journal)
        self.refresher = Refresher(self.base, self.journal, openers, resolve)
        self.committer = Committer(self.writer, lock, self.refresher, batched=batched)
        self.view = View(rules, _Newest(self.committer) if batched else self.base)
        try:
            if state is None or not state.is_current or state.commits % 2:
                self._recover_now()
        except BaseException:
            self.close()
            raise

    def _look_at_folder(self) -> tuple[Place, Openers, SharedState | None, Watch]:
        """The folder at the path, who has it open, its page of state, and a watch on it.

        All are of one folder, though another may be put in its place meanwhile.
        """
        folders = [f for f in self.layout.folders if f.partition("/")[0] not in RESERVED_FOLDERS]
        while True:
            place = Place(self.root)
            with disk_errors("opening the store"):
                openers = Openers(self.root)
            state, watching = self._open_state(), Eventually(self.root, folders)
            try:
                place.check()
            except OctavoError as error:
                for made in (place, watching, openers, state):
                    if made is not None:
                        made.close()
                if not isinstance(error, ReplacedError):
                    raise
            else:
                openers.join(state)
                return place, openers, state, watching

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

    def rows_in_order(self, spec: Spec, values: Any) -> list[Record] | None:
        return self._committer.top.rows_in_order(spec, values)


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
