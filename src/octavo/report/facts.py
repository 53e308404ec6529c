"""What a report shows, gathered: files, counts, the last verification, the inventories, the state of a move.

Nothing of a record's values is read into it: names, numbers, sizes, times, and of a verification's
differences the keys and fields.  What cannot be read is a problem that the report shows; it never keeps the
report from being made.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from octavo import __version__, migration
from octavo.errors import DamagedError, OctavoError, disk_errors
from octavo.layout.layout import Layout
from octavo.layout.live import live_records
from octavo.layout.reader import Contents, Reader, contents, payload_files
from octavo.migrate.inventory import read_baseline, schema_facts
from octavo.migrate.progress import SILENT, Progress
from octavo.migration import Migration
from octavo.postgres.url import DatabaseUrl

_CACHE = "cache"
_VERIFICATIONS = "verification-*.jsonl"
_INVENTORIES = "prisma-metadata-*.json"
_SHOWN = 50
"""differences that are named one by one"""


@dataclass(frozen=True, slots=True)
class Holding:
    """The files of one family: how many there are, and their bytes."""

    path: str
    files: int
    size: int


@dataclass(frozen=True, slots=True)
class Store:
    """The files of a data folder, and how many records of each model they hold."""

    holdings: tuple[Holding, ...]
    """in the layout's order"""
    payloads: Holding | None
    counts: Mapping[str, int]
    strays: int = 0
    """files that belong to nothing"""

    @property
    def size(self) -> int:
        """Bytes, payloads included."""
        return sum(h.size for h in self.holdings) + (self.payloads.size if self.payloads else 0)

    @property
    def files(self) -> int:
        return sum(h.files for h in self.holdings) + (self.payloads.files if self.payloads else 0)

    @property
    def records(self) -> int:
        return sum(self.counts.values())


@dataclass(frozen=True, slots=True)
class Verification:
    """The last full verification.  Where its report is gone, the counts and differences are empty."""

    time: datetime
    equal: bool
    seconds: float
    total: int
    """differences, and rules that the files break"""
    counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """by model: ``database`` and ``files``"""
    by_model: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """differences by model and kind"""
    differences: tuple[str, ...] = ()
    """the first ones, a sentence each, without values"""
    broken: int = 0
    secrets: int | None = None
    payloads: int = 0
    left_out: tuple[str, ...] = ()
    report: str = ""

    @property
    def records(self) -> int:
        return sum(sides.get("database", 0) for sides in self.counts.values())


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The counts of one moment.  ``source`` says where they come from."""

    time: datetime
    counts: Mapping[str, int]
    source: str


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that a report shows but its checklist."""

    made: datetime
    data_dir: str
    layout: Layout
    schema: Mapping[str, Any]
    """``version`` (None: it has none) and ``fingerprint``"""
    state: Migration
    store: Store | None = None
    """None: there is no data folder"""
    database: Mapping[str, int] | None = None
    """records by model; None: the database was not asked, or did not answer"""
    verification: Verification | None = None
    snapshots: tuple[Snapshot, ...] = ()
    """the inventories, and what there is now, the oldest first"""
    problems: tuple[str, ...] = ()
    """what could not be read, a sentence each"""
    damaged: bool = False
    """whether one of these is damage"""
    version: str = __version__


def gather(
    data_dir: Path,
    layout: Layout,
    *,
    url: DatabaseUrl | None = None,
    schema_text: str | None = None,
    now: datetime | None = None,
    progress: Progress = SILENT,
) -> Facts:
    """Look at a data folder and, if ``url`` is given, count what the database holds.

    ``schema_text`` is the schema's, if it is not the frozen one.  Changes nothing.
    """
    made = (now or datetime.now(UTC)).replace(microsecond=0)
    return _Gatherer(data_dir, layout, made).run(url, schema_text, progress)


class _Gatherer:
    def __init__(self, data_dir: Path, layout: Layout, made: datetime) -> None:
        self.data_dir, self.layout, self.made = data_dir, layout, made
        self.problems: list[str] = []
        self.damaged = False

    def run(self, url: DatabaseUrl | None, schema_text: str | None, progress: Progress) -> Facts:
        state = Migration()
        with self._noted():
            state = migration.read(self.data_dir)
        store = self._store(progress) if self.data_dir.is_dir() else None
        database = self._database(url) if url is not None else None
        return Facts(
            made=self.made,
            data_dir=str(self.data_dir),
            layout=self.layout,
            schema=schema_facts(schema_text),
            state=state,
            store=store,
            database=database,
            verification=self._verification(state),
            snapshots=(*self._inventories(), *self._present(state, store, database)),
            problems=tuple(self.problems),
            damaged=self.damaged,
        )

    @contextmanager
    def _noted(self) -> Iterator[None]:
        """Let what cannot be read be a problem of the report."""
        try:
            yield
        except OctavoError as error:
            self._note(error)

    def _note(self, error: OctavoError) -> None:
        self.problems.append(str(error))
        self.damaged = self.damaged or isinstance(error, DamagedError)

    def _store(self, progress: Progress) -> Store | None:
        with self._noted(), disk_errors("listing the data folder"):
            there = contents(self.layout, self.data_dir)
            sizes: dict[str, list[int]] = {family.path: [] for family in self.layout.families}
            for file in there.files:
                sizes[file.family.path].append(file.size)
            holdings = tuple(Holding(path, len(found), sum(found)) for path, found in sizes.items())
            return Store(holdings, self._payloads(), self._counts(there, progress), len(there.strays))
        return None

    def _payloads(self) -> Holding | None:
        if not self.layout.payload_folder:
            return None
        found = [
            os.stat(self.data_dir / path, follow_symlinks=False).st_size
            for digest, path in payload_files(self.layout, self.data_dir)
            if digest
        ]
        return Holding(f"{self.layout.payload_folder}/<2 hex>/<sha256>", len(found), sum(found))

    def _counts(self, there: Contents, progress: Progress) -> dict[str, int]:
        """The records that the files hold; those that cannot be read are problems, one for each file."""
        counted: Counter[str] = Counter()
        reader = Reader(self.layout, self.data_dir)
        progress.begin("counting records", sum(f.size for f in there.files), "bytes")
        for file in there.files:
            damage: list[DamagedError] = []
            with self._noted(), disk_errors(f"reading {file.path}"):
                for record in live_records(reader, file, damage.append):
                    counted[record.place.model.name] += 1
                    for place, _ in record.embedded:
                        counted[place.model.name] += 1
            if damage:
                self._note(damage[0])
            if len(damage) > 1:
                self.problems.append(f"{file.path}: {len(damage) - 1:,} more that cannot be read")
            progress.advance(file.size)
        return {model.name: counted[model.name] for model in self.layout.datamodel.tables}

    def _database(self, url: DatabaseUrl) -> dict[str, int] | None:
        from octavo.migrate.source import open_source

        with self._noted(), open_source(url, self.layout) as source:
            return source.counts(self.layout.datamodel)
        return None

    def _inventories(self) -> list[Snapshot]:
        found = []
        for path in self._in_cache(_INVENTORIES):
            with self._noted():
                metadata = read_baseline(path)
                try:
                    time = _moment(metadata["generatedAt"])
                    counts = msgspec.convert(metadata["counts"], dict[str, int])
                except (KeyError, TypeError, ValueError) as error:
                    raise DamagedError("is no inventory", file=f"{_CACHE}/{path.name}") from error
                found.append(Snapshot(time, counts, path.name))
        return sorted(found, key=lambda s: (s.time, s.source))

    def _present(
        self, state: Migration, store: Store | None, database: Mapping[str, int] | None
    ) -> list[Snapshot]:
        """What there is now: on the side that counts, or on the only one that could be asked."""
        files = None if store is None or not store.records else store.counts
        sides = [(database, "PostgreSQL, now"), (files, "the files, now")]
        for counts, source in sides if state.backend == "prisma" else sides[::-1]:
            if counts is not None:
                return [Snapshot(self.made, counts, source)]
        return []

    def _verification(self, state: Migration) -> Verification | None:
        last = state.verified
        for path in sorted(self._in_cache(_VERIFICATIONS), key=_age, reverse=True):
            with self._noted():
                summary = _summary(path)
                if summary is None:
                    continue
                known = last is not None and last.report is not None and Path(last.report).name == path.name
                time = _moment(last.time) if last is not None and known else _written(path)
                if last is not None and not known and _moment(last.time) > time:
                    break
                return _verification(summary, time, f"{_CACHE}/{path.name}")
        if last is None:
            return None
        return Verification(_moment(last.time), last.equal, last.seconds, last.differences)

    def _in_cache(self, pattern: str) -> list[Path]:
        with self._noted(), disk_errors("looking into cache/"):
            return sorted((self.data_dir / _CACHE).glob(pattern))
        return []


class _Shown(msgspec.Struct, rename="camel"):
    """A difference as far as a report tells of it; values are not looked at."""

    model: str
    kind: str
    key: dict[str, Any] = {}
    fields: list[str] = []
    reason: str = ""
    file: str = ""
    line: int = 0

    def __str__(self) -> str:
        key = ", ".join(f"{name} {json.dumps(value, ensure_ascii=False)}" for name, value in self.key.items())
        where = ":".join(str(part) for part in (self.file, self.line) if part)
        parts = (f"{self.model} {key}: {self.kind}", ", ".join(self.fields), self.reason, where)
        return " — ".join(part for part in parts if part)


class _Payloads(msgspec.Struct):
    checked: int = 0


class _Summary(msgspec.Struct, rename="camel"):
    """The last line of a verification's report."""

    equal: bool
    counts: dict[str, dict[str, int]]
    differences_total: int
    seconds: float = 0.0
    differences: list[_Shown] = []
    differences_by_model: dict[str, dict[str, int]] = {}
    integrity: list[Any] = []
    payloads: _Payloads = msgspec.field(default_factory=_Payloads)
    secrets_checked: int | None = None
    left_out: list[str] = []


class _Line(msgspec.Struct):
    summary: _Summary | None = None


def _summary(path: Path) -> _Summary | None:
    """What a verification's report concludes with; None for one that was never finished."""
    last = b""
    with disk_errors("reading a verification's report"), open(path, "rb") as lines:
        for line in lines:
            last = line
    try:
        return msgspec.json.decode(last, type=_Line).summary if last.endswith(b"\n") else None
    except msgspec.MsgspecError as error:
        raise DamagedError("is no verification's report", file=f"{_CACHE}/{path.name}") from error


def _verification(summary: _Summary, time: datetime, report: str) -> Verification:
    return Verification(
        time=time,
        equal=summary.equal,
        seconds=summary.seconds,
        total=summary.differences_total + len(summary.integrity),
        counts=summary.counts,
        by_model=summary.differences_by_model,
        differences=tuple(str(d) for d in summary.differences[:_SHOWN]),
        broken=len(summary.integrity),
        secrets=summary.secrets_checked,
        payloads=summary.payloads.checked,
        left_out=tuple(summary.left_out),
        report=report,
    )


def _moment(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _written(path: Path) -> datetime:
    return datetime.fromtimestamp(int(path.stat().st_mtime), UTC)


def _age(path: Path) -> tuple[float, str]:
    try:
        return path.stat().st_mtime, path.name
    except OSError:
        return 0.0, path.name
