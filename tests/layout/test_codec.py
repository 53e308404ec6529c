"""Rows to text and back: the bytes of an export, and what the schema does not know is kept."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from msgspec.structs import replace

from octavo.errors import DamagedError
from octavo.layout.codec import Codec
from octavo.layout.layout import Kind, Layout
from octavo.layout.listing import File, contents
from octavo.layout.load import frozen_layout
from octavo.layout.order import file_order
from octavo.layout.record import keeping, model_of, plain
from octavo.values.time import time_key
from octavo.values.tokens import Members, elements

LAYOUT = frozen_layout()


def texts(layout: Layout, root: Path, file: File) -> list[tuple[Codec, bytes]]:
    """The text of each record in a file, with its codec."""
    data = (root / file.path).read_bytes()
    if file.family.kind is Kind.FILE:
        return [(Codec(layout, file.family.places[0]), data)]
    if file.family.kind is Kind.DOCUMENT:
        found = Members(data)
        spans = [(Codec(layout, p), found.take_span(p.array)) for p in file.family.places]
        return [(c, data[a:b]) for c, span in spans if span for a, b in elements(data, *span)]
    codecs = {p.model.name: Codec(layout, p) for p in file.family.places}
    return [(codecs[json.loads(line)["_model"]], line) for line in data.splitlines()]


def test_what_an_export_wrote_is_written_again_to_the_byte(exported: Path) -> None:
    seen = set()
    for file in contents(LAYOUT, exported).files:
        for codec, text in texts(LAYOUT, exported, file):
            for found in codec.decode(text), codec.carefully(text):
                assert codec.encode(found.row, found.embedded) == text
            seen.add(codec.place.model.name)
    assert seen == {p.model.name for p in LAYOUT.places if p.kind is not Kind.EMBEDDED}


def test_embedded_rows_have_their_parents_key(exported: Path) -> None:
    embedded = 0
    for file in contents(LAYOUT, exported).files:
        for codec, text in texts(LAYOUT, exported, file):
            found = codec.decode(text)
            assert model_of(plain(found.row)) is codec.place.model
            for child in codec.children:
                for row in found.embedded[child.name]:
                    embedded += 1
                    assert model_of(plain(row)) is child.place.model
                    assert getattr(row, child.place.relation.fields[0]) == found.row.id  # type: ignore[union-attr]
    assert embedded


def test_embedded_rows_are_written_in_their_order(exported: Path) -> None:
    codec = Codec(LAYOUT, LAYOUT.place("Character"))
    for path in (exported / "characters").iterdir():
        found = codec.decode(path.read_bytes())
        turned = {name: list(reversed(rows)) for name, rows in found.embedded.items()}
        assert codec.encode(found.row, turned) == path.read_bytes()


def test_unknown_keys_are_kept(exported: Path) -> None:
    codec = Codec(LAYOUT, LAYOUT.place("Character"))
    path = next(p for p in (exported / "characters").iterdir() if json.loads(p.read_text())["tags"])
    data = json.loads(path.read_text())
    data["note"] = {"mine": [1, 2]}
    data["tags"][0]["why"] = "x"
    found = codec.decode(json.dumps(data).encode())
    assert [key for _, key in codec.unknown_keys(found)] == ["note", "why"]
    assert json.loads(codec.encode(found.row, found.embedded)) == data
    changed = keeping(replace(plain(found.row), name="other"), found.row)
    assert json.loads(codec.encode(changed, found.embedded)) == data | {"name": "other"}


def test_damage_is_named(exported: Path) -> None:
    codec = Codec(LAYOUT, LAYOUT.place("Chat"))
    line = (exported / "chats/index.jsonl").read_bytes().splitlines()[0]
    for broken, field in ((line.replace(b'"title":', b'"titel":'), "title"), (line[:-3], "")):
        with pytest.raises(DamagedError) as caught:
            codec.decode(broken)
        assert (caught.value.model, caught.value.field) == ("Chat", field)


def test_tombstones() -> None:
    codec = Codec(LAYOUT, LAYOUT.place("VerificationToken"))
    line = codec.encode_tombstone('a"b')
    assert line == b'{"_model":"VerificationToken","token":"a\\"b","_deleted":true}'
    assert codec.removed(Members(line)) == 'a"b'


def test_times_sort_as_they_pass() -> None:
    times = [
        "-infinity",
        "-004712-01-01T00:00:00.000Z",
        "-000043-03-15T00:00:00.000Z",
        "0000-12-31T23:59:59.999Z",
        "0001-01-01T00:00:00.000Z",
        "9999-12-31T23:59:59.999Z",
        "+010000-01-01T00:00:00.000Z",
        "+294276-12-31T23:59:59.999Z",
        "infinity",
    ]
    assert sorted(random.sample(times, len(times)), key=time_key) == times


def test_an_export_is_in_file_order(exported: Path) -> None:
    order = file_order(LAYOUT.place("Message").model)
    codec = Codec(LAYOUT, LAYOUT.place("Message"))
    for path in (exported / "chats").glob("*-*.jsonl"):
        messages = [codec.decode(line).row for line in path.read_bytes().splitlines()]
        assert messages == sorted(messages, key=order)
