"""A client of the frozen schema with a few people and things in it, on each backend that there is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

import octavo
from memory import MemoryBackend
from octavo import client
from octavo.backend import DataBackend
from octavo.query.vocabulary import Vocabulary
from octavo.schema.frozen import frozen_schema
from octavo.typed import Client
from places import is_there, new_place

BACKENDS = ["memory", *filter(is_there, DataBackend)]


@pytest.fixture(params=BACKENDS)
def empty(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Client]:
    """A client of an empty database."""
    if isinstance(kind := request.param, DataBackend):
        place = new_place(kind, tmp_path, lambda: str(request.getfixturevalue("schema_database")))
        for name, value in place.items():
            monkeypatch.setenv(name, value)
        opened = octavo.connect()
    else:
        vocabulary = Vocabulary(frozen_schema())
        opened = cast(Client, client.Client(MemoryBackend(vocabulary), vocabulary))
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
