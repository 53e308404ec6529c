"""A fence around the tables: everybody reads, nobody writes."""

from __future__ import annotations

import threading
from contextlib import closing

import psycopg
import pytest

from octavo import connect as client
from octavo.errors import DatabaseError
from octavo.postgres import fence
from octavo.postgres.connection import connect
from octavo.postgres.url import DatabaseUrl
from octavo.schema.frozen import frozen_schema

DATAMODEL = frozen_schema()


def test_no_table_can_be_written_to_and_all_can_be_read(sample_database: str) -> None:
    url = DatabaseUrl.parse(sample_database)
    fence.put_up(url, DATAMODEL)
    with closing(connect(url)) as connection:
        assert fence.fenced(connection, DATAMODEL) == {m.name for m in DATAMODEL.tables}
        for model in DATAMODEL.tables:
            table = psycopg.sql.Identifier(model.table)
            assert connection.execute(psycopg.sql.SQL("SELECT count(*) FROM {}").format(table)).fetchone()
            for statement in ("DELETE FROM {}", "TRUNCATE {} CASCADE", "INSERT INTO {} DEFAULT VALUES"):
                with pytest.raises(psycopg.errors.ReadOnlySqlTransaction, match="live in files"):
                    connection.execute(psycopg.sql.SQL(statement).format(table))
    assert fence.take_down(url, DATAMODEL)
    assert not fence.take_down(url, DATAMODEL)
    with closing(connect(url)) as connection:
        assert not fence.fenced(connection, DATAMODEL)
        connection.execute('DELETE FROM "users"')


def test_the_client_is_told_where_the_data_are(schema_database: str) -> None:
    fence.put_up(DatabaseUrl.parse(schema_database), DATAMODEL)
    with client(backend="prisma", database_url=schema_database) as db:
        with pytest.raises(DatabaseError, match="live in files") as raised:
            db.user.create(data={"email": "a@example.org"})
        assert "DATA_BACKEND=json" in raised.value.hint
        assert db.user.count() == 0


def test_it_waits_for_who_is_writing_and_keeps_what_they_commit(schema_database: str) -> None:
    url = DatabaseUrl.parse(schema_database)
    with closing(connect(url)) as writer:
        writer.execute("BEGIN")
        writer.execute("""INSERT INTO users (id, email, "updatedAt") VALUES ('u', 'a@example.org', now())""")
        fencing = threading.Thread(target=fence.put_up, args=(url, DATAMODEL))
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
            fence.put_up(url, DATAMODEL, patience=0.1)
        writer.execute("COMMIT")
        assert not fence.fenced(writer, DATAMODEL)


def test_one_that_is_up_already_stays(schema_database: str) -> None:
    url = DatabaseUrl.parse(schema_database)
    with closing(connect(url)) as connection:
        fence.put_up(url, DATAMODEL)
        connection.execute(f"DROP TRIGGER {fence.NAME} ON users")
        assert len(fence.fenced(connection, DATAMODEL)) == len(DATAMODEL.tables) - 1
        fence.put_up(url, DATAMODEL)
        assert len(fence.fenced(connection, DATAMODEL)) == len(DATAMODEL.tables)
