"""Records that are lines of one JSONL file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from octavo.layout.codec import NONE, Codec, Decoded
from octavo.layout.keys import Key
from octavo.layout.layout import FileFamily
from octavo.layout.record import Row
from octavo.layout.scan import Log
from octavo.store.changes import Change
from octavo.store.families.base import NOTHING, Changes, Family, Found, LogFile, Whole, read_file
from octavo.store.freshness import World
from octavo.store.locations import Locations
from octavo.store.system import Signature


def lines_of(codecs: Mapping[str, Codec], changes: Changes, whole: Whole) -> list[bytes]:
    """What is to be appended to a log for these changes of records."""
    found = []
    for model, codec in codecs.items():
        for key, change in changes.get(model, NOTHING).items():
            if change.after is not None:
                found.append(codec.encode(change.after, whole.get((model, key), NONE) if whole else NONE))
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
        self._planned: Changes = {}
        """the changes of records that the last plan wrote, in the order of their lines"""

    def suspect(self, file: str | None) -> None:
        super().suspect(file)
        self._locations.suspect(file)

    def record(self, model: str, key: Key) -> Row | None:
        if self._all is not None:
            return (self.rows(model) if self._suspected else self._all[model]).get(key)
        if model == self.model and len(self.codecs) == 1:
            found = self.world.signature(self.family.path)
            if found is not None and found.size > _LARGE:
                record = self._locations.find(key)
                return None if record is None else record.row
        return self.rows(model).get(key)

    def files(self) -> Iterable[str]:
        return (self.family.path,)

    def understand(self, file: str, data: bytes) -> Log:
        return self.scanner.log(file, data)

    def file_of(self, row: Row) -> str:
        return self.family.path

    def look_for(self, key: Key) -> Decoded | None:
        row = self.rows(self.model).get(key)
        return None if row is None else Decoded(row)

    def note(self) -> None:
        self._locations.note()

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
        self._log = LogFile(file, self.scanner.log(file, data), found)
        self._replace_all(self._log.log.live | self._log.log.embedded)

    def log(self, file: str) -> LogFile:
        self.rows(self.model)
        if self._log is None:
            raise AssertionError(self.family.path)
        return self._log

    def expected(self, file: str) -> Signature | None:
        return self.log(file).signature

    def plan(self, changes: Changes) -> list[Change]:
        self._planned, whole = self.whole(changes)
        lines = lines_of(self.codecs, self._planned, whole)
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
                self._locations.done({file: self._planned.get(self.model, NOTHING)}, files, found)
            self._log.written(change, found.get(file))
        self._planned = {}

    def wasteful_log(self, file: str) -> LogFile | None:
        log = self.log(file)
        return log if log.is_wasteful else None
