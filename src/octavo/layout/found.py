"""What a scan finds in a file: records, tombstones, keys that the schema does not know, and damage."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

import msgspec

from octavo.errors import DamagedError
from octavo.layout.codec import Codec, Decoded, Values
from octavo.layout.keys import Key
from octavo.layout.layout import Place
from octavo.layout.record import Row, digest_of, plain


class UnknownKey(msgspec.Struct, frozen=True):
    """A key of a document that the schema does not know: kept, reported, no damage."""

    file: str
    key: str
    value: bytes


class Entry:
    """A record in a file, with what is embedded in it; or a tombstone."""

    __slots__ = ("_values", "codec", "found", "line", "span", "stored_key")

    def __init__(
        self, codec: Codec, found: Decoded | None, key: Key, line: int = 0, span: tuple[int, int] = (0, 0)
    ) -> None:
        self.codec, self.found = codec, found
        self.stored_key = key
        self.line, self.span = line, span
        self._values: Values | None = None

    @property
    def place(self) -> Place:
        return self.codec.place

    @property
    def identity(self) -> tuple[str, Key]:
        """The record's model and key."""
        return self.codec.name, self.stored_key

    @property
    def deleted(self) -> bool:
        """Whether it is a tombstone."""
        return self.found is None

    @property
    def values(self) -> Values:
        """Its row as PostgreSQL's texts; of a tombstone, its key alone."""
        found = self._values
        if found is None:
            if self.found is None:
                found = list(self.codec.keys.texts(self.stored_key))
            else:
                found = self.codec.texts(plain(self.found.row))
            self._values = found
        return found

    @property
    def key(self) -> Values:
        """The values of the key as PostgreSQL's texts, in the order of its fields."""
        values = self.values
        return values if self.found is None else [values[at] for at in self.codec.key_at]

    @property
    def embedded(self) -> list[tuple[Place, Values]]:
        """The rows embedded in it as PostgreSQL's texts, each with its place."""
        if self.found is None or not self.found.embedded:
            return []
        embedded = self.found.embedded
        return [(c.place, c.texts(plain(row))) for c in self.codec.children for row in embedded[c.name]]

    @property
    def sha256(self) -> str | None:
        """The digest of its payload, if it has one."""
        return None if self.found is None else digest_of(self.found.row)

    @property
    def unknown(self) -> list[tuple[Place, str]]:
        """The keys that the schema does not know, with the place they stand in."""
        return [] if self.found is None else self.codec.unknown_keys(self.found)


Found: TypeAlias = "Entry | DamagedError | UnknownKey"


class Many(msgspec.Struct, frozen=True):
    """Whole lines of a log that has records of one model, each line a record as Octavo writes it."""

    codec: Codec
    items: list[Any]
    """of each line its row; where more than a row stands in lines, its :class:`Decoded`"""
    text: bytes
    line: int
    """the number of the first"""
    at: int
    """where that begins"""

    @property
    def rows(self) -> list[Row]:
        return self.items if self.codec.is_plain else [record.row for record in self.items]

    @property
    def keys(self) -> list[Key]:
        return list(map(self.codec.key_of, self.rows))

    def of(self, place: Place) -> tuple[Codec, list[Row]]:
        """The rows of a model, with their codec: the records' own, or those embedded in them."""
        if place is self.codec.place:
            return self.codec, self.rows
        codec = next(child for child in self.codec.children if child.place is place)
        embedded = (record.embedded for record in self.items)
        return codec, [row for inner in embedded if inner for row in inner[codec.name]]

    def each(self) -> Iterator[Entry]:
        codec, plain, end = self.codec, self.codec.is_plain, self.at
        texts = self.text.split(b"\n")
        for number, (item, key) in enumerate(zip(self.items, self.keys, strict=True)):
            start, end = end, end + len(texts[number]) + 1
            found = Decoded(item) if plain else item
            yield Entry(codec, found, key, self.line + number, (start, end))
