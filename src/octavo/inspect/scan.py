"""Reads a data folder once, in several processes, into tallies and findings."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from octavo.inspect.copybinary import CopyBinary
from octavo.inspect.observers import Inspector, Observed
from octavo.inspect.row_hash import Tally
from octavo.layout.codec import Values
from octavo.layout.layout import Layout, Place
from octavo.layout.listing import File
from octavo.layout.scan import Entry

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
