"""An implicit many-to-many relation stands in a file as an array of keys in one side's records."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from command import octavo
from octavo.errors import DamagedError
from octavo.layout.codec import Codecs
from octavo.layout.layout import Layout
from octavo.layout.load import parse_layout
from octavo.opening import connect as client
from octavo.postgres.connection import connect
from octavo.schema.ddl import ddl
from octavo.schema.parser import parse_schema
from octavo.store.store import Store

SCHEMA = """
datasource db {
  provider = "postgresql"
}
model Shelf {
  id    Int    @id
  books Book[]
}
model Book {
  id      String   @id
  shelfId Int
  shelf   Shelf    @relation(fields: [shelfId], references: [id], onDelete: Cascade)
  tags    Tag[]
  marks   Mark[]
  similar Book[]   @relation("similar")
  alike   Book[]   @relation("similar")
}
model Tag {
  name  String @id
  books Book[]
}
model Mark {
  number BigInt @id
  books  Book[]
}
"""
WAYS = {
    "document": '[documents]\n"all.json" = { shelves = "Shelf", books = "Book" }\n',
    "file": '[files]\n"books/{id}.json" = "Book"\n',
    "log": '[logs]\n"books.jsonl" = ["Book", "Shelf"]\n',
    "log per parent": '[logs_per_parent]\n"books/{shelfId}.jsonl" = "Book"\n',
}
EMBEDDED = """
[embedded]
_BookToTag = "Book.tags"
_BookToMark = "Book.marks"
_similar = "Book.similar"
"""
FILES = {
    "document": "all.json",
    "file": "books/b.json",
    "log": "books.jsonl",
    "log per parent": "books/1.jsonl",
}
ROWS = b"""
INSERT INTO "Shelf" VALUES (1), (2);
INSERT INTO "Book" VALUES ('b', 1), ('a', 2);
INSERT INTO "Tag" VALUES ('z'), ('\xc3\xa4"'), ('B');
INSERT INTO "Mark" VALUES (10), (9);
INSERT INTO "_BookToTag" VALUES ('b', 'z'), ('b', '\xc3\xa4"'), ('b', 'B');
INSERT INTO "_BookToMark" VALUES ('b', 10), ('b', 9);
INSERT INTO "_similar" VALUES ('a', 'b'), ('b', 'b');
"""


def layout_of(way: str) -> Layout:
    return parse_layout(f"version = 1\n{WAYS[way]}{EMBEDDED}", parse_schema(SCHEMA))


def record(text: str) -> dict[str, Any]:
    """The book ``b`` in a file's text."""
    try:
        found = json.loads(text)
    except json.JSONDecodeError:
        found = {"books": [json.loads(line) for line in text.splitlines()]}
    return next((b for b in found.get("books", [found]) if b.get("id") == "b"), found)


@pytest.fixture
def source(new_database: Callable[..., str]) -> str:
    url = new_database()
    with connect(url) as connection:
        connection.execute(ddl(parse_schema(SCHEMA)).script().encode())
        connection.execute(ROWS)
    return url


@pytest.fixture(params=WAYS)
def given(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, list[str]]:
    (tmp_path / "schema.prisma").write_text(SCHEMA)
    (tmp_path / "layout.toml").write_text(f"version = 1\n{WAYS[request.param]}{EMBEDDED}")
    named = ["--schema", str(tmp_path / "schema.prisma"), "--layout", str(tmp_path / "layout.toml")]
    return request.param, [*named, "--data-dir", str(tmp_path / "data"), "--json"]


def test_a_life_with_arrays_of_keys(
    given: tuple[str, list[str]], source: str, new_database: Callable[..., str], tmp_path: Path
) -> None:
    way, named = given
    assert octavo("export", "--database-url", source, *named).code == 0
    file = tmp_path / "data" / FILES[way]
    exported = file.read_bytes()
    found = record(exported.decode())
    assert (found["tags"], found["marks"], found["similar"]) == (["B", "z", 'ä"'], ["9", "10"], ["a", "b"])
    assert octavo("verify", "--database-url", source, *named).code == 0
    assert octavo("doctor", *named).code == 0
    target = new_database()
    assert octavo("restore", "--database-url", target, *named).code == 0
    assert octavo("verify", "--database-url", target, *named).code == 0
    layout = layout_of(way)
    with Store.open(tmp_path / "data", layout) as store:
        store.compact()
    assert file.read_bytes() == exported, "what the store writes is what an export writes"
    schema, toml = tmp_path / "schema.prisma", tmp_path / "layout.toml"
    with client(backend="json", data_dir=tmp_path / "data", schema=schema, layout=toml) as db:
        changed: dict[str, Any] = {
            "tags": {"disconnect": [{"name": "z"}], "create": [{"name": "new"}]},
            "marks": {"set": [{"number": 10}]},
        }
        db.book.update(where={"id": "b"}, data=changed)
        db.tag.delete(where={"name": "B"})
        book = db.book.find_first(where={"tags": {"some": {"name": "new"}}}, include={"tags": True})
        assert book is not None
        assert sorted(tag.name for tag in book.tags) == ["new", 'ä"']
        assert db.book.count(where={"similar": {"none": {}}}) == 1
        both = db.book.find_many(where={"alike": {"some": {"id": "b"}}}, order_by={"id": "asc"})
        assert [book.id for book in both] == ["a", "b"]
    with Store.open(tmp_path / "data", layout) as store:
        store.compact()
    found = record(file.read_text())
    assert (found["tags"], found["marks"], found["similar"]) == (["new", 'ä"'], ["10"], ["a", "b"])
    assert octavo("verify", "--database-url", target, *named).code == 1
    assert octavo("doctor", *named).code == 0


@pytest.mark.parametrize("instead", ["5", "null", '{"B": "z"}'])
def test_what_is_no_key_is_damage(instead: str) -> None:
    codec = Codecs(layout_of("log"))["Book"]
    text = '{"_model":"Book","id":"b","shelfId":1,"tags":["z"],"marks":["9"],"similar":[]}'
    sound = codec.decode(text.encode())
    spaced = codec.decode(text.replace(",", " , ").encode())
    assert sound == spaced
    assert codec.encode(sound.row, sound.embedded).decode() == text
    with pytest.raises(DamagedError) as caught:
        codec.decode(text.replace('"z"', instead).encode())
    assert (caught.value.model, caught.value.field) == ("_BookToTag", "B")
