"""Threads that share one store: transactions in turn, commits together, readers beside them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from octavo.layout.layout import frozen_layout
from octavo.store.store import Store, Transaction
from stores import Held, copied, row

LAYOUT = frozen_layout()


def joined(*threads: threading.Thread) -> None:
    for thread in threads:
        thread.join(30)
    assert not any(thread.is_alive() for thread in threads)


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
    exported: Path, tmp_path: Path, read: Callable[[Transaction], Any]
) -> None:
    """What it reads first is read when the other's commit is over, which must not wait for it in turn."""
    system = Held()
    with Store.open(copied(exported, tmp_path / "data"), LAYOUT, system=system) as store:
        system.store = store
        user = store.read(lambda view: next(iter(view.rows("User"))))
        chat = store.read(lambda view: next(iter(view.rows("Chat"))))
        begun = threading.Event()
        found: list[Any] = []

        def first() -> None:
            with store.transaction() as tx:
                tx.insert([row(LAYOUT, store, "Tag", userId=user.id, id="first")])
                tx.insert([row(LAYOUT, store, "Message", chatId=chat.id, id="first")])

        def second() -> None:
            with store.transaction() as tx:
                begun.set()
                found.append(read(tx))
                tx.insert([row(LAYOUT, store, "Tag", userId=user.id, id="second")])

        system.hold = True
        one, other = threading.Thread(target=first, daemon=True), threading.Thread(target=second, daemon=True)
        one.start()
        assert system.reached.wait(30)
        other.start()
        assert begun.wait(30)
        system.go_on.set()
        joined(one, other)
        assert len(found) == 1
        there = store.read(lambda view: {t.id for t in view.rows("Tag")})
        assert {"first", "second"} <= there
