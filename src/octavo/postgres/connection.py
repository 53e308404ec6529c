"""Connections whose answers depend on the data alone, and snapshots that several of them share.

How PostgreSQL prints a value depends on settings that a server, a database or a role may have changed.  Every
transaction of ours therefore begins by pinning them for itself (``SET LOCAL``): that holds with a pooler
too, which hands each transaction to another server connection, and leaves no setting there for others.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import psycopg
from psycopg import sql

from octavo.errors import DatabaseError, UsageError
from octavo.postgres.failures import database_errors
from octavo.schema.native import quote
from octavo.url import DatabaseUrl

if TYPE_CHECKING:
    from psycopg.rows import TupleRow

Connection: TypeAlias = "psycopg.Connection[TupleRow]"

SETTINGS: Mapping[str, str] = {
    "client_encoding": "UTF8",
    "TimeZone": "UTC",
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "postgres",
    "extra_float_digits": "3",
    "bytea_output": "hex",
    "xmlbinary": "base64",
    "xmloption": "content",
    "lc_monetary": "C",
    "lc_numeric": "C",
    "lc_time": "C",
    "array_nulls": "on",
    "standard_conforming_strings": "on",
    "quote_all_identifiers": "off",
    # Rows that a policy hides become an error instead of being left out.
    "row_security": "off",
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "synchronize_seqscans": "off",
    "default_tablespace": "",
    "default_table_access_method": "heap",
}
"""What every transaction of ours pins, beside ``search_path`` and what only newer servers know."""

HERE = "(SELECT system_identifier::text FROM pg_control_system()), current_database()::text"
"""what tells a database: its cluster's number and its name"""
LOCK_WAIT = "800ms"
"""how long one try for a table's lock waits: less than the second after which PostgreSQL ends one of two that
wait for each other, which might be the application's"""

_DURABLE = sql.SQL(
    "SELECT set_config(name, replace(setting, 'off', 'on'), true)"
    " FROM pg_catalog.pg_settings WHERE name = 'synchronous_commit'"
)
"""A transaction of ours is on disk when its commit returns: what follows it relies on that."""

_SINCE: Mapping[str, tuple[int, str]] = {"transaction_timeout": (170000, "0")}


def settings_for(connection: Connection, schema: str) -> dict[str, str]:
    """The settings to pin on this server, names in ``schema`` being found first after PostgreSQL's own."""
    version = connection.info.server_version
    newer = {name: value for name, (since, value) in _SINCE.items() if version >= since}
    # pg_temp is searched first unless it is named: another's temporary table must not stand for a real one.
    path = f"{quote(schema)}, pg_temp"
    return {**SETTINGS, **newer, "search_path": path}


def connect(url: DatabaseUrl | str, *, replication: bool = False) -> Connection:
    """Open a connection, in autocommit, with the settings pinned for the session where it is ours alone.

    With a pooler nothing is pinned for the session, as that would leak to others: use :func:`transaction`,
    which pins everywhere.  ``replication``: it takes the commands of the replication protocol too.

    Raises DatabaseError if the server cannot be reached or refuses, or if its database has no encoding;
    UsageError if the URL is none of PostgreSQL's.
    """
    url = DatabaseUrl.parse(url) if isinstance(url, str) else url
    connection: Connection | None = None
    try:
        with database_errors(url), tls_identity(url) as identity:
            extra = {"replication": "database"} if replication else {}
            connection = _open({**url.conninfo(), **identity, **extra}, url)
        with database_errors(url):
            _require_encoding(connection)
            if not url.pgbouncer:
                # If the server's process is the one we dialled.
                own = sql.SQL(" WHERE pg_backend_pid() = {}").format(connection.info.backend_pid)
                connection.execute(_pinned(settings_for(connection, url.schema), local=False) + own)
    except BaseException:
        if connection is not None:
            connection.close()
        raise
    return connection


@contextlib.contextmanager
def transaction(
    connection: Connection,
    schema: str = "public",
    *,
    isolation: str = "READ COMMITTED",
    read_only: bool = False,
    snapshot: str | None = None,
) -> Iterator[Connection]:
    """A transaction with the settings pinned: committed at the end, rolled back if anything is raised.

    ``isolation`` is PostgreSQL's name of the level; ``snapshot`` the id of one to read from.  What psycopg
    raises inside comes out as DatabaseError.
    """
    with database_errors():
        _begin(connection, schema, isolation=isolation, read_only=read_only, snapshot=snapshot)
    try:
        with database_errors():
            yield connection
    except BaseException:
        # What went wrong first is what matters; a connection that is gone has rolled back by itself.
        with contextlib.suppress(psycopg.Error):
            connection.execute("ROLLBACK")
        raise
    with database_errors():
        ended = connection.execute("COMMIT").statusmessage
    # PostgreSQL answers COMMIT with ROLLBACK, and no error, where a statement had failed before.
    if ended != "COMMIT":
        raise DatabaseError("a statement of the transaction had failed: nothing was committed")


class Queued(DatabaseError):
    """Table lock unavailable: another session is queued for it."""


class Rewritten(DatabaseError):
    """A table was truncated or rewritten: a snapshot from before shows it as an empty one."""


class Snapshot:
    """One state of the database, seen by as many connections as wanted.

    ``connection`` reads it; ``id`` lets others join, from any process, as long as ``connection`` is open.
    """

    def __init__(
        self,
        url: DatabaseUrl,
        connection: Connection,
        identifier: str | None,
        tables: Sequence[tuple[str, str]] = (),
    ) -> None:
        """``tables`` are those that are locked, by schema and name."""
        self.url = url
        self.connection = connection
        self.id = identifier
        self._tables = tables

    @property
    def shareable(self) -> bool:
        """Whether others can join: not every server and pooler exports snapshots."""
        return self.id is not None

    def join(self) -> Connection:
        """Another connection that sees the same state, read-only, with the same tables locked.  The caller
        closes it.

        Raises DatabaseError if the snapshot cannot be shared; Queued if another session is queued for
        a table, so that every further reader would have to wait for it.
        """
        if self.id is None:
            raise DatabaseError(
                "this server cannot share a snapshot between connections", hint="use --jobs 1"
            )
        return join_snapshot(self.url, self.id, tables=self._tables)


@contextlib.contextmanager
def read_snapshot(
    url: DatabaseUrl | str, *, schemas: Sequence[str] = (), snapshot: str | None = None
) -> Iterator[Snapshot]:
    """Open one state of the database for reading (``REPEATABLE READ READ ONLY``) until the block ends.

    Every readable table of ``schemas`` (none: the URL's) is locked against changes of its structure before
    the state is fixed: ``TRUNCATE`` and rewriting ``ALTER TABLE`` would show through a snapshot as empty
    tables.  ``snapshot`` is the id of one that another session holds open, whose state is to be read: raises
    Rewritten if that has happened since.
    """
    url = DatabaseUrl.parse(url) if isinstance(url, str) else url
    with contextlib.closing(connect(url)) as connection:
        with database_errors(url):
            tables = _readable_tables(connection, tuple(schemas) or (url.schema,))
            _begin_reading(connection, url.schema, snapshot, tables)
            if snapshot is not None:
                _require_same_files(connection, url, tables)
            identifier = _export(connection)
            if identifier is None:
                _begin_reading(connection, url.schema, snapshot, tables)
        yield Snapshot(url, connection, identifier, tables)
        with contextlib.suppress(psycopg.Error):
            connection.execute("ROLLBACK")


def join_snapshot(
    url: DatabaseUrl | str, identifier: str, *, tables: Sequence[tuple[str, str]] = ()
) -> Connection:
    """A connection that sees the snapshot of this id, read-only, in an open transaction.  The caller closes
    it.

    ``tables`` are locked against changes of their structure.  Raises DatabaseError if the snapshot is gone,
    or if a pooler led to another server; Queued if a table's lock is not free at once.
    """
    url = DatabaseUrl.parse(url) if isinstance(url, str) else url
    connection = connect(url)
    try:
        with database_errors(url, "joining the snapshot"):
            _begin_reading(connection, url.schema, identifier, tables, patience=0)
    except BaseException:
        connection.close()
        raise
    return connection


def _open(info: Mapping[str, str], url: DatabaseUrl) -> Connection:
    arguments: dict[str, Any] = {**info, "client_encoding": "UTF8"}
    try:
        return psycopg.connect(autocommit=True, prepare_threshold=None, **arguments)
    except psycopg.OperationalError as error:
        # Prisma's sslmode=prefer checks a certificate only if the server speaks TLS at all; libpq's
        # verify-full insists on TLS.
        lenient = url.ssl_strict and url.ssl_mode in ("prefer", "allow")
        if lenient and "server does not support SSL" in str(error):
            arguments.pop("sslrootcert", None)
            arguments["sslmode"] = "disable"
            return psycopg.connect(autocommit=True, prepare_threshold=None, **arguments)
        raise


def _require_encoding(connection: Connection) -> None:
    encoding = connection.info.parameter_status("server_encoding")
    if encoding == "SQL_ASCII":
        raise DatabaseError(
            "the database has the encoding SQL_ASCII: its bytes are in no known alphabet, so no text can be "
            "read from it for certain",
            hint="dump it and load it into a database with the encoding UTF8",
        )


def _pinned(settings: Mapping[str, str], *, local: bool) -> sql.Composed:
    """The statement that pins settings: for the transaction (``local``) or for the session."""
    calls = sql.SQL(", ").join(
        sql.SQL("set_config({}, {}, {})").format(name, value, sql.Literal(local))
        for name, value in settings.items()
    )
    return sql.SQL("SELECT {}").format(calls)


def _begin(
    connection: Connection,
    schema: str,
    *,
    isolation: str,
    read_only: bool,
    snapshot: str | None = None,
    lock: Sequence[tuple[str, str]] = (),
) -> None:
    mode = "READ ONLY" if read_only else "READ WRITE"
    statements: list[sql.Composable] = [
        sql.SQL("BEGIN ISOLATION LEVEL {} {}").format(sql.SQL(isolation), sql.SQL(mode))
    ]
    # Both must come before the first query, which fixes what the transaction sees.
    if snapshot is not None:
        statements.append(sql.SQL("SET TRANSACTION SNAPSHOT {}").format(snapshot))
    if lock:
        names = sql.SQL(", ").join(sql.Identifier(*name) for name in lock)
        statements.append(sql.SQL("SET LOCAL lock_timeout = {}").format(LOCK_WAIT))
        statements.append(sql.SQL("LOCK TABLE ONLY {} IN ACCESS SHARE MODE").format(names))
    statements.append(_pinned(settings_for(connection, schema), local=True))
    if not read_only:
        statements.append(_DURABLE)
    # In one message: a round trip for each would add up where the database is far.
    connection.execute(sql.SQL("; ").join(statements))


def _begin_reading(
    connection: Connection,
    schema: str,
    snapshot: str | None,
    tables: Sequence[tuple[str, str]],
    patience: float | None = None,
) -> None:
    """Begin to read, with the tables locked.

    They are asked for in tries that are shorter than the time after which PostgreSQL ends one of two who wait
    for each other, which might be the application.  Raises Queued after ``patience`` seconds (None: never).
    """
    end = None if patience is None else time.monotonic() + patience
    while True:
        try:
            _begin(
                connection,
                schema,
                isolation="REPEATABLE READ",
                read_only=True,
                snapshot=snapshot,
                lock=tables,
            )
            return
        except psycopg.errors.LockNotAvailable as error:
            connection.execute("ROLLBACK")
            if end is not None and time.monotonic() >= end:
                raise Queued("another session is queued for a table's lock") from error


def _require_same_files(connection: Connection, url: DatabaseUrl, tables: Sequence[tuple[str, str]]) -> None:
    """Raise Rewritten if a table, which is locked by now, lies in another file than the snapshot says."""
    query = (
        "SELECT c.oid::bigint, c.relfilenode::bigint"
        " FROM unnest(%s::text[], %s::text[]) AS p(schema, name)"
        " JOIN pg_catalog.pg_namespace n ON n.nspname = p.schema"
        " JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = p.name ORDER BY 1"
    )
    places = [[schema for schema, _ in tables], [name for _, name in tables]]
    with contextlib.closing(connect(url)) as now:
        if connection.execute(query, places).fetchall() != now.execute(query, places).fetchall():
            raise Rewritten("a table was truncated or rewritten since the snapshot", hint="run again")


def _readable_tables(connection: Connection, schemas: Sequence[str]) -> list[tuple[str, str]]:
    rows = connection.execute(
        """
        SELECT n.nspname, c.relname
        FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = ANY(%s) AND c.relkind IN ('r', 'p')
          AND pg_catalog.has_schema_privilege(n.oid, 'USAGE') AND pg_catalog.has_table_privilege(c.oid,
          'SELECT')
        ORDER BY 1, 2
        """,
        [list(schemas)],
    ).fetchall()
    return [(str(schema), str(table)) for schema, table in rows]


def _export(connection: Connection) -> str | None:
    """The snapshot's id; None where the server exports none, which ends the transaction."""
    try:
        row = connection.execute("SELECT pg_catalog.pg_export_snapshot()").fetchone()
    except (
        psycopg.errors.FeatureNotSupported,
        psycopg.errors.InsufficientPrivilege,
        psycopg.errors.ObjectNotInPrerequisiteState,
    ):
        connection.execute("ROLLBACK")
        return None
    return str(row[0]) if row else None


@contextlib.contextmanager
def tls_identity(url: DatabaseUrl) -> Iterator[dict[str, str]]:
    """Prisma's ``sslidentity`` (PKCS #12) as the two PEM files that libpq reads, for as long as it
    connects.
    """
    if not url.ssl_identity or url.socket or url.ssl_mode == "disable":
        yield {}
        return
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
        pkcs12,
    )

    password = url.ssl_password.encode() if url.ssl_password else None
    try:
        key, certificate, others = pkcs12.load_key_and_certificates(
            Path(url.ssl_identity).read_bytes(), password
        )
    except OSError as error:
        raise UsageError(f"sslidentity in DATABASE_URL cannot be read: {error.strerror}") from error
    except ValueError:
        raise UsageError(
            "sslidentity in DATABASE_URL is no PKCS #12 file, or sslpassword does not open it"
        ) from None
    if key is None or certificate is None:
        raise UsageError("sslidentity in DATABASE_URL holds no certificate with its key")
    with tempfile.TemporaryDirectory(prefix="octavo-tls-") as folder:
        chain, secret = Path(folder, "client.crt"), Path(folder, "client.key")
        chain.write_bytes(b"".join(c.public_bytes(Encoding.PEM) for c in (certificate, *others)))
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        with open(os.open(secret, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(pem)
        yield {"sslcert": str(chain), "sslkey": str(secret)}
