"""How the rows of a fold become files: each family of files is one task, or several slices of one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import msgspec

from octavo.inspect.payloads import PayloadKeeper
from octavo.layout.fold import BREAK, CUT, WHOLE, Slice, fold, heads, logs_of
from octavo.layout.layout import VERSION, FileFamily, Kind, Layout, Place
from octavo.store import disk
from octavo.store.system import FILE_MODE

if TYPE_CHECKING:
    from psycopg import Copy

    from octavo.postgres.connection import Connection

_BUFFER = 1 << 17
_ROWS_PER_REPORT = 500


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


class Writer:
    """Writes families of files below ``root`` from a connection that reads the snapshot.

    ``stopped`` is asked now and then; once it says so, the writing ends with :class:`Stopped`.
    """

    def __init__(
        self,
        layout: Layout,
        root: Path,
        keeper: PayloadKeeper,
        advance: Callable[[int], None],
        stopped: Callable[[], bool],
    ) -> None:
        self.layout, self.root, self.keeper = layout, root, keeper
        self.advance, self.stopped = advance, stopped

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

    @contextmanager
    def _rows(
        self, connection: Connection, place: Place, part: Slice, written: Written
    ) -> Iterator[Iterator[bytes]]:
        """The rows of a fold as they come, counted.

        The COPY holds the connection's lock, so it must end with the block: in a generator it would last as
        long as the traceback of what the generator's consumer raised.
        """
        query = fold(self.layout, place, part).encode()
        with connection.cursor() as cursor, cursor.copy(query) as copy:
            yield self._counted(copy, place, written)

    def _counted(self, copy: Copy, place: Place, written: Written) -> Iterator[bytes]:
        count = 0
        for row in copy:
            yield bytes(row)
            count += 1
            if count % _ROWS_PER_REPORT == 0:
                self.advance(_ROWS_PER_REPORT)
                if self.stopped():
                    raise Stopped
        self.advance(count % _ROWS_PER_REPORT)
        written.rows[place.model.name] = count

    def _open(self, path: str) -> BinaryIO:
        return disk.create(self.root / path, _BUFFER)

    def _document(self, connection: Connection, family: FileFamily) -> Written:
        written = Written(files=1)
        with self._open(family.path) as file:
            file.write(b'{\n  "_version": %d' % VERSION)
            for place in family.places:
                file.write(b',\n  "%s": [' % place.array.encode())
                opening, closing_bracket = b"\n    ", b"]"
                hanging = logs_of(self.layout, place.model)
                with self._rows(connection, place, WHOLE, written) as rows:
                    for row in rows:
                        head, _, content = row.rpartition(CUT)
                        if hanging:
                            written.files += self._make_logs(hanging, _decoded(head))
                        file.write(opening + content[:-1].replace(BREAK, b"\n"))
                        opening, closing_bracket = b",\n    ", b"\n  ]"
                file.write(closing_bracket)
            file.write(b"\n}\n")
        return written

    def _record_files(self, connection: Connection, family: FileFamily) -> Written:
        (place,) = family.places
        written = Written()
        hanging = logs_of(self.layout, place.model)
        with self._rows(connection, place, WHOLE, written) as rows:
            for row in rows:
                head, _, content = row.rpartition(CUT)
                names = _decoded(head)
                with self._open(place.file_for(names)) as file:
                    file.write(content.replace(BREAK, b"\n"))
                written.files += self._make_logs(hanging, names)
                written.files += 1
        return written

    def _log(self, connection: Connection, family: FileFamily) -> Written:
        written = Written(files=1)
        with self._open(family.path) as file:
            for place in family.places:
                with self._rows(connection, place, WHOLE, written) as rows:
                    if heads(self.layout, place):
                        self._log_with_heads(file, place, rows, written)
                    else:
                        file.writelines(rows)
        return written

    def _log_with_heads(self, file: BinaryIO, place: Place, rows: Iterator[bytes], written: Written) -> None:
        hanging = logs_of(self.layout, place.model)
        key_length = len(place.model.key.fields)
        for row in rows:
            head, _, line = row.rpartition(CUT)
            values = _decoded(head)
            written.files += self._make_logs(hanging, values[:key_length])
            if place.payload:
                line = self._with_payload(place, values, key_length, line)
            file.write(line)

    def _logs_per_parent(self, connection: Connection, task: Task) -> Written:
        (place,) = task.family.places
        written = Written()
        with self._rows(connection, place, task.part, written) as rows:
            for head, lines in groupby((row.rpartition(CUT) for row in rows), key=itemgetter(0)):
                # The parent's task may have made the file already, empty.
                with open(self._opened(place.file_for(_decoded(head))), "wb", buffering=_BUFFER) as file:
                    file.writelines(map(itemgetter(2), lines))
        return written

    def _make_logs(self, places: list[Place], key: list[str]) -> int:
        """An empty log for each log that the parent with this key owns, where there is none yet.

        Gives their number.
        """
        for place in places:
            os.close(self._opened(place.file_for(key)))
        return len(places)

    def _opened(self, path: str) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        return os.open(self.root / path, flags, FILE_MODE)

    def _with_payload(self, place: Place, values: list[str], key_length: int, line: bytes) -> bytes:
        key, payload = values[:key_length], values[key_length:]
        size = int(payload[1]) if place.payload_size and payload[1] else None
        digest = (
            self.keeper.keep(place.model.name, _shown(key), payload[0], size)
            if payload[0] is not None
            else None
        )
        return line if digest is None else b'%s,"_sha256":"%s"}\n' % (line[:-2], digest.encode())


class Stopped(Exception):
    """The writing was given up because something failed elsewhere."""


def _decoded(head: bytes) -> list[str]:
    """The values in front of a piece; a NULL is an empty string."""
    return [msgspec.json.decode(value, type=str) if value else "" for value in head.split(CUT)]


def _shown(key: list[str]) -> str:
    return "/".join(key)
