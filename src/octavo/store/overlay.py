"""Rows as layers: the committed ones below, and over them what transactions have changed so far.

A layer answers three questions: which row has this key, which rows are found under these values, and which
are there at all.  What it has not changed it asks the layer below.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from octavo.errors import ConflictError
from octavo.layout.codec import Codec
from octavo.layout.keys import Key
from octavo.layout.layout import FileFamily, Kind, Layout
from octavo.layout.record import Record, Row
from octavo.store.families.base import Changed, Changes, Family
from octavo.store.freshness import World
from octavo.store.index import Index, Spec, extractor

if TYPE_CHECKING:
    from octavo.store.texts import TextIndex

_REMEMBERED = 10_000
"""files of which the family is remembered"""


class Layer(Protocol):
    """Rows of every model, with what the schema does not know of them."""

    def record(self, model: str, key: Key) -> Row | None:
        """The row with this key, if there is one."""

    def find(self, spec: Spec, values: Any) -> list[Row]:
        """The rows with these values."""

    def all(self, model: str) -> Iterator[Row]:
        """All rows of a model, in no order."""

    def rows_in_order(self, spec: Spec, values: Any) -> Sequence[Record] | None:
        """The rows with these values in the order of a file; None: they are to be found and sorted."""

    def holding(self, model: str, parts: Sequence[str]) -> list[Row] | None:
        """The rows that may hold all these folded parts of texts; None: no index tells."""

    def ranked(
        self, model: str, words: Sequence[str], fields: Sequence[str]
    ) -> Iterator[tuple[Row, float]] | None:
        """The rows that may have all these words in these fields, with their rank, best first; None: no index
        tells."""


class Base:
    """What is committed, as it stands in the files."""

    def __init__(self, world: World, layout: Layout, codecs: Mapping[str, Codec], budget: int) -> None:
        """``budget``: bytes of logs per parent to hold in memory, as they are in their files."""
        self.world, self.layout, self.codecs = world, layout, codecs
        self._budget = budget
        self._by_model: dict[str, Family] = {}
        self._by_path: dict[str, Family] = {}
        self._by_file: dict[str, Family | None] = {}
        self._owned: dict[str, list[str]] = {
            place.model.name: [place.model.name]
            + [
                other.model.name
                for other in layout.places
                if other.kind is Kind.LOG_PER_PARENT
                and other.relation is not None
                and other.relation.parent == place.model.name
            ]
            for place in layout.places
        }

    def family(self, model: str) -> Family:
        """The files in which a model's records live."""
        found = self._by_model.get(model)
        return self._make(model) if found is None else found

    def _make(self, model: str) -> Family:
        with self.world.mutex, self.world.guard:
            if model not in self._by_model:
                path = self.layout.host(model).path
                family = next(f for f in self.layout.families if f.path == path)
                made = self._by_path[path] = self._of_kind(family)
                self._by_file.clear()
                for name in (*made.codecs, *made.children):
                    self._by_model[name] = made
            return self._by_model[model]

    def concerned(self, models: Iterable[str]) -> list[Family]:
        """The files that a change of these models' records may change: the logs that they own, too."""
        found: dict[Family, None] = {}
        for model in models:
            for name in self._owned[model]:
                found[self._by_model.get(name) or self._make(name)] = None
        return list(found)

    def _of_kind(self, family: FileFamily) -> Family:
        # A process seldom uses each way to live.
        match family.kind:
            case Kind.DOCUMENT:
                from octavo.store.families.document import DocumentFamily

                return DocumentFamily(self.world, family, self.codecs)
            case Kind.FILE:
                from octavo.store.families.record import RecordFamily

                return RecordFamily(self.world, family, self.codecs)
            case Kind.LOG:
                from octavo.store.families.log import LogFamily

                return LogFamily(self.world, family, self.codecs)
        from octavo.store.families.parents import ParentLogs

        return ParentLogs(self.world, family, self.codecs, self, self._budget)

    @cached_property
    def texts(self) -> TextIndex | None:
        """The index of texts, if any are searched."""
        if not any(place.search for place in self.layout.places):
            return None
        from octavo.store.texts import TextIndex

        return TextIndex(self)

    def suspect(self, files: set[str] | None) -> None:
        """These files may have changed; None: any may have."""
        if (texts := vars(self).get("texts")) is not None:
            texts.suspect(files)
        if files is None:
            for made in self._by_path.values():
                made.suspect(None)
            return
        for file in files:
            made_for = self._family_of(file)
            if made_for is not None:
                made_for.suspect(file)

    def _family_of(self, file: str) -> Family | None:
        """The family in memory that a file belongs to, if there is one."""
        if file not in self._by_file:
            if len(self._by_file) > _REMEMBERED:
                self._by_file.clear()
            family = self.layout.family(file)
            self._by_file[file] = None if family is None else self._by_path.get(family.path)
        return self._by_file[file]

    def record(self, model: str, key: Key) -> Row | None:
        family = self._by_model.get(model) or self._make(model)
        return family.record(model, key)

    def find(self, spec: Spec, values: Any) -> list[Row]:
        return self.family(spec.model).find(spec, values)

    def all(self, model: str) -> Iterator[Row]:
        return self.family(model).all(model)

    def rows_in_order(self, spec: Spec, values: Any) -> Sequence[Record] | None:
        """The rows with these values in the order of a file, if they lie so in memory."""
        return self.family(spec.model).rows_in_order(spec, values)

    def holding(self, model: str, parts: Sequence[str]) -> list[Row] | None:
        keys = None if self.texts is None else self.texts.holding(model, parts)
        if keys is None:
            return None
        return [row for key in keys if (row := self.record(model, key)) is not None]

    def ranked(
        self, model: str, words: Sequence[str], fields: Sequence[str]
    ) -> Iterator[tuple[Row, float]] | None:
        found = None if self.texts is None else self.texts.ranked(model, words, fields)
        if found is None:
            return None
        return ((row, rank) for key, rank in found if (row := self.record(model, key)) is not None)

    def note(self) -> None:
        """Let the index note what commits of this process have appended to logs."""
        for family in list(self._by_path.values()):
            family.note()
        if (texts := vars(self).get("texts")) is not None:
            texts.note()

    def close(self) -> None:
        for family in self._by_path.values():
            family.close()


class Overlay:
    """What transactions have changed over the layer below.

    An overlay becomes part of the layer below by a commit; if that fails, everything built on it is
    :attr:`failed` too.
    """

    def __init__(self, below: Layer, codecs: Mapping[str, Codec]) -> None:
        self.below, self.codecs = below, codecs
        self.changes: dict[str, dict[Key, Changed]] = {}
        self.failed = False
        self.since = 0
        """how often, when this began, what is committed had been read again"""
        self.position: str | None = None
        """what is to stand in the position's file, if that is to change"""
        self._indexes: dict[Spec, Index] = {}
        self._savepoints = 0
        """how many are open; one that is interrupted while it takes back stays open"""
        self._undo: list[tuple[str, Key, Changed | None]] = []
        """what each change since the outermost savepoint has replaced"""
        self._asked: tuple[str, Key, Row | None] | None = None
        """the row that was asked for last, as it is below: mostly it is the one that is changed next"""

    def check(self) -> None:
        """Raise ConflictError if what this is built on did not come about."""
        if self.failed or (isinstance(self.below, Overlay) and self.below.failed):
            raise ConflictError("an earlier transaction, on which this one was built, could not be stored")

    def require_whole(self) -> None:
        """Raise ConflictError if this cannot be committed: as :meth:`check`, or a savepoint was interrupted
        and is half taken back."""
        self.check()
        if self._savepoints:
            raise ConflictError("a part of the transaction was interrupted and could not be taken back")

    def record(self, model: str, key: Key) -> Row | None:
        changed = self.changes.get(model)
        if changed is not None and (change := changed.get(key)) is not None:
            return change.after
        asked = self._asked
        if asked is None or asked[0] != model or asked[1] != key:
            asked = self._asked = model, key, self.below.record(model, key)
        return asked[2]

    def find(self, spec: Spec, values: Any) -> list[Row]:
        below = self.below.find(spec, values)
        changed = self.changes.get(spec.model)
        if not changed:
            return below
        key_of = self.codecs[spec.model].key_of
        found = [row for row in below if key_of(row) not in changed]
        keys = self._index(spec).find(values)
        return found + [after for key in keys if (after := changed[key].after) is not None]

    def all(self, model: str) -> Iterator[Row]:
        changed = self.changes.get(model)
        if not changed:
            return self.below.all(model)
        key_of = self.codecs[model].key_of
        unchanged = (row for row in self.below.all(model) if key_of(row) not in changed)
        return iter([*unchanged, *(c.after for c in changed.values() if c.after is not None)])

    def rows_in_order(self, spec: Spec, values: Any) -> Sequence[Record] | None:
        return None if spec.model in self.changes else self.below.rows_in_order(spec, values)

    def holding(self, model: str, parts: Sequence[str]) -> list[Row] | None:
        below, changed = self.below.holding(model, parts), self.changes.get(model)
        if below is None or not changed:
            return below
        key_of = self.codecs[model].key_of
        found = [row for row in below if key_of(row) not in changed]
        return found + [change.after for change in changed.values() if change.after is not None]

    def ranked(
        self, model: str, words: Sequence[str], fields: Sequence[str]
    ) -> Iterator[tuple[Row, float]] | None:
        return None if self.changes.get(model) else self.below.ranked(model, words, fields)

    def put(self, model: str, key: Key, before: Row | None, after: Row | None) -> None:
        """Change one row.  ``before`` is what it is in this layer now; None: there is none."""
        changed = self.changes.setdefault(model, {})
        known = changed.get(key)
        if self._savepoints:
            self._undo.append((model, key, known))
        self._reindex(model, key, None if known is None else known.after, after)
        changed[key] = Changed(before if known is None else known.before, after)

    def _reindex(self, model: str, key: Key, old: Row | None, new: Row | None) -> None:
        for spec, index in self._indexes.items():
            if spec.model == model:
                if old is not None:
                    index.discard(key, old)
                if new is not None:
                    index.add(key, new)

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """What is changed inside the block is taken back if it is left by an exception."""
        undo, mark, outer, position = self._undo, len(self._undo), self._savepoints, self.position
        try:
            self._savepoints += 1
            yield
        except BaseException:
            while len(undo) > mark:
                # It goes when it is taken back, so that an outer savepoint can go on after an interruption.
                self._take_back(*undo[-1])
                undo.pop()
            self.position = position
            self._savepoints = outer
            raise
        self._savepoints -= 1
        if not self._savepoints:
            undo.clear()

    def _take_back(self, model: str, key: Key, known: Changed | None) -> None:
        """Undo a change, however far it has come: an interruption may have kept it from being made, or the
        indexes from following it.  They are made again when they are asked for."""
        self._indexes.clear()
        changed = self.changes.get(model, {})
        if known is not None:
            changed[key] = known
            return
        changed.pop(key, None)
        if not changed:
            self.changes.pop(model, None)

    def _index(self, spec: Spec) -> Index:
        index = self._indexes.get(spec)
        if index is None:
            rows = {k: c.after for k, c in self.changes[spec.model].items() if c.after is not None}
            index = self._indexes[spec] = Index(extractor(self.codecs[spec.model], spec.fields), rows)
        return index

    def merge(self, upper: Overlay) -> None:
        """Take over what an overlay on this one has changed."""
        self.since = min(self.since, upper.since)
        if upper.position is not None:
            self.position = upper.position
        for model, changed in upper.changes.items():
            for key, change in changed.items():
                self.put(model, key, change.before, change.after)

    @property
    def net(self) -> Changes:
        """What has changed from first to last, without what came and went."""
        found: dict[str, dict[Key, Changed]] = {}
        for model, changed in self.changes.items():
            for key, change in changed.items():
                if change.before is not None or change.after is not None:
                    found.setdefault(model, {})[key] = change
        return found
