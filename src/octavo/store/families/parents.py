"""Records that are lines of a JSONL file of their parent."""

from __future__ import annotations

import os
from bisect import bisect_left, insort
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple, Protocol

from octavo.layout.codec import Codec, Decoded
from octavo.layout.keys import Key
from octavo.layout.layout import FileFamily
from octavo.layout.record import Noted, Record, Row, plain
from octavo.layout.scan import Log
from octavo.store.changes import Append, Change, Remove, Replace
from octavo.store.families.base import (
    GARBAGE,
    NOTHING,
    Changed,
    Changes,
    Family,
    Found,
    LogFile,
    Tail,
    Whole,
    list_files,
    missing,
    read_file,
)
from octavo.store.families.log import lines_of
from octavo.store.freshness import Stale, World
from octavo.store.index import Spec
from octavo.store.locations import Locations
from octavo.store.system import Signature, open_signed

_BUDGET_OVERHEAD = 1_000
_TAIL = 1 << 14
"""bytes to look at first for the last line of a log"""
_FEW = 100
"""changes of a log for which its records are not sorted anew"""
_TAILS = 256
"""logs that are not in memory, of which the end is remembered"""


class _Planned(NamedTuple):
    """Changes of records and of their parents, by the logs that they concern."""

    changes: Changes
    by_file: Mapping[str, Mapping[Key, Changed]]
    came: set[str]
    """the logs that come with new parents"""
    went: set[str]
    """those that go with old ones"""
    whole: Whole


_NOTHING_PLANNED = _Planned({}, {}, set(), set(), {})


class Parents(Protocol):
    """Where the records are that logs belong to."""

    codecs: Mapping[str, Codec]

    def record(self, model: str, key: Key) -> Row | None: ...

    def all(self, model: str) -> Iterator[Row]: ...


class ParentLogs(Family):
    """One JSONL file for each parent, read as it is asked for."""

    def __init__(
        self,
        world: World,
        family: FileFamily,
        codecs: Mapping[str, Codec],
        parents: Parents,
        budget: int,
    ) -> None:
        """``parents`` has the records that the logs belong to."""
        super().__init__(world, family, codecs)
        (self.model,) = self.codecs
        self.codec = self.codecs[self.model]
        if self.codec.place.relation is None:
            raise AssertionError(family.path)
        self.relation = self.codec.place.relation
        self._spec = Spec(self.model, self.relation.fields)
        self.namer = self.scanner.namer
        self.budget, self._used = budget, 0
        self._logs: OrderedDict[str, LogFile] = OrderedDict()
        self._superseded: dict[str, int] = {}
        """of logs that are not in memory, how many lines commits of this process have superseded"""
        self._tails: dict[str, Tail] = {}
        """of logs that are not in memory, how commits of this process have left their end"""
        self._expected: dict[str, Signature] = {}
        """of the logs in a plan the state that it was made for"""
        self._planned = _NOTHING_PLANNED
        """what the last plan was made of"""
        self._doubtful: set[str] | None = set()
        self.parent_of = self.namer.values_of
        self._parents = parents
        self._locations = Locations(self)

    def suspect(self, file: str | None) -> None:
        self._locations.suspect(file)
        if file is None:
            self._doubtful = None
        elif self._doubtful is not None and file in self._logs:
            self._doubtful.add(file)

    def log(self, file: str) -> LogFile | None:
        """A log, if the file is there.  Raises DamagedError, DiskError, Stale."""
        return self.world.steadily(lambda: self._log(file))

    def _log(self, file: str) -> LogFile | None:
        if self._doubtful is None:
            self._doubtful = set(self._logs)
        known = self._logs.get(file)
        if known is not None:
            if file not in self._doubtful or file in self.world.in_flight:
                self._logs.move_to_end(file)
                return known
            if self.world.signature(file) == known.signature:
                self._doubtful.discard(file)
                return known
            with self.world.change:
                self.world.replaced += 1
                self.forget(file)
        if self.world.signature(file) is None:
            if file in self.world.in_flight:
                raise Stale
            self.world.check()
            return None
        data, found = read_file(self.world, file)
        log = LogFile(file, self.understand(file, data), found)
        self._keep(file, log)
        return log

    def understand(self, file: str, data: bytes) -> Log:
        """What stands in one of the files, which must hold this parent's records only."""
        return self.scanner.log(file, data)

    def _keep(self, file: str, log: LogFile) -> None:
        self._logs[file] = log
        self._used += log.log.size + _BUDGET_OVERHEAD
        while self._used > self.budget and len(self._logs) > 1:
            self.forget(next(iter(self._logs)))

    def forget(self, file: str) -> None:
        """Let go of a log in memory."""
        if (log := self._logs.pop(file, None)) is not None:
            self._used -= log.log.size + _BUDGET_OVERHEAD
        if self._doubtful is not None:
            self._doubtful.discard(file)

    def of_parent(self, values: Any) -> list[Row]:
        """The rows of the parent with this key, in the order of the file.

        Raises DamagedError if the parent is there and its log is not.
        """
        file = self.namer.file(values)
        log = self.log(file)
        if log is None:
            if self._parents.record(self.relation.parent, values) is not None:
                raise missing(file)
            return []
        if (ordered := log.ordered) is None or log.since:
            # A commit must not come between, or what is remembered would lack it.
            with self.world.mutex, self.world.guard:
                ordered = self._put_in_order(log)
        return ordered

    def _put_in_order(self, log: LogFile) -> list[Row]:
        ordered = None
        if log.ordered is not None and len(log.since) <= _FEW:
            ordered = self._reordered(log.ordered, log.since)
        if ordered is None:
            ordered = self.in_order(self.model, log.log.live[self.model].values())
        log.ordered, log.rows, log.since = ordered, None, []
        return ordered

    def rows_in_order(self, spec: Spec, values: Any) -> list[Record] | None:
        if spec != self._spec:
            return None
        ordered, log = self.of_parent(values), self._logs.get(self.namer.file(values))
        if log is None:
            return None
        with self.world.mutex, self.world.guard:
            if log.rows is not None and log.ordered is ordered:
                return log.rows
            rows: list[Any] = list(map(plain, ordered)) if Noted in set(map(type, ordered)) else ordered
            if log.ordered is ordered:
                log.rows = rows
            return rows

    def _reordered(self, ordered: list[Row], changes: Iterable[Changed]) -> list[Row] | None:
        """Rows in the order of the file, after changes; None: they are to be sorted anew."""
        found, order, key_of = list(ordered), self.codec.order, self.codec.key_of
        for before, after in changes:
            if before is not None:
                at = bisect_left(found, order(before), key=order)
                if at == len(found) or key_of(found[at]) != key_of(before):
                    return None
                del found[at]
            if after is not None:
                insort(found, after, key=order)
        return found

    def record(self, model: str, key: Key) -> Row | None:
        if model in self.children:
            key_of = self.children[model].codec.key_of
            return next((row for row in self.all(model) if key_of(row) == key), None)
        found = self._locations.find(key)
        if found is None and self._locations.may_lack_logs:
            # It may be in a log that is missing.
            self.world.steadily(self._files)
            self._locations.may_lack_logs = False
        return None if found is None else found.row

    def find(self, spec: Spec, values: Any) -> list[Row]:
        if spec == self._spec:
            return self.of_parent(values)
        child = self.children.get(spec.model)
        if child is None and spec.fields == self.codec.place.model.key.field_names:
            found = self._locations.find(values)
            return [] if found is None else [found.row]
        if child is not None and spec == child.spec:
            found = self._locations.find(values)
            return [] if found is None else list(found.embedded[spec.model])
        extract = self._extractor(spec)
        return [row for row in self.all(spec.model) if values in extract(row)]

    def all(self, model: str) -> Iterator[Row]:
        """All rows.  Raises DamagedError if a parent is there and its log is not."""
        logs = self._in_files(self.world.steadily(self._files))
        if model in self.children:
            return (row for log in logs for row in list(log.embedded[model].values()))
        return (row for log in logs for row in list(log.live[model].values()))

    def look_for(self, key: Key) -> Decoded | None:
        for log in self._in_files(self.files()):
            if (row := log.live[self.model].get(key)) is not None:
                embedded = {
                    name: [r for r in log.embedded[name].values() if child.host_of(r) == key]
                    for name, child in self.children.items()
                }
                return Decoded(row, embedded)
        return None

    def files(self) -> Iterator[str]:
        return list_files(self.world, self.family)

    def _files(self) -> set[str]:
        """The logs that there are.  Raises DamagedError if one is missing."""
        parent = self.relation.parent
        key_of = self._parents.codecs[parent].key_of
        owned = {self.namer.file(key_of(record)) for record in self._parents.all(parent)}
        there = set(list_files(self.world, self.family))
        if lost := owned - there:
            if lost & self.world.in_flight:
                raise Stale
            raise missing(min(lost))
        return there

    def _in_files(self, files: Iterable[str]) -> Iterator[Log]:
        """The logs, without keeping those that are not in memory already."""
        for file in sorted(files):
            known = self._logs.get(file)
            if known is not None and (log := self.log(file)) is not None:
                yield log.log
                continue
            data, _ = self.world.steadily(partial(read_file, self.world, file))
            yield self.understand(file, data)

    def expected(self, file: str) -> Signature | None:
        return self._expected.get(file)

    def by_file(self, changes: Mapping[Key, Changed]) -> dict[str, dict[Key, Changed]]:
        """The changes in each log: a record that gets another parent leaves one and enters another."""
        found: dict[str, dict[Key, Changed]] = {}
        for key, change in changes.items():
            before = None if change.before is None else self._file_of(change.before)
            after = None if change.after is None else self._file_of(change.after)
            if before is not None and before != after:
                found.setdefault(before, {})[key] = Changed(change.before, None)
            if after is not None:
                same = change.before if before == after else None
                found.setdefault(after, {})[key] = Changed(same, change.after)
        return found

    def belongs(self, row: Row, file: str) -> bool:
        """Whether a row is in the log of its parent."""
        return self._file_of(row) == file

    def _file_of(self, row: Row) -> str:
        return self.namer.file(self.parent_of(row))

    def _by_logs(self, changes: Changes) -> _Planned:
        came, went = set(), set()
        for key, change in changes.get(self.relation.parent, NOTHING).items():
            if change.before is None and change.after is not None:
                came.add(self.namer.file(key))
            elif change.after is None and change.before is not None:
                went.add(self.namer.file(key))
        records, whole = self.whole(changes)
        by_file = self.by_file(records.get(self.model, NOTHING))
        return _Planned(changes, by_file, came, went, whole)

    def plan(self, changes: Changes) -> list[Change]:
        self._expected.clear()
        changed = changes.get(self.model, NOTHING)
        if len(changed) == 1 and self.relation.parent not in changes and not self.children:
            [(before, after)] = changed.values()
            if before is None and after is not None:
                # Mostly it is one row that comes.
                file = self.namer.file(self.parent_of(after))
                self._planned = _Planned(changes, {file: changed}, set(), set(), {})
                return [self.tail(file).append(file, [self.codec.encode(after)])]
        _, by_file, came, went, whole = self._planned = self._by_logs(changes)
        for file in went:
            if (found := self.world.signature(file)) is None:
                raise missing(file)
            self._expected[file] = found
        planned: list[Change] = [Remove(file) for file in sorted(went)]
        for file in sorted(came):
            lines = lines_of(self.codecs, {self.model: by_file.get(file, {})}, whole)
            planned.append(Replace(file, b"".join(line + b"\n" for line in lines).decode()))
        for file, changed in by_file.items():
            lines = lines_of(self.codecs, {self.model: changed}, whole)
            if lines and file not in came and file not in went:
                planned.append(self.tail(file).append(file, lines))
        return planned

    def tail(self, file: str) -> Tail:
        """The end of a log that is to be appended to, without reading the rest; what is torn is cut.

        Raises DamagedError, DiskError, OSError.
        """
        log = self._logs.get(file)
        tail = self._tails.pop(file, None)
        if log is not None and not log.log.torn:
            tail = log.tail
        if tail is None or tail.signature != self.world.signature(file):
            self.forget(file)
            try:
                tail = self._read_tail(file)
            except FileNotFoundError as error:
                raise missing(file) from error
        self._expected[file] = tail.signature
        return tail

    def _read_tail(self, file: str) -> Tail:
        descriptor, found = open_signed(self.world.path(file))
        try:
            length = _TAIL
            while True:
                start = max(found.size - length, 0)
                data = os.pread(descriptor, found.size - start, start)
                # From the end of the line before the last one, which may be cut itself.
                first = data.rfind(b"\n", 0, data.rfind(b"\n")) + 1
                if first or not start:
                    break
                length *= 8
        finally:
            os.close(descriptor)
        log = self.scanner.log(file, data[first:], start + first)
        size = start + first + log.size
        if log.torn:
            self.world.cut(file, size)
            found = self.world.signature(file) or found
        return Tail(size, log.ended, found)

    def done(self, changes: Changes, files: Mapping[str, Change], found: Found) -> None:
        planned = self._planned if changes is self._planned.changes else self._by_logs(changes)
        for file, change in files.items():
            changed = planned.by_file.get(file, NOTHING)
            log = self._logs.get(file)
            if log is not None and (self.children or file in planned.came or isinstance(change, Remove)):
                self.forget(file)
                log = None
            if log is None:
                self._unread(file, change, changed, found.get(file))
            else:
                self._follow(log, change, changed, found.get(file))
        self._locations.done(planned.by_file, files, found)
        self._planned = _NOTHING_PLANNED

    def _unread(
        self, file: str, change: Change, changed: Mapping[Key, Changed], found: Signature | None
    ) -> None:
        """A log that is not in memory was changed."""
        if not isinstance(change, Append):
            self._superseded.pop(file, None)
            return
        if found is not None:
            if len(self._tails) >= _TAILS:
                self._tails.clear()
            self._tails[file] = Tail(change.at + change.size, True, found)
        for before, _ in changed.values():
            if before is not None:
                self._superseded[file] = self._superseded.get(file, 0) + 1

    def _follow(
        self, log: LogFile, change: Change, changed: Mapping[Key, Changed], found: Signature | None
    ) -> None:
        """A log in memory was changed."""
        before, live = log.log.size, log.log.live[self.model]
        if log.ordered is not None and not self._goes_on(log, log.ordered, changed):
            log.since += list(changed.values())[: _FEW + 1 - len(log.since)]
        for key, change_of in changed.items():
            live.pop(key, None)
            if change_of.after is not None:
                live[key] = change_of.after
        log.written(change, found)
        self._used += log.log.size - before

    def _goes_on(self, log: LogFile, ordered: list[Row], changed: Mapping[Key, Changed]) -> bool:
        """Put new records at the end of those in order, if that is where they belong; whether it is.

        A thread that is reading the list meanwhile reads again.
        """
        new = [change.after for change in changed.values()]
        if log.since or len(new) > _FEW or any(change.before is not None for change in changed.values()):
            return False
        order = self.codec.order
        records = sorted((one for one in new if one is not None), key=order)
        if any(isinstance(record, Noted) for record in records):
            return False
        if ordered and records and order(records[0]) <= order(ordered[-1]):
            return False
        if log.rows is not None and log.rows is not ordered:
            log.rows.extend(map(plain, records))
        ordered.extend(records)
        return True

    def wasteful_log(self, file: str) -> LogFile | None:
        if self._superseded.get(file, 0) > GARBAGE and file not in self._logs:
            log = self.log(file)
            # Not again before it can have come to hold twice as many.
            self._superseded[file] = 0 if log is None else -len(log.log.live[self.model])
        held = self._logs.get(file)
        return held if held is not None and held.is_wasteful else None

    def note(self) -> None:
        self._locations.note()

    def close(self) -> None:
        self._locations.close()

    def expect(self, log: LogFile) -> None:
        self._expected[log.file] = log.signature
