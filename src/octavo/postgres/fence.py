"""A fence around the tables of a database: they can be read, and no program can write to them.

It is a trigger on each table that calls one function, which refuses every statement that would change a row.
It is put up in one transaction, waits for those who are writing, needs no more than the tables' owner, and
holds for all connections, new and old.  It is opened by replacing the function, which waits for no session;
the triggers go when their tables can be locked.

The function's comment is the :class:`Mark`: who closed the database, for which files, and at which stage the
move is.  The refusal says the same to a session that writes.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from enum import StrEnum
from typing import NamedTuple

import msgspec
import psycopg

from octavo.errors import DatabaseError, UsageError
from octavo.postgres.connection import LOCK_WAIT, Connection, connect, transaction
from octavo.postgres.failures import FENCE, FENCED, FENCED_HINT, FENCED_STATE, database_errors
from octavo.schema.datamodel import Datamodel, Model
from octavo.schema.native import literal, quote, table_name
from octavo.url import DatabaseUrl

NAME = FENCE
"""of the trigger on each table, and of its function"""
PATIENCE = 30.0
"""seconds to wait for those who are writing, where the caller says nothing"""


class Stage(StrEnum):
    """What a fence says of the move that it belongs to."""

    FROZEN = "frozen"
    """PostgreSQL is of record; a command has closed it, and has not ended or was interrupted"""
    TURNING = "turning"
    """the backend of record is being switched: either side may be it"""
    MOVED = "moved"
    """the files are of record"""
    OPEN = "open"
    """PostgreSQL takes writes; the triggers could not be removed yet"""


class Mark(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """Whose a fence is."""

    token: str
    """what tells the fence of one move from any other"""
    command: str
    """the one that closed the database: ``cutover`` or ``rollback``"""
    who: str
    """the user and host that it was run by"""
    data_dir: str
    """the absolute path of the files"""
    since: str
    stage: Stage = Stage.FROZEN

    @property
    def may_be_moved(self) -> bool:
        """Whether the files may be the backend of record."""
        return self.stage in (Stage.MOVED, Stage.TURNING)

    @property
    def is_closed(self) -> bool:
        """Whether the database takes no writes."""
        return self.stage is not Stage.OPEN

    def is_of(self, token: str | None, data_dir: str) -> bool:
        """Whether the fence belongs to the move of these files: by its token, or where that was lost by the
        folder."""
        return self.token in ("", token) or (token is None and self.data_dir == data_dir)

    @property
    def by(self) -> str:
        """Who closed the database, when, and for which files."""
        return (
            f"octavo {self.command} of {self.who} closed it at {self.since} for the files in {self.data_dir}"
        )

    def refusal(self) -> tuple[str, str]:
        """What a session that writes is told: the message and the hint."""
        if self.stage is Stage.MOVED:
            return FENCED, FENCED_HINT
        if self.stage is Stage.TURNING:
            return (
                "PostgreSQL is closed to writers: the backend of record is being switched",
                f"{self.by}; octavo status says which one it is, and octavo {self.command} again ends the"
                " switch",
            )
        return (
            "PostgreSQL is the backend of record, and closed to writers for a move",
            f"{self.by}; if that was interrupted, octavo cutover goes on with the move and octavo rollback"
            " opens PostgreSQL",
        )


class Opened(NamedTuple):
    """What taking a fence down has come to."""

    was_closed: bool
    left: str = ""
    """why the triggers, which refuse nothing any more, could not be removed; empty: they are gone"""


def put_up(
    url: DatabaseUrl,
    datamodel: Datamodel,
    mark: Mark,
    *,
    patience: float = PATIENCE,
    overwrite: bool = False,
) -> None:
    """Close the tables to writers.  When it returns, all that was written before is committed.

    A fence of the same move is taken over, and with ``overwrite`` that of any.  Raises UsageError if there is
    one of another move; DatabaseError if a transaction does not end within ``patience`` seconds, or
    if the user does not own the tables; then there is no fence that was not there before.
    """
    with (
        closing(connect(url)) as connection,
        database_errors(url, "putting up the fence"),
        locked(connection, url, datamodel.tables, "SHARE ROW EXCLUSIVE", patience),
    ):
        if not overwrite:
            require_own(read_mark(connection), mark.token, mark.data_dir)
        _say(connection, url, mark)
        for _, table, is_fenced in _tables(connection, datamodel):
            if not is_fenced:
                connection.execute(
                    f"CREATE TRIGGER {quote(NAME)} BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE"
                    f" ON {table} FOR EACH STATEMENT EXECUTE FUNCTION {_function(url)}()".encode()
                )


def turn(url: DatabaseUrl, mark: Mark) -> None:
    """Let a fence that is up say another stage, durably.

    Raises UsageError if it is another move's, DatabaseError if there is none.
    """
    with (
        closing(connect(url)) as connection,
        database_errors(url, "marking the fence"),
        transaction(connection, url.schema),
    ):
        there = read_mark(connection)
        if there is None or not there.is_closed:
            raise DatabaseError("PostgreSQL is not closed to writers any more", hint="run the command again")
        require_own(there, mark.token, mark.data_dir)
        _say(connection, url, mark)


def take_down(
    url: DatabaseUrl, datamodel: Datamodel, token: str | None, data_dir: str, *, patience: float = PATIENCE
) -> Opened:
    """Let everybody write again, at once; remove the triggers, if their tables can be locked in time.

    Raises UsageError if the fence is another move's, DatabaseError.
    """
    with closing(connect(url)) as connection, database_errors(url, "taking down the fence"):
        with transaction(connection, url.schema):
            mark = read_mark(connection)
            if mark is None and not any(is_fenced for *_, is_fenced in _tables(connection, datamodel)):
                return Opened(False)
            require_own(mark, token, data_dir)
            if mark is not None:
                _say(connection, url, msgspec.structs.replace(mark, stage=Stage.OPEN))
        was_closed = mark is not None and mark.is_closed
        try:
            with locked(connection, url, datamodel.tables, "ACCESS EXCLUSIVE", patience):
                for _, table, is_fenced in _tables(connection, datamodel):
                    if is_fenced:
                        connection.execute(f"DROP TRIGGER {quote(NAME)} ON {table}".encode())
                connection.execute(f"DROP FUNCTION IF EXISTS {_function(url)}()".encode())
        except Held as error:
            return Opened(was_closed, error.message)
    return Opened(was_closed)


def fenced(connection: Connection, datamodel: Datamodel) -> set[str]:
    """The models whose tables take no writes.  To be asked within a transaction of ours, which says where
    tables are looked for."""
    mark = read_mark(connection)
    return _triggers(connection, datamodel) if mark is not None and mark.is_closed else set()


def read_mark(connection: Connection) -> Mark | None:
    """Whose the fence is, and what it says; None: there is none.  Asked as :func:`fenced`."""
    query = "SELECT f, obj_description(f, 'pg_proc') FROM to_regprocedure(%s) AS f WHERE f IS NOT NULL"
    row = connection.execute(query, [f"{quote(NAME)}()"]).fetchone()
    if row is None:
        return None
    try:
        return msgspec.json.decode(row[1] or "", type=Mark)
    except msgspec.MsgspecError:
        # Of a version that kept no mark, but for one comment that says that the files are of record.
        stage = Stage.MOVED if row[1] else Stage.FROZEN
        return Mark(token="", command="cutover", who="?", data_dir="?", since="?", stage=stage)


def require_own(mark: Mark | None, token: str | None, data_dir: str) -> None:
    """Raise UsageError if the fence is closed by the move of other files."""
    if mark is not None and mark.is_closed and not mark.is_of(token, data_dir):
        raise UsageError(
            f"PostgreSQL is closed by the move of other files: {mark.by}",
            hint=f"octavo cutover or octavo rollback with --data-dir {mark.data_dir} ends that move",
        )


def _say(connection: Connection, url: DatabaseUrl, mark: Mark) -> None:
    """Let the fence refuse with what a mark says, or nothing where it says open."""
    message, hint = mark.refusal()
    raising = (
        f"RAISE EXCEPTION USING ERRCODE = {literal(FENCED_STATE)}, CONSTRAINT = {literal(NAME)},"
        f" MESSAGE = {literal(message)}, HINT = {literal(hint)};"
    )
    body = f"BEGIN {raising if mark.is_closed else 'RETURN NULL;'} END"
    comment = msgspec.json.encode(mark).decode()
    function = f"{_function(url)}()"
    connection.execute(
        f"CREATE OR REPLACE FUNCTION {function} RETURNS trigger LANGUAGE plpgsql AS {literal(body)}".encode()
    )
    connection.execute(f"COMMENT ON FUNCTION {function} IS {literal(comment)}".encode())


def _triggers(connection: Connection, datamodel: Datamodel) -> set[str]:
    """The models of which every table has the trigger."""
    found = {model.name for model in datamodel.tables}
    for model, _, is_fenced in _tables(connection, datamodel):
        if not is_fenced:
            found.discard(model)
    return found


def _tables(connection: Connection, datamodel: Datamodel) -> list[tuple[str, str, bool]]:
    """For each table of a model, and each partition of it: the model, its quoted name, and whether it has the
    trigger.  A statement that names a partition does not set off the trigger of the whole."""
    by_table = {table_name(model): model.name for model in datamodel.tables}
    query = """
        WITH RECURSIVE t AS (
            SELECT u.name, to_regclass(u.name)::oid AS oid FROM unnest(%s::text[]) AS u(name)
          UNION ALL
            SELECT t.name, i.inhrelid FROM t JOIN pg_catalog.pg_inherits i ON i.inhparent = t.oid
        )
        SELECT t.name, c.oid::regclass::text, EXISTS (
            SELECT FROM pg_catalog.pg_trigger g
            WHERE g.tgrelid = c.oid AND g.tgname = %s AND g.tgenabled <> 'D'
        )
        FROM t LEFT JOIN pg_catalog.pg_class c USING (oid) ORDER BY 1, 2"""
    rows = connection.execute(query, [list(by_table), NAME]).fetchall()
    return [(by_table[name], str(table or name), has) for name, table, has in rows]


def unowned(connection: Connection, datamodel: Datamodel) -> list[str]:
    """The tables that this user cannot put a fence around; asked as :func:`fenced`."""
    query = (
        "SELECT relname FROM pg_catalog.pg_class WHERE oid = ANY(%s::regclass[])"
        " AND NOT pg_catalog.pg_has_role(relowner, 'USAGE') ORDER BY 1"
    )
    rows = connection.execute(query, [[table_name(m) for m in datamodel.tables]]).fetchall()
    return [str(row[0]) for row in rows]


def _function(url: DatabaseUrl) -> str:
    return f"{quote(url.schema)}.{quote(NAME)}"


class Held(DatabaseError):
    """Sessions that use the tables do not end their transactions in time."""


@contextmanager
def locked(
    connection: Connection, url: DatabaseUrl, models: Sequence[Model], mode: str, patience: float = PATIENCE
) -> Iterator[None]:
    """A transaction with a lock on the tables, had with patience and without making others fail.

    ``mode`` is PostgreSQL's name of the lock.  Raises Held if others do not end their transactions within
    ``patience`` seconds.
    """
    end = time.monotonic() + patience
    tables = ", ".join(table_name(m) for m in models)
    with transaction(connection, url.schema):
        connection.execute(f"SET LOCAL lock_timeout = '{LOCK_WAIT}'".encode())
        while tables:
            try:
                with connection.transaction():
                    connection.execute(f"LOCK TABLE {tables} IN {mode} MODE".encode())
                break
            except psycopg.errors.LockNotAvailable as error:
                if time.monotonic() > end:
                    raise Held(
                        f"others do not end their transactions: {_holders(connection, models)}",
                        sqlstate=error.sqlstate or "",
                        hint="end them, or stop the application, and run again",
                    ) from error
        connection.execute(b"SET LOCAL lock_timeout = 0")
        yield


def _holders(connection: Connection, models: Sequence[Model]) -> str:
    query = (
        "SELECT DISTINCT l.pid, coalesce(a.application_name, '') FROM pg_catalog.pg_locks l"
        " LEFT JOIN pg_catalog.pg_stat_activity a USING (pid) WHERE l.relation = ANY(%s::regclass[])"
        " AND l.granted AND l.pid <> pg_backend_pid() ORDER BY 1 LIMIT 5"
    )
    rows = connection.execute(query, [[table_name(m) for m in models]]).fetchall()
    return ", ".join(f"process {pid}{f' ({name})' if name else ''}" for pid, name in rows) or "unknown"
