"""From records to Prisma's JSON, straight from their stored form.

A :class:`Shape` is what a selection shows of a record.  Its fields become the members of a struct that
msgspec prints; Json, times and decimals go out as the texts that the store holds, in a tag that says what
they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from operator import attrgetter
from typing import Any, TypeAlias

import msgspec
from msgspec import UNSET, Struct

from octavo.layout.record import attribute
from octavo.query.result import Result, record_of
from octavo.schema.native import NATIVE_TYPES
from octavo.serve.view import SeenField
from octavo.values.json import json_text

encode = msgspec.json.Encoder(decimal_format="string").encode

SLICE = 500
"""records of a piece of an answer"""


class _Tagged(Struct, frozen=True, gc=False, tag_field="$type"):
    value: Any


class DateTime(_Tagged, frozen=True, gc=False, tag="DateTime"):
    """A moment, as the store spells it."""


class BigInt(_Tagged, frozen=True, gc=False, tag="BigInt"): ...


class Decimals(_Tagged, frozen=True, gc=False, tag="Decimal"): ...


class Bytes(_Tagged, frozen=True, gc=False, tag="Bytes"): ...


class Json(_Tagged, frozen=True, gc=False, tag="Json"):
    """Json, as the text that the store holds."""


Wrap: TypeAlias = Callable[[Any], Any]


def _json(stored: Any) -> Any:
    return None if stored is UNSET else Json(bytes(stored).decode())


def _clock(stored: str | None) -> DateTime | None:
    """A time of day is a moment of 1970-01-01."""
    if stored is None:
        return None
    zoned = stored[-3:-2] in "+-" or stored[-6:-5] in "+-"
    return DateTime(f"1970-01-01T{stored}" if zoned else f"1970-01-01T{stored}Z")


def _tagged(kind: type[_Tagged]) -> Wrap:
    return lambda stored: None if stored is None else kind(stored)


_WRAPS: dict[str, Wrap] = {
    "DateTime": _tagged(DateTime),
    "BigInt": _tagged(BigInt),
    "Decimal": _tagged(Decimals),
    "Bytes": _tagged(Bytes),
    "Json": _json,
}


def wrap_of(field: SeenField) -> Wrap | None:
    """How the stored form of a field goes out; None: as it is."""
    stored = field.stored
    found: Wrap | None
    if stored.kind != "scalar":
        found = None
    elif stored.native is not None and NATIVE_TYPES[stored.native.name].catalog in ("time", "timetz"):
        found = _clock
    else:
        found = _WRAPS.get(stored.type)
    if not stored.is_list:
        return found
    if (one := found) is None:
        return lambda values: [] if values is None else values
    return lambda values: [] if values is None else [one(value) for value in values]


@lru_cache(1024)
def _struct(name: str, members: tuple[str, ...]) -> Callable[..., Any]:
    """A struct whose JSON has these members."""
    return msgspec.defstruct(
        name,
        [f"f{n}" for n in range(len(members))],
        rename={f"f{n}": member for n, member in enumerate(members)},
        frozen=True,
        gc=False,
    )


class Shape:
    """What a selection shows of a model's records."""

    def __init__(
        self,
        name: str,
        fields: Sequence[tuple[str, SeenField]],
        relations: Sequence[tuple[str, str, Shape, bool]] = (),
        counts: Sequence[tuple[str, str]] | None = None,
        order: Sequence[str] = (),
    ) -> None:
        """``fields`` by the client's names; ``relations``: the client's name, the store's, what is shown of
        its records, and whether they are many; ``counts``: of ``_count``, both names; ``order``: of all the
        members, where fields do not come first."""
        self._relations, self._counts = tuple(relations), counts
        attributes = [attribute(field.stored) for _, field in fields]
        self._get: Callable[[Any], Any] = attrgetter(*attributes) if attributes else lambda record: ()
        self._is_single = len(attributes) == 1
        self._wraps = [
            (n, wrap) for n, (_, field) in enumerate(fields) if (wrap := wrap_of(field)) is not None
        ]
        names = [name for name, _ in fields] + [name for name, *_ in relations]
        names += [] if counts is None else ["_count"]
        places = [names.index(member) for member in order]
        self._places = places if places != list(range(len(places))) else None
        self._type = _struct(name, tuple(order or names))

    def shown(self, record: Any) -> Any:
        """A record, or None, as it goes out."""
        if record is None:
            return None
        row = record if type(record) is not Result else record_of(record)
        values = [self._get(row)] if self._is_single else list(self._get(row))
        for n, wrap in self._wraps:
            values[n] = wrap(values[n])
        if self._relations or self._counts is not None:
            self._add_related(record, values)
            if self._places is not None:
                values = [values[n] for n in self._places]
        return self._type(*values)

    def _add_related(self, record: Any, values: list[Any]) -> None:
        for _, stored, shape, is_list in self._relations:
            linked = getattr(record, stored)
            values.append([shape.shown(r) for r in linked] if is_list else shape.shown(linked))
        if self._counts is not None:
            numbers = record._count
            values.append({name: getattr(numbers, stored) for name, stored in self._counts})


def pieces(name: str, records: Sequence[Any], shape: Shape) -> Iterator[bytes]:
    """An answer of many records, piece by piece."""
    yield b'{"data":{"' + name.encode() + b'":['
    for start in range(0, len(records), SLICE):
        text = encode([shape.shown(record) for record in records[start : start + SLICE]])
        yield (b"," if start else b"") + text[1:-1]
    yield b"]}}"


def value_of(value: Any, field: SeenField) -> Any:
    """A Python value of a field (in a group, or of an aggregate) as it goes out."""
    match value:
        case None:
            return None
        case list() | tuple():
            return [value_of(item, field) for item in value]
        case _ if field.field.is_json:
            return Json(json_text(value))
        case int() if field.field.type == "BigInt":
            return BigInt(str(value))
        case Decimal():
            return Decimals(str(value))
        case datetime():
            return DateTime(value.isoformat(timespec="milliseconds").replace("+00:00", "Z"))
        case bytes():
            return Bytes(value)
    return value
