"""Stored records as layers: the committed ones below, and over them what transactions have changed so far.

A layer answers three questions: which record has this key, which records are found under these values, and
which are there at all.  What it has not changed it asks the layer below.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from octavo.errors import ConflictError
from octavo.layout.codec import Codec
from octavo.layout.layout import Kind, Layout
from octavo.layout.stored import Key, Stored
from octavo.store.families import (
    Changed,
    Changes,
    DocumentFamily,
    Family,
    LogFamily,
    ParentLogs,
    RecordFamily,
    missing,
)
from octavo.store.index import Index, Spec, extractor
from octavo.store.locations import Locations
from octavo.store.world import World


class Layer(Protocol):
    """Stored records of the models that are not embedded in others."""

    def record(self, model: str, key: Key) -> Stored | None:
        """The record with this key, if there is one."""

    def find(self, host: str, spec: Spec, values: Any) -> list[Stored]:
        """The records of the host's model that hold, themselves or embedded, a record with these values."""

    def all(self, model: str) -> Iterator[Stored]:
        """All records of a model, in no order."""


class Base:
    """What is committed, as it stands in the files."""

    def __init__(self, world: World, layout: Layout, codecs: Mapping[str, Codec], budget: int) -> None:
        """``budget``: bytes of logs per parent to hold in memory, as they are in their files."""
        self.world, self.layout, self.codecs = world, layout, codecs
        self.families: list[Family] = []
        self._by_model: dict[str, Family] = {}
        self._by_path: dict[str, Family] = {}
        self.locations: dict[str, Locations] = {}
        for family in layout.families:
            made = self._made(family, budget)
            self.families.append(made)
            self._by_path[family.path] = made
            for place in family.places:
                self._by_model[place.model.name] = made
            if isinstance(made, ParentLogs):
                self.locations[made.model] = Locations(made)

    def _made(self, family: Any, budget: int) -> Family:
        match family.kind:
            case Kind.DOCUMENT:
                return DocumentFamily(self.world, family, self.codecs)
            case Kind.FILE:
                return RecordFamily(self.world, family, self.codecs)
            case Kind.LOG:
                return LogFamily(self.world, family, self.codecs)
        return ParentLogs(self.world, family, self.codecs, budget)

    def family(self, model: str) -> Family:
        """The files in which a model's records live."""
        return self._by_model[model]

    def suspect(self, files: set[str] | None) -> None:
        """These files may have changed; None: any may have."""
        if files is None:
            for made in self.families:
                made.suspect(None)
            for locations in self.locations.values():
                locations.suspect(None)
            return
        for file in files:
            family = self.layout.family(file)
            if family is None:
                continue
            made = self._by_path[family.path]
            made.suspect(file)
            if isinstance(made, ParentLogs):
                self.locations[made.model].suspect(file)

    def record(self, model: str, key: Key) -> Stored | None:
        family = self._by_model[model]
        if isinstance(family, ParentLogs):
            return self.locations[model].find(key)
        return family.record(model, key)

    def find(self, host: str, spec: Spec, values: Any) -> list[Stored]:
        family = self._by_model[host]
        if not isinstance(family, ParentLogs):
            return family.find(host, spec, values)
        if spec == Spec(family.model, family.relation.fields):
            return self.of_parent(family, values)
        if spec.fields == family.codec.place.model.key.field_names:
            found = self.locations[host].find(values)
            return [] if found is None else [found]
        extract = extractor(family.codec, spec)
        return [stored for stored in family.all() if values in extract(stored)]

    def of_parent(self, family: ParentLogs, values: Any) -> list[Stored]:
        """The records in a parent's log.  Raises DamagedError if the parent is there and its log is not."""
        found = family.of_parent(values)
        if found is not None:
            return found
        if self.record(family.relation.parent, values) is not None:
            raise missing(family.namer.file(values))
        return []

    def all(self, model: str) -> Iterator[Stored]:
        family = self._by_model[model]
        if isinstance(family, ParentLogs):
            return family.all()
        return iter(list(family.records(model).values()))

    def close(self) -> None:
        for locations in self.locations.values():
            locations.close()


class Overlay:
    """What transactions have changed over the layer below.

    An overlay becomes part of the layer below by a commit; if that fails, everything built on it is
    :attr:`failed` too.
    """

    def __init__(self, below: Layer, codecs: Mapping[str, Codec]) -> None:
        self.below, self.codecs = below, codecs
        self.changes: dict[str, dict[Key, Changed]] = {}
        self.failed = False
        self._indexes: dict[tuple[str, Spec], Index] = {}

    def check(self) -> None:
        """Raise ConflictError if what this is built on did not come about."""
        if self.failed or (isinstance(self.below, Overlay) and self.below.failed):
            raise ConflictError("an earlier transaction, on which this one was built, could not be stored")

    def record(self, model: str, key: Key) -> Stored | None:
        changed = self.changes.get(model)
        if changed is not None and (change := changed.get(key)) is not None:
            return change.after
        return self.below.record(model, key)

    def find(self, host: str, spec: Spec, values: Any) -> list[Stored]:
        below = self.below.find(host, spec, values)
        changed = self.changes.get(host)
        if not changed:
            return below
        key_of = self.codecs[host].key_of
        found = [stored for stored in below if key_of(stored) not in changed]
        keys = self._index(host, spec).find(values)
        return found + [after for key in keys if (after := changed[key].after) is not None]

    def all(self, model: str) -> Iterator[Stored]:
        changed = self.changes.get(model)
        if not changed:
            return self.below.all(model)
        key_of = self.codecs[model].key_of
        unchanged = (stored for stored in self.below.all(model) if key_of(stored) not in changed)
        return iter([*unchanged, *(c.after for c in changed.values() if c.after is not None)])

    def put(self, model: str, key: Key, before: Stored | None, after: Stored | None) -> None:
        """Change one record.  ``before`` is what it is in this layer now; None: there is none."""
        changed = self.changes.setdefault(model, {})
        known = changed.get(key)
        for (host, _), index in self._indexes.items():
            if host == model:
                if known is not None and known.after is not None:
                    index.discard(key, known.after)
                if after is not None:
                    index.add(key, after)
        changed[key] = Changed(before if known is None else known.before, after)

    def _index(self, host: str, spec: Spec) -> Index:
        index = self._indexes.get((host, spec))
        if index is None:
            records = {k: c.after for k, c in self.changes[host].items() if c.after is not None}
            index = self._indexes[host, spec] = Index(extractor(self.codecs[host], spec), records)
        return index

    def merge(self, upper: Overlay) -> None:
        """Take over what an overlay on this one has changed."""
        for model, changed in upper.changes.items():
            for key, change in changed.items():
                self.put(model, key, change.before, change.after)

    @property
    def net(self) -> Changes:
        """What has changed from first to last, without what came and went."""
        found = {
            model: {
                key: change
                for key, change in changed.items()
                if change.before is not None or change.after is not None
            }
            for model, changed in self.changes.items()
        }
        return {model: changed for model, changed in found.items() if changed}
