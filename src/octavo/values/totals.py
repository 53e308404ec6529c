"""Sums and averages, as PostgreSQL computes them.

A sum of whole numbers and of decimals is exact.  A sum of floats depends on the order of its terms, which is
the caller's.  An average of decimals has the scale of a quotient of ``numeric``; one of whole numbers is that
quotient as a float.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from decimal import Decimal, localcontext
from typing import Any

from msgspec import Raw, Struct
from msgspec.structs import replace

from octavo.schema.datamodel import NativeType
from octavo.schema.native import DEFAULT_NATIVE
from octavo.values.base import ValueType
from octavo.values.number import EXACT, checked, computed, printed, single, whole_number
from octavo.values.registry import of_native


class Total(Struct, frozen=True):
    """A sum or an average of one column's values."""

    kind: ValueType
    """the type of the outcome"""
    sql: str
    """the aggregate in SQL, with ``{value}``, and ``{order}`` where the order of the terms matters"""
    of: Callable[[Sequence[Any]], Any]
    """from values in stored form, at least one and none of them NULL.  Raises ValueError where the outcome
    is out of range"""

    @property
    def is_ordered(self) -> bool:
        return "{order}" in self.sql


class Totals(Struct, frozen=True):
    """What can be computed of the values of a column of numbers."""

    sum: Total
    average: Total


def totals(kind: ValueType) -> Totals | None:
    """The sum and the average of values of a type; None if they are no numbers."""
    match kind.summed:
        case "whole":
            return Totals(Total(_WHOLE, "sum({value})::bigint", sum), _MEAN_OF_WHOLE)
        case "big":
            total = Total(_BIG, "sum({value})", lambda values: str(sum(map(int, values))))
            return Totals(total, _MEAN_OF_WHOLE)
        case "decimal":
            return Totals(
                Total(_DECIMAL, "sum({value})", lambda values: _in_range(_decimal_sum(values))),
                Total(_DECIMAL, "avg({value})", _mean_of_decimals),
            )
        case "double" | "single":
            exactly = float if kind.summed == "double" else single
            return Totals(
                Total(kind, "sum({value}{order})", _float_sum(kind, exactly)),
                Total(_DOUBLE, "avg({value}{order})", _float_mean(kind, exactly)),
            )
    return None


_DOUBLE = of_native(DEFAULT_NATIVE["Float"])
_DECIMAL = of_native(NativeType("Decimal"))
_WHOLE = replace(whole_number(-(2**63), 2**63 - 1), sql="bigint")
_BIG = replace(of_native(NativeType("BigInt")), sql="numeric")
"""a sum of 64-bit numbers, which may have more bits"""


def _decimal_sum(values: Sequence[str]) -> Decimal:
    with localcontext(EXACT) as context:
        context.clear_traps()
        return sum((Decimal(value) for value in values), Decimal(0))


def _quotient(total: Decimal, number: int) -> Decimal:
    with localcontext(EXACT):
        return computed("divide", total, Decimal(number))


def _in_range(number: Decimal) -> str:
    return printed(checked(number, may_be_infinite=True))


def _mean_of_decimals(values: Sequence[str]) -> str:
    return printed(_quotient(_decimal_sum(values), len(values)))


def _mean_of_whole(values: Sequence[Any]) -> Raw:
    return _as_double(float(_quotient(Decimal(sum(map(int, values))), len(values))))


def _as_double(number: float) -> Raw:
    found: Raw = _DOUBLE.write(number)
    return found


def _float_sum(kind: ValueType, rounded: Callable[[float], float]) -> Callable[[Sequence[Raw]], Raw]:
    read = kind.read
    assert read is not None

    def add(values: Sequence[Raw]) -> Raw:
        numbers = [rounded(read(value)) for value in values]
        total = numbers[0]
        for number in numbers[1:]:
            before, total = total, rounded(total + number)
            if math.isinf(total) and not (math.isinf(before) or math.isinf(number)):
                raise ValueError("is too large")
        found: Raw = kind.write(total)
        return found

    return add


def _float_mean(kind: ValueType, exactly: Callable[[float], float]) -> Callable[[Sequence[Raw]], Raw]:
    """PostgreSQL accumulates the squares of differences too, and refuses what is too large for them."""
    read = kind.read
    assert read is not None

    def mean(values: Sequence[Raw]) -> Raw:
        total = squares = 0.0
        for count, value in enumerate(values, 1):
            number = exactly(read(value))
            before, total = total, total + number
            if count == 1:
                squares = 0.0 if math.isfinite(number) else math.nan
                continue
            distance = number * count - total
            squares += distance * distance / (count * (count - 1.0))
            if math.isinf(total) or math.isinf(squares):
                if not (math.isinf(before) or math.isinf(number)):
                    raise ValueError("is too large")
                squares = math.nan
        return _as_double(total / len(values))

    return mean


_MEAN_OF_WHOLE = Total(_DOUBLE, "avg({value})::float8", _mean_of_whole)
