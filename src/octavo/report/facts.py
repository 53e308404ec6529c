"""What a report shows, gathered: how the move stands, the files, the last verification, the inventories.

Nothing of a record's values is read into it: names, numbers, sizes, times, and of a verification's
differences the keys and fields.  What cannot be read is a problem that the report shows; it never keeps the
report from being made.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from octavo.backend import DataBackend
from octavo.errors import DamagedError, OctavoError, disk_errors
from octavo.fold.inventory import read_baseline, schema_facts
from octavo.inspect.findings import Difference
from octavo.layout.layout import Layout
from octavo.layout.listing import contents, payload_files
from octavo.move.status import Status
from octavo.store.phase import Migration
from octavo.version import __version__

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
    """The files of a data folder."""

    holdings: tuple[Holding, ...]
    """in the layout's order"""
    payloads: Holding | None
    strays: int = 0
    """files that belong to nothing"""

    @property
    def size(self) -> int:
        return sum(h.size for h in self.holdings) + (self.payloads.size if self.payloads else 0)

    @property
    def files(self) -> int:
        return sum(h.files for h in self.holdings) + (self.payloads.files if self.payloads else 0)


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
    written: Mapping[str, bool | None] = field(default_factory=lambda: {"database": False, "files": False})
    """by side, whether it was written to since; None: it is not known"""

    @property
    def holds(self) -> bool:
        """Whether both sides are equal still."""
        return self.equal and all(is_written is False for is_written in self.written.values())

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
    status: Status
    files: Store | None = None
    """None: there is no data folder"""
    verification: Verification | None = None
    snapshots: tuple[Snapshot, ...] = ()
    """the inventories, and what there is now, the oldest first"""
    problems: tuple[str, ...] = ()
    """what could not be read, a sentence each"""
    damaged: bool = False
    """whether one of these is damage"""
    version: str = __version__

    @property
    def state(self) -> Migration:
        return self.status.migration

    def counted(self, side: str) -> dict[str, int] | None:
        """Records by model in ``database`` or ``files``, as they are now; None: they were not counted."""
        counts = {name: getattr(count, side) for name, count in self.status.counts.items()}
        found = {name: count for name, count in counts.items() if count is not None}
        return found or None


def gather(
    status: Status, layout: Layout, *, schema_text: str | None = None, now: datetime | None = None
) -> Facts:
    """Look at what else there is beside how the move stands.  Changes nothing.

    ``schema_text`` is the schema's, if it is not the frozen one.
    """
    made = (now or datetime.now(UTC)).replace(microsecond=0)
    return _Gatherer(status, layout, made).run(schema_text)


class _Gatherer:
    def __init__(self, status: Status, layout: Layout, made: datetime) -> None:
        self.status, self.layout, self.made = status, layout, made
        self.data_dir = status.data_dir
        self.problems: list[str] = []
        self.damaged = False

    def run(self, schema_text: str | None) -> Facts:
        files = self._files() if self.data_dir.is_dir() else None
        verification, inventories = self._verification(self.status.migration), self._inventories()
        if verification is not None:
            last, written = self.status.migration.verified, self.status.written
            if last is None or _moment(last.time) != verification.time:
                # Nothing is known about one that the state of the move does not tell of.
                written = dict.fromkeys(written)
            verification = replace(verification, written=written)
        facts = Facts(
            made=self.made,
            data_dir=str(self.data_dir),
            layout=self.layout,
            schema=schema_facts(schema_text),
            status=self.status,
            files=files,
            verification=verification,
            problems=tuple(self.problems),
            damaged=self.damaged,
        )
        return replace(facts, snapshots=(*inventories, *_present(facts)))

    @contextmanager
    def _noted(self) -> Iterator[None]:
        """Let what cannot be read be a problem of the report."""
        try:
            yield
        except OctavoError as error:
            self.problems.append(str(error))
            self.damaged = self.damaged or isinstance(error, DamagedError)

    def _files(self) -> Store | None:
        with self._noted(), disk_errors("listing the data folder"):
            there = contents(self.layout, self.data_dir)
            sizes: dict[str, list[int]] = {family.path: [] for family in self.layout.families}
            for file in there.files:
                sizes[file.family.path].append(file.size)
            holdings = tuple(Holding(path, len(found), sum(found)) for path, found in sizes.items())
            return Store(holdings, self._payloads(), len(there.strays))
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

    def _inventories(self) -> list[Snapshot]:
        found = []
        for path in self._in_cache(_INVENTORIES):
            with self._noted():
                metadata = read_baseline(path)
                try:
                    time = _moment(metadata["generatedAt"])
                    counts = msgspec.convert(metadata["counts"], dict[str, int])
                except (KeyError, TypeError, ValueError) as error:
                    raise DamagedError("is not an inventory", file=f"{_CACHE}/{path.name}") from error
                found.append(Snapshot(time, counts, path.name))
        return sorted(found, key=lambda s: (s.time, s.source))

    def _verification(self, state: Migration) -> Verification | None:
        last = state.verified
        for path in sorted(self._in_cache(_VERIFICATIONS), key=_age, reverse=True):
            with self._noted():
                summary = _summary(path)
                if summary is None or summary.elsewhere:
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


def _present(facts: Facts) -> list[Snapshot]:
    """The current state: of the backend of record, or of the only side that could be read."""
    sides = {"database": "PostgreSQL, now", "files": "the files, now"}
    for side in sides if facts.state.backend is DataBackend.PRISMA else reversed(sides):
        if (counts := facts.counted(side)) is not None and any(counts.values()):
            return [Snapshot(facts.made, counts, sides[side])]
    return []


class _Payloads(msgspec.Struct):
    checked: int = 0


class _Summary(msgspec.Struct, rename="camel"):
    """The last line of a verification's report."""

    equal: bool
    counts: dict[str, dict[str, int]]
    differences_total: int
    seconds: float = 0.0
    differences: list[Difference] = []
    differences_by_model: dict[str, dict[str, int]] = {}
    integrity: list[Any] = []
    payloads: _Payloads = msgspec.field(default_factory=_Payloads)
    secrets_checked: int | None = None
    left_out: list[str] = []
    elsewhere: str = ""


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
        raise DamagedError("is not the report of a verification", file=f"{_CACHE}/{path.name}") from error


def _verification(summary: _Summary, time: datetime, report: str) -> Verification:
    return Verification(
        time=time,
        equal=summary.equal,
        seconds=summary.seconds,
        total=summary.differences_total + len(summary.integrity),
        counts=summary.counts,
        by_model=summary.differences_by_model,
        differences=tuple(map(_sentence, summary.differences[:_SHOWN])),
        broken=len(summary.integrity),
        secrets=summary.secrets_checked,
        payloads=summary.payloads.checked,
        left_out=tuple(summary.left_out),
        report=report,
    )


def _sentence(found: Difference) -> str:
    """A difference without its values."""
    key = ", ".join(f"{name} {json.dumps(value, ensure_ascii=False)}" for name, value in found.key.items())
    where = ":".join(str(part) for part in (found.file, found.line) if part)
    parts = (f"{found.model} {key}: {found.kind}", ", ".join(found.fields), found.reason, where)
    return " — ".join(part for part in parts if part)


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
