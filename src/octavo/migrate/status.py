"""How the two sides of the move stand: which one counts, whether both are there, and whether they agree."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from octavo.backend import DataBackend
from octavo.errors import BusyError, OctavoError, UsageError
from octavo.layout.layout import Layout, layout_for
from octavo.store.journal import Journal, outcome
from octavo.store.lock import NAME as LOCK
from octavo.store.lock import ProcessLock
from octavo.store.shared import NAME as STATE
from octavo.store.shared import SharedState
from octavo.store.system import SYSTEM

if TYPE_CHECKING:
    from octavo.backends.divergence import Divergence
    from octavo.backends.healing import Healed
    from octavo.client import Settings
    from octavo.query.vocabulary import Vocabulary


@dataclass
class Status:
    """What was found.  ``store`` and ``database`` say why one cannot be used; empty: it can, None: it is not
    used."""

    backend: DataBackend
    data_dir: Path
    store: str | None = None
    database: str | None = None
    writing: bool = False
    """somebody writes to the store just now, so that what follows may be over in a moment"""
    entries: int = 0
    """of the journal"""
    in_doubt: int = 0
    """entries that wait for PostgreSQL to tell their fate"""
    lagging: bool = False
    """the store has to be recovered before the files show all that was committed"""
    divergences: list[Divergence] = field(default_factory=list)
    counters: Mapping[str, int] = field(default_factory=dict)
    healed: list[Healed] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Whether nothing is left to do."""
        waiting = (self.lagging or self.in_doubt > 0) and not self.writing
        return not (self.store or self.database or waiting or self.divergences)

    @property
    def ages(self) -> tuple[float, float] | None:
        """Seconds since the oldest and the newest divergence were seen."""
        if not self.divergences:
            return None
        now = datetime.now(UTC)
        ages = [(now - datetime.fromisoformat(d.time)).total_seconds() for d in self.divergences]
        return max(ages), min(ages)

    def to_dict(self) -> dict[str, Any]:
        """The machine's answer (``status --json``)."""
        ages = self.ages
        return {
            "good": self.good,
            "backend": self.backend.value,
            "dataDir": str(self.data_dir),
            "store": None if self.store is None else {"reachable": not self.store, "reason": self.store},
            "database": None
            if self.database is None
            else {"reachable": not self.database, "reason": self.database},
            "journal": {"entries": self.entries, "inDoubt": self.in_doubt, "lagging": self.lagging},
            "writing": self.writing,
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
        }


def status(kind: DataBackend, vocabulary: Vocabulary, settings: Settings, *, heal: bool = False) -> Status:
    """Look, without changing anything; with ``heal``, make the files what PostgreSQL is first.

    Healing recovers the store, which asks PostgreSQL about what is in doubt, and copies the records that were
    seen to differ.  Raises UsageError if both sides are to be healed and ``kind`` is not ``dual``, and what
    opening them raises.
    """
    layout = layout_for(vocabulary.datamodel, settings.layout)
    found = Status(kind, settings.data_dir)
    if heal:
        if kind is not DataBackend.DUAL:
            raise UsageError(
                f"DATA_BACKEND is {kind}: only with dual are the files to be what PostgreSQL is",
                hint="DATA_BACKEND=dual octavo status --heal",
            )
        from octavo.backends.dual import open_backend
        from octavo.backends.healing import heal as healing

        backend = open_backend(vocabulary, settings)
        try:
            found.healed = list(healing(backend))
        finally:
            backend.close()
    if kind is not DataBackend.JSON:
        found.database = _database(settings)
    if kind is not DataBackend.PRISMA:
        _look_at_store(found, layout)
    return found


def _database(settings: Settings) -> str:
    from octavo.postgres.connection import connect

    if not settings.database_url:
        return "DATABASE_URL is not set"
    try:
        connect(settings.database_url).close()
    except OctavoError as error:
        return str(error)
    return ""


def _look_at_store(found: Status, layout: Layout) -> None:
    from octavo.backends.divergence import Divergences

    root = str(found.data_dir)
    missing = [name for name in layout.folders if not os.path.isdir(os.path.join(root, name))]
    if not os.path.isdir(root) or missing:
        found.store = f"{root} is no store: octavo export makes it"
        return
    divergences = Divergences(root)
    found.divergences, found.counters = divergences.open(), divergences.counters()
    try:
        found.store = ""
        found.writing = _is_locked(root)
        journal = Journal(root, SYSTEM)
        journal.catch_up(None)
        found.entries = len(journal.entries)
        found.in_doubt = len(outcome(journal.entries)[1])
        found.lagging = _needs_recovery(root, found.entries)
    except (OctavoError, OSError) as error:
        found.store = str(error)


def _is_locked(root: str) -> bool:
    lock = ProcessLock(os.path.join(root, LOCK), lambda: "")
    try:
        lock.acquire(0)
        lock.release()
    except BusyError:
        return True
    finally:
        lock.close()
    return False


def _needs_recovery(root: str, entries: int) -> bool:
    """Whether the files may lack something that the journal has."""
    try:
        state = SharedState(os.path.join(root, STATE), create=False)
    except OSError:
        return entries > 0
    try:
        return state.commits % 2 == 1 or (entries > 0 and not state.is_current)
    finally:
        state.close()
