"""What following needs in the database: made before it begins, looked at before it goes on, then removed.

- A *slot*: PostgreSQL keeps its log from there on until we have confirmed it.  One without a
  reader fills the server's disk.
- A *publication*: the tables that are sent.  Of a partitioned table these are the partitions.
- The *replica identity* of each table: by which columns a changed or deleted row is told.  PostgreSQL refuses
  the application's own UPDATE and DELETE on a published table that has none; so one without a primary key is
  given one before it is published, and what it had is given back after that.
"""

from __future__ import annotations

import secrets
import time
from contextlib import closing, suppress
from typing import NamedTuple

import psycopg

from octavo.errors import DatabaseError, UsageError
from octavo.follow import protocol
from octavo.follow.state import Identity, Plan
from octavo.follow.stream import System
from octavo.follow.tables import RESEED, Stored, stored
from octavo.layout.layout import Layout
from octavo.postgres.connection import LOCK_WAIT, Connection, connect, transaction
from octavo.postgres.failures import database_errors
from octavo.postgres.fence import PATIENCE, locked
from octavo.schema.native import literal, qualified, quote, table_name
from octavo.url import DatabaseUrl

_PREFIX = "octavo_"
_GONE = 15.0
"""seconds to wait for the server to notice that a reader of the slot is gone"""
_LOCKED = "55P03"
"""lock_not_available"""
_PAUSE = 0.2


class SlotState(NamedTuple):
    """How a slot stands in the server."""

    reader: int | None
    """the server process of its reader, if there is one"""
    confirmed: int
    """what is before this position will never be sent again"""


def require(connection: Connection, url: DatabaseUrl) -> None:
    """Make sure that the server can send its log.  Raises UsageError that says what to set, DatabaseError."""
    with database_errors(url, "asking for the server's settings"):
        row = connection.execute(
            "SELECT current_setting('wal_level'), current_setting('max_replication_slots')::int,"
            " (SELECT count(*) FROM pg_catalog.pg_replication_slots),"
            " current_setting('max_wal_senders')::int,"
            " (SELECT count(*) FROM pg_catalog.pg_stat_replication), pg_catalog.pg_is_in_recovery()"
        ).fetchone()
    level, slots, taken, senders, sending, standby = row or ("", 0, 0, 0, 0, False)
    if standby:
        raise UsageError("the server is a standby", hint="give the address of the primary")
    if level != "logical":
        raise UsageError(
            f"PostgreSQL's wal_level is {level}; its log can only be followed with logical",
            hint="ALTER SYSTEM SET wal_level = logical; then restart the server"
            " (Debian: systemctl restart postgresql; Docker: docker restart <container>, or start it with"
            " postgres -c wal_level=logical; managed servers have a switch named logical replication)",
        )
    for name, most, used in (
        ("max_replication_slots", slots, taken),
        ("max_wal_senders", senders, sending),
    ):
        if used >= most:
            raise UsageError(
                f"PostgreSQL's {name} is {most}, and {used} are taken",
                hint=f"ALTER SYSTEM SET {name} = {used + 4}; then restart the server",
            )


def plan(connection: Connection, url: DatabaseUrl, layout: Layout, system: System) -> Plan:
    """What is to be made, under new names.  Raises UsageError for a table that cannot be
    followed, DatabaseError."""
    name = f"{_PREFIX}{secrets.token_hex(6)}"
    with database_errors(url, "looking at the tables"):
        lacking = [_identity(connection, table) for table in stored(connection, url, layout)]
    return Plan(
        slot=name,
        publication=name,
        system=system.identifier,
        timeline=system.timeline,
        database=system.database,
        identities=[identity for identity in lacking if identity is not None],
    )


def _identity(connection: Connection, table: Stored) -> Identity | None:
    """The replica identity of a table that needs another one; None: the one that it has will do."""
    name = qualified(table.schema, table.name)
    if not table.is_own:
        raise UsageError(
            f"the table {table.name} inherits {table.model.table}: its rows show there, but are sent apart",
            hint=f"ALTER TABLE {name} NO INHERIT {table_name(table.model)}",
        )
    if table.persistence != "p":
        raise UsageError(
            f"the table {table.name} is not logged, and cannot be followed",
            hint=f"ALTER TABLE {name} SET LOGGED",
        )
    indexes = connection.execute(
        "SELECT c.relname, i.indisprimary, i.indisreplident, ARRAY(SELECT a.attname::text FROM"
        " pg_catalog.pg_attribute a WHERE a.attrelid = i.indrelid AND a.attnum = ANY(i.indkey::int2[]))"
        " FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid"
        " WHERE i.indrelid = %s AND i.indisunique AND i.indisvalid AND i.indimmediate"
        " AND i.indpred IS NULL AND i.indexprs IS NULL",
        [table.oid],
    ).fetchall()
    key, kind = {f.column for f in table.model.key_fields}, table.identity
    used = next((i for i in indexes if (i[1] if kind == "d" else i[2])), None)
    if kind == "f" or (kind in "di" and used is not None and key.issubset(used[3])):
        return None
    index = str(used[0]) if kind == "i" and used is not None else None
    return Identity(table.schema, table.name, kind, index)


def make(connection: Connection, url: DatabaseUrl, layout: Layout, made: Plan) -> None:
    """Give the tables the identity that they lack, and publish them, in one transaction.

    Raises DatabaseError: others do not end their transactions, or the user does not own the tables.
    """
    with database_errors(url, "looking at the tables"):
        tables = stored(connection, url, layout)
    needed = {(i.schema, i.table) for i in made.identities}
    lacking = [table for table in tables if (table.schema, table.name) in needed]
    models = list(dict.fromkeys(table.model for table in lacking))
    published = ", ".join(qualified(table.schema, table.name) for table in tables)
    for_tables = f" FOR TABLE {published}" if published else ""
    generated = connection.info.server_version >= 180000
    with_options = " WITH (publish_generated_columns = stored)" if generated else ""
    with (
        database_errors(url, "publishing the tables"),
        locked(connection, url, models, "ACCESS EXCLUSIVE"),
    ):
        for table in lacking:
            index = _usable_index(connection, table)
            using = f"USING INDEX {quote(index)}" if index else "FULL"
            name = qualified(table.schema, table.name)
            connection.execute(f"ALTER TABLE {name} REPLICA IDENTITY {using}".encode())
        connection.execute(f"CREATE PUBLICATION {quote(made.publication)}{for_tables}{with_options}".encode())


def _usable_index(connection: Connection, table: Stored) -> str | None:
    """A unique index on the model's key by which a table's rows can be told; None if there is none."""
    row = connection.execute(
        "SELECT c.relname FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid"
        " WHERE i.indrelid = %s AND i.indisunique AND i.indisvalid AND i.indimmediate"
        " AND i.indpred IS NULL AND i.indexprs IS NULL AND NOT EXISTS (SELECT FROM pg_catalog.pg_attribute a"
        "  WHERE a.attrelid = i.indrelid AND a.attnum = ANY(i.indkey::int2[]) AND NOT a.attnotnull)"
        " AND %s::text[] = ARRAY(SELECT a.attname::text FROM pg_catalog.pg_attribute a"
        "  WHERE a.attrelid = i.indrelid AND a.attnum = ANY(i.indkey::int2[]) ORDER BY 1) LIMIT 1",
        [table.oid, sorted(f.column for f in table.model.key_fields)],
    ).fetchone()
    return None if row is None else str(row[0])


def remove(url: DatabaseUrl, made: Plan) -> bool:
    """Remove all that was made, as far as it is there; whether there was anything.

    Raises UsageError if the slot is in use, DatabaseError.
    """
    with closing(connect(url)) as connection, database_errors(url, "removing what following has made"):
        dropped = _drop_slot(connection, made.slot)
        end = time.monotonic() + PATIENCE
        while True:
            try:
                return _unpublish(connection, url, made) or dropped
            except DatabaseError as error:
                if error.sqlstate != _LOCKED or time.monotonic() > end:
                    raise


def _unpublish(connection: Connection, url: DatabaseUrl, made: Plan) -> bool:
    """Remove the publication, and give the tables their identities back, while others write.

    A writer first lists the publications of its table, then looks each of them up, and fails if one has gone
    in between.  So the tables leave the publication before it is dropped, and sessions that may still have it
    listed are waited for.
    """
    with transaction(connection, url.schema):
        _be_brief(connection)
        published = connection.execute(
            "SELECT 1 FROM pg_catalog.pg_publication WHERE pubname = %s", [made.publication]
        ).fetchone()
        if not published:
            return False
        rows = connection.execute(
            "SELECT prrelid::regclass::text FROM pg_catalog.pg_publication_rel"
            " JOIN pg_catalog.pg_publication p ON p.oid = prpubid WHERE pubname = %s ORDER BY prrelid",
            [made.publication],
        ).fetchall()
        tables = ", ".join(str(row[0]) for row in rows)
        if tables:
            connection.execute(f"ALTER PUBLICATION {quote(made.publication)} DROP TABLE {tables}".encode())
    with transaction(connection, url.schema):
        _be_brief(connection)
        if tables:
            # Looking takes a moment: who holds a table for longer than we wait is not at it any more.
            with suppress(psycopg.errors.LockNotAvailable), connection.transaction():
                connection.execute(f"LOCK TABLE {tables} IN SHARE ROW EXCLUSIVE MODE".encode())
        connection.execute(f"DROP PUBLICATION {quote(made.publication)}".encode())
        # While there was the publication, a table may have needed the identity that it was given.
        for identity in made.identities:
            _give_back(connection, identity)
    return True


def _be_brief(connection: Connection) -> None:
    """A session that waits for a table's lock keeps all others from the table."""
    connection.execute(f"SET LOCAL lock_timeout = '{LOCK_WAIT}'".encode())


def _drop_slot(connection: Connection, name: str) -> bool:
    end = time.monotonic() + _GONE
    while True:
        row = connection.execute(
            "SELECT active_pid FROM pg_catalog.pg_replication_slots WHERE slot_name = %s", [name]
        ).fetchone()
        if row is None:
            return False
        if row[0] is None:
            connection.execute("SELECT pg_catalog.pg_drop_replication_slot(%s)", [name])
            return True
        if time.monotonic() > end:
            raise UsageError(f"the replication slot {name} is in use", hint="end octavo follow first")
        time.sleep(_PAUSE)


def _give_back(connection: Connection, identity: Identity) -> None:
    """Let a table have the identity that it had, if it is there still, and so is its index."""
    table = qualified(identity.schema, identity.table)
    there = connection.execute("SELECT to_regclass(%s) IS NOT NULL", [table]).fetchone()
    if not (there and there[0]):
        return
    kind = {"d": "DEFAULT", "n": "NOTHING", "f": "FULL"}.get(identity.kind, "DEFAULT")
    if identity.index is not None:
        index = qualified(identity.schema, identity.index)
        found = connection.execute("SELECT to_regclass(%s) IS NOT NULL", [index]).fetchone()
        if found and found[0]:
            kind = f"USING INDEX {quote(identity.index)}"
    connection.execute(f"ALTER TABLE {table} REPLICA IDENTITY {kind}".encode())


def state(connection: Connection, made: Plan) -> SlotState:
    """How the slot stands.  Raises DatabaseError if it is lost."""
    status = "wal_status" if connection.info.server_version >= 130000 else "'reserved'"
    with database_errors(doing="looking at the slot"):
        row = connection.execute(
            f"SELECT active_pid, confirmed_flush_lsn::text, {status} FROM pg_catalog.pg_replication_slots"
            f" WHERE slot_name = {literal(made.slot)} AND database = current_database()".encode()
        ).fetchone()
    if row is None or row[1] is None:
        raise lost(made, "is not there")
    if row[2] == "lost":
        raise lost(made, "is lost: the server has thrown away what was not read yet")
    return SlotState(row[0], protocol.position(row[1]))


def behind(connection: Connection, position: str) -> int:
    """How many bytes of log the server has written since a position.  Raises DatabaseError."""
    with database_errors(doing="asking for the lag"):
        row = connection.execute(
            # What a commit that does not wait for the disk has written counts, too.
            "SELECT pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_insert_lsn(), %s::pg_lsn)::bigint",
            [position],
        ).fetchone()
    return max(int(row[0]), 0) if row else 0


def lost(made: Plan, reason: str) -> DatabaseError:
    """The error for a slot from which following cannot go on."""
    return DatabaseError(
        f"the slot {made.slot} {reason}; what was committed since the files' position cannot be sent",
        hint=f"{RESEED} (max_slot_wal_keep_size says how much of its log the server keeps for a slot)",
    )


def others(connection: Connection) -> list[str]:
    """Slots of this database that look like ours, and that have no reader."""
    rows = connection.execute(
        "SELECT slot_name FROM pg_catalog.pg_replication_slots WHERE database = current_database()"
        f" AND plugin = 'pgoutput' AND starts_with(slot_name, {literal(_PREFIX)}) AND active_pid IS NULL"
        " ORDER BY 1".encode()
    ).fetchall()
    return [str(row[0]) for row in rows]
