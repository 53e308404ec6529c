"""A store that was closed says so, whatever it is asked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from octavo.errors import UsageError
from octavo.fold.scaffold import scaffold
from octavo.layout.load import frozen_layout
from octavo.store.store import Store


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
