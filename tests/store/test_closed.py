"""A store that was closed says so, whatever it is asked."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from octavo.backend import Durability
from octavo.errors import BusyError, UsageError
from octavo.fold.scaffold import scaffold
from octavo.layout.load import frozen_layout
from octavo.store.shared import SharedState
from octavo.store.store import Store
from small_store import build, layout, message
from stores import Held


def begin(store: Store) -> None:
    with store.transaction():
        pass


@pytest.mark.parametrize(
    "ask",
    [
        lambda store: store.read(lambda view: view.count("User")),
        lambda store: store.get("User", "somebody"),
        begin,
    ],
)
def test_a_closed_store_refuses(ask: Callable[[Store], object], tmp_path: Path) -> None:
    scaffold(tmp_path / "data", frozen_layout())
    store = Store.open(tmp_path / "data", frozen_layout())
    ask(store)
    store.close()
    store.close()
    with pytest.raises(UsageError, match="the store is closed"):
        ask(store)


class Interrupted(Exception):
    """What a signal handler raises."""


def insert(store: Store, number: int, timeout: float | None = None) -> None:
    with store.transaction(timeout=timeout) as tx:
        tx.insert([message(number)])


class TestWhileAThreadWrites:
    """The write lock stays with a thread that is writing until it is through."""

    @pytest.fixture
    def data(self, tmp_path: Path) -> Path:
        build(tmp_path / "data")
        return tmp_path / "data"

    def held(self, data: Path, durability: Durability = "full") -> tuple[Held, Store]:
        """A store that is about to write, and stops there."""
        disk = Held()
        disk.store = store = Store.open(data, layout(), durability=durability, system=disk)
        disk.hold = True
        return disk, store

    def check(self, data: Path, *numbers: int) -> None:
        with Store.open(data, layout()) as store:
            assert [n for n in numbers if store.get("Message", f"m{n}") is None] == []
            assert len(list(store.read(lambda view: list(view.rows("Message"))))) == 5 + len(numbers)

    def test_closing_waits_for_it(self, data: Path) -> None:
        disk, store = self.held(data)
        with Store.open(data, layout()) as other:
            writing = threading.Thread(target=insert, args=(store, 60))
            writing.start()
            assert disk.reached.wait(30)
            closing = threading.Thread(target=store.close)
            closing.start()
            for _ in range(3):
                with pytest.raises(BusyError):
                    insert(other, 61, timeout=0.05)
            disk.go_on.set()
            insert(other, 61)
        writing.join(30)
        closing.join(30)
        assert store.is_closed
        self.check(data, 60, 61)

    def test_a_transaction_that_has_not_ended_is_refused(self, data: Path) -> None:
        store = Store.open(data, layout())
        inside, closed = threading.Event(), threading.Event()
        refused: list[UsageError] = []

        def write() -> None:
            try:
                with store.transaction() as tx:
                    tx.insert([message(60)])
                    inside.set()
                    assert closed.wait(30)
            except UsageError as error:
                refused.append(error)

        writing = threading.Thread(target=write)
        writing.start()
        assert inside.wait(30)
        store.close()
        with Store.open(data, layout()) as other:
            insert(other, 61, timeout=10)
            closed.set()
            writing.join(30)
            insert(other, 62)
        assert [str(error) for error in refused] == ["the store is closed"]
        self.check(data, 61, 62)

    def test_an_interrupted_closing_leaves_the_lock_to_the_batch(self, data: Path) -> None:
        def interrupt(*_: object) -> None:
            raise Interrupted

        disk, store = self.held(data, "batched")
        with Store.open(data, layout()) as other:
            insert(store, 60)
            assert disk.reached.wait(30)
            before = signal.signal(signal.SIGALRM, interrupt)
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            try:
                with pytest.raises(Interrupted):
                    store.close()
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
                signal.signal(signal.SIGALRM, before)
            for _ in range(3):
                with pytest.raises(BusyError):
                    insert(other, 61, timeout=0.05)
            disk.go_on.set()
            insert(other, 61)
        self.check(data, 60, 61)


def test_a_page_that_is_closed_twice_closes_no_other_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(tmp_path / "data")
    with Store.open(tmp_path / "data", layout()):
        page, close = SharedState(str(tmp_path / "data"), create=False), os.close

        def interrupted(descriptor: int) -> None:
            close(descriptor)
            raise Interrupted

        monkeypatch.setattr(os, "close", interrupted)
        with pytest.raises(Interrupted):
            page.close()
        monkeypatch.undo()
        with open(tmp_path / "another", "wb") as another:
            page.close()
            os.fstat(another.fileno())
