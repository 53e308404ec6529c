"""The files become the backend of record.

First every gate is looked at, each when it is asked for and with a reason for its answer, and every field of
every record is compared, while the application goes on.  Then the store's write lock is taken, or what
follows PostgreSQL is let catch up; PostgreSQL is closed to writers by a fence; what has changed since is
compared, while nothing can write; and the state of the move says that the files are of record.  Each step can
be interrupted anywhere and simply done again: until that last one PostgreSQL is of record, from it on the
files are.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from octavo.backend import DataBackend
from octavo.errors import OctavoError, UsageError
from octavo.fold.target import State
from octavo.inspect.progress import SILENT, Progress, Tell, untold
from octavo.move.ahead import Ahead
from octavo.move.checklist import SECRETS_TITLE, Verdict
from octavo.move.sides import Gate, Move, MoveOptions, MoveReport, Sides, end_following, moving
from octavo.move.status import Looking, status
from octavo.postgres import fence
from octavo.postgres.connection import connect, transaction
from octavo.postgres.fence import Stage
from octavo.schema.datamodel import Datamodel, Function
from octavo.schema.live import generation
from octavo.store import phase
from octavo.store.phase import Phase
from octavo.text import some

if TYPE_CHECKING:
    from octavo.move.status import Status


WAIVABLE: Final = ("secrets", "backup")
"""the gates that a user may pass closed: the user judges what they guard"""


def cutover(
    sides: Sides,
    options: MoveOptions,
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


def look(sides: Sides, options: MoveOptions, progress: Progress = SILENT) -> tuple[list[Gate], list[str]]:
    """The gates, and what ends with PostgreSQL."""
    looking = Looking(pepper=options.pepper)
    unowned = _unowned(sides)
    found = status(DataBackend.DUAL, sides.vocabulary, sides.settings, looking, progress)
    return gates(found, unowned, options.waive), [*found.ending, *_defaults(sides.layout.datamodel)]


def _defaults(datamodel: Datamodel) -> list[str]:
    """The defaults that only PostgreSQL computes."""
    return [
        f"default {m.name}.{f.name}: dbgenerated, so that a new record must be given a value"
        for m in datamodel.models
        for f in m.scalars
        if not m.is_view and isinstance(f.default, Function) and f.default.name == "dbgenerated"
        if generation(m, f) is None
    ]


def _unowned(sides: Sides) -> list[str]:
    with closing(connect(sides.url)) as connection, transaction(connection, sides.url.schema, read_only=True):
        return fence.unowned(connection, sides.layout.datamodel)


class _Cutover(Move):
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
            report.gates, ending = look(sides, self.options, self.progress)
            told(f"{sum(gate.open for gate in report.gates)} of {len(report.gates)} open")
        report.notes += [f"ends with PostgreSQL: {what}" for what in ending]
        excluded = sides.layout.datamodel.excluded
        report.notes += [f"stays in PostgreSQL: {m.name}, which the layout excludes" for m in excluded]
        show(report.gates)
        return not (self.options.dry_run or report.closed)

    def run(self) -> None:
        following = phase.read(self.sides.data_dir).following is not None
        ahead = Ahead(
            self.url,
            self.sides.data_dir,
            self.layout,
            self.verifying,
            self.resting,
            self.progress,
            following,
        )
        with closing(ahead), ExitStack() as held:
            if following:
                self._catch_up("catch up ahead")
            self.verify_ahead(ahead, "nothing was switched")
            if not following:
                self.keep_writers_out(held)
            started = time.monotonic()
            try:
                self._freeze()
                if following:
                    # What follows needs the lock itself.
                    self._catch_up()
                    self.keep_writers_out(held)
                self.verify_rest(ahead, "nothing was switched")
                self._switch()
            except BaseException as error:
                # It has the tables locked.
                ahead.close()
                self._open_again(error)
                raise
            kept_out = time.monotonic() - started
        self.report.waited = max(kept_out, self.resting.longest)
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

    def _freeze(self) -> None:
        with self.step("freeze") as told:
            with phase.changing(self.sides.data_dir) as state:
                state.close("cutover")
            mark = self.mark("cutover", Stage.FROZEN)
            fence.put_up(self.url, self.layout.datamodel, mark, patience=self.options.patience)
            told(f"PostgreSQL takes no more writes to {len(self.layout.datamodel.tables)} tables")

    def _catch_up(self, step: str = "catch up") -> None:
        from octavo.follow.life import FollowOptions, catch_up

        with self.step(step) as told:
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


def gates(found: Status, unowned: Collection[str], waive: Collection[str] = ()) -> list[Gate]:
    """Every gate, as things stand.  ``unowned``: tables that could not be closed to writers; ``waive``: the
    gates to pass closed.  Raises UsageError for one that cannot be."""
    if unknown := sorted(set(waive) - set(WAIVABLE)):
        raise UsageError(f"the gate {unknown[0]} cannot be waived; these can: {', '.join(WAIVABLE)}")
    return [
        gate if gate.open or gate.name not in waive else replace(gate, waived=True)
        for gate in _gates(found, unowned)
    ]


def _gates(found: Status, unowned: Collection[str]) -> Iterator[Gate]:
    yield _sides(found)
    yield _verification(found)
    yield Gate(
        name="divergence",
        open=not found.divergences,
        reason=f"{len(found.divergences):,} known" if found.divergences else "none known",
        hint="octavo status --heal",
    )
    waiting = (found.in_doubt or found.lagging) and not found.writing
    yield Gate(
        name="doubt",
        open=not waiting,
        reason=f"{found.in_doubt:,} of {found.entries:,} journal entries wait to be told their fate"
        if waiting
        else "no change waits to be told whether it happened",
        hint="octavo status --heal",
    )
    yield from _following(found)
    yield from _checked(found)
    yield _backup(found)
    yield Gate(
        name="freeze",
        open=not unowned,
        reason=f"this user owns not {', '.join(sorted(unowned)[:3])}, and so cannot close them to writers"
        if unowned
        else "PostgreSQL can be closed to writers",
        hint="use the role in DATABASE_URL that owns the tables",
    )


def _sides(found: Status) -> Gate:
    reason = found.database or found.store or ""
    if not reason and found.standing is not State.STORE:
        reason = "the files have not been made yet"
    hint = "octavo export" if found.standing is not State.STORE and not found.database else ""
    return Gate(
        name="sides", open=not reason, reason=reason or "PostgreSQL and the files are there", hint=hint
    )


def _verification(found: Status) -> Gate:
    """A full verification has passed since the files were made.  Another one is made before the freeze, and
    what changes after it is verified then."""
    verified, hint = found.migration.verified, "octavo verify"
    if found.migration.following is not None:
        reason = "while the files follow, both sides are never at one moment: it is made before the freeze"
        return Gate(name="verification", open=True, reason=reason)
    if verified is None:
        return Gate(name="verification", open=False, reason="none since the files were made", hint=hint)
    if not verified.equal:
        reason = f"that of {verified.time} found {some(verified.differences, 'difference')}"
        return Gate(name="verification", open=False, reason=reason, hint=hint)
    reason = f"that of {verified.time}: {verified.records:,} records, equal; repeated before the freeze"
    return Gate(name="verification", open=True, reason=reason)


def _following(found: Status) -> Iterator[Gate]:
    """Following can go on, and no other process follows: the cutover catches up by itself."""
    if found.migration.following is None:
        return
    from octavo.follow.life import is_running

    behind = "" if found.lag is None else f", {found.lag:,} bytes of log behind"
    reason, hint = found.following, "octavo follow --replace"
    if not reason and is_running(found.data_dir):
        reason, hint = "octavo follow runs: the cutover catches up by itself", "end octavo follow"
    yield Gate(
        name="following", open=not reason, reason=reason or f"the files can catch up{behind}", hint=hint
    )


def _checked(found: Status) -> Iterator[Gate]:
    for item in found.checklist:
        if item.title == SECRETS_TITLE:
            hint = "set ENCRYPTION_MASTER_PEPPER; or --waive secrets, if there is no pepper any more"
            yield Gate(name="secrets", open=item.verdict is Verdict.GOOD, reason=item.reason, hint=hint)
    bad = [i for i in found.checklist if i.verdict is Verdict.BAD and i.of_data and i.title != SECRETS_TITLE]
    yield Gate(
        name="checklist",
        open=not bad,
        reason="; ".join(f"{item.title}: {item.reason}" for item in bad) or "nothing speaks against it",
        hint="octavo status, octavo doctor",
    )


def _backup(found: Status) -> Gate:
    backup, hint = found.migration.backup, "octavo backup; or --waive backup"
    if backup is None:
        return Gate(name="backup", open=False, reason="none since the files were made", hint=hint)
    if not os.path.isfile(backup.archive):
        return Gate(name="backup", open=False, reason=f"{backup.archive} is not there any more", hint=hint)
    return Gate(name="backup", open=True, reason=f"{backup.archive}, of {backup.time}")
