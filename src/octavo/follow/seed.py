"""The beginning: the files are made of the very snapshot from which on the slot sends what is committed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from msgspec.structs import replace

from octavo import migration
from octavo.backend import DataBackend
from octavo.errors import DatabaseError, OctavoError, UsageError
from octavo.follow import slot
from octavo.follow.protocol import position_text
from octavo.follow.standing import Plan, Position, forget_plan, read_plan, write_plan
from octavo.follow.stream import Slot, Stream
from octavo.follow.tables import Tables, place_of
from octavo.follow.watcher import Watcher
from octavo.layout.layout import Layout
from octavo.migrate.export import ExportOptions, ExportReport, export
from octavo.migration import Following
from octavo.postgres.connection import Connection, connect, join_snapshot, tables_locked
from octavo.postgres.failures import database_errors
from octavo.postgres.url import DatabaseUrl
from octavo.store import disk, position

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
        Tables(connection, url, layout)
        plan = slot.plan(connection, url, layout, stream.identify())
        write_plan(data_dir, plan)
        try:
            slot.make(connection, url, layout, plan)
            watcher.says("waiting for the transactions that are under way")
            with _made(url, layout, stream, plan) as made:
                chosen = dataclasses.replace(options, snapshot=made.snapshot, finish=_finisher(plan, made))
                report = export(url, data_dir, layout, chosen, watcher.progress)
        except BaseException:
            _take_back(url, data_dir, plan, stream)
            raise
    if report.kept is not None:
        # The old files are no part of this any more.
        forget_plan(report.kept)
    return report


@contextmanager
def _made(url: DatabaseUrl, layout: Layout, stream: Stream, plan: Plan) -> Iterator[Slot]:
    """A slot, and the tables as its snapshot shows them, for the length of a block.

    A table that was truncated or rewritten since would show through the snapshot as an empty one.  It cannot
    be locked before: the slot waits for all who write, and one of them may be about to truncate it.
    """
    schemas = layout.datamodel.datasource.schemas or (url.schema,)
    for _ in range(_TRIES):
        made = stream.create_slot(plan.slot)
        with tables_locked(url, schemas) as connection:
            with closing(join_snapshot(url, made.snapshot)) as seeing:
                is_same = _files(seeing, url, layout) == _files(connection, url, layout)
            if is_same:
                yield made
                return
        stream.drop_slot(plan.slot)
    raise DatabaseError(
        "again and again a table was truncated or rewritten just as following began", hint="run again"
    )


def _files(connection: Connection, url: DatabaseUrl, layout: Layout) -> list[tuple[int, int]]:
    """The files in which PostgreSQL has the tables: a table that is truncated or rewritten gets another."""
    places = [place_of(url, model) for model in layout.datamodel.tables]
    with database_errors(url, "looking at the tables"):
        return connection.execute(
            "SELECT c.oid::bigint, c.relfilenode::bigint"
            " FROM unnest(%s::text[], %s::text[]) AS p(schema, name)"
            " JOIN pg_catalog.pg_namespace n ON n.nspname = p.schema"
            " JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = p.name ORDER BY 1",
            [[schema for schema, _ in places], [name for _, name in places]],
        ).fetchall()


def _finisher(plan: Plan, made: Slot) -> Callable[[Path], None]:
    def finish(built: Path) -> None:
        """Let the folder say what it follows, before it is anybody's."""
        start = Position(slot=plan.slot, position=position_text(made.position))
        disk.write_file(built / position.NAME, start.encode().encode())
        write_plan(built, replace(plan, seeded=True))
        with migration.changing(built) as state:
            state.seeded("the files were made, and follow PostgreSQL")
            state.following = Following(slot=plan.slot, publication=plan.publication, since=migration.now())

    return finish


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
