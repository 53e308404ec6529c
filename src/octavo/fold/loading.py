"""The records of a data folder as rows for PostgreSQL, with the place of each that it refuses.

They are sent as the lines of COPY in text format: values separated by tabs, a NULL as ``\\N``; backslash,
tab and line breaks escaped (PostgreSQL's documentation of COPY, section Text Format).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import psycopg

from octavo.errors import DamagedError, DifferenceError, disk_errors
from octavo.inspect.findings import shown_key
from octavo.inspect.integrity import Integrity
from octavo.inspect.progress import Progress
from octavo.layout.codec import Values
from octavo.layout.fold import logs_of
from octavo.layout.layout import Kind, Layout, Place
from octavo.layout.listing import Contents, File, contents
from octavo.layout.scan import Entry, Reader, live_records
from octavo.postgres.connection import Connection
from octavo.schema.datamodel import Datamodel, Model
from octavo.schema.ddl import is_serial
from octavo.schema.sql import literal, quote, table_name

_ESCAPES = ((b"\\", b"\\\\"), (b"\n", b"\\n"), (b"\t", b"\\t"), (b"\r", b"\\r"))
_NULL = b"\\N"
# While a whole row is escaped at once, these stand for the tabs between values, since no value holds a NUL,
# and for NULLs, unless a value happens to hold that byte.
_BETWEEN, _ABSENT = b"\0", b"\x1a"


def copy_in(model: Model, table: str = "") -> bytes:
    """The statement that takes lines into the table, or into one like it, columns in the schema's order."""
    columns = ", ".join(quote(f.column) for f in model.scalars)
    return f"COPY {table or table_name(model)} ({columns}) FROM STDIN".encode()


def line(values: Values) -> bytes:
    """A row's line, with its end."""
    row = _BETWEEN.join([_ABSENT if v is None else v for v in values])
    if row.count(_ABSENT) != values.count(None):
        return b"\t".join([_NULL if v is None else _escaped(v) for v in values]) + b"\n"
    return _escaped(row).replace(_BETWEEN, b"\t").replace(_ABSENT, _NULL) + b"\n"


def _escaped(value: bytes) -> bytes:
    for raw, escape in _ESCAPES:
        value = value.replace(raw, escape)
    return value


_BUFFER = 1 << 16
_VIOLATIONS_SHOWN = 5


def whole_contents(layout: Layout, data_dir: Path) -> Contents:
    """What lies in a data folder from which nothing is missing.  Raises DamagedError, DiskError."""
    with disk_errors("listing the data folder"):
        there = contents(layout, data_dir)
    if there.missing:
        raise DamagedError("the file is missing", file=there.missing[0])
    return there


def advance_counters(connection: Connection, datamodel: Datamodel) -> None:
    """Let ``autoincrement()`` go on after the highest number in use.  Raises what psycopg does."""
    for model in datamodel.tables:
        for f in model.scalars:
            if is_serial(f):
                column, table = quote(f.column), table_name(model)
                sequence = f"pg_get_serial_sequence({literal(table)}, {literal(f.column)})"
                highest = f"(SELECT max({column}) FROM {table})"
                connection.execute(f"SELECT setval({sequence}, {highest}) WHERE {highest} > 0".encode())


class Loading:
    """The data folder that is being loaded, and what is learnt about it on the way."""

    def __init__(self, reader: Reader, there: Contents, progress: Progress) -> None:
        self.reader, self.there, self.progress = reader, there, progress
        self.unknown: set[str] = set()
        self._logs: set[str] = set()

    def copy(self, connection: Connection, model: Model, table: str = "") -> int:
        """Copy every row of a model into its table, or into one like it.  Gives their number.

        Raises DamagedError or DifferenceError for what PostgreSQL refuses.
        """
        source = Rows(self, self.reader.layout.place(model.name))
        try:
            with connection.cursor() as cursor, cursor.copy(copy_in(model, table)) as copy:
                buffer = bytearray()
                for values in source:
                    buffer += line(values)
                    if len(buffer) >= _BUFFER:
                        copy.write(bytes(buffer))
                        buffer.clear()
                copy.write(bytes(buffer))
        except (psycopg.errors.UniqueViolation, psycopg.errors.ForeignKeyViolation) as error:
            raise self.inconsistent(error) from error
        except (psycopg.DataError, psycopg.IntegrityError) as error:
            raise source.blame(error, model) from error
        return source.count

    def records(self, file: File, *, note: bool = False) -> Iterator[Entry]:
        """The records of a file that count.  With ``note``, what they tell beside their rows is kept."""
        if not note:
            return live_records(self.reader, file)
        return self._noting(file)

    def _noting(self, file: File) -> Iterator[Entry]:
        owned = {p.model.name: logs_of(self.reader.layout, p.model) for p in file.family.places}
        for record in live_records(self.reader, file, unknown=lambda u: self._note(u.file, u.key)):
            for place, key in record.unknown:
                self._note(f"{file.path} ({place.model.name})", key)
            if places := owned[record.place.model.name]:
                key_values = [(v or b"").decode() for v in record.key]
                self._logs.update(place.file_for(key_values) for place in places)
            yield record

    def _note(self, where: str, key: str) -> None:
        self.unknown.add(f"{where}: the key {key!r}, which the schema does not know")

    def check_logs(self) -> None:
        """Raise DamagedError unless every parent has its logs, and every log its parent."""
        there = {f.path for f in self.there.files if f.family.kind is Kind.LOG_PER_PARENT}
        if missing := self._logs - there:
            raise DamagedError("the log of a record that is there is missing", file=min(missing))
        if lone := there - self._logs:
            raise DamagedError("a log whose parent is not there", file=min(lone))

    def inconsistent(self, error: psycopg.IntegrityError) -> DifferenceError:
        """The error for records that break a rule of the schema.

        PostgreSQL's detail holds values, and so is not repeated: the records are looked for here.
        """
        check = Integrity(self.reader).check(
            self.there.files, self.reader.root / "cache", lambda _: None, keys=True
        )
        found = [str(violation) for violation in islice(check, _VIOLATIONS_SHOWN)]
        table, constraint = error.diag.table_name or "?", error.diag.constraint_name or "?"
        message = f"the files are not consistent: {kind_of(error)} in table {table}, by {constraint}"
        return DifferenceError(message, found)


class Rows:
    """The rows of one model, out of the files that hold them; knows afterwards which came from where."""

    def __init__(self, loading: Loading, place: Place) -> None:
        self.loading, self.place = loading, place
        path = loading.reader.layout.host(place.model.name).path
        self.files = [f for f in loading.there.files if f.family.path == path]
        self.count = 0
        self.starts: list[tuple[int, File]] = []

    def __iter__(self) -> Iterator[list[bytes | None]]:
        embedded = self.place.kind is Kind.EMBEDDED
        for file in self.files:
            self.starts.append((self.count, file))
            first = not embedded and self.place is file.family.places[0]
            for _, values in self._of(self.loading.records(file, note=first)):
                self.count += 1
                yield values
            if not embedded:
                self.loading.progress.advance(file.size)

    def _of(self, records: Iterator[Entry]) -> Iterator[tuple[Entry, list[bytes | None]]]:
        for record in records:
            if record.place is self.place:
                yield record, record.values
            elif self.place.kind is Kind.EMBEDDED:
                yield from ((record, values) for place, values in record.embedded if place is self.place)

    def blame(self, error: psycopg.Error, model: Model) -> DamagedError:
        """The error with the line that the refused row came from; PostgreSQL tells the row's number."""
        context = error.diag.context or ""
        told = re.search(r"COPY .*?, line (\d+)(?:, column ([^:\n]+))?", context)
        number = int(told[1]) if told else 0
        column = error.diag.column_name or (told[2] if told else "") or ""
        name = next((f.name for f in model.scalars if f.column == column), column)
        reason = f"PostgreSQL refuses the value ({error.sqlstate}: {kind_of(error)})"
        for first, file in reversed(self.starts):
            if first < number:
                rows = self._of(self.loading.records(file))
                record, values = next(islice(rows, number - first - 1, None))
                row = dict(zip((f.name for f in model.scalars), values, strict=True))
                key = ", ".join(str(v) for v in shown_key(model, row).values())
                return DamagedError(
                    reason, file=file.path, line=record.line, model=model.name, key=key, field=name
                )
        return DamagedError(reason, model=model.name, field=name)


def kind_of(error: psycopg.Error) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(error).__name__).lower()
