"""Rows as one layer has them, without what the schema does not know of them; and changes of them.

Changes are held to the schema as PostgreSQL holds them.  Uniques are checked row by row.  Foreign keys and
referential actions are triggers of PostgreSQL, which wait in a queue until the rows of their statement are
changed.  Each row puts its own there: first the actions on those that point at it, then the checks of what it
points at, both in the order in which the foreign keys were made (by name, and theirs are numbered; *Overview
of Trigger Behavior*).  What an action changes queues up after all that is waiting.  So a delete that
PostgreSQL refuses is refused here, for the same constraint, and one that it lets through, because a later
action removes what was in the way, goes through here too.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from typing import Any

from msgspec.structs import replace

from octavo.errors import ForeignKeyViolation, NullViolation, UniqueViolation, UsageError
from octavo.layout.keys import Key
from octavo.layout.record import Noted, Record, attribute, digest_of, keeping, model_of, noted, plain
from octavo.schema.datamodel import Action, Model, Relation
from octavo.store.index import Spec
from octavo.store.overlay import Layer, Overlay
from octavo.store.rules import Rules, literal_default, unique_name
from octavo.values.registry import value_type


class View:
    """Rows as one layer has them.  A row is immutable, and shared with everybody who reads it."""

    def __init__(self, rules: Rules, layer: Layer) -> None:
        self.rules, self.layer = rules, layer

    def get(self, model: str, key: Key) -> Record | None:
        """The row with this key, in its stored form: of several fields, their tuple; None if there is none.

        Raises DamagedError, DiskError.
        """
        if model in self.rules.indirect:
            found = self.find(model, self.rules.codecs[model].place.model.key.field_names, key)
            return found[0] if found else None
        row = self.layer.record(model, key)
        return None if row is None else plain(row)

    def find(self, model: str, fields: tuple[str, ...], values: Any) -> list[Record]:
        """The rows with these stored values, in no order: of one field, its value; of several, their tuple.

        By an index where the fields are a key, a unique, an index or a foreign key of the schema; else by
        looking at every row.  A NULL is found nowhere.  Raises DamagedError, DiskError.
        """
        rules = self.rules
        codec, spec = rules.codecs[model], Spec(model, fields)
        if same := None if rules.loose(model).isdisjoint(fields) else rules.identity_of(spec):
            values = same(values)
        if values is None or (len(fields) > 1 and None in values):
            return []
        if fields == codec.place.model.key.field_names and same is None:
            row = self.layer.record(model, values)
            return [] if row is None else [plain(row)]
        if fields not in rules.indexed[model]:
            plainly = rules.values_of(spec)
            get = plainly if same is None else lambda row: same(plainly(row))
            return [row for row in self.rows(model) if get(row) == values]
        kind = codec.record_type
        return [row if type(row) is kind else plain(row) for row in self.layer.find(spec, values)]

    def lacks_parent(self, relation: Relation, values: Any) -> bool:
        """Whether a foreign key with these stored values, none of them NULL, points at nothing."""
        if self.rules.has_null(Spec(relation.child, relation.fields))(values):
            return False
        return not self.find(relation.parent, relation.references, values)

    def rows(self, model: str) -> Iterator[Record]:
        """Every row of a model, in no order.  Raises DamagedError, DiskError."""
        return map(plain, self.layer.all(model))

    def count(self, model: str) -> int:
        """How many rows a model has."""
        return sum(1 for _ in self.rows(model))

    def in_file_order(self, model: str, fields: tuple[str, ...], values: Any) -> Sequence[Record]:
        """The rows with these stored values in the order of a file (:func:`octavo.layout.order.file_order`).

        Of a parent that has a log of its own they stand in it so.  Not to be changed.
        """
        found = self.layer.rows_in_order(Spec(model, fields), values)
        if found is not None:
            return found
        return sorted(self.find(model, fields, values), key=self.rules.order_of(model))

    def holding(self, model: str, parts: Sequence[str]) -> list[Record] | None:
        """The rows that may hold all these parts of texts (folded: :func:`octavo.values.words.folded`), and
        perhaps others; None: no index tells.  Raises DamagedError, DiskError."""
        found = self.layer.holding(model, parts)
        return None if found is None else list(map(plain, found))

    def ranked(
        self, model: str, words: Sequence[str], fields: Sequence[str]
    ) -> Iterator[tuple[Record, float]] | None:
        """The rows that may have all these folded words in these fields, with their rank, best first; None:
        no index tells.  Raises DamagedError, DiskError."""
        found = self.layer.ranked(model, words, fields)
        return None if found is None else ((plain(row), rank) for row, rank in found)

    def payload(self, model: str, key: Key) -> str | None:
        """The SHA-256 of a row's payload, if one is kept."""
        row = self.layer.record(model, key)
        return None if row is None else digest_of(row)


class _Triggers(deque[Callable[[], None]]):
    """What is left to do before a statement ends."""

    def __init__(self) -> None:
        super().__init__()
        self.touched: set[tuple[str, Key]] = set()
        """the rows that the statement has changed, by model and key"""

    def fire(self) -> None:
        while self:
            self.popleft()()


class Writable(View):
    """Rows that can be changed, in an overlay over what is committed."""

    layer: Overlay

    def insert(
        self, rows: Sequence[Record], *, known_new: Collection[str] = (), checked: bool = False
    ) -> None:
        """Add rows of one model, as one statement.

        ``known_new`` names fields whose values were just made to be unlike any other (``uuid()``), so that
        a unique on them alone need not be looked at.  ``checked``: every value is known to be of its type.
        Raises UniqueViolation, ForeignKeyViolation, and UsageError for values that are not of their types;
        some rows may have been added then: the transaction is to be given up.
        """
        if not rows:
            return
        model = model_of(rows[0])
        for row in rows:
            if not checked:
                self.rules.check_types(row)
            self._check_uniques(model, row, None, known_new)
            self._put(model, None, row)
        for row in rows:
            for relation in self.rules.parents[model.name]:
                self._check_parent(relation, row)

    def update(self, pairs: Sequence[tuple[Record, Record]], *, checked: bool = False) -> None:
        """Change rows of one model, as one statement: each from what it is to what it is to be.

        Children follow by ``onUpdate``.  ``checked`` as for :meth:`insert`, which raises the same.
        """
        triggers = _Triggers()
        self._change(pairs, triggers, checked=checked)
        triggers.fire()

    def delete(self, rows: Sequence[Record]) -> None:
        """Remove rows of one model, as one statement.

        Children go, lose their parent or refuse, by ``onDelete``.  Raises ForeignKeyViolation, NullViolation.
        """
        triggers = _Triggers()
        self._remove(rows, triggers)
        triggers.fire()

    def _change(
        self, pairs: Sequence[tuple[Record, Record]], triggers: _Triggers, *, checked: bool = False
    ) -> None:
        for before, after in pairs:
            model = model_of(before)
            if not checked:
                self.rules.check_types(after)
            self._check_uniques(model, after, before, ())
            self._put(model, before, after)
            self._changed(before, after, triggers)
            key_of = self.rules.codecs[model.name].key_of
            again = (model.name, key_of(before)) in triggers.touched
            triggers.touched.add((model.name, key_of(after)))
            for relation in self.rules.parents[model.name]:
                get = self.rules.values_of(Spec(model.name, relation.fields))
                if again or get(before) != get(after):
                    triggers.append(partial(self._check_current, relation, after))

    def _changed(self, before: Record, after: Record, triggers: _Triggers) -> None:
        """Let those that point at a row follow it."""
        name = model_of(before).name
        for relation in self.rules.children[name]:
            get = self.rules.values_of(Spec(name, relation.references))
            old, new = get(before), get(after)
            if old != new:
                triggers.append(partial(self._parent_changed, relation, old, new, triggers))

    def _remove(self, rows: Sequence[Record], triggers: _Triggers) -> None:
        for row in rows:
            self._put(model_of(row), row, None)
        for row in rows:
            name = model_of(row).name
            for relation in self.rules.children[name]:
                values = self.rules.values_of(Spec(name, relation.references))(row)
                triggers.append(partial(self._parent_gone, relation, values, triggers))

    def set_payload(self, model: str, key: Key, sha256: str | None) -> None:
        """Note the payload that a record has, by its digest; None: it has none."""
        row = self.layer.record(model, key)
        if row is None or not self.rules.codecs[model].place.payload:
            raise UsageError(f"{model}: no record with this key can have a payload")
        unknown = row.unknown if type(row) is Noted else ()
        self.layer.put(model, key, row, noted(plain(row), sha256, unknown))

    def _check_uniques(
        self, model: Model, row: Record, before: Record | None, known_new: Collection[str]
    ) -> None:
        for fields in self.rules.uniques[model.name]:
            if len(fields) == 1 and fields[0] in known_new:
                continue
            spec = Spec(model.name, fields)
            get, same = self.rules.values_of(spec), self.rules.identity_of(spec)
            values = get(row)
            if before is not None:
                old = get(before)
                if old == values or (same is not None and same(old) == same(values)):
                    continue
            if self.find(model.name, fields, values):
                raise UniqueViolation(model.name, fields, constraint=unique_name(model, fields))

    def _check_parent(self, relation: Relation, row: Record) -> None:
        if self.lacks_parent(relation, self.rules.values_of(Spec(relation.child, relation.fields))(row)):
            raise ForeignKeyViolation(relation.child, relation.fields, constraint=relation.constraint)

    def _check_current(self, relation: Relation, row: Record) -> None:
        """The same for a row that may have been changed or removed since."""
        current = self.get(relation.child, self.rules.codecs[relation.child].key_of(row))
        if current is not None:
            self._check_parent(relation, current)

    def _parent_gone(self, relation: Relation, values: Any, triggers: _Triggers) -> None:
        children = self.find(relation.child, relation.fields, values)

        def cascade() -> None:
            self._remove(children, triggers)

        self._act(relation, relation.on_delete, children, triggers, cascade, values)

    def _parent_changed(self, relation: Relation, before: Any, after: Any, triggers: _Triggers) -> None:
        children = self.find(relation.child, relation.fields, before)

        def cascade() -> None:
            self._change([(row, self._with(row, relation, after)) for row in children], triggers)

        self._act(relation, relation.on_update, children, triggers, cascade, before)

    def _act(
        self,
        relation: Relation,
        action: Action,
        children: Sequence[Record],
        triggers: _Triggers,
        cascade: Callable[[], None],
        left: Any,
    ) -> None:
        """Carry out a referential action on children whose parent is no longer what they point at.

        ``left`` are the values that they point at.
        """
        if not children:
            return
        match action:
            case Action.CASCADE:
                cascade()
            case Action.SET_NULL:
                self._set_null(relation, children, triggers)
            case Action.SET_DEFAULT:
                self._set_default(relation, children, triggers)
                self._check_left(relation, left)
            case Action.NO_ACTION:
                self._check_left(relation, left)
            case Action.RESTRICT:
                raise ForeignKeyViolation(relation.child, relation.fields, constraint=relation.constraint)

    def _check_left(self, relation: Relation, values: Any) -> None:
        """Raise ForeignKeyViolation for rows that point at nothing; another may have come to have the key."""
        if self.find(relation.child, relation.fields, values) and not self.find(
            relation.parent, relation.references, values
        ):
            raise ForeignKeyViolation(relation.child, relation.fields, constraint=relation.constraint)

    def _set_null(self, relation: Relation, children: Sequence[Record], triggers: _Triggers) -> None:
        fields = map(self.rules.model(relation.child).scalar, relation.fields)
        nulls = [value_type(f, self.rules.layout.datamodel).null for f in fields]
        self._set(relation, children, nulls, triggers)

    def _set_default(self, relation: Relation, children: Sequence[Record], triggers: _Triggers) -> None:
        model = self.rules.model(relation.child)
        datamodel = self.rules.layout.datamodel
        values = [literal_default(model.scalar(name), datamodel) for name in relation.fields]
        self._set(relation, children, values, triggers)

    def _set(
        self, relation: Relation, children: Sequence[Record], values: Sequence[Any], triggers: _Triggers
    ) -> None:
        """Make the children's foreign keys what they are without a parent."""
        model, datamodel = self.rules.model(relation.child), self.rules.layout.datamodel
        set_to = dict(zip(relation.fields, values, strict=True))
        for f in model.scalars:
            if f.name in set_to and not f.nullable and value_type(f, datamodel).is_null(set_to[f.name]):
                raise NullViolation(model.name, [f.name])
        after = values[0] if len(values) == 1 else tuple(values)
        self._change([(row, self._with(row, relation, after)) for row in children], triggers)

    def _with(self, row: Record, relation: Relation, values: Any) -> Record:
        """A row with another foreign key: the value of one field, the tuple of more."""
        model = self.rules.model(relation.child)
        names = [attribute(model.scalar(name)) for name in relation.fields]
        parts = (values,) if len(names) == 1 else values
        return replace(row, **dict(zip(names, parts, strict=True)))

    def _put(self, model: Model, before: Record | None, after: Record | None) -> None:
        """Change one row; what the schema does not know of it stays with it."""
        key_of = self.rules.codecs[model.name].key_of
        held = key = None
        if before is not None:
            key = key_of(before)
            held = self.layer.record(model.name, key)
        if after is None:
            self.layer.put(model.name, key, held, None)
            return
        kept, new = keeping(after, held), key_of(after)
        if before is not None and key != new:
            self.layer.put(model.name, key, held, None)
            held = None
        self.layer.put(model.name, new, held, kept)
