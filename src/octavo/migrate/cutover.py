"""The files become the backend of record.

First everything is looked at (:mod:`octavo.migrate.gates`), while the application goes on.  Then the store's
write lock is taken, or what follows PostgreSQL is let catch up; PostgreSQL is closed to writers by a fence;
every field of every record is compared once more, with nobody writing; and the state of the move says that
the files are of record.  Each step can be interrupted anywhere and simply done again: until that last one
PostgreSQL is of record, from it on the files are.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from octavo import migration
from octavo.backend import DataBackend
from octavo.errors import UsageError
from octavo.migrate.gates import Gate, gates
from octavo.migrate.move import Move, MoveOptions, MoveReport, Sides
from octavo.migrate.progress import SILENT, Progress
from octavo.migrate.status import Looking, status
from octavo.migrate.steps import Tell, untold
from octavo.migration import Phase
from octavo.postgres import fence
from octavo.postgres.connection import connect, transaction
from octavo.store.rest import at_rest

if TYPE_CHECKING:
    pass


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
    nothing to cut over, DifferenceError if both sides differ behind the freeze (then PostgreSQL is open
    again, and of record), BusyError, DatabaseError, DiskError.
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
    show(report.gates)
    if options.dry_run or report.closed:
        return report
    _Cutover(sides, options, report, progress, tell).run()
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
                self.verify("nothing was switched")
                self._switch()
        except BaseException:
            if migration.read(self.sides.data_dir).backend is DataBackend.PRISMA:
                # PostgreSQL is of record, so that it has to take writes.
                fence.take_down(self.url, self.layout.datamodel)
            raise
        end_following(self.sides, self.report, self.tell)
        self.conclude("cutover")

    @contextmanager
    def _writers_kept_out(self) -> Iterator[None]:
        with ExitStack() as held:
            with self.step("lock") as told:
                held.enter_context(at_rest(self.sides.data_dir, timeout=self.options.patience))
                told("the store is at rest: its writers wait")
            yield

    def _freeze(self) -> None:
        with self.step("freeze") as told:
            fence.put_up(self.url, self.layout.datamodel, patience=self.options.patience)
            told(f"PostgreSQL takes no more writes to {len(self.layout.datamodel.tables)} tables")

    def _catch_up(self) -> None:
        from octavo.follow.life import FollowOptions, catch_up

        with self.step("catch up") as told:
            options = FollowOptions(self.options.files_root)
            done = catch_up(self.url, self.sides.data_dir, self.layout, options)
            told(f"{done.transactions:,} transactions carried over")

    def _switch(self) -> None:
        with self.step("switch") as told:
            fence.mark_moved(self.url)
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
