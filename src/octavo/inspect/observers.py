"""One pass over a file: its records go to observers, and what every inspection asks is noted.

``verify`` and ``doctor`` read files by the same pass and differ in their observers: the sums of rows that are
compared with the database, and the keys and references that have to fit together.
"""

from __future__ import annotations

import multiprocessing
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from octavo.errors import DamagedError
from octavo.inspect.findings import shown_key
from octavo.inspect.row_hash import CopyBinary, Tally
from octavo.layout.codec import Values
from octavo.layout.fold import logs_of
from octavo.layout.layout import Kind, Layout, Place
from octavo.layout.listing import File
from octavo.layout.record import Noted
from octavo.layout.scan import Entry, Reader, live_records

Observer: TypeAlias = Callable[[Entry], object]
"""Takes each record that counts: of a log the last line of its key, unless that is a tombstone."""


class Named(NamedTuple):
    """A record that points at a payload, or has one."""

    place: Place
    key: Mapping[str, Any]
    file: str
    line: int
    path: str | None
    sha256: str | None
    size: int | None


class Unknown(NamedTuple):
    """A key that the schema does not know; ``model`` is empty for one of a document."""

    file: str
    model: str
    key: str


@dataclass
class Observed:
    """What reading some files gave."""

    counts: Counter[str] = field(default_factory=Counter)
    """records by model"""
    damage: list[DamagedError] = field(default_factory=list)
    unknown: list[Unknown] = field(default_factory=list)
    logs: set[str] = field(default_factory=set)
    """the logs that the records own"""
    named: list[Named] = field(default_factory=list)
    live: int = 0
    """records that are not embedded in others"""

    def __iadd__(self, other: Observed) -> Observed:
        self.counts += other.counts
        self.damage += other.damage
        self.unknown += other.unknown
        self.logs |= other.logs
        self.named += other.named
        self.live += other.live
        return self


class Inspector:
    """Reads the files below ``root`` for observers."""

    def __init__(self, layout: Layout, root: Path) -> None:
        self.layout, self.reader = layout, Reader(layout, root)
        self._owned = {p.model.name: logs_of(layout, p.model) for p in layout.places}

    def observe(self, file: File, *observers: Observer) -> Observed:
        """Read a file once.  What cannot be read is in what is given."""
        seen = Observed()
        records = live_records(
            self.reader,
            file,
            seen.damage.append,
            lambda found: seen.unknown.append(Unknown(found.file, "", found.key)),
        )
        for record in records:
            if (found := record.found) is None:
                continue
            seen.live += 1
            codec, row, embedded = record.codec, found.row, found.embedded
            if embedded:
                for name, rows in embedded.items():
                    seen.counts[name] += len(rows)
            if embedded or type(row) is Noted:
                seen.unknown += [Unknown(file.path, place.model.name, key) for place, key in record.unknown]
            if owned := self._owned[codec.name]:
                texts = [(value or b"").decode() for value in record.key]
                seen.logs.update(place.file_for(texts) for place in owned)
            if codec.place.payload and (named := _named(file.path, record)) is not None:
                seen.named.append(named)
            for observer in observers:
                observer(record)
            seen.counts[codec.name] += 1
        return seen


def _named(file: str, record: Entry) -> Named | None:
    place = record.place
    values = dict(zip((f.name for f in place.model.scalars), record.values, strict=True))
    path = values[place.payload]
    if record.sha256 is None and path is None:
        return None
    size = values.get(place.payload_size) if place.payload_size else None
    return Named(
        place,
        shown_key(place.model, values),
        file,
        record.line,
        None if path is None else path.decode(),
        record.sha256,
        None if size is None else int(size),
    )


def log_places(layout: Layout) -> Iterable[tuple[Place, Place]]:
    """The places of logs per parent, each with the place that its parent's records live in."""
    for place in layout.places:
        if place.kind is Kind.LOG_PER_PARENT and place.relation is not None:
            yield place, layout.host(place.relation.parent)


def unowned(
    place: Place, parent: Place, have: Collection[str], logs: Collection[str], damage: Iterable[DamagedError]
) -> list[str]:
    """The logs of a place whose parent is nowhere: those of parents that cannot be read are left out.

    ``have``: its logs that exist; ``logs``: those that records own.
    """
    unread = {
        place.file_for([value.decode() for value in error.host[1]])
        for error in damage
        if error.host is not None and error.host[0] == parent.model.name
    }
    return sorted({*have} - {*logs} - unread)


_WORTH_PROCESSES = 16 << 20
"""bytes; less than this is read in this process"""
_CHUNK = 12 << 20


@dataclass
class Scan:
    """What reading some files gave: the sums of their rows by model, and what was noted beside."""

    tallies: dict[str, Tally] = field(default_factory=dict)
    observed: Observed = field(default_factory=Observed)

    def __iadd__(self, other: Scan) -> Scan:
        for name, tally in other.tallies.items():
            if name in self.tallies:
                self.tallies[name] += tally
            else:
                self.tallies[name] = tally
        self.observed += other.observed
        return self


class Scanner:
    """Scans files one after the other."""

    def __init__(self, layout: Layout, root: Path) -> None:
        self.layout, self._inspector = layout, Inspector(layout, root)
        self._tallies: dict[str, Tally] = {}
        self._counters: dict[str, tuple[Callable[[Values], bytes], Callable[[bytes], None]]] = {}
        """by model: what frames a row, and what counts it in"""

    def scan(self, files: Sequence[File]) -> Scan:
        """Read these files.  What cannot be read is among the findings."""
        self._tallies, self._counters = {}, {}
        observed = Observed()
        for file in files:
            observed += self._inspector.observe(file, self._add)
        return Scan(self._tallies, observed)

    def _add(self, record: Entry) -> None:
        self._count(record.codec.place, record.values)
        if record.found is not None and record.found.embedded:
            for place, values in record.embedded:
                self._count(place, values)

    def _count(self, place: Place, values: Values) -> None:
        name = place.model.name
        if name not in self._counters:
            framed = CopyBinary(self.layout.datamodel, place.model)
            tally = self._tallies[name] = Tally()
            self._counters[name] = framed.frame, tally.adder(framed)
        frame, add = self._counters[name]
        add(frame(values))


@contextmanager
def scanning(layout: Layout, root: Path, files: Sequence[File], jobs: int) -> Iterator[Callable[[], Scan]]:
    """Start scanning; the function given finishes it and has the result.

    A large store is read by ``jobs`` processes.  This one is the last of them: it is free for the database
    until the function is called, and then takes its share of what is left.
    """
    if jobs < 2 or sum(f.size for f in files) < _WORTH_PROCESSES:
        yield lambda: Scanner(layout, root).scan(files)
        return
    with ProcessPoolExecutor(jobs - 1, mp_context=multiprocessing.get_context("spawn")) as pool:
        shared = _Shared(layout, root, pool)
        try:
            for chunk in _chunks(files):
                shared.submit(chunk)
            yield shared.finish
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


class _Shared:
    """Chunks of files that several processes scan; each result is taken in when it comes."""

    def __init__(self, layout: Layout, root: Path, pool: ProcessPoolExecutor) -> None:
        self.layout, self.root, self.pool = layout, root, pool
        self.result = Scan()
        self.pending: dict[Future[Scan], list[File]] = {}
        self.failed: BaseException | None = None
        self.lock = threading.Lock()

    def submit(self, chunk: list[File]) -> None:
        """Hand a chunk to the pool."""
        future = self.pool.submit(_scan, self.layout, self.root, chunk)
        self.pending[future] = chunk
        future.add_done_callback(self._take)

    def _take(self, done: Future[Scan]) -> None:
        if done.cancelled():
            return
        with self.lock:
            if (error := done.exception()) is not None:
                self.failed = error
            else:
                self.result += done.result()
            # A result that is taken in need not be held any longer.
            self.pending.pop(done, None)

    def finish(self) -> Scan:
        """Scan here what no worker has begun, and wait for the others."""
        scanner = Scanner(self.layout, self.root)
        for future, chunk in reversed(list(self.pending.items())):
            if future.cancel():
                part = scanner.scan(chunk)
                with self.lock:
                    self.result += part
                    self.pending.pop(future)
        wait(list(self.pending))
        self.pool.shutdown()
        if self.failed is not None:
            raise self.failed
        return self.result


def _scan(layout: Layout, root: Path, files: Sequence[File]) -> Scan:
    return Scanner(layout, root).scan(files)


def _chunks(files: Sequence[File]) -> Iterator[list[File]]:
    """The files in portions of about :data:`_CHUNK` bytes, the largest files first."""
    chunk: list[File] = []
    size = 0
    for file in sorted(files, key=lambda f: -f.size):
        chunk.append(file)
        size += file.size
        if size >= _CHUNK:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk
