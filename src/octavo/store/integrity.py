"""Changes of rows, held to the schema as PostgreSQL holds them.

Uniques are checked row by row.  Foreign keys and referential actions are triggers of PostgreSQL, which wait
in a queue until the rows of their statement are changed.  Each row puts its own there: first the actions on
those that point at it, then the checks of what it points at, both in the order in which the foreign keys were
made (by name, and theirs are numbered; *Overview of Trigger Behavior*).  What an action changes queues up
behind all that is waiting.  So a delete that PostgreSQL refuses is refused here, for the same constraint, and
one that it lets through, because a later action removes what was in the way, goes through here too.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias

from msgspec import UNSET

from octavo.errors import ForeignKeyViolation, NullViolation, UniqueViolation, UsageError
from octavo.layout.layout import Kind
from octavo.layout.record import Record, attribute, model_of
from octavo.layout.stored import SHA256, Key, Stored, array_attribute, replaced
from octavo.layout.storedcodec import Codec
from octavo.schema.datamodel import Action, Model, Relation
from octavo.store.index import Spec
from octavo.store.overlay import Overlay
from octavo.store.rules import literal_default
from octavo.store.view import View
from octavo.values.registry import value_type

_Aboard: TypeAlias = Mapping[tuple[str, tuple[str, ...]], Sequence[Record]]


class _Triggers(deque[Callable[[], None]]):
    """What is left to do before a statement ends."""

    def __init__(self) -> None:
        super().__init__()
        self.touched: set[tuple[str, Key]] = set()
        """the rows that the statement has changed, by model and key"""
        self.orphans: list[Record] = []
        """rows that nothing is there to embed in: they will be refused, once uniques have been looked at"""
        self.aboard: dict[tuple[str, Key], Record] = {}
        """rows that went with the record that they were embedded in, by name: in PostgreSQL, they stay
        until the trigger of that foreign key fires"""

    def fire(self) -> None:
        while self:
            self.popleft()()


class Writable(View):
    """Rows that can be changed, in an overlay over what is committed."""

    layer: Overlay

    def insert(self, rows: Sequence[Record], *, known_new: Collection[str] = ()) -> None:
        """Add rows of one model, as one statement.

        ``known_new`` names fields whose values were just made to be unlike any other (``uuid()``), so that
        a unique on them alone need not be looked at.  Raises UniqueViolation, ForeignKeyViolation, and
        UsageError for values that are not of their types; some rows may have been added then: the
        transaction is to be given up.
        """
        if not rows:
            return
        model = model_of(rows[0])
        orphans: list[Record] = []
        for row in rows:
            self.rules.check_types(row)
            self._check_uniques(model, row, None, known_new)
            self._check_among(model, row, orphans)
            if not self._put(model, None, row):
                orphans.append(row)
        for row in rows:
            for relation in self.rules.parents[model.name]:
                self._check_parent(relation, row)

    def update(self, pairs: Sequence[tuple[Record, Record]]) -> None:
        """Change rows of one model, as one statement: each from what it is to what it is to be.

        Children follow by ``onUpdate``.  Raises as :meth:`insert`.
        """
        triggers = _Triggers()
        self._change(pairs, triggers)
        triggers.fire()

    def delete(self, rows: Sequence[Record]) -> None:
        """Remove rows of one model, as one statement.

        Children go, lose their parent or refuse, by ``onDelete``.  Raises ForeignKeyViolation, NullViolation.
        """
        triggers = _Triggers()
        self._remove(rows, triggers)
        triggers.fire()

    def _change(self, pairs: Sequence[tuple[Record, Record]], triggers: _Triggers) -> None:
        for before, after in pairs:
            model = model_of(before)
            self.rules.check_types(after)
            self._check_uniques(model, after, before, ())
            self._check_among(model, after, triggers.orphans)
            check = self._check_current
            if self._is_still_aboard(before, after, triggers):
                pass
            elif not self._put(model, before, after):
                triggers.orphans.append(after)
                check = self._check_parent
            self._changed(before, after, triggers)
            key_of = self.rules.codecs[model.name].key_of
            again = (model.name, key_of(before)) in triggers.touched
            triggers.touched.add((model.name, key_of(after)))
            for relation in self.rules.parents[model.name]:
                get = self.rules.values_of(Spec(model.name, relation.fields))
                if again or get(before) != get(after):
                    triggers.append(partial(check, relation, after))

    def _changed(self, before: Record, after: Record, triggers: _Triggers) -> None:
        """Let those that point at a row follow it."""
        name = model_of(before).name
        for relation in self.rules.children[name]:
            get = self.rules.values_of(Spec(name, relation.references))
            old, new = get(before), get(after)
            if old != new:
                triggers.append(partial(self._parent_changed, relation, old, new, triggers))

    def _remove(self, rows: Sequence[Record], triggers: _Triggers) -> None:
        aboard = [self._aboard(row) for row in rows]
        for row in rows:
            self._put(model_of(row), row, None)
            triggers.aboard.pop(self._name(row), None)
        inside_any = (row for inside in aboard for children in inside.values() for row in children)
        triggers.aboard |= {self._name(row): row for row in inside_any}
        for row, inside in zip(rows, aboard, strict=True):
            self._removed(row, inside, triggers)

    def _removed(self, row: Record, aboard: _Aboard, triggers: _Triggers) -> None:
        """Let those that point at a row do without it; ``aboard`` are those that went with it already."""
        name = model_of(row).name
        for relation in self.rules.children[name]:
            inside = aboard.get((relation.child, relation.fields))
            if inside is not None:
                triggers.append(partial(self._host_gone, relation, inside, triggers))
            else:
                values = self.rules.values_of(Spec(name, relation.references))(row)
                triggers.append(partial(self._parent_gone, relation, values, triggers))

    def _aboard(self, row: Record) -> _Aboard:
        """The rows that are embedded in a row's record, by their model and foreign key."""
        name = model_of(row).name
        key = self.rules.codecs[name].key_of(row)
        return {
            (relation.child, relation.fields): self.find(relation.child, relation.fields, key)
            for relation in self.rules.children[name]
            if self._is_embedding(relation)
        }

    def _name(self, row: Record) -> tuple[str, Key]:
        name = model_of(row).name
        return name, self.rules.codecs[name].key_of(row)

    def _is_still_aboard(self, before: Record, after: Record, triggers: _Triggers) -> bool:
        """Whether a row has gone with its host already, and its change does not take it to another one."""
        if triggers.aboard.pop(self._name(before), None) is None:
            return False
        relation = self._relation(self.rules.codecs[model_of(before).name])
        get = self.rules.values_of(Spec(relation.child, relation.fields))
        if get(before) != get(after):
            return False
        triggers.aboard[self._name(after)] = after
        return True

    def _pointing(self, relation: Relation, values: Any, triggers: _Triggers) -> list[Record]:
        """The rows that point at these values, those that have gone with their host included."""
        spec = Spec(relation.child, relation.fields)
        get, same = self.rules.values_of(spec), self.rules.identity_of(spec)
        aboard = [row for (name, _), row in triggers.aboard.items() if name == relation.child]
        wanted = values if same is None else same(values)
        found = self.find(relation.child, relation.fields, values)
        return found + [r for r in aboard if (get(r) if same is None else same(get(r))) == wanted]

    def _is_embedding(self, relation: Relation) -> bool:
        place = self.rules.codecs[relation.child].place
        return place.kind is Kind.EMBEDDED and place.relation == relation

    def set_payload(self, model: str, key: Key, sha256: str | None) -> None:
        """Note the payload that a record has, by its digest; None: it has none."""
        stored = self.layer.record(model, key)
        if stored is None or not hasattr(stored, SHA256):
            raise UsageError(f"{model}: no record with this key can have a payload")
        after = replaced(stored, **{SHA256: UNSET if sha256 is None else sha256})
        self.layer.put(model, key, stored, after)

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
                raise UniqueViolation(model.name, fields)

    def _check_among(self, model: Model, row: Record, orphans: Sequence[Record]) -> None:
        """Check the uniques of a row against those that nothing is there to embed in."""
        for fields in self.rules.uniques[model.name] if orphans else ():
            get = self.rules.values_of(Spec(model.name, fields))
            if any(type(other) is type(row) and get(other) == get(row) for other in orphans):
                raise UniqueViolation(model.name, fields)

    def _check_parent(self, relation: Relation, row: Record) -> None:
        if self.lacks_parent(relation, self.rules.values_of(Spec(relation.child, relation.fields))(row)):
            raise ForeignKeyViolation(relation.child, relation.fields)

    def _check_current(self, relation: Relation, row: Record) -> None:
        """The same for a row that may have been changed or removed since."""
        current = self.get(relation.child, self.rules.codecs[relation.child].key_of(row))
        if current is not None:
            self._check_parent(relation, current)

    def _parent_gone(self, relation: Relation, values: Any, triggers: _Triggers) -> None:
        children = self._pointing(relation, values, triggers)

        def cascade() -> None:
            self._remove(children, triggers)

        self._act(relation, relation.on_delete, children, triggers, cascade, left=values)

    def _host_gone(self, relation: Relation, children: Sequence[Record], triggers: _Triggers) -> None:
        """The same for children that were embedded in the parent's record."""
        left = [row for row in map(triggers.aboard.get, map(self._name, children)) if row is not None]

        def cascade() -> None:
            for row in left:
                del triggers.aboard[self._name(row)]
                self._removed(row, {}, triggers)

        self._act(relation, relation.on_delete, left, triggers, cascade)

    def _parent_changed(self, relation: Relation, before: Any, after: Any, triggers: _Triggers) -> None:
        if self._is_embedding(relation):
            self._host_changed(relation, before, after, triggers)
            return
        children = self.find(relation.child, relation.fields, before)

        def cascade() -> None:
            self._change([(row, self._with(row, relation, after)) for row in children], triggers)

        self._act(relation, relation.on_update, children, triggers, cascade, left=before)

    def _host_changed(self, relation: Relation, before: Any, after: Any, triggers: _Triggers) -> None:
        """The same for children that are embedded in the parent's record, which have its key already."""
        children = self.find(relation.child, relation.fields, after)

        def cascade() -> None:
            for row in children:
                self._changed(self._with(row, relation, before), row, triggers)

        self._act(relation, relation.on_update, children, triggers, cascade)

    def _act(
        self,
        relation: Relation,
        action: Action,
        children: Sequence[Record],
        triggers: _Triggers,
        cascade: Callable[[], None],
        left: Any = None,
    ) -> None:
        """Carry out a referential action on children whose parent is no longer what they point at.

        ``left`` are the values that they point at; None: they are embedded in what had them, so that no other
        parent can have come to have them.
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
                if left is not None:
                    self._check_left(relation, left, triggers)
            case Action.NO_ACTION if left is not None:
                self._check_left(relation, left, triggers)
            case Action.RESTRICT | Action.NO_ACTION:
                raise ForeignKeyViolation(relation.child, relation.fields)

    def _check_left(self, relation: Relation, values: Any, triggers: _Triggers) -> None:
        """Raise ForeignKeyViolation for rows that point at nothing; another may have come to have the key."""
        if self._pointing(relation, values, triggers) and not self.find(
            relation.parent, relation.references, values
        ):
            raise ForeignKeyViolation(relation.child, relation.fields)

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
        changed: Record = replaced(row, **dict(zip(names, parts, strict=True)))
        return changed

    def _put(self, model: Model, before: Record | None, after: Record | None) -> bool:
        """Change one row; False if there is no record that it could be embedded in."""
        codec = self.rules.codecs[model.name]
        if codec.place.kind is Kind.EMBEDDED:
            return self._put_embedded(codec, before, after)
        key_of = codec.key_of
        key_before = None if before is None else key_of(before)
        stored = None if before is None else self.layer.record(model.name, key_before)
        if after is None:
            self.layer.put(model.name, key_before, stored, None)
            return True
        key_after = key_of(after)
        arrays = {
            child.place.array: [] if stored is None else getattr(stored, array_attribute(child.place))
            for child in codec.children
        }
        made = codec.stored(after, arrays, stored)
        if before is not None and key_before != key_after:
            self.layer.put(model.name, key_before, stored, None)
            stored = None
        self.layer.put(model.name, key_after, stored, made)
        return True

    def _put_embedded(self, codec: Codec, before: Record | None, after: Record | None) -> bool:
        """Change the array in the parent's record; in another parent's too, if the row moves there."""
        old = self._parent_of(codec, before)
        new = self._parent_of(codec, after)
        kept = None
        if before is not None and old is not None:
            kept = self._change_array(codec, old, before, None, None)
        if after is not None and new is not None:
            self._change_array(codec, new, None, after, kept)
        return after is None or new is not None

    def _change_array(
        self, codec: Codec, key: Key, gone: Record | None, come: Record | None, kept: Stored | None
    ) -> Stored | None:
        """Take a row out of a parent's array, or put one in; what was taken out."""
        parent = self._relation(codec).parent
        above = self.rules.codecs[parent]
        stored = self.layer.record(parent, key)
        if stored is None:
            return None
        name = array_attribute(codec.place)
        items: list[Stored] = list(getattr(stored, name))
        taken = None
        if gone is not None:
            key_of = self.rules.codecs[codec.place.model.name].key_of
            rows = above.embedded(stored, codec)
            at = next((n for n, row in enumerate(rows) if key_of(row) == key_of(gone)), None)
            if at is not None:
                taken = items.pop(at)
        if come is not None:
            items.append(codec.stored(come, {}, kept))
            rows = above.embedded(replaced(stored, **{name: items}), codec)
            order = self.rules.order_of(codec.place.model.name)
            items = [item for _, item in sorted(zip(map(order, rows), items, strict=True), key=_first)]
        self.layer.put(parent, key, stored, replaced(stored, **{name: items}))
        return taken

    def _relation(self, codec: Codec) -> Relation:
        if codec.place.relation is None:
            raise AssertionError(codec.place.model.name)
        return codec.place.relation

    def _parent_of(self, codec: Codec, row: Record | None) -> Key | None:
        """The key of the record that a row is embedded in, if that is there."""
        if row is None:
            return None
        relation = self._relation(codec)
        key: Key = self.rules.values_of(Spec(relation.child, relation.fields))(row)
        return None if self.layer.record(relation.parent, key) is None else key


def _first(pair: tuple[Any, Any]) -> Any:
    return pair[0]
