"""What tests of the store share: copies of a store, and a disk that does not sync, or can be held up."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

from octavo.store.store import Store
from octavo.store.system import FileSystem


class Unsynced(FileSystem):
    """Leaves durability out, where nothing crashes."""

    def sync(self, descriptor: int) -> None:
        pass


class Held(Unsynced):
    """Stops a thread in the middle of a commit, when told to, until it is told to go on."""

    def __init__(self, after: int = 0) -> None:
        """``after``: how many changes of files the commit makes first."""
        self.store: Store | None = None
        self.hold, self.after = False, after
        self.reached, self.go_on = threading.Event(), threading.Event()

    def _stop(self) -> None:
        if self.hold and self.store is not None and self.store.engine.world.commits % 2:
            if self.after:
                self.after -= 1
                return
            self.hold = False
            self.reached.set()
            assert self.go_on.wait(30)

    def write(self, descriptor: int, data: bytes | memoryview, at: int) -> int:
        self._stop()
        return super().write(descriptor, data, at)

    def rename(self, source: str, target: str) -> None:
        self._stop()
        super().rename(source, target)


def copied(source: Path, target: Path) -> Path:
    """A copy of a data folder at rest."""
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("cache"))
    (target / "cache").mkdir()
    return target
