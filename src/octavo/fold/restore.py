"""Files → an empty PostgreSQL, in one transaction, and the payloads back to the files root.

Rows are loaded into bare tables; keys, indexes and foreign keys are made when they are there, which is
quickest.  Tables that an application's own migrations have made are filled as they are.  Rows are sent as the
lines of COPY in text format: values separated by tabs, a NULL as ``\\N``; backslash, tab and line breaks
escaped (PostgreSQL's documentation of COPY, section Text Format).
"""

from __future__ import annotations

import re
import time
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from itertools import compress, islice
from pathlib import Path

import psycopg

from octavo.errors import DamagedError, DifferenceError, DiskError, UsageError, disk_errors
from octavo.fold.source import EXCLUDED, add_copy, database_of, orphans
from octavo.inspect.findings import listed, shown_key
from octavo.inspect.payloads import CONFLICT, file_digest, payload_conflict, put_back
from octavo.inspect.progress import SILENT, Progress
from octavo.layout.codec import Codec, Values
from octavo.layout.compiled import marked
from octavo.layout.fold import logs_of
from octavo.layout.found import Entry, Many
from octavo.layout.keys import Key
from octavo.layout.layout import Kind, Layout, Place
from octavo.layout.listing import Contents, File, contents, payload_path
from octavo.layout.reader import Reader, live_records, live_together
from octavo.layout.record import ESCAPED, Row, plain
from octavo.postgres.catalog import introspect
from octavo.postgres.connection import Connection, connect, transaction
from octavo.postgres.drift import compare
from octavo.postgres.failures import database_errors
from octavo.schema.datamodel import Datamodel, Model, Relation, ScalarKind
from octavo.schema.ddl import Ddl, ddl, is_serial
from octavo.schema.native import literal, quote, table_name
from octavo.store.identity import require_same
from octavo.store.offline import require_store
from octavo.url import DatabaseUrl
from octavo.values.registry import value_type

_ESCAPES = ((b"\\", b"\\\\"), (b"\n", b"\\n"), (b"\t", b"\\t"), (b"\r", b"\\r"))
_NULL = b"\\N"
_MARKS = ((b"\1", b"\t"), (b"\2", _NULL), (b"\3", b"\n"))
"""what stands between values, for a NULL and at the end of a row while many rows are escaped at once"""


def computed_columns(connection: Connection, table: str) -> set[str]:
    """The columns of a table that PostgreSQL computes, and that take no value.  Raises what psycopg does."""
    query = "SELECT attname FROM pg_catalog.pg_attribute WHERE attrelid = %s::regclass AND attgenerated <> ''"
    return {str(name) for (name,) in connection.execute(query, [table])}


def copy_in(model: Model, table: str = "", computed: Collection[str] = ()) -> bytes:
    """The statement that takes lines into the table, or into one like it, columns in the schema's order
    without the ``computed``."""
    columns = ", ".join(quote(f.column) for f in model.scalars if f.column not in computed)
    return f"COPY {table or table_name(model)} ({columns}) FROM STDIN".encode()


class Lines:
    """Rows of one model as lines, each with its end; columns as :func:`copy_in` has them."""

    def __init__(self, datamodel: Datamodel, model: Model, computed: Collection[str] = ()) -> None:
        self._given = [f.column not in computed for f in model.scalars]
        columns = [(f, value_type(f, datamodel)) for f in model.scalars if f.column not in computed]
        between, null, end = (mark.decode() for mark, _ in _MARKS)
        self._marked = marked(columns, between=between, null=null, end=end)
        labels = (
            m.label
            for f in model.scalars
            if f.kind is ScalarKind.ENUM
            for m in datamodel.enum(f.type).members
        )
        self._labelled = any(mark in label for label in labels for mark in (between, null, end))

    def one(self, values: Values) -> bytes:
        given = compress(values, self._given)
        return b"\t".join([_NULL if v is None else _escaped(v) for v in given]) + b"\n"

    def many(self, codec: Codec, rows: Sequence[Row], text: bytes) -> bytes:
        """Those of rows that were checked, and stand in this text."""
        # A text that contains a mark is spelled with an escape, or lies in Json.
        if self._labelled or ESCAPED.search(text) or any(mark in text for mark, _ in _MARKS):
            return b"".join([self.one(codec.texts(plain(row))) for row in rows])
        lines = _escaped(self._marked(rows).encode())
        for mark, meant in _MARKS:
            lines = lines.replace(mark, meant)
        return lines


def _escaped(value: bytes) -> bytes:
    for raw, escape in _ESCAPES:
        value = value.replace(raw, escape)
    return value


_VIOLATIONS_SHOWN = 5


def whole_contents(layout: Layout, data_dir: Path) -> Contents:
    """What lies in a data folder from which nothing is missing.  Raises DamagedError, DiskError."""
    with disk_errors("listing the data folder"):
        there = contents(layout, data_dir)
    if there.missing:
        raise DamagedError("the file is missing", file=there.missing[0])
    return there


def advance_counters(connection: Connection, datamodel: Datamodel) -> None:
    """Let ``autoincrement()`` go on after the highest number in use, and never below where it is.  No
    transaction takes this back.  Raises what psycopg does."""
    for model in datamodel.tables:
        for f in model.scalars:
            if is_serial(f):
                column, table = quote(f.column), table_name(model)
                named = f"SELECT pg_get_serial_sequence({literal(table)}, {literal(f.column)})"
                row = connection.execute(named.encode()).fetchone()
                if row and (sequence := row[0]):
                    highest = f"(SELECT max({column}) AS n FROM {table}) AS highest"
                    connection.execute(
                        f"SELECT setval({literal(sequence)}, n) FROM {highest}, {sequence} AS s"
                        " WHERE n > 0 AND (n > s.last_value OR n = s.last_value AND NOT s.is_called)".encode()
                    )


class Loading:
    """The data folder that is being loaded, and what is learnt about it on the way.

    ``damage`` hears of what cannot be read; without it, that is raised.
    """

    def __init__(
        self,
        reader: Reader,
        there: Contents,
        progress: Progress,
        damage: Callable[[DamagedError], None] | None = None,
    ) -> None:
        self.reader, self.there, self.progress, self.damage = reader, there, progress, damage
        self.unknown: set[str] = set()
        self._owned = 0
        """the sum of the hashes of the paths of the logs that records own"""

    def copy(self, connection: Connection, model: Model, table: str = "") -> int:
        """Copy every row of a model into its table, or into one like it.  Gives their number.

        Raises DamagedError or DifferenceError for what PostgreSQL refuses.
        """
        computed = computed_columns(connection, table or table_name(model))
        lines = Lines(self.reader.layout.datamodel, model, computed)
        source = Rows(self, self.reader.layout.place(model.name), lines)
        try:
            with connection.cursor() as cursor, cursor.copy(copy_in(model, table, computed)) as copy:
                for sent in _gathered(source):
                    copy.write(sent)
        except (psycopg.errors.UniqueViolation, psycopg.errors.ForeignKeyViolation) as error:
            raise self.inconsistent(error) from error
        except (psycopg.DataError, psycopg.IntegrityError) as error:
            raise source.blame(error, model) from error
        return source.count

    def records(
        self, files: Iterable[File], *, note: bool = False
    ) -> Iterator[tuple[list[File], Iterable[Entry | Many]]]:
        """The records of files that count.  With ``note``, what they tell beside their rows is kept."""
        if not note:
            yield from live_together(self.reader, files, self.damage)
            return
        found = live_together(self.reader, files, self.damage, lambda u: self._note(u.file, u.key))
        for group, records in found:
            yield group, self._noting(group[0], records)

    def _noting(self, file: File, records: Iterable[Entry | Many]) -> Iterator[Entry | Many]:
        for found in records:
            if isinstance(found, Many):
                keys = found.keys
            else:
                keys = [found.stored_key]
                for place, key in found.unknown:
                    self._note(f"{file.path} ({place.model.name})", key)
            for path in self._logs_of(found.codec, keys):
                self._owned += hash(path)
            yield found

    def _note(self, where: str, key: str) -> None:
        self.unknown.add(f"{where}: the key {key!r}, which the schema does not know")

    def _logs_of(self, codec: Codec, keys: Iterable[Key]) -> Iterator[str]:
        """The logs that the records with these keys own."""
        if places := logs_of(self.reader.layout, codec.place.model):
            for key in keys:
                named = [text.decode() for text in codec.keys.texts(key)]
                yield from (place.file_for(named) for place in places)

    def check_logs(self) -> None:
        """Raise DamagedError unless every parent has its logs, and every log its parent."""
        families = [f for f in self.reader.layout.families if f.kind is Kind.LOG_PER_PARENT]
        files = [self.there.files.of(family.path) for family in families]
        # Of both a sum is enough, as long as they are the same.
        if self._owned == sum(hash(file.path) for own in files for file in own):
            return
        there = {file.path for own in files for file in own}
        owned = set(self._owned_logs())
        if missing := owned - there:
            raise DamagedError("the log of an existing record is missing", file=min(missing))
        if lone := there - owned:
            raise DamagedError("a log whose parent does not exist", file=min(lone))

    def _owned_logs(self) -> Iterator[str]:
        layout = self.reader.layout
        hosts = {
            layout.host(place.relation.parent).path
            for place in layout.places
            if place.kind is Kind.LOG_PER_PARENT and place.relation
        }
        for path in hosts:
            for file in self.there.files.of(path):
                for record in live_records(self.reader, file):
                    yield from self._logs_of(record.codec, [record.stored_key])

    def inconsistent(self, error: psycopg.IntegrityError) -> DifferenceError:
        """The error for records that break a rule of the schema.

        PostgreSQL's detail holds values, and so is not repeated: the records are looked for here.
        """
        # Most restores end well, and sooner without this.
        from octavo.inspect.integrity import Rule, violations

        reader = self.reader
        check = violations(reader.layout, reader.root, self.there.files, lambda _: None, keys=True)
        broken = (violation for violation in check if violation.rule is not Rule.ORPHAN)
        found = [str(violation) for violation in islice(broken, _VIOLATIONS_SHOWN)]
        table, constraint = error.diag.table_name or "?", error.diag.constraint_name or "?"
        message = f"the files are not consistent: {kind_of(error)} in table {table}, by {constraint}"
        return DifferenceError(message, found)


_BUFFER = 1 << 16


def _gathered(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in pieces that are worth sending."""
    waiting: list[bytes] = []
    size = 0
    for piece in pieces:
        waiting.append(piece)
        size += len(piece)
        if size >= _BUFFER:
            yield b"".join(waiting)
            waiting, size = [], 0
    if waiting:
        yield b"".join(waiting)


class Rows:
    """The rows of one model as lines, out of the files that hold them; knows afterwards which came from
    where."""

    def __init__(self, loading: Loading, place: Place, lines: Lines) -> None:
        self.loading, self.place, self.lines = loading, place, lines
        layout = loading.reader.layout
        host = layout.host(place.model.name)
        self.files = loading.there.of(host)
        self._first = next(p for p in layout.places if p.path == host.path)
        """the place for which the files are read for the first time"""
        self.count = 0
        self.starts: list[tuple[int, int]] = []
        """the number of rows that came before some of the files, and of the files that did"""

    def __iter__(self) -> Iterator[bytes]:
        embedded = self.place.kind is Kind.EMBEDDED
        note = self.place is self._first
        done = 0
        for files, records in self.loading.records(self.files, note=note):
            self.starts.append((self.count, done))
            done += len(files)
            for found in records:
                if isinstance(found, Many):
                    codec, rows = found.of(self.place)
                    self.count += len(rows)
                    yield self.lines.many(codec, rows, found.text)
                else:
                    for values in self._of(found):
                        self.count += 1
                        yield self.lines.one(values)
            if not embedded:
                self.loading.progress.advance(sum(file.size for file in files))

    def _of(self, record: Entry) -> list[Values]:
        if record.place is self.place:
            return [record.values]
        if self.place.kind is Kind.EMBEDDED:
            return [values for place, values in record.embedded if place is self.place]
        return []

    def blame(self, error: psycopg.Error, model: Model) -> DamagedError:
        """The error with the line that the refused row came from; PostgreSQL tells the row's number."""
        context = error.diag.context or ""
        told = re.search(r"COPY .*?, line (\d+)(?:, column ([^:\n]+))?", context)
        number = int(told[1]) if told else 0
        column = error.diag.column_name or (told[2] if told else "") or ""
        name = next((f.name for f in model.scalars if f.column == column), column)
        reason = f"PostgreSQL refuses the value ({error.sqlstate}: {kind_of(error)})"
        at = bisect_left(self.starts, (number,)) - 1
        if at < 0:
            return DamagedError(reason, model=model.name, field=name)
        before, first = self.starts[at]
        rows = (
            (file, record, values)
            for file in islice(self.files, first, None)
            for record in live_records(self.loading.reader, file)
            for values in self._of(record)
        )
        file, record, values = next(islice(rows, number - before - 1, None))
        row = dict(zip((f.name for f in model.scalars), values, strict=True))
        key = ", ".join(str(v) for v in shown_key(model, row).values())
        return DamagedError(reason, file=file.path, line=record.line, model=model.name, key=key, field=name)


def kind_of(error: psycopg.Error) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(error).__name__).lower()


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
            for file in self.there.files.of(path):
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
    notes: list[str] = field(default_factory=list)
    """what was loaded and points at nothing, where the schema allows it"""
    seconds: float = 0.0


def restore(
    url: DatabaseUrl,
    data_dir: Path,
    layout: Layout,
    files_root: Path,
    progress: Progress = SILENT,
    *,
    allow_drift: tuple[str, ...] = (),
) -> RestoreReport:
    """Load a data folder into a database that holds no rows, and write its payloads to the files root.

    ``allow_drift``: the kinds of drift to waive of tables that are there.

    Raises UsageError if there is no store or the database is not empty, DriftError if it has other tables
    than the schema's, DamagedError for anything in the files that cannot be loaded, DifferenceError if a
    payload would have to replace another file, DatabaseError, DiskError.  The database is then as it was.
    """
    require_store(data_dir)
    require_same(data_dir, layout)
    started = time.monotonic()
    there = whole_contents(layout, data_dir)
    reader = Reader(layout, data_dir)
    payloads = PutBack(reader, there, files_root)
    payloads.refuse_conflicts()
    report = RestoreReport(data_dir, {})
    with closing(connect(url)) as connection, transaction(connection, url.schema):
        filling = _Filling(connection, url, layout, allow_drift)
        report.created_tables = filling.prepare()
        progress.begin("restore", there.files.size, "bytes")
        loading = Loading(reader, there, progress)
        for model in filling.order():
            report.counts[model.name] = loading.copy(connection, model)
        loading.check_logs()
        progress.begin("keys and indexes", 0)
        filling.finish(loading)
        report.notes = orphans(connection, url, layout)
        with disk_errors("writing payloads"):
            report.payloads = payloads.write()
        report.payload_notes = payloads.notes
        report.left_out = [*sorted(loading.unknown), *(f"{path}: a stray file" for path in there.strays)]
        report.left_out += filling.waived
        report.left_out += [f"the rows of {m.name}: {EXCLUDED}" for m in layout.datamodel.excluded]
        here = database_of(connection, url)
    # Where it cannot be written down, no state of a move could be either.
    with suppress(DiskError):
        add_copy(data_dir, here)
    report.seconds = time.monotonic() - started
    return report


class _Filling:
    """The database that is being filled."""

    def __init__(
        self, connection: Connection, url: DatabaseUrl, layout: Layout, allow_drift: Collection[str]
    ) -> None:
        self.connection, self.url, self.layout = connection, url, layout
        self.allow_drift = allow_drift
        self.waived: list[str] = []
        self.datamodel = layout.datamodel
        self.statements: Ddl = ddl(self.datamodel, url.schema)
        self.created = False
        self.dropped: list[str] = []

    def prepare(self) -> bool:
        """Make the tables, unless they are there and empty.  Says whether it made them."""
        schemas = self.datamodel.datasource.schemas or (self.url.schema,)
        self._run(self.statements.schemas)
        catalog = introspect(self.connection, schemas)
        if not catalog.datamodel.models:
            self.created = True
            self._run(s for s in self.statements.before_rows if not s.startswith("CREATE SCHEMA"))
            return True
        drift = compare(self.datamodel, catalog).allowing(self.allow_drift)
        drift.raise_if_any()
        self.waived = drift.waived
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
