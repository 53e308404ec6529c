"""Programs that leave nothing out: each operation, operator, nested write and referential action.

They are made of what there is to say; only with what it is said is chosen here.  What writes is mostly taken
back, so that the next one finds the same records.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from octavo.query.aggregates import ALL
from octavo.query.filters import LOGIC, operators, quantifiers
from octavo.query.plan import AggregateFunction, Link
from octavo.query.reads import DIRECTIONS, NULLS
from octavo.query.vocabulary import Column, Terms
from octavo.query.writes import changes, steps
from octavo.schema.datamodel import Action, Relation
from parity.coverage import kind
from parity.pools import FRESH
from parity.programs import Call, Programs, Step, Together

_FILTERS = 3
"""of each operator"""
_LINKED = 1
"""the number of the records that are found, changed and deleted; others point at it"""


class Covering:
    """The programs of a vocabulary."""

    def __init__(self, programs: Programs) -> None:
        self.programs, self.pools, self.vocabulary = programs, programs.pools, programs.vocabulary

    def all(self) -> Iterator[Step]:
        """All of them, one after the other."""
        yield from self.programs.beginning()
        yield from self.filters()
        for terms in self.programs.all:
            yield from self.reads(terms)
            yield from self.writes(terms)
            for link in terms.links.values():
                yield from self.over(terms, link)
        yield from self.referential()

    # Reading

    def filters(self) -> Iterator[Step]:
        """Each operator on each type of field."""
        fields: dict[str, list[tuple[Terms, Column]]] = {}
        for terms in self.programs.all:
            for column in self.pools.stable(terms):
                fields.setdefault(kind(column), []).append((terms, column))
        for own in fields.values():
            place = 0
            for operator in operators(own[0][1]):
                for number in range(_FILTERS):
                    place += 1
                    terms, column = own[place % len(own)]
                    choice = self.pools.filters(terms, column)[operator]
                    where = {column.name: choice[(place + number) % len(choice)]}
                    yield Call(terms.name, "find_many", {"where": where})

    def reads(self, terms: Terms) -> Iterator[Step]:
        """Each way to read a model."""
        unique = self.named(terms, _LINKED)
        fields = self.pools.plain(terms)
        for operation in ("find_unique", "find_unique_or_raise"):
            yield Call(terms.name, operation, {"where": unique})
        for operation in ("find_first", "find_first_or_raise"):
            yield Call(
                terms.name, operation, {"order_by": {fields[-1]: "desc"}, "where": self.somewhere(terms)}
            )
        yield Call(terms.name, "count", {"select": {"_all": True, fields[-1]: True}})
        yield from self.aggregates(terms)
        page = {"order_by": {fields[0]: "desc"}, "cursor": unique, "take": 2, "skip": 1}
        page |= {"relation_load_strategy": "query"}
        yield Call(terms.name, "find_many", page)
        yield Call(terms.name, "find_many", {"distinct": fields[-1:], "omit": {fields[0]: True}})
        for name in LOGIC:
            parts = [self.somewhere(terms), {name: [self.somewhere(terms)]}]
            yield Call(terms.name, "find_many", {"where": {name: parts}})
        for column in self.pools.stable(terms):
            if column.field.nullable and column.name in fields:
                for direction, nulls in zip(DIRECTIONS, NULLS, strict=True):
                    order = {column.name: {"sort": direction, "nulls": nulls}}
                    yield Call(terms.name, "find_many", {"order_by": [order], "select": {column.name: True}})

    def aggregates(self, terms: Terms) -> Iterator[Step]:
        """Each aggregate of each field, of all records and of groups."""
        shown = {
            str(function): dict.fromkeys(names, True)
            for function in AggregateFunction
            if (names := self.pools.aggregated(terms, function))
        }
        yield Call(terms.name, "aggregate", shown)
        for column in self.pools.stable(terms):
            counted = {"_count": {ALL: True, column.name: True}}
            yield Call(terms.name, "group_by", {"by": [column.name], **counted})
        name = self.pools.plain(terms)[-1]
        order = {"_count": {name: "desc"}}
        having = {name: {"_count": {"gte": 1}}}
        yield Call(terms.name, "group_by", {"by": [name], "having": having, "order_by": order, **shown})

    def somewhere(self, terms: Terms) -> dict[str, Any]:
        """A filter that finds some records."""
        column = self.pools.stable(terms)[0]
        return {column.name: {"in": self.pools.values(terms, column)[:2]}}

    # Writing

    def writes(self, terms: Terms) -> Iterator[Step]:
        """Each way to write a model."""
        unique, change = self.named(terms, _LINKED), self.change(terms)
        rows = [self.pools.row(terms, n) for n in (_LINKED, *FRESH)]
        for operation in ("create_many", "create_many_and_return"):
            yield undone(Call(terms.name, operation, {"data": rows, "skip_duplicates": True}))
        yield undone(*self.fresh(terms))
        for data in (rows[0], rows[1]):
            named = self.pools.named(terms, data)[0]
            upsert = {"where": named, "create": data, "update": change}
            yield undone(*self.parents(terms, data), Call(terms.name, "upsert", upsert))
        yield Call(terms.name, "update", {"where": unique, "data": change})
        yield undone(Call(terms.name, "delete", {"where": unique}))
        yield undone(Call(terms.name, "delete_many", {"where": {"NOT": self.somewhere(terms)}}))
        yield undone(Call(terms.name, "update_many", {"data": change}))
        yield undone(Call(terms.name, "update_many", {"data": change, "limit": 1}))
        for column in self.pools.stable(terms):
            value = self.pools.row(terms, _LINKED)[column.name]
            for how in changes(column) if column.name not in self.pools.keyed(terms) else ():
                plain = column.field.is_json and not column.field.is_list
                operand = 1 if how == "divide" and not value else value
                data = {column.name: value if plain else {how: operand}}
                yield undone(Call(terms.name, "update_many_and_return", {"where": unique, "data": data}))

    def change(self, terms: Terms) -> dict[str, Any]:
        """Data of an update of a field that nothing hangs on, if there is one."""
        row, keyed = self.pools.row(terms, 2), self.pools.keyed(terms)
        return dict([(name, value) for name, value in row.items() if name not in keyed][-1:])

    def named(self, terms: Terms, number: int) -> dict[str, Any]:
        return self.pools.named(terms, self.pools.row(terms, number))[0]

    def fresh(self, terms: Terms, data: dict[str, Any] | None = None) -> list[Call]:
        """Make a record that is not there yet, with data of its own or all that it has."""
        row = data or self.pools.row(terms, FRESH[0])
        return [*self.parents(terms, row), Call(terms.name, "create", {"data": row})]

    def parents(self, terms: Terms, row: dict[str, Any]) -> list[Call]:
        """Make the records that a fresh one points at, where there is place for one at each of them."""
        made: list[Call] = []
        for link in terms.links.values():
            if link.holds_key and link.fields in self.pools.alone(terms) and link.fields[0] in row:
                made += self.fresh(self.vocabulary[link.target])
        return made

    # Relations

    def over(self, terms: Terms, link: Link) -> Iterator[Step]:
        """Each way to read and write over a relation."""
        target = self.vocabulary[link.target]
        where = self.somewhere(target)
        for quantifier in quantifiers(link):
            yield Call(terms.name, "find_many", {"where": {link.name: {quantifier: where}}})
        order: dict[str, Any] = {"_count": "desc"} if link.is_list else {self.pools.plain(target)[0]: "desc"}
        yield Call(terms.name, "find_many", {"order_by": {link.name: order}, "include": {link.name: True}})
        if link.is_list:
            inner: dict[str, Any] = {"where": where, "take": -1}
            counts = {"select": {link.name: {"where": where}}}
            yield Call(terms.name, "find_many", {"include": {link.name: inner, "_count": counts}})
        if link.holds_key:
            # To another parent and back.
            row, other = self.pools.row(terms, _LINKED), self.pools.row(terms, 2)
            moved = row | {name: other[name] for name in link.fields}
            for before, after in ((row, moved), (moved, row)):
                data = {name: after[name] for name in link.fields}
                where = self.pools.named(terms, before)[0]
                yield Call(terms.name, "update", {"where": where, "data": data})
        for new in (True, False):
            for name in steps(link, new=new):
                yield undone(*self.nested(terms, link, name, new=new))

    def nested(self, terms: Terms, link: Link, name: str, *, new: bool) -> list[Call]:
        """Calls, the last of which writes over a relation.

        What is linked or made hangs on a record that nothing hangs on yet; what is changed, on one that it
        hangs on already.
        """
        target = self.vocabulary[link.target]
        supplied = () if link.join or link.holds_key else link.references
        row = {k: v for k, v in self.pools.row(target, FRESH[1]).items() if k not in supplied}
        there, change = self.named(target, _LINKED), self.change(target)
        which = {"where": there} if link.is_list else {}
        given: dict[str, Any] = {
            "create": row,
            "connect": there,
            "connect_or_create": {"where": there, "create": row},
            "create_many": {"data": [row], "skip_duplicates": True},
            "disconnect": there if link.is_list else True,
            "delete": there if link.is_list else True,
            "set": [there, self.named(target, 2)],
            "update": {**which, "data": change} if link.is_list else change,
            "upsert": {**which, "create": row, "update": change},
            "delete_many": self.somewhere(target),
            "update_many": {"where": self.somewhere(target), "data": change},
        }
        data = {link.name: {name: given[name]}}
        if new:
            own = {
                k: v
                for k, v in self.pools.row(terms, FRESH[0]).items()
                if not (link.holds_key and k in link.fields)
            }
            return self.fresh(terms, own | data)
        if name in ("create", "connect", "connect_or_create", "create_many") and not link.holds_key:
            own = self.named(terms, FRESH[0])
            return [*self.fresh(terms), Call(terms.name, "update", {"where": own, "data": data})]
        own = self.named(terms, _LINKED)
        connected = {link.name: {"connect": there}}
        # Records that one begins with are in no join table.
        linked = [Call(terms.name, "update", {"where": own, "data": connected})] if link.join else []
        return [*linked, Call(terms.name, "update", {"where": own, "data": data})]

    def referential(self) -> Iterator[Step]:
        """Each referential action, taken back and kept."""
        acts: list[list[Call]] = []
        for key in self.vocabulary.datamodel.foreign_keys:
            parent, child = self.vocabulary[key.parent], self.vocabulary[key.child]
            row = self.pools.row(parent, _LINKED)
            where = self.pools.named(parent, row)[0]
            changed = {name: self.pools.row(parent, FRESH[0])[name] for name in key.references}
            # Those that one begins with point at themselves, and are in no join table.
            pointing = [
                Call(parent.name, "update", {"where": where, "data": {link.name: {"connect": other}}})
                for link in parent.links.values()
                if link.join == child.name
                for other in [self.named(self.vocabulary[link.target], 2)]
            ]
            if key.child == key.parent:
                point = dict(zip(key.fields, (row[name] for name in key.references), strict=True))
                pointing = [Call(child.name, "update", {"where": self.named(child, 2), "data": point})]
            for act, event in (
                (Call(parent.name, "update", {"where": where, "data": changed}), "on_update"),
                (Call(parent.name, "delete", {"where": where}), "on_delete"),
            ):
                calls = [*pointing, *self.without(key, event), act]
                if calls not in acts:
                    acts.append(calls)
        yield from (Together(calls, broken=True) for calls in acts)
        for calls in acts:
            # What is kept changes what the next one finds.
            yield Together(calls, broken=False)
            yield from self.programs.beginning(again=True)

    def without(self, key: Relation, event: str) -> Iterator[Call]:
        """Delete those that would refuse what is to happen to a parent, so that others come to act."""
        for other in self.vocabulary.datamodel.children(key.parent):
            if other != key and getattr(other, event) in (Action.RESTRICT, Action.NO_ACTION):
                yield Call(other.child, "delete_many", {})


def undone(*calls: Call) -> Together:
    """Calls in a transaction that is taken back."""
    return Together(list(calls), broken=True)
