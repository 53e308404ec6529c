"""Records that are lines of one JSONL file."""

from __future__ import annotations

from collections.abc import Mapping

from octavo.layout.storedcodec import Codec
from octavo.store.changes import Change
from octavo.store.families.base import NOTHING, Changes, Family, Found, LogFile, read_file
from octavo.store.system import Signature


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

    def log(self, file: str) -> LogFile:
        self.records(next(iter(self.codecs)))
        if self._log is None:
            raise AssertionError(self.family.path)
        return self._log

    def expected(self, file: str) -> Signature | None:
        return self.log(file).signature

    def plan(self, changes: Changes) -> list[Change]:
        lines = lines_of(self.codecs, changes)
        if not lines:
            return []
        log = self.log(self.family.path)
        if log.log.torn:
            log.cut(self.world)
        return [log.tail.append(self.family.path, lines)]

    def done(self, changes: Changes, files: Mapping[str, Change], found: Found) -> None:
        self._take(changes)
        if self._log is not None and (change := files.get(self.family.path)) is not None:
            self._log.written(change, found.get(self.family.path))

    def wasteful_log(self, file: str) -> LogFile | None:
        log = self.log(file)
        return log if log.is_wasteful else None
