"""A batch that could not be written is told to a caller, whichever thread has tried to write it."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from octavo.errors import DiskError
from octavo.store.store import Store
from octavo.store.system import FileSystem
from small_store import build, layout, message


class Full(FileSystem):
    """A disk that may be full."""

    def __init__(self) -> None:
        self.is_full, self.refused = False, 0

    def write(self, descriptor: int, data: bytes | memoryview, at: int) -> int:
        if self.is_full:
            self.refused += 1
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(descriptor, data, at)


def insert(store: Store) -> None:
    with store.transaction() as tx:
        tx.insert([message(70)])


@pytest.mark.parametrize(
    "told", [insert, Store.flush, Store.close], ids=["the next writer", "flush", "close"]
)
def test_what_the_background_could_not_write_is_told(told: Callable[[Store], object], tmp_path: Path) -> None:
    build(tmp_path / "data")
    disk = Full()
    with Store.open(tmp_path / "data", layout(), durability="batched", system=disk) as store:
        disk.is_full = True
        with store.transaction() as tx:
            tx.insert([message(60), message(61, "chat-2")])
        end = time.monotonic() + 30
        while not disk.refused:
            assert time.monotonic() < end
            time.sleep(0.01)
        time.sleep(0.05)
        disk.is_full = False
        with pytest.raises(DiskError, match="No space left"):
            told(store)
        if told is not Store.close:
            insert(store)
            store.flush()
    with Store.open(tmp_path / "data", layout()) as store:
        assert store.get("Message", "m60") is None
        assert (store.get("Message", "m70") is None) == (told is Store.close)
