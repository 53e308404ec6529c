"""Rows as they are to be, of any models, made so in one transaction with deferred constraints.

The rows come from a database that has them already.  Its referential actions have run there, and what they
changed is in the set; so none runs here.  Uniques and foreign keys are checked when all rows are made: so
rows can exchange keys, parents and unique values.  A constraint that does not hold then shows that the store
was not equal to that database before.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

from octavo.errors import ConstraintError, ForeignKeyViolation, UniqueViolation
from octavo.layout.keys import Key
from octavo.layout.record import Record, Row, keeping, model_of, plain
from octavo.schema.datamodel import Relation
from octavo.store.index import Spec
from octavo.store.rules import unique_name
from octavo.store.view import Writable

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
    found = {}
    for model, changed in view.layer.net.items():
        for key, change in changed.items():
            before, after = (None if row is None else plain(row) for row in change)
            if before != after:
                found[model, key] = RowChange(before, after)
    return found


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
        self._before: dict[Name, Row] = {}
        """the rows of the set as they were, by the key that they had"""
        self._conflicts: list[Conflict] = []

    def run(self, *, thoroughly: bool) -> list[Conflict]:
        for model, rows in self._rows.items():
            for key in rows:
                if (row := self.layer.record(model, key)) is not None:
                    self._before[model, key] = row
        for model, wanted in self._rows.items():
            for key, after in wanted.items():
                self._make(model, key, after)
        for model, rows in self._rows.items():
            for key, row in rows.items():
                if row is not None:
                    self._check(self._was(model, key), row, thoroughly)
        self._check_pointing()
        return self._conflicts

    def _origin(self, model: str, key: Key) -> Name:
        """Which row it was before."""
        return model, self._origins.get((model, key), key)

    def _was(self, model: str, key: Key) -> Row | None:
        return self._before.get(self._origin(model, key))

    def _make(self, model: str, key: Key, after: Record | None) -> None:
        before = self._before.get((model, key))
        if after is not None:
            self.rules.check_types(after)
            self.layer.put(model, key, before, keeping(after, self._was(model, key)))
        elif before is not None:
            self.layer.put(model, key, before, None)

    # The constraints

    def _check(self, before: Row | None, row: Record, thoroughly: bool) -> None:
        """Compare a row's unique values with the others', and look for what it points at."""
        model = model_of(row).name
        key_of = self.rules.codecs[model].key_of
        for fields in self.rules.uniques[model]:
            get = self.rules.values_of(Spec(model, fields))
            if not thoroughly and before is not None and get(before) == get(row):
                continue
            found = self.view.find(model, fields, get(row))
            if len(found) > 1:
                names = [(model, key_of(other)) for other in found]
                others = tuple(name for name in names if name[1] != key_of(row))
                self._conflicts.append(
                    Conflict(
                        UniqueViolation(model, fields, constraint=unique_name(model_of(row), fields)),
                        row,
                        others,
                    )
                )
        for relation in self.rules.parents[model]:
            get = self.rules.values_of(Spec(model, relation.fields))
            if not thoroughly and before is not None and get(before) == get(row):
                continue
            if self.view.lacks_parent(relation, get(row)):
                error = ForeignKeyViolation(model, relation.fields, constraint=relation.constraint)
                self._conflicts.append(Conflict(error, row, (), relation))

    def _check_pointing(self) -> None:
        """Look for rows that point at one that is gone, or has other values now."""
        for (model, _), row in self._before.items():
            for relation in self.rules.children[model]:
                if relation not in self.rules.parents[relation.child]:
                    continue
                values = self.rules.values_of(Spec(model, relation.references))(row)
                if self.view.find(model, relation.references, values):
                    continue
                key_of = self.rules.codecs[relation.child].key_of
                found = self.view.find(relation.child, relation.fields, values)
                if others := tuple((relation.child, key_of(child)) for child in found):
                    error = ForeignKeyViolation(
                        relation.child, relation.fields, constraint=relation.constraint
                    )
                    self._conflicts.append(Conflict(error, None, others))
