"""What a new record gets where nothing was given: every default that a schema can have."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import msgspec
import pytest

from octavo.query.vocabulary import Defaults, Vocabulary, generator, moment
from octavo.schema.parser import parse_schema
from octavo.schema.texts import frozen_schema

SCHEMA = """
datasource db {
  provider = "postgresql"
  url      = env("DATABASE_URL")
}
enum Mood {
  GLAD
  SAD
}
model Thing {
  id      Int       @id @default(autoincrement())
  made    String    @default(dbgenerated("gen_random_uuid()"))
  uuid    String    @default(uuid(7))
  nano    String    @default(nanoid(5))
  flag    Boolean   @default(true)
  whole   Int       @default(-3)
  big     BigInt    @default(9007199254740993)
  float   Float     @default(1.5)
  decimal Decimal   @default(1.50) @db.Decimal(5, 3)
  text    String    @default("x")
  json    Json      @default("{\\"b\\": 1, \\"a\\": 2}")
  bytes   Bytes     @default("AP8=")
  at      DateTime  @default("2025-01-02T03:04:05Z")
  now     DateTime  @default(now()) @db.Timestamptz(6)
  day     DateTime  @default(now()) @db.Date
  mood    Mood      @default(SAD)
  moods   Mood[]    @default([SAD, GLAD])
  none    Float?
  nothing Json?
  touched DateTime? @updatedAt
}
"""


def test_every_kind_of_default_in_its_stored_form() -> None:
    defaults = Defaults(Vocabulary(parse_schema(SCHEMA))["Thing"])
    now = datetime(2025, 11, 22, 12, 34, 56, 789000, tzinfo=UTC)
    row = defaults.fill({"text": "given"}, now)
    assert re.fullmatch(
        r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", row.pop("uuid")
    )
    assert re.fullmatch(r"[A-Za-z0-9_-]{5}", row.pop("nano"))
    assert "nothing" in row
    assert row.pop("nothing") is msgspec.UNSET
    assert {k: bytes(v) if type(v) is msgspec.Raw else v for k, v in row.items()} == {
        "flag": True,
        "whole": -3,
        "big": "9007199254740993",
        "float": b"1.5",
        "decimal": "1.500",
        "text": "given",
        "json": b'{"a": 2, "b": 1}',
        "bytes": b"\x00\xff",
        "at": "2025-01-02T03:04:05.000Z",
        "now": "2025-11-22T12:34:56.789000Z",
        "day": "2025-11-22",
        "mood": "SAD",
        "moods": ["SAD", "GLAD"],
        "none": b"null",
        "touched": "2025-11-22T12:34:56.789Z",
    }


def test_a_default_list_is_not_shared() -> None:
    defaults = Defaults(Vocabulary(parse_schema(SCHEMA))["Thing"])
    assert defaults.fill({}, moment())["moods"] is not defaults.fill({}, moment())["moods"]


def test_now_is_in_milliseconds() -> None:
    assert moment().microsecond % 1000 == 0
    assert moment().tzinfo is UTC


@pytest.mark.parametrize(
    ("name", "argument", "pattern"),
    [
        ("uuid", None, r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"),
        ("uuid", 7, r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"),
        ("cuid", None, r"c[0-9a-z]{24}"),
        ("cuid", 2, r"[a-z][0-9a-z]{23}"),
        ("ulid", None, r"0[0-9A-HJKMNP-TV-Z]{25}"),
        ("nanoid", None, r"[A-Za-z0-9_-]{21}"),
        ("nanoid", 8, r"[A-Za-z0-9_-]{8}"),
    ],
)
def test_identifiers_have_their_form_and_do_not_repeat(name: str, argument: int | None, pattern: str) -> None:
    made = [generator(name, argument)() for _ in range(500)]
    assert all(re.fullmatch(pattern, one) for one in made)
    assert len(set(made)) == 500


def test_records_of_a_model_have_one_type() -> None:
    datamodel = frozen_schema()
    assert Vocabulary(datamodel)["Tag"].type is Vocabulary(datamodel)["Tag"].type


def test_every_model_of_the_frozen_schema_has_terms() -> None:
    datamodel = frozen_schema()
    vocabulary = Vocabulary(datamodel)
    for model in datamodel.tables:
        terms = vocabulary[model.name]
        assert terms.key
        assert set(terms.links) == {r.name for r in model.relations}
        for link in terms.links.values():
            opposite = vocabulary.opposite(link)
            assert (opposite.model, opposite.target) == (link.target, link.model)
            assert (opposite.fields, opposite.references) == (link.references, link.fields)
            assert vocabulary.opposite(opposite) == link
