"""What programs are made of: a few values for each field, a few filters for each of its operators.

Pools are small, so that keys collide, links are found and constraints are hit.  What can be said about a
field or a relation comes from the code that checks arguments; here is only what is said with it.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from octavo import AnyNull, DbNull, JsonNull
from octavo.query.aggregates import ALL, fields_of, group_columns
from octavo.query.filters import MODES, operators
from octavo.query.plan import Aggregate, AggregateFunction, Grouping, Query
from octavo.query.vocabulary import Column, Terms, Vocabulary
from octavo.schema.datamodel import Function
from parity.worlds import JSONS, TEXTS, values

KEYS = ("a", "B", "é/..", "con", "d", "e", "f", "g")
"""as file names they are themselves, percent-encoded and a digest; most are of no record at the beginning"""
NUMBERS = (1, 2, 3, 40, 5, 6, 7, 8)
PATHS: tuple[list[Any], ...] = (["a"], ["a", "b"], ["0"], ["b", -1], [])
COMMON = range(3)
"""the numbers of the records that a program may begin with"""
FRESH = (3, 4)
"""of those that are not there then"""


class Pools:
    """The pools of a vocabulary's models."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self.values = cache(self._values)
        self.filters = cache(self._filters)

    def keyed(self, terms: Terms) -> set[str]:
        """The fields of keys, uniques and relations."""
        uniques = {f for fields in terms.uniques.values() for f in fields}
        return uniques | {f for link in terms.links.values() for f in link.fields}

    def foreign(self, terms: Terms) -> list[str]:
        """The fields of foreign keys."""
        return [f for link in terms.links.values() if link.holds_key for f in link.fields]

    def _values(self, terms: Terms, column: Column) -> list[Any]:
        """Values to be written, but for NULL; of a list, to its elements."""
        if column.name in self.keyed(terms) and column.one.is_text:
            return list(KEYS)
        if column.name in self.keyed(terms) and column.field.type in ("Int", "BigInt"):
            return list(NUMBERS)
        return few(values(column, self.vocabulary))

    def null(self, column: Column) -> Any:
        """NULL, as it is written; for a field that may have it."""
        return DbNull if column.field.is_json and not column.field.is_list else None

    def stable(self, terms: Terms) -> list[Column]:
        """The fields that are the same however often a program is run, and have values."""
        return [c for c in terms.usable.values() if not c.field.updated_at and self.values(terms, c)]

    def plain(self, terms: Terms) -> list[str]:
        """Those that order and tell records apart."""
        return [c.name for c in self.stable(terms) if not (c.field.is_json or c.field.is_list)]

    def must_be_given(self, column: Column) -> bool:
        """Whether a value would otherwise lack, or be made up."""
        return column.needed or isinstance(column.field.default, Function)

    # Filters

    def _filters(self, terms: Terms, column: Column) -> dict[str, list[dict[str, Any]]]:
        """By operator, filters of a field."""
        found: dict[str, list[dict[str, Any]]] = {}
        known = operators(column)
        modifiers = [name for name in known if name in ("mode", "path")]
        for name in (n for n in known if n not in modifiers):
            found[name] = [{name: operand} for operand in self._operands(terms, column, name)]
        for name in modifiers:
            settings = MODES if name == "mode" else PATHS
            plain = [filters[: len(settings)] for filters in found.values()]
            found[name] = [
                f | {name: s} for filters in plain for f, s in zip(filters, settings, strict=False)
            ]
        return found

    def _operands(self, terms: Terms, column: Column, operator: str) -> list[Any]:
        field = column.field
        own = few(values(column, self.vocabulary, operand=True))
        if column.name in self.keyed(terms):
            own = self.values(terms, column)[: FRESH[0] + 1]
        if operator == "is_empty":
            return [True, False]
        if operator in ("in", "not_in", "has_every", "has_some") or (field.is_list and operator == "equals"):
            return [own[:1], own[1:3], [], own]
        if field.is_json and not field.is_list:
            if operator.startswith("string_"):
                return few(TEXTS)
            nulls = [DbNull, JsonNull, AnyNull] if operator in ("equals", "not") else []
            return [*few(JSONS), *nulls]
        if operator.endswith(("contains", "_with")):
            return few(TEXTS)
        return [*own, None] if field.nullable and operator in ("equals", "not") else own

    # Aggregates

    def aggregated(self, terms: Terms, function: AggregateFunction) -> list[str]:
        """The fields that a function is asked of."""
        stable = {c.name for c in self.stable(terms)} | {ALL}
        return [name for name in fields_of(terms, function) if name in stable]

    def having(self, terms: Terms, function: AggregateFunction, name: str) -> list[dict[str, Any]]:
        """Filters of an aggregate of a field."""
        aggregate = Aggregate(function, name)
        grouping = Grouping(query=Query(model=terms.name), aggregates=(aggregate,))
        column = group_columns(self.vocabulary, grouping)[aggregate.name]
        some = values(column, self.vocabulary, operand=True)[:4]
        ordered = ("gt", "lte") if column.one.is_ordered else ()
        return [{name: value} for name in ("equals", "not", *ordered) for value in some]

    # Records

    def alone(self, terms: Terms) -> set[tuple[str, ...]]:
        """What is a unique by itself."""
        return {fields for fields in terms.uniques.values() if len(fields) == 1}

    def row(self, terms: Terms, number: int) -> dict[str, Any]:
        """All fields of a record, for each number another one.

        One that is not fresh points at those of its number; a fresh one at two that are not, as far as there
        is place for another one at them.
        """
        foreign = self.foreign(terms)
        row: dict[str, Any] = {}
        for column in self.stable(terms):
            pool, place = self.values(terms, column), number
            if column.name in foreign and number in FRESH and (column.name,) not in self.alone(terms):
                place = (number + foreign.index(column.name)) % len(COMMON)
            row[column.name] = pool[: number % 3] if column.field.is_list else pool[place % len(pool)]
        return row

    def named(self, terms: Terms, row: dict[str, Any]) -> list[dict[str, Any]]:
        """How a record can be named, in each way there is."""
        found = []
        for name, fields in terms.uniques.items():
            key = {f: row[f] for f in fields}
            found.append(key if len(fields) == 1 else {name: key})
        return found


def few(pool: list[Any]) -> list[Any]:
    """The first values of a pool, and some of the rest."""
    return pool[:4] + pool[4::5]
