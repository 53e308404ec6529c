"""Records between memory and the text of a file, with what the schema does not know kept as it stands.

A :class:`Codec` belongs to one place of the layout.  It decodes text to stored records (see
:mod:`octavo.layout.stored`), encodes them to the very bytes that an export writes, and turns stored records
into rows and back: an embedded record's row has its parent's key again, a row of its parent's model does not
show what is embedded in it.

Keys that the schema does not know travel with the stored record, out of sight, and are written again behind
all others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import msgspec
from msgspec import UNSET

from octavo.layout.keys import KeyForm
from octavo.layout.layout import VERSION, Kind, Layout, Place
from octavo.layout.record import Record, attribute
from octavo.layout.stored import (
    OWN_ATTRIBUTES,
    SHA256,
    TEXT,
    Key,
    Noted,
    Shape,
    Stored,
    array_attribute,
    encode,
    plain,
    value_of,
)
from octavo.values.json import one_line
from octavo.values.registry import is_exact
from octavo.values.tokens import Members, elements

if TYPE_CHECKING:
    from octavo.layout.unfold import Unfolder


class Codec:
    """Reads and writes the records of one place."""

    def __init__(self, layout: Layout, place: Place, shape: Shape | None = None) -> None:
        self.layout, self.place = layout, place
        self.shape = shape or Shape(layout, place)
        self.children = [Codec(layout, child.place, child) for child in self.shape.children]
        self.keys = KeyForm(place.model, layout.datamodel)
        self.key_of = self.keys.of
        """from a record, stored (unless embedded) or not, to its key"""
        self.decode_line = self.shape.decode
        self._unfolder: Unfolder | None = None
        self._to_record = _maker(self.shape)
        self._to_stored = _taker(self.shape)
        self._arrays = [(array_attribute(c.place), c.place.array) for c in self.children]
        self._texts = [f for f in place.fields if is_exact(f)]

    def decode(self, text: bytes) -> Stored:
        """The record that this text stands for.

        Raises DamagedError, with model and field and the line within the text, for anything that it cannot
        mean.
        """
        try:
            return self.shape.decode(text)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return self.carefully(text)

    def carefully(self, text: bytes) -> Stored:
        """The same for text that Octavo would have written otherwise: slower, and it keeps unknown keys."""
        self._careful.carefully(text)
        return self._of_members(Members(text))

    @property
    def _careful(self) -> Unfolder:
        if self._unfolder is None:
            from octavo.layout.unfold import Unfolder

            self._unfolder = Unfolder(self.layout, self.place)
        return self._unfolder

    def tombstone(self, text: bytes) -> Key:
        """The key that a tombstone's line removes.  Raises DamagedError."""
        self._careful.carefully(text)
        return self.keys.named(Members(text))

    def _of_members(self, found: Members) -> Stored:
        """The record of members that are known to be sound."""
        values: dict[str, Any] = {}
        for f, column in self.shape.columns:
            values[attribute(f)] = value_of(f, column, found.get(f.name))
            found.take_span(f.name)
        for child in self.children:
            span = found.take_span(child.place.array)
            inner = elements(found.text, *span) if span else ()
            values[array_attribute(child.place)] = [
                child._of_members(Members(found.text, first, last)) for first, last in inner
            ]
        for key, kind in self.shape.own.items():
            if (raw := found.get(key)) is not None:
                values[OWN_ATTRIBUTES[key]] = msgspec.json.decode(raw, type=kind)
            found.take_span(key)
        found.take_span("_model")
        stored = self.shape.type(**values)
        unknown = found.left_members()
        return Noted(stored, unknown) if unknown else stored

    def encode(self, stored: Stored) -> bytes:
        """The bytes of a record as they stand in its file: a line without its end, the content of a record
        file, or an element of a document's array."""
        kind = self.place.kind
        if kind.is_log:
            return self._text(stored, None) if self._has_unknown(stored) else encode(stored)
        if kind is Kind.FILE:
            return self._text(stored, 0) + b"\n"
        return self._text(stored, 2)

    def _has_unknown(self, stored: Stored) -> bool:
        return type(stored) is Noted or any(
            child._has_unknown(item)
            for child in self.children
            for item in getattr(stored, array_attribute(child.place))
        )

    def unknown_keys(self, stored: Stored) -> list[tuple[Place, str]]:
        """The keys that the schema does not know, in the record and in what is embedded in it."""
        found = [(self.place, key) for key, _ in _unknown(stored)]
        for child in self.children:
            for item in getattr(stored, array_attribute(child.place)):
                found += child.unknown_keys(item)
        return found

    def encode_tombstone(self, key: Key) -> bytes:
        """The line, without its end, that removes the record with this key."""
        return self.keys.tombstone(key)

    def _members(self, stored: Stored, depth: int | None) -> list[tuple[bytes, bytes]]:
        """Each member's key and value as JSON, in their order."""
        found: list[tuple[bytes, bytes]] = []
        if self.place.kind.is_log:
            found.append((b'"_model"', encode(self.place.model.name)))
        elif self.place.kind is Kind.FILE:
            found.append((b'"_version"', b"%d" % VERSION))
        for f, _ in self.shape.columns:
            if (value := getattr(stored, attribute(f))) is not UNSET:
                found.append((encode(f.name), encode(value)))
        for child in self.children:
            array = getattr(stored, array_attribute(child.place))
            found.append((encode(child.place.array), child._array(array, depth)))
        for key in self.shape.own:
            if key != "_version" and (value := getattr(stored, OWN_ATTRIBUTES[key])) is not UNSET:
                found.append((encode(key), encode(value)))
        found += [(encode(key), value) for key, value in _unknown(stored)]
        return found

    def _text(self, stored: Stored, depth: int | None) -> bytes:
        """A record as JSON: indented, its closing bracket at ``depth``; compact for None."""
        inner, outer = _line(depth, 1), _line(depth, 0)
        colon = b":" if depth is None else b": "
        members = [key + colon + value for key, value in self._members(stored, depth)]
        return b"{" + inner + (b"," + inner).join(members) + outer + b"}"

    def _array(self, array: Sequence[Stored], depth: int | None) -> bytes:
        """Embedded records as JSON, in a record whose closing bracket is at ``depth``."""
        if not array:
            return b"[]"
        inner, outer = _line(depth, 2), _line(depth, 1)
        below = None if depth is None else depth + 2
        return b"[" + inner + (b"," + inner).join([self._text(item, below) for item in array]) + outer + b"]"

    def record(self, stored: Stored) -> Record:
        """The row of a stored record's own model.  Of an embedded one, ask its parent's codec."""
        if self.shape.is_record:
            return cast(Record, plain(stored))
        return self._exact(self._to_record(stored), stored)

    def embedded(self, stored: Stored, child: Codec) -> list[Record]:
        """The rows of a child's model that are embedded in a stored record."""
        array = getattr(stored, array_attribute(child.place))
        if not array:
            return []
        relation = child.place.relation
        if relation is None:
            raise AssertionError(f"{child.place.model.name} is embedded without a parent")
        model, parent = child.place.model, self.place.model
        inherited = {
            attribute(model.scalar(own)): getattr(stored, attribute(parent.scalar(theirs)))
            for own, theirs in zip(relation.fields, relation.references, strict=True)
        }
        return [child._exact(child._to_record(item, **inherited), item) for item in array]

    def _exact(self, record: Record, stored: Stored) -> Record:
        """With the exact text of ``json`` columns, where their line in a log had to be another."""
        if not self._texts or (texts := getattr(stored, TEXT)) is UNSET:
            return record
        exact = {attribute(f): msgspec.Raw(texts[f.name].encode()) for f in self._texts if f.name in texts}
        return msgspec.structs.replace(record, **exact)

    def stored(
        self,
        record: Record,
        embedded: Mapping[str, Iterable[Stored]],
        before: Stored | None = None,
    ) -> Stored:
        """The stored record of a row and what is embedded in it: stored records by their array's name.

        What ``before`` holds beside that (its payload's digest, keys that the schema does not know) is kept.
        """
        unknown = _unknown(before)
        if self.shape.is_record:
            return Noted(record, unknown) if unknown else record
        values: dict[str, Any] = {name: list(embedded[array]) for name, array in self._arrays}
        if "_version" in self.shape.own:
            values[OWN_ATTRIBUTES["_version"]] = VERSION
        if before is not None and "_sha256" in self.shape.own:
            values[SHA256] = getattr(before, SHA256)
        stored = self._to_stored(record, **values)
        if self._texts and (lines := self._one_line(record)):
            stored = msgspec.structs.replace(stored, **lines)
        return Noted(stored, unknown) if unknown else stored

    def _one_line(self, record: Record) -> dict[str, Any]:
        changed: dict[str, Any] = {}
        texts: dict[str, str] = {}
        for f in self._texts:
            raw = getattr(record, attribute(f))
            if f.is_list or raw is UNSET:
                continue
            text = bytes(raw).decode()
            if (line := one_line(text)) != text.encode():
                changed[attribute(f)], texts[f.name] = msgspec.Raw(line), text
        return changed | ({TEXT: texts} if texts else {})


def _unknown(stored: Stored) -> tuple[tuple[str, bytes], ...]:
    """The members that the schema does not know."""
    return stored.unknown if type(stored) is Noted else ()


def _line(depth: int | None, more: int) -> bytes:
    """What separates tokens that stand on lines of their own."""
    return b"" if depth is None else b"\n" + b"  " * (depth + more)


def _maker(shape: Shape) -> Callable[..., Record]:
    """A function from a stored record to its row, written out attribute by attribute as that is quickest.

    It takes the attributes that an embedded record has from its parent by name.
    """
    return cast(Callable[..., Record], _copier(shape, shape.record_type))


def _taker(shape: Shape) -> Callable[..., Stored]:
    """The way back: it takes what is no column by name."""
    return _copier(shape, shape.type)


def _copier(shape: Shape, made: type) -> Callable[..., Any]:
    """A function from one object to another with the same columns, and more that are given by name."""
    attributes = [attribute(f) for f, _ in shape.columns]
    values = ", ".join(f"{name}=source.{name}" for name in attributes)
    names: dict[str, Any] = {"Made": made}
    exec(f"def copy(source, **more):\n    return Made({values}, **more)\n", names)
    return cast(Callable[..., Any], names["copy"])
