"""An application that writes and writes: ``python -m octavo.demo.application LEDGER SEED``.

It chats, edits, renames and deletes through the client, on the backend that ``DATA_BACKEND`` names, until it
gets SIGTERM.  What was acknowledged it notes in the ledger, a line each, so that one can ask whether all is
there (:func:`lost`).  Told that the backend of record is another one, it ends with 75, to be started again
with the right flag.
"""

from __future__ import annotations

import random
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

import octavo
from octavo import app
from octavo.errors import ConflictError, DatabaseError, TransactionFailed, UsageError
from octavo.postgres.failures import FENCED_STATE

if TYPE_CHECKING:
    from octavo.typed import Client, MessageCreate

T = TypeVar("T")

SENT_AWAY = 75
"""the exit code of one that has to be started with another flag (EX_TEMPFAIL)"""
_PAUSE = 0.004
"""seconds between two writes, as a person would make one"""
_TRIES = 30
"""how often a write is tried, two seconds or so each time"""
_OWN = 40
"""messages of its own that it keeps, before it begins to delete the oldest"""


class Note(msgspec.Struct, frozen=True):
    """A write of a message, or of the title of a chat; ``content`` None: it is deleted."""

    model: str
    id: str
    content: str | None
    acknowledged: bool = True
    """False: it is about to be asked for; a process that is killed then may have done it or not"""


class _Application:
    def __init__(self, db: Client, ledger: Path, seed: str) -> None:
        self.db, self.seed = db, seed
        self.random = random.Random(seed)
        self.ledger = open(ledger, "ab", buffering=0)  # noqa: SIM115
        chats = db.chat.find_many(order_by={"id": "asc"}, select={"id": True})
        self.chats = [chat.id for chat in chats]
        # No other process renames it, so the title noted here is the last one.
        self.titled = self.chats[int(seed) % len(self.chats)]
        self.messages: list[str] = []
        self.number = 0

    def write(self) -> None:
        """One write of some kind, noted when it has been acknowledged."""
        self.number += 1
        kind = self.random.random()
        if kind < 0.7 or not self.messages:
            text = f"{self.seed}/{self.number}: {self.random.random()!r}"
            said: MessageCreate = {"role": "USER", "content": text}
            chat = self.random.choice(self.chats)
            message = tried(lambda: app.append_message(self.db, chat, said))
            self.messages.append(message.id)
            self.note("message", message.id, text)
        elif kind < 0.85:
            title = f"renamed by {self.seed}, {self.number} times"
            self.note("chat", self.titled, title, acknowledged=False)
            tried(lambda: self.db.chat.update(where={"id": self.titled}, data={"title": title}))
            self.note("chat", self.titled, title)
        elif kind < 0.95:
            text = f"{self.seed}/{self.number}: edited"
            last = self.messages[-1]
            self.note("message", last, text, acknowledged=False)
            tried(lambda: self.db.message.update(where={"id": last}, data={"content": text}))
            self.note("message", last, text)
        elif len(self.messages) > _OWN:
            gone = self.messages.pop(0)
            self.note("message", gone, None, acknowledged=False)
            tried(lambda: self.db.message.delete(where={"id": gone}))
            self.note("message", gone, None)

    def note(self, model: str, key: str, content: str | None, *, acknowledged: bool = True) -> None:
        self.ledger.write(msgspec.json.encode(Note(model, key, content, acknowledged)) + b"\n")


def tried(write: Callable[[], T]) -> T:
    """What a write gives.  It is made again where nothing of it was kept, since it could not begin in time,
    took too long or met another one: as every application has to that shares its data with others."""
    for _ in range(_TRIES - 1):
        with suppress(TransactionFailed, ConflictError):
            return write()
    return write()


def notes(ledger: Path) -> Iterator[Note]:
    decode = msgspec.json.Decoder(Note).decode
    for line in ledger.read_bytes().splitlines():
        yield decode(line)


def lost(db: Client, ledgers: list[Path]) -> tuple[int, list[Note]]:
    """How many writes were acknowledged, and those whose outcome is not in the data now."""
    number = 0
    last: dict[tuple[str, str], Note] = {}
    outcomes: dict[tuple[str, str], set[str | None]] = {}
    for ledger in ledgers:
        for note in notes(ledger):
            key = note.model, note.id
            if note.acknowledged:
                number += 1
                last[key], outcomes[key] = note, {note.content}
            elif key in last:
                outcomes[key].add(note.content)
    contents: dict[tuple[str, str], str] = {}
    for message in db.message.find_many(select={"id": True, "content": True}):
        contents["message", message.id] = message.content
    for chat in db.chat.find_many(select={"id": True, "title": True}):
        contents["chat", chat.id] = chat.title
    return number, [note for key, note in last.items() if contents.get(key) not in outcomes[key]]


def main(ledger: str, seed: str) -> int:
    ended: list[Any] = []
    signal.signal(signal.SIGTERM, lambda *_: ended.append(True))
    with octavo.connect() as db:
        application = _Application(db, Path(ledger), seed)
        try:
            while not ended:
                application.write()
                time.sleep(_PAUSE)
        except (UsageError, DatabaseError) as error:
            if isinstance(error, DatabaseError) and error.sqlstate != FENCED_STATE:
                raise
            return SENT_AWAY
        finally:
            # One that comes while the interpreter ends would be its death.
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
