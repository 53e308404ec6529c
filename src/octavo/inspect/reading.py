"""Reads each file of a store once: what stands in it, what of it is damaged, what a crash has torn.

A log in which each line is a record as Octavo writes it, and each key stands once, is taken many lines at a
time.  Anything else is gone through record by record.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from io import BytesIO
from itertools import chain
from pathlib import Path
from typing import BinaryIO, TypeAlias

from octavo.errors import DamagedError
from octavo.inspect.integrity import Gathered, repeated
from octavo.inspect.observers import Inspector, Observed, Rows
from octavo.layout.fold import logs_of
from octavo.layout.found import Many
from octavo.layout.layout import Layout
from octavo.layout.listing import File
from octavo.layout.reader import Reader
from octavo.layout.scan import pieces, torn_at

_HELD = 1 << 22
"""bytes of a file that are held in memory; a larger one that is not clean is read again"""

Opening: TypeAlias = Callable[[], BinaryIO]


@dataclass(slots=True)
class Reading:
    """What reading one file gave."""

    seen: Observed = field(default_factory=Observed)
    lines: int = 0
    """of a log"""
    torn: tuple[int, int] | None = None
    """where what is torn begins, and its bytes"""


class _Given(Reader):
    """Reads what it is given in place of a file."""

    def __init__(self, layout: Layout) -> None:
        super().__init__(layout, Path())
        self.opening: Opening = BytesIO

    @contextmanager
    def _open(self, file: File) -> Iterator[BinaryIO]:
        with self.opening() as content:
            yield content


class Readings:
    """What reading files gave: of one that was read again, only the last time.

    ``gathered`` takes in the records.
    """

    def __init__(self, layout: Layout, gathered: Gathered | None = None) -> None:
        self.layout, self.gathered = layout, gathered
        self._reader = _Given(layout)
        self._inspector = Inspector(layout, Path())
        self._inspector.reader = self._reader
        self._owned = {p.model.name: logs_of(layout, p.model) for p in layout.places}
        self._clean: dict[str, tuple[str, int]] = {}
        """of logs of which there is no more to say: their model, and how many records they have"""
        self._noted: dict[str, Reading] = {}

    def read(self, file: File, opening: Opening) -> None:
        """Read a file.  Raises FileNotFoundError if it is gone; what else is wrong with it is noted."""
        self.forget(file.path)
        try:
            data = _whole(opening) if file.size <= _HELD else None
        except FileNotFoundError:
            raise
        except OSError as error:
            damage = DamagedError(f"cannot be read: {error.strerror}", file=file.path)
            self._noted[file.path] = Reading(Observed(damage=[damage]))
            return
        if data is not None:
            file = File(file.path, file.family, len(data))
        self._reader.opening = opening if data is None else lambda: BytesIO(data)
        if not (file.family.kind.is_log and self._is_clean(file)):
            self._noted[file.path] = self._carefully(file)

    def forget(self, file: str) -> None:
        """A file is gone."""
        self._clean.pop(file, None)
        self._noted.pop(file, None)
        if self.gathered is not None:
            self.gathered.forget(file)

    def __iter__(self) -> Iterator[str]:
        """The files that were read."""
        return chain(self._clean, self._noted)

    @property
    def files(self) -> int:
        """How many were read."""
        return len(self._clean) + len(self._noted)

    @property
    def clean_lines(self) -> int:
        """The lines of the logs of which there is no more to say."""
        return sum(number for _, number in self._clean.values())

    def noted(self) -> list[tuple[str, Reading]]:
        """The other files, in the order of their paths."""
        return sorted(self._noted.items())

    def total(self) -> Observed:
        """What all of it comes to."""
        found = Observed()
        for name, number in self._clean.values():
            found.counts[name] += number
            found.live += number
        for _, reading in self.noted():
            found += reading.seen
        return found

    def _is_clean(self, file: File) -> bool:
        """Take in a log that is as Octavo writes it, and note what it holds."""
        if self.gathered is not None:
            self.gathered.visit(file.path)
        seen, keys, only = Observed(), array("q"), ""
        for many in self._reader.read_many(file):
            if not isinstance(many, Many) or many.codec.place.payload:
                return False
            only = many.codec.name
            keys.extend(map(hash, many.keys))
            self._take(file.path, many, seen)
        if repeated(keys):
            return False
        seen.live = seen.counts[only]
        if seen.logs or len(seen.counts) > 1:
            self._noted[file.path] = Reading(seen, seen.live)
        else:
            self._clean[file.path] = only, seen.live
        return True

    def _take(self, file: str, many: Many, seen: Observed) -> None:
        codec, rows = many.codec, many.rows
        seen.counts[codec.name] += len(rows)
        if self.gathered is not None:
            self.gathered.take(file, codec.name, rows, many.line)
        for child in codec.children:
            inner = [
                (row, many.line + n)
                for n, record in enumerate(many.items)
                if record.embedded
                for row in record.embedded[child.name]
            ]
            seen.counts[child.name] += len(inner)
            if self.gathered is not None and inner:
                self.gathered.take(file, child.name, [row for row, _ in inner], [line for _, line in inner])
        if owned := self._owned[codec.name]:
            for key in many.keys:
                texts = [(text or b"").decode() for text in codec.keys.texts(key)]
                seen.logs.update(sys.intern(place.file_for(texts)) for place in owned)

    def _carefully(self, file: File) -> Reading:
        put = _ignore if self.gathered is None else self.gathered.visit(file.path)
        reading = Reading()
        if file.family.kind.is_log:
            # What cannot be read is damage for the pass that reads the records.
            with suppress(OSError), self._reader.opening() as content:
                reading.lines, reading.torn = _lines(content)
        reading.seen = self._inspector.observe(file, put)
        return reading


def _whole(opening: Opening) -> bytes:
    with opening() as content:
        return content.read()


def _ignore(name: str, rows: Rows) -> None:
    """Take in nothing."""


def _lines(content: BinaryIO) -> tuple[int, tuple[int, int] | None]:
    """How many lines a log has, and where what is torn of it begins, with its bytes.  Raises OSError."""
    lines = size = 0
    before = last = b""
    for piece in pieces(content):
        before, last = last, piece
        lines, size = lines + piece.count(b"\n"), size + len(piece)
    data = before + last
    at = torn_at(data, size - len(data))
    lines -= data.count(b"\n", at)
    if at < len(data):
        return lines, (size - len(data) + at, len(data) - at)
    return lines + (size > 0 and not data.endswith(b"\n")), None
