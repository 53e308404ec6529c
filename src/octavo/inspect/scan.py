"""Reads a data folder once, in several processes, into tallies and findings."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from octavo.errors import DamagedError
from octavo.inspect.copybinary import CopyBinary
from octavo.inspect.row_hash import Tally
from octavo.layout.fold import logs_of
from octavo.layout.layout import Layout, Place
from octavo.layout.listing import File
from octavo.layout.scan import Entry, Reader, UnknownKey

_WORTH_PROCESSES = 16 << 20
"""bytes; less than this is read in this process"""
_CHUNK = 12 << 20


@dataclass
class Scan:
    """What reading some files gave."""

    tallies: dict[str, Tally] = field(default_factory=dict)
    """by model; superseded lines of a log are in it, and a tombstone spoils the sum of its key's bucket"""
    suspect: set[str] = field(default_factory=set)
    """models embedded in records of a log that were superseded: their tallies say nothing"""
    damage: list[DamagedError] = field(default_factory=list)
    unknown: list[tuple[str, str]] = field(default_factory=list)
    """keys that the schema does not know: where (file, or file and model), and the key"""
    logs: set[str] = field(default_factory=set)
    """the files that live parents own"""
    records: int = 0

    def __iadd__(self, other: Scan) -> Scan:
        for name, tally in other.tallies.items():
            if name in self.tallies:
                self.tallies[name] += tally
            else:
                self.tallies[name] = tally
        self.suspect |= other.suspect
        self.damage += other.damage
        self.unknown += other.unknown
        self.logs |= other.logs
        self.records += other.records
        return self


class Scanner:
    """Scans files one after the other."""

    def __init__(self, layout: Layout, root: Path) -> None:
        self.reader = Reader(layout, root)
        self.layout = layout
        self._frames: dict[str, CopyBinary] = {}
        self._owned = {p.model.name: logs_of(layout, p.model) for p in layout.places}

    def scan(self, files: Sequence[File]) -> Scan:
        """Read these files.  What cannot be read is among the findings."""
        result = Scan()
        for file in files:
            self._scan_file(file, result)
        return result

    def _framed(self, place: Place) -> CopyBinary:
        name = place.model.name
        if name not in self._frames:
            self._frames[name] = CopyBinary(self.layout.datamodel, place.model)
        return self._frames[name]

    def _scan_file(self, file: File, result: Scan) -> None:
        parents: dict[bytes, list[str]] = {}
        adders = {p.model.name: self._adder(p, result) for p in file.family.places}
        # A later line of a log takes what an earlier one embeds with it.
        embedding = file.family.kind.is_log and any(self.layout.embedded(n) for n in adders)
        seen: set[bytes] = set()
        count = 0
        for item in self.reader.read(file):
            if type(item) is Entry:
                count += 1
                name = item.place.model.name
                if item.deleted:
                    result.tallies[name].spoil(self._framed(item.place).key_of(item))
                else:
                    adders[name](item.values)
                if embedding and self._is_again(item, seen):
                    result.suspect.update(p.model.name for p in self.layout.embedded(name))
                for place, values in item.embedded:
                    inner = place.model.name
                    if inner not in adders:
                        adders[inner] = self._adder(place, result)
                    adders[inner](values)
                result.unknown += [(f"{file.path} ({p.model.name})", key) for p, key in item.unknown]
                if self._owned[name]:
                    self._note_logs(item, parents)
            elif isinstance(item, DamagedError):
                result.damage.append(item)
            elif isinstance(item, UnknownKey):
                result.unknown.append((item.file, item.key))
        result.records += count
        for paths in parents.values():
            result.logs.update(paths)

    def _is_again(self, record: Entry, seen: set[bytes]) -> bool:
        key = record.place.model.name.encode() + self._framed(record.place).key_of(record)
        again = record.deleted or key in seen
        seen.add(key)
        return again

    def _adder(self, place: Place, result: Scan) -> Callable[[list[bytes | None]], None]:
        framed = self._framed(place)
        frame, key = framed.frame, framed.key
        add = result.tallies.setdefault(place.model.name, Tally()).add

        def count_in(values: list[bytes | None]) -> None:
            row = frame(values)
            add(key(row), row)

        return count_in

    def _note_logs(self, record: Entry, parents: dict[bytes, list[str]]) -> None:
        """A later line of a log speaks for the parent; a tombstone takes its logs away."""
        texts = [(v or b"").decode() for v in record.key]
        owned = self._owned[record.place.model.name]
        parents["\0".join(texts).encode()] = [] if record.deleted else [p.file_for(texts) for p in owned]


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
        """Scan here what nobody has begun, and wait for the others."""
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
