"""A table without a key is left out by a line of the layout, and every report says so."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from command import octavo
from octavo.errors import LayoutError
from octavo.layout.load import parse_layout
from octavo.layout.written import layout_text
from octavo.postgres.connection import connect
from octavo.schema.ddl import ddl
from octavo.schema.parser import parse_schema

SCHEMA = """
datasource db {
  provider = "postgresql"
}
model Person {
  id   Int    @id
  logs Logged[] @ignore
}
model Logged {
  said     String
  personId Int?
  person   Person? @relation(fields: [personId], references: [id])

  @@map("log")
  @@ignore
}
"""
LAYOUT = 'version = 1\nexclude = ["Logged"]\n\n[logs]\n"people.jsonl" = ["Person"]\n'


@pytest.fixture
def source(new_database: Callable[..., str]) -> str:
    url = new_database()
    with connect(url) as connection:
        connection.execute(ddl(parse_schema(SCHEMA)).script().encode())
        connection.execute(b'INSERT INTO "Person" VALUES (1)')
        connection.execute(b"INSERT INTO log VALUES ('a', 1), ('a', 1), ('b', NULL)")
    return url


def test_a_life_without_the_table(source: str, new_database: Callable[..., str], tmp_path: Path) -> None:
    schema, layout = tmp_path / "schema.prisma", tmp_path / "layout.toml"
    schema.write_text(SCHEMA)
    layout.write_text(LAYOUT)
    given = ["--schema", str(schema), "--layout", str(layout), "--data-dir", str(tmp_path / "data"), "--json"]

    def run(command: str, url: str) -> list[str]:
        done = octavo(command, "--database-url", url, *given)
        assert done.code == 0, done.err
        return [text for text in done.answer["leftOut"] if "Logged" in text]

    for command in ("inventory", "export", "verify"):
        assert run(command, source) == ["3 rows of Logged: the layout excludes it"]
    assert octavo("doctor", *given).code == 0
    target = new_database()
    assert run("restore", target) == ["the rows of Logged: the layout excludes it"]
    with connect(target) as connection:
        assert connection.execute("SELECT count(*) FROM log").fetchone() == (0,)
        assert connection.execute('SELECT id FROM "Person"').fetchone() == (1,)


def test_the_layout_is_written_with_what_it_excludes() -> None:
    layout = parse_layout(LAYOUT, parse_schema(SCHEMA))
    again = parse_layout(layout_text(layout), layout.datamodel)
    assert [m.name for m in again.datamodel.excluded] == ["Logged"]
    assert again.datamodel == layout.datamodel
    assert not layout.datamodel.model("Person").relations


@pytest.mark.parametrize(
    ("exclude", "reason"),
    [
        ('["Person"]', "only a model without one can be excluded"),
        ('["Nobody"]', "the schema has no model 'Nobody'"),
        ('"Logged"', "must be a list"),
        ("[]", "a layout that excludes it leaves its table out|no place for Logged"),
    ],
)
def test_only_a_model_without_a_key_is_excluded(exclude: str, reason: str) -> None:
    with pytest.raises(LayoutError, match=reason):
        parse_layout(LAYOUT.replace('["Logged"]', exclude), parse_schema(SCHEMA))
