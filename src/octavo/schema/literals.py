"""Defaults written as text or number: which are well-formed, and what Prisma's DMMF shows of them."""

from __future__ import annotations

import calendar
import json
import math
import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from typing import NoReturn

_JSON_DEPTH = 127
"""How deep Prisma reads JSON."""

_DECIMAL = re.compile(r"([-+]?)([\d_]*)(?:\.([\d_]*))?(?:[eE]([-+]?\d+))?", re.ASCII)
_RFC3339 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:[Zz]|([-+])(\d\d):(\d\d))", re.ASCII
)


def is_integer(text: str) -> bool:
    """Whether a number is whole and of 64 bits."""
    return "." not in text and -(2**63) <= int(text) < 2**63


def is_decimal(text: str) -> bool:
    """Whether a text is a decimal number: with an exponent and underscores if need be."""
    match = _DECIMAL.fullmatch(text)
    return match is not None and any(c.isdigit() for c in f"{match[2]}{match[3] or ''}") and is_finite(text)


def is_finite(text: str) -> bool:
    """Whether a number fits a double."""
    try:
        return math.isfinite(to_float(text))
    except OverflowError:
        return False


def to_float(text: str) -> float:
    """A decimal number as Prisma's DMMF shows it: its digits times a power of ten, rounded twice."""
    match = _DECIMAL.fullmatch(text)
    assert match is not None
    sign, whole, fraction, exponent = (part or "" for part in match.groups())
    fraction = fraction.replace("_", "")
    digits = int(f"{sign}{whole.replace('_', '')}{fraction}")
    return float(digits) * 10.0 ** (int(exponent or 0) - len(fraction))


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not of JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number out of range")
    return number


def _whole(text: str) -> int:
    if len(text) > 300:
        _finite(text)
    return 0


def is_json(text: str) -> bool:
    """Whether a text is JSON as Prisma reads it: strict, and no number beyond a double."""
    try:
        value = json.loads(text, parse_constant=_refuse, parse_float=_finite, parse_int=_whole)
        json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return False
    return _depth(text) <= _JSON_DEPTH


def _depth(text: str) -> int:
    deepest = depth = 0
    for sign in re.findall(r"[\[{\]}]", re.sub(r'"(?:\\.|[^"\\])*"', "", text)):
        depth += 1 if sign in "[{" else -1
        deepest = max(deepest, depth)
    return deepest


def is_base64(text: str) -> bool:
    """Whether a text is base64 with its padding, and without bits left over."""
    try:
        return b64encode(b64decode(text, validate=True)).decode() == text
    except ValueError:
        return False


def is_datetime(text: str) -> bool:
    """Whether a text is a date and time by RFC 3339; a leap second may follow any minute."""
    match = _RFC3339.fullmatch(text)
    if match is None:
        return False
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    if not 1 <= month <= 12 or not 1 <= day <= _days(year, month):
        return False
    return hour < 24 and minute < 60 and second <= 60 and int(match[9] or 0) < 24 and int(match[10] or 0) < 60


def _days(year: int, month: int) -> int:
    return 28 + calendar.isleap(year) if month == 2 else 30 + (month in (1, 3, 5, 7, 8, 10, 12))


def show_datetime(text: str) -> str:
    """A date and time as Prisma's DMMF shows it: no ``Z``, and no, three, six or nine digits of fraction."""
    match = _RFC3339.fullmatch(text)
    assert match is not None
    fraction = (match[7] or "")[:9].ljust(9, "0")
    while fraction.endswith("000"):
        fraction = fraction[:-3]
    sign, hours, minutes = match[8] or "+", match[9] or "00", match[10] or "00"
    offset = "+00:00" if hours == minutes == "00" else f"{sign}{hours}:{minutes}"
    date, time = text[:10], text[11:19]
    return f"{date}T{time}{f'.{fraction}' if fraction else ''}{offset}"


CHECKS: Mapping[str, Callable[[str], bool]] = {"Json": is_json, "Bytes": is_base64, "DateTime": is_datetime}
"""The scalars whose default is a text that must be of a form."""
