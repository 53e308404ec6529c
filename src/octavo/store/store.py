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
import gc
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any, BinaryIO, Self, TypeAlias, TypeVar

from octavo.backend import Durability, PathName, require_durability
from octavo.errors import BusyError, DiskError, OctavoError, ReplacedError, SchemaMismatch, UsageError
from octavo.layout.keys import Key
from octavo.layout.layout import Layout
from octavo.layout.record import Record, digest_of
from octavo.store.commit import Lost, Turn
from octavo.store.engine import Engine, Resolve, check_folders, reading, unlocked
from octavo.store.freshness import Stale
from octavo.store.identity import require_same
from octavo.store.lock import TIMEOUT
from octavo.store.offline import require_store
from octavo.store.rules import Rules
from octavo.store.shared import COUNT
from octavo.store.system import SYSTEM, FileSystem, in_background
from octavo.store.view import View, Writable
from octavo.store.writer import Decision

if TYPE_CHECKING:
    from octavo.store.compaction import Compaction
    from octavo.store.payloads import Payloads, Removed, Source

Prepare: TypeAlias = "Callable[[], Decision | None]"
"""Tells, when a transaction's block has ended, who decides whether it happens; None: the store does."""


class Transaction(Writable):
    """Rows to read and change, for the length of a ``with`` block; see :meth:`Store.transaction`."""

    def __init__(self, store: Store, timeout: float | None, prepare: Prepare | None) -> None:
        self._store, self._timeout, self._prepare = store, timeout, prepare
        self.rules = store.rules

    def __enter__(self) -> Self:
        while True:
            engine = self._engine = self._store.engine
            committer = engine.committer
            turn = self._turn = Turn(committer, self._timeout)
            try:
                self.layer = committer.begin(turn)
                return self
            except BaseException as error:
                committer.leave(turn, error)
                if not isinstance(error, Lost):
                    raise

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        try:
            if self._engine.is_inherited:
                if error is None:
                    raise UsageError("the transaction is that of another process")
            elif error is None:
                decision = None if self._prepare is None else self._prepare()
                del self.layer
                self._engine.committer.commit(self._turn, decision)
                self._store.committed(self._engine)
                return
        except BaseException as failed:
            self._leave(failed)
            raise
        self._leave(error)

    def _leave(self, error: BaseException | None) -> None:
        vars(self).pop("layer", None)
        if self._engine.is_inherited:
            # A child of fork has come out of its parent's block.
            return
        self._engine.committer.leave(self._turn, error)
        if isinstance(error, Stale):
            raise unlocked() from None

    def __getattr__(self, name: str) -> Any:
        if name == "layer":
            raise UsageError("the transaction has ended")
        raise AttributeError(name)

    def set_payload(self, model: str, key: Key, sha256: str | None) -> None:
        """Note the payload that a record has, by the digest that :meth:`Store.put_payload` gave; None: it
        has none.  Raises UsageError if there is no such payload; it may have been removed again."""
        if sha256 is not None and not self._store.has_payload(sha256):
            raise UsageError("the payload is not in the store: put it there first")
        super().set_payload(model, key, sha256)

    def wait_for_earlier(self) -> None:
        """Wait until all that this transaction was built on is stored.  Raises ConflictError if it could not
        be: then this one cannot be kept either."""
        self._engine.committer.settle()
        self.layer.check()

    def set_position(self, text: str) -> None:
        """Let the position's file hold this text if the transaction happens, and as it was if it does not.

        That is for a caller that brings changes from elsewhere, and has to know which of them are here.
        """
        self.layer.position = text


T = TypeVar("T")

LOG_BUDGET = 64 << 20
"""bytes of logs per parent held in memory, where the caller says nothing"""
BATCH_INTERVAL = 0.1
"""seconds after which a batch is written"""
IDLE_INTERVAL = 0.5
"""seconds without a commit after which the journal is emptied"""
_LEAVING = 8
"""engines that were lost and may still be in use, after which unused ones are looked for"""


class Store:
    """The store in one data folder.  Safe to share among threads; made by :meth:`open`."""

    def __init__(
        self,
        data_dir: PathName,
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
        self.is_batched, self._budget, self._resolve = durability == "batched", log_budget, resolve
        self.is_closed = False
        self._is_kept = False
        """whether a thread calls :meth:`keep` now and then"""
        self._last_commit = 0.0
        self._noticed = 0
        """what :attr:`changes_of_others` counted in engines that were lost"""
        self._leaving: dict[weakref.ref[Engine], ExitStack] = {}
        """what engines that were lost have open"""
        self._left: deque[weakref.ref[Engine]] = deque()
        """those of them that no thread uses any more"""
        self._opening = threading.Lock()
        self._engine = self._opened()
        _stores.add(self)

    @classmethod
    def open(
        cls,
        data_dir: PathName,
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

        Raises UsageError if there is no store, or no such durability, SchemaMismatch if it has another schema
        or layout, DamagedError if it cannot be recovered, BusyError, DiskError.
        """
        require_durability(durability)
        require_store(data_dir)
        require_same(data_dir, layout)
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

    def _opened(self) -> Engine:
        return Engine(
            self._root,
            self.rules,
            self.system,
            batched=self.is_batched,
            lock_timeout=self.lock_timeout,
            log_budget=self._budget,
            resolve=self._resolve,
        )

    @property
    def engine(self) -> Engine:
        """What this process has of the store now: another one, if it was interrupted in the midst of
        something.  Raises as :meth:`open`."""
        engine = self._engine
        if not (engine.committer.is_lost or engine.world.torn):
            return engine
        with self._opening:
            engine = self._engine
            if engine.is_lost and not self.is_closed:
                # What was interrupted there may have been interrupted in letting go, too.
                engine.committer.lose()
                opened = self._opened()
                opened.committer.unreported = engine.committer.unreported
                self._noticed += engine.refresher.changes_of_others + 1
                self._engine = opened
                # Other threads may be using the lost one for a while.
                self._leaving[weakref.ref(engine, self._left.append)] = engine.open
                del engine
                if len(self._leaving) > _LEAVING:
                    # Engines are cycles of references: without this, descriptors would run out.
                    gc.collect()
                while self._left:
                    self._leaving.pop(self._left.popleft()).close()
        return self._engine

    @property
    def read_only(self) -> bool:
        """Whether nothing can be written here."""
        return self._engine.read_only

    @property
    def changes_of_others(self) -> int:
        """How often it was noticed, under the write lock or not, that another process has committed."""
        return self._noticed + self._engine.refresher.changes_of_others

    def read(self, work: Callable[[View], T], *, timeout: float | None = None) -> T:
        """What a function makes of the store, as it is between two commits.

        The function is called again if the store was written to meanwhile; it must not do anything else.
        Raises what it raises, DamagedError, DiskError; ReplacedError if another folder is at the path by now;
        BusyError if writers leave no gap for ``timeout`` seconds (by default as long as for the write lock).
        """
        timeout = self.lock_timeout if timeout is None else timeout
        while True:
            with suppress(Lost):
                return self.engine.read(work, timeout)

    def read_at_once(self, work: Callable[[View], T]) -> T:
        """The same, from memory alone, for a thread that others wait for: raises Stale where it would have to
        wait, to read a file, or to look at many rows."""
        return self._engine.read_at_once(work)

    def get(self, model: str, key: Key) -> Record | None:
        """The row with this key (see :meth:`View.get`), as it is between two commits.

        Raises as :meth:`read`.
        """
        # What is in memory mostly answers at once, as in Engine.read.
        engine = self._engine
        world = engine.world
        if world.words[COUNT] == world.known and not world.watch.changed() and not world.untold:
            world.place.check()
            epoch = world.epoch
            if not epoch % 2:
                try:
                    found = engine.view.get(model, key)
                    if world.epoch == epoch:
                        return found
                except (Stale, RuntimeError):
                    pass
        return self.read(lambda view: view.get(model, key))

    def transaction(self, *, timeout: float | None = None, prepare: Prepare | None = None) -> Transaction:
        """Rows to read and change, for the length of a ``with`` block; committed when it ends.

        If the block raises, nothing has changed.  ``timeout``: seconds to wait for the write lock, by default
        the store's.  Entering raises BusyError, with the holder, when they are over; leaving raises
        ConflictError if what the transaction was built on was replaced, DiskError if it could not be made
        durable.

        ``prepare`` is called when the block has ended.  It may still change rows, and tells who decides
        whether the transaction happens (see :class:`octavo.store.writer.Decision`; None: the store does);
        then leaving raises what was decided, and Lagging if it happened but cannot be seen before the store
        is recovered.
        """
        if self.is_closed:
            raise UsageError("the store is closed")
        if self._engine.read_only:
            raise DiskError("the store cannot be written to here")
        return Transaction(self, self.lock_timeout if timeout is None else timeout, prepare)

    def committed(self, engine: Engine) -> None:
        """A transaction has been committed: see to it that what is left to do is done in time."""
        if engine.journal.end or self.is_batched:
            self._last_commit = time.monotonic()
            if not self._is_kept:
                _keep_up(weakref.WeakMethod(self.keep), BATCH_INTERVAL if self.is_batched else IDLE_INTERVAL)
                # Only then: were that interrupted, nothing would write the batches.
                self._is_kept = True

    def flush(self) -> None:
        """Make everything that was committed durable; with ``durability="full"`` it is."""
        self.engine.committer.flush()

    def checkpoint(self) -> None:
        """Sync all files that the journal names, and empty it.  Raises BusyError, DiskError."""
        with self.alone():
            pass

    @contextmanager
    def alone(self) -> Iterator[Engine]:
        """Hold the write lock inside the block, with all that was committed in the files, and synced.

        Raises BusyError, DiskError.
        """
        with ExitStack() as stack:
            while True:
                engine = self.engine
                with suppress(Lost):
                    stack.enter_context(engine.alone())
                    break
            yield engine

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
        with self.alone() as engine, reading():
            files = list(log_files(engine.base))
        for file, model in files:
            with self.alone() as engine, reading():
                report.take(file, engine.base.family(model), engine.writer)
            done(1)
        return report

    @cached_property
    def payloads(self) -> Payloads:
        """The files that records point at."""
        from octavo.store.payloads import Payloads

        return Payloads(self._root, self.layout, self.system)

    def has_payload(self, sha256: str) -> bool:
        """Whether a payload with this digest is in the store."""
        return self.payloads.has(sha256)

    def put_payload(self, source: Source) -> str:
        """Store a payload (bytes, a file's path, or an open file) durably; its SHA-256.

        It counts from when a transaction gives it to a record (:meth:`Transaction.set_payload`); what no
        record names may be removed when it is an hour old.  Raises DiskError.
        """
        self._check_open()
        self.engine.world.place.check()
        return self.payloads.put(source)

    def open_payload(self, sha256: str) -> BinaryIO:
        """A payload to read from.  Raises DamagedError if it is missing, ReplacedError, DiskError."""
        self.engine.world.place.check()
        return self.payloads.open(sha256)

    def remove_payloads(self, grace: float = 3600.0) -> list[Removed]:
        """Remove the payloads that no record names, if they are older than ``grace`` seconds.

        Raises BusyError while a backup needs them; DamagedError if not all records can be read; DiskError.
        """
        with self.alone() as engine, reading():
            named = {
                digest
                for place in self.layout.places
                if place.payload
                for row in engine.base.all(place.model.name)
                if (digest := digest_of(row)) is not None
            }
            return self.payloads.remove_unnamed(named, grace)

    def keep(self) -> bool:
        """Do what has to be done now and then; whether there will be more."""
        more = False
        try:
            more = self._keep()
        except BusyError:
            more = True
        except OctavoError:
            # The next writer is told: the committer remembers what failed.
            pass
        finally:
            self._is_kept = more
        return more

    def _keep(self) -> bool:
        if self.is_closed or self.is_broken:
            return False
        engine = self.engine
        if engine.committer.has_staged and engine.committer.write_batch() is not None:
            return True
        if time.monotonic() - self._last_commit < IDLE_INTERVAL:
            return True
        if engine.journal.end:
            with suppress(Lost), engine.committer.turn(0):
                engine.writer.checkpoint()
        engine.settle(in_use=True)
        return self.is_batched

    @property
    def is_broken(self) -> bool:
        """Whether nothing can be written before the store was opened again: the disk has failed."""
        return self._engine.committer.is_broken

    def _check_open(self) -> None:
        if self.is_closed:
            raise UsageError("the store is closed")

    def close(self) -> None:
        """Write what is left to write, and let go of everything.  Closing twice does nothing."""
        if self.is_closed:
            return
        try:
            if not self.is_broken:
                engine = self.engine
                engine.committer.flush()
                if engine.journal.end:
                    # The process that has put another store in the place of this one has emptied its journal.
                    with suppress(BusyError, ReplacedError, SchemaMismatch):
                        self.checkpoint()
                engine.base.note()
                if engine.openers.leave():
                    engine.settle(in_use=False)
        finally:
            self.is_closed = True
            _stores.discard(self)
            self._engine.committer.end(self._engine.close)
            for left, opened in list(self._leaving.items()):
                if (lost := left()) is None:
                    opened.close()
                else:
                    # A thread that was writing in it when it was lost may not be through.
                    lost.committer.end(opened.close)
        self._engine.committer.wait_until_written()

    def open_again(self) -> None:
        """Set up everything for a child of fork, which shares its parent's locks and must not."""
        # What is open is the parent's too: it is closed here, and goes on there.
        self._engine.is_inherited = True
        self._engine.close()
        self._opening, self._is_kept = threading.Lock(), False
        self._engine = self._opened()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _keep_up(work: weakref.WeakMethod[Callable[[], bool]], interval: float) -> None:
    """Call a method every ``interval`` seconds in a thread, until its owner is gone or it says False."""

    def run() -> None:
        while True:
            time.sleep(interval)
            if (call := work()) is None or not call():
                return
            del call

    in_background(run)


_stores: weakref.WeakSet[Store] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    for store in list(_stores):
        with suppress(OctavoError):
            store.close()


def _after_fork() -> None:
    for store in list(_stores):
        store.open_again()


os.register_at_fork(after_in_child=_after_fork)
