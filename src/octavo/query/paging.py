"""All records that fulfil a condition, in pages, so that no more than one page of them is held at once.

Each page is asked for anew, after the last record of the one before it.  So records may be changed between
two pages, as long as the fields that the order is by stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterator

from octavo.layout.record import Record
from octavo.query.plan import TRUE, And, Compare, Condition, Operator, Or, Order, Query, equals
from octavo.query.protocol import Key, Reader
from octavo.query.vocabulary import Terms

PAGE = 1000
"""records of a page"""


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
        after = _after(fields, values_of(page[-1]))


def _after(fields: tuple[str, ...], values: Key) -> Condition:
    """The condition that records after one with these values fulfil."""
    return Or(
        tuple(
            And((equals(fields[:n], values[:n]), Compare(fields[n], Operator.GT, values[n])))
            for n in range(len(fields))
        )
    )
