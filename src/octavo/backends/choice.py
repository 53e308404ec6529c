"""What a query makes of candidates: which of them it finds, in which order, and which part of that."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from octavo.layout.record import Record
from octavo.query.evaluate import Evaluator
from octavo.query.plan import TRUE, Condition, Query
from octavo.query.vocabulary import Vocabulary

_PRUNED = 1_000
"""records behind the last one that is asked for that are held before they are dropped"""


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
    if first.field != "createdAt" or first.field not in terms.columns:
        return None
    column = terms.columns[first.field]
    if column.field.type != "DateTime" or column.field.nullable or column.field.is_list:
        return None
    if tuple(o.field for o in rest) != terms.key or len({o.descending for o in rest}) != 1:
        return None
    if any(terms.columns[name].key is not None for name in terms.key):
        return None
    return column.sort_key, first.descending, rest[0].descending
