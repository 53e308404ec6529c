"""Records that are lines of one JSONL file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from octavo.layout.layout import FileFamily
from octavo.layout.stored import Key, Stored
from octavo.layout.storedcodec import Codec
from octavo.store.changes import Change
from octavo.store.content import Log
from octavo.store.families.base import NOTHING, Changes, Family, Found, LogFile, read_file
from octavo.store.freshness import World
from octavo.store.locations import Locations
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


_LARGE = 4 << 20
"""bytes of a log of which a record is looked up by the index, as long as it is not in memory"""


class LogFamily(Family):
    """Lines of one JSONL file.

    A large one of one model is not read for a single record: it is looked up where the index says
    (:mod:`octavo.store.locations`).  Anything else reads the log as a whole.
    """

    _log: LogFile | None = None

    def __init__(self, world: World, family: FileFamily, codecs: Mapping[str, Codec]) -> None:
        super().__init__(world, family, codecs)
        self.model = next(iter(self.codecs))
        self.codec = self.codecs[self.model]
        self._locations = Locations(self)

    def suspect(self, file: str | None) -> None:
        super().suspect(file)
        self._locations.suspect(file)

    def record(self, model: str, key: Key) -> Stored | None:
        if self._all is not None:
            return (self.records(model) if self._suspected else self._all[model]).get(key)
        if len(self.codecs) == 1:
            found = self.world.signature(self.family.path)
            if found is not None and found.size > _LARGE:
                return self._locations.find(key)
        return self.records(model).get(key)

    def files(self) -> Iterable[str]:
        return (self.family.path,)

    def understand(self, file: str, data: bytes) -> Log:
        return self.contents.log(file, data)

    def belongs(self, stored: Stored, file: str) -> bool:
        return True

    def in_files(self, files: Iterable[str]) -> Iterator[Stored]:
        return self.all(self.model)

    def close(self) -> None:
        self._locations.close()

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
        file = self.family.path
        if self._log is not None and (change := files.get(file)) is not None:
            if self._log.log.size > _LARGE and len(self.codecs) == 1:
                self._locations.done({file: changes.get(self.model, NOTHING)}, files, found)
            self._log.written(change, found.get(file))

    def wasteful_log(self, file: str) -> LogFile | None:
        log = self.log(file)
        return log if log.is_wasteful else None
