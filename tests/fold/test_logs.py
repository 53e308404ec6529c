"""Logs of parents: PostgreSQL joins the lines of most, not of large ones, and the files are the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from awkward import load_awkward
from folders import tree
from folding import write_files
from octavo.errors import DifferenceError
from octavo.fold import export as export_module
from octavo.fold.export import ExportOptions, export
from octavo.layout import fold
from octavo.layout.layout import Layout
from octavo.layout.load import frozen_layout, parse_layout
from octavo.postgres.connection import connect
from octavo.schema.ddl import ddl
from octavo.schema.parser import parse_schema
from octavo.url import DatabaseUrl

SCHEMA = """
datasource db {
  provider = "postgresql"
}
model Shelf {
  id     Float
  letter String  @db.Char(3)
  books  Book[]
  @@id([id, letter])
}
model Book {
  id       Int     @id
  shelfId  Float
  letter   String  @db.Char(3)
  title    String?
  notes    Json?
  shelf    Shelf   @relation(fields: [shelfId, letter], references: [id, letter], onDelete: Cascade)
  chapters Chapter[]
}
model Chapter {
  id     Int    @id
  bookId Int
  book   Book   @relation(fields: [bookId], references: [id], onDelete: Cascade)
}
"""
LOGS = (
    'version = 1\n[logs_per_parent]\n"shelves/{shelfId,letter}.jsonl" = "Book"\n'
    '[logs]\n"shelves.jsonl" = ["Shelf"'
)
LAYOUTS = {
    "alone": LOGS + ', "Chapter"]\n',
    "with what is embedded": LOGS + ']\n[embedded]\nChapter = "Book.chapters"\n',
}
ROWS = """
    INSERT INTO "Shelf" VALUES (0, 'a'), (1, 'b'), (2, 'a'), (3.5, 'no'), (4, ' ');
    INSERT INTO "Book" SELECT n, (ARRAY['0', '-0', '1', '2', '4'])[1 + n % 5]::float,
        (ARRAY['a', 'a', 'b', 'a', ' '])[1 + n % 5], repeat(chr(8) || 'é"', n), to_json(repeat('x', n * 100))
        FROM generate_series(1, 40) AS n;
    INSERT INTO "Chapter" SELECT n, 1 + n % 20 FROM generate_series(1, 60) AS n
"""


def exported(url: str, layout: Layout, target: Path, jobs: int = 1) -> dict[str, bytes | None]:
    export(DatabaseUrl.parse(url), target, layout, ExportOptions(target.parent / "none", jobs))
    return logs_below(target)


def logs_below(root: Path) -> dict[str, bytes | None]:
    return {path: content for path, content in tree(root).items() if path.endswith(".jsonl")}


@pytest.fixture(params=[1, 2])
def jobs(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Connections, each of which writes a slice of the logs."""
    monkeypatch.setattr(export_module, "_WORTH_SLICING", 1)
    return int(request.param)


def test_large_logs_are_written_as_others(
    schema_database: str, tmp_path: Path, jobs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with connect(schema_database) as connection:
        load_awkward(connection)
    usual = exported(schema_database, frozen_layout(), tmp_path / "usual")
    monkeypatch.setattr(fold, "LARGE", 1_000)
    assert exported(schema_database, frozen_layout(), tmp_path / "large", jobs) == usual


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_log_has_the_name_that_its_records_spell(
    new_database: Callable[..., str], tmp_path: Path, name: str, jobs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL takes 0 and -0 for the same parent, and drops blanks when it compares."""
    url, datamodel = new_database(), parse_schema(SCHEMA)
    layout = parse_layout(LAYOUTS[name], datamodel)
    (tmp_path / "plain").mkdir()
    with connect(url) as connection:
        connection.execute(ddl(datamodel).script().encode())
        connection.execute(ROWS.encode())
        write_files(connection, layout, tmp_path / "plain")
    plain = logs_below(tmp_path / "plain")
    assert {"shelves/0.a%20%20.jsonl", "shelves/-0.a%20%20.jsonl", "shelves/3%2E5.no%20.jsonl"} <= set(plain)
    assert exported(url, layout, tmp_path / "usual", jobs) == plain
    monkeypatch.setattr(fold, "LARGE", 3_000)
    assert exported(url, layout, tmp_path / "large", jobs) == plain


def test_records_without_a_parent_refuse_the_export(
    new_database: Callable[..., str], tmp_path: Path, jobs: int
) -> None:
    url, datamodel = new_database(), parse_schema(SCHEMA)
    with connect(url) as connection:
        connection.execute(ddl(datamodel).script().encode())
        connection.execute(ROWS.encode())
        connection.execute(b"SET session_replication_role = replica")
        connection.execute(b"""DELETE FROM "Shelf" WHERE id = 2""")
    layout = parse_layout(LAYOUTS["alone"], datamodel)
    with pytest.raises(DifferenceError, match="Book: rows of 1 Shelf records"):
        exported(url, layout, tmp_path / "data", jobs)
    assert list(tmp_path.iterdir()) == []
