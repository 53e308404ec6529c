"""What must hold of a schema as a whole, in the order in which Prisma looks at it."""

from __future__ import annotations

from octavo.schema.datamodel import ScalarKind
from octavo.schema.draft import ModelDraft, ScalarDraft, SchemaDraft
from octavo.schema.native import NATIVE_TYPES, native_type, parse_native, spelled_arguments
from octavo.schema.syntax import Attribute
from octavo.schema.validate_index import check_indexes, check_primary_key
from octavo.schema.validate_names import ConstraintNames
from octavo.schema.validate_relation import check_relation, check_relation_field


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
            schema.sources.fail(f"there is another enum with the type {enum.type}", enum.at)
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
    native, problem = native_type(name, spelled_arguments(attribute))
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
