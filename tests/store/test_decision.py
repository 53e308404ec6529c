"""A commit that somebody else decides: it happens as is decided, whenever who writes it is killed."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from faults import child, received
from octavo.errors import ConflictError, OctavoError
from octavo.store.store import Store
from octavo.store.writer import Decision
from small_store import build, layout, revise, state_of

NOTE = {"decider": "7"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    build(tmp_path / "data")
    return tmp_path / "data"


def rename(store: Store, name: str, decision: Decision | None = None) -> None:
    """Give a user another name, as is decided."""
    with store.transaction(prepare=None if decision is None else lambda: decision) as tx:
        revise(tx, "User", "user-1", name=name)


def name_of(store: Store) -> Any:
    user: Any = store.read(lambda view: view.get("User", "user-1"))
    return user.name


@pytest.mark.parametrize("kept", [True, False])
def test_killed_while_it_is_decided(root: Path, kept: bool) -> None:
    def work(connection: Connection) -> None:
        with Store.open(root, layout()) as store:
            rename(store, "before")
            connection.send("begun")
            rename(store, "decided", Decision(NOTE, lambda: os._exit(9)))

    with child(work) as connection:
        assert list(received(connection)) == ["begun"]
    asked = []

    def resolve(note: dict[str, str]) -> bool:
        asked.append(note)
        return kept

    with Store.open(root, layout(), resolve=resolve) as store:
        assert name_of(store) == ("decided" if kept else "before")
        assert asked == [NOTE]
        rename(store, "afterwards")
    with Store.open(root, layout()) as store:
        assert name_of(store) == "afterwards"
    assert os.listdir(root / "journal") == []


def test_nobody_sees_it_before_it_is_decided(root: Path) -> None:
    seen = []
    with Store.open(root, layout()) as store, Store.open(root, layout()) as other:
        before = name_of(other)

        def decide() -> OctavoError | None:
            seen.append(name_of(store))
            return None

        rename(store, "decided", Decision(NOTE, decide))
        assert seen == [before]
        assert name_of(store) == name_of(other) == "decided"


@pytest.mark.parametrize("kept", [True, False])
def test_who_runs_over_it_can_wait_until_it_is_decided(root: Path, kept: bool) -> None:
    def look(store: Store) -> Any:
        with store.transaction() as tx:
            tx.wait_for_earlier()
            user: Any = tx.get("User", "user-1")
            return user.name

    looks = []
    with Store.open(root, layout()) as store, ThreadPoolExecutor(1) as another:

        def decide() -> OctavoError | None:
            looks.append(another.submit(look, store))
            with pytest.raises(TimeoutError):
                looks[0].result(timeout=0.1)
            return None if kept else ConflictError("not today")

        with nullcontext() if kept else pytest.raises(ConflictError, match="not today"):
            rename(store, "decided", Decision(NOTE, decide))
        if kept:
            assert looks[0].result() == "decided"
        else:
            with pytest.raises(ConflictError, match="on which this one was built"):
                looks[0].result()


def test_what_is_decided_against_has_not_happened(root: Path) -> None:
    with Store.open(root, layout()) as store, Store.open(root, layout()) as other:
        before = state_of(store)
        with pytest.raises(ConflictError, match="not today"):
            rename(store, "decided", Decision(NOTE, lambda: ConflictError("not today")))
        assert state_of(store) == state_of(other) == before
        rename(other, "another")
        assert name_of(store) == "another"
