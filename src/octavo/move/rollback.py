"""Back to PostgreSQL, with everything that was written to the files since.

The database, which the cutover closed to writers, becomes what the files are, to the last digit, in one
transaction; payloads go back below the files root; every field is compared; the state of the move says that
PostgreSQL is of record; and only then it takes writes again.  The files' writers are kept out until then.
Interrupted anywhere, it can simply be done again.

The rows of the files go into temporary tables.  What of the database is not the same, byte for byte, is
deleted, and what is then missing is inserted: so no unique is in the way of another, and nothing that is the
same is touched.  Foreign keys are dropped before that and made again after it, which checks them; triggers of
the application do not run.  Nothing is given to the server but the rows themselves.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass

import psycopg

from octavo.backend import DataBackend
from octavo.errors import DifferenceError, UsageError, disk_errors
from octavo.fold.restore import (
    Loading,
    PutBack,
    advance_counters,
    computed_columns,
    whole_contents,
)
from octavo.fold.source import Origin, allowed_drift, database_of, leave_origin, open_source
from octavo.inspect.progress import SILENT, Progress, Tell, untold
from octavo.layout.reader import Reader
from octavo.move.sides import Move, MoveOptions, MoveReport, Sides, end_following, moving
from octavo.postgres import fence
from octavo.postgres.connection import Connection, connect
from octavo.postgres.failures import database_errors
from octavo.postgres.fence import PATIENCE, Stage, locked
from octavo.schema.datamodel import Datamodel, Model
from octavo.schema.native import quote, table_name
from octavo.store import phase
from octavo.store.offline import at_rest, require_store
from octavo.store.phase import Phase
from octavo.url import DatabaseUrl

_CHANGES = ("inserted", "changed", "deleted")


class _Undone(Exception):
    """Ends a transaction that was only tried."""


def rollback(
    sides: Sides,
    options: MoveOptions,
    *,
    progress: Progress = SILENT,
    tell: Tell = untold,
) -> MoveReport:
    """Make PostgreSQL the backend of record again, with all that the files have.

    A dry run brings the rows over and takes all of it back: it tells what would change.  Where it was done
    already, or was interrupted, only what is left to do is done.  Raises UsageError if the way back was given
    up or the files are not there, DriftError, DamagedError, DifferenceError if PostgreSQL may have been
    written to meanwhile, or if both sides differ in the end (then the files are still of record, and
    PostgreSQL closed), BusyError, DatabaseError, DiskError.
    """
    report = MoveReport(sides.data_dir, dry_run=options.dry_run)
    run = _Rollback(sides, options, report, progress, tell)
    if options.dry_run:
        if run.begin():
            with at_rest(sides.data_dir, timeout=options.patience):
                run.carry(keep=False)
        return report
    with moving(sides, "rollback", options.patience):
        if run.begin():
            run.run()
    return report


class _Rollback(Move):
    def begin(self) -> bool:
        """Look at the state and at PostgreSQL; whether there is anything to carry back."""
        sides, report = self.sides, self.report
        if phase.read(sides.data_dir).phase is Phase.CLEANUP:
            raise UsageError(
                "the way back was given up: PostgreSQL is no longer part of the move",
                hint="octavo restore puts the files into an empty database",
            )
        mark = self.read_mark()
        if mark is not None and mark.may_be_moved:
            require_store(sides.data_dir)
        if not self.options.overwrite:
            fence.require_own(mark, sides.token, sides.place)
        state = self.state(mark)
        if state.backend is DataBackend.PRISMA:
            report.notes.append("PostgreSQL is the backend of record; there is nothing to carry back")
            if not self.options.dry_run:
                self.let_in()
            report.done = True
            return False
        require_store(sides.data_dir)
        self.require_closed()
        return True

    def run(self) -> None:
        # The slot would send back to the files what is carried from them.
        end_following(self.sides, self.report, self.tell)
        with at_rest(self.sides.data_dir, timeout=self.options.patience):
            started = time.monotonic()
            self.carry(keep=True)
            self.verify("the files are still the backend of record")
            self.switch()
            self.let_in()
            self.report.waited = time.monotonic() - started
        self.conclude("rollback")

    def require_closed(self) -> None:
        """Raise DifferenceError if PostgreSQL may have been written to since the cutover."""
        with open_source(self.url, self.layout, allow=allowed_drift(self.sides.data_dir)) as source:
            source.drift.raise_if_any()
            datamodel = self.layout.datamodel
            closed = fence.fenced(source.snapshot.connection, datamodel)
        open_tables = [m.table for m in datamodel.tables if m.name not in closed]
        if open_tables and not self.options.overwrite:
            raise DifferenceError(
                f"PostgreSQL is not closed to writers ({', '.join(open_tables[:3])}): what was written to it"
                " since the cutover, and is not in the files, would be lost",
                hint="octavo verify shows what differs; octavo rollback --overwrite goes on nevertheless",
            )
        if self.options.overwrite and not self.options.dry_run:
            fence.put_up(
                self.url,
                datamodel,
                self.mark("rollback", Stage.MOVED),
                patience=self.options.patience,
                overwrite=True,
            )

    def carry(self, *, keep: bool) -> None:
        """Make the database what the files are; without ``keep``, only try it."""
        data_dir, options = self.sides.data_dir, self.options
        with self.step("carry back") as told:
            there = whole_contents(self.layout, data_dir)
            reader = Reader(self.layout, data_dir)
            payloads = PutBack(reader, there, options.files_root)
            payloads.refuse_conflicts()
            self.progress.begin("carrying back", there.files.size, "bytes")
            loading = Loading(reader, there, self.progress)
            with (
                suppress(_Undone),
                closing(connect(self.url)) as connection,
                carrying(connection, self.url, loading, patience=options.patience) as done,
            ):
                self.report.changes = {
                    name: {"inserted": c.inserted, "changed": c.changed, "deleted": c.deleted}
                    for name, c in done.items()
                    if c.touched
                }
                if not keep:
                    raise _Undone
                if any(place.payload for place in self.layout.places):
                    with disk_errors("writing payloads"):
                        payloads.write()
            self.report.notes += payloads.notes
            self.report.notes += [f"{text} (stays in the files alone)" for text in sorted(loading.unknown)]
            totals = [sum(c[what] for c in self.report.changes.values()) for what in _CHANGES]
            text = ", ".join(f"{n:,} {what}" for n, what in zip(totals, _CHANGES, strict=True))
            told(text if keep else f"{text}: tried, and taken back")

    def switch(self) -> None:
        with self.step("switch") as told:
            fence.turn(self.url, self.mark("rollback", Stage.TURNING))
            with phase.changing(self.sides.data_dir) as state:
                state.rolled_back = True
                state.go(Phase.DUAL_WRITE, "rollback", backend=DataBackend.PRISMA)
            with closing(connect(self.url)) as connection:
                here = database_of(connection, self.url)
            allowed = allowed_drift(self.sides.data_dir)
            leave_origin(self.sides.data_dir, Origin(database=here, allowed=allowed))
            told("PostgreSQL is the backend of record: DATA_BACKEND=dual or prisma")

    def let_in(self) -> None:
        with self.step("open") as told:
            told("PostgreSQL takes writes again" if self.open() else "PostgreSQL takes writes")


@dataclass(frozen=True, slots=True)
class Carried:
    """What became of the rows of one model."""

    inserted: int = 0
    changed: int = 0
    deleted: int = 0
    total: int = 0
    """rows there now"""

    @property
    def touched(self) -> int:
        return self.inserted + self.changed + self.deleted


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
            connection.execute(f"CREATE TEMP TABLE {table.new} (LIKE {table.name}) ON COMMIT DROP".encode())
            loading.copy(connection, table.model, table.new)
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
        advance_counters(connection, datamodel)
        yield done


class _Table:
    """A table, and the temporary one that holds what it is to be."""

    def __init__(self, model: Model, number: int) -> None:
        self.model, self.name = model, table_name(model)
        self.new = f"pg_temp.{quote(f'octavo_{number}')}"
        same = " AND ".join(f"n.{quote(f.column)} = o.{quote(f.column)}" for f in model.key_fields)
        self.has_key = f"EXISTS (SELECT FROM {self.new} n WHERE {same})"
        # It compares the stored bytes: 1.0 is not 1.00, nor is a Json value of other digits.  Without
        # the stars, n and o would be columns of these names, where the table has them.
        equal = "pg_catalog.record_image_eq(n.*, o.*)"
        self.is_same = f"EXISTS (SELECT FROM {self.new} n WHERE {same} AND {equal})"
        self.is_there = f"EXISTS (SELECT FROM {self.name} o WHERE {same})"


def _exchange(connection: Connection, tables: list[_Table]) -> dict[str, Carried]:
    """Delete what is not to be, then insert what is missing."""
    gone: dict[str, tuple[int, int]] = {}
    for table in tables:
        row = connection.execute(
            f"WITH gone AS (DELETE FROM {table.name} o WHERE NOT {table.is_same}"
            f" RETURNING {table.has_key} AS kept)"
            " SELECT count(*) FILTER (WHERE kept), count(*) FILTER (WHERE NOT kept) FROM gone".encode()
        ).fetchone()
        gone[table.name] = row or (0, 0)
    done = {}
    for table in tables:
        computed = computed_columns(connection, table.name)
        columns = ", ".join(quote(f.column) for f in table.model.scalars if f.column not in computed)
        inserted = connection.execute(
            f"INSERT INTO {table.name} ({columns}) OVERRIDING SYSTEM VALUE"
            f" SELECT {columns} FROM {table.new} n WHERE NOT {table.is_there}".encode()
        ).rowcount
        total = connection.execute(f"SELECT count(*) FROM {table.name}".encode()).fetchone()
        changed, deleted = gone[table.name]
        done[table.model.name] = Carried(inserted - changed, changed, deleted, total[0] if total else 0)
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


_AGAIN = {"O": "ENABLE TRIGGER", "R": "ENABLE REPLICA TRIGGER", "A": "ENABLE ALWAYS TRIGGER"}


def _without_triggers(connection: Connection, datamodel: Datamodel) -> list[str]:
    """Let no trigger of the tables run.  Gives the statements that let them again."""
    rows = connection.execute(
        """
        SELECT tgrelid::regclass::text, quote_ident(tgname), tgenabled::text
        FROM pg_catalog.pg_trigger
        WHERE NOT tgisinternal AND tgenabled <> 'D' AND tgrelid = ANY(%s::regclass[])
        ORDER BY 1, 2
        """,
        [[table_name(m) for m in datamodel.tables]],
    ).fetchall()
    for table, name, _ in rows:
        connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER {name}".encode())
    return [f"ALTER TABLE {table} {_AGAIN[how]} {name}" for table, name, how in rows]
