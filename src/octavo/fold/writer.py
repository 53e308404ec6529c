"""The files of an export: each family of files is one task, or several slices of one.

Files are opened once each, and written in pieces of what one read from the server brings or more.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from typing import BinaryIO, TypeAlias

from octavo.inspect.payloads import PayloadKeeper
from octavo.layout.fold import WHOLE, Slice, fold, heads, logs_of, names
from octavo.layout.layout import VERSION, FileFamily, Kind, Place
from octavo.postgres.connection import Connection
from octavo.postgres.copying import COUNT, LENGTH, CopyOut, columns
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

    rows: dict[str, int] = field(default_factory=dict)
    """by model, those embedded left out"""
    files: int = 0


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
            return self._log(connection, task.family)
        if kind is Kind.LOG_PER_PARENT:
            return self._logs_per_parent(connection, task)
        if kind is Kind.FILE:
            return self._record_files(connection, task.family)
        return self._document(connection, task.family)

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

    def _rows(
        self, connection: Connection, place: Place, written: Written, part: Slice = WHOLE
    ) -> Iterator[list[bytes]]:
        """The rows of a fold as they come, many at once, counted."""
        count = told = 0
        for rows in _copied(connection, fold(self.layout, place, part)).batches():
            yield rows
            count += len(rows)
            if count - told >= _ROWS_PER_REPORT:
                self.advance(count - told)
                told = count
            if self.failed.is_set():
                raise Stopped
        self.advance(count - told)
        written.rows[place.model.name] = count

    def _create(self, path: str) -> BinaryIO:
        return disk.create(self.root / path, _BUFFER)

    def _document(self, connection: Connection, family: FileFamily) -> Written:
        written = Written(files=1)
        with self._create(family.path) as file:
            file.write(b'{\n  "_version": %d' % VERSION)
            for place in family.places:
                file.write(b',\n  "%s": [' % place.array.encode())
                opening, closing_bracket = b"\n    ", b"]"
                hanging = self._hanging(place)
                for key, content in _named(self._rows(connection, place, written)):
                    written.files += self._make_logs(hanging, key)
                    file.write(opening + content)
                    opening, closing_bracket = b",\n    ", b"\n  ]"
                file.write(closing_bracket)
            file.write(b"\n}\n")
        return written

    def _record_files(self, connection: Connection, family: FileFamily) -> Written:
        (place,) = family.places
        written = Written()
        path, hanging = self._path(place), self._hanging(place)
        for key, content in _named(self._rows(connection, place, written)):
            _write_file(os.open(path(key), _CREATE, FILE_MODE), [content])
            written.files += 1 + self._make_logs(hanging, key)
        return written

    def _log(self, connection: Connection, family: FileFamily) -> Written:
        written = Written(files=1)
        with self._create(family.path) as file:
            for place in family.places:
                batches = self._rows(connection, place, written)
                if heads(self.layout, place):
                    self._log_with_heads(file, place, batches, written)
                else:
                    for rows in batches:
                        file.write(b"".join([row[COUNT + LENGTH :] for row in rows]))
        return written

    def _log_with_heads(
        self, file: BinaryIO, place: Place, batches: Iterable[list[bytes]], written: Written
    ) -> None:
        hanging = self._hanging(place)
        key_length = len(place.model.key.fields)
        for values, line in _named(batches):
            key = values[:key_length]
            written.files += self._make_logs(hanging, key)
            file.write(self._with_payload(place, key, values[key_length:], line) if place.payload else line)

    def _logs_per_parent(self, connection: Connection, task: Task) -> Written:
        (place,) = task.family.places
        written, path = Written(), self._path(place)
        head, cut = b"-", 0
        with closing(_Log()) as log:
            lines = log.lines
            for rows in self._rows(connection, place, written, task.part):
                for row in rows:
                    # The rows of a parent begin alike: with its key, and no other's.
                    if not row.startswith(head):
                        *parent, line = columns(row)
                        cut = len(row) - len(line or b"")
                        head = row[: cut - LENGTH]
                        log.begin(path(parent))
                    lines.append(row[cut:])
                log.grown(sum(map(len, rows)))
            log.end()
        return written

    def _path(self, place: Place) -> PathOf:
        """The path of the file of a record, or of a parent, by its key."""
        root = f"{self.root}{os.sep}"
        return lambda key: root + place.file_for(_texts(key))

    def _hanging(self, place: Place) -> list[PathOf]:
        """The paths of the logs that each record of a place owns, by its key."""
        return [self._path(log) for log in logs_of(self.layout, place.model)]

    def _make_logs(self, paths: list[PathOf], key: Sequence[bytes | None]) -> int:
        """An empty log for each log that the parent with this key owns, where there is none yet.

        Gives their number.
        """
        for path in paths:
            os.close(os.open(path(key), _APPEND, FILE_MODE))
        return len(paths)

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
        """The lines that follow are another log's, which the parent's task may have made already, empty."""
        self.end()
        self._descriptor = os.open(path, _APPEND, FILE_MODE)

    def grown(self, size: int) -> None:
        """So many bytes were added, at most."""
        self._size += size
        if self._size > _BUFFER:
            self._write()

    def _write(self) -> None:
        _write(self._descriptor, self.lines)
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


def _write_file(descriptor: int, pieces: list[bytes]) -> None:
    try:
        _write(descriptor, pieces)
    finally:
        os.close(descriptor)


def _write(descriptor: int, pieces: list[bytes]) -> None:
    data = memoryview(b"".join(pieces))
    while data:
        data = data[os.write(descriptor, data) :]
