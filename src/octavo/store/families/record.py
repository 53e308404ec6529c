"""A file for each record."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from octavo.layout.layout import FileFamily
from octavo.layout.stored import Key, Stored
from octavo.layout.storedcodec import Codec
from octavo.store.changes import Change, Remove, Replace
from octavo.store.families.base import (
    NOTHING,
    Changed,
    Changes,
    Family,
    Found,
    list_files,
    read_file,
)
from octavo.store.freshness import World
from octavo.store.system import Signature


class RecordFamily(Family):
    """A file for each record."""

    def __init__(self, world: World, family: FileFamily, codecs: Mapping[str, Codec]) -> None:
        super().__init__(world, family, codecs)
        (self.model,) = self.codecs
        self._codec = self.codecs[self.model]
        self._namer = self.contents.namer
        self._read: dict[str, tuple[Signature, Key, Stored]] = {}
        """by file, those that have been read"""
        self._doubtful: set[str] | None = None
        """the files that may have changed; None: any may have"""
        self._listed = False

    def suspect(self, file: str | None) -> None:
        self._suspected = True
        if file is None:
            self._doubtful = None
        elif self._doubtful is not None:
            self._doubtful.add(file)

    def record(self, model: str, key: Key) -> Stored | None:
        if self._all is not None and not self._suspected:
            return self._all[model].get(key)
        file = self._namer.file(key)
        return self.world.steadily(lambda: self._record(file))

    def _record(self, file: str) -> Stored | None:
        doubtful = self._doubtful is None or file in self._doubtful
        known = self._read.get(file)
        if known is not None and not doubtful:
            return known[2]
        found = self._look(file)
        if self._doubtful is not None:
            self._doubtful.discard(file)
        return found

    def _look(self, file: str) -> Stored | None:
        """Read a file if it is not as it was; what is in memory follows."""
        known = self._read.get(file)
        if known is not None and file in self.world.in_flight:
            return known[2]
        found = self.world.signature(file)
        if known is not None and found == known[0]:
            return known[2]
        stored = key = None
        if found is not None:
            data, found = read_file(self.world, file)
            stored = self.contents.own_file(file, data)
            key = self._codec.key_of(stored)
        else:
            self.world.place.check()
            self.world.check()
        if known is None and self._all is None:
            if stored is not None and found is not None:
                self._read[file] = found, key, stored
            return stored
        with self.world.change:
            self.world.replaced += 1
            if known is not None:
                del self._read[file]
                self._take({self.model: {known[1]: Changed(known[2], None)}})
            if stored is not None and found is not None:
                self._read[file] = found, key, stored
                self._take({self.model: {key: Changed(None, stored)}})
        return stored

    def _freshen(self) -> None:
        if self._all is not None and self._doubtful is not None:
            files: Iterable[str] = [f for f in self._doubtful if self.family.pattern.fullmatch(f)]
        else:
            files = {*list_files(self.world, self.family), *self._read}
        for file in files:
            self._look(file)
        if self._all is None:
            self._all = {self.model: {key: stored for _, key, stored in self._read.values()}}
        # What an own commit is changing is looked at again when it is over.
        self._doubtful = set(self.world.in_flight & self._read.keys())
        self._suspected = bool(self._doubtful)

    def expected(self, file: str) -> Signature | None:
        return self._read[file][0] if file in self._read else None

    def plan(self, changes: Changes) -> list[Change]:
        planned: list[Change] = []
        for key, change in changes.get(self.model, NOTHING).items():
            file = self._namer.file(key)
            if change.after is not None:
                planned.append(Replace(file, self._codec.encode(change.after).decode()))
            elif change.before is not None:
                planned.append(Remove(file))
        return planned

    def done(self, changes: Changes, files: Mapping[str, Change], found: Found) -> None:
        self._take(changes)
        for key, change in changes.get(self.model, NOTHING).items():
            file = self._namer.file(key)
            self._read.pop(file, None)
            if change.after is not None and file in found:
                self._read[file] = found[file], key, change.after
