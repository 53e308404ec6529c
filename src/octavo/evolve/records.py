"""One pass over the records of a store: each becomes what it is in the next schema."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from msgspec.structs import replace

from octavo.errors import DamagedError, DifferenceError
from octavo.evolve.change import ModelChange, named
from octavo.evolve.checks import Gathering
from octavo.evolve.files import NewFiles, packed
from octavo.evolve.matching import Matching
from octavo.evolve.sorting import Sorter
from octavo.inspect.progress import Progress
from octavo.inspect.row_hash import CopyBinary, Tally
from octavo.layout.codec import NONE, Codec, Codecs, Embedded
from octavo.layout.found import Entry, UnknownKey
from octavo.layout.layout import Kind, Layout
from octavo.layout.listing import File, contents
from octavo.layout.reader import Reader, live_records
from octavo.layout.record import Noted, Row, digest_of, noted, plain
from octavo.layout.scan import end_of_log
from octavo.schema.datamodel import Action

_TOLD = 1 << 18
"""bytes of records after which the progress is told"""


def arriving(matching: Matching, old: Layout, new: Layout) -> frozenset[str]:
    """The embedded models of the new layout whose records come with their parent's: they were embedded in the
    same one before."""
    found = set()
    for place in new.places:
        before = matching.models.get(place.model.name)
        if place.kind is Kind.EMBEDDED and place.relation is not None and before is not None:
            was = old.place(before)
            if was.kind is Kind.EMBEDDED and matching.relation_before(place.relation) == was.relation:
                found.add(place.model.name)
    return frozenset(found)


class Pass:
    """Reads every record of the old store, and hands over what it becomes."""

    def __init__(
        self,
        layouts: tuple[Layout, Layout],
        root: Path,
        changes: Mapping[str, ModelChange],
        codecs: Codecs,
        gathering: Gathering,
        progress: Progress,
    ) -> None:
        """``layouts``: the old one and the new one; ``codecs``: of the new one."""
        self._old, self._new = layouts
        self._root, self._codecs, self._gathering, self._progress = root, codecs, gathering, progress
        self._changes = {change.old.name: change for change in changes.values()}
        self._filled = {name: list(change.filled.values()) for name, change in changes.items()}
        self.files: NewFiles | None = None
        """where the new records go; None: nowhere, as they are only looked at"""
        self.arriving: frozenset[str] = frozenset()
        self.before: Counter[str] = Counter()
        """records by old model"""
        self.after: Counter[str] = Counter()
        """records by new model"""
        self.tallies: defaultdict[str, Tally] = defaultdict(Tally)
        """the sums of the new records, by model"""
        self._framed: dict[str, CopyBinary] = {}
        self._held: dict[str, Sorter] = {}
        """the records that are to be numbered, by old model"""
        self.unknown: list[UnknownKey] = []

    def run(self) -> None:
        """Do it.  Raises DamagedError for what cannot be read, OSError."""
        reader = Reader(self._old, self._root)
        with ExitStack() as stack:
            listed = contents(self._old, self._root)
            if listed.missing or listed.strays:
                raise _unsound([*listed.missing, *listed.strays])
            self._progress.begin("migrate", sum(file.size for file in listed.files), "bytes")
            for file in listed.files:
                size = 0
                for entry in live_records(reader, file, partial(self._damage, file), self.unknown.append):
                    self._entry(entry, stack)
                    size += entry.span[1] - entry.span[0]
                    if size > _TOLD:
                        self._progress.advance(size)
                        size = 0
                self._progress.advance(size)
            for name, sorter in self._held.items():
                change = self._changes[name]
                for number, (_, (kept, inner)) in enumerate(sorter.sorted(), 1):
                    embedded = {child: [noted(*one) for one in rows] for child, rows in inner.items()}
                    self._become(change, noted(*kept), embedded, number)
        self._gathering.judge()

    def _damage(self, file: File, error: DamagedError) -> None:
        """What cannot be read ends the migration, but for what a crash has torn of a log's last line."""
        if file.family.kind.is_log and error.span is not None:
            with open(self._root / file.path, "rb") as content:
                _, end, _ = end_of_log(content.fileno(), os.fstat(content.fileno()).st_size)
            if error.span[0] >= end:
                return
        raise error

    def _entry(self, entry: Entry, stack: ExitStack) -> None:
        if entry.found is None:
            return
        name, row, embedded = entry.codec.name, entry.found.row, entry.found.embedded
        self.before[name] += 1
        change = self._changes.get(name)
        for child in entry.codec.children:
            rows = embedded.get(child.name, ())
            self.before[child.name] += len(rows)
            inner = self._changes.get(child.name)
            if inner is not None and (change is None or inner.is_counted or not self._comes_with(inner)):
                for one in rows:
                    self._alone(inner, one, NONE, stack)
        if change is not None:
            self._alone(change, row, embedded, stack)

    def _comes_with(self, change: ModelChange) -> bool:
        return change.model in self.arriving and not change.is_counted

    def _alone(self, change: ModelChange, row: Row, embedded: Embedded, stack: ExitStack) -> None:
        """A record by itself, with those that come with it: now, or in its turn if it is to be numbered."""
        if not change.is_counted:
            self._become(change, row, embedded, 0)
            return
        held = self._held.get(change.old.name)
        if held is None:
            held = self._held[change.old.name] = Sorter(self._root / "cache")
            stack.callback(held.close)
        inner = {name: list(map(packed, rows)) for name, rows in embedded.items()}
        held.add(change.codec.order(row), (packed(row), inner), 500)

    def _become(self, change: ModelChange, row: Row, embedded: Embedded, number: int) -> None:
        left_out = change.left_out
        made = change.apply(row, number)
        inner: dict[str, Sequence[Row]] = {}
        for child in change.codec.children:
            other = self._changes.get(child.name)
            if other is None or not self._comes_with(other):
                continue
            rows = [one for given in embedded.get(child.name, ()) if (one := other.apply(given)) is not None]
            if made is None:
                if change.left_out > left_out:
                    self._leave_out(other, rows)
                continue
            inner[other.model] = self._with_parent(other, change, rows, made)
        if made is not None:
            self._take(change.model, made)
            for name, ones in inner.items():
                for one in ones:
                    self._take(name, one)
            if self.files is not None:
                self.files.put(change.model, made, inner)

    def _leave_out(self, change: ModelChange, rows: Sequence[Row]) -> None:
        """The parent of embedded records is left out."""
        change.left_out += len(rows)
        relation = self._new.place(change.model).relation
        if rows and relation is not None and relation.on_delete is not Action.CASCADE:
            step = change.step("", f"loses its {relation.parent}")
            for row in rows:
                said = named(self._codecs[change.model], plain(row))
                step.refuse(f"{said}: its {relation.parent} is left out")

    def _with_parent(
        self, change: ModelChange, parent: ModelChange, rows: Sequence[Row], made: Row
    ) -> Sequence[Row]:
        """Embedded records with the key of their parent, which a function may have changed."""
        if parent.function is None and change.function is None:
            return rows
        inherited = self._codecs[change.model].inherited(plain(made))
        return [
            noted(replace(plain(row), **inherited), digest_of(row), row.unknown if type(row) is Noted else ())
            for row in rows
        ]

    def _take(self, model: str, row: Row) -> None:
        codec: Codec = self._codecs[model]
        self.after[model] += 1
        values = codec.texts(plain(row))
        self._gathering.add(model, values, plain(row))
        framed = self._framed.get(model)
        if framed is None:
            framed = self._framed[model] = CopyBinary(self._new.datamodel, codec.place.model)
        self.tallies[model].add(framed, (framed.frame(values),))
        if sums := self._filled.get(model):
            key = b"\0".join(codec.keys.texts(codec.key_of(row)))
            for total in sums:
                total.add(key, plain(row))


def _unsound(files: Sequence[str]) -> DifferenceError:
    return DifferenceError(
        "the store is damaged, so nothing was migrated",
        [f"{file} is missing or in the way" for file in files],
        hint="octavo doctor tells what is wrong",
    )
