"""From Python's values to the stored form, checked: the direction in which a caller gives values.

A value goes in only where PostgreSQL would take it for the column, and comes out as PostgreSQL would print
it back: padded, rounded, in canonical spelling (see :mod:`octavo.layout.values` for the stored forms).  So
what a caller writes is the same on every backend, to the byte, before any backend has seen it.
"""

from __future__ import annotations

import base64
import ipaddress
import math
import re
import struct
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, ROUND_HALF_UP, ROUND_UP, Context, Decimal
from enum import Enum as PythonEnum
from typing import Any, TypeAlias
from uuid import UUID

import msgspec
from msgspec import UNSET

from octavo.layout.compare import null_of
from octavo.layout.times import time_type
from octavo.layout.types import one_line
from octavo.schema.datamodel import (
    Datamodel,
    EnumValue,
    NativeType,
    Number,
    ScalarField,
    ScalarKind,
    SingleDefault,
)
from octavo.schema.sql import native_type
from octavo.values.json import AnyNull, DbNull, JsonNull, json_text, jsonb_text

Write: TypeAlias = Callable[[Any], Any]
"""From Python's value to its stored form.  Raises ValueError with the reason: ``is no text but int``."""

INTEGER_RANGES = {
    "SmallInt": (-(2**15), 2**15 - 1),
    "Integer": (-(2**31), 2**31 - 1),
    "Oid": (0, 2**32 - 1),
    "BigInt": (-(2**63), 2**63 - 1),
}
_MONEY = (Decimal("-92233720368547758.08"), Decimal("92233720368547758.07"))
_ROUNDING = Context(prec=200_000, rounding=ROUND_HALF_UP, Emax=400_000, Emin=-400_000)
"""half away from zero, as ``numeric`` rounds"""
_WIDE = Context(prec=2000)
"""for sums of floats, exactly"""
_MOST_DIGITS, _MOST_FRACTION = 131_072, 16_383
_EPOCH = datetime(2000, 1, 1)
"""from which PostgreSQL counts, and half a unit rounds away"""


def writer(field: ScalarField, datamodel: Datamodel) -> Write:
    """How a value for this field becomes its stored form.  None is NULL where the field may be."""
    element = element_writer(field, datamodel)
    if field.is_list:
        return _list_writer(element, field)
    if field.is_json:
        return _json_field_writer(field, element)
    if not field.nullable:
        return element
    null = null_of(field)
    return lambda value: null if value is None else element(value)


def element_writer(field: ScalarField, datamodel: Datamodel) -> Write:
    """How a value that is not NULL, or an element of a list, becomes its stored form."""
    if field.kind is ScalarKind.UNSUPPORTED:
        return _refused
    if field.kind is ScalarKind.ENUM:
        return _enum_writer(field.type, frozenset(m.name for m in datamodel.enum(field.type).members))
    return _WRITERS[field.type](native_type(field))


def operand_writer(field: ScalarField, datamodel: Datamodel) -> Write:
    """How a value to compare with becomes a stored form: as :func:`element_writer`, but for what would
    change its meaning.  A text longer than the column, or a decimal with more digits, is simply not equal."""
    if field.kind is ScalarKind.SCALAR:
        native = native_type(field).name
        if native in ("VarChar", "Char"):
            return text
        if native in ("Bit", "VarBit"):
            return lambda value: _bits(value, lambda _: True, "")
        if field.type == "Decimal":
            return lambda value: decimal_text(_number(value), NativeType("Decimal"))
    return element_writer(field, datamodel)


def literal_value(value: SingleDefault, field: ScalarField, write: Write) -> Any:
    """A literal of a field's default in its stored form; ``write`` is its :func:`element_writer`."""
    match value:
        case EnumValue():
            return value.name
        case Number():
            number = Decimal(value.text)
            if field.type in ("Int", "BigInt"):
                return write(int(number))
            return write(float(number) if field.type == "Float" else number)
        case str() if field.type == "Json":
            return write(msgspec.Raw(value.encode()))
        case str() if field.type == "Bytes":
            return base64.b64decode(value)
    return write(value)


def _refused(value: Any) -> Any:
    raise ValueError("is of a type that cannot be written")


def _wrong(value: Any, wanted: str) -> ValueError:
    return ValueError(f"is no {wanted} but {'None' if value is None else type(value).__name__}")


def _list_writer(element: Write, field: ScalarField) -> Write:
    def write(value: Any) -> list[Any]:
        if not isinstance(value, list | tuple):
            raise _wrong(value, "list")
        if field.is_json:
            return [element(None if v is JsonNull else v) for v in value]
        return [element(v) for v in value]

    return write


def _json_field_writer(field: ScalarField, element: Write) -> Write:
    def write(value: Any) -> Any:
        if value is None:
            either = "octavo.JsonNull or octavo.DbNull" if field.nullable else "octavo.JsonNull"
            raise ValueError(f"may be JSON's null or the database's: say {either}")
        if value is DbNull:
            if field.nullable:
                return UNSET
            raise ValueError("is required and cannot be NULL")
        return element(None if value is JsonNull else value)

    return write


def _json_writer(native: NativeType) -> Write:
    def write(value: Any) -> msgspec.Raw:
        if value is DbNull or value is AnyNull:
            raise ValueError(f"cannot be {value!r} here")
        text = json_text(value)
        canonical = jsonb_text(text.encode())
        return msgspec.Raw(canonical if native.name == "JsonB" else one_line(text))

    return write


def _enum_writer(name: str, members: frozenset[str]) -> Write:
    def write(value: Any) -> str:
        if isinstance(value, PythonEnum):
            value = value.value
        if type(value) is not str:
            raise _wrong(value, f"{name} (as text)")
        if value not in members:
            raise ValueError(f"is no value of {name}")
        return value

    return write


def text(value: Any) -> str:
    """A text that PostgreSQL can hold.  Raises ValueError."""
    if type(value) is not str:
        if not isinstance(value, str):
            raise _wrong(value, "text")
        value = value.value if isinstance(value, PythonEnum) else str.__str__(value)
    if "\0" in value:
        raise ValueError("holds U+0000, which PostgreSQL's text cannot")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise ValueError("holds half a surrogate pair, which PostgreSQL's text cannot") from error
    return value  # type: ignore[no-any-return]


def _string_writer(native: NativeType) -> Write:
    length = native.args[0] if native.args else 1
    match native.name:
        case "VarChar" if native.args:
            return lambda value: _cut(text(value), length)
        case "Char":
            return lambda value: _cut(text(value), length).ljust(length)
        case "Bit":
            return lambda value: _bits(value, lambda n: n == length, f"is not {length} bits")
        case "VarBit":
            most = length if native.args else 2**31
            return lambda value: _bits(value, lambda n: n <= most, f"is longer than {most} bits")
        case "Uuid":
            return _uuid
        case "Inet":
            return _inet
    return text


def _cut(value: str, length: int) -> str:
    """PostgreSQL drops blanks behind the last character that fits, and nothing else."""
    if len(value) > length:
        if value[length:].strip(" "):
            raise ValueError(f"is longer than {length} characters")
        value = value[:length]
    return value


def _bits(value: Any, fits: Callable[[int], bool], reason: str) -> str:
    bits = text(value)
    if bits.strip("01"):
        raise ValueError("is not a text of 0 and 1")
    if not fits(len(bits)):
        raise ValueError(reason)
    return bits


_HEX_GROUPS = re.compile(r"[0-9a-fA-F]{4}(?:-?[0-9a-fA-F]{4}){7}")


def _uuid(value: Any) -> str:
    if isinstance(value, UUID):
        return str(value)
    spelled = text(value)
    bare = spelled[1:-1] if spelled.startswith("{") and spelled.endswith("}") else spelled
    if not _HEX_GROUPS.fullmatch(bare):
        raise ValueError("is no UUID")
    return str(UUID(bare))


def _inet(value: Any) -> str:
    if isinstance(value, str):
        try:
            found = ipaddress.ip_interface(text(value))
        except ValueError as error:
            raise ValueError("is no IP address") from error
    elif isinstance(value, ipaddress.IPv4Address | ipaddress.IPv6Address):
        found = ipaddress.ip_interface(value)
    else:
        raise _wrong(value, "IP address (as text)")
    if isinstance(found, ipaddress.IPv6Interface):
        if found.scope_id is not None:
            raise ValueError("has a scope, which PostgreSQL's inet has not")
        mapped = found.ip.ipv4_mapped
        address = str(found.ip) if mapped is None else f"::ffff:{mapped}"
    else:
        address = str(found.ip)
    return (
        address if found.network.prefixlen == found.max_prefixlen else f"{address}/{found.network.prefixlen}"
    )


def _boolean(value: Any) -> bool:
    if type(value) is not bool:
        raise _wrong(value, "bool")
    return value


def _integer_writer(native: NativeType) -> Write:
    lowest, highest = INTEGER_RANGES[native.name]

    def write(value: Any) -> int:
        if type(value) is not int:
            if not isinstance(value, int) or isinstance(value, bool):
                raise _wrong(value, "whole number")
            value = int(value)
        if not lowest <= value <= highest:
            raise ValueError(f"is out of range ({lowest} to {highest})")
        return value  # type: ignore[no-any-return]

    return (lambda value: str(write(value))) if native.name == "BigInt" else write


def _finite_or_not(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, float | int):
        raise _wrong(value, "number")
    try:
        return float(value)
    except OverflowError as error:
        raise ValueError("is too large") from error


def _double(value: Any) -> msgspec.Raw:
    return double_raw(_finite_or_not(value))


def double_raw(number: float) -> msgspec.Raw:
    """A ``double precision`` in its stored form."""
    if not math.isfinite(number):
        return _special(number)
    if abs(number) < 2**53:
        return msgspec.Raw(_printed(Decimal(repr(number)), 15))
    # Here a neighbour can be as near as the number itself, which PostgreSQL minds and Python does not.
    neighbours = math.nextafter(number, -math.inf), math.nextafter(number, math.inf)
    return msgspec.Raw(_printed(_shortest(number, *neighbours), 15))


def _real(value: Any) -> msgspec.Raw:
    return real_raw(_finite_or_not(value))


def real_raw(number: float) -> msgspec.Raw:
    """A ``real`` in its stored form: the nearest number of single precision.  Raises ValueError."""
    if not math.isfinite(number):
        return _special(number)
    try:
        single: float = struct.unpack("f", struct.pack("f", number))[0]
    except OverflowError as error:
        raise ValueError("is too large") from error
    if math.isinf(single):
        raise ValueError("is too large")
    if number and not single:
        raise ValueError("is too small")
    if not single:
        return msgspec.Raw(b"-0" if math.copysign(1, single) < 0 else b"0")
    bits = struct.unpack("i", struct.pack("f", single))[0]
    neighbours = [struct.unpack("f", struct.pack("i", bits + step))[0] for step in (-1, 1)]
    if math.isinf(neighbours[1]):
        neighbours[1] = math.copysign(2.0**128, single)
    return msgspec.Raw(_printed(_shortest(single, *sorted(neighbours)), 6))


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


def _printed(number: Decimal, widest: int) -> bytes:
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


def _decimal_writer(native: NativeType) -> Write:
    def write(value: Any) -> str:
        return decimal_text(_number(value), native)

    return write


_DIGITS = re.compile(
    r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,9})?|NaN|-?Infinity", re.ASCII
)


def _number(value: Any) -> Decimal:
    if isinstance(value, str):
        if not _DIGITS.fullmatch(value):
            raise ValueError("is no decimal number")
        return Decimal(value)
    if isinstance(value, float):
        return Decimal(repr(value))
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise _wrong(value, "decimal number")
    return Decimal(value)


def decimal_text(number: Decimal, native: NativeType) -> str:
    """A number as a column of this type (``Decimal`` or ``Money``) stores it.  Raises ValueError."""
    if number.is_nan():
        if native.name == "Money":
            raise ValueError("is NaN, which money has not")
        return "NaN"
    if number.is_infinite():
        if native.name == "Money" or native.args:
            raise ValueError("is infinite, which its column cannot hold")
        return "Infinity" if number > 0 else "-Infinity"
    if number and number.adjusted() >= _MOST_DIGITS:
        raise ValueError("is out of PostgreSQL's range")
    if native.name == "Money":
        rounded = number.quantize(Decimal("0.01"), context=_ROUNDING)
        if not _MONEY[0] <= rounded <= _MONEY[1]:
            raise ValueError("is out of range")
    elif native.args:
        precision, scale = native.args
        rounded = number.quantize(Decimal(1).scaleb(-scale), context=_ROUNDING)
        if rounded and rounded.adjusted() >= precision - scale:
            raise ValueError(f"has more than {precision - scale} digits before the point")
    else:
        exponent = number.as_tuple().exponent
        assert isinstance(exponent, int)
        if exponent < -_MOST_FRACTION:
            raise ValueError(f"has more than {_MOST_FRACTION} digits behind the point")
        rounded = number
    # PostgreSQL has no negative zero.
    return f"{rounded if rounded else rounded.copy_abs():f}"


def _bytes(value: Any) -> bytes:
    if type(value) is bytes:
        return value
    if not isinstance(value, bytes | bytearray | memoryview):
        raise _wrong(value, "bytes")
    return bytes(value)


def _time_writer(native: NativeType) -> Write:
    precision = native.args[0] if native.args else 6
    stored_text = time_type(native.name, precision).text

    def from_python(value: Any) -> str:
        if native.name == "Date":
            return _day(value)
        if native.name in ("Time", "Timetz"):
            return _clock(value, precision, zoned=native.name == "Timetz")
        return _instant(value, precision)

    def write(value: Any) -> str:
        if isinstance(value, str):
            stored = text(value)
            try:
                stored_text(stored)
            except ValueError as refused:
                value = _parsed(stored, native.name)
                if value is None:
                    raise refused
            else:
                return stored
        stored = from_python(value)
        if native.name == "Timetz":
            # PostgreSQL's zones do not go as far as Python's.
            stored_text(stored)
        return stored

    return write


def _parsed(value: str, native: str) -> Any:
    """What an ISO 8601 text of another spelling means; None: nothing."""
    if native not in ("Time", "Timetz"):
        parsers: tuple[Callable[[str], Any], ...] = (datetime.fromisoformat,)
    else:
        # Without a colon, 2025 would be a quarter past eight, and a day its midnight.
        parsers = (time.fromisoformat, datetime.fromisoformat) if ":" in value else ()
    for parse in parsers:
        with suppress(ValueError):
            return parse(value)
    return None


def _utc(value: datetime) -> datetime:
    """As time in UTC without a zone; one that has none is UTC already."""
    if value.tzinfo is None:
        return value
    try:
        return value.astimezone(UTC).replace(tzinfo=None)
    except OverflowError as error:
        raise ValueError("is out of range in UTC") from error


def _instant(value: Any, precision: int) -> str:
    if not isinstance(value, datetime):
        raise _wrong(value, "datetime")
    moment = _utc(value).replace(fold=0)
    unit = 10 ** (6 - precision)
    if moment.microsecond % unit:
        micros = (moment - _EPOCH) // timedelta(microseconds=1)
        half = (abs(micros) + unit // 2) // unit * unit
        rounded = timedelta(microseconds=half if micros >= 0 else -half)
        try:
            moment = _EPOCH + rounded
        except OverflowError:
            return f"+010000-01-01T00:00:00{'.' + '0' * precision if precision else ''}Z"
    return moment.isoformat(timespec="microseconds")[: 20 + precision if precision else 19] + "Z"


def _day(value: Any) -> str:
    if isinstance(value, datetime):
        value = _utc(value).date()
    if not isinstance(value, date):
        raise _wrong(value, "date")
    return value.isoformat()


def _clock(value: Any, precision: int, *, zoned: bool) -> str:
    if isinstance(value, datetime):
        value = _utc(value).time()
    if not isinstance(value, time):
        raise _wrong(value, "time")
    unit = 10 ** (6 - precision)
    micros = ((value.hour * 60 + value.minute) * 60 + value.second) * 1_000_000 + value.microsecond
    micros = (micros + unit // 2) // unit * unit
    seconds, fraction = divmod(micros, 1_000_000)
    clock = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    tail = f".{fraction:06}".rstrip("0") if fraction else ""
    return clock + tail + (_zone(value.utcoffset() or timedelta()) if zoned else "")


def _zone(offset: timedelta) -> str:
    seconds = int(abs(offset).total_seconds())
    parts = [seconds // 3600, seconds // 60 % 60, seconds % 60]
    while len(parts) > 1 and not parts[-1]:
        parts.pop()
    return ("-" if offset < timedelta() else "+") + ":".join(f"{p:02}" for p in parts)


_WRITERS: dict[str, Callable[[NativeType], Write]] = {
    "String": _string_writer,
    "Boolean": lambda _: _boolean,
    "Int": _integer_writer,
    "BigInt": _integer_writer,
    "Float": lambda native: _real if native.name == "Real" else _double,
    "Decimal": _decimal_writer,
    "Bytes": lambda _: _bytes,
    "DateTime": _time_writer,
    "Json": _json_writer,
}
