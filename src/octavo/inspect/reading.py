"""Reads each file of a store once: what stands in it, what of it is damaged, what a crash has torn.

A log in which each line is a record as Octavo writes it, and each key stands once, is taken many lines at a
time, small ones together.  Anything else is gone through record by record.
"""

from __future__ import annotations

import os
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, NamedTuple, TypeAlias

from octavo.inspect.integrity import Gathered, Hashes, Visits
from octavo.inspect.observers import Inspector, Observed, Rows
from octavo.layout.fold import logs_of
from octavo.layout.found import Many
from octavo.layout.layout import FileFamily, Layout
from octavo.layout.listing import File
from octavo.layout.reader import Reader
from octavo.layout.scan import pieces, torn_at

HELD = 1 << 22
"""bytes of a file that are held in memory; a larger one that is not clean is read again"""
_TOGETHER = 1 << 16
"""bytes of small logs that are decoded in one go"""
_SMALL = 1 << 20
"""bytes of a log that is decoded in one go"""

Opening: TypeAlias = Callable[[], BinaryIO]


@dataclass(slots=True)
class Reading:
    """What reading one file gave."""

    seen: Observed = field(default_factory=Observed)
    lines: int = 0
    """of a log"""
    torn: tuple[int, int] | None = None
    """where what is torn begins, and its bytes"""
    logs: dict[str, list[str]] = field(default_factory=dict)
    """the logs that its records own, by the path of their place: in a text many, a line each"""


class _Numbers(NamedTuple):
    """All there is to say of a file of which there is no more to say: few of a hundred thousand differ."""

    counts: tuple[tuple[str, int], ...]
    """records by model"""
    live: int
    lines: int
    """of a log"""


_NOTED = -1
"""in place of numbers, where there is more to say"""


class _Given(Reader):
    """Reads what it is given in place of a file."""

    def __init__(self, layout: Layout) -> None:
        super().__init__(layout, Path())
        self.opening: Opening = BytesIO

    @contextmanager
    def _open(self, file: File) -> Iterator[BinaryIO]:
        with self.opening() as content:
            yield content


class Read(NamedTuple):
    """What another process has read: of the files that it was given, by their number."""

    visits: array[int]
    forgotten: dict[str, int]
    which: array[int]
    numbers: list[_Numbers]
    noted: dict[str, Reading]


class Readings:
    """What reading files gave: of one that was read again, only the last time.

    ``gathered`` takes in the records.
    """

    def __init__(self, layout: Layout, gathered: Gathered | None = None) -> None:
        self.layout, self.gathered = layout, gathered
        self.visits = Visits() if gathered is None else gathered.visits
        self._reader = _Given(layout)
        self._inspector = Inspector(layout, Path())
        self._inspector.reader = self._reader
        self._owned = {p.model.name: logs_of(layout, p.model) for p in layout.places}
        self._plain = {family.path for family in layout.families if self._is_plain(family)}
        """the logs whose lines are nothing but a record"""
        self._waiting: list[tuple[File, bytes]] = []
        self._size = 0
        self._numbers: dict[_Numbers, int] = {}
        self._which = array("l")
        """of each visit the place of its numbers in these"""
        self._noted: dict[str, Reading] = {}

    def _is_plain(self, family: FileFamily) -> bool:
        place = family.places[0]
        name = place.model.name
        is_alone = family.kind.is_log and len(family.places) == 1 and not place.payload
        return is_alone and not self.layout.embedded(name) and not self._owned[name]

    def read(self, file: File, data: bytes) -> None:
        """Read a file, given its bytes; one that was read before has been forgotten.

        A small log may wait for others, until :meth:`finish`.
        """
        if len(data) > _SMALL or file.family.path not in self._plain:
            self.read_alone(file, partial(BytesIO, data))
            return
        if len(data) >= _TOGETHER:
            self._take_all([(file, data)])
            return
        if self._waiting and self._waiting[0][0].family is not file.family:
            self.finish()
        self._waiting.append((file, data))
        self._size += len(data)
        if self._size >= _TOGETHER:
            self.finish()

    def finish(self) -> None:
        """Read what waits."""
        waiting, self._waiting, self._size = self._waiting, [], 0
        self._take_all(waiting)

    def _take_all(self, logs: list[tuple[File, bytes]]) -> None:
        if not logs or self._take_together(logs):
            return
        for file, data in logs:
            if len(logs) == 1 or not self._take_together([(file, data)]):
                self.read_alone(file, partial(BytesIO, data))

    def note(self, file: str, reading: Reading) -> None:
        """Note what reading a file by other means gave."""
        self._visited(file, _NOTED)
        self._noted[file] = reading

    def _take_together(self, logs: list[tuple[File, bytes]]) -> bool:
        """Take in logs that are as Octavo writes them, if they are."""
        texts = [(file.path, text) for file, text in logs]
        many = self._reader.together_of(logs[0][0].family, texts)
        if many is None:
            return False
        counts = [text.count(b"\n") for _, text in texts] if len(texts) > 1 else [len(many.items)]
        name = many.codec.name
        first = self.visits.add(path for path, _ in texts)
        self._which.extend(self._place(_Numbers(((name, n),), n, n)) for n in counts)
        if self.gathered is not None and many.items:
            self.gathered.take(first, counts, name, many.rows, 1)
        return True

    def read_alone(self, file: File, opening: Opening) -> None:
        """Read a file, given what opens it: once, if it is a log that is as Octavo writes it."""
        self._reader.opening = opening
        if not (file.family.kind.is_log and self._is_clean(file)):
            self._take_carefully(file)

    def forget(self, file: str) -> None:
        """What a file gave does not count any more."""
        self.visits.forget(file)
        self._noted.pop(file, None)

    def noted(self) -> list[tuple[str, Reading]]:
        """The files of which there is more to say than how much is in them, in the order of their paths."""
        return sorted(self._noted.items())

    def _counted(self) -> Iterator[tuple[_Numbers, int]]:
        """The numbers of the other files, each with how many have them."""
        gone, numbers = self.visits.gone, list(self._numbers)
        if not gone:
            counted = Counter(self._which)
        else:
            counted = Counter(which for n, which in enumerate(self._which) if n not in gone)
        return ((numbers[which], n) for which, n in counted.items() if which != _NOTED)

    @property
    def files(self) -> int:
        """How many were read."""
        return len(self._noted) + sum(n for _, n in self._counted())

    @property
    def clean_lines(self) -> int:
        """The lines of the logs of which there is no more to say."""
        return sum(numbers.lines * n for numbers, n in self._counted())

    def total(self) -> Observed:
        """What all of it comes to, but for the logs that records own."""
        found = Observed()
        for numbers, n in self._counted():
            found.live += numbers.live * n
            for name, count in numbers.counts:
                found.counts[name] += count * n
        for _, reading in self.noted():
            found += reading.seen
        return found

    def logs(self, path: str) -> Iterator[str]:
        """The names of the logs of a place that records own."""
        for reading in self._noted.values():
            for text in reading.logs.get(path, ()):
                yield from text.split("\n")

    def _place(self, numbers: _Numbers) -> int:
        return self._numbers.setdefault(numbers, len(self._numbers))

    def _visited(self, file: str, which: int) -> int:
        self._which.append(which)
        return self.visits.add([file])

    def _is_clean(self, file: File) -> bool:
        """Take in a log that is as Octavo writes it, and note what it holds."""
        visit = self._visited(file.path, _NOTED)
        reading, keys = Reading(), Hashes()
        for many in self._reader.read_many(file):
            if not isinstance(many, Many) or many.codec.place.payload:
                break
            keys.add(many.keys)
            self._take(visit, many, reading)
        else:
            if not keys.repeated():
                self._settle(visit, file.path, reading)
                return True
        self.visits.forget(file.path)
        return False

    def _take(self, visit: int, many: Many, reading: Reading) -> None:
        codec, rows = many.codec, many.rows
        reading.seen.counts[codec.name] += len(rows)
        reading.seen.live += len(rows)
        reading.lines += len(rows)
        if self.gathered is not None:
            self.gathered.take(visit, [len(rows)], codec.name, rows, many.line)
        for child in codec.children:
            inner = [
                (row, many.line + n)
                for n, record in enumerate(many.items)
                if record.embedded
                for row in record.embedded[child.name]
            ]
            reading.seen.counts[child.name] += len(inner)
            if self.gathered is not None and inner:
                children, lines = [row for row, _ in inner], [line for _, line in inner]
                self.gathered.take(visit, [len(inner)], child.name, children, lines)
        if owned := self._owned[codec.name]:
            keys = [[(text or b"").decode() for text in codec.keys.texts(key)] for key in many.keys]
            for place in owned:
                reading.logs.setdefault(place.path, []).append("\n".join(map(place.file_for, keys)))

    def _take_carefully(self, file: File) -> None:
        visit = self._visited(file.path, _NOTED)
        put = _ignore if self.gathered is None else self.gathered.observer(visit)
        reading = Reading()
        if file.family.kind.is_log:
            # What cannot be read is damage for the pass that reads the records.
            with suppress(OSError), self._reader.opening() as content:
                reading.lines, reading.torn = _lines(content)
        reading.seen = self._inspector.observe(file, put)
        for log in sorted(reading.seen.logs):
            if (family := self.layout.family(log)) is not None:
                reading.logs.setdefault(family.path, []).append(log)
        reading.seen.logs.clear()
        self._settle(visit, file.path, reading)

    def _settle(self, visit: int, file: str, reading: Reading) -> None:
        """Note what a visit gave: where numbers are all of it, these alone."""
        seen = reading.seen
        has_more = seen.damage or seen.unknown or seen.named or reading.logs or reading.torn
        if has_more or reading.lines > seen.live:
            self._noted[file] = reading
        else:
            counts = tuple(sorted(seen.counts.items()))
            self._which[visit] = self._place(_Numbers(counts, seen.live, reading.lines))

    # In another process

    def done(self, files: Sequence[str]) -> Read:
        """What has been read of ``files``, to be taken over by another process."""
        number = {file: n for n, file in enumerate(files)}
        visits = array("l", [number[file] for file in self.visits.files])
        return Read(visits, self.visits.forgotten, self._which, list(self._numbers), self._noted)

    def take_over(self, read: Read, files: Sequence[str]) -> int:
        """Take in what another process has read of ``files``; the number of the first visit is given."""
        places = [self._place(numbers) for numbers in read.numbers]
        self._which.extend(which if which == _NOTED else places[which] for which in read.which)
        self._noted |= read.noted
        return self.visits.take_over([files[n] for n in read.visits], read.forgotten)


def read_up_to(descriptor: int, size: int) -> bytes:
    """The first bytes of an open file, as many as there are of ``size``.  Raises OSError."""
    found = os.read(descriptor, size)
    while len(found) < size and (piece := os.read(descriptor, size - len(found))):
        found += piece
    return found


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
