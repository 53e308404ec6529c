"""Records that are lines of a JSONL file of their parent."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple, Protocol

from octavo.errors import OctavoError
from octavo.layout.codec import Codec, Decoded
from octavo.layout.keys import Key
from octavo.layout.layout import FileFamily
from octavo.layout.record import Record, Row
from octavo.layout.scan import Log, end_of_log
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
from octavo.store.families.held import HeldLog
from octavo.store.families.log import lines_of
from octavo.store.families.long import LongLog
from octavo.store.freshness import Stale, World
from octavo.store.index import Spec
from octavo.store.locations import Locations
from octavo.store.system import Signature, open_signed

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
        self._logs: OrderedDict[str, HeldLog | LongLog] = OrderedDict()
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
        """A log with all its rows, if the file is there.  Raises DamagedError, DiskError, Stale."""
        return self.world.steadily(lambda: self._whole(self._log(file)))

    def _whole(self, log: HeldLog | LongLog | None) -> LogFile | None:
        return self._read(log.file) if isinstance(log, LongLog) else log

    def _log(self, file: str) -> HeldLog | LongLog | None:
        if self._doubtful is None:
            self._doubtful = set(self._logs)
        known = self._logs.get(file)
        if known is not None:
            if file not in self._doubtful or file in self.world.in_flight:
                self._logs.move_to_end(file)
                return known
            found = self.world.signature(file)
            if found != known.signature:
                self.world.take_time()
            if found == known.signature or (found is not None and self._go_on(known, found)):
                self._doubtful.discard(file)
                return known
            with self.world.change:
                self.world.replaced += 1
                self.forget(file)
        found = self.world.signature(file)
        if found is None:
            if file in self.world.in_flight:
                raise Stale
            self.world.check()
            return None
        log: HeldLog | LongLog
        if found.size > self.budget and not self.children:
            log = LongLog(self.world, file, self.scanner, self.codec)
            log.lineage = self._locations.follow(file, log.signature)
        else:
            log = self._read(file)
            log.lineage = self._locations.lineage(file, log.signature)
        self._keep(file, log)
        return log

    def _read(self, file: str) -> HeldLog:
        data, found = read_file(self.world, file)
        return HeldLog(self, file, self.understand(file, data), found)

    def _go_on(self, log: HeldLog | LongLog, found: Signature) -> bool:
        """Take over what other processes have appended to a log, if that is all that they did."""
        file, world = log.file, self.world
        if log.lineage is None or self.children or log.lineage != self._locations.lineage(file, found):
            return False
        with world.change:
            world.replaced += 1
            # Half changed, it must not be found again.
            del self._logs[file]
            self._used -= log.cost
            try:
                log.go_on(found)
            except (OctavoError, Stale):
                return False
            self._keep(file, log)
        return True

    def understand(self, file: str, data: bytes) -> Log:
        """What stands in one of the files, which must hold this parent's records only."""
        return self.scanner.log(file, data)

    def _keep(self, file: str, log: HeldLog | LongLog) -> None:
        self._logs[file] = log
        self._used += log.cost
        while self._used > self.budget and len(self._logs) > 1:
            self.forget(next(iter(self._logs)))

    def forget(self, file: str) -> None:
        """Let go of a log in memory."""
        if (log := self._logs.pop(file, None)) is not None:
            self._used -= log.cost
        if self._doubtful is not None:
            self._doubtful.discard(file)

    def of_parent(self, values: Any) -> list[Row]:
        """The rows of the parent with this key, in the order of the file.

        Raises DamagedError if the parent is there and its log is not.
        """
        rows = self._in_file(values, plainly=False)
        return rows if isinstance(rows, list) else list(rows)

    def rows_in_order(self, spec: Spec, values: Any) -> Sequence[Record] | None:
        return self._in_file(values, plainly=True) if spec == self._spec else None

    def _in_file(self, values: Any, *, plainly: bool) -> Sequence[Any]:
        file = self.namer.file(values)
        log = self.world.steadily(partial(self._log, file))
        if log is None:
            if self._parents.record(self.relation.parent, values) is not None:
                raise missing(file)
            return []
        return log.rows(plainly=plainly)

    def record(self, model: str, key: Key) -> Row | None:
        if model in self.children:
            key_of = self.children[model].codec.key_of
            return next((row for row in self.all(model) if key_of(row) == key), None)
        found = self._locations.find(key)
        if found is None and self._locations.may_lack_logs:
            # It may be in a log that is missing.
            self.world.steadily(self.existing)
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
        logs = self._in_files(self.world.steadily(self.existing))
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

    def existing(self) -> set[str]:
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
            if isinstance(self._logs.get(file), HeldLog) and (log := self.log(file)) is not None:
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
            before = None if change.before is None else self.file_of(change.before)
            after = None if change.after is None else self.file_of(change.after)
            if before is not None and before != after:
                found.setdefault(before, {})[key] = Changed(change.before, None)
            if after is not None:
                same = change.before if before == after else None
                found.setdefault(after, {})[key] = Changed(same, change.after)
        return found

    def file_of(self, row: Row) -> str:
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
        if log is not None and not log.is_torn:
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
            first, size, ended = end_of_log(descriptor, found.size)
            # Nothing is written after a line that is damaged.
            for _ in self.scanner.lines(file, descriptor, first, size):
                pass
        finally:
            os.close(descriptor)
        if size < found.size:
            self.world.cut(file, size)
            found = self.world.signature(file) or found
        return Tail(size, ended, found)

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
                continue
            # Half changed, it must not be found again.
            del self._logs[file]
            self._used -= log.cost
            with suppress(OctavoError, Stale):
                log.follow(change, changed, found.get(file))
                self._keep(file, log)
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

    def wasteful_log(self, file: str) -> LogFile | None:
        if file not in self._logs:
            if self._superseded.get(file, 0) <= GARBAGE:
                return None
            log = self.world.steadily(partial(self._log, file))
            # Not again before it can have come to hold twice as many.
            self._superseded[file] = 0 if log is None else -len(log)
        held = self._logs.get(file)
        return self._whole(held) if held is not None and held.is_wasteful else None

    def note(self) -> None:
        self._locations.note()

    def close(self) -> None:
        self._locations.close()

    def expect(self, log: LogFile) -> None:
        self._expected[log.file] = log.signature
