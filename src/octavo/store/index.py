"""Finds rows in memory by the values of some of their fields."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from octavo.layout.codec import Codec
from octavo.layout.keys import Key, key_getter
from octavo.layout.record import Row
from octavo.schema.datamodel import Datamodel, ScalarField
from octavo.values.base import ValueType
from octavo.values.registry import value_type

Values: TypeAlias = Any
"""The value of one field; of more, their tuple.  Stored ones, or what stands for them (:func:`identity`)."""


class Spec(NamedTuple):
    """What an index finds rows of this model by."""

    model: str
    fields: tuple[str, ...]


def identity(fields: Sequence[ScalarField], datamodel: Datamodel) -> Callable[[Values], Values] | None:
    """From stored values to what equal ones have in common (1.0 and 1.00 are equal); None where they have it
    themselves."""
    kinds = [value_type(f, datamodel) for f in fields]
    if not any(kind.identity for kind in kinds):
        return None

    def one(kind: ValueType, value: Any) -> Any:
        if kind.is_null(value):
            return None
        return value if kind.identity is None else kind.identity(value)

    if len(kinds) == 1:
        return lambda value: one(kinds[0], value)
    return lambda values: tuple(map(one, kinds, values))


def extractor(codec: Codec, names: Sequence[str]) -> Callable[[Row], Iterable[Values]]:
    """A function from a row to the values of these fields under which it is found.

    NULLs equal nothing, so values with one are left out.
    """
    fields = [codec.place.model.scalar(name) for name in names]
    get, same = key_getter(fields), identity(fields, codec.layout.datamodel)
    if same is None and not any(f.nullable for f in fields):
        return lambda row: (get(row),)

    def values(row: Row) -> Iterable[Values]:
        found = get(row) if same is None else same(get(row))
        return () if found is None or (len(fields) > 1 and None in found) else (found,)

    return values


class Index:
    """From values to the keys of the rows that are found under them."""

    def __init__(self, extract: Callable[[Row], Iterable[Values]], rows: Mapping[Key, Row]) -> None:
        self._extract = extract
        self._keys: dict[Values, dict[Key, None]] = {}
        for key, row in rows.items():
            self.add(key, row)

    def add(self, key: Key, row: Row) -> None:
        for values in self._extract(row):
            self._keys.setdefault(values, {})[key] = None

    def discard(self, key: Key, row: Row) -> None:
        for values in self._extract(row):
            if (keys := self._keys.get(values)) is not None:
                keys.pop(key, None)
                if not keys:
                    del self._keys[values]

    def find(self, values: Values) -> list[Key]:
        """The keys under these values."""
        return list(self._keys.get(values, ()))
