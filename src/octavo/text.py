"""Numbers, sizes and ages for people; regular expressions."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any, AnyStr, cast

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
    """How long ago something was, in its largest unit."""
    seconds = span.total_seconds()
    for unit, length in _UNITS:
        if seconds >= length:
            return f"{some(int(seconds // length), unit)} earlier"
    return "less than a minute earlier" if seconds >= 0 else "later than this report"


class _Pattern:
    """Compiles itself when the first of its methods is asked for, and keeps the compiled pattern's."""

    def __init__(self, *given: Any) -> None:
        self._given = given

    def __getattr__(self, name: str) -> Any:
        found = getattr(re.compile(*self._given), name)
        setattr(self, name, found)
        return found


def pattern(text: AnyStr, flags: int = 0) -> re.Pattern[AnyStr]:
    """A regular expression, compiled when it is first used: a process that starts needs few of them."""
    return cast("re.Pattern[AnyStr]", _Pattern(text, flags))
