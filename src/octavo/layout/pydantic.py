"""Records in Pydantic, and so in FastAPI: as the type of a response, or of a model's field.

Only Pydantic itself brings anyone here; Octavo does without it.
"""

from __future__ import annotations

import math
from base64 import b64decode
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any

from msgspec import UNSET
from msgspec.structs import replace
from pydantic import ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError, SchemaSerializer, core_schema

from octavo.layout.jsonschema import field_schema
from octavo.layout.spelled import as_json, as_python, parts_of
from octavo.schema.datamodel import Arity, Datamodel, Model, ScalarField, ScalarKind
from octavo.values.json import JsonNull, Null
from octavo.values.registry import value_type, writer
from octavo.values.text import string

CoreSchema = core_schema.CoreSchema
_LONGEST_INPUT = 200


def record_schema(kind: type, datamodel: Datamodel, new: Callable[[Mapping[str, Any]], Any]) -> CoreSchema:
    """The schema of a type of records.

    It takes a record, or a result that shows one; also a mapping with every field of the model, of which
    ``new`` makes a record.  Its JSON Schema has the texts of the Prisma schema as descriptions; relations
    are in it, as what may be there.
    """
    model: Model = kind.__octavo_model__  # type: ignore[attr-defined]
    shape = core_schema.definition_reference_schema(_reference(model, datamodel))

    def validate(value: Any) -> Any:
        parts = parts_of(value)
        if parts is not None and isinstance(parts.record, kind):
            return value
        if parts is not None or not isinstance(value, Mapping):
            raise PydanticCustomError("octavo_record", "Input should be a {model}", {"model": model.name})
        return new(_stored(value))

    validate.__name__ = validate.__qualname__ = model.name

    def _stored(given: Mapping[Any, Any]) -> dict[str, Any]:
        known = {f.name: f for f in model.scalars}
        errors = [extra(name, value) for name, value in given.items() if name not in known]
        found: dict[str, Any] = {}
        for name, f in known.items():
            if name in given:
                try:
                    found[name] = _of_record(f, datamodel, given[name])
                except ValueError as error:
                    errors.append(wrong(f, given[name], str(error)))
            elif f.is_json and f.nullable and not f.is_list:
                found[name] = UNSET
            else:
                errors.append(missing(name))
        refuse(model.name, errors)
        return found

    return core_schema.definitions_schema(
        core_schema.no_info_plain_validator_function(
            validate, json_schema_input_schema=shape, serialization=_serialization(shape)
        ),
        [_shape(other, datamodel) for other in _reached(model, datamodel)],
    )


@cache
def serializer() -> SchemaSerializer:
    """Spells any record."""
    return SchemaSerializer(core_schema.any_schema(serialization=_serialization(None)))


def _serialization(shape: CoreSchema | None) -> core_schema.SerSchema:
    def serialize(value: Any, info: Any) -> Any:
        parts = parts_of(value)
        if parts is None:
            return value
        found = as_json(parts) if info.mode == "json" else as_python(parts)
        return _asked(found, info.include, info.exclude, not info.exclude_none)

    return core_schema.plain_serializer_function_ser_schema(serialize, info_arg=True, return_schema=shape)


def _asked(found: dict[str, Any], include: Any, exclude: Any, with_none: bool) -> dict[str, Any]:
    """What a caller's ``include``, ``exclude`` and ``exclude_none`` leave: sets of names, or dicts of what
    they mean within relations."""
    left: dict[str, Any] = {}
    for name, value in found.items():
        wanted, unwanted = _of(include, name, True), _of(exclude, name, False)
        if wanted is False or unwanted is True or (value is None and not with_none):
            continue
        inner = None if wanted is True else wanted, None if unwanted is False else unwanted
        nested = any(inner) and isinstance(value, dict)
        left[name] = _asked(value, *inner, with_none) if nested else value
    return left


def _of(names: Any, name: str, default: bool) -> Any:
    if names is None:
        return default
    found = names.get(name, False) if isinstance(names, Mapping) else name in names
    return True if found is ... else found


def _reference(model: Model, datamodel: Datamodel) -> str:
    return f"octavo.records.{model.name}:{id(datamodel)}"


def _reached(model: Model, datamodel: Datamodel) -> Iterable[Model]:
    """The model and all that its relations lead to."""
    found = {model.name: model}
    left = [model]
    while left:
        for relation in left.pop().relations:
            if relation.model not in found and not relation.ignored:
                found[relation.model] = datamodel.model(relation.model)
                left.append(found[relation.model])
    return found.values()


def _shape(model: Model, datamodel: Datamodel) -> CoreSchema:
    """The JSON object that a record is."""
    fields: dict[str, core_schema.TypedDictField] = {}
    for f in model.scalars:
        may_lack = f.secret is not None or (f.is_json and f.nullable and not f.is_list)
        fields[f.name] = member(f, datamodel, required=not may_lack)
    for r in () if model.is_join else model.relations:
        if r.ignored:
            continue
        other = core_schema.definition_reference_schema(_reference(datamodel.model(r.model), datamodel))
        linked = core_schema.list_schema(other) if r.is_list else core_schema.nullable_schema(other)
        about = {"description": r.documentation} if r.documentation else {}
        fields[r.name] = core_schema.typed_dict_field(linked, required=False, metadata=_updates(about))
    if any(r.is_list for r in model.relations):
        counts = core_schema.dict_schema(core_schema.str_schema(), core_schema.int_schema())
        fields["_count"] = core_schema.typed_dict_field(counts, required=False)
    return core_schema.typed_dict_schema(
        fields, ref=_reference(model, datamodel), metadata=described(model.name, model.documentation)
    )


def member(f: ScalarField, datamodel: Datamodel, *, required: bool) -> core_schema.TypedDictField:
    """A field as a member of a JSON object.  What it may hold is checked elsewhere."""
    schema = _with_null_apart(field_schema(f, datamodel))
    value = core_schema.any_schema(metadata={"pydantic_js_functions": [lambda *_: dict(schema)]})
    return core_schema.typed_dict_field(value, required=required)


def _with_null_apart(schema: dict[str, Any]) -> dict[str, Any]:
    """The same schema with ``anyOf`` where several types are allowed, as Pydantic has it; not every OpenAPI
    tool knows lists of types."""
    found = dict(schema)
    if "items" in found:
        found["items"] = _with_null_apart(found["items"])
    if not isinstance(found.get("type"), list):
        return found
    about = {"description": found.pop("description")} if "description" in found else {}
    if "enum" in found:
        found["enum"] = [label for label in found["enum"] if label is not None]
    each = [{"type": kind} if kind == "null" else {**found, "type": kind} for kind in found["type"]]
    return {**about, "anyOf": each}


def described(title: str, documentation: str | None, **more: Any) -> dict[str, Any]:
    """What gives a JSON Schema its title and its description."""
    return _updates({"title": title, **({"description": documentation} if documentation else {}), **more})


def _updates(more: Mapping[str, Any]) -> dict[str, Any]:
    def update(schema: Any, handler: Any) -> Any:
        found = handler(schema)
        handler.resolve_ref_schema(found).update(more)
        return found

    return {"pydantic_js_functions": [update]} if more else {}


# Values from outside.

_DEEPEST = 100
"""levels of a Json value; Pydantic writes no more than about 200"""
_LARGEST = 14_000
"""bits of a whole number; Python prints no more than 4300 digits"""


def checked(f: ScalarField, datamodel: Datamodel, value: Any, *, null_json: Null) -> Any:
    """The stored form of a value that a request gives: Python's, or as JSON has it.  Raises ValueError.

    ``null_json`` is what ``null`` means for Json that may be NULL.
    """
    if f.is_json and not f.is_list:
        value = value if value is not None else null_json if f.nullable else JsonNull
        _measure(value)
    elif f.is_list:
        value = [_from_json(f, item) for item in value] if isinstance(value, list | tuple) else value
    else:
        value = _from_json(f, value)
    return writer(f, datamodel)(value)


def _of_record(f: ScalarField, datamodel: Datamodel, value: Any) -> Any:
    """The same for a value that a record has: with NULL in lists, and of a type that only PostgreSQL
    writes."""
    kind = value_type(f, datamodel)
    if value is None and f.nullable and not (f.is_json and not f.is_list):
        return kind.null
    if f.is_list and isinstance(value, list | tuple) and None in value and not f.is_json:
        alone = replace(f, arity=Arity.OPTIONAL)
        return [kind.one.null if item is None else _of_record(alone, datamodel, item) for item in value]
    if f.kind is ScalarKind.UNSUPPORTED and not f.is_list:
        return string(value)
    return checked(f, datamodel, value, null_json=JsonNull)


def _from_json(f: ScalarField, value: Any) -> Any:
    """Python's value, if this is how JSON spells it."""
    if f.is_json:
        _measure(value)
    if not isinstance(value, str) or f.kind is not ScalarKind.SCALAR:
        return value
    if f.type == "Bytes":
        try:
            return b64decode(value, validate=True)
        except ValueError:
            raise ValueError("is not base64") from None
    if f.type == "BigInt" and len(value) <= 20 and value.lstrip("-").isdecimal() and value.isascii():
        return int(value) if str(int(value)) == value else value
    if f.type == "Float" and value in ("NaN", "Infinity", "-Infinity"):
        return float(value)
    return value


def _measure(value: Any) -> None:
    """Refuse Json that Python could not write again: nested too deep, or with a number too long."""
    level = [value]
    for _ in range(_DEEPEST):
        if any(isinstance(item, int) and item.bit_length() > _LARGEST for item in level):
            raise ValueError("contains a number with too many digits")
        level = [
            inner
            for item in level
            if isinstance(item, Mapping | list | tuple)
            for inner in (item.values() if isinstance(item, Mapping) else item)
        ]
        if not level:
            return
    raise ValueError(f"is nested deeper than {_DEEPEST} levels")


# Errors.


def refuse(title: str, errors: list[InitErrorDetails]) -> None:
    """Raise Pydantic's error, if there is anything to say."""
    if errors:
        raise ValidationError.from_exception_data(title, errors)


def extra(name: Any, value: Any) -> InitErrorDetails:
    """A member that the schema does not know."""
    return {"type": "extra_forbidden", "loc": (printable(str(name)),), "input": shown_input(value)}


def missing(name: str) -> InitErrorDetails:
    """A member that must be there."""
    return {"type": "missing", "loc": (name,), "input": None}


def wrong(f: ScalarField, value: Any, reason: str) -> InitErrorDetails:
    """A value that the field cannot hold."""
    error = PydanticCustomError("octavo_value", "Value {reason}", {"reason": printable(reason)})
    return {"type": error, "loc": (f.name,), "input": None if f.secret else shown_input(value)}


def shown_input(value: Any) -> Any:
    """What an error repeats of a value: a little, and nothing that cannot be sent as JSON."""
    if isinstance(value, str):
        return printable(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int) and abs(value) < 2**63:
        return int(value)
    if isinstance(value, float) and math.isfinite(value):
        return float(value)
    return f"({type(value).__name__})"


def printable(text: str) -> str:
    """A text without half surrogate pairs, cut where it is long."""
    return text[:_LONGEST_INPUT].encode("utf-8", "backslashreplace").decode()
