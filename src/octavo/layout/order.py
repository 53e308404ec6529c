"""The order of records in a file: by ``createdAt`` where there is one, then by key, text by its UTF-8 bytes.

It is the order in which an export writes them, told from stored values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from math import isnan
from operator import attrgetter
from typing import Any

from octavo.layout.record import attribute
from octavo.layout.values import read_float
from octavo.schema.datamodel import Model, ScalarField, ScalarKind
from octavo.schema.sql import native_type


def file_order(model: Model) -> Callable[[Any], Any]:
    """A sort key for records of this model, stored or not, as they follow each other in a file."""
    created = [f for f in model.scalars if f.name == "createdAt" and f.type == "DateTime"]
    parts = [(attrgetter(attribute(f)), _sort_key(f), f.nullable) for f in (*created, *model.key_fields)]

    def order(record: Any) -> tuple[Any, ...]:
        found: list[Any] = []
        for get, key, nullable in parts:
            value = get(record)
            if nullable:
                found.append(value is None)
            found.append(value if key is None or value is None else key(value))
        return tuple(found)

    return order


def in_file_order(model: Model) -> Callable[[Iterable[Any]], list[Any]]:
    """A function that puts records of this model in order, at little cost where they are already."""
    order = file_order(model)
    created = next((f for f in model.scalars if f.name == "createdAt" and f.type == "DateTime"), None)
    is_instant = created is not None and _sort_key(created) is time_key
    if created is None or created.nullable or not is_instant or any(map(_sort_key, model.key_fields)):
        return lambda records: sorted(records, key=order)
    time_of = attrgetter(attribute(created))
    plainly = attrgetter(attribute(created), *map(attribute, model.key_fields))

    def in_order(records: Iterable[Any]) -> list[Any]:
        found = list(records)
        times = list(map(time_of, found))
        ordered = sorted(times)
        # All but infinities and years that need a sign begin with a digit, and sort as texts.
        if not times or not (ordered[0][0].isdigit() and ordered[-1][0].isdigit()):
            return sorted(found, key=order)
        # A log mostly grows as time passes.
        if times == ordered and len(set(times)) == len(times):
            return found
        return sorted(found, key=plainly)

    return in_order


def time_key(text: str) -> str:
    """A text that sorts as the time that a DateTime's text stands for."""
    if text[0].isdigit():
        return text
    if text in ("infinity", "-infinity"):
        return ";" if text == "infinity" else ""
    year, rest = text.split("-", 1) if text[0] == "+" else text[1:].split("-", 1)
    # ``-`` sorts before every digit and ``:`` behind.
    return f":{int(year):07}-{rest}" if text[0] == "+" else f"-{10**7 - int(year):08}-{rest}"


def clock_key(text: str) -> tuple[int, int]:
    """A time of day, as ``time`` compares."""
    whole, _, fraction = text.partition(".")
    parts = [int(p) for p in whole.split(":")] + [0, 0]
    return parts[0] * 3600 + parts[1] * 60 + parts[2], int(fraction.ljust(6, "0") or 0)


def zoned_clock_key(text: str) -> tuple[int, int]:
    """A time of day in a zone, as ``timetz`` compares: by the instant, then the zone further east first."""
    at = max(text.rfind("+"), text.rfind("-"))
    east = clock_key(text[at + 1 :])[0] * (-1 if text[at] == "-" else 1)
    seconds, micros = clock_key(text[:at])
    return (seconds - east) * 1_000_000 + micros, -east


def decimal_key(text: str) -> tuple[bool, Decimal]:
    """NaN is the greatest."""
    return (True, Decimal()) if text == "NaN" else (False, Decimal(text))


def float_key(raw: Any) -> tuple[bool, float]:
    """NaN is the greatest.  Takes null, too."""
    number = read_float(raw)
    return (True, 0.0) if number is None or isnan(number) else (False, number)


def _sort_key(field: ScalarField) -> Callable[[Any], Any] | None:
    """From a stored value to one that sorts as :attr:`ColumnType.order_sql` sorts the column; None where it
    does itself."""
    if field.kind is not ScalarKind.SCALAR:
        return None
    return _BY_NATIVE.get(native_type(field).name) or _BY_SCALAR.get(field.type)


_BY_NATIVE: dict[str, Callable[[Any], Any]] = {"Time": clock_key, "Timetz": zoned_clock_key}
_BY_SCALAR: dict[str, Callable[[Any], Any]] = {
    "DateTime": time_key,
    "BigInt": int,
    "Decimal": decimal_key,
    "Float": float_key,
    "Json": bytes,
}
