"""Changes of rows, held to the schema as PostgreSQL holds them.

Uniques are checked row by row, foreign keys when a statement ends, and the referential actions run in the
order in which PostgreSQL fires them: that in which the foreign keys were made, each to its end before the
next (its triggers fire by name, and theirs are numbered; *Trigger Behavior*, and *CREATE TABLE* on
``RESTRICT``).  So a delete that PostgreSQL refuses is refused here, for the same constraint.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from msgspec import UNSET

from octavo.errors import ForeignKeyViolation, NullViolation, UniqueViolation, UsageError
from octavo.layout.codec import Codec
from octavo.layout.layout import Kind
from octavo.layout.record import Record, attribute, model_of
from octavo.layout.stored import SHA256, Key, Stored, array_attribute, replaced
from octavo.schema.datamodel import Action, Model, Relation
from octavo.store.index import Spec
from octavo.store.layers import Overlay
from octavo.store.rules import literal_default
from octavo.store.view import View


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
        for row in rows:
            self.rules.check_types(row)
            self._check_uniques(model, row, None, known_new)
            self._put(model, None, row)
        for relation in self.rules.parents[model.name]:
            for row in rows:
                self._check_parent(relation, row)

    def update(self, pairs: Sequence[tuple[Record, Record]]) -> None:
        """Change rows of one model, as one statement: each from what it is to what it is to be.

        Children follow by ``onUpdate``.  Raises as :meth:`insert`.
        """
        if not pairs:
            return
        model = model_of(pairs[0][0])
        for before, after in pairs:
            self.rules.check_types(after)
            self._check_uniques(model, after, before, ())
            self._put(model, before, after)
        for relation in self.rules.parents[model.name]:
            get = self.rules.values_of(Spec(model.name, relation.fields))
            for before, after in pairs:
                if get(before) != get(after):
                    self._check_parent(relation, after)
        for relation in self.rules.children[model.name]:
            get = self.rules.values_of(Spec(model.name, relation.references))
            for before, after in pairs:
                if get(before) != get(after):
                    self._parent_changed(relation, get(before), get(after))

    def delete(self, rows: Sequence[Record]) -> None:
        """Remove rows of one model, as one statement.

        Children go, lose their parent or refuse, by ``onDelete``.  Raises ForeignKeyViolation, NullViolation.
        """
        if not rows:
            return
        model = model_of(rows[0])
        for row in rows:
            self._put(model, row, None)
        relations = self.rules.children[model.name]
        for row in rows:
            for relation in relations:
                values = self.rules.values_of(Spec(model.name, relation.references))(row)
                self._parent_gone(relation, values)

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
            get = self.rules.values_of(Spec(model.name, fields))
            values = get(row)
            if before is not None and get(before) == values:
                continue
            if self.find(model.name, fields, values):
                raise UniqueViolation(model.name, fields)

    def _check_parent(self, relation: Relation, row: Record) -> None:
        values = self.rules.values_of(Spec(relation.child, relation.fields))(row)
        if values is None or (type(values) is tuple and None in values):
            return
        if not self.find(relation.parent, relation.references, values):
            raise ForeignKeyViolation(relation.child, relation.fields)

    def _parent_gone(self, relation: Relation, values: Any) -> None:
        children = self.find(relation.child, relation.fields, values)
        if not children:
            return
        match relation.on_delete:
            case Action.CASCADE:
                self.delete(children)
            case Action.SET_NULL | Action.SET_DEFAULT:
                self._set(relation, children, relation.on_delete)
            case Action.RESTRICT:
                raise ForeignKeyViolation(relation.child, relation.fields)
            case Action.NO_ACTION:
                # Another record may have come to have the key.
                if not self.find(relation.parent, relation.references, values):
                    raise ForeignKeyViolation(relation.child, relation.fields)

    def _parent_changed(self, relation: Relation, before: Any, after: Any) -> None:
        children = self.find(relation.child, relation.fields, before)
        if not children:
            return
        match relation.on_update:
            case Action.CASCADE:
                values = (after,) if len(relation.fields) == 1 else after
                self.update([(row, self._with(row, relation, values)) for row in children])
            case Action.SET_NULL | Action.SET_DEFAULT:
                self._set(relation, children, relation.on_update)
            case Action.RESTRICT:
                raise ForeignKeyViolation(relation.child, relation.fields)
            case Action.NO_ACTION:
                if not self.find(relation.parent, relation.references, before):
                    raise ForeignKeyViolation(relation.child, relation.fields)

    def _set(self, relation: Relation, children: Sequence[Record], action: Action) -> None:
        """SetNull and SetDefault: the children's foreign keys become what they are without a parent."""
        model = self.rules.model(relation.child)
        values: list[Any] = []
        for name in relation.fields:
            f = model.scalar(name)
            value = literal_default(f) if action is Action.SET_DEFAULT else None
            if value is None and not f.nullable:
                raise NullViolation(model.name, [name])
            values.append(value)
        self.update([(row, self._with(row, relation, values)) for row in children])

    def _with(self, row: Record, relation: Relation, values: Iterable[Any]) -> Record:
        model = self.rules.model(relation.child)
        names = [attribute(model.scalar(name)) for name in relation.fields]
        changed: Record = replaced(row, **dict(zip(names, values, strict=True)))
        return changed

    def _put(self, model: Model, before: Record | None, after: Record | None) -> None:
        codec = self.rules.codecs[model.name]
        if codec.place.kind is Kind.EMBEDDED:
            self._put_embedded(codec, before, after)
            return
        key_of = codec.key_of
        key_before = None if before is None else key_of(before)
        stored = None if before is None else self.layer.record(model.name, key_before)
        if after is None:
            self.layer.put(model.name, key_before, stored, None)
            return
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

    def _put_embedded(self, codec: Codec, before: Record | None, after: Record | None) -> None:
        """Change the array in the parent's record; in another parent's too, if the row moves there."""
        old = self._parent_of(codec, before)
        new = self._parent_of(codec, after)
        kept = None
        if before is not None and old is not None:
            kept = self._change_array(codec, old, before, None, None)
        if after is not None:
            if new is None:
                raise ForeignKeyViolation(codec.place.model.name, self._relation(codec).fields)
            self._change_array(codec, new, None, after, kept)

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
