"""What PostgreSQL writes for each way to live, byte by byte, and in which order."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest

from awkward import IDS, load_awkward
from folding import database_rows, file_rows, insert, pieces, write_files
from octavo.layout.codec import Codec
from octavo.layout.fold import Slice, fold
from octavo.layout.found import Entry
from octavo.layout.layout import Kind, Layout
from octavo.layout.load import flat_layout, frozen_layout, parse_layout
from octavo.postgres.connection import Connection, connect
from octavo.schema.ddl import ddl
from octavo.schema.parser import parse_schema
from octavo.schema.texts import frozen_schema

HEAD = 'datasource db {\n provider = "postgresql"\n url = ""\n}\n'
SCHEMA = f"""{HEAD}
model Person {{
  id String @id
  extra Json?
  class Kind @default(plain)
  name String? @map("the name")
  tags Tag[]
  notes Note[]
  @@map("people")
}}
enum Kind {{
  plain
  odd @map("it's \\"odd\\"")
}}
model Tag {{
  personId String
  extra Json?
  tag String
  at DateTime?
  person Person @relation(fields: [personId], references: [id])
  @@id([personId, tag])
}}
model Note {{
  first Json?
  raw Json? @db.Json
  id Int @id
  personId String
  createdAt DateTime
  person Person @relation(fields: [personId], references: [id])
}}
"""
EMBEDDED = '[embedded]\nTag = "Person.tags"\n'
NOTE_LINES = (
    '{"_model":"Note","first":0,"raw":[ ],"id":9,"personId":"b",'
    '"createdAt":"2020-01-01T00:00:00.000Z"}\n'
    '{"_model":"Note","raw":{"a": 1},"id":10,"personId":"b","createdAt":"2020-01-01T00:00:00.000Z",'
    '"_text":{"raw":" {\\"a\\":\\n1}"}}\n'
)
NOTES = '[logs]\n"notes.jsonl" = ["Note"]\n'


def layout_of(text: str) -> Layout:
    return parse_layout(f"version = 1\n{text}", parse_schema(SCHEMA, "test.prisma"))


@pytest.fixture
def people(database: str) -> str:
    """A database of two people, three tags and two notes."""
    datamodel = parse_schema(SCHEMA, "test.prisma")
    with connect(database) as connection:
        connection.execute(ddl(datamodel).script().encode())
        rows: list[tuple[str, dict[str, object]]] = [
            ("Person", {"id": "b", "class": 'it\'s "odd"', "extra": '{"b":[1.50], "a": null}'}),
            ("Person", {"id": "A/", "class": "plain", "extra": "null", "name": 'é"\n'}),
            ("Tag", {"personId": "b", "tag": "é", "at": "2025-11-22 12:34:56.7"}),
            ("Tag", {"personId": "b", "tag": "Z", "extra": "[]"}),
            ("Tag", {"personId": "b", "tag": "a"}),
            ("Note", {"id": "10", "personId": "b", "createdAt": "2020-01-01", "raw": ' {"a":\n1}'}),
            ("Note", {"id": "9", "personId": "b", "createdAt": "2020-01-01", "first": "0", "raw": "[ ]"}),
        ]
        for model, row in rows:
            insert(connection, datamodel, datamodel.model(model), row)
    return database


def written(url: str, layout: Layout, root: Path) -> dict[str, str]:
    with connect(url) as connection:
        write_files(connection, layout, root)
        assert file_rows(layout, root) == database_rows(connection, layout.datamodel)
    return {str(p.relative_to(root)): p.read_text() for p in root.rglob("*") if p.is_file()}


def test_a_log_and_what_is_embedded_in_it(people: str, tmp_path: Path) -> None:
    files = written(people, layout_of('[logs]\n"all.jsonl" = ["Note", "Person"]\n' + EMBEDDED), tmp_path)
    assert files == {
        "all.jsonl": (
            '{"_model":"Person","id":"A/","extra":null,"class":"plain","name":"é\\"\\n","tags":[]}\n'
            '{"_model":"Person","id":"b","extra":{"a": null, "b": [1.50]},"class":"odd","name":null,"tags":['
            '{"extra":[],"tag":"Z","at":null},{"tag":"a","at":null},'
            '{"tag":"é","at":"2025-11-22T12:34:56.700Z"}]}\n' + NOTE_LINES
        )
    }


def test_files_of_their_own_and_logs_per_parent(people: str, tmp_path: Path) -> None:
    layout = layout_of(
        '[files]\n"people/{id}.json" = "Person"\n[logs_per_parent]\n"notes/{personId}.jsonl" = "Note"\n'
        + EMBEDDED
    )
    assert written(people, layout, tmp_path) == {
        "people/%41%2F.json": (
            "{\n"
            '  "_version": 1,\n'
            '  "id": "A/",\n'
            '  "extra": null,\n'
            '  "class": "plain",\n'
            '  "name": "é\\"\\n",\n'
            '  "tags": []\n'
            "}\n"
        ),
        "people/b.json": (
            "{\n"
            '  "_version": 1,\n'
            '  "id": "b",\n'
            '  "extra": {"a": null, "b": [1.50]},\n'
            '  "class": "odd",\n'
            '  "name": null,\n'
            '  "tags": [\n'
            "    {\n"
            '      "extra": [],\n'
            '      "tag": "Z",\n'
            '      "at": null\n'
            "    },\n"
            "    {\n"
            '      "tag": "a",\n'
            '      "at": null\n'
            "    },\n"
            "    {\n"
            '      "tag": "é",\n'
            '      "at": "2025-11-22T12:34:56.700Z"\n'
            "    }\n"
            "  ]\n"
            "}\n"
        ),
        "notes/%41%2F.jsonl": "",
        "notes/b.jsonl": NOTE_LINES,
    }


def test_documents(people: str, tmp_path: Path) -> None:
    layout = layout_of('[documents]\n"all.json" = { notes = "Note", people = "Person", tags = "Tag" }\n')
    with connect(people) as connection:
        connection.execute("""DELETE FROM "Note" WHERE id = 10""")
        connection.execute("""DELETE FROM "Tag" """)
    assert written(people, layout, tmp_path) == {
        "all.json": (
            "{\n"
            '  "_version": 1,\n'
            '  "people": [\n'
            "    {\n"
            '      "id": "A/",\n'
            '      "extra": null,\n'
            '      "class": "plain",\n'
            '      "name": "é\\"\\n"\n'
            "    },\n"
            "    {\n"
            '      "id": "b",\n'
            '      "extra": {"a": null, "b": [1.50]},\n'
            '      "class": "odd",\n'
            '      "name": null\n'
            "    }\n"
            "  ],\n"
            '  "tags": [],\n'
            '  "notes": [\n'
            "    {\n"
            '      "first": 0,\n'
            '      "raw": [ ],\n'
            '      "id": 9,\n'
            '      "personId": "b",\n'
            '      "createdAt": "2020-01-01T00:00:00.000Z"\n'
            "    }\n"
            "  ]\n"
            "}\n"
        )
    }


ORDERED = f"""{HEAD}
model Event {{
  createdAt DateTime?
  id String @id
}}
model Mixed {{
  a Int
  b String @db.Char(3)
  c Sort
  at String @db.Inet
  @@id([a, b, c, at])
}}
enum Sort {{
  last @map("a")
  first @map("z")
}}
"""


def test_order_is_by_creation_then_by_bytes_of_the_key(database: str) -> None:
    datamodel = parse_schema(ORDERED, "order.prisma")
    layout = flat_layout(datamodel)
    ids = ["B", "a", "b", "Z", "_", "é", "e\u0301", "zz", "\uffff", "\U00010000", "", " ", "10", "9"]
    times = ["-infinity", "0044-01-01 BC", "2020-01-01", "10000-01-01", "infinity", None]
    with connect(database) as connection:
        connection.execute(ddl(datamodel).script().encode())
        for time, identity in itertools.product(reversed(times), ids):
            row = {"createdAt": time, "id": f"{identity}/{times.index(time)}"}
            insert(connection, datamodel, datamodel.model("Event"), row)
        mixed = [
            ("-1", "b", "a", "::1"),
            ("9", "a", "a", "::1"),
            ("9", "a\x01", "a", "::1"),
            ("9", "b", "a", "10.0.0.1"),
            ("9", "b", "a", "9.0.0.1"),
            ("9", "b", "z", "9.0.0.1"),
            ("10", "b", "z", "9.0.0.1"),
        ]
        for a, b, c, at in reversed(mixed):
            insert(connection, datamodel, datamodel.model("Mixed"), {"a": a, "b": b, "c": c, "at": at})
        order = [r.values[1] for r in records(connection, layout, "Event")]
        assert order == [
            f"{identity}/{n}".encode()
            for n in range(len(times))
            for identity in sorted(ids, key=lambda i, n=n: f"{i}/{n}".encode())  # type: ignore[misc]
        ]
        found = [[v.decode() for v in r.values if v] for r in records(connection, layout, "Mixed")]
        assert found == [
            ["-1", "b  ", "a", "::1"],
            # By the bytes of the text: a control character before a blank, the enum by its name.
            ["9", "a\x01 ", "a", "::1"],
            ["9", "a  ", "a", "::1"],
            ["9", "b  ", "z", "9.0.0.1"],
            ["9", "b  ", "a", "10.0.0.1"],
            ["9", "b  ", "a", "9.0.0.1"],
            ["10", "b  ", "z", "9.0.0.1"],
        ]


def records(connection: Connection, layout: Layout, model: str) -> list[Entry]:
    codec = Codec(layout, layout.place(model))
    found = [codec.decode(piece) for _, piece in pieces(connection, layout, layout.place(model))]
    return [Entry(codec, record, codec.key_of(record.row)) for record in found]


def test_text_keys_are_never_ordered_by_the_collation_of_the_database() -> None:
    """The embedded server has no collation but by bytes, so that rows cannot show it."""
    layout = frozen_layout()
    for place in layout.places:
        if place.kind in (Kind.LOG, Kind.LOG_PER_PARENT, Kind.DOCUMENT):
            ordered_by = re.findall(r"(\S+ COLLATE \S+) AS o[0-9]+\b", fold(layout, place))
            assert len(ordered_by) >= sum(f.type == "String" for f in place.model.key_fields)


@pytest.mark.parametrize("of", [1, 3])
def test_parts_are_the_whole_and_keep_parents_together(schema_database: str, of: int) -> None:
    layout = frozen_layout()
    place = layout.place("Message")
    with connect(schema_database) as connection:
        load_awkward(connection)
        whole = pieces(connection, layout, place)
        parts: list[list[tuple[str, bytes]]] = []
        for number in range(of):
            rows = connection.execute(fold(layout, place, Slice(number, of)).encode()).fetchall()
            parts.append([(head, line.removesuffix("\n").encode()) for head, line in rows])
    parents = [{head for head, _ in part} for part in parts]
    assert all(parents)
    assert sum(map(len, parents)) == len(set().union(*parents)) >= len(IDS)
    assert sorted(line for part in parts for _, line in part) == sorted(line for _, line in whole)


WIDE = (
    HEAD
    + "model Wide {\n  j0 Json?\n"
    + "".join(f"  from{n} String?\n  class_{n} Json?\n" for n in range(120))
    + "  select Int @id\n  parentId Int?\n"
    + '  parent Wide? @relation("r", fields: [parentId], references: [select])\n'
    + '  children Wide[] @relation("r")\n'
    + "  others Other[]\n}\n"
    + 'model Other {\n  id BigInt @id @map("the \\"key\\"")\n  wides Wide[]\n  @@map("O\'ther \\"x\\"")\n}\n'
)


def test_wide_models_self_relations_and_join_tables(database: str, tmp_path: Path) -> None:
    datamodel = parse_schema(WIDE, "wide.prisma")
    layout = flat_layout(datamodel)
    with connect(database) as connection:
        connection.execute(ddl(datamodel).script().encode())
        row = {f.name: '"x"' for f in datamodel.model("Wide").scalars}
        insert(connection, datamodel, datamodel.model("Wide"), row | {"select": "1", "parentId": "1"})
        insert(connection, datamodel, datamodel.model("Wide"), {"select": "2"})
        insert(connection, datamodel, datamodel.model("Other"), {"id": "9007199254740993"})
        for number in ("1", "2"):
            insert(connection, datamodel, datamodel.join_tables[0], {"A": "9007199254740993", "B": number})
    files = written(database, layout, tmp_path)
    assert files[layout.place("_OtherToWide").path] == (
        '{"_model":"_OtherToWide","A":"9007199254740993","B":1}\n'
        '{"_model":"_OtherToWide","A":"9007199254740993","B":2}\n'
    )
    assert '"from119":null,"select":2,"parentId":null}' in files[layout.place("Wide").path]


@pytest.mark.parametrize("source", ["frozen", "people"])
def test_what_is_written_is_read_the_fast_way(schema_database: str, people: str, source: str) -> None:
    """Or else a store would be read in ten times the time."""
    layout = frozen_layout()
    url = schema_database
    if source == "people":
        layout = layout_of('[files]\n"p/{id}.json" = "Person"\n' + EMBEDDED + NOTES)
        url = people
    deep = fast = 0
    with connect(url) as connection:
        if source == "frozen":
            load_awkward(connection, frozen_schema())
        for place in layout.places:
            if place.kind is Kind.EMBEDDED:
                continue
            codec = Codec(layout, place)
            for _, piece in pieces(connection, layout, place):
                if piece.count(b"[") > 900:
                    deep += 1
                else:
                    codec.quickly(piece + b"\n" * (place.kind is Kind.FILE))
                    fast += 1
    assert fast > deep
