"""What every way to live has in common: records in memory, their indexes, and how fresh they are."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, Protocol, TypeAlias

from octavo.errors import DamagedError, DiskError
from octavo.layout.holes import Hollow
from octavo.layout.layout import FileFamily
from octavo.layout.order import file_order, in_file_order
from octavo.layout.record import Record
from octavo.layout.stored import Key, Stored
from octavo.layout.storedcodec import Codec
from octavo.store.changes import Append, Change, Replace
from octavo.store.content import Contents, Log
from octavo.store.freshness import World
from octavo.store.index import Index, Spec, extractor
from octavo.store.system import Signature


class Changed(NamedTuple):
    """A record as it was and as it is to be; None: there is none."""

    before: Stored | None
    after: Stored | None


Changes: TypeAlias = Mapping[str, Mapping[Key, Changed]]
"""By model and key."""

Found: TypeAlias = Mapping[str, Signature]
"""The state of each file that a commit has written."""

NOTHING: Mapping[Key, Changed] = {}

GARBAGE = 64
"""superseded lines that a log may have, beside as many as it has records"""


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
        """the records in the order of the file, once they were asked for: longer by those that come at its
        end, otherwise replaced"""
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


class Owner(Protocol):
    """What a commit asks of whoever has planned the change of a file; see :class:`Family`."""

    def suspect(self, file: str | None) -> None: ...

    def expected(self, file: str) -> Signature | None: ...

    def done(self, changes: Changes, files: Mapping[str, Change], found: Found) -> None: ...


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
            with self.world.mutex, self.world.guard:
                index = self._indexes.get(spec)
                if index is None:
                    records = self._all[host] if self._all is not None else records
                    index = self._indexes[spec] = Index(extractor(self.codecs[host], spec), records)
        return [stored for key in index.find(values) if (stored := records.get(key)) is not None]

    def all(self, model: str) -> Iterator[Stored]:
        """All records of a model, in no order."""
        return iter(list(self.records(model).values()))

    def rows_in_order(self, model: str, fields: tuple[str, ...], values: Any) -> list[Record] | None:
        """The rows with these values in the order of a file, if they lie so; None: they are to be found and
        sorted."""
        return None

    def _freshen(self) -> None:
        raise NotImplementedError

    def _replace_all(self, found: dict[str, dict[Key, Stored]]) -> None:
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

    def log(self, file: str) -> LogFile | None:
        """A log of this name, read if it has to be; None: there is none.  Raises as :meth:`records`."""
        return None

    def wasteful_log(self, file: str) -> LogFile | None:
        """A log that was written to, if superseded lines outweigh its records.  Raises as :meth:`records`."""
        return None

    def close(self) -> None:
        """Let go of what is open."""

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
    except Hollow as error:
        raise DamagedError(str(error.strerror), file=file) from error
    except OSError as error:
        raise DiskError.of(error, "reading the store") from error


def list_files(world: World, family: FileFamily) -> Iterator[str]:
    """The files of a family that there are.  Raises DiskError, ReplacedError, Behind."""
    folder = family.folder
    try:
        with os.scandir(world.path(folder)) as entries:
            names = [entry.name for entry in entries]
    except OSError as error:
        raise DiskError.of(error, "listing the store") from error
    world.place.check()
    world.check()
    for name in names:
        file = f"{folder}/{name}" if folder else name
        if family.pattern.fullmatch(file):
            yield file
