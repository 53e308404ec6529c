from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from backends import dual_backend, emptied, on_files, prisma_backend
from octavo.aio import THREADS, AsyncClient
from octavo.backends.prisma import PrismaBackend
from octavo.client import Client
from octavo.postgres.connection import connect
from octavo.postgres.embedded import EmbeddedServer
from octavo.schema.ddl import ddl
from query.blog import VOCABULARY

Make = Callable[..., AsyncClient]


def assert_no_thread_stays(kind: str = "") -> None:
    """The threads of clients end, within moments."""
    deadline = time.monotonic() + 10
    while left := [t.name for t in threading.enumerate() if t.name.startswith(f"octavo-{kind}")]:
        assert time.monotonic() < deadline, left
        time.sleep(0.005)


@pytest.fixture(scope="session")
def async_blog_on_postgres(server: EmbeddedServer) -> Iterator[PrismaBackend]:
    """A backend on the blog's tables.  A test that fills it empties it."""
    url = server.create_database("async_blog")
    with connect(url) as connection:
        connection.execute(ddl(VOCABULARY.datamodel).script().encode())
    with prisma_backend(VOCABULARY, server.url("async_blog", schema="public")) as opened:
        yield opened


@pytest.fixture
def on_json(tmp_path: Path) -> Make:
    """Makes the client of an empty blog on files; the test closes it."""
    return lambda threads=THREADS: AsyncClient(on_files(VOCABULARY, tmp_path / "data"), threads)


@pytest.fixture(params=("json", "prisma", "dual"))
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Make]:
    """Makes the client of an empty blog, on each backend in turn."""
    if request.param == "json":
        yield request.getfixturevalue("on_json")
        return
    backend = request.getfixturevalue("async_blog_on_postgres")
    url = str(request.getfixturevalue("server").url("async_blog", schema="public"))
    with ExitStack() as stack:

        def opened(threads: int = THREADS) -> AsyncClient:
            if request.param == "prisma":
                made = stack.enter_context(prisma_backend(VOCABULARY, url))
                return AsyncClient(Client(made, VOCABULARY), threads)
            both = stack.enter_context(dual_backend(VOCABULARY, url, tmp_path / "data"))
            return AsyncClient(Client(both, VOCABULARY), threads)

        yield opened
    emptied(backend)
