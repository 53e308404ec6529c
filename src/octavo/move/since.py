"""Whether a side was written to since a verification: what was equal then need not be so any more.

It may say so of a side that was not (a row that was written as it was, a log that was compacted), and never
passes over a write.
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
from octavo.schema.datamodel import Datamodel
from octavo.schema.sql import table_name
from octavo.store.phase import Verified

_SINCE_NUMBERS = 130000
"""the first server's version that tells transactions' numbers in full"""
_PRECISION = timedelta(milliseconds=1)
"""of the time of a verification"""


def first_unseen(source: Source) -> int | None:
    """The number of the first transaction that a snapshot may lack; None if the server does not tell."""
    return _number(source, "xmin")


def _number(source: Source, end: str) -> int | None:
    connection = source.snapshot.connection
    if connection.info.server_version < _SINCE_NUMBERS:
        return None
    with database_errors(source.snapshot.url, "asking for the number of transactions"):
        row = connection.execute(f"SELECT pg_snapshot_{end}(pg_current_snapshot())::text".encode()).fetchone()
    return int(row[0]) if row else None


def is_database_written(
    source: Source, datamodel: Datamodel, verified: Verified, records: int
) -> bool | None:
    """Whether the tables, which hold so many records now, were written to since a verification; None: the
    server does not tell.  Raises DatabaseError."""
    if records != verified.records:
        return True
    if verified.first is None or (following := _number(source, "xmax")) is None:
        return None
    if following <= verified.first:
        return following < verified.first
    # A row's number is the last 32 bits of that of the transaction that wrote it.
    newer = f"(r.xmin::text::bigint - {verified.first}) & 4294967295 < 2147483648"
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
