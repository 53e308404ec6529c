"""The records of every model as rows, wherever they live: embedded ones too, with their parent's key."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from octavo.layout.record import Record
from octavo.layout.stored import SHA256, Key, Stored
from octavo.schema.datamodel import Relation
from octavo.store.index import Spec
from octavo.store.overlay import Layer
from octavo.store.rules import Rules


class View:
    """Rows as one layer has them.  A row is immutable, and shared with everybody who reads it."""

    def __init__(self, rules: Rules, layer: Layer) -> None:
        self.rules, self.layer = rules, layer

    def get(self, model: str, key: Key) -> Record | None:
        """The row with this key, in its stored form: of several fields, their tuple; None if there is none.

        Raises DamagedError, DiskError.
        """
        codec = self.rules.codecs[model]
        if model in self.rules.indirect:
            found = self.find(model, codec.place.model.key.field_names, key)
            return found[0] if found else None
        stored = self.layer.record(model, key)
        return None if stored is None else codec.record(stored)

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
        host = rules.hosts[model]
        if host == model and fields == codec.place.model.key.field_names and same is None:
            stored = self.layer.record(model, values)
            return [] if stored is None else [codec.record(stored)]
        plain = rules.values_of(spec)
        get = plain if same is None else lambda row: same(plain(row))
        if fields not in rules.indexed[model]:
            return [row for row in self.rows(model) if get(row) == values]
        if host == model:
            found = self.layer.find(model, spec, values)
            if codec.shape.is_record:
                kind = codec.shape.record_type
                return [s if type(s) is kind else codec.record(s) for s in found]
            return [codec.record(stored) for stored in found]
        above = self.rules.codecs[host]
        relation = codec.place.relation
        if relation is not None and fields == relation.fields:
            parent = self.layer.record(host, values)
            return [] if parent is None else above.embedded(parent, codec)
        return [
            row
            for stored in self.layer.find(host, spec, values)
            for row in above.embedded(stored, codec)
            if get(row) == values
        ]

    def lacks_parent(self, relation: Relation, values: Any) -> bool:
        """Whether a foreign key with these stored values, none of them NULL, points at nothing."""
        if self.rules.has_null(Spec(relation.child, relation.fields))(values):
            return False
        return not self.find(relation.parent, relation.references, values)

    def rows(self, model: str) -> Iterator[Record]:
        """Every row of a model, in no order.  Raises DamagedError, DiskError."""
        codec, host = self.rules.codecs[model], self.rules.hosts[model]
        if host == model:
            return map(codec.record, self.layer.all(model))
        above = self.rules.codecs[host]
        return (row for stored in self.layer.all(host) for row in above.embedded(stored, codec))

    def count(self, model: str) -> int:
        """How many rows a model has."""
        return sum(1 for _ in self.rows(model))

    def in_file_order(self, model: str, fields: tuple[str, ...], values: Any) -> Sequence[Record]:
        """The rows with these stored values in the order of a file (:func:`octavo.layout.order.file_order`).

        Of a parent that has a log of its own they stand in it so.  Not to be changed.
        """
        if self.rules.hosts[model] == model:
            found = self.layer.rows_in_order(model, fields, values)
            if found is not None:
                return found
        return sorted(self.find(model, fields, values), key=self.rules.order_of(model))

    def payload(self, model: str, key: Key) -> str | None:
        """The SHA-256 of a record's payload, if one is kept."""
        stored: Stored | None = self.layer.record(model, key)
        found = None if stored is None else getattr(stored, SHA256, None)
        return found if isinstance(found, str) else None
