"""Which databases the files belong to: ``cache/origin.json``.

Files can be compared with any database that has their schema, such as one that they were restored into.  What
is found there says nothing about the move: that is about the database that the files were made from.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import msgspec

from octavo.errors import disk_errors
from octavo.postgres.connection import HERE, Connection
from octavo.postgres.failures import database_errors
from octavo.store import disk
from octavo.store.phase import Database, Migration
from octavo.url import DatabaseUrl

NAME = "cache/origin.json"


class Origin(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What is known of the files' databases."""

    database: Database | None = None
    """the one that they were made from, or carried back to"""
    copies: tuple[Database, ...] = ()
    """those that they were restored into"""

    def is_about_another(self, here: Database, state: Migration) -> bool:
        """Whether the move is about another database than this one: this is a copy, or the last verification
        that counts was of another.  The one that the files were made from is always right."""
        if here == self.database:
            return False
        verified = state.verified.database if state.verified is not None else None
        return here in self.copies or verified not in (None, here)


def database_of(connection: Connection, url: DatabaseUrl) -> Database:
    """The database that a connection leads to.  Raises DatabaseError."""
    with database_errors(url, "asking for the database's name"):
        row = connection.execute(f"SELECT {HERE}".encode()).fetchone() or ("", "")
    return Database(system=row[0], name=row[1], schema=url.schema)


def leave(root: Path, origin: Origin) -> None:
    """Write down in a data folder what is known.  Raises DiskError."""
    disk.make_folder(root / "cache")
    disk.write_file(root / NAME, msgspec.json.encode(origin) + b"\n")


def known(root: Path) -> Origin:
    """What is known in a data folder.  Raises DiskError."""
    nothing = (FileNotFoundError, NotADirectoryError, msgspec.MsgspecError)
    with disk_errors("looking for the files' origin"), suppress(*nothing):
        return msgspec.json.decode((root / NAME).read_bytes(), type=Origin)
    return Origin()


def add_copy(root: Path, here: Database) -> None:
    """The files were restored into this database.  Raises DiskError."""
    origin = known(root)
    if here not in origin.copies:
        leave(root, Origin(database=origin.database, copies=(*origin.copies, here)))
