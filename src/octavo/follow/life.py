"""The life of following: begin from a snapshot, go on where it was, catch up, stop.

The files are made of the very snapshot from which on the slot sends what is committed.
"""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from octavo.backend import DataBackend
from octavo.errors import BusyError, OctavoError, UsageError, disk_errors
from octavo.fold.export import ExportOptions, ExportReport, export
from octavo.fold.target import State, refusal, state_of
from octavo.follow import slot
from octavo.follow.follower import Follower, Place
from octavo.follow.protocol import position_text
from octavo.follow.state import (
    LOCK,
    FollowReport,
    Plan,
    Position,
    Watcher,
    forget_plan,
    read_plan,
    read_position,
    require_plan,
    write_plan,
)
from octavo.follow.stream import Slot, Stopped, Stream
from octavo.follow.tables import Tables, place_of, read_marks, require_published, stored
from octavo.layout.layout import Layout
from octavo.postgres.connection import Rewritten, connect, join_snapshot
from octavo.postgres.failures import database_errors
from octavo.store import disk, phase, position
from octavo.store.lock import ProcessLock
from octavo.store.phase import Following
from octavo.store.store import Store
from octavo.url import DatabaseUrl

_TRIES = 20
"""how often a snapshot is taken, if a table is truncated or rewritten each time"""


@dataclass(frozen=True, slots=True)
class FollowOptions:
    """How to follow: payloads are looked for below ``files_root``; ``jobs`` connections read at once while
    the files are made; ``until_caught_up``: end when all that was committed before the start is there."""

    files_root: Path
    jobs: int = 2
    replace: bool = False
    until_caught_up: bool = False


def follow(
    url: DatabaseUrl,
    data_dir: Path,
    layout: Layout,
    options: FollowOptions,
    watcher: Watcher | None = None,
) -> FollowReport:
    """Make the files if there are none that follow, then keep them in step until the watcher says that it is
    over, or they have caught up.

    Raises UsageError (a store is there that does not follow; another process follows already; the server's
    settings), DriftError, DivergedError, DifferenceError, DatabaseError, DiskError.  Run again it goes
    on where it was.
    """
    started, watcher = time.monotonic(), watcher or Watcher()
    data_dir = data_dir.resolve()
    report = FollowReport(data_dir)
    refuse_of_record(data_dir)
    try:
        with _alone(data_dir) as take:
            plan = read_plan(data_dir)
            if plan is not None and not plan.seeded:
                # A process that had begun was killed.
                _remove(url, data_dir, plan)
                plan = None
            if options.replace or plan is None:
                if state_of(data_dir, layout) is State.STORE and not options.replace:
                    raise refusal(data_dir)
                chosen = ExportOptions(options.files_root, options.jobs, options.replace)
                report.replaced = _make_files(url, data_dir, layout, chosen, watcher).kept
                report.seeded = True
                # Another folder stands there now.
                take()
            _follow(url, layout, Place(data_dir, options.files_root), options, (watcher, report))
    except Stopped:
        pass
    except BaseException as error:
        if not isinstance(error, Exception):
            with suppress(OctavoError):
                error.add_note(_standing(data_dir))
        raise
    report.seconds = round(time.monotonic() - started, 3)
    return report


def _standing(data_dir: Path) -> str:
    """What the files follow, whatever was interrupted."""
    plan = read_plan(data_dir)
    if plan is not None and plan.seeded:
        return f"the files in {data_dir} follow PostgreSQL, and go on from here: octavo follow"
    if not data_dir.is_dir():
        return "nothing was put in place"
    return f"the files in {data_dir} follow no database: octavo follow --replace makes them anew"


def _follow(
    url: DatabaseUrl,
    layout: Layout,
    place: Place,
    options: FollowOptions,
    told: tuple[Watcher, FollowReport],
) -> None:
    watcher, report = told
    plan = require_plan(place.data_dir)
    report.slot = plan.slot
    watcher.following()
    with Store.open(place.data_dir, layout) as store:
        follower = Follower(url, layout, store, place, watcher)
        follower.run(plan, report, until_caught_up=options.until_caught_up)


def catch_up(
    url: DatabaseUrl,
    data_dir: Path,
    layout: Layout,
    options: FollowOptions,
    watcher: Watcher | None = None,
) -> FollowReport:
    """Carry over all that was committed until now, and end.  The files follow already, and go on to.

    Raises UsageError if they do not follow, or if ``octavo follow`` runs on them just now, and what
    :func:`follow` raises.
    """
    require_plan(data_dir.resolve())
    chosen = FollowOptions(options.files_root, options.jobs, until_caught_up=True)
    return follow(url, data_dir, layout, chosen, watcher)


def stop(url: DatabaseUrl, data_dir: Path) -> bool:
    """Follow no more: remove from the database what following has made there.  The files stay as they are.

    Whether there was anything to remove; stopping again does nothing.  Not to be called while the state of
    the move is being changed.  Raises UsageError if ``octavo follow`` runs on them, DatabaseError.
    """
    data_dir = data_dir.resolve()
    plan = _plan(data_dir)
    if plan is None:
        return False
    with _alone(data_dir):
        return _remove(url, data_dir, plan)


def _plan(data_dir: Path) -> Plan | None:
    """The plan; if it was lost with the cache, what the state of the move remembers of it."""
    plan, following = read_plan(data_dir), phase.read(data_dir).following
    if plan is None and following is not None:
        return Plan(
            slot=following.slot, publication=following.publication, system="", timeline=0, database=""
        )
    return plan


def is_running(data_dir: Path) -> bool:
    """Whether ``octavo follow`` runs on a data folder just now.  Raises DiskError."""
    lock = ProcessLock(os.fspath(data_dir.resolve() / LOCK), lambda: "")
    if not os.path.exists(lock.path):
        return False
    try:
        with closing(lock), disk_errors("taking the lock of who follows"):
            lock.acquire(0)
    except BusyError:
        return True
    return False


def lag(url: DatabaseUrl, data_dir: Path) -> int:
    """Bytes of PostgreSQL's log that are not in the files yet, as far as is known.

    Raises UsageError if the files follow nothing, DatabaseError if the slot is lost or cannot be asked for.
    """
    data_dir = data_dir.resolve()
    plan = require_plan(data_dir)
    position = read_position(data_dir, plan)
    with closing(connect(url)) as connection:
        slot.state(connection, plan)
        return slot.behind(connection, position.position)


@contextmanager
def _alone(data_dir: Path) -> Iterator[Callable[[], None]]:
    """Be the only one who follows, or stops to, on a data folder; the function that is given takes the lock
    of a folder that has been put in its place.  Raises UsageError."""
    with disk_errors("taking the lock of who follows"):
        disk.make_folder((data_dir / LOCK).parent)
    held: list[ProcessLock] = []

    def take() -> None:
        lock = ProcessLock(os.fspath(data_dir / LOCK), lambda: "")
        held.append(lock)
        try:
            with disk_errors("taking the lock of who follows"):
                lock.acquire(0)
        except BusyError as error:
            raise UsageError(f"octavo follow runs on {data_dir} already", hint="end it first") from error

    try:
        take()
        yield take
    finally:
        for lock in held:
            lock.close()


def _make_files(
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
            _remove(url, data_dir, left)
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
            # What the database does not let us remove is in the plan, for the next time.
            stream.close()
            with suppress(OctavoError):
                _remove(url, data_dir, plan)
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
        """Let the folder say what it follows, before it is put in place."""
        marks = _marks(url, layout, plan, made.snapshot)
        start = Position(slot=plan.slot, position=position_text(made.position))
        disk.write_file(built / position.NAME, start.encode().encode())
        write_plan(built, replace(plan, seeded=True, marks=marks))
        with phase.changing(built) as state:
            state.seeded("the files were made, and follow PostgreSQL")
            state.following = Following(slot=plan.slot, publication=plan.publication, since=phase.now())

    return finish


def _marks(url: DatabaseUrl, layout: Layout, plan: Plan, snapshot: str) -> dict[str, str]:
    """The marks of a snapshot from which on everything is sent.

    It waits for no table's lock: others may wait for those that the export holds.  Raises DriftError,
    DatabaseError.
    """
    places = [place_of(url, model) for model in layout.datamodel.tables]
    with closing(join_snapshot(url, snapshot)) as connection, database_errors(url, "looking at the tables"):
        published = [(table.schema, table.name) for table in stored(connection, url, layout)]
        require_published(connection, plan.publication, published)
        return dict(read_marks(connection, plan.publication, places))


def _remove(url: DatabaseUrl, data_dir: Path, made: Plan) -> bool:
    """Remove what was made in the database, and let the folder follow nothing; whether there was anything.

    Raises UsageError if the slot is in use, DatabaseError, DiskError, DamagedError.
    """
    removed = slot.remove(url, made)
    if phase.read(data_dir).following is not None:
        with phase.changing(data_dir) as state:
            state.following = None
    forget_plan(data_dir)
    return removed


def refuse_of_record(data_dir: Path) -> None:
    state = phase.read(data_dir)
    if state.backend is DataBackend.JSON:
        raise UsageError(
            f"the files in {data_dir} are the backend of record: they are not made anew from PostgreSQL",
            hint="octavo rollback goes back to PostgreSQL first",
        )
