"""The files of the new store, from records that come in any order.

They are the bytes that an export writes.  Records of a log or a document are sorted in runs on disk; those
that are embedded, and did not come with their parent, wait in a scratch file until it is written.
"""

from __future__ import annotations

import os
import pickle
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import groupby
from pathlib import Path
from typing import Any, BinaryIO

from octavo.evolve.sorting import Sorter
from octavo.inspect.integrity import scratch
from octavo.layout.codec import NONE, Codec, Codecs, Namer
from octavo.layout.fold import logs_of
from octavo.layout.layout import VERSION, FileFamily, Kind, Layout
from octavo.layout.record import Noted, Record, Row, digest_of, encode, noted, plain
from octavo.store import disk
from octavo.store.system import FILE_MODE, open_privately

_BUFFER = 1 << 17


class NewFiles:
    """Writes the files of a layout below ``root``.  A context manager."""

    def __init__(self, layout: Layout, root: Path, codecs: Codecs, arriving: frozenset[str]) -> None:
        """``arriving``: the embedded models whose records come with their parent's."""
        self.layout, self.root, self._codecs = layout, root, codecs
        self.unknown: dict[str, list[tuple[str, bytes]]] = {}
        """of each document the keys that no schema knows"""
        self._stack = ExitStack()
        self._sorters: dict[str, Sorter] = {}
        self._namers: dict[str, Namer] = {}
        embedded = {p.model.name: p.relation for p in layout.places if p.kind is Kind.EMBEDDED}
        self._waiting = {name: r for name, r in embedded.items() if r is not None and name not in arriving}
        """the others, each with the relation to its parent"""
        self._joined = {relation.parent for relation in self._waiting.values()}
        """the models whose records wait for these"""
        self._owned = {p.model.name: logs_of(layout, p.model) for p in layout.places}
        self._scratch: sqlite3.Connection | None = None

    def __enter__(self) -> NewFiles:
        if self._waiting:
            self._scratch = self._stack.enter_context(scratch(self.root / "cache"))
            self._scratch.execute("CREATE TABLE waiting (model, parent, row)")
            self._scratch.execute("BEGIN")
        return self

    def __exit__(self, *_: object) -> None:
        for sorter in self._sorters.values():
            sorter.close()
        self._stack.close()

    # Taking

    def put(self, model: str, row: Row, embedded: Mapping[str, Sequence[Row]] = NONE) -> None:
        """Take a record, with those that are embedded in it and have come with it.  Raises OSError."""
        codec = self._codecs[model]
        if model in self._waiting:
            self._wait(codec, row)
            return
        kind = codec.place.kind
        for place in self._owned[model]:
            self._touch(place.file_for(self._key_texts(codec, row)))
        if kind is Kind.FILE and model not in self._joined:
            self._record_file(codec, row, codec.encode(row, embedded))
            return
        order: Any = codec.order(row)
        if kind is Kind.LOG_PER_PARENT:
            namer = self._namer(codec)
            order = namer.file(namer.values_of(row)), order
        if model in self._joined:
            item: Any = packed(row), {name: list(map(packed, rows)) for name, rows in embedded.items()}
            size = 500 + 200 * sum(map(len, embedded.values()))
        else:
            item = codec.encode(row, embedded)
            size = len(item) + 100
        if model not in self._sorters:
            self._sorters[model] = Sorter(self.root)
        self._sorters[model].add(order, item, size)

    def _namer(self, codec: Codec) -> Namer:
        found = self._namers.get(codec.name)
        return found or self._namers.setdefault(codec.name, Namer(codec))

    @staticmethod
    def _key_texts(codec: Codec, row: Row) -> list[str]:
        return [text.decode() for text in codec.keys.texts(codec.key_of(row))]

    def _wait(self, codec: Codec, row: Row) -> None:
        assert self._scratch is not None
        values, names = codec.texts(plain(row)), [f.name for f in codec.place.model.scalars]
        parent = [values[names.index(name)] or b"" for name in self._waiting[codec.name].fields]
        self._scratch.execute(
            "INSERT INTO waiting VALUES (?, ?, ?)",
            (codec.name, b"\0".join(parent), pickle.dumps(packed(row))),
        )

    # Writing

    def finish(self) -> None:
        """Write what is left to write.  Raises OSError."""
        if self._scratch is not None:
            self._scratch.execute("CREATE INDEX by_parent ON waiting (model, parent)")
        for family in self.layout.families:
            if family.kind is Kind.DOCUMENT:
                self._document(family)
            elif family.kind is Kind.LOG:
                self._log(family)
            elif family.kind is Kind.LOG_PER_PARENT:
                self._logs_per_parent(family)
            else:
                codec = self._codecs[family.places[0].model.name]
                for row, text in self._joined_records(codec):
                    self._record_file(codec, row, text)

    def _texts(self, model: str) -> Iterator[bytes]:
        """The texts of a model's records, in their order."""
        if model in self._joined:
            return (text for _, text in self._joined_records(self._codecs[model]))
        sorter = self._sorters.get(model)
        return iter(()) if sorter is None else (text for _, text in sorter.sorted())

    def _joined_records(self, codec: Codec) -> Iterator[tuple[Row, bytes]]:
        """Records that have waited for what is embedded in them, each with its text."""
        if codec.name not in self._joined or (sorter := self._sorters.get(codec.name)) is None:
            return
        assert self._scratch is not None
        waiting = [name for name, relation in self._waiting.items() if relation.parent == codec.name]
        for _, (kept, inner) in sorter.sorted():
            row, parent = noted(*kept), b"\0".join(codec.keys.texts(codec.key_of(kept[0])))
            embedded = {name: [noted(*one) for one in rows] for name, rows in inner.items()}
            for name in waiting:
                found = self._scratch.execute(
                    "SELECT row FROM waiting WHERE model = ? AND parent = ?", (name, parent)
                )
                embedded[name] = [noted(*pickle.loads(text)) for (text,) in found]
            yield row, codec.encode(row, embedded)

    def _create(self, path: str) -> BinaryIO:
        return disk.create(self.root / path, _BUFFER)

    def _record_file(self, codec: Codec, row: Row, text: bytes) -> None:
        namer = self._namer(codec)
        path = namer.file(namer.values_of(row))
        # Two records of one key are found by the checks.
        with open(self.root / path, "wb", opener=open_privately) as file:
            file.write(text)

    def _touch(self, path: str) -> None:
        """An empty file, unless there is one of this name."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        os.close(os.open(self.root / path, flags, FILE_MODE))

    def _log(self, family: FileFamily) -> None:
        with self._create(family.path) as file:
            for place in family.places:
                file.writelines(text + b"\n" for text in self._texts(place.model.name))

    def _logs_per_parent(self, family: FileFamily) -> None:
        model = family.places[0].model.name
        if model in self._joined:
            codec = self._codecs[model]
            namer = self._namer(codec)
            named: Iterator[tuple[str, bytes]] = (
                (namer.file(namer.values_of(row)), text) for row, text in self._joined_records(codec)
            )
        else:
            sorter = self._sorters.get(model)
            named = iter(()) if sorter is None else ((order[0], text) for order, text in sorter.sorted())
        for path, lines in groupby(named, key=lambda pair: pair[0]):
            with open(self.root / path, "wb", _BUFFER, opener=open_privately) as file:
                file.writelines(text + b"\n" for _, text in lines)

    def _document(self, family: FileFamily) -> None:
        with self._create(family.path) as file:
            file.write(b'{\n  "_version": %d' % VERSION)
            for place in family.places:
                file.write(b",\n  " + encode(place.array) + b": [")
                opening, closing = b"\n    ", b"]"
                for text in self._texts(place.model.name):
                    file.write(opening + text)
                    opening, closing = b",\n    ", b"\n  ]"
                file.write(closing)
            for key, value in self.unknown.get(family.path, ()):
                file.write(b",\n  " + encode(key) + b": " + value)
            file.write(b"\n}\n")


def packed(row: Row) -> tuple[Record, str | None, tuple[tuple[str, bytes], ...]]:
    """A row as what :func:`noted` makes it of, which can be pickled."""
    return plain(row), digest_of(row), row.unknown if type(row) is Noted else ()
