"""The fast way and the careful way give the same row for a text, or none; neither ever gives another."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from io import BytesIO
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from octavo.errors import DamagedError
from octavo.fold.restore import Lines
from octavo.layout.codec import Codec, Codecs, Decoded
from octavo.layout.found import Entry, Many
from octavo.layout.layout import Layout
from octavo.layout.load import parse_layout
from octavo.layout.record import plain
from octavo.layout.scan import Scanner
from octavo.schema.parser import parse_schema
from octavo.values.lists import array_text

SCHEMA = """
datasource db {
  provider = "postgresql"
  url = ""
}
enum Mood {
  good @map("GOOD \\"one\\"")
  bad
}
model Book {
  data Json?
  id String @id
  title String?
  pages Int
  small Int? @db.SmallInt
  flag Boolean
  price Decimal?
  mood Mood?
  at DateTime
  instant DateTime? @db.Timestamptz(6)
  day DateTime @db.Date
  clock DateTime? @db.Time(3)
  raw Json? @db.Json
  float Float?
  big BigInt
  bytes Bytes
  words String[]
  floats Float[]
  jsons Json[]
  flags Boolean[]
  other Unsupported("point")?
  notes Note[]
}
model Note {
  extra Json?
  id Int @id
  bookId String
  text String
  book Book @relation(fields: [bookId], references: [id])
}
"""
WAYS = {
    "log": '[logs]\n"a.jsonl" = ["Book"]',
    "file": '[files]\n"a/{id}.json" = "Book"',
    "document": '[documents]\n"a.json" = { all = "Book" }',
}


def layout_of(way: str) -> Layout:
    datamodel = parse_schema(SCHEMA, "books.prisma")
    return parse_layout(f'version = 1\n{WAYS[way]}\n[embedded]\nNote = "Book.notes"', datamodel)


CODECS = {way: Codec(layout_of(way), layout_of(way).place("Book")) for way in WAYS}

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)
NUMBER = st.integers(-(2**31), 2**31 - 1)
FLOAT = st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from(["NaN", "Infinity", "-Infinity"])
CLOCK = st.times().map(lambda t: f"{t.isoformat('milliseconds')}Z")
INSTANT = (
    st.datetimes().map(lambda t: f"{t.isoformat('T', 'milliseconds')}Z")
    | st.just("infinity")
    | st.builds("{:+07}-02-28T{}".format, st.integers(10000, 294276) | st.integers(-4712, -1), CLOCK)
)
BOOK = st.fixed_dictionaries(
    {
        "id": TEXT,
        "title": TEXT | st.none(),
        "pages": NUMBER,
        "small": st.integers(-(2**15), 2**15 - 1) | st.none(),
        "flag": st.booleans(),
        "price": st.decimals(allow_nan=False, allow_infinity=False, places=3).map(str) | st.none(),
        "mood": st.sampled_from(["good", "bad", None]),
        "at": INSTANT,
        "instant": st.datetimes().map(lambda t: f"{t.isoformat('T', 'microseconds')}Z") | st.none(),
        "day": st.dates().map(str),
        "clock": st.sampled_from(["24:00:00", "12:34:56.7", None]),
        "float": FLOAT | st.none(),
        "big": st.integers(-(2**63), 2**63 - 1).map(str),
        "bytes": st.sampled_from(["", "AA==", "AP8="]),
        "words": st.lists(TEXT | st.none(), max_size=3) | st.none(),
        "floats": st.lists(FLOAT | st.none(), max_size=2),
        "jsons": st.lists(JSON, max_size=2) | st.none(),
        "flags": st.lists(st.booleans() | st.none(), max_size=2),
        "other": TEXT | st.none(),
        "notes": st.lists(
            st.fixed_dictionaries({"id": NUMBER, "text": TEXT}, optional={"extra": JSON}), max_size=3
        ),
    },
    optional={"data": JSON, "raw": JSON},
)


def spelled(book: dict[str, Any], way: str) -> bytes:
    """The record as Octavo writes it."""
    # What is Json is written in a line, as PostgreSQL does.
    inline = {key: compact(book[key]) for key in ("data", "raw") if key in book}
    if way == "log":
        return compact({"_model": "Book", **book})
    if way == "file":
        book = {"_version": 1, **book}
    members = []
    depth = 0 if way == "file" else 2
    inner = "\n" + "  " * (depth + 1)
    for key, value in book.items():
        text = inline[key].decode() if key in inline else compact(value).decode()
        if key == "notes" and value:
            text = f"[{','.join(inner + '  ' + note(v, depth + 2) for v in value)}{inner}]"
        members.append(f'{inner}"{key}": {text}')
    ending = "\n" + "  " * depth + "}" + "\n" * (way == "file")
    return ("{" + ",".join(members) + ending).encode()


def note(value: dict[str, Any], depth: int) -> str:
    inner = "\n" + "  " * (depth + 1)
    members = ",".join(f'{inner}"{key}": {compact(v).decode()}' for key, v in value.items())
    return "{" + members + "\n" + "  " * depth + "}"


def compact(value: Any) -> bytes:
    return msgspec.json.encode(value)


def seen(read: Callable[[bytes], Decoded], text: bytes) -> Any:
    """What a way gives for a text: the rows, as themselves and as PostgreSQL's texts; None where it
    refuses."""
    try:
        found = read(text)
    except (DamagedError, msgspec.MsgspecError, ValueError, RecursionError):
        return None
    codec = CODECS["log"]
    record = Entry(codec, found, codec.key_of(found.row))
    rows = [plain(row) for rows in found.embedded.values() for row in rows]
    embedded = [(place.model.name, values) for place, values in record.embedded]
    return plain(found.row), rows, record.values, embedded, record.key


@given(BOOK, st.sampled_from(list(WAYS)))
def test_what_is_as_written_goes_both_ways(book: dict[str, Any], way: str) -> None:
    text = spelled(book, way)
    fast = seen(CODECS[way].quickly, text)
    assert fast is not None
    assert fast == seen(CODECS[way].carefully, text)


DAMAGE = st.tuples(
    st.integers(0, 2000),
    st.integers(0, 3),
    st.sampled_from([*'{}[]",:\\/ \n0-.eENt1"', "\0", "null", "\\u0000", "\\ud800", "1,", '"a":1,', "\x80"])
    | st.text(max_size=2),
)


@given(BOOK, st.sampled_from(list(WAYS)), st.lists(DAMAGE, min_size=1, max_size=2))
def test_what_is_damaged_gives_no_other_row_the_fast_way(book: Any, way: str, damages: Any) -> None:
    text = spelled(book, way)
    for place, removed, put in damages:
        at = place % (len(text) + 1)
        text = text[:at] + put.encode("utf-8", "surrogatepass") + text[at + removed :]
    fast = seen(CODECS[way].quickly, text)
    careful = seen(CODECS[way].carefully, text)
    assert fast is None or fast == careful
    assert seen(CODECS[way].decode, text) == careful


@given(BOOK, st.sampled_from(list(WAYS)), st.randoms())
def test_a_key_that_stands_twice_is_never_passed_over(book: Any, way: str, random: Any) -> None:
    text = spelled(book, way)
    key = random.choice(list(book))
    member = json.dumps({key: book[key]}, ensure_ascii=False, separators=(",", ":"))[1:-1].encode()
    end = text.rindex(b"}")
    doubled = text[:end].rstrip() + b"," + member + text[end:]
    with pytest.raises(DamagedError, match=f"duplicate key '{key}'"):
        CODECS[way].decode(doubled)


TIMES = ("at", "instant")


@given(st.lists(BOOK, min_size=1, max_size=3), st.booleans())
def test_many_rows_are_sent_as_each_alone_but_for_the_spelling_of_times(books: Any, whole: bool) -> None:
    layout, codec = layout_of("log"), CODECS["log"]
    decoded = [codec.decode(spelled(book, "log")) for book in books]
    text = b"".join(codec.encode(found.row, found.embedded) + b"\n" for found in decoded)
    (family,) = layout.families
    (many,) = Scanner(family, Codecs(layout)).scan("a.jsonl", BytesIO(text))
    assert isinstance(many, Many)
    for place in layout.places:
        lines = Lines(layout.datamodel, place.model, () if whole else ("pages", "extra"))
        codec, rows = many.of(place)
        names = [f.name for f in place.model.scalars if whole or f.name not in ("pages", "extra")]
        fast = lines.many(codec, rows, many.text).split(b"\n")
        for line, alone in zip(fast, [*(lines.one(codec.texts(row)) for row in rows), b""], strict=True):
            found = [line.split(b"\t"), alone.rstrip(b"\n").split(b"\t")]
            for texts in found if alone else ():
                shown = dict(zip(names, texts, strict=True))
                texts[:] = [moment(v) if name in TIMES else v for name, v in shown.items()]
            assert found[0] == found[1]


def moment(text: bytes) -> bytes:
    """A time as it is with a year of four digits, whichever way it is spelled."""
    if not b"1" <= text[:1] < b":" or text[4:5] != b"-" or text.endswith(b" BC"):
        return text
    return datetime.fromisoformat(text.decode()).replace(tzinfo=None).isoformat().encode()


@given(st.lists(st.binary(max_size=6).filter(lambda b: b"\0" not in b) | st.none(), max_size=5))
@example([b"NULL", b"null", b"nulls", b"", b"{", b",", b";", b'"', b"\\", b" ", b"\x0b", b"\xa0", None])
def test_arrays_are_printed_so_that_they_can_be_told_apart(elements: list[bytes | None]) -> None:
    text = array_text(elements)
    assert text[:1] + text[-1:] == b"{}"
    assert split(text) == elements


def split(text: bytes) -> list[bytes | None]:
    """The elements of an array's text, by the rules of array_in."""
    found: list[bytes | None] = []
    at = 1
    while text[at : at + 1] != b"}":
        if text[at : at + 1] == b'"':
            value, at = bytearray(), at + 1
            while text[at : at + 1] != b'"':
                at += text[at : at + 1] == b"\\"
                value += text[at : at + 1]
                at += 1
            found.append(bytes(value))
            at += 1
        else:
            end = min(i for i in (text.find(b",", at), len(text) - 1) if i >= 0)
            found.append(None if text[at:end] == b"NULL" else text[at:end])
            at = end
        at += text[at : at + 1] == b","
    return found
