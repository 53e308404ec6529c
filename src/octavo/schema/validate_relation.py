"""Relations: both sides there, the foreign key on the right one, and able to hold."""

from __future__ import annotations

from octavo.schema.datamodel import Action, Arity
from octavo.schema.draft import RelationDraft, RelationPair, SchemaDraft, Shape
from octavo.schema.names import MAX_BYTES
from octavo.schema.relations import on_delete, on_update


def check_relation_field(schema: SchemaDraft, field: RelationDraft) -> None:
    """What can be said of one side alone."""
    fail = schema.sources.fail
    if field.target.ignored and not field.ignored and not field.model.ignored:
        fail(f"{field.target.name} is ignored, so {field.model.name}.{field.name} must be: @ignore", field.at)
    if schema.datasource.relation_mode == "prisma":
        for name, action in (("onDelete", field.on_delete), ("onUpdate", field.on_update)):
            if action in (Action.SET_DEFAULT, Action.NO_ACTION):
                fail(f'{action.value} is not for relationMode = "prisma"', field.argument_at(name))
    if field.map is not None and len(field.map.encode()) > MAX_BYTES:
        fail(f"the name {field.map} is longer than {MAX_BYTES} bytes", field.argument_at("map"))


def check_relation(schema: SchemaDraft, pair: RelationPair) -> None:
    if pair.shape is Shape.MANY_TO_MANY:
        _check_many_to_many(schema, pair)
    elif pair.shape is Shape.EMBEDDED_MANY:
        schema.sources.fail("a many-to-many relation over lists is not for PostgreSQL", pair.any.at)
    else:
        if pair.forward is not None:
            _check_cycle(schema, pair)
            _check_foreign_key(schema, pair.forward)
            _check_set_null(schema, pair.forward)
        _check_sides(schema, pair)


def _check_many_to_many(schema: SchemaDraft, pair: RelationPair) -> None:
    fail = schema.sources.fail
    for field in (pair.forward, pair.back):
        assert field is not None
        key = field.target.primary_key
        if key is None or len(key.fields) != 1:
            fail(
                f"{field.target.name} has no single primary key, so that {field.model.name}.{field.name} "
                "cannot be many-to-many; make a model of the relation",
                field.at,
            )
        for name, action in (("onDelete", field.on_delete), ("onUpdate", field.on_update)):
            if action is not None:
                fail("a many-to-many relation has no referential actions", field.argument_at(name))
        if field.references is not None:
            fail("a many-to-many relation has no references", field.at)


def _check_foreign_key(schema: SchemaDraft, field: RelationDraft) -> None:
    """The columns and what they reference."""
    fail = schema.sources.fail
    fields, references = field.fields, field.references
    where = f"{field.model.name}.{field.name}"
    if references:
        names = sorted(f.name for f in references)
        if not any(sorted(c.field_names) == names for c in field.target.unique_criteria):
            fail(
                f"{where} references {', '.join(names)} of {field.target.name}, which is not unique", field.at
            )
    if fields is not None and references is not None and len(fields) != len(references):
        assert field.attribute is not None
        fail(f"{where} has {len(fields)} fields for {len(references)} references", field.attribute.at)
    if field.arity is Arity.REQUIRED and any(f.arity is Arity.OPTIONAL for f in fields or ()):
        fail(f"{where} must be optional, as one of its fields is", field.at)
    for mine, theirs in zip(fields or (), references or (), strict=False):
        if (mine.kind, mine.type) != (theirs.kind, theirs.type):
            fail(
                f"{where}: {mine.name} is of type {mine.type}, {field.target.name}.{theirs.name} of type "
                f"{theirs.type}",
                field.at,
            )


def _check_set_null(schema: SchemaDraft, field: RelationDraft) -> None:
    """Where the client does the database's work, it refuses to set a required column to NULL."""
    if schema.datasource.relation_mode != "prisma":
        return
    if any(f.arity is Arity.REQUIRED for f in field.fields or ()):
        for name, action in (("onDelete", field.on_delete), ("onUpdate", field.on_update)):
            if action is Action.SET_NULL:
                schema.sources.fail(
                    f"{field.model.name}.{field.name} has a required field, which {name} cannot set to NULL",
                    field.at,
                )


def _check_sides(schema: SchemaDraft, pair: RelationPair) -> None:
    fail = schema.sources.fail
    forward, back = pair.forward, pair.back
    if forward is None or back is None:
        lone = pair.any
        fail(f"{lone.model.name}.{lone.name} needs a field on the other side, in {lone.target.name}", lone.at)
    where = f"{forward.model.name}.{forward.name}"
    if pair.shape is Shape.ONE_TO_MANY:
        if not forward.fields or not forward.references:
            fail(
                f"{where} must name its fields and references",
                forward.at,
                ("@relation(fields: …, references: …)",),
            )
        if back.fields or back.references:
            fail(f"fields and references stand on the other side, {where}", back.at)
    else:
        _check_one_to_one(schema, forward, back)
    if back.on_delete is not None or back.on_update is not None:
        fail(f"referential actions stand on the other side, {where}", back.at)


def _check_one_to_one(schema: SchemaDraft, forward: RelationDraft, back: RelationDraft) -> None:
    fail = schema.sources.fail
    where = f"{forward.model.name}.{forward.name}"
    for what, mine, theirs in (
        ("fields", forward.fields, back.fields),
        ("references", forward.references, back.references),
    ):
        if not mine and not theirs:
            fail(f"one side of {where} must name its {what}", forward.at, (f"@relation({what}: …)",))
        if mine and theirs:
            fail(f"both sides of {where} name {what}", forward.at)
    if forward.fields is not None and not any(
        c.field_names == tuple(f.name for f in forward.fields) for c in forward.model.unique_criteria
    ):
        fail(f"{where} is one-to-one, so its fields must be unique", forward.at, ("@unique", "@@unique"))
    if bool(forward.fields) != bool(forward.references):
        fail(f"fields and references of {where} stand on one side", forward.at)
    if back.arity is Arity.REQUIRED:
        fail(f"{back.model.name}.{back.name} cannot be required: no constraint could ensure it", back.at)
    if forward.arity is Arity.REQUIRED and (back.fields is not None or back.references is not None):
        fail(f"fields and references stand on the required side, {where}", back.at)


def _check_cycle(schema: SchemaDraft, pair: RelationPair) -> None:
    """Where the client does what foreign keys would, actions must not run in a circle."""
    if schema.datasource.relation_mode != "prisma" or pair.back is None:
        return
    assert pair.forward is not None
    root = pair.forward.model
    visited: set[int] = set()
    stack = [pair]
    while stack:
        link = stack.pop()
        assert link.forward is not None
        visited.add(id(link))
        if on_delete(link) is Action.RESTRICT and on_update(link) is Action.RESTRICT:
            continue
        target = link.forward.target
        if target in (link.forward.model, root):
            schema.sources.fail(
                "actions run in a circle here: one relation of it must have onDelete and onUpdate Restrict",
                pair.forward.at,
            )
        stack.extend(
            other
            for other in schema.pairs
            if other.shape in (Shape.ONE_TO_ONE, Shape.ONE_TO_MANY)
            and other.forward is not None
            and other.back is not None
            and other.forward.model is target
            and id(other) not in visited
        )
