"""A store of plain files that keeps a database's promises.

::

    with Store.open("data", frozen_layout()) as store:
        with store.transaction() as tx:
            tx.insert([message])
        chat = store.read(lambda view: view.get("Chat", chat_id))

- A transaction happens wholly or not at all, and is on disk when its block ends.  One runs at a time, across
  threads and processes.
- Reading never sees half of one, and never something that a person with an editor has since replaced.
- A file that cannot be read is an error that names it.  It is never taken for an empty one.

What is read are rows (:class:`octavo.store.view.View`), immutable and shared.  Do not keep a view, or what it
iterates over, beyond the function that it was given to.
"""

from __future__ import annotations

import atexit
import os
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

from octavo.errors import (
    BusyError,
    DamagedError,
    DiskError,
    OctavoError,
    ReplacedError,
    UsageError,
    disk_errors,
)
from octavo.layout.layout import RESERVED_FOLDERS, Layout
from octavo.layout.record import Record
from octavo.layout.stored import SHA256, Key, Stored
from octavo.store.commit import Committer
from octavo.store.durability import Durability, require_durability
from octavo.store.index import Spec
from octavo.store.journal import Journal
from octavo.store.keeper import IDLE_INTERVAL, Keeper
from octavo.store.layers import Base, Layer
from octavo.store.lock import NAME as _LOCK
from octavo.store.lock import TIMEOUT, ProcessLock
from octavo.store.recovery import Resolve, recover
from octavo.store.rest import require_store
from octavo.store.rules import Rules
from octavo.store.shared import COUNT, READ_ONLY, SharedState, describe_holder
from octavo.store.shared import NAME as _STATE
from octavo.store.system import FOLDER_MODE, SYSTEM, FileSystem
from octavo.store.transaction import Begun, Prepare, unlocked
from octavo.store.view import View
from octavo.store.watch import Eventually, Watch
from octavo.store.world import Behind, World
from octavo.store.writer import Writer

if TYPE_CHECKING:
    from pathlib import Path

    from octavo.store.compaction import Compaction
    from octavo.store.payloads import Payloads, Removed, Source

T = TypeVar("T")

LOG_BUDGET = 64 << 20
"""bytes of logs per parent held in memory, where the caller says nothing"""
_PATIENT_TRIES = 8


class Store:
    """The store in one data folder.  Safe to share among threads; made by :meth:`open`."""

    def __init__(
        self,
        data_dir: Path | str,
        layout: Layout,
        *,
        durability: Durability,
        lock_timeout: float | None,
        log_budget: int,
        system: FileSystem,
        resolve: Resolve | None,
    ) -> None:
        self.layout = layout
        self.lock_timeout, self.system = lock_timeout, system
        self.rules = Rules(layout)
        self._root = os.path.abspath(data_dir)
        self._durability, self._budget, self._resolve = durability, log_budget, resolve
        self._closed = False
        self.changes_of_others = 0
        """how often it was noticed, under the write lock or not, that somebody else has committed"""
        self._start()

    @classmethod
    def open(
        cls,
        data_dir: Path | str,
        layout: Layout,
        *,
        durability: Durability = "full",
        lock_timeout: float | None = TIMEOUT,
        log_budget: int = LOG_BUDGET,
        system: FileSystem = SYSTEM,
        resolve: Resolve | None = None,
    ) -> Store:
        """Open the store in a data folder, and recover it first if it has to be.

        ``durability``: with ``full`` a commit returns when it is on disk; with ``batched`` at once, and what
        a crash can lose is the last tenth of a second, as a whole.  ``lock_timeout``: seconds to wait for the
        write lock, None for ever.  ``log_budget``: bytes of logs per parent to hold in memory.  ``resolve``
        tells the fate of a prepared change from its note.

        Raises UsageError if there is no store, or no such durability, DamagedError if it cannot be recovered,
        BusyError, DiskError.
        """
        require_durability(durability)
        require_store(data_dir)
        check_folders(os.fspath(data_dir), layout)
        return cls(
            data_dir,
            layout,
            durability=durability,
            lock_timeout=lock_timeout,
            log_budget=log_budget,
            system=system,
            resolve=resolve,
        )

    def _start(self) -> None:
        """Set up everything that belongs to this process and to the folder as it is now."""
        root = self._root
        self.read_only = False
        try:
            os.makedirs(os.path.join(root, "cache"), FOLDER_MODE, exist_ok=True)
        except OSError:
            self.read_only = True
        lock = ProcessLock(os.path.join(root, _LOCK), self._holder)
        self._identity, state, watching = self._look_at_folder()
        self._world = World(root, self.system, state, watching)
        self._base = Base(self._world, self.layout, self.rules.codecs, self._budget)
        self._journal = Journal(root, self.system)
        self._writer = Writer(self._base, self._journal)
        batched = self._durability == "batched"
        self._committer = Committer(self._writer, lock, self._enter, batched=batched)
        self._view = View(self.rules, _Newest(self._committer) if batched else self._base)
        self._keeper: Keeper | None = None
        self._last_commit = 0.0
        self._journals = -1
        """which of its lives the journal is in, as far as is known here"""
        _stores.add(self)
        try:
            if state is None or not state.is_current or state.commits % 2:
                self._recover_now()
        except BaseException:
            self._stop()
            raise

    def _look_at_folder(self) -> tuple[tuple[int, int], SharedState | None, Watch]:
        """What tells the folder from others, its page of state, and a watch on it.

        All are of one folder, though another may be put in its place meanwhile.
        """
        folders = [f for f in self.layout.folders if f.partition("/")[0] not in RESERVED_FOLDERS]
        while True:
            identity = _identity(self._root)
            state, watching = self._open_state(), Eventually(self._root, folders)
            if _identity(self._root) == identity:
                return identity, state, watching
            watching.close()
            if state is not None:
                state.close()

    def _open_state(self) -> SharedState | None:
        try:
            return SharedState(os.path.join(self._root, _STATE), create=False)
        except OSError:
            return None

    def _recover_now(self) -> None:
        """Recover the store, unless somebody else just has."""
        try:
            self._committer.begin(self.lock_timeout)
        except DiskError as error:
            if not _is_read_only(error):
                raise
            # Nothing can be written here, so nothing changes either.
            self.read_only = True
            self._journal.catch_up(None)
            if self._journal.entries:
                raise DiskError("the store has to be recovered, and cannot be written to") from error
            return
        self._committer.abandon()

    def _holder(self) -> str:
        return describe_holder(self._world.state)

    def _enter(self, opened: bool) -> None:
        """The write lock was taken: bring everything up to date."""
        world = self._world
        state = world.state
        if opened:
            if _identity(self._root) != self._identity:
                raise _replaced()
            if state is not None and not _is_there(os.path.join(self._root, _STATE), state.inode):
                state = None
        if state is None or not state.is_current or state.commits % 2:
            with disk_errors("recovering the store"):
                if state is None:
                    state = SharedState(os.path.join(self._root, _STATE), create=True)
                if not state.is_current:
                    state.clear()
                    state.begin()
                recover(self._root, self.layout, self._journal, self.system, self._resolve)
            state.note_journal(0)
            state.start()
            self.changes_of_others += 1
            with world.change():
                world.use(state)
                self._base.suspect(None)
        elif (state.journals, state.journal_end) != (self._journals, self._journal.end):
            with disk_errors("reading the journal"):
                if state.journals != self._journals:
                    self._journal.forget()
                self._journal.catch_up(state.journal_end)
        self._journals = state.journals
        state.sign()
        with world.mutex:
            self._refresh()

    def _refresh(self) -> None:
        """Take notice of what others have changed.  Raises Behind while one of them is at it."""
        world = self._world
        commits = world.commits
        if commits % 2 and commits - 1 != world.known:
            raise Behind
        files = world.watch.take()
        if files is None:
            if _identity(self._root) != self._identity:
                raise _replaced()
            check_folders(self._root, self.layout)
        self._base.suspect(files)
        if commits % 2 == 0 and commits != world.known:
            self.changes_of_others += 1
            with world.change():
                world.known = commits

    def read(self, work: Callable[[View], T], *, timeout: float | None = None) -> T:
        """What a function makes of the store, as it is between two commits.

        The function may be called again when somebody has written meanwhile; it must not do anything else.
        Raises what it raises, DamagedError, DiskError; BusyError if writers leave no gap for ``timeout``
        seconds (by default as long as for the write lock).
        """
        world = self._world
        tries, epoch = 0, -1
        while True:
            try:
                if world.commits != world.known or world.watch.changed():
                    with world.mutex:
                        self._refresh()
                epoch = world.epoch
                if epoch % 2 == 0:
                    result = work(self._view)
                    if world.epoch == epoch:
                        return result
            except Behind:
                pass
            except (RuntimeError, KeyError):
                # A dict that changed while it was read; otherwise it is the function's own.
                if world.epoch == epoch:
                    raise
            self._check_open()
            tries += 1
            if tries > _PATIENT_TRIES:
                return self._read_alone(work, timeout)
            self._wait(tries)

    def get(self, model: str, key: Key) -> Record | None:
        """The row with this key (see :meth:`View.get`), as it is between two commits.

        Raises as :meth:`read`.
        """
        world = self._world
        if world.words[COUNT] == world.known and not world.watch.changed():
            epoch = world.epoch
            if not epoch % 2:
                with suppress(Behind, RuntimeError):
                    found = self._view.get(model, key)
                    if world.epoch == epoch:
                        return found
        return self.read(lambda view: view.get(model, key))

    def _wait(self, tries: int) -> None:
        """Wait for whoever is writing; recover the store if nobody is any more."""
        if self._committer.wait_until_written():
            return
        if tries % 8 == 7 and self._world.commits % 2:
            with suppress(BusyError):
                self._committer.begin(0)
                self._committer.abandon()
        time.sleep(min(0.0002 * tries, 0.01))

    def _read_alone(self, work: Callable[[View], T], timeout: float | None) -> T:
        """Read while nobody can write."""
        overlay = self._committer.begin(self.lock_timeout if timeout is None else timeout)
        try:
            return work(View(self.rules, overlay))
        except Behind:
            raise unlocked() from None
        finally:
            self._committer.abandon()

    def transaction(self, *, timeout: float | None = None, prepare: Prepare | None = None) -> Begun:
        """Rows to read and change, for the length of a ``with`` block; committed when it ends.

        If the block raises, nothing has changed.  ``timeout``: seconds to wait for the write lock, by default
        the store's.  Entering raises BusyError, with the holder, when they are over; leaving raises
        ConflictError if what the transaction was built on was replaced, DiskError if it could not be made
        durable.

        ``prepare`` is called when the block has ended.  It may still change rows, and tells who decides
        whether the transaction happens (see :class:`octavo.store.writer.Decision`; None: nobody else does);
        then leaving raises what was decided, and Lagging if it happened but cannot be seen before the store
        is recovered.
        """
        self._check_open()
        if self.read_only:
            raise DiskError("the store cannot be written to here")
        return Begun(self, self.lock_timeout if timeout is None else timeout, prepare)

    def _committed(self) -> None:
        if self._journal.end or self._committer.batched:
            self._last_commit = time.monotonic()
            if self._keeper is None:
                self._keeper = Keeper(self)

    def flush(self) -> None:
        """Make everything that was committed durable; with ``durability="full"`` it is."""
        self._committer.flush()

    def checkpoint(self) -> None:
        """Sync all files that the journal names, and empty it.  Raises BusyError, DiskError."""
        with self.alone():
            pass

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the write lock inside the block, with all that was committed in the files, and synced.

        Raises BusyError, DiskError.
        """
        self._committer.begin(self.lock_timeout)
        try:
            self._committer.flush()
            self._writer.checkpoint()
            yield
        finally:
            self._committer.abandon()

    def compact(self, done: Callable[[int], object] = lambda logs: None) -> Compaction:
        """Rewrite every log with one line a record, in order, so that the files are what an export gives.

        One log after the other, so that writers get their turn.  ``done`` hears of each.  A log that cannot
        be read stays as it is, and is in the report.  Raises BusyError, DiskError.
        """
        self._check_open()
        if self.read_only:
            raise DiskError("the store cannot be written to here")
        from octavo.store.compaction import Compaction, log_files

        report = Compaction()
        for file, family in log_files(self._base):
            with self.alone(), _reading():
                report.take(file, family, self._writer)
            done(1)
        return report

    @cached_property
    def payloads(self) -> Payloads:
        """The files that records point at."""
        from octavo.store.payloads import Payloads

        return Payloads(self._root, self.layout, self.system)

    def put_payload(self, source: Source) -> str:
        """Store a payload (bytes, a file's path, or an open file) durably; its SHA-256.

        It counts from when a transaction gives it to a record (:meth:`Transaction.set_payload`); what no
        record names may be removed when it is an hour old.  Raises DiskError.
        """
        self._check_open()
        return self.payloads.put(source)

    def open_payload(self, sha256: str) -> BinaryIO:
        """A payload to read from.  Raises DamagedError if it is not there, DiskError."""
        return self.payloads.open(sha256)

    def remove_payloads(self, grace: float = 3600.0) -> list[Removed]:
        """Remove the payloads that no record names, if they are older than ``grace`` seconds.

        Raises BusyError while a backup needs them; DamagedError if not all records can be read; DiskError.
        """
        with self.alone(), _reading():
            named = {
                getattr(stored, SHA256)
                for place in self.layout.places
                if place.payload
                for stored in self._base.all(place.model.name)
            }
            return self.payloads.remove_unnamed(named, grace)

    def _keep(self) -> bool:
        """What has to be done now and then; whether there will be more."""
        if self._closed or self._committer.is_broken:
            return False
        if self._committer.has_staged:
            self._committer.flush()
        if time.monotonic() - self._last_commit < IDLE_INTERVAL:
            return True
        if self._journal.end:
            self._committer.begin(0)
            try:
                self._writer.checkpoint()
            finally:
                self._committer.abandon()
        return self._committer.batched

    @property
    def is_broken(self) -> bool:
        """Whether nothing can be written before the store was opened again: the disk has failed."""
        return self._committer.is_broken

    def _check_open(self) -> None:
        if self._closed:
            raise UsageError("the store is closed")

    def close(self) -> None:
        """Write what is left to write, and let go of everything.  Closing twice does nothing."""
        if self._closed:
            return
        try:
            if not self._committer.is_broken:
                self._committer.flush()
                if self._journal.end:
                    # Whoever has put another store in the place of this one has emptied its journal.
                    with suppress(BusyError, ReplacedError):
                        self.checkpoint()
        finally:
            self._closed = True
            self._stop()

    def _stop(self) -> None:
        _stores.discard(self)
        self._base.close()
        self._journal.close()
        self._committer.lock.close()
        self._world.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Newest:
    """What is committed, written or not: a batched commit is seen before it is durable."""

    def __init__(self, committer: Committer) -> None:
        self._committer = committer

    def record(self, model: str, key: Key) -> Stored | None:
        return self._committer.top.record(model, key)

    def find(self, host: str, spec: Spec, values: Any) -> list[Stored]:
        return self._committer.top.find(host, spec, values)

    def all(self, model: str) -> Iterator[Stored]:
        return self._committer.top.all(model)

    def beneath(self, model: str) -> Layer:
        return self._committer.top.beneath(model)


_stores: weakref.WeakSet[Store] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    for store in list(_stores):
        with suppress(OctavoError):
            store.close()


def _after_fork() -> None:
    """A child of fork shares its parent's locks, and must not: everything is set up anew."""
    for store in list(_stores):
        # What is open is the parent's too: it is closed here, and goes on there.
        store._stop()
        store._start()


os.register_at_fork(after_in_child=_after_fork)


def check_folders(root: str, layout: Layout) -> None:
    """Raise DamagedError for a folder that is missing, or that leads elsewhere."""
    for name in layout.folders:
        place = os.path.join(root, name)
        if os.path.islink(place):
            raise DamagedError("is a symbolic link, which a folder of a store never is", file=name)
        if name != "cache" and not os.path.isdir(place):
            raise DamagedError("the folder is missing", file=name)


def _identity(path: str) -> tuple[int, int]:
    found = os.stat(path)
    return found.st_dev, found.st_ino


@contextmanager
def _reading() -> Iterator[None]:
    """Read files under the write lock."""
    try:
        yield
    except Behind:
        raise unlocked() from None


def _replaced() -> ReplacedError:
    return ReplacedError("the data folder was replaced by another one; close the store and open it again")


def _is_there(path: str, inode: int) -> bool:
    try:
        return os.lstat(path).st_ino == inode
    except FileNotFoundError:
        return False


def _is_read_only(error: DiskError) -> bool:
    return error.errno in READ_ONLY
