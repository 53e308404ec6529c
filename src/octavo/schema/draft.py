"""A schema while its meaning is being worked out: what was written, with the names in it found.

Drafts are filled in step by step (:mod:`octavo.schema.attributes`), checked as a whole
(:mod:`octavo.schema.validate`), and then become a Datamodel (:mod:`octavo.schema.resolve`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

from octavo.schema.datamodel import Action, Arity, Datasource, DefaultValue, IndexKind, NativeType, ScalarKind
from octavo.schema.syntax import Attribute, EnumNode, FieldNode, ModelNode, Sources


@dataclass(slots=True, eq=False)
class ScalarDraft:
    node: FieldNode
    type: str
    kind: ScalarKind
    written_column: str | None = None
    default: DefaultValue | None = None
    native: NativeType | None = None
    native_attribute: Attribute | None = None
    updated_at: bool = False
    ignored: bool = False

    @property
    def name(self) -> str:
        return self.node.name

    @property
    def at(self) -> int:
        return self.node.at

    @property
    def arity(self) -> Arity:
        return self.node.type.arity

    @property
    def column(self) -> str:
        return self.name if self.written_column is None else self.written_column

    def is_scalar(self, *types: str) -> bool:
        return self.kind is ScalarKind.SCALAR and self.type in types


@dataclass(slots=True, eq=False)
class RelationDraft:
    """A field of a model's type.  ``fields`` and ``references`` are None where not written."""

    node: FieldNode
    model: ModelDraft
    target: ModelDraft
    attribute: Attribute | None = None
    relation: str | None = None
    fields: tuple[ScalarDraft, ...] | None = None
    references: tuple[ScalarDraft, ...] | None = None
    on_delete: Action | None = None
    on_update: Action | None = None
    map: str | None = None
    ignored: bool = False

    @property
    def name(self) -> str:
        return self.node.name

    @property
    def at(self) -> int:
        return self.node.at

    @property
    def arity(self) -> Arity:
        return self.node.type.arity

    @property
    def relation_name(self) -> str:
        """As written, or made of the two models' names."""
        return self.relation or "To".join(sorted((self.model.name, self.target.name)))

    def argument_at(self, *names: str) -> int:
        """Where an argument of ``@relation`` stands; the field where there is none."""
        for arg in self.attribute.args if self.attribute else ():
            if arg.name in names:
                return arg.at
        return self.at


@dataclass(slots=True, eq=False)
class IndexedDraft:
    """A field within an index."""

    field: ScalarDraft
    sort: str | None = None
    ops: str | None = None
    raw_ops: bool = False
    length: int | None = None


@dataclass(slots=True, eq=False)
class IndexDraft:
    kind: IndexKind
    attribute: Attribute
    fields: tuple[IndexedDraft, ...]
    name: str | None = None
    map: str | None = None
    algorithm: str | None = None
    clustered: bool | None = None
    on_field: bool = False
    is_fulltext: bool = False

    @property
    def at(self) -> int:
        return self.attribute.at

    @property
    def label(self) -> str:
        return f"{'@' if self.on_field else '@@'}{self.attribute.name}"

    @property
    def field_names(self) -> tuple[str, ...]:
        return tuple(f.field.name for f in self.fields)

    def argument_at(self, *names: str) -> int:
        return next((arg.at for arg in self.attribute.args if arg.name in names), self.at)


@dataclass(slots=True, eq=False)
class ModelDraft:
    node: ModelNode
    fields: list[ScalarDraft | RelationDraft] = field(default_factory=list)
    primary_key: IndexDraft | None = None
    indexes: list[IndexDraft] = field(default_factory=list)
    written_table: str | None = None
    schema: str | None = None
    schema_at: int = 0
    ignored: bool = False
    fields_by_name: dict[str, ScalarDraft | RelationDraft] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.node.name

    @property
    def at(self) -> int:
        return self.node.at

    @property
    def is_view(self) -> bool:
        return self.node.keyword == "view"

    @property
    def table(self) -> str:
        return self.name if self.written_table is None else self.written_table

    @property
    def scalars(self) -> Iterator[ScalarDraft]:
        return (f for f in self.fields if isinstance(f, ScalarDraft))

    @property
    def relations(self) -> Iterator[RelationDraft]:
        return (f for f in self.fields if isinstance(f, RelationDraft))

    @property
    def unique_criteria(self) -> Iterator[IndexDraft]:
        """What can identify a record: the primary key, then the uniques."""
        if self.primary_key is not None:
            yield self.primary_key
        yield from (index for index in self.indexes if index.kind is IndexKind.UNIQUE)


@dataclass(slots=True, eq=False)
class EnumDraft:
    node: EnumNode
    written_type: str | None = None
    written_labels: dict[str, str] = field(default_factory=dict)
    schema: str | None = None
    schema_at: int = 0

    @property
    def name(self) -> str:
        return self.node.name

    @property
    def at(self) -> int:
        return self.node.at

    @property
    def type(self) -> str:
        return self.name if self.written_type is None else self.written_type


class Shape(StrEnum):
    """What a relation is, by its fields."""

    ONE_TO_ONE = "one-to-one"
    ONE_TO_MANY = "one-to-many"
    MANY_TO_MANY = "many-to-many"
    EMBEDDED_MANY = "many-to-many over lists"


@dataclass(slots=True, eq=False)
class RelationPair:
    """A relation as its one or two fields form it.

    ``forward`` is on the child (on model A of a many-to-many relation), ``back`` on the parent; one of
    them may be missing, which is refused later.
    """

    shape: Shape
    forward: RelationDraft | None
    back: RelationDraft | None

    @property
    def any(self) -> RelationDraft:
        found = self.forward or self.back
        assert found is not None
        return found


@dataclass(slots=True)
class SchemaDraft:
    sources: Sources
    datasource: Datasource
    has_datasource: bool = False
    datasource_at: int = 0
    schemas_at: int | None = None
    preview_features: frozenset[str] = frozenset()
    models: list[ModelDraft] = field(default_factory=list)
    enums: list[EnumDraft] = field(default_factory=list)
    models_by_name: dict[str, ModelDraft] = field(default_factory=dict)
    enums_by_name: dict[str, EnumDraft] = field(default_factory=dict)
    pairs: list[RelationPair] = field(default_factory=list)


FieldDraft: TypeAlias = ScalarDraft | RelationDraft
