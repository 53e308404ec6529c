"""The whole migration on sample data: each step done, timed and told."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from octavo.demo.sample import DEMO_PEPPER, load_sample
from octavo.errors import DifferenceError, UsageError, disk_errors
from octavo.fold.export import ExportOptions, export
from octavo.fold.inventory import generate_prisma_metadata, save_inventory
from octavo.fold.restore import restore
from octavo.fold.scaffold import scaffold
from octavo.inspect.progress import Progress, Step, timed
from octavo.layout.layout import Layout
from octavo.layout.load import frozen_layout
from octavo.move.proof import differing_files, prove
from octavo.move.verify import VerifyOptions, verify
from octavo.postgres.connection import connect, transaction
from octavo.postgres.embedded import embedded_server
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
    data_dir: Path
    files_root: Path
    steps: list[Step] = field(default_factory=list)
    pepper: str = DEMO_PEPPER

    @property
    def restored_files(self) -> Path:
        """Where the payloads were restored to."""
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
        return _done(_Demo(made, progress), messages)


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


def _done(demo: _Demo, messages: int) -> DemoReport:
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
    def __init__(self, folder: Path, progress: Progress) -> None:
        self.layout: Layout = frozen_layout()
        self.progress = progress
        self.report = DemoReport(folder, folder / "data", folder / "public")

    @contextmanager
    def step(self, name: str, doing: str) -> Iterator[Callable[[str], None]]:
        """Time a step; what it is told becomes the step's outcome."""
        self.progress.begin(doing, 0)
        with timed(self.report.steps, name) as told:
            yield told

    def steps_on(self, first: DatabaseUrl, second: DatabaseUrl, programs: Path, messages: int) -> None:
        """Everything between the server's start and its end."""
        data, files, layout = self.report.data_dir, self.report.files_root, self.layout
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
        with self.step("inventory", "taking inventory") as told:
            saved = save_inventory(generate_prisma_metadata(first, layout=layout), data)
            counts = saved.metadata["counts"]
            told(f"{sum(counts.values()):,} records of {len(counts)} models counted")
        with self.step("scaffold", "making folders") as told:
            made = scaffold(data, layout)
            told(f"{len(made.folders_made)} folders, {len(made.files_made)} empty files")
        with self.step("export", "exporting") as told:
            exported = export(first, data, layout, ExportOptions(files), self.progress)
            told(f"{sum(exported.counts.values()):,} rows in {exported.files:,} files")
        with self.step("verify", "verifying") as told:
            options = VerifyOptions(files, DEMO_PEPPER)
            checked = verify(first, data, layout, options, self.progress)
            if not checked.equal:
                raise DifferenceError(
                    f"verify found {some(checked.total, 'difference')} and "
                    f"{some(len(checked.violations), 'broken rule')}",
                    hint=f"they are named in {checked.report}",
                )
            told(f"equal, every field, both ways; all {checked.secrets:,} secrets hold")
        self._way_back(first, second, programs)

    def _way_back(self, first: DatabaseUrl, second: DatabaseUrl, programs: Path) -> None:
        data, layout = self.report.data_dir, self.layout
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
