"""Whether a side was written to since a verification, and so need not be equal any more.

The numbers of PostgreSQL's transactions and the times of the files tell it.  That may name a side that is
equal still (a row that was written as it was, a log that was compacted), and never passes over a write.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from octavo.errors import disk_errors
from octavo.fold.source import Source
from octavo.layout.layout import Layout
from octavo.layout.listing import contents
from octavo.postgres.failures import database_errors
from octavo.postgres.session import Window, window, written_since
from octavo.schema.datamodel import Datamodel
from octavo.schema.native import table_name
from octavo.store.phase import Verified

_PRECISION = timedelta(milliseconds=1)
"""of the time of a verification"""


def first_unseen(source: Source) -> int | None:
    """The number of the first transaction that a snapshot may lack; None if the server does not tell."""
    found = _window(source)
    return None if found is None else found.first


def _window(source: Source) -> Window | None:
    with database_errors(source.snapshot.url, "asking for the number of transactions"):
        return window(source.snapshot.connection)


def is_database_written(
    source: Source, datamodel: Datamodel, verified: Verified, records: int
) -> bool | None:
    """Whether the tables, which hold so many records now, were written to since a verification; None: the
    server does not tell.  Raises DatabaseError."""
    if records != verified.records:
        return True
    if verified.first is None or (now := _window(source)) is None:
        return None
    if now.next <= verified.first:
        return now.next < verified.first
    newer = written_since("r", verified.first)
    tables = [f"EXISTS (SELECT FROM {table_name(m)} AS r WHERE {newer})" for m in datamodel.tables]
    with database_errors(source.snapshot.url, "looking for rows that were written since"):
        row = source.snapshot.connection.execute(f"SELECT {' OR '.join(tables)}".encode()).fetchone()
    return bool(row and row[0])


def are_files_written(data_dir: Path, layout: Layout, verified: Verified) -> bool:
    """Whether a file of the store, or a folder with some, was written to since a verification.  Raises
    DiskError."""
    end = datetime.fromisoformat(verified.time) + _PRECISION
    with disk_errors("looking for files that were written since"):
        files = {data_dir / file.path for file in contents(layout, data_dir).files}
        folders = {file.parent for file in files} - {data_dir}
        changed = (os.stat(path, follow_symlinks=False).st_mtime_ns for path in files | folders)
        return any(datetime.fromtimestamp(time / 1e9, UTC) >= end for time in changed)
