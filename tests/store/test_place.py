"""A store whose folder is exchanged without its lock answers nothing and acknowledges nothing any more."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from folders import tree
from octavo.backend import Durability
from octavo.errors import DiskError, OctavoError, ReplacedError
from octavo.store.store import Store
from octavo.store.view import View
from small_store import layout, message, revise, row
from stores import Unsynced, copied

ANSWERS_BEFORE_WATCHING, ANSWERS_UNTIL_WATCHING = 0, 40
Exchange = Callable[[], None]


class Swap:
    """Two stores, one at ``path``, and ways to put the other in its place."""

    def __init__(self, folder: Path, built: Path) -> None:
        self.folder, self.one, self.two = folder, folder / "one", folder / "two"
        for place in (self.one, self.two):
            copied(built, place / "data")
        with Store.open(self.two / "data", layout(), system=Unsynced()) as store, store.transaction() as tx:
            for number in (1, 2, 3):
                revise(tx, "Chat", f"chat-{number}", title="of two")
        self.path = self.one / "data"
        self._mounted = False

    def by_rename(self) -> Exchange:
        def exchange() -> None:
            self.path.rename(self.folder / "old")
            (self.two / "data").rename(self.path)

        return exchange

    def by_symlink(self) -> Exchange:
        self.path = self.folder / "data"
        self.path.symlink_to(self.one / "data")
        return partial(self._switch, self.path, self.two / "data")

    def by_symlink_above(self) -> Exchange:
        self.path = self.folder / "app" / "data"
        self.path.parent.symlink_to(self.one)
        return partial(self._switch, self.path.parent, self.two)

    def _switch(self, link: Path, target: Path) -> None:
        new = self.folder / "new"
        new.symlink_to(target)
        new.replace(link)

    def by_renamed_parent(self) -> Exchange:
        def exchange() -> None:
            self.one.rename(self.folder / "old")
            self.two.rename(self.one)

        return exchange

    def by_mount(self) -> Exchange:
        def exchange() -> None:
            done = subprocess.run(["mount", "--bind", self.two / "data", self.path], check=False)
            if done.returncode:
                pytest.skip("mounting is not permitted here")
            self._mounted = True

        return exchange

    def by_removal(self) -> Exchange:
        """The new folder may get the inode of the old one."""

        def exchange() -> None:
            shutil.rmtree(self.path)
            shutil.copytree(self.two / "data", self.path)

        return exchange

    def end(self) -> None:
        if self._mounted:
            subprocess.run(["umount", self.path], check=True)


WAYS = [
    Swap.by_rename,
    Swap.by_symlink,
    Swap.by_symlink_above,
    Swap.by_renamed_parent,
    Swap.by_mount,
    Swap.by_removal,
]


@pytest.fixture
def swap(tmp_path: Path, built: Path) -> Iterator[Swap]:
    made = Swap(tmp_path, built)
    yield made
    made.end()


def opened(swap: Swap, durability: Durability = "full", answers: int = 0) -> Store:
    store = Store.open(swap.path, layout(), durability=durability, system=Unsynced())
    for _ in range(answers):
        store.get("Chat", "chat-1")
    return store


def in_transaction(store: Store) -> object:
    with store.transaction() as tx:
        return tx.get("Chat", "chat-1")


def write(store: Store) -> None:
    with store.transaction() as tx:
        tx.insert([message(20)])


ASKED: dict[str, Callable[[Store], Any]] = {
    "a record read before": lambda store: store.get("Chat", "chat-1"),
    "all records read before": lambda store: store.read(lambda view: list(view.rows("Chat"))),
    "a record not read before": lambda store: store.get("Character", "hero-1"),
    "all records not read before": lambda store: store.read(lambda view: list(view.rows("Tag"))),
    "a message by its id": lambda store: store.get("Message", "m1"),
    "the messages of a chat": lambda store: store.read(
        lambda view: list(view.find("Message", ("chatId",), "chat-2"))
    ),
    "a record in a transaction": in_transaction,
    "a write": write,
    "a payload to keep": lambda store: store.put_payload(b"payload"),
    "a compaction": lambda store: store.compact(),
    "a checkpoint": lambda store: store.checkpoint(),
}


def refusal(ask: Callable[[Store], Any], store: Store) -> type[Exception] | None:
    try:
        ask(store)
    except OctavoError as error:
        return type(error)
    return None


@pytest.mark.parametrize("answers", [ANSWERS_BEFORE_WATCHING, ANSWERS_UNTIL_WATCHING])
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_every_question_after_an_exchange_is_refused(
    swap: Swap, way: Callable[[Swap], Exchange], answers: int
) -> None:
    exchange = way(swap)
    with opened(swap, answers=answers) as store:
        ASKED["all records read before"](store)
        exchange()
        before = tree(swap.path)
        for name, ask in ASKED.items():
            assert refusal(ask, store) is ReplacedError, name
    assert tree(swap.path) == before


@pytest.mark.parametrize("durability", ["full", "batched"])
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_a_transaction_whose_folder_is_exchanged_while_it_runs_is_not_acknowledged(
    swap: Swap, way: Callable[[Swap], Exchange], durability: Durability
) -> None:
    exchange = way(swap)
    store = opened(swap, durability)
    before = tree(swap.two / "data")

    def commit(store: Store) -> None:
        with store.transaction() as tx:
            tx.insert([row("Character", id="hero-9", userId="user-1")])
            revise(tx, "Chat", "chat-1", title="new")
            exchange()
        store.flush()

    assert refusal(commit, store) is ReplacedError
    assert refusal(ASKED["a record read before"], store) is ReplacedError
    store.close()
    assert tree(swap.path) == before


class Exchanging(Unsynced):
    """Exchanges the folder at one call of a commit."""

    def __init__(self, at: int) -> None:
        self.left, self.exchange = at, None
        self.armed: Exchange | None = None

    def _count(self) -> None:
        if self.armed is not None:
            if self.left == 0:
                exchange, self.armed = self.armed, None
                exchange()
            self.left -= 1

    def write(self, descriptor: int, data: bytes | memoryview, at: int) -> int:
        self._count()
        return super().write(descriptor, data, at)

    def sync(self, descriptor: int) -> None:
        self._count()

    def rename(self, source: str, target: str) -> None:
        self._count()
        super().rename(source, target)


@pytest.mark.parametrize("at", range(5))
def test_a_commit_whose_folder_is_exchanged_in_its_midst_is_not_acknowledged(swap: Swap, at: int) -> None:
    """What it has written by then may be in either folder, or in both: it says that it was not kept."""
    exchange, system = swap.by_symlink(), Exchanging(at)
    store = Store.open(swap.path, layout(), system=system)

    def commit(store: Store) -> None:
        with store.transaction() as tx:
            tx.insert([row("Persona", id="persona-9", userId="user-1")])
            tx.insert([message(20), message(21)])
            system.armed = exchange

    assert refusal(commit, store) is not None
    assert system.armed is None, "the commit makes fewer calls"
    assert refusal(ASKED["a record read before"], store) is ReplacedError
    store.close()


def test_an_exchange_that_was_noticed_once_is_never_forgotten(swap: Swap) -> None:
    """What is in memory may be of either folder by then."""
    exchange = swap.by_symlink()
    with opened(swap) as store:
        exchange()
        with pytest.raises(ReplacedError):
            store.get("Chat", "chat-1")
        swap._switch(swap.path, swap.one / "data")
        with pytest.raises(ReplacedError):
            store.get("Chat", "chat-1")


def test_a_folder_that_is_gone_is_an_error_that_names_it(swap: Swap) -> None:
    with opened(swap, answers=ANSWERS_UNTIL_WATCHING) as store:
        swap.path.rename(swap.folder / "elsewhere")
        for ask in ASKED.values():
            with pytest.raises(DiskError) as raised:
                ask(store)
            assert str(swap.path) in str(raised.value)
        (swap.folder / "elsewhere").rename(swap.path)
        assert store.get("Chat", "chat-1") is not None


def test_a_read_in_whose_midst_the_folder_is_exchanged_gives_nothing(swap: Swap) -> None:
    """Part of what it read was of the old folder, and part of the new one."""
    exchange = swap.by_symlink()
    with opened(swap) as store:

        def work(view: View) -> Any:
            first = view.get("Chat", "chat-1")
            if not swap.path.samefile(swap.two / "data"):
                exchange()
            return first, view.get("Character", "hero-1")

        with pytest.raises(ReplacedError):
            store.read(work)


def test_a_child_of_fork_has_the_folder_that_is_at_the_path(swap: Swap) -> None:
    exchange = swap.by_symlink()
    with opened(swap) as store:
        assert store.get("Chat", "chat-1").title == "title"  # type: ignore[union-attr]
        exchange()
        child = os.fork()
        if not child:
            os._exit(0 if store.get("Chat", "chat-1").title == "of two" else 1)  # type: ignore[union-attr]
        assert os.waitpid(child, 0)[1] == 0
        with pytest.raises(ReplacedError):
            store.get("Chat", "chat-1")
