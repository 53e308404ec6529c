"""An export that several processes share, each writing a part of the files (``--part 2/5``).

The first part that comes holds the snapshot and the folder that is built.  It tells the others of both in
``.<target>.octavo-parts``, a folder beside the target on which it holds a lock, and puts the store in place
when all parts are written.  Each part holds a lock on a file there while it runs, and leaves a record of what
it has written.  Locks die with their holders, so a part that was killed can be run again; when the part that
holds the snapshot is killed, the export is given up.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec

from octavo.errors import ConflictError, UsageError, disk_errors
from octavo.fold.parts import Part
from octavo.layout.layout import Layout
from octavo.schema.meaning import fingerprint
from octavo.store import disk
from octavo.store.intake import PayloadProblem
from octavo.store.lock import LockFile
from octavo.store.phase import Database
from octavo.store.system import FILE_MODE

_FACTS = "export.json"
_Struct = TypeVar("_Struct", bound=msgspec.Struct)
_POLL, _CHECK, _TRIES = 0.1, 2.0, 10
"""seconds between two looks at the other parts, and at the connection that holds the snapshot; how often a
lock is tried"""


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """What all parts must be parts of."""

    database: Database
    schema: str
    layout: str

    @classmethod
    def of_layout(cls, database: Database, layout: Layout) -> Subject:
        places = repr([(p.model.name, p.kind, p.path, p.array, p.payload) for p in layout.places])
        digest = hashlib.sha256(places.encode()).hexdigest()
        return cls(database=database, schema=fingerprint(layout.datamodel), layout=digest)

    def require(self, part: Part, other: Subject) -> None:
        """Raise UsageError, which names what differs, unless the subject of a part that comes is this."""
        if other.database != self.database:
            raise UsageError(
                f"part {part} cannot join: it reads {other.database}, the export under way {self.database}"
            )
        for what, own, theirs in (
            ("schema", self.schema, other.schema),
            ("layout", self.layout, other.layout),
        ):
            if own != theirs:
                raise UsageError(f"part {part} cannot join: the export under way has another {what}")


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What the part that holds the snapshot tells the others."""

    of: int
    subject: Subject
    snapshot: str
    building: str
    """the name of the folder that is built, beside the target"""
    holder: int
    jobs: int
    """into how many tasks a part is divided"""
    counts: dict[str, int]


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a part, or an export as a whole, has written."""

    rows: dict[str, int]
    """by model, those embedded left out"""
    files: int
    payloads: int
    payload_bytes: int
    problems: list[PayloadProblem]
    files_root_missing: bool
    building: str = ""
    """in which folder"""

    @classmethod
    def of_all(cls, outcomes: list[Outcome]) -> Outcome:
        """What several parts have written."""
        rows: Counter[str] = Counter()
        for outcome in outcomes:
            rows.update(outcome.rows)
        problems = [problem for outcome in outcomes for problem in outcome.problems]
        return cls(
            rows=dict(rows),
            files=sum(outcome.files for outcome in outcomes),
            payloads=sum(outcome.payloads for outcome in outcomes),
            payload_bytes=sum(outcome.payload_bytes for outcome in outcomes),
            problems=sorted(problems, key=lambda problem: (problem.model, problem.key)),
            files_root_missing=any(outcome.files_root_missing for outcome in outcomes),
        )


@dataclass(frozen=True)
class Shared:
    """The place where the parts of one export meet."""

    target: Path
    part: Part
    folder: Path
    facts: Facts | None
    """of the export under way; None: this part is the first, and holds it"""

    def announce(self, facts: Facts) -> None:
        """Let the other parts join.  Raises DiskError."""
        disk.write_file(self.folder / _FACTS, msgspec.json.encode(facts), synced=False)

    def begin(self) -> bool:
        """Note that this part begins to write; whether it has begun before, and was killed.

        Raises DiskError.
        """
        begun = self.folder / f"{self.part.number}.begun"
        with disk_errors("beginning a part"):
            if begun.exists():
                return True
            begun.touch(FILE_MODE)
        return False

    def leave(self, outcome: Outcome) -> None:
        """Tell that this part is written, and durable.  Raises ConflictError, DiskError."""
        self.require_holder()
        disk.write_file(_record(self.folder, self.part), msgspec.json.encode(outcome), synced=False)

    def require_holder(self) -> None:
        """Raise ConflictError if the part that holds the snapshot has ended."""
        if self.facts is not None and (_facts(self.folder) != self.facts or not disk.is_locked(self.folder)):
            holder = Part(self.facts.holder, self.part.of)
            raise ConflictError(
                f"part {self.part} is of no use: part {holder}, which held the snapshot, has ended",
                hint="run all parts again",
            )

    def gather(
        self, own: Outcome, building: str, is_alive: Callable[[], object], tell: Callable[[str], object]
    ) -> list[Outcome]:
        """What all parts have written, as soon as they have.

        ``is_alive`` raises if the snapshot is lost.  ``tell`` hears for which parts that do not run this one
        is waiting.
        """
        found, told, checked = {self.part: own}, None, time.monotonic()
        while True:
            for part in self.part.all:
                record = None if part in found else _outcome(self.folder, part)
                if record is not None and record.building == building:
                    found[part] = record
            missing = [part for part in self.part.all if part not in found]
            if not missing:
                return list(found.values())
            absent = ", ".join(str(part) for part in missing if not _runs(self.folder, part))
            if absent and absent != told:
                tell(f"waiting for parts that do not run: {absent}")
            told = absent
            time.sleep(_POLL)
            if time.monotonic() - checked > _CHECK:
                is_alive()
                checked = time.monotonic()


@contextmanager
def shared(target: Path, part: Part) -> Iterator[Shared]:
    """Begin an export with this part, or join the one that is under way.

    Raises UsageError if this part runs or is written already, or has another number of parts; ConflictError
    if the export was given up; DiskError.
    """
    folder = _meeting_place(target)
    while True:
        with disk_errors("meeting the other parts"):
            disk.make_folder(folder)
            holding = disk.lock_folder(folder)
        if holding is not None:
            try:
                _refuse_given_up(folder, target, part)
                with _running(folder, part):
                    yield Shared(target, part, folder, None)
            finally:
                shutil.rmtree(folder, ignore_errors=True)
                holding.close()
            return
        # The first part may be about to read the database, or just be done.
        facts = _facts(folder)
        if facts is not None:
            if part.of != facts.of:
                raise UsageError(f"part {part} cannot join: the export under way has {facts.of} parts")
            with _running(folder, part):
                if (record := _outcome(folder, part)) and record.building == facts.building:
                    raise UsageError(f"part {part} is written already")
                yield Shared(target, part, folder, facts)
            return
        time.sleep(_POLL)


def clear(target: Path) -> None:
    """Remove what an export by parts has left, if the part that held the snapshot was killed."""
    folder = _meeting_place(target)
    with disk_errors("removing what an export has left"), disk.unlocked_folder(folder) as free:
        if free:
            shutil.rmtree(folder, ignore_errors=True)


def _meeting_place(target: Path) -> Path:
    return target.with_name(f".{target.name}.octavo-parts")


def _refuse_given_up(folder: Path, target: Path, part: Part) -> None:
    """Raise ConflictError if an export has left its facts here without having put its store in place.

    What it has left is removed.
    """
    facts, names, written = None, [], []
    # No part can have joined by facts that cannot be read.
    with suppress(UsageError):
        facts = _facts(folder)
    if facts is not None:
        names = Part(1, facts.of).all
        written = [p for p in names if (found := _outcome(folder, p)) and found.building == facts.building]
    with disk_errors("removing what an export has left"):
        for name in os.listdir(folder):
            (folder / name).unlink()
    if facts is None or (target.exists() and not target.with_name(facts.building).exists()):
        return
    missing = ", ".join(str(p) for p in names if p not in written)
    raise ConflictError(
        f"part {part} has no export to join: part {Part(facts.holder, len(names))}, which held the snapshot, "
        f"ended before all were written (missing: {missing})",
        hint="what was written is of no use: run all parts again",
    )


@contextmanager
def _running(folder: Path, part: Part) -> Iterator[None]:
    """Hold the lock of a part.  Raises UsageError if it runs already, DiskError."""
    with disk_errors("meeting the other parts"):
        lock = _lock_of(folder, part)
    with lock:
        # The part that waits for the others takes each free lock for a moment.
        for _ in range(_TRIES):
            if lock.lock(fcntl.LOCK_EX):
                break
            time.sleep(_POLL)
        else:
            raise UsageError(f"part {part} is running already")
        yield


def _runs(folder: Path, part: Part) -> bool:
    with disk_errors("looking for the other parts"), _lock_of(folder, part) as lock:
        return not lock.lock(fcntl.LOCK_EX)


def _lock_of(folder: Path, part: Part) -> LockFile:
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    return LockFile(lambda: os.open(folder / f"{part.number}.lock", flags, FILE_MODE))


def _facts(folder: Path) -> Facts | None:
    facts = _decoded(folder / _FACTS, Facts)
    if facts is not None and os.path.basename(facts.building) != facts.building:
        raise _unreadable(folder / _FACTS)
    return facts


def _outcome(folder: Path, part: Part) -> Outcome | None:
    return _decoded(_record(folder, part), Outcome)


def _record(folder: Path, part: Part) -> Path:
    return folder / f"{part.number}.json"


def _decoded(path: Path, kind: type[_Struct]) -> _Struct | None:
    """What a part has told.  Raises UsageError if it cannot be read."""
    try:
        with disk_errors("looking for the other parts"), suppress(FileNotFoundError):
            return msgspec.json.decode(path.read_bytes(), type=kind)
    except msgspec.MsgspecError:
        raise _unreadable(path) from None
    return None


def _unreadable(path: Path) -> UsageError:
    return UsageError(
        f"{path} cannot be read: another version of Octavo may have written it",
        hint="use one version for all parts",
    )
