"""The life of following: begin from a snapshot, go on where it was, catch up, stop."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from octavo.store.intake import PayloadProblem

if TYPE_CHECKING:
    from octavo.layout.layout import Layout
    from octavo.postgres.url import DatabaseUrl


@dataclass(frozen=True, slots=True)
class FollowOptions:
    """How to follow: payloads are looked for below ``files_root``; ``jobs`` connections read at once while
    the files are made; ``until_caught_up``: end when all that was committed before the start is there."""

    files_root: Path
    jobs: int = 2
    replace: bool = False
    until_caught_up: bool = False


@dataclass
class FollowReport:
    """What following has done, and how it stands."""

    data_dir: Path
    slot: str = ""
    position: str = ""
    """PostgreSQL's log is in the files up to here"""
    seeded: bool = False
    """whether the files were made in this run"""
    caught_up: bool = False
    """whether all that was committed before the start is in the files"""
    behind: int = 0
    """bytes of PostgreSQL's log that were not in the files at the end"""
    transactions: int = 0
    """of PostgreSQL, that were carried over in this run"""
    rows: int = 0
    last_commit: str | None = None
    """when the last of them was committed, in UTC"""
    reconnected: int = 0
    payload_problems: list[PayloadProblem] = field(default_factory=list)
    """rows of this run whose payload is still not there"""
    seconds: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """The machine's answer (``follow --json``)."""
        raise NotImplementedError


def catch_up(url: DatabaseUrl, data_dir: Path, layout: Layout, options: FollowOptions) -> FollowReport:
    """Carry over all that was committed until now, and end.  The files follow already, and go on to.

    Raises UsageError if they do not follow, BusyError if ``octavo follow`` runs on them just now, and what
    following raises: DriftError, DivergedError, DatabaseError, DiskError.
    """
    raise NotImplementedError


def stop(url: DatabaseUrl, data_dir: Path) -> bool:
    """Follow no more: remove from the database what following has made there.  The files stay as they are.

    Whether there was anything to remove; stopping again does nothing.  Raises BusyError, DatabaseError.
    """
    raise NotImplementedError


def lag(url: DatabaseUrl, data_dir: Path) -> int:
    """Bytes of PostgreSQL's log that are not in the files yet, as far as is known.

    Raises UsageError if the files follow nothing, DatabaseError if the slot is lost or cannot be asked for.
    """
    raise NotImplementedError
