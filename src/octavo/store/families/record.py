"""A file for each record."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from octavo.errors import DamagedError
from octavo.layout.codec import NONE, Codec
from octavo.layout.keys import Key
from octavo.layout.layout import FileFamily
from octavo.layout.record import Row
from octavo.layout.scan import Rows
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
from octavo.store.index import Spec
from octavo.store.system import Signature


class RecordFamily(Family):
    """A file for each record."""

    def __init__(self, world: World, family: FileFamily, codecs: Mapping[str, Codec]) -> None:
        super().__init__(world, family, codecs)
        (self.model,) = self.codecs
        self._codec = self.codecs[self.model]
        self._namer = self.scanner.namer
        self._read: dict[str, tuple[Signature, Rows]] = {}
        """by file, the rows that have been read"""
        self._doubtful: set[str] | None = None
        """the files that may have changed; None: any may have"""

    def suspect(self, file: str | None) -> None:
        self._suspected = True
        if file is None:
            self._doubtful = None
        elif self._doubtful is not None:
            self._doubtful.add(file)

    def record(self, model: str, key: Key) -> Row | None:
        if model != self.model or (self._all is not None and not self._suspected):
            return self.rows(model).get(key)
        return self._of_host(key)[self.model].get(key)

    def find(self, spec: Spec, values: Any) -> list[Row]:
        child = self.children.get(spec.model)
        if child is None or spec != child.spec:
            return super().find(spec, values)
        return list(self._of_host(values)[spec.model].values())

    def _of_host(self, key: Key) -> Rows:
        """The rows in the file of the record with this key."""
        file = self._namer.file(key)
        return self.world.steadily(lambda: self._rows(file))

    def _rows(self, file: str) -> Rows:
        doubtful = self._doubtful is None or file in self._doubtful
        known = self._read.get(file)
        if known is not None and not doubtful:
            return known[1]
        found = self._look(file)
        if self._doubtful is not None:
            self._doubtful.discard(file)
        return found

    def _look(self, file: str) -> Rows:
        """Read a file if it is not as it was; what is in memory follows."""
        known = self._read.get(file)
        if known is not None and file in self.world.in_flight:
            return known[1]
        found = self.world.signature(file)
        if known is not None and found == known[0]:
            return known[1]
        rows = self._none()
        if found is not None:
            data, found = read_file(self.world, file)
            key, decoded = self.scanner.record_file(file, data)
            rows = {self.model: {key: decoded.row}, **self._codec.by_key([decoded], file)}
        else:
            self.world.place.check()
            self.world.check()
        if known is None and self._all is None:
            if found is not None:
                self._read[file] = found, rows
            return rows
        with self.world.change:
            self.world.replaced += 1
            if known is not None:
                del self._read[file]
                self._take(_changes(known[1], self._none()))
            if found is not None:
                self._check_keys(rows, file)
                self._read[file] = found, rows
                self._take(_changes(self._none(), rows))
        return rows

    def _none(self) -> Rows:
        return {self.model: {}, **{name: {} for name in self.children}}

    def _check_keys(self, rows: Rows, file: str) -> None:
        """Raise DamagedError if a row has the key of one in another file."""
        known = self._all or {}
        for name in self.children:
            if not rows[name].keys().isdisjoint(known.get(name, ())):
                raise DamagedError("its key stands twice", file=file, model=name)

    def _freshen(self) -> None:
        if self._all is not None and self._doubtful is not None:
            files: Iterable[str] = [f for f in self._doubtful if self.family.pattern.fullmatch(f)]
        else:
            files = {*list_files(self.world, self.family), *self._read}
        for file in files:
            self._look(file)
        if self._all is None:
            self._gather()
        # What an own commit is changing is looked at again when it is over.
        self._doubtful = set(self.world.in_flight & self._read.keys())
        self._suspected = bool(self._doubtful)

    def _gather(self) -> None:
        """Let all rows that have been read be in memory."""
        self._all = self._none()
        try:
            for file, (_, rows) in sorted(self._read.items()):
                self._check_keys(rows, file)
                for name, own in rows.items():
                    self._all[name] |= own
        except DamagedError:
            self._all = None
            raise

    def expected(self, file: str) -> Signature | None:
        return self._read[file][0] if file in self._read else None

    def plan(self, changes: Changes) -> list[Change]:
        planned: list[Change] = []
        whole, embedded = self.whole(changes)
        for key, change in whole.get(self.model, NOTHING).items():
            file = self._namer.file(key)
            if change.after is not None:
                text = self._codec.encode(change.after, embedded.get((self.model, key), NONE))
                planned.append(Replace(file, text.decode()))
            elif change.before is not None:
                planned.append(Remove(file))
        return planned

    def done(self, changes: Changes, files: Mapping[str, Change], found: Found) -> None:
        self._take(changes)
        rows = {file: self._read.pop(file, (None, self._none()))[1] for file in files}
        for name, changed in changes.items():
            child = self.children.get(name)
            if child is None and name != self.model:
                continue
            host_of = self._codec.key_of if child is None else child.host_of
            for key, change in changed.items():
                for row, is_there in ((change.before, False), (change.after, True)):
                    own = None if row is None else rows.get(self._namer.file(host_of(row)))
                    if own is not None and row is not None:
                        own[name].pop(key, None)
                        if is_there:
                            own[name][key] = row
        for file, own in rows.items():
            if file in found:
                self._read[file] = found[file], own


def _changes(before: Rows, after: Rows) -> Changes:
    """The changes of rows that these are."""
    return {
        name: {
            key: Changed(before[name].get(key), after[name].get(key)) for key in before[name] | after[name]
        }
        for name in before
    }
