"""How far the store has come in changes that are brought from elsewhere: a word that is committed with them.

It stands in a file of its own, which changes with the records of a transaction or not at all.  So a process
that carries over changes from another database goes on after a crash exactly where it was: what the position
says is here is here, and nothing else is.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from octavo.errors import disk_errors
from octavo.store.changes import Change
from octavo.store.families.base import Changes, Found
from octavo.store.freshness import World
from octavo.store.system import Signature

if TYPE_CHECKING:
    from pathlib import Path

NAME = "cache/position.json"


def read(root: Path | str) -> str | None:
    """What stands there; None where nothing was ever brought.

    After a crash it counts when the store has been opened, which recovers it.  Raises DiskError.
    """
    with disk_errors("reading the position"):
        try:
            with open(os.path.join(root, NAME), encoding="utf-8") as file:
                return file.read()
        except FileNotFoundError:
            return None


class PositionFile:
    """The file, as a commit sees it.  It is replaced whatever its content is."""

    def __init__(self, world: World) -> None:
        self._world = world

    def suspect(self, file: str | None) -> None:
        """Nothing of it is in memory."""

    def expected(self, file: str) -> Signature | None:
        """The state of the file that the change was planned for: any."""
        return self._world.signature(file)

    def done(self, changes: Changes, files: Mapping[str, Change], found: Found) -> None:
        """Nothing of it is in memory."""
