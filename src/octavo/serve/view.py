"""The schema of a client, as a view of the store's.

A client sends its own schema.  Its models and fields are matched with the store's by tables and columns,
its relations by their foreign keys; so models, fields and relations may have other names, and fields may be
left out.  Everything else must be the same, or the schema is refused by name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property

from octavo.errors import SchemaError
from octavo.query.plan import Link
from octavo.query.vocabulary import Terms, Vocabulary
from octavo.schema.datamodel import Datamodel, Enum, Model, Relation, RelationField, RelationKind, ScalarField
from octavo.schema.native import native_type


class SeenField:
    """A column as the client names it."""

    __slots__ = ("field", "name", "stored")

    def __init__(self, field: ScalarField, stored: ScalarField) -> None:
        self.field, self.stored, self.name = field, stored, stored.name


class SeenLink:
    """A relation as the client names it."""

    __slots__ = ("field", "link", "name", "view")

    def __init__(self, field: RelationField, link: Link, view: View) -> None:
        self.field, self.link, self.name, self.view = field, link, link.name, view

    @property
    def target(self) -> SeenModel:
        """The model at the other end."""
        return self.view[self.field.model]


class SeenModel:
    """A model of the client's schema, with what its names mean in the store."""

    def __init__(self, model: Model, terms: Terms, view: View) -> None:
        self.model, self.terms, self.view = model, terms, view
        self.name, self.store_name = model.name, terms.name
        columns = {f.column: f for f in terms.model.scalars}
        self.fields: dict[str, SeenField] = {
            f.name: SeenField(f, _column(model, f, columns, view)) for f in model.scalars if not f.ignored
        }
        self.uniques: dict[str, tuple[str, tuple[str, ...]]] = dict(self._compounds())
        """the compound uniques: by the client's name, the store's name and the client's fields"""

    def _compounds(self) -> Iterator[tuple[str, tuple[str, tuple[str, ...]]]]:
        known = {fields: name for name, fields in self.terms.uniques.items()}
        for index in (*([self.model.primary_key] if self.model.primary_key else []), *self.model.uniques):
            names = tuple(self.fields[name].name for name in index.field_names if name in self.fields)
            if names not in known:
                raise _refused(self.name, f"the store has no unique of {', '.join(index.field_names)}")
            if len(names) > 1:
                yield index.client_name, (known[names], index.field_names)

    @cached_property
    def links(self) -> Mapping[str, SeenLink]:
        """The relations by the client's names."""
        return {
            f.name: SeenLink(f, self.view.link_of(self.model, f), self.view)
            for f in self.model.relations
            if not f.ignored
        }

    @property
    def shown(self) -> Iterator[SeenField]:
        """The fields of a result whose selection names none."""
        return (f for f in self.fields.values() if f.field.kind != "unsupported")


class View:
    """The models of a client's schema."""

    def __init__(self, datamodel: Datamodel, vocabulary: Vocabulary) -> None:
        """Raises SchemaError for a schema that is no view of the store."""
        self.datamodel, self.vocabulary = datamodel, vocabulary
        tables = {(m.schema, m.table): m for m in vocabulary.datamodel.models}
        self._models: dict[str, SeenModel] = {}
        for model in datamodel.models:
            if model.ignored:
                continue
            stored = tables.get((model.schema, model.table))
            if stored is None or stored.ignored:
                raise _refused(model.name, f"the store has no table {model.table}")
            self._models[model.name] = SeenModel(model, vocabulary[stored.name], self)
        own = vocabulary.datamodel
        self._relations = {_identity(relation, own): relation for relation in own.relations}
        for seen in self._models.values():
            _ = seen.links

    def __getitem__(self, name: str) -> SeenModel:
        """A model by the client's name.  Raises KeyError."""
        return self._models[name]

    def __contains__(self, name: str) -> bool:
        return name in self._models

    def link_of(self, model: Model, field: RelationField) -> Link:
        """The store's link of a relation field."""
        relation = next(r for r in self.datamodel.relations if _has(r, model, field))
        stored = self._relations.get(_identity(relation, self.datamodel))
        if stored is None:
            raise _refused(f"{model.name}.{field.name}", "the store has no such relation")
        as_child = (relation.child, relation.child_field) == (model.name, field.name)
        name = stored.child_field if as_child else stored.parent_field
        link = self._models[model.name].terms.links.get(name)
        if link is None or link.is_list != field.is_list:
            raise _refused(f"{model.name}.{field.name}", "the store has no such relation")
        return link


def _column(model: Model, field: ScalarField, columns: Mapping[str, ScalarField], view: View) -> ScalarField:
    where = f"{model.name}.{field.name}"
    stored = columns.get(field.column)
    if stored is None:
        raise _refused(where, f"the store's table {model.table} has no column {field.column}")
    if _type(field, view.datamodel) != _type(stored, view.vocabulary.datamodel):
        raise _refused(where, "has another type in the store")
    if (field.default, field.updated_at) != (stored.default, stored.updated_at):
        raise _refused(where, "has another default in the store")
    return stored


def _type(field: ScalarField, datamodel: Datamodel) -> tuple[object, ...]:
    if field.kind == "enum":
        enum: Enum = datamodel.enum(field.type)
        return field.arity, enum.type, tuple((m.name, m.label) for m in enum.members)
    return field.arity, field.type, field.kind, None if field.kind == "unsupported" else native_type(field)


def _identity(relation: Relation, datamodel: Datamodel) -> tuple[object, ...]:
    """What tells a relation whatever its name is: the tables and columns of its foreign key."""
    child, parent = datamodel.model(relation.child), datamodel.model(relation.parent)
    if relation.kind is RelationKind.MANY_TO_MANY:
        return child.table, parent.table, relation.constraint
    own = tuple(child.scalar(name).column for name in relation.fields)
    return child.table, own, parent.table, tuple(parent.scalar(name).column for name in relation.references)


def _has(relation: Relation, model: Model, field: RelationField) -> bool:
    ends = ((relation.child, relation.child_field), (relation.parent, relation.parent_field))
    return relation.name == field.relation and (model.name, field.name) in ends


def _refused(where: str, reason: str) -> SchemaError:
    return SchemaError(f"{where}: {reason}", file="the client's schema")
