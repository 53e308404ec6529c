"""Which fields form which relation, and what its foreign key does."""

from __future__ import annotations

from octavo.schema.datamodel import Action, Arity
from octavo.schema.draft import ModelDraft, RelationDraft, RelationPair, SchemaDraft, Shape


def pair_relations(schema: SchemaDraft) -> None:
    """Find the relations.  Raises SchemaError where two could be meant."""
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
