"""Runs what a call asks for on a backend: queries, relations level by level, records and what hangs on them.

Over a relation whose foreign key the record itself holds, nested writes come before the record, since they
give its key; over all others they come after it.  Whatever is written carries the operation's one moment.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import msgspec
from msgspec.structs import replace

from octavo.errors import RecordNotFound, RequiredRelationViolation
from octavo.layout.record import Record, model_of
from octavo.query.evaluate import Evaluator
from octavo.query.filters import both
from octavo.query.paging import from_here
from octavo.query.plan import (
    FALSE,
    TRUE,
    Change,
    ChangeKind,
    Condition,
    Connect,
    ConnectOrCreate,
    Count,
    Create,
    CreateMany,
    Delete,
    DeleteMany,
    Disconnect,
    Edit,
    Find,
    Group,
    Inclusion,
    Insert,
    Link,
    Nested,
    NewRecord,
    OneOf,
    Order,
    Projection,
    Query,
    Related,
    SetLinks,
    Step,
    Unique,
    Update,
    UpdateMany,
    Upsert,
    equals,
    one_of,
)
from octavo.query.protocols import Key, Reader, Transaction
from octavo.query.result import Counts, Result
from octavo.query.vocabulary import Defaults, Terms, Vocabulary, moment

if TYPE_CHECKING:
    from octavo.query.aggregates import Asked

Shown: TypeAlias = Any
"""A :class:`Record`, or where relations or a part of it were asked for a :class:`Result`; its attributes
are the model's, which only a stub made from the schema can know."""


class Execution:
    """Reading from one backend, or within one transaction."""

    def __init__(self, vocabulary: Vocabulary, reader: Reader) -> None:
        self.vocabulary, self.reader = vocabulary, reader

    def find(self, find: Find) -> list[Shown]:
        """What a find gives, in its order."""
        query = self._from_cursor(find)
        if query is None:
            return []
        records = self.reader.select(query)
        if find.backwards:
            records.reverse()
        return self.show(records, find.projection)

    def one(self, unique: Unique) -> Record | None:
        """The record that a unique means, if there is one."""
        if unique.also == TRUE:
            return self.reader.find(unique.model, unique.fields, unique.values)
        found = self.reader.select(Query(model=unique.model, where=unique.where, take=1))
        return found[0] if found else None

    def count(self, find: Find) -> int:
        """How many records a find would give."""
        query = self._from_cursor(find)
        return 0 if query is None else self.reader.count(query)

    def groups(self, asked: Asked) -> list[Group]:
        """The groups that a call asks for, in their order."""
        query = self._from_cursor(asked.find)
        grouping = replace(asked.grouping, query=query or replace(asked.find.query, where=FALSE))
        found = self.reader.aggregate(grouping)
        return found[::-1] if grouping.by and asked.find.backwards else found

    def show(self, records: Sequence[Record], projection: Projection | None) -> list[Shown]:
        """The records as a projection shows them: one call of the backend for each relation, never one for
        each record."""
        if projection is None:
            return list(records)
        related: list[dict[str, Any]] = [{} for _ in records]
        for inclusion in projection.relations:
            self._include(records, inclusion, related)
        if projection.counts:
            numbers: list[dict[str, int]] = [{} for _ in records]
            for count in projection.counts:
                self._count(records, count, numbers)
            for into, counted in zip(related, numbers, strict=True):
                into["_count"] = Counts(counted)
        fields, by_name = projection.fields, projection.by_name
        return [Result(r, fields, own, by_name) for r, own in zip(records, related, strict=True)]

    def _include(self, records: Sequence[Record], inclusion: Inclusion, into: list[dict[str, Any]]) -> None:
        link, find = inclusion.link, inclusion.find
        keys, places = self._keys(records, link)
        groups: list[list[Record]] = [[] for _ in keys]
        query = self._from_cursor(find) if keys else None
        if query is not None:
            groups = self.reader.related(query, link, keys)
            if find.cursor is not None:
                # As in Prisma, a cursor is a place among the records of its own parent alone.
                at = Query(model=link.target, where=find.cursor.at.where)
                there = self.reader.related(at, link, keys)
                groups = [group if own else [] for group, own in zip(groups, there, strict=True)]
        if find.backwards:
            groups = [group[::-1] for group in groups]
        shown = iter(self.show([r for group in groups for r in group], find.projection))
        results = [[next(shown) for _ in group] for group in groups]
        for own, place in zip(into, places, strict=True):
            linked = [] if place is None else results[place]
            own[link.name] = list(linked) if link.is_list else (linked[0] if linked else None)

    def _count(self, records: Sequence[Record], count: Count, into: list[dict[str, int]]) -> None:
        keys, places = self._keys(records, count.link)
        numbers = self.reader.count_related(count.link, count.where, keys) if keys else []
        for own, place in zip(into, places, strict=True):
            own[count.link.name] = 0 if place is None else numbers[place]

    def _keys(self, records: Sequence[Record], link: Link) -> tuple[list[Key], list[int | None]]:
        """The different keys by which records are linked, and for each record the place of its own among
        them; None where it is NULL."""
        terms = self.vocabulary[link.model]
        columns = [terms.columns[f] for f in link.fields]
        get = terms.getter(link.fields)
        keys: list[Key] = []
        places: list[int | None] = []
        known: dict[Any, int] = {}
        for record in records:
            values = get(record)
            if terms.has_null(link.fields, values):
                places.append(None)
                continue
            mark = tuple(c.comparable(v) for c, v in zip(columns, values, strict=True))
            if (place := known.get(mark)) is None:
                place = known[mark] = len(keys)
                keys.append(values)
            places.append(place)
        return keys, places

    def _from_cursor(self, find: Find) -> Query | None:
        """The query from its cursor on; None if the cursor is not there."""
        if find.cursor is None:
            return find.query
        record = self.one(find.cursor.at)
        if record is None:
            return None
        query = find.query
        places = [self._place(record, term) for term in query.order]
        after = from_here(list(zip(query.order, places, strict=True)))
        return replace(query, where=both(query.where, after))

    def _place(self, record: Record, order: Order) -> tuple[Any, bool]:
        """The value that a record has for a term of an order, and whether it is NULL."""
        terms: Terms = self.vocabulary[order.path[0].model if order.path else model_of(record).name]
        counted = order.path[-1] if order.field is None else None
        for link in order.path[:-1] if counted else order.path:
            values = terms.getter(link.fields)(record)
            has_key = not terms.has_null(link.fields, values)
            found = self.reader.related(Query(model=link.target), link, [values])[0] if has_key else []
            if not found:
                return (0, False) if counted else (None, True)
            record, terms = found[0], self.vocabulary[link.target]
        if counted:
            values = terms.getter(counted.fields)(record)
            if terms.has_null(counted.fields, values):
                return 0, False
            return self.reader.count_related(counted, TRUE, [values])[0], False
        column = terms.columns[str(order.field)]
        value = column.stored(record)
        return value, column.is_null(value)


_Own = TypeVar("_Own", Record, None)
"""The record that a writing is about; None: it is not made yet."""


class _Changed(msgspec.Struct, frozen=True):
    """A record that a nested write has changed."""

    before: Record
    after: Record


class Writing(Execution):
    """One writing operation."""

    def __init__(
        self, vocabulary: Vocabulary, transaction: Transaction, defaults: Mapping[str, Defaults]
    ) -> None:
        super().__init__(vocabulary, transaction)
        self.transaction = transaction
        self.defaults = defaults
        self.now = moment()

    def create(self, new: NewRecord, supplied: Mapping[str, Any] | None = None) -> Record:
        """Make a record, and what hangs on it."""
        values = {**new.values, **(supplied or {})}
        for nested in new.nested:
            if nested.link.holds_key:
                values.update(self._own_key(nested, None)[0])
        [record] = self.insert(new.model, [values])
        return self._around(record, new.nested)

    def insert(
        self, model: str, rows: Iterable[Mapping[str, Any]], *, skip_duplicates: bool = False
    ) -> list[Record]:
        """Make records of what is given and the defaults."""
        defaults = self.defaults[model]
        given = list(rows)
        if not given:
            return []
        filled = [defaults.fill(row, self.now) for row in given]
        return self.transaction.insert(Insert(model, filled, skip_duplicates, defaults.made_for(given)))

    def update(self, unique: Unique, edit: Edit) -> Record:
        """Change the record that a unique means.  Raises RecordNotFound."""
        if edit.changes and not edit.nested:
            found = self.change(unique.model, unique.where, edit.changes)
            if not found:
                raise RecordNotFound(unique.model, "an update")
            return found[0]
        return self.edit(self.required(unique, "an update"), edit)

    def edit(self, record: Record, edit: Edit) -> Record:
        """Change a record, and what hangs on it."""
        changes = list(edit.changes)
        for nested in edit.nested:
            if nested.link.holds_key:
                key, record = self._own_key(nested, record)
                changes += [Change(name, ChangeKind.SET, value) for name, value in key.items()]
        if changes:
            found = self.change(edit.model, self._exactly([record]), changes)
            if not found:
                raise RecordNotFound(edit.model, "an update")
            record = found[0]
        return self._around(record, edit.nested)

    def change(self, model: str, where: Condition, changes: Iterable[Change]) -> list[Record]:
        """Change all records that fulfil a condition, ``@updatedAt`` with them, and give them.  Without a
        change they are found, and left as they are."""
        touched = self.defaults[model].touched(changes, self.now)
        if touched:
            return self.transaction.update(model, where, touched)
        order = self.vocabulary[model].key_order
        return self.transaction.select(Query(model=model, where=where, order=order))

    def first(self, model: str, where: Condition, limit: int | None) -> Condition:
        """The condition that at most so many of the records fulfil, the first of them in the default
        order."""
        if limit is None:
            return where
        order = self.vocabulary[model].default_order
        found = self.transaction.select(Query(model=model, where=where, order=order, take=limit))
        return both(where, self._exactly(found)) if found else FALSE

    def delete(self, record: Record, doing: str) -> None:
        """Delete a record.  Raises RecordNotFound if another caller was first."""
        if not self.transaction.delete(model_of(record).name, self._exactly([record])):
            raise RecordNotFound(model_of(record).name, doing)

    def required(self, unique: Unique, doing: str) -> Record:
        """The record that a unique means.  Raises RecordNotFound."""
        found = self.one(unique)
        if found is None:
            raise RecordNotFound(unique.model, doing)
        return found

    def sort(self, records: list[Record]) -> None:
        """Put records of a model into the default order."""
        if len(records) > 1:
            terms = self.vocabulary[model_of(records[0]).name]
            Evaluator(self.vocabulary, _nowhere).sorting(terms.columns, terms.default_order)(records)

    def again(self, record: Record) -> Record:
        """A record as it is now, after what hangs on it was written."""
        terms = self.vocabulary[model_of(record).name]
        return self.transaction.find(terms.name, terms.key, terms.key_of(record)) or record

    def _around(self, record: Record, nested: Sequence[Nested]) -> Record:
        for one in nested:
            if not one.link.holds_key:
                for step in one.steps:
                    self._step(one.link, record, step)
        return self.again(record) if nested else record

    # The record holds the foreign key.

    def _own_key(self, nested: Nested, record: _Own) -> tuple[dict[str, Any], _Own]:
        """The foreign key that nested writes give a record (None: one that is not made yet); and the record
        as they leave it."""
        key: dict[str, Any] = {}
        link = nested.link
        for step in nested.steps:
            target = self._parent(link, record, step)
            if isinstance(target, _Changed):
                assert record is not None
                record = self._followed(link, record, target)
            elif isinstance(target, Record):
                self._displace(link, target, record)
                references = self.vocabulary[link.target].getter(link.references)(target)
                key = dict(zip(link.fields, references, strict=True))
            elif target is not None:
                key = target
        return key, record

    def _parent(
        self, link: Link, record: Record | None, step: Step
    ) -> Record | _Changed | dict[str, Any] | None:
        """The record that a step makes the foreign key point at; or the one that it points at, as the step
        has changed it; or a key that points nowhere; or None."""
        doing = f"{link.model}.{link.name}"
        match step:
            case Create():
                return self.create(step.record)
            case Connect():
                return self.required(step.to, f"a connect over {doing}")
            case ConnectOrCreate():
                return self.one(step.to) or self.create(step.record)
        assert record is not None
        current = self._current(link, record, step.where)  # type: ignore[union-attr]
        if current is None:
            if isinstance(step, Upsert):
                return self.create(step.record)
            if isinstance(step, Disconnect):
                return None
            raise RecordNotFound(link.target, f"a nested {type(step).__name__.lower()} over {doing}")
        if isinstance(step, Update | Upsert):
            return _Changed(current, self.edit(current, step.edit))
        nowhere = self._nowhere(link)
        if isinstance(step, Delete):
            changes = [Change(name, ChangeKind.SET, value) for name, value in nowhere.items()]
            self.change(link.model, self._exactly([record]), changes)
            self.delete(current, f"a nested delete over {doing}")
        return nowhere

    def _followed(self, link: Link, record: Record, target: _Changed) -> Record:
        """A record as it is after the one that it points at was changed.

        Its foreign key may have followed (``onUpdate``), and its own key with that.  Raises RecordNotFound.
        """
        terms, other = self.vocabulary[link.model], self.vocabulary[link.target]
        if terms is other and terms.key_of(record) == other.key_of(target.before):
            return target.after
        references = other.getter(link.references)(target.after)
        if references == other.getter(link.references)(target.before):
            return record
        own = dict(zip(terms.key, terms.key_of(record), strict=True))
        followed = {f: v for f, v in zip(link.fields, references, strict=True) if f in own}
        found = self.transaction.find(terms.name, terms.key, tuple({**own, **followed}.values()))
        if found is None:
            raise RecordNotFound(terms.name, "an update")
        return found

    def _current(self, link: Link, record: Record, where: Condition) -> Record | None:
        terms = self.vocabulary[link.model]
        values = terms.getter(link.fields)(record)
        if terms.has_null(link.fields, values):
            return None
        condition = both(equals(link.references, values), where)
        found = self.transaction.select(Query(model=link.target, where=condition, take=1))
        return found[0] if found else None

    def _nowhere(self, link: Link) -> dict[str, Any]:
        """The foreign key that points at nothing.  Raises RequiredRelationViolation."""
        holder = link if link.holds_key else self.vocabulary.opposite(link)
        if holder.required:
            raise RequiredRelationViolation(holder.model, holder.name or holder.relation)
        columns = self.vocabulary[holder.model].columns
        return {f: columns[f].null for f in holder.fields if columns[f].field.nullable}

    def _displace(self, link: Link, target: Record, record: Record | None) -> None:
        """In a one-to-one relation, the record that points at the target makes room."""
        back = self.vocabulary.opposite(link)
        if back.is_list:
            return
        self._make_room(back, target, keep=record)

    # Another record, or a join table, holds it.

    def _step(self, link: Link, record: Record, step: Step) -> None:
        doing = f"{link.model}.{link.name}"
        match step:
            case Create():
                self._create(link, record, step.record)
            case Connect():
                self._attach(link, record, self.required(step.to, f"a connect over {doing}"))
            case ConnectOrCreate():
                found = self.one(step.to)
                if found is None:
                    self._create(link, record, step.record)
                else:
                    self._attach(link, record, found)
            case Disconnect():
                self._detach(link, record, self._linked(link, record, step.where))
            case SetLinks():
                found_ones = (
                    [self.required(u, f"a set over {doing}") for u in step.to]
                    if step.all_there
                    else [found for u in step.to if (found := self.one(u)) is not None]
                )
                self._set(link, record, found_ones)
            case DeleteMany():
                self.transaction.delete(link.target, self._within(link, record, step.where))
            case UpdateMany():
                self.change(link.target, self._within(link, record, step.where), step.edit.changes)
            case CreateMany():
                supplied = self._supplied(link, record)
                rows = [{**row.values, **supplied} for row in step.records]
                self.insert(link.target, rows, skip_duplicates=step.skip_duplicates)
            case _:
                self._one_linked(link, record, step)

    def _one_linked(self, link: Link, record: Record, step: Update | Upsert | Delete) -> None:
        doing = f"a nested {type(step).__name__.lower()} over {link.model}.{link.name}"
        linked = self._linked(link, record, step.where)
        if linked and isinstance(step, Delete):
            self.delete(linked[0], doing)
        elif linked and not isinstance(step, Delete):
            self.edit(linked[0], step.edit)
        elif isinstance(step, Upsert):
            self._create(link, record, step.record)
        else:
            raise RecordNotFound(link.target, doing)

    def _create(self, link: Link, record: Record, new: NewRecord) -> None:
        if not link.is_list:
            self._make_room(link, record, keep=None)
        made = self.create(new, self._supplied(link, record))
        if link.join:
            self._attach(link, record, made)

    def _set(self, link: Link, record: Record, wanted: list[Record]) -> None:
        key_of = self.vocabulary[link.target].key_of
        kept = [key_of(r) for r in wanted]
        linked = self._linked(link, record, TRUE)
        self._detach(link, record, [r for r in linked if key_of(r) not in kept])
        there = [key_of(r) for r in linked]
        for target in wanted:
            if key_of(target) not in there:
                self._attach(link, record, target)

    def _attach(self, link: Link, record: Record, target: Record) -> None:
        if link.join:
            [near], [far] = self._key(link, record), self._far(link, target)
            row = {link.near: near, link.far: far}
            self.transaction.insert(Insert(link.join, [row], skip_duplicates=True))
            return
        if not link.is_list:
            self._make_room(link, record, keep=target)
        changes = [Change(n, ChangeKind.SET, v) for n, v in self._supplied(link, record).items()]
        self.change(link.target, self._exactly([target]), changes)

    def _make_room(self, link: Link, record: Record, keep: Record | None) -> None:
        """Unlink the record that is at the other end of a one-to-one relation now."""
        key_of = self.vocabulary[link.target].key_of
        linked = self._linked(link, record, TRUE)
        self._detach(link, record, [r for r in linked if keep is None or key_of(r) != key_of(keep)])

    def _detach(self, link: Link, record: Record, targets: list[Record]) -> None:
        """Unlink records.  Raises RequiredRelationViolation if one cannot be without."""
        if not targets:
            return
        if link.join:
            far = tuple(self._far(link, target)[0] for target in targets)
            condition = both(equals((link.near,), self._key(link, record)), OneOf(link.far, far))
            self.transaction.delete(link.join, condition)
            return
        changes = [Change(n, ChangeKind.SET, v) for n, v in self._nowhere(link).items()]
        self.change(link.target, self._exactly(targets), changes)

    def _linked(self, link: Link, record: Record, where: Condition) -> list[Record]:
        order = self.vocabulary[link.target].key_order
        condition = self._within(link, record, where)
        return self.transaction.select(Query(model=link.target, where=condition, order=order))

    def _within(self, link: Link, record: Record, where: Condition) -> Condition:
        """Linked to a record, and fulfilling a condition."""
        key = self._key(link, record)
        if not link.join:
            return both(equals(link.references, key), where)
        return both(Related(self.vocabulary.opposite(link), equals(link.fields, key)), where)

    def _supplied(self, link: Link, record: Record) -> dict[str, Any]:
        """The foreign key that a record gives to those that hang on it."""
        return {} if link.join else dict(zip(link.references, self._key(link, record), strict=True))

    def _key(self, link: Link, record: Record) -> Key:
        terms = self.vocabulary[link.model]
        values = terms.getter(link.fields)(record)
        if terms.has_null(link.fields, values):
            raise RequiredRelationViolation(link.model, link.name)
        return values

    def _far(self, link: Link, target: Record) -> Key:
        return self.vocabulary[link.target].getter(link.references)(target)

    def _exactly(self, records: Sequence[Record]) -> Condition:
        """The condition that these records fulfil, and no others."""
        terms: Terms = self.vocabulary[model_of(records[0]).name]
        return one_of(terms.key, [terms.key_of(r) for r in records])


def _nowhere(link: Link, record: Record) -> list[Record]:
    return []
