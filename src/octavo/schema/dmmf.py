"""A Datamodel in the shape of Prisma's own DMMF."""

from __future__ import annotations

from typing import Any

from octavo.schema.datamodel import (
    Arity,
    Datamodel,
    DefaultValue,
    Enum,
    EnumValue,
    Field,
    Function,
    Index,
    Model,
    Number,
    RelationField,
    ScalarField,
    ScalarKind,
)
from octavo.schema.literals import show_datetime, to_float


def dmmf(datamodel: Datamodel) -> dict[str, Any]:
    """``{"datamodel": {"enums", "models", "types", "indexes"}}``, as Prisma's schema engine prints it.

    Ignored models and fields, and fields of type Unsupported, are left out as they are there.
    """
    shown = [m for m in datamodel.models if not m.ignored]
    models = [m for m in shown if not m.is_view] + [m for m in shown if m.is_view]
    return {
        "datamodel": {
            "enums": [_enum(e) for e in datamodel.enums],
            "models": [_model(m) for m in models],
            "types": [],
            "indexes": [_index(m, index) for m in models for index in _indexes(m)],
        }
    }


def _documented(entry: dict[str, Any], documentation: str | None) -> dict[str, Any]:
    if documentation is not None:
        entry["documentation"] = documentation
    return entry


def _enum(enum: Enum) -> dict[str, Any]:
    values = [_documented({"name": m.name, "dbName": m.written_label}, m.documentation) for m in enum.members]
    return _documented({"name": enum.name, "values": values, "dbName": enum.written_type}, enum.documentation)


def _model(model: Model) -> dict[str, Any]:
    key = model.primary_key
    uniques = [u for u in model.uniques if not u.on_field]
    foreign = {name for relation in model.relations for name in relation.fields}
    entry: dict[str, Any] = {
        "name": model.name,
        "dbName": model.written_table,
        "schema": model.schema,
        "fields": [
            _relation(f) if isinstance(f, RelationField) else _scalar(model, f, f.name in foreign)
            for f in model.fields
            if _is_shown(f)
        ],
        "primaryKey": {"name": key.name, "fields": list(key.field_names)}
        if key and not key.on_field
        else None,
        "uniqueFields": [list(u.field_names) for u in uniques],
        "uniqueIndexes": [{"name": u.name, "fields": list(u.field_names)} for u in uniques],
        "isGenerated": False,
    }
    return _documented(entry, model.documentation)


def _is_shown(field: Field) -> bool:
    unsupported = isinstance(field, ScalarField) and field.kind is ScalarKind.UNSUPPORTED
    return not field.ignored and not unsupported


def _scalar(model: Model, field: ScalarField, is_foreign: bool) -> dict[str, Any]:
    is_id = model.primary_key is not None and model.primary_key.field_names == (field.name,)
    entry: dict[str, Any] = {"name": field.name}
    if field.written_column is not None:
        entry["dbName"] = field.written_column
    native = field.native
    entry |= {
        "kind": field.kind.value,
        "isList": field.is_list,
        "isRequired": field.arity is not Arity.OPTIONAL,
        "isUnique": not is_id and any(u.field_names == (field.name,) for u in model.uniques),
        "isId": is_id,
        "isReadOnly": is_foreign,
        "hasDefaultValue": field.default is not None,
        "type": field.type,
        "nativeType": [native.name, [str(arg) for arg in native.args]] if native else None,
    }
    if field.default is not None:
        entry["default"] = _default(field, field.default)
    entry |= {"isGenerated": False, "isUpdatedAt": field.updated_at}
    return _documented(entry, field.documentation)


_IMPLIED = {"uuid": 4, "cuid": 1}
"""Which version a function without an argument means."""


def _default(field: ScalarField, value: DefaultValue) -> Any:
    match value:
        case Function(name, args):
            implied = _IMPLIED.get(name)
            return {"name": name, "args": list(args or (() if implied is None else (implied,)))}
        case EnumValue(name):
            return name
        case tuple():
            return [_default(field, item) for item in value]
        case Number(text):
            return _number(field.type, text)
        case str() if field.type == "DateTime":
            return show_datetime(value)
    return value


def _number(scalar: str, text: str) -> Any:
    if scalar == "Int":
        return int(text)
    return to_float(text) if scalar in ("Float", "Decimal") else str(int(text))


def _relation(field: RelationField) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "name": field.name,
        "kind": "object",
        "isList": field.is_list,
        "isRequired": field.arity is not Arity.OPTIONAL,
        "isUnique": False,
        "isId": False,
        "isReadOnly": False,
        "hasDefaultValue": False,
        "type": field.model,
        "nativeType": None,
        "relationName": field.relation,
        "relationFromFields": list(field.fields),
        "relationToFields": list(field.references),
    }
    if field.written_on_delete is not None:
        entry["relationOnDelete"] = field.written_on_delete.value
    if field.written_on_update is not None:
        entry["relationOnUpdate"] = field.written_on_update.value
    entry |= {"isGenerated": False, "isUpdatedAt": False}
    return _documented(entry, field.documentation)


def _indexes(model: Model) -> tuple[Index, ...]:
    return (*([model.primary_key] if model.primary_key else []), *model.written_indexes)


def _index(model: Model, index: Index) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "model": model.name,
        "type": index.kind.value,
        "isDefinedOnField": index.on_field,
    }
    if index.name is not None:
        entry["name"] = index.name
    if index.written_constraint is not None:
        entry["dbName"] = index.written_constraint
    if index.written_algorithm is not None:
        entry["algorithm"] = index.written_algorithm
    fields = []
    for f in index.fields:
        shown: dict[str, Any] = {"name": f.name}
        if f.sort is not None:
            shown["sortOrder"] = f.sort
        if f.ops is not None:
            shown["operatorClass"] = f.ops
        fields.append(shown)
    entry["fields"] = fields
    return entry
