"""What an update does to a value, as PostgreSQL computes it, on stored values."""

from __future__ import annotations

import math
import operator
import struct
from collections.abc import Callable
from decimal import ROUND_HALF_UP, Context, Decimal, localcontext
from typing import Any

import msgspec

from octavo.layout.compare import is_null
from octavo.layout.values import read_float
from octavo.layout.writing import INTEGER_RANGES, decimal_text, double_raw, real_raw
from octavo.schema.datamodel import ScalarField
from octavo.schema.sql import native_type

_EXACT = Context(prec=400_000, rounding=ROUND_HALF_UP, Emax=999_999, Emin=-999_999)


def changed(field: ScalarField, kind: str, stored: Any, operand: Any) -> Any:
    """The value of a field after a change (``octavo.query.plan.ChangeKind``) whose operand is in stored form.

    Raises ValueError where the outcome does not fit the column.
    """
    if kind == "set":
        return operand
    if kind == "push":
        return [*(stored or ()), *operand]
    if is_null(field, stored):
        return stored
    native = native_type(field)
    if field.type == "Float":
        return _float(kind, stored, operand, native.name)
    if field.type == "Decimal":
        with localcontext(_EXACT):
            return decimal_text(_decimal(kind, stored, operand), native)
    number = _whole(kind, int(stored), int(operand))
    lowest, highest = INTEGER_RANGES[native.name]
    if not lowest <= number <= highest:
        raise ValueError("is out of range")
    return str(number) if native.name == "BigInt" else number


_OPERATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "increment": operator.add,
    "decrement": operator.sub,
    "multiply": operator.mul,
    "divide": operator.truediv,
}


def _whole(kind: str, left: int, right: int) -> int:
    if kind != "divide":
        return int(_OPERATIONS[kind](left, right))
    quotient = abs(left) // abs(right)
    return quotient if (left < 0) == (right < 0) else -quotient


def _float(kind: str, stored: Any, operand: Any, native: str) -> msgspec.Raw:
    left, right = _read(stored, native), _read(operand, native)
    result = _OPERATIONS[kind](left, right)
    if math.isinf(result) and not (math.isinf(left) or math.isinf(right)):
        raise ValueError("is too large")
    if not result and left and kind in ("multiply", "divide") and right and not math.isinf(right):
        raise ValueError("is too small")
    return real_raw(result) if native == "Real" else double_raw(result)


def _read(stored: Any, native: str) -> float:
    number = read_float(stored)
    assert number is not None
    if native == "Real" and math.isfinite(number):
        # What is printed is near enough to tell the number, and not the number itself.
        single: float = struct.unpack("f", struct.pack("f", number))[0]
        return single
    return number


def _decimal(kind: str, stored: str, operand: str) -> Decimal:
    left, right = Decimal(stored), Decimal(operand)
    if left.is_nan() or right.is_nan():
        return Decimal("NaN")
    if not (left.is_finite() and right.is_finite()):
        return _infinite(kind, left, right)
    if kind != "divide":
        result: Decimal = _OPERATIONS[kind](left, right)
        return result
    if not right:
        raise ValueError("is divided by zero")
    with localcontext(_EXACT) as context:
        scale = _quotient_scale(left, right)
        # Enough digits that rounding to the scale is rounding the quotient itself.
        context.prec = max(50, left.adjusted() - right.adjusted() + scale + 50)
        return (left / right).quantize(Decimal(1).scaleb(-scale))


def _infinite(kind: str, left: Decimal, right: Decimal) -> Decimal:
    if kind == "divide" and right.is_infinite():
        return Decimal("NaN") if left.is_infinite() else Decimal(0)
    with localcontext(_EXACT) as context:
        context.clear_traps()
        result: Decimal = _OPERATIONS[kind](left, right)
        return result


_DIGITS = 4
"""of a digit of ``numeric``, which counts to 10000"""
_SIGNIFICANT = 16


def _quotient_scale(left: Decimal, right: Decimal) -> int:
    """How many digits behind the point PostgreSQL gives a quotient (``select_div_scale``): at least sixteen
    significant ones, and no fewer than either operand has."""
    weights = _weight(left), _weight(right)
    weight = weights[0] - weights[1]
    if _first(left, weights[0]) <= _first(right, weights[1]):
        weight -= 1
    scale = _SIGNIFICANT - weight * _DIGITS
    return min(1000, max(scale, _scale(left), _scale(right), 0))


def _weight(number: Decimal) -> int:
    return number.adjusted() // _DIGITS if number else 0


def _first(number: Decimal, weight: int) -> int:
    """The first digit, to the base of 10000."""
    return int(abs(number).scaleb(-weight * _DIGITS)) if number else 0


def _scale(number: Decimal) -> int:
    exponent = number.as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0
