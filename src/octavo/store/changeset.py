"""Rows as they are to be, of any models, made so in one transaction with deferred constraints.

The rows come from a database that has them already.  Its referential actions have run there, and what they
changed is in the set; so none runs here.  Uniques and foreign keys are checked when all rows are made: so
rows can exchange keys, parents and unique values.  A constraint that does not hold then shows that the store
was not equal to that database before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple, TypeAlias

from octavo.errors import ConstraintError, ForeignKeyViolation, UniqueViolation
from octavo.layout.layout import Kind
from octavo.layout.record import Record, model_of
from octavo.layout.stored import Key, Stored, array_attribute, replaced
from octavo.layout.storedcodec import Codec
from octavo.schema.datamodel import Relation
from octavo.store.families.base import Changed
from octavo.store.index import Spec
from octavo.store.integrity import Writable
from octavo.store.rules import Rules

Name: TypeAlias = tuple[str, Key]
"""What identifies a row: its model and key"""


class RowChange(NamedTuple):
    """A row that a transaction has changed; None: there is none."""

    before: Record | None
    after: Record | None


class Conflict(NamedTuple):
    """A constraint that does not hold."""

    error: ConstraintError
    row: Record | None
    """the row of the set that does not keep it; None: other rows point at one that is gone"""
    others: tuple[Name, ...] = ()
    """the rows that have its unique values, too; or those that point at a row that is gone"""
    relation: Relation | None = None
    """the foreign key of ``row`` whose parent is missing"""
    is_left_out: bool = False
    """whether ``row`` could not be made, since it is embedded in that parent"""


class ChangeSet:
    """Rows to be set and deleted, by model and key.

    What the schema does not know of a row, and its payload's digest, stay with it; also if its key changes.
    """

    def __init__(self) -> None:
        self.rows: dict[str, dict[Key, Record | None]] = {}
        self._origins: dict[Name, Key | None] = {}

    def set(self, model: str, key: Key, row: Record) -> None:
        """Let the row with this key be this one."""
        self.rows.setdefault(model, {})[key] = row

    def move(self, model: str, origin: Key | None, key: Key, row: Record) -> None:
        """Let the row that has the key ``origin`` be this one, under another key; None: it is a new row,
        whatever has its key before."""
        rows = self.rows.setdefault(model, {})
        rows[key] = row
        self._origins[model, key] = origin
        if origin is not None:
            rows.setdefault(origin, None)

    def delete(self, model: str, key: Key) -> None:
        """Let there be no row with this key."""
        self.rows.setdefault(model, {})[key] = None

    def apply(self, view: Writable, *, thoroughly: bool = False) -> list[Conflict]:
        """Make the changes in a transaction; the constraints that do not hold then.

        Those of fields that have not changed are only looked at ``thoroughly``.  Raises UsageError for a
        value that is not of its type.
        """
        return _Application(self.rows, self._origins, view).run(thoroughly=thoroughly)


def changed_rows(view: Writable) -> dict[Name, RowChange]:
    """The rows that are not what they were before a transaction."""
    found: dict[Name, RowChange] = {}
    for host, changed in view.layer.net.items():
        codec = view.rules.codecs[host]
        for key, change in changed.items():
            before, after = (None if s is None else codec.record(s) for s in change)
            if before != after:
                found[host, key] = RowChange(before, after)
            for child in codec.children:
                if _holds_the_same(view.rules, change, child):
                    continue
                old, new = (
                    {} if s is None else {child.key_of(row): row for row in codec.embedded(s, child)}
                    for s in change
                )
                for inner in {**old, **new}:
                    name = child.place.model.name, inner
                    # It may have gone from one host and come to another.
                    known = found.get(name, RowChange(None, None))
                    found[name] = RowChange(old.get(inner, known.before), new.get(inner, known.after))
    return {name: change for name, change in found.items() if change.before != change.after}


def _holds_the_same(rules: Rules, change: Changed, child: Codec) -> bool:
    """Whether the rows that are embedded in one are the same afterwards."""
    array, relation = array_attribute(child.place), child.place.relation
    before, after = change
    if before is None or after is None or relation is None:
        return False
    get = rules.values_of(Spec(relation.parent, relation.references))
    return bool(getattr(before, array) == getattr(after, array) and get(before) == get(after))


class _Application:
    """A change set on its way into a transaction."""

    def __init__(
        self,
        rows: Mapping[str, Mapping[Key, Record | None]],
        origins: Mapping[Name, Key | None],
        view: Writable,
    ) -> None:
        self.view, self.layer, self.rules = view, view.layer, view.rules
        self._rows, self._origins = rows, origins
        self._before: dict[Name, Record] = {}
        """the rows of the set as they were, by the key that they had"""
        self._kept: dict[Name, Stored] = {}
        """the same as they are stored"""
        self._conflicts: list[Conflict] = []

    def run(self, *, thoroughly: bool) -> list[Conflict]:
        embedded = [model for model in self._rows if self._codec(model).place.kind is Kind.EMBEDDED]
        others = [model for model in self._rows if model not in embedded]
        for model in embedded:
            for key in self._rows[model]:
                self._take_out(model, key)
        for model in others:
            self._remember(model)
        for model in others:
            for key, row in self._rows[model].items():
                self._make(model, key, row)
        for model in embedded:
            self._put_in(model)
        for model, rows in self._rows.items():
            for key, row in rows.items():
                if row is not None:
                    self._check(self._was(model, key), row, thoroughly)
        self._check_pointing()
        return self._conflicts

    def _codec(self, model: str) -> Codec:
        return self.rules.codecs[model]

    def _origin(self, model: str, key: Key) -> Name:
        """Which row it was before."""
        return model, self._origins.get((model, key), key)

    def _was(self, model: str, key: Key) -> Record | None:
        return self._before.get(self._origin(model, key))

    def _take_out(self, model: str, key: Key) -> None:
        """Take an embedded row out of its parent's array."""
        row = self.view.get(model, key)
        if row is None:
            return
        relation, codec = self._relation(model), self._codec(model)
        parent = self.rules.values_of(Spec(model, relation.fields))(row)
        stored = self.layer.record(relation.parent, parent)
        name = array_attribute(codec.place)
        items = list(getattr(stored, name))
        keys = [codec.key_of(other) for other in self._codec(relation.parent).embedded(stored, codec)]
        self._kept[model, key], self._before[model, key] = items.pop(keys.index(key)), row
        self.layer.put(relation.parent, parent, stored, replaced(stored, **{name: items}))

    def _remember(self, model: str) -> None:
        record_of = self._codec(model).record
        for key in self._rows[model]:
            if (stored := self.layer.record(model, key)) is not None:
                self._kept[model, key], self._before[model, key] = stored, record_of(stored)

    def _make(self, model: str, key: Key, row: Record | None) -> None:
        codec, there = self._codec(model), self._kept.get((model, key))
        if row is None:
            if there is not None:
                self._abandon(codec, there)
                self.layer.put(model, key, there, None)
            return
        self.rules.check_types(row)
        arrays = {
            child.place.array: [] if there is None else getattr(there, array_attribute(child.place))
            for child in codec.children
        }
        made = codec.stored(row, arrays, self._kept.get(self._origin(model, key)))
        self.layer.put(model, key, there, made)

    def _abandon(self, codec: Codec, stored: Stored) -> None:
        """What is embedded in a row goes with it, though nothing said so."""
        for child in codec.children:
            if rows := codec.embedded(stored, child):
                names = [(child.place.model.name, child.key_of(row)) for row in rows]
                self._pointless(self._relation(child.place.model.name), names)

    def _put_in(self, model: str) -> None:
        """Put embedded rows into their parents' arrays, each array in its order."""
        codec, relation = self._codec(model), self._relation(model)
        parent_of = self.rules.values_of(Spec(model, relation.fields))
        by_parent: dict[Key, list[tuple[Key, Record]]] = {}
        for key, row in self._rows[model].items():
            if row is not None:
                self.rules.check_types(row)
                by_parent.setdefault(parent_of(row), []).append((key, row))
        name, order = array_attribute(codec.place), self.rules.order_of(model)
        for parent, entering in by_parent.items():
            stored = self.layer.record(relation.parent, parent)
            if stored is None:
                for _, row in entering:
                    self._parentless(relation, row, is_left_out=True)
                continue
            items = list(getattr(stored, name))
            items += [
                codec.stored(row, {}, self._kept.get(self._origin(model, key))) for key, row in entering
            ]
            rows = self._codec(relation.parent).embedded(replaced(stored, **{name: items}), codec)
            ordered = sorted(zip(map(order, rows), range(len(items)), strict=True))
            array = [items[at] for _, at in ordered]
            self.layer.put(relation.parent, parent, stored, replaced(stored, **{name: array}))

    # The constraints

    def _check(self, before: Record | None, row: Record, thoroughly: bool) -> None:
        """Compare a row's unique values with the others', and look for what it points at."""
        model, key = model_of(row).name, self._codec(model_of(row).name).key_of(row)
        for fields in self.rules.uniques[model]:
            get = self.rules.values_of(Spec(model, fields))
            if not thoroughly and before is not None and get(before) == get(row):
                continue
            found = self.view.find(model, fields, get(row))
            if len(found) > 1:
                names = [(model, self._codec(model).key_of(other)) for other in found]
                others = tuple(name for name in names if name[1] != key)
                self._conflicts.append(Conflict(UniqueViolation(model, fields), row, others))
        for relation in self.rules.parents[model]:
            get = self.rules.values_of(Spec(model, relation.fields))
            if not thoroughly and before is not None and get(before) == get(row):
                continue
            if self.view.lacks_parent(relation, get(row)):
                self._parentless(relation, row)

    def _check_pointing(self) -> None:
        """Look for rows that point at one that is gone, or has other values now."""
        for (model, _), row in self._before.items():
            for relation in self.rules.children[model]:
                if relation not in self.rules.parents[relation.child]:
                    continue
                values = self.rules.values_of(Spec(model, relation.references))(row)
                if self.view.find(model, relation.references, values):
                    continue
                key_of = self._codec(relation.child).key_of
                found = self.view.find(relation.child, relation.fields, values)
                self._pointless(relation, [(relation.child, key_of(child)) for child in found])

    def _parentless(self, relation: Relation, row: Record, *, is_left_out: bool = False) -> None:
        error = ForeignKeyViolation(relation.child, relation.fields)
        self._conflicts.append(Conflict(error, row, (), relation, is_left_out))

    def _pointless(self, relation: Relation, names: Iterable[Name]) -> None:
        if others := tuple(names):
            error = ForeignKeyViolation(relation.child, relation.fields)
            self._conflicts.append(Conflict(error, None, others))

    def _relation(self, model: str) -> Relation:
        relation = self._codec(model).place.relation
        if relation is None:
            raise AssertionError(model)
        return relation
