"""What a cutover and a rollback have in common: the two sides, how to go about it, and what to report."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from octavo.backend import DataBackend
from octavo.errors import DifferenceError, OctavoError, UsageError
from octavo.inspect.progress import SILENT, Progress, Step, Tell, timed, untold
from octavo.layout.layout import Layout
from octavo.move.ahead import Ahead
from octavo.move.verify import VerifyOptions, VerifyReport, verified, verify
from octavo.postgres import fence
from octavo.postgres.connection import connect, transaction
from octavo.postgres.fence import Mark, Stage
from octavo.store import disk, phase
from octavo.store.definition import layout_in
from octavo.store.offline import Resting
from octavo.store.phase import Migration, Phase
from octavo.text import some
from octavo.url import DatabaseUrl

if TYPE_CHECKING:
    from octavo.backend import Settings
    from octavo.query.vocabulary import Vocabulary


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveOptions:
    """How to go about it: payloads lie below ``files_root``; with a ``pepper`` secrets are opened; ``jobs``
    processes read the files; for those who are writing, ``patience`` seconds are waited.

    A cutover passes the gates that ``waive`` names although they are closed.  A rollback that is to
    ``overwrite`` gives up what was written to PostgreSQL although the files were of record."""

    files_root: Path
    pepper: str | None = field(default=None, repr=False)
    jobs: int = 2
    dry_run: bool = False
    patience: float = 30.0
    waive: Collection[str] = ()
    overwrite: bool = False


class Gate(Struct, frozen=True, kw_only=True, rename={"name": "gate"}):
    """One gate: whether it is open, and why; what to do if it is not."""

    name: str
    open: bool
    reason: str
    hint: str = ""
    waived: bool = False
    """it is closed, and the user wants to pass nevertheless"""

    @property
    def passed(self) -> bool:
        """Whether it does not stand in the way."""
        return self.open or self.waived


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
    waited: float = 0.0
    """seconds for which writers were kept out, where that was several times the longest"""
    notes: list[str] = field(default_factory=list)
    report: Path | None = None
    page: Path | None = None
    """how everything stands afterwards, to look at; the command writes it"""

    @property
    def closed(self) -> list[Gate]:
        """The gates that stand in the way."""
        return [gate for gate in self.gates if not gate.passed]

    def to_dict(self) -> dict[str, Any]:
        return {
            "done": self.done,
            "dryRun": self.dry_run,
            "dataDir": str(self.data_dir),
            "gates": self.gates,
            "waived": [gate.name for gate in self.gates if gate.waived],
            "steps": self.steps,
            "verified": self.verified and self.verified.to_dict(),
            "changes": self.changes,
            "writersWaited": round(self.waited, 3),
            "notes": self.notes,
            "report": str(self.report) if self.report else None,
            "page": str(self.page) if self.page else None,
        }

    def step(self, name: str, tell: Tell) -> AbstractContextManager[Callable[[str], None]]:
        """Time a step; what it is told becomes its outcome."""
        return timed(self.steps, name, tell)


@dataclass(frozen=True, slots=True)
class Sides:
    """What is moved: the schema, the database and the data folder."""

    vocabulary: Vocabulary
    settings: Settings

    @property
    def layout(self) -> Layout:
        return layout_in(self.settings.data_dir, self.vocabulary.datamodel, self.settings.layout)

    @property
    def url(self) -> DatabaseUrl:
        """Raises UsageError if no database is named."""
        if not self.settings.database_url:
            raise UsageError("no database is named: DATABASE_URL is not set")
        return DatabaseUrl.parse(self.settings.database_url)

    @property
    def data_dir(self) -> Path:
        return self.settings.folder

    @property
    def place(self) -> str:
        """The folder as the fence of its move names it, in ASCII: any database can hold that."""
        path = str(self.data_dir.resolve()).encode("utf-8", "backslashreplace").decode()
        return path.encode("ascii", "backslashreplace").decode()

    @property
    def token(self) -> str | None:
        """What tells the fence of this move; None where that is not known, as before the first and where
        ``cache/`` was deleted.  Raises as :func:`octavo.store.phase.read`."""
        closed = phase.read(self.data_dir).closed
        return None if closed is None else closed.token


@contextmanager
def moving(sides: Sides, command: str, timeout: float | None) -> Iterator[None]:
    """The block of a command that may change the backend of record; there is one at a time.

    Whatever ends it early is told how things stand then, by a note.  Raises BusyError.
    """
    with phase.alone(sides.data_dir, command, timeout):
        try:
            yield
        except BaseException as error:
            with suppress(OctavoError):
                error.add_note(phase.read(sides.data_dir).standing)
            raise


def end_following(sides: Sides, report: MoveReport, tell: Tell) -> None:
    """Nothing follows PostgreSQL any more: remove what that needed there."""
    if phase.read(sides.data_dir).following is None:
        return
    from octavo.follow.life import stop

    with report.step("follow", tell) as told:
        stop(sides.url, sides.data_dir)
        told("slot and publication removed")


class Move:
    """A cutover or a rollback while it is done."""

    def __init__(
        self,
        sides: Sides,
        options: MoveOptions,
        report: MoveReport,
        progress: Progress = SILENT,
        tell: Tell = untold,
    ) -> None:
        self.sides, self.options, self.report = sides, options, report
        self.progress, self.tell = progress, tell
        self.url, self.layout = sides.url, sides.layout
        self.resting = Resting(sides.data_dir, options.patience)

    def step(self, name: str) -> AbstractContextManager[Callable[[str], None]]:
        """Time a step; what it is told becomes its outcome."""
        return self.report.step(name, self.tell)

    def read_mark(self) -> Mark | None:
        """What the fence in PostgreSQL says; None: there is none.  Raises DatabaseError."""
        with (
            closing(connect(self.url)) as connection,
            transaction(connection, self.url.schema, read_only=True),
        ):
            return fence.read_mark(connection)

    def state(self, mark: Mark | None) -> Migration:
        """The state of the move; where ``cache/`` was deleted since the cutover, it is made again from what
        the fence says."""
        state = phase.read(self.sides.data_dir)
        if mark is None or not mark.may_be_moved or not state.knows_no_cutover:
            return state
        why = f"the cutover of {mark.since}, as PostgreSQL knows of it"
        token = mark.token if mark.is_of(None, self.sides.place) else ""
        if self.options.dry_run:
            state.go(Phase.CUTOVER, why, backend=DataBackend.JSON)
            return state
        with phase.changing(self.sides.data_dir) as state:
            state.close(mark.command, token)
            state.go(Phase.CUTOVER, why, backend=DataBackend.JSON)
        return state

    def mark(self, command: str, stage: Stage) -> Mark:
        """What the fence is to say, as the state of the move has it."""
        with phase.changing(self.sides.data_dir) as state:
            closed = state.closed or state.close(command)
        return Mark(
            token=closed.token,
            command=command,
            who=closed.who.encode("ascii", "backslashreplace").decode(),
            data_dir=self.sides.place,
            since=closed.since,
            stage=stage,
        )

    def open(self) -> bool:
        """Let PostgreSQL take writes; whether it took none.  Raises UsageError if the move of other files has
        closed it, DatabaseError."""
        found = fence.take_down(
            self.url,
            self.layout.datamodel,
            self.sides.token,
            self.sides.place,
            patience=self.options.patience,
        )
        with phase.changing(self.sides.data_dir) as state:
            state.closed = None
        if found.left:
            self.report.notes.append(
                f"triggers of Octavo, which refuse nothing, are left in PostgreSQL: {found.left}"
            )
        return found.was_closed

    def keep_writers_out(self, held: ExitStack) -> None:
        with self.step("lock") as told:
            held.enter_context(self.resting.hold())
            told("the store is at rest: its writers wait")

    def verify_ahead(self, ahead: Ahead, consequence: str) -> None:
        """Compare everything while the application goes on, so that little is left for the freeze."""
        with self.step("verify ahead") as told:
            moment, passed = phase.now(), ahead.verify()
            found = ahead.report
            if found is not None and (found.equal or not passed):
                self._note(found, moment)
            if found is not None and not passed:
                self.accept(found, f"verify found {{}}: {consequence}")
            if found is None or ahead.unsure:
                told(f"left for the freeze: {ahead.unsure}")
                return
            records = sum(count["database"] for count in found.counts.values())
            text = f"{records:,} records, every field, both ways, while writers went on"
            changed = ahead.look_again()
            told(f"{text}; then {changed:,} records that may have changed meanwhile")

    def verify_rest(self, ahead: Ahead, consequence: str, prepare: Callable[[str], object] = len) -> None:
        """Compare what has changed since, or everything where that cannot be told; then it is first
        prepared, which is told the reason."""
        with self.step("verify") as told:
            moment, number = phase.now(), ahead.end()
            ahead.close()
            if number is None or ahead.report is None:
                prepare(ahead.unsure)
                told(f"{self.compare(consequence)} (all of them: {ahead.unsure})")
                return
            found = self.report.verified = ahead.report
            self._note(found, moment)
            records = sum(count["database"] for count in found.counts.values())
            told(f"{number:,} records that may have changed since: equal; with them {records:,} are")

    def _note(self, found: VerifyReport, moment: str) -> None:
        if not found.elsewhere:
            with phase.changing(self.sides.data_dir) as state:
                state.verify(verified(found, moment))

    def compare(self, consequence: str) -> str:
        """The same, within a step: gives what to tell of it."""
        found = verify(self.url, self.sides.data_dir, self.layout, self.verifying, self.progress)
        self.accept(found, f"with all writers kept out, verify found {{}}: {consequence}")
        records = sum(count["database"] for count in found.counts.values())
        return f"{records:,} records, every field, both ways: equal"

    @property
    def verifying(self) -> VerifyOptions:
        return VerifyOptions(self.options.files_root, self.options.pepper, self.options.jobs)

    def accept(self, found: VerifyReport, otherwise: str) -> None:
        """Keep a verification.  Raises DifferenceError, which says ``otherwise``, if both sides differ."""
        self.report.verified = found
        if not found.equal:
            broken = some(len(found.violations), "broken rule")
            raise DifferenceError(
                otherwise.format(f"{some(found.total, 'difference')} and {broken}"),
                hint=f"they are named in {found.report}",
            )

    def conclude(self, kind: str) -> None:
        """It is done: write it down, as ``cache/migration/<kind>-<time>.json``.

        What keeps the report from being written is noted: the move is done nevertheless.
        """
        report = self.report
        report.done = True
        stamp = phase.now().replace(":", "")
        path = self.sides.data_dir / "cache" / "migration" / f"{kind}-{stamp}.json"
        text = msgspec.json.format(msgspec.json.encode(report.to_dict()), indent=2)
        try:
            disk.write_file(path, text + b"\n")
            report.report = path
        except OctavoError as error:
            report.notes.append(f"the report could not be written: {error}")
