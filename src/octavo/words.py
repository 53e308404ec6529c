"""Numbers and sizes for people."""

from __future__ import annotations


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
