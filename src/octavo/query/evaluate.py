"""Conditions and orders over records in memory, as PostgreSQL would decide them.

For a backend whose records are at hand: :meth:`Evaluator.condition` gives a function from a record to True,
False or None (unknown), :meth:`Evaluator.order` a sort key.  How to get at linked records is the backend's
affair, and so is finding candidates by an index.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeAlias

import msgspec

from octavo.layout.record import Record
from octavo.query.plan import (
    TRUE,
    And,
    Compare,
    CompareCount,
    Condition,
    IsNull,
    JsonOperator,
    JsonTest,
    Link,
    ListOperator,
    ListTest,
    Not,
    OneOf,
    Operator,
    Or,
    Order,
    Other,
    Related,
)
from octavo.query.vocabulary import Column, Vocabulary
from octavo.values.json import (
    at_path,
    contains,
    elements_of,
    equality_key,
    jsonb_text,
    kind_of,
    order_key,
    string_of,
)
from octavo.values.text import lower

Truth: TypeAlias = bool | None
Test: TypeAlias = Callable[[Any], Truth]
Linked: TypeAlias = Callable[[Link, Record], Iterable[Record]]
"""From a record of ``link.model`` to the records that are linked to it."""

_ORDERING: dict[str, Callable[[Any, Any], bool]] = {
    "equals": operator.eq,
    "lt": operator.lt,
    "lte": operator.le,
    "gt": operator.gt,
    "gte": operator.ge,
}


@lru_cache(256)
def _like(pattern: str) -> re.Pattern[str]:
    """A pattern of SQL's LIKE: ``%`` is any text, ``_`` any character, after ``\\`` each is itself."""
    parts = re.findall(r"\\.|.", pattern, re.DOTALL)
    return re.compile("".join(_WILDCARDS.get(p) or re.escape(p[-1]) for p in parts), re.DOTALL)


_WILDCARDS = {"%": ".*", "_": "."}
_TEXTS: dict[str, Callable[[str, str], bool]] = {
    "contains": operator.contains,
    "starts_with": str.startswith,
    "ends_with": str.endswith,
    "like": lambda text, pattern: _like(pattern).fullmatch(text) is not None,
}


class Evaluator:
    """Decides conditions on one state of the data."""

    def __init__(self, vocabulary: Vocabulary, linked: Linked) -> None:
        self.vocabulary, self.linked = vocabulary, linked

    def condition(self, model: str, condition: Condition) -> Test:
        """The function that decides a condition for records of a model."""
        return self.test(self.vocabulary[model].columns, condition)

    def test(self, columns: Mapping[str, Column], condition: Condition) -> Test:
        """The function that decides a condition for what has these columns."""
        match condition:
            case And() | Or():
                tests = [self.test(columns, part) for part in condition.parts]
                return _and(tests) if isinstance(condition, And) else _or(tests)
            case Not():
                return _not(self.test(columns, condition.part))
            case Related():
                return self._related(condition)
            case CompareCount(path=path, value=value):
                decide = _ORDERING[condition.op]
                return lambda record: decide(self._number(path, record), value)
        return _field_test(columns, condition)

    def _related(self, condition: Related) -> Test:
        link, linked = condition.link, self.linked
        if condition.where == TRUE:
            return lambda record: any(True for _ in linked(link, record))
        inner = self.condition(link.target, condition.where)
        terms = self.vocabulary[link.model]
        if not link.holds_key or any(terms.columns[f].key is not None for f in link.fields):
            return lambda record: any(inner(other) is True for other in linked(link, record))
        key_of = terms.getter(link.fields)
        known: dict[Any, bool] = {}

        def test(record: Record) -> Truth:
            # Many records have the same parent.
            key = key_of(record)
            truth = known.get(key)
            if truth is None:
                truth = known[key] = any(inner(other) is True for other in linked(link, record))
            return truth

        return test

    def order(self, model: str, order: Sequence[Order]) -> Callable[[list[Record]], None]:
        """The function that sorts records of a model in place."""
        return self.sorting(self.vocabulary[model].columns, order)

    def sorting(self, columns: Mapping[str, Column], order: Sequence[Order]) -> Callable[[list[Any]], None]:
        """The function that sorts in place what has these columns."""
        keys = [(self._order_key(columns, term), term.descending) for term in order]

        def sort(records: list[Any]) -> None:
            for key, descending in reversed(keys):
                records.sort(key=key, reverse=descending)

        return sort

    def _order_key(self, columns: Mapping[str, Column], order: Order) -> Callable[[Any], Any]:
        if order.field is None:
            return lambda record: self._number(order.path, record)
        if order.path:
            columns = self.vocabulary[order.path[-1].target].columns
        column = columns[order.field]
        if not order.path and not column.field.nullable:
            return column.sort_key
        # Sorted backwards, what is to come first must be the greatest.
        null = (order.nulls_first == order.descending,)
        value = (not null[0],)

        def key(record: Record) -> tuple[Any, ...]:
            found = self._follow(order.path, record)
            if found is None or column.is_null(stored := column.stored(found)):
                return null
            return (*value, column.comparable(stored))

        return key

    def _follow(self, path: Sequence[Link], record: Record) -> Record | None:
        for link in path:
            found = next(iter(self.linked(link, record)), None)
            if found is None:
                return None
            record = found
        return record

    def _number(self, path: Sequence[Link], record: Record) -> int:
        found = self._follow(path[:-1], record)
        return 0 if found is None else sum(1 for _ in self.linked(path[-1], found))

    def distinct(self, model: str, fields: Sequence[str], records: Iterable[Record]) -> list[Record]:
        """Of records that agree in these fields, the first."""
        columns = [self.vocabulary[model].columns[f] for f in fields]
        found: dict[tuple[Any, ...], Record] = {}
        for record in records:
            found.setdefault(tuple(mark(c, c.stored(record)) for c in columns), record)
        return list(found.values())


def _field_test(
    columns: Mapping[str, Column], condition: IsNull | Compare | OneOf | ListTest | JsonTest
) -> Test:
    column = columns[condition.field]
    match condition:
        case IsNull():
            return lambda record: column.is_null(column.stored(record))
        case Compare(value=Other() as other):
            return _compare_other(column, columns[other.field], condition)
        case Compare():
            return _compare(column, condition)
        case OneOf(values=Other() as other):
            return _one_of_other(column, columns[other.field], condition.insensitive)
        case OneOf():
            return _one_of(column, condition)
        case ListTest():
            return _list_test(column, condition, columns)
        case JsonTest(value=Other() as other):
            return _json_equals_other(column, columns[other.field], condition.path)
    return _json_test(column, condition)


def mark(column: Column, stored: Any) -> Any:
    """What values have in common that agree, as NULL does with NULL."""
    return () if column.is_null(stored) else (column.comparable(stored),)


def _and(tests: list[Test]) -> Test:
    def decide(record: Record) -> Truth:
        found: Truth = True
        for test in tests:
            truth = test(record)
            if truth is False:
                return False
            if truth is None:
                found = None
        return found

    return tests[0] if len(tests) == 1 else decide


def _or(tests: list[Test]) -> Test:
    def decide(record: Record) -> Truth:
        found: Truth = False
        for test in tests:
            truth = test(record)
            if truth is True:
                return True
            if truth is None:
                found = None
        return found

    return tests[0] if len(tests) == 1 else decide


def _not(test: Test) -> Test:
    def decide(record: Record) -> Truth:
        truth = test(record)
        return None if truth is None else not truth

    return decide


def _folded(column: Column, insensitive: bool) -> Callable[[Any], Any]:
    """From a stored value to what is compared."""
    if not insensitive:
        return column.comparable
    return lambda value: lower(column.comparable(value))


def _compare(column: Column, condition: Compare) -> Test:
    decide = _ORDERING.get(condition.op)
    key = _folded(column, condition.insensitive)
    if decide is None:
        decide = _TEXTS[condition.op]
        key = lower if condition.insensitive or column.one.is_caseless else _as_it_is
    operand, read, is_null = key(condition.value), column.stored, column.is_null
    if condition.op is Operator.EQUALS and key == column.comparable and column.key is None:
        return lambda record: None if (value := read(record)) is None else value == operand

    if not column.field.nullable and key is _as_it_is:
        return lambda record: decide(read(record), operand)

    def test(record: Record) -> Truth:
        value = read(record)
        return None if is_null(value) else decide(key(value), operand)

    return test


def _compare_other(column: Column, other: Column, condition: Compare) -> Test:
    decide = _ORDERING.get(condition.op)
    keys = [c.one.across_key for c in (column, other)]
    if decide is None:
        decide = _TEXTS[condition.op]
        keys = [_as_it_is, _as_it_is]
    if condition.insensitive or (column.one.is_caseless and condition.op in _TEXTS):
        keys = [_lowered(key) for key in keys]
    one, two = keys

    def test(record: Record) -> Truth:
        left, right = column.stored(record), other.stored(record)
        if column.is_null(left) or other.is_null(right):
            return None
        return decide(one(left), two(right))

    return test


def _lowered(key: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: lower(key(value))


def _as_it_is(value: Any) -> Any:
    return value


def _one_of_other(column: Column, other: Column, insensitive: bool) -> Test:
    one, two = ((_lowered(k) if insensitive else k) for k in (column.one.across_key, other.one.across_key))
    is_null = other.one.is_null

    def test(record: Record) -> Truth:
        value, values = column.stored(record), other.stored(record)
        if column.is_null(value) or other.is_null(values):
            return None
        if any(not is_null(v) and two(v) == one(value) for v in values):
            return True
        return None if any(map(is_null, values)) else False

    return test


def _one_of(column: Column, condition: OneOf) -> Test:
    assert isinstance(condition.values, tuple)
    if not condition.values:
        return lambda record: False
    key, read = _folded(column, condition.insensitive), column.stored
    operands = frozenset(key(value) for value in condition.values)

    def test(record: Record) -> Truth:
        value = read(record)
        return None if column.is_null(value) else key(value) in operands

    return test


def _list_test(column: Column, condition: ListTest, columns: Mapping[str, Column]) -> Test:
    marks = _marks(column)
    wanted_of = _wanted(column, condition.values, columns)

    def test(record: Record) -> Truth:
        there, wanted = marks(column.stored(record)), wanted_of(record)
        if there is None or wanted is None:
            return None
        if condition.op is ListOperator.EQUALS:
            return there == wanted
        found = (value in there for value in wanted)
        return all(found) if condition.op is ListOperator.HAS_EVERY else any(found)

    return test


def _marks(column: Column) -> Callable[[Any], list[Any] | None]:
    """From a list to what its elements compare by: None of NULL, and of a list that is NULL."""
    key, is_null = column.one.across_key, column.one.is_null
    return lambda values: None if values is None else [None if is_null(v) else key(v) for v in values]


def _wanted(
    column: Column, values: tuple[Any, ...] | Other, columns: Mapping[str, Column]
) -> Callable[[Record], list[Any] | None]:
    """From a record to what a list is tested for; NULL is not in any list."""
    if isinstance(values, Other):
        other = columns[values.field]
        marks = _marks(other)
        return lambda record: marks(other.stored(record))
    if values and isinstance(values[0], Other):
        one = columns[values[0].field]
        key = one.one.across_key

        def wanted(record: Record) -> list[Any]:
            value = one.stored(record)
            return [_ABSENT if one.is_null(value) else key(value)]

        return wanted
    key_of = column.one.across_key
    given = [key_of(value) for value in values]
    return lambda record: given


_ABSENT = object()


def _json_test(column: Column, condition: JsonTest) -> Test:
    decide = _JSON.get(condition.op)

    def test(record: Record) -> Truth:
        stored = column.stored(record)
        found = None
        if not column.is_null(stored):
            found = at_path(jsonb_text(bytes(stored)), condition.path)
        if condition.op is JsonOperator.MISSING:
            return found is None
        if found is None or decide is None:
            return None
        return decide(found, condition.value, condition.insensitive)

    return test


def _json_equals_other(column: Column, other: Column, path: tuple[str, ...]) -> Test:
    def test(record: Record) -> Truth:
        left, right = column.stored(record), other.stored(record)
        if column.is_null(left) or other.is_null(right):
            return None
        found = at_path(jsonb_text(bytes(left)), path)
        return None if found is None else equality_key(found) == equality_key(jsonb_text(bytes(right)))

    return test


def _json_equals(found: bytes, value: msgspec.Raw, _: bool) -> bool:
    return equality_key(found) == equality_key(bytes(value))


def _json_ordering(decide: Callable[[Any, Any], bool]) -> Callable[[bytes, Any, bool], bool]:
    def test(found: bytes, value: msgspec.Raw, _: bool) -> bool:
        operand = bytes(value)
        return kind_of(found) == kind_of(operand) and decide(order_key(found), order_key(operand))

    return test


def _json_string(decide: Callable[[str, str], bool]) -> Callable[[bytes, Any, bool], bool]:
    def test(found: bytes, value: str, insensitive: bool) -> bool:
        text = string_of(found)
        if text is None:
            return False
        return decide(lower(text), lower(value)) if insensitive else decide(text, value)

    return test


def _json_contains(found: bytes, value: msgspec.Raw, _: bool) -> bool:
    return kind_of(found) == "array" and contains(found, bytes(value))


def _json_end(place: int) -> Callable[[bytes, Any, bool], bool]:
    def test(found: bytes, value: msgspec.Raw, _: bool) -> bool:
        elements = elements_of(found)
        return bool(elements) and _json_equals(elements[place], value, False)

    return test


_JSON: dict[JsonOperator, Callable[[bytes, Any, bool], bool]] = {
    JsonOperator.EQUALS: _json_equals,
    JsonOperator.LT: _json_ordering(operator.lt),
    JsonOperator.LTE: _json_ordering(operator.le),
    JsonOperator.GT: _json_ordering(operator.gt),
    JsonOperator.GTE: _json_ordering(operator.ge),
    JsonOperator.STRING_CONTAINS: _json_string(operator.contains),
    JsonOperator.STRING_STARTS_WITH: _json_string(str.startswith),
    JsonOperator.STRING_ENDS_WITH: _json_string(str.endswith),
    JsonOperator.STRING_LIKE: _json_string(_TEXTS["like"]),
    JsonOperator.ARRAY_CONTAINS: _json_contains,
    JsonOperator.ARRAY_STARTS_WITH: _json_end(0),
    JsonOperator.ARRAY_ENDS_WITH: _json_end(-1),
}
