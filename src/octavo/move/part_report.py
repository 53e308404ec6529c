"""What the report of a part of a verification says beside its findings: which part it is, and of what."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from octavo.errors import disk_errors
from octavo.fold.parts import Part
from octavo.fold.source import known_origin
from octavo.schema.meaning import fingerprint
from octavo.store import disk
from octavo.store.phase import Database

if TYPE_CHECKING:
    from octavo.layout.layout import Layout

FOLDER = "cache/verification"


class PartFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Which part, and what was compared.  Reports of parts are merged only where the latter is the same."""

    number: int
    of: int
    begun: str
    """what was written later it says nothing about"""
    first: int | None
    """the number of the first transaction of the database that may not have been seen, if it tells"""
    database: Database
    schema: str
    layout: str
    store: str

    @property
    def part(self) -> Part:
        return Part(self.number, self.of)

    @property
    def compared(self) -> dict[str, Any]:
        """What must be the same, by what it is called."""
        return {
            "database": self.database,
            "schema": self.schema,
            "layout": self.layout,
            "store": self.store,
        }


def facts_of_part(
    part: Part, begun: str, first: int | None, database: Database, data_dir: Path, layout: Layout
) -> PartFacts:
    """Raises DiskError."""
    places = [(p.model.name, p.kind, p.path, p.array) for p in layout.places]
    return PartFacts(
        number=part.number,
        of=part.of,
        begun=begun,
        first=first,
        database=database,
        schema=fingerprint(layout.datamodel),
        layout=_digest(places),
        store=store_of(data_dir),
    )


def store_of(data_dir: Path) -> str:
    """What tells a store and its copies from others: when it was made, and of which database.

    Raises DiskError.
    """
    with disk_errors("reading what the store is"):
        file = data_dir / "schema" / "store.json"
        made = int(file.stat().st_mtime) if file.exists() else 0
    return _digest([made, msgspec.to_builtins(known_origin(data_dir).database)])


def path_of_part(data_dir: Path, part: Part, out: Path | None) -> Path:
    """Where the report of a part goes; a folder for it is made.  Raises DiskError."""
    if out is not None:
        return out
    disk.make_folder(data_dir / "cache")
    disk.make_folder(data_dir / FOLDER)
    return data_dir / FOLDER / f"part-{part.number}-of-{part.of}.jsonl"


def _digest(value: Any) -> str:
    return sha256(msgspec.json.encode(value)).hexdigest()
