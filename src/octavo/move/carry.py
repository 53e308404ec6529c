"""Makes PostgreSQL what the files are: everything, or what the files say since that was done.

*Everything*: the rows of the files go into temporary tables.  What of the database is not the same, byte for
byte, is deleted, and what is then missing is inserted: so no unique is in the way of another, and nothing
that is the same is touched.  Foreign keys are dropped before that and made again after it, which checks them;
triggers of the application do not run.  Nothing is given to the server but the rows themselves.

*Since*: the same of the records of which the files say something new (:mod:`octavo.move.news`), with what is
embedded in them.  The foreign keys stay where they are if no constraint is in the way; if one is, it is done
once more without them.

Both are one transaction each.  While the application writes to the files, they are read as they were listed:
logs as far as they went.  A document that was replaced since may then not fit the rest, which a constraint
tells, or the next round mends.  None of this is a proof: that both sides are the same is shown by a
verification.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from octavo.errors import DamagedError, DatabaseError, DifferenceError, disk_errors
from octavo.fold.restore import Lines, Loading, PutBack, advance_counters, copy_in
from octavo.inspect.payloads import CONFLICT, put_back
from octavo.inspect.progress import Progress
from octavo.inspect.row_hash import framed, parts_of
from octavo.layout.found import Entry
from octavo.layout.layout import Kind, Layout
from octavo.layout.reader import Reader
from octavo.move import news
from octavo.move.hosted import Hosted
from octavo.move.listing import Listing, listed
from octavo.move.news import News, Unsure
from octavo.postgres.connection import Connection, connect
from octavo.postgres.failures import database_errors
from octavo.postgres.fence import PATIENCE, Held, locked
from octavo.schema.datamodel import Datamodel, Model
from octavo.schema.ddl import sql_type
from octavo.schema.native import quote, table_name
from octavo.store.offline import Resting
from octavo.store.shared import commits_in
from octavo.url import DatabaseUrl

_TRIES = 3
_FEW = 500
"""records that are left for the next round"""
_MANY = 1 << 62
_INTEGRITY = "23"
"""the class of PostgreSQL's codes for constraints"""
_NO_PATIENCE = 5.0
"""seconds to wait for a table while writers wait"""


class _Undone(Exception):
    """Ends a transaction that was only tried."""


class _Refused(Exception):
    """A constraint is in the way: ends a transaction that is tried in another way."""


@dataclass
class Carry:
    """What is carried from the files to PostgreSQL."""

    url: DatabaseUrl
    root: Path
    layout: Layout
    files_root: Path
    resting: Resting
    progress: Progress
    listing: Listing | None = None
    """the files that have been carried; None: none were"""
    changes: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    """by model, the rows that PostgreSQL was given, changed in and rid of"""
    notes: dict[str, None] = field(default_factory=dict)

    def ahead(self, *, keep: bool = True) -> None:
        """Carry everything while the application goes on, and then what it has written meanwhile, until that
        is little.

        What does not fit together is tried again; the last time, that of everything is done under the write
        lock, and a round is left for the next one, which has the lock.  Raises as :meth:`everything`.
        """
        for tries_left in reversed(range(_TRIES)):
            before = commits_in(os.fspath(self.root))
            try:
                with nullcontext() if tries_left else self.resting.hold():
                    self.everything(frozen=not tries_left, keep=keep)
                break
            except (DamagedError, DifferenceError, DatabaseError) as error:
                is_integrity = isinstance(error, DatabaseError) and error.sqlstate.startswith(_INTEGRITY)
                if isinstance(error, DatabaseError) and not is_integrity:
                    raise
                if not tries_left or commits_in(os.fspath(self.root)) == before:
                    raise
        for _ in range(_TRIES if keep else 0):
            with self.resting.hold():
                now = listed(self.layout, self.root)
            with suppress(Unsure):
                if self.since(now) <= _FEW:
                    break

    def everything(self, *, frozen: bool, keep: bool = True) -> None:
        """Make the database what the files are; without ``keep``, only try it.

        ``frozen``: the write lock is held.  Raises DamagedError and DifferenceError for files that cannot be
        loaded, DatabaseError, DiskError; then the database is as it was.
        """
        with nullcontext() if frozen else self.resting.hold():
            listing = listed(self.layout, self.root)
            before = commits_in(os.fspath(self.root))
        there = listing.there
        if there.missing:
            raise DamagedError("the file is missing", file=there.missing[0])

        def damage(error: DamagedError) -> None:
            is_gone = error.file and not os.path.lexists(self.root / error.file)
            if frozen or not is_gone or commits_in(os.fspath(self.root)) == before:
                raise error

        reader = Reader(self.layout, self.root)
        payloads = PutBack(reader, there, self.files_root)
        payloads.refuse_conflicts()
        self.progress.begin("carrying back", there.files.size, "bytes")
        loading = Loading(reader, there, self.progress, damage)
        with (
            suppress(_Undone),
            closing(connect(self.url)) as connection,
            carrying(connection, self.url, loading, patience=self.resting.patience) as done,
        ):
            if keep and any(place.payload for place in self.layout.places):
                with disk_errors("writing payloads"):
                    payloads.write()
            if not keep:
                self._count(done)
                raise _Undone
        if keep:
            self._count(done)
            self.listing = listing
        self._note(payloads.notes)
        self._note(f"{text} (stays in the files alone)" for text in sorted(loading.unknown))

    def since(self, now: Listing) -> int:
        """Carry what the files say now, as they were listed, and did not say when they were carried last.
        Gives how many records that may be.

        Raises Unsure if that cannot be told, DifferenceError, DatabaseError, DiskError.
        """
        if self.listing is None:
            raise Unsure("nothing was carried before")
        with closing(connect(self.url)) as connection:
            change = _Change(self, News(self.layout, self.root, (self.listing, now), unsigned=True))
            if change.number or change.told.lost:
                try:
                    for with_keys in (True, False):
                        with suppress(_Refused):
                            self._count(change.make(connection, with_keys=with_keys))
                            break
                except Held as error:
                    raise Unsure(error.message) from error
        self.listing = now
        return change.number

    def _count(self, done: dict[str, Carried]) -> None:
        for name, one in done.items():
            if one.inserted or one.changed or one.deleted:
                counts = {"inserted": one.inserted, "changed": one.changed, "deleted": one.deleted}
                self.changes[name].update(counts)

    def _note(self, texts: Iterable[str]) -> None:
        self.notes.update(dict.fromkeys(texts))


class _Change:
    """The records of which the files say something new, and what PostgreSQL is to have of them."""

    def __init__(self, carry: Carry, told: News) -> None:
        self.carry, self.told, self.layout = carry, told, carry.layout
        self.hosted = Hosted(self.layout)
        self.records: dict[str, dict[bytes, dict[str, Entry]]] = defaultdict(dict)
        """by model and key, what each file says"""
        self.number = 0
        for file, entry in told.entries():
            self._record(entry.codec.name, framed([value or b"" for value in entry.key]))[file.path] = entry

    def _record(self, model: str, key: bytes) -> dict[str, Entry]:
        own = self.records[model]
        if (found := own.get(key)) is None:
            found = own[key] = {}
            self.number += 1
            if self.number > news.MOST:
                raise Unsure(f"more than {news.MOST:,} records may have changed")
        return found

    def make(self, connection: Connection, *, with_keys: bool) -> dict[str, Carried]:
        """Bring it over, ``with_keys`` while foreign keys hold.

        Raises _Refused if a constraint is in the way, Unsure, DifferenceError, DatabaseError, DiskError.
        """
        url, patience = self.carry.url, min(self.carry.resting.patience, _NO_PATIENCE)
        datamodel = self.layout.datamodel
        mode = "SHARE ROW EXCLUSIVE" if with_keys else "ACCESS EXCLUSIVE"
        with locked(connection, url, datamodel.tables, mode, patience):
            if with_keys and _reaches_others(connection, datamodel):
                raise _Refused
            self._hear_of_lost(connection)
            tables = self._load(connection)
            again = _without_triggers(connection, datamodel)
            if not with_keys:
                again = [*_without_foreign_keys(connection, datamodel), *again]
            try:
                done = (_exchange_with_keys if with_keys else _exchange)(connection, tables)
                connection.execute(b"SET CONSTRAINTS ALL IMMEDIATE")
                for statement in again:
                    connection.execute(statement.encode())
            except psycopg.Error as error:
                if with_keys:
                    raise _Refused from error
                if isinstance(error, psycopg.IntegrityError):
                    raise Unsure("the files break a constraint of PostgreSQL") from error
                raise
            advance_counters(connection, datamodel)
            self._put_back()
        return done

    def _hear_of_lost(self, connection: Connection) -> None:
        """Every record that PostgreSQL has in a file that is gone, or was written anew."""
        there = self.told.now.there
        if there.missing:
            raise Unsure(f"{there.missing[0]} is missing")
        for path in sorted(self.told.lost - self.told.doubted):
            family = self.layout.family(path)
            is_parent = family is not None and family.kind is Kind.LOG_PER_PARENT
            for model, key in self.hosted.in_file([(connection, self.carry.url)], path):
                said = self._record(model, key)
                if is_parent and there.files.number(path) is None and not self._is_removed(model, key, said):
                    raise Unsure(f"{path} is gone")
                is_parent = False

    def _is_removed(self, model: str, key: bytes, said: dict[str, Entry]) -> bool:
        """Whether the files have removed a record, and not only its log."""
        if said:
            return all(entry.deleted for entry in said.values())
        place = self.layout.place(model)
        if place.kind is Kind.LOG_PER_PARENT:
            return False
        named = [part.decode() for part in parts_of(key)]
        return not self.told.is_kept(place.file_for(named) if place.kind is Kind.FILE else place.path)

    def _wanted(self, connection: Connection) -> dict[str, dict[bytes, Entry | None]]:
        """By model and key the records to be carried; None: it is to go."""
        found: dict[str, dict[bytes, Entry | None]] = {}
        for name, own in self.records.items():
            home, frame = self.hosted.home_of(self.layout.place(name)), self.hosted.frames[name]
            rows = self.hosted.of_records(connection, self.carry.url, name, own, _MANY)
            homes = {frame.key(row): home(row) for row in rows}
            for key, said in own.items():
                live = [entry for entry in said.values() if not entry.deleted]
                at = homes.get(key, "")
                stays = at and at not in said and self.told.is_kept(at)
                # Where two files have it, a verification says so.
                if not stays and len(live) < 2:
                    found.setdefault(name, {})[key] = live[0] if live else None
        return found

    def _load(self, connection: Connection) -> list[_Table]:
        """The tables of these records, with what they are to have of them."""
        self.wanted = self._wanted(connection)
        tables = []
        for number, model in enumerate(_parents_first(self.layout.datamodel)):
            host, _ = self.hosted.host_of(model.name)
            if keys := self.wanted.get(host):
                table = _Table(model, number, self.hosted.named(model.name))
                table.create(connection)
                table.restrict(connection, self.layout.datamodel, keys)
                self._copy(connection, table, [entry for entry in keys.values() if entry is not None])
                table.keep_others(connection)
                connection.execute(f"ANALYZE {table.new}; ANALYZE {table.keys}".encode())
                tables.append(table)
        return tables

    def _copy(self, connection: Connection, table: _Table, entries: Iterable[Entry]) -> None:
        lines = Lines(self.layout.datamodel, table.model)
        try:
            with connection.cursor() as cursor, cursor.copy(copy_in(table.model, table.new)) as copy:
                for entry in entries:
                    for place, values in ((entry.place, entry.values), *entry.embedded):
                        if place.model.name == table.model.name:
                            copy.write(lines.one(values))
        except (psycopg.DataError, psycopg.IntegrityError) as error:
            raise Unsure(f"PostgreSQL refuses a value of {table.model.name}") from error

    def _put_back(self) -> None:
        """The payloads of these records."""
        root, files_root = self.carry.root, self.carry.files_root
        entries = [entry for own in self.wanted.values() for entry in own.values() if entry is not None]
        for entry in entries:
            place, digest = entry.place, entry.sha256
            if not place.payload or digest is None:
                continue
            names = [f.name for f in place.model.scalars]
            path = (entry.values[names.index(place.payload)] or b"").decode()
            with disk_errors("writing payloads"):
                files_root.mkdir(parents=True, exist_ok=True)
                reason = put_back(root, self.layout, digest, files_root, path)
            if reason == CONFLICT:
                raise DifferenceError(f"{path} below {files_root}: {reason}")
            if reason is not None:
                self.carry.notes[f"{place.model.name}: {path!r} was not written: {reason}"] = None


def _parents_first(datamodel: Datamodel) -> list[Model]:
    """The tables, each after those that its foreign keys point at, as far as there is no circle."""
    waiting, ordered = list(datamodel.tables), list[Model]()
    while waiting:
        names = {m.name for m in waiting}
        free = [m for m in waiting if not names & {r.parent for r in datamodel.parents(m.name)} - {m.name}]
        ordered += free or waiting[:1]
        waiting = [m for m in waiting if m not in ordered]
    return ordered


def _exchange_with_keys(connection: Connection, tables: list[_Table]) -> dict[str, Carried]:
    """As :func:`_exchange`, while foreign keys hold: rows that changed are updated.  ``tables``: parents
    first."""
    done = {table.model.name: [0, 0, 0] for table in tables}
    for table in reversed(tables):
        gone = f"DELETE FROM {table.name} o WHERE {table.among} AND NOT {table.has_key}"
        done[table.model.name][2] = connection.execute(gone.encode()).rowcount
    for table in tables:
        columns = table.columns(connection)
        done[table.model.name][0] = connection.execute(table.insert(columns).encode()).rowcount
    for table in tables:
        own = {quote(f.column) for f in table.model.scalars if f not in table.model.key_fields}
        if setting := ", ".join(f"{c} = n.{c}" for c in table.columns(connection) if c in own):
            changed = f"UPDATE {table.name} o SET {setting} FROM {table.new} n WHERE {table.same}"
            query = f"{changed} AND NOT {table.equal}"
            done[table.model.name][1] = connection.execute(query.encode()).rowcount
    return {name: Carried(*counts) for name, counts in done.items()}


@dataclass(frozen=True, slots=True)
class Carried:
    """What became of the rows of one model."""

    inserted: int = 0
    changed: int = 0
    deleted: int = 0


@contextmanager
def carrying(
    connection: Connection, url: DatabaseUrl, loading: Loading, *, patience: float = PATIENCE
) -> Iterator[dict[str, Carried]]:
    """Make the database what the files are; kept if the block ends without raising.

    What was done is given by model.  The tables are locked meanwhile.  Raises DamagedError and
    DifferenceError for files that cannot be loaded, DatabaseError; then the database is as it was.
    """
    datamodel = loading.reader.layout.datamodel
    with locked(connection, url, datamodel.tables, "ACCESS EXCLUSIVE", patience):
        tables = [_Table(model, number) for number, model in enumerate(datamodel.tables)]
        for table in tables:
            table.create(connection)
        # Documents are read close together, as they may be replaced meanwhile; logs as far as they went.
        for table in sorted(tables, key=lambda t: loading.reader.layout.host(t.model.name).kind.is_log):
            loading.copy(connection, table.model, table.new)
            table.keep_others(connection)
        loading.check_logs()
        with database_errors(url, "bringing the rows back"):
            for table in tables:
                connection.execute(f"ANALYZE {table.new}".encode())
            again = [*_without_foreign_keys(connection, datamodel), *_without_triggers(connection, datamodel)]
            done = _exchange(connection, tables)
        try:
            for statement in again:
                connection.execute(statement.encode())
        except psycopg.IntegrityError as error:
            raise loading.inconsistent(error) from error
        yield done
        # No rollback of the transaction would take this back.
        advance_counters(connection, datamodel)


class _Table:
    """A table, and the temporary one that holds what it is to be: all of it, or with ``named`` the rows in
    which these fields have a value that a second temporary table has."""

    def __init__(self, model: Model, number: int, named: Sequence[str] = ()) -> None:
        self.model, self.name = model, table_name(model)
        self.named = [model.scalar(name) for name in named]
        self.new = f"pg_temp.{quote(f'octavo_{number}')}"
        self.keys = f"pg_temp.{quote(f'octavo_keys_{number}')}"
        self.same = " AND ".join(f"n.{quote(f.column)} = o.{quote(f.column)}" for f in model.key_fields)
        self.has_key = f"EXISTS (SELECT FROM {self.new} n WHERE {self.same})"
        # It compares the stored bytes: 1.0 is not 1.00, nor is a Json value of other digits.  Without
        # the stars, n and o would be columns of these names, where the table has them.
        self.equal = "pg_catalog.record_image_eq(n.*, o.*)"
        self.is_same = f"EXISTS (SELECT FROM {self.new} n WHERE {self.same} AND {self.equal})"
        self.is_there = f"EXISTS (SELECT FROM {self.name} o WHERE {self.same})"
        held = " AND ".join(f"k.{quote(f.column)} = o.{quote(f.column)}" for f in self.named)
        self.among = f"EXISTS (SELECT FROM {self.keys} k WHERE {held})" if named else "true"

    def create(self, connection: Connection) -> None:
        """Make the temporary table."""
        like = f"LIKE {self.name} INCLUDING DEFAULTS"
        connection.execute(f"CREATE TEMP TABLE {self.new} ({like}) ON COMMIT DROP".encode())

    def keep_others(self, connection: Connection) -> None:
        """Let rows keep what they have in columns that the schema does not know."""
        own = {quote(f.column) for f in self.model.scalars}
        if setting := ", ".join(f"{c} = o.{c}" for c in self.columns(connection) if c not in own):
            query = f"UPDATE {self.new} n SET {setting} FROM {self.name} o WHERE {self.same}"
            connection.execute(query.encode())

    def restrict(self, connection: Connection, datamodel: Datamodel, keys: Iterable[bytes]) -> None:
        """Say which rows it is about."""
        columns = ", ".join(quote(f.column) for f in self.named)
        connection.execute(
            f"CREATE TEMP TABLE {self.keys} ON COMMIT DROP AS SELECT {columns} FROM {self.name}"
            " WITH NO DATA".encode()
        )
        values = zip(*map(parts_of, keys), strict=True)
        texts = [[part.decode() for part in parts] for parts in values]
        cast = ", ".join(f"c{n}::{sql_type(datamodel, f)}" for n, f in enumerate(self.named))
        arrays = ", ".join("%s::text[]" for _ in self.named)
        names = ", ".join(f"c{n}" for n in range(len(self.named)))
        query = f"INSERT INTO {self.keys} SELECT {cast} FROM unnest({arrays}) AS u({names})"
        connection.execute(query.encode(), texts)

    def columns(self, connection: Connection) -> list[str]:
        """Those that take values, also those that the schema does not know."""
        query = (
            "SELECT attname FROM pg_catalog.pg_attribute WHERE attrelid = %s::regclass"
            " AND attnum > 0 AND attgenerated = '' AND NOT attisdropped ORDER BY attnum"
        )
        return [quote(str(name)) for (name,) in connection.execute(query, [self.name])]

    def insert(self, columns: Sequence[str]) -> str:
        """The statement that inserts the rows that are missing."""
        names = ", ".join(columns)
        return (
            f"INSERT INTO {self.name} ({names}) OVERRIDING SYSTEM VALUE"
            f" SELECT {names} FROM {self.new} n WHERE NOT {self.is_there}"
        )


def _exchange(connection: Connection, tables: list[_Table]) -> dict[str, Carried]:
    """Delete what is not to be, then insert what is missing."""
    gone: dict[str, tuple[int, int]] = {}
    for table in tables:
        row = connection.execute(
            f"WITH gone AS (DELETE FROM {table.name} o WHERE {table.among} AND NOT {table.is_same}"
            f" RETURNING {table.has_key} AS kept)"
            " SELECT count(*) FILTER (WHERE kept), count(*) FILTER (WHERE NOT kept) FROM gone".encode()
        ).fetchone()
        gone[table.name] = row or (0, 0)
    done = {}
    for table in tables:
        inserted = connection.execute(table.insert(table.columns(connection)).encode()).rowcount
        changed, deleted = gone[table.name]
        done[table.model.name] = Carried(inserted - changed, changed, deleted)
    return done


def _without_foreign_keys(connection: Connection, datamodel: Datamodel) -> list[str]:
    """Drop all foreign keys of the tables, and to them.  Gives the statements that make them again."""
    rows = connection.execute(
        """
        SELECT conrelid::regclass::text, quote_ident(conname), pg_get_constraintdef(oid)
        FROM pg_catalog.pg_constraint
        WHERE contype = 'f' AND conparentid = 0
          AND (conrelid = ANY(%(tables)s::regclass[]) OR confrelid = ANY(%(tables)s::regclass[]))
        ORDER BY 1, 2
        """,
        {"tables": [table_name(m) for m in datamodel.tables]},
    ).fetchall()
    for table, name, _ in rows:
        connection.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}".encode())
    return [f"ALTER TABLE {table} ADD CONSTRAINT {name} {how}" for table, name, how in rows]


def _reaches_others(connection: Connection, datamodel: Datamodel) -> bool:
    """Whether a change of these tables would also change rows of tables that the files do not have."""
    query = """
        SELECT EXISTS (
            SELECT FROM pg_catalog.pg_constraint
            WHERE contype = 'f' AND conparentid = 0 AND confrelid = ANY(%(tables)s::regclass[])
              AND conrelid <> ALL(%(tables)s::regclass[])
              AND NOT (confdeltype IN ('a', 'r') AND confupdtype IN ('a', 'r'))
        )
        """
    row = connection.execute(query, {"tables": [table_name(m) for m in datamodel.tables]}).fetchone()
    return bool(row and row[0])


_AGAIN = {"O": "ENABLE TRIGGER", "R": "ENABLE REPLICA TRIGGER", "A": "ENABLE ALWAYS TRIGGER"}


def _without_triggers(connection: Connection, datamodel: Datamodel) -> list[str]:
    """Let no trigger of the tables run, nor of their partitions.

    Gives the statements that let them again.
    """
    rows = connection.execute(
        """
        WITH RECURSIVE t AS (
            SELECT u.oid, 0 AS depth FROM unnest(%s::regclass[]) AS u(oid)
          UNION ALL
            SELECT i.inhrelid, depth + 1 FROM t JOIN pg_catalog.pg_inherits i ON i.inhparent = t.oid
        )
        SELECT tgrelid::regclass::text, quote_ident(tgname), tgenabled::text
        FROM pg_catalog.pg_trigger JOIN t ON t.oid = tgrelid
        WHERE NOT tgisinternal AND tgenabled <> 'D'
        ORDER BY depth, 1, 2
        """,
        [[table_name(m) for m in datamodel.tables]],
    ).fetchall()
    for table, name, _ in rows:
        connection.execute(f"ALTER TABLE ONLY {table} DISABLE TRIGGER {name}".encode())
    return [f"ALTER TABLE ONLY {table} {_AGAIN[how]} {name}" for table, name, how in rows]
