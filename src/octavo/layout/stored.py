"""A record as it stands in a file: its columns, what is embedded in it, and Octavo's own keys.

A :class:`Shape` is built from the layout for each place.  Its ``type`` is what msgspec decodes such a record
as; it refuses unknown keys and wrong types and never guesses.  Where a record has nothing but columns, a line
of a log of messages, that type is the record's own (:func:`octavo.layout.record.record_type`), so that
reading it is decoding it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, TypeAlias, cast

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import astuple

from octavo.layout.layout import VERSION, Kind, Layout, Place
from octavo.layout.record import attribute, member, record_type
from octavo.schema.datamodel import ScalarField
from octavo.values.base import ValueType
from octavo.values.registry import is_exact, value_type
from octavo.values.tokens import elements

Stored: TypeAlias = Any
"""An object of some :attr:`Shape.type`."""

Key: TypeAlias = Any
"""What identifies a record of a model: the key's value in its stored form; of several fields, their tuple.
A value whose stored form is raw JSON, which has no hash, is its bytes (:mod:`octavo.layout.keys`)."""

SHA256, TEXT = "_0sha256", "_0text"
"""the attributes of Octavo's own keys ``_sha256`` and ``_text``, which no field's can be"""
OWN_ATTRIBUTES = {"_version": "_0version", "_sha256": SHA256, "_text": TEXT}

encode = msgspec.json.Encoder().encode


class _StoredRecord(msgspec.Struct, frozen=True, gc=False):
    """Shows nothing of itself, as it may hold secrets."""

    def __repr__(self) -> str:
        return f"<stored {type(self).__name__}>"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return []


class Noted:
    """A stored record with members that the schema does not know: in everything else it is that record."""

    __slots__ = ("stored", "unknown")

    def __init__(self, stored: Stored, unknown: tuple[tuple[str, bytes], ...]) -> None:
        self.stored, self.unknown = stored, unknown

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stored, name)

    def __repr__(self) -> str:
        return repr(self.stored)


def plain(stored: Stored) -> Stored:
    """A stored record without what the schema does not know."""
    return stored.stored if type(stored) is Noted else stored


def replaced(record: Any, **values: Any) -> Any:
    """A copy of a record, stored or not, with other values; what the schema does not know stays."""
    made = msgspec.structs.replace(plain(record), **values)
    return Noted(made, record.unknown) if type(record) is Noted else made


class Shape:
    """How the records of one place look in their file, with what is embedded in them."""

    def __init__(self, layout: Layout, place: Place) -> None:
        self.place = place
        self.record_type = record_type(place.model, layout.datamodel)
        self.columns = [(f, value_type(f, layout.datamodel)) for f in place.fields]
        self.children = [Shape(layout, child) for child in layout.embedded(place.model.name)]
        self.own = _own_keys(place)
        self.is_record = place.kind.is_log and not self.children and not self.own
        self.type = self.record_type if self.is_record else self._struct(layout)
        self._arrays = [array_attribute(child.place) for child in self.children]
        self._decode = msgspec.json.Decoder(self.type).decode

    def _struct(self, layout: Layout) -> type[msgspec.Struct]:
        fields: list[Any] = [(attribute(f), *member(f, layout.datamodel)) for f, _ in self.columns]
        names = {attribute(f): f.name for f, _ in self.columns}
        for child in self.children:
            fields.append((array_attribute(child.place), list[child.type]))  # type: ignore[name-defined]
            names[array_attribute(child.place)] = child.place.array
        for key, kind in self.own.items():
            attr = OWN_ATTRIBUTES[key]
            fields.append((attr, kind) if key == "_version" else (attr, kind | UnsetType, UNSET))
            names[attr] = key
        tag = {"tag_field": "_model", "tag": self.place.model.name} if self.place.kind.is_log else {}
        return msgspec.defstruct(
            self.place.model.name,
            fields,
            bases=(_StoredRecord,),
            rename=names,
            kw_only=True,
            frozen=True,
            gc=False,
            forbid_unknown_fields=True,
            **tag,  # type: ignore[arg-type]
        )

    def decode(self, text: bytes) -> Stored:
        """What Octavo itself wrote, decoded.

        Raises msgspec's errors, ValueError or RecursionError for anything else, which may be sound all the
        same: with white space of its own, keys that the schema does not know, or nested too deep.
        """
        decoded = self._decode(text)
        if not self.is_as_written(decoded, text):
            raise ValueError("is not as written")
        return decoded

    def is_as_written(self, decoded: Stored, text: bytes) -> bool:
        """Whether the text is as long as the one that Octavo writes.

        That one has no spare byte, so a text of its length has no key twice.
        """
        length = len(encode(decoded))
        if self.place.kind is Kind.FILE:
            length += self._white_space(decoded, 0) + 1
        elif self.place.kind is Kind.DOCUMENT:
            length += self._white_space(decoded, 2)
        return length == len(text)

    def _white_space(self, decoded: Stored, depth: int) -> int:
        """The bytes that indenting this record by 2 takes, at this depth."""
        there = sum(item is not UNSET for item in astuple(decoded))
        size = there * (2 * depth + 4) + 2 * depth + 1
        for child, name in zip(self.children, self._arrays, strict=True):
            if array := getattr(decoded, name):
                size += len(array) * (2 * depth + 5) + 2 * depth + 3
                size += sum(child._white_space(item, depth + 2) for item in array)
        return size


def key_getter(fields: Iterable[ScalarField]) -> Callable[[Any], Key]:
    """A function from a record to the stored values of these fields: the value of one, the tuple of more."""
    return _getter([attribute(f) for f in fields])


def _getter(names: Sequence[str]) -> Callable[[Any], Key]:
    from operator import attrgetter

    return cast(Callable[[Any], Key], attrgetter(*names))


def array_attribute(place: Place) -> str:
    """The attribute that holds the array of an embedded place in its parent's stored record."""
    return f"_{place.array}"


def _own_keys(place: Place) -> dict[str, Any]:
    """Octavo's own keys in a record of this place, beside ``_model``, with their types, in their order."""
    own: dict[str, Any] = {}
    if place.kind is Kind.FILE:
        own["_version"] = Literal[VERSION]
    if any(is_exact(f) for f in place.fields):
        own["_text"] = dict[str, str]
    if place.payload:
        own["_sha256"] = str
    return own


def value_of(field: ScalarField, column: ValueType, raw: bytes | None) -> Any:
    """The stored form of a member that is known to be sound; UNSET of one that is left out."""
    if raw is None:
        return UNSET
    if column.decoded is msgspec.Raw:
        return msgspec.Raw(raw)
    if field.nullable and raw == b"null":
        return None
    if column.decoded == list[msgspec.Raw]:
        return [msgspec.Raw(raw[start:end]) for start, end in elements(raw)]
    return msgspec.json.decode(raw, type=column.decoded)


def version(raw: bytes | None) -> None:
    """Check what stands under ``_version``.  Raises ValueError."""
    if raw is None:
        raise ValueError("is missing")
    if raw != b"%d" % VERSION:
        found = raw[:20].decode("utf-8", "replace")
        raise ValueError(f"is format version {found}; this Octavo reads {VERSION}")
