"""What an inspection finds: the findings of doctor, by kind, and the differences of a verification.

Each kind has a meaning and what to do about it.  Of both, the first ones are kept in memory and all are
counted; a verification's report on disk has every difference.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from octavo.errors import DamagedError, UsageError, disk_errors
from octavo.layout.layout import Layout
from octavo.schema.datamodel import Model
from octavo.store import disk
from octavo.store.lock import LockFile

SHOWN = 1000
"""differences, and findings of one kind, that are kept in memory; all are counted"""
_UNFINISHED = ".unfinished"
"""how the name of a report ends until it is whole"""


class Kind(StrEnum):
    """The kinds, in the order of a report."""

    UNREADABLE = "unreadable"
    NEWER = "newer"
    MISSING_FOLDER = "missing folder"
    MISSING_FILE = "missing file"
    MISSING_LOG = "missing log"
    UNOWNED_LOG = "unowned log"
    IN_THE_WAY = "in the way"
    SAME_KEY = "same key"
    NOT_UNIQUE = "not unique"
    BROKEN_REFERENCE = "broken reference"
    PAYLOAD_MISSING = "payload missing"
    PAYLOAD_DIFFERENT = "payload different"
    JOURNAL = "journal"
    IN_DOUBT = "in doubt"
    UNFINISHED = "unfinished"
    TORN = "torn"
    LEFT_OVER = "left over"
    STALE = "stale"
    OPEN_TO_OTHERS = "open to others"
    STRAY = "stray"
    ORPHAN = "orphan"
    UNKNOWN_KEY = "unknown key"
    PAYLOAD_NOT_KEPT = "payload not kept"
    PAYLOAD_SIZE = "payload size"
    PAYLOAD_UNNAMED = "payload unnamed"
    WASTEFUL = "wasteful"


class Meaning(NamedTuple):
    """What a kind says to people."""

    damage: bool
    title: str
    hint: str


_RESTORE = "put back what a backup has, or correct it by hand"

MEANINGS: dict[Kind, Meaning] = {
    Kind.UNREADABLE: Meaning(
        True,
        "cannot be read",
        f"{_RESTORE}; `octavo doctor --set-aside` moves such records and lines out of the store",
    ),
    Kind.NEWER: Meaning(True, "is of another format", "use the Octavo that wrote it"),
    Kind.MISSING_FOLDER: Meaning(
        True,
        "a folder is missing",
        "put back what a backup has; if it was empty (git keeps no empty folder), `octavo scaffold` makes it",
    ),
    Kind.MISSING_FILE: Meaning(
        True,
        "a file is missing",
        "put back what a backup has; if it never held a record, `octavo scaffold` makes it",
    ),
    Kind.MISSING_LOG: Meaning(
        True,
        "the log of a record is missing",
        "put back what a backup has; if it never held a record, an empty file will do",
    ),
    Kind.UNOWNED_LOG: Meaning(
        True,
        "a log whose owner is not there",
        "put its owner back; `octavo doctor --set-aside` moves it out of the store",
    ),
    Kind.IN_THE_WAY: Meaning(
        True, "stands where something of the store belongs", "move it away, and put the right thing there"
    ),
    Kind.SAME_KEY: Meaning(True, "two records have one key", "take one out, or give it another key"),
    Kind.NOT_UNIQUE: Meaning(True, "values that must be unique are not", "change or take out one of them"),
    Kind.BROKEN_REFERENCE: Meaning(
        True, "what a record points at is not there", "put it back, or change or take out what points at it"
    ),
    Kind.PAYLOAD_MISSING: Meaning(
        True, "the payload of a record is missing", "put it back from a backup or from the files root"
    ),
    Kind.PAYLOAD_DIFFERENT: Meaning(
        True, "a payload is not what its digest says", "put it back from a backup or from the files root"
    ),
    Kind.JOURNAL: Meaning(
        True, "the journal cannot be replayed", "it holds commits that the files may lack: keep it, and look"
    ),
    Kind.IN_DOUBT: Meaning(
        False,
        "a change of which only the database knows whether it counts",
        "open the store as the application does, with both backends",
    ),
    Kind.UNFINISHED: Meaning(
        False, "commits that a crash has interrupted", "the next open finishes them, or --repair"
    ),
    Kind.TORN: Meaning(
        False, "the end of a log was torn by a crash", "the next write cuts it, or --repair; it is kept aside"
    ),
    Kind.LEFT_OVER: Meaning(
        False, "left over from what a crash has interrupted", "--repair removes it, or the next recovery"
    ),
    Kind.STALE: Meaning(False, "no longer used", "--repair removes it"),
    Kind.OPEN_TO_OTHERS: Meaning(False, "others may read it", "--repair closes it to them"),
    Kind.STRAY: Meaning(
        False,
        "ends as the records beside it, and is not one by its name",
        "it is not read; to make it one, let the application create the record",
    ),
    Kind.ORPHAN: Meaning(
        False,
        "points at a record that is missing",
        'relationMode = "prisma" allows it, here and in PostgreSQL',
    ),
    Kind.UNKNOWN_KEY: Meaning(False, "a key that the schema does not know", "it is kept as it is"),
    Kind.PAYLOAD_NOT_KEPT: Meaning(
        False, "a record without its payload", "it was missing when the record was made"
    ),
    Kind.PAYLOAD_SIZE: Meaning(False, "a payload of another size than recorded", "look at the record"),
    Kind.PAYLOAD_UNNAMED: Meaning(
        False, "a payload that no record names", "`octavo compact --payloads` removes it when it is old"
    ),
    Kind.WASTEFUL: Meaning(
        False, "superseded lines outweigh the records", "`octavo compact` leaves one line a record"
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing found.  Nothing in it is a secret: of a key that is one, a digest stands there."""

    kind: Kind
    file: str
    line: int = 0
    model: str = ""
    key: Mapping[str, Any] = field(default_factory=dict)
    field: str = ""
    reason: str = ""
    at: int = 0
    """of what is torn: the byte at which it begins"""

    def to_dict(self) -> dict[str, Any]:
        shown: dict[str, Any] = {"kind": self.kind.value, "damage": MEANINGS[self.kind].damage}
        for name in ("file", "line", "model", "key", "field", "reason"):
            if value := getattr(self, name):
                shown[name] = value
        return shown

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        key = " ".join(f"{name}={value}" for name, value in self.key.items())
        what = f"{self.model}.{self.field}" if self.model and self.field else self.model or self.field
        return ": ".join(part for part in (where, " ".join(p for p in (what, key) if p), self.reason) if part)


class Findings:
    """Findings by kind: all counted, the first ones kept."""

    def __init__(self) -> None:
        self.kept: dict[Kind, list[Finding]] = {kind: [] for kind in Kind}
        self.counted: Counter[Kind] = Counter()

    def add(self, kind: Kind, file: str, **facts: Any) -> None:
        self.counted[kind] += 1
        if len(self.kept[kind]) < SHOWN:
            self.kept[kind].append(Finding(kind=kind, file=file, **facts))

    def add_error(self, error: DamagedError, layout: Layout) -> None:
        """Take in what could not be read."""
        names = layout.place(error.model).model.key.field_names if error.model else ()
        key: Mapping[str, Any] = {}
        if error.key_values is not None and len(error.key_values) == len(names):
            model = layout.place(error.model).model
            key = shown_key(model, dict(zip(names, error.key_values, strict=True)))
        facts = {"line": error.line, "model": error.model, "field": error.field, "reason": error.reason}
        is_newer = error.field == "_version" and "format version" in error.reason
        self.add(Kind.NEWER if is_newer else Kind.UNREADABLE, error.file, key=key, **facts)

    @property
    def damage(self) -> int:
        return sum(n for kind, n in self.counted.items() if MEANINGS[kind].damage)

    @property
    def notes(self) -> int:
        return self.counted.total() - self.damage

    def all(self) -> list[Finding]:
        """Those that are kept, in the order of a report."""
        return [finding for found in self.kept.values() for finding in found]


class DifferenceKind(StrEnum):
    """How a record on one side is not that on the other."""

    MISSING = "missing"
    """not in the files"""
    EXTRA = "extra"
    """only in the files"""
    DIFFERENT = "different"
    DAMAGED = "damaged"
    """what stands in the files cannot be read, or cannot be right"""


class Texts(Struct, frozen=True):
    """The beginning of what both sides hold; None: NULL."""

    database: str | None
    files: str | None


class Difference(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One difference.  Nothing in it is a secret: of a key that is one, a digest stands there."""

    model: str
    key: Mapping[str, Any]
    kind: DifferenceKind
    fields: tuple[str, ...]
    values: Mapping[str, Texts] | None = None
    """of fields that are no secrets"""
    reason: str = ""
    file: str = ""
    line: int = 0


class Differences:
    """Takes differences as they are found: counted, the first ones kept, all of them written to a report.

    ``report`` is written as JSON lines, and is there when it is finished; None where none can be written.
    Its last line has the summary, and the SHA-256 of all lines before and of the summary's text.
    """

    def __init__(self, report: Path | None) -> None:
        """Raises UsageError if another process is writing this report, DiskError."""
        self.path = report
        self.first: list[Difference] = []
        self.counted: Counter[tuple[str, DifferenceKind]] = Counter()
        self._digest = hashlib.sha256()
        self._lock: LockFile | None = None
        if report is not None:
            with disk_errors("writing the report"):
                self._lock = disk.lock_file(_unfinished(report))
                if self._lock is None:
                    raise UsageError(f"{report} is just being written by another process")
                os.truncate(self._lock.descriptor, 0)
                self._file = open(self._lock.descriptor, "wb", closefd=False)  # noqa: SIM115

    def add(self, difference: Difference) -> None:
        self.counted[difference.model, difference.kind] += 1
        if len(self.first) < SHOWN:
            self.first.append(difference)
        self._write(msgspec.json.encode({"difference": difference}) + b"\n")

    @property
    def total(self) -> int:
        return sum(self.counted.values())

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Write the report's last line, and give it its name, durably."""
        if self._lock is None or self.path is None:
            return
        text = msgspec.json.encode(summary)
        self._digest.update(text)
        self._write(b'{"summary":%b,"sha256":"%b"}\n' % (text, self._digest.hexdigest().encode()))
        with disk_errors("writing the report"):
            disk.sync_file(self._file)
            os.replace(_unfinished(self.path), self.path)
        self._end()

    def close(self) -> None:
        """Leave nothing of a report that is not finished."""
        if self._lock is not None and self.path is not None:
            _forget(self.path)
            self._end()

    def _end(self) -> None:
        if self._lock is not None:
            with suppress(OSError):
                self._file.close()
            self._lock.close()
            self._lock = None

    def _write(self, line: bytes) -> None:
        if self._lock is not None:
            with disk_errors("writing the report"):
                self._file.write(line)
            self._digest.update(line)


def sweep_reports(folder: Path) -> None:
    """Remove the reports that killed processes have left unfinished."""
    with suppress(OSError):
        for unfinished in folder.glob(f"*{_UNFINISHED}"):
            if (lock := disk.lock_file(unfinished)) is not None:
                with lock:
                    _forget(unfinished.with_name(unfinished.name.removesuffix(_UNFINISHED)))


def _unfinished(report: Path) -> Path:
    return report.with_name(f"{report.name}{_UNFINISHED}")


def _forget(report: Path) -> None:
    """Remove a report that is unfinished; what stands in its place stays, unless it is there for its name."""
    with suppress(OSError):
        os.unlink(_unfinished(report))
        if not report.stat().st_size:
            os.unlink(report)


def shown_key(model: Model, key: Mapping[str, bytes | None]) -> dict[str, Any]:
    """A record's key for a report: whole numbers as such, all else as text, secrets as a digest."""
    shown: dict[str, Any] = {}
    for f in model.key_fields:
        value = key.get(f.name)
        if value is None:
            shown[f.name] = None
        elif f.secret is not None:
            shown[f.name] = "sha256:" + hashlib.sha256(value).hexdigest()[:16]
        elif f.type == "Int" and value.strip(b"-").isdigit():
            shown[f.name] = int(value)
        else:
            shown[f.name] = value.decode("utf-8", "replace")
    return shown


def shown_value(value: bytes | None, limit: int = 80) -> str | None:
    if value is None:
        return None
    text = value[: 4 * limit].decode("utf-8", "replace")
    return text if len(text) <= limit and len(value) <= 4 * limit else text[: limit - 1] + "…"


def listed(names: Sequence[str], limit: int = 5) -> str:
    """Some names, and how many more there are."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
