"""What things are called: names that may be used in a schema, and those that the database gets by default."""

from __future__ import annotations

from collections.abc import Sequence

from octavo.schema.datamodel import IndexKind, ScalarKind
from octavo.schema.draft import EnumDraft, IndexDraft, ModelDraft, RelationDraft, ScalarDraft, SchemaDraft
from octavo.schema.native import SCALARS
from octavo.schema.syntax import Attribute, Block, ConfigNode, EnumNode, FieldNode, Sources, ValueNode

MAX_BYTES = 63
"""How long a name can be in PostgreSQL."""

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
        if isinstance(block, ConfigNode):
            continue
        kind = "enum" if isinstance(block, EnumNode) else block.keyword
        _check(sources, block.name, kind, block.at)
        if block.name in SCALARS:
            sources.fail(f"{block.name} is a type of Prisma's own", block.at)
        if block.name in RESERVED and kind != "type":
            sources.fail(f"{block.name} is a reserved word; choose another name", block.at)
        if block.name in taken:
            sources.fail(f"there is a {taken[block.name]} {block.name} already", block.at)
        taken[block.name] = kind
        if isinstance(block, EnumNode):
            _enum(draft, block)
        else:
            _members(sources, block.fields, block.attributes, f"{kind} {block.name}")
            if kind == "type":
                sources.fail("PostgreSQL has no composite types in a Prisma schema", block.at)
            draft.models.append(ModelDraft(block))
    draft.models_by_name = {model.name: model for model in draft.models}
    draft.enums_by_name = {enum.name: enum for enum in draft.enums}
    for model in draft.models:
        model.fields = [_field(draft, model, node) for node in model.node.fields]
        model.fields_by_name = {f.name: f for f in model.fields}


def _enum(draft: SchemaDraft, node: EnumNode) -> None:
    _members(draft.sources, node.values, node.attributes, f"enum {node.name}")
    if not node.values:
        draft.sources.fail(f"the enum {node.name} has no values", node.at, ("a value",))
    draft.enums.append(EnumDraft(node))


def _members(
    sources: Sources, members: Sequence[FieldNode | ValueNode], attributes: Sequence[Attribute], of: str
) -> None:
    for attribute in attributes:
        _check(sources, attribute.name, "attribute", attribute.at)
    seen: set[str] = set()
    for member in members:
        _check(sources, member.name, "field" if isinstance(member, FieldNode) else "value", member.at)
        if member.name in seen:
            sources.fail(f"the {of} has {member.name} twice", member.at)
        seen.add(member.name)
        for attribute in member.attributes:
            _check(sources, attribute.name, "attribute", attribute.at)


def _check(sources: Sources, name: str, kind: str, at: int) -> None:
    if name[0].isnumeric():
        sources.fail(f"the name of a {kind} cannot start with a digit: {name}", at)
    if "-" in name:
        sources.fail(f"the name of a {kind} cannot have a hyphen: {name}", at)


def _field(draft: SchemaDraft, model: ModelDraft, node: FieldNode) -> ScalarDraft | RelationDraft:
    written = node.type
    if written.unsupported:
        return ScalarDraft(node, written.name, ScalarKind.UNSUPPORTED)
    if written.name in SCALARS:
        return ScalarDraft(node, written.name, ScalarKind.SCALAR)
    if written.name in draft.enums_by_name:
        return ScalarDraft(node, written.name, ScalarKind.ENUM)
    if (target := draft.models_by_name.get(written.name)) is not None:
        return RelationDraft(node, model, target)
    draft.sources.fail(
        f"{model.name}.{node.name}: there is no type, enum or model {written.name}", written.at
    )


def _cut(text: str, limit: int) -> str:
    return text.encode()[:limit].decode(errors="ignore")


def constraint_name(table: str, columns: Sequence[str], suffix: str) -> str:
    """What Prisma calls a constraint or index: ``<table>_<column>…_<suffix>``, the part before cut to fit."""
    end = f"_{suffix}"
    return _cut("_".join((table, *columns)), MAX_BYTES - len(end)) + end


_SUFFIXES = {IndexKind.ID: "pkey", IndexKind.UNIQUE: "key", IndexKind.NORMAL: "idx"}


def index_constraint(model: ModelDraft, index: IndexDraft) -> str:
    """The name of a key or an index in the database."""
    columns = [] if index.kind is IndexKind.ID else [f.field.column for f in index.fields]
    return index.map or constraint_name(model.table, columns, _SUFFIXES[index.kind])


def foreign_key_constraint(field: RelationDraft) -> str:
    """The name of a foreign key in the database."""
    columns = [f.column for f in field.fields or ()]
    return field.map or constraint_name(field.model.table, columns, "fkey")
