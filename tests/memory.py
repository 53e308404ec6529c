"""The smallest backend that keeps the protocol: dicts of records, copied for each transaction.

It looks at every record for everything, uniques and foreign keys too, and is the model that real backends are
compared with.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeAlias, TypeVar

from octavo.errors import ForeignKeyViolation, NullViolation, UniqueViolation, UsageError, ValueOutOfRange
from octavo.layout.load import layout_for
from octavo.layout.record import Record
from octavo.query.aggregates import Grouper
from octavo.query.evaluate import Evaluator
from octavo.query.plan import (
    Change,
    Condition,
    Group,
    Grouping,
    Insert,
    Link,
    Query,
    Search,
)
from octavo.query.protocols import Begun, Isolation, Key
from octavo.query.raw import RawResult, RawStatement, constants
from octavo.query.search import Searching
from octavo.query.vocabulary import Defaults, Vocabulary, moment
from octavo.schema.datamodel import Action, Function, Relation

T = TypeVar("T")
Rows = dict[str, dict[tuple[Any, ...], Record]]
Notes: TypeAlias = Counter[tuple[str, str]]
"""How often what was done: ``create``, ``update`` or ``delete`` to a model, cascades included; a referential
action, such as ``onDelete Cascade``, to the children of a relation."""


def arrow(relation: Relation) -> str:
    """A foreign key, as it is called where it is counted."""
    return f"{relation.child}.{','.join(relation.fields)} → {relation.parent}"


class MemoryReader:
    """Answers from one state."""

    def __init__(self, vocabulary: Vocabulary, rows: Rows, counters: dict[tuple[str, str], int]) -> None:
        self.vocabulary, self.rows, self.counters = vocabulary, rows, counters
        self.evaluator = Evaluator(vocabulary, self.linked)

    def mark(self, model: str, fields: tuple[str, ...], values: tuple[Any, ...]) -> tuple[Any, ...] | None:
        """What equal values have in common; None if one is NULL."""
        columns = [self.vocabulary[model].columns[f] for f in fields]
        if any(c.is_null(v) for c, v in zip(columns, values, strict=True)):
            return None
        return tuple(c.comparable(v) for c, v in zip(columns, values, strict=True))

    def of(self, model: str, fields: tuple[str, ...], record: Record) -> tuple[Any, ...] | None:
        return self.mark(model, fields, self.vocabulary[model].getter(fields)(record))

    def linked(self, link: Link, record: Record) -> list[Record]:
        return self.by_key(link, self.vocabulary[link.model].getter(link.fields)(record))

    def by_key(self, link: Link, key: Key) -> list[Record]:
        wanted = self.mark(link.model, link.fields, key)
        if wanted is None:
            return []
        if not link.join:
            there = self.rows[link.target].values()
            return [r for r in there if self.of(link.target, link.references, r) == wanted]
        far = {
            self.of(link.join, (link.far,), row)
            for row in self.rows[link.join].values()
            if self.of(link.join, (link.near,), row) == wanted
        }
        return [r for r in self.rows[link.target].values() if self.of(link.target, link.references, r) in far]

    def find(self, model: str, fields: tuple[str, ...], values: Key) -> Record | None:
        wanted = self.mark(model, fields, values)
        return next((r for r in self.rows[model].values() if self.of(model, fields, r) == wanted), None)

    def choose(self, query: Query, records: Sequence[Record]) -> list[Record]:
        test = self.evaluator.condition(query.model, query.where)
        found = [r for r in records if test(r) is True]
        self.evaluator.order(query.model, query.order)(found)
        if query.distinct:
            found = self.evaluator.distinct(query.model, query.distinct, found)
        return found[query.skip :][: query.take]

    def select(self, query: Query) -> list[Record]:
        return self.choose(query, list(self.rows[query.model].values()))

    def related(self, query: Query, link: Link, keys: Sequence[Key]) -> list[list[Record]]:
        return [self.choose(query, self.by_key(link, key)) for key in keys]

    def count(self, query: Query) -> int:
        return len(self.select(query))

    def count_related(self, link: Link, where: Condition, keys: Sequence[Key]) -> list[int]:
        query = Query(model=link.target, where=where)
        return [len(self.choose(query, self.by_key(link, key))) for key in keys]

    def aggregate(self, grouping: Grouping) -> list[Group]:
        return Grouper(self.evaluator, grouping).of(self.select(grouping.query))

    def raw(self, statement: RawStatement) -> RawResult:
        return constants(statement)

    def search(self, search: Search) -> list[tuple[Record, float]]:
        test = self.evaluator.condition(search.model, search.where)
        searching = Searching(self.vocabulary[search.model], search, test)
        return searching.among(searching.ranked(list(self.rows[search.model].values())))


class MemoryTransaction(Begun, MemoryReader):
    """Changes a copy of the state, and notes what it does."""

    def __init__(
        self, vocabulary: Vocabulary, rows: Rows, counters: dict[tuple[str, str], int], notes: Notes
    ) -> None:
        super().__init__(vocabulary, rows, counters)
        self.notes = notes
        self._waiting: deque[Callable[[], None]] = deque()

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        before = {model: dict(rows) for model, rows in self.rows.items()}
        try:
            yield
        except BaseException:
            self.rows = before
            raise

    def insert(self, new: Insert) -> list[Record]:
        made, model = [], new.model
        for row in new.rows:
            record = self.vocabulary[model].record(self._counted(model, row))
            self._check_nulls(model, record)
            taken = self._taken(model, record)
            if taken and new.skip_duplicates:
                continue
            if taken:
                raise UniqueViolation(model, taken)
            self._put(model, record)
            self.notes["create", model] += 1
            made.append(record)
            self._waiting += [partial(self._point_somewhere, r, record) for r in self._parents(model)]
        self._settle()
        return made

    def update(self, model: str, where: Condition, changes: Sequence[Change]) -> list[Record]:
        terms = self.vocabulary[model]
        updated = []
        for old in self.select(Query(model=model, where=where)):
            values = {name: c.stored(old) for name, c in terms.columns.items()}
            for change in changes:
                column = terms.columns[change.field]
                try:
                    values[change.field] = column.type.changed(
                        change.kind, values[change.field], change.value
                    )
                except ValueError as error:
                    raise ValueOutOfRange(model, [change.field]) from error
            updated.append((old, terms.record(values)))
        for old, _ in updated:
            del self.rows[model][self._key(model, old)]
        for old, new in updated:
            self._replaced(model, old, new)
        self._settle()
        return [self.rows[model][self._key(model, new)] for _, new in updated]

    def delete(self, model: str, where: Condition) -> int:
        gone = self.select(Query(model=model, where=where))
        self._remove(model, gone)
        self._settle()
        return len(gone)

    # What PostgreSQL's triggers do: they wait until the rows of their statement are changed, first those on
    # the records that point at a row, then those on what it points at; what they change queues up behind.

    def _settle(self) -> None:
        while self._waiting:
            self._waiting.popleft()()

    def _remove(self, model: str, gone: Sequence[Record]) -> None:
        for record in gone:
            del self.rows[model][self._key(model, record)]
            self.notes["delete", model] += 1
        for record in gone:
            for relation in self.vocabulary.datamodel.children(model):
                self._waiting.append(partial(self._act, relation, relation.on_delete, record, None))

    def _replaced(self, model: str, old: Record, new: Record) -> None:
        """Put a record in the place of one that is out of it already."""
        self._check_nulls(model, new)
        if taken := self._taken(model, new):
            raise UniqueViolation(model, taken)
        self._put(model, new)
        self.notes["update", model] += 1
        for relation in self.vocabulary.datamodel.children(model):
            if self.of(model, relation.references, old) != self.of(model, relation.references, new):
                self._waiting.append(partial(self._act, relation, relation.on_update, old, new))
        for relation in self._parents(model):
            if self.of(model, relation.fields, old) != self.of(model, relation.fields, new):
                self._waiting.append(partial(self._point_somewhere, relation, new))

    def _act(self, relation: Relation, action: Action, old: Record, new: Record | None) -> None:
        """Let those that pointed at a record follow it, or do without it."""
        children = self._children(relation, old)
        if not children:
            return
        self.notes[f"{'onDelete' if new is None else 'onUpdate'} {action}", arrow(relation)] += 1
        match action:
            case Action.CASCADE:
                if new is None:
                    self._remove(relation.child, children)
                    return
                key = self.vocabulary[relation.parent].getter(relation.references)(new)
                self._point(relation, children, key)
            case Action.SET_NULL:
                columns = self.vocabulary[relation.child].columns
                self._point(relation, children, tuple(columns[f].null for f in relation.fields))
            case Action.SET_DEFAULT:
                row = Defaults(self.vocabulary[relation.child]).fill({}, moment())
                columns = self.vocabulary[relation.child].columns
                self._point(relation, children, tuple(row.get(f, columns[f].null) for f in relation.fields))
                self._left_behind(relation, old)
            case Action.NO_ACTION:
                self._left_behind(relation, old)
            case Action.RESTRICT:
                raise ForeignKeyViolation(relation.child, relation.fields, constraint=relation.constraint)

    def _left_behind(self, relation: Relation, old: Record) -> None:
        """Refuse those that point still at what a record was."""
        children = self._children(relation, old)
        if children and not self._is_there(relation, children[0]):
            raise ForeignKeyViolation(relation.child, relation.fields, constraint=relation.constraint)

    def _point(self, relation: Relation, children: list[Record], key: tuple[Any, ...]) -> None:
        terms = self.vocabulary[relation.child]
        for child in children:
            values = {name: c.stored(child) for name, c in terms.columns.items()}
            new = terms.record(values | dict(zip(relation.fields, key, strict=True)))
            del self.rows[relation.child][self._key(relation.child, child)]
            self._replaced(relation.child, child, new)

    def _point_somewhere(self, relation: Relation, record: Record) -> None:
        """Refuse a record that points at nothing, as it is by now."""
        current = self.rows[relation.child].get(self._key(relation.child, record))
        if current is not None and not self._is_there(relation, current):
            raise ForeignKeyViolation(relation.child, relation.fields, constraint=relation.constraint)

    def _is_there(self, relation: Relation, child: Record) -> bool:
        wanted = self.of(relation.child, relation.fields, child)
        there = self.rows[relation.parent].values()
        return wanted is None or any(
            self.of(relation.parent, relation.references, r) == wanted for r in there
        )

    def _parents(self, model: str) -> list[Relation]:
        return list(self.vocabulary.datamodel.parents(model))

    def _children(self, relation: Relation, parent: Record) -> list[Record]:
        wanted = self.of(relation.parent, relation.references, parent)
        if wanted is None:
            return []
        there = self.rows[relation.child].values()
        return [r for r in there if self.of(relation.child, relation.fields, r) == wanted]

    def _key(self, model: str, record: Record) -> tuple[Any, ...]:
        key = self.of(model, self.vocabulary[model].key, record)
        assert key is not None
        return key

    def _put(self, model: str, record: Record) -> None:
        self.rows[model][self._key(model, record)] = record

    def _taken(self, model: str, record: Record) -> tuple[str, ...]:
        for fields in self.vocabulary[model].uniques.values():
            mark = self.of(model, fields, record)
            if mark is not None and any(
                self.of(model, fields, other) == mark for other in self.rows[model].values()
            ):
                return fields
        return ()

    def _check_nulls(self, model: str, record: Record) -> None:
        for name, column in self.vocabulary[model].columns.items():
            if not column.field.nullable and column.is_null(column.stored(record)):
                raise NullViolation(model, [name])

    def _counted(self, model: str, row: Mapping[str, Any]) -> dict[str, Any]:
        values = dict(row)
        for name, column in self.vocabulary[model].columns.items():
            if name not in values:
                default = column.field.default
                assert isinstance(default, Function), name
                if default.name != "autoincrement":
                    raise UsageError(f"{model}.{name}: only PostgreSQL can evaluate dbgenerated")
                number = self.counters.get((model, name), 0) + 1
                self.counters[model, name] = number
                values[name] = column.write(number)
        return values


class MemoryBackend(MemoryReader):
    """The state, and a lock for whoever changes it."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        super().__init__(vocabulary, {m.name: {} for m in vocabulary.datamodel.tables}, {})
        self.notes: Notes = Counter()
        self.lock = threading.Lock()

    def _copy(self) -> Rows:
        return {model: dict(rows) for model, rows in self.rows.items()}

    def searched(self, model: str) -> tuple[str, ...]:
        layout = layout_for(self.vocabulary.datamodel, None)
        return layout.place(model).search

    def payload(self, record: Record) -> bytes | None:
        return None

    def read(self, work: Callable[[MemoryReader], T]) -> T:
        return work(MemoryReader(self.vocabulary, self._copy(), self.counters))

    @contextmanager
    def transaction(
        self,
        *,
        single: bool = False,
        max_wait: float | None = None,
        timeout: float | None = None,
        isolation: Isolation | None = None,
    ) -> Iterator[MemoryTransaction]:
        with self.lock:
            # A counter goes on where its transaction is rolled back, as a sequence does.
            transaction = MemoryTransaction(self.vocabulary, self._copy(), self.counters, self.notes)
            yield transaction
            self.rows = transaction.rows

    def close(self) -> None:
        pass
