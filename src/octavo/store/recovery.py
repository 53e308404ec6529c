"""Brings a store back to what was committed, after a crash, before anybody uses it."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress

from octavo.layout.layout import Layout
from octavo.store import position
from octavo.store.changes import is_left_over
from octavo.store.journal import Journal
from octavo.store.system import FileSystem, sync_all

Resolve = Callable[[dict[str, str]], bool]
"""Tells whether the changes of a prepared entry count, from its note."""


def recover(root: str, layout: Layout, journal: Journal, system: FileSystem, resolve: Resolve | None) -> None:
    """Replay the journal, sync what it changed, and sweep what a crash has left.

    What a writer had done without its commit's being over is seen by everybody from now on, as far as it is
    whole: so it has to be durable first.  That goes for the removal of a journal too.

    Doing it twice, or being killed in it and doing it again, comes to the same.  The write lock is held.
    Raises DamagedError, OSError.
    """
    sync_all(system, root)
    journal.catch_up(None)
    journal.replay(resolve)
    journal.checkpoint()
    for file in left_overs(root, layout):
        with suppress(FileNotFoundError):
            system.remove(os.path.join(root, file))


def left_overs(root: str, layout: Layout) -> list[str]:
    """Files that were being written when a crash came, relative to the data folder."""
    # What it takes to tell a payload on its way is not needed to open a store that is at rest.
    from octavo.store.payloads import is_abandoned, is_incoming

    found = []
    for folder in ("", *layout.folders):
        if folder == "cache":
            continue
        with suppress(FileNotFoundError), os.scandir(os.path.join(root, folder)) as entries:
            for entry in entries:
                is_payload = folder == layout.payload_folder and is_incoming(entry.name)
                if is_left_over(entry.name) or (is_payload and is_abandoned(entry.path)):
                    found.append(os.path.join(folder, entry.name))
    # Of what lies in the cache only this is written under the write lock.
    beside = os.path.dirname(position.NAME)
    with suppress(FileNotFoundError):
        found += [os.path.join(beside, n) for n in os.listdir(os.path.join(root, beside)) if _is_position(n)]
    return found


def _is_position(name: str) -> bool:
    return is_left_over(name) and name.startswith(f".{os.path.basename(position.NAME)}.")
