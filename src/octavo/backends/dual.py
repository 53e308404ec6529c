"""The backend ``dual``: everything is in PostgreSQL and in the files, and PostgreSQL is of record.

A transaction takes the store's write lock.  Each statement is done in PostgreSQL, and then in the files: the
records that come back, with all that PostgreSQL filled in, are what the files get.  What no statement named,
since referential actions or triggers changed it, is compared at the end.  Then the files' changes are
prepared in the journal, with what to ask PostgreSQL about them; PostgreSQL commits; and the files follow.  So
either both have a transaction or neither, wherever it is interrupted: :mod:`octavo.backends.outcome` tells
which.

A write that finds that the files lack what it changes, or refuse what PostgreSQL has accepted, is refused:
the files were not equal to PostgreSQL before, and the gap must not grow.

Reads are answered by PostgreSQL; some of them are compared with the files
(:mod:`octavo.backends.divergence`).
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

from octavo.backend import DataBackend
from octavo.backends import gap, prisma
from octavo.backends.agreement import Agreement
from octavo.backends.copying import differences
from octavo.backends.divergence import (
    LOG,
    Call,
    Comparison,
    Divergences,
    Keys,
    Listening,
    key_text,
)
from octavo.backends.gap import Touching
from octavo.backends.interactive import Interactive
from octavo.backends.json import JsonBackend, changed_record
from octavo.backends.outcome import BEGINNING, Outcomes, Witness
from octavo.backends.prisma import PrismaBackend, PrismaTransaction
from octavo.backends.reading import JsonReader
from octavo.errors import (
    ConstraintError,
    DatabaseError,
    DivergedError,
    OctavoError,
    ReplacedError,
    TransactionFailed,
    UniqueViolation,
    UsageError,
)
from octavo.layout.keys import Key, as_tuple
from octavo.layout.layout import Layout
from octavo.layout.record import Record
from octavo.query.plan import Change, Condition, Insert, Query
from octavo.query.protocols import Begun, Isolation, Reader, SingleReads
from octavo.query.vocabulary import Vocabulary
from octavo.store.changeset import ChangeSet, Name, RowChange, changed_rows
from octavo.store.definition import layout_in
from octavo.store.index import Spec
from octavo.store.intake import FilesRoot, PayloadProblem
from octavo.store.phase import Guard
from octavo.store.store import Store, Transaction
from octavo.store.system import SYSTEM, FileSystem
from octavo.store.view import View
from octavo.store.writer import Decision, Lagging

if TYPE_CHECKING:
    from octavo.backend import Settings
    from octavo.query.raw import RawResult, RawStatement

T = TypeVar("T")

_UNSAID: Any = object()


class DualTransaction(Begun):
    """Statements that are done on both sides.  Reads are PostgreSQL's, and some of them compared."""

    def __init__(
        self, backend: DualBackend, primary: PrismaTransaction, view: Transaction, files: JsonBackend
    ) -> None:
        self.vocabulary, self.primary, self.view = backend.vocabulary, primary, view
        self._backend, self._keys = backend, Keys(view.rules)
        self._said: dict[Name, Record | None] = {}
        """what PostgreSQL has said that each record is now; None: it is deleted"""
        self._failed = self._has_written = False
        reader: Reader = primary
        if backend.sample > 0:
            self._files = JsonReader(files.indexes, view)
            reader = Listening(primary, self._compare)
        self.find, self.select = reader.find, reader.select
        self.related, self.count, self.count_related = reader.related, reader.count, reader.count_related
        self.aggregate, self.search = reader.aggregate, reader.search

    def _compare(self, call: Call) -> None:
        """Compare an answer, of as many as outside transactions, with the files."""
        if self._backend.is_sampled():
            self._backend.comparison.within(call, self.primary, self._files, self._catch_up)

    @contextmanager
    def _statement(self) -> Iterator[None]:
        """One write.  If it fails, one side may have done it and the other not, so that all is lost."""
        if self._failed:
            raise TransactionFailed("the transaction has failed; nothing more can be done in it")
        self._has_written = True
        try:
            yield
        except BaseException as error:
            self._failed = True
            self._backend.agreement.explain(error)
            raise

    def insert(self, new: Insert) -> list[Record]:
        with self._statement():
            made = self.primary.insert(new)
            self._follow(made, lambda: self.view.insert(made, known_new=new.known_new))
            self._note(new.model, made)
            return made

    def update(self, model: str, where: Condition, changes: Sequence[Change]) -> list[Record]:
        key_of = self.view.rules.codecs[model].key_of
        with self._statement():
            moved = self._moved(model, where, changes)
            after = self.primary.update(model, where, changes)
            pairs = []
            for record in after:
                key = key_of(record)
                before = self.view.get(model, moved.get(key, key))
                if before is None:
                    raise self._diverged("missing", model, moved.get(key, key), "is not in the files")
                pairs.append((before, record))
            self._follow(after, lambda: self.view.update(pairs))
            self._said |= {(model, key): None for key in moved.values()}
            self._note(model, after)
            return after

    def _moved(self, model: str, where: Condition, changes: Sequence[Change]) -> dict[Key, Key]:
        """By their keys after a change, the keys that records have before it."""
        if not {change.field for change in changes} & set(self.vocabulary[model].key):
            return {}
        key_of = self.view.rules.codecs[model].key_of
        found = {}
        for record in self.primary.select(Query(model=model, where=where)):
            try:
                after = changed_record(self.vocabulary, model, record, changes)
            except ConstraintError:
                # PostgreSQL is going to refuse it.
                continue
            found[key_of(after)] = key_of(record)
        return found

    def delete(self, model: str, where: Condition) -> int:
        key_of = self.view.rules.codecs[model].key_of
        with self._statement():
            gone = self.primary.take_out(model, where)
            there = []
            for record in gone:
                found = self.view.get(model, key_of(record))
                if found is None:
                    # Afterwards both sides agree about it.
                    self._record("missing", model, key_of(record))
                else:
                    there.append(found)
            self._follow(gone, lambda: self.view.delete(there))
            self._said |= {(model, key_of(record)): None for record in gone}
            return len(gone)

    def _note(self, model: str, records: Sequence[Record]) -> None:
        key_of = self.view.rules.codecs[model].key_of
        self._said |= {(model, key_of(record)): record for record in records}

    def _follow(self, records: Sequence[Record], write: Callable[[], None]) -> None:
        """Let the files do what PostgreSQL has done with these records.

        Raises DivergedError if they refuse it, which they would not if both sides had been equal.
        """
        try:
            write()
        except ConstraintError as error:
            raise self._culprit(error, records) from error

    def _culprit(self, error: ConstraintError, records: Sequence[Record]) -> DivergedError:
        """The record because of which the files refuse what PostgreSQL accepts."""
        model, fields, rules = error.model, error.fields, self.view.rules
        if isinstance(error, UniqueViolation):
            terms, key_of = self.vocabulary[model], rules.codecs[model].key_of
            own = {key_of(record) for record in records if isinstance(record, terms.type)}
            get = rules.values_of(Spec(model, fields))
            for record in records if own else ():
                for other in self.view.find(model, fields, get(record)):
                    if key_of(other) not in own or terms.key == fields:
                        reason = f"the files have its {', '.join(fields)}, and PostgreSQL has not"
                        return self._diverged("extra", model, key_of(other), reason)
        for relation in rules.parents[model]:
            get = rules.values_of(Spec(model, fields))
            for record in records if relation.fields == fields else ():
                if not isinstance(record, self.vocabulary[model].type):
                    continue
                values = get(record)
                if self.view.lacks_parent(relation, values):
                    reason = f"is not in the files, and a {model} points at it"
                    if relation.references == self.vocabulary[relation.parent].key:
                        return self._diverged("missing", relation.parent, values, reason)
        said = f"the files refuse what PostgreSQL accepts: {error.says} ({', '.join(fields)})"
        return self._diverged("answer", model, None, said)

    def _record(self, kind: str, model: str, key: Key | None, fields: tuple[str, ...] = ()) -> str:
        """Write down what differs; its key, as it may be shown."""
        shown = None if key is None else self._keys.shown(model, key)
        self._backend.divergences.add(kind, model, shown, fields=fields)
        self._backend.divergences.count("noticed")
        return key_text(shown)

    def _diverged(self, kind: str, model: str, key: Key | None, reason: str) -> DivergedError:
        self._backend.divergences.count("refused")
        return DivergedError(model, self._record(kind, model, key), reason)

    def raw(self, statement: RawStatement) -> RawResult:
        return self.primary.raw(statement, read_only=True)

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        said, failed = dict(self._said), self._failed
        try:
            with self.primary.savepoint(), self.view.layer.savepoint():
                yield
        except BaseException:
            self._said, self._failed = said, failed
            raise

    # What referential actions have done

    def _settle(self) -> dict[Name, RowChange]:
        """Make sure that both sides agree about rows that no statement named: those that referential actions
        have changed.  What has changed in the files then.  Raises DivergedError."""
        changed = changed_rows(self.view)
        alone, followed = self._let_follow(changed)
        for kind, name in alone:
            raise self._diverged(kind, *name, "only one side has it after a referential action")
        return changed_rows(self.view) if followed else changed

    def _catch_up(self) -> None:
        """Wait for the transactions before, and let the files follow where both sides have a row that no
        statement named.  Raises DivergedError."""
        self.view.wait_for_earlier()
        self._let_follow(changed_rows(self.view))

    def _let_follow(self, changed: Mapping[Name, RowChange]) -> tuple[list[tuple[str, Name]], bool]:
        """How the rows differ that one side alone has, and which they are; and whether others were made what
        they are in PostgreSQL, such as what a trigger of the database has set."""
        alone: list[tuple[str, Name]] = []
        refused: ConstraintError | None = None
        rows: list[Record] = []
        wave = [n for n, change in changed.items() if self._said.get(n, _UNSAID) != change.after]
        seen: set[Name] = set()
        while wave:
            changes = ChangeSet()
            for (model, key), here, there in differences(self.vocabulary, self.view, self.primary, wave):
                if here is None or there is None:
                    alone.append(("missing" if here is None else "extra", (model, key)))
                else:
                    changes.set(model, key, there)
                    rows.append(there)
                    self._said[model, key] = there
            if refused is not None and not changes.rows:
                break
            conflicts = changes.apply(self.view)
            refused = conflicts[0].error if conflicts else None
            seen.update(wave)
            wave = [name for conflict in conflicts for name in conflict.others if name not in seen]
        if refused is not None:
            raise self._culprit(refused, rows)
        return alone, bool(rows)

    # The end

    def decision(self) -> Decision | None:
        """Who decides whether the files' changes happen: PostgreSQL, by its commit; None: it has no part in
        them."""
        if self._failed:
            raise TransactionFailed("the transaction has failed; nothing of it is kept")
        changed = self._settle()
        if not self._has_written:
            self.primary.commit()
            return None
        self._backend.agreement.check(self.primary)
        note: dict[str, str] = {}
        outcomes, touching = self._backend.outcomes, self._backend.touching
        if touching.is_wanted:
            touching.note(self.view.rules, self._said.keys() | changed.keys())
        if changed:
            there = next((name for name, change in changed.items() if change.after is not None), None)
            model, key = there or next(iter(changed))
            witness = Witness(model, as_tuple(key), there is not None)
            note = outcomes.note(self.primary.told, self.primary.place, witness)

        def decide() -> OctavoError | None:
            try:
                self.primary.commit()
            except OctavoError as error:
                if not self.primary.has_ended or not note or not outcomes.committed(note):
                    return error
                LOG.warning("PostgreSQL committed transaction %s, and could not say so", note["xid"])
            return None

        return Decision(note, decide)


def open_backend(vocabulary: Vocabulary, settings: Settings) -> DualBackend:
    """Open both sides.  PostgreSQL is connected to when it is first needed.

    Raises UsageError if no URL is given or there is no store, and what opening a store raises.
    """
    from octavo.backend import dual_sample

    primary = prisma.open_backend(vocabulary, settings)
    try:
        layout = layout_in(settings.data_dir, vocabulary.datamodel, settings.layout)
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
        self.sample, self._files_root = sample, files_root
        self.outcomes = Outcomes(primary.schema, primary.pool.url)
        self.agreement = Agreement(primary, data_dir)
        self._opening = threading.Lock()
        self.files = self._opened()
        self._guard = Guard(data_dir, DataBackend.DUAL)
        self._retired: list[JsonBackend] = []
        """stores that were replaced, and may be read from still"""
        self.divergences = Divergences(str(data_dir))
        self.touching = Touching(str(data_dir))
        self.comparison = Comparison(vocabulary, self.divergences)
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
        return self._compared(work) if self.is_sampled() else self.primary.read(work)

    def _compared(self, work: Callable[[Reader], T]) -> T:
        """The answer of PostgreSQL, held against the files."""
        heard: list[Listening] = []

        def listen(reader: Reader) -> T:
            heard[:] = [Listening(reader)]
            return work(heard[0])

        answer = self.primary.read(listen)
        self.comparison.of(heard[0].calls, self.on_files, self.primary.read)
        return answer

    def is_sampled(self) -> bool:
        """Whether to compare the next answer."""
        return self.sample > 0 and random.random() < self.sample

    def _one(self, work: Callable[[Reader], T]) -> T:
        return self._compared(work) if self.is_sampled() else work(self.primary)

    def raw(self, statement: RawStatement) -> RawResult:
        return self.primary.raw(statement, read_only=True)

    # Writing

    def transaction(
        self,
        *,
        single: bool = False,
        max_wait: float | None = None,
        timeout: float | None = None,
        isolation: Isolation | None = None,
    ) -> AbstractContextManager[DualTransaction | Interactive]:
        return self.locked(max_wait) if isolation is None else Interactive(self, timeout, isolation)

    @contextmanager
    def locked(
        self,
        max_wait: float | None = None,
        timeout: float | None = None,
        isolation: Isolation = Isolation.READ_COMMITTED,
    ) -> Iterator[DualTransaction]:
        begun: list[DualTransaction] = []
        end = None if max_wait is None else time.monotonic() + max_wait
        files = None

        def decision() -> Decision | None:
            return begun[0].decision()

        try:
            with ExitStack() as afterwards:
                while not begun:
                    files, is_locked = self._current_files(), False
                    try:
                        # An exit stack must not be what leaves it: interrupted, that may forget to.
                        with files.store.transaction(timeout=max_wait, prepare=decision) as view:
                            is_locked = True
                            wait = None if end is None else max(end - time.monotonic(), 0)
                            primary = self._on_primary(view, afterwards, wait, timeout, isolation)
                            begun.append(DualTransaction(self, primary, view, files))
                            yield begun[0]
                            if files.intake is not None:
                                files.intake.take(view)
                    except ReplacedError:
                        if is_locked:
                            raise
                        # PostgreSQL was not asked for anything yet.
                        self._reopen(files)
        except Lagging as error:
            # PostgreSQL has committed.
            self.divergences.count("lagging")
            LOG.error("%s; the next write does, or octavo status --heal", error)
        except DatabaseError as error:
            if files is not None and files.store.is_broken:
                self.divergences.count("lagging")
                LOG.error("%s", error)
            raise

    def _on_primary(
        self,
        view: Transaction,
        afterwards: ExitStack,
        wait: float | None,
        timeout: float | None,
        isolation: Isolation,
    ) -> PrismaTransaction:
        """A transaction of PostgreSQL, rolled back ``afterwards`` if it has not ended.  Under the lock."""
        self._guard.check()
        if not self._is_seeded:
            self._look_for_gap(view)
        if isolation.is_repeatable:
            # The one state that it sees must have all before it.
            view.wait_for_earlier()
        session = afterwards.enter_context(self.primary.pool.session(wait))
        asking = self.agreement.asking(BEGINNING)
        primary = self.primary.on(session, timeout, isolation=isolation, asking=asking)
        afterwards.callback(primary.rollback)
        self._require_seeded(view, primary)
        return primary

    def _look_for_gap(self, view: View) -> None:
        """Before the first dual write since an export, tell what was written to PostgreSQL alone."""
        if (left := gap.left(str(self._data_dir))) is None:
            return
        try:
            for model in gap.gaps(left, self.primary.schema, self.primary.pool.url, view):
                self.divergences.add("answer", model, reason="PostgreSQL was written to since the export")
                self.divergences.count("noticed")
        except (gap.Unlooked, OctavoError) as error:
            LOG.warning("not looked for writes since the export: %s; octavo verify compares all", error)
        gap.spend(str(self._data_dir))

    def _require_seeded(self, view: View, primary: PrismaTransaction) -> None:
        """Raise UsageError if the files are empty and PostgreSQL is not: it was not exported yet."""
        if self._is_seeded:
            return
        self.agreement.compare(primary)
        models = [model.name for model in self.vocabulary.datamodel.tables]
        if all(next(iter(view.rows(model)), None) is None for model in models):
            for model in models:
                if primary.select(Query(model=model, take=1)):
                    raise UsageError(
                        f"the files in {self._data_dir} are empty, and the database is not",
                        hint="copy it there first: octavo export",
                    )
        self._is_seeded = True

    def searched(self, model: str) -> tuple[str, ...]:
        return self._layout.place(model).search

    def payload(self, record: Record) -> bytes | None:
        found = self.primary.payload(record)
        return self.on_files(lambda files: files.payload(record)) if found is None else found

    def close(self) -> None:
        self.divergences.flush()
        for files in (self.files, *self._retired):
            files.close()
        self.primary.close()
