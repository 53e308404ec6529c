from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from backends import BACKENDS, dual_backend, emptied, on_files, on_memory, prisma_backend
from octavo.backends.prisma import PrismaBackend
from octavo.client import Client
from octavo.postgres.connection import connect
from octavo.postgres.embedded import EmbeddedServer
from octavo.schema.ddl import ddl
from query.blog import VOCABULARY


@pytest.fixture(scope="session")
def blog_on_postgres(server: EmbeddedServer) -> Iterator[PrismaBackend]:
    """A backend on the blog's tables.  A test that fills it empties it."""
    with connect(server.create_database("blog")) as connection:
        connection.execute(ddl(VOCABULARY.datamodel).script().encode())
    with prisma_backend(VOCABULARY, server.url("blog", schema="public")) as opened:
        yield opened


@pytest.fixture(params=BACKENDS)
def db(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Client]:
    """An empty blog, on each backend in turn."""
    match request.param:
        case "memory":
            yield on_memory(VOCABULARY)
        case "json":
            with on_files(VOCABULARY, tmp_path / "data") as made:
                yield made
        case "prisma":
            backend = request.getfixturevalue("blog_on_postgres")
            yield Client(backend, VOCABULARY)
            emptied(backend)
        case "dual":
            backend = request.getfixturevalue("blog_on_postgres")
            url = str(request.getfixturevalue("server").url("blog", schema="public"))
            with dual_backend(VOCABULARY, url, tmp_path / "data") as both:
                yield Client(both, VOCABULARY)
            emptied(backend)


@pytest.fixture
def people(db: Client) -> Client:
    """A blog with four users."""
    for email, name, age in (
        ("a@x", "Ann", 30),
        ("b@x", "bob", None),
        ("c@x", None, 30),
        ("d@x", "Émile", 5),
    ):
        db.user.create(data={"email": email, "name": name, "age": age})
    return db
