"""The files of an export: each family of files is one task, or several slices of one.

Files are opened once each, and written in pieces of what one read from the server brings or more.
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from typing import BinaryIO, TypeAlias

from octavo.errors import DifferenceError
from octavo.inspect.payloads import PayloadKeeper
from octavo.layout.fold import WHOLE, Slice, fold, logs, names, parents
from octavo.layout.layout import VERSION, FileFamily, Kind, Layout, Place
from octavo.postgres.connection import Connection
from octavo.postgres.copying import COUNT, LENGTH, CopyOut, columns
from octavo.schema.native import quote, table_name
from octavo.store import disk
from octavo.store.system import FILE_MODE

_BUFFER = 1 << 16
_ROWS_PER_REPORT = 500
_APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
PathOf: TypeAlias = Callable[[Sequence[bytes | None]], str]
"""From a key as the server sends it to the path of a file"""


@dataclass(frozen=True, slots=True)
class Task:
    """The files of a family, or (logs per parent) of a slice of the parents."""

    family: FileFamily
    part: Slice = WHOLE


@dataclass
class Written:
    """What a task wrote."""

    rows: Counter[str] = field(default_factory=Counter)
    """by model, those embedded left out"""
    files: int = 0
    untold: int = 0
    """rows that no progress was told of"""


class Stopped(Exception):
    """The writing was given up because something failed elsewhere."""


class Writer:
    """Writes families of files from a connection that reads the snapshot, to where payloads are kept."""

    def __init__(self, keeper: PayloadKeeper, advance: Callable[[int], None]) -> None:
        self.keeper, self.advance = keeper, advance
        self.layout, self.root = keeper.layout, keeper.built
        self.failed = threading.Event()
        """ends the writing, by Stopped: something has failed elsewhere"""

    def write(self, connection: Connection, task: Task) -> Written:
        """Write the files of one task.  Raises OSError as the system does, psycopg's errors as the server."""
        kind = task.family.kind
        if kind is Kind.LOG:
            written = self._log(connection, task.family)
        elif kind is Kind.LOG_PER_PARENT:
            written = self._logs_per_parent(connection, task)
        elif kind is Kind.FILE:
            written = self._record_files(connection, task.family)
        else:
            written = self._document(connection, task.family)
        self.advance(written.untold)
        return written

    def clear(self, connection: Connection, task: Task) -> None:
        """Remove what a writer that was killed has left of a task.  Raises as :meth:`write`."""
        if not task.family.varies:
            (self.root / task.family.path).unlink(missing_ok=True)
            return
        (place,) = task.family.places
        path = self._path(place)
        for row in _copied(connection, names(self.layout, place, task.part)).rows():
            with suppress(FileNotFoundError):
                os.unlink(path(columns(row)))

    def _batches(self, connection: Connection, query: str) -> Iterator[list[bytes]]:
        """The rows of a query as they come, many at once."""
        for rows in _copied(connection, query).batches():
            yield rows
            if self.failed.is_set():
                raise Stopped

    def _rows(
        self, connection: Connection, place: Place, written: Written, query: str = ""
    ) -> Iterator[list[bytes]]:
        """The rows of a fold as they come, counted."""
        self._count(written, place, 0)
        for rows in self._batches(connection, query or fold(self.layout, place)):
            yield rows
            self._count(written, place, len(rows))

    def _count(self, written: Written, place: Place, rows: int) -> None:
        written.rows[place.model.name] += rows
        written.untold += rows
        if written.untold >= _ROWS_PER_REPORT:
            self.advance(written.untold)
            written.untold = 0

    def _create(self, path: str) -> BinaryIO:
        return disk.create(self.root / path, _BUFFER)

    def _document(self, connection: Connection, family: FileFamily) -> Written:
        written = Written(files=1)
        with self._create(family.path) as file:
            file.write(b'{\n  "_version": %d' % VERSION)
            for place in family.places:
                file.write(b',\n  "%s": [' % place.array.encode())
                opening, closing_bracket = b"\n    ", b"]"
                for _, content in _named(self._rows(connection, place, written)):
                    file.write(opening + content)
                    opening, closing_bracket = b",\n    ", b"\n  ]"
                file.write(closing_bracket)
            file.write(b"\n}\n")
        return written

    def _record_files(self, connection: Connection, family: FileFamily) -> Written:
        (place,) = family.places
        written = Written()
        path = self._path(place)
        for key, content in _named(self._rows(connection, place, written)):
            _write_file(os.open(path(key), _CREATE, FILE_MODE), content)
            written.files += 1
        return written

    def _log(self, connection: Connection, family: FileFamily) -> Written:
        written = Written(files=1)
        with self._create(family.path) as file:
            for place in family.places:
                batches = self._rows(connection, place, written)
                if place.payload:
                    self._log_with_payloads(file, place, batches)
                else:
                    for rows in batches:
                        file.write(b"".join([row[COUNT + LENGTH :] for row in rows]))
        return written

    def _log_with_payloads(self, file: BinaryIO, place: Place, batches: Iterable[list[bytes]]) -> None:
        key_length = len(place.model.key.fields)
        for values, line in _named(batches):
            file.write(self._with_payload(place, values[:key_length], values[key_length:], line))

    def _logs_per_parent(self, connection: Connection, task: Task) -> Written:
        """The logs of parents: those that are not large as wholes, which PostgreSQL joins."""
        (place,) = task.family.places
        written = Written()
        large = self._special_logs(connection, task, written)
        by_lines = fold(self.layout, place, task.part, large) if large else ""
        if self.layout.embedded(place.model.name):
            # Their records are larger than was asked.
            by_lines = fold(self.layout, place, task.part)
        else:
            self._whole_logs(connection, logs(self.layout, place, task.part, large), place, written)
        if by_lines:
            self._large_logs(connection, by_lines, place, written)
        return written

    def _whole_logs(self, connection: Connection, query: str, place: Place, written: Written) -> None:
        path = self._path(place)
        self._count(written, place, 0)
        for row in _copied(connection, query).views():
            *parent, lines, content = columns(row)
            name = path([None if value is None else bytes(value) for value in parent])
            _write_file(os.open(name, _APPEND, FILE_MODE), content or b"")
            written.files += 1
            self._count(written, place, int.from_bytes(lines or b""))
            if self.failed.is_set():
                raise Stopped

    def _large_logs(self, connection: Connection, query: str, place: Place, written: Written) -> None:
        path = self._path(place)
        head, cut = b"-", 0
        with closing(_Log()) as log:
            lines = log.lines
            for rows in self._rows(connection, place, written, query):
                for row in rows:
                    # The rows of a parent begin alike: with its key, and no other's.
                    if not row.startswith(head):
                        *parent, line = columns(row)
                        cut = len(row) - len(line or b"")
                        head = row[: cut - LENGTH]
                        log.begin(path(parent))
                        written.files += 1
                    lines.append(row[cut:])
                log.grown(sum(map(len, rows)))
            log.end()

    def _special_logs(self, connection: Connection, task: Task, written: Written) -> list[list[str]]:
        """Make the logs of parents that have no records, and give what names the large ones.

        Raises DifferenceError if records have no parent.
        """
        (place,) = task.family.places
        path, large, is_missing = self._path(place), [], False
        for rows in self._batches(connection, parents(self.layout, place, task.part)):
            for *parent, state in map(columns, rows):
                if state == b"empty":
                    os.close(os.open(path(parent), _APPEND, FILE_MODE))
                    written.files += 1
                elif state == b"large":
                    large.append(_texts(parent))
                else:
                    is_missing = True
        if is_missing:
            # Or they are there in another spelling.
            require_parents(connection, self.layout)
        return large

    def _path(self, place: Place) -> PathOf:
        """The path of the file of a record, or of a parent, by its key."""
        root = f"{self.root}{os.sep}"
        return lambda key: root + place.file_for(_texts(key))

    def _with_payload(
        self, place: Place, key: Sequence[bytes | None], payload: Sequence[bytes | None], line: bytes
    ) -> bytes:
        path, *sizes = payload
        if path is None:
            return line
        size = next((int(size) for size in sizes if size is not None), None)
        digest = self.keeper.keep(place.model.name, "/".join(_texts(key)), path.decode(), size)
        return line if digest is None else b'%s,"_sha256":"%s"}\n' % (line[:-2], digest.encode())


class _Log:
    """The log of the parent whose rows are coming: its lines are written when it ends, or are many."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self._size = 0
        self._descriptor = -1

    def begin(self, path: str) -> None:
        """The lines that follow are another log's."""
        self.end()
        self._descriptor = os.open(path, _APPEND, FILE_MODE)

    def grown(self, size: int) -> None:
        """So many bytes were added, at most."""
        self._size += size
        if self._size > _BUFFER:
            self._write()

    def _write(self) -> None:
        _write(self._descriptor, b"".join(self.lines))
        self.lines.clear()
        self._size = 0

    def end(self) -> None:
        """Write what is left of the log."""
        if self._descriptor >= 0:
            self._write()
            self.close()

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


def require_parents(connection: Connection, layout: Layout, *, of_logs: bool = True) -> None:
    """Raise DifferenceError if rows live with parents that are missing; of those with a log per parent, that
    is only looked for if asked to, or others are found."""
    living = [place for place in layout.places if place.relation is not None]
    asked = [place for place in living if of_logs or place.kind is Kind.EMBEDDED]
    if any(_missing_parents(connection, layout, place) for place in asked):
        found = filter(None, (_missing_parents(connection, layout, place) for place in living))
        raise DifferenceError(f"rows whose parent is missing have no place in the files: {'; '.join(found)}")


def _missing_parents(connection: Connection, layout: Layout, place: Place) -> str:
    """Tells how many parents are missing that rows of a model live with; nothing, if none is."""
    relation = place.relation
    assert relation is not None, "it lives with a parent"
    parent = layout.datamodel.model(relation.parent)
    same = " AND ".join(
        f"p.{quote(parent.scalar(theirs).column)} = k.{quote(place.model.scalar(own).column)}"
        for own, theirs in zip(relation.fields, relation.references, strict=True)
    )
    keys = ", ".join(quote(place.model.scalar(own).column) for own in relation.fields)
    query = (
        f"SELECT count(*) FROM (SELECT DISTINCT {keys} FROM {table_name(place.model)}) AS k"
        f" WHERE NOT EXISTS (SELECT FROM {table_name(parent)} AS p WHERE {same})"
    )
    row = connection.execute(query.encode()).fetchone()
    if not row or not row[0]:
        return ""
    return f"{place.model.name}: rows of {row[0]} {parent.name} records that are not there"


def _copied(connection: Connection, query: str) -> CopyOut:
    return CopyOut(connection, f"COPY ({query}) TO STDOUT (FORMAT binary)".encode())


def _named(batches: Iterable[list[bytes]]) -> Iterator[tuple[list[bytes | None], bytes]]:
    """Of each row the values of its heads, and its piece."""
    for rows in batches:
        for row in rows:
            *values, piece = columns(row)
            yield values, piece or b""


def _texts(values: Iterable[bytes | None]) -> list[str]:
    """The values as texts; a NULL is an empty one."""
    return ["" if value is None else value.decode() for value in values]


def _write_file(descriptor: int, content: bytes | memoryview) -> None:
    try:
        _write(descriptor, content)
    finally:
        os.close(descriptor)


def _write(descriptor: int, content: bytes | memoryview) -> None:
    data = memoryview(content)
    while data:
        data = data[os.write(descriptor, data) :]
