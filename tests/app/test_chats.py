"""A chat's messages, with the alternatives of one reply together."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from octavo.app import append_message, append_swipe, conversation
from octavo.errors import RecordNotFound
from octavo.typed import Client


def shown(db: Client) -> list[str]:
    return ["/".join(m.content for m in turn.swipes) for turn in conversation(db, "chat")]


def test_messages_stand_in_the_order_in_which_they_were_appended(db: Client) -> None:
    for number in range(5):
        append_message(db, "chat", {"role": "USER", "content": str(number)})
    assert shown(db) == ["0", "1", "2", "3", "4"]
    assert conversation(db, "no such chat") == []


def test_appending_touches_the_chat(db: Client) -> None:
    before = db.chat.find_unique_or_raise(where={"id": "chat"}).updatedAt
    message = append_message(db, "chat", {"role": "USER", "content": "x", "tokenCount": 1})
    after = db.chat.find_unique_or_raise(where={"id": "chat"}).updatedAt
    assert before < after == message.createdAt
    assert message.tokenCount == 1


def test_a_clock_that_is_put_back_changes_no_order(db: Client) -> None:
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    db.chat.update(where={"id": "chat"}, data={"updatedAt": tomorrow})
    assert append_message(db, "chat", {"role": "USER", "content": "x"}).createdAt > tomorrow


def test_a_time_that_is_given_is_kept(db: Client) -> None:
    then = datetime(2020, 1, 1, tzinfo=UTC)
    assert append_message(db, "chat", {"role": "USER", "content": "x", "createdAt": then}).createdAt == then


def test_several_who_append_at_once_get_a_moment_each(db: Client) -> None:
    def append(number: int) -> datetime:
        return append_message(db, "chat", {"role": "USER", "content": str(number)}).createdAt

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(append, range(12)))) == 12


def test_a_message_for_no_chat_is_an_error(db: Client) -> None:
    with pytest.raises(RecordNotFound):
        append_message(db, "no such chat", {"role": "USER", "content": "x"})
    assert db.message.count() == 0


def test_swipes_stand_where_the_reply_stands_in_the_order_of_their_index(db: Client) -> None:
    append_message(db, "chat", {"role": "USER", "content": "hi"})
    reply = append_message(db, "chat", {"role": "ASSISTANT", "content": "a"})
    append_message(db, "chat", {"role": "USER", "content": "well"})
    second = append_swipe(db, reply.id, {"role": "ASSISTANT", "content": "b"})
    append_swipe(db, second.id, {"role": "ASSISTANT", "content": "c"})
    assert shown(db) == ["hi", "a/b/c", "well"]
    turn = conversation(db, "chat")[1]
    assert [m.swipeIndex for m in turn.swipes] == [0, 1, 2]
    assert turn.message.content == "c"
    with pytest.raises(RecordNotFound):
        append_swipe(db, "no such message", {"role": "ASSISTANT", "content": "x"})


def test_the_index_counts_and_not_the_time(db: Client) -> None:
    for index, content in ((None, "x"), (2, "c"), (0, "a"), (1, "b")):
        append_message(
            db,
            "chat",
            {"role": "ASSISTANT", "content": content, "swipeGroupId": "g", "swipeIndex": index},
        )
    assert shown(db) == ["a/b/c/x"]


def test_several_who_swipe_at_once_get_an_index_each(db: Client) -> None:
    reply = append_message(db, "chat", {"role": "ASSISTANT", "content": "0"})

    def swipe(number: int) -> None:
        append_swipe(db, reply.id, {"role": "ASSISTANT", "content": str(number)})

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(swipe, range(8)))
    [turn] = conversation(db, "chat")
    assert [m.swipeIndex for m in turn.swipes] == list(range(9))


def test_within_a_transaction_it_is_part_of_it(db: Client) -> None:
    def talk_and_fail() -> None:
        with db.tx() as tx:
            reply = append_message(tx, "chat", {"role": "ASSISTANT", "content": "a"})
            append_swipe(tx, reply.id, {"role": "ASSISTANT", "content": "b"})
            assert len(conversation(tx, "chat")) == 1
            raise RuntimeError

    with pytest.raises(RuntimeError):
        talk_and_fail()
    assert conversation(db, "chat") == []
