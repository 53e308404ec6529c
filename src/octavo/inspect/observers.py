"""One pass over a file: its records go to observers, and what every inspection asks is noted.

``verify`` and ``doctor`` read files by the same pass and differ in their observers: the sums of rows that are
compared with the database, and the keys and references that have to fit together.
"""

from __future__ import annotations

import multiprocessing
import threading
from collections import Counter, defaultdict
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
from octavo.layout.found import Entry, UnknownKey
from octavo.layout.layout import Kind, Layout, Place
from octavo.layout.listing import File, Files
from octavo.layout.reader import Reader, Sign, live_records
from octavo.layout.record import Noted, plain

Rows: TypeAlias = Sequence[tuple[Values, int]]
"""Rows of one model, each with its line in the file."""
Observer: TypeAlias = Callable[[str, Rows], object]
"""Takes a model and rows of it that count, many at once; of a log those of the last line of each key."""

_AT_ONCE = 1 << 18
"""bytes of records whose rows are handed over together"""


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

    def hear(self, unknown: UnknownKey) -> None:
        self.unknown.append(Unknown(unknown.file, "", unknown.key))


class Inspector:
    """Reads the files below ``root`` for observers."""

    def __init__(self, layout: Layout, root: Path, sign: Sign | None = None) -> None:
        self.layout, self.reader = layout, Reader(layout, root, sign)
        self._owned = {p.model.name: logs_of(layout, p.model) for p in layout.places}

    def observe(self, file: File, observer: Observer, seen: Observed | None = None) -> Observed:
        """Read a file once, and note it in ``seen``, damage too."""
        seen = Observed() if seen is None else seen
        waiting: dict[str, list[tuple[Values, int]]] = {}
        number = size = 0

        def hand_over() -> None:
            for name, rows in waiting.items():
                seen.counts[name] += len(rows)
                observer(name, rows)
            waiting.clear()

        for record in live_records(self.reader, file, seen.damage.append, seen.hear):
            codec, found = record.codec, record.found
            if found is None:
                continue
            row = found.row
            values = codec.texts(row.row if type(row) is Noted else row)
            waiting.setdefault(codec.name, []).append((values, record.line))
            for child in codec.children:
                rows = [(child.texts(plain(inner)), record.line) for inner in found.embedded[child.name]]
                waiting.setdefault(child.name, []).extend(rows)
            if type(row) is Noted or found.embedded:
                seen.unknown += [Unknown(file.path, place.model.name, key) for place, key in record.unknown]
            if owned := self._owned[codec.name]:
                key = [(values[at] or b"").decode() for at in codec.key_at]
                seen.logs.update(place.file_for(key) for place in owned)
            if codec.place.payload and (named := _named(file.path, record, values)) is not None:
                seen.named.append(named)
            number += 1
            start, end = record.span
            size += end - start
            if size > _AT_ONCE:
                hand_over()
                size = 0
        hand_over()
        seen.live += number
        return seen


def _named(file: str, record: Entry, row: Values) -> Named | None:
    place = record.place
    values = dict(zip((f.name for f in place.model.scalars), row, strict=True))
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
    place: Place, parent: Place, have: Iterable[str], logs: Collection[str], damage: Iterable[DamagedError]
) -> list[str]:
    """The logs of a place whose parent is nowhere: those of parents that cannot be read are left out.

    ``have``: its logs that exist; ``logs``: those that records own.
    """
    unread = {
        place.file_for([value.decode() for value in error.host[1]])
        for error in damage
        if error.host is not None and error.host[0] == parent.model.name
    }
    return sorted(path for path in have if path not in logs and path not in unread)


_WORTH_PROCESSES = 16 << 20
"""bytes; less than this is read in this process"""
_CHUNK = 12 << 20
"""bytes that a process takes at once"""


@dataclass
class Scan:
    """What reading some files gave: the sums of their rows by model, and what was noted beside."""

    tallies: defaultdict[str, Tally] = field(default_factory=lambda: defaultdict(Tally))
    observed: Observed = field(default_factory=Observed)

    def __iadd__(self, other: Scan) -> Scan:
        for name, tally in other.tallies.items():
            self.tallies[name] += tally
        self.observed += other.observed
        return self


def scan(layout: Layout, root: Path, files: Iterable[File], sign: Sign | None = None) -> Scan:
    """Read these files.  What cannot be read is among what was noted."""
    inspector, made = Inspector(layout, root, sign), Scan()
    framed: dict[str, CopyBinary] = {}

    def count(name: str, rows: Rows) -> None:
        if name not in framed:
            framed[name] = CopyBinary(layout.datamodel, layout.datamodel.model(name))
        made.tallies[name].add(framed[name], map(framed[name].frame, [values for values, _ in rows]))

    for file in files:
        inspector.observe(file, count, made.observed)
    return made


_Signed: TypeAlias = tuple[Scan, list[tuple[str, bytes]]]


def _signed(layout: Layout, root: Path, files: Iterable[File], *, signed: bool) -> _Signed:
    """The same in a process of its own, with what it has to sign."""
    digests: list[tuple[str, bytes]] = []
    made = scan(layout, root, files, (lambda *read: digests.append(read)) if signed else None)
    return made, digests


@contextmanager
def scanning(
    layout: Layout, root: Path, files: Files, jobs: int, sign: Sign | None = None
) -> Iterator[Callable[[], Scan]]:
    """Start scanning; the function given finishes it and has the result.

    A large store is read by ``jobs`` processes.  This one is the last of them: it is free for the database
    until the function is called, and then takes its share of what is left.
    """
    if jobs < 2 or files.size < _WORTH_PROCESSES:
        yield lambda: scan(layout, root, files, sign)
        return
    with ProcessPoolExecutor(jobs - 1, mp_context=multiprocessing.get_context("spawn")) as pool:
        shared = _Shared(layout, root, pool, sign)
        try:
            for chunk in files.portions(_CHUNK):
                shared.submit(chunk)
            yield shared.finish
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


class _Shared:
    """Chunks of files that several processes scan; each result is taken in when it comes."""

    def __init__(
        self, layout: Layout, root: Path, pool: ProcessPoolExecutor, sign: Sign | None = None
    ) -> None:
        self.layout, self.root, self.pool, self.sign = layout, root, pool, sign
        self.result = Scan()
        self.pending: dict[Future[_Signed], Files] = {}
        self.failed: BaseException | None = None
        self.lock = threading.Lock()

    def submit(self, chunk: Files) -> None:
        signed = self.sign is not None
        future = self.pool.submit(_signed, self.layout, self.root, chunk, signed=signed)
        self.pending[future] = chunk
        future.add_done_callback(self._take)

    def _take(self, done: Future[_Signed]) -> None:
        if done.cancelled():
            return
        with self.lock:
            if (error := done.exception()) is not None:
                self.failed = error
            else:
                self._add(*done.result())
            # A result that is taken in need not be held any longer.
            self.pending.pop(done, None)

    def _add(self, made: Scan, digests: list[tuple[str, bytes]]) -> None:
        self.result += made
        if self.sign is not None:
            for path, digest in digests:
                self.sign(path, digest)

    def finish(self) -> Scan:
        """Scan here what no worker has begun, and wait for the others."""
        for future, chunk in reversed(list(self.pending.items())):
            if future.cancel():
                found = _signed(self.layout, self.root, chunk, signed=self.sign is not None)
                with self.lock:
                    self._add(*found)
                    self.pending.pop(future)
        wait(list(self.pending))
        self.pool.shutdown()
        if self.failed is not None:
            raise self.failed
        return self.result
