"""Scratch space for what does not fit into memory: a temporary SQLite file."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from octavo.errors import DiskError

_OF_THE_DISK = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)
"""what SQLite says, in the last byte of its error code, when the disk has no room or fails"""


@contextmanager
def scratch(folder: Path) -> Iterator[sqlite3.Connection]:
    """A temporary SQLite database on disk, in ``folder`` if that can be written, gone at the end.

    Raises DiskError if the disk fails it, or has no room for it.
    """
    try:
        made = tempfile.TemporaryDirectory(dir=folder, prefix="verify-")
    except OSError:
        made = tempfile.TemporaryDirectory(prefix="octavo-verify-")
    with made as path, closing(sqlite3.connect(Path(path) / "rows.sqlite", isolation_level=None)) as database:
        for setting in ("journal_mode=OFF", "synchronous=OFF", "cache_size=-8000", "locking_mode=EXCLUSIVE"):
            database.execute(f"PRAGMA {setting}")
        try:
            yield database
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF not in _OF_THE_DISK:
                raise
            raise DiskError(f"comparing in a temporary file: {error}", path=path) from error
