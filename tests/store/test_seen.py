"""What was acknowledged is seen by every store that is open on the folder, by whatever way it looks.

Several stores are open for long, and each remembers what it has seen: records, where each message stands, the
ends of logs, files that it holds open.  They take turns at random, so that what one remembers is often stale
when it is asked next.
"""

from __future__ import annotations

import json
import tempfile
import time
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from octavo.errors import ForeignKeyViolation, UniqueViolation
from octavo.layout.record import Record
from octavo.store.store import Store, Transaction
from octavo.store.view import View
from small_store import chat, erase, layout, message, revise, state_of, state_on_disk
from stores import Unsynced, copied

STORES = 3
CHATS = ("chat-1", "chat-2", "chat-3", "chat-4")
MESSAGES = ("m0", "m1", "m10", "m30", "m31")
TAGS = ("tag-1", "tag-2", "tag-3")
HEROES = ("hero-1", "hero-2")


def _content(number: int) -> str:
    """Of one length, so that what is stale is not told by its size."""
    return f"version {number:04}"


class World:
    """The stores, and what they must answer."""

    def __init__(self, root: Path, stack: ExitStack) -> None:
        self.root = root
        # With so little room in memory, logs are read from their files most of the time.
        self.stores = [
            stack.enter_context(Store.open(root, layout(), system=Unsynced(), log_budget=budget))
            for budget in (0, 1 << 20, 0)
        ]
        self.number = 0
        self.chats = set(CHATS[:3])
        self.messages: dict[str, tuple[str, str]] = {}
        self.titles: dict[str, str] = {}
        self.tags: dict[str, str] = {}
        with self.stores[0].transaction() as tx:
            tx.delete([row for row in tx.rows("Message") if row.id not in MESSAGES])
            for key in [row.id for row in tx.rows("Message")]:
                self.messages[key] = self._revised(tx, key)
            for key in HEROES:
                self._title(tx, key)
            for key in TAGS[:2]:
                self._name(tx, key)
        for store in self.stores:
            # From some answers on, a store asks the kernel what has changed.
            for _ in range(40):
                store.get("Message", "m0")

    def new(self) -> str:
        self.number += 1
        return _content(self.number)

    def _revised(self, tx: Transaction, key: str, **values: Any) -> tuple[str, str]:
        content = self.new()
        revise(tx, "Message", key, content=content, **values)
        there = tx.get("Message", key)
        assert there is not None
        return there.chatId, content

    def _title(self, tx: Transaction, key: str) -> None:
        self.titles[key] = self.new()
        revise(tx, "Character", key, title=self.titles[key])

    def _name(self, tx: Transaction, key: str) -> None:
        self.tags[key] = self.new()
        revise(tx, "Tag", key, nameLower=self.tags[key])

    # What a store does; ``key`` and ``into`` are drawn.

    def upsert(self, store: Store, key: str, into: str) -> None:
        """Look a message up, then change it, or make it: what there is decides which."""
        with store.transaction() as tx:
            there = tx.get("Message", key)
            assert (there is not None) == (key in self.messages), key
            if there is not None:
                assert there.content == self.messages[key][1]
                self.messages[key] = self._revised(tx, key)
            elif into in self.chats:
                content = self.new()
                tx.insert([message(1, into, id=key, content=content)])
                self.messages[key] = into, content

    def make(self, store: Store, key: str, into: str) -> None:
        """An id that is taken is refused, and a chat that is gone; what is free, or there, is not."""
        content = self.new()
        expected = UniqueViolation if key in self.messages else ForeignKeyViolation
        is_right = key not in self.messages and into in self.chats
        with nullcontext() if is_right else pytest.raises(expected), store.transaction() as tx:
            tx.insert([message(1, into, id=key, content=content)])
        if is_right:
            self.messages[key] = into, content

    def move(self, store: Store, key: str, into: str) -> None:
        if key in self.messages and into in self.chats:
            with store.transaction() as tx:
                self.messages[key] = self._revised(tx, key, chatId=into)

    def erase(self, store: Store, key: str, into: str) -> None:
        if key in self.messages:
            with store.transaction() as tx:
                erase(tx, "Message", key)
            del self.messages[key]

    def come_and_go(self, store: Store, key: str, into: str) -> None:
        """A chat comes, or goes with its messages."""
        with store.transaction() as tx:
            if into in self.chats:
                erase(tx, "Chat", into)
                self.chats.remove(into)
                self.messages = {k: v for k, v in self.messages.items() if v[0] != into}
            else:
                tx.insert([chat(into)])
                self.chats.add(into)

    def compact(self, store: Store, key: str, into: str) -> None:
        store.compact()

    def checkpoint(self, store: Store, key: str, into: str) -> None:
        store.checkpoint()

    def name(self, store: Store, key: str, into: str) -> None:
        """Change a document and record files, twice, as fast as can be."""
        for _ in range(2):
            with store.transaction() as tx:
                self._title(tx, HEROES[0])
                self._name(tx, TAGS[0])

    def edit(self, store: Store, key: str, into: str) -> None:
        """A person appends a line with an editor that knows no lock."""
        if key not in self.messages:
            return
        inside, content = self.messages[key][0], self.new()
        path = self.root / "chats" / f"{inside}.jsonl"
        line = next(
            found
            for text in reversed(path.read_text(encoding="utf-8").splitlines())
            if (found := json.loads(text))["id"] == key
        )
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps(line | {"content": content}) + "\n")
        self.messages[key] = inside, content

    # What a store answers

    def look(self, store: Store, key: str, into: str) -> None:
        """By the key, outside of a transaction."""
        self._is_right(key, store.get("Message", key))

    def look_in_transaction(self, store: Store, key: str, into: str) -> None:
        with store.transaction() as tx:
            self._is_right(key, tx.get("Message", key))
            self._list_is_right(tx, into)

    def list(self, store: Store, key: str, into: str) -> None:
        """By the parent, by a document, by record files and by every log."""

        def work(view: View) -> None:
            self._list_is_right(view, into)
            assert {t.id: t.nameLower for t in view.rows("Tag")} == self.tags
            assert [t.id for t in view.find("Tag", ("userId", "nameLower"), ("user-1", self.tags["tag-1"]))]
            assert {key: view.get("Character", key).title for key in HEROES} == self.titles  # type: ignore[union-attr]
            assert {m.id: (m.chatId, m.content) for m in view.rows("Message")} == self.messages

        store.read(work)

    def _list_is_right(self, view: View, into: str) -> None:
        there = {m.id: m.content for m in view.find("Message", ("chatId",), into)}
        assert there == {key: content for key, (inside, content) in self.messages.items() if inside == into}

    def _is_right(self, key: str, there: Record | None) -> None:
        found = None if there is None else (there.chatId, there.content)
        assert found == self.messages.get(key), key


DOES = ("upsert", "make", "move", "erase", "come_and_go", "compact", "checkpoint", "name", "edit")
LOOKS = ("look", "look_in_transaction", "list")
TURNS = st.lists(
    st.tuples(
        st.integers(0, STORES - 1),
        st.sampled_from(DOES) | st.sampled_from(LOOKS),
        st.sampled_from(MESSAGES),
        st.sampled_from(CHATS),
    ),
    min_size=40,
    max_size=80,
)


def take_turns(built: Path, turns: list[tuple[int, str, str, str]]) -> None:
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        world = World(copied(built, Path(folder) / "data"), stack)
        for number, act, key, into in turns:
            getattr(world, act)(world.stores[number], key, into)
        states = [state_of(store) for store in world.stores]
        assert states[0] == states[1] == states[2] == state_on_disk(world.root)


@settings(max_examples=25, deadline=None)
@given(TURNS)
def test_every_store_sees_what_was_acknowledged(built: Path, turns: list[tuple[int, str, str, str]]) -> None:
    take_turns(built, turns)


@pytest.mark.slow
@settings(max_examples=1500, deadline=None)
@given(TURNS)
def test_every_store_sees_what_was_acknowledged_for_long(
    built: Path, turns: list[tuple[int, str, str, str]]
) -> None:
    take_turns(built, turns)


def test_a_file_that_replaces_another_is_told_from_it_by_its_time(built: Path, tmp_path: Path) -> None:
    """Two commits could leave the inode that there was before the first of them, and the kernel's time for
    files stands still for milliseconds."""
    data = copied(built, tmp_path / "data")
    with Store.open(data, layout(), system=Unsynced()) as store:
        for number in range(20):
            before = time.time_ns()
            with store.transaction() as tx:
                revise(tx, "Tag", "tag-1", name=_content(number))
                revise(tx, "Character", "hero-1", title=_content(number))
            for file in ("tags/tags.json", "characters/hero-1.json"):
                assert (data / file).stat().st_mtime_ns >= before
