"""The order of records in a file: by ``createdAt`` where there is one, then by key, text by its UTF-8 bytes.

It is the order in which an export writes them, told from stored values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import compress, count
from operator import attrgetter, eq, le
from typing import Any

from octavo.layout.record import attribute
from octavo.schema.datamodel import Model
from octavo.values.registry import file_key
from octavo.values.time import time_key


def file_order(model: Model) -> Callable[[Any], Any]:
    """A sort key for records of this model, stored or not, as they follow each other in a file."""
    fields = (*([model.created] if model.created else ()), *model.key_fields)
    parts = [(attrgetter(attribute(f)), file_key(f), f.nullable) for f in fields]

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
    order, created = file_order(model), model.created
    is_instant = created is not None and file_key(created) is time_key
    if created is None or created.nullable or not is_instant or any(map(file_key, model.key_fields)):
        return lambda records: sorted(records, key=order)
    time_of = attrgetter(attribute(created))
    plainly = attrgetter(attribute(created), *map(attribute, model.key_fields))

    def in_order(records: Iterable[Any]) -> list[Any]:
        found = list(records)
        times = list(map(time_of, found))
        # All but infinities and years that need a sign begin with a digit, and sort as texts.
        if not times or not (min(times)[0].isdigit() and max(times)[0].isdigit()):
            return sorted(found, key=order)
        # A log mostly grows as time passes.
        later = times[1:]
        if not all(map(le, times, later)):
            return sorted(found, key=plainly)
        equal = compress(count(), map(eq, times, later))
        if all(plainly(found[n]) < plainly(found[n + 1]) for n in equal):
            return found
        return sorted(found, key=plainly)

    return in_order
