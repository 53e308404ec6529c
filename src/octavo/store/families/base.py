"""What every way to live has in common: records in memory, their indexes, and how fresh they are."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol, TypeAlias

import msgspec

from octavo.errors import DamagedError, DiskError, ForeignKeyViolation
from octavo.layout.codec import NONE, Codec, Embedded
from octavo.layout.holes import Hollow
from octavo.layout.keys import Key, key_getter
from octavo.layout.layout import FileFamily
from octavo.layout.order import in_file_order
from octavo.layout.record import Record, Row
from octavo.layout.scan import Log, Rows, Scanner
from octavo.schema.datamodel import Relation
from octavo.store.changes import Append, Change, Replace
from octavo.store.freshness import Stale, World
from octavo.store.index import Index, Spec, extractor
from octavo.store.system import Signature, open_signed


class Changed(NamedTuple):
    """A row as it was and as it is to be; None: there is none."""

    before: Row | None
    after: Row | None


Changes: TypeAlias = Mapping[str, Mapping[Key, Changed]]
"""By model and key."""

Found: TypeAlias = Mapping[str, Signature]
"""The state of each file that a commit has written."""

NOTHING: Mapping[Key, Changed] = {}

GARBAGE = 64
"""superseded lines that a log may have, beside as many as it has records"""
_MANY = 1_000
"""rows that an event loop does not look at one by one"""


class Tail(msgspec.Struct, frozen=True):
    """The end of a log: all that a line to be appended has to know of it."""

    size: int
    """bytes up to the end of the last whole line"""
    ended: bool
    """whether the last line has its end: an editor may have left it without"""
    signature: Signature

    def append(self, file: str, lines: list[bytes]) -> Append:
        text = b"\n".join([*lines, b""] if self.ended else [b"", *lines, b""])
        return Append(file, self.size, text.decode(), len(lines))


class LogFile:
    """One log in memory, and the state of the file that it was read from."""

    def __init__(self, file: str, log: Log, found: Signature) -> None:
        self.file, self.log, self.signature = file, log, found

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


class Owner(Protocol):
    """What a commit asks of the planner of a change of a file; see :class:`Family`."""

    def suspect(self, file: str | None) -> None: ...

    def expected(self, file: str) -> Signature | None: ...

    def done(self, changes: Changes, files: Mapping[str, Change], found: Found) -> None: ...


class Child(msgspec.Struct, frozen=True):
    """A model whose rows are embedded in records of a family."""

    codec: Codec
    host: Codec
    relation: Relation
    host_of: Callable[[Row], Key]
    """from a row to the key of the record that it is embedded in"""

    @classmethod
    def of(cls, codec: Codec, host: Codec) -> Child:
        relation = codec.place.relation
        if relation is None:
            raise AssertionError(codec.name)
        fields = [codec.place.model.scalar(name) for name in relation.fields]
        return cls(codec, host, relation, key_getter(fields))

    @property
    def spec(self) -> Spec:
        return Spec(self.codec.name, self.relation.fields)


Whole: TypeAlias = Mapping[tuple[str, Key], Embedded]
"""The rows embedded in records, by the records' models and keys."""


class Family:
    """What every way to live has in common: the rows in memory, and their indexes."""

    def __init__(self, world: World, family: FileFamily, codecs: Mapping[str, Codec]) -> None:
        self.world, self.family = world, family
        self.scanner = Scanner(family, codecs)
        self.codecs = self.scanner.codecs
        """of the models that have their own records here"""
        self.children = {
            child.name: Child.of(child, host) for host in self.codecs.values() for child in host.children
        }
        """the models that are embedded in these"""
        self._in_order = {name: in_file_order(codec.place.model) for name, codec in self.codecs.items()}
        self._all: Rows | None = None
        self._indexes: dict[Spec, Index] = {}
        self._suspected = True

    def suspect(self, file: str | None) -> None:
        """A file may have changed; None: any may have."""
        self._suspected = True

    def rows(self, model: str) -> dict[Key, Row]:
        """All rows of a model, by key.  Not to be changed.  Raises DamagedError, DiskError, Stale."""
        if self._suspected or self._all is None:
            self.world.steadily(self._freshen)
        if self._all is None:
            raise AssertionError(self.family.path)
        return self._all[model]

    def record(self, model: str, key: Key) -> Row | None:
        """The row with this key, if there is one."""
        return self.rows(model).get(key)

    def find(self, spec: Spec, values: Any) -> list[Row]:
        """The rows that are found under these values."""
        rows = self.rows(spec.model)
        index = self._indexes.get(spec)
        if index is None:
            if len(rows) > _MANY:
                self.world.take_time()
            with self.world.mutex, self.world.guard:
                index = self._indexes.get(spec)
                if index is None:
                    rows = self._all[spec.model] if self._all is not None else rows
                    index = self._indexes[spec] = Index(self._extractor(spec), rows)
        return [row for key in index.find(values) if (row := rows.get(key)) is not None]

    def _extractor(self, spec: Spec) -> Callable[[Row], Iterable[Any]]:
        child = self.children.get(spec.model)
        return extractor(self.codecs[spec.model] if child is None else child.codec, spec.fields)

    def all(self, model: str) -> Iterator[Row]:
        """All rows of a model, in no order."""
        rows = self.rows(model)
        if len(rows) > _MANY:
            self.world.take_time()
        return iter(list(rows.values()))

    def rows_in_order(self, spec: Spec, values: Any) -> Sequence[Record] | None:
        """The rows with these values in the order of a file, if they lie so; None: they are to be found and
        sorted."""
        return None

    def _freshen(self) -> None:
        raise NotImplementedError

    def _replace_all(self, found: Rows) -> None:
        if self._all is None:
            self._all = found
        else:
            with self.world.change:
                self.world.replaced += 1
                self._all = found
                self._indexes.clear()
        self._suspected = False

    def _take(self, changes: Changes) -> None:
        """Change what is in memory."""
        if self._all is None:
            return
        for model, rows in self._all.items():
            if not (changed := changes.get(model)):
                continue
            indexes = [index for spec, index in self._indexes.items() if spec.model == model]
            for key, change in changed.items():
                if (old := rows.get(key)) is not None:
                    for index in indexes:
                        index.discard(key, old)
                if change.after is None:
                    rows.pop(key, None)
                else:
                    rows[key] = change.after
                    for index in indexes:
                        index.add(key, change.after)

    def whole(self, changes: Changes) -> tuple[Changes, Whole]:
        """These changes of rows as changes of records, and what is embedded in those that are written.

        Raises ForeignKeyViolation for a row that is embedded in no record.
        """
        touched: dict[str, dict[Key, Changed]] = {}
        entering: dict[tuple[str, Key], list[Row]] = {}
        for name, child in self.children.items():
            for change in changes.get(name, NOTHING).values():
                for row in change:
                    if row is not None:
                        touched.setdefault(child.host.name, {})[child.host_of(row)] = Changed(None, None)
                if change.after is not None:
                    entering.setdefault((name, child.host_of(change.after)), []).append(change.after)
        if not self.children:
            return changes, {}
        whole: dict[tuple[str, Key], Embedded] = {}
        for name, codec in self.codecs.items():
            found = touched.setdefault(name, {})
            for key in found:
                row = self.record(name, key)
                found[key] = Changed(row, row)
            found |= changes.get(name, NOTHING)
            children = [self.children[child.name] for child in codec.children]
            for key, (_, after) in found.items():
                embedded = {
                    child.codec.name: self._embedded(child, key, changes, entering) for child in children
                }
                if after is None:
                    for child in children:
                        if embedded[child.codec.name]:
                            raise ForeignKeyViolation(child.codec.name, child.relation.fields)
                whole[name, key] = embedded
        return touched, whole

    def _embedded(
        self, child: Child, key: Key, changes: Changes, entering: Mapping[tuple[str, Key], list[Row]]
    ) -> list[Row]:
        """The rows of a model that are embedded in a record after these changes."""
        changed, key_of = changes.get(child.codec.name, NOTHING), child.codec.key_of
        staying = [row for row in self.find(child.spec, key) if key_of(row) not in changed]
        return staying + entering.get((child.codec.name, key), [])

    def one_line_each(self, log: LogFile) -> bytes:
        """What a log holds when it is compacted: one line a record, in order."""
        whole: dict[tuple[str, Key], dict[str, list[Row]]] = {}
        for name, rows in log.log.embedded.items():
            child = self.children[name]
            for row in rows.values():
                embedded = whole.setdefault((child.host.name, child.host_of(row)), {})
                embedded.setdefault(name, []).append(row)
        return b"".join(
            codec.encode(row, whole.get((name, codec.key_of(row)), NONE) if whole else NONE) + b"\n"
            for name, codec in self.codecs.items()
            for row in self.in_order(name, log.log.live[name].values())
        )

    def plan(self, changes: Changes) -> list[Change]:
        """The changes of files that these changes of rows take."""
        raise NotImplementedError

    def expected(self, file: str) -> Signature | None:
        """The state of a file that :meth:`plan` planned for; None: there is none yet."""
        raise NotImplementedError

    def done(self, changes: Changes, files: Mapping[str, Change], found: Found) -> None:
        """The planned changes were made: change what is in memory.

        ``files`` are the changes of this family's, and ``found`` has the state that each file has now.
        """
        raise NotImplementedError

    def log(self, file: str) -> LogFile | None:
        """A log of this name, read if it has to be; None: there is none.  Raises as :meth:`rows`."""
        return None

    def wasteful_log(self, file: str) -> LogFile | None:
        """A log that was written to, if superseded lines outweigh its records.  Raises as :meth:`rows`."""
        return None

    def note(self) -> None:
        """Let the index, if there is one, note what commits of this process have appended."""

    def close(self) -> None:
        """Let go of what is open."""

    def expect(self, log: LogFile) -> None:
        """A log is about to be rewritten as it is in memory."""

    def in_order(self, model: str, rows: Iterable[Row]) -> list[Row]:
        return self._in_order[model](rows)


def missing(file: str) -> DamagedError:
    return DamagedError("is missing", file=file)


@contextmanager
def _reading(file: str) -> Iterator[None]:
    """What reading a file of the store that has to be there raises."""
    try:
        yield
    except FileNotFoundError as error:
        raise missing(file) from error
    except IsADirectoryError as error:
        raise DamagedError("is no regular file", file=file) from error
    except Hollow as error:
        raise DamagedError(str(error.strerror), file=file) from error
    except OSError as error:
        raise DiskError.of(error, "reading the store") from error


def read_file(world: World, file: str) -> tuple[bytes, Signature]:
    """A file that has to be there.  Raises DamagedError if it is not, DiskError if it cannot be read."""
    with _reading(file):
        return world.read(file)


@contextmanager
def opened(world: World, file: str, *, appended: bool = False) -> Iterator[tuple[int, Signature]]:
    """A file that has to be there, to be read piece by piece: the descriptor and the state of the file.

    Raises as :func:`read_file`; Stale if the file, or what is committed, has changed at the end.
    ``appended``: a commit of this process may append to it meanwhile.
    """
    if world.hurried:
        world.take_time()
    with _reading(file):
        try:
            descriptor, found = open_signed(world.path(file))
        except OSError:
            world.place.check()
            world.check()
            raise
        try:
            yield descriptor, found
        except (DamagedError, OSError):
            if Signature.of(os.fstat(descriptor)) != found:
                raise Stale from None
            raise
        else:
            may_differ = appended and file in world.in_flight
            if not may_differ and Signature.of(os.fstat(descriptor)) != found:
                raise Stale
        finally:
            os.close(descriptor)
        world.place.check()
        world.check()
        if not appended and world.commits != world.known:
            raise Stale


def list_files(world: World, family: FileFamily) -> Iterator[str]:
    """The files of a family that there are, in order.  Raises DiskError, ReplacedError, Stale."""
    folder = os.path.dirname(family.path)
    if world.hurried:
        world.take_time()
    try:
        with os.scandir(world.path(folder)) as entries:
            # As one text: that takes half the memory of many names.
            names = "/".join(sorted(entry.name for entry in entries))
    except OSError as error:
        raise DiskError.of(error, "listing the store") from error
    world.place.check()
    world.check()
    start = 0
    while start < len(names):
        end = names.find("/", start)
        name = names[start : len(names) if end < 0 else end]
        start += len(name) + 1
        file = f"{folder}/{name}" if folder else name
        if family.pattern.fullmatch(file):
            yield file
