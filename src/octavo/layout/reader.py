"""Reads the files of a data folder: what each contains, and the records of it that count."""

from __future__ import annotations

import os
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader, FileIO, RawIOBase
from itertools import islice
from typing import TYPE_CHECKING, BinaryIO

from octavo.errors import DamagedError
from octavo.layout.codec import Codecs
from octavo.layout.holes import refuse_holes
from octavo.layout.keys import Key
from octavo.layout.layout import Layout
from octavo.layout.listing import File
from octavo.layout.scan import Entry, Found, Scanner, UnknownKey

if TYPE_CHECKING:
    from pathlib import Path

    from _typeshed import WriteableBuffer

_AT_ONCE = 1 << 22
"""bytes; a larger log is read twice rather than held in memory"""
_BUFFER = 1 << 18


class _Listed(RawIOBase):
    """A log as far as it went when it was listed, whatever has been appended to it since."""

    def __init__(self, raw: FileIO, size: int) -> None:
        self._raw, self._left = raw, size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int | None:
        number = self._raw.readinto(memoryview(buffer)[: self._left])
        self._left -= number or 0
        return number


class Reader:
    """Reads the files of a data folder, and logs as far as they went when they were listed."""

    def __init__(self, layout: Layout, root: Path) -> None:
        self.layout, self.root = layout, root
        self._codecs = Codecs(layout)
        self._scanners: dict[str, Scanner] = {}

    def read(self, file: File) -> Iterator[Found]:
        """What stands in a file."""
        try:
            with self._open(file) as content:
                yield from self._scanner(file).scan(file.path, content)
        except OSError as error:
            yield DamagedError(f"cannot be read: {error.strerror}", file=file.path)

    def hashes(self, file: File) -> array[int]:
        """Of each line of a log that can be read, the hash of its record's model and key."""
        with suppress(OSError), self._open(file) as content:
            return self._scanner(file).hashes(file.path, content)
        return array("q")

    @contextmanager
    def _open(self, file: File) -> Iterator[BinaryIO]:
        with open(self.root / file.path, "rb", buffering=0) as raw:
            refuse_holes(raw.fileno(), file.path)
            if not file.family.kind.is_log or os.fstat(raw.fileno()).st_size <= file.size <= _BUFFER:
                yield BufferedReader(raw, _BUFFER)
            else:
                yield BufferedReader(_Listed(raw, file.size), _BUFFER)

    def _scanner(self, file: File) -> Scanner:
        found = self._scanners.get(file.family.path)
        if found is None:
            found = self._scanners[file.family.path] = Scanner(file.family, self._codecs)
        return found


def live_records(
    reader: Reader,
    file: File,
    damage: Callable[[DamagedError], None] | None = None,
    unknown: Callable[[UnknownKey], None] = lambda key: None,
) -> Iterator[Entry]:
    """The records of a file that count, in the order of the file: of a log, the last line of each key, unless
    it is a tombstone.

    What cannot be read goes to ``damage``; without it, it is raised.  ``unknown`` hears of a document's keys
    that the schema does not know.
    """

    def hear(item: Found) -> None:
        if type(item) is UnknownKey:
            unknown(item)
        elif isinstance(item, DamagedError):
            if damage is None:
                raise item
            damage(item)

    items = reader.read(file)
    if not file.family.kind.is_log:
        return _entries(items, hear)
    if file.size < _AT_ONCE:
        return _last(items, hear)
    # Of a long log only the hashes of the keys are held: a clean one then needs no memory at all.
    hashes = reader.hashes(file)
    repeated = {h for h, n in Counter(hashes).items() if n > 1} if _repeats(hashes) else set[int]()
    return _long(reader, file, repeated, hear)


def _entries(items: Iterable[Found], hear: Callable[[Found], None]) -> Iterator[Entry]:
    for item in items:
        if type(item) is Entry:
            yield item
        else:
            hear(item)


def _repeats(hashes: array[int]) -> bool:
    ordered = sorted(hashes)
    return any(a == b for a, b in zip(ordered, islice(ordered, 1, None), strict=False))


def _last(items: Iterable[Found], hear: Callable[[Found], None]) -> Iterator[Entry]:
    found: dict[tuple[str, Key], Entry] = {}
    for item in items:
        if type(item) is not Entry:
            hear(item)
            continue
        identity = item.identity
        # The place of the last line counts.
        found.pop(identity, None)
        found[identity] = item
    return iter([entry for entry in found.values() if entry.found is not None])


def _long(reader: Reader, file: File, repeated: set[int], hear: Callable[[Found], None]) -> Iterator[Entry]:
    """Records whose key stands once as they come; of the others the last line."""
    last: dict[tuple[str, Key], int] = {}
    if repeated:
        for item in reader.read(file):
            if type(item) is Entry and hash(identity := item.identity) in repeated:
                last[identity] = item.line
    for item in _entries(reader.read(file), hear):
        if item.deleted or (repeated and last.get(item.identity, item.line) != item.line):
            continue
        yield item
