"""Queries answered from the files.

The store's indexes tell which records can fulfil a condition at all.  Equalities anywhere in a conjunction
narrow the records down, and so do conditions on linked records, from their end.  What is found is a superset:
then the condition is decided for each candidate, and what is found is sorted and cut.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import islice, product
from typing import Any

from octavo.layout.keys import one_or_tuple
from octavo.layout.layout import Kind
from octavo.layout.record import Record
from octavo.query.evaluate import Evaluator
from octavo.query.plan import (
    TRUE,
    And,
    Compare,
    Condition,
    Group,
    Grouping,
    Link,
    OneOf,
    Operator,
    Or,
    Order,
    Other,
    Query,
    Related,
    Search,
)
from octavo.query.protocols import Key
from octavo.query.search import Searching
from octavo.query.vocabulary import Column, Vocabulary
from octavo.store.freshness import Stale
from octavo.store.index import Spec
from octavo.store.rules import Rules
from octavo.store.view import View
from octavo.values.words import folded

_TEXTS = (Operator.CONTAINS, Operator.STARTS_WITH, Operator.ENDS_WITH)
_Equal = dict[str, Sequence[Any]]
"""by field the values that it is equal to one of"""


class Indexes:
    """What each model's records are found by."""

    def __init__(self, vocabulary: Vocabulary, rules: Rules) -> None:
        self.vocabulary, self.rules = vocabulary, rules
        self.logs = {
            place.model.name: place.relation.fields
            for place in rules.layout.places
            if place.kind is Kind.LOG_PER_PARENT and place.relation is not None
        }
        """the models with a log per parent, and the fields that tell the parent"""
        self._ranked: dict[str, tuple[tuple[str, ...], ...]] = {}

    def ranked(self, model: str) -> tuple[tuple[str, ...], ...]:
        """The fields that records are found by, those that find the fewest first."""
        found = self._ranked.get(model)
        if found is None:
            uniques = [self.vocabulary[model].key, *self.rules.uniques[model]]
            others = sorted(self.rules.indexed[model], key=lambda fields: (-len(fields), fields))
            if model in self.logs:
                # Other fields of a log per parent are found by reading all logs.
                uniques, others = uniques[:1], [self.logs[model]]
            found = self._ranked[model] = tuple(dict.fromkeys([*uniques, *others]))
        return found


class Candidates:
    """Finds records in one view."""

    def __init__(self, indexes: Indexes, view: View) -> None:
        self.indexes, self.view = indexes, view
        self.vocabulary = indexes.vocabulary

    def of(self, model: str, condition: Condition) -> Iterable[Record] | None:
        """The records that may fulfil a condition, each once; None: no index narrows them down."""
        if isinstance(condition, Or):
            return self._any(model, condition)
        if isinstance(condition, Related):
            return self._by_linked(condition)
        parts = tuple(_parts(condition))
        equal = _equalities(parts)
        for fields in self.indexes.ranked(model) if equal else ():
            if equal.keys() >= set(fields):
                return self._equal(model, fields, [equal[f] for f in fields])
        for part in parts:
            if isinstance(part, Or | Related) and (found := self.of(model, part)) is not None:
                return found
        return self._holding(model, parts)

    def _holding(self, model: str, parts: Sequence[Condition]) -> list[Record] | None:
        """By the index of texts, where a text is searched of which it is kept."""
        searched = self.indexes.rules.layout.place(model).search
        held = [
            folded(part.value)
            for part in parts
            if isinstance(part, Compare)
            and part.op in _TEXTS
            and part.field in searched
            and not isinstance(part.value, Other)
        ]
        return self.view.holding(model, held) if held else None

    def parent_of(self, model: str, condition: Condition) -> Any:
        """The one parent, of a model with a log for each, whose records alone can fulfil a condition: its
        value, or values; None: there are more, or the record is known by its own key."""
        fields = self.indexes.logs.get(model)
        if fields is None:
            return None
        equal = _equalities(tuple(_parts(condition)))
        if not all(len(equal.get(f, ())) == 1 for f in fields) or self.vocabulary[model].key[0] in equal:
            return None
        values = tuple(equal[f][0] for f in fields)
        return values if len(values) > 1 else values[0]

    def _equal(self, model: str, fields: tuple[str, ...], values: list[Sequence[Any]]) -> Iterable[Record]:
        if len(fields) == 1:
            wanted: Iterable[Any] = values[0]
        else:
            wanted = product(*values)
        found = [self.view.find(model, fields, value) for value in wanted]
        return found[0] if len(found) == 1 else self._once(model, found)

    def _once(self, model: str, groups: Iterable[Iterable[Record]]) -> list[Record]:
        key_of = self.view.rules.codecs[model].key_of
        return list({key_of(record): record for group in groups for record in group}.values())

    def _any(self, model: str, condition: Or) -> list[Record] | None:
        groups = []
        for part in condition.parts:
            found = self.of(model, part)
            if found is None:
                return None
            groups.append(found)
        return self._once(model, groups)

    def _by_linked(self, condition: Related) -> list[Record] | None:
        link = condition.link
        linked = self.of(link.target, condition.where)
        if linked is None:
            return None
        back, spec = self.vocabulary.opposite(link), Spec(link.target, link.references)
        values = map(self.view.rules.values_of(spec), linked)
        if (same := self.view.rules.identity_of(spec)) is not None:
            found = {same(value): value for value in values}
        else:
            found = {value: value for value in values}
        return self._once(link.model, (self.linked(back, value) for value in found.values()))

    def linked(self, link: Link, values: Any) -> Sequence[Record]:
        """The records that are linked to these values (of one field, its value; else their tuple).

        Not to be changed.
        """
        find = self.view.find
        if not link.join:
            return find(link.target, link.references, values)
        far_of = self.vocabulary[link.join].columns[link.far].stored
        rows = find(link.join, (link.near,), values)
        return [record for row in rows for record in find(link.target, link.references, far_of(row))]


def _parts(condition: Condition) -> Iterator[Condition]:
    """The conditions that must all be fulfilled."""
    if not isinstance(condition, And):
        yield condition
        return
    for part in condition.parts:
        yield from _parts(part)


def _equalities(parts: Iterable[Condition]) -> _Equal:
    """What fields must be equal to; of several for one field, those that leave the fewest values."""
    found: _Equal = {}
    for part in parts:
        if isinstance(part, Compare) and part.op is Operator.EQUALS and not part.insensitive:
            if not isinstance(part.value, Other):
                found[part.field] = (part.value,)
        elif isinstance(part, OneOf) and not part.insensitive and not isinstance(part.values, Other):
            found[part.field] = min(part.values, found.get(part.field, part.values), key=len)
    return found


_PRUNED = 1_000
"""records after the last one asked for that are held before they are dropped"""


def test_of(evaluator: Evaluator, model: str, where: Condition) -> Callable[[Record], Any] | None:
    """The function that decides a condition; None if it is always true."""
    return None if where == TRUE else evaluator.condition(model, where)


class Choice:
    """One query, made ready for any number of groups of candidates."""

    def __init__(self, vocabulary: Vocabulary, evaluator: Evaluator, query: Query) -> None:
        self._evaluator, self._query = evaluator, query
        self._test = test_of(evaluator, query.model, query.where)
        self._sort = evaluator.order(query.model, query.order) if query.order else None
        self._end = None if query.take is None else query.skip + query.take
        self._lead = _lead(vocabulary, query)

    def of(self, candidates: Iterable[Record]) -> list[Record]:
        """What the query finds among candidates in any order."""
        query, sort = self._query, self._sort
        found = self._fulfilling(candidates)
        if query.distinct:
            records = list(found)
            if sort is not None:
                sort(records)
            records = self._evaluator.distinct(query.model, query.distinct, records)
        elif sort is None:
            records = list(islice(found, self._end))
        else:
            records = list(found) if self._end is None else self._first(found, self._end, sort)
            if len(records) > 1:
                sort(records)
        return records[query.skip : self._end] if query.skip or self._end is not None else records

    def _fulfilling(self, candidates: Iterable[Record]) -> Iterator[Record]:
        test = self._test
        return iter(candidates) if test is None else (r for r in candidates if test(r) is True)

    @staticmethod
    def _first(found: Iterator[Record], end: int, sort: Callable[[list[Record]], None]) -> list[Record]:
        """Those that the order puts first, and perhaps more; without holding all of them."""
        records: list[Record] = []
        while len(batch := list(islice(found, end + _PRUNED))) == end + _PRUNED:
            records += batch
            sort(records)
            del records[end:]
        return records + batch

    def of_filed(self, candidates: Sequence[Record]) -> list[Record]:
        """The same of candidates in the order of their file, where the order asked for may be read off."""
        if self._lead is None:
            return self.of(candidates)
        key, descending, backwards = self._lead
        wanted = self._from_one_end(candidates, key, descending)
        # Equal ones stay as they are: in the order of their keys, or in the opposite one.
        if backwards:
            wanted.reverse()
        wanted.sort(key=key, reverse=descending)
        return wanted[self._query.skip : self._end]

    def _from_one_end(
        self, candidates: Sequence[Record], key: Callable[[Record], Any], descending: bool
    ) -> list[Record]:
        """The records that come first, with those equal to the last of them, in the order of the file."""
        end, test = self._end, self._test
        if end is None or end >= len(candidates):
            return list(self._fulfilling(candidates))
        if end == 0:
            return []
        walk = reversed(candidates) if descending else iter(candidates)
        found = list(islice(walk if test is None else (r for r in walk if test(r) is True), end))
        if len(found) == end:
            last = key(found[-1])
            for record in walk:
                if key(record) != last:
                    break
                if test is None or test(record) is True:
                    found.append(record)
        if descending:
            found.reverse()
        return found


def _lead(vocabulary: Vocabulary, query: Query) -> tuple[Callable[[Record], Any], bool, bool] | None:
    """How a query's order can be read off a file's, which is by ``createdAt`` and key, ascending.

    A key of its first term, whether that is descending, and whether the rest is.  None: it cannot be.
    """
    terms = vocabulary[query.model]
    if query.distinct or not query.order or any(o.path or o.field is None for o in query.order):
        return None
    first, rest = query.order[0], query.order[1:]
    created = terms.model.created
    if created is None or created.nullable or first.field != created.name:
        return None
    if tuple(o.field for o in rest) != terms.key or len({o.descending for o in rest}) != 1:
        return None
    if any(terms.columns[name].key is not None for name in terms.key):
        return None
    return terms.columns[created.name].sort_key, first.descending, rest[0].descending


class JsonReader:
    """Answers from one view of the store."""

    def __init__(self, indexes: Indexes, view: View) -> None:
        self.view = view
        self.vocabulary = indexes.vocabulary
        self._indexes = indexes

    @cached_property
    def _candidates(self) -> Candidates:
        return Candidates(self._indexes, self.view)

    @cached_property
    def _evaluator(self) -> Evaluator:
        return Evaluator(self.vocabulary, self._linked)

    def _linked(self, link: Link, record: Record) -> Sequence[Record]:
        values = self.vocabulary[link.model].getter(link.fields)(record)
        return self._candidates.linked(link, one_or_tuple(values))

    def find(self, model: str, fields: tuple[str, ...], values: Key) -> Record | None:
        found = self.view.find(model, fields, one_or_tuple(values))
        return found[0] if found else None

    def select(self, query: Query) -> list[Record]:
        choice = Choice(self.vocabulary, self._evaluator, query)
        parent = self._candidates.parent_of(query.model, query.where)
        if parent is not None:
            return choice.of_filed(self._filed(query.model, parent))
        return choice.of(self._all(query.model, query.where))

    def _filed(self, model: str, parent: Any) -> Sequence[Record]:
        return self.view.in_file_order(model, self._candidates.indexes.logs[model], parent)

    def _all(self, model: str, where: Condition) -> Sequence[Record] | Iterator[Record]:
        found = self._candidates.of(model, where)
        return self.view.rows(model) if found is None else iter(found)

    def related(self, query: Query, link: Link, keys: Sequence[Key]) -> list[list[Record]]:
        choice = Choice(self.vocabulary, self._evaluator, query)
        filed = link.references == self._candidates.indexes.logs.get(link.target)
        choose = choice.of_filed if filed else choice.of
        return [choose(records) for records in self._linked_to(link, keys)]

    def count(self, query: Query) -> int:
        if query.distinct:
            return len(self.select(query))
        test = test_of(self._evaluator, query.model, query.where)
        candidates = self._all(query.model, query.where)
        number = max(_number(test, candidates) - query.skip, 0)
        return number if query.take is None else min(number, query.take)

    def aggregate(self, grouping: Grouping) -> list[Group]:
        from octavo.query.aggregates import Grouper

        return Grouper(self._evaluator, grouping).of(self.select(grouping.query))

    def count_related(self, link: Link, where: Condition, keys: Sequence[Key]) -> list[int]:
        test = test_of(self._evaluator, link.target, where)
        return [_number(test, records) for records in self._linked_to(link, keys)]

    def search(self, search: Search) -> list[tuple[Record, float]]:
        test = test_of(self._evaluator, search.model, search.where)
        searching = Searching(self.vocabulary[search.model], search, test)
        ranked = self.view.ranked(search.model, search.words, search.fields)
        if ranked is None:
            ranked = iter(searching.ranked(self.view.rows(search.model)))
        return searching.among(ranked)

    def _linked_to(self, link: Link, keys: Sequence[Key]) -> Iterator[Sequence[Record]]:
        """For each key the records that are linked to it, in the order of their file if they have a log."""
        if not link.join and link.references == self._candidates.indexes.logs.get(link.target):
            return (self._filed(link.target, one_or_tuple(key)) for key in keys)
        return (self._candidates.linked(link, one_or_tuple(key)) for key in keys)


_DECIDED = 2_000
"""conditions that an event loop decides for one answer, and records that it sorts"""


class HurriedReader(JsonReader):
    """Raises Stale rather than look at many records."""

    def aggregate(self, grouping: Grouping) -> list[Group]:
        raise Stale

    @cached_property
    def _evaluator(self) -> Evaluator:
        return _Hurried(self.vocabulary, self._linked)


class _Hurried(Evaluator):
    _left = _DECIDED

    def test(self, columns: Mapping[str, Column], condition: Condition) -> Callable[[Any], Any]:
        test = super().test(columns, condition)

        def decide(record: Any) -> Any:
            if not self._left:
                raise Stale
            self._left -= 1
            return test(record)

        return decide

    def sorting(self, columns: Mapping[str, Column], order: Sequence[Order]) -> Callable[[list[Any]], None]:
        sort = super().sorting(columns, order)

        def sort_few(records: list[Any]) -> None:
            if len(records) > _DECIDED:
                raise Stale
            sort(records)

        return sort_few


def _number(test: Callable[[Record], Any] | None, records: Sequence[Record] | Iterator[Record]) -> int:
    if test is not None:
        return sum(test(record) is True for record in records)
    return len(records) if isinstance(records, Sequence) else sum(1 for _ in records)
