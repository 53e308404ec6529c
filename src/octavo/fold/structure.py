"""The structure of a schema and of the files it lives in, as plain JSON values: what an inventory records.

Everything is derived from the Datamodel and the layout.  Lists of things with names have those under
``name``, so that two descriptions can be compared thing by thing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, TypeAlias

from octavo.layout.layout import Kind, Layout, Place
from octavo.schema.datamodel import (
    Action,
    Arity,
    Datamodel,
    DefaultValue,
    EnumValue,
    Function,
    Index,
    Model,
    Number,
    Relation,
    RelationField,
    RelationKind,
    ScalarField,
    ScalarKind,
)
from octavo.schema.ddl import default_sql, is_serial, sql_type

Facts: TypeAlias = dict[str, Any]


def describe(layout: Layout) -> Facts:
    """Enums, models and relations, with where each model lives and what is to be checked of it."""
    datamodel = layout.datamodel
    return {
        "enums": [
            {"name": enum.name, "type": enum.type, "values": list(enum.labels)} for enum in datamodel.enums
        ],
        "models": [_model(layout, model) for model in datamodel.tables],
        "relations": [_relation(r) for r in datamodel.relations],
        "integrityChecks": [
            {"model": model.name, "check": check}
            for model in datamodel.tables
            for check in checks(layout, model)
        ],
    }


def _model(layout: Layout, model: Model) -> Facts:
    datamodel = layout.datamodel
    return {
        "name": model.name,
        "table": model.table,
        "home": _home(layout, model),
        "key": list(model.key.field_names),
        "fields": [_field(datamodel, f) for f in model.scalars],
        "jsonFields": [f.name for f in model.scalars if f.is_json],
        "secretFields": [f.name for f in model.scalars if f.secret is not None],
        "primaryKey": _index(model.primary_key) if model.primary_key else None,
        "uniques": [_index(u) for u in model.uniques],
        "indexes": [_index(i) for i in model.indexes],
        "foreignKeys": [_foreign_key(key) for key in datamodel.parents(model.name)],
        "relations": [_relation_field(datamodel, model, f) for f in model.relations],
        "onDelete": [
            {"name": key.constraint, "model": key.child, "action": str(key.on_delete)}
            for key in datamodel.children(model.name)
        ],
        "deletedWithIt": sorted(deleted_with(datamodel, model.name)),
    }


def _home(layout: Layout, model: Model) -> Facts:
    place = layout.place(model.name)
    home: Facts = {"kind": str(place.kind), "file": layout.host(model.name).path}
    if place.array:
        home["array"] = place.array
    if place.relation is not None:
        home["parent"] = place.relation.parent
    shown = {f.name for f in place.fields}
    if left_out := [f.name for f in model.scalars if f.name not in shown]:
        home["leftOut"] = left_out
    if place.payload:
        home["payload"] = place.payload
    return home


def _field(datamodel: Datamodel, f: ScalarField) -> Facts:
    facts: Facts = {
        "name": f.name,
        "column": f.column,
        "type": f.type,
        "kind": str(f.kind),
        "postgres": sql_type(datamodel, f),
        "nullable": f.nullable,
        "list": f.is_list,
        "default": shown_default(f),
        "defaultBy": _default_by(datamodel, f),
        "json": f.is_json,
        "secret": None,
    }
    if f.secret is not None:
        secret = f.secret
        facts["secret"] = {
            "scheme": secret.scheme,
            **{name: text for name in ("iv", "tag", "owner") if (text := getattr(secret, name))},
            **({"part": True} if secret.part else {}),
        }
    return facts


def shown_default(f: ScalarField) -> str | None:
    """A field's default as the schema writes it; None if it has none."""
    if f.updated_at:
        return "@updatedAt"
    return None if f.default is None else _shown(f.default)


def _shown(value: DefaultValue) -> str:
    if isinstance(value, Function):
        return f"{value.name}({', '.join(json.dumps(arg) for arg in value.args)})"
    if isinstance(value, Number):
        return value.text
    if isinstance(value, EnumValue):
        return value.name
    if isinstance(value, tuple):
        return f"[{', '.join(map(_shown, value))}]"
    return json.dumps(value, ensure_ascii=False)


def _default_by(datamodel: Datamodel, f: ScalarField) -> str | None:
    """Who fills a default in: the database, or the client."""
    if is_serial(f) or default_sql(datamodel, f) is not None:
        return "database"
    return "client" if f.default is not None or f.updated_at else None


def _index(index: Index) -> Facts:
    facts: Facts = {"name": index.constraint, "fields": list(index.field_names)}
    if index.algorithm:
        facts["algorithm"] = index.algorithm
    return facts


def _foreign_key(key: Relation) -> Facts:
    return {
        "name": key.constraint,
        "fields": list(key.fields),
        "references": {"model": key.parent, "fields": list(key.references)},
        "onDelete": str(key.on_delete),
        "onUpdate": str(key.on_update),
        "required": key.required,
    }


def _relation(relation: Relation) -> Facts:
    many = relation.kind is RelationKind.MANY_TO_MANY
    ends = ("modelA", "modelB") if many else ("child", "parent")
    facts: Facts = {
        "name": relation.constraint,
        "relation": relation.name,
        "kind": str(relation.kind),
        ends[0]: relation.child,
        ends[1]: relation.parent,
    }
    if not many:
        facts |= {"onDelete": str(relation.on_delete), "onUpdate": str(relation.on_update)}
    return facts


def _relation_field(datamodel: Datamodel, model: Model, f: RelationField) -> Facts:
    relation = _relation_of(datamodel, model, f)
    return {
        "name": f.name,
        "model": f.model,
        "kind": str(relation.kind) if relation else str(RelationKind.ONE_TO_MANY),
        "list": f.is_list,
        "required": f.arity is Arity.REQUIRED,
        "fields": list(f.fields),
    }


def _relation_of(datamodel: Datamodel, model: Model, f: RelationField) -> Relation | None:
    ends = (model.name, f.name)
    return next(
        (
            r
            for r in datamodel.relations
            if ends in ((r.child, r.child_field), (r.parent, r.parent_field)) and r.name == f.relation
        ),
        None,
    )


def deleted_with(datamodel: Datamodel, name: str) -> set[str]:
    """The models whose records go when one of this model is deleted, over any number of steps."""
    found: set[str] = set()
    left = [name]
    while left:
        for key in datamodel.children(left.pop()):
            if key.on_delete is Action.CASCADE and key.child not in found:
                found.add(key.child)
                left.append(key.child)
    return found


def checks(layout: Layout, model: Model) -> Iterator[str]:
    """What has to hold for a model's records in the files, one sentence each."""
    datamodel, place = layout.datamodel, layout.place(model.name)
    yield f"as many records as the table {model.table} has rows, each field equal"
    yield f"no two records have the same {_and(model.key.field_names)}"
    for unique in model.uniques:
        if unique.field_names != model.key.field_names:
            yield f"{_and(unique.field_names)} {'is' if len(unique.fields) == 1 else 'are together'} unique"
    for key in datamodel.parents(model.name):
        unless = "" if key.required else ", or is null"
        yield f"{_and(key.fields)} names a {key.parent} that exists{unless}"
    for f in model.scalars:
        if f.kind is ScalarKind.ENUM:
            yield f"{f.name} is one of {', '.join(datamodel.enum(f.type).labels)}"
        elif f.is_json:
            absent = "; SQL NULL (left out) and JSON null stay apart" if f.nullable else ""
            yield f"{f.name} keeps every digit and key{absent}"
        yield from _secret_checks(f)
    if place.kind is Kind.EMBEDDED:
        yield f"each stands in the array {place.array} of its {_parent(place)}"
    if place.kind is Kind.LOG_PER_PARENT:
        yield f"every {_parent(place)} has a file, an empty one if it has no records"
    if place.payload:
        yield f"the payload at {place.payload} has the SHA-256 of _sha256" + (
            f" and the size of {place.payload_size}" if place.payload_size else ""
        )


def _secret_checks(f: ScalarField) -> Iterator[str]:
    secret = f.secret
    if secret is None or secret.part or secret.scheme == "token":
        return
    if secret.scheme == "bcrypt":
        yield f"{f.name} is a well-formed bcrypt hash"
    else:
        yield f"{f.name} decrypts with {secret.iv} and {secret.tag} under the key of {secret.owner}"


def requirement(f: Facts) -> str:
    """What a described field's secrecy asks for, in a sentence; empty for a field that is no secret."""
    secret = f["secret"]
    if secret is None:
        return ""
    if secret.get("part"):
        return "part of an encrypted value: kept as it is"
    match secret["scheme"]:
        case "bcrypt":
            return "bcrypt hash: kept as it is, never shown"
        case "token":
            return "secret in plain text: kept as it is, never shown"
        case scheme:
            return (
                f"{scheme.upper()} ciphertext with {secret['iv']} and {secret['tag']},"
                f" key from {secret['owner']}: kept as it is, never shown"
            )


def _parent(place: Place) -> str:
    return place.relation.parent if place.relation else ""


def _and(names: tuple[str, ...]) -> str:
    return " and ".join(names)
