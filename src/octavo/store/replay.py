"""Changes that another database has made already, brought into a transaction as they are.

Their referential actions have run there, and are among them.  So none runs here: rows are taken out and put
in, and the constraints are looked at when all of them are made.  What violates one then was not so in the
database that they come from: the store was not equal to it before.

Everything that changes is taken out first.  So it does not matter which rows exchange keys, parents or unique
values, and a record is never embedded in one that is about to go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from msgspec import UNSET

from octavo.errors import ForeignKeyViolation, UniqueViolation
from octavo.layout.codec import Codec
from octavo.layout.layout import Kind
from octavo.layout.record import Record
from octavo.layout.stored import SHA256, Key, Stored, array_attribute, replaced
from octavo.schema.datamodel import Relation
from octavo.store.index import Spec
from octavo.store.integrity import Writable


@dataclass(frozen=True, slots=True)
class Put:
    """A row that is there afterwards.

    ``origin`` is the key that it had before, if it was there: what the schema does not know of it stays with
    it.  ``sha256`` is its payload's digest; None: it has none.
    """

    row: Record
    origin: Key | None
    sha256: str | None = None


@dataclass(slots=True)
class ModelChanges:
    """What becomes of the rows of one model."""

    gone: set[Key] = field(default_factory=set)
    """the keys of rows that are there no longer, under this key"""
    puts: list[Put] = field(default_factory=list)


NetChanges: TypeAlias = Mapping[str, ModelChanges]
"""By model."""


class Replay:
    """Brings changes into one transaction."""

    def __init__(self, view: Writable) -> None:
        self.view, self.layer, self.rules = view, view.layer, view.rules
        self._taken: dict[tuple[str, Key], Stored] = {}
        """records as they were, by their model and the key that they had"""
        self._rows: dict[tuple[str, Key], Record] = {}
        """the same as rows"""

    def run(self, changes: NetChanges) -> None:
        """Make the changes.  Raises ForeignKeyViolation, UniqueViolation, UsageError for values that are not
        of their types; the transaction is to be given up then."""
        embedded = {m: c for m, c in changes.items() if self._codec(m).place.kind is Kind.EMBEDDED}
        others = {m: c for m, c in changes.items() if m not in embedded}
        for model, change in embedded.items():
            for key in self._leaving(model, change):
                self._take_out(model, key)
        for model, change in others.items():
            for key in change.gone:
                self._remove(model, key)
        for model, change in others.items():
            for put in change.puts:
                self._put(model, put)
        for model, change in embedded.items():
            self._put_in(model, change.puts)
        for model, change in changes.items():
            self._check_puts(model, change.puts)
        self._check_pointing(changes)

    def _codec(self, model: str) -> Codec:
        return self.rules.codecs[model]

    def _leaving(self, model: str, change: ModelChanges) -> Iterable[Key]:
        return change.gone | {put.origin for put in change.puts if put.origin is not None}

    def _take_out(self, model: str, key: Key) -> None:
        """Take an embedded record out of its parent's array."""
        row = self.view.get(model, key)
        if row is None:
            return
        relation = self._relation(model)
        parent = self.rules.values_of(Spec(model, relation.fields))(row)
        stored = self.layer.record(relation.parent, parent)
        codec, key_of = self._codec(model), self._codec(model).key_of
        name = array_attribute(codec.place)
        items = list(getattr(stored, name))
        rows = self._codec(relation.parent).embedded(stored, codec)
        at = next(n for n, other in enumerate(rows) if key_of(other) == key)
        self._taken[model, key], self._rows[model, key] = items.pop(at), row
        self.layer.put(relation.parent, parent, stored, replaced(stored, **{name: items}))

    def _remove(self, model: str, key: Key) -> None:
        codec, stored = self._codec(model), self.layer.record(model, key)
        if stored is None:
            return
        for child in codec.children:
            if getattr(stored, array_attribute(child.place)):
                # In the other database they point at nothing now.
                raise ForeignKeyViolation(
                    child.place.model.name, self._relation(child.place.model.name).fields
                )
        self._taken[model, key], self._rows[model, key] = stored, codec.record(stored)
        self.layer.put(model, key, stored, None)

    def _put(self, model: str, put: Put) -> None:
        codec = self._codec(model)
        self.rules.check_types(put.row)
        key = codec.key_of(put.row)
        there = self.layer.record(model, key)
        before = self._taken.get((model, put.origin)) or there
        if there is not None:
            self._rows[model, key] = codec.record(there)
        arrays = {
            child.place.array: [] if there is None else getattr(there, array_attribute(child.place))
            for child in codec.children
        }
        made = codec.stored(put.row, arrays, before)
        if codec.place.payload:
            made = replaced(made, **{SHA256: UNSET if put.sha256 is None else put.sha256})
        self.layer.put(model, key, there, made)

    def _put_in(self, model: str, puts: Sequence[Put]) -> None:
        """Put embedded records into their parents' arrays, each array in its order."""
        codec, relation = self._codec(model), self._relation(model)
        parent_of = self.rules.values_of(Spec(model, relation.fields))
        by_parent: dict[Key, list[Put]] = {}
        for put in puts:
            self.rules.check_types(put.row)
            by_parent.setdefault(parent_of(put.row), []).append(put)
        name, order = array_attribute(codec.place), self.rules.order_of(model)
        for parent, entering in by_parent.items():
            stored = self.layer.record(relation.parent, parent)
            if stored is None:
                raise ForeignKeyViolation(model, relation.fields)
            items = list(getattr(stored, name))
            items += [codec.stored(p.row, {}, self._taken.get((model, p.origin))) for p in entering]
            rows = self._codec(relation.parent).embedded(replaced(stored, **{name: items}), codec)
            ordered = sorted(zip(map(order, rows), range(len(items)), strict=True))
            array = [items[at] for _, at in ordered]
            self.layer.put(relation.parent, parent, stored, replaced(stored, **{name: array}))

    def _check_puts(self, model: str, puts: Sequence[Put]) -> None:
        """Hold rows against the others with their unique values, and against what they point at."""
        for put in puts:
            before = self._rows.get((model, put.origin)) if put.origin is not None else None
            for fields in self.rules.uniques[model]:
                get = self.rules.values_of(Spec(model, fields))
                values = get(put.row)
                if (before is None or get(before) != values) and len(
                    self.view.find(model, fields, values)
                ) > 1:
                    raise UniqueViolation(model, fields)
            for relation in self.rules.parents[model]:
                get = self.rules.values_of(Spec(model, relation.fields))
                values = get(put.row)
                if before is None or get(before) != values:
                    self._check_parent(relation, values)

    def _check_parent(self, relation: Relation, values: Any) -> None:
        if self.view.lacks_parent(relation, values):
            raise ForeignKeyViolation(relation.child, relation.fields)

    def _check_pointing(self, changes: NetChanges) -> None:
        """Make sure that nothing points at what is there no longer."""
        for (model, _), row in self._rows.items():
            for relation in self.rules.children[model]:
                if relation not in self.rules.parents[relation.child]:
                    continue
                values = self.rules.values_of(Spec(model, relation.references))(row)
                if self.view.find(model, relation.references, values):
                    continue
                if self.view.find(relation.child, relation.fields, values):
                    raise ForeignKeyViolation(relation.child, relation.fields)

    def _relation(self, model: str) -> Relation:
        relation = self._codec(model).place.relation
        if relation is None:
            raise AssertionError(model)
        return relation
