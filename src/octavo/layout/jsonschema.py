"""JSON Schemas (draft 2020-12) of everything a store holds: documents, record files and lines of logs.

They say what :mod:`octavo.layout.types` and :mod:`octavo.layout.times` say in code, for readers in other
languages.  Keys that the schema does not know are allowed, since a store keeps them.  What a JSON Schema
cannot say (the calendar's days, uniqueness, foreign keys) is left to ``octavo verify``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, TypeAlias
from urllib.parse import quote

from octavo.errors import DiskError
from octavo.layout.layout import VERSION, FileFamily, Kind, Layout, Place
from octavo.schema.datamodel import Datamodel, ScalarField, ScalarKind, Secret
from octavo.schema.sql import native_type

Schema: TypeAlias = dict[str, Any]

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

_BIGINT: Final = "0|-?[1-9][0-9]{0,18}"
_DECIMAL: Final = r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?|NaN|-?Infinity"
_BASE64: Final = "(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?"
_UUID: Final = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"

_NOT_ZERO: Final = "(?:[1-9][0-9]{3}|0[1-9][0-9]{2}|00[1-9][0-9]|000[1-9])"
_YEAR: Final = rf"(?:[0-9]{{4}}|\+(?:0[1-9]|[1-9][0-9])[0-9]{{4}}|\+[1-9][0-9]{{6}}|-00{_NOT_ZERO})"
_DAY: Final = f"{_YEAR}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])"
_TIME: Final = "(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"
_CLOCK: Final = (
    r"(?:[01][0-9]|2[0-4]):[0-5][0-9]:(?:[0-5][0-9]|60)(?:\.[0-9]{1,6})?(?:[+-][0-9]{2}(?::[0-9]{2}){0,2})?"
)

_INTEGERS: Final = {"SmallInt": (-(2**15), 2**15 - 1), "Oid": (0, 2**32 - 1)}
_INTEGER: Final = (-(2**31), 2**31 - 1)


def file_schemas(datamodel: Datamodel, layout: Layout, *, version: str = "") -> dict[str, Schema]:
    """A schema for each file, or family of files, of the layout, by the name of the schema's own file.

    The names mirror the data folder: ``settings/general.schema.json``, ``characters/{id}.schema.json``.  A
    log's schema describes one of its lines.  ``version`` is the Prisma schema's; left out, the frozen
    schema's if it is that one.
    """
    version = version or _version_of(datamodel)
    names = schema_names(layout)
    return {
        names[family.path]: _File(datamodel, layout, family, version).schema() for family in layout.families
    }


def schema_names(layout: Layout) -> dict[str, str]:
    """The name of the schema's file for each family's path."""
    stems = [family.path.rpartition(".")[0] for family in layout.families]
    return {
        family.path: f"{family.path if stems.count(stem) > 1 else stem}.schema.json"
        for family, stem in zip(layout.families, stems, strict=True)
    }


def write_schemas(datamodel: Datamodel, layout: Layout, out: Path, *, version: str = "") -> list[Path]:
    """Write :func:`file_schemas` below ``out``, which is made if need be; gives the files written.

    Raises DiskError if the file system refuses.
    """
    written = []
    try:
        for name, schema in file_schemas(datamodel, layout, version=version).items():
            target = out / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(json.dumps(schema, indent=2, ensure_ascii=False) + "\n", "utf-8")
            written.append(target)
    except OSError as error:
        raise DiskError.of(error, "writing the JSON Schemas") from error
    return written


def _version_of(datamodel: Datamodel) -> str:
    from octavo.schema import frozen

    return frozen.VERSION if datamodel == frozen.frozen_schema() else ""


class _File:
    """Builds the schema of one family of files."""

    def __init__(self, datamodel: Datamodel, layout: Layout, family: FileFamily, version: str) -> None:
        self.datamodel, self.layout, self.family, self.version = datamodel, layout, family, version
        self.definitions: dict[str, Schema] = {}

    def schema(self) -> Schema:
        body = {
            Kind.DOCUMENT: self.document,
            Kind.FILE: self.record_file,
            Kind.LOG: self.line,
            Kind.LOG_PER_PARENT: self.line,
        }[self.family.kind]()
        of = f"schema {self.version}" if self.version else "a schema without a version"
        return {
            "$schema": DIALECT,
            "$id": f"urn:octavo:{quote(self.version or 'unversioned', safe='')}:{quote(self.family.path)}",
            "title": self.family.path,
            "description": f"{self.purpose()} Derived from {of}; format {VERSION}.",
            **body,
            "$defs": self.definitions,
        }

    def purpose(self) -> str:
        models = _listed(place.model.name for place in self.family.places)
        return {
            Kind.DOCUMENT: f"The records of {models}, in one document.",
            Kind.FILE: f"One record of {models}, in a file of its own.",
            Kind.LOG: f"One line of the log of {models}.",
            Kind.LOG_PER_PARENT: f"One line of a log of {models}; each parent has its own.",
        }[self.family.kind]

    def document(self) -> Schema:
        arrays = {place.array: self.records(place) for place in self.family.places}
        return {
            "type": "object",
            "properties": {"_version": _version(), **arrays},
            "required": ["_version", *arrays],
        }

    def record_file(self) -> Schema:
        (place,) = self.family.places
        return self.record(place)

    def line(self) -> Schema:
        """By ``_model`` and ``_deleted``, so that a validator speaks of the model that the line is of."""
        choices = []
        for place in self.family.places:
            name = place.model.name
            self.definitions[f"{name}, deleted"] = self.tombstone(place)
            choices.append(
                {
                    "if": {"properties": {"_model": {"const": name}}},
                    "then": {
                        "if": {"properties": {"_deleted": {"const": True}}, "required": ["_deleted"]},
                        "then": {"$ref": _pointer(f"{name}, deleted")},
                        "else": self.record(place),
                    },
                }
            )
        models = [place.model.name for place in self.family.places]
        return {
            "type": "object",
            "properties": {"_model": {"enum": models}},
            "required": ["_model"],
            "allOf": choices,
        }

    def records(self, place: Place) -> Schema:
        return {"type": "array", "items": self.record(place)}

    def record(self, place: Place) -> Schema:
        name = place.model.name
        if name not in self.definitions:
            self.definitions[name] = self.object(place)
        return {"$ref": _pointer(name)}

    def object(self, place: Place) -> Schema:
        in_log = place.kind in (Kind.LOG, Kind.LOG_PER_PARENT)
        properties: dict[str, Schema] = {}
        if in_log:
            properties["_model"] = {"const": place.model.name}
        if place.kind is Kind.FILE:
            properties["_version"] = _version()
        required = list(properties)
        for f in place.fields:
            properties[f.name] = self.field(f)
            if not (f.is_json and f.nullable and not f.is_list):
                required.append(f.name)
        for child in self.layout.embedded(place.model.name):
            properties[child.array] = self.records(child)
            required.append(child.array)
        if place.payload:
            properties["_sha256"] = {
                "description": f"The SHA-256 of the payload that {place.payload} points at; absent where"
                " there was none.",
                "type": "string",
                "pattern": "^[0-9a-f]{64}$",
            }
        if exact := [
            f.name for f in place.fields if f.is_json and native_type(f).name == "Json" and not f.is_list
        ]:
            properties["_text"] = {
                "description": "Texts of json columns that have line breaks between their tokens.",
                "type": "object",
                "properties": {name: {"type": "string"} for name in exact},
                "additionalProperties": False,
            }
        about = {"description": text} if (text := place.model.documentation) else {}
        return {**about, "type": "object", "properties": properties, "required": required}

    def tombstone(self, place: Place) -> Schema:
        """What removes a record from a log: its key, and the word that it is gone."""
        keys = {f.name: self.field(f) for f in place.model.key_fields}
        return {
            "type": "object",
            "properties": {"_model": {"const": place.model.name}, **keys, "_deleted": {"const": True}},
            "required": ["_model", *keys, "_deleted"],
        }

    def field(self, f: ScalarField) -> Schema:
        value = self.value(f)
        if f.is_list:
            value = {"type": "array", "items": _or_null(value)}
        if f.nullable and not (f.is_json and not f.is_list):
            value = _or_null(value)
        about = " ".join(filter(None, (_documentation(f), _protection(f.secret))))
        return {"description": about, **value} if about else value

    def value(self, f: ScalarField) -> Schema:
        """One value of the field's type, neither NULL nor a list."""
        if f.kind is ScalarKind.ENUM:
            return {"type": "string", "enum": [member.name for member in self.datamodel.enum(f.type).members]}
        if f.kind is ScalarKind.UNSUPPORTED:
            return _text()
        native = native_type(f)
        size = native.args[0] if native.args else None
        if f.type == "Int":
            least, most = _INTEGERS.get(native.name, _INTEGER)
            return {"type": "integer", "minimum": least, "maximum": most}
        if f.type == "DateTime":
            return _matching(_moment(native.name, 6 if size is None else size))
        return dict(_SIMPLE[f.type]) if f.type in _SIMPLE else _string(native.name, size)


def _version() -> Schema:
    return {"description": "The version of the format.", "const": VERSION}


def _pointer(name: str) -> str:
    return f"#/$defs/{quote(name)}"


def _matching(pattern: str) -> Schema:
    return {"type": "string", "pattern": f"^(?:{pattern})$"}


_SIMPLE: Final[dict[str, Schema]] = {
    "Boolean": {"type": "boolean"},
    "BigInt": _matching(_BIGINT),
    "Decimal": _matching(_DECIMAL),
    "Float": {"type": ["number", "string"], "pattern": "^(?:NaN|-?Infinity)$"},
    "Bytes": {**_matching(_BASE64), "contentEncoding": "base64"},
    "Json": {},
}


def _text() -> Schema:
    """PostgreSQL's text holds anything but U+0000."""
    return {"type": "string", "pattern": r"^[^\u0000]*$"}


def _string(native: str, size: int | None) -> Schema:
    if native == "Uuid":
        return _matching(_UUID)
    if native == "VarChar" and size is not None:
        return {**_text(), "maxLength": size}
    if native == "Char":  # padded with blanks to its length
        return {**_text(), "minLength": size or 1, "maxLength": size or 1}
    if native == "Bit":
        return _matching(f"[01]{{{size or 1}}}")
    if native == "VarBit":
        return _matching(f"[01]{{0,{size}}}" if size is not None else "[01]*")
    return _text()


def _moment(native: str, precision: int) -> str:
    if native in ("Time", "Timetz"):
        return _CLOCK
    if native == "Date":
        return f"{_DAY}|-?infinity"
    fraction = rf"\.[0-9]{{{precision}}}" if precision else ""
    return f"{_DAY}T{_TIME}{fraction}Z|-?infinity"


def _or_null(schema: Schema) -> Schema:
    """The same, or null; a schema that allows everything stays as it is."""
    if "type" not in schema:
        return schema
    types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    nullable = {**schema, "type": [*types, "null"]}
    if "enum" in schema:
        nullable["enum"] = [*schema["enum"], None]
    return nullable


def _documentation(f: ScalarField) -> str:
    lines = (f.documentation or "").splitlines()
    return " ".join(line.strip() for line in lines if not line.strip().startswith("@secret"))


def _protection(secret: Secret | None) -> str:
    if secret is None:
        return ""
    if secret.part:
        return "Part of an encrypted value."
    if secret.scheme == "token":
        return "Secret, in plain text."
    where = f" with {secret.iv} and {secret.tag}, for the user in {secret.owner}" if secret.iv else ""
    return f"Secret: {secret.scheme}{where}."


def _listed(names: Iterable[str]) -> str:
    return " and ".join(names)
