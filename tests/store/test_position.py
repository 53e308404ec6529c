"""A position is committed with its transaction, or not at all, whatever the process dies of."""

from __future__ import annotations

import errno
import os
import shutil
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from faults import Fault, Faulty, child, die, die_half_way, fail, received
from octavo.errors import OctavoError
from octavo.inspect.doctor import examine
from octavo.store import position
from octavo.store.offline import OWN
from octavo.store.store import Store
from small_store import chat, layout, message, revise


@pytest.fixture
def root(built: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(built, tmp_path / "data"))


def take(store: Store, number: int) -> None:
    """A transaction on one line, one file, several, or none, and the position behind it."""
    with store.transaction() as tx:
        match number % 4:
            case 0:
                tx.insert([message(100 + number)])
            case 1:
                revise(tx, "Persona", "persona-1", name=str(number))
            case 2:
                tx.insert([chat(f"chat-{100 + number}"), chat(f"chat-{200 + number}")])
        if number % 4 < 3:
            revise(tx, "User", "user-1", name=str(number))
        tx.set_position(str(number))


def standing(root: Path) -> tuple[str, str | None]:
    """The number of the last transaction, as its records have it, and as the position has it."""
    with Store.open(root, layout()) as store:
        user = store.read(lambda view: view.get("User", "user-1"))
    assert user is not None
    return str(user.name), position.read(root)


def test_there_is_none_before_somebody_sets_one(root: Path) -> None:
    assert position.read(root) is None


def test_it_changes_with_the_records_and_without_any(root: Path) -> None:
    with Store.open(root, layout()) as store:
        for number in range(1, 9):
            take(store, number)
            assert position.read(root) == str(number)
    assert standing(root) == ("8", "8")
    assert os.listdir(root / "journal") == []


def test_it_stays_where_a_transaction_is_given_up(root: Path) -> None:
    with Store.open(root, layout()) as store:
        take(store, 1)
        with suppress(ZeroDivisionError), store.transaction() as tx:
            tx.set_position("2")
            raise ZeroDivisionError
    assert position.read(root) == "1"


def test_the_last_of_several_that_are_written_together_counts(root: Path) -> None:
    with Store.open(root, layout(), durability="batched") as store:
        for number in range(1, 6):
            take(store, number)
    assert standing(root) == ("5", "5")


def test_it_is_of_these_files_and_of_no_others() -> None:
    assert position.NAME in OWN


def _calls(root: Path) -> int:
    with child(lambda connection: _tell(root, Faulty(), connection)) as connection:
        *_, count = received(connection)
    return int(count)


def _tell(root: Path, system: Faulty, connection: Connection) -> None:
    with Store.open(root, layout(), system=system) as store:
        for number in range(1, 5):
            with suppress(OctavoError):
                take(store, number)
                connection.send(number)
    connection.send(len(system.calls))


def _is_together(root: Path) -> None:
    """The position is that of the last transaction that the records have, or of one behind it that has
    changed none."""
    name, there = standing(root)
    last = 0 if there is None else int(there)
    assert name == (str(last - (last % 4 == 3)) if last else name)
    assert not [n for n in os.listdir(root / "cache") if n.endswith(".new")]


@pytest.mark.parametrize("how", [die, die_half_way])
def test_a_process_that_is_killed_at_any_call(root: Path, tmp_path: Path, how: Fault) -> None:
    count = _calls(Path(shutil.copytree(root, tmp_path / "rehearsed")))
    for at in range(1, count + 1):
        copy = Path(shutil.copytree(root, tmp_path / str(at)))
        with child(lambda c, copy=copy, at=at: _tell(copy, Faulty(at, how), c)) as connection:  # type: ignore[misc]
            acknowledged = [n for n in received(connection) if n <= 4]
        _is_together(copy)
        there = position.read(copy)
        assert int(there or 0) >= max(acknowledged, default=0)


def test_a_disk_that_fails_at_any_call(root: Path, tmp_path: Path) -> None:
    count = _calls(Path(shutil.copytree(root, tmp_path / "rehearsed")))
    for at in range(1, count + 1):
        copy = Path(shutil.copytree(root, tmp_path / str(at)))
        with suppress(OctavoError), Store.open(copy, layout(), system=Faulty(at, fail(errno.EIO))) as store:
            for number in range(1, 5):
                with suppress(OctavoError):
                    take(store, number)
        _is_together(copy)


def test_a_doctor_looks_at_a_store_whose_journal_holds_one(root: Path) -> None:
    def work(connection: Connection) -> None:
        store = Store.open(root, layout())
        take(store, 2)
        os._exit(9)

    with child(work) as connection:
        list(received(connection))
    assert os.listdir(root / "journal") != []
    assert examine(root, layout()).sound
    assert standing(root) == ("2", "2")
