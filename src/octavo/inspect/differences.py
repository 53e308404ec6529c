"""What a verification found, bounded in memory and complete on disk."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from octavo.errors import disk_errors
from octavo.schema.datamodel import Model
from octavo.store import disk

SHOWN = 1000
"""differences that are kept in memory; the report on disk has all of them"""


class DifferenceKind(StrEnum):
    """How a record on one side is not that on the other."""

    MISSING = "missing"
    """not in the files"""
    EXTRA = "extra"
    """only in the files"""
    DIFFERENT = "different"
    DAMAGED = "damaged"
    """what stands in the files cannot be read, or cannot be right"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One difference.  Nothing in it is a secret: of a key that is one, a digest stands there."""

    model: str
    kind: DifferenceKind
    key: Mapping[str, Any]
    fields: tuple[str, ...] = ()
    values: Mapping[str, tuple[str | None, str | None]] | None = None
    """of fields that are no secrets: the beginning of what the database and the files hold"""
    reason: str = ""
    file: str = ""
    line: int = 0

    def to_dict(self) -> dict[str, Any]:
        """As it stands in a report."""
        shown: dict[str, Any] = {
            "model": self.model,
            "key": dict(self.key),
            "kind": self.kind.value,
            "fields": list(self.fields),
        }
        if self.values:
            shown["values"] = {n: {"database": a, "files": b} for n, (a, b) in self.values.items()}
        for name in ("reason", "file", "line"):
            if value := getattr(self, name):
                shown[name] = value
        return shown


class Differences:
    """Takes differences as they are found: counted, the first ones kept, all of them written to a report.

    ``report`` is written as JSON lines; None where no report can be written.
    """

    def __init__(self, report: Path | None) -> None:
        self.path = report
        self.first: list[Difference] = []
        self.counted: Counter[tuple[str, DifferenceKind]] = Counter()
        self._file: BinaryIO | None = None

    def add(self, difference: Difference) -> None:
        """Take one difference in."""
        self.counted[difference.model, difference.kind] += 1
        if len(self.first) < SHOWN:
            self.first.append(difference)
        self._write({"difference": difference.to_dict()})

    @property
    def total(self) -> int:
        return sum(self.counted.values())

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Write the summary as the report's last line, and sync it."""
        self._write({"summary": summary})
        if self._file is not None:
            disk.sync_file(self._file)
            self.close()

    def close(self) -> None:
        """Close the report."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _write(self, line: Mapping[str, Any]) -> None:
        if self.path is None:
            return
        with disk_errors("writing the report"):
            if self._file is None:
                self._file = open(self.path, "wb")  # noqa: SIM115
            self._file.write(msgspec.json.encode(line) + b"\n")


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
    """The beginning of a value."""
    if value is None:
        return None
    text = value[: 4 * limit].decode("utf-8", "replace")
    return text if len(text) <= limit and len(value) <= 4 * limit else text[: limit - 1] + "…"


def listed(names: Sequence[str], limit: int = 5) -> str:
    """Some names, and how many more there are."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
