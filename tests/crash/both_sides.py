"""A schema-0.7 database and its files side by side, what may happen to both, and whether they are equal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from backends import dual_backend
from octavo.backends.dual import DualBackend
from octavo.client import Client
from octavo.layout.load import frozen_layout
from octavo.move.verify import VerifyOptions, verify
from octavo.query.vocabulary import Vocabulary
from octavo.schema.texts import frozen_schema
from octavo.store.system import SYSTEM, FileSystem
from octavo.url import DatabaseUrl

VOCABULARY = Vocabulary(frozen_schema())


class Sides(NamedTuple):
    url: str
    folder: Path

    @contextmanager
    def open(
        self, system: FileSystem = SYSTEM, *, sample: float = 0.0, apart: bool = False
    ) -> Iterator[tuple[Any, DualBackend]]:
        """A client on both, and its backend.  ``apart``: they are known to differ."""
        with dual_backend(
            VOCABULARY, self.url, self.folder, sample=sample, system=system, apart=apart
        ) as backend:
            yield Client(backend, VOCABULARY), backend

    def recover(self) -> None:
        """Open both, so that what is in doubt is decided."""
        with self.open():
            pass

    def differences(self) -> list[Any]:
        """What ``octavo verify`` finds."""
        report = verify(
            DatabaseUrl.parse(self.url),
            self.folder,
            frozen_layout(),
            VerifyOptions(self.folder / "none", jobs=1),
        )
        return [*msgspec.to_builtins(report.differences), *(v.to_dict() for v in report.violations)]


def begin(db: Any) -> None:
    """A user with a character, two tags, two chats and a message."""
    db.user.create(data={"id": "u", "name": "Ada", "email": "a@x"})
    for tag in ("t1", "t2"):
        db.tag.create(data={"id": tag, "userId": "u", "name": tag, "nameLower": tag})
    character = {"id": "c", "userId": "u", "name": "Mira", "description": "", "personality": ""}
    character |= {"scenario": "", "firstMessage": ""}
    db.character.create(data={**character, "tags": {"create": {"id": "ct1", "tagId": "t1"}}})
    profile = {"id": "p", "userId": "u", "name": "p", "provider": "OPENAI", "modelName": "m"}
    db.connection_profile.create(data=profile)
    for chat in ("k1", "k2"):
        own = {"userId": "u", "characterId": "c", "connectionProfileId": "p"}
        db.chat.create(data={"id": chat, "title": chat, **own})
    say(db, "m0")


def say(db: Any, name: str, chat: str = "k1") -> Any:
    return db.message.create(data={"id": name, "chatId": chat, "role": "USER", "content": name})


def talk(db: Any) -> None:
    """One message: a line of a log."""
    say(db, "m1")


def several(db: Any) -> None:
    """A transaction on several files, of several models."""
    with db.tx(timeout=60) as tx:
        say(tx, "m1")
        say(tx, "m2", "k2")
        tag = {"create": {"id": "ct2", "tagId": "t2"}}
        tx.character.update(where={"id": "c"}, data={"name": "Mira II", "tags": tag})
        tx.chat.update(where={"id": "k2"}, data={"title": "renamed"})
        tx.message.delete(where={"id": "m0"})


def cascade(db: Any) -> None:
    """A delete that takes with it a file, a log, lines and embedded records."""
    db.character.delete(where={"id": "c"})


CHANGES: dict[str, Callable[[Any], None]] = {"talk": talk, "several": several, "cascade": cascade}
