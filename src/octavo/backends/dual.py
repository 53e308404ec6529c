"""The backend ``dual``: everything is in PostgreSQL and in the files, PostgreSQL first in rank.

A transaction takes the store's write lock, and does each statement on both sides
(:mod:`octavo.backends.lockstep`).  Then the files' changes are prepared in the journal, with what to ask
PostgreSQL about them; PostgreSQL commits; and the files follow.  So either both have a transaction or
neither, wherever it is interrupted: :mod:`octavo.backends.outcome` tells which.

Reads are answered by PostgreSQL; some of them are compared with the files (:mod:`octavo.backends.comparing`).
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

from octavo.backend import DataBackend
from octavo.backends import gap, prisma
from octavo.backends.comparing import Call, Comparison, Listening
from octavo.backends.divergence import LOG, Divergences
from octavo.backends.json import JsonBackend, JsonReader
from octavo.backends.lockstep import Compare, DualTransaction
from octavo.backends.outcome import BEGINNING, Outcomes
from octavo.backends.prisma import PrismaBackend, PrismaTransaction
from octavo.backends.touched import Touching
from octavo.errors import DatabaseError, OctavoError, ReplacedError, UsageError
from octavo.layout.layout import Layout
from octavo.layout.load import layout_for
from octavo.layout.record import Record
from octavo.query.plan import Query
from octavo.query.protocol import Reader, SingleReads
from octavo.query.vocabulary import Vocabulary
from octavo.store.intake import FilesRoot, PayloadProblem
from octavo.store.integrity import Writable
from octavo.store.phase import Guard
from octavo.store.store import Store
from octavo.store.system import SYSTEM, FileSystem
from octavo.store.transaction import Transaction
from octavo.store.view import View
from octavo.store.writer import Decision, Lagging

if TYPE_CHECKING:
    from octavo.backend import Settings

T = TypeVar("T")


def open_backend(vocabulary: Vocabulary, settings: Settings) -> DualBackend:
    """Open both sides.  PostgreSQL is connected to when it is first needed.

    Raises UsageError if no URL is given or there is no store, and what opening a store raises.
    """
    from octavo.backend import dual_sample

    primary = prisma.open_backend(vocabulary, settings)
    try:
        layout = layout_for(vocabulary.datamodel, settings.layout)
        files = None if settings.files_root is None else FilesRoot(settings.files_root, layout)
        return DualBackend(
            vocabulary, primary, settings.data_dir, layout, sample=dual_sample(), files_root=files
        )
    except BaseException:
        primary.close()
        raise


class DualBackend(SingleReads):
    """PostgreSQL and a store.  Safe to share among threads."""

    def __init__(
        self,
        vocabulary: Vocabulary,
        primary: PrismaBackend,
        data_dir: Any,
        layout: Layout,
        *,
        sample: float,
        files_root: FilesRoot | None = None,
        system: FileSystem = SYSTEM,
    ) -> None:
        """``sample``: the share of reads that is compared, from 0 to 1; ``files_root``: from where the
        payloads of new records are taken."""
        self.vocabulary, self.primary = vocabulary, primary
        self._data_dir, self._layout, self._system = data_dir, layout, system
        self._sample, self._files_root = sample, files_root
        self.outcomes = Outcomes(primary.schema, primary.pool.url)
        self._opening = threading.Lock()
        self.files = self._opened()
        self._guard = Guard(data_dir, DataBackend.DUAL)
        self._retired: list[JsonBackend] = []
        """stores that were replaced, and may be read from still"""
        self.divergences = Divergences(str(data_dir))
        self._touching = Touching(str(data_dir))
        self._comparison = Comparison(vocabulary, self.divergences)
        self._is_seeded = False

    def _opened(self) -> JsonBackend:
        while True:
            # It may be replaced in the very moment.
            with suppress(ReplacedError):
                store = Store.open(
                    self._data_dir, self._layout, system=self._system, resolve=self.outcomes.committed
                )
                return JsonBackend(self.vocabulary, store, files=self._files_root, tell=self._no_payload)

    def _no_payload(self, problem: PayloadProblem) -> None:
        self.divergences.count("payloads" if problem.kept else "payloads not kept")

    def _current_files(self) -> JsonBackend:
        """The store, opened again if the disk has failed it: that recovers it.  Raises DiskError."""
        with self._opening:
            if self.files.store.is_broken:
                self.files.close()
                self.files = self._opened()
                self.divergences.count("recovered")
                LOG.warning("the files have been recovered")
            return self.files

    def _reopen(self, replaced: JsonBackend) -> None:
        """Open the store that stands in the place of one."""
        with self._opening:
            if self.files is not replaced:
                return
            self.files = self._opened()
            for files in self._retired:
                files.close()
            self._retired = [replaced]
            self._is_seeded = False
        LOG.info("the files have been replaced, and opened again")

    def on_files(self, work: Callable[[JsonBackend], T]) -> T:
        """What a function makes of the store; it is called again if that was replaced."""
        while True:
            files = self.files
            try:
                return work(files)
            except ReplacedError:
                self._reopen(files)

    # Reading

    def read(self, work: Callable[[Reader], T]) -> T:
        return self._compared(work) if self._is_sampled() else self.primary.read(work)

    def _compared(self, work: Callable[[Reader], T]) -> T:
        """The answer of PostgreSQL, held against the files."""
        heard: list[Listening] = []

        def listen(reader: Reader) -> T:
            heard[:] = [Listening(reader)]
            return work(heard[0])

        answer = self.primary.read(listen)
        self._comparison.of(heard[0].calls, self.on_files, self.primary.read)
        return answer

    def _is_sampled(self) -> bool:
        return self._sample > 0 and random.random() < self._sample

    def _one(self, work: Callable[[Reader], T]) -> T:
        return self._compared(work) if self._is_sampled() else work(self.primary)

    # Writing

    @contextmanager
    def transaction(
        self, *, single: bool = False, max_wait: float | None = None, timeout: float | None = None
    ) -> Iterator[DualTransaction]:
        begun: list[DualTransaction] = []
        end = None if max_wait is None else time.monotonic() + max_wait
        files = None
        try:
            with (
                ExitStack() as afterwards,
                self._locked(max_wait, lambda: begun[0].decision(self.outcomes)) as (files, view),
            ):
                self._guard.check()
                if not self._is_seeded:
                    self._look_for_gap(view)
                wait = None if end is None else max(end - time.monotonic(), 0)
                session = afterwards.enter_context(self.primary.pool.session(wait))
                primary = self.primary.on(session, timeout, asking=BEGINNING)
                afterwards.callback(primary.rollback)
                self._require_seeded(view, primary)
                compare = self._within(JsonReader(files.indexes, view), view) if self._sample > 0 else None
                begun.append(
                    DualTransaction(self.vocabulary, primary, view, self.divergences, self._touching, compare)
                )
                yield begun[0]
                files.take_payloads(view)
        except Lagging as error:
            # PostgreSQL has committed.
            self.divergences.count("lagging")
            LOG.error("%s; the next write does, or octavo status --heal", error)
        except DatabaseError as error:
            if files is not None and files.store.is_broken:
                self.divergences.count("lagging")
                LOG.error("%s", error)
            raise

    @contextmanager
    def _locked(
        self, max_wait: float | None, prepare: Callable[[], Decision | None]
    ) -> Iterator[tuple[JsonBackend, Transaction]]:
        """A transaction of the store; of the one that has taken its place, if it was replaced."""
        with ExitStack() as stack:
            while True:
                files = self._current_files()
                try:
                    begun = files.store.transaction(timeout=max_wait, prepare=prepare)
                    view = stack.enter_context(begun)
                    break
                except ReplacedError:
                    # Nobody has asked PostgreSQL for anything yet.
                    self._reopen(files)
            yield files, view

    def _look_for_gap(self, view: View) -> None:
        """If nobody has written in ``dual`` since an export, tell what was written to PostgreSQL alone."""
        if (left := gap.left(str(self._data_dir))) is None:
            return
        try:
            for model in gap.gaps(left, self.primary.schema, self.primary.pool.url, view):
                self.divergences.add("answer", model, reason="PostgreSQL was written to since the export")
                self.divergences.count("noticed")
        except (gap.Unlooked, OctavoError) as error:
            LOG.warning("not looked for writes since the export: %s; octavo verify compares all", error)
        gap.spend(str(self._data_dir))

    def _within(self, files: JsonReader, view: Transaction) -> Compare:
        """Holds answers within a transaction, as many as others, against the files."""

        def compare(call: Call, database: Reader, catch_up: Callable[[], object]) -> None:
            def settle() -> None:
                view.wait_for_earlier()
                catch_up()

            if self._is_sampled():
                self._comparison.within(call, database, files, settle)

        return compare

    def _require_seeded(self, view: Writable, primary: PrismaTransaction) -> None:
        """Raise UsageError if the files are empty and PostgreSQL is not: nobody has copied it yet."""
        if self._is_seeded:
            return
        models = [model.name for model in self.vocabulary.datamodel.tables]
        if all(next(iter(view.rows(model)), None) is None for model in models):
            for model in models:
                if primary.select(Query(model=model, take=1)):
                    raise UsageError(
                        f"the files in {self._data_dir} are empty, and the database is not",
                        hint="copy it there first: octavo export",
                    )
        self._is_seeded = True

    def payload(self, record: Record) -> bytes | None:
        found = self.primary.payload(record)
        return self.on_files(lambda files: files.payload(record)) if found is None else found

    def close(self) -> None:
        self.divergences.flush()
        for files in (self.files, *self._retired):
            files.close()
        self.primary.close()
