"""A log that is too large for memory answers as one in memory does, and is read on from where it is known."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from octavo.errors import ConflictError, DamagedError
from octavo.layout.record import Record
from octavo.layout.scan import Scanner
from octavo.store.families.held import HeldLog
from octavo.store.families.long import LongLog
from octavo.store.store import Store, Transaction
from small_store import build, erase, layout, message, revise
from stores import Unsynced

CHATS = "chat-1", "chat-2"


def opened(data: Path, budget: int = 0) -> Store:
    return Store.open(data, layout(), system=Unsynced(), log_budget=budget)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    build(tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many lines each piece of a log had that was decoded."""
    found: list[int] = []
    lines, rows, log = Scanner.lines, Scanner.rows, Scanner.log

    def counting_lines(*args: Any) -> Iterator[Any]:
        for piece in lines(*args):
            found.append(piece.lines)
            yield piece

    def counting_rows(self: Scanner, texts: list[bytes]) -> Any:
        found.append(len(texts))
        return rows(self, texts)

    def counting_log(*args: Any) -> Any:
        made = log(*args)
        found.append(made.lines)
        return made

    monkeypatch.setattr(Scanner, "lines", counting_lines)
    monkeypatch.setattr(Scanner, "rows", counting_rows)
    monkeypatch.setattr(Scanner, "log", counting_log)
    return found


def rows(store: Store, chat: str = "chat-1") -> list[Record]:
    return store.read(lambda view: list(view.in_file_order("Message", ("chatId",), chat)))


def newest(store: Store, number: int) -> list[str]:
    def work(view: Any) -> list[str]:
        walk = reversed(view.in_file_order("Message", ("chatId",), "chat-1"))
        return [next(walk).id for _ in range(number)]

    return store.read(work)


def log_in(store: Store, chat: str = "chat-1") -> Any:
    family: Any = store.engine.base.family("Message")
    return family._logs.get(f"chats/{chat}.jsonl")


def filled(data: Path, number: int) -> None:
    with opened(data, 1 << 20) as store, store.transaction() as tx:
        at = "2025-12-01T00:{:02}:{:02}.000Z"
        tx.insert(
            [
                message(100 + n, content="x", createdAt=at.format(n // 60 % 60, n % 60), id=f"n{n:05}")
                for n in range(number)
            ]
        )


def test_only_what_another_process_has_appended_is_decoded(data: Path, decoded: list[int]) -> None:
    filled(data, 2000)
    with opened(data) as store, opened(data) as other:
        assert newest(store, 3) == ["n01999", "n01998", "n01997"]
        assert isinstance(log_in(store), LongLog)
        decoded.clear()
        for n in range(3):
            with other.transaction() as tx:
                tx.insert([message(1, id=f"z{n}", createdAt=f"2025-12-02T00:00:0{n}.000Z")])
        assert newest(store, 4) == ["z2", "z1", "z0", "n01999"]
        assert sum(decoded) < 300
        decoded.clear()
        with other.transaction() as tx:
            erase(tx, "Message", "z1")
            revise(tx, "Message", "n01999", content="y")
        decoded.clear()
        assert newest(store, 3) == ["z2", "z0", "n01999"]
        assert sum(decoded) < 300


def test_a_log_in_memory_goes_on_too(data: Path, decoded: list[int]) -> None:
    filled(data, 2000)
    with opened(data, 1 << 20) as store, opened(data, 1 << 20) as other:
        assert store.get("Message", "nowhere") is None
        assert newest(store, 1) == ["n01999"]
        assert isinstance(log_in(store), HeldLog)
        with other.transaction() as tx:
            tx.insert([message(1, id="z", createdAt="2025-12-02T00:00:00.000Z")])
            erase(tx, "Message", "n01998")
        decoded.clear()
        assert newest(store, 3) == ["z", "n01999", "n01997"]
        assert sum(decoded) < 10


def test_what_is_asked_for_is_decoded_after_an_own_append(data: Path, decoded: list[int]) -> None:
    filled(data, 2000)
    with opened(data) as store:
        newest(store, 1)
        decoded.clear()
        with store.transaction() as tx:
            tx.insert([message(1, id="z", createdAt="2025-12-02T00:00:00.000Z")])
        assert newest(store, 2) == ["z", "n01999"]
        assert sum(decoded) < 300


def test_rows_of_a_long_log_are_not_kept(data: Path) -> None:
    filled(data, 2000)
    with opened(data) as store:
        assert len(rows(store)) == 2003
        assert log_in(store).cost < 24 * 2003 + 2_000


def test_an_edit_is_not_taken_for_an_append(data: Path) -> None:
    path = data / "chats/chat-1.jsonl"
    filled(data, 20)
    with opened(data) as store, opened(data) as other:
        assert len(rows(store)) == 23
        text = path.read_bytes()
        edit(path, text.replace(b'"content":"x"', b'"content":"y"'))
        with other.transaction() as tx:
            tx.insert([message(1, id="z", createdAt="2025-12-02T00:00:00.000Z")])
        found = rows(store)
        assert [row.content for row in found[3:-1]] == ["y"] * 20
        assert found[-1].id == "z"


def test_a_broken_line_is_damage(data: Path) -> None:
    with opened(data) as store:
        rows(store)
        with open(data / "chats/chat-1.jsonl", "ab") as log:
            log.write(b'{"_model":"Message","id":7}\n')
        with pytest.raises(DamagedError, match=r"chats/chat-1.jsonl:4"):
            rows(store)


def edit(path: Path, text: bytes) -> None:
    path.write_bytes(text)
    # The kernel's clock for files stands still for milliseconds.
    os.utime(path, ns=(now := time.time_ns(), now))


class Game:
    """Random changes by several stores and by hand."""

    def __init__(self, data: Path, seed: int) -> None:
        self.data, self.random, self.number = data, random.Random(seed), 0
        self.stores = [opened(data), opened(data, 1 << 20), opened(data)]

    def close(self) -> None:
        for store in self.stores:
            store.close()

    def ids(self) -> list[str]:
        return [row.id for chat in CHATS for row in rows(self.stores[0], chat)]

    def new(self) -> Record:
        self.number += 1
        at = f"2025-12-01T00:00:{self.random.randrange(60):02}.000Z"
        chat, key = self.random.choice(CHATS), f"k{self.random.randrange(10)}-{self.number}"
        return message(1, chat, id=key, content="x" * self.random.randrange(9), createdAt=at)

    def append(self, tx: Transaction) -> None:
        tx.insert([self.new() for _ in range(self.random.choice([1, 1, 1, 2, 12]))])

    def change(self, tx: Transaction) -> None:
        for key in self.some():
            self.number += 1
            at = f"2025-12-01T00:00:{self.random.randrange(60):02}.000Z"
            what = {"content": f"changed {self.number}"}, {"createdAt": at}, {"chatId": "chat-2"}
            revise(tx, "Message", key, **self.random.choice(what))

    def remove(self, tx: Transaction) -> None:
        for key in self.some():
            erase(tx, "Message", key)

    def some(self) -> list[str]:
        ids = self.ids()
        return self.random.sample(ids, min(len(ids), self.random.choice([1, 1, 2, 10])))

    def by_hand(self) -> None:
        path = self.data / f"chats/{self.random.choice(CHATS)}.jsonl"
        lines = path.read_bytes().splitlines(keepends=True)
        kind = self.random.randrange(5)
        if kind == 0 and lines:
            del lines[self.random.randrange(len(lines))]
        elif kind == 1:
            self.random.shuffle(lines)
            lines = [line if line.endswith(b"\n") else line + b"\n" for line in lines]
        elif kind == 2 and lines:
            lines[-1] = lines[-1].rstrip(b"\n")
        elif kind == 3 and lines:
            lines[0] = lines[0].replace(b'"content":"', b'"content":"edited ')
        else:
            lines = [*lines[:1], b"\n", *lines[1:]] if lines and lines[0].endswith(b"\n") else lines
        edit(path, b"".join(lines))

    def play(self, step: str) -> None:
        store = self.random.choice(self.stores)
        if step == "by hand":
            self.by_hand()
        elif step == "compact":
            store.compact()
        else:
            work: Callable[[Transaction], None] = getattr(self, step)
            try:
                with store.transaction() as tx:
                    work(tx)
            except ConflictError:
                # A row that an edit has changed before.
                pass

    def check(self) -> None:
        with opened(self.data, 1 << 20) as fresh:
            there = {chat: rows(fresh, chat) for chat in CHATS}
        by_id: dict[str, list[Record]] = {}
        for row in (row for found in there.values() for row in found):
            by_id.setdefault(row.id, []).append(row)
        for store in self.stores:
            for chat, expected in there.items():
                assert rows(store, chat) == expected
                backwards = store.read(
                    lambda view, chat=chat: list(  # type: ignore[misc]
                        reversed(view.in_file_order("Message", ("chatId",), chat))
                    )
                )
                assert backwards == expected[::-1]
            found = store.read(lambda view: {key: view.get("Message", key) for key in by_id})
            # The edit of a log can leave one id in two of them.
            assert all(found[key] in alike for key, alike in by_id.items())


STEPS = st.lists(st.sampled_from(["append", "append", "change", "remove", "by hand", "compact"]), max_size=12)


@given(steps=STEPS, seed=st.integers(0, 10_000))
@example(steps=["by hand", "change", "append", "by hand"], seed=386)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_it_answers_as_a_fresh_store(tmp_path: Path, steps: list[str], seed: int) -> None:
    data = tmp_path / str(time.time_ns())
    build(data)
    game = Game(data, seed)
    try:
        for step in steps:
            game.play(step)
            game.check()
    finally:
        game.close()
