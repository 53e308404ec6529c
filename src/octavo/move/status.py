"""How the two sides of the move stand: which one counts, whether both are there, and whether they agree."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from octavo.backend import DataBackend
from octavo.errors import BusyError, DifferenceError, DiskError, OctavoError, UsageError, disk_errors
from octavo.fold.inventory import newest_baseline, read_baseline
from octavo.fold.source import Source, allowed_drift, database_of, open_source
from octavo.fold.target import State, set_aside, state_of
from octavo.inspect.doctor import Diagnosis, examine
from octavo.inspect.progress import SILENT, Progress
from octavo.layout.layout import Layout
from octavo.move.checklist import Evidence, Item, Verdict, checklist
from octavo.move.written import are_files_written, is_database_written
from octavo.postgres import fence
from octavo.postgres.connection import Connection, connect, transaction
from octavo.postgres.failures import database_errors
from octavo.schema.native import table_name
from octavo.store import phase
from octavo.store.definition import layout_in
from octavo.store.engine import check_folders
from octavo.store.journal import Journal, outcome
from octavo.store.lock import NAME as LOCK
from octavo.store.lock import ProcessLock
from octavo.store.offline import require_store
from octavo.store.phase import Migration, Phase
from octavo.store.shared import READ_ONLY, SharedState
from octavo.store.system import SYSTEM
from octavo.url import DatabaseUrl

if TYPE_CHECKING:
    from octavo.backend import Settings
    from octavo.backends.divergence import Divergence
    from octavo.backends.healing import Healed
    from octavo.postgres.drift import Drift
    from octavo.query.vocabulary import Vocabulary
    from octavo.secrets.check import SecretsReport


class Count(NamedTuple):
    """How many records of a model there are; None: it was not looked at."""

    baseline: int | None
    database: int | None
    files: int | None


@dataclass
class Status:
    """What was found.  ``store`` and ``database`` say why one cannot be used; empty: it can, None: it is not
    used."""

    backend: DataBackend
    data_dir: Path
    migration: Migration = field(default_factory=Migration)
    """the phase, the backend of record, and the way here"""
    standing: State = State.NOTHING
    """what stands at the data folder"""
    ending: list[str] = field(default_factory=list)
    """what PostgreSQL does that the files do not"""
    store: str | None = None
    database: str | None = None
    lacks: int = 0
    """the exit code of why a side cannot be used; 0: each can"""
    fenced: bool = False
    """PostgreSQL takes no writes, as the data were moved"""
    lag: int | None = None
    """bytes of PostgreSQL's log that are not in the files that follow it; None: it is not known"""
    following: str = ""
    """why the files cannot go on following; empty: they can, or do not"""
    writing: bool = False
    """a process is writing to the store, so that what follows may be over in a moment"""
    entries: int = 0
    """of the journal"""
    in_doubt: int = 0
    """entries that wait for PostgreSQL to tell their fate"""
    lagging: bool = False
    """the store has to be recovered before the files show all that was committed"""
    set_aside: list[str] = field(default_factory=list)
    """stores that an export replaced and, interrupted, gave no name"""
    divergences: list[Divergence] = field(default_factory=list)
    counters: Mapping[str, int] = field(default_factory=dict)
    written: dict[str, bool | None] = field(default_factory=lambda: {"database": None, "files": None})
    """by side, whether it was written to since the last verification; None: it is not known"""
    healed: list[Healed] = field(default_factory=list)
    baseline: str | None = None
    """when the inventory was taken that the counts are compared with"""
    counts: dict[str, Count] = field(default_factory=dict)
    checklist: list[Item] = field(default_factory=list)

    @property
    def phase(self) -> Phase | None:
        """The phase of the move; where none was recorded, the one that what stands there belongs to."""
        if self.migration.phase is None and self.standing is not State.NOTHING:
            return Phase.DUAL_WRITE if self.standing is State.STORE else Phase.SCAFFOLD
        return self.migration.phase

    @property
    def good(self) -> bool:
        """Whether nothing is left to do."""
        waiting = (self.lagging or self.in_doubt > 0) and not self.writing
        broken = any(item.verdict is Verdict.BAD and item.of_data for item in self.checklist)
        left_closed = self.fenced and self.migration.backend is DataBackend.PRISMA
        wrong = self.store or self.database or self.following or self.divergences
        return not (wrong or waiting or broken or left_closed)

    @property
    def exit_code(self) -> int:
        return self.lacks or (0 if self.good else DifferenceError.exit_code)

    def lacking(self, error: OctavoError) -> str:
        """Take note that a side cannot be used; gives why."""
        self.lacks = max(self.lacks, error.exit_code)
        return str(error)

    @property
    def ages(self) -> tuple[float, float] | None:
        """Seconds since the oldest and the newest divergence were seen."""
        if not self.divergences:
            return None
        ages = [age(d.time) for d in self.divergences]
        return max(ages), min(ages)

    def to_dict(self) -> dict[str, Any]:
        ages, move = self.ages, self.migration
        return {
            "good": self.good,
            "backend": self.backend.value,
            "dataDir": str(self.data_dir),
            "phase": self.phase and self.phase.value,
            "backendOfRecord": move.backend.value,
            "since": move.since,
            "transitions": msgspec.to_builtins(move.transitions),
            "verified": msgspec.to_builtins(move.verified),
            "verifiedSecondsAgo": move.verified and round(age(move.verified.time), 3),
            "writtenSince": self.written if move.verified else None,
            "backup": msgspec.to_builtins(move.backup),
            "following": move.following
            and {
                **msgspec.to_builtins(move.following),
                "behind": self.lag,
                "reason": self.following,
            },
            "fenced": self.fenced,
            "store": _reachable(self.store),
            "database": _reachable(self.database),
            "journal": {"entries": self.entries, "inDoubt": self.in_doubt, "lagging": self.lagging},
            "writing": self.writing,
            "setAside": self.set_aside,
            "divergences": {
                "count": len(self.divergences),
                "byKind": dict(Counter(d.kind for d in self.divergences)),
                "oldestSeconds": None if ages is None else round(ages[0], 3),
                "newestSeconds": None if ages is None else round(ages[1], 3),
                "records": [d.to_dict() for d in self.divergences],
            },
            "counters": dict(self.counters),
            "healed": [
                {"model": h.divergence.model, "copied": h.copied, "error": h.error} for h in self.healed
            ],
            "baseline": self.baseline,
            "counts": {model: count._asdict() for model, count in self.counts.items()},
            "checklist": [item.to_dict() for item in self.checklist],
        }


def _reachable(reason: str | None) -> dict[str, Any] | None:
    return None if reason is None else {"reachable": not reason, "reason": reason}


def age(time: str) -> float:
    """Seconds since a moment, as the state of a move and divergences write it."""
    return (datetime.now(UTC) - datetime.fromisoformat(time)).total_seconds()


@dataclass(frozen=True, slots=True)
class Looking:
    """How closely to look."""

    heal: bool = False
    """make the files what PostgreSQL is first"""
    quick: bool = False
    """read no records: no counts, no checklist"""
    pepper: str | None = field(default=None, repr=False)
    """for looking at secrets"""


def status(
    kind: DataBackend,
    vocabulary: Vocabulary,
    settings: Settings,
    looking: Looking | None = None,
    progress: Progress = SILENT,
) -> Status:
    """Look, without changing anything, unless told to heal.

    Healing recovers the store, which asks PostgreSQL about what is in doubt, and copies the records that were
    seen to differ.  The side that the backend does not use is looked at where it is there.  Raises UsageError
    if both sides are to be healed and ``kind`` is not ``dual``, and what opening them raises; DamagedError if
    the state of the move cannot be understood.
    """
    looking = looking or Looking()
    layout = layout_in(settings.data_dir, vocabulary.datamodel, settings.layout)
    standing = _standing(settings.folder, layout)
    found = Status(kind, settings.folder, phase.read(settings.folder), standing)
    found.set_aside = [str(path) for path in set_aside(settings.folder)]
    if looking.heal:
        found.healed = _heal(kind, vocabulary, settings)
    if kind is DataBackend.JSON and found.migration.phase is None and not settings.database_url:
        # A folder that is no part of a move, or whose cache/ was deleted: there is nothing else of record.
        found.migration.backend = kind
    look = _Look(found, vocabulary, settings, layout, looking, progress)
    if kind is not DataBackend.JSON:
        found.database = ""
        if not settings.database_url:
            found.database = found.lacking(UsageError("DATABASE_URL is not set"))
    if kind is not DataBackend.PRISMA or standing is State.STORE:
        look_at_store(found, layout)
    look.at_records()
    return found


def _standing(data_dir: Path, layout: Layout) -> State:
    """What stands there; a folder in which only ``cache/`` is, is none yet."""
    if not data_dir.is_dir() or not set(os.listdir(data_dir)) - {"cache"}:
        return State.NOTHING
    return state_of(data_dir, layout)


def _heal(kind: DataBackend, vocabulary: Vocabulary, settings: Settings) -> list[Healed]:
    if kind is not DataBackend.DUAL:
        raise UsageError(
            f"DATA_BACKEND is {kind}: only with dual are the files to be what PostgreSQL is",
            hint="DATA_BACKEND=dual octavo status --heal",
        )
    from octavo.backends.dual import open_backend
    from octavo.backends.healing import heal as healing

    with closing(open_backend(vocabulary, settings)) as backend:
        return list(healing(backend))


class _Look:
    """Looks at what is in the database and in the files."""

    def __init__(
        self,
        found: Status,
        vocabulary: Vocabulary,
        settings: Settings,
        layout: Layout,
        looking: Looking,
        progress: Progress,
    ) -> None:
        self.found, self.vocabulary, self.settings, self.layout = found, vocabulary, settings, layout
        self.looking, self.progress = looking, progress
        self.unseen: dict[str, str] = {}
        self.drift: Drift | None = None
        self.unchecked: list[str] | None = None
        self.in_database: Mapping[str, int] = {}
        self.diagnosis: Diagnosis | None = None

    def at_records(self) -> None:
        found, quick = self.found, self.looking.quick
        verified = found.migration.verified
        if verified is not None and found.standing is State.STORE:
            with suppress(DiskError):
                found.written["files"] = are_files_written(found.data_dir, self.layout, verified)
        if found.database or not self.settings.database_url:
            self.unseen["database"] = found.database or "no database is named"
        else:
            self._at_database()
        if found.store is None:
            self.unseen["files"] = "the files have not been made yet"
        elif found.store:
            self.unseen["files"] = found.store
        elif not quick:
            self.diagnosis = examine(found.data_dir, self.layout, progress=self.progress)
        if not quick:
            self._count()
            evidence = Evidence(
                self.layout, self.diagnosis, self.drift, self.unchecked, self._secrets(), self.unseen
            )
            found.checklist = checklist(evidence)

    def _at_database(self) -> None:
        url = self.settings.database_url
        try:
            parsed = DatabaseUrl.parse(url)
            self._at_following(parsed)
            with closing(connect(parsed)) as connection:
                self._at_fence(connection, parsed)
            if self.looking.quick:
                return
            with open_source(parsed, self.layout, allow=allowed_drift(self.found.data_dir)) as source:
                self.drift = source.drift
                self.found.ending = source.drift.ending
                connection, datamodel = source.snapshot.connection, self.layout.datamodel
                if not any(f.what == "table" for f in source.drift.findings):
                    self.in_database = source.counts(datamodel)
                    self._since_verified(source)
                with database_errors(parsed, "looking at constraints"):
                    rows = connection.execute(_UNCHECKED, [[table_name(m) for m in datamodel.tables]])
                    self.unchecked = [str(row[0]) for row in rows]
        except OctavoError as error:
            self.unseen["database"] = str(error)
            if self.found.database is not None:
                self.found.database = self.found.lacking(error)

    def _since_verified(self, source: Source) -> None:
        verified = self.found.migration.verified
        if verified is not None and verified.database in (
            None,
            database_of(source.snapshot.connection, source.snapshot.url),
        ):
            records = sum(self.in_database.values())
            written = is_database_written(source, self.layout.datamodel, verified, records)
            self.found.written["database"] = written

    def _at_fence(self, connection: Connection, url: DatabaseUrl) -> None:
        """Whether PostgreSQL takes writes; and which side is of record, if ``cache/`` knows nothing of it."""
        with transaction(connection, url.schema, read_only=True):
            mark = fence.read_mark(connection)
            self.found.fenced = bool(fence.fenced(connection, self.layout.datamodel))
        move = self.found.migration
        if mark is not None and mark.may_be_moved and move.knows_no_cutover:
            move.phase, move.backend, move.since = Phase.CUTOVER, DataBackend.JSON, mark.since

    def _at_following(self, url: DatabaseUrl) -> None:
        if self.found.migration.following is None:
            return
        from octavo.follow.life import lag

        try:
            self.found.lag = lag(url, self.found.data_dir)
        except OctavoError as error:
            self.found.following = str(error)

    def _count(self) -> None:
        """The counts of the baseline, beside those of now."""
        path = newest_baseline(self.found.data_dir / "cache", first=True)
        baseline: Mapping[str, Any] = {} if path is None else read_baseline(path)
        self.found.baseline = baseline.get("generatedAt")
        before = baseline.get("counts", {})
        files = self.diagnosis.counts if self.diagnosis is not None else {}
        self.found.counts = {
            m.name: Count(before.get(m.name), self.in_database.get(m.name), files.get(m.name))
            for m in self.layout.datamodel.tables
        }

    def _secrets(self) -> SecretsReport | None:
        from octavo.secrets.check import SecretsReport, are_none, check

        kind, pepper = self.found.backend, self.looking.pepper
        sides = {DataBackend.PRISMA: ("database",), DataBackend.JSON: ("files",)}.get(
            kind, ("database", "files")
        )
        if reason := next((self.unseen[side] for side in sides if side in self.unseen), ""):
            self.unseen["secrets"] = reason
        else:
            try:
                if pepper is not None:
                    return check(kind, self.vocabulary, self.settings, pepper, self.progress)
                if are_none(kind, self.vocabulary, self.settings):
                    return SecretsReport(kind, {})
                self.unseen["secrets"] = "ENCRYPTION_MASTER_PEPPER is not set"
            except OctavoError as error:
                self.unseen["secrets"] = str(error)
        return None


_UNCHECKED = b"""
    SELECT conrelid::regclass || '.' || quote_ident(conname) FROM pg_catalog.pg_constraint
    WHERE contype = 'f' AND NOT convalidated AND conrelid = ANY(%s::regclass[]) ORDER BY 1
"""


def look_at_store(found: Status, layout: Layout) -> None:
    """Look at the journal, the divergences and the lock, without opening the store."""
    from octavo.backends.divergence import Divergences

    root, found.store = str(found.data_dir), ""
    try:
        with disk_errors("looking at the store"):
            require_store(root)
            check_folders(root, layout)
            divergences = Divergences(root)
            found.divergences, found.counters = divergences.open(), divergences.counters()
            found.writing = _is_locked(root)
            journal = Journal(root, SYSTEM)
            journal.catch_up(None)
            found.entries = len(journal.entries)
            found.in_doubt = len(outcome(journal.entries)[1])
            found.lagging = _needs_recovery(root, found.entries)
    except OctavoError as error:
        found.store = found.lacking(error)


def _is_locked(root: str) -> bool:
    lock = ProcessLock(os.path.join(root, LOCK), lambda: "")
    try:
        lock.acquire(0)
        lock.release()
    except BusyError:
        return True
    except OSError as error:
        # Where nothing can be written to, no lock can be seen.
        if error.errno not in READ_ONLY:
            raise
    finally:
        lock.close()
    return False


def _needs_recovery(root: str, entries: int) -> bool:
    """Whether the files may lack something that the journal has."""
    try:
        state = SharedState(root, create=False)
    except OSError:
        return entries > 0
    try:
        return state.commits % 2 == 1 or (entries > 0 and not state.counts)
    finally:
        state.close()
