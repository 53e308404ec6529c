"""The files of a layout in memory: what stands in them, and how a change of records becomes one of files.

There is one class for each way to live (see :mod:`octavo.layout.layout`).  Three of them hold all their
records; logs per parent are read as they are asked for, and the least used go when they exceed a budget.

Each answers for its own freshness: :meth:`suspect` says that a file may have changed, and the next question
looks at the file's signature before it is answered.
"""

from __future__ import annotations

import os
from bisect import bisect_left, insort
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple, TypeAlias

from octavo.errors import DamagedError, DiskError
from octavo.layout.codec import Codec
from octavo.layout.layout import VERSION, FileFamily, Place
from octavo.layout.order import file_order, in_file_order
from octavo.layout.record import Record
from octavo.layout.stored import Key, Noted, Stored, encode, key_getter
from octavo.layout.types import column_type
from octavo.store.changes import Append, Change, Remove, Replace
from octavo.store.content import Contents, Document, Log
from octavo.store.index import Index, Spec, extractor
from octavo.store.system import Signature, open_to_read
from octavo.store.world import Behind, World


class Changed(NamedTuple):
    """A record as it was and as it is to be; None: there is none."""

    before: Stored | None
    after: Stored | None


Changes: TypeAlias = Mapping[str, Mapping[Key, Changed]]
"""By model and key."""

Found: TypeAlias = Mapping[str, Signature]
"""The state of each file that a commit has written."""

_NOTHING: Mapping[Key, Changed] = {}

GARBAGE = 64
"""superseded lines that a log may have, beside as many as it has records"""


class Family:
    """What every way to live has in common: the records in memory, and their indexes."""

    def __init__(self, world: World, family: FileFamily, codecs: Mapping[str, Codec]) -> None:
        self.world, self.family = world, family
        self.contents = Contents(family, codecs)
        self.codecs = self.contents.codecs
        self.orders = {name: file_order(codec.place.model) for name, codec in self.codecs.items()}
        self._in_order = {name: in_file_order(codec.place.model) for name, codec in self.codecs.items()}
        self._all: dict[str, dict[Key, Stored]] | None = None
        self._indexes: dict[Spec, Index] = {}
        self._suspected = True

    def suspect(self, file: str | None) -> None:
        """A file may have changed; None: any may have."""
        self._suspected = True

    def records(self, model: str) -> dict[Key, Stored]:
        """All records of a model, by key.  Not to be changed.  Raises DamagedError, DiskError, Behind."""
        if self._suspected or self._all is None:
            self.world.steadily(self._freshen)
        if self._all is None:
            raise AssertionError(self.family.path)
        return self._all[model]

    def record(self, model: str, key: Key) -> Stored | None:
        """The record with this key, if there is one."""
        return self.records(model).get(key)

    def find(self, host: str, spec: Spec, values: Any) -> list[Stored]:
        """The records of the host's model that are found under these values."""
        records = self.records(host)
        index = self._indexes.get(spec)
        if index is None:
            with self.world.mutex:
                index = self._indexes.get(spec)
                if index is None:
                    records = self._all[host] if self._all is not None else records
                    index = self._indexes[spec] = Index(extractor(self.codecs[host], spec), records)
        return [stored for key in index.find(values) if (stored := records.get(key)) is not None]

    def _freshen(self) -> None:
        raise NotImplementedError

    def _replace_all(self, found: dict[str, dict[Key, Stored]]) -> None:
        if self._all is None:
            self._all = found
        else:
            with self.world.change():
                self.world.replaced += 1
                self._all = found
                self._indexes.clear()
        self._suspected = False

    def _take(self, changes: Changes) -> None:
        """Change what is in memory."""
        if self._all is None:
            return
        for model, records in self._all.items():
            if not (changed := changes.get(model)):
                continue
            indexes = [i for s, i in self._indexes.items() if self._hosts(model, s)]
            for key, change in changed.items():
                if (old := records.get(key)) is not None:
                    for index in indexes:
                        index.discard(key, old)
                if change.after is None:
                    records.pop(key, None)
                else:
                    records[key] = change.after
                    for index in indexes:
                        index.add(key, change.after)

    def _hosts(self, model: str, spec: Spec) -> bool:
        return spec.model == model or any(
            child.place.model.name == spec.model for child in self.codecs[model].children
        )

    def plan(self, changes: Changes) -> list[Change]:
        """The changes of files that these changes of records take."""
        raise NotImplementedError

    def expected(self, file: str) -> Signature | None:
        """The state of a file that :meth:`plan` planned for; None: there is none yet."""
        raise NotImplementedError

    def done(self, changes: Changes, files: Mapping[str, Change], found: Found) -> None:
        """The planned changes were made: change what is in memory.

        ``files`` are the changes of this family's, and ``found`` has the state that each file has now.
        """
        raise NotImplementedError

    def expect(self, log: LogFile) -> None:
        """A log is about to be rewritten as it is in memory."""

    def in_order(self, model: str, records: Iterable[Stored]) -> list[Stored]:
        return self._in_order[model](records)


def missing(file: str) -> DamagedError:
    return DamagedError("is missing", file=file)


def read_file(world: World, file: str) -> tuple[bytes, Signature]:
    """A file that has to be there.  Raises DamagedError if it is not, DiskError if it cannot be read."""
    try:
        return world.read(file)
    except FileNotFoundError as error:
        raise missing(file) from error
    except IsADirectoryError as error:
        raise DamagedError("is no regular file", file=file) from error
    except OSError as error:
        raise DiskError.of(error, "reading the store") from error


class DocumentFamily(Family):
    """Arrays of one JSON file."""

    _signature: Signature | None = None
    _document: Document

    def _freshen(self) -> None:
        file = self.family.path
        if file in self.world.in_flight and self._all is not None:
            return
        if self._all is not None and self.world.signature(file) == self._signature:
            self._suspected = False
            return
        data, found = read_file(self.world, file)
        self._document = self.contents.document(file, data)
        self._signature = found
        self._replace_all(self._document.live)

    def expected(self, file: str) -> Signature | None:
        return self._signature

    def plan(self, changes: Changes) -> list[Change]:
        parts = [b'{\n  "_version": %d' % VERSION]
        for place in self.family.places:
            texts = self._texts(place, changes.get(place.model.name, {}))
            inner = b"[\n    " + b",\n    ".join(texts) + b"\n  ]" if texts else b"[]"
            parts.append(encode(place.array) + b": " + inner)
        parts += [encode(key) + b": " + value for key, value in self._document.unknown]
        return [Replace(self.family.path, (b",\n  ".join(parts) + b"\n}\n").decode())]

    def _texts(self, place: Place, changed: Mapping[Key, Changed]) -> list[bytes]:
        name, codec = place.model.name, self.codecs[place.model.name]
        records = dict(self.records(name))
        texts = self._document.texts[name]
        for key, change in changed.items():
            if change.after is None:
                records.pop(key, None)
            else:
                records[key] = change.after
        order = self.orders[name]
        return [
            codec.encode(record) if key in changed else texts[key]
            for key, record in sorted(records.items(), key=lambda item: order(item[1]))
        ]

    def done(self, changes: Changes, files: Mapping[str, Change], found: Found) -> None:
        for name, texts in self._document.texts.items():
            for key, change in changes.get(name, _NOTHING).items():
                if change.after is None:
                    texts.pop(key, None)
                else:
                    texts[key] = self.codecs[name].encode(change.after)
        self._take(changes)
        self._signature = found.get(self.family.path)


class RecordFamily(Family):
    """A file for each record."""

    def __init__(self, world: World, family: FileFamily, codecs: Mapping[str, Codec]) -> None:
        super().__init__(world, family, codecs)
        (self.model,) = self.codecs
        self._codec = self.codecs[self.model]
        self._namer = Namer(self._codec)
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
            stored = self.contents.record_file(file, data)
            key = self._codec.key_of(stored)
            if self._namer.file(key) != file:
                raise DamagedError("a record that belongs in another file", file=file, model=self.model)
        else:
            self.world.check()
        if known is None and self._all is None:
            if stored is not None and found is not None:
                self._read[file] = found, key, stored
            return stored
        with self.world.change():
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
        for key, change in changes.get(self.model, _NOTHING).items():
            file = self._namer.file(key)
            if change.after is not None:
                planned.append(Replace(file, self._codec.encode(change.after).decode()))
            elif change.before is not None:
                planned.append(Remove(file))
        return planned

    def done(self, changes: Changes, files: Mapping[str, Change], found: Found) -> None:
        self._take(changes)
        for key, change in changes.get(self.model, _NOTHING).items():
            file = self._namer.file(key)
            self._read.pop(file, None)
            if change.after is not None and file in found:
                self._read[file] = found[file], key, change.after


def lines_of(codecs: Mapping[str, Codec], changes: Changes) -> list[bytes]:
    """What is to be appended to a log for these changes."""
    found = []
    for model, codec in codecs.items():
        for key, change in changes.get(model, _NOTHING).items():
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
        """the records in the order of the file, once somebody has asked; a new list with each change"""
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
            self.log.size += len(change.lines.encode())
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


class Namer:
    """The file that a record lives in, from the stored values that name it."""

    def __init__(self, codec: Codec) -> None:
        place = codec.place
        self._place = place
        datamodel = codec.layout.datamodel
        self._texts = [column_type(place.model.scalar(n), datamodel).text for n in place.name_fields]
        self._files: dict[Key, str] = {}

    def file(self, values: Any) -> str:
        """``values``: one, or the tuple of more.  They are those of the key, or of the parent's."""
        found = self._files.get(values)
        if found is None:
            parts = (values,) if len(self._texts) == 1 else values
            texts = [text(part).decode() for text, part in zip(self._texts, parts, strict=True)]
            found = self._place.file_for(texts)
            if len(self._files) >= 4096:
                self._files.clear()
            self._files[values] = found
        return found


def list_files(world: World, family: FileFamily) -> Iterator[str]:
    """The files of a family that there are.  Raises DiskError, Behind."""
    folder = family.folder
    try:
        with os.scandir(world.path(folder)) as entries:
            names = [entry.name for entry in entries]
    except OSError as error:
        raise DiskError.of(error, "listing the store") from error
    world.check()
    for name in names:
        file = f"{folder}/{name}" if folder else name
        if family.pattern.fullmatch(file):
            yield file


_BUDGET_OVERHEAD = 1_000
_TAIL = 1 << 14
"""bytes to look at first for the last line of a log"""


class ParentLogs(Family):
    """One JSONL file for each parent, read as it is asked for."""

    def __init__(self, world: World, family: FileFamily, codecs: Mapping[str, Codec], budget: int) -> None:
        super().__init__(world, family, codecs)
        (self.model,) = self.codecs
        self.codec = self.codecs[self.model]
        if self.codec.place.relation is None:
            raise AssertionError(family.path)
        self.relation = self.codec.place.relation
        self.namer = Namer(self.codec)
        self.budget, self._used = budget, 0
        self._logs: OrderedDict[str, LogFile] = OrderedDict()
        self._superseded: dict[str, int] = {}
        """of logs that are not in memory, how many lines commits of this process have superseded"""
        self._expected: dict[str, Signature] = {}
        """of the logs in a plan the state that it was made for"""
        self._doubtful: set[str] | None = set()
        fields = [self.codec.place.model.scalar(n) for n in self.relation.fields]
        self.parent_of = key_getter(fields)

    def suspect(self, file: str | None) -> None:
        if file is None:
            self._doubtful = None
        elif self._doubtful is not None and file in self._logs:
            self._doubtful.add(file)

    def log(self, file: str) -> LogFile | None:
        """A log, if the file is there.  Raises DamagedError, DiskError, Behind."""
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
            with self.world.change():
                self.world.replaced += 1
                self.forget(file)
        if self.world.signature(file) is None:
            if file in self.world.in_flight:
                raise Behind
            self.world.check()
            return None
        data, found = read_file(self.world, file)
        log = LogFile(file, self.understand(file, data), found)
        self._keep(file, log)
        return log

    def understand(self, file: str, data: bytes) -> Log:
        """What stands in one of the files, which must hold this parent's records only."""
        log = self.contents.log(file, data)
        parents = set(map(self.parent_of, log.live[self.model].values()))
        if any(self.namer.file(values) != file for values in parents):
            for number, line in enumerate(data.split(b"\n"), 1):
                stored = self.contents.line(line)[2] if line.strip() else None
                if stored is not None and not self.belongs(stored, file):
                    reason = "a record that belongs in another file"
                    raise DamagedError(reason, file=file, line=number, model=self.model)
        return log

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

    def of_parent(self, values: Any) -> list[Stored] | None:
        """The records of the parent with this key, in the order of the file; None: it has no log."""
        log = self.log(self.namer.file(values))
        if log is None:
            return None
        if (ordered := log.ordered) is None:
            # A commit must not come between, or what is remembered would lack it.
            with self.world.mutex:
                ordered = log.ordered = self.in_order(self.model, log.log.live[self.model].values())
        return ordered

    def rows_of_parent(self, values: Any) -> list[Record] | None:
        """The same as rows: mostly the very same."""
        records, log = self.of_parent(values), self._logs.get(self.namer.file(values))
        if log is None or records is None:
            return None
        if log.rows is None:
            plain = self.codec.shape.is_record and Noted not in set(map(type, records))
            log.rows = records if plain else [self.codec.record(stored) for stored in records]
        return log.rows

    def _reordered(self, ordered: list[Stored], changes: Iterable[Changed]) -> list[Stored] | None:
        """Records in the order of the file, after changes; None: they are to be sorted anew."""
        found, order, key_of = list(ordered), self.orders[self.model], self.codec.key_of
        for before, after in changes:
            if before is not None:
                at = bisect_left(found, order(before), key=order)
                if at == len(found) or key_of(found[at]) != key_of(before):
                    return None
                del found[at]
            if after is not None:
                insort(found, after, key=order)
        return found

    def records(self, model: str) -> dict[Key, Stored]:
        """All of them in memory; for stores of which somebody has to see every record at once."""
        files = list_files(self.world, self.family)
        return {self.codec.key_of(stored): stored for stored in self.all(files)}

    def all(self, files: Iterable[str]) -> Iterator[Stored]:
        """All records, log by log, without keeping those that are not in memory already."""
        for file in sorted(files):
            known = self._logs.get(file)
            if known is not None and (log := self.log(file)) is not None:
                yield from list(log.log.live[self.model].values())
                continue
            data, _ = self.world.steadily(partial(read_file, self.world, file))
            yield from self.understand(file, data).live[self.model].values()

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

    def belongs(self, stored: Stored, file: str) -> bool:
        """Whether a record is in the log of its parent."""
        return self._file_of(stored) == file

    def _file_of(self, stored: Stored) -> str:
        return self.namer.file(self.parent_of(stored))

    def parents_changed(self, changes: Mapping[Key, Changed]) -> tuple[set[str], set[str]]:
        """The logs that come with new parents, and those that go with old ones."""
        came = {self.namer.file(k) for k, c in changes.items() if c.before is None and c.after is not None}
        went = {self.namer.file(k) for k, c in changes.items() if c.before is not None and c.after is None}
        return came, went

    def plan(self, changes: Changes) -> list[Change]:
        came, went = self.parents_changed(changes.get(self.relation.parent, {}))
        by_file = self.by_file(changes.get(self.model, {}))
        self._expected.clear()
        for file in went:
            if (found := self.world.signature(file)) is None:
                raise missing(file)
            self._expected[file] = found
        planned: list[Change] = [Remove(file) for file in sorted(went)]
        for file in sorted(came):
            entering = by_file.get(file, {})
            lines = [self.codec.encode(c.after) + b"\n" for c in entering.values() if c.after is not None]
            planned.append(Replace(file, b"".join(lines).decode()))
        for file, changed in by_file.items():
            lines = lines_of(self.codecs, {self.model: changed})
            if lines and file not in came and file not in went:
                planned.append(self.tail(file).append(file, lines))
        return planned

    def tail(self, file: str) -> Tail:
        """The end of a log that is to be appended to, without reading the rest; what is torn is cut.

        Raises DamagedError, DiskError, OSError.
        """
        known = self._logs.get(file)
        if known is not None and not known.log.torn and self.world.signature(file) == known.signature:
            self._expected[file] = known.signature
            return known.tail
        self.forget(file)
        try:
            tail = self._read_tail(file)
        except FileNotFoundError as error:
            raise missing(file) from error
        self._expected[file] = tail.signature
        return tail

    def _read_tail(self, file: str) -> Tail:
        descriptor = open_to_read(self.world.path(file))
        try:
            found = Signature.of(os.fstat(descriptor))
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
        log = self.contents.log(file, data[first:], start + first)
        size = start + first + log.size
        if log.torn:
            self.world.cut(file, size)
            found = self.world.signature(file) or found
        return Tail(size, log.ended, found)

    def done(self, changes: Changes, files: Mapping[str, Change], found: Found) -> None:
        by_file = self.by_file(changes.get(self.model, _NOTHING))
        came, _ = self.parents_changed(changes.get(self.relation.parent, _NOTHING))
        for file, change in files.items():
            log = self._logs.get(file)
            if log is None or isinstance(change, Remove) or file in came:
                old = sum(changed.before is not None for changed in by_file.get(file, _NOTHING).values())
                self._superseded[file] = self._superseded.get(file, 0) + old
                self.forget(file)
                continue
            before = log.log.size
            live, changed = log.log.live[self.model], by_file.get(file, _NOTHING)
            if log.ordered is not None and changed:
                log.ordered, log.rows = self._reordered(log.ordered, changed.values()), None
            for key, change_of in changed.items():
                live.pop(key, None)
                if change_of.after is not None:
                    live[key] = change_of.after
            log.written(change, found.get(file))
            self._used += log.log.size - before

    def load_if_wasteful(self, file: str) -> None:
        """Hold a log in memory, where its lines are counted, if many of them may be superseded by now.

        Raises DamagedError, DiskError.
        """
        if self._superseded.get(file, 0) > GARBAGE and file not in self._logs:
            log = self.log(file)
            # Not again before it can have come to hold twice as many.
            self._superseded[file] = 0 if log is None else -len(log.log.live[self.model])

    def in_memory(self, file: str) -> LogFile | None:
        """A log, if it is held."""
        return self._logs.get(file)

    def expect(self, log: LogFile) -> None:
        self._expected[log.file] = log.signature
