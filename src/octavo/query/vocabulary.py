"""What can be said about each model: its fields, relations and uniques, as arguments name them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from operator import attrgetter
from typing import Any

from octavo.layout.keys import KeyForm, hashable
from octavo.layout.record import Record, attribute, record_type
from octavo.query.plan import Link, Order
from octavo.schema.datamodel import (
    Arity,
    Datamodel,
    Function,
    Model,
    RelationField,
    RelationKind,
    ScalarField,
    ScalarKind,
)
from octavo.values.base import Key, Write
from octavo.values.registry import value_type, writer


class Column:
    """A scalar field, with the ways between a caller's value, the stored form and comparing."""

    def __init__(self, field: ScalarField, datamodel: Datamodel) -> None:
        self.field = field
        self.name = field.name
        self.attribute = attribute(field)
        self.stored: Callable[[Any], Any] = attrgetter(self.attribute)
        """from a record to this field's value in stored form"""
        self.type = value_type(field, datamodel)
        self.one = self.type.one
        """the type of one value, where the field is a list of them"""
        self.null, self.is_null, self.key = self.type.null, self.type.is_null, self.type.key
        self.write: Write = writer(field, datamodel)
        self.operand: Write = self.one.operand
        """from a value to compare with"""
        self.sort_key: Callable[[Any], Any] = _composed(self.key, self.stored)
        """from a record in which this field is not NULL to what sorts as its value does"""

    def comparable(self, stored: Any) -> Any:
        """What sorts, is equal and hashes as the value does in PostgreSQL.  The value is not NULL."""
        return stored if self.key is None else self.key(stored)

    @property
    def filled_by_place(self) -> bool:
        """Whether the backend gives the value, where the caller gives none."""
        default = self.field.default
        return isinstance(default, Function) and default.name in ("autoincrement", "dbgenerated")

    @property
    def needed(self) -> bool:
        """Whether a new record must be given a value."""
        field = self.field
        return field.arity is Arity.REQUIRED and field.default is None and not field.updated_at


class Terms:
    """One model's part of the vocabulary."""

    def __init__(self, model: Model, datamodel: Datamodel) -> None:
        self.model = model
        self.name = model.name
        self.type: type[Record] = record_type(model, datamodel)
        self.columns: Mapping[str, Column] = {f.name: Column(f, datamodel) for f in model.scalars}
        self.links: Mapping[str, Link] = {
            f.name: _link(model, f, datamodel)
            for f in (() if model.is_join else model.relations)
            if not f.ignored
        }
        self._getters: dict[tuple[str, ...], Callable[[Record], tuple[Any, ...]]] = {}
        self.usable: Mapping[str, Column] = {
            name: c
            for name, c in self.columns.items()
            if not c.field.ignored and c.field.kind is not ScalarKind.UNSUPPORTED
        }
        """the columns that arguments may name"""
        self.needed: tuple[str, ...] = tuple(name for name, c in self.columns.items() if c.needed)
        """those that a new record must be given a value for"""
        self.uniques: Mapping[str, tuple[str, ...]] = {
            index.client_name if len(index.fields) > 1 else index.field_names[0]: index.field_names
            for index in (*([model.primary_key] if model.primary_key else []), *model.uniques)
        }
        """what tells one record, by the name that a ``where`` has for it"""
        self.filled_by_place = tuple(c for c in self.columns.values() if c.filled_by_place)
        """those for which the backend gives a value, where the caller gives none"""
        self.required = tuple(c for c in self.columns.values() if not c.field.nullable)
        """those that are never NULL"""
        self.required_of = self.getter(tuple(c.name for c in self.required))
        """from a record to their values"""
        self._record_attributes = tuple((c.attribute, name) for name, c in self.columns.items())
        self.key: tuple[str, ...] = model.key.field_names if model.has_key else ()
        self.key_of: Callable[[Record], tuple[Any, ...]] = self._key_getter(datamodel)
        """from a record to the stored values of its key, which have a hash"""

    def _key_getter(self, datamodel: Datamodel) -> Callable[[Record], tuple[Any, ...]]:
        get = self.getter(self.key)
        if not self.key or not KeyForm(self.model, datamodel).has_raw:
            return get
        return lambda record: tuple(map(hashable, get(record)))

    def getter(self, fields: tuple[str, ...]) -> Callable[[Record], tuple[Any, ...]]:
        """A function from a record to its values of these fields, in stored form."""
        found = self._getters.get(fields)
        if found is None:
            found = self._getters[fields] = self._getter(fields)
        return found

    def _getter(self, fields: tuple[str, ...]) -> Callable[[Record], tuple[Any, ...]]:
        names = [self.columns[f].attribute for f in fields]
        if len(names) == 1:
            one = attrgetter(names[0])
            return lambda record: (one(record),)
        if not names:
            return lambda record: ()
        return attrgetter(*names)

    def record(self, values: Mapping[str, Any]) -> Record:
        """The record with these stored values, by field name; one for each field."""
        return self.type(**{attribute: values[name] for attribute, name in self._record_attributes})

    def has_null(self, fields: tuple[str, ...], values: tuple[Any, ...]) -> bool:
        """Whether one of these fields' values is NULL."""
        return any(self.columns[f].is_null(v) for f, v in zip(fields, values, strict=True))

    @cached_property
    def key_order(self) -> tuple[Order, ...]:
        """The order by key, which any other order ends with."""
        return tuple(Order(name) for name in self.key)


class Vocabulary:
    """Every model's terms."""

    def __init__(self, datamodel: Datamodel) -> None:
        self.datamodel = datamodel
        self._terms: dict[str, Terms] = {}

    def __getitem__(self, model: str) -> Terms:
        """The terms of a model or a join table.  Raises KeyError if there is none of this name."""
        found = self._terms.get(model)
        if found is None:
            found = self._terms.setdefault(model, Terms(self.datamodel.model(model), self.datamodel))
        return found

    def opposite(self, link: Link) -> Link:
        """The same relation, seen from its target (also where the target has no field for it)."""
        join = {"join": link.join, "near": link.far, "far": link.near}
        for other in self[link.target].links.values():
            if other.relation == link.relation and other != link and other.target == link.model:
                return other
        return Link(
            name="",
            model=link.target,
            target=link.model,
            fields=link.references,
            references=link.fields,
            is_list=True,
            required=link.required,
            holds_key=not link.holds_key and not link.join,
            relation=link.relation,
            **join,
        )


def _composed(key: Key | None, stored: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return stored if key is None else lambda record: key(stored(record))


def _link(model: Model, field: RelationField, datamodel: Datamodel) -> Link:
    for relation in datamodel.relations:
        if relation.name != field.relation:
            continue
        as_child = (relation.child, relation.child_field) == (model.name, field.name)
        if not as_child and (relation.parent, relation.parent_field) != (model.name, field.name):
            continue
        many = relation.kind is RelationKind.MANY_TO_MANY
        if many:
            own, other = (
                datamodel.model(model.name).key.field_names,
                datamodel.model(field.model).key.field_names,
            )
        else:
            own, other = relation.fields, relation.references
            if not as_child:
                own, other = other, own
        return Link(
            name=field.name,
            model=model.name,
            target=field.model,
            fields=own,
            references=other,
            is_list=field.is_list,
            required=relation.required and not many,
            holds_key=as_child and not many,
            relation=relation.name,
            join=relation.constraint if many else "",
            near=("A" if as_child else "B") if many else "",
            far=("B" if as_child else "A") if many else "",
        )
    raise LookupError(f"{model.name}.{field.name} belongs to no relation")
