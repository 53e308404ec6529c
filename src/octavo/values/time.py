"""Dates and times: ``2025-11-22T12:34:56.789Z``, with as many fraction digits as the column has.

Years outside 0000–9999 are written as ECMAScript writes them (ECMA-262, "Expanded Years"): a sign and at
least six digits, counted astronomically, so that ``-000043`` is 44 BC and ``0000`` is 1 BC.  PostgreSQL's
``infinity`` and ``-infinity`` are those words.  A ``Date`` is its day alone; ``Time`` and ``Timetz`` are no
instants and keep PostgreSQL's own text.

In Python, a value is a ``datetime`` in UTC (of ``Time`` on 1970-01-01), or the text where that cannot hold
it: infinity, BC, years over 9999, and any ``Timetz``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Any

from octavo.text import pattern
from octavo.values.base import (
    TYPES,
    LineSql,
    Text,
    ValueType,
    Write,
    line_as_printed,
    matching,
    quoted,
    wrong,
)
from octavo.values.text import string

_FRACTIONS = {0: "", 3: ".MS", 6: ".US"}
_DAY = pattern(r"(\d{4}|[+-]\d{6,7})-(\d\d)-(\d\d)", re.ASCII)
_CLOCK = r"(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d"
_ZONE = r"[+-](?:0\d|1[0-5])(?::[0-5]\d(?::[0-5]\d)?)?"
_LAST_YEARS = {"timestamp": 294_276, "date": 5_874_897}
_FIRST_DAY = (-4713, "11", "24")
"""4714-11-24 BC, the first day of both, where Julian days begin"""
_INFINITE = {"infinity": b"infinity", "-infinity": b"-infinity"}
_POSTGRES_EPOCH = datetime(2000, 1, 1)
"""from which PostgreSQL counts, and half a unit rounds away"""
_UNIX_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


# In SQL.


def _json_sql(column: str, clock: str) -> str:
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


def _line_sql(moment: str, unlike: str, printed: str) -> str:
    """The years that PostgreSQL prints as the format does; of all others, the literal."""
    years = f"{moment} >= '0001-01-01' AND {moment} < '10000-01-01'"
    return f"CASE WHEN {years} THEN {printed} WHEN {moment} IS NOT NULL THEN {unlike} END"


def _instant_line_sql(precision: int, *, zoned: bool) -> LineSql:
    tail = "." + "0" * precision + "Z" if precision else "Z"

    def line_sql(column: str, unlike: str) -> str:
        moment = f"({column} AT TIME ZONE 'UTC')" if zoned else column
        # PostgreSQL leaves out the last zeros of a fraction, and the whole of one that is zero.
        printed = f"{moment}::text || substr('{tail}', length({moment}::text) - 18)"
        return _line_sql(moment, unlike, f"replace({printed}, ' ', 'T')")

    return line_sql


# PostgreSQL's text.


def _instant_text(precision: int, zone: bytes) -> Text:
    fraction = rf"\.\d{{{precision}}}" if precision else ""
    clock = pattern(rf"{_CLOCK}{fraction}Z", re.ASCII)
    digits = f" with {precision} fraction digits" if precision else ""

    @lru_cache(1024)
    def around(day: str) -> tuple[bytes, bytes]:
        printed, era = _day(day, _LAST_YEARS["timestamp"])
        return printed + b" ", zone + era

    def text(value: str) -> bytes:
        at = value.find("T")
        if at < 0 or not clock.fullmatch(value, at + 1):
            if value in _INFINITE:
                return _INFINITE[value]
            raise ValueError(f"is not a UTC time like 2025-11-22T12:34:56.789Z{digits}")
        day, after = around(value[:at])
        time = value[at + 1 : -1]
        if precision and time[-1] == "0":
            time = time.rstrip("0").removesuffix(".")
        return day + time.encode() + after

    return text


def _is_day(year: str, month: str, day: str) -> bool:
    try:
        date(int(year), int(month), int(day))
    except ValueError:
        return False
    return True


def _day(value: str, last_year: int) -> tuple[bytes, bytes]:
    """The day as PostgreSQL prints it, and its era: nothing, or `` BC``."""
    found = _DAY.fullmatch(value)
    if not found:
        raise ValueError("is not a day like 2025-11-22")
    year, month, day = found.groups()
    number = int(year)
    if len(year) > 4 and (0 <= number <= 9999 or (len(year) > 7 and year[1] == "0")):
        raise ValueError("has a year with more digits than it needs")
    # The Gregorian calendar repeats every 400 years.
    if not _is_day(str(number % 400 + 400), month, day):
        raise ValueError("is not a valid date")
    if number > last_year or (number, month, day) < _FIRST_DAY:
        raise ValueError("is out of PostgreSQL's range")
    era = b"" if number > 0 else b" BC"
    return f"{number if number > 0 else 1 - number:04}-{month}-{day}".encode(), era


def _day_text(value: str) -> bytes:
    if value in _INFINITE:
        return _INFINITE[value]
    day, era = _day(value, _LAST_YEARS["date"])
    return day + era


def _clock_text(precision: int, zone: str) -> Text:
    fraction = rf"(?:\.\d{{0,{precision - 1}}}[1-9])?" if precision else ""
    fits = pattern(rf"(?:{_CLOCK}{fraction}|24:00:00){zone}", re.ASCII)

    def text(value: str) -> bytes:
        if not fits.fullmatch(value):
            raise ValueError("is not a time of day as PostgreSQL prints it, like 12:34:56.789")
        return value.encode()

    return text


# Keys.


def time_key(text: str) -> str:
    """A text that sorts as the time that a DateTime's text means."""
    if text[0].isdigit():
        return text
    if text in _INFINITE:
        return ";" if text == "infinity" else ""
    year, rest = text.split("-", 1) if text[0] == "+" else text[1:].split("-", 1)
    # ``-`` sorts before every digit and ``:`` after.
    return f":{int(year):07}-{rest}" if text[0] == "+" else f"-{10**7 - int(year):08}-{rest}"


def _instant_key(text: str) -> str:
    """The same, whatever the precision."""
    key = time_key(text)
    if text in _INFINITE:
        return key
    day, _, clock = key.removesuffix("Z").partition("T")
    whole, _, fraction = clock.partition(".")
    return f"{day}T{whole or '00:00:00'}.{fraction:0<6}"


def _clock_key(text: str) -> tuple[int, int]:
    whole, _, fraction = text.partition(".")
    parts = [int(p) for p in whole.split(":")] + [0, 0]
    return parts[0] * 3600 + parts[1] * 60 + parts[2], int(fraction.ljust(6, "0") or 0)


def _zoned_clock_key(text: str) -> tuple[int, int]:
    """By the instant, then the zone further east first."""
    at = max(text.rfind("+"), text.rfind("-"))
    east = _clock_key(text[at + 1 :])[0] * (-1 if text[at] == "-" else 1)
    seconds, micros = _clock_key(text[:at])
    return (seconds - east) * 1_000_000 + micros, -east


# To and from Python.


def _read_time(text: str) -> datetime | str:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return text
    return found if found.tzinfo is UTC else found.replace(tzinfo=UTC)


def _read_clock(text: str) -> datetime:
    """As in Prisma; ``24:00:00`` is the end of that day."""
    if text == "24:00:00":
        return _UNIX_EPOCH + timedelta(days=1)
    return datetime.combine(_UNIX_EPOCH, time.fromisoformat(text), UTC)


_Parse = Callable[[str], Any]


def _writer(
    text: Text, from_python: Callable[[Any], str], parsers: Callable[[str], tuple[_Parse, ...]]
) -> Write:
    """``parsers`` understand an ISO 8601 text of another spelling."""

    def write(value: Any) -> str:
        if isinstance(value, str):
            stored = string(value)
            try:
                text(stored)
                return stored
            except ValueError:
                for parse in parsers(stored):
                    with suppress(ValueError):
                        value = parse(stored)
                        break
                else:
                    raise
        return from_python(value)

    return write


def _iso(_: str) -> tuple[_Parse, ...]:
    return (datetime.fromisoformat,)


def _iso_clock(value: str) -> tuple[_Parse, ...]:
    # Without a colon, 2025 would be a quarter past eight, and a day its midnight.
    return (time.fromisoformat, datetime.fromisoformat) if ":" in value else ()


def _utc(value: datetime) -> datetime:
    """As time in UTC without a zone; one that has none is UTC already."""
    if value.tzinfo is None:
        return value
    try:
        return value.astimezone(UTC).replace(tzinfo=None)
    except OverflowError as error:
        raise ValueError("is out of range in UTC") from error


def _printed_instant(value: Any, precision: int) -> str:
    if not isinstance(value, datetime):
        raise wrong(value, "a datetime")
    moment = value if value.tzinfo is UTC else _utc(value)
    unit = 10 ** (6 - precision)
    if moment.microsecond % unit:
        moment = moment.replace(tzinfo=None, fold=0)
        micros = (moment - _POSTGRES_EPOCH) // timedelta(microseconds=1)
        half = (abs(micros) + unit // 2) // unit * unit
        rounded = timedelta(microseconds=half if micros >= 0 else -half)
        try:
            moment = _POSTGRES_EPOCH + rounded
        except OverflowError:
            return f"+010000-01-01T00:00:00{'.' + '0' * precision if precision else ''}Z"
    return moment.isoformat(timespec="microseconds")[: 20 + precision if precision else 19] + "Z"


def _printed_day(value: Any) -> str:
    if isinstance(value, datetime):
        value = _utc(value).date()
    if not isinstance(value, date):
        raise wrong(value, "a date")
    return value.isoformat()


def _printed_clock(value: Any, precision: int, *, zoned: bool) -> str:
    if isinstance(value, datetime):
        value = _utc(value).time()
    if not isinstance(value, time):
        raise wrong(value, "a time")
    unit = 10 ** (6 - precision)
    micros = ((value.hour * 60 + value.minute) * 60 + value.second) * 1_000_000 + value.microsecond
    micros = (micros + unit // 2) // unit * unit
    seconds, fraction = divmod(micros, 1_000_000)
    clock = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    tail = f".{fraction:06}".rstrip("0") if fraction else ""
    return clock + tail + (_printed_zone(value.utcoffset() or timedelta()) if zoned else "")


def _printed_zone(offset: timedelta) -> str:
    seconds = int(abs(offset).total_seconds())
    parts = [seconds // 3600, seconds // 60 % 60, seconds % 60]
    while len(parts) > 1 and not parts[-1]:
        parts.pop()
    return ("-" if offset < timedelta() else "+") + ":".join(f"{p:02}" for p in parts)


# Defaults.


def _default_key(text: str, shown: Callable[[datetime], str], *, is_clock: bool = False) -> str:
    plain = re.sub(r"\s+(?=[+-]\d)", "", text.strip())
    plain = re.sub(r"([+-]\d\d)$", r"\1:00", plain) if re.search(r"\d:\d", plain) else plain
    if is_clock and re.match(r"\d\d:\d\d", plain):
        plain = f"1970-01-01 {plain}"
    try:
        return shown(datetime.fromisoformat(plain))
    except ValueError:
        return text


def _unzoned(moment: datetime) -> str:
    """A column without a zone ignores the one that is written."""
    return moment.replace(tzinfo=None).isoformat()


# The types.

_NOT_ZERO = "(?:[1-9][0-9]{3}|0[1-9][0-9]{2}|00[1-9][0-9]|000[1-9])"
_YEAR = rf"(?:[0-9]{{4}}|\+(?:0[1-9]|[1-9][0-9])[0-9]{{4}}|\+[1-9][0-9]{{6}}|-00{_NOT_ZERO})"
_DAY_SCHEMA = f"{_YEAR}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])"
_TIME_SCHEMA = "(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"
_CLOCK_SCHEMA = (
    r"(?:[01][0-9]|2[0-4]):[0-5][0-9]:(?:[0-5][0-9]|60)(?:\.[0-9]{1,6})?(?:[+-][0-9]{2}(?::[0-9]{2}){0,2})?"
)


def _instant(args: tuple[int, ...], *, zoned: bool) -> ValueType:
    precision = args[0] if args else 6
    clock = f'"T"HH24:MI:SS{_FRACTIONS.get(precision, f".FF{precision}")}"Z"'
    text = _instant_text(precision, b"+00" if zoned else b"")
    fraction = rf"\.[0-9]{{{precision}}}" if precision else ""
    return ValueType(
        line_sql=_instant_line_sql(precision, zoned=zoned),
        json_sql=lambda c: _json_sql(f"({c} AT TIME ZONE 'UTC')" if zoned else c, clock),
        text=text,
        strict=True,
        width=21 + precision if precision else 20,
        read=_read_time,
        write=_writer(text, lambda value: _printed_instant(value, precision), _iso),
        key=time_key,
        across=_instant_key,
        file_key=time_key,
        default_key=lambda value: _default_key(value, (lambda m: _unzoned(_utc(m))) if zoned else _unzoned),
        is_ordered=True,
        schema=matching(f"{_DAY_SCHEMA}T{_TIME_SCHEMA}{fraction}Z|-?infinity"),
    )


def _clock(args: tuple[int, ...], *, zoned: bool) -> ValueType:
    precision = args[0] if args else 6
    text = _clock_text(precision, _ZONE if zoned else "")
    key = _zoned_clock_key if zoned else _clock_key

    def from_python(value: Any) -> str:
        stored = _printed_clock(value, precision, zoned=zoned)
        # PostgreSQL's zones do not go as far as Python's.
        text(stored)
        return stored

    return ValueType(
        json_sql=quoted,
        line_sql=line_as_printed,
        text=text,
        strict=True,
        read=None if zoned else _read_clock,
        write=_writer(text, from_python, _iso_clock),
        key=key,
        file_key=key,
        default_key=lambda value: _default_key(
            value, lambda m: (m.timetz() if zoned else m.time()).isoformat(), is_clock=True
        ),
        is_ordered=True,
        schema=matching(_CLOCK_SCHEMA),
    )


TYPES.update(
    {
        "Timestamp": lambda args: _instant(args, zoned=False),
        "Timestamptz": lambda args: _instant(args, zoned=True),
        "Date": ValueType(
            json_sql=lambda c: _json_sql(c, ""),
            line_sql=lambda c, unlike: _line_sql(c, unlike, f"{c}::text"),
            text=_day_text,
            strict=True,
            read=_read_time,
            write=_writer(_day_text, _printed_day, _iso),
            key=time_key,
            across=_instant_key,
            file_key=time_key,
            default_key=lambda value: _default_key(value, lambda moment: moment.date().isoformat()),
            is_ordered=True,
            schema=matching(f"{_DAY_SCHEMA}|-?infinity"),
        ),
        "Time": lambda args: _clock(args, zoned=False),
        "Timetz": lambda args: _clock(args, zoned=True),
    }
)
