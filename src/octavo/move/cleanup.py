"""The end of a move: the way back to PostgreSQL is given up, and what the move made there is removed."""

from __future__ import annotations

from octavo.errors import OctavoError, UsageError
from octavo.inspect.progress import Tell, untold
from octavo.move.sides import MoveReport, Sides, end_following, moving
from octavo.postgres import fence
from octavo.store import phase as migration
from octavo.store.phase import Phase


def cleanup(sides: Sides, *, tell: Tell = untold) -> MoveReport:
    """Say that the move is over.  The database's tables and rows stay as they are; it need not be there.

    Raises UsageError before a cutover, DiskError.
    """
    report = MoveReport(sides.data_dir)
    with moving(sides, "cleanup", fence.PATIENCE):
        state = migration.read(sides.data_dir)
        if not state.has_reached(Phase.CUTOVER):
            raise UsageError(
                "the files are not the backend of record yet: there is nothing to clean up",
                hint="octavo cutover comes first",
            )
        # Before PostgreSQL takes writes: rollback must not bring rows to a database that others change.
        with report.step("state", tell) as told:
            with migration.changing(sides.data_dir) as state:
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
