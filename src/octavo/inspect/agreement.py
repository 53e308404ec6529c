"""What the client reads in the files, held against what :class:`octavo.layout.reader.Reader` reads there.

Both decode values by the same types.  Which lines of a log count, what a tombstone removes, in which file a
record belongs and whose key an embedded one has, each works out by itself.  A check of the files that asks
only one of them says nothing about what an application gets from the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TypeAlias

from msgspec import UNSET

from octavo.errors import DamagedError
from octavo.layout.codec import Values, _texts_maker
from octavo.layout.layout import Layout, Place
from octavo.layout.listing import File
from octavo.layout.scan import Entry
from octavo.layout.stored import SHA256, Key, Stored
from octavo.store.content import Contents
from octavo.store.rules import Codecs
from octavo.store.system import read_whole
from octavo.values.registry import value_type

_Name: TypeAlias = tuple[str | bytes | None, ...]
"""A record's model, then the values of its key as PostgreSQL's texts."""


class ClientReader:
    """Reads files as the client does."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self.codecs = Codecs(layout)
        self._contents: dict[str, Contents] = {}
        datamodel = layout.datamodel
        self._rows = {
            m.name: _texts_maker([(f, value_type(f, datamodel)) for f in m.scalars]) for m in datamodel.tables
        }

    def read(self, root: Path, file: File) -> Reading:
        """Read a file below ``root``."""
        family = file.family
        if family.path not in self._contents:
            self._contents[family.path] = Contents(family, self.codecs)
        live: dict[str, dict[Key, Stored]] = {}
        refused = None
        try:
            data, _ = read_whole(str(root / file.path))
            live = self._contents[family.path].records(file.path, data)
        except OSError as error:
            refused = DamagedError(f"cannot be read: {error.strerror}", file=file.path)
        except DamagedError as error:
            refused = error
        return Reading(self, file, live, refused)

    def values(self, model: str, stored: Stored) -> Values:
        """The row of a stored record, as PostgreSQL's texts."""
        return self._rows[model](self.codecs[model].record(stored))

    def embedded(self, model: str, stored: Stored) -> list[tuple[Place, Values]]:
        """The rows that are embedded in a stored record, as :attr:`Entry.embedded` has them."""
        codec = self.codecs[model]
        return [
            (child.place, self._rows[child.place.model.name](row))
            for child in codec.children
            for row in codec.embedded(stored, child)
        ]


class Reading:
    """What the client reads in one file; the other reader's records are held against it as they come."""

    def __init__(
        self,
        reader: ClientReader,
        file: File,
        live: Mapping[str, Mapping[Key, Stored]],
        refused: DamagedError | None,
    ) -> None:
        self._reader, self._file, self._live, self._refused = reader, file, live, refused
        self._left = {model: set(records) for model, records in live.items()}
        """the keys of the records that the other reader has not named"""
        self._unlike: dict[_Name, Entry] = {}
        """what the other reader said last of each record that the client reads otherwise"""
        self._is_twice = False
        """whether two records of a document have one key: the client refuses that, a check of keys tells"""

    def take(self, record: Entry) -> None:
        """Take a record, or a tombstone, of the other reader; of one key, the last counts."""
        model = record.place.model.name
        if self._refused is not None:
            name = model, *record.key
            self._is_twice |= name in self._unlike and not self._file.family.kind.is_log
            self._unlike[name] = record
            return
        key = self._key(model, record)
        stored = self._live[model].get(key)
        self._left[model].discard(key)
        is_there = stored is not None
        if is_there is record.deleted or (is_there and not self._is_same(record, stored)):
            self._unlike[model, *record.key] = record
        elif self._unlike:
            self._unlike.pop((model, *record.key), None)

    def _key(self, model: str, record: Entry) -> Key:
        """The key by which the client has a record; None: it has none like it."""
        if record.deleted or record.found is not None:
            return record.stored_key
        return self._by_text[model].get(tuple(record.key))

    @cached_property
    def _by_text(self) -> dict[str, dict[tuple[bytes | None, ...], Key]]:
        codecs = self._reader.codecs
        return {
            model: {tuple(codecs[model].keys.texts(key)): key for key in records}
            for model, records in self._live.items()
        }

    def _is_same(self, record: Entry, stored: Stored) -> bool:
        if record.found is not None and record.codec.is_plain and record.found.row == stored:
            return True
        model, sha256 = record.place.model.name, getattr(stored, SHA256, UNSET)
        return (
            record.values == self._reader.values(model, stored)
            and list(record.embedded) == self._reader.embedded(model, stored)
            and record.sha256 == (None if sha256 is UNSET else sha256)
        )

    def differences(self) -> Iterator[DamagedError]:
        """Where the two readers differ, once the other one has told everything, and has found no damage."""
        if self._refused is not None:
            if not self._is_twice:
                yield self._refused
            return
        for (model, *key), record in self._unlike.items():
            if record.deleted:
                reason = "the client reads a record that this line removes"
            elif tuple(key) in self._by_text[str(model)]:
                reason = "the client reads other values"
            else:
                reason = "the client does not read this record"
            yield self._error(reason, record.place.model.name, record.key, record.line)
        for model, keys in self._left.items():
            for key in keys:
                texts = self._reader.codecs[model].keys.texts(key)
                yield self._error("the client reads a record that does not count", model, texts)

    def _error(self, reason: str, model: str, key: Iterable[bytes | None], line: int = 0) -> DamagedError:
        error = DamagedError(reason, file=self._file.path, line=line, model=model)
        error.key_values = tuple(value for value in key if value is not None)
        return error
