"""One pass over a file: its records go to observers, and what every inspection asks is noted.

``verify`` and ``doctor`` read files by the same pass and differ in their observers: the sums of rows that are
compared with the database, and the keys and references that have to fit together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from octavo.errors import DamagedError
from octavo.inspect.differences import shown_key
from octavo.layout.fold import logs_of
from octavo.layout.layout import Kind, Layout, Place
from octavo.layout.listing import File
from octavo.layout.record import Noted
from octavo.layout.scan import Entry, Reader, live_records

Observer: TypeAlias = Callable[[Entry], object]
"""Takes each record that counts: of a log the last line of its key, unless that is a tombstone."""


class Named(NamedTuple):
    """A record that points at a payload, or has one."""

    place: Place
    key: Mapping[str, Any]
    file: str
    line: int
    path: str | None
    sha256: str | None
    size: int | None


class Unknown(NamedTuple):
    """A key that the schema does not know; ``model`` is empty for one of a document."""

    file: str
    model: str
    key: str


@dataclass
class Observed:
    """What reading some files gave."""

    counts: Counter[str] = field(default_factory=Counter)
    """records by model"""
    damage: list[DamagedError] = field(default_factory=list)
    unknown: list[Unknown] = field(default_factory=list)
    logs: set[str] = field(default_factory=set)
    """the logs that the records own"""
    named: list[Named] = field(default_factory=list)
    live: int = 0
    """records that are not embedded in others"""

    def __iadd__(self, other: Observed) -> Observed:
        self.counts += other.counts
        self.damage += other.damage
        self.unknown += other.unknown
        self.logs |= other.logs
        self.named += other.named
        self.live += other.live
        return self


class Inspector:
    """Reads the files below ``root`` for observers."""

    def __init__(self, layout: Layout, root: Path) -> None:
        self.layout, self.reader = layout, Reader(layout, root)
        self._owned = {p.model.name: logs_of(layout, p.model) for p in layout.places}

    def observe(self, file: File, *observers: Observer) -> Observed:
        """Read a file once.  What cannot be read is in what is given."""
        seen = Observed()
        records = live_records(
            self.reader,
            file,
            seen.damage.append,
            lambda found: seen.unknown.append(Unknown(found.file, "", found.key)),
        )
        for record in records:
            if (found := record.found) is None:
                continue
            seen.live += 1
            codec, (row, embedded) = record.codec, found
            if embedded:
                for name, rows in embedded.items():
                    seen.counts[name] += len(rows)
            if embedded or type(row) is Noted:
                seen.unknown += [Unknown(file.path, place.model.name, key) for place, key in record.unknown]
            if owned := self._owned[codec.name]:
                texts = [(value or b"").decode() for value in record.key]
                seen.logs.update(place.file_for(texts) for place in owned)
            if codec.place.payload and (named := _named(file.path, record)) is not None:
                seen.named.append(named)
            for observer in observers:
                observer(record)
            seen.counts[codec.name] += 1
        return seen


def _named(file: str, record: Entry) -> Named | None:
    place = record.place
    values = dict(zip((f.name for f in place.model.scalars), record.values, strict=True))
    path = values[place.payload]
    if record.sha256 is None and path is None:
        return None
    size = values.get(place.payload_size) if place.payload_size else None
    return Named(
        place,
        shown_key(place.model, values),
        file,
        record.line,
        None if path is None else path.decode(),
        record.sha256,
        None if size is None else int(size),
    )


def log_places(layout: Layout) -> Iterable[tuple[Place, Place]]:
    """The places of logs per parent, each with the place that its parent's records live in."""
    for place in layout.places:
        if place.kind is Kind.LOG_PER_PARENT and place.relation is not None:
            yield place, layout.host(place.relation.parent)


def unowned(
    place: Place, parent: Place, have: Collection[str], logs: Collection[str], damage: Iterable[DamagedError]
) -> list[str]:
    """The logs of a place whose parent is nowhere: those of parents that cannot be read are left out.

    ``have``: its logs that exist; ``logs``: those that records own.
    """
    unread = {
        place.file_for([value.decode() for value in error.host[1]])
        for error in damage
        if error.host is not None and error.host[0] == parent.model.name
    }
    return sorted({*have} - {*logs} - unread)
