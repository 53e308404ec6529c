"""The JSON Schemas accept what the codec writes and refuse what it would refuse."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from awkward import load_awkward
from folding import pieces
from octavo.demo.sample import load_sample
from octavo.errors import DiskError
from octavo.layout.jsonschema import DIALECT, file_schemas, schema_names, write_schemas
from octavo.layout.layout import FileFamily, Kind, Layout
from octavo.layout.load import flat_layout, frozen_layout
from octavo.postgres.connection import Connection, connect
from octavo.schema.ddl import ddl
from octavo.schema.parser import parse_schema
from octavo.schema.texts import VERSION, frozen_schema


@pytest.fixture(scope="module")
def layout() -> Layout:
    return frozen_layout()


@pytest.fixture(scope="module")
def validators(layout: Layout) -> dict[str, Draft202012Validator]:
    """A validator by the path of the family."""
    return validators_of(layout)


def validators_of(layout: Layout) -> dict[str, Draft202012Validator]:
    schemas = file_schemas(layout.datamodel, layout)
    return {path: Draft202012Validator(schemas[name]) for path, name in schema_names(layout).items()}


def contents(connection: Connection, layout: Layout, family: FileFamily) -> Iterator[dict[str, Any]]:
    """What an export puts into the family's files: documents, records or lines."""
    arrays: dict[str, Any] = {}
    for place in family.places:
        # Python's parser nests only so deep and reads integers only so long.
        shallow = [piece for _, piece in pieces(connection, layout, place) if piece.count(b"[") < 1000]
        values = [json.loads(piece, parse_int=lambda text: int(text[:30])) for piece in shallow]
        if family.kind is not Kind.DOCUMENT:
            yield from values
        arrays[place.array] = values
    if family.kind is Kind.DOCUMENT:
        yield {"_version": 1, **arrays}


def test_each_is_a_schema_that_says_what_it_is_of(layout: Layout) -> None:
    schemas = file_schemas(layout.datamodel, layout)
    assert len(schemas) == len(layout.families)
    for path, name in schema_names(layout).items():
        schema = schemas[name]
        Draft202012Validator.check_schema(schema)
        assert schema["$schema"] == DIALECT
        assert schema["$id"].startswith(f"urn:octavo:{VERSION}:")
        assert schema["title"] == path
        assert VERSION in schema["description"]
    assert len({schema["$id"] for schema in schemas.values()}) == len(schemas)


def test_every_field_of_every_model_is_in_one(layout: Layout) -> None:
    found: dict[str, set[str]] = {}
    for schema in file_schemas(layout.datamodel, layout).values():
        for name, definition in schema["$defs"].items():
            found.setdefault(name, set()).update(definition["properties"])
    for place in layout.places:
        assert found[place.model.name] >= {f.name for f in place.fields}


def test_what_the_codec_writes_is_valid(
    schema_database: str, layout: Layout, validators: dict[str, Draft202012Validator], tmp_path: Path
) -> None:
    with connect(schema_database) as connection:
        load_sample(connection, tmp_path, messages=300)
        for family in layout.families:
            count = 0
            for content in contents(connection, layout, family):
                validators[family.path].validate(content)
                count += 1
            assert count, family.path


def test_awkward_values_are_valid_too(
    schema_database: str, layout: Layout, validators: dict[str, Draft202012Validator]
) -> None:
    with connect(schema_database) as connection:
        load_awkward(connection)
        for family in layout.families:
            for content in contents(connection, layout, family):
                problems = [error.message[:200] for error in validators[family.path].iter_errors(content)]
                assert problems == []


@pytest.fixture
def examples(schema_database: str, layout: Layout, tmp_path: Path) -> Callable[[str], dict[str, Any]]:
    """One content of each family, by path, to be damaged."""
    with connect(schema_database) as connection:
        load_sample(connection, tmp_path, messages=20)
        found = {f.path: next(contents(connection, layout, f)) for f in layout.families}
    return lambda path: deepcopy(found[path])


def test_notes_of_somebody_are_allowed(
    layout: Layout, validators: dict[str, Draft202012Validator], examples: Callable[[str], dict[str, Any]]
) -> None:
    for family in layout.families:
        validators[family.path].validate(examples(family.path) | {"note": ["mine"]})


def test_a_missing_key_is_refused_unless_it_is_json(
    layout: Layout, validators: dict[str, Draft202012Validator], examples: Callable[[str], dict[str, Any]]
) -> None:
    for family in layout.families:
        if family.kind is Kind.DOCUMENT:
            continue
        example = examples(family.path)
        fields = {f.name: f for place in family.places for f in place.model.scalars}
        for key in example:
            field = fields.get(key)
            may_go = key == "_sha256" or (field is not None and field.is_json and field.nullable)
            damaged = {name: value for name, value in example.items() if name != key}
            assert validators[family.path].is_valid(damaged) == may_go, key


def test_a_value_of_another_type_is_refused(
    layout: Layout, validators: dict[str, Draft202012Validator], examples: Callable[[str], dict[str, Any]]
) -> None:
    for family in layout.families:
        example = examples(family.path)
        for key in example:
            field = next((f for p in family.places for f in p.model.scalars if f.name == key), None)
            wrong: Any = {"an": "object"}
            if field is not None and field.is_json:
                continue
            assert not validators[family.path].is_valid(example | {key: wrong}), (family.path, key)
            if field is not None:
                assert validators[family.path].is_valid(example | {key: None}) == field.nullable


def test_another_version_is_refused(
    layout: Layout, validators: dict[str, Draft202012Validator], examples: Callable[[str], dict[str, Any]]
) -> None:
    for family in layout.families:
        if family.kind in (Kind.DOCUMENT, Kind.FILE):
            for version in (0, 2, "1", None):
                assert not validators[family.path].is_valid(examples(family.path) | {"_version": version})


def test_a_log_may_hold_tombstones(layout: Layout, validators: dict[str, Draft202012Validator]) -> None:
    for family in layout.families:
        if family.kind not in (Kind.LOG, Kind.LOG_PER_PARENT):
            continue
        validator = validators[family.path]
        for place in family.places:
            key = dict.fromkeys(place.model.key.field_names, "some-id")
            assert validator.is_valid({"_model": place.model.name, **key, "_deleted": True})
            assert not validator.is_valid({"_model": place.model.name, **key, "_deleted": False})
            assert not validator.is_valid({"_model": place.model.name, "_deleted": True})
            assert not validator.is_valid({"_model": "Nobody", **key, "_deleted": True})
            assert not validator.is_valid({**key, "_deleted": True})


ALL_TYPES = """
datasource db {
  provider = "postgresql"
  url = ""
}
enum Mood {
  good @map("GOOD mood")
  bad
}
model Everything {
  id BigInt @id
  small Int @db.SmallInt
  int Int?
  oid Int @db.Oid
  decimal Decimal?
  money Decimal @db.Money
  float Float?
  real Float @db.Real
  bytes Bytes?
  short String @db.VarChar(3)
  padded String @db.Char(3)
  uuid String @db.Uuid
  inet String @db.Inet
  bits String @db.Bit(4)
  some_bits String @db.VarBit(4)
  instant DateTime? @db.Timestamptz(6)
  second DateTime @db.Timestamp(0)
  day DateTime @db.Date
  clock DateTime @db.Time(3)
  zoned DateTime @db.Timetz(6)
  mood Mood?
  moods Mood[]
  texts String[]
  numbers Int[]
  instants DateTime[]
  anything Json?
  whole Json @db.Json
  things Json[]
  range Unsupported("int4range")?
}
"""

VALUES = """INSERT INTO "Everything" VALUES
  (9223372036854775807, -32768, NULL, 4294967295, 1.50, 12.34, 'NaN', 1e-5, '\\x00ff', 'äöü', 'a',
   'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11', '::1', B'0101', B'01', '4713-01-01 BC', '12000-01-01',
   '5874897-12-31', '24:00:00', '12:00:00.5+05:30', 'GOOD mood', '{bad,NULL}', '{a,NULL,""}', '{1,NULL}',
   '{infinity,2020-01-01}', NULL, E'{\\n"a":1}', '{"1","null"}', '[1,5)'),
  (-9223372036854775808, 32767, -2147483648, 0, NULL, -0.01, '-Infinity', 0, NULL, '', '',
   'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '10.0.0.0/8', B'0000', B'', 'infinity', '-infinity', '-infinity',
   '00:00:00', '23:59:59.999999-15:59:59', NULL, '{}', '{}', '{}', '{}', 'null', '[]', '{}', NULL),
  (0, 0, 2147483647, 1, -0.000000000000000000000000000001, 0, 1.7976931348623157e308, 'NaN', '', 'abc', 'abc',
   'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '10.0.0.1', B'1111', B'1111', '1999-12-31 23:59:59.999999+00',
   '0001-12-31 BC', '0044-03-15 BC', '12:34:56.789', '00:00:00+00', 'bad', '{good}'::text::text[]::"Mood"[],
   NULL, NULL, NULL, '{"a": [1e400]}', '1', NULL, 'empty')""".replace("'{good}'", "'{\"GOOD mood\"}'")


def test_values_of_every_type_are_valid_as_the_codec_writes_them(database: str) -> None:
    datamodel = parse_schema(ALL_TYPES, "all.prisma")
    layout = flat_layout(datamodel)
    (validator,) = validators_of(layout).values()
    (family,) = layout.families
    with connect(database) as connection:
        connection.execute(ddl(datamodel).script().encode())
        connection.execute(VALUES.encode())
        found = list(contents(connection, layout, family))
    assert len(found) == 3
    for content in found:
        validator.validate(content)


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("id", 1),
        ("id", "01"),
        ("id", "1.0"),
        ("id", "1" * 20),
        ("small", 32768),
        ("small", "1"),
        ("int", 2**31),
        ("int", 1.5),
        ("oid", -1),
        ("decimal", 1.5),
        ("decimal", "1e5"),
        ("decimal", ".5"),
        ("float", "nan"),
        ("float", "1.5"),
        ("bytes", "AA"),
        ("bytes", "A-8="),
        ("short", "abcd"),
        ("short", "a\0"),
        ("padded", "a"),
        ("uuid", "a0eebc999c0b4ef8bb6d6bb9bd380a11"),
        ("bits", "01"),
        ("some_bits", "01010"),
        ("instant", "2025-11-22T12:34:56.789Z"),
        ("instant", "2025-11-22 12:34:56.789000Z"),
        ("instant", "2025-11-22T12:34:56.789000+00:00"),
        ("instant", "2025-13-22T12:34:56.789000Z"),
        ("instant", "2025-11-22T24:00:00.000000Z"),
        ("instant", "02025-11-22T12:34:56.789000Z"),
        ("instant", "+002025-11-22T12:34:56.789000Z"),
        ("instant", "-000000-11-22T12:34:56.789000Z"),
        ("instant", "Infinity"),
        ("second", "2025-11-22T12:34:56.000Z"),
        ("day", "2025-11-22T00:00:00Z"),
        ("clock", "2025-11-22"),
        ("zoned", "12:34"),
        ("mood", "GOOD mood"),
        ("moods", ["meh"]),
        ("texts", "a"),
        ("texts", [1]),
        ("numbers", ["1"]),
        ("instants", ["never"]),
        ("things", 1),
        ("range", 5),
    ],
)
def test_values_that_no_column_can_hold_are_refused(field: str, wrong: object) -> None:
    layout = flat_layout(parse_schema(ALL_TYPES, "all.prisma"))
    ((_, schema),) = file_schemas(layout.datamodel, layout).items()
    property_ = schema["$defs"]["Everything"]["properties"][field]
    assert not Draft202012Validator(property_).is_valid(wrong)


def test_patterns_are_plain_enough_for_every_regular_expression_engine(layout: Layout) -> None:
    text = json.dumps(file_schemas(layout.datamodel, layout))
    for pattern in re.findall(r'"pattern": ("(?:[^"\\]|\\.)*")', text):
        assert not re.search(r"\\[dwsbDWSBAZ1-9]|\(\?(?!:)", json.loads(pattern))


def test_they_are_written_as_files(layout: Layout, tmp_path: Path) -> None:
    written = write_schemas(frozen_schema(), layout, tmp_path / "new" / "schemas")
    expected = file_schemas(frozen_schema(), layout)
    assert {str(path.relative_to(tmp_path / "new" / "schemas")) for path in written} == set(expected)
    for path in written:
        assert json.loads(path.read_text()) == expected[str(path.relative_to(tmp_path / "new" / "schemas"))]
    (tmp_path / "file").write_text("")
    with pytest.raises(DiskError):
        write_schemas(frozen_schema(), layout, tmp_path / "file")


def test_a_document_and_a_log_of_one_name_have_two_schemas() -> None:
    from octavo.layout.load import parse_layout

    datamodel = parse_schema(
        'datasource db {\n provider = "postgresql"\n url = ""\n}\n'
        "model A {\n id Int @id\n}\nmodel B {\n id Int @id\n}",
        "two.prisma",
    )
    text = 'version = 1\n[documents]\n"x/a.json" = { all = "A" }\n[logs]\n"x/a.jsonl" = ["B"]\n'
    schemas = file_schemas(datamodel, parse_layout(text, datamodel))
    assert set(schemas) == {"x/a.json.schema.json", "x/a.jsonl.schema.json"}
    assert all("without a version" in schema["description"] for schema in schemas.values())
