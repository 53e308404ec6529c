"""The backend ``json``: queries on the plain files of a :class:`octavo.store.store.Store`.

Reading is :mod:`octavo.backends.reading`; constraints and referential actions are the store's.

``autoincrement()`` continues from the highest number in use: the number of a deleted record that had the
highest may come again after all processes have closed the store.  ``dbgenerated(…)`` is refused, as
only PostgreSQL can evaluate it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, Self, TypeVar

from msgspec import UNSET
from msgspec.structs import replace

from octavo.backend import DataBackend
from octavo.backends.reading import HurriedReader, Indexes, JsonReader
from octavo.errors import NullViolation, TransactionFailed, UsageError, ValueOutOfRange
from octavo.layout.record import Record, model_of
from octavo.query.plan import (
    And,
    Change,
    Compare,
    Condition,
    Insert,
    Operator,
    Other,
    Query,
)
from octavo.query.protocols import Begun, Isolation, Key, SingleReads, Transaction
from octavo.query.vocabulary import Column, Vocabulary
from octavo.schema.datamodel import Function, Model
from octavo.store.definition import layout_in
from octavo.store.index import Spec
from octavo.store.intake import FilesRoot, Intake, PayloadProblem
from octavo.store.phase import Guard
from octavo.store.store import Store
from octavo.store.store import Transaction as Changing
from octavo.store.view import View

if TYPE_CHECKING:
    from octavo.backend import Settings
    from octavo.query.raw import RawResult, RawStatement

T = TypeVar("T")


def open_backend(vocabulary: Vocabulary, settings: Settings) -> JsonBackend:
    """Open the store at ``settings.data_dir``.

    Raises UsageError if there is none, LayoutError, DamagedError, BusyError, DiskError.
    """
    layout = layout_in(settings.data_dir, vocabulary.datamodel, settings.layout)
    guard = Guard(settings.data_dir, DataBackend.JSON)
    files = None if settings.files_root is None else FilesRoot(settings.files_root, layout)
    store = Store.open(settings.data_dir, layout, durability=settings.durability)
    return JsonBackend(vocabulary, store, guard, files)


class JsonTransaction(Begun, JsonReader, AbstractContextManager["JsonTransaction"]):
    """Reads and writes within one transaction of the store, for the length of a ``with`` block."""

    view: Changing

    def __init__(self, backend: JsonBackend, view: Changing) -> None:
        self._backend, self.view = backend, view
        self.vocabulary = backend.indexes.vocabulary
        self._indexes = backend.indexes
        self._failed = False

    def __enter__(self) -> Self:
        self.view.__enter__()
        try:
            self._backend.check_phase()
            return self
        except BaseException as error:
            self.view.__exit__(type(error), error, None)
            raise

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if error is None:
            try:
                self.check()
                if self._backend.intake is not None:
                    self._backend.intake.take(self.view)
            except BaseException as failed:
                self.view.__exit__(type(failed), failed, None)
                raise
        self.view.__exit__(kind, error, trace)

    def check(self) -> None:
        """Raise TransactionFailed if nothing more can be done, nor anything be kept."""
        if self._failed:
            raise TransactionFailed("the transaction has failed; nothing more can be done in it")

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        failed = self._failed
        try:
            with self.view.layer.savepoint():
                yield
        except BaseException:
            self._failed = failed
            raise

    def raw(self, statement: RawStatement) -> RawResult:
        self.check()
        return self._backend.raw(statement)

    def insert(self, new: Insert) -> list[Record]:
        self.check()
        try:
            counters, terms, rows = self._backend.counters, self.vocabulary[new.model], new.rows
            if terms.filled_by_place:
                rows = [counters.filled(self.view, new.model, row) for row in rows]
            made = [terms.record(row) for row in rows]
            if new.skip_duplicates:
                made = self._without_duplicates(new.model, made)
            self._check(new.model, made)
            self.view.insert(made, known_new=new.known_new, checked=True)
            return made
        except UsageError:
            # It comes before anything is done.
            raise
        except BaseException:
            self._failed = True
            raise

    def _without_duplicates(self, model: str, records: Sequence[Record]) -> list[Record]:
        """Those whose keys and uniques no record has, nor an earlier one of these."""
        rules, kept, taken = self.view.rules, [], set()
        for record in records:
            marks = []
            for fields in rules.uniques[model]:
                spec = Spec(model, fields)
                values, same = rules.values_of(spec)(record), rules.identity_of(spec)
                mark = values if same is None else same(values)
                if mark is not None and not (len(fields) > 1 and None in mark):
                    marks.append((fields, mark, values))
            if any((f, mark) in taken or self.view.find(model, f, values) for f, mark, values in marks):
                continue
            taken |= {(f, mark) for f, mark, _ in marks}
            kept.append(record)
        return kept

    def update(self, model: str, where: Condition, changes: Sequence[Change]) -> list[Record]:
        self.check()
        terms = self.vocabulary[model]
        try:
            before = self._meant(model, where)
            after = [changed_record(self.vocabulary, model, record, changes) for record in before]
            self._check(model, after)
            self.view.update(list(zip(before, after, strict=True)), checked=True)
            for change in changes:
                self._backend.counters.forget(model, change.field)
            # A referential action may have come back to the same record.
            return [self.find(model, terms.key, terms.key_of(record)) or record for record in after]
        except BaseException:
            self._failed = True
            raise

    def _meant(self, model: str, where: Condition) -> list[Record]:
        """The records that fulfil a condition; mostly it is the one with a key."""
        if isinstance(where, And) and len(where.parts) == 1 and isinstance(part := where.parts[0], Compare):
            fields = (part.field,)
            is_plain = (
                part.op is Operator.EQUALS and not part.insensitive and not isinstance(part.value, Other)
            )
            if fields == self.vocabulary[model].key and is_plain:
                found = self.find(model, fields, (part.value,))
                return [] if found is None else [found]
        return self.select(Query(model=model, where=where))

    def delete(self, model: str, where: Condition) -> int:
        self.check()
        try:
            gone = self._meant(model, where)
            self.view.delete(gone)
            return len(gone)
        except BaseException:
            self._failed = True
            raise

    def _check(self, model: str, records: Sequence[Record]) -> None:
        """Check what the query cannot: raise NullViolation if a required field of one of these is NULL, and
        ValueOutOfRange for a foreign key that was copied from a column of another type and does not fit."""
        terms = self.vocabulary[model]
        for record in records:
            if None in (values := terms.required_of(record)) or UNSET in values:
                nulls = (c.name for c in terms.required if c.is_null(c.stored(record)))
                raise NullViolation(model, [next(nulls)])
        for column in self._backend.copied[model]:
            for record in records:
                stored = column.stored(record)
                if not column.is_null(stored) and not _fits(column, stored):
                    raise ValueOutOfRange(model, [column.name])


def _fits(column: Column, stored: Any) -> bool:
    """Whether a stored value of another type is one of this column's."""
    try:
        value = stored if column.type.read is None else column.type.read(stored)
        return bool(column.write(value) == stored)
    except ValueError:
        return False


def changed_record(vocabulary: Vocabulary, model: str, record: Record, changes: Sequence[Change]) -> Record:
    """A record as changes leave it.  Raises ValueOutOfRange."""
    columns = vocabulary[model].columns
    values: dict[str, Any] = {}
    for change in changes:
        column = columns[change.field]
        old = values.get(column.attribute, column.stored(record))
        try:
            values[column.attribute] = column.type.changed(change.kind, old, change.value)
        except ValueError as error:
            raise ValueOutOfRange(model, [change.field]) from error
    return replace(record, **values)


class Counters:
    """``autoincrement()``: the highest number of each column, as far as this process knows.

    Used under the write lock only.  A commit of another process makes it look again.
    """

    def __init__(self, vocabulary: Vocabulary, store: Store) -> None:
        self._vocabulary, self._store = vocabulary, store
        self._highest: dict[tuple[str, str], int] = {}
        self._seen = -1

    def filled(self, view: View, model: str, row: Mapping[str, Any]) -> Mapping[str, Any]:
        """A row with the numbers that it lacks.  Raises UsageError for ``dbgenerated(…)``."""
        if self._seen != self._store.changes_of_others:
            self._highest.clear()
            self._seen = self._store.changes_of_others
        values = dict(row)
        for column in self._vocabulary[model].filled_by_place:
            default = column.field.default
            if not isinstance(default, Function) or default.name != "autoincrement":
                if column.name not in values:
                    raise UsageError(
                        f"{model}.{column.name}: only PostgreSQL can compute its value,"
                        f" {'dbgenerated(…)' if default else 'a generated column'}; give a value"
                    )
                continue
            highest = self._known(view, model, column)
            if column.name in values:
                highest = max(highest, int(values[column.name]))
            else:
                highest += 1
                try:
                    values[column.name] = column.write(highest)
                except ValueError as error:
                    raise ValueOutOfRange(model, [column.name]) from error
            self._highest[model, column.name] = highest
        return values

    def _known(self, view: View, model: str, column: Column) -> int:
        found = self._highest.get((model, column.name))
        if found is None:
            found = max((int(column.stored(row)) for row in view.rows(model)), default=0)
        return found

    def forget(self, model: str, field: str) -> None:
        """A column was changed."""
        self._highest.pop((model, field), None)


def _copied(vocabulary: Vocabulary, model: Model) -> tuple[Column, ...]:
    datamodel = vocabulary.datamodel
    found = []
    for relation in datamodel.parents(model.name):
        parent = datamodel.model(relation.parent)
        for name, referenced in zip(relation.fields, relation.references, strict=True):
            ours, theirs = model.scalar(name), parent.scalar(referenced)
            if (ours.type, ours.native) != (theirs.type, theirs.native):
                found.append(vocabulary[model.name].columns[name])
    return tuple(found)


class AtOnce(SingleReads):
    """The answers that memory has; any other raises Stale (:meth:`octavo.store.store.Store.read_at_once`)."""

    def __init__(self, backend: JsonBackend) -> None:
        self._store, self._indexes, self._keys = backend.store, backend.indexes, backend.keys

    def read(self, work: Callable[[JsonReader], T]) -> T:
        return self._store.read_at_once(lambda view: work(HurriedReader(self._indexes, view)))

    _one = read

    def find(self, model: str, fields: tuple[str, ...], values: Key) -> Record | None:
        if self._keys.get(model) == fields:
            return self._store.read_at_once(lambda view: view.get(model, values[0]))
        return super().find(model, fields, values)


class JsonBackend(SingleReads):
    """A store, asked in the query's terms.  Safe to share among threads."""

    def __init__(
        self,
        vocabulary: Vocabulary,
        store: Store,
        guard: Guard | None = None,
        files: FilesRoot | None = None,
        tell: Callable[[PayloadProblem], object] = lambda problem: None,
    ) -> None:
        """``files``: from where the payloads of new records are taken into the store; ``tell`` hears of those
        that cannot be, as the log does."""
        self.store, self._guard = store, guard
        self._files, self._tell = files, tell
        self.intake = None if files is None else Intake(store, files, self._told)
        """stores what new records of a transaction point at, before it is committed"""
        self.indexes = Indexes(vocabulary, store.rules)
        self.counters = Counters(vocabulary, store)
        self.copied = {m.name: _copied(vocabulary, m) for m in vocabulary.datamodel.tables}
        """the foreign keys of each model that point at a column of another type"""
        self._get = store.get
        self.keys = {
            m.name: m.key.field_names
            for m in vocabulary.datamodel.tables
            if len(m.key.field_names) == 1 and m.name not in store.rules.indirect
        }
        """the models whose records are found by one value"""
        self.at_once = AtOnce(self)

    def read(self, work: Callable[[JsonReader], T]) -> T:
        return self.store.read(lambda view: work(JsonReader(self.indexes, view)))

    _one = read

    def find(self, model: str, fields: tuple[str, ...], values: Key) -> Record | None:
        if self.keys.get(model) == fields:
            return self._get(model, values[0])
        return self.read(lambda reader: reader.find(model, fields, values))

    def raw(self, statement: RawStatement) -> RawResult:
        from octavo.query.raw import constants

        return constants(statement)

    def transaction(
        self,
        *,
        single: bool = False,
        max_wait: float | None = None,
        timeout: float | None = None,
        isolation: Isolation | None = None,
    ) -> AbstractContextManager[Transaction]:
        if isolation is None:
            return JsonTransaction(self, self.store.transaction(timeout=max_wait))
        from octavo.backends.interactive import Interactive

        return Interactive(self, timeout, isolation)

    def locked(self, max_wait: float | None, timeout: float | None, isolation: Isolation) -> JsonTransaction:
        return JsonTransaction(self, self.store.transaction(timeout=max_wait))

    def check_phase(self) -> None:
        """Raise UsageError if the phase of a move does not let the files take writes."""
        if self._guard is not None:
            self._guard.check()

    def _told(self, problem: PayloadProblem) -> None:
        import logging

        facts = problem.model, problem.key, problem.path, problem.reason
        logging.getLogger(__name__).warning("%s %s: the payload %r %s", *facts)
        self._tell(problem)

    def payload(self, record: Record) -> bytes | None:
        model = model_of(record).name
        digest = self.store.read(lambda view: view.payload(model, view.rules.codecs[model].key_of(record)))
        if digest is not None:
            with self.store.open_payload(digest) as file:
                return file.read()
        return None if self._files is None else self._files.payload(record)

    def searched(self, model: str) -> tuple[str, ...]:
        return self.store.layout.place(model).search

    def close(self) -> None:
        self.store.close()
