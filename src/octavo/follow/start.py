"""The beginning: the files are made of the very snapshot from which on the slot sends what is committed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

from msgspec.structs import replace

from octavo.backend import DataBackend
from octavo.errors import OctavoError, UsageError
from octavo.fold.export import ExportOptions, ExportReport, export
from octavo.follow import slot, unsent
from octavo.follow.protocol import position_text
from octavo.follow.state import Plan, Position, forget_plan, read_plan, write_plan
from octavo.follow.stream import Slot, Stream
from octavo.follow.tables import Tables, place_of, stored
from octavo.follow.watcher import Watcher
from octavo.layout.layout import Layout
from octavo.postgres.connection import Rewritten, connect, join_snapshot
from octavo.postgres.failures import database_errors
from octavo.store import disk, position
from octavo.store import phase as migration
from octavo.store.phase import Following
from octavo.url import DatabaseUrl

_TRIES = 20
"""how often a snapshot is taken, if somebody truncates or rewrites a table each time"""


def seed(
    url: DatabaseUrl, data_dir: Path, layout: Layout, options: ExportOptions, watcher: Watcher
) -> ExportReport:
    """Make the files, and what following needs in the database.

    Either both are there afterwards, or neither; what a kill leaves in the database is in the plan.  Raises
    UsageError (the server's settings; the files are the backend of record), Stopped, and what an export
    raises.
    """
    refuse_of_record(data_dir)
    with closing(Stream(url, watcher.is_over)) as stream, closing(connect(url)) as connection:
        if (left := read_plan(data_dir)) is not None:
            slot.remove(url, left)
            forget_following(data_dir)
        slot.require(connection, url)
        # What the schema does not say is refused before anything is made.
        Tables(connection, url, layout)
        plan = slot.plan(connection, url, layout, stream.identify())
        write_plan(data_dir, plan)
        try:
            slot.make(connection, url, layout, plan)
            watcher.progress.begin("waiting for the transactions that are under way", 0)
            report = _from_slot(url, data_dir, layout, options, (stream, plan, watcher))
        except BaseException:
            _take_back(url, data_dir, plan, stream)
            raise
    if report.kept is not None:
        # The old files are no part of this any more.
        forget_plan(report.kept)
    return report


def _from_slot(
    url: DatabaseUrl,
    data_dir: Path,
    layout: Layout,
    options: ExportOptions,
    made_for: tuple[Stream, Plan, Watcher],
) -> ExportReport:
    """Make a slot, and the files of its snapshot.

    A table that was truncated or rewritten since would show through the snapshot as an empty one; then
    another slot is made.  Tables cannot be locked before: a slot waits for all who write, and one of them may
    be about to truncate one.
    """
    stream, plan, watcher = made_for
    for attempt in range(_TRIES):
        made = stream.create_slot(plan.slot)
        finish = _finisher(url, layout, plan, made)
        chosen = dataclasses.replace(options, snapshot=made.snapshot, finish=finish)
        try:
            return export(url, data_dir, layout, chosen, watcher.progress)
        except Rewritten:
            if attempt == _TRIES - 1:
                raise
            stream.drop_slot(plan.slot)
    raise AssertionError


def _finisher(url: DatabaseUrl, layout: Layout, plan: Plan, made: Slot) -> Callable[[Path], None]:
    def finish(built: Path) -> None:
        """Let the folder say what it follows, before it is anybody's."""
        marks = _marks(url, layout, plan, made.snapshot)
        start = Position(slot=plan.slot, position=position_text(made.position))
        disk.write_file(built / position.NAME, start.encode().encode())
        write_plan(built, replace(plan, seeded=True, marks=marks))
        with migration.changing(built) as state:
            state.seeded("the files were made, and follow PostgreSQL")
            state.following = Following(slot=plan.slot, publication=plan.publication, since=migration.now())

    return finish


def _marks(url: DatabaseUrl, layout: Layout, plan: Plan, snapshot: str) -> dict[str, str]:
    """The marks of a snapshot from which on everything is sent.

    It waits for no table's lock: others may wait for those that the export holds.  Raises DriftError,
    DatabaseError.
    """
    places = [place_of(url, model) for model in layout.datamodel.tables]
    with closing(join_snapshot(url, snapshot)) as connection, database_errors(url, "looking at the tables"):
        published = [(table.schema, table.name) for table in stored(connection, url, layout)]
        unsent.require_published(connection, plan.publication, published)
        return dict(unsent.read_marks(connection, plan.publication, places))


def _take_back(url: DatabaseUrl, data_dir: Path, plan: Plan, stream: Stream) -> None:
    """Remove what was made, if the database lets us; what it does not is in the plan, for the next time."""
    stream.close()
    with suppress(OctavoError):
        slot.remove(url, plan)
        forget_following(data_dir)


def forget_following(data_dir: Path) -> None:
    """Let a folder follow nothing.  Raises DiskError, DamagedError."""
    if migration.read(data_dir).following is not None:
        with migration.changing(data_dir) as state:
            state.following = None
    forget_plan(data_dir)


def refuse_of_record(data_dir: Path) -> None:
    state = migration.read(data_dir)
    if state.backend is DataBackend.JSON:
        raise UsageError(
            f"the files in {data_dir} are the backend of record: they are not made anew from PostgreSQL",
            hint="octavo rollback goes back to PostgreSQL first",
        )
