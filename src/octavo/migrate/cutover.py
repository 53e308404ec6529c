"""The files become the backend of record.

First everything is looked at (:mod:`octavo.migrate.gates`), while the application goes on.  Then the store's
write lock is taken, or what follows PostgreSQL is let catch up; PostgreSQL is closed to writers by a fence;
every field of every record is compared once more, with nobody writing; and the state of the move says that
the files are of record.  Each step can be interrupted anywhere and simply done again: until that last one
PostgreSQL is of record, from it on the files are.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from octavo import migration
from octavo.backend import DataBackend
from octavo.errors import DifferenceError, UsageError
from octavo.layout.layout import Layout, layout_for
from octavo.migrate.gates import Gate, gates
from octavo.migrate.progress import SILENT, Progress
from octavo.migrate.status import Looking, Status, status
from octavo.migrate.steps import Step, Tell, timed, untold
from octavo.migrate.verify import VerifyOptions, VerifyReport, verify
from octavo.migration import Phase
from octavo.postgres import fence
from octavo.postgres.connection import connect, transaction
from octavo.postgres.url import DatabaseUrl
from octavo.store import disk
from octavo.store.rest import at_rest

if TYPE_CHECKING:
    from octavo.client import Settings
    from octavo.query.vocabulary import Vocabulary


@dataclass(frozen=True, slots=True)
class CutoverOptions:
    """How to cut over: ``waive`` names gates to pass closed; ``patience`` is how many seconds to wait for
    those who are writing."""

    files_root: Path
    pepper: str | None = field(default=None, repr=False)
    jobs: int = 2
    waive: Collection[str] = ()
    dry_run: bool = False
    patience: float = 30.0


@dataclass
class MoveReport:
    """What a cutover or a rollback found and did."""

    data_dir: Path
    gates: list[Gate] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    dry_run: bool = False
    done: bool = False
    """whether the backend of record is now the one that was wanted"""
    verified: VerifyReport | None = None
    changes: dict[str, dict[str, int]] = field(default_factory=dict)
    """by model, the rows that PostgreSQL was given, changed in and rid of; of a rollback"""
    notes: list[str] = field(default_factory=list)
    report: Path | None = None

    @property
    def closed(self) -> list[Gate]:
        """The gates that stand in the way."""
        return [gate for gate in self.gates if not gate.passed]

    def to_dict(self) -> dict[str, Any]:
        """The machine's answer."""
        return {
            "done": self.done,
            "dryRun": self.dry_run,
            "dataDir": str(self.data_dir),
            "gates": [gate.to_dict() for gate in self.gates],
            "waived": [gate.name for gate in self.gates if gate.waived],
            "steps": [step.to_dict() for step in self.steps],
            "verified": self.verified and self.verified.to_dict(),
            "changes": self.changes,
            "notes": self.notes,
            "report": str(self.report) if self.report else None,
        }

    def step(self, name: str, tell: Tell) -> AbstractContextManager[Callable[[str], None]]:
        """Time a step; what it is told becomes its outcome."""
        return timed(self.steps, name, tell)

    def save(self, kind: str) -> None:
        """Write it down below ``cache/migration/``.  Raises DiskError."""
        stamp = migration.now().replace(":", "")
        self.report = self.data_dir / "cache" / "migration" / f"{kind}-{stamp}.json"
        text = msgspec.json.format(msgspec.json.encode(self.to_dict()), indent=2)
        disk.write_file(self.report, text + b"\n")


@dataclass(frozen=True, slots=True)
class Sides:
    """What is moved: the schema, the database and the data folder."""

    vocabulary: Vocabulary
    settings: Settings

    @property
    def layout(self) -> Layout:
        return layout_for(self.vocabulary.datamodel, self.settings.layout)

    @property
    def url(self) -> DatabaseUrl:
        """Raises UsageError if no database is named."""
        if not self.settings.database_url:
            raise UsageError("no database is named: DATABASE_URL is not set")
        return DatabaseUrl.parse(self.settings.database_url)

    @property
    def data_dir(self) -> Path:
        return self.settings.data_dir


def cutover(
    sides: Sides,
    options: CutoverOptions,
    *,
    progress: Progress = SILENT,
    tell: Tell = untold,
) -> MoveReport:
    """Make the files the backend of record, if every gate is open; else do nothing (``done`` is false).

    A dry run looks at the gates, and changes nothing.  Where it was done already, or was interrupted, only
    what is left to do is done.  Raises UsageError if there is nothing to cut over, DifferenceError if both
    sides differ behind the freeze (then PostgreSQL is open again, and of record), BusyError, DatabaseError,
    DiskError.
    """
    report = MoveReport(sides.data_dir, dry_run=options.dry_run)
    state = migration.read(sides.data_dir)
    if state.phase is Phase.CLEANUP:
        raise UsageError("the move is over: the files are the backend of record for good")
    if state.backend is DataBackend.JSON:
        report.notes.append(f"the files are the backend of record since {state.since}")
        report.done = True
        if not options.dry_run:
            end_following(sides, report, tell)
        return report
    with report.step("gates", tell) as told:
        report.gates = look(sides, options, progress)
        told(f"{sum(gate.open for gate in report.gates)} of {len(report.gates)} open")
    if options.dry_run or report.closed:
        return report
    _Cutover(sides, options, report, progress, tell).run()
    return report


def look(sides: Sides, options: CutoverOptions, progress: Progress = SILENT) -> list[Gate]:
    """The gates, as things stand."""
    looking = Looking(pepper=options.pepper)
    found = status(DataBackend.DUAL, sides.vocabulary, sides.settings, looking, progress)
    return gates(found, _unowned(sides, found), options.waive)


def _unowned(sides: Sides, found: Status) -> list[str]:
    if found.database:
        return []
    with closing(connect(sides.url)) as connection, transaction(connection, sides.url.schema, read_only=True):
        return fence.unowned(connection, sides.layout.datamodel)


class _Cutover:
    def __init__(
        self, sides: Sides, options: CutoverOptions, report: MoveReport, progress: Progress, tell: Tell
    ) -> None:
        self.sides, self.options, self.report = sides, options, report
        self.progress, self.tell = progress, tell
        self.url, self.datamodel = sides.url, sides.layout.datamodel

    def run(self) -> None:
        following = migration.read(self.sides.data_dir).following is not None
        try:
            with ExitStack() as held:
                if following:
                    # What follows needs the lock itself.
                    self._freeze()
                    self._catch_up()
                    held.enter_context(self._writers_kept_out())
                else:
                    held.enter_context(self._writers_kept_out())
                    self._freeze()
                self._verify()
                self._switch()
        except BaseException:
            if migration.read(self.sides.data_dir).backend is DataBackend.PRISMA:
                # PostgreSQL is of record, so that it has to take writes.
                fence.take_down(self.url, self.datamodel)
            raise
        end_following(self.sides, self.report, self.tell)
        self.report.done = True
        self.report.save("cutover")

    @contextmanager
    def _writers_kept_out(self) -> Iterator[None]:
        with ExitStack() as held:
            with self.report.step("lock", self.tell) as told:
                held.enter_context(at_rest(self.sides.data_dir, timeout=self.options.patience))
                told("the store is at rest: its writers wait")
            yield

    def _freeze(self) -> None:
        with self.report.step("freeze", self.tell) as told:
            fence.put_up(self.url, self.datamodel, patience=self.options.patience)
            told(f"PostgreSQL takes no more writes to {len(self.datamodel.tables)} tables")

    def _catch_up(self) -> None:
        from octavo.follow.life import FollowOptions, catch_up

        with self.report.step("catch up", self.tell) as told:
            options = FollowOptions(self.options.files_root)
            done = catch_up(self.url, self.sides.data_dir, self.sides.layout, options)
            told(f"{done.transactions:,} transactions carried over")

    def _verify(self) -> None:
        with self.report.step("verify", self.tell) as told:
            options = VerifyOptions(self.options.files_root, self.options.pepper, self.options.jobs)
            report = verify(self.url, self.sides.data_dir, self.sides.layout, options, self.progress)
            self.report.verified = report
            if not report.equal:
                raise DifferenceError(
                    f"behind the freeze, verify found {report.total:,} differences and "
                    f"{len(report.violations):,} broken rules: nothing was switched",
                    hint=f"they are named in {report.report}; octavo verify shows them",
                )
            records = sum(count["database"] for count in report.counts.values())
            told(f"{records:,} records, every field, both ways: equal")

    def _switch(self) -> None:
        with self.report.step("switch", self.tell) as told:
            waived = ", ".join(gate.name for gate in self.report.gates if gate.waived)
            with migration.changing(self.sides.data_dir) as state:
                why = "cutover" + (f" (waived: {waived})" if waived else "")
                state.go(Phase.CUTOVER, why, backend=DataBackend.JSON)
            told("the files are the backend of record: DATA_BACKEND=json")


def end_following(sides: Sides, report: MoveReport, tell: Tell) -> None:
    """Nothing follows PostgreSQL any more: remove what that needed there."""
    if migration.read(sides.data_dir).following is None:
        return
    from octavo.follow.life import stop

    with report.step("follow", tell) as told:
        stop(sides.url, sides.data_dir)
        told("slot and publication removed")
