"""Databases of a server whose log can be followed, with schema 0.7 and sample data."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from following import Followed
from octavo.demo.sample import load_sample
from octavo.layout.layout import Layout
from octavo.layout.load import frozen_layout
from octavo.postgres.connection import connect
from octavo.postgres.embedded import EmbeddedServer
from octavo.schema.ddl import ddl
from octavo.schema.texts import frozen_schema

_numbers = itertools.count(1)
Follow = Callable[..., Followed]


@pytest.fixture(scope="session")
def followed_template(logical_server: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of a database that holds schema 0.7 and a few rows of every model."""
    name = "followed_07"
    with closing(connect(logical_server.create_database(name))) as connection:
        connection.execute(ddl(frozen_schema()).script().encode())
        load_sample(connection, tmp_path_factory.mktemp("followed") / "public", messages=20)
    return name


@pytest.fixture
def new_followed(logical_server: EmbeddedServer, tmp_path: Path) -> Iterator[Follow]:
    """A function that makes a database (of a template, if named) and where files are to follow it."""
    made: list[Followed] = []

    def create(template: str | None = None, layout: Layout | None = None) -> Followed:
        name = f"followed_{next(_numbers)}"
        logical_server.create_database(name, template=template)
        url = logical_server.url(name, schema="public")
        made.append(Followed(url, tmp_path / name, layout or frozen_layout()))
        return made[-1]

    yield create
    for followed in made:
        followed.stop()
        logical_server.drop_database(followed.url.database)


@pytest.fixture
def followed(new_followed: Follow, followed_template: str) -> Followed:
    """A database with schema 0.7 and sample data, whose payloads are not there."""
    return new_followed(followed_template)
