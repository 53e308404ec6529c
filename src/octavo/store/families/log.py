"""Records that are lines of one JSONL file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from octavo.layout.codec import Codec
from octavo.layout.record import Record
from octavo.layout.stored import Stored
from octavo.store.changes import Append, Change, Replace
from octavo.store.content import Log
from octavo.store.families.base import (
    NOTHING,
    Changed,
    Changes,
    Family,
    Found,
    read_file,
)
from octavo.store.freshness import World
from octavo.store.system import Signature

GARBAGE = 64
"""superseded lines that a log may have, beside as many as it has records"""


def lines_of(codecs: Mapping[str, Codec], changes: Changes) -> list[bytes]:
    """What is to be appended to a log for these changes."""
    found = []
    for model, codec in codecs.items():
        for key, change in changes.get(model, NOTHING).items():
            if change.after is not None:
                found.append(codec.encode(change.after))
            elif change.before is not None:
                found.append(codec.encode_tombstone(key))
    return found


class Tail(NamedTuple):
    """The end of a log: all that a line to be appended has to know of it."""

    size: int
    """bytes up to the end of the last whole line"""
    ended: bool
    """whether the last line has its end: somebody may have left it without"""
    signature: Signature

    def append(self, file: str, lines: list[bytes]) -> Append:
        text = b"".join(([] if self.ended else [b"\n"]) + [line + b"\n" for line in lines])
        return Append(file, self.size, text.decode(), len(lines))


class LogFile:
    """One log in memory, and the state of the file that it was read from."""

    def __init__(self, file: str, log: Log, found: Signature) -> None:
        self.file, self.log, self.signature = file, log, found
        self.ordered: list[Stored] | None = None
        """the records in the order of the file, once somebody has asked; never changed, but replaced"""
        self.since: list[Changed] = []
        """what has changed since they were put in order"""
        self.rows: list[Record] | None = None
        """the same as rows"""

    @property
    def tail(self) -> Tail:
        return Tail(self.log.size, self.log.ended, self.signature)

    def cut(self, world: World) -> None:
        """Cut what a crash has left of a line.  Under the write lock only.  Raises OSError."""
        world.cut(self.file, self.log.size)
        self.log.torn = b""
        if (found := world.signature(self.file)) is not None:
            self.signature = found

    def written(self, change: Change, found: Signature | None) -> None:
        """Lines were appended, or the log was rewritten with one line a record."""
        if isinstance(change, Append):
            self.log.lines += change.count
            self.log.size += change.size
        elif isinstance(change, Replace):
            self.log.lines = sum(map(len, self.log.live.values()))
            self.log.size = len(change.content.encode())
        self.log.ended, self.log.torn = True, b""
        if found is not None:
            self.signature = found

    @property
    def is_wasteful(self) -> bool:
        """Whether superseded lines outweigh the records."""
        return self.log.lines > 2 * sum(map(len, self.log.live.values())) + GARBAGE


class LogFamily(Family):
    """Lines of one JSONL file."""

    _log: LogFile | None = None

    def _freshen(self) -> None:
        file = self.family.path
        if file in self.world.in_flight and self._all is not None:
            return
        if self._log is not None and self.world.signature(file) == self._log.signature:
            self._suspected = False
            return
        data, found = read_file(self.world, file)
        self._log = LogFile(file, self.contents.log(file, data), found)
        self._replace_all(self._log.log.live)

    @property
    def log(self) -> LogFile:
        self.records(next(iter(self.codecs)))
        if self._log is None:
            raise AssertionError(self.family.path)
        return self._log

    def expected(self, file: str) -> Signature | None:
        return self.log.signature

    def plan(self, changes: Changes) -> list[Change]:
        lines = lines_of(self.codecs, changes)
        if not lines:
            return []
        if self.log.log.torn:
            self.log.cut(self.world)
        return [self.log.tail.append(self.family.path, lines)]

    def done(self, changes: Changes, files: Mapping[str, Change], found: Found) -> None:
        self._take(changes)
        if self._log is not None and (change := files.get(self.family.path)) is not None:
            self._log.written(change, found.get(self.family.path))
