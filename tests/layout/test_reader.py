"""Damage is named: file, line, model and field; what can be read is; nothing is taken for absent."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from octavo.errors import DamagedError
from octavo.layout.found import Entry, Found, UnknownKey
from octavo.layout.layout import Layout
from octavo.layout.listing import contents, payload_files, payload_path
from octavo.layout.load import parse_layout
from octavo.layout.reader import Reader
from octavo.schema.parser import parse_schema

HEAD = 'datasource db {\n provider = "postgresql"\n url = ""\n}\n'
SCHEMA = f"""{HEAD}
enum Mood {{
  good @map("GOOD")
  bad
}}
model Book {{
  id String @id
  title String
  pages Int
  price Decimal?
  mood Mood
  at DateTime
  data Json?
  raw Json? @db.Json
  float Float?
  big BigInt
  bytes Bytes
  list String[]
  filepath String
  notes Note[]
  lines Line[]
}}
model Note {{
  bookId String
  text String
  book Book @relation(fields: [bookId], references: [id])
  @@id([bookId, text])
}}
model Line {{
  id Int @id
  bookId String
  text String
  book Book @relation(fields: [bookId], references: [id])
}}
model Word {{
  id Int @id
  word String
}}
model Card {{
  id String @id
  text String
  json Json
}}
"""
LAYOUT = """
version = 1
[documents]
"words.json" = { words = "Word" }
[files]
"cards/{id}.json" = "Card"
[logs]
"books/index.jsonl" = ["Book"]
[logs_per_parent]
"lines/{bookId}.jsonl" = "Line"
[embedded]
Note = "Book.notes"
[payloads]
folder = "payloads"
path = { Book = "filepath" }
"""
BOOK: dict[str, Any] = {
    "_model": "Book",
    "id": "b1",
    "title": "A títle",
    "pages": 3,
    "price": "1.50",
    "mood": "good",
    "at": "2025-11-22T12:34:56.789Z",
    "data": {"a": [1, {}]},
    "float": 1.5,
    "big": "9007199254740993",
    "bytes": "AP8=",
    "list": ["a", "b"],
    "filepath": "x.png",
    "notes": [{"text": "one"}, {"text": "two"}],
}
VALUES = [
    *(b"b1", "A títle".encode(), b"3", b"1.50", b"GOOD", b"2025-11-22 12:34:56.789", b'{"a":[1,{}]}', None),
    *(b"1.5", b"9007199254740993", b"\\x00ff", b"{a,b}", b"x.png"),
]
LINES = "lines/b1.jsonl"
LINE = b'{"_model":"Line","id":1,"bookId":"b1","text":"t\xc3\xa9xt"}'


def compact(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


@pytest.fixture(scope="module")
def layout() -> Layout:
    return parse_layout(LAYOUT, parse_schema(SCHEMA, "books.prisma"))


class Store:
    """A small store whose files are written by hand."""

    def __init__(self, layout: Layout, root: Path) -> None:
        self.layout, self.root = layout, root
        for folder in layout.folders:
            (root / folder).mkdir()
        self.write("words.json", b'{\n  "_version": 1,\n  "words": []\n}\n')
        self.write("books/index.jsonl", b"")

    def write(self, path: str, content: bytes) -> None:
        (self.root / path).write_bytes(content)

    def read(self, path: str) -> list[Found]:
        (file,) = [f for f in contents(self.layout, self.root).files if f.path == path]
        return list(Reader(self.layout, self.root).read(file))

    def damage(self, path: str, content: bytes) -> DamagedError:
        """The one thing found in a file of this content."""
        self.write(path, content)
        (found,) = self.read(path)
        assert isinstance(found, DamagedError), found
        assert found.file == path
        assert str(found).startswith(path)
        return found


@pytest.fixture
def store(layout: Layout, tmp_path: Path) -> Store:
    return Store(layout, tmp_path)


def only_record(found: list[Found]) -> Entry:
    (record,) = found
    assert isinstance(record, Entry), record
    return record


def test_a_record_as_it_is_written(store: Store) -> None:
    store.write("books/index.jsonl", compact(BOOK) + b"\n")
    record = only_record(store.read("books/index.jsonl"))
    assert (record.values, record.line, record.deleted) == (VALUES, 1, False)
    assert [(p.model.name, v) for p, v in record.embedded] == [
        ("Note", [b"b1", b"one"]),
        ("Note", [b"b1", b"two"]),
    ]
    assert (record.sha256, record.unknown, record.key) == (None, [], [b"b1"])


@pytest.mark.parametrize(
    "text",
    [
        compact(BOOK),
        compact(BOOK) + b"\r\n",
        b" " + compact(BOOK) + b" \t\n",
        b"\n \r\n" + compact(BOOK) + b"\n\n",
        json.dumps(BOOK, separators=(",", ":")).encode(),
        json.dumps(BOOK).encode().replace(b'{"a": [1, {}]}', b'{"a":[1,{}]}'),
        compact(dict(reversed(BOOK.items()))),
        compact(BOOK).replace(b'"id"', b'"\\u0069d"').replace(b'"_model"', b'"\\u005fmodel"'),
    ],
    ids=["no end", "CRLF", "blanks", "blank lines", "ASCII", "spaced", "reversed", "escaped keys"],
)
def test_other_spellings_mean_the_same(store: Store, text: bytes) -> None:
    store.write("books/index.jsonl", text)
    record = only_record(store.read("books/index.jsonl"))
    assert record.values == VALUES
    assert len(record.embedded) == 2
    assert not record.unknown


def changed(**members: Any) -> bytes:
    return compact(BOOK | members)


def without(key: str) -> bytes:
    return compact({k: v for k, v in BOOK.items() if k != key})


DAMAGED: dict[str, tuple[bytes, str, str]] = {
    "missing field": (without("title"), "title", "is missing"),
    "missing nullable field": (without("price"), "price", "is missing"),
    "missing list": (without("list"), "list", "is missing"),
    "missing array": (without("notes"), "notes", "is missing"),
    "array that is none": (changed(notes={}), "notes", "is not an array"),
    "array that is null": (changed(notes=None), "notes", "is not an array"),
    "null": (changed(title=None), "title", "Expected str, got null"),
    "wrong type": (changed(title=5), "title", "Expected str, got int"),
    "string for a number": (changed(pages="3"), "pages", "Expected int, got str"),
    "fraction": (changed(pages=1.5), "pages", "Expected int, got float"),
    "number out of range": (changed(pages=2**31), "pages", "Expected int <= 2147483647"),
    "number far out of range": (changed(pages=10**400), "pages", "Expected int"),
    "big number out of range": (changed(big=str(2**63)), "big", "is not a 64-bit whole number in a string"),
    "big number as a number": (changed(big=5), "big", "Expected str, got int"),
    "decimal": (changed(price="1e5"), "price", "is not a decimal number in a string"),
    "float": (changed(float="1.5"), "float", "is neither a number nor"),
    "float out of range": (compact(BOOK).replace(b"1.5,", b"1e999,"), "float", "is a number too large"),
    "unknown enum value": (changed(mood="GOOD"), "mood", "Invalid enum value 'GOOD'"),
    "invalid day": (changed(at="2025-02-29T00:00:00.000Z"), "at", "is not a valid date"),
    "invalid hour": (changed(at="2025-02-28T24:00:00.000Z"), "at", "is not a UTC time"),
    "fraction digits": (changed(at="2025-02-28T00:00:00.00Z"), "at", "with 3 fraction digits"),
    "no zone": (changed(at="2025-02-28T00:00:00.000"), "at", "is not a UTC time"),
    "year beyond": (changed(at="+294277-01-01T00:00:00.000Z"), "at", "is out of PostgreSQL's range"),
    "year too long": (changed(at="+002025-01-01T00:00:00.000Z"), "at", "more digits than it needs"),
    "base64": (changed(bytes="AP8"), "bytes", "Invalid base64 encoded string"),
    "list element": (changed(list=["a", 5]), "list", "got int - at $[1]"),
    "NUL": (changed(title="a\0b"), "title", "contains U+0000"),
    "NUL in a list": (changed(list=["a\0b"]), "list", "contains U+0000"),
    "NUL in jsonb": (changed(data={"a": ["\0"]}), "data", "contains U+0000 or half a surrogate pair"),
    "lone surrogate": (compact(BOOK).replace(b'"A t', b'"\\ud800 t'), "title", "JSON is malformed"),
    "lone surrogate in jsonb": (
        compact(BOOK).replace(b"[1,", b'["\\udc00",'),
        "data",
        "half a surrogate pair",
    ),
    "broken UTF-8": (compact(BOOK).replace(b"\xc3\xad", b"\xc3"), "title", "is not UTF-8"),
    "broken UTF-8 in Json": (compact(BOOK).replace(b"[1,", b'["\xff",'), "data", "is not UTF-8"),
    "broken UTF-8 in an unknown key": (compact(BOOK)[:-1] + b',"x":"\xff"}', "", "is not UTF-8"),
    "digest": (changed(_sha256="A" * 64), "_sha256", "is no SHA-256"),
    "digest that is none": (changed(_sha256=None), "_sha256", "Expected str, got null"),
    "exact text of another": (changed(_text={"raw": "1"}), "_text", "is not the text of raw"),
    "key twice": (compact(BOOK)[:-1] + b',"pages":4}', "", "duplicate key 'pages'"),
    "key twice, alike": (compact(BOOK)[:-1] + b',"pages":3}', "", "duplicate key 'pages'"),
    "_model twice": (compact(BOOK)[:-1] + b',"_model":"Book"}', "", "duplicate key '_model'"),
    "unknown model": (changed(_model="Line"), "", "_model is 'Line', which does not live here"),
    "no model": (without("_model"), "", "has no _model"),
    "model that is no name": (changed(_model=5), "", "_model is no name"),
    "two records glued": (compact(BOOK) * 2, "", "unexpected text after the end"),
    "comma": (compact(BOOK) + b",", "", "unexpected text after the end"),
    "cut": (compact(BOOK)[:-1], "", "the text is cut"),
    "NUL run": (b"\0" * 100, "", "holds nothing but NUL bytes"),
    "NUL run behind": (compact(BOOK) + b"\0" * 100, "", "holds NUL bytes"),
    "byte order mark": (b"\xef\xbb\xbf" + compact(BOOK), "", "starts with a byte order mark"),
    "no object": (b"[]", "", "is not an object"),
    "no JSON": (b"<html>", "", "is not an object"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damage_in_a_line(store: Store, name: str) -> None:
    line, field, reason = DAMAGED[name]
    good = compact(BOOK | {"id": "good"})
    store.write("books/index.jsonl", good + b"\n\n" + line + b"\n" + good)
    before, found, after = store.read("books/index.jsonl")
    assert isinstance(before, Entry)
    assert isinstance(found, DamagedError)
    assert isinstance(after, Entry)
    assert (found.file, found.line, found.field) == ("books/index.jsonl", 3, field)
    assert reason in found.reason
    assert found.model == "Book" or not field
    assert "títle" not in str(found), "values may be secrets"


def test_damage_inside_what_is_embedded(store: Store) -> None:
    error = store.damage("books/index.jsonl", changed(notes=[{"text": "one"}, {"text": 2}]))
    assert (error.model, error.field, error.line) == ("Note", "text", 1)
    error = store.damage("books/index.jsonl", changed(notes=[{}]))
    assert (error.model, error.field, error.reason) == ("Note", "text", "is missing")
    error = store.damage(
        "books/index.jsonl", compact(BOOK).replace(b'{"text":"one"}', b'{"text":"a","text":"b"}')
    )
    assert "duplicate key 'text'" in error.reason


def test_a_line_torn_at_every_byte(store: Store) -> None:
    for end in range(1, len(LINE)):
        error = store.damage(LINES, LINE[:end])
        assert (error.line, error.reason) != (0, "")
        store.write(LINES, LINE + b"\n" + LINE[:end])
        record, error_behind = store.read(LINES)
        assert isinstance(record, Entry)
        assert isinstance(error_behind, DamagedError)
        assert error_behind.line == 2
    store.write(LINES, LINE)
    assert only_record(store.read(LINES)).values == [b"1", b"b1", "téxt".encode()]


def test_every_byte_put_out_of_joint_is_told_or_harmless(store: Store) -> None:
    """A line with a byte replaced is damage, or a record that has just this byte elsewhere."""
    store.write(LINES, LINE)
    expected = only_record(store.read(LINES)).values
    for at in range(len(LINE)):
        for wrong in (0, 0xFF, ord('"'), ord("{"), LINE[at] ^ 1):
            store.write(LINES, LINE[:at] + bytes([wrong]) + LINE[at + 1 :])
            for found in store.read(LINES):
                if isinstance(found, Entry):
                    differing = [a != b for a, b in zip(found.values, expected, strict=True)]
                    assert sum(differing) <= 1
                    assert not differing[1], "it would belong in another file"


def test_tombstones(store: Store) -> None:
    store.write("books/index.jsonl", b'{"_model":"Book","id":"b1","_deleted":true}\n')
    record = only_record(store.read("books/index.jsonl"))
    assert (record.deleted, record.values, record.key) == (True, [b"b1"], [b"b1"])
    error = store.damage("books/index.jsonl", b'{"_model":"Book","_deleted":true}')
    assert (error.model, error.field, error.reason) == ("Book", "id", "is missing")
    error = store.damage("books/index.jsonl", b'{"_model":"Book","id":5,"_deleted":true}')
    assert (error.field, error.reason) == ("id", "Expected str, got int")
    store.write("books/index.jsonl", changed(_deleted=False))
    record = only_record(store.read("books/index.jsonl"))
    assert not record.deleted
    assert [key for _, key in record.unknown] == ["_deleted"]


@pytest.mark.parametrize("number", [0, 1, 9000])
def test_a_log_is_read_as_far_as_it_went_when_it_was_listed(store: Store, number: int) -> None:
    later = LINE.replace(b'"id":1', b'"id":-1') + b"\n"
    store.write(LINES, b"".join(LINE.replace(b'"id":1', b'"id":%d' % n) + b"\n" for n in range(number)))
    (file,) = [f for f in contents(store.layout, store.root).files if f.path == LINES]
    with open(store.root / LINES, "ab") as log:
        log.write(later)
    found = list(Reader(store.layout, store.root).read(file))
    assert [int(entry.values[0] or b"") for entry in found if isinstance(entry, Entry)] == list(range(number))
    assert len(found) == number
    assert len(Reader(store.layout, store.root).hashes(file)) == number


def test_unknown_keys_are_kept_in_mind(store: Store) -> None:
    store.write("books/index.jsonl", changed(note="mine", notes=[{"text": "x", "n": 1, "bookId": "other"}]))
    record = only_record(store.read("books/index.jsonl"))
    assert record.values == VALUES
    assert record.embedded[0][1] == [b"b1", b"x"]
    unknown = [(place.model.name, key) for place, key in record.unknown]
    assert unknown == [("Book", "note"), ("Note", "n"), ("Note", "bookId")]
    store.write("words.json", b'{"mine": 1, "_version": 1, "words": []}')
    assert store.read("words.json") == [UnknownKey("words.json", "mine", b"1")]


def test_a_record_in_the_log_of_another_parent(store: Store) -> None:
    store.write(LINES, LINE + b"\n" + LINE.replace(b"b1", b"b2") + b"\n" + LINE)
    first, wrong, last = store.read(LINES)
    assert isinstance(first, Entry)
    assert isinstance(last, Entry)
    assert isinstance(wrong, DamagedError)
    assert (wrong.file, wrong.line, wrong.model) == (LINES, 2, "Line")
    assert wrong.reason == "a record that belongs in another file"


CARD = b'{\n  "_version": 1,\n  "id": "c",\n  "text": "t",\n  "json": {"a": 1}\n}\n'


def test_record_files(store: Store) -> None:
    store.write("cards/c.json", CARD)
    assert only_record(store.read("cards/c.json")).values == [b"c", b"t", b'{"a": 1}']
    damages: list[tuple[bytes, int, str, str]] = [
        (b"", 1, "", "the file is empty"),
        (b" \n", 2, "", "holds nothing but white space"),
        (b"\0" * 80, 1, "", "holds nothing but NUL bytes"),
        (CARD[:-20] + b"\0" * 20, 5, "", "holds NUL bytes"),
        (b"\xef\xbb\xbf" + CARD, 1, "", "starts with a byte order mark"),
        (CARD[:30], 3, "", "the text is cut"),
        (CARD.replace(b'"t"', b"5"), 4, "text", "Expected str, got int"),
        (CARD.replace(b'  "text": "t",\n', b""), 1, "text", "is missing"),
        (CARD.replace(b'"t"', b'"t",\n  "id": "c"'), 5, "", "duplicate key 'id'"),
        (CARD.replace(b"1,", b"2,", 1), 2, "_version", "is format version 2; this Octavo reads 1"),
        (CARD.replace(b'  "_version": 1,\n', b""), 1, "_version", "is missing"),
        (b'{"_version": 2}', 1, "_version", "is format version 2; this Octavo reads 1"),
        (CARD.replace(b'"c"', b'"d"'), 0, "", "a record that belongs in another file"),
        (CARD + CARD, 7, "", "unexpected text after the end"),
    ]
    for content, line, field, reason in damages:
        error = store.damage("cards/c.json", content)
        assert (error.line, error.field, error.reason) == (line, field, reason), content
    store.write("cards/c.json", CARD.replace(b"\n", b"\r\n"))
    assert only_record(store.read("cards/c.json")).values == [b"c", b"t", b'{"a": 1}']


def test_nesting_deeper_than_a_parser_goes(store: Store) -> None:
    deep = b"[" * 100_000 + b"1e400" + b"]" * 100_000
    store.write("cards/c.json", CARD.replace(b'{"a": 1}', deep))
    assert only_record(store.read("cards/c.json")).values == [b"c", b"t", deep]
    error = store.damage("cards/c.json", CARD.replace(b'{"a": 1}', deep[:-1]))
    assert error.line in (5, 6)
    error = store.damage("cards/c.json", CARD.replace(b'"t"', deep))
    assert error.field == "text"


def test_documents(store: Store) -> None:
    def words(*lines: bytes) -> bytes:
        return (
            b'{\n  "_version": 1,\n  "words": [\n'
            + b",\n".join(b"    " + line for line in lines)
            + b"\n  ]\n}\n"
        )

    good = b'{\n      "id": 1,\n      "word": "one"\n    }'
    store.write("words.json", words(good, b'{"id": 2, "word": 5}', b'{"id": 3, "word": "three"}'))
    one, wrong, three = store.read("words.json")
    assert isinstance(one, Entry)
    assert isinstance(three, Entry)
    assert isinstance(wrong, DamagedError)
    assert (one.line, wrong.line, three.line) == (4, 8, 9)
    assert (wrong.model, wrong.field, wrong.reason) == ("Word", "word", "Expected str, got int")
    wrong = store.damage("words.json", words(good.replace(b'"one"', b"null")))
    assert (wrong.line, wrong.field) == (6, "word")
    damages: list[tuple[bytes, int, str, str]] = [
        (b"", 1, "", "the file is empty"),
        (b"null", 1, "", "is not an object"),
        (words(good)[:-5], 8, "", "the text is cut"),
        (words(good).replace(b"}\n  ]", b"\n  ]"), 8, "", "a comma is missing"),
        (b'{"_version": 1}', 0, "words", "is missing"),
        (b'{"_version": 1, "words": {}}', 1, "words", "is not an array"),
        (b'{"_version": 1, "words": [], "words": []}', 1, "", "duplicate key 'words'"),
        (b'{"words": []}', 1, "_version", "is missing"),
        (b'{"_version": 7, "words": [1]}', 1, "_version", "is format version 7; this Octavo reads 1"),
        (b'{"_version": "1", "words": []}', 1, "_version", 'is format version "1"; this Octavo reads 1'),
        (b'{"_version": 1, "words": [5]}', 1, "", "is not an object"),
    ]
    for content, line, field, reason in damages:
        error = store.damage("words.json", content)
        assert (error.line, error.field, error.reason) == (line, field, reason), content


def test_what_the_folder_holds(store: Store) -> None:
    for path in ("lines/b1.jsonl", "cards/c.json"):
        store.write(path, b"")
    strays = ["cards/C.json", "cards/.json", "lines/x y.jsonl"]
    others = [
        "note.txt",
        "cards/c.json~",
        "cards/c.jsonl",
        "payloads/x",
        "payloads/zz/a",
        "a/b/c",
        "note.json",
    ]
    for path in [*strays, *others]:
        (store.root / path).parent.mkdir(parents=True, exist_ok=True)
        store.write(path, b"")
    for path in ("cards/folder.json", "payloads/0a"):
        (store.root / path).mkdir()
    store.write("cache/anything", b"")
    store.write("journal/anything", b"")
    store.write("payloads/0a/whatever", b"")
    (store.root / "words.json").unlink()
    (store.root / "cards" / "link.json").symlink_to("c.json")
    (store.root / "payloads" / "0b").symlink_to("0a")
    found = contents(store.layout, store.root)
    assert {f.path for f in found.files} == {"cards/c.json", "books/index.jsonl", "lines/b1.jsonl"}
    assert found.missing == ("words.json",)
    assert found.strays == tuple(sorted([*strays, "cards/folder.json", "cards/link.json", "payloads/0b"]))
    assert [f.path for f in found.of(store.layout.place("Line"))] == ["lines/b1.jsonl"]
    digest = "0a" + "1" * 62
    store.write(f"payloads/0a/{digest}", b"")
    assert payload_path(store.layout, digest) == f"payloads/0a/{digest}"
    assert list(payload_files(store.layout, store.root)) == [
        (digest, f"payloads/0a/{digest}"),
        ("", "payloads/0a/whatever"),
    ]


def test_files_are_a_sequence_in_the_order_of_the_layout_and_of_their_paths(store: Store) -> None:
    written = {f"lines/{name}.jsonl": 2 * n for n, name in enumerate(["b-1", "b", "a", "a0"])}
    for path, size in written.items():
        store.write(path, b"x" * size)
    files = contents(store.layout, store.root).files
    listed = list(files)
    families = [family.path for family in store.layout.families]
    assert listed == sorted(listed, key=lambda f: (families.index(f.family.path), f.path))
    assert {f.path: f.size for f in listed if f.family.varies} == written
    assert [files[n] for n in range(-len(files), len(files))] == [*listed, *listed]
    assert files[1:-1] == listed[1:-1]
    assert files.size == sum(f.size for f in listed)
    assert [f.path for f in files.of("words.json")] == ["words.json"]
    with pytest.raises(IndexError):
        files[len(files)]


@pytest.mark.parametrize("path", ["words.json", "books/index.jsonl", "cards/c.json"])
@pytest.mark.parametrize("happens", ["gone", "folder"])
def test_what_cannot_be_read_is_damage(store: Store, path: str, happens: str) -> None:
    store.write(path, b"{}")
    (file,) = [f for f in contents(store.layout, store.root).files if f.path == path]
    (store.root / path).unlink()
    if happens == "folder":
        (store.root / path).mkdir()
    (error,) = Reader(store.layout, store.root).read(file)
    assert isinstance(error, DamagedError)
    reason = {"gone": "No such file or directory", "folder": "Is a directory"}[happens]
    assert str(error) == f"{path}: cannot be read: {reason}"


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_what_may_not_be_read_is_damage(store: Store) -> None:
    (store.root / "words.json").chmod(0)
    (error,) = store.read("words.json")
    assert str(error) == "words.json: cannot be read: Permission denied"
    (store.root / "cards").chmod(0)
    with pytest.raises(PermissionError):
        contents(store.layout, store.root)


def test_several_models_in_one_log(tmp_path: Path) -> None:
    text = 'version = 1\n[logs]\n"all.jsonl" = ["Word", "Line", "Note", "Card", "Book"]'
    layout = parse_layout(text, parse_schema(SCHEMA, "books.prisma"))
    lines = [
        LINE,
        b'{"_model":"Word","id":1,"word":"x"}',
        b'{"word":"x","id":1,"_model":"Word"}',
        b'{"_model":"Word","id":"1","word":"x"}',
    ]
    (tmp_path / "all.jsonl").write_bytes(b"\n".join(lines))
    (file,) = contents(layout, tmp_path).files
    found = list(Reader(layout, tmp_path).read(file))
    assert [f.place.model.name if isinstance(f, Entry) else str(f) for f in found] == [
        "Line",
        "Word",
        "Word",
        "all.jsonl:4: Word.id: Expected int, got str",
    ]
