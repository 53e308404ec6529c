"""Dates and times: ``2025-11-22T12:34:56.789Z``, with as many fraction digits as the column has.

Years outside 0000–9999 are written as ECMAScript writes them (ECMA-262, "Expanded Years"): a sign and at
least six digits, counted astronomically, so that ``-000043`` is 44 BC and ``0000`` is 1 BC.  PostgreSQL's
``infinity`` and ``-infinity`` are those words.  A ``Date`` is its day alone; ``Time`` and ``Timetz`` are no
instants and keep PostgreSQL's own text.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from functools import cache, lru_cache


@dataclass(frozen=True, slots=True)
class TimeType:
    """Both directions of one DateTime column."""

    json_sql: Callable[[str], str]
    text: Callable[[str], bytes]


_FRACTIONS = {0: "", 3: ".MS", 6: ".US"}
_DAY = r"(\d{4}|[+-]\d{6,})-(\d\d)-(\d\d)"
_CLOCK = re.compile(r"([01]\d|2[0-4]):([0-5]\d):([0-5]\d|60)(\.\d{1,6})?([+-]\d\d(?::\d\d){0,2})?", re.ASCII)
_INFINITE = {"infinity": b"infinity", "-infinity": b"-infinity"}


@cache
def time_type(native: str, precision: int) -> TimeType:
    """How a column of this native type and precision (fraction digits, 0–6) stands in JSON."""
    if native in ("Time", "Timetz"):
        return TimeType(lambda c: f"""concat('"', {c}, '"')""", _clock)
    if native == "Date":
        return TimeType(lambda c: _sql(c, ""), _day_text)
    fraction = _FRACTIONS.get(precision, f".FF{precision}")
    rest = f'"T"HH24:MI:SS{fraction}"Z"'
    if native == "Timestamptz":
        return TimeType(lambda c: _sql(f"({c} AT TIME ZONE 'UTC')", rest), _instant(precision, b"+00"))
    return TimeType(lambda c: _sql(c, rest), _instant(precision, b""))


def _sql(column: str, clock: str) -> str:
    """The years that PostgreSQL prints with four digits go the short way; it has no sign and says BC."""
    year = f"(extract(year from {column})::int + CASE WHEN {column} < '0001-01-01' THEN 1 ELSE 0 END)"
    sign = f"CASE WHEN {year} < 0 THEN '-' ELSE '+' END"
    digits = f"abs({year})::text"
    time = f"to_char({column}, '{clock}')" if clock else "''"
    return (
        f"CASE WHEN {column} >= '0001-01-01' AND {column} < '10000-01-01'"
        f""" THEN to_char({column}, '\\"YYYY-MM-DD{clock}\\"')"""
        f""" WHEN {column} IN ('infinity', '-infinity') THEN concat('"', {column}, '"')"""
        f""" ELSE concat('"', CASE WHEN {year} = 0 THEN '0000'"""
        f""" ELSE concat({sign}, lpad({digits}, greatest(6, length({digits})), '0')) END,"""
        f""" substring({column}::text from '-[0-9][0-9]-[0-9][0-9]'), {time}, '"') END"""
    )


def _instant(precision: int, zone: bytes) -> Callable[[str], bytes]:
    fraction = rf"\.(\d{{{precision}}})" if precision else "()"
    clock = rf"((?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d){fraction}"
    common = re.compile(rf"(\d{{4}}-\d\d-\d\d)T{clock}Z", re.ASCII)
    any_year = re.compile(rf"{_DAY}T{clock}Z", re.ASCII)

    def text(value: str) -> bytes:
        found = common.fullmatch(value)
        if found and _is_common_day(found[1]):
            trimmed = value[11:-1].rstrip("0").removesuffix(".") if precision else found[2]
            return f"{found[1]} {trimmed}".encode() + zone
        if value in _INFINITE:
            return _INFINITE[value]
        found = any_year.fullmatch(value)
        if not found:
            digits = f" with {precision} fraction digits" if precision else ""
            raise ValueError(f"is not a UTC time like 2025-11-22T12:34:56.789Z{digits}")
        day, era = _day(*found.group(1, 2, 3))
        decimals = found[5].rstrip("0")
        return f"{day} {found[4]}{'.' if decimals else ''}{decimals}".encode() + zone + era

    return text


@lru_cache(4096)
def _is_common_day(value: str) -> bool:
    return _is_day(value[:4], value[5:7], value[8:])


def _is_day(year: str, month: str, day: str) -> bool:
    try:
        date(int(year), int(month), int(day))
    except ValueError:
        return False
    return True


def _day(year: str, month: str, day: str) -> tuple[str, bytes]:
    """The day as PostgreSQL prints it, and its era: nothing, or `` BC``."""
    if len(year) > 4 and (0 <= int(year) <= 9999 or (len(year) > 7 and year[1] == "0")):
        raise ValueError("has a year with more digits than it needs")
    number = int(year)
    # The Gregorian calendar repeats every 400 years.
    if not _is_day(str(number % 400 + 400), month, day):
        raise ValueError("is no day of the calendar")
    if number > 0:
        return f"{number:04}-{month}-{day}", b""
    return f"{1 - number:04}-{month}-{day}", b" BC"


def _day_text(value: str) -> bytes:
    if value in _INFINITE:
        return _INFINITE[value]
    found = re.fullmatch(_DAY, value, re.ASCII)
    if not found:
        raise ValueError("is not a day like 2025-11-22")
    day, era = _day(*found.group(1, 2, 3))
    return day.encode() + era


def _clock(value: str) -> bytes:
    if not _CLOCK.fullmatch(value):
        raise ValueError("is not a time of day like 12:34:56.789")
    return value.encode()
