"""Rows as one layer has them, without what the schema does not know of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from octavo.layout.keys import Key
from octavo.layout.record import Record, digest_of, plain
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

    def payload(self, model: str, key: Key) -> str | None:
        """The SHA-256 of a row's payload, if one is kept."""
        row = self.layer.record(model, key)
        return None if row is None else digest_of(row)
