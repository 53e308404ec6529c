"""Conversations: a chat's messages with the alternatives of a reply together, and how messages are added."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

from octavo.typed import Client, Models

if TYPE_CHECKING:
    from octavo.typed import Message, MessageCreate


@contextmanager
def together(db: Models) -> Iterator[Models]:
    """The transaction that ``db`` is; of a client, a new one."""
    if isinstance(db, Client):
        with db.tx() as tx:
            yield tx
    else:
        yield db


def hold_user(tx: Models, user_id: str) -> None:
    """Wait until no other transaction holds this user, and hold it to the end of this one.

    PostgreSQL locks a row that is written, so the user is written as it is.  Raises RecordNotFound.
    """
    while True:
        user = tx.user.find_unique_or_raise(where={"id": user_id})
        if tx.user.update_many(
            where={"id": user_id, "updatedAt": user.updatedAt}, data={"updatedAt": user.updatedAt}
        ):
            return


_TICK = timedelta(milliseconds=1)
"""what a time in the database can tell apart"""


@dataclass(frozen=True, slots=True)
class Turn:
    """One place in a conversation: a message, or the alternatives of one reply in the order of
    ``swipeIndex``."""

    swipes: tuple[Message, ...]

    @property
    def message(self) -> Message:
        """The last alternative, which is the newest."""
        return self.swipes[-1]


def conversation(db: Models, chat_id: str) -> list[Turn]:
    """The turns of a chat, each at the place of its oldest message; of no chat, none."""
    turns: dict[tuple[str, str | None], list[Message]] = {}
    for message in db.message.find_many(where={"chatId": chat_id}, order_by={"createdAt": "asc"}):
        alone = message.id if message.swipeGroupId is None else ""
        turns.setdefault((alone, message.swipeGroupId), []).append(message)
    return [Turn(tuple(sorted(messages, key=_swipe_order))) for messages in turns.values()]


def _swipe_order(message: Message) -> tuple[bool, int]:
    """Those without an index come last; equal ones stay in the order of the chat."""
    return message.swipeIndex is None, message.swipeIndex or 0


def append_message(db: Models, chat_id: str, data: MessageCreate) -> Message:
    """Add a message, of ``data`` without its chat, to the end of a chat, and touch the chat.

    Its ``createdAt`` is later than that of every message appended before, whatever the clock says, so that no
    two change places.  Raises RecordNotFound if there is no such chat.
    """
    with together(db) as tx:
        return _append(tx, chat_id, _touch(tx, chat_id), data)


def append_swipe(db: Models, message_id: str, data: MessageCreate) -> Message:
    """Add an alternative to a reply, with the next ``swipeIndex`` of its group, and touch its chat.

    A message that is in no group yet becomes the first of one.  Raises RecordNotFound if it is not there.
    """
    with together(db) as tx:
        chat_id = tx.message.find_unique_or_raise(where={"id": message_id}).chatId
        when = _touch(tx, chat_id)
        # The chat is locked now: no other session adds to the same group.
        group = tx.message.find_unique_or_raise(where={"id": message_id}).swipeGroupId
        if group is None:
            group = str(uuid4())
            tx.message.update(where={"id": message_id}, data={"swipeGroupId": group, "swipeIndex": 0})
        others = tx.message.find_many(where={"chatId": chat_id, "swipeGroupId": group})
        index = max(other.swipeIndex or 0 for other in others) + 1
        return _append(tx, chat_id, when, {**data, "swipeGroupId": group, "swipeIndex": index})


def _append(tx: Models, chat_id: str, when: datetime, data: MessageCreate) -> Message:
    dated: MessageCreate = {**data, "chatId": chat_id}
    dated.setdefault("createdAt", when)
    return tx.message.create(data=dated)


def _touch(tx: Models, chat_id: str) -> datetime:
    """Set a chat's ``updatedAt`` to a moment later than it was, and hold the chat to the end of the
    transaction: no other message has that moment."""
    while True:
        before = tx.chat.find_unique_or_raise(where={"id": chat_id}).updatedAt
        now = datetime.now(UTC)
        when = max(now, before + _TICK) if isinstance(before, datetime) else now
        if tx.chat.update_many(where={"id": chat_id, "updatedAt": before}, data={"updatedAt": when}):
            return when
