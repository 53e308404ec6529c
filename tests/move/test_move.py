"""The whole way: rows to files, files to rows, and the proof that nothing changed."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from awkward import load_awkward
from octavo.crypto import pepper_from_env
from octavo.demo.sample import DEMO_PEPPER, load_sample
from octavo.errors import DifferenceError, DriftError, UsageError
from octavo.fold import export as export_module
from octavo.fold.export import ExportOptions, ExportReport, export
from octavo.fold.restore import restore
from octavo.fold.scaffold import scaffold
from octavo.layout.layout import Kind, Layout
from octavo.layout.load import flat_layout, frozen_layout
from octavo.move.proof import differing_files, prove
from octavo.move.verify import VerifyOptions, verify
from octavo.postgres.connection import connect
from octavo.postgres.embedded import EmbeddedServer
from octavo.schema.ddl import ddl
from octavo.schema.parser import parse_schema
from octavo.url import DatabaseUrl

LAYOUT = frozen_layout()


def exported(url: str, data: Path, files: Path, layout: Layout = LAYOUT, **options: Any) -> ExportReport:
    return export(DatabaseUrl.parse(url), data, layout, ExportOptions(files, **options))


def moved_and_back(server: EmbeddedServer, url: str, empty: str, root: Path, layout: Layout) -> None:
    """Export, verify, restore, dump both, export again: all equal."""
    first, second = DatabaseUrl.parse(url), DatabaseUrl.parse(empty)
    exported(url, root / "data", root / "files", layout)
    report = verify(first, root / "data", layout, VerifyOptions(root / "files", DEMO_PEPPER))
    assert report.differences == []
    assert report.equal
    assert all(c["database"] == c["files"] for c in report.counts.values())
    restore(second, root / "data", layout, root / "back")
    proof = prove(first, second, server.bin)
    assert (proof.unequal, proof.schema_difference) == ((), ())
    exported(empty, root / "again", root / "back", layout)
    assert differing_files(root / "data", root / "again") == []


def test_sample_data_there_and_back(
    server: EmbeddedServer, schema_database: str, database: str, tmp_path: Path
) -> None:
    with connect(schema_database) as connection:
        load_sample(connection, tmp_path / "files", messages=800)
    moved_and_back(server, schema_database, database, tmp_path, LAYOUT)
    with connect(database) as connection:
        connection.execute(b"""INSERT INTO users (id, email, "updatedAt") VALUES ('new', 'new@x', now())""")
        row = connection.execute(b"""SELECT "totpEnabled", "createdAt" FROM users WHERE id = 'new'""")
        assert (row.fetchone() or (None,))[0] is False


@pytest.mark.parametrize(
    "layout",
    [LAYOUT, pytest.param(flat_layout(LAYOUT.datamodel), marks=pytest.mark.slow)],
    ids=["shipped", "default"],
)
def test_awkward_rows_there_and_back(
    server: EmbeddedServer, schema_database: str, database: str, tmp_path: Path, layout: Layout
) -> None:
    with connect(schema_database) as connection:
        load_awkward(connection, pepper=DEMO_PEPPER)
    (tmp_path / "files").mkdir()
    moved_and_back(server, schema_database, database, tmp_path, layout)


def test_tables_that_are_there_and_empty_are_filled(
    server: EmbeddedServer, schema_database: str, new_database: Callable[..., str], tmp_path: Path
) -> None:
    with connect(schema_database) as connection:
        load_sample(connection, tmp_path / "files", messages=50)
    target = new_database("schema_07")
    moved_and_back(server, schema_database, target, tmp_path, LAYOUT)
    with pytest.raises(UsageError, match="not empty"):
        restore(DatabaseUrl.parse(target), tmp_path / "data", LAYOUT, tmp_path / "back")


def test_the_number_of_workers_does_not_show(
    schema_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_module, "_WORTH_SLICING", 10)
    with connect(schema_database) as connection:
        load_sample(connection, tmp_path / "files", messages=500)
    for jobs in (1, 2, 3):
        export(
            DatabaseUrl.parse(schema_database),
            tmp_path / f"data{jobs}",
            LAYOUT,
            ExportOptions(tmp_path / "files", jobs),
        )
    assert differing_files(tmp_path / "data1", tmp_path / "data2") == []
    assert differing_files(tmp_path / "data1", tmp_path / "data3") == []


def test_files_are_for_their_owner_alone(schema_database: str, tmp_path: Path) -> None:
    with connect(schema_database) as connection:
        load_sample(connection, tmp_path / "files", messages=20)
    old = os.umask(0o000)
    try:
        exported(schema_database, tmp_path / "data", tmp_path / "files")
    finally:
        os.umask(old)
    for folder, _, names in os.walk(tmp_path / "data"):
        assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700
        for name in names:
            assert stat.S_IMODE(os.stat(os.path.join(folder, name)).st_mode) == 0o600


def test_every_parent_has_its_log(schema_database: str, tmp_path: Path) -> None:
    with connect(schema_database) as connection:
        load_sample(connection, tmp_path / "files", messages=20)
        connection.execute(b"DELETE FROM messages")
        chats = connection.execute(b"SELECT count(*) FROM chats").fetchone()
    exported(schema_database, tmp_path / "data", tmp_path / "files")
    logs = [p for p in (tmp_path / "data" / "chats").glob("*.jsonl") if p.name != "index.jsonl"]
    assert (len(logs), {p.stat().st_size for p in logs}) == ((chats or (0,))[0], {0})


class TestWhereAStoreStandsAlready:
    def test_it_is_refused_and_stays(self, schema_database: str, tmp_path: Path) -> None:
        exported(schema_database, tmp_path / "data", tmp_path)
        (tmp_path / "data" / "tags" / "tags.json").write_text("mine", "utf-8")
        with pytest.raises(UsageError, match="already holds a store"):
            exported(schema_database, tmp_path / "data", tmp_path)
        assert (tmp_path / "data" / "tags" / "tags.json").read_text("utf-8") == "mine"

    def test_replacing_keeps_it(self, schema_database: str, tmp_path: Path) -> None:
        exported(schema_database, tmp_path / "data", tmp_path)
        (tmp_path / "data" / "tags" / "tags.json").write_text("mine", "utf-8")
        kept = exported(schema_database, tmp_path / "data", tmp_path, replace=True).kept
        assert kept is not None
        assert (kept / "tags" / "tags.json").read_text("utf-8") == "mine"
        assert (tmp_path / "data" / "tags" / "tags.json").read_text("utf-8") != "mine"

    def test_a_scaffold_and_a_cache_are_no_store(self, schema_database: str, tmp_path: Path) -> None:
        data = tmp_path / "data"
        scaffold(data, LAYOUT)
        (data / "cache" / "note").write_text("kept", "utf-8")
        assert exported(schema_database, data, tmp_path).kept is None
        assert (data / "cache" / "note").read_text("utf-8") == "kept"
        assert sorted(p.name for p in tmp_path.iterdir()) == ["data"]

    def test_a_dry_run_writes_nothing(self, schema_database: str, tmp_path: Path) -> None:
        exported(schema_database, tmp_path / "data", tmp_path, dry_run=True)
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("CREATE TABLE extra (id int)", "extra"),
        ("ALTER TABLE tags ADD COLUMN colour text", "colour"),
        ("DROP TABLE image_profile_tags", "image_profile_tags"),
        ("""ALTER TYPE "Role" ADD VALUE 'JUDGE'""", "JUDGE"),
    ],
)
def test_what_the_schema_does_not_know_refuses_the_export(
    schema_database: str, tmp_path: Path, statement: str, named: str
) -> None:
    with connect(schema_database) as connection:
        connection.execute(statement.encode())
    with pytest.raises(DriftError, match=named):
        exported(schema_database, tmp_path / "data", tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("missing.png", "is missing"),
        ("../secret.png", r"\.\."),
        ("{outside}", "absolute"),
        ("link.png", "symbolic link"),
        ("folder/secret.png", "symbolic link"),
        ("", ""),
    ],
)
def test_a_payload_is_only_looked_for_below_the_files_root(
    schema_database: str, tmp_path: Path, path: str, reason: str
) -> None:
    files = tmp_path / "files"
    files.mkdir()
    (tmp_path / "secret.png").write_bytes(b"secret")
    (files / "link.png").symlink_to(tmp_path / "secret.png")
    (files / "folder").symlink_to(tmp_path)
    path = path.format(outside=tmp_path / "secret.png")
    with connect(schema_database) as connection:
        connection.execute(b"""INSERT INTO users (id, email, "updatedAt") VALUES ('u', 'e', now())""")
        connection.execute(
            b"""INSERT INTO images (id, "userId", filename, filepath, "mimeType", size, "updatedAt")"""
            b" VALUES ('i', 'u', 'f', %s, 'm', 6, now())",
            [path],
        )
    report = exported(schema_database, tmp_path / "data", files)
    line = (tmp_path / "data" / "binaries" / "index.jsonl").read_text("utf-8")
    assert '"id":"i"' in line
    assert "_sha256" not in line
    if reason:
        (problem,) = report.payload_problems
        assert (problem.model, problem.key, problem.kept) == ("Image", "i", False)

        assert re.search(reason, problem.reason)
    checked = verify(DatabaseUrl.parse(schema_database), tmp_path / "data", LAYOUT, VerifyOptions(files))
    assert checked.equal


def test_payloads_never_replace_another_file(schema_database: str, database: str, tmp_path: Path) -> None:
    with connect(schema_database) as connection:
        load_sample(connection, tmp_path / "files", messages=20)
    exported(schema_database, tmp_path / "data", tmp_path / "files")
    taken = next(p for p in (tmp_path / "files").rglob("*") if p.is_file()).relative_to(tmp_path / "files")
    (tmp_path / "back" / taken).parent.mkdir(parents=True)
    (tmp_path / "back" / taken).write_bytes(b"mine")
    with pytest.raises(DifferenceError, match="another file"):
        restore(DatabaseUrl.parse(database), tmp_path / "data", LAYOUT, tmp_path / "back")
    assert (tmp_path / "back" / taken).read_bytes() == b"mine"
    with connect(database) as connection:
        found = connection.execute(b"SELECT count(*) FROM pg_class WHERE relname = 'users'").fetchone()
        assert found == (0,)


def test_every_place_of_the_layout_is_used_by_the_sample(schema_database: str, tmp_path: Path) -> None:
    with connect(schema_database) as connection:
        load_sample(connection, tmp_path / "files", messages=60)
    exported(schema_database, tmp_path / "data", tmp_path / "files")
    assert {p.kind for p in LAYOUT.places} == set(Kind)
    assert pepper_from_env({}) is None


OTHER = """
datasource db {
  provider = "postgresql"
  url      = env("DATABASE_URL")
}

enum Mood {
  GOOD @map("it's good")
  BAD

  @@map("moods")
}

model Author {
  id       Int       @id @default(autoincrement())
  name     String    @unique @db.VarChar(40)
  mood     Mood      @default(GOOD) @map("the_mood")
  worth    Decimal   @db.Decimal(65, 30)
  big      BigInt
  ratio    Float?
  born     DateTime? @db.Date
  seen     DateTime  @default(now()) @db.Timestamptz(6)
  words    String[]
  photo    Bytes?
  note     Json?     @db.Json
  chiefId  Int?
  chief    Author?   @relation("chief", fields: [chiefId], references: [id])
  staff    Author[]  @relation("chief")
  firstId  Int?      @unique
  first    Book?     @relation("first", fields: [firstId], references: [id])
  books    Book[]    @relation("books")

  @@map("people")
}

model Book {
  id       Int      @id @default(autoincrement())
  authorId Int
  author   Author   @relation("books", fields: [authorId], references: [id])
  firstOf  Author?  @relation("first")
  tags     Label[]
}

model Label {
  name  String @id
  books Book[]
}
"""
ROWS = """
INSERT INTO people (name, the_mood, worth, big, ratio, born, words, photo, note) VALUES
  ('a', 'it''s good', 1.50, 9223372036854775807, 'NaN', '0044-03-15 BC', '{a,NULL,"b \\"c"}',
   '\\x00ff', E'{"x":\n 1.0}'),
  ('b', 'BAD', 12345678901234567890.000000000000000000000000000001, -1, '-0', 'infinity', NULL, '', 'null'),
  ('c', 'BAD', 0, 0, 5e-324, '5874897-12-31', '{}', NULL, NULL);
INSERT INTO "Book" ("authorId") VALUES (1), (1), (2);
UPDATE people SET "chiefId" = 2, "firstId" = 2 WHERE id = 1;
UPDATE people SET "chiefId" = 1, "firstId" = 3 WHERE id = 2;
INSERT INTO "Label" VALUES ('x'), ('y');
INSERT INTO "_BookToLabel" VALUES (1, 'x'), (1, 'y'), (3, 'x')
"""


@pytest.mark.parametrize("made_before", [False, True], ids=["no tables", "empty tables"])
def test_another_schema_with_circles_counters_and_lists(
    server: EmbeddedServer, new_database: Callable[..., str], tmp_path: Path, made_before: bool
) -> None:
    datamodel = parse_schema(OTHER)
    first, second = new_database(), new_database()
    with connect(first) as connection:
        connection.execute(ddl(datamodel).script().encode())
        connection.execute(ROWS.encode())
    if made_before:
        with connect(second) as connection:
            connection.execute(ddl(datamodel).script().encode())
    moved_and_back(server, first, second, tmp_path, flat_layout(datamodel))
    with connect(second) as connection:
        made = connection.execute(
            b"INSERT INTO people (name, worth, big) VALUES ('d', 1, 1) RETURNING id, the_mood"
        )
        assert made.fetchone() == (4, "it's good")
