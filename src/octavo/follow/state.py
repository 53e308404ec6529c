"""What is known of a data folder's following: what was made for it in the database, how far it has come, and
what its watcher is told.

``cache/follow.json`` is the plan: written, durably, before anything is made in the database, so that nothing
there can be forgotten.  The position is committed with the records (see :mod:`octavo.store.position`), and
belongs to the files of this very folder: where others are put in its place, they follow nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import msgspec

from octavo.errors import DamagedError, DatabaseError, UsageError, disk_errors
from octavo.follow import protocol
from octavo.follow.tables import RESEED
from octavo.inspect.progress import SILENT, Progress
from octavo.store import disk, position
from octavo.store.intake import PayloadProblem
from octavo.store.system import SYSTEM, sync_folder

T = TypeVar("T")

NAME = "cache/follow.json"
LOCK = "cache/follow.lock"
"""held by the follower"""
_VERSION = 1


class Identity(msgspec.Struct, frozen=True, rename="camel"):
    """The replica identity that a table had before, to be given back to it."""

    schema: str
    table: str
    kind: str
    """``d``, ``n``, ``f`` or ``i``, as PostgreSQL's catalog has it"""
    index: str | None = None


class Plan(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """What following has made in the database, or is about to make."""

    version: int = msgspec.field(default=_VERSION, name="_version")
    slot: str
    publication: str
    system: str
    """the number of the database's cluster"""
    timeline: int
    database: str
    identities: list[Identity] = msgspec.field(default_factory=list)
    marks: dict[str, str] = msgspec.field(default_factory=dict)
    """of the slot's snapshot (see ``tables``): the catalog that the files are made for"""
    seeded: bool = False
    """whether these files are those of the slot's snapshot, or later ones"""


class Position(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """How far the files have come."""

    version: int = msgspec.field(default=_VERSION, name="_version")
    slot: str
    position: str
    """all that was committed before this position of PostgreSQL's log is in the files, and nothing else"""
    committed: str | None = None
    """when the last transaction was committed"""

    @property
    def at(self) -> int:
        return protocol.position(self.position)

    def encode(self) -> str:
        return msgspec.json.encode(self).decode() + "\n"


def read_plan(data_dir: Path) -> Plan | None:
    """The plan of a data folder; None where it has none.  Raises DamagedError, DiskError."""
    with disk_errors("reading what follows"):
        try:
            raw = (data_dir / NAME).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
    plan = _decoded(raw, Plan, NAME)
    if plan.version > _VERSION:
        raise DamagedError(f"was written by a newer Octavo (version {plan.version})", file=NAME)
    return plan


def write_plan(data_dir: Path, plan: Plan) -> None:
    """Write a plan durably.  Raises DiskError."""
    disk.write_file(data_dir / NAME, msgspec.json.format(msgspec.json.encode(plan), indent=2) + b"\n")


def forget_plan(data_dir: Path) -> None:
    """Remove a plan, durably, and the position with it.  Raises DiskError."""
    with disk_errors("forgetting what follows"):
        for name in (NAME, position.NAME):
            (data_dir / name).unlink(missing_ok=True)
        if (data_dir / NAME).parent.is_dir():
            sync_folder(SYSTEM, (data_dir / NAME).parent)


def read_position(data_dir: Path, plan: Plan) -> Position:
    """How far the files have come.  Raises DatabaseError if they are not those that follow, DiskError."""
    text = position.read(data_dir)
    found = None if text is None else _decoded(text.encode(), Position, position.NAME)
    if found is None or found.slot != plan.slot:
        raise DatabaseError(
            f"the position of the files in {data_dir} is not known: they were replaced, or their cache"
            " was deleted",
            hint=RESEED,
        )
    return found


def require_plan(data_dir: Path) -> Plan:
    """The plan of files that follow.  Raises UsageError if they do not."""
    plan = read_plan(data_dir)
    if plan is None or not plan.seeded:
        raise UsageError(f"the files in {data_dir} follow no database", hint="octavo follow begins it")
    return plan


def _decoded(raw: bytes, kind: type[T], file: str) -> T:
    try:
        return msgspec.json.decode(raw, type=kind)
    except msgspec.MsgspecError as error:
        raise DamagedError(f"is not what following writes: {error}", file=file) from error


class FollowReport(msgspec.Struct, rename="camel"):
    """What following has done, and how it stands; the answer of ``follow --json``."""

    data_dir: Path
    slot: str = ""
    position: str = ""
    """PostgreSQL's log is in the files up to here"""
    seeded: bool = False
    """whether the files were made in this run"""
    replaced: Path | None = None
    """where the store is now that was replaced"""
    caught_up: bool = False
    """whether all that was committed before the start is in the files"""
    behind: int | None = msgspec.field(default=None, name="bytesBehind")
    """bytes of PostgreSQL's log that are not in the files, when it was last asked for"""
    transactions: int = 0
    """of PostgreSQL, that were carried over in this run"""
    rows: int = 0
    """that they have changed, each time counted"""
    committed: str | None = None
    """when the last transaction in the files was committed, in UTC"""
    reconnected: int = 0
    payload_problems: list[PayloadProblem] = msgspec.field(default_factory=list, name="payloads")
    """rows whose payload could not be read, or is not as the row says"""
    seconds: float = 0.0

    @property
    def lacking(self) -> list[PayloadProblem]:
        """Those that could not be read."""
        return [problem for problem in self.payload_problems if not problem.kept]


class Watcher:
    """Told of what happens.  This one says nothing, and lets following go on for ever."""

    progress: Progress = SILENT
    """hears how far the making of the files is, and what it waits for"""
    wants_lag = False
    """whether to ask the database now and then how far the files are behind"""

    def following(self) -> None:
        """The files are made; from now on :meth:`is_over` is asked."""

    def stands(self, report: FollowReport) -> None:
        """Transactions were carried over, or some time has passed."""

    def says(self, text: str) -> None:
        """Something worth a message: a connection that was lost."""

    def is_over(self) -> bool:
        """Whether to end, in order."""
        return False
