"""From drafts to the Datamodel, with what Prisma leaves to a default resolved."""

from __future__ import annotations

from octavo.schema.datamodel import (
    Action,
    Arity,
    Datamodel,
    Enum,
    EnumMember,
    Field,
    Index,
    IndexField,
    IndexKind,
    Model,
    Relation,
    RelationField,
    RelationKind,
    ScalarField,
    Secret,
)
from octavo.schema.draft import (
    EnumDraft,
    IndexDraft,
    ModelDraft,
    RelationDraft,
    RelationPair,
    ScalarDraft,
    SchemaDraft,
    Shape,
)
from octavo.schema.names import foreign_key_constraint, index_constraint
from octavo.schema.relations import on_delete, on_update
from octavo.schema.secret_lines import read_secrets


def build(schema: SchemaDraft) -> Datamodel:
    """The Datamodel of a checked draft.  Raises SchemaError for a malformed ``@secret`` line."""
    return Datamodel(
        models=tuple(_model(schema, model) for model in schema.models),
        enums=tuple(_enum(enum) for enum in schema.enums),
        relations=tuple(_relation(schema, pair) for pair in schema.pairs),
        datasource=schema.datasource,
    )


def _enum(draft: EnumDraft) -> Enum:
    return Enum(
        name=draft.name,
        type=draft.type,
        members=tuple(
            EnumMember(
                value.name,
                draft.written_labels.get(value.name, value.name),
                draft.written_labels.get(value.name),
                value.documentation,
            )
            for value in draft.node.values
        ),
        schema=draft.schema,
        written_type=draft.written_type,
        documentation=draft.node.documentation,
    )


def _model(schema: SchemaDraft, draft: ModelDraft) -> Model:
    secrets = read_secrets(schema, draft)
    indexes = [_index(draft, index) for index in draft.indexes]
    return Model(
        name=draft.name,
        table=draft.table,
        fields=tuple(_field(f, secrets.get(f.name)) for f in draft.fields),
        primary_key=_index(draft, draft.primary_key) if draft.primary_key else None,
        uniques=tuple(index for index in indexes if index.kind is IndexKind.UNIQUE),
        indexes=tuple(index for index in indexes if index.kind is IndexKind.NORMAL),
        index_order=tuple(indexes),
        schema=draft.schema,
        written_table=draft.written_table,
        is_view=draft.is_view,
        ignored=draft.ignored,
        documentation=draft.node.documentation,
    )


def _field(draft: ScalarDraft | RelationDraft, secret: Secret | None) -> Field:
    if isinstance(draft, RelationDraft):
        return RelationField(
            name=draft.name,
            model=draft.target.name,
            arity=draft.arity,
            relation=draft.relation_name,
            fields=tuple(f.name for f in draft.fields or ()),
            references=tuple(f.name for f in draft.references or ()),
            written_on_delete=draft.on_delete,
            written_on_update=draft.on_update,
            ignored=draft.ignored,
            documentation=draft.node.documentation,
        )
    return ScalarField(
        name=draft.name,
        column=draft.column,
        type=draft.type,
        kind=draft.kind,
        arity=draft.arity,
        written_column=draft.written_column,
        native=draft.native,
        default=draft.default,
        updated_at=draft.updated_at,
        ignored=draft.ignored,
        documentation=draft.node.documentation,
        secret=secret,
    )


def _index(model: ModelDraft, draft: IndexDraft) -> Index:
    return Index(
        kind=draft.kind,
        fields=tuple(
            IndexField(f.field.name, f.sort.lower() if f.sort else None, f.ops, f.raw_ops)
            for f in draft.fields
        ),
        constraint=index_constraint(model, draft),
        name=draft.name,
        written_constraint=draft.map,
        algorithm=draft.algorithm if draft.algorithm != "BTree" else None,
        written_algorithm=draft.algorithm,
        on_field=draft.on_field,
    )


def _relation(schema: SchemaDraft, pair: RelationPair) -> Relation:
    forward, back = pair.forward, pair.back
    assert forward, "a relation without its child is refused before"
    assert back, "a relation without its parent is refused before"
    if pair.shape is Shape.MANY_TO_MANY:
        return Relation(
            name=forward.relation_name,
            kind=RelationKind.MANY_TO_MANY,
            child=forward.model.name,
            parent=back.model.name,
            child_field=forward.name,
            parent_field=back.name,
            on_delete=Action.CASCADE,
            on_update=Action.CASCADE,
            constraint=f"_{forward.relation_name}",
        )
    return Relation(
        name=forward.relation_name,
        kind=RelationKind.ONE_TO_ONE if pair.shape is Shape.ONE_TO_ONE else RelationKind.ONE_TO_MANY,
        child=forward.model.name,
        parent=back.model.name,
        child_field=forward.name,
        parent_field=back.name,
        fields=tuple(f.name for f in forward.fields or ()),
        references=tuple(f.name for f in forward.references or ()),
        on_delete=on_delete(pair),
        on_update=on_update(pair),
        constraint=foreign_key_constraint(forward),
        written_constraint=forward.map,
        required=forward.arity is Arity.REQUIRED,
    )
