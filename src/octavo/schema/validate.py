"""What must hold of a schema as a whole."""

from __future__ import annotations

from octavo.schema.draft import ModelDraft, ScalarDraft, SchemaDraft
from octavo.schema.native import NATIVE_TYPES, native_type
from octavo.schema.syntax import NumberLiteral


def validate(schema: SchemaDraft) -> None:
    """Raises SchemaError for the first thing that Prisma would refuse."""
    for model in schema.models:
        for field in model.scalars:
            _native(schema, model, field)


def _native(schema: SchemaDraft, model: ModelDraft, field: ScalarDraft) -> None:
    attribute = field.native_attribute
    if attribute is None:
        return
    fail = schema.sources.fail
    scope, _, name = attribute.name.partition(".")
    if scope != schema.datasource.name:
        fail(f"native types are written @{schema.datasource.name}.{name} here", attribute.at)
    args = [arg.value.text if isinstance(arg.value, NumberLiteral) else "" for arg in attribute.args]
    native, problem = native_type(name, args)
    if native is None:
        fail(f"{model.name}.{field.name}: {problem}", attribute.at)
    wanted = NATIVE_TYPES[name].scalar
    if wanted != field.type:
        fail(f"{model.name}.{field.name}: @{attribute.name} is for {wanted}, not {field.type}", attribute.at)
    field.native = native
