"""What must hold of a schema as a whole, in the order in which Prisma checks it."""

from __future__ import annotations

from collections import Counter

from octavo.schema.datamodel import Action, Arity, IndexKind, ScalarKind
from octavo.schema.draft import (
    FieldDraft,
    IndexDraft,
    IndexedDraft,
    ModelDraft,
    RelationDraft,
    RelationPair,
    ScalarDraft,
    SchemaDraft,
    Shape,
    foreign_key_constraint,
    index_constraint,
    on_delete,
    on_update,
)
from octavo.schema.identifiers import MAX_BYTES
from octavo.schema.native import DEFAULT_CLASSES, NATIVE_TYPES, OPERATOR_CLASSES, parse_native, read_native
from octavo.schema.syntax import Attribute, Constant, Expression, NumberLiteral, StringLiteral


def validate(schema: SchemaDraft) -> None:
    """Raises SchemaError for the first thing that Prisma would refuse."""
    _extensions(schema)
    _table_clashes(schema)
    names = ConstraintNames(schema)
    for model in schema.models:
        _model(schema, model, names)
    _enums(schema)
    for pair in schema.pairs:
        check_relation(schema, pair)
        names.check_foreign_key(pair)


def _extensions(schema: SchemaDraft) -> None:
    if schema.datasource.extensions and "postgresqlExtensions" not in schema.preview_features:
        schema.sources.fail(
            "the property extensions needs the preview feature postgresqlExtensions", schema.datasource_at
        )


def _table_clashes(schema: SchemaDraft) -> None:
    taken: dict[tuple[str | None, str], ModelDraft] = {}
    for model in schema.models:
        other = taken.setdefault((model.schema, model.table), model)
        if other is not model:
            mapped = model if model.written_table is not None else other
            attribute = next(a for a in mapped.node.attributes if a.name == "map")
            schema.sources.fail(
                f"{other.name} and {model.name} are both the table {model.table}", attribute.at
            )


def _model(schema: SchemaDraft, model: ModelDraft, names: ConstraintNames) -> None:
    if model.is_view and "views" not in schema.preview_features:
        schema.sources.fail("views need the preview feature 'views' in a generator", model.at)
    check_primary_key(schema, model)
    names.check_primary_key(model)
    _schema_attribute(schema, model.schema, model.schema_at, model.at, model.name)
    for field in model.scalars:
        names.check_client_name(model, field)
        _native(schema, model, field)
        _unsupported(schema, model, field)
    for relation in model.relations:
        names.check_client_name(model, relation)
        check_relation_field(schema, relation)
    check_indexes(schema, model)
    names.check_indexes(model)


def _schema_attribute(schema: SchemaDraft, name: str | None, at: int, block_at: int, block: str) -> None:
    if name is not None and schema.has_datasource and name not in schema.datasource.schemas:
        schema.sources.fail(
            f"the datasource does not list the schema {name!r}", at, schema.datasource.schemas
        )
    if name is None and schema.schemas_at is not None:
        schema.sources.fail(
            f"{block} does not say which schema it is in", block_at, ("an attribute @@schema",)
        )


def _enums(schema: SchemaDraft) -> None:
    taken: set[tuple[str | None, str]] = set()
    for enum in schema.enums:
        if (enum.schema, enum.type) in taken:
            schema.sources.fail(f"another enum has the type {enum.type}", enum.at)
        taken.add((enum.schema, enum.type))
    for enum in schema.enums:
        _schema_attribute(schema, enum.schema, enum.schema_at, enum.at, enum.name)


def _native(schema: SchemaDraft, model: ModelDraft, field: ScalarDraft) -> None:
    attribute: Attribute | None = field.native_attribute
    if attribute is None:
        return
    fail = schema.sources.fail
    scope, _, name = attribute.name.partition(".")
    if scope != schema.datasource.name:
        fail(f"native types are written @{schema.datasource.name}.{name} here", attribute.at)
    native, problem = read_native(name, _spelled_arguments(attribute))
    if native is None:
        fail(f"{model.name}.{field.name}: {problem}", attribute.at)
    wanted = NATIVE_TYPES[name].scalar
    if wanted != field.type:
        fail(f"{model.name}.{field.name}: @{attribute.name} is for {wanted}, not {field.type}", attribute.at)
    field.native = native


def _unsupported(schema: SchemaDraft, model: ModelDraft, field: ScalarDraft) -> None:
    """``Unsupported("Uuid")`` names a type that Prisma has a name for."""
    if field.kind is ScalarKind.UNSUPPORTED and (native := parse_native(field.type)) is not None:
        rule = NATIVE_TYPES[native.name]
        schema.sources.fail(
            f"{model.name}.{field.name}: {field.type} is supported, as {rule.scalar} "
            f"@{schema.datasource.name}.{native.name}",
            field.at,
        )


class ConstraintNames:
    """How often each name is used, where it may be used once.

    PostgreSQL keeps primary keys and indexes of a schema in one namespace, and all constraints of a table
    in another.
    """

    def __init__(self, schema: SchemaDraft) -> None:
        self.schema = schema
        self.in_schema: Counter[tuple[str | None, str]] = Counter()
        self.in_table: Counter[tuple[str, str]] = Counter()
        self.in_client: Counter[tuple[str, str]] = Counter()
        for model in schema.models:
            for index in _keys(model):
                name = index_constraint(model, index)
                self.in_schema[model.schema, name] += 1
                self.in_table[model.name, name] += 1
                if index.name is not None:
                    self.in_client[model.name, index.name] += 1
        for pair in schema.pairs:
            if pair.forward is not None and _is_inline(pair):
                self.in_table[pair.forward.model.name, foreign_key_constraint(pair.forward)] += 1

    def _check(self, model: ModelDraft, name: str, at: int) -> None:
        if len(name.encode()) > MAX_BYTES:
            self.schema.sources.fail(f"the name {name} is longer than {MAX_BYTES} bytes", at)

    def _check_index(self, model: ModelDraft, index: IndexDraft) -> None:
        name = index_constraint(model, index)
        at = index.argument_at("map", "name")
        self._check(model, name, at)
        if self.in_schema[model.schema, name] > 1 or self.in_table[model.name, name] > 1:
            self.schema.sources.fail(
                f"the name {name} is used twice in the database; 'map' gives {index.label} another", at
            )
        if index.name is not None and self.in_client[model.name, index.name] > 1:
            self.schema.sources.fail(
                f"{model.name} has the name {index.name} twice", index.argument_at("name")
            )

    def check_primary_key(self, model: ModelDraft) -> None:
        if model.primary_key is not None:
            self._check_index(model, model.primary_key)

    def check_indexes(self, model: ModelDraft) -> None:
        for index in model.indexes:
            self._check_index(model, index)

    def check_foreign_key(self, pair: RelationPair) -> None:
        field = pair.forward
        if field is None or not _is_inline(pair):
            return
        name = foreign_key_constraint(field)
        if self.in_table[field.model.name, name] > 1:
            self.schema.sources.fail(
                f"the name {name} is used twice in {field.model.table}; 'map' gives the foreign key another",
                field.argument_at("map"),
            )

    def check_client_name(self, model: ModelDraft, field: FieldDraft) -> None:
        """A compound key's name in the client is not a field's."""
        if self.in_client[model.name, field.name]:
            self.schema.sources.fail(
                f"{model.name} has the field {field.name}, which is also the name of a key", model.at
            )


def _is_inline(pair: RelationPair) -> bool:
    return pair.shape in (Shape.ONE_TO_ONE, Shape.ONE_TO_MANY)


def _keys(model: ModelDraft) -> list[IndexDraft]:
    return [*([model.primary_key] if model.primary_key else []), *model.indexes]


def check_primary_key(schema: SchemaDraft, model: ModelDraft) -> None:
    """A record must be identified by something, and the primary key be one that PostgreSQL can have."""
    fail = schema.sources.fail
    if model.is_view and model.primary_key is not None:
        fail("a view has no primary key", model.primary_key.at)
    if not model.ignored and not model.is_view and not any(map(_identifies, model.unique_criteria)):
        fail(
            f"nothing identifies a record of {model.name}: a model needs a primary key, or a unique "
            "of required fields",
            model.at,
            ("@id", "@unique", "@@id", "@@unique"),
        )
    key = model.primary_key
    if key is None:
        return
    _check_fields(schema, model, key)
    if any(f.sort is not None for f in key.fields):
        fail("the fields of a primary key have no sort order in PostgreSQL", key.at)


def _identifies(criterion: IndexDraft) -> bool:
    fields = [f.field for f in criterion.fields]
    return not any(f.arity is Arity.OPTIONAL or f.kind is ScalarKind.UNSUPPORTED for f in fields)


def _check_fields(schema: SchemaDraft, model: ModelDraft, index: IndexDraft) -> None:
    fail = schema.sources.fail
    if not index.fields:
        fail(f"{index.label} has no fields", index.at, ("a field",))
    client_name = "_".join(index.field_names)
    is_key = index.kind is not IndexKind.NORMAL
    if is_key and len(index.fields) > 1 and any(f.name == client_name for f in model.scalars):
        fail(f"{index.label} is called {client_name} in a client, as a field of {model.name} is", index.at)
    if any(f.length is not None for f in index.fields):
        fail("PostgreSQL indexes a column as a whole, without a length", index.at)
    if index.where is not None and "partialIndexes" not in schema.preview_features:
        fail("an index with 'where' needs the preview feature partialIndexes in a generator", index.at)
    if index.clustered is not None:
        fail("Prisma has no clustered indexes for PostgreSQL", index.at)


def check_indexes(schema: SchemaDraft, model: ModelDraft) -> None:
    fail = schema.sources.fail
    for index in model.indexes:
        if model.is_view and index.kind is IndexKind.NORMAL:
            fail("a view has no indexes", index.at)
        _check_fields(schema, model, index)
        for indexed in index.fields:
            rule = NATIVE_TYPES.get(_native_name(indexed.field) or "")
            if rule is not None and not rule.indexed:
                fail(f"{rule.catalog} cannot be indexed: {indexed.field.name}", indexed.field.at)
        if index.algorithm == "Hash" and any(f.sort is not None for f in index.fields):
            fail("a hash index has no sort order", index.at)
        if index.algorithm == "SpGist" and len(index.fields) > 1:
            fail("an SP-GiST index has one field", index.at)
        if index.kind is IndexKind.UNIQUE and any(f.ops is not None for f in index.fields):
            fail("operator classes are for @@index only", index.at)
        for indexed in index.fields:
            _check_class(schema, index, indexed)


def _spelled(value: Expression) -> str:
    match value:
        case NumberLiteral() | Constant():
            return value.text
        case StringLiteral():
            return f'"{value.value}"'
    return ""


def _spelled_arguments(attribute: Attribute) -> list[str]:
    """The arguments of ``@db.…`` as written; what is no plain value is empty."""
    return [_spelled(arg.value) for arg in attribute.args]


def _native_name(field: ScalarDraft) -> str | None:
    """The type that ``@db.…`` names, if it says something valid."""
    attribute = field.native_attribute
    if attribute is None:
        return None
    native, _ = read_native(attribute.name.partition(".")[2], _spelled_arguments(attribute))
    return native.name if native is not None else None


def _check_class(schema: SchemaDraft, index: IndexDraft, indexed: IndexedDraft) -> None:
    """The operator class, written or implied, must be for the kind of index and the type of the column."""
    if indexed.raw_ops:
        return
    field, algorithm = indexed.field, index.algorithm or "BTree"
    native = _native_name(field)
    fail = schema.sources.fail
    if indexed.ops is None:
        if algorithm in DEFAULT_CLASSES and not _has_default(algorithm, field, native):
            fail(f"a {algorithm} index has no default operator class for {field.name}", index.at)
        return
    rule = OPERATOR_CLASSES[indexed.ops]
    if algorithm not in rule.algorithms:
        fail(f"{indexed.ops} is not for an index of type {algorithm}", index.at, rule.algorithms)
    if indexed.ops == "ArrayOps":
        fits = field.arity is Arity.LIST
    elif native is None:
        fits = bool(rule.scalar) and field.is_scalar(rule.scalar)
    else:
        fits = native in rule.natives
    if not fits:
        fail(f"{indexed.ops} does not fit the type of {field.name}", index.at)


def _has_default(algorithm: str, field: ScalarDraft, native: str | None) -> bool:
    if field.kind is ScalarKind.UNSUPPORTED or (algorithm == "Gin" and field.arity is Arity.LIST):
        return True
    if native is not None:
        return native in DEFAULT_CLASSES[algorithm][0]
    return field.is_scalar(*DEFAULT_CLASSES[algorithm][1])


def check_relation_field(schema: SchemaDraft, field: RelationDraft) -> None:
    """What can be said of one side alone."""
    fail = schema.sources.fail
    if field.target.ignored and not field.ignored and not field.model.ignored:
        fail(f"{field.target.name} is ignored, so {field.model.name}.{field.name} must be: @ignore", field.at)
    if schema.datasource.relation_mode == "prisma":
        for name, action in (("onDelete", field.on_delete), ("onUpdate", field.on_update)):
            if action in (Action.SET_DEFAULT, Action.NO_ACTION):
                fail(f'{action.value} is not available with relationMode = "prisma"', field.argument_at(name))
    if field.map is not None and len(field.map.encode()) > MAX_BYTES:
        fail(f"the name {field.map} is longer than {MAX_BYTES} bytes", field.argument_at("map"))


def check_relation(schema: SchemaDraft, pair: RelationPair) -> None:
    if pair.shape is Shape.MANY_TO_MANY:
        _check_many_to_many(schema, pair)
    elif pair.shape is Shape.EMBEDDED_MANY:
        schema.sources.fail("PostgreSQL has no many-to-many relations over lists", pair.any.at)
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
            fail(f"fields and references belong on the other side, {where}", back.at)
    else:
        _check_one_to_one(schema, forward, back)
    if back.on_delete is not None or back.on_update is not None:
        fail(f"referential actions belong on the other side, {where}", back.at)


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
        fail(f"fields and references of {where} must be on the same side", forward.at)
    if back.arity is Arity.REQUIRED:
        fail(f"{back.model.name}.{back.name} cannot be required: no constraint could ensure it", back.at)
    if forward.arity is Arity.REQUIRED and (back.fields is not None or back.references is not None):
        fail(f"fields and references belong on the required side, {where}", back.at)


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
