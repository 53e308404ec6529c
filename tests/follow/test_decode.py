"""What PostgreSQL sends of a row becomes the very record and key that the store has."""

from __future__ import annotations

import pytest

from octavo.follow.apply import Decoder
from octavo.layout.keys import KeyForm
from octavo.postgres.connection import connect
from octavo.query.vocabulary import Vocabulary
from octavo.schema.ddl import ddl
from parity.keyed import keyed
from parity.worlds import World


@pytest.mark.parametrize("seed", range(3))
def test_a_key_of_any_shape_comes_from_its_texts(database: str, seed: int) -> None:
    layout = keyed(seed)
    world = World(Vocabulary(layout.datamodel), records=6, seed=seed)
    with connect(database) as connection:
        connection.execute(ddl(layout.datamodel).script().encode())
        decoder = Decoder(connection, layout)
        for place in layout.places:
            form, name = KeyForm(place.model, layout.datamodel), place.model.name
            records = list(world.backend.rows[name].values())
            keys = [form.of(record) for record in records]
            assert keys
            assert decoder.keys(name, [form.texts(key) for key in keys]) == keys
            assert decoder.records(name, [decoder.texts(record) for record in records]) == records
