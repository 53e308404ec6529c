"""A schema while its meaning is being worked out: its names are found, its relations paired.

Drafts are filled in step by step (:mod:`octavo.schema.attributes`), checked as a whole
(:mod:`octavo.schema.checks`), and then become a Datamodel (:mod:`octavo.schema.parser`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import TypeAlias

import msgspec
from msgspec import Struct

from octavo.schema.datamodel import (
    Action,
    Arity,
    Datasource,
    DefaultValue,
    IndexKind,
    NativeType,
    Number,
    ScalarKind,
)
from octavo.schema.identifiers import constraint_name
from octavo.schema.native import SCALARS
from octavo.schema.syntax import (
    Attribute,
    Block,
    Member,
    Node,
    Sources,
)


class Draft(Struct, eq=False):
    node: Node

    @property
    def name(self) -> str:
        return self.node.name

    @property
    def at(self) -> int:
        return self.node.at


class ScalarDraft(Draft, eq=False):
    type: str
    kind: ScalarKind
    arity: Arity
    written_column: str | None = None
    default: DefaultValue | None = None
    native: NativeType | None = None
    native_attribute: Attribute | None = None
    updated_at: bool = False
    ignored: bool = False

    @property
    def column(self) -> str:
        return self.name if self.written_column is None else self.written_column

    def is_scalar(self, *types: str) -> bool:
        return self.kind is ScalarKind.SCALAR and self.type in types


class RelationDraft(Draft, eq=False):
    """A field of a model's type.  ``fields`` and ``references`` are None where not written."""

    model: ModelDraft
    target: ModelDraft
    arity: Arity
    attribute: Attribute | None = None
    relation: str | None = None
    fields: tuple[ScalarDraft, ...] | None = None
    references: tuple[ScalarDraft, ...] | None = None
    on_delete: Action | None = None
    on_update: Action | None = None
    map: str | None = None
    ignored: bool = False

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


class IndexedDraft(Struct, eq=False):
    """A field within an index."""

    field: ScalarDraft
    sort: str | None = None
    ops: str | None = None
    raw_ops: bool = False
    length: int | None = None


class Condition(Struct, eq=False):
    """One field of an index's ``where: { field: value }``, or ``{ field: { not: value } }``."""

    field: ScalarDraft
    value: bool | str | Number | None
    negated: bool


class IndexDraft(Struct, eq=False):
    kind: IndexKind
    attribute: Attribute
    fields: tuple[IndexedDraft, ...]
    name: str | None = None
    map: str | None = None
    algorithm: str | None = None
    clustered: bool | None = None
    on_field: bool = False
    where: str | tuple[Condition, ...] | None = None
    """which rows it is of: SQL, or conditions; None: all"""

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


class ModelDraft(Draft, eq=False):
    node: Block
    fields: list[ScalarDraft | RelationDraft] = msgspec.field(default_factory=list)
    primary_key: IndexDraft | None = None
    indexes: list[IndexDraft] = msgspec.field(default_factory=list)
    written_table: str | None = None
    schema: str | None = None
    schema_at: int = 0
    ignored: bool = False
    fields_by_name: dict[str, ScalarDraft | RelationDraft] = msgspec.field(default_factory=dict)

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


class EnumDraft(Draft, eq=False):
    node: Block
    written_type: str | None = None
    written_labels: dict[str, str] = msgspec.field(default_factory=dict)
    schema: str | None = None
    schema_at: int = 0

    @property
    def type(self) -> str:
        return self.name if self.written_type is None else self.written_type


class Shape(StrEnum):
    """What a relation is, by its fields."""

    ONE_TO_ONE = "one-to-one"
    ONE_TO_MANY = "one-to-many"
    MANY_TO_MANY = "many-to-many"
    EMBEDDED_MANY = "many-to-many over lists"


class RelationPair(Struct, eq=False):
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


class SchemaDraft(Struct, eq=False):
    sources: Sources
    datasource: Datasource
    has_datasource: bool = False
    has_url: bool = False
    """of the datasource: it is written for Prisma 6, else for Prisma 7"""
    datasource_at: int = 0
    schemas_at: int | None = None
    preview_features: frozenset[str] = frozenset()
    models: list[ModelDraft] = msgspec.field(default_factory=list)
    enums: list[EnumDraft] = msgspec.field(default_factory=list)
    models_by_name: dict[str, ModelDraft] = msgspec.field(default_factory=dict)
    enums_by_name: dict[str, EnumDraft] = msgspec.field(default_factory=dict)
    pairs: list[RelationPair] = msgspec.field(default_factory=list)


FieldDraft: TypeAlias = ScalarDraft | RelationDraft


_RESERVED = """
    PrismaClient break case catch class const continue debugger default delete do else enum export extends
    false finally for function if implements import in instanceof interface let new null package private
    protected public return super switch this throw true try typeof var void while with yield
    async await using
"""
RESERVED = frozenset(_RESERVED.split())
"""Names that a client could not use for a model or an enum."""


def read_names(draft: SchemaDraft, blocks: Sequence[Block]) -> None:
    """Fill the draft with models and enums and their fields' types.  Raises SchemaError."""
    sources = draft.sources
    taken: dict[str, str] = {}
    for block in blocks:
        if block.is_config:
            continue
        kind = block.keyword
        _check(sources, block.name, kind, block.at)
        if block.name in SCALARS:
            sources.fail(f"{block.name} is a type of Prisma's own", block.at)
        if block.name in RESERVED and kind != "type":
            sources.fail(f"{block.name} is a reserved word; choose another name", block.at)
        if block.name in taken:
            sources.fail(f"there is a {taken[block.name]} {block.name} already", block.at)
        taken[block.name] = kind
        _members(sources, block)
        if kind == "enum":
            if not block.members:
                sources.fail(f"the enum {block.name} has no values", block.at, ("a value",))
            draft.enums.append(EnumDraft(block))
        else:
            if kind == "type":
                sources.fail("PostgreSQL has no composite types in a Prisma schema", block.at)
            draft.models.append(ModelDraft(block))
    draft.models_by_name = {model.name: model for model in draft.models}
    draft.enums_by_name = {enum.name: enum for enum in draft.enums}
    for model in draft.models:
        model.fields = [_field(draft, model, node) for node in model.node.members]
        model.fields_by_name = {f.name: f for f in model.fields}


def _members(sources: Sources, block: Block) -> None:
    for attribute in block.attributes:
        _check(sources, attribute.name, "attribute", attribute.at)
    seen: set[str] = set()
    for member in block.members:
        _check(sources, member.name, "value" if member.type is None else "field", member.at)
        if member.name in seen:
            sources.fail(f"the {block.keyword} {block.name} has {member.name} twice", member.at)
        seen.add(member.name)
        for attribute in member.attributes:
            _check(sources, attribute.name, "attribute", attribute.at)


def _check(sources: Sources, name: str, kind: str, at: int) -> None:
    if name[0].isnumeric():
        sources.fail(f"the name of a {kind} cannot start with a digit: {name}", at)
    if "-" in name:
        sources.fail(f"the name of a {kind} cannot have a hyphen: {name}", at)


def _field(draft: SchemaDraft, model: ModelDraft, node: Member) -> ScalarDraft | RelationDraft:
    written = node.type
    assert written is not None
    if written.unsupported:
        return ScalarDraft(node, written.name, ScalarKind.UNSUPPORTED, written.arity)
    if written.name in SCALARS:
        return ScalarDraft(node, written.name, ScalarKind.SCALAR, written.arity)
    if written.name in draft.enums_by_name:
        return ScalarDraft(node, written.name, ScalarKind.ENUM, written.arity)
    if (target := draft.models_by_name.get(written.name)) is not None:
        return RelationDraft(node, model, target, written.arity)
    draft.sources.fail(f"{model.name}.{node.name}: unknown type, enum or model {written.name}", written.at)


_SUFFIXES = {IndexKind.ID: "pkey", IndexKind.UNIQUE: "key", IndexKind.NORMAL: "idx"}


def index_constraint(model: ModelDraft, index: IndexDraft) -> str:
    """The name of a key or an index in the database."""
    columns = [] if index.kind is IndexKind.ID else [f.field.column for f in index.fields]
    return index.map or constraint_name(model.table, columns, _SUFFIXES[index.kind])


def foreign_key_constraint(field: RelationDraft) -> str:
    """The name of a foreign key in the database."""
    columns = [f.column for f in field.fields or ()]
    return field.map or constraint_name(field.model.table, columns, "fkey")


def pair_relations(schema: SchemaDraft) -> None:
    """Find the relations.  Raises SchemaError where a field could belong to two."""
    for model in schema.models:
        for field in model.relations:
            _refuse_ambiguity(schema, model, field)
    for model in schema.models:
        for field in model.relations:
            if (pair := _pair(field)) is not None:
                schema.pairs.append(pair)


def _refuse_ambiguity(schema: SchemaDraft, model: ModelDraft, field: RelationDraft) -> None:
    same = [
        other
        for other in model.relations
        if other.target is field.target and other.relation_name == field.relation_name
    ]
    allowed = 2 if field.target is model and field.relation else 1
    if len(same) > allowed:
        names = ", ".join(other.name for other in same)
        schema.sources.fail(
            f"the fields {names} of {model.name} all refer to {field.target.name}: each relation needs "
            'a name of its own, @relation("…")',
            field.at,
        )


def _opposite(field: RelationDraft) -> RelationDraft | None:
    for other in field.target.relations:
        if other is not field and other.target is field.model and other.relation == field.relation:
            return other
    return None


def _pair(field: RelationDraft) -> RelationPair | None:
    """The relation that a field belongs to; None where the field at the other end tells of it."""
    back = _opposite(field)
    if back is None:
        if field.arity is Arity.LIST:
            return RelationPair(Shape.ONE_TO_MANY, None, field)
        return RelationPair(Shape.ONE_TO_ONE if _is_unique(field) else Shape.ONE_TO_MANY, field, None)
    mine, theirs = (field.model.name, field.name), (back.model.name, back.name)
    if field.arity is Arity.LIST and back.arity is Arity.LIST:
        embedded = field.fields is not None or back.fields is not None
        return (
            None
            if mine > theirs
            else RelationPair(Shape.EMBEDDED_MANY if embedded else Shape.MANY_TO_MANY, field, back)
        )
    if field.arity is Arity.LIST:
        return None
    if back.arity is Arity.LIST:
        return RelationPair(Shape.ONE_TO_MANY, field, back)
    if field.arity is not back.arity:
        is_forward = field.arity is Arity.REQUIRED
    elif field.arity is Arity.REQUIRED or (field.fields is None and back.fields is None):
        is_forward = mine <= theirs
    else:
        is_forward = field.fields is not None
    return RelationPair(Shape.ONE_TO_ONE, field, back) if is_forward else None


def _is_unique(field: RelationDraft) -> bool:
    return field.fields is not None and any(
        [f.field for f in criterion.fields] == list(field.fields) for criterion in field.model.unique_criteria
    )


def on_delete(pair: RelationPair) -> Action:
    """What happens to a child whose parent is deleted: as written, else by whether it can be without one."""
    assert pair.forward is not None
    written = pair.forward.on_delete
    if written is not None:
        return written
    if pair.forward.arity is Arity.REQUIRED or any(
        f.arity is Arity.REQUIRED for f in pair.forward.fields or ()
    ):
        return Action.RESTRICT
    return Action.SET_NULL


def on_update(pair: RelationPair) -> Action:
    assert pair.forward is not None
    return pair.forward.on_update or Action.CASCADE
