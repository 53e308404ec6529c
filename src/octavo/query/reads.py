"""From the arguments of a reading call to what it finds and what it shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from octavo.query.arguments import At, bounded
from octavo.query.filters import Filters
from octavo.query.plan import (
    TRUE,
    Condition,
    Count,
    Cursor,
    Find,
    Inclusion,
    Link,
    Order,
    Projection,
    Query,
)
from octavo.query.vocabulary import Terms

_STRATEGY = "relation_load_strategy"
"""how Prisma would load relations; the answer is the same"""
SHOWN = ("include", "select", "omit", _STRATEGY)
"""the arguments of a call that say how records are shown"""
MANY = ("where", "order_by", "take", "skip", "cursor", "distinct", *SHOWN)
ONE = ("where", "include", "select", "omit")
DIRECTIONS = ("asc", "desc")
NULLS = ("first", "last")
_COUNT = "_count"
NO_END = 2**61
"""more records than there ever are; twice as many can still be counted in 64 bits"""


class Reads:
    """Checks the arguments of reading calls on any model of a vocabulary."""

    def __init__(self, filters: Filters) -> None:
        self.filters, self.vocabulary = filters, filters.vocabulary

    @bounded
    def many(self, terms: Terms, given: Mapping[str, Any], at: At) -> Find:
        """What ``find_many``, or an included list of records, asks for."""
        found = at.named(given, MANY, "arguments")
        _check_strategy(found, at)
        given_order, given_cursor = found.get("order_by"), found.get("cursor")
        order = () if given_order is None else self.order(terms, given_order, at / "order_by")
        cursor = None if given_cursor is None else self.cursor(terms, given_cursor, order, at / "cursor")
        take = None if found.get("take") is None else (at / "take").whole(found["take"])
        skip = 0 if found.get("skip") is None else (at / "skip").whole(found["skip"], lowest=0)
        backwards = take is not None and take < 0
        order = total(terms, order)
        query = Query(
            model=terms.name,
            where=self._where(terms, found, at),
            order=tuple(_flipped(o) for o in order) if backwards else order,
            take=None if take is None else min(abs(take), NO_END),
            skip=min(skip, NO_END),
            distinct=self.fields(terms, found.get("distinct"), at / "distinct"),
        )
        return Find(
            query=query, cursor=cursor, backwards=backwards, projection=self.projection(terms, found, at)
        )

    def first(self, terms: Terms, given: Mapping[str, Any], at: At) -> Find:
        """The same, for its first record (of a negative ``take``: the last)."""
        found = self.many(terms, given, at)
        return replace(found, query=replace(found.query, take=min(1, found.query.take or 1)))

    def _where(self, terms: Terms, found: Mapping[str, Any], at: At) -> Condition:
        if "where" not in found:
            return TRUE
        return self.filters.where(terms, found["where"], at / "where")

    def fields(self, terms: Terms, given: Any, at: At) -> tuple[str, ...]:
        """One field or several, by name."""
        if given is None:
            return ()
        names = []
        for name, inner in at.each(given):
            if not isinstance(name, str):
                inner.fail("is no name of a field")
            if name not in terms.usable:
                inner.unknown(name, terms.usable, f"{terms.name} has no such field")
            names.append(name)
        return tuple(names)

    def cursor(self, terms: Terms, given: Any, order: tuple[Order, ...], at: At) -> Cursor:
        """A cursor, whose place must be tellable in this order."""
        for term in order:
            column = self.vocabulary[term.path[-1].target if term.path else terms.name].columns
            if term.field is None:
                continue
            if column[term.field].field.is_json or column[term.field].field.is_list:
                at.fail(f"cannot go with an order by {term.field}, which is Json or a list")
        return Cursor(self.filters.unique(terms, given, at))

    def order(self, terms: Terms, given: Any, at: At) -> tuple[Order, ...]:
        """The terms of an ``order_by``."""
        return tuple(
            term
            for item, inner in at.each(given)
            for name, value in inner.mapping(item).items()
            for term in self._order(terms, (), name, value, inner / name)
        )

    def _order(
        self, terms: Terms, path: tuple[Link, ...], name: str, value: Any, at: At
    ) -> tuple[Order, ...]:
        if (column := terms.usable.get(name)) is not None:
            return (Order(name, *direction(value, at, column.field.nullable), path),)
        if (link := terms.links.get(name)) is None:
            at_parent = At(at.model, at.path.rpartition(".")[0])
            at_parent.unknown(name, (*terms.usable, *terms.links), f"{terms.name} has no such field")
        inner = at.mapping(value)
        if link.is_list:
            counted = at.named(inner, (_COUNT,), "a list of records orders by its number")
            if _COUNT not in counted:
                at.fail("lacks _count")
            return (Order(None, _descending(counted[_COUNT], at / _COUNT), False, (*path, link)),)
        target = self.vocabulary[link.target]
        return tuple(
            term
            for key, sub in inner.items()
            for term in self._order(target, (*path, link), key, sub, at / key)
        )

    @bounded
    def projection(self, terms: Terms, found: Mapping[str, Any], at: At) -> Projection | None:
        """What is shown; None: the whole record and no relations."""
        select, include, omit = (found.get(name) for name in ("select", "include", "omit"))
        if select is not None and (include is not None or omit is not None):
            at.fail("takes select alone, or include and omit")
        if select is not None:
            return self._selected(terms, select, at / "select")
        left_out = self._omitted(terms, omit, at / "omit") if omit is not None else ()
        if include is None and not left_out:
            return None
        relations, counts = self._relations(terms, {} if include is None else include, at / "include")
        fields = tuple(name for name in terms.columns if name not in left_out)
        if not (fields or relations or counts):
            at.fail("leaves every field out")
        return Projection(fields=fields, relations=relations, counts=counts)

    def _omitted(self, terms: Terms, given: Any, at: At) -> tuple[str, ...]:
        for name in at.mapping(given):
            if name not in terms.columns:
                at.unknown(name, terms.columns, f"{terms.name} has no such field")
        return tuple(name for name, leave in given.items() if (at / name).boolean(leave))

    def _selected(self, terms: Terms, given: Any, at: At) -> Projection:
        fields, others = set(), {}
        for name, value in at.mapping(given).items():
            if name not in terms.columns:
                others[name] = value
            elif (at / name).boolean(value):
                fields.add(name)
        known = (*terms.columns, *terms.links)
        relations, counts = self._relations(terms, others, at, known)
        if not (fields or relations or counts):
            at.fail("selects nothing")
        shown = tuple(name for name in terms.columns if name in fields)
        return Projection(fields=shown, relations=relations, counts=counts, by_name=True)

    def _relations(
        self, terms: Terms, given: Any, at: At, known: tuple[str, ...] = ()
    ) -> tuple[tuple[Inclusion, ...], tuple[Count, ...]]:
        relations: list[Inclusion] = []
        counts: tuple[Count, ...] = ()
        for name, value in at.mapping(given).items():
            inner = at / name
            if name == _COUNT:
                counts = self._counts(terms, value, inner)
            elif (link := terms.links.get(name)) is None:
                at.unknown(name, (*(known or terms.links), _COUNT), f"{terms.name} has no such relation")
            elif value is not False and value is not None:
                relations.append(self._inclusion(link, {} if value is True else value, inner))
        return tuple(relations), counts

    def _inclusion(self, link: Link, given: Any, at: At) -> Inclusion:
        target = self.vocabulary[link.target]
        inner = At(at.model, at.path)
        if link.is_list:
            return Inclusion(link, self.many(target, inner.mapping(given), inner))
        found = at.named(given, ONE, "arguments")
        if "where" in found and link.holds_key and link.required:
            (at / "where").fail(f"{link.name} is required: it cannot be left out")
        query = Query(model=target.name, where=self._where(target, found, at))
        return Inclusion(link, Find(query=query, projection=self.projection(target, found, at)))

    def _counts(self, terms: Terms, given: Any, at: At) -> tuple[Count, ...]:
        lists = {name: link for name, link in terms.links.items() if link.is_list}
        if given is False or given is None:
            return ()
        if given is True:
            return tuple(Count(link, TRUE) for link in lists.values())
        wanted = at.named(given, ("select",)).get("select")
        inner = at / "select"
        counts = []
        for name, value in inner.mapping(wanted).items():
            if name not in lists:
                inner.unknown(name, lists, f"{terms.name} has no such list of records")
            if value is False or value is None:
                continue
            where: Condition = TRUE
            if value is not True:
                found = (inner / name).named(value, ("where",))
                where = self._where(self.vocabulary[lists[name].target], found, inner / name)
            counts.append(Count(lists[name], where))
        return tuple(counts)

    def unique(self, terms: Terms, given: Mapping[str, Any], at: At) -> Find:
        """What ``find_unique`` asks for."""
        found = at.named(given, ONE, "arguments")
        if "where" not in found:
            at.lacks("where")
        unique = self.filters.unique(terms, found["where"], at / "where")
        query = Query(model=terms.name, where=unique.where)
        return Find(query=query, projection=self.projection(terms, found, at))

    def shown(self, terms: Terms, found: Mapping[str, Any], at: At) -> Projection | None:
        """What a writing call shows of the record that it wrote."""
        if found.keys().isdisjoint(SHOWN):
            return None
        _check_strategy(found, at)
        return self.projection(terms, found, at)


def total(terms: Terms, order: tuple[Order, ...]) -> tuple[Order, ...]:
    """An order that no two records share a place in; the default one, where none is asked for."""
    if not order:
        return terms.default_order
    plain = {term.field for term in order if not term.path}
    return (*order, *(term for term in terms.key_order if term.field not in plain))


def _check_strategy(found: Mapping[str, Any], at: At) -> None:
    if found.get(_STRATEGY, "join") not in ("join", "query"):
        (at / _STRATEGY).fail("is neither 'join' nor 'query'")


def _flipped(order: Order) -> Order:
    return replace(order, descending=not order.descending, nulls_first=not order.nulls_first)


def direction(given: Any, at: At, nullable: bool) -> tuple[bool, bool]:
    """Whether a term of an order is descending, and whether NULLs come first."""
    nulls = None
    if isinstance(given, Mapping):
        found = at.named(given, ("sort", "nulls"))
        if "sort" not in found:
            at.fail("lacks sort")
        given, nulls = found["sort"], found.get("nulls")
        if nulls is not None and nulls not in NULLS:
            (at / "nulls").fail("is neither 'first' nor 'last'")
        if nulls is not None and not nullable:
            (at / "nulls").fail("goes with fields that can be NULL only")
    descending = _descending(given, at)
    return descending, descending if nulls is None else nulls == "first"


def _descending(value: Any, at: At) -> bool:
    if value not in DIRECTIONS:
        at.fail("is neither 'asc' nor 'desc'")
    return bool(value == "desc")
