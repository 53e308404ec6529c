"""Which type a field's values are of.  Each is worked out once."""

from __future__ import annotations

from binascii import a2b_base64
from decimal import Decimal
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import UNSET
from msgspec.structs import replace

from octavo.schema.datamodel import (
    Datamodel,
    EnumValue,
    NativeType,
    Number,
    ScalarField,
    ScalarKind,
    SingleDefault,
)
from octavo.schema.literals import show_datetime
from octavo.schema.native import NATIVE_TYPES, native_type
from octavo.values import json, number, text, time
from octavo.values.base import TYPES, Key, Read, ValueType, Write, null_is_none
from octavo.values.enum import enum_type
from octavo.values.lists import list_of

_FAMILIES = (json, number, text, time)
"""the modules that put their types into :data:`octavo.values.base.TYPES` when they are imported"""


def value_type(field: ScalarField, datamodel: Datamodel) -> ValueType:
    """The type of a field's values, lists included."""
    known: dict[Any, ValueType] = datamodel.__dict__.setdefault("_value_types", {})
    shape = field.kind, field.type, field.native, field.is_list
    found = known.get(shape)
    if found is None:
        element = _element_type(field, datamodel)
        found = known.setdefault(shape, list_of(element) if field.is_list else element)
    return found


def _element_type(field: ScalarField, datamodel: Datamodel) -> ValueType:
    if field.kind is ScalarKind.ENUM:
        return enum_type(datamodel.enum(field.type))
    return (
        text.unsupported(field.type)
        if field.kind is ScalarKind.UNSUPPORTED
        else of_native(native_type(field))
    )


@lru_cache(1024)
def of_native(native: NativeType) -> ValueType:
    """The type of the values of a native type."""
    made = TYPES[native.name]
    kind = made if isinstance(made, ValueType) else made(native.args)
    return kind if kind.sql else replace(kind, sql=NATIVE_TYPES[native.name].catalog)


def is_plain(field: ScalarField) -> bool:
    """Whether the stored form of a field's value is Python's value, NULL included."""
    if field.is_list:
        return False
    return field.kind is not ScalarKind.SCALAR or of_native(native_type(field)).read is None


def is_exact(field: ScalarField) -> bool:
    """The field's :attr:`ValueType.exact`."""
    return field.is_json and of_native(native_type(field)).exact


def file_key(field: ScalarField) -> Key | None:
    """The field's :attr:`ValueType.file_key`."""
    return of_native(native_type(field)).file_key if field.kind is ScalarKind.SCALAR else None


def reader(field: ScalarField, datamodel: Datamodel) -> Read | None:
    """From a field's stored value to Python's: None of NULL, an empty list where it is a list; None where the
    stored value is Python's."""
    kind = value_type(field, datamodel)
    read, is_null = kind.read, kind.is_null
    if read is None:
        return None
    if field.is_list:
        return lambda stored: [] if stored is None else read(stored)
    if is_null is null_is_none:
        return lambda stored: None if stored is None or stored is UNSET else read(stored)
    return lambda stored: None if is_null(stored) else read(stored)


def writer(field: ScalarField, datamodel: Datamodel) -> Write:
    """From Python's value for a field to the stored one.  None is NULL where the field may be."""
    kind = value_type(field, datamodel)
    write, null = kind.write, kind.null
    if field.is_list or not (field.nullable or field.is_json):
        return write
    if not field.is_json:
        return lambda value: null if value is None else write(value)

    def write_json(value: Any) -> Any:
        if value is None:
            either = "octavo.JsonNull or octavo.DbNull" if field.nullable else "octavo.JsonNull"
            raise ValueError(f"could be JSON's null or the database's: give {either}")
        if value is json.DbNull:
            if field.nullable:
                return null
            raise ValueError("is required and cannot be NULL")
        return write(value)

    return write_json


def literal_value(value: SingleDefault, field: ScalarField, write: Write) -> Any:
    """A literal of a field's default in stored form; ``write`` is that of one value."""
    match value:
        case EnumValue():
            return value.name
        case Number():
            digits = Decimal(value.text)
            if field.type in ("Int", "BigInt"):
                return write(int(digits))
            return write(float(digits) if field.type == "Float" else digits)
        case str() if field.type == "Json":
            return write(msgspec.Raw(value.encode()))
        case str() if field.type == "Bytes":
            return a2b_base64(value)
        case str() if field.type == "DateTime":
            return write(show_datetime(value))
    return write(value)
