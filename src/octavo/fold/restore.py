"""Files → an empty PostgreSQL, in one transaction, and the payloads back to the files root.

Rows are loaded into bare tables; keys, indexes and foreign keys are made when they are there, which is
quickest.  Tables that an application's own migrations have made are filled as they are.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg

from octavo.errors import DamagedError, DifferenceError, DiskError, UsageError, disk_errors
from octavo.fold import origin
from octavo.fold.loading import Loading, advance_counters, whole_contents
from octavo.inspect.findings import listed
from octavo.inspect.payloads import CONFLICT, file_digest, payload_conflict, put_back
from octavo.inspect.progress import SILENT, Progress
from octavo.layout.layout import Layout, Place
from octavo.layout.listing import Contents, payload_path
from octavo.layout.scan import Reader, live_records
from octavo.postgres.catalog import introspect
from octavo.postgres.connection import connect, transaction
from octavo.postgres.drift import compare
from octavo.postgres.failures import database_errors
from octavo.schema.datamodel import Model, Relation
from octavo.schema.ddl import Ddl, ddl
from octavo.schema.sql import literal, quote, table_name
from octavo.store.offline import require_store
from octavo.url import DatabaseUrl

if TYPE_CHECKING:
    from octavo.postgres.connection import Connection


class PutBack:
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
        sound: set[str] = set()
        for place, path, digest in self._rows():
            if digest is None:
                self.notes.append(f"{place.model.name}: {path!r} has no payload in the data folder")
                continue
            if digest not in sound:
                self._check(digest)
                sound.add(digest)
            with disk_errors("looking at the files root"):
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

    def _check(self, digest: str) -> None:
        path = payload_path(self.layout, digest)
        try:
            found, _ = file_digest(self.reader.root, path)
        except FileNotFoundError as error:
            raise DamagedError("the payload is missing", file=path) from error
        except OSError as error:
            raise DamagedError(f"the payload cannot be read: {error.strerror}", file=path) from error
        if found != digest:
            raise DamagedError("the payload is not what its digest says", file=path)

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
            elif reason == CONFLICT:
                raise DifferenceError(f"{path} below {self.files_root}: {reason}")
            else:
                self.notes.append(f"{place.model.name}: {path!r} was not written: {reason}")
        return written


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
    left_out: list[str] = field(default_factory=list)
    """what lies in the data folder and has no place in the database: unknown keys, stray files"""
    seconds: float = 0.0


def restore(
    url: DatabaseUrl,
    data_dir: Path,
    layout: Layout,
    files_root: Path,
    progress: Progress = SILENT,
) -> RestoreReport:
    """Load a data folder into a database that holds no rows, and write its payloads to the files root.

    Raises UsageError if there is no store or the database is not empty, DriftError if it has other tables
    than the schema's, DamagedError for anything in the files that cannot be loaded, DifferenceError if a
    payload would have to replace another file, DatabaseError, DiskError.  The database is then as it was.
    """
    require_store(data_dir)
    started = time.monotonic()
    there = whole_contents(layout, data_dir)
    reader = Reader(layout, data_dir)
    payloads = PutBack(reader, there, files_root)
    payloads.refuse_conflicts()
    report = RestoreReport(data_dir, {})
    with closing(connect(url)) as connection, transaction(connection, url.schema):
        filling = _Filling(connection, url, layout)
        report.created_tables = filling.prepare()
        progress.begin("restore", sum(f.size for f in there.files), "bytes")
        loading = Loading(reader, there, progress)
        for model in filling.order():
            report.counts[model.name] = loading.copy(connection, model)
        loading.check_logs()
        progress.begin("keys and indexes", 0)
        filling.finish(loading)
        with disk_errors("writing payloads"):
            report.payloads = payloads.write()
        report.payload_notes = payloads.notes
        report.left_out = [*sorted(loading.unknown), *(f"{path}: a stray file" for path in there.strays)]
        here = origin.database_of(connection, url)
    # Where it cannot be written down, no state of a move could be either.
    with suppress(DiskError):
        origin.add_copy(data_dir, here)
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

    def finish(self, loading: Loading) -> None:
        """Make keys, indexes and foreign keys; let counters go on after the numbers in use."""
        for statement in (*(self.statements.after_rows if self.created else ()), *self.dropped):
            try:
                self.connection.execute(statement.encode())
            except psycopg.IntegrityError as error:
                raise loading.inconsistent(error) from error
        advance_counters(self.connection, self.datamodel)
