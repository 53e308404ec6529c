"""Random queries find the same records, in the same order, in memory and in PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from every_type import datamodel as every_type
from octavo.backends.prisma import PrismaBackend
from octavo.client import Client
from octavo.postgres.connection import connect
from octavo.postgres.embedded import EmbeddedServer
from octavo.query.vocabulary import Vocabulary
from octavo.schema.ddl import ddl
from octavo.schema.frozen import frozen_schema
from parity.worlds import Questions, World
from postgres_backend import prisma_backend
from query.blog import vocabulary as blog

SCHEMAS = ("blog", "0.7", "every type")


@cache
def world(schema: str) -> World:
    match schema:
        case "blog":
            return World(blog(), records=12)
        case "0.7":
            return World(Vocabulary(frozen_schema()), records=8)
    return World(Vocabulary(every_type()), records=25)


@pytest.fixture(scope="module", params=SCHEMAS)
def both(request: pytest.FixtureRequest, server: EmbeddedServer) -> Iterator[tuple[str, PrismaBackend]]:
    """The name of a schema, and a backend on PostgreSQL with its world."""
    schema = request.param
    name = f"parity_{SCHEMAS.index(schema)}"
    there = world(schema)
    with connect(server.create_database(name)) as connection:
        connection.execute(ddl(there.vocabulary.datamodel).script().encode())
    with prisma_backend(there.vocabulary, server.url(name, schema="public")) as backend:
        with backend.transaction() as transaction:
            for model in there.order:
                transaction.insert(model.name, there.rows(model.name))
        yield schema, backend
    server.drop_database(name)


def test_the_records_are_the_same(both: tuple[str, PrismaBackend]) -> None:
    schema, backend = both
    there = world(schema)
    from octavo.query.plan import Query

    for model in there.order:
        query = Query(model=model.name, order=there.vocabulary[model.name].key_order)
        found = backend.select(query)
        assert found == there.backend.select(query)
        assert len(found) > 1


@given(data=st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
def test_random_queries_find_the_same(both: tuple[str, PrismaBackend], data: Any) -> None:
    schema, backend = both
    there = world(schema)
    memory, postgres = Client(there.backend, there.vocabulary), Client(backend, there.vocabulary)
    models = [m.name for m in there.order if not m.is_join]
    model = data.draw(st.sampled_from(models))
    arguments = Questions(there, data.draw).many(model)
    note(f"db[{model!r}].find_many(**{arguments!r})")
    expected: Any = memory[model].find_many(**arguments)
    assert postgres[model].find_many(**arguments) == expected
    counted = {k: v for k, v in arguments.items() if k not in ("include", "distinct")}
    assert postgres[model].count(**counted) == memory[model].count(**counted)
