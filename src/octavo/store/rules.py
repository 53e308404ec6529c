"""What the schema and the layout ask of records, worked out once for a store."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import msgspec

from octavo.errors import DamagedError, LayoutError, UsageError
from octavo.layout.codec import Codecs
from octavo.layout.keys import key_getter
from octavo.layout.layout import Kind, Layout, Place
from octavo.layout.order import file_order
from octavo.layout.record import Record, encode, value_of
from octavo.schema.datamodel import Datamodel, Function, IndexKind, Model, Relation, ScalarField
from octavo.store.index import Spec, identity
from octavo.values.registry import literal_value, value_type
from octavo.values.tokens import Members

_UNIQUE = (IndexKind.ID, IndexKind.UNIQUE)


class Rules:
    """Keys, uniques, foreign keys and types of every model, and the codecs of its records."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.codecs = Codecs.of(layout)
        datamodel = layout.datamodel
        held = datamodel.held_keys
        self.parents = {m.name: tuple(r for r in held if r.child == m.name) for m in datamodel.tables}
        """the foreign keys of each model, in the order in which they are made"""
        self.children = {m.name: tuple(r for r in held if r.parent == m.name) for m in datamodel.tables}
        """those that point at each model"""
        self.uniques = {m.name: _uniques(m) for m in datamodel.tables}
        self.indexed = {place.model.name: self._indexed(place) for place in layout.places}
        self.loose = cache(self._loose)
        self.indirect = frozenset(p.model.name for p in layout.places if self._is_indirect(p))
        """the models whose records are not found by their key as it is stored"""
        self._check_places()
        self._decoders: dict[str, Callable[[bytes], Any]] = {}
        self.values_of = cache(self._values_of)
        self.identity_of = cache(self._identity_of)
        self.order_of = cache(self._order_of)
        self.has_null = cache(self._has_null)

    def _indexed(self, place: Place) -> frozenset[tuple[str, ...]]:
        """The fields by which records of a model are found without looking at all."""
        model = place.model
        named = [model.key.field_names, *(index.field_names for index in model.all_indexes)]
        datamodel = self.layout.datamodel
        own = [r.fields for r in datamodel.parents(model.name)]
        others = [r.references for r in datamodel.children(model.name)]
        # An index on several fields finds by the first of them too.
        first = [fields[:n] for fields in named for n in range(1, len(fields))]
        return frozenset([*named, *first, *own, *others])

    def _loose(self, model: str) -> frozenset[str]:
        """The fields of a model of which different stored values can be equal."""
        fields, datamodel = self.model(model).scalars, self.layout.datamodel
        return frozenset(f.name for f in fields if value_type(f, datamodel).identity is not None)

    def _is_indirect(self, place: Place) -> bool:
        return any(value_type(f, self.layout.datamodel).identity is not None for f in place.model.key_fields)

    def _check_places(self) -> None:
        """Where a record is found by what names its file or its parent, that must be told by its text."""
        for place in self.layout.places:
            named = () if place.relation is None else place.relation.fields
            if place.kind is Kind.LOG_PER_PARENT:
                named = (*named, *place.model.key.field_names)
            if any(value_type(place.model.scalar(n), self.layout.datamodel).identity for n in named):
                reason = f"lives {place.kind}, by a key of a type of which different values can be equal"
                raise LayoutError(reason, file=self.layout.source, model=place.model.name)

    def is_embedding(self, relation: Relation) -> bool:
        """Whether the rows with this foreign key are embedded in those that it points at."""
        place = self.layout.place(relation.child)
        return place.kind is Kind.EMBEDDED and place.relation == relation

    def model(self, name: str) -> Model:
        return self.layout.place(name).model

    def _values_of(self, spec: Spec) -> Callable[[Any], Any]:
        """A function from a row to its stored values of these fields: that of one, the tuple of more."""
        model = self.model(spec.model)
        return key_getter([model.scalar(name) for name in spec.fields])

    def _identity_of(self, spec: Spec) -> Callable[[Any], Any] | None:
        """A function from such values to what equal ones have in common; None where they have it."""
        model = self.model(spec.model)
        return identity([model.scalar(name) for name in spec.fields], self.layout.datamodel)

    def _has_null(self, spec: Spec) -> Callable[[Any], bool]:
        """A function that tells whether one of such values is NULL."""
        model = self.model(spec.model)
        tests = [value_type(model.scalar(name), self.layout.datamodel).is_null for name in spec.fields]
        if len(tests) == 1:
            return tests[0]
        return lambda values: any(test(value) for test, value in zip(tests, values, strict=True))

    def _order_of(self, model: str) -> Callable[[Any], Any]:
        """A sort key for the rows of a model as they follow each other in a file."""
        return file_order(self.model(model))

    def check_types(self, row: Record) -> None:
        """Raise UsageError if a row could not be read again after it was written."""
        name = type(row).__name__
        codec = self.codecs[name]
        if name not in self._decoders:
            self._decoders[name] = msgspec.json.Decoder(codec.record_type).decode
        text = encode(row)
        try:
            try:
                self._decoders[name](text)
            except RecursionError:
                # A Json value is nested deeper than the decoder goes.
                found = Members(text)
                for f in codec.place.model.scalars:
                    value_of(f, value_type(f, self.layout.datamodel), found.get(f.name))
            codec.checks.run([row], text)
        except (msgspec.MsgspecError, DamagedError, ValueError) as error:
            raise UsageError(f"{name}: a value is not of its type") from error


def _uniques(model: Model) -> tuple[tuple[str, ...], ...]:
    """In the order in which PostgreSQL looks at them: that in which they are made."""
    return tuple(dict.fromkeys(i.field_names for i in model.all_indexes if i.kind in _UNIQUE))


def unique_name(model: Model, fields: tuple[str, ...]) -> str:
    """The name in the database of a key or unique."""
    named = (i.constraint for i in model.all_indexes if i.kind in _UNIQUE and i.field_names == fields)
    return next(named, "")


def literal_default(field: ScalarField, datamodel: Datamodel) -> Any:
    """The stored form of a field's default, NULL without one.  Raises UsageError for a computed one."""
    kind = value_type(field, datamodel)
    match field.default:
        case None:
            return kind.null
        case Function() | tuple():
            raise UsageError(f"{field.name}: its default is computed, so no referential action can set it")
    return literal_value(field.default, field, kind.one.write)
