"""The backend ``prisma``: the data in PostgreSQL.

Each call of the protocol is one statement, which PostgreSQL answers with records as JSON, the same that the
files hold.  What it refuses is raised as the errors of every backend: the server names the table and the
constraint, and the Datamodel says which model and fields these are.  Values of rows, which the server's
DETAIL repeats, are in no message and in no cause.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg

from octavo.backend import DataBackend, Settings
from octavo.backends.sql.columns import Lowering, Tables
from octavo.backends.sql.groups import Groups
from octavo.backends.sql.raw import RawTypes, raw_error, run_raw
from octavo.backends.sql.statements import Ready, Statements
from octavo.errors import (
    ConflictError,
    ForeignKeyViolation,
    NullViolation,
    OctavoError,
    TransactionFailed,
    UniqueViolation,
    UsageError,
    ValueOutOfRange,
)
from octavo.layout.record import Record
from octavo.postgres.failures import database_error
from octavo.postgres.session import Pool, Session
from octavo.query.plan import (
    Change,
    ChangeKind,
    Condition,
    Group,
    Grouping,
    Insert,
    Link,
    Query,
    Search,
    one_of,
)
from octavo.query.protocols import Begun, Isolation, Key
from octavo.query.raw import RawResult, RawStatement
from octavo.query.vocabulary import Vocabulary
from octavo.schema.datamodel import Action, Datamodel, Model
from octavo.store.phase import Guard
from octavo.url import DatabaseUrl

if TYPE_CHECKING:
    from octavo.layout.layout import Layout
    from octavo.store.intake import FilesRoot

_UNIQUE, _NOT_NULL = "23505", "23502"
_FOREIGN_KEY = ("23503", "23001")
"""the second since PostgreSQL 18, for RESTRICT"""
_OUT_OF_RANGE = ("22003", "22012", "0A000")
"""too large, divided by zero; and what a type has no value for: money that is NaN"""
_GENERATED = "428C9"
"""a value for a generated column"""
_CONFLICTS = {
    "40001": "the data changed while the transaction was under way",
    "40P01": "two transactions waited for each other, and this one was ended",
}
_ENDED = ("25P02", "25P03", "25P04")
"""the transaction failed before, was idle for too long, took too long"""


class Violations:
    """Turns psycopg's errors on one database into Octavo's."""

    def __init__(self, datamodel: Datamodel, url: DatabaseUrl) -> None:
        self.url = url
        self._models: dict[tuple[str, str], Model] = {}
        self._uniques: dict[tuple[str, str, str], tuple[str, ...]] = {}
        self._keys: dict[tuple[str, str, str], tuple[str, ...]] = {}
        for model in datamodel.tables:
            place = (model.schema or url.schema, model.table)
            self._models[place] = model
            for index in (*model.all_indexes, *model.partial_indexes):
                self._uniques[*place, index.constraint] = index.field_names
        for key in datamodel.foreign_keys:
            child = datamodel.model(key.child)
            self._keys[child.schema or url.schema, child.table, key.constraint] = key.fields

    def error(self, error: psycopg.Error, model: str, computed: Sequence[str] = ()) -> OctavoError:
        """What to raise for an error from a statement on a model, which computes these fields."""
        state, found = error.sqlstate or "", error.diag
        place = (found.schema_name or "", found.table_name or "")
        constraint = (*place, found.constraint_name or "")
        there = self._models.get(place)
        name = there.name if there else found.table_name or model
        if state == _UNIQUE:
            return UniqueViolation(name, self._uniques.get(constraint, ()), constraint=constraint[2])
        if state in _FOREIGN_KEY:
            return ForeignKeyViolation(name, self._keys.get(constraint, ()), constraint=constraint[2])
        if state == _NOT_NULL:
            fields = [f.name for f in there.scalars if f.column == found.column_name] if there else []
            return NullViolation(name, fields)
        if state == _GENERATED:
            return UsageError(
                f"{name}: PostgreSQL computes the generated column {_quoted(found.message_detail)}",
                hint="give it none; in the schema, say @default(dbgenerated()), so that it is left out",
            )
        if state in _OUT_OF_RANGE and computed:
            return ValueOutOfRange(model, computed)
        if state in _CONFLICTS:
            return ConflictError(_CONFLICTS[state], hint="run the transaction again")
        if state in _ENDED:
            return TransactionFailed("the transaction failed or ran out of time; nothing of it is kept")
        return database_error(error, self.url)


def _quoted(text: str | None) -> str:
    """What a message of PostgreSQL names."""
    found = re.search(r'"(.+)"', text or "")
    return found[1] if found else ""


T = TypeVar("T")

_WRITES = "ISOLATION LEVEL READ COMMITTED"
"""whether it may write is for the database to say: it may be closed by default_transaction_read_only"""
_MODES = {
    Isolation.READ_UNCOMMITTED: "ISOLATION LEVEL READ UNCOMMITTED",
    Isolation.READ_COMMITTED: _WRITES,
    Isolation.REPEATABLE_READ: "ISOLATION LEVEL REPEATABLE READ",
    Isolation.SERIALIZABLE: "ISOLATION LEVEL SERIALIZABLE",
}
_ONE_STATE = "ISOLATION LEVEL REPEATABLE READ READ ONLY"
_SINCE_TRANSACTION_TIMEOUT = 170000
"""the server's version"""

Row = tuple[bytes, ...]


class Schema:
    """What is made of a Datamodel once: its tables in SQL, its statements, its errors."""

    def __init__(self, vocabulary: Vocabulary, url: DatabaseUrl, lowering: Lowering) -> None:
        self.vocabulary = vocabulary
        self.tables = Tables(vocabulary)
        self.statements = Statements(self.tables, lowering)
        self.violations = Violations(vocabulary.datamodel, url)
        self.raw_types = RawTypes()

    def raw(self, session: Session, statement: RawStatement, *, read_only: bool = False) -> RawResult:
        """The answer to a statement of raw SQL."""
        try:
            return run_raw(session, statement, self.raw_types)
        except psycopg.Error as error:
            known = self.violations.error(error, "")
            raise raw_error(error, known, self.violations.url, read_only=read_only) from None


class PrismaReader:
    """The reading half of the protocol, on whatever runs statements."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema

    def _run(self, model: str, ready: Ready, computed: Sequence[str] = ()) -> tuple[list[Row], int]:
        """The rows of a statement's answer, as PostgreSQL's text, and how many it was about.

        Raises what a violation or a failure is called here; ``computed`` are fields that it computes.
        """
        raise NotImplementedError

    def _records(self, model: str, ready: Ready, computed: Sequence[str] = ()) -> list[Record]:
        rows, _ = self._run(model, ready, computed)
        return self.schema.tables[model].decode([row[0] for row in rows]) if rows else []

    def find(self, model: str, fields: tuple[str, ...], values: Key) -> Record | None:
        found = self._records(model, self.schema.statements.find(model, fields, values))
        return found[0] if found else None

    def select(self, query: Query) -> list[Record]:
        return self._records(query.model, self.schema.statements.select(query))

    def related(self, query: Query, link: Link, keys: Sequence[Key]) -> list[list[Record]]:
        groups: list[list[Record]] = [[] for _ in keys]
        if not keys:
            return groups
        rows, _ = self._run(link.target, self.schema.statements.related(query, link, keys))
        records = self.schema.tables[link.target].decode([row[1] for row in rows])
        for row, record in zip(rows, records, strict=True):
            groups[int(row[0]) - 1].append(record)
        return groups

    def count(self, query: Query) -> int:
        rows, _ = self._run(query.model, self.schema.statements.count(query))
        return int(rows[0][0])

    def count_related(self, link: Link, where: Condition, keys: Sequence[Key]) -> list[int]:
        numbers = [0 for _ in keys]
        if keys:
            rows, _ = self._run(link.target, self.schema.statements.count_related(link, where, keys))
            for number, count in rows:
                numbers[int(number) - 1] = int(count)
        return numbers

    def aggregate(self, grouping: Grouping) -> list[Group]:
        groups = Groups(self.schema.statements, grouping)
        rows, _ = self._run(grouping.query.model, groups.ready, groups.computed)
        return [groups.decode(row) for row in rows]

    def search(self, search: Search) -> list[tuple[Record, float]]:
        rows, _ = self._run(search.model, self.schema.statements.search(search))
        records = self.schema.tables[search.model].decode([row[1] for row in rows])
        return [(record, float(rank)) for record, (rank, _) in zip(records, rows, strict=True)]


class PrismaTransaction(Begun, PrismaReader):
    """What runs on one connection, until it ends.

    ``timeout`` is in seconds; when they are over, nothing more is done or kept.  ``alone``: no
    transaction was begun, since the one write to come can commit by itself.  Threads may share a transaction:
    their statements follow one another, and none comes after its end.
    """

    holds_turn = False
    """PostgreSQL locks rows, each when it is written"""

    def __init__(
        self, schema: Schema, session: Session, *, timeout: float | None = None, alone: bool = False
    ) -> None:
        super().__init__(schema)
        self.session, self._timeout, self._alone = session, timeout, alone
        self._opened = time.monotonic()
        self._lock = threading.Lock()
        self._ended = False

    def _run(self, model: str, ready: Ready, computed: Sequence[str] = ()) -> tuple[list[Row], int]:
        return self.asked(lambda session: execute(session, ready), model, computed)

    def asked(self, work: Callable[[Session], T], model: str = "", computed: Sequence[str] = ()) -> T:
        """What a function makes of the connection.  Raises as :meth:`_run`."""
        try:
            with self._lock:
                self._check()
                return work(self.session)
        except psycopg.Error as error:
            raised = self._late() or self.schema.violations.error(error, model, computed)
            # The cause would repeat values of rows.
            raise raised from None

    def raw(self, statement: RawStatement, *, read_only: bool = False) -> RawResult:
        """The answer to a statement of raw SQL; ``read_only``: PostgreSQL refuses it if it writes."""
        with self._lock:
            self._check()
            if not read_only:
                return self.schema.raw(self.session, statement)
            # A part of a transaction can be read-only, and what comes after it is not.
            name = self.session.set_savepoint("SET TRANSACTION READ ONLY")
            answer = self.schema.raw(self.session, statement, read_only=True)
            self.session.release_savepoint(name)
            return answer

    @property
    def has_ended(self) -> bool:
        """Whether a commit or a rollback was asked for."""
        return self._ended

    def _check(self) -> None:
        if self._ended:
            raise TransactionFailed.over("committed")
        if late := self._late():
            raise late

    def _late(self) -> TransactionFailed | None:
        if self._timeout is None or (taken := time.monotonic() - self._opened) < self._timeout:
            return None
        return TransactionFailed.late(self._timeout, taken)

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        with self._lock:
            self._check()
            name = self.session.set_savepoint()
        try:
            yield
        except BaseException:
            with self._lock:
                if not self._ended:
                    self.session.back_to_savepoint(name)
            raise
        with self._lock:
            if not self._ended:
                self.session.release_savepoint(name)

    @property
    def told(self) -> str:
        """The first value of the answer to the query that was asked at the beginning."""
        answer = self.session.told
        return ((answer and answer.get_value(0, 0)) or b"").decode()

    @property
    def place(self) -> tuple[str, str]:
        """What tells the database: its cluster's number and its name."""
        return self.asked(lambda session: session.place)

    def begin(self, mode: str, settings: Sequence[tuple[str, str]] = (), asking: str = "") -> None:
        """Begin a transaction, with settings for it alone; see :meth:`Session.begin`."""
        self._alone = False
        self.session.begin(mode, settings, asking)

    def commit(self) -> None:
        """Keep everything.  Raises TransactionFailed, and keeps nothing, if it is too late for that or a
        statement had failed."""
        try:
            with self._lock:
                self._check()
                self._ended = True
                kept = self._alone or self.session.commit()
        except psycopg.Error as error:
            raise self.schema.violations.error(error, "") from None
        if not kept:
            raise TransactionFailed("the transaction had failed; nothing of it is kept")

    def rollback(self) -> None:
        """Keep nothing."""
        with self._lock:
            if not self._ended:
                self._ended = True
                if not self._alone:
                    self.session.rollback()

    def insert(self, new: Insert) -> list[Record]:
        statements = list(self.schema.statements.insert(new))
        if len(statements) > 1 and self._alone:
            self.begin(_WRITES)
        return [record for ready in statements for record in self._records(new.model, ready)]

    def update(self, model: str, where: Condition, changes: Sequence[Change]) -> list[Record]:
        computed = [c for c in changes if c.kind not in (ChangeKind.SET, ChangeKind.PUSH)]
        ready = self.schema.statements.update(model, where, changes)
        if len(computed) < 2:
            found = self._records(model, ready, [c.field for c in computed])
        else:
            found = self._computed(model, where, ready, computed)
        return self._followed(model, found, {c.field for c in changes})

    def _computed(
        self, model: str, where: Condition, ready: Ready, changes: Sequence[Change]
    ) -> list[Record]:
        """The outcome of an update that computes several fields: PostgreSQL does not say which of them is out
        of range."""
        if not self._alone:
            self._run(model, Ready("SAVEPOINT computed", ()))
        try:
            found = self._records(model, ready, [c.field for c in changes])
        except ValueOutOfRange as error:
            if not self._alone:
                self._run(model, Ready("ROLLBACK TO SAVEPOINT computed", ()))
            columns = self.schema.vocabulary[model].columns
            for record in self.select(Query(model=model, where=where)):
                for change in changes:
                    column = columns[change.field]
                    try:
                        column.type.changed(change.kind, column.stored(record), change.value)
                    except ValueError:
                        raise ValueOutOfRange(model, [change.field]) from None
            raise error
        if not self._alone:
            self._run(model, Ready("RELEASE SAVEPOINT computed", ()))
        return found

    def _followed(self, model: str, records: list[Record], fields: set[str]) -> list[Record]:
        """Changed records, once more where foreign keys within the model followed the change after what the
        statement saw."""
        own = (r for r in self.schema.vocabulary.datamodel.children(model) if r.child == model)
        follow = any(r.on_update is not Action.NO_ACTION and fields & set(r.references) for r in own)
        if not follow or not records:
            return records
        terms = self.schema.vocabulary[model]
        where = one_of(terms.key, [terms.key_of(record) for record in records])
        return self.select(Query(model=model, where=where))

    def delete(self, model: str, where: Condition) -> int:
        return self._run(model, self.schema.statements.delete(model, where))[1]

    def take_out(self, model: str, where: Condition) -> list[Record]:
        """Delete, and give the records as they were."""
        return self._records(model, self.schema.statements.delete(model, where, returning=True))


class PrismaBackend(PrismaReader):
    """A database, over a pool of connections."""

    def __init__(
        self,
        vocabulary: Vocabulary,
        url: DatabaseUrl,
        guard: Guard | None = None,
        files: Callable[[], FilesRoot | None] = lambda: None,
        searched: Callable[[str], tuple[str, ...]] = lambda model: (),
    ) -> None:
        """``files`` tells where the payloads lie that records point at; ``searched``, in which fields a
        search looks that names none."""
        super().__init__(Schema(vocabulary, url, Lowering(self._ask)))
        self.pool, self._guard, self._files = Pool(url), guard, files
        self.searched = searched

    def _ask(self, query: str, parameters: Sequence[str]) -> Any:
        # The caller may hold the only connection of the pool.
        with closing(Session(self.pool.url)) as session:
            rows, _ = self._alone(session, "", Ready(query, parameters))
        return rows[0][0].decode() if rows else None

    def _run(self, model: str, ready: Ready, computed: Sequence[str] = ()) -> tuple[list[Row], int]:
        with self.pool.session() as session:
            return self._alone(session, model, ready, computed)

    def _alone(
        self, session: Session, model: str, ready: Ready, computed: Sequence[str] = ()
    ) -> tuple[list[Row], int]:
        """Run a reading statement by itself."""
        try:
            if not session.pooled:
                return execute(session, ready)
            session.begin(_ONE_STATE)
            try:
                return execute(session, ready)
            finally:
                session.rollback()
        except psycopg.Error as error:
            raise self.schema.violations.error(error, model, computed) from None

    def read(self, work: Callable[[PrismaReader], T]) -> T:
        with self.pool.session() as session:
            transaction = PrismaTransaction(self.schema, session)
            transaction.begin(_ONE_STATE)
            try:
                found = work(transaction)
                # There is nothing to keep, but psycopg drops what it has prepared when it rolls back.
                transaction.commit()
                return found
            finally:
                transaction.rollback()

    def raw(self, statement: RawStatement, *, read_only: bool = False) -> RawResult:
        """The answer to a statement of raw SQL, run by itself; ``read_only`` as in a transaction."""
        if self._guard is not None and not read_only:
            self._guard.check()
        with self.pool.session() as session:
            if not (session.pooled or read_only):
                return self.schema.raw(session, statement)
            session.begin(_ONE_STATE if read_only else _WRITES)
            try:
                answer = self.schema.raw(session, statement, read_only=read_only)
                session.commit()
                return answer
            finally:
                session.rollback()

    @contextmanager
    def transaction(
        self,
        *,
        single: bool = False,
        max_wait: float | None = None,
        timeout: float | None = None,
        isolation: Isolation | None = None,
    ) -> Iterator[PrismaTransaction]:
        if self._guard is not None:
            self._guard.check()
        with self.pool.session(max_wait) as session:
            alone = single and timeout is None and isolation is None and not session.pooled
            level = isolation or Isolation.READ_COMMITTED
            transaction = self.on(session, timeout, isolation=level, alone=alone)
            try:
                yield transaction
                transaction.commit()
            finally:
                transaction.rollback()

    def on(
        self,
        session: Session,
        timeout: float | None,
        *,
        isolation: Isolation = Isolation.READ_COMMITTED,
        alone: bool = False,
        asking: str = "",
    ) -> PrismaTransaction:
        """A writing transaction that has begun on a connection, unless it needs none to be (``alone``).

        ``asking`` is a query that goes before its first statement, whose answer it is then
        :attr:`~PrismaTransaction.told`.  The caller commits it or rolls it back.
        """
        transaction = PrismaTransaction(self.schema, session, timeout=timeout, alone=alone)
        if not alone:
            transaction.begin(_MODES[isolation], _timeouts(session, timeout), asking)
        return transaction

    def payload(self, record: Record) -> bytes | None:
        files = self._files()
        return None if files is None else files.payload(record)

    def close(self) -> None:
        self.pool.close()


def _timeouts(session: Session, timeout: float | None) -> list[tuple[str, str]]:
    """What makes the server end a transaction that is not ended in time, so that its locks go."""
    if timeout is None:
        return []
    value = f"{max(1, int(timeout * 1000))}ms"
    if session.version >= _SINCE_TRANSACTION_TIMEOUT:
        return [("transaction_timeout", value)]
    return [("statement_timeout", value), ("idle_in_transaction_session_timeout", value)]


def execute(session: Session, ready: Ready) -> tuple[list[Row], int]:
    """Run one statement: the rows of its answer as PostgreSQL's text, none of them NULL, and how many rows
    it was about."""
    result = session.execute(ready.text, ready.parameters)
    value, columns = result.get_value, range(result.nfields)
    rows = [tuple(value(row, column) or b"" for column in columns) for row in range(result.ntuples)]
    return rows, result.command_tuples or 0


def open_backend(vocabulary: Vocabulary, settings: Settings) -> PrismaBackend:
    """The database at ``settings.database_url``.  Connects when it is first needed.

    Raises UsageError if no URL is given.
    """
    if not settings.database_url:
        raise UsageError("DATABASE_URL is not set", hint="DATA_BACKEND=json needs none")
    guard = Guard(settings.data_dir, DataBackend.PRISMA)
    root = settings.files_root

    @cache
    def layout() -> Layout:
        from octavo.store.definition import layout_in

        return layout_in(settings.data_dir, vocabulary.datamodel, settings.layout)

    def files() -> FilesRoot | None:
        from octavo.store.intake import FilesRoot

        return None if root is None else FilesRoot(root, layout())

    def searched(model: str) -> tuple[str, ...]:
        return layout().place(model).search

    url = DatabaseUrl.parse(settings.database_url)
    return PrismaBackend(vocabulary, url, guard, files, searched)
