"""Times as a report says them."""

from __future__ import annotations

from datetime import datetime, timedelta

from octavo.report.markup import Element, el
from octavo.words import some

_UNITS = (("day", 86_400), ("hour", 3_600), ("minute", 60))


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
