"""Back to PostgreSQL, with everything that was written to the files since.

The database, which the cutover closed to writers, becomes what the files are, to the last digit; payloads go
back below the files root; every field is compared; the state of the move says that PostgreSQL is of record;
and only then it takes writes again.  Interrupted anywhere, it can simply be done again.

The files' writers do not wait for all of that.  Everything is carried, and compared, while the application
goes on (:mod:`octavo.move.carry`, :mod:`octavo.move.ahead`); then they are kept out, and what they have
written since is carried and compared.  Where it cannot be told what that is, everything is carried and
compared once more.
"""

from __future__ import annotations

from contextlib import ExitStack, closing
from functools import cached_property

from octavo.backend import DataBackend
from octavo.errors import DifferenceError, UsageError
from octavo.fold.source import Origin, allowed_drift, database_of, leave_origin, open_source
from octavo.inspect.progress import SILENT, Progress, Tell, untold
from octavo.move.ahead import Ahead
from octavo.move.carry import Carry
from octavo.move.sides import Move, MoveOptions, MoveReport, Sides, end_following, moving
from octavo.postgres import fence
from octavo.postgres.connection import connect
from octavo.postgres.fence import Stage
from octavo.store import phase
from octavo.store.offline import require_store
from octavo.store.phase import Phase

_CHANGES = ("inserted", "changed", "deleted")
_CONSEQUENCE = "the files are still the backend of record"


def rollback(
    sides: Sides,
    options: MoveOptions,
    *,
    progress: Progress = SILENT,
    tell: Tell = untold,
) -> MoveReport:
    """Make PostgreSQL the backend of record again, with all that the files have.

    A dry run brings the rows over and takes all of it back: it tells what would change.  Where it was done
    already, or was interrupted, only what is left to do is done.  Raises UsageError if the way back was given
    up or the files are not there, DriftError, DamagedError, DifferenceError if PostgreSQL may have been
    written to meanwhile, or if both sides differ in the end (then the files are still of record, and
    PostgreSQL closed), BusyError, DatabaseError, DiskError.
    """
    report = MoveReport(sides.data_dir, dry_run=options.dry_run)
    run = _Rollback(sides, options, report, progress, tell)
    if options.dry_run:
        if run.begin():
            run.try_out()
        return report
    with moving(sides, "rollback", options.patience):
        if run.begin():
            run.run()
    return report


class _Rollback(Move):
    @cached_property
    def carry(self) -> Carry:
        options, data_dir = self.options, self.sides.data_dir
        return Carry(self.url, data_dir, self.layout, options.files_root, self.resting, self.progress)

    def begin(self) -> bool:
        """Look at the state and at PostgreSQL; whether there is anything to carry back."""
        sides, report = self.sides, self.report
        if phase.read(sides.data_dir).phase is Phase.CLEANUP:
            raise UsageError(
                "the way back was given up: PostgreSQL is no longer part of the move",
                hint="octavo restore puts the files into an empty database",
            )
        mark = self.read_mark()
        if mark is not None and mark.may_be_moved:
            require_store(sides.data_dir)
        if not self.options.overwrite:
            fence.require_own(mark, sides.token, sides.place)
        state = self.state(mark)
        if state.backend is DataBackend.PRISMA:
            report.notes.append("PostgreSQL is the backend of record; there is nothing to carry back")
            if not self.options.dry_run:
                self.let_in()
            report.done = True
            return False
        require_store(sides.data_dir)
        self.require_closed()
        return True

    def run(self) -> None:
        # The slot would send back to the files what is carried from them.
        end_following(self.sides, self.report, self.tell)
        data_dir, carry = self.sides.data_dir, self.carry
        ahead = Ahead(self.url, data_dir, self.layout, self.verifying, self.resting, self.progress)
        ahead.carry = carry.since
        with closing(ahead), ExitStack() as held:
            self._carry_ahead()
            self.verify_ahead(ahead, _CONSEQUENCE)
            self.keep_writers_out(held)
            self.verify_rest(ahead, _CONSEQUENCE, self._carry_all)
            self._carried()
            self.switch()
            self.let_in()
        self.report.waited = self.resting.longest
        self.report.notes += carry.notes
        self.conclude("rollback")

    def require_closed(self) -> None:
        """Raise DifferenceError if PostgreSQL may have been written to since the cutover."""
        with open_source(self.url, self.layout, allow=allowed_drift(self.sides.data_dir)) as source:
            source.drift.raise_if_any()
            datamodel = self.layout.datamodel
            closed = fence.fenced(source.snapshot.connection, datamodel)
        open_tables = [m.table for m in datamodel.tables if m.name not in closed]
        if open_tables and not self.options.overwrite:
            raise DifferenceError(
                f"PostgreSQL is not closed to writers ({', '.join(open_tables[:3])}): what was written to it"
                " since the cutover, and is not in the files, would be lost",
                hint="octavo verify shows what differs; octavo rollback --overwrite goes on nevertheless",
            )
        if self.options.overwrite and not self.options.dry_run:
            fence.put_up(
                self.url,
                datamodel,
                self.mark("rollback", Stage.MOVED),
                patience=self.options.patience,
                overwrite=True,
            )

    def try_out(self) -> None:
        """Carry everything, and take it back."""
        with self.step("carry back") as told:
            self.carry.ahead(keep=False)
            told(f"{self._carried()}: tried, and taken back")
        self.report.waited = self.resting.longest
        self.report.notes += self.carry.notes

    def _carry_ahead(self) -> None:
        with self.step("carry back") as told:
            self.carry.ahead()
            told(self._carried())

    def _carry_all(self, why: str) -> None:
        """Carry everything, while writers wait."""
        with self.step("carry back") as told:
            self.carry.everything(frozen=True)
            told(f"{self._carried()} (all of it: {why})")

    def _carried(self) -> str:
        """What was carried until now, in words; it is put into the report."""
        self.report.changes = {
            name: {what: counts[what] for what in _CHANGES} for name, counts in self.carry.changes.items()
        }
        totals = [sum(counts[what] for counts in self.carry.changes.values()) for what in _CHANGES]
        return ", ".join(f"{n:,} {what}" for n, what in zip(totals, _CHANGES, strict=True))

    def switch(self) -> None:
        with self.step("switch") as told:
            fence.turn(self.url, self.mark("rollback", Stage.TURNING))
            with phase.changing(self.sides.data_dir) as state:
                state.rolled_back = True
                state.go(Phase.DUAL_WRITE, "rollback", backend=DataBackend.PRISMA)
            with closing(connect(self.url)) as connection:
                here = database_of(connection, self.url)
            allowed = allowed_drift(self.sides.data_dir)
            leave_origin(self.sides.data_dir, Origin(database=here, allowed=allowed))
            told("PostgreSQL is the backend of record: DATA_BACKEND=dual or prisma")

    def let_in(self) -> None:
        with self.step("open") as told:
            told("PostgreSQL takes writes again" if self.open() else "PostgreSQL takes writes")
