"""Threads that share one store: transactions in turn, commits together, readers beside them."""

from __future__ import annotations

import gc
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from octavo.errors import BusyError, DiskError, UsageError
from octavo.store.store import Store, Transaction
from small_store import build, erase, layout, message, row
from stores import Held, Unsynced


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets a thread be stopped in its commit for longer than a process may go on at the cost of others."""
    monkeypatch.setattr("octavo.store.commit._LONGEST_HOLD", 60.0)


def joined(*threads: threading.Thread) -> None:
    for thread in threads:
        thread.join(30)
    assert not any(thread.is_alive() for thread in threads)


class Pair:
    """Two threads: one is stopped in its commit, while the other's transaction begins."""

    def __init__(self, root: Path, after: int = 0) -> None:
        build(root)
        self.system = Held(after)
        self.store = self.system.store = Store.open(root, layout(), system=self.system)
        self.found: list[Any] = []

    def run(self, first: Callable[[Transaction], Any], second: Callable[[Transaction], Any]) -> None:
        begun = threading.Event()

        def one() -> None:
            with self.store.transaction() as tx:
                first(tx)

        def other() -> None:
            with self.store.transaction() as tx:
                begun.set()
                self.found.append(second(tx))
                tx.insert([row("Tag", id="second", userId="user-1", nameLower="second")])

        self.system.hold = True
        threads = [threading.Thread(target=work, daemon=True) for work in (one, other)]
        threads[0].start()
        assert self.system.reached.wait(30)
        threads[1].start()
        assert begun.wait(30)
        # Until it waits for the first one, if it has to.
        threads[1].join(0.2)
        self.system.go_on.set()
        joined(*threads)
        assert self.store.read(lambda view: view.get("Tag", "second"))
        self.store.close()


@pytest.mark.parametrize(
    "write",
    [
        lambda tx: tx.insert([message(77)]),
        lambda tx: tx.insert([row("Tag", id="first", userId="user-1", nameLower="first")]),
    ],
    ids=["a message", "a tag"],
)
@pytest.mark.parametrize(
    "read",
    [
        lambda tx: list(tx.rows("Character")),
        lambda tx: list(tx.rows("Message")),
        lambda tx: tx.get("Message", "nowhere"),
        lambda tx: tx.find("Chat", ("userId",), "nobody"),
        lambda tx: tx.get("Persona", "nobody"),
    ],
    ids=["record files", "logs per parent", "by location", "log", "record file"],
)
def test_a_transaction_reads_files_while_the_one_before_it_is_written(
    tmp_path: Path, read: Callable[[Transaction], Any], write: Callable[[Transaction], Any]
) -> None:
    """What it reads first is read when the other's commit is over, which must not wait for it in turn."""
    pair = Pair(tmp_path / "data")
    pair.run(write, read)
    assert len(pair.found) == 1


@pytest.mark.parametrize("after", range(3))
@pytest.mark.parametrize(
    "read",
    [lambda tx: tx.find("Message", ("chatId",), "chat-1"), lambda tx: tx.find("Message", ("role",), "USER")],
    ids=["by parent", "all"],
)
def test_a_log_that_is_going_is_not_missing(
    tmp_path: Path, read: Callable[[Transaction], Any], after: int
) -> None:
    pair = Pair(tmp_path / "data", after)
    pair.run(lambda tx: erase(tx, "Chat", "chat-1"), read)
    assert pair.found == [[]]


def test_upkeep_beside_a_reader_is_not_taken_for_somebody_elses_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(tmp_path / "data")
    looking, go_on = threading.Event(), threading.Event()
    with Store.open(tmp_path / "data", layout()) as store:
        take = store.engine.world.watch.take

        def slowly() -> set[str] | None:
            if threading.current_thread() is reader:
                looking.set()
                # Until the upkeep is over, if it has not to wait for this look around.
                go_on.wait(0.2)
            return take()

        monkeypatch.setattr(store.engine.world.watch, "take", slowly)
        reader = threading.Thread(target=lambda: store.get("Tag", "tag-1"), daemon=True)
        with store.alone():
            before = store.changes_of_others
            reader.start()
            assert looking.wait(30)
            store.engine.writer.checkpoint()
            go_on.set()
            joined(reader)
        assert store.changes_of_others == before
        with store.transaction() as tx:
            assert len(list(tx.rows("Message"))) == 5


@pytest.fixture
def edited(tmp_path: Path) -> Iterator[Store]:
    """A store that is told what changes, and a document that it has read and a person has edited since."""
    build(tmp_path / "data")
    with Store.open(tmp_path / "data", layout()) as store:
        for _ in range(40):
            assert name_of_tag(store) == "t1"
        tags = tmp_path / "data" / "tags" / "tags.json"
        tags.write_text(tags.read_text(encoding="utf-8").replace('"t1"', '"edited"'), encoding="utf-8")
        yield store


def name_of_tag(store: Store) -> Any:
    there = store.get("Tag", "tag-1")
    assert there is not None
    return there.nameLower


def test_what_one_thread_is_just_told_of_no_other_misses(
    edited: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken, go_on, take = threading.Event(), threading.Event(), edited.engine.world.watch.take

    def slowly() -> set[str] | None:
        found = take()
        taken.set()
        go_on.wait(30)
        return found

    monkeypatch.setattr(edited.engine.world.watch, "take", slowly)
    found: list[Any] = []
    first, other = (threading.Thread(target=lambda: found.append(name_of_tag(edited))) for _ in range(2))
    first.start()
    assert taken.wait(30)
    other.start()
    # It may answer at once, or wait for the first.
    other.join(0.2)
    go_on.set()
    joined(first, other)
    assert found == ["edited", "edited"]


def test_what_a_thread_was_told_before_an_error_the_next_one_hears(
    edited: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    take = edited.engine.world.watch.take

    def failing() -> set[str] | None:
        take()
        raise DiskError("the folder cannot be looked at")

    with monkeypatch.context() as patch:
        patch.setattr(edited.engine.world.watch, "take", failing)
        with pytest.raises(DiskError):
            name_of_tag(edited)
    assert name_of_tag(edited) == "edited"


def test_a_signal_handler_that_writes_in_the_midst_of_a_commit_is_refused(tmp_path: Path) -> None:
    """It would wait for the commit that it has interrupted."""
    build(tmp_path / "data")
    said: list[str] = []

    class Signalled(Unsynced):
        def sync(self, descriptor: int) -> None:
            signal.raise_signal(signal.SIGUSR1)

    def handler(number: int, frame: object) -> None:
        try:
            with store.transaction(timeout=0.1):
                said.append("in")
        except UsageError as error:
            said.append(error.hint)

    before = signal.signal(signal.SIGUSR1, handler)
    try:
        with Store.open(tmp_path / "data", layout(), system=Signalled()) as store:
            with store.transaction() as tx:
                tx.insert([message(20)])
            during = list(said)
            assert store.get("Message", "m20") is not None
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert during
    assert all(text.startswith("raise an exception") for text in during)


@pytest.fixture
def uncollected() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


def garbage(store: Store) -> None:
    """Begin to hold the write lock in a block that only the garbage collector leaves."""
    block = store.alone()
    block.__enter__()
    cycle: list[object] = [block]
    cycle.append(cycle)


@pytest.mark.usefixtures("uncollected")
def test_a_block_that_is_garbage_is_left_without_waiting_for_a_lock(tmp_path: Path) -> None:
    """The thread that collects may hold a lock for which the holder of this one waits."""
    build(tmp_path / "data")
    with Store.open(tmp_path / "data", layout()) as store:
        garbage(store)
        collecting = threading.Thread(target=gc.collect, daemon=True)
        with store.engine.committer._mutex:
            collecting.start()
            joined(collecting)
        with store.transaction(timeout=30):
            pass


@pytest.mark.usefixtures("uncollected")
def test_a_block_that_is_garbage_lets_go_of_the_write_lock(tmp_path: Path) -> None:
    build(tmp_path / "data")
    with Store.open(tmp_path / "data", layout()) as store, Store.open(tmp_path / "data", layout()) as other:
        garbage(store)
        with pytest.raises(BusyError), other.transaction(timeout=0):
            pass
        gc.collect()
        with other.transaction(timeout=20):
            pass
