"""Looks at every encrypted value and every hash, wherever the data lives: does it open with the pepper?

Records are taken page by page, the sides of ``dual`` in step and in the order of the users whose keys they
take, so that each key is derived once.  What a report says names model, key and field, never a value.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, NamedTuple

from octavo.backend import DataBackend
from octavo.crypto import troubles
from octavo.inspect.findings import shown_key
from octavo.inspect.progress import SILENT, Progress
from octavo.layout.record import Record
from octavo.opening import open_backend
from octavo.query.paging import pages
from octavo.query.plan import Condition, IsNull, Not, Or, Query
from octavo.query.protocols import Backend, Reader
from octavo.query.vocabulary import Terms, Vocabulary
from octavo.schema.datamodel import Secret

if TYPE_CHECKING:
    from octavo.backend import Settings

KEPT = 1000
"""secrets that do not open that are named in a report; all of them are counted"""
DATABASE, FILES = "database", "files"


class Unopened(NamedTuple):
    """A secret that does not open, and why.  Nothing in it is a secret: of a key that is one, a digest
    stands there."""

    side: str
    model: str
    key: Mapping[str, Any]
    field: str
    reason: str

    def __str__(self) -> str:
        return f"{self.side}: {self.model} {key_text(self.key)} {self.field}: {self.reason}"

    def to_dict(self) -> dict[str, Any]:
        return self._asdict()


class Unopeneds:
    """Takes secrets that do not open as they are found: counted, the first ones kept."""

    def __init__(self) -> None:
        self.first: list[Unopened] = []
        self.total = 0

    def add(self, unopened: Unopened) -> None:
        self.total += 1
        if len(self.first) < KEPT:
            self.first.append(unopened)


@dataclass
class SecretsReport:
    """What a check found."""

    backend: DataBackend
    sides: dict[str, Counter[str]]
    """the number of values looked at, by side (``database``, ``files``) and scheme"""
    unopened: Unopeneds = field(default_factory=Unopeneds)
    seconds: float = 0.0

    @property
    def good(self) -> bool:
        return not self.unopened.total

    @property
    def values(self) -> int:
        return sum(counts.total() for counts in self.sides.values())

    def to_dict(self) -> dict[str, Any]:
        return {
            "good": self.good,
            "backend": self.backend.value,
            "sides": {side: dict(counts) for side, counts in self.sides.items()},
            "unopened": [unopened.to_dict() for unopened in self.unopened.first],
            "unopenedTotal": self.unopened.total,
            "seconds": round(self.seconds, 3),
        }


class Holder:
    """A model that has secrets to look at; ``secrets`` are those, by field."""

    def __init__(self, terms: Terms, secrets: Mapping[str, Secret]) -> None:
        self.terms, self.secrets = terms, secrets
        self.parts = {
            name: tuple(part for part in (name, secret.iv, secret.tag) if part)
            for name, secret in secrets.items()
        }
        """by each of these fields, it and those that belong to its value"""
        self.held = tuple(part for parts in self.parts.values() for part in parts)
        self.where: Condition = Or(tuple(Not(IsNull(name)) for name in self.held))
        """what records with a secret fulfil"""
        owners = dict.fromkeys(secret.owner for secret in secrets.values() if secret.owner)
        self._columns = [terms.columns[name] for name in dict.fromkeys((*self.held, *owners))]
        required = [
            n for n in owners if not terms.columns[n].field.nullable and terms.columns[n].one.is_ordered
        ]
        self.first = tuple(required[:1])
        """the field that gives each key, so that records that take one follow each other"""

    def values(self, record: Record) -> dict[str, object]:
        found = {column.name: column.stored(record) for column in self._columns}
        return {n: v if v is None or isinstance(v, str) else str(v) for n, v in found.items()}

    def key(self, record: Record) -> dict[str, Any]:
        """A record's key, as it may be shown."""
        values = zip(self.terms.key, self.terms.key_of(record), strict=True)
        return shown_key(self.terms.model, {name: str(value).encode() for name, value in values})

    def pages(self, reader: Reader) -> Iterator[list[Record]]:
        return pages(reader, self.terms, self.where, first=self.first)


def holders(vocabulary: Vocabulary, scheme: str = "") -> list[Holder]:
    """The models with ciphertexts and hashes; with a ``scheme``, with secrets of that scheme alone."""
    found = []
    for model in vocabulary.datamodel.tables:
        secrets = {
            f.name: f.secret
            for f in model.scalars
            if f.secret is not None and f.secret.is_checkable and scheme in ("", f.secret.scheme)
        }
        if secrets:
            found.append(Holder(vocabulary[model.name], secrets))
    return found


def key_text(key: Mapping[str, Any]) -> str:
    """A key that may be shown, as one text."""
    return " ".join(f"{name}={value}" for name, value in key.items())


@contextmanager
def opened(kind: DataBackend, vocabulary: Vocabulary, settings: Settings) -> Iterator[Backend]:
    """The backend for the length of a ``with`` block.  Raises what opening it raises."""
    with closing(open_backend(kind, vocabulary, settings)) as backend:
        yield backend


def sides_of(backend: Backend) -> dict[str, Reader]:
    """Where the data of a backend lies: ``database``, ``files``, or both."""
    from octavo.backends.dual import DualBackend
    from octavo.backends.prisma import PrismaBackend

    if isinstance(backend, DualBackend):
        return {DATABASE: backend.primary, FILES: backend.files}
    return {DATABASE if isinstance(backend, PrismaBackend) else FILES: backend}


def in_step(
    sides: Mapping[str, Reader], found: list[Holder], progress: Progress, phase: str
) -> Iterator[tuple[str, Holder, Record]]:
    """Every record with a secret on each side, a page of one side by turns with one of the other."""
    progress.begin(
        phase,
        sum(side.count(Query(model=h.terms.name, where=h.where)) for h in found for side in sides.values()),
        "records",
    )
    for holder in found:
        for turn in zip_longest(*(holder.pages(side) for side in sides.values())):
            for name, page in zip(sides, turn, strict=True):
                for record in page or ():
                    yield name, holder, record
                    progress.advance(1)


def are_none(kind: DataBackend, vocabulary: Vocabulary, settings: Settings) -> bool:
    """Whether the backend, on both sides of ``dual``, has no secret that could be looked at.

    Raises what opening and reading the backend raises.
    """
    found = holders(vocabulary)
    if not found:
        return True
    with opened(kind, vocabulary, settings) as backend:
        sides = sides_of(backend).values()
        return not any(side.count(Query(model=h.terms.name, where=h.where)) for side in sides for h in found)


def check(
    kind: DataBackend,
    vocabulary: Vocabulary,
    settings: Settings,
    pepper: str,
    progress: Progress = SILENT,
) -> SecretsReport:
    """Look at every secret of the backend, both sides of ``dual``.  Changes nothing.

    What is written meanwhile may be seen or not.  Raises what opening and reading the backend raises.
    """
    started = time.monotonic()
    with opened(kind, vocabulary, settings) as backend:
        sides = sides_of(backend)
        report = SecretsReport(kind, {side: Counter() for side in sides})
        for side, holder, record in in_step(sides, holders(vocabulary), progress, "secrets"):
            values = holder.values(record)
            for name, secret in holder.secrets.items():
                is_there = any(values[part] is not None for part in holder.parts[name])
                report.sides[side][secret.scheme] += is_there
            for name, reason in troubles(holder.terms.model, values, pepper).items():
                report.unopened.add(Unopened(side, holder.terms.name, holder.key(record), name, reason))
    report.seconds = time.monotonic() - started
    return report
