"""Back to PostgreSQL, with everything that was written to the files since.

The database, which the cutover closed to writers, becomes what the files are, in one transaction
(:mod:`octavo.move.write_back`); payloads go back below the files root; every field is compared; the state of
the move says that PostgreSQL is of record; and only then it takes writes again.  The files' writers are kept
out until then.  Interrupted anywhere, it can simply be done again.
"""

from __future__ import annotations

from contextlib import closing, suppress
from dataclasses import dataclass

from octavo.backend import DataBackend
from octavo.errors import DifferenceError, UsageError, disk_errors
from octavo.fold.restore import Loading, PutBack, whole_contents
from octavo.fold.source import Origin, database_of, leave_origin, open_source
from octavo.inspect.progress import SILENT, Progress, Tell, untold
from octavo.layout.scan import Reader
from octavo.move.sides import Move, MoveOptions, MoveReport, Sides, end_following, moving
from octavo.move.write_back import carrying
from octavo.postgres import fence
from octavo.postgres.connection import connect
from octavo.postgres.fence import Stage
from octavo.store import phase
from octavo.store.offline import at_rest, require_store
from octavo.store.phase import Phase


@dataclass(frozen=True, slots=True, kw_only=True)
class RollbackOptions(MoveOptions):
    """How to go back: ``overwrite`` gives up what was written to PostgreSQL although the files were of
    record."""

    overwrite: bool = False


class _Undone(Exception):
    """Ends a transaction that was only tried."""


def rollback(
    sides: Sides,
    options: RollbackOptions,
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
            with at_rest(sides.data_dir, timeout=options.patience):
                run.carry(keep=False)
        return report
    with moving(sides, "rollback", options.patience):
        if run.begin():
            run.run()
    return report


class _Rollback(Move):
    options: RollbackOptions

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
        with at_rest(self.sides.data_dir, timeout=self.options.patience):
            self.carry(keep=True)
            self.verify("the files are still the backend of record")
            self.switch()
            self.let_in()
        self.conclude("rollback")

    def require_closed(self) -> None:
        """Raise DifferenceError if PostgreSQL may have been written to since the cutover."""
        with open_source(self.url, self.layout) as source:
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

    def carry(self, *, keep: bool) -> None:
        """Make the database what the files are; without ``keep``, only try it."""
        data_dir, options = self.sides.data_dir, self.options
        with self.step("carry back") as told:
            there = whole_contents(self.layout, data_dir)
            reader = Reader(self.layout, data_dir)
            payloads = PutBack(reader, there, options.files_root)
            payloads.refuse_conflicts()
            self.progress.begin("carrying back", sum(f.size for f in there.files), "bytes")
            loading = Loading(reader, there, self.progress)
            with (
                suppress(_Undone),
                closing(connect(self.url)) as connection,
                carrying(connection, self.url, loading, patience=options.patience) as done,
            ):
                self.report.changes = {
                    name: {"inserted": c.inserted, "changed": c.changed, "deleted": c.deleted}
                    for name, c in done.items()
                    if c.touched
                }
                if not keep:
                    raise _Undone
                if any(place.payload for place in self.layout.places):
                    with disk_errors("writing payloads"):
                        payloads.write()
            self.report.notes += payloads.notes
            self.report.notes += [f"{text} (stays in the files alone)" for text in sorted(loading.unknown)]
            totals = [sum(c[what] for c in self.report.changes.values()) for what in _CHANGES]
            text = ", ".join(f"{n:,} {what}" for n, what in zip(totals, _CHANGES, strict=True))
            told(text if keep else f"{text}: tried, and taken back")

    def switch(self) -> None:
        with self.step("switch") as told:
            fence.turn(self.url, self.mark("rollback", Stage.TURNING))
            with phase.changing(self.sides.data_dir) as state:
                state.rolled_back = True
                state.go(Phase.DUAL_WRITE, "rollback", backend=DataBackend.PRISMA)
            with closing(connect(self.url)) as connection:
                here = database_of(connection, self.url)
            leave_origin(self.sides.data_dir, Origin(database=here))
            told("PostgreSQL is the backend of record: DATA_BACKEND=dual or prisma")

    def let_in(self) -> None:
        """Let PostgreSQL take writes."""
        with self.step("open") as told:
            told("PostgreSQL takes writes again" if self.open() else "PostgreSQL takes writes")


_CHANGES = ("inserted", "changed", "deleted")
