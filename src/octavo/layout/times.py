"""Dates and times: ``2025-11-22T12:34:56.789Z``, with as many fraction digits as the column has.

Years outside 0000–9999 are written as ECMAScript writes them (ECMA-262, "Expanded Years"): a sign and at
least six digits, counted astronomically, so that ``-000043`` is 44 BC and ``0000`` is 1 BC.  PostgreSQL's
``infinity`` and ``-infinity`` are those words.  A ``Date`` is its day alone; ``Time`` and ``Timetz`` are no
instants and keep PostgreSQL's own text.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from functools import cache, lru_cache
from typing import NamedTuple


class TimeType(NamedTuple):
    """Both directions of one DateTime column."""

    json_sql: Callable[[str], str]
    text: Callable[[str], bytes]


_FRACTIONS = {0: "", 3: ".MS", 6: ".US"}
_DAY = re.compile(r"(\d{4}|[+-]\d{6,7})-(\d\d)-(\d\d)", re.ASCII).fullmatch
_CLOCK = r"(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d"
_ZONE = r"[+-](?:0\d|1[0-5])(?::[0-5]\d(?::[0-5]\d)?)?"
_LAST_YEARS = {"timestamp": 294_276, "date": 5_874_897}
_FIRST_DAY = (-4713, "11", "24")
"""4714-11-24 BC, the first day of both, where Julian days begin"""
_INFINITE = {"infinity": b"infinity", "-infinity": b"-infinity"}


@cache
def time_type(native: str, precision: int) -> TimeType:
    """How a column of this native type and precision (fraction digits, 0–6) stands in JSON."""
    if native in ("Time", "Timetz"):
        return TimeType(lambda c: f"""concat('"', {c}, '"')""", _clock(native, precision))
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
    fraction = rf"\.\d{{{precision}}}" if precision else ""
    clock = re.compile(rf"{_CLOCK}{fraction}Z", re.ASCII).fullmatch
    digits = f" with {precision} fraction digits" if precision else ""

    @lru_cache(1024)
    def around(day: str) -> tuple[bytes, bytes]:
        printed, era = _day(day, _LAST_YEARS["timestamp"])
        return printed + b" ", zone + era

    def text(value: str) -> bytes:
        at = value.find("T")
        if at < 0 or not clock(value, at + 1):
            if value in _INFINITE:
                return _INFINITE[value]
            raise ValueError(f"is not a UTC time like 2025-11-22T12:34:56.789Z{digits}")
        day, behind = around(value[:at])
        time = value[at + 1 : -1]
        if precision and time[-1] == "0":
            time = time.rstrip("0").removesuffix(".")
        return day + time.encode() + behind

    return text


def _is_day(year: str, month: str, day: str) -> bool:
    try:
        date(int(year), int(month), int(day))
    except ValueError:
        return False
    return True


def _day(value: str, last_year: int) -> tuple[bytes, bytes]:
    """The day as PostgreSQL prints it, and its era: nothing, or `` BC``."""
    found = _DAY(value)
    if not found:
        raise ValueError("is not a day like 2025-11-22")
    year, month, day = found.groups()
    number = int(year)
    if len(year) > 4 and (0 <= number <= 9999 or (len(year) > 7 and year[1] == "0")):
        raise ValueError("has a year with more digits than it needs")
    # The Gregorian calendar repeats every 400 years.
    if not _is_day(str(number % 400 + 400), month, day):
        raise ValueError("is no day of the calendar")
    if number > last_year or (number, month, day) < _FIRST_DAY:
        raise ValueError("is out of PostgreSQL's range")
    era = b"" if number > 0 else b" BC"
    return f"{number if number > 0 else 1 - number:04}-{month}-{day}".encode(), era


def _day_text(value: str) -> bytes:
    if value in _INFINITE:
        return _INFINITE[value]
    day, era = _day(value, _LAST_YEARS["date"])
    return day + era


def _clock(native: str, precision: int) -> Callable[[str], bytes]:
    fraction = rf"(?:\.\d{{0,{precision - 1}}}[1-9])?" if precision else ""
    zone = _ZONE if native == "Timetz" else ""
    fits = re.compile(rf"(?:{_CLOCK}{fraction}|24:00:00){zone}", re.ASCII).fullmatch

    def text(value: str) -> bytes:
        if not fits(value):
            raise ValueError("is not a time of day as PostgreSQL prints it, like 12:34:56.789")
        return value.encode()

    return text
