"""Scratch space for what does not fit into memory: a temporary SQLite file."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path


@contextmanager
def scratch(folder: Path) -> Iterator[sqlite3.Connection]:
    """A temporary SQLite database on disk, in ``folder`` if that can be written, gone at the end."""
    try:
        made = tempfile.TemporaryDirectory(dir=folder, prefix="verify-")
    except OSError:
        made = tempfile.TemporaryDirectory(prefix="octavo-verify-")
    with made as path, closing(sqlite3.connect(Path(path) / "rows.sqlite", isolation_level=None)) as database:
        for setting in ("journal_mode=OFF", "synchronous=OFF", "cache_size=-8000", "locking_mode=EXCLUSIVE"):
            database.execute(f"PRAGMA {setting}")
        yield database
