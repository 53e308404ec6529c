"""What tests of the store share: copies of a store, rows to put into it, and a disk that can be held up."""

from __future__ import annotations

import itertools
import shutil
import threading
from pathlib import Path
from typing import Any

from msgspec import UNSET, Raw

from octavo.layout.layout import Layout
from octavo.layout.record import Record, attribute
from octavo.store.store import Store
from octavo.store.system import FileSystem

_numbers = itertools.count(1)
AT = "2025-01-02T03:04:05.678Z"


class Unsynced(FileSystem):
    """Leaves durability out, where nothing crashes."""

    def sync(self, descriptor: int) -> None:
        pass


class Held(Unsynced):
    """Stops a thread in the middle of a commit, when told to, until it is told to go on."""

    def __init__(self) -> None:
        self.store: Store | None = None
        self.hold = False
        self.reached, self.go_on = threading.Event(), threading.Event()

    def _stop(self) -> None:
        if self.hold and self.store is not None and self.store._world.commits % 2:
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


def row(layout: Layout, store: Store, model: str, **values: Any) -> Record:
    """A row with these values by the names of their fields, and plain ones for the rest."""
    found = {}
    for f in layout.datamodel.model(model).scalars:
        if f.name in values:
            found[attribute(f)] = values[f.name]
        elif f.nullable:
            found[attribute(f)] = UNSET if f.is_json else None
        else:
            found[attribute(f)] = plain(layout, f)
    return store.rules.codecs[model].shape.record_type(**found)


def plain(layout: Layout, f: Any) -> Any:
    """A value for a required field, another one each time where it is a text."""
    if f.is_json:
        return Raw(b"{}")
    if f.type in {e.name for e in layout.datamodel.enums}:
        return layout.datamodel.enum(f.type).members[0].name
    return {"Int": 1, "Boolean": False, "DateTime": AT}.get(f.type, f"{f.name} {next(_numbers)}")
