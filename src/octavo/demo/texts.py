"""What the sample data is made of: people and what they say, in several languages; from ``texts.json``.

``{you}`` stands for the user's name in a chat, ``{me}`` for the character's.  Quotes, backslashes, tabs,
emoji and right-to-left text are there on purpose: real messages are full of them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct


class Cast(Struct, frozen=True):
    """A character as its author wrote it, and the language it speaks (a key of :attr:`Texts.speech`)."""

    name: str
    title: str
    language: str
    description: str
    personality: str
    scenario: str
    greeting: str
    examples: str


class Speech(Struct, frozen=True):
    """What is said in one language: short answers, sentences, and gestures between asterisks."""

    short: tuple[str, ...]
    sentences: tuple[str, ...]
    gestures: tuple[str, ...]


class Person(Struct, frozen=True):
    """A user of the application."""

    email: str
    name: str | None
    password: str | None
    totp: bool | None
    """True: in use; False: begun, not confirmed; None: no secret"""
    share: int
    """how much of the world is theirs"""


class Persona(Struct, frozen=True, array_like=True):
    """Who a user can be in a chat."""

    name: str
    title: str | None
    description: str
    traits: str | None


class Texts(Struct, frozen=True, rename="camel"):
    """All of it."""

    cast: tuple[Cast, ...]
    speech: dict[str, Speech]
    with_markup: tuple[str, ...]
    system_notes: tuple[str, ...]
    chat_titles: tuple[str, ...]
    tags: tuple[str, ...]
    image_prompts: tuple[str, ...]
    personas: tuple[Persona, ...]
    people: tuple[Person, ...]
    keys: dict[str, tuple[str | None, str, str | None]]
    """by provider: how its keys begin (None: it takes none), a model, a base URL"""
    parameters: tuple[str, ...]
    image_parameters: tuple[str, ...]
    metadata: tuple[str | None, ...]


TEXTS: Final = msgspec.json.decode(Path(__file__).with_name("texts.json").read_bytes(), type=Texts)
