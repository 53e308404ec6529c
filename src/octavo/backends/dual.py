"""The backend ``dual``: everything is in PostgreSQL and in the files, PostgreSQL first in rank.

A transaction takes the store's write lock, and does each statement in PostgreSQL first.  The records that
come back, with all that PostgreSQL filled in, are what the files get.  Then the files' changes are prepared
in the journal, with what to ask PostgreSQL about them; PostgreSQL commits; and the files follow.  So either
both have a transaction or neither, wherever it is interrupted: :mod:`octavo.backends.fate` tells which.

Reads are answered by PostgreSQL; some of them are compared with the files (:mod:`octavo.backends.comparing`).

A write that finds the files to lack what it changes, or to refuse what PostgreSQL has accepted, is refused:
somebody has written behind our back, and the gap is not to grow.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from octavo.backend import DataBackend
from octavo.backends import prisma, seed
from octavo.backends.comparing import Call, Comparison, Listening
from octavo.backends.copying import in_database
from octavo.backends.divergence import LOG, Divergences, Keys, key_text
from octavo.backends.fate import BEGINNING, Fates, Witness
from octavo.backends.json import JsonBackend, JsonReader, changed_record
from octavo.backends.prisma import PrismaBackend, PrismaTransaction
from octavo.backends.touched import Touching
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
from octavo.layout.codec import Codec
from octavo.layout.layout import Layout, layout_for
from octavo.layout.record import Record
from octavo.layout.stored import Stored, array_attribute
from octavo.migration import Guard
from octavo.query.plan import Change, Condition, Link, Query
from octavo.query.protocol import Key, Reader
from octavo.query.vocabulary import Vocabulary
from octavo.store.index import Spec
from octavo.store.intake import FilesRoot, PayloadProblem
from octavo.store.integrity import Writable
from octavo.store.store import Store
from octavo.store.system import SYSTEM, FileSystem
from octavo.store.transaction import Transaction
from octavo.store.view import View
from octavo.store.writer import Decision, Lagging

if TYPE_CHECKING:
    from octavo.client import Settings

T = TypeVar("T")
Compare: TypeAlias = Callable[[Call, Reader, Callable[[], object]], None]
"""Holds an answer within a transaction against the files: see :meth:`Comparison.within`."""
Changed: TypeAlias = "tuple[str, Key, Record | None]"
"""A record that has changed in the files: its model and key, and what it is now."""
Unsettled: TypeAlias = "tuple[str, Key, Record | None, Record | None]"
"""A record that is another in PostgreSQL: its model and key, and the record there and here."""


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


class DualTransaction:
    """Statements that are done on both sides.  Reads are PostgreSQL's, and some of them compared."""

    def __init__(
        self,
        vocabulary: Vocabulary,
        primary: PrismaTransaction,
        view: Writable,
        divergences: Divergences,
        touching: Touching,
        compare: Compare | None = None,
    ) -> None:
        self.vocabulary, self.primary, self.view = vocabulary, primary, view
        self._divergences, self._keys, self._touching = divergences, Keys(view.rules), touching
        self._said: dict[tuple[str, Key], Record | None] = {}
        """what PostgreSQL has said that each record is now; None: it is deleted"""
        self._failed = self._has_written = False
        reader: Reader = primary
        if compare is not None:
            reader = Listening(primary, lambda call: compare(call, primary, self.catch_up))
        self.find, self.select = reader.find, reader.select
        self.related, self.count, self.count_related = reader.related, reader.count, reader.count_related

    @contextmanager
    def _statement(self) -> Iterator[None]:
        """One write.  If it fails, one side may have done it and the other not, so that all is lost."""
        if self._failed:
            raise TransactionFailed("the transaction has failed; nothing more can be done in it")
        self._has_written = True
        try:
            yield
        except BaseException:
            self._failed = True
            raise

    def insert(
        self,
        model: str,
        rows: Sequence[Mapping[str, Any]],
        *,
        skip_duplicates: bool = False,
        known_new: Collection[str] = (),
    ) -> list[Record]:
        with self._statement():
            made = self.primary.insert(model, rows, skip_duplicates=skip_duplicates, known_new=known_new)
            self._follow(made, lambda: self.view.insert(made, known_new=known_new))
            self._note(model, made)
            return made

    def update(self, model: str, where: Condition, changes: Sequence[Change]) -> list[Record]:
        key_of = self.vocabulary[model].key_of
        with self._statement():
            moved = self._moved(model, where, changes)
            after = self.primary.update(model, where, changes)
            pairs = []
            for record in after:
                key = key_of(record)
                before = self.on_files(model, moved.get(key, key))
                if before is None:
                    raise self._diverged("missing", model, moved.get(key, key), "is not in the files")
                pairs.append((before, record))
            self._follow(after, lambda: self.view.update(pairs))
            self._said |= {(model, key): None for key in moved.values()}
            self._note(model, after)
            return after

    def _moved(self, model: str, where: Condition, changes: Sequence[Change]) -> dict[Key, Key]:
        """By their keys after a change, the keys that records have before it."""
        terms = self.vocabulary[model]
        if not {change.field for change in changes} & set(terms.key):
            return {}
        found = {}
        for record in self.primary.select(Query(model=model, where=where)):
            try:
                after = changed_record(self.vocabulary, model, record, changes)
            except ConstraintError:
                # PostgreSQL is going to refuse it.
                continue
            found[terms.key_of(after)] = terms.key_of(record)
        return found

    def delete(self, model: str, where: Condition) -> int:
        key_of = self.vocabulary[model].key_of
        with self._statement():
            gone = self.primary.take_out(model, where)
            there = []
            for record in gone:
                found = self.on_files(model, key_of(record))
                if found is None:
                    # Afterwards both sides agree about it.
                    self._record("missing", model, key_of(record))
                else:
                    there.append(found)
            self._follow(gone, lambda: self.view.delete(there))
            self._said |= {(model, key_of(record)): None for record in gone}
            return len(gone)

    def _note(self, model: str, records: Sequence[Record]) -> None:
        key_of = self.vocabulary[model].key_of
        for record in records:
            # The newest is to be the last.
            self._said.pop((model, key_of(record)), None)
            self._said[model, key_of(record)] = record

    def on_files(self, model: str, key: Key) -> Record | None:
        """The record with this key, as the files have it in this transaction."""
        found = self.view.find(model, self.vocabulary[model].key, _found_by(key))
        return found[0] if found else None

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
            terms = self.vocabulary[model]
            own = {terms.key_of(record) for record in records if isinstance(record, terms.type)}
            get = rules.values_of(Spec(model, fields))
            for record in records if own else ():
                for other in self.view.find(model, fields, get(record)):
                    if terms.key_of(other) not in own or terms.key == fields:
                        reason = f"the files have its {', '.join(fields)}, and PostgreSQL has not"
                        return self._diverged("extra", model, terms.key_of(other), reason)
        for relation in rules.parents[model]:
            get = rules.values_of(Spec(model, fields))
            for record in records if relation.fields == fields else ():
                values = get(record) if isinstance(record, self.vocabulary[model].type) else None
                key = values if isinstance(values, tuple) else (values,)
                if None not in key and not self.view.find(relation.parent, relation.references, values):
                    reason = f"is not in the files, and a {model} points at it"
                    if relation.references == self.vocabulary[relation.parent].key:
                        return self._diverged("missing", relation.parent, key, reason)
        said = f"the files refuse what PostgreSQL accepts: {error.says} ({', '.join(fields)})"
        return self._diverged("answer", model, None, said)

    def _record(self, kind: str, model: str, key: Key | None, fields: tuple[str, ...] = ()) -> str:
        """Write down what differs; its key, as it may be shown."""
        shown = None if key is None else self._keys.shown(model, _found_by(key))
        self._divergences.add(kind, model, shown, fields=fields)
        self._divergences.count("different")
        return key_text(shown)

    def _diverged(self, kind: str, model: str, key: Key | None, reason: str) -> DivergedError:
        self._divergences.count("refused")
        return DivergedError(model, self._record(kind, model, key), reason)

    # What referential actions have done

    def settle(self) -> list[Changed]:
        """Make sure that both sides agree about records that no statement named: those that referential
        actions have changed.  What has changed in the files then.  Raises DivergedError."""
        changed = self._changed()
        unsettled = list(self._unsettled(changed))
        for kind, model, key in self._let_follow(unsettled):
            raise self._diverged(kind, model, key, "only one side has it after a referential action")
        return self._changed() if unsettled else changed

    def catch_up(self) -> list[tuple[str, str, Key]]:
        """Let the files follow where both sides have such a record; how the others differ, and which they
        are.  Raises DivergedError."""
        return self._let_follow(list(self._unsettled(self._changed())))

    def _let_follow(self, unsettled: Sequence[Unsettled]) -> list[tuple[str, str, Key]]:
        alone = []
        for model, key, there, here in unsettled:
            if there is None or here is None:
                alone.append(("missing" if here is None else "extra", model, key))
                continue
            # Something else differs in it, such as what a trigger of the database has set.
            pair = (here, there)
            self._follow([there], lambda: self.view.update([pair]))  # noqa: B023
            self._note(model, [there])
        return alone

    def _unsettled(self, changed: Sequence[Changed]) -> Iterator[Unsettled]:
        """The records that have changed in the files, and are not what they are in PostgreSQL."""
        unsaid: dict[str, dict[Key, Record | None]] = {}
        for model, key, record in changed:
            if self._said.get((model, key), _UNSAID) != record:
                unsaid.setdefault(model, {})[key] = record
        for model, records in unsaid.items():
            key_of = self.vocabulary[model].key_of
            found = in_database(self.vocabulary, self.primary, model, list(records))
            there = {key_of(record): record for record in found}
            for key, record in records.items():
                if there.get(key) != record:
                    yield model, key, there.get(key), record

    def _changed(self) -> list[Changed]:
        """All that has changed in the files."""
        now: dict[tuple[str, Key], Record | None] = {}
        for model, key, record in self._changed_by_host():
            # One that is embedded may have gone from one host and come to another.
            if record is not None or (model, key) not in now:
                now[model, key] = record
        return [(model, key, record) for (model, key), record in now.items()]

    def _changed_by_host(self) -> Iterator[Changed]:
        """The same, as each host shows it."""
        codecs = self.view.rules.codecs
        for host, changed in self.view.layer.net.items():
            codec = codecs[host]
            key_of = self.vocabulary[host].key_of
            for change in changed.values():
                before, after = change.before, change.after
                one = None if before is None else codec.record(before)
                other = None if after is None else codec.record(after)
                if one != other:
                    yield host, key_of(other or one), other  # type: ignore[arg-type]
                for child in codec.children:
                    if (
                        before is not None
                        and after is not None
                        and self._holds_the_same(before, after, child)
                    ):
                        continue
                    model = child.place.model.name
                    own = self.vocabulary[model].key_of
                    old = {} if before is None else {own(r): r for r in codec.embedded(before, child)}
                    new = {} if after is None else {own(r): r for r in codec.embedded(after, child)}
                    for key in {**old, **new}:
                        if old.get(key) != new.get(key):
                            yield model, key, new.get(key)

    def _holds_the_same(self, before: Stored, after: Stored, child: Codec) -> bool:
        """Whether the records that are embedded in one are the same afterwards."""
        array, relation = array_attribute(child.place), child.place.relation
        if relation is None or getattr(before, array) != getattr(after, array):
            return False
        get = self.view.rules.values_of(Spec(relation.parent, relation.references))
        return bool(get(before) == get(after))

    # The end

    def decision(self, fates: Fates) -> Decision | None:
        """Who decides whether the files' changes happen: PostgreSQL, by its commit; None: it has no part in
        them."""
        if self._failed:
            raise TransactionFailed("the transaction has failed; nothing of it is kept")
        changed = self.settle()
        if not self._has_written:
            self.primary.commit()
            return None
        note: dict[str, str] = {}
        if self._touching.is_wanted:
            names = [*self._said, *((model, key) for model, key, _ in changed)]
            self._touching.note(self.view.rules, dict.fromkeys(names))
        if changed:
            model, key, record = next((c for c in changed if c[2] is not None), changed[0])
            witness = Witness(model, key, record is not None)
            note = fates.note(self.primary.told[0], fates.place(self.primary.session), witness)

        def decide() -> OctavoError | None:
            try:
                self.primary.commit()
            except OctavoError as error:
                if not self.primary.has_ended or not note or not fates.committed(note):
                    return error
                LOG.warning("PostgreSQL committed transaction %s, and could not say so", note["xid"])
            return None

        return Decision(note, decide)


_UNSAID: Any = object()


class DualBackend:
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
        self.fates = Fates(primary.schema, primary.pool.url)
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
                    self._data_dir, self._layout, system=self._system, resolve=self.fates.committed
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

    def find(self, model: str, fields: tuple[str, ...], values: Key) -> Record | None:
        return self._one(lambda reader: reader.find(model, fields, values))

    def select(self, query: Query) -> list[Record]:
        return self._one(lambda reader: reader.select(query))

    def related(self, query: Query, link: Link, keys: Sequence[Key]) -> list[list[Record]]:
        return self._one(lambda reader: reader.related(query, link, keys))

    def count(self, query: Query) -> int:
        return self._one(lambda reader: reader.count(query))

    def count_related(self, link: Link, where: Condition, keys: Sequence[Key]) -> list[int]:
        return self._one(lambda reader: reader.count_related(link, where, keys))

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
                self._locked(max_wait, lambda: begun[0].decision(self.fates)) as (files, view),
            ):
                self._guard.check()
                if not self._is_seeded:
                    self._look_for_gap(view)
                wait = None if end is None else max(end - time.monotonic(), 0)
                session = afterwards.enter_context(self.primary.pool.session(wait))
                primary = self.primary.on(session, timeout, asking=BEGINNING)
                afterwards.callback(primary.rollback)
                self._require_seeded(view, primary)
                compare = self._within(JsonReader(files.indexes, view)) if self._sample > 0 else None
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
        if (left := seed.left(str(self._data_dir))) is None:
            return
        try:
            for model in seed.gaps(left, self.primary.schema, self.primary.pool.url, view):
                self.divergences.add("answer", model, reason="PostgreSQL was written to since the export")
                self.divergences.count("different")
        except (seed.Unlooked, OctavoError) as error:
            LOG.warning("not looked for writes since the export: %s; octavo verify compares all", error)
        seed.spend(str(self._data_dir))

    def _within(self, files: JsonReader) -> Compare:
        """Holds answers within a transaction, as many as others, against the files."""

        def compare(call: Call, database: Reader, catch_up: Callable[[], object]) -> None:
            if self._is_sampled():
                self._comparison.within(call, database, files, catch_up)

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


def _found_by(key: Key) -> Any:
    """How a view names these values."""
    return key[0] if len(key) == 1 else key
