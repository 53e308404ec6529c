"""Primary keys, uniques and indexes: what PostgreSQL and a client can do with them."""

from __future__ import annotations

from octavo.schema.datamodel import Arity, IndexKind, NativeType, ScalarKind
from octavo.schema.draft import IndexDraft, IndexedDraft, ModelDraft, ScalarDraft, SchemaDraft
from octavo.schema.native import native_of
from octavo.schema.opclass import DEFAULT_CLASSES, OPERATOR_CLASSES


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
    if index.clustered is not None:
        fail("clustering is not for PostgreSQL", index.at)


def check_indexes(schema: SchemaDraft, model: ModelDraft) -> None:
    fail = schema.sources.fail
    for index in model.indexes:
        if model.is_view and index.kind is IndexKind.NORMAL:
            fail("a view has no indexes", index.at)
        _check_fields(schema, model, index)
        for indexed in index.fields:
            if _native(schema, indexed.field) == "Xml":
                fail(f"xml cannot be indexed: {indexed.field.name}", indexed.field.at)
        if index.algorithm == "Hash" and any(f.sort is not None for f in index.fields):
            fail("a hash index has no sort order", index.at)
        if index.algorithm == "SpGist" and len(index.fields) > 1:
            fail("an SP-GiST index has one field", index.at)
        if index.kind is IndexKind.UNIQUE and any(f.ops is not None for f in index.fields):
            fail("operator classes are for @@index only", index.at)
        for indexed in index.fields:
            _check_class(schema, index, indexed)


def _native(schema: SchemaDraft, field: ScalarDraft) -> str | None:
    native: NativeType | None = native_of(field.native_attribute)
    return native.name if native is not None else None


def _check_class(schema: SchemaDraft, index: IndexDraft, indexed: IndexedDraft) -> None:
    """The operator class, written or implied, must be for the kind of index and the type of the column."""
    if indexed.raw_ops:
        return
    field, algorithm = indexed.field, index.algorithm or "BTree"
    native = _native(schema, field)
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
