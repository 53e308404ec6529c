"""A key is read by the names of its fields, in the key's order, by whoever reads it."""

from __future__ import annotations

import random
from itertools import permutations
from pathlib import Path

import msgspec
import pytest

from octavo.layout.codec import Codecs
from octavo.layout.keys import KeyForm
from octavo.layout.layout import Layout
from octavo.layout.listing import File
from octavo.layout.load import flat_layout
from octavo.layout.reader import Reader, live_records
from octavo.layout.record import Record, encode
from octavo.layout.scan import Scanner
from octavo.query.vocabulary import Vocabulary
from octavo.schema.parser import parse_schema
from parity.keyed import keyed
from parity.worlds import World

LIKES = flat_layout(
    parse_schema("""
model Like {
  postId Int
  userId Int
  note   String?
  @@id([userId, postId])
}
""")
)


def readings(layout: Layout, model: str, root: Path, lines: list[bytes]) -> list[set[bytes]]:
    """The records that count in a log, as the client reads it and as the reader of the files does."""
    family = next(f for f in layout.families if f.path == layout.place(model).path)
    (root / family.path).parent.mkdir(exist_ok=True)
    (root / family.path).write_bytes(b"".join(line + b"\n" for line in lines))
    client = Scanner(family, Codecs(layout)).log(family.path, b"".join(line + b"\n" for line in lines))
    file = File(family.path, family, sum(map(len, lines)) + len(lines))
    texts = KeyForm(layout.place(model).model, layout.datamodel).texts
    return [
        {b" ".join(texts(key)) for key in client.live[model]},
        {b" ".join(v or b"" for v in r.key) for r in live_records(Reader(layout, root), file)},
    ]


@pytest.mark.parametrize("comma", [",", ", "])
def test_a_tombstone_names_its_key_in_any_order(comma: str, tmp_path: Path) -> None:
    """Other programs, and an editor, write members in an order of their own."""
    records = [
        b'{"_model":"Like","postId":%d,"userId":%d,"note":null}' % (post, user)
        for post, user in [(1, 2), (2, 1), (2, 2)]
    ]
    left = {b"2 1", b"2 2"}
    for members in permutations(['"userId":1', '"postId":2', '"_model":"Like"', '"_deleted":true']):
        tombstone = ("{" + comma.join(members) + "}").encode()
        assert readings(LIKES, "Like", tmp_path, [*records, tombstone]) == [left, left]


def test_a_tombstone_is_written_in_the_order_of_the_key() -> None:
    line = KeyForm(LIKES.place("Like").model, LIKES.datamodel).tombstone((1, 2))
    assert line == b'{"_model":"Like","userId":1,"postId":2,"_deleted":true}'


@pytest.mark.parametrize("seed", range(20))
def test_a_tombstone_of_any_key_removes_its_record_alone(seed: int, tmp_path: Path) -> None:
    datamodel, rng = keyed(seed).datamodel, random.Random(seed)
    layout, vocabulary = flat_layout(datamodel), Vocabulary(datamodel)
    world = World(vocabulary, records=6, seed=seed)
    for place in layout.places:
        terms, form = vocabulary[place.model.name], KeyForm(place.model, datamodel)
        records: list[Record] = list(world.backend.rows[terms.name].values())
        for gone in records[:3]:
            left = {b" ".join(form.texts(form.of(r))) for r in records if r is not gone}
            members = msgspec.json.decode(form.tombstone(form.of(gone)), type=dict[str, msgspec.Raw])
            turned = dict(rng.sample(list(members.items()), len(members)))
            lines = [*map(encode, records), msgspec.json.encode(turned)]
            assert readings(layout, terms.name, tmp_path, lines) == [left, left]
