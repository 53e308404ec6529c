"""The awkward rows are what they say: all there, legal in PostgreSQL, and different from each other."""

from __future__ import annotations

import unicodedata

from psycopg import sql

from awkward import CONTROLS, HUGE, IDS, JSONS, TEXTS, TIMES, load_awkward
from octavo.crypto import check_record
from octavo.postgres.connection import connect
from octavo.schema.texts import frozen_schema


def test_every_table_is_filled_and_keeps_what_was_given(schema_database: str) -> None:
    datamodel = frozen_schema()
    with connect(schema_database) as connection:
        counts = load_awkward(connection)
        for model in datamodel.tables:
            found = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(model.table)))
            assert found.fetchone() == (counts[model.name],)
            assert counts[model.name] >= len(IDS)
        texts = {row[0] for row in connection.execute("SELECT content FROM messages")}
        assert texts >= set(TEXTS) - {""}
        assert HUGE in texts
        ids = {row[0] for row in connection.execute("SELECT id FROM characters")}
        assert ids >= set(IDS)
        moments = {row[0] for row in connection.execute('SELECT "createdAt"::text FROM messages')}
        assert len(moments) == len(TIMES)
        json = connection.execute(
            """SELECT count(*) FILTER (WHERE "rawResponse" = 'null'),
                      count(*) FILTER (WHERE "rawResponse" IS NULL),
                      max(length("rawResponse"::text))
               FROM messages"""
        ).fetchone()
        assert json is not None
        assert min(json[:2]) > 0
        assert json[2] > 131_071


def test_with_a_pepper_every_secret_opens(schema_database: str) -> None:
    datamodel = frozen_schema()
    with connect(schema_database) as connection:
        load_awkward(connection, pepper="p")
        for model in datamodel.tables:
            names = [f.name for f in model.scalars if f.type == "String"]
            columns = sql.SQL(", ").join(map(sql.Identifier, names))
            table = sql.Identifier(model.table)
            for row in connection.execute(sql.SQL("SELECT {} FROM {}").format(columns, table)):
                assert check_record(model, dict(zip(names, row, strict=True)), "p") == []


def test_the_ids_are_twins_only_to_others() -> None:
    assert len(set(IDS)) == len(IDS)
    assert len({unicodedata.normalize("NFC", one).casefold() for one in IDS}) < len(IDS) - 5
    assert max(len(one.encode()) for one in IDS) == 1000
    assert "\0" not in "".join((*IDS, *TEXTS, *JSONS, CONTROLS))
