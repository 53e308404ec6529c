"""Finds records in memory by the values of some of their fields."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from octavo.layout.layout import Kind
from octavo.layout.record import attribute
from octavo.layout.stored import Key, Stored, array_attribute, key_getter
from octavo.layout.storedcodec import Codec
from octavo.schema.datamodel import Datamodel, ScalarField
from octavo.values.base import ValueType
from octavo.values.registry import value_type

Values: TypeAlias = Any
"""The value of one field; of more, their tuple.  Stored ones, or what stands for them (:func:`identity`)."""


class Spec(NamedTuple):
    """What an index finds records of this model by."""

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


def extractor(host: Codec, spec: Spec) -> Callable[[Stored], Iterable[Values]]:
    """A function from a stored record to the values under which it is found.

    It is found under those of its own, or under those of each record of the spec's model that is embedded in
    it.  NULLs equal nothing, so values with one are left out.
    """
    if spec.model == host.place.model.name:
        return _own(host, spec)
    child = next(c for c in host.children if c.place.model.name == spec.model)
    return _embedded(host, child, spec)


def _own(host: Codec, spec: Spec) -> Callable[[Stored], Iterable[Values]]:
    fields = [host.place.model.scalar(name) for name in spec.fields]
    get, same = key_getter(fields), identity(fields, host.layout.datamodel)
    if same is None and not any(f.nullable for f in fields):
        return lambda stored: (get(stored),)

    def values(stored: Stored) -> Iterable[Values]:
        found = get(stored) if same is None else same(get(stored))
        return () if found is None or (len(fields) > 1 and None in found) else (found,)

    return values


def _embedded(host: Codec, child: Codec, spec: Spec) -> Callable[[Stored], Iterable[Values]]:
    relation = child.place.relation
    if child.place.kind is not Kind.EMBEDDED or relation is None:
        raise AssertionError(f"{spec.model} is not embedded")
    inherited = dict(zip(relation.fields, relation.references, strict=True))
    array = array_attribute(child.place)
    sources = [
        (True, attribute(host.place.model.scalar(inherited[name])))
        if name in inherited
        else (False, attribute(child.place.model.scalar(name)))
        for name in spec.fields
    ]

    same = identity([child.place.model.scalar(name) for name in spec.fields], host.layout.datamodel)

    def values(stored: Stored) -> Iterable[Values]:
        found = []
        for item in getattr(stored, array):
            parts = [getattr(stored if above else item, name) for above, name in sources]
            one = parts[0] if len(parts) == 1 else tuple(parts)
            if same is not None:
                one = same(one)
            if one is not None and not (len(parts) > 1 and None in one):
                found.append(one)
        return found

    return values


class Index:
    """From values to the keys of the records that are found under them."""

    def __init__(self, extract: Callable[[Stored], Iterable[Values]], records: Mapping[Key, Stored]) -> None:
        self._extract = extract
        self._keys: dict[Values, dict[Key, None]] = {}
        for key, stored in records.items():
            self.add(key, stored)

    def add(self, key: Key, stored: Stored) -> None:
        for values in self._extract(stored):
            self._keys.setdefault(values, {})[key] = None

    def discard(self, key: Key, stored: Stored) -> None:
        for values in self._extract(stored):
            if (keys := self._keys.get(values)) is not None:
                keys.pop(key, None)
                if not keys:
                    del self._keys[values]

    def find(self, values: Values) -> list[Key]:
        """The keys under these values."""
        return list(self._keys.get(values, ()))
