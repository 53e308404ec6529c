"""An export that several processes share, each writing a part of the files (``--part 2/5``).

The first part that comes holds the snapshot and the folder that is built.  It tells the others of both in
``.<target>.octavo-parts``, a folder beside the target, and puts the store in place when all parts are
written.  Each part holds a lock on a file there while it runs, and leaves a record of what it has written.
Locks die with their holders, so a part that was killed can be run again.  When the part that holds the
snapshot ends early, the export is given up: the other parts end as soon as they notice, and the next part
that comes begins another one.

Locks are taken on files, never on the folder: NFS shares only those between machines.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec

from octavo.errors import ConflictError, UsageError, disk_errors
from octavo.fold.parts import Part
from octavo.fold.target import make_above, missing_above, remove_above
from octavo.layout.layout import Layout
from octavo.schema.meaning import fingerprint
from octavo.store import disk
from octavo.store.intake import PayloadProblem
from octavo.store.lock import LockFile
from octavo.store.phase import Database
from octavo.store.system import FILE_MODE, FOLDER_MODE, open_privately

_HOLDER, _FACTS, _ABOVE = "export.lock", "export.json", "above.json"
"""the lock of the part that holds the snapshot, what this part tells, and the folders that were made for the
target to lie in"""
_Struct = TypeVar("_Struct", bound=msgspec.Struct)
_POLL, _CHECK, _TRIES = 0.1, 2.0, 10
"""seconds between two looks at the other parts, and at the connection that holds the snapshot; how often a
lock is tried"""
PATIENCE = 600.0
"""seconds to wait for parts that do not run, where the caller says nothing"""


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


@dataclass
class Shared:
    """The place where the parts of one export meet."""

    target: Path
    part: Part
    folder: Path
    facts: Facts | None
    """of the export under way; None: this part is the first, and holds it"""

    def announce(self, facts: Facts) -> LockFile:
        """Let the other parts join, until what this gives is closed.  Raises DiskError."""
        with disk_errors("meeting the other parts"):
            beside = self.folder / f"{_FACTS}.new"
            disk.write_file(beside, msgspec.json.encode(facts), synced=False)
            # Locked before it has its name: facts without a lock are those of an export that was given up.
            told = _opened(beside)
            told.lock(fcntl.LOCK_EX)
            os.rename(beside, self.folder / _FACTS)
        return told

    def begin(self) -> bool:
        """Note that this part begins to write; whether it has begun before, and was killed.

        Raises DiskError.
        """
        begun = self._file("begun")
        with disk_errors("beginning a part"):
            if begun.exists():
                return True
            begun.touch(FILE_MODE)
        return False

    def leave(self, outcome: Outcome) -> None:
        """Tell that this part is written, and durable.  Raises ConflictError, DiskError."""
        self.require_holder()
        disk.write_file(self._file("json"), msgspec.json.encode(outcome), synced=False)

    def _file(self, ending: str) -> Path:
        assert self.facts is not None
        return _file(self.folder, self.facts.building, self.part, ending)

    def require_holder(self) -> None:
        """Raise ConflictError if the part that holds the snapshot has ended."""
        if self.facts is not None and _facts(self.folder) != self.facts:
            holder = Part(self.facts.holder, self.part.of)
            raise ConflictError(
                f"part {self.part} is of no use: part {holder}, which held the snapshot, has ended",
                hint="run all parts again",
            )

    def remove_given_up(self) -> None:
        """Remove the folder that was built, if its export was given up.

        What this part has gone on making there may have been missed by the next export.
        """
        if self.facts is None or _facts(self.folder) == self.facts:
            return
        built = self.target.with_name(self.facts.building)
        with disk_errors("removing what an export has left"), disk.unlocked_folder(built) as free:
            if free:
                shutil.rmtree(built, ignore_errors=True)

    def gather(
        self,
        own: Outcome,
        building: str,
        is_alive: Callable[[], object],
        tell: Callable[[str], object],
        patience: float,
    ) -> list[Outcome]:
        """What all parts have written, as soon as they have.

        ``is_alive`` raises if the snapshot is lost.  ``tell`` hears for which parts that do not run this one
        is waiting.  Raises ConflictError, which names the missing parts, when for ``patience`` seconds none
        of them has run.
        """
        found, told = {self.part: own}, ""
        checked = seen = time.monotonic()
        while True:
            for part in self.part.all:
                if part not in found and (outcome := _outcome(self.folder, building, part)) is not None:
                    found[part], seen = outcome, time.monotonic()
            missing = [part for part in self.part.all if part not in found]
            if not missing:
                return list(found.values())
            waiting = [part for part in missing if not _runs(self.folder, building, part)]
            absent, now = ", ".join(map(str, waiting)), time.monotonic()
            if len(waiting) < len(missing):
                seen = now
            elif now - seen >= patience:
                raise ConflictError(
                    f"part {self.part} gives up: for {patience:g} seconds, none of the missing parts has run"
                    f" (missing: {absent})",
                    hint="run all parts again; --patience is how long the first waits for the others",
                )
            if absent and absent != told:
                tell(f"waiting for parts that do not run: {absent}")
            told = absent
            time.sleep(_POLL)
            if now - checked > _CHECK:
                is_alive()
                checked = now


@contextmanager
def shared(target: Path, part: Part, tell: Callable[[str], object]) -> Iterator[Shared]:
    """Begin an export with this part, or join the one that is under way.

    What an export that was given up has left is removed, which ``tell`` hears.  Raises UsageError if this
    part runs or is written already, or has another number of parts; DiskError.
    """
    folder, above = _meeting_place(target), list[Path]()
    started, told = time.monotonic(), False
    try:
        while True:
            with disk_errors("meeting the other parts"):
                holding = _hold(folder, above)
            if holding is not None:
                with closing(holding), _removing(folder, above):
                    if (former := _given_up(folder, target)) is not None:
                        tell(f"part {former}, which held the snapshot, has ended: the export begins anew")
                    yield Shared(target, part, folder, None)
                return
            # The first part may be about to read the database, or just be done.
            facts = _facts(folder)
            if facts is not None and (joined := _joined(folder, facts, part)) is not None:
                with joined:
                    yield Shared(target, part, folder, facts)
                return
            if not told and time.monotonic() - started > _CHECK:
                tell("waiting for the part that came first to open the snapshot")
                told = True
            time.sleep(_POLL)
    finally:
        remove_above(above)


def clear(target: Path) -> None:
    """Remove what an export by parts has left, if the part that held the snapshot was killed."""
    folder = _meeting_place(target)
    with disk_errors("removing what an export has left"):
        if folder.is_dir() and (holding := disk.lock_file(folder / _HOLDER)) is not None:
            with closing(holding):
                _remove(folder)


def _meeting_place(target: Path) -> Path:
    return target.with_name(f".{target.name}.octavo-parts")


def _hold(folder: Path, above: list[Path]) -> LockFile | None:
    """Take the lock of the part that holds the snapshot, in a folder that is made for it; None if another
    part has it.  What is made for the folder to lie in goes to ``above``, and is noted in it.

    Raises OSError.
    """
    missing = missing_above(folder)
    above += missing
    make_above(missing)
    with suppress(FileExistsError):
        folder.mkdir(FOLDER_MODE)
    # Who held the lock until now may just be removing the folder.
    with suppress(FileNotFoundError):
        if missing:
            with open(folder / _ABOVE, "wb", opener=open_privately) as file:
                file.write(msgspec.json.encode([str(path) for path in missing]))
        return disk.lock_file(folder / _HOLDER)
    return None


@contextmanager
def _removing(folder: Path, above: list[Path]) -> Iterator[None]:
    """Remove the folder at the end.  What another part has made for it to lie in is added to ``above``."""
    try:
        yield
    finally:
        with suppress(OSError, msgspec.MsgspecError):
            noted = msgspec.json.decode((folder / _ABOVE).read_bytes(), type=list[str])
            above += (path for path in folder.parents if str(path) in noted and path not in above)
        _remove(folder)


def _given_up(folder: Path, target: Path) -> Part | None:
    """Remove what an export has left that ended without putting its store in place.

    Gives the part that held its snapshot.  Raises UsageError, DiskError.
    """
    facts = None
    # No part can have joined by facts that cannot be read.
    with suppress(UsageError):
        facts = _decoded(folder / _FACTS, Facts)
    with disk_errors("removing what an export has left"):
        for name in os.listdir(folder):
            if name not in (_HOLDER, _ABOVE):
                os.unlink(folder / name)
    if facts is None or (target.exists() and not target.with_name(facts.building).exists()):
        return None
    return Part(facts.holder, facts.of)


def _remove(folder: Path) -> None:
    """Remove the folder, its lock after everything else: without it, another part may begin there."""
    with suppress(OSError):
        for name in sorted(os.listdir(folder), key=lambda name: name == _HOLDER):
            os.unlink(folder / name)
        os.rmdir(folder)


def _joined(folder: Path, facts: Facts, part: Part) -> LockFile | None:
    """The lock of a part that joins; None if the export has ended meanwhile.

    Raises UsageError if it has another number of parts, or if it runs or is written already; DiskError.
    """
    if part.of != facts.of:
        raise UsageError(f"part {part} cannot join: the export under way has {facts.of} parts")
    with ExitStack() as stack, disk_errors("meeting the other parts"), suppress(FileNotFoundError):
        lock = stack.enter_context(_lock_of(folder, facts.building, part))
        # The part that waits for the others takes each free lock for a moment.
        for _ in range(_TRIES if part.number != facts.holder else 0):
            if lock.lock(fcntl.LOCK_EX):
                break
            time.sleep(_POLL)
        else:
            raise UsageError(f"part {part} is running already")
        is_written = _outcome(folder, facts.building, part) is not None
        # Only while the export is under way, that tells anything.
        if _facts(folder) == facts:
            if is_written:
                raise UsageError(f"part {part} is written already")
            stack.pop_all()
            return lock
    return None


def _runs(folder: Path, building: str, part: Part) -> bool:
    with disk_errors("looking for the other parts"), _lock_of(folder, building, part) as lock:
        return not lock.lock(fcntl.LOCK_EX)


def _lock_of(folder: Path, building: str, part: Part) -> LockFile:
    return _opened(_file(folder, building, part, "lock"))


def _opened(path: Path, flags: int = os.O_RDWR | os.O_CREAT) -> LockFile:
    return LockFile(lambda: os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE))


def _file(folder: Path, building: str, part: Part, ending: str) -> Path:
    """A file of a part of the export that builds this folder."""
    return folder / f"{building.rpartition('-')[2]}-{part.number}.{ending}"


def _facts(folder: Path) -> Facts | None:
    """What the part that holds the snapshot tells, while it lives.  Raises UsageError, DiskError."""
    path = folder / _FACTS
    with disk_errors("looking for the other parts"), suppress(FileNotFoundError):
        with _opened(path, os.O_RDONLY) as told:
            if told.lock(fcntl.LOCK_SH):
                return None
            facts = _decoded(path, Facts)
        if facts is not None and os.path.basename(facts.building) != facts.building:
            raise _unreadable(path)
        return facts
    return None


def _outcome(folder: Path, building: str, part: Part) -> Outcome | None:
    return _decoded(_file(folder, building, part, "json"), Outcome)


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
