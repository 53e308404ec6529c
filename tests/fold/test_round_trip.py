"""Files and back: the restored database is the first one, and takes new rows at once."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

import every_type
from awkward import load_awkward
from both_ways import verify_both
from folders import tree
from octavo.fold import export as export_module
from octavo.fold.export import ExportOptions, export
from octavo.fold.parts import Part
from octavo.fold.restore import restore
from octavo.layout import scan
from octavo.layout.layout import Layout
from octavo.layout.load import flat_layout, frozen_layout
from octavo.move.proof import prove
from octavo.move.verify import VerifyOptions
from octavo.postgres.connection import connect
from octavo.postgres.embedded import EmbeddedServer
from octavo.schema.ddl import ddl
from octavo.url import DatabaseUrl

PEPPER = "pepper"


class Trip:
    """Takes a database to files and back into another one, and compares at each step."""

    def __init__(self, server: EmbeddedServer, root: Path, layout: Layout, files_root: Path | None = None):
        self.server, self.root, self.layout = server, root, layout
        self.files_root = files_root or root / "no-files"

    def export(self, url: str, name: str, jobs: int = 2, part: Part | None = None) -> Path:
        options = ExportOptions(self.files_root, jobs=jobs, part=part)
        export(DatabaseUrl.parse(url), self.root / name, self.layout, options)
        return self.root / name

    def equal(self, url: str, folder: Path, pepper: str | None = None) -> None:
        options = VerifyOptions(self.files_root, pepper)
        report = verify_both(DatabaseUrl.parse(url), folder, self.layout, options)
        assert report.differences == []
        assert report.equal
        assert all(c["database"] == c["files"] for c in report.counts.values())
        assert (report.strays, report.unknown_keys, report.violations) == ([], [], [])

    def make(self, first: str, second: str, pepper: str | None = None) -> None:
        one, other = DatabaseUrl.parse(first), DatabaseUrl.parse(second)
        data = self.export(first, "data")
        self.equal(first, data, pepper)
        report = restore(other, data, self.layout, self.root / "public")
        assert report.left_out == []
        proof = prove(one, other, self.server.bin)
        assert proof.equal, proof
        self.files_root = self.root / "public" if (self.root / "public").exists() else self.files_root
        self.equal(second, data, pepper)
        assert tree(self.export(second, "again", jobs=1)) == tree(data)


def test_sample_data(
    server: EmbeddedServer, sample_database: str, database: str, sample: tuple[str, Path], tmp_path: Path
) -> None:
    from octavo.demo.sample import DEMO_PEPPER

    Trip(server, tmp_path, frozen_layout(), sample[1]).make(sample_database, database, DEMO_PEPPER)
    assert tree(tmp_path / "public") == tree(sample[1])


@pytest.mark.parametrize("pepper", [pytest.param(None, marks=pytest.mark.slow), PEPPER])
def test_awkward_data(
    server: EmbeddedServer, schema_database: str, database: str, tmp_path: Path, pepper: str | None
) -> None:
    with connect(schema_database) as connection:
        load_awkward(connection, pepper=pepper)
    Trip(server, tmp_path, frozen_layout()).make(schema_database, database, pepper)


@pytest.mark.parametrize("layout", [every_type.layout(), flat_layout(every_type.datamodel())])
def test_every_type(
    server: EmbeddedServer, every: str, database: str, tmp_path: Path, layout: Layout
) -> None:
    Trip(server, tmp_path, layout).make(every, database)


@pytest.mark.parametrize("layout", [every_type.layout(), flat_layout(every_type.datamodel())])
def test_into_tables_that_are_there(
    server: EmbeddedServer,
    every: str,
    database: str,
    tmp_path: Path,
    layout: Layout,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Foreign keys point in a circle there and back at their own table."""
    # A value that is sent in a way of its own takes those of no other line along.
    monkeypatch.setattr(scan, "_PIECE", 1)
    with connect(database) as connection:
        connection.execute(ddl(every_type.datamodel()).script().encode())
    Trip(server, tmp_path, layout).make(every, database)


def test_slices_and_workers_make_no_difference(
    server: EmbeddedServer, every: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_module, "_WORTH_SLICING", 1)
    trip = Trip(server, tmp_path, every_type.layout())
    folders = [trip.export(every, str(jobs), jobs=jobs) for jobs in (1, 2, 3)]
    assert tree(folders[0]) == tree(folders[1]) == tree(folders[2])
    with ThreadPoolExecutor() as pool:
        parts = pool.map(lambda part: trip.export(every, "parts", part=part), Part(1, 3).all)
    assert [tree(folder) == tree(folders[0]) for folder in parts] == [True] * 3


def test_another_schema_of_the_database(
    server: EmbeddedServer, sample_database: str, database: str, sample: tuple[str, Path], tmp_path: Path
) -> None:
    data = Trip(server, tmp_path, frozen_layout(), sample[1]).export(sample_database, "data")
    other = database.replace("schema=public", "schema=not%20public")
    restore(DatabaseUrl.parse(other), data, frozen_layout(), tmp_path / "public")
    trip = Trip(server, tmp_path, frozen_layout(), sample[1])
    trip.equal(other, data)
    assert tree(trip.export(other, "again")) == tree(data)
    with connect(database) as connection:
        row = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()
        assert row == (0,)


class TestNewRows:
    """The restored database works at once."""

    @pytest.fixture
    def restored(
        self, server: EmbeddedServer, exported: Path, database: str, tmp_path: Path
    ) -> psycopg.Connection:
        restore(DatabaseUrl.parse(database), exported, frozen_layout(), tmp_path / "public")
        return connect(database)

    def test_defaults_uniques_and_foreign_keys_hold(self, restored: psycopg.Connection) -> None:
        with restored as connection:
            connection.execute("INSERT INTO users (id, email, \"updatedAt\") VALUES ('n', 'n', now())")
            row = connection.execute(
                "SELECT \"totpEnabled\", \"createdAt\" > now() - interval '1 day' FROM users WHERE id = 'n'"
            ).fetchone()
            assert row == (False, True)
            with pytest.raises(psycopg.errors.UniqueViolation):
                connection.execute("INSERT INTO users (id, email, \"updatedAt\") VALUES ('m', 'n', now())")
            with pytest.raises(psycopg.errors.ForeignKeyViolation):
                connection.execute(
                    'INSERT INTO tags (id, "userId", name, "nameLower", "updatedAt")'
                    " VALUES ('t', 'nobody', 't', 't', now())"
                )
            with pytest.raises(psycopg.errors.NotNullViolation):
                connection.execute("INSERT INTO users (id, \"updatedAt\") VALUES ('o', now())")
            with pytest.raises(psycopg.errors.InvalidTextRepresentation):
                connection.execute("UPDATE messages SET role = 'JUDGE'")

    def test_deletes_cascade(self, restored: psycopg.Connection) -> None:
        with restored as connection:
            row = connection.execute('SELECT "chatId" FROM messages LIMIT 1').fetchone()
            connection.execute("DELETE FROM chats WHERE id = %s", row)
            left = connection.execute('SELECT count(*) FROM messages WHERE "chatId" = %s', row).fetchone()
            assert left == (0,)

    def test_counters_go_on(self, server: EmbeddedServer, every: str, database: str, tmp_path: Path) -> None:
        layout = every_type.layout()
        data = Trip(server, tmp_path, layout).export(every, "data")
        restore(DatabaseUrl.parse(database), data, layout, tmp_path / "public")
        with connect(every) as one, connect(database) as other:
            query = (
                b'INSERT INTO "the children" ("left", "right", value_id) VALUES (100, \'x\', 1)'
                b" RETURNING number, note"
            )
            assert one.execute(query).fetchall() == other.execute(query).fetchall()
            query = b'INSERT INTO "Value" DEFAULT VALUES RETURNING id, flag'
            assert one.execute(query).fetchall() == other.execute(query).fetchall()

    def test_counters_stand_where_rows_are_below_one(
        self, server: EmbeddedServer, every: str, database: str, tmp_path: Path
    ) -> None:
        with connect(every) as connection:
            connection.execute('DELETE FROM "Value"')
            connection.execute('INSERT INTO "Value" (id) VALUES (-7), (0)')
        layout = every_type.layout()
        data = Trip(server, tmp_path, layout).export(every, "data")
        restore(DatabaseUrl.parse(database), data, layout, tmp_path / "public")
        with connect(database) as connection:
            row = connection.execute('INSERT INTO "Value" DEFAULT VALUES RETURNING id').fetchone()
            assert row == (1,)


def test_what_json_is_and_what_is_no_json(every: str, server: EmbeddedServer, tmp_path: Path) -> None:
    data = Trip(server, tmp_path, every_type.layout()).export(every, "data")
    first = json.loads((data / "values" / "1.json").read_text())
    assert first["flag"] is None
    assert "jsonb" not in first
    assert "json" not in first
    second = json.loads((data / "values" / "2.json").read_text())
    assert second["jsonb"] is None
    assert second["big"] == "-9223372036854775808"
    assert second["mood"] == "GLAD"
