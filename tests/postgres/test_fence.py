"""A fence around the tables: everybody reads, nobody writes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import closing
from typing import Any

import psycopg
import pytest
from msgspec.structs import replace

from octavo import connect as client
from octavo.errors import DatabaseError, UsageError
from octavo.postgres import fence
from octavo.postgres.connection import connect
from octavo.postgres.fence import Mark, Opened, Stage
from octavo.schema.parser import parse_schema
from octavo.schema.texts import frozen_schema
from octavo.url import DatabaseUrl

DATAMODEL = frozen_schema()
MARK = Mark(token="ours", command="cutover", who="ada@there", data_dir="/data", since="2026")
MOVED = replace(MARK, stage=Stage.MOVED)


def take_down(url: DatabaseUrl, **options: Any) -> Opened:
    return fence.take_down(url, DATAMODEL, MARK.token, MARK.data_dir, **options)


def change(connection: Any) -> None:
    """One change of one row."""
    connection.execute("DELETE FROM users")


def test_no_table_can_be_written_to_and_all_can_be_read(sample_database: str) -> None:
    url = DatabaseUrl.parse(sample_database)
    fence.put_up(url, DATAMODEL, MARK)
    with closing(connect(url)) as connection:
        assert fence.fenced(connection, DATAMODEL) == {m.name for m in DATAMODEL.tables}
        for model in DATAMODEL.tables:
            table = psycopg.sql.Identifier(model.table)
            assert connection.execute(psycopg.sql.SQL("SELECT count(*) FROM {}").format(table)).fetchone()
            for statement in ("DELETE FROM {}", "TRUNCATE {} CASCADE", "INSERT INTO {} DEFAULT VALUES"):
                with pytest.raises(psycopg.errors.ReadOnlySqlTransaction, match="closed to writers"):
                    connection.execute(psycopg.sql.SQL(statement).format(table))
    assert take_down(url) == (True, "")
    assert take_down(url) == (False, "")
    with closing(connect(url)) as connection:
        assert not fence.fenced(connection, DATAMODEL)
        connection.execute('DELETE FROM "users"')


def test_no_partition_can_be_written_to_by_its_own_name(new_database: Callable[..., str]) -> None:
    url = DatabaseUrl.parse(new_database())
    datamodel = parse_schema(
        """datasource db {
  provider = "postgresql"
  url      = env("DATABASE_URL")
}
model Log {
  part Int
  seq  Int

  @@id([part, seq])
}
"""
    )
    with closing(connect(url)) as connection:
        for statement in (
            'CREATE TABLE "Log" (part int, seq int, PRIMARY KEY (part, seq)) PARTITION BY RANGE (part)',
            'CREATE TABLE "Half" PARTITION OF "Log" FOR VALUES FROM (0) TO (50) PARTITION BY RANGE (part)',
            'CREATE TABLE quarter PARTITION OF "Half" FOR VALUES FROM (0) TO (25)',
            "INSERT INTO quarter VALUES (1, 1)",
        ):
            connection.execute(statement.encode())
    fence.put_up(url, datamodel, MARK)
    with closing(connect(url)) as connection:
        assert fence.fenced(connection, datamodel) == {"Log"}
        for table in ("quarter", '"Half"', '"Log"'):
            for statement in (
                f"INSERT INTO {table} VALUES (2, 2)",
                f"DELETE FROM {table}",
                f"TRUNCATE {table}",
            ):
                with pytest.raises(psycopg.errors.ReadOnlySqlTransaction, match="closed to writers"):
                    connection.execute(statement.encode())
    assert fence.take_down(url, datamodel, MARK.token, MARK.data_dir) == (True, "")
    with closing(connect(url)) as connection:
        connection.execute(b"INSERT INTO quarter VALUES (2, 2)")


@pytest.mark.parametrize(
    ("stage", "message", "hint"),
    [
        (Stage.FROZEN, "PostgreSQL is the backend of record", "octavo rollback opens"),
        (Stage.TURNING, "is being switched", "octavo status says which"),
        (Stage.MOVED, "live in files", "DATA_BACKEND=json"),
    ],
)
def test_who_writes_is_told_how_the_move_stands(
    stage: Stage, message: str, hint: str, schema_database: str
) -> None:
    url = DatabaseUrl.parse(schema_database)
    fence.put_up(url, DATAMODEL, MARK)
    fence.turn(url, replace(MARK, stage=stage))
    with client(backend="prisma", database_url=schema_database) as db:
        with pytest.raises(DatabaseError, match=message) as raised:
            db.user.create(data={"email": "a@example.org"})
        assert hint in raised.value.hint
        assert db.user.count() == 0
    with closing(connect(url)) as connection:
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction, match=message) as refused:
            change(connection)
        assert hint in str(refused.value.diag.message_hint)
        assert fence.read_mark(connection) == replace(MARK, stage=stage)


def test_it_waits_for_who_is_writing_and_keeps_what_they_commit(schema_database: str) -> None:
    url = DatabaseUrl.parse(schema_database)
    with closing(connect(url)) as writer:
        writer.execute("BEGIN")
        writer.execute("""INSERT INTO users (id, email, "updatedAt") VALUES ('u', 'a@example.org', now())""")
        fencing = threading.Thread(target=fence.put_up, args=(url, DATAMODEL, MARK))
        fencing.start()
        fencing.join(1.5)
        assert fencing.is_alive()
        writer.execute("COMMIT")
        fencing.join()
        assert writer.execute("SELECT count(*) FROM users").fetchone() == (1,)
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            writer.execute("DELETE FROM users")


def test_who_does_not_end_is_named_and_there_is_no_fence(schema_database: str) -> None:
    url = DatabaseUrl.parse(schema_database)
    with closing(connect(url)) as writer:
        writer.execute("SET application_name = 'the chat'")
        writer.execute("BEGIN")
        writer.execute("LOCK TABLE users IN ROW EXCLUSIVE MODE")
        with pytest.raises(DatabaseError, match="the chat"):
            fence.put_up(url, DATAMODEL, MARK, patience=0.1)
        writer.execute("COMMIT")
        assert not fence.fenced(writer, DATAMODEL)


def test_one_that_is_up_already_stays(schema_database: str) -> None:
    url = DatabaseUrl.parse(schema_database)
    with closing(connect(url)) as connection:
        fence.put_up(url, DATAMODEL, MARK)
        connection.execute(f"DROP TRIGGER {fence.NAME} ON users")
        assert len(fence.fenced(connection, DATAMODEL)) == len(DATAMODEL.tables) - 1
        fence.put_up(url, DATAMODEL, MARK)
        assert len(fence.fenced(connection, DATAMODEL)) == len(DATAMODEL.tables)


def test_a_reader_does_not_keep_it_from_being_opened(schema_database: str) -> None:
    url = DatabaseUrl.parse(schema_database)
    fence.put_up(url, DATAMODEL, MOVED)
    with closing(connect(url)) as reader, closing(connect(url)) as writer:
        reader.execute("SET application_name = 'the report'")
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM users")
        opened = take_down(url, patience=0.1)
        assert opened.was_closed
        assert "the report" in opened.left
        change(writer)
        assert not fence.fenced(writer, DATAMODEL)
        # Closed again while the triggers are still there, it holds as before.
        fence.put_up(url, DATAMODEL, MARK)
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            change(writer)
        reader.execute("COMMIT")
        assert take_down(url) == (True, "")
        assert fence.read_mark(writer) is None


def test_that_of_another_move_is_neither_taken_over_nor_taken_down(schema_database: str) -> None:
    url = DatabaseUrl.parse(schema_database)
    other = replace(MOVED, token="other", data_dir="/elsewhere")
    fence.put_up(url, DATAMODEL, other)
    for attempt in (
        lambda: fence.put_up(url, DATAMODEL, MARK),
        lambda: fence.turn(url, MARK),
        lambda: take_down(url),
        lambda: fence.take_down(url, DATAMODEL, None, "/data"),
    ):
        with pytest.raises(UsageError, match="/elsewhere"):
            attempt()
    with closing(connect(url)) as connection:
        assert fence.read_mark(connection) == other
    # A folder that has lost its state is known by its path.
    assert fence.take_down(url, DATAMODEL, None, "/elsewhere").was_closed


@pytest.mark.parametrize(
    ("comment", "stage"),
    [("NULL", Stage.FROZEN), ("'octavo: the files are the backend of record'", Stage.MOVED)],
)
def test_one_without_a_mark_is_read_too(schema_database: str, comment: str, stage: Stage) -> None:
    url = DatabaseUrl.parse(schema_database)
    fence.put_up(url, DATAMODEL, MARK)
    with closing(connect(url)) as connection:
        connection.execute(f"COMMENT ON FUNCTION {fence.NAME}() IS {comment}".encode())
        mark = fence.read_mark(connection)
        assert mark is not None
        assert mark.stage is stage
    assert take_down(url).was_closed
