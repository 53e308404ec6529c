"""The folder that an export puts in place: built beside its target, then moved there in one step."""

from __future__ import annotations

import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum
from pathlib import Path

from octavo.errors import DiskError, UsageError
from octavo.layout.empty import empty_file
from octavo.layout.layout import Layout
from octavo.store import disk

_CACHE = "cache"


class State(StrEnum):
    """What stands at a ``DATA_DIR``."""

    NOTHING = "nothing"
    EMPTY = "no store yet"
    """nothing but ``cache/`` and what ``scaffold`` makes"""
    STORE = "a store"


def state_of(target: Path, layout: Layout) -> State:
    """What stands there now.  Raises UsageError if it is no folder, DiskError if it cannot be looked into."""
    with disk.disk_errors("looking into the data folder"):
        if not os.path.lexists(target):
            return State.NOTHING
        if not target.is_dir():
            raise UsageError(f"{target} is not a folder")
        return State.EMPTY if _is_empty(target, layout) else State.STORE


def _is_empty(target: Path, layout: Layout) -> bool:
    known = set(layout.folders)
    for folder, names, files in os.walk(target, onerror=_raise):
        relative = os.path.relpath(folder, target).replace(os.sep, "/")
        if relative == ".":
            names[:] = [n for n in names if n != _CACHE]
            relative = ""
        elif relative not in known:
            return False
        for name in files:
            path = f"{relative}/{name}" if relative else name
            family = layout.family(path)
            if family is None or (Path(folder) / name).read_bytes() != empty_file(family):
                return False
    return True


def _raise(error: OSError) -> None:
    raise error


class Building:
    """A data folder under construction, at ``path``."""

    def __init__(self, target: Path, path: Path, layout: Layout) -> None:
        self.target, self.path, self.layout = target, path, layout

    def put_in_place(self, *, replace: bool) -> Path | None:
        """Sync what was built and give it its name.  Gives where the store that it replaced is kept now.

        Raises UsageError if a store stands there by now and ``replace`` is not wanted.
        """
        with disk.disk_errors("syncing the export"):
            disk.sync_tree(self.path)
        with disk.disk_errors("putting the export in place"):
            state = state_of(self.target, self.layout)
            if state is State.NOTHING:
                try:
                    disk.put_in_place(self.path, self.target)
                except FileExistsError as error:
                    raise UsageError(f"{self.target} has come into being meanwhile") from error
                return None
            if state is State.STORE and not replace:
                raise refusal(self.target)
            # Whatever happens from here on, the old store never has a name that is swept.
            kept = _free_name(self.target)
            os.rename(self.path, kept)
            disk.exchange(kept, self.target)
            if state is State.EMPTY and _is_empty(kept, self.layout):
                shutil.rmtree(kept)
                return None
            return kept


def refusal(target: Path) -> UsageError:
    """The error for a store that stands where one is to be put."""
    return UsageError(
        f"{target} already holds a store",
        hint="say --replace to put a new one in its place (the old is kept)",
    )


@contextmanager
def building(target: Path, layout: Layout) -> Iterator[Building]:
    """Make a folder beside the target to build in; whatever is left of it at the end is removed.

    Leftovers of a builder that was killed are removed too.  Raises DiskError if nothing can be written there.
    """
    if target.is_symlink():
        target = target.resolve()
    with disk.disk_errors("making a folder beside the data folder"):
        target.parent.mkdir(parents=True, exist_ok=True)
        _sweep(target)
        path = target.with_name(f"{_prefix(target)}{secrets.token_hex(4)}")
        path.mkdir(mode=disk.FOLDER_MODE)
    with disk.locked_folder(path):
        try:
            with disk.disk_errors("preparing the export"):
                for folder in layout.folders:
                    (path / folder).mkdir(mode=disk.FOLDER_MODE)
                _bring_cache(target / _CACHE, path / _CACHE)
            yield Building(target, path, layout)
        finally:
            shutil.rmtree(path, ignore_errors=True)


def _prefix(target: Path) -> str:
    return f".{target.name}.octavo-building-"


def _sweep(target: Path) -> None:
    for left in target.parent.glob(f"{_prefix(target)}*"):
        with suppress(OSError):
            if not disk.is_locked(left):
                shutil.rmtree(left)


def _bring_cache(old: Path, new: Path) -> None:
    """The baseline and the reports of earlier runs stay with the store."""
    if not old.is_dir():
        return
    shutil.copytree(old, new, dirs_exist_ok=True, symlinks=True, ignore=shutil.ignore_patterns("locks"))


def _free_name(target: Path) -> Path:
    stamp = time.strftime("%Y-%m-%dT%H%M%S")
    for suffix in ("", *(f"-{n}" for n in range(2, 1000))):
        name = target.with_name(f"{target.name}.replaced-{stamp}{suffix}")
        if not os.path.lexists(name):
            return name
    raise DiskError("no free name for the replaced store", path=str(target))
