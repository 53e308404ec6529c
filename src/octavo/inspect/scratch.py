"""Scratch space for what does not fit into memory: a temporary SQLite file."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from octavo.errors import DiskError
from octavo.store import disk

_OF_THE_DISK = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)
"""what SQLite says, in the last byte of its error code, when the disk has no room or fails"""
_PREFIX = "verify-"


@contextmanager
def scratch(folder: Path) -> Iterator[sqlite3.Connection]:
    """A temporary SQLite database on disk, in ``folder`` if that can be written, gone at the end.

    Raises DiskError if the disk fails it, or has no room for it.
    """
    while True:
        # Locked, it tells other processes that this one is alive; before that, one may have swept it.
        with _folder(folder) as path, disk.unlocked_folder(Path(path)) as is_own:
            if is_own:
                with _opened(Path(path)) as database:
                    yield database
                return


def _folder(folder: Path) -> tempfile.TemporaryDirectory[str]:
    try:
        return tempfile.TemporaryDirectory(dir=folder, prefix=_PREFIX)
    except OSError:
        return tempfile.TemporaryDirectory(prefix=f"octavo-{_PREFIX}")


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path / "rows.sqlite", isolation_level=None)) as database:
        for setting in ("journal_mode=OFF", "synchronous=OFF", "cache_size=-8000", "locking_mode=EXCLUSIVE"):
            database.execute(f"PRAGMA {setting}")
        try:
            yield database
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF not in _OF_THE_DISK:
                raise
            raise DiskError(f"comparing in a temporary file: {error}", path=str(path)) from error


def sweep(folder: Path) -> None:
    """Remove scratch space that killed processes have left."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(_PREFIX) and entry.is_dir(follow_symlinks=False):
                with disk.unlocked_folder(Path(entry.path)) as is_left:
                    if is_left:
                        shutil.rmtree(entry.path, ignore_errors=True)
