"""Numbers.  Whole numbers of 32 bits and floats are JSON numbers; BigInt and Decimal are strings of digits,
as PostgreSQL prints them, so that no reader of JSON loses one.

Arithmetic and rounding are PostgreSQL's: ``numeric`` rounds half away from zero, NaN is the greatest number.
"""

from __future__ import annotations

import math
import operator
import re
import struct
from collections.abc import Callable
from decimal import (
    ROUND_DOWN,
    ROUND_HALF_EVEN,
    ROUND_HALF_UP,
    ROUND_UP,
    Context,
    Decimal,
    InvalidOperation,
    localcontext,
)
from typing import Annotated, Any

import msgspec
from msgspec.structs import replace

from octavo.text import pattern
from octavo.values.base import (
    TYPES,
    Unfit,
    ValueType,
    cast_text,
    line_as_printed,
    line_as_text,
    matching,
    quoted,
    wrong,
)

_OPERATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "increment": operator.add,
    "decrement": operator.sub,
    "multiply": operator.mul,
    "divide": operator.truediv,
}


def _default_key(text: str) -> Any:
    try:
        return Decimal(text.replace("$", "").replace(",", ""))
    except InvalidOperation:
        return text


# Whole numbers.


def whole_number(lowest: int, highest: int) -> ValueType:
    """The type of whole numbers that are numbers in JSON, within these bounds."""

    def write(value: Any) -> int:
        if type(value) is not int:
            if not isinstance(value, int) or isinstance(value, bool):
                raise wrong(value, "a whole number")
            value = int(value)
        if not lowest <= value <= highest:
            raise Unfit(f"is out of range ({lowest} to {highest})")
        return value  # type: ignore[no-any-return]

    def compute(kind: str, stored: int, by: int) -> int:
        if kind == "divide":
            number = abs(stored) // abs(by) * (1 if (stored < 0) == (by < 0) else -1)
        else:
            number = _OPERATIONS[kind](stored, by)
        if not lowest <= number <= highest:
            raise Unfit("is out of range")
        return number

    return ValueType(
        json_sql=cast_text,
        line_sql=line_as_printed,
        decoded=Annotated[int, msgspec.Meta(ge=lowest, le=highest)],
        text=lambda value: b"%d" % value,
        printed=True,
        write=write,
        compute=compute,
        default_key=_default_key,
        summed="whole",
        is_ordered=True,
        schema={"type": "integer", "minimum": lowest, "maximum": highest},
    )


_BIGINT = "0|-?[1-9][0-9]{0,18}"
_IS_BIGINT = pattern(_BIGINT)


def _bigint_text(value: str) -> bytes:
    if not _IS_BIGINT.fullmatch(value) or not -(2**63) <= int(value) < 2**63:
        raise ValueError("is not a 64-bit whole number in a string")
    return value.encode()


def _bigint() -> ValueType:
    whole = whole_number(-(2**63), 2**63 - 1)
    write, compute = whole.write, whole.compute
    assert compute is not None
    return ValueType(
        json_sql=quoted,
        line_sql=line_as_text,
        text=_bigint_text,
        printed=True,
        strict=True,
        read=int,
        write=lambda value: str(write(value)),
        key=int,
        file_key=int,
        compute=lambda kind, stored, by: str(compute(kind, int(stored), int(by))),
        default_key=_default_key,
        summed="big",
        is_ordered=True,
        schema=matching(_BIGINT),
    )


# Decimals.

_DECIMAL = r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?|NaN|-?Infinity"
_IS_DECIMAL = pattern(_DECIMAL)
_IS_SPELLED = pattern(
    r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,9})?|NaN|-?Infinity", re.ASCII
)
_ROUNDING = Context(prec=200_000, rounding=ROUND_HALF_UP, Emax=400_000, Emin=-400_000)
EXACT = Context(prec=400_000, rounding=ROUND_HALF_UP, Emax=999_999, Emin=-999_999)
MOST_DIGITS, MOST_FRACTION = 131_072, 16_383
"""of ``numeric``: before the point, and after it"""
_MONEY = (Decimal("-92233720368547758.08"), Decimal("92233720368547758.07"))


def _decimal_text(value: str) -> bytes:
    if not _IS_DECIMAL.fullmatch(value):
        raise ValueError("is not a decimal number in a string")
    return value.encode()


def _decimal_key(text: str) -> tuple[bool, Decimal]:
    return (True, Decimal()) if text == "NaN" else (False, Decimal(text))


def _given(value: Any) -> Decimal:
    if isinstance(value, str):
        if not _IS_SPELLED.fullmatch(value):
            raise ValueError("is not a decimal number")
        return Decimal(value)
    if isinstance(value, float):
        return Decimal(repr(value))
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise wrong(value, "a decimal number")
    return Decimal(value)


def checked(number: Decimal, *, may_be_infinite: bool = False) -> Decimal:
    """A number that ``numeric`` can hold.  Raises ValueError."""
    if number.is_infinite() and not may_be_infinite:
        raise Unfit("is infinite, which its column cannot hold")
    if number and number.is_finite() and number.adjusted() >= MOST_DIGITS:
        raise Unfit("is out of PostgreSQL's range")
    return number


def printed(number: Decimal) -> str:
    """A number as PostgreSQL prints it."""
    if not number.is_finite():
        return "NaN" if number.is_nan() else "Infinity" if number > 0 else "-Infinity"
    # PostgreSQL has no negative zero.
    return f"{number if number else number.copy_abs():f}"


def _any_decimal(number: Decimal) -> str:
    exponent = checked(number, may_be_infinite=True).as_tuple().exponent
    if isinstance(exponent, int) and exponent < -MOST_FRACTION:
        raise ValueError(f"has more than {MOST_FRACTION} digits after the point")
    return printed(number)


def _scaled(precision: int, scale: int) -> Callable[[Decimal], str]:
    unit = Decimal(1).scaleb(-scale)

    def fitted(number: Decimal) -> str:
        if number.is_nan():
            return "NaN"
        rounded = checked(number).quantize(unit, context=_ROUNDING)
        if rounded and rounded.adjusted() >= precision - scale:
            raise Unfit(f"has more than {precision - scale} digits before the point")
        return printed(rounded)

    return fitted


def _money(number: Decimal) -> str:
    if number.is_nan():
        raise ValueError("is NaN, which money does not have")
    rounded = checked(number).quantize(Decimal("0.01"), context=_ROUNDING)
    if not _MONEY[0] <= rounded <= _MONEY[1]:
        raise Unfit("is out of range")
    return printed(rounded)


def _decimal_type(fitted: Callable[[Decimal], str]) -> ValueType:
    def compute(kind: str, stored: str, by: str) -> str:
        with localcontext(EXACT):
            return fitted(computed(kind, Decimal(stored), Decimal(by)))

    return ValueType(
        json_sql=quoted,
        line_sql=line_as_text,
        text=_decimal_text,
        printed=True,
        strict=True,
        read=Decimal,
        write=lambda value: fitted(_given(value)),
        write_operand=lambda value: _any_decimal(_given(value)),
        key=_decimal_key,
        identity=_decimal_key,
        file_key=_decimal_key,
        compute=compute,
        default_key=_default_key,
        summed="decimal",
        is_ordered=True,
        equal_spellings=True,
        schema=matching(_DECIMAL),
    )


def computed(kind: str, left: Decimal, right: Decimal) -> Decimal:
    """What PostgreSQL computes of two numbers.  Raises ValueError."""
    if left.is_nan() or right.is_nan():
        return Decimal("NaN")
    if not (left.is_finite() and right.is_finite()):
        if kind == "divide" and right.is_infinite():
            return Decimal("NaN") if left.is_infinite() else Decimal(0)
        with localcontext(EXACT) as context:
            context.clear_traps()
            return Decimal(_OPERATIONS[kind](left, right))
    if kind != "divide":
        return Decimal(_OPERATIONS[kind](left, right))
    if not right:
        raise ValueError("is divided by zero")
    with localcontext(EXACT) as context:
        scale = _quotient_scale(left, right)
        # Enough digits that rounding to the scale is rounding the quotient itself.
        context.prec = max(50, left.adjusted() - right.adjusted() + scale + 50)
        return (left / right).quantize(Decimal(1).scaleb(-scale))


_DIGITS, _SIGNIFICANT = 4, 16
"""decimal digits in a digit of ``numeric``, which counts to 10000; and in a quotient"""


def _quotient_scale(left: Decimal, right: Decimal) -> int:
    """How many digits after the point PostgreSQL gives a quotient (``select_div_scale``): at least sixteen
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


# Floats.

_IS_FLOAT = pattern(rb"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|\"(NaN|-?Infinity)\"")
_NULL = msgspec.Raw(b"null")
_WIDE = Context(prec=2000)
"""for sums of floats, exactly"""


def _float_text(value: msgspec.Raw) -> bytes:
    found = _IS_FLOAT.fullmatch(bytes(value))
    if not found:
        raise ValueError('is neither a number nor "NaN", "Infinity" or "-Infinity"')
    if not found[1] and math.isinf(float(found[0])):
        raise ValueError("is a number too large for its column")
    return found[1] or found[0]


def _float_json_sql(column: str) -> str:
    special = "'NaN', 'Infinity', '-Infinity'"
    return f"""CASE WHEN {column} IN ({special}) THEN concat('"', {column}, '"') ELSE {column}::text END"""


def _float_is_null(stored: Any) -> bool:
    return stored is None or stored is msgspec.UNSET or bytes(stored) == b"null"


def _read_float(raw: msgspec.Raw) -> float:
    return float(bytes(raw).strip(b'"'))


def _float_key(raw: msgspec.Raw) -> tuple[bool, float]:
    number = _read_float(raw)
    return (True, 0.0) if math.isnan(number) else (False, number)


def _float_type(raw: Callable[[float], msgspec.Raw], exactly: Callable[[float], float]) -> ValueType:
    """``raw`` makes Python's number a stored one; ``exactly`` gives the number that a printed one tells."""

    def write(value: Any) -> msgspec.Raw:
        if isinstance(value, bool) or not isinstance(value, float | int):
            raise wrong(value, "a number")
        try:
            return raw(float(value))
        except OverflowError as error:
            raise Unfit("is too large") from error

    def compute(kind: str, stored: msgspec.Raw, by: msgspec.Raw) -> msgspec.Raw:
        left, right = exactly(_read_float(stored)), exactly(_read_float(by))
        result = _OPERATIONS[kind](left, right)
        if math.isinf(result) and not (math.isinf(left) or math.isinf(right)):
            raise Unfit("is too large")
        if not result and left and kind in ("multiply", "divide") and right and not math.isinf(right):
            raise Unfit("is too small")
        return raw(result)

    return ValueType(
        json_sql=_float_json_sql,
        line_sql=line_as_printed,
        decoded=msgspec.Raw,
        text=_float_text,
        null=_NULL,
        is_null=_float_is_null,
        strict=True,
        read=_read_float,
        write=write,
        key=_float_key,
        identity=_float_key,
        file_key=_float_key,
        compute=compute,
        default_key=_default_key,
        summed="double",
        is_ordered=True,
        equal_spellings=True,
        respelled=True,
        schema={"type": ["number", "string"], "pattern": "^(?:NaN|-?Infinity)$"},
    )


def _double(number: float) -> msgspec.Raw:
    if not math.isfinite(number):
        return _special(number)
    if abs(number) < 2**53:
        return msgspec.Raw(_float_printed(Decimal(repr(number)), 15))
    # Here a neighbour can be as near as the number itself, which PostgreSQL minds and Python does not.
    neighbours = math.nextafter(number, -math.inf), math.nextafter(number, math.inf)
    return msgspec.Raw(_float_printed(_shortest(number, *neighbours), 15))


def single(number: float) -> float:
    """The nearest number of single precision.  Raises ValueError."""
    if not math.isfinite(number):
        return number
    try:
        nearest: float = struct.unpack("f", struct.pack("f", number))[0]
    except OverflowError as error:
        raise Unfit("is too large") from error
    return nearest


def _real(number: float) -> msgspec.Raw:
    if not math.isfinite(number):
        return _special(number)
    nearest = single(number)
    if math.isinf(nearest):
        raise Unfit("is too large")
    if number and not nearest:
        raise Unfit("is too small")
    if not nearest:
        return msgspec.Raw(b"-0" if math.copysign(1, nearest) < 0 else b"0")
    bits = struct.unpack("i", struct.pack("f", nearest))[0]
    neighbours = [struct.unpack("f", struct.pack("i", bits + step))[0] for step in (-1, 1)]
    if math.isinf(neighbours[1]):
        neighbours[1] = math.copysign(2.0**128, nearest)
    return msgspec.Raw(_float_printed(_shortest(nearest, *sorted(neighbours)), 6))


def _single_key(raw: msgspec.Raw) -> tuple[bool, float]:
    """By the number itself, not by its printed digits."""
    is_nan, number = _float_key(raw)
    return is_nan, single(number)


def _special(number: float) -> msgspec.Raw:
    if math.isnan(number):
        return msgspec.Raw(b'"NaN"')
    return msgspec.Raw(b'"Infinity"' if number > 0 else b'"-Infinity"')


def _shortest(number: float, below: float, above: float) -> Decimal:
    """The number of fewest digits, and of these the nearest, that is nearer to this float than to either
    neighbour."""
    exact = Decimal(number)
    low = _WIDE.divide(_WIDE.add(exact, _finite(below)), 2)
    high = _WIDE.divide(_WIDE.add(exact, _finite(above)), 2)
    for digits in range(1, 18):
        for rounding in (ROUND_HALF_EVEN, ROUND_DOWN, ROUND_UP):
            candidate = Context(prec=digits, rounding=rounding).create_decimal(exact)
            if low < candidate < high:
                return candidate
    return exact


def _finite(number: float) -> Decimal:
    return Decimal(number) if math.isfinite(number) else Decimal(2**1024).copy_sign(Decimal(number))


def _float_printed(number: Decimal, widest: int) -> bytes:
    """A float as PostgreSQL prints it, from its digits; ``widest`` is the first exponent of ten that is
    written as one."""
    sign, digits, exponent = number.as_tuple()
    assert isinstance(exponent, int)
    figures = "".join(map(str, digits)).lstrip("0")
    if not figures:
        return b"-0" if sign else b"0"
    stripped = figures.rstrip("0")
    exponent += len(figures) - len(stripped)
    power = len(stripped) + exponent - 1
    if -4 <= power < widest:
        plain = f"{Decimal((0, tuple(map(int, stripped)), exponent)):f}"
    else:
        mantissa = stripped[0] + (f".{stripped[1:]}" if len(stripped) > 1 else "")
        plain = f"{mantissa}e{'-' if power < 0 else '+'}{abs(power):02}"
    return f"{'-' if sign else ''}{plain}".encode()


TYPES.update(
    {
        "SmallInt": whole_number(-(2**15), 2**15 - 1),
        "Integer": whole_number(-(2**31), 2**31 - 1),
        "Oid": replace(
            whole_number(0, 2**32 - 1), line_sql=lambda c, _: f"{c}::bigint", computed_as="bigint"
        ),
        "BigInt": _bigint(),
        "Decimal": lambda args: _decimal_type(_scaled(*args) if args else _any_decimal),
        # Money prints with the locale's currency sign and rounds what it is compared with.
        "Money": replace(
            _decimal_type(_money),
            json_sql=lambda c: quoted(f"{c}::numeric"),
            line_sql=lambda c, _: f"{c}::numeric::text",
            text_sql=lambda c: f"{c}::numeric::text",
            compared_as="numeric",
            computed_as="numeric",
            array_cast="::numeric[]",
            equal_spellings=False,
        ),
        "DoublePrecision": _float_type(_double, float),
        # What is printed is near enough to tell a number of single precision, and not the number itself.
        "Real": replace(_float_type(_real, single), summed="single", across=_single_key),
    }
)
