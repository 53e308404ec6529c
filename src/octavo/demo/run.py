"""The whole migration on sample data: each step done, timed and told.

With ``--live``, an application goes on writing meanwhile, there and back again, and nothing acknowledged is
lost.  It is real processes (:mod:`octavo.demo.application`), started with a flag as one would be, which note
every write that was acknowledged.  At the end PostgreSQL is asked for each of them.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import octavo
from octavo.backend import DataBackend, Settings
from octavo.care.backup import back_up, schema_of
from octavo.demo.application import SENT_AWAY, lost
from octavo.demo.sample import DEMO_PEPPER, load_sample
from octavo.errors import DifferenceError, OctavoError, UsageError, disk_errors
from octavo.fold.export import ExportOptions, export
from octavo.fold.inventory import generate_prisma_metadata, save_inventory
from octavo.fold.restore import restore
from octavo.fold.scaffold import scaffold
from octavo.follow.life import FollowOptions, follow
from octavo.inspect.progress import Progress, Step, Tell, timed, untold
from octavo.layout.load import frozen_layout
from octavo.move.cutover import cutover
from octavo.move.proof import differing_files, prove
from octavo.move.rollback import rollback
from octavo.move.sides import MoveOptions, MoveReport, Sides
from octavo.move.verify import VerifyOptions, verify
from octavo.postgres.connection import connect, transaction
from octavo.postgres.embedded import LOGICAL, embedded_server
from octavo.query.vocabulary import Vocabulary
from octavo.schema.ddl import ddl
from octavo.schema.native import literal, quote, table_name
from octavo.store.disk import make_folder
from octavo.text import some
from octavo.url import DatabaseUrl

if TYPE_CHECKING:
    from octavo.schema.datamodel import Model


@dataclass
class DemoReport:
    """What the demo did and where it left things."""

    folder: Path
    steps: list[Step] = field(default_factory=list)
    acknowledged: int = 0
    """writes of the application"""

    @property
    def data_dir(self) -> Path:
        return self.folder / "data"

    @property
    def files_root(self) -> Path:
        return self.folder / "public"

    @property
    def restored_files(self) -> Path:
        return self.folder / "public-restored"

    @property
    def seconds(self) -> float:
        return sum(step.seconds for step in self.steps)


def run_demo(folder: Path, messages: int, progress: Progress) -> DemoReport:
    """Run every step, leaving ``data/``, ``public/`` and the restored payloads in ``folder``.

    Raises UsageError if the folder is there and not empty, and what the steps raise.  If it is interrupted,
    nothing is left.
    """
    with new_folder(folder) as made:
        return _done(_Whole(made, progress), messages)


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Make the folder; if what is done in it is interrupted, it is gone again.

    Raises UsageError if it is there and not empty.
    """
    with disk_errors("making the demo's folder"):
        if os.path.lexists(folder) and (not folder.is_dir() or any(folder.iterdir())):
            hint = "name another folder with --keep, or remove it"
            raise UsageError(f"{folder} exists already", hint=hint)
        make_folder(folder)
    made = folder.resolve()
    try:
        yield made
    except (KeyboardInterrupt, SystemExit):
        shutil.rmtree(made, ignore_errors=True)
        raise


def _done(demo: _Whole, messages: int) -> DemoReport:
    with demo.step("server", "starting PostgreSQL") as told, embedded_server() as server:
        first, second = (server.create_database(name) for name in ("application", "restored"))
        told("an embedded PostgreSQL")
        demo.steps_on(DatabaseUrl.parse(first), DatabaseUrl.parse(second), server.bin, messages)
    # The server's own step ended last, but came first, and held all the others.
    *others, outer = demo.report.steps
    own = round(outer.seconds - sum(step.seconds for step in others), 3)
    demo.report.steps = [Step(outer.name, outer.outcome, own), *others]
    return demo.report


class _Demo:
    def __init__(self, folder: Path, progress: Progress, tell: Tell = untold) -> None:
        self.layout, self.progress, self.tell = frozen_layout(), progress, tell
        self.report = DemoReport(folder)
        self.data, self.files = self.report.data_dir, self.report.files_root

    @contextmanager
    def step(self, name: str, doing: str) -> Iterator[Callable[[str], None]]:
        """Time a step; what it is told becomes the step's outcome."""
        self.progress.begin(doing, 0)
        with timed(self.report.steps, name, self.tell) as told:
            yield told

    def take_inventory(self, url: DatabaseUrl) -> None:
        with self.step("inventory", "taking inventory") as told:
            saved = save_inventory(generate_prisma_metadata(url, layout=self.layout), self.data)
            counts = saved.metadata["counts"]
            told(f"{sum(counts.values()):,} records of {len(counts)} models counted")

    def make_folders(self) -> None:
        with self.step("scaffold", "making folders") as told:
            made = scaffold(self.data, self.layout)
            told(f"{len(made.folders_made)} folders, {len(made.files_made)} empty files")

    def verify(self, url: DatabaseUrl) -> None:
        with self.step("verify", "verifying") as told:
            options = VerifyOptions(self.files, DEMO_PEPPER)
            found = verify(url, self.data, self.layout, options, self.progress)
            if not found.equal:
                raise DifferenceError(
                    f"verify found {some(found.total, 'difference')} and "
                    f"{some(len(found.violations), 'broken rule')}",
                    hint=f"they are named in {found.report}",
                )
            told(f"equal, every field, both ways; all {found.secrets:,} secrets hold")


class _Whole(_Demo):
    """There and back, and the proof that nothing has changed on the way."""

    def steps_on(self, first: DatabaseUrl, second: DatabaseUrl, programs: Path, messages: int) -> None:
        """Everything between the server's start and its end."""
        data, files, layout = self.data, self.files, self.layout
        with self.step("sample", "loading sample data") as told:
            self.progress.begin("loading sample data", messages, "messages")
            with connect(first) as connection:
                connection.execute(ddl(layout.datamodel).script().encode())
                loaded = 0

                def hear(number: int) -> None:
                    nonlocal loaded
                    self.progress.advance(number - loaded)
                    loaded = number

                summary = load_sample(connection, files, messages=messages, progress=hear)
            told(f"{summary.rows:,} rows of {len(summary.counts)} models, {summary.payloads} payloads")
        self.take_inventory(first)
        self.make_folders()
        with self.step("export", "exporting") as told:
            exported = export(first, data, layout, ExportOptions(files), self.progress)
            told(f"{sum(exported.counts.values()):,} rows in {exported.files:,} files")
        self.verify(first)
        self._way_back(first, second, programs)

    def _way_back(self, first: DatabaseUrl, second: DatabaseUrl, programs: Path) -> None:
        data, layout = self.data, self.layout
        again = self.report.restored_files
        with self.step("restore", "restoring") as told:
            restored = restore(second, data, layout, again, self.progress)
            rows = sum(restored.counts.values())
            told(f"{rows:,} rows and {restored.payloads} payloads, into a second database")
        with self.step("proof", "dumping both") as told:
            proof = prove(first, second, programs, datamodel=layout.datamodel)
            if not proof.equal:
                raise DifferenceError(f"the dumps differ: {'; '.join(proof.findings[:3])}")
            twin = self.report.folder / ".again"
            export(second, twin, layout, ExportOptions(again), self.progress)
            if differing := differing_files(data, twin):
                raise DifferenceError(f"the second export differs: {differing[0]}")
            shutil.rmtree(twin)
            told("pg_dump of both: equal; the second exported: same bytes")
        with self.step("write", "writing to the restored database") as told:
            _write_a_row(second, layout.datamodel.tables[0])
            told("the restored database takes new rows")


def _write_a_row(url: DatabaseUrl, model: Model) -> None:
    """Copy a row under a new key: defaults and uniques of the restored database are at work."""
    fresh = {f.name for f in model.key_fields} | {n for u in model.uniques for n in u.field_names}
    texts = [f"{quote(f.column)} || '-new'" if f.name in fresh else quote(f.column) for f in model.scalars]
    columns = ", ".join(quote(f.column) for f in model.scalars)
    table = table_name(model)
    with connect(url) as connection, transaction(connection, url.schema):
        done = connection.execute(
            f"INSERT INTO {table} ({columns}) SELECT {', '.join(texts)} FROM {table} LIMIT 1".encode()
        )
        if done.rowcount != 1:
            raise DifferenceError(f"the restored database took no new row in {literal(model.table)}")


WRITERS = 2
"""processes of the application"""
_WHILE = 1.5
"""seconds in which the application writes by itself, between two steps"""
_PATIENCE = 60.0


class Application:
    """The processes that write, all with one flag."""

    def __init__(self, folder: Path, url: str, data: Path) -> None:
        self._folder, self._url, self._data = folder, url, data
        self._running: list[subprocess.Popen[bytes]] = []
        self.ledgers = [folder / f"acknowledged-{number}.jsonl" for number in range(1, WRITERS + 1)]
        self.log = folder / "application.log"

    def start(self, backend: DataBackend) -> None:
        """Let them write, until :meth:`stop`."""
        environment = {
            **os.environ,
            "DATA_BACKEND": backend,
            "DATABASE_URL": self._url,
            "DATA_DIR": str(self._data),
            "DUAL_SAMPLE": "0.05",
        }
        program = [sys.executable, "-m", "octavo.demo.application"]
        with open(self.log, "ab") as log:
            self._running = [
                subprocess.Popen([*program, str(ledger), str(number)], env=environment, stderr=log)
                for number, ledger in enumerate(self.ledgers, 1)
            ]
        # They are writing when this is over, not still importing.
        before, end = self.written(), time.monotonic() + _PATIENCE
        while any(now == old for now, old in zip(self.written(), before, strict=True)):
            if time.monotonic() > end or any(p.poll() not in (None, 0) for p in self._running):
                raise DifferenceError("the application does not write", hint=f"see {self.log}")
            time.sleep(0.02)

    def stop(self) -> bool:
        """End them, each after its last write; whether they were told to use another flag."""
        for process in self._running:
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
        codes = {process.wait(_PATIENCE) for process in self._running}
        self._running = []
        if codes - {0, SENT_AWAY}:
            raise DifferenceError(f"the application failed (exit codes {codes})", hint=f"see {self.log}")
        return SENT_AWAY in codes

    def kill(self) -> None:
        """End them as ``kill -9`` does, in the middle of whatever they do."""
        for process in self._running:
            process.kill()
            process.wait(_PATIENCE)
        self._running = []

    def written(self) -> list[int]:
        """How many writes of each were acknowledged."""
        said = [ledger.read_bytes() if ledger.exists() else b"" for ledger in self.ledgers]
        return [text.count(b"\n") - text.count(b'"acknowledged":false') for text in said]


def run_live(
    folder: Path, messages: int, progress: Progress, tell: Tell, *, following: bool = False
) -> DemoReport:
    """Do all of it in an empty folder; ``tell`` is given each step.

    With ``following``, the files are kept in step by PostgreSQL's log, and until the cutover the application
    knows nothing of them.  Raises what the steps raise.
    """
    with embedded_server(settings=LOGICAL if following else ()) as server:
        url = server.create_database("application")
        live = (_Followed if following else _Live)(folder, url, progress, tell)
        try:
            live.run(messages)
        finally:
            with suppress(OctavoError, subprocess.TimeoutExpired):
                live.application.stop()
    return live.report


class _Live(_Demo):
    """There and back while an application writes."""

    def __init__(self, folder: Path, url: str, progress: Progress, tell: Tell) -> None:
        super().__init__(folder, progress, tell)
        self.url, self.database = url, DatabaseUrl.parse(url)
        settings = Settings(database_url=url, data_dir=self.data, layout=None)
        self.sides = Sides(Vocabulary(self.layout.datamodel), settings)
        self.application = Application(folder, url, self.data)

    @contextmanager
    def step(self, name: str, doing: str) -> Iterator[Callable[[str], None]]:
        """The same, with how much was written meanwhile."""
        with super().step(name, doing) as told:
            before = sum(self.application.written())
            yield told
            if written := sum(self.application.written()) - before:
                told(f"  ({written:,} writes meanwhile)")

    def run(self, messages: int) -> None:
        """From PostgreSQL to the files and back."""
        with self.step("sample", "loading sample data") as told:
            with closing(connect(self.database)) as connection:
                connection.execute(ddl(self.layout.datamodel).script().encode())
                summary = load_sample(connection, self.files, messages=messages)
            told(f"{summary.rows:,} rows of {len(summary.counts)} models in PostgreSQL")
        self._start(DataBackend.PRISMA)
        self.take_inventory(self.database)
        self.make_folders()
        self._keep_in_step()
        with self.step("backup", "backing up") as told:
            saved = back_up(self.data, self.layout, None, schema_of(None))
            told(f"{len(saved.manifest.files):,} files, while it writes")
        self._cut_over()
        self._start(DataBackend.JSON)
        with self.step("kill -9", "killing the application") as told:
            self.application.kill()
            told("every process of the application, in the middle of its writes")
        self._start(DataBackend.JSON)
        self._roll_back()
        self._start(DataBackend.DUAL)
        with self.step("end", "ending the application") as told:
            self.application.stop()
            told("the application has ended")
        self.verify(self.database)
        self._account()

    def _start(self, backend: DataBackend) -> None:
        with self.step("application", "starting the application") as told:
            self.application.start(backend)
            time.sleep(_WHILE)
            told(f"writes with DATA_BACKEND={backend}, {WRITERS} processes")

    def _keep_in_step(self) -> None:
        """Make the files, and keep them in step."""
        with self.step("export", "exporting") as told:
            done = export(self.database, self.data, self.layout, ExportOptions(self.files), self.progress)
            told(f"{sum(done.counts.values()):,} rows, from one snapshot")
        self.application.stop()
        self._start(DataBackend.DUAL)
        with self.step("seed", "exporting again") as told:
            options = ExportOptions(self.files, replace=True)
            done = export(self.database, self.data, self.layout, options, self.progress)
            told(f"{sum(done.counts.values()):,} rows; each write since is in both")
        self.verify(self.database)

    def _cut_over(self) -> None:
        with self.step("cutover", "cutting over") as told:
            done = cutover(
                self.sides, MoveOptions(files_root=self.files, pepper=DEMO_PEPPER), progress=self.progress
            )
            _require(done)
            told(f"{len(done.gates)} gates open, frozen, verified: the files are of record")
        with self.step("told", "waiting for the application") as told:
            if not self.application.stop():
                raise DifferenceError("the application was not told that the files are of record")
            told("the application was told, and ended, to be started with DATA_BACKEND=json")

    def _roll_back(self) -> None:
        with self.step("rollback", "rolling back") as told:
            done = rollback(
                self.sides, MoveOptions(files_root=self.files, pepper=DEMO_PEPPER), progress=self.progress
            )
            _require(done)
            rows = sum(sum(counts.values()) for counts in done.changes.values())
            told(f"{rows:,} rows carried back, verified: PostgreSQL is of record")
        if not self.application.stop():
            raise DifferenceError("the application was not told that PostgreSQL is of record")

    def _account(self) -> None:
        """Ask for everything that was acknowledged."""
        with (
            self.step("account", "asking for every write") as told,
            octavo.connect(backend=DataBackend.PRISMA, database_url=self.url, data_dir=self.data) as db,
        ):
            number, gone = lost(db, self.application.ledgers)
            if gone:
                raise DifferenceError(f"{len(gone)} of {number} acknowledged writes are lost")
            self.report.acknowledged = number
            told(f"{number:,} writes were acknowledged on the way; every one is there")


class _Followed(_Live):
    """The same with an application that goes on writing to PostgreSQL alone until the cutover."""

    def _keep_in_step(self) -> None:
        options = FollowOptions(self.files, until_caught_up=True)
        with self.step("follow", "following") as told:
            done = follow(self.database, self.data, self.layout, options)
            told(f"from one snapshot, then {done.transactions:,} transactions by PostgreSQL's log")
        time.sleep(_WHILE)
        with self.step("follow", "following") as told:
            done = follow(self.database, self.data, self.layout, options)
            told(f"{done.transactions:,} transactions since: caught up")


def _require(report: MoveReport) -> None:
    if not report.done:
        closed = "; ".join(f"{gate.name}: {gate.reason}" for gate in report.closed)
        raise DifferenceError(f"a gate is closed: {closed}")
