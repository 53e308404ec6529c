"""PostgreSQL's types as Prisma names them after ``@db.``."""

from __future__ import annotations

import re
from dataclasses import dataclass

from octavo.schema.datamodel import NativeType
from octavo.schema.syntax import Attribute, Constant, Expression, NumberLiteral, StringLiteral

SCALARS = ("Int", "BigInt", "Float", "Boolean", "String", "DateTime", "Json", "Bytes", "Decimal")
"""Prisma's own types."""


@dataclass(frozen=True, slots=True)
class NativeRule:
    """``scalar`` is the type that a field must have, ``arguments`` how many numbers the type may take."""

    scalar: str
    arguments: int = 0
    lowest: int = 0
    highest: int = 2**32 - 1


_FRACTION = {"arguments": 1, "highest": 6}

NATIVE_TYPES: dict[str, NativeRule] = {
    "SmallInt": NativeRule("Int"),
    "Integer": NativeRule("Int"),
    "Oid": NativeRule("Int"),
    "BigInt": NativeRule("BigInt"),
    "Decimal": NativeRule("Decimal", arguments=2),
    "Money": NativeRule("Decimal"),
    "Real": NativeRule("Float"),
    "DoublePrecision": NativeRule("Float"),
    "Inet": NativeRule("String"),
    "Citext": NativeRule("String"),
    "VarChar": NativeRule("String", arguments=1),
    "Char": NativeRule("String", arguments=1),
    "Text": NativeRule("String"),
    "Bit": NativeRule("String", arguments=1, lowest=1),
    "VarBit": NativeRule("String", arguments=1, lowest=1),
    "Uuid": NativeRule("String"),
    "Xml": NativeRule("String"),
    "ByteA": NativeRule("Bytes"),
    "Timestamp": NativeRule("DateTime", **_FRACTION),
    "Timestamptz": NativeRule("DateTime", **_FRACTION),
    "Date": NativeRule("DateTime"),
    "Time": NativeRule("DateTime", **_FRACTION),
    "Timetz": NativeRule("DateTime", **_FRACTION),
    "Boolean": NativeRule("Boolean"),
    "Json": NativeRule("Json"),
    "JsonB": NativeRule("Json"),
}


def native_type(name: str, args: list[str]) -> tuple[NativeType | None, str]:
    """The native type of this name with these arguments; or None and why not."""
    rule = NATIVE_TYPES.get(name)
    if rule is None:
        return None, f"PostgreSQL has no type {name}"
    if len(args) > rule.arguments:
        return None, f"{name} takes {rule.arguments or 'no'} argument{'s' if rule.arguments > 1 else ''}"
    if not all(arg.isdecimal() and arg.isascii() and int(arg) < 2**32 for arg in args):
        return None, f"the arguments of {name} are whole numbers"
    numbers = tuple(int(arg) for arg in args)
    if any(not rule.lowest <= number <= rule.highest for number in numbers):
        return None, f"the argument of {name} is out of range ({rule.lowest} to {rule.highest})"
    if name == "Decimal" and numbers:
        if len(numbers) != 2:
            return None, "Decimal takes a precision and a scale"
        precision, scale = numbers
        if scale > precision:
            return None, "the scale of a Decimal is larger than its precision"
        if not 1 <= precision <= 1000:
            return None, "the precision of a Decimal ranges from 1 to 1000"
    return NativeType(name, numbers), ""


def _spelled(value: Expression) -> str:
    match value:
        case NumberLiteral() | Constant():
            return value.text
        case StringLiteral():
            return f'"{value.value}"'
    return ""


def spelled_arguments(attribute: Attribute) -> list[str]:
    """The arguments of ``@db.…`` as written; what is no plain value is empty."""
    return [_spelled(arg.value) for arg in attribute.args]


def native_of(attribute: Attribute | None) -> NativeType | None:
    """What ``@db.…`` says, if it says something valid."""
    if attribute is None:
        return None
    return native_type(attribute.name.partition(".")[2], spelled_arguments(attribute))[0]


_UNSUPPORTED = re.compile(r"([^(]+)(?:\((.*?)\))?(.+)?")


def parse_native(text: str) -> NativeType | None:
    """A native type spelled ``Name(1, 2)``, as within ``Unsupported("…")``; None if it is none."""
    match = _UNSUPPORTED.fullmatch(text)
    if match is None:
        return None
    args = [] if match.group(2) is None else [arg.strip() for arg in match.group(2).split(",")]
    return native_type(match.group(1).strip(), args)[0]
