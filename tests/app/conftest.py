"""A client of the frozen schema with a few people and things in it, on each backend that there is."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import pytest

import octavo
from memory import MemoryBackend
from octavo import client
from octavo.backend import DataBackend
from octavo.layout.layout import frozen_layout
from octavo.migrate.export import ExportOptions, export
from octavo.migrate.scaffold import scaffold
from octavo.postgres.url import DatabaseUrl
from octavo.query.vocabulary import Vocabulary
from octavo.schema.frozen import frozen_schema
from octavo.typed import Client

BACKENDS = [
    "memory",
    *(
        kind.value
        for kind in DataBackend
        if find_spec("octavo.backends") and find_spec(f"octavo.backends.{kind}")
    ),
]


@pytest.fixture(params=BACKENDS)
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Client]:
    """A client of an empty database."""
    kind, data_dir = request.param, tmp_path / "data"
    if kind == "memory":
        vocabulary = Vocabulary(frozen_schema())
        opened = cast(Client, client.Client(MemoryBackend(vocabulary), vocabulary))
    elif kind == "json":
        scaffold(data_dir, frozen_layout())
        opened = octavo.connect("json", data_dir=data_dir)
    else:
        url: str = request.getfixturevalue("schema_database")
        if kind == "dual":
            export(DatabaseUrl.parse(url), data_dir, frozen_layout(), ExportOptions(tmp_path / "public"))
        opened = octavo.connect(kind, database_url=url, data_dir=data_dir)
    with opened:
        yield opened


@pytest.fixture
def db(empty: Client) -> Client:
    """A user ``ada`` with a character, a persona, two profiles of each kind and a chat; a user ``bob``."""
    make: Any = empty
    for name in ("ada", "bob"):
        make.user.create(data={"id": name, "email": f"{name}@example.org", "name": name})
    text = {"description": "", "personality": "", "scenario": "", "firstMessage": "Hello"}
    owned = {"userId": "ada", "provider": "OPENAI", "modelName": "m"}
    make.character.create(data={"id": "eve", "userId": "ada", "name": "Eve", **text})
    make.persona.create(data={"id": "me", "userId": "ada", "name": "Me", "description": ""})
    for number in ("1", "2"):
        make.connection_profile.create(data={"id": f"c{number}", "name": number, **owned})
        make.image_profile.create(data={"id": f"i{number}", "name": number, **owned})
    chat = {"id": "chat", "userId": "ada", "characterId": "eve", "connectionProfileId": "c1", "title": "T"}
    make.chat.create(data=chat)
    return empty
