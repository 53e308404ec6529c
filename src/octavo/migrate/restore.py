"""Files → an empty PostgreSQL, in one transaction, and the payloads back to the files root.

Rows are loaded into bare tables; keys, indexes and foreign keys are made when they are there, which is
quickest.  Tables that an application's own migrations have made are filled as they are.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg

from octavo.errors import DamagedError, DifferenceError, UsageError
from octavo.layout.layout import Kind, Layout, Place
from octavo.layout.live import live_records
from octavo.layout.reader import Contents, File, Reader, contents, payload_path
from octavo.migrate.copytext import copy_in, line
from octavo.migrate.differences import listed
from octavo.migrate.payloads import payload_conflict, put_back
from octavo.migrate.progress import SILENT, Progress
from octavo.postgres.connection import connect, transaction
from octavo.postgres.failures import database_errors
from octavo.postgres.url import DatabaseUrl
from octavo.schema.catalog import introspect
from octavo.schema.datamodel import Model, Relation
from octavo.schema.ddl import Ddl, ddl, is_serial, literal, quote, table_name
from octavo.schema.drift import compare
from octavo.store import disk

if TYPE_CHECKING:
    from octavo.postgres.connection import Connection

_BUFFER = 1 << 16


@dataclass
class RestoreReport:
    """What a restore did."""

    data_dir: Path
    counts: dict[str, int]
    """rows loaded, by model"""
    created_tables: bool = False
    payloads: int = 0
    """rows whose payload is below the files root now"""
    payload_notes: list[str] = field(default_factory=list)
    seconds: float = 0.0


def restore(
    url: DatabaseUrl,
    data_dir: Path,
    layout: Layout,
    files_root: Path,
    progress: Progress = SILENT,
) -> RestoreReport:
    """Load a data folder into a database that holds no rows, and write its payloads to the files root.

    Raises UsageError if the database is not empty, DriftError if it has other tables than the schema's,
    DamagedError for anything in the files that cannot be loaded, DifferenceError if a payload would have to
    replace another file, DatabaseError, DiskError.  The database is then as it was.
    """
    if not data_dir.is_dir():
        raise UsageError(f"{data_dir} is not there: nothing to restore")
    started = time.monotonic()
    with disk.disk_errors("listing the data folder"):
        there = contents(layout, data_dir)
    if there.missing:
        raise DamagedError("the file is missing", file=there.missing[0])
    reader = Reader(layout, data_dir)
    payloads = _Payloads(reader, there, files_root)
    payloads.refuse_conflicts()
    report = RestoreReport(data_dir, {})
    with closing(connect(url)) as connection, transaction(connection, url.schema):
        filling = _Filling(connection, url, layout)
        report.created_tables = filling.prepare()
        progress.begin("restore", sum(f.size for f in there.files), "bytes")
        for model in filling.order():
            report.counts[model.name] = filling.load(model, reader, there, progress)
        progress.begin("keys and indexes", 0)
        filling.finish()
        with disk.disk_errors("writing payloads"):
            report.payloads = payloads.write()
        report.payload_notes = payloads.notes
    report.seconds = time.monotonic() - started
    return report


class _Filling:
    """The database that is being filled."""

    def __init__(self, connection: Connection, url: DatabaseUrl, layout: Layout) -> None:
        self.connection, self.url, self.layout = connection, url, layout
        self.datamodel = layout.datamodel
        self.statements: Ddl = ddl(self.datamodel, url.schema)
        self.created = False
        self.dropped: list[str] = []

    def prepare(self) -> bool:
        """Make the tables, unless they are there and empty.  Says whether it made them."""
        schemas = self.datamodel.datasource.schemas or (self.url.schema,)
        self._run(f"CREATE SCHEMA IF NOT EXISTS {quote(s)}" for s in schemas if s != "public")
        catalog = introspect(self.connection, schemas)
        if not catalog.datamodel.models:
            self.created = True
            self._run(s for s in self.statements.before_rows if not s.startswith("CREATE SCHEMA"))
            return True
        compare(self.datamodel, catalog).raise_if_any()
        self._run([f"LOCK TABLE {', '.join(table_name(m) for m in self.datamodel.tables)}"])
        filled = [m.table for m in self.datamodel.tables if self._has_rows(m)]
        if filled:
            raise UsageError(
                f"{self.url.display} is not empty: there are rows in {listed(filled)}",
                hint="restore into an empty database",
            )
        return False

    def _run(self, statements: Iterable[str]) -> None:
        for statement in statements:
            with database_errors(self.url, "preparing the database"):
                self.connection.execute(statement.encode())

    def _has_rows(self, model: Model) -> bool:
        query = f"SELECT EXISTS (SELECT FROM {table_name(model)})"
        row = self.connection.execute(query.encode()).fetchone()
        return bool(row and row[0])

    def order(self) -> list[Model]:
        """The tables, each after those that its foreign keys point at."""
        tables = list(self.datamodel.tables)
        if self.created:
            return tables
        ordered: list[Model] = []
        while tables:
            placed = {m.name for m in ordered}
            free = [m for m in tables if not (self._needs(m) - placed)]
            if not free:
                # A circle of foreign keys: those of one model wait until its rows are there.
                waiting = tables[0]
                for relation in self.datamodel.parents(waiting.name):
                    if relation.parent not in placed and relation.parent != waiting.name:
                        self._drop(relation)
                free = [waiting]
            ordered += free
            tables = [m for m in tables if m not in free]
        return ordered

    def _needs(self, model: Model) -> set[str]:
        return {r.parent for r in self.datamodel.parents(model.name)} - {model.name}

    def _drop(self, relation: Relation) -> None:
        child = self.datamodel.model(relation.child)
        query = (
            "SELECT pg_get_constraintdef(oid) FROM pg_constraint"
            f" WHERE conname = {literal(relation.constraint)}"
            f" AND conrelid = {literal(table_name(child))}::regclass"
        )
        row = self.connection.execute(query.encode()).fetchone()
        if row is None:
            return
        name, table = quote(relation.constraint), table_name(child)
        self._run([f"ALTER TABLE {table} DROP CONSTRAINT {name}"])
        self.dropped.append(f"ALTER TABLE {table} ADD CONSTRAINT {name} {row[0]}")

    def load(self, model: Model, reader: Reader, there: Contents, progress: Progress) -> int:
        """Copy every row of a model out of the files into its table.  Gives their number."""
        place = self.layout.place(model.name)
        files = [f for f in there.files if f.family.path == self.layout.host(model.name).path]
        source = _Rows(reader, place, files, progress)
        try:
            with self.connection.cursor() as cursor, cursor.copy(copy_in(model)) as copy:
                buffer = bytearray()
                for values in source:
                    buffer += line(values)
                    if len(buffer) >= _BUFFER:
                        copy.write(bytes(buffer))
                        buffer.clear()
                copy.write(bytes(buffer))
        except (psycopg.DataError, psycopg.IntegrityError) as error:
            raise source.blame(error, model) from error
        return source.count

    def finish(self) -> None:
        """Make keys, indexes and foreign keys; let counters go on behind what is there."""
        for statement in (*(self.statements.after_rows if self.created else ()), *self.dropped):
            try:
                self.connection.execute(statement.encode())
            except psycopg.IntegrityError as error:
                raise _inconsistent(error) from error
        for model in self.datamodel.tables:
            for f in model.scalars:
                if is_serial(f):
                    column, table = quote(f.column), table_name(model)
                    sequence = f"pg_get_serial_sequence({literal(table)}, {literal(f.column)})"
                    highest = f"(SELECT max({column}) FROM {table})"
                    self._run([f"SELECT setval({sequence}, {highest}) WHERE {highest} IS NOT NULL"])


class _Rows:
    """The rows of one model, out of the files that hold them; knows afterwards which came from where."""

    def __init__(self, reader: Reader, place: Place, files: list[File], progress: Progress) -> None:
        self.reader, self.place, self.files, self.progress = reader, place, files, progress
        self.count = 0
        self.starts: list[tuple[int, File]] = []

    def __iter__(self) -> Iterator[list[bytes | None]]:
        embedded = self.place.kind is Kind.EMBEDDED
        for file in self.files:
            self.starts.append((self.count, file))
            for values in self._of(file):
                self.count += 1
                yield values
            if not embedded:
                self.progress.advance(file.size)

    def _of(self, file: File) -> Iterator[list[bytes | None]]:
        if self.place.kind is not Kind.EMBEDDED:
            for record in live_records(self.reader, file):
                if record.place is self.place:
                    yield record.values
            return
        for record in live_records(self.reader, file):
            for place, values in record.embedded:
                if place is self.place:
                    yield values

    def blame(self, error: psycopg.Error, model: Model) -> DamagedError:
        """The error with the file that the refused row came from; PostgreSQL tells its number."""
        context = error.diag.context or ""
        told = re.search(r"COPY .*?, line (\d+)(?:, column ([^:\n]+))?", context)
        number = int(told[1]) if told else 0
        file = next((f.path for first, f in reversed(self.starts) if first < number), "")
        column = error.diag.column_name or (told[2] if told else "") or ""
        name = next((f.name for f in model.scalars if f.column == column), column)
        reason = f"PostgreSQL refuses the value ({error.sqlstate}: {_kind(error)})"
        return DamagedError(reason, file=file, model=model.name, field=name)


def _kind(error: psycopg.Error) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(error).__name__).lower()


def _inconsistent(error: psycopg.IntegrityError) -> DifferenceError:
    """Rows that break a rule of the schema.  PostgreSQL's detail holds values, and so is not repeated."""
    table, constraint = error.diag.table_name or "?", error.diag.constraint_name or "?"
    return DifferenceError(
        f"the files are not consistent: {_kind(error)} in table {table}, by {constraint}",
        hint="octavo verify against the database they came from, or octavo doctor, names the records",
    )


class _Payloads:
    """The payloads that go back below the files root."""

    def __init__(self, reader: Reader, there: Contents, files_root: Path) -> None:
        self.reader, self.there, self.files_root = reader, there, files_root
        self.layout = reader.layout
        self.notes: list[str] = []

    def _rows(self) -> Iterator[tuple[Place, str, str | None]]:
        """Each row with a payload: its place, its path, its digest."""
        places = [p for p in self.layout.places if p.payload]
        for path in dict.fromkeys(p.path for p in places):
            for file in self.there.files:
                if file.family.path == path:
                    for record in live_records(self.reader, file):
                        if record.place.payload:
                            names = [f.name for f in record.place.model.scalars]
                            value = record.values[names.index(record.place.payload)]
                            yield record.place, (value or b"").decode(), record.sha256

    def refuse_conflicts(self) -> None:
        """Raise before anything is written if a payload is not there, or would replace another file."""
        conflicts: list[str] = []
        for place, path, digest in self._rows():
            if digest is None:
                self.notes.append(f"{place.model.name}: {path!r} has no payload in the data folder")
                continue
            if not (self.reader.root / payload_path(self.layout, digest)).is_file():
                raise DamagedError("the payload is missing", file=payload_path(self.layout, digest))
            with disk.disk_errors("looking at the files root"):
                if reason := payload_conflict(self.files_root, path, digest):
                    conflicts.append(f"{path}: {reason}")
        if conflicts:
            shown = "; ".join(conflicts[:5]) + (
                f"; and {len(conflicts) - 5} more" if len(conflicts) > 5 else ""
            )
            raise DifferenceError(
                f"payloads would replace other files below {self.files_root}: {shown}",
                hint="restore with another --files-root",
            )

    def write(self) -> int:
        """Write each payload to where its row says.  Gives the number of rows that have theirs now."""
        written = 0
        for place, path, digest in self._rows():
            if digest is None:
                continue
            self.files_root.mkdir(parents=True, exist_ok=True)
            reason = put_back(self.reader.root, self.layout, digest, self.files_root, path)
            if reason is None:
                written += 1
            else:
                self.notes.append(f"{place.model.name}: {path!r} was not written: {reason}")
        return written
