"""PostgreSQL → files, from one snapshot: built beside the data folder, synced, and put in place whole.

Each family of files is one task, or several slices of one.  Workers write them at once, each with a
connection of its own that reads the snapshot.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
from msgspec.structs import replace

from octavo.backend import DataBackend
from octavo.backends.gap import Seed, leave, seed_of
from octavo.errors import DatabaseError, DifferenceError, OctavoError, UsageError, disk_errors
from octavo.fold.parts import Part
from octavo.fold.sharing import PATIENCE, Facts, Outcome, Shared, Subject, clear, shared
from octavo.fold.source import Origin, Source, database_of, leave_origin, open_source
from octavo.fold.target import State, building, refusal, state_of
from octavo.fold.writer import Stopped, Task, Writer, Written, require_parents
from octavo.inspect.payloads import PayloadKeeper
from octavo.inspect.progress import SILENT, Progress
from octavo.layout.fold import Slice, unkeepable
from octavo.layout.layout import Kind, Layout
from octavo.postgres import fence
from octavo.postgres.connection import Connection, Queued, Snapshot, connect, read_snapshot
from octavo.postgres.drift import collapsed
from octavo.postgres.failures import database_errors
from octavo.schema.native import table_name
from octavo.schema.secrets import told as named_secrets
from octavo.store import phase
from octavo.store.identity import identity_files, require_same, write_identity
from octavo.store.intake import PayloadProblem
from octavo.store.lock import TIMEOUT
from octavo.store.payloads import is_incoming
from octavo.store.phase import Database
from octavo.store.system import SYSTEM, sync_all
from octavo.url import DatabaseUrl

if TYPE_CHECKING:
    from octavo.fold.seeding import Seeding

_WORTH_SLICING = 20_000
"""rows; fewer than these are one worker's task"""
_CANCEL_AGAIN = 0.1
"""seconds in which workers may give up by themselves before the server is told to make them, each time"""
_LOOK = 2.0
"""seconds between two looks at whether the work is still wanted"""


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """How to export: payloads are looked for below ``files_root``; ``jobs`` connections read at once; for the
    write lock of a store that is to be replaced, ``lock_timeout`` seconds are waited (None: for ever).

    ``snapshot`` is the id of one to read, where it is not to be a new one: who gives it takes care of what is
    written meanwhile.  ``finish`` is given the folder that was built, just before it is put in place.
    """

    files_root: Path
    jobs: int = 2
    replace: bool = False
    dry_run: bool = False
    lock_timeout: float | None = TIMEOUT
    snapshot: str | None = None
    finish: Callable[[Path], None] | None = None
    allow_drift: tuple[str, ...] = ()
    """the kinds of drift to waive, which those who work with the files waive too"""
    part: Part | None = None
    """the part of the files to write, where several processes share the export"""
    tell: Callable[[str], object] = lambda text: None
    """hears for which other parts this one is waiting"""
    patience: float = PATIENCE
    """seconds to wait for other parts that do not run"""


@dataclass
class ExportReport:
    """What an export did, or (a dry run) would do."""

    target: Path
    counts: dict[str, int]
    """rows by model"""
    dry_run: bool = False
    replaces: bool = False
    kept: Path | None = None
    """where the store that was replaced is now"""
    files: int = 0
    caught_up: int = 0
    """records that were written while the snapshot was copied, and were copied again"""
    payloads: int = 0
    """rows whose payload was kept"""
    payload_bytes: int = 0
    payload_problems: list[PayloadProblem] = field(default_factory=list)
    files_root_missing: bool = False
    settled: list[Path] = field(default_factory=list)
    """stores that an interrupted export had replaced, which have a name now"""
    notes: tuple[str, ...] = ()
    """what the catalog holds beside the schema that cannot hurt"""
    left_out: list[str] = field(default_factory=list)
    """the tables that the layout excludes, and the drift that is waived"""
    part: Part | None = None
    """the part that this process has written"""
    left_to: Part | None = None
    """the part that puts the store in place; then ``counts`` are of this part alone"""
    seconds: float = 0.0

    def take(self, outcome: Outcome) -> None:
        """Report what was written."""
        self.files = outcome.files
        self.payloads, self.payload_bytes = outcome.payloads, outcome.payload_bytes
        self.payload_problems = outcome.problems
        self.files_root_missing = outcome.files_root_missing


def export(
    url: DatabaseUrl,
    data_dir: Path,
    layout: Layout,
    options: ExportOptions,
    progress: Progress = SILENT,
) -> ExportReport:
    """Write the database into a data folder.

    Nothing is written unless everything can be: drift, a table or column that the schema does not know, rows
    hidden by row-level security and values that cannot be kept refuse the export.  A payload that cannot be
    read does not: it is reported.

    A store that is replaced may be in use.  What ``dual`` transactions commit meanwhile is in the new one,
    and their writers go on with that.  What ``json`` transactions commit is in the folder that is kept, and
    processes that have it open get an error at their next commit.

    With a ``part``, the first process that comes holds the snapshot, waits for all others and puts the store
    in place; the others end when they have written theirs (:mod:`octavo.fold.sharing`).

    Raises UsageError (a store is there already; SchemaMismatch if it has another schema), DriftError,
    DifferenceError (that store's journal cannot be emptied, too), BusyError (it is being written to),
    ConflictError (the part that held the snapshot has ended, or other parts are missing), DatabaseError,
    DiskError.
    """
    started = time.monotonic()
    data_dir = data_dir.resolve()
    state = _replaceable(data_dir, layout, options)
    if options.part is None:
        report = _export(url, data_dir, layout, options, progress, state, None)
        if not options.dry_run:
            clear(data_dir)
    elif options.dry_run:
        raise UsageError("a dry run writes nothing, so it has no parts")
    else:
        with shared(data_dir, options.part, options.tell) as meeting:
            if meeting.facts is None:
                # The export that this part was to join may have put its store in place meanwhile.
                state = _replaceable(data_dir, layout, options)
                report = _export(url, data_dir, layout, options, progress, state, meeting)
            else:
                report = _join(url, layout, options, progress, meeting, meeting.facts)
    report.part, report.seconds = options.part, time.monotonic() - started
    return report


def _replaceable(data_dir: Path, layout: Layout, options: ExportOptions) -> State:
    """What stands there now.  Raises UsageError for a store that is not to be replaced, DiskError."""
    state = state_of(data_dir, layout)
    if state is State.STORE and not options.replace:
        require_same(data_dir, layout)
        raise refusal(data_dir)
    return state


def _export(
    url: DatabaseUrl,
    data_dir: Path,
    layout: Layout,
    options: ExportOptions,
    progress: Progress,
    state: State,
    meeting: Shared | None,
) -> ExportReport:
    with ExitStack() as stack:
        if options.replace and not options.dry_run:
            # No cutover may make the files of record that are about to be replaced.
            stack.enter_context(phase.alone(data_dir, "export", options.lock_timeout))
        _refuse_by_state(data_dir)
        seeding = None
        is_followed = options.snapshot is not None
        if options.replace and state is not State.NOTHING and not options.dry_run and not is_followed:
            # It brings the application's backends; the first export needs none.
            from octavo.fold.seeding import Seeding

            seeding = stack.enter_context(
                Seeding(url, data_dir, layout, options.files_root, options.lock_timeout)
            )
        cut = seeding.cut() if seeding else None
        source = stack.enter_context(
            open_source(url, layout, cut, snapshot=options.snapshot, allow=options.allow_drift)
        )
        source.drift.raise_if_any()
        mark = fence.read_mark(source.snapshot.connection)
        if state is State.STORE and mark is not None and mark.may_be_moved:
            raise _of_record(data_dir)
        counts = source.counts(layout.datamodel)
        _refuse_unkeepable(source, layout)
        with database_errors(url, "looking for rows without a parent"):
            # Writing the logs of parents meets those that are missing.
            of_logs = options.dry_run or meeting is not None
            require_parents(source.snapshot.connection, layout, of_logs=of_logs)
        report = ExportReport(
            data_dir,
            counts,
            dry_run=options.dry_run,
            replaces=state is State.STORE,
            notes=(
                *collapsed(source.drift.notes),
                *source.orphans(layout),
                *filter(None, [named_secrets(layout.datamodel)]),
            ),
            left_out=[*source.drift.waived, *source.left_out(layout)],
        )
        if not options.dry_run:
            resolve = seeding.resolve if seeding else None
            with building(data_dir, layout, lock_timeout=options.lock_timeout, resolve=resolve) as built:
                report.settled = built.settled
                here = database_of(source.snapshot.connection, url)
                writer = Writer(PayloadKeeper(layout, options.files_root, built.path), progress.advance)
                if meeting is None:
                    jobs = options.jobs if source.snapshot.shareable else 1
                    tasks = [task for _, task in _sized(layout, counts, jobs)]
                    progress.begin("export", sum(_top_level(layout, counts).values()))
                    outcome = _write(source.snapshot, writer, tasks, options.jobs)
                else:
                    outcome = _hold(source.snapshot, writer, options, progress, meeting, here, counts)
                _compare_counts(layout, counts, outcome.rows)
                report.take(outcome)
                progress.begin("sync", 0)
                leave_origin(built.path, Origin(database=here, allowed=options.allow_drift), synced=False)
                write_identity(built.path, identity_files(layout, live=source.drift.live), synced=False)
                left = seed_of(source.snapshot.connection, counts)
                if left is not None:
                    leave(built.path, left, synced=False)
                if seeding is not None:
                    seeding.catch_up(built.path)
                report.kept = built.put_in_place(
                    replace=options.replace,
                    last=partial(_finish, report, (seeding, left), options.finish),
                )
    return report


def _of_record(data_dir: Path, since: str = "") -> UsageError:
    return UsageError(
        f"the files in {data_dir} are the backend of record{since}:"
        " PostgreSQL has only what was there before",
        hint="octavo rollback brings the data back to PostgreSQL first",
    )


def _refuse_by_state(data_dir: Path) -> None:
    state = phase.read(data_dir)
    if state.backend is DataBackend.JSON:
        raise _of_record(data_dir, f" since {state.since}")
    if state.following is not None:
        raise UsageError(
            f"the files in {data_dir} follow PostgreSQL",
            hint="octavo follow --replace makes them anew; octavo follow --stop ends it first",
        )


def _finish(
    report: ExportReport,
    under_way: tuple[Seeding | None, Seed | None],
    finish: Callable[[Path], None] | None,
    built: Path,
) -> None:
    """What is left to do when the store that is to be replaced is closed to writers."""
    seeding, left = under_way
    if seeding is not None:
        seeding.finish(built)
        report.counts = {model: n + seeding.more[model] for model, n in report.counts.items()}
        if left is not None and seeding.copied:
            leave(built, replace(left, counts=report.counts))
        report.caught_up = seeding.copied
        report.payload_problems += seeding.problems
    if phase.has_begun(built):
        with phase.changing(built) as kept:
            kept.seeded(f"export: {sum(report.counts.values())} rows")
    if finish is not None:
        finish(built)


def _hold(
    snapshot: Snapshot,
    writer: Writer,
    options: ExportOptions,
    progress: Progress,
    meeting: Shared,
    here: Database,
    counts: dict[str, int],
) -> Outcome:
    """Write the first part that came, and wait for the others."""
    if snapshot.id is None:
        raise DatabaseError("this server cannot share a snapshot between connections, so there are no parts")
    part, built = meeting.part, writer.root
    facts = Facts(
        of=part.of,
        subject=Subject.of_layout(here, writer.layout),
        snapshot=snapshot.id,
        building=built.name,
        holder=part.number,
        jobs=options.jobs,
        counts=counts,
    )

    def is_alive() -> None:
        with database_errors(snapshot.url, "holding the snapshot"):
            snapshot.connection.execute("SELECT 1")

    with meeting.announce(facts):
        progress.begin("export", 0)
        own = _write(snapshot, writer, _part_of(writer.layout, facts, part), options.jobs)
        progress.begin("waiting for the other parts", 0)
        gathered = meeting.gather(own, built.name, is_alive, options.tell, options.patience)
    found = Outcome.of_all(gathered)
    with disk_errors("removing what killed parts have left"):
        for name in os.listdir(built / writer.layout.payload_folder) if writer.layout.payload_folder else ():
            if is_incoming(name):
                (built / writer.layout.payload_folder / name).unlink()
    return found


def _join(
    url: DatabaseUrl,
    layout: Layout,
    options: ExportOptions,
    progress: Progress,
    meeting: Shared,
    facts: Facts,
) -> ExportReport:
    """Write another part than the first."""
    part, built = meeting.part, meeting.target.with_name(facts.building)
    with closing(connect(url)) as connection:
        facts.subject.require(part, Subject.of_layout(database_of(connection, url), layout))
    schemas = layout.datamodel.datasource.schemas or (url.schema,)
    try:
        with read_snapshot(url, schemas=schemas, snapshot=facts.snapshot) as snapshot:
            writer = Writer(PayloadKeeper(layout, options.files_root, built), progress.advance)
            tasks = _part_of(layout, facts, part)
            if meeting.begin():
                with (
                    disk_errors("removing what a killed part has left"),
                    database_errors(url, "reading names"),
                ):
                    for task in tasks:
                        writer.clear(snapshot.connection, task)
            progress.begin("export", 0)
            outcome = _write(snapshot, writer, tasks, options.jobs, meeting.require_holder)
        with disk_errors("syncing the export"):
            sync_all(SYSTEM, str(built))
        meeting.leave(outcome)
    except OctavoError:
        meeting.remove_given_up()
        meeting.require_holder()
        raise
    report = ExportReport(meeting.target, outcome.rows, left_to=Part(facts.holder, part.of))
    report.take(outcome)
    return report


def _part_of(layout: Layout, facts: Facts, part: Part) -> list[Task]:
    """The tasks of a part: each of the tasks, the largest first, goes to the part that has least to do."""
    shares: list[tuple[int, int, list[Task]]] = [(0, number, []) for number in range(part.of)]
    for size, task in _sized(layout, facts.counts, part.of * facts.jobs):
        done, number, tasks = min(shares)
        tasks.append(task)
        shares[number] = (done + size + 1, number, tasks)
    return shares[part.number - 1][2]


def _write(
    snapshot: Snapshot,
    writer: Writer,
    tasks: list[Task],
    jobs: int,
    look: Callable[[], object] = lambda: None,
) -> Outcome:
    """Run tasks, each worker with a connection of its own that sees the snapshot.

    ``look`` is called now and then; it raises if they need not be run any more.
    """
    jobs = max(1, jobs) if snapshot.shareable else 1
    failed, url = writer.failed, snapshot.url
    errors: list[BaseException] = []

    with ExitStack() as stack:
        connections = [snapshot.connection]
        # A worker that would have to wait for a session that waits for this one is done without.
        with suppress(Queued):
            for _ in range(min(jobs, len(tasks)) - 1):
                # Closing does not wait; the connection's own block would, for its lock and the server.
                connections.append(stack.enter_context(closing(snapshot.join())))
        if url.socket and len(connections) >= (os.cpu_count() or 1):
            # These keep every processor busy: PostgreSQL's own parallel workers would only contend for them.
            with database_errors(url, "reading rows"):
                for connection in connections:
                    connection.execute(b"SET LOCAL max_parallel_workers_per_gather = 0")
        free = list(connections)

        def run(task: Task) -> Written:
            if failed.is_set():
                raise Stopped
            connection = free.pop()
            try:
                with disk_errors("writing the export"), database_errors(url, "reading rows"):
                    return writer.write(connection, task)
            except BaseException as error:
                # What fails later may only have been given up because of the first.
                errors.append(error)
                failed.set()
                raise
            finally:
                free.append(connection)

        with ThreadPoolExecutor(len(connections), thread_name_prefix="export") as pool:
            futures = [pool.submit(run, task) for task in tasks]
            try:
                while wait(futures, _LOOK, FIRST_EXCEPTION).not_done and not failed.is_set():
                    look()
            except BaseException:
                failed.set()
                raise
            finally:
                # A query that a worker was just about to send has not heard of the cancelling before.
                while failed.is_set() and wait(futures, timeout=_CANCEL_AGAIN).not_done:
                    _cancel(connections)
        if errors:
            raise errors[0]
        return _outcome(writer, [f.result() for f in futures])


def _outcome(writer: Writer, written: list[Written]) -> Outcome:
    rows: Counter[str] = Counter()
    for task in written:
        rows.update(task.rows)
    keeper = writer.keeper
    return Outcome(
        rows=dict(rows),
        files=sum(task.files for task in written),
        payloads=keeper.kept,
        payload_bytes=keeper.size,
        problems=sorted(keeper.problems, key=lambda problem: (problem.model, problem.key)),
        files_root_missing=keeper.root_missing,
    )


def _cancel(connections: Iterable[Connection]) -> None:
    for connection in connections:
        try:
            connection.cancel_safe(timeout=5)
        except psycopg.Error:
            connection.close()


def _sized(layout: Layout, counts: dict[str, int], parts: int) -> list[tuple[int, Task]]:
    """All tasks with their rows, the largest first; those with one log per parent in so many slices."""
    sized: list[tuple[int, Task]] = []
    for family in layout.families:
        rows = sum(counts[p.model.name] for p in family.places)
        slices = parts if family.kind is Kind.LOG_PER_PARENT and rows >= _WORTH_SLICING else 1
        sized += [(rows // slices, Task(family, Slice(n, slices))) for n in range(slices)]
    return sorted(sized, key=lambda item: -item[0])


def _top_level(layout: Layout, counts: dict[str, int]) -> dict[str, int]:
    return {p.model.name: counts[p.model.name] for p in layout.places if p.kind is not Kind.EMBEDDED}


def _compare_counts(layout: Layout, counts: dict[str, int], rows: dict[str, int]) -> None:
    expected = _top_level(layout, counts)
    if wrong := [f"{m}: {n} rows, {rows.get(m, 0)} written" for m, n in expected.items() if rows.get(m) != n]:
        raise DatabaseError("the export is not complete: " + "; ".join(wrong))


def _refuse_unkeepable(source: Source, layout: Layout) -> None:
    found: list[str] = []
    for place in layout.places:
        tests = unkeepable(layout, place)
        if not tests:
            continue
        counted = ", ".join(f"count(*) FILTER (WHERE {condition})" for _, _, condition in tests)
        query = f"SELECT {counted} FROM {table_name(place.model)} AS t"
        with database_errors(source.snapshot.url, "looking for values that cannot be kept"):
            row = source.snapshot.connection.execute(query.encode()).fetchone() or ()
        found += [
            f"{place.model.name}.{name}: {n} rows ({reason})"
            for (name, reason, _), n in zip(tests, row, strict=True)
            if n
        ]
    if found:
        raise DifferenceError("values that no file here can keep: " + "; ".join(found))
