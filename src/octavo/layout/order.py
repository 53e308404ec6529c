"""The order of records in a file: by ``createdAt`` where there is one, then by key, text by its UTF-8 bytes.

It is the order in which an export writes them, told from stored values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from operator import attrgetter
from typing import Any

from octavo.layout.record import attribute
from octavo.layout.values import read_float
from octavo.schema.datamodel import Model, ScalarField, ScalarKind


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
    if created is None or created.nullable or any(_sort_key(f) is not None for f in model.key_fields):
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


def _sort_key(field: ScalarField) -> Callable[[Any], Any] | None:
    """From a stored value to one that sorts as PostgreSQL sorts the column; None where it does itself."""
    return _KEYS.get(field.type) if field.kind is ScalarKind.SCALAR else None


_KEYS: dict[str, Callable[[Any], Any]] = {
    "DateTime": time_key,
    "BigInt": int,
    "Decimal": Decimal,
    "Float": read_float,
}
