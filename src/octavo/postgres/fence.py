"""A fence around the tables of a database: they can be read, and nobody writes to them, whatever its program.

It is a trigger on each table that refuses every statement that would change a row.  It is put up and taken
down in one transaction, waits for those who are writing, needs no more than the tables' owner, and holds for
all connections, new and old, until it is taken down.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager

import psycopg

from octavo.errors import DatabaseError
from octavo.postgres.connection import LOCK_WAIT, Connection, connect, transaction
from octavo.postgres.failures import FENCED, FENCED_STATE, database_errors
from octavo.postgres.url import DatabaseUrl
from octavo.schema.datamodel import Datamodel, Model
from octavo.schema.sql import literal, quote, table_name

NAME = "octavo_fence"
"""of the trigger on each table, and of its function"""
_MOVED = "octavo: the files are the backend of record"
PATIENCE = 30.0
"""seconds to wait for those who are writing, where the caller says nothing"""


def put_up(url: DatabaseUrl, datamodel: Datamodel, *, patience: float = PATIENCE) -> None:
    """Let nobody write to the tables any more.  When it returns, all that was written before is committed.

    Raises DatabaseError if somebody's transaction does not end within ``patience`` seconds, or if the user
    does not own the tables; then there is no fence that was not there before.
    """
    with (
        closing(connect(url)) as connection,
        database_errors(url, "putting up the fence"),
        locked(connection, url, datamodel.tables, "SHARE ROW EXCLUSIVE", patience),
    ):
        body = (
            f"BEGIN RAISE EXCEPTION USING ERRCODE = {literal(FENCED_STATE)}, MESSAGE = {literal(FENCED)}; END"
        )
        function = _function(url)
        connection.execute(
            f"CREATE OR REPLACE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql"
            f" AS {literal(body)}".encode()
        )
        there = fenced(connection, datamodel)
        for model in datamodel.tables:
            if model.name not in there:
                connection.execute(
                    f"CREATE TRIGGER {quote(NAME)} BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE"
                    f" ON {table_name(model)} FOR EACH STATEMENT EXECUTE FUNCTION {function}()".encode()
                )


def take_down(url: DatabaseUrl, datamodel: Datamodel, *, patience: float = PATIENCE) -> bool:
    """Let everybody write again; whether there was a fence.  Raises DatabaseError."""
    with closing(connect(url)) as connection, database_errors(url, "taking down the fence"):
        with transaction(connection, url.schema, read_only=True):
            there = fenced(connection, datamodel)
        if not there:
            return False
        with locked(connection, url, datamodel.tables, "ACCESS EXCLUSIVE", patience):
            for model in datamodel.tables:
                if model.name in there:
                    table = table_name(model)
                    connection.execute(f"DROP TRIGGER IF EXISTS {quote(NAME)} ON {table}".encode())
            connection.execute(f"DROP FUNCTION IF EXISTS {_function(url)}()".encode())
    return True


def fenced(connection: Connection, datamodel: Datamodel) -> set[str]:
    """The models whose tables have the fence.  To be asked within a transaction of ours, which says where
    tables are looked for."""
    by_table = {table_name(model): model.name for model in datamodel.tables}
    query = (
        "SELECT t.name FROM unnest(%s::text[]) AS t(name) JOIN pg_catalog.pg_trigger g"
        " ON g.tgrelid = to_regclass(t.name) WHERE g.tgname = %s AND g.tgenabled <> 'D'"
    )
    rows = connection.execute(query, [list(by_table), NAME]).fetchall()
    return {by_table[str(row[0])] for row in rows}


def mark_moved(url: DatabaseUrl) -> None:
    """Let the fence say that the files are of record, for whoever has no other way to know it any more."""
    with (
        closing(connect(url)) as connection,
        database_errors(url, "marking the fence"),
        transaction(connection, url.schema),
    ):
        comment = f"COMMENT ON FUNCTION {_function(url)}() IS {literal(_MOVED)}"
        connection.execute(comment.encode())


def is_moved(connection: Connection, url: DatabaseUrl) -> bool:
    """Whether there is a fence that says that the files are of record."""
    query = "SELECT obj_description(to_regprocedure(%s), 'pg_proc')"
    row = connection.execute(query, [f"{_function(url)}()"]).fetchone()
    return row is not None and row[0] == _MOVED


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


@contextmanager
def locked(
    connection: Connection, url: DatabaseUrl, models: Sequence[Model], mode: str, patience: float = PATIENCE
) -> Iterator[None]:
    """A transaction with a lock on the tables, had with patience and without making others fail.

    ``mode`` is PostgreSQL's name of the lock.  Raises DatabaseError if others do not end their transactions
    within ``patience`` seconds.
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
                    raise DatabaseError(
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
