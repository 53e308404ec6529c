"""The texts of records, as the index of texts has them, and the files that they are in."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any, TypeAlias

import msgspec

from octavo.layout.codec import Codec
from octavo.layout.keys import Key
from octavo.layout.layout import Kind, Place
from octavo.layout.record import Row, attribute, plain
from octavo.store.families.base import Family, list_files, read_file
from octavo.store.families.parents import ParentLogs
from octavo.store.system import Signature
from octavo.values.tokens import Members
from octavo.values.words import folded

_STATE = struct.Struct("<QQqq")
NUL = "\x01"
"""stands in the index for U+0000, which no question has, and at which FTS5 ends a text"""

Keyed: TypeAlias = "tuple[str, Key]"
"""Model and key of a record."""


class Texts:
    """The texts of one model's records."""

    def __init__(self, number: int, place: Place, codec: Codec) -> None:
        self.number, self.name, self.codec, self.fields = number, place.model.name, codec, place.search
        self._attributes = [attribute(place.model.scalar(name)) for name in place.search]

    def of(self, row: Row) -> list[str]:
        """The folded texts of a row, field by field."""
        record = plain(row)
        found = (getattr(record, name) for name in self._attributes)
        return [_indexable(text) if isinstance(text, str) else "" for text in found]

    def key(self, key: Key) -> bytes:
        members = self.codec.keys.members(key)
        return b"{%b}" % b",".join(msgspec.json.encode(n) + b":" + value for n, value in members.items())

    def key_of(self, text: bytes) -> Key:
        return self.codec.keys.named(Members(text))

    @property
    def columns(self) -> list[str]:
        return [f"f{number}" for number in range(len(self.fields))]

    @property
    def grams(self) -> str:
        return f"grams{self.number}"

    @property
    def words(self) -> str:
        return f"words{self.number}"

    @property
    def script(self) -> list[str]:
        columns = ", ".join(self.columns)
        return [
            f"CREATE VIRTUAL TABLE {self.grams} USING fts5"
            "(t, content='', detail=none, columnsize=0, tokenize='trigram case_sensitive 1')",
            f"CREATE VIRTUAL TABLE {self.words} USING fts5({columns}, content='', tokenize='ascii')",
        ]


def _indexable(text: str) -> str:
    found = folded(text.replace("\0", NUL)) if "\0" in text else folded(text)
    return found if found.isascii() else found.encode("utf-8", "replace").decode()


Entry: TypeAlias = tuple[Texts, bytes, list[str]]
"""The texts of a record, its key as the index has it, and what they are."""


def packed(state: Signature | None) -> bytes | None:
    return None if state is None else _STATE.pack(*state)


class Reading:
    """A file that was read, and is being indexed piece by piece."""

    def __init__(self, file: str, found: Signature, entries: list[Entry]) -> None:
        self.file, self.found, self.entries = file, found, entries
        self.at = 0
        """the entries before this one are indexed"""
        self.had: dict[tuple[int, bytes], tuple[int, bytes]] | None = None
        """number and digest of the records that the index has of it, and that were not come upon yet"""

    @property
    def left(self) -> int:
        return len(self.entries) - self.at


class Files:
    """The files of one family: what the index has of them."""

    def __init__(self, number: int, family: Family, models: Mapping[str, Texts]) -> None:
        self.number, self.family, self.models = number, family, models
        self.doubtful: set[str] | None = None
        """the files that may not be as the index has them; None: any may not be"""
        self.pending: dict[Keyed, None] = {}
        """the records that commits of this process have changed, and the index has not noted"""
        self.advanced: dict[str, tuple[bytes | None, bytes | None]] = {}
        """of their files the state before the first of these commits, and the one after the last"""
        self.reading: Reading | None = None
        self.generation = 0
        """the index file that this is known of"""
        self.unlooked = 0
        """questions for which the files are not looked at, since they were too few"""

    def is_current(self, file: str, noted: bytes | None, state: bytes | None) -> bool:
        """Whether a file in a state is as the index has it, which has noted one of it, or differs from that
        in pending records alone."""
        return noted == state or self.advanced.get(file) == (noted, state)

    def names(self) -> set[str]:
        """The files that there are.  Raises DamagedError if one is missing that must be there."""
        family = self.family
        if isinstance(family, ParentLogs):
            return family.existing()
        if family.family.varies:
            return set(list_files(family.world, family.family))
        return {family.family.path}

    def read(self, file: str) -> Reading:
        """A file, to be indexed.

        Raises DamagedError, DiskError, Stale.
        """
        family = self.family
        data, found = read_file(family.world, file)
        if family.family.kind.is_log:
            log = family.scanner.log(file, data)
            live: dict[str, Any] = log.live | log.embedded
        elif family.family.kind is Kind.DOCUMENT:
            document = family.scanner.document(file, data)
            live = dict(document.live)
        else:
            key, decoded = family.scanner.record_file(file, data)
            (model,) = family.codecs
            live = {model: {key: decoded.row}, **family.codecs[model].by_key([decoded], file)}
        entries = [
            (texts, texts.key(key), texts.of(row))
            for model, texts in self.models.items()
            for key, row in live.get(model, {}).items()
        ]
        return Reading(file, found, entries)

    def file_of(self, model: str, row: Row) -> str:
        """The file that a row is in."""
        family = self.family
        if (child := family.children.get(model)) is not None:
            key = child.host_of(row)
        elif isinstance(family, ParentLogs):
            key = family.parent_of(row)
        else:
            key = family.codecs[model].key_of(row)
        return family.scanner.namer.file(key) if family.family.varies else family.family.path
