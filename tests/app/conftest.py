"""A client of the frozen schema with a few people and things in it, on each backend that there is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import pytest

import octavo
from memory import MemoryBackend
from octavo import client
from octavo.backend import DataBackend
from octavo.postgres.embedded import EmbeddedServer
from octavo.query.vocabulary import Vocabulary
from octavo.schema.texts import frozen_schema
from octavo.typed import Client
from places import is_there, new_place

BACKENDS = ["memory", *filter(is_there, DataBackend)]


@pytest.fixture(scope="session", params=BACKENDS)
def opened(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A client, one for all tests: what they leave behind is deleted."""

    def database() -> str:
        server: EmbeddedServer = request.getfixturevalue("server")
        return server.create_database(f"app_{kind}", template=request.getfixturevalue("schema_template"))

    if isinstance(kind := request.param, DataBackend):
        place = new_place(kind, tmp_path_factory.mktemp("app"), database)
        made = octavo.connect(kind, database_url=place.get("DATABASE_URL"), data_dir=place.get("DATA_DIR"))
    else:
        vocabulary = Vocabulary(frozen_schema())
        made = cast(Client, client.Client(MemoryBackend(vocabulary), vocabulary))
    with made:
        yield made


@pytest.fixture
def empty(opened: Client) -> Client:
    """A client of an empty database."""
    opened.chat.delete_many()
    opened.user.delete_many()
    opened.verification_token.delete_many()
    return opened


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
