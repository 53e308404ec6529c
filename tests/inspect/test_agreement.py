"""Two readers read the files, the client's and that of the checks: a check says where they differ."""

from __future__ import annotations

import random
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from octavo.errors import DamagedError
from octavo.fold.scaffold import scaffold
from octavo.inspect.agreement import ClientReader
from octavo.inspect.doctor import examine
from octavo.inspect.findings import Kind
from octavo.layout.keys import KeyForm
from octavo.layout.layout import Layout
from octavo.layout.listing import contents
from octavo.layout.load import default_layout, frozen_layout
from octavo.layout.scan import Entry, Reader
from octavo.layout.stored import encode, replaced, value_of
from octavo.layout.storedcodec import Codec
from octavo.move.verify import VerifyOptions, verify
from octavo.postgres.connection import connect
from octavo.query.vocabulary import Vocabulary
from octavo.schema.ddl import ddl
from octavo.schema.parser import parse_schema
from octavo.store.content import Contents
from octavo.url import DatabaseUrl
from parity.keyed import keyed
from parity.worlds import World

LIKES = default_layout(
    parse_schema("model Like {\n  postId Int\n  userId Int\n  @@id([userId, postId])\n}\n")
)
LINES = (
    b'{"_model":"Like","postId":1,"userId":2}\n'
    b'{"_model":"Like","postId":2,"userId":1}\n'
    b'{"_model":"Like","userId":1,"postId":2,"_deleted":true}\n'
)


@pytest.fixture
def likes(tmp_path: Path) -> Path:
    """A store from which a record was deleted."""
    scaffold(tmp_path / "data", LIKES)
    (tmp_path / "data/like.jsonl").write_bytes(LINES)
    return tmp_path / "data"


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the client read the key of a tombstone in the order of the columns, as it once did."""

    def named(self: KeyForm, found: Any) -> Any:
        values = {f.name: value_of(f, column, found.get(f.name)) for f, column in self.fields}
        return self.key([values[f.name] for f in self.model.scalars if f.name in values])

    monkeypatch.setattr(KeyForm, "named", named)


@pytest.mark.usefixtures("faulty")
def test_doctor_finds_what_the_client_reads_otherwise(likes: Path) -> None:
    diagnosis = examine(likes, LIKES)
    assert not diagnosis.sound
    assert [(f.kind, f.line, f.key, f.reason) for f in diagnosis.findings.all()] == [
        (Kind.READ_OTHERWISE, 1, {"userId": 2, "postId": 1}, "the client does not read this record"),
        (Kind.READ_OTHERWISE, 0, {"userId": 1, "postId": 2}, "the client reads a record that does not count"),
    ]


def verified(database: str, data: Path) -> list[tuple[str, dict[str, Any], str]]:
    with connect(database) as connection:
        connection.execute(ddl(LIKES.datamodel).script().encode())
        connection.execute('INSERT INTO "Like" VALUES (1, 2)')
    report = verify(DatabaseUrl.parse(database), data, LIKES, VerifyOptions(data / "none"))
    assert report.equal is not bool(report.differences)
    return [(d.kind.value, dict(d.key), d.reason) for d in report.differences]


@pytest.mark.usefixtures("faulty")
def test_verify_finds_what_the_client_reads_otherwise(likes: Path, database: str) -> None:
    assert verified(database, likes) == [
        ("damaged", {"userId": 2, "postId": 1}, "the client does not read this record"),
        ("damaged", {"userId": 1, "postId": 2}, "the client reads a record that this line removes"),
    ]


def test_nothing_is_found_where_both_read_the_same(likes: Path, database: str) -> None:
    assert verified(database, likes) == []
    assert examine(likes, LIKES).findings.all() == []


def _other_value(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Codec.record

    def record(self: Codec, stored: Any) -> Any:
        return replaced(plain(self, stored), **{"name": "other"} if hasattr(stored, "name") else {})

    monkeypatch.setattr(Codec, "record", record)


def _other_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Codec.embedded

    def embedded(self: Codec, stored: Any, child: Codec) -> Any:
        return plain(self, replaced(stored, id="other"), child)

    monkeypatch.setattr(Codec, "embedded", embedded)


def _more(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Contents.records

    def records(self: Contents, path: str, data: bytes) -> Any:
        found = plain(self, path, data)
        for live in found.values():
            live["more"] = object()
        return found

    monkeypatch.setattr(Contents, "records", records)


def _refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    def document(self: Contents, path: str, data: bytes) -> Any:
        raise DamagedError("is refused", file=path, line=2, model=self.family.places[0].model.name)

    monkeypatch.setattr(Contents, "document", document)


@pytest.mark.parametrize(
    ("plant", "reason"),
    [
        (_other_value, "the client reads other values"),
        (_other_parent, "the client reads other values"),
        (_more, "the client reads a record that does not count"),
        (_refusal, "is refused"),
    ],
)
def test_any_difference_is_found(
    exported: Path, monkeypatch: pytest.MonkeyPatch, plant: Callable[[pytest.MonkeyPatch], None], reason: str
) -> None:
    plant(monkeypatch)
    found = examine(exported, frozen_layout()).findings.kept[Kind.READ_OTHERWISE]
    assert {finding.reason for finding in found} == {reason}


# Whatever stands in a file

PIECES = [
    *(
        b"null",
        b"true",
        b'""',
        b"0",
        b"-0",
        b"1e400",
        b"[]",
        b"{}",
        b"{",
        b"}",
        b",",
        b":",
        b'"',
        b"\\",
        b" ",
    ),
    *(b"\r", b"\n", b"\0", b"\xff", b"\\u0000", b"\\ud800", b"\xef\xbb\xbf", b'"_deleted":true', b'"id":"x"'),
    *(b"infinity", b"NaN", b"24:00", b"[" * 3000, b"2025-02-30", b'"_version":2', b'"unknown":[1]'),
]


_VALUE = re.compile(rb"(?<=[:\\[,])(?:\"(?:[^\"\\\\]|\\\\.)*\"|[^][{},:\" \n]+)")


def damaged(rng: random.Random, data: bytes) -> bytes:
    """Bytes with one to three changes: tokens, characters and lines that go, come, change or repeat."""
    for _ in range(rng.choice((1, 1, 2, 3))):
        at = rng.randrange(len(data) + 1)
        until = min(at + rng.choice((0, 1, 1, 4, 20)), len(data))
        match rng.randrange(4):
            case 0:
                data = data[:at] + rng.choice(PIECES) + data[until:]
            case 1:
                values = list(_VALUE.finditer(data))
                if values:
                    start, end = rng.choice(values).span()
                    data = data[:start] + rng.choice(PIECES) + data[end:]
            case 2:
                lines = data.splitlines(keepends=True)
                lines.insert(rng.randrange(len(lines) + 1), rng.choice(lines or [b"\n"]))
                data = b"".join(lines)
            case 3:
                data = data[:at] + data[until:]
    return data


def readings(layout: Layout, client: ClientReader, root: Path, path: str) -> Iterator[tuple[bool, list[str]]]:
    """Whether the reader of the checks finds damage, and where the client differs from it."""
    for file in contents(layout, root).files:
        if file.path == path:
            reading, is_damaged = client.read(root, file), False
            for item in Reader(layout, root).read(file):
                if type(item) is Entry:
                    reading.take(item)
                is_damaged |= isinstance(item, DamagedError)
            yield is_damaged, [str(error) for error in reading.differences()]


def random_store(seed: int, root: Path) -> Layout:
    """A store with records of random keys, and of every type that a key can have."""
    layout = default_layout(keyed(seed).datamodel)
    scaffold(root, layout)
    world = World(Vocabulary(layout.datamodel), records=4, seed=seed)
    for place in layout.places:
        records = world.backend.rows[place.model.name].values()
        (root / place.path).write_bytes(b"".join(encode(record) + b"\n" for record in records))
    return layout


@pytest.mark.parametrize("seed", range(4))
def test_both_read_the_same_whatever_stands_in_a_file(seed: int, exported: Path, tmp_path: Path) -> None:
    rng, root = random.Random(seed), tmp_path / "data"
    if seed:
        layout = random_store(seed, root)
    else:
        layout = frozen_layout()
        shutil.copytree(exported, root, ignore=shutil.ignore_patterns("cache"))
    client, sound = ClientReader(layout), 0
    for family in layout.families:
        files = [file for file in contents(layout, root).files if file.family is family]
        path = min(files, key=lambda file: -file.size).path
        before = (root / path).read_bytes()
        for _ in range(40):
            changed = damaged(rng, before)
            (root / path).write_bytes(changed)
            for is_damaged, differences in readings(layout, client, root, path):
                if not is_damaged:
                    assert differences == [], changed
                    sound += 1
        (root / path).write_bytes(before)
    assert sound > 20
