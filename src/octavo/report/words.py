"""Numbers, sizes and times as a report says them."""

from __future__ import annotations

from datetime import datetime, timedelta

from octavo.report.markup import Element, el

_UNITS = (("day", 86_400), ("hour", 3_600), ("minute", 60))


def some(number: int, thing: str, things: str = "") -> str:
    """A number of things: ``1 file``, ``2,000 files``."""
    return f"{number:,} {thing if number == 1 else things or thing + 's'}"


def size(number: float) -> str:
    """A number of bytes."""
    units = iter(("kB", "MB", "GB", "TB"))
    unit = "bytes"
    while number >= 1000 and (larger := next(units, None)):
        number, unit = number / 1000, larger
    return some(round(number), "byte") if unit == "bytes" else f"{number:,.1f} {unit}"


def age(span: timedelta) -> str:
    """How long ago something was: in its largest unit alone."""
    seconds = span.total_seconds()
    for unit, length in _UNITS:
        if seconds >= length:
            return f"{some(int(seconds // length), unit)} earlier"
    return "less than a minute earlier" if seconds >= 0 else "later than this report"


def moment(time: datetime) -> Element:
    """A moment in UTC, for people and for machines."""
    return el("time", f"{time:%Y-%m-%d %H:%M} UTC", datetime=time.isoformat())
