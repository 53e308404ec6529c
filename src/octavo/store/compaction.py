"""Logs with one line a record, in the order of an export: nothing superseded, removed or torn is left."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from octavo.errors import DamagedError, disk_errors
from octavo.store.families.base import Family, list_files
from octavo.store.overlay import Base
from octavo.store.system import read_whole
from octavo.store.writer import Writer


@dataclass(frozen=True, slots=True)
class Compacted:
    """A log before and after; ``file`` is relative to the data folder."""

    file: str
    lines_before: int
    lines_after: int
    bytes_before: int
    bytes_after: int
    rewritten: bool
    """whether it was not as an export has it"""


@dataclass
class Compaction:
    """What became of the logs of a store."""

    logs: list[Compacted] = field(default_factory=list)
    damaged: list[DamagedError] = field(default_factory=list)
    """why others were left as they are"""

    def take(self, file: str, family: Family, writer: Writer) -> None:
        """Compact one log, and note what came of it.  The write lock is held, and nothing is staged."""
        try:
            found = compact_log(file, family, writer)
        except DamagedError as error:
            self.damaged.append(error)
            return
        if found is not None:
            self.logs.append(found)

    @property
    def lines(self) -> tuple[int, int]:
        """All lines, before and after."""
        return sum(log.lines_before for log in self.logs), sum(log.lines_after for log in self.logs)

    @property
    def bytes(self) -> tuple[int, int]:
        """All bytes, before and after."""
        return sum(log.bytes_before for log in self.logs), sum(log.bytes_after for log in self.logs)


def log_files(base: Base) -> Iterator[tuple[str, str]]:
    """The logs that there are now, each with a model whose records it holds.  Raises DiskError."""
    for family in base.layout.families:
        if family.kind.is_log:
            files = sorted(list_files(base.world, family)) if family.varies else [family.path]
            yield from ((file, family.places[0].model.name) for file in files)


def compact_log(file: str, family: Family, writer: Writer) -> Compacted | None:
    """Rewrite a log if it is not as an export has it; None: it is gone.

    The write lock is held, and nothing is staged.  Raises DamagedError, ConflictError, DiskError.
    """
    world = writer.world
    log = family.log(file)
    if log is None:
        return None
    with disk_errors("compacting the store"):
        data, _ = read_whole(world.path(file))
        lines, after = log.log.lines, family.one_line_each(log)
        if log.log.torn:
            log.cut(world)
        if after != data:
            writer.compact(family, log)
    return Compacted(file, lines, after.count(b"\n"), len(data), len(after), after != data)
