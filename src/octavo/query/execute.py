"""Runs what a reading call asks for on a backend: queries, cursors, relations level by level."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from msgspec.structs import replace

from octavo.layout.record import Record
from octavo.query.filters import both
from octavo.query.plan import (
    FALSE,
    TRUE,
    Compare,
    Condition,
    Count,
    Find,
    Inclusion,
    IsNull,
    Link,
    Not,
    Operator,
    Or,
    Order,
    Projection,
    Query,
    Related,
    Unique,
)
from octavo.query.protocol import Key, Reader
from octavo.query.result import Counts, Result
from octavo.query.vocabulary import Terms, Vocabulary

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
        return [Result(r, projection.fields, own) for r, own in zip(records, related, strict=True)]

    def _include(self, records: Sequence[Record], inclusion: Inclusion, into: list[dict[str, Any]]) -> None:
        link, find = inclusion.link, inclusion.find
        keys, places = self._keys(records, link)
        groups: list[list[Record]] = [[] for _ in keys]
        query = self._from_cursor(find) if keys else None
        if query is not None:
            groups = self.reader.related(query, link, keys)
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
        behind = _behind(list(zip(query.order, places, strict=True)))
        return replace(query, where=both(query.where, behind))

    def _place(self, record: Record, order: Order) -> tuple[Any, bool]:
        """The value that a record has for a term of an order, and whether it is NULL."""
        terms: Terms = self.vocabulary[order.path[0].model if order.path else self._model(record)]
        for link in order.path:
            values = terms.getter(link.fields)(record)
            if terms.has_null(link.fields, values):
                return None, True
            found = self.reader.related(Query(model=link.target), link, [values])[0]
            if not found:
                return None, True
            record, terms = found[0], self.vocabulary[link.target]
        column = terms.columns[str(order.field)]
        value = column.stored(record)
        return value, column.is_null(value)

    @staticmethod
    def _model(record: Record) -> str:
        from octavo.layout.record import model_of

        return model_of(record).name


def _behind(places: list[tuple[Order, tuple[Any, bool]]]) -> Condition:
    """At this place of an order, or behind it."""
    choices: list[Condition] = []
    equal: list[Condition] = []
    for order, (value, null) in places:
        after = _after(order, value, null)
        if after != FALSE:
            choices.append(both(*equal, after))
        equal.append(_same(order, value, null))
    return Or((*choices, both(*equal)))


def _after(order: Order, value: Any, null: bool) -> Condition:
    if null:
        return Not(_is_null(order)) if order.nulls_first else FALSE
    operator = Operator.LT if order.descending else Operator.GT
    beyond = _over(order, lambda field: Compare(field, operator, value))
    return beyond if order.nulls_first else Or((beyond, _is_null(order)))


def _same(order: Order, value: Any, null: bool) -> Condition:
    if null:
        return _is_null(order)
    return _over(order, lambda field: Compare(field, Operator.EQUALS, value))


def _is_null(order: Order) -> Condition:
    """NULL, or a relation on the way has no record."""
    if not order.path:
        return IsNull(str(order.field))
    return Not(_over(order, lambda field: Not(IsNull(field))))


def _over(order: Order, condition: Callable[[str], Condition]) -> Condition:
    """A condition on the field that the path of an order leads to."""
    found = condition(str(order.field))
    for link in reversed(order.path):
        found = Related(link, found)
    return found
