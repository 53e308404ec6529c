"""PostgreSQL against the logs, line by line: the quick way of a verification.

PostgreSQL prints the line that a log must hold for each row (:mod:`octavo.move.expected`); the files are cut
into lines; neither side is parsed.  Both add up a hash of every line, times a number for the parent that
names the log's file, in one of :data:`_BUCKETS` sums chosen by this parent.  Where a sum is the same on both
sides, the files hold these lines and no other, each once and in the right file: then nothing is superseded,
removed, damaged or unknown to the schema.  Every other file, and every row of its parent, goes the way of
:mod:`octavo.inspect.row_hash`, which reads fields.

The hash is Python's own of bytes: SipHash, 64 bits, with a secret key of each process.  The sums of two heaps
of lines that differ are equal in one of 2**64 processes, and nothing that is written beforehand can make them
so.  The number of a parent is its hash, so that a line in another file counts as another line.  (The hash of
a tuple of both would not do: it is nearly linear, and two lines that changed places can cancel out.)
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from urllib.parse import unquote_to_bytes

from octavo.fold.source import Source
from octavo.layout.holes import refuse_holes
from octavo.layout.layout import FileFamily, Place, file_stem
from octavo.layout.listing import Contents, File
from octavo.layout.reader import Sign
from octavo.move.expected import Lines, NotPrinted
from octavo.move.share import Share
from octavo.postgres.connection import Connection, Queued
from octavo.postgres.copying import CopyOut, wait_for
from octavo.postgres.failures import database_errors
from octavo.schema.native import literal, table_name

_BUCKETS = 1 << 14
_PIECE = 1 << 16
"""bytes of a file that are looked at in one go"""
_WORTH_SHARING = 20_000
"""rows of a table that two connections read at once"""
_COUNT, _LENGTH = 2, 4
"""bytes in front of a row's first column, and of each column"""
_FIRST = _COUNT + _LENGTH
_ONLY = 0
"""the bucket of a family that is one file"""
_HASH_IS_SAFE = sys.hash_info.width >= 64 and sys.hash_info.algorithm.startswith("siphash")


def bucket_of(parent: bytes) -> int:
    """Where the lines of this parent's file are counted."""
    return hash(parent) % _BUCKETS


def _weight(parent: bytes) -> int:
    """What the hashes of the lines of this parent's file are multiplied by; never zero."""
    return hash(parent) | 1


@dataclass
class Sums:
    """What the lines of a family's files and PostgreSQL's add up to; the former count negative."""

    family: FileFamily
    lines: dict[str, Lines]
    """by model"""
    buckets: list[int] = field(default_factory=lambda: [0] * _BUCKETS)
    irregular: list[File] = field(default_factory=list)
    """files that could not be read, or whose name does not tell the parent"""
    owned: Counter[str] = field(default_factory=Counter)
    """the sums of the names of the logs that the rows own, by family"""

    @property
    def place(self) -> Place:
        return self.family.places[0]

    @property
    def dirty(self) -> frozenset[int]:
        """The buckets in which the two sides are not the same."""
        return frozenset(n for n, total in enumerate(self.buckets) if total)

    @property
    def is_clean(self) -> bool:
        return not self.irregular and not any(self.buckets)

    def bucket(self, file: File) -> int | None:
        """Where the lines of a file are counted; None if its name does not tell its parent."""
        parent = self.parent_of(file)
        return None if parent is None else bucket_of(parent)

    def parent_of(self, file: File) -> bytes | None:
        """What PostgreSQL prints for the parent of a file; empty where the family is one file."""
        if not self.family.varies:
            return b""
        stem = self.family.stem(file.path)
        parent = unquote_to_bytes(stem)
        with suppress(UnicodeDecodeError):
            if file_stem([parent.decode()]) == stem:
                return parent
        return None


class ByLines:
    """Compares the families whose lines PostgreSQL can be asked for."""

    def __init__(
        self, source: Source, share: Share, root: Path, there: Contents, sign: Sign | None = None
    ) -> None:
        self.source, self.share, self.root, self.there = source, share, root, there
        self.sign = sign
        self.rows: Counter[str] = Counter()
        """the rows of PostgreSQL, by model"""
        self.sums = list(self._eligible())

    def _eligible(self) -> Iterator[Sums]:
        # Where drift is waived, a column may hold what the schema says that it does not.
        if self.source.drift.waived or not _HASH_IS_SAFE:
            return
        layout = self.share.layout
        for family in layout.families:
            if family.kind.is_log and self.share.has(family):
                with suppress(NotPrinted):
                    yield Sums(family, {p.model.name: Lines(layout, p) for p in family.places})

    def compare(self, counts: dict[str, int], jobs: int, advance: Callable[[int], None]) -> None:
        """Add up both sides.  ``jobs`` connections are read at once.

        Raises DatabaseError.
        """
        if not self.sums:
            return
        url = self.source.snapshot.url
        with database_errors(url, "reading rows"), ExitStack() as stack:
            jobs = jobs if self.source.snapshot.shareable else 1
            tasks = list(self._tasks(counts, jobs))
            connections = [self.source.snapshot.connection]
            is_large = len(tasks) > sum(len(sums.lines) for sums in self.sums)
            with suppress(Queued):
                for _ in range(jobs - 1 if is_large else 0):
                    connections.append(stack.enter_context(closing(self.source.snapshot.join())))
            self._read(tasks, connections, advance)
            for sums in self.sums:
                for lines in sums.lines.values():
                    self._count_embedded(lines, counts, sums)

    def _tasks(self, counts: dict[str, int], jobs: int) -> Iterator[_Task]:
        """The large tables first, in as many parts as there are connections."""
        for sums in sorted(self.sums, key=lambda s: -sum(counts[name] for name in s.lines)):
            for name, lines in sums.lines.items():
                parts = jobs if counts[name] >= _WORTH_SHARING and not lines.children else 1
                cuts = self._cuts(lines.place, parts)
                for first, end in zip([0, *cuts], [*cuts, None], strict=True):
                    statement = lines.copy_out(first, end, self.share.condition(lines.place.model))
                    yield _Task(sums, lines, statement)

    def _cuts(self, place: Place, parts: int) -> list[int]:
        """The pages of a table at which to begin another part."""
        if parts < 2:
            return []
        table = literal(table_name(place.model))
        query = f"SELECT pg_relation_size({table}::regclass) / current_setting('block_size')::int"
        (pages,) = self.source.snapshot.connection.execute(query.encode()).fetchone() or (0,)
        return [pages * n // parts for n in range(1, parts)]

    def _read(
        self, tasks: list[_Task], connections: Sequence[Connection], advance: Callable[[int], None]
    ) -> None:
        """Take rows from all connections, and read files while none has any."""
        files, waiting = self._files(), iter(tasks)
        reading: dict[Connection, tuple[_Task, CopyOut]] = {}
        free = list(connections)
        while True:
            for connection, task in zip(free, waiting, strict=False):
                reading[connection] = task, CopyOut(connection, task.statement)
            if not reading:
                break
            free, idle = [], True
            for connection, (task, copy) in list(reading.items()):
                if rows := copy.take():
                    idle = False
                    self.rows[task.lines.place.model.name] += len(rows)
                    task.count(rows)
                    advance(len(rows))
                if copy.ended:
                    free.append(connection)
                    del reading[connection]
            if idle and not free and not next(files, False):
                wait_for(copy for _, copy in reading.values())
        for _ in files:
            pass

    def _files(self) -> Iterator[bool]:
        """Count the files in, a piece at each step."""
        for sums in self.sums:
            for file in self.share.of(self.there.of(sums.place)):
                parent = sums.parent_of(file)
                if parent is None:
                    sums.irregular.append(file)
                    continue
                total = 0
                try:
                    for lines in _lines_of(self.root, file, self.sign):
                        total += sum(map(hash, lines))
                        yield True
                except OSError:
                    sums.irregular.append(file)
                    continue
                sums.buckets[bucket_of(parent)] -= total * _weight(parent)

    def _count_embedded(self, lines: Lines, counts: dict[str, int], sums: Sums) -> None:
        """Take in how many embedded rows the lines show: one without a parent stands in none."""
        for child, statement in zip(lines.children, lines.count_embedded(), strict=True):
            name = child.model.name
            (self.rows[name],) = self.source.snapshot.connection.execute(statement).fetchone() or (0,)
            if self.rows[name] != counts[name]:
                sums.buckets[0] += 1

    def is_equal(self, sums: Sums) -> bool:
        """Whether a family's files hold PostgreSQL's lines, and the logs that its records own are there."""
        return sums.is_clean and all(
            sums.owned[place.path] == sum(hash(file.path) for file in self.there.of(place))
            for lines in sums.lines.values()
            for place in lines.logs
        )


@dataclass(frozen=True, slots=True)
class _Task:
    """Some rows of a table, which are counted in."""

    sums: Sums
    lines: Lines
    statement: bytes

    def count(self, rows: Sequence[bytes]) -> None:
        buckets = self.sums.buckets
        if self.sums.family.varies:
            for row in rows:
                at = _FIRST + int.from_bytes(row[_COUNT:_FIRST])
                # As bucket_of and _weight, without two calls for each row.
                number = hash(row[_FIRST:at])
                buckets[number % _BUCKETS] += hash(row[at + _LENGTH :]) * (number | 1)
            return
        for row in rows:
            at = _FIRST + int.from_bytes(row[_COUNT:_FIRST])
            buckets[_ONLY] += hash(row[at + _LENGTH :])
            for place in self.lines.logs:
                self.sums.owned[place.path] += hash(place.file_for([row[_FIRST:at].decode()]))


def _lines_of(root: Path, file: File, sign: Sign | None) -> Iterator[list[bytes]]:
    """The lines of a file as far as it went when it was listed, many at once.  Raises OSError."""
    digest = sha256()
    descriptor = os.open(f"{root}/{file.path}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if file.size > _PIECE:
            refuse_holes(descriptor, file.path)
        rest, size, left = b"", _PIECE, file.size
        while left and (piece := os.read(descriptor, min(size, left))):
            left -= len(piece)
            if sign is not None:
                digest.update(piece)
            lines = (rest + piece).split(b"\n")
            # A line that is longer than a piece is not to be put together from a thousand.
            size = _PIECE if len(lines) > 1 else 2 * size
            rest = lines.pop()
            if lines:
                yield lines
        if rest:
            yield [rest]
        if sign is not None:
            sign(file.path, digest.digest())
    finally:
        os.close(descriptor)
