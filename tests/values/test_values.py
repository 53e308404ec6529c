"""Every legal value of every type goes from the database into a file and comes back as PostgreSQL prints it.

Database → fold's SQL → the file's bytes → reader → text: equal to the text of the column, byte by byte, in
each of the ways to live.  (The embedded server is built without XML.)
"""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from awkward import CONTROLS, JSONS, NONCHARACTERS
from folding import database_rows, file_rows, insert, write_files
from octavo.layout.codec import Codec
from octavo.layout.fold import unkeepable
from octavo.layout.found import Entry
from octavo.layout.listing import contents
from octavo.layout.load import parse_layout
from octavo.layout.reader import Reader
from octavo.postgres.connection import Connection, connect
from octavo.postgres.embedded import EmbeddedServer
from octavo.schema.datamodel import Datamodel
from octavo.schema.ddl import ddl
from octavo.schema.native import table_name
from octavo.schema.parser import parse_schema

TEXTS = [
    "",
    " ",
    "plain",
    CONTROLS,
    NONCHARACTERS,
    "\u2028\u2029\u0085\x0b\x0c",
    "NULL",
    "null",
    "{a,b}",
    '"',
    "\\",
    "\\N",
    "a\tb\nc\rd\x01\x02\x03",
    "e\u0301 é",
    "\ud7ff\ue000\U0010ffff👩",
    " trailing ",
    "a;b,c",
]
SHORT = ["", "a", "é", "abc", "\n", '"\\', "NUL"]
FLOATS = ["0", "-0", "NaN", "Infinity", "-Infinity", "0.1", "-1.5", "1e20", "1e-7", "123456"]
DAYS = [
    "2025-11-22",
    "infinity",
    "-infinity",
    "4714-11-24 BC",
    "0044-03-15 BC",
    "0001-12-31 BC",
    "0001-02-29 BC",
    "0005-02-29 BC",
    "0001-01-01",
    "0099-06-07",
    "2000-02-29",
    "9999-12-31",
    "10000-01-01",
]
CLOCKS = ["00:00:00", "24:00:00", "12:34:56.7", "23:59:59", "01:02:03.000009", "23:59:59.999999"]
INSTANTS = [
    *(day for day in DAYS if "inf" in day),
    *(f"{day.removesuffix(' BC')} {clock}{' BC' * day.endswith('BC')}" for day in DAYS if "inf" not in day
      for clock in ("00:00:00", "12:34:56.123456", "20:00:50.1")),
    "294276-12-31 12:00:00",
]  # fmt: skip
VALUES: dict[str, tuple[str, list[str]]] = {
    "Text": ("String", TEXTS),
    "VarChar": ("String", TEXTS),
    "VarChar(3)": ("String", SHORT),
    "Char": ("String", ["", "a", "é"]),
    "Char(3)": ("String", SHORT),
    "Bit": ("String", ["0", "1"]),
    "Bit(4)": ("String", ["0101", "0000"]),
    "VarBit": ("String", ["", "1", "01" * 100]),
    "VarBit(8)": ("String", ["", "1", "01010101"]),
    "Uuid": ("String", ["A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", "00000000-0000-0000-0000-000000000000"]),
    "Inet": ("String", ["10.0.0.1", "10.0.0.1/32", "10.0.0.0/8", "::1", "fe80::1/64"]),
    "Boolean": ("Boolean", ["true", "false"]),
    "Integer": ("Int", ["0", "-1", "2147483647", "-2147483648"]),
    "SmallInt": ("Int", ["0", "32767", "-32768"]),
    "Oid": ("Int", ["0", "4294967295"]),
    "BigInt": ("BigInt", ["0", "9007199254740993", "9223372036854775807", "-9223372036854775808"]),
    "Real": ("Float", [*FLOATS, "1e-45", "3.4028235e38", "16777217"]),
    "DoublePrecision": ("Float", [*FLOATS, "5e-324", "1.7976931348623157e308", "9007199254740993"]),
    "Decimal(65, 30)": ("Decimal", ["0", f"-0.{'0' * 29}1", f"{'9' * 35}.{'9' * 30}", "NaN"]),
    "Decimal(5, 2)": ("Decimal", ["0", "1.5", "-999.99", "NaN"]),
    "Decimal(40, 0)": ("Decimal", ["0", "-1", "9" * 40]),
    "Money": ("Decimal", ["0", "-1234567.89", "92233720368547758.07", "0.01"]),
    "ByteA": ("Bytes", ["\\x", "\\x00", "\\x" + bytes(range(256)).hex(), "\\xff5c22"]),
    "Date": ("DateTime", [*DAYS, "5874897-12-31"]),
    "Json": ("Json", [*JSONS, ' { "a" : 1 ,\n\t"a" : 2.50 } ', "\n1\r\n", '"\\u0000 \\ud800"', "1e999999"]),
    "JsonB": ("Json", [*JSONS, '"\\\\u0000"', '"\\ud83d\\ude00"']),
    **{f"Timestamp({n})": ("DateTime", INSTANTS) for n in range(7)},
    **{f"Timestamptz({n})": ("DateTime", INSTANTS) for n in range(7)},
    "Timestamp": ("DateTime", INSTANTS),
    **{f"Time({n})": ("DateTime", CLOCKS) for n in (0, 3, 6)},
    **{f"Timetz({n})": ("DateTime", [f"{c}{z}" for c in CLOCKS for z in ("+00", "-15:59:59", "+05:30")])
       for n in (0, 3, 6)},
    "Mood": ("Mood", ["plain", "", 'it\'s "x" \\ é\n', "named", "NULL", "a,b"]),
    "point": ('Unsupported("point")', ["(1,2)", "(-0,1e-300)"]),
    "box": ('Unsupported("box")', ["(2,2),(1,1)"]),
    "int4range": ('Unsupported("int4range")', ["empty", "[1,5)", "(,)"]),
    "tsvector": ('Unsupported("tsvector")', ["", "'a':1A 'it''s':2 '\\\\':3"]),
    "interval": ('Unsupported("interval")', ["1 year -2 days 03:04:05.6", "00:00:00", "-1 mon"]),
    "cidr": ('Unsupported("cidr")', ["10.0.0.0/8", "::/0"]),
    "pair": ('Unsupported("pair")', ["(,)", '(1,"a ""b""")', '(,"")']),
    "name": ('Unsupported("name")', ["", 'a"b']),
    "bool": ('Unsupported("bool")', ["t", "f"]),
}  # fmt: skip
HEAD = 'datasource db {\n provider = "postgresql"\n url = ""\n}\n'


def schema(names: list[str]) -> str:
    """Each type as a required, an optional and a list column of one model, below an owner."""
    lines = []
    for n, name in enumerate(names):
        kind = VALUES[name][0]
        native = f" @db.{name}" if kind != "Mood" and not kind.startswith("Unsupported") else ""
        lines += [f"  {c}{n} {kind}{mark}{native}\n" for c, mark in (("o", "?"), ("r", ""), ("l", "[]"))]
    return f"""{HEAD}
enum Mood {{
  plain
  none @map("")
  odd @map("it's \\"x\\" \\\\ é\\n")
  swapped @map("named")
  named @map("NULL")
  comma @map("a,b")
}}
model Owner {{
  id String @id
  things Everything[]
}}
model Everything {{
{"".join(lines)}
  id Int @id
  from String
  ownerId String @map("class of owner")
  owner Owner @relation(fields: [ownerId], references: [id])
  createdAt DateTime
  @@map("every thing")
}}
"""


LAYOUTS = {
    "log": '[logs]\n"a.jsonl" = ["Everything", "Owner"]',
    "file": '[files]\n"a/{id}.json" = "Everything"\n"b/{id}.json" = "Owner"',
    "document": '[documents]\n"a.json" = { owners = "Owner", all = "Everything" }',
    "log per parent": (
        '[documents]\n"a.json" = { o = "Owner" }\n[logs_per_parent]\n"a/{ownerId}.jsonl" = "Everything"'
    ),
    "embedded in a log": '[logs]\n"a.jsonl" = ["Owner"]\n[embedded]\nEverything = "Owner.things"',
    "embedded in a file": '[files]\n"a/{id}.json" = "Owner"\n[embedded]\nEverything = "Owner.things"',
    "embedded in a document": (
        '[documents]\n"a.json" = { o = "Owner" }\n[embedded]\nEverything = "Owner.things"'
    ),
}


class Loaded:
    """A database of all types with their values in it."""

    def __init__(self, url: str) -> None:
        with connect(url) as connection:
            extensions = connection.execute("SELECT name FROM pg_available_extensions").fetchall()
        self.citext = ("citext",) in extensions
        self.names = [*VALUES, *(["Citext"] if self.citext else [])]
        self.datamodel = parse_schema(schema(self.names), "all.prisma")
        self.url = url
        with connect(url) as connection:
            if self.citext:
                connection.execute("CREATE EXTENSION citext")
            connection.execute("CREATE TYPE pair AS (a int, b text)")
            connection.execute(ddl(self.datamodel).script().encode())
            self._fill(connection)

    def _fill(self, connection: Connection) -> None:
        model, most = self.datamodel.model("Everything"), max(len(v) for _, v in VALUES.values())
        owners = ["", "a/b", 'index"\\\n']
        for owner in [*owners, "nobody's"]:
            insert(connection, self.datamodel, self.datamodel.model("Owner"), {"id": owner})
        for row in range(most):
            record: dict[str, object] = {
                "id": str(row - 5),
                "from": "x",
                "ownerId": owners[row % 3],
                "createdAt": "2025-01-01" if row % 2 else INSTANTS[row % len(INSTANTS)],
            }
            for n, name in enumerate(self.names):
                _, values = VALUES.get(name, ("String", TEXTS))
                value = values[row % len(values)]
                record |= {f"r{n}": value, f"o{n}": value if row % 3 else None}
                lists: list[object] = [values, [], None, [value], [*values, None], [None]]
                if name.startswith("Json"):
                    lists = [
                        [v for v in values if v == v.strip() and not set(v) & {"\n", "\r"}],
                        [],
                        None,
                        ["null"],
                    ]
                record[f"l{n}"] = lists[row % len(lists)]
            insert(connection, self.datamodel, model, record)


@pytest.fixture(scope="module")
def loaded(server: EmbeddedServer) -> Loaded:
    return Loaded(server.create_database("all_values"))


@pytest.mark.parametrize("way", LAYOUTS)
def test_all_come_back_as_they_are_printed(loaded: Loaded, way: str, tmp_path: Path) -> None:
    layout = parse_layout(f"version = 1\n{LAYOUTS[way]}", loaded.datamodel)
    with connect(loaded.url) as connection:
        write_files(connection, layout, tmp_path)
        expected = database_rows(connection, loaded.datamodel)
    found = file_rows(layout, tmp_path)
    for model in loaded.datamodel.tables:
        names = [f"{f.name} {f.native or f.type}" for f in model.scalars]
        assert len(found[model.name]) == len(expected[model.name]) > 3
        for ours, theirs in zip(found[model.name], expected[model.name], strict=True):
            different = [(name, a, b) for name, a, b in zip(names, ours, theirs, strict=True) if a != b]
            assert not different


def test_the_text_makes_the_same_value_again(loaded: Loaded) -> None:
    """What is read from the files is what PostgreSQL takes for the column."""
    with connect(loaded.url) as connection:
        expected = database_rows(connection, loaded.datamodel)["Everything"]
        connection.execute('CREATE TABLE twin (LIKE "every thing")')
        with connection.cursor() as cursor, cursor.copy("COPY twin FROM STDIN") as copy:
            for row in expected:
                copy.write_row([None if v is None else v.decode() for v in row])
        model = replace(loaded.datamodel.model("Everything"), table="twin")
        twin = Datamodel(models=(model,), enums=loaded.datamodel.enums)
        assert database_rows(connection, twin)["Everything"] == expected


def test_all_are_kept_and_nothing_else_is_refused(loaded: Loaded) -> None:
    layout = parse_layout(f"version = 1\n{LAYOUTS['embedded in a log']}", loaded.datamodel)
    with connect(loaded.url) as connection:
        for place in layout.places:
            for _, _, condition in unkeepable(layout, place):
                query = f"SELECT count(*) FROM {table_name(place.model)} AS t WHERE {condition}"
                assert connection.execute(query.encode()).fetchone() == (0,), condition


def test_the_careful_way_gives_the_same_rows(loaded: Loaded, tmp_path: Path) -> None:
    layout = parse_layout(f"version = 1\n{LAYOUTS['embedded in a log']}", loaded.datamodel)
    with connect(loaded.url) as connection:
        write_files(connection, layout, tmp_path)
    reader = Reader(layout, tmp_path)
    codec = Codec(layout, layout.place("Owner"))
    (file,) = contents(layout, tmp_path).files
    lines = (tmp_path / file.path).read_bytes().splitlines()
    for record, line in zip(reader.read(file), lines, strict=True):
        assert isinstance(record, Entry)
        assert record.found == codec.carefully(line)


def test_citext_is_covered(loaded: Loaded) -> None:
    if not loaded.citext:
        pytest.skip("the server has no extension citext")
    assert "Citext" in loaded.names


ODD = f"""{HEAD}
model Owner {{
  id Decimal @id @db.Decimal(10, 2)
  things Thing[]
}}
model Thing {{
  id Int @id
  ints Int[]
  jsons Json[] @db.Json
  jsonbs Json[]
  ownerId Decimal @db.Decimal(10, 3)
  owner Owner @relation(fields: [ownerId], references: [id])
}}
"""


def test_what_cannot_be_kept_is_found(database: str) -> None:
    datamodel = parse_schema(ODD, "odd.prisma")
    layout = parse_layout(
        'version = 1\n[logs]\n"a.jsonl" = ["Owner"]\n[embedded]\nThing = "Owner.things"', datamodel
    )
    rows = {
        ("ints", "arrays with several dimensions, or not counted from 1"): [
            ("'{{1,2},{3,4}}'", "'{}'", "'{}'", "1.00"),
            ("'[0:1]={1,2}'", "'{}'", "'{}'", "1.00"),
        ],
        ("jsonbs", "NULL among Json, where null is JSON's own"): [("'{}'", "'{}'", "'{1,NULL}'", "1.00")],
        ("jsons", "lists of json with line breaks or outer blanks"): [
            ("'{}'", "'{\"[1,\n2]\"}'", "'{}'", "1.00")
        ],
        ("ownerId", "spelled otherwise than in the parent's key"): [("'{}'", "'{}'", "'{}'", "1.000")],
    }
    with connect(database) as connection:
        connection.execute(ddl(datamodel).script().encode())
        connection.execute("""ALTER TABLE "Thing" ALTER "ownerId" TYPE numeric""")
        connection.execute("""INSERT INTO "Owner" VALUES (1.00)""")
        number = 0
        for planted in [
            *rows.values(),
            [("'{1,NULL}'", "'{\"null\"}'", "'{\"null\"}'", "1.00"), ("NULL", "NULL", "NULL", "1.00")],
        ]:
            for values in planted:
                number += 1
                connection.execute(f"""INSERT INTO "Thing" VALUES ({number}, {", ".join(values)})""".encode())
        found = {}
        for field, reason, condition in unkeepable(layout, layout.place("Thing")):
            query = f"""SELECT count(*) FROM "Thing" AS t WHERE {condition}"""
            (count,) = connection.execute(query.encode()).fetchone() or (0,)
            if count:
                found[field, reason] = count
    assert found == {key: len(planted) for key, planted in rows.items()}
