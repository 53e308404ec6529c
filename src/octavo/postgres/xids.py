"""The numbers of PostgreSQL's transactions: which of them a snapshot may lack, and which wrote a row.

With each row PostgreSQL keeps the last 32 bits of the number of the transaction that wrote it (``xmin``).
"""

from __future__ import annotations

from typing import NamedTuple

from octavo.postgres.connection import Connection

_SINCE = 130000
"""the first server's version that tells these numbers in full"""


class Window(NamedTuple):
    """What a snapshot sees: all transactions before ``first``, and none from ``next`` on."""

    first: int
    next: int


def window(connection: Connection) -> Window | None:
    """That of the connection's snapshot; None if the server does not tell."""
    if connection.info.server_version < _SINCE:
        return None
    row = connection.execute(
        "SELECT pg_snapshot_xmin(s)::text, pg_snapshot_xmax(s)::text FROM pg_current_snapshot() AS s"
    ).fetchone()
    return Window(*map(int, row)) if row else None


def written_since(alias: str, first: int) -> str:
    """The condition that a row was written by this transaction or a later one, as far as 32 bits tell."""
    return f"({alias}.xmin::text::bigint - {first}) & 4294967295 < 2147483648"


def is_since(xmin: int, first: int) -> bool:
    """The same of a row's ``xmin`` that was read."""
    return (xmin - first) % 2**32 < 2**31
