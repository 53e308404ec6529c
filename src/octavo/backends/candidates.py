"""Which records can fulfil a condition at all, told by the store's indexes.

Equalities anywhere in a conjunction narrow the records down, and so do conditions on linked records, from
their end.  What is found is a superset: the condition itself still has to be decided for each record.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from typing import Any

from octavo.layout.layout import Kind
from octavo.layout.record import Record
from octavo.query.plan import And, Compare, Condition, Link, OneOf, Operator, Or, Related
from octavo.query.vocabulary import Vocabulary
from octavo.store.index import Spec
from octavo.store.rules import Rules
from octavo.store.view import View

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
        return None

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
            found[part.field] = (part.value,)
        elif isinstance(part, OneOf) and not part.insensitive:
            found[part.field] = min(part.values, found.get(part.field, part.values), key=len)
    return found
