"""The order of records in a file is the same whoever puts them in order: PostgreSQL or the store."""

from __future__ import annotations

import random

import pytest

from folding import insert, pieces
from octavo.layout.codec import Codec
from octavo.layout.layout import Layout
from octavo.layout.load import flat_layout
from octavo.layout.order import file_order, in_file_order
from octavo.postgres.connection import Connection, connect
from octavo.query.vocabulary import Vocabulary
from octavo.schema.ddl import ddl
from octavo.schema.parser import parse_schema
from octavo.values.registry import value_type
from parity.keyed import HEAD, TYPES
from parity.worlds import values

_MODELS = "".join(
    f"""
model K{number} {{
  key {kind}
  createdAt {kind if kind.startswith("DateTime") else "Int"}
  @@id([key, createdAt])
}}
"""
    for number, kind in enumerate(TYPES)
)


@pytest.fixture(scope="module")
def layout() -> Layout:
    return flat_layout(parse_schema(HEAD + _MODELS))


@pytest.fixture
def connection(database: str) -> Connection:
    return connect(database)


def test_the_store_puts_records_in_the_order_of_an_export(layout: Layout, connection: Connection) -> None:
    datamodel, vocabulary = layout.datamodel, Vocabulary(layout.datamodel)
    rng = random.Random(1)
    with connection:
        connection.execute(ddl(datamodel).script().encode())
        for place in layout.places:
            texts = [
                {value_type(c.field, datamodel).text(c.write(v)).decode() for v in values(c, vocabulary)}
                for c in vocabulary[place.model.name].columns.values()
            ]
            for key in sorted(texts[0]):
                row = {"key": key, "createdAt": rng.choice(sorted(texts[1]))}
                insert(connection, datamodel, place.model, row)
            codec = Codec(layout, place)
            written = [codec.decode(piece).row for _, piece in pieces(connection, layout, place)]
            assert len(written) == len(texts[0])
            shuffled = rng.sample(written, len(written))
            assert sorted(shuffled, key=file_order(place.model)) == written, place.model
            assert in_file_order(place.model)(shuffled) == written, place.model
