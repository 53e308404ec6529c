"""The files become the backend of record.

First everything is looked at (:mod:`octavo.move.gates`), while the application goes on.  Then the store's
write lock is taken, or what follows PostgreSQL is let catch up; PostgreSQL is closed to writers by a fence;
every field of every record is compared once more, while nothing can write; and the state of the move says
that the files are of record.  Each step can be interrupted anywhere and simply done again: until that last
one PostgreSQL is of record, from it on the files are.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass

from octavo.backend import DataBackend
from octavo.errors import OctavoError, UsageError
from octavo.inspect.progress import SILENT, Progress, Tell, untold
from octavo.move.gates import Gate, gates
from octavo.move.sides import Move, MoveOptions, MoveReport, Sides, end_following, moving
from octavo.move.status import Looking, status
from octavo.postgres import fence
from octavo.postgres.connection import connect, transaction
from octavo.postgres.fence import Stage
from octavo.store import phase
from octavo.store.offline import at_rest
from octavo.store.phase import Phase


@dataclass(frozen=True, slots=True, kw_only=True)
class CutoverOptions(MoveOptions):
    """How to cut over: ``waive`` names gates to pass closed."""

    waive: Collection[str] = ()


def cutover(
    sides: Sides,
    options: CutoverOptions,
    *,
    progress: Progress = SILENT,
    tell: Tell = untold,
    show: Callable[[Sequence[Gate]], object] = len,
) -> MoveReport:
    """Make the files the backend of record, if every gate is open; else do nothing (``done`` is false).

    ``show`` is given the gates before anything is done.  A dry run looks at them, and changes nothing.  Where
    it was done already, or was interrupted, only what is left to do is done.  Raises UsageError if there is
    nothing to cut over, DifferenceError if both sides differ once PostgreSQL is closed (then it is open
    again, and of record), BusyError, DatabaseError, DiskError.
    """
    report = MoveReport(sides.data_dir, dry_run=options.dry_run)
    run = _Cutover(sides, options, report, progress, tell)
    if options.dry_run:
        run.begin(show)
        return report
    with moving(sides, "cutover", options.patience):
        if run.begin(show):
            run.run()
    return report


def look(sides: Sides, options: CutoverOptions, progress: Progress = SILENT) -> list[Gate]:
    """The gates, as things stand."""
    looking = Looking(pepper=options.pepper)
    unowned = _unowned(sides)
    found = status(DataBackend.DUAL, sides.vocabulary, sides.settings, looking, progress)
    return gates(found, unowned, options.waive)


def _unowned(sides: Sides) -> list[str]:
    with closing(connect(sides.url)) as connection, transaction(connection, sides.url.schema, read_only=True):
        return fence.unowned(connection, sides.layout.datamodel)


class _Cutover(Move):
    options: CutoverOptions

    def begin(self, show: Callable[[Sequence[Gate]], object]) -> bool:
        """Look at the state and the gates; whether there is a cutover to be done."""
        sides, report = self.sides, self.report
        if phase.read(sides.data_dir).phase is Phase.CLEANUP:
            raise UsageError("the move is over: the files are the backend of record for good")
        mark = self.read_mark()
        fence.require_own(mark, sides.token, sides.place)
        state = self.state(mark)
        if state.backend is DataBackend.JSON:
            report.notes.append(f"the files are the backend of record since {state.since}")
            report.done = True
            if not self.options.dry_run:
                self._finish()
            return False
        with self.step("gates") as told:
            report.gates = look(sides, self.options, self.progress)
            told(f"{sum(gate.open for gate in report.gates)} of {len(report.gates)} open")
        show(report.gates)
        return not (self.options.dry_run or report.closed)

    def run(self) -> None:
        following = phase.read(self.sides.data_dir).following is not None
        with ExitStack() as held:
            if not following:
                held.enter_context(self._writers_kept_out())
            try:
                self._freeze()
                if following:
                    # What follows needs the lock itself.
                    self._catch_up()
                    held.enter_context(self._writers_kept_out())
                self.verify("nothing was switched")
                self._switch()
            except BaseException as error:
                self._open_again(error)
                raise
        self._finish()
        self.conclude("cutover")

    def _open_again(self, error: BaseException) -> None:
        """PostgreSQL is still of record, so that it has to take writes; why it does not is noted."""
        if not phase.read(self.sides.data_dir).is_frozen:
            return
        try:
            self.open()
        except OctavoError as failed:
            error.add_note(f"PostgreSQL could not be opened again: {failed}")

    def _finish(self) -> None:
        """Let PostgreSQL say where the data are, and let nothing follow it any more."""
        try:
            fence.turn(self.url, self.mark("cutover", Stage.MOVED))
        except OctavoError as error:
            self.report.notes.append(f"PostgreSQL could not be told where the data are: {error}")
        end_following(self.sides, self.report, self.tell)

    @contextmanager
    def _writers_kept_out(self) -> Iterator[None]:
        with ExitStack() as held:
            with self.step("lock") as told:
                held.enter_context(at_rest(self.sides.data_dir, timeout=self.options.patience))
                told("the store is at rest: its writers wait")
            yield

    def _freeze(self) -> None:
        with self.step("freeze") as told:
            with phase.changing(self.sides.data_dir) as state:
                state.close("cutover")
            mark = self.mark("cutover", Stage.FROZEN)
            fence.put_up(self.url, self.layout.datamodel, mark, patience=self.options.patience)
            told(f"PostgreSQL takes no more writes to {len(self.layout.datamodel.tables)} tables")

    def _catch_up(self) -> None:
        from octavo.follow.life import FollowOptions, catch_up

        with self.step("catch up") as told:
            options = FollowOptions(self.options.files_root)
            done = catch_up(self.url, self.sides.data_dir, self.layout, options)
            told(f"{done.transactions:,} transactions carried over")

    def _switch(self) -> None:
        with self.step("switch") as told:
            # A command that finds the fence without the state must not take PostgreSQL for what is of record.
            fence.turn(self.url, self.mark("cutover", Stage.TURNING))
            waived = ", ".join(gate.name for gate in self.report.gates if gate.waived)
            with phase.changing(self.sides.data_dir) as state:
                why = "cutover" + (f" (waived: {waived})" if waived else "")
                state.go(Phase.CUTOVER, why, backend=DataBackend.JSON)
            told("the files are the backend of record: DATA_BACKEND=json")


def cleanup(sides: Sides, *, tell: Tell = untold) -> MoveReport:
    """Say that the move is over.  The database's tables and rows stay as they are; it need not be there.

    Raises UsageError before a cutover, DiskError.
    """
    report = MoveReport(sides.data_dir)
    with moving(sides, "cleanup", fence.PATIENCE):
        state = phase.read(sides.data_dir)
        if not state.has_reached(Phase.CUTOVER):
            raise UsageError(
                "the files are not the backend of record yet: there is nothing to clean up",
                hint="octavo cutover comes first",
            )
        # Before PostgreSQL takes writes: rollback must not bring rows to a database that others change.
        with report.step("state", tell) as told:
            with phase.changing(sides.data_dir) as state:
                state.go(Phase.CLEANUP, "cleanup")
            told("the files are the backend of record for good")
        with report.step("database", tell) as told:
            if not sides.settings.database_url:
                told("none is named: it stays as it is")
            else:
                try:
                    end_following(sides, report, tell)
                    found = fence.take_down(sides.url, sides.layout.datamodel, sides.token, sides.place)
                    told(_opened(found))
                except OctavoError as error:
                    told(f"stays as it is: {error}")
    report.done = True
    return report


def _opened(found: fence.Opened) -> str:
    if found.left:
        return f"takes writes again; triggers that refuse nothing are left in it: {found.left}"
    return (
        "takes writes again; nothing of ours is left in it"
        if found.was_closed
        else "nothing of ours is in it"
    )
