"""Who is told how following goes, and may end it; and what is told."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from octavo.inspect.progress import SILENT, Progress
from octavo.store.intake import PayloadProblem


@dataclass
class FollowReport:
    """What following has done, and how it stands."""

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
    behind: int | None = None
    """bytes of PostgreSQL's log that are not in the files, when it was last asked for"""
    transactions: int = 0
    """of PostgreSQL, that were carried over in this run"""
    rows: int = 0
    """that they have changed, each time counted"""
    committed: str | None = None
    """when the last transaction in the files was committed, in UTC"""
    reconnected: int = 0
    payload_problems: list[PayloadProblem] = field(default_factory=list)
    """rows whose payload could not be had, or is not as the row says"""
    seconds: float = 0.0

    @property
    def lacking(self) -> list[PayloadProblem]:
        """Those that could not be had."""
        return [problem for problem in self.payload_problems if not problem.kept]

    def to_dict(self) -> dict[str, Any]:
        """The machine's answer (``follow --json``)."""
        return {
            "dataDir": str(self.data_dir),
            "slot": self.slot,
            "position": self.position,
            "seeded": self.seeded,
            "replaced": str(self.replaced) if self.replaced else None,
            "caughtUp": self.caught_up,
            "bytesBehind": self.behind,
            "transactions": self.transactions,
            "rows": self.rows,
            "committed": self.committed,
            "reconnected": self.reconnected,
            "payloads": [
                {"model": p.model, "key": p.key, "path": p.path, "reason": p.reason, "kept": p.kept}
                for p in self.payload_problems
            ],
            "seconds": round(self.seconds, 3),
        }


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
        """Something that somebody should know: a connection that was lost."""

    def is_over(self) -> bool:
        """Whether to end, in order."""
        return False
