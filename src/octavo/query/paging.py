"""Where a query begins: at a place in its order, or after one page of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from octavo.layout.record import Record
from octavo.query.filters import both
from octavo.query.plan import (
    FALSE,
    TRUE,
    And,
    Compare,
    CompareCount,
    Condition,
    IsNull,
    Not,
    Operator,
    Or,
    Order,
    Query,
    Related,
    equals,
)
from octavo.query.protocols import Key, Reader
from octavo.query.vocabulary import Terms

PAGE = 1000
"""records of a page"""


def from_here(places: list[tuple[Order, tuple[Any, bool]]]) -> Condition:
    """At this place of an order, or after it."""
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
    beyond = _compare(order, operator, value)
    return beyond if order.nulls_first or order.field is None else Or((beyond, _is_null(order)))


def _same(order: Order, value: Any, null: bool) -> Condition:
    if null:
        return _is_null(order)
    return _compare(order, Operator.EQUALS, value)


def _is_null(order: Order) -> Condition:
    """NULL, or a relation on the way has no record."""
    if not order.path:
        return IsNull(str(order.field))
    return Not(_over(order, lambda field: Not(IsNull(field))))


def _compare(order: Order, operator: Operator, value: Any) -> Condition:
    if order.field is None:
        return CompareCount(order.path, operator, value)
    return _over(order, lambda field: Compare(field, operator, value))


def _over(order: Order, condition: Callable[[str], Condition]) -> Condition:
    """A condition on the field that the path of an order leads to."""
    found = condition(str(order.field))
    for link in reversed(order.path):
        found = Related(link, found)
    return found


def pages(
    reader: Reader, terms: Terms, where: Condition = TRUE, *, first: tuple[str, ...] = (), size: int = PAGE
) -> Iterator[list[Record]]:
    """The records of a model by key, or by the fields ``first`` (none of which may be NULL) and then by key;
    at most ``size`` at a time, and never none."""
    fields = tuple(dict.fromkeys((*first, *terms.key)))
    order, values_of = tuple(Order(name) for name in fields), terms.getter(fields)
    after: Condition = TRUE
    while True:
        page = reader.select(Query(model=terms.name, where=And((where, after)), order=order, take=size))
        if page:
            yield page
        if len(page) < size:
            return
        after = _beyond(fields, values_of(page[-1]))


def _beyond(fields: tuple[str, ...], values: Key) -> Condition:
    """The condition that records after one with these values fulfil."""
    return Or(
        tuple(
            And((equals(fields[:n], values[:n]), Compare(fields[n], Operator.GT, values[n])))
            for n in range(len(fields))
        )
    )
