"""JSON Schemas (draft 2020-12) of everything a store holds: documents, record files and lines of logs.

The schema of a value is its type's (:mod:`octavo.values`).  Keys that the Prisma schema does not know are
allowed, since a store keeps them.  What a JSON Schema cannot say (the calendar's days, uniqueness, foreign
keys) is left to ``octavo verify``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, TypeAlias
from urllib.parse import quote

from octavo.errors import DiskError
from octavo.layout.layout import VERSION, FileFamily, Kind, Layout, Place
from octavo.schema.datamodel import Datamodel, ScalarField, Secret
from octavo.values.registry import is_exact, value_type

Schema: TypeAlias = dict[str, Any]

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


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
    from octavo.schema import texts

    return texts.VERSION if datamodel == texts.frozen_schema() else ""


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
        if place.is_array_of_keys:
            return {"type": "array", "items": field_schema(place.fields[0], self.datamodel)}
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
            properties[f.name] = field_schema(f, self.datamodel)
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
        if exact := [f.name for f in place.fields if is_exact(f) and not f.is_list]:
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
        keys = {f.name: field_schema(f, self.datamodel) for f in place.model.key_fields}
        return {
            "type": "object",
            "properties": {"_model": {"const": place.model.name}, **keys, "_deleted": {"const": True}},
            "required": ["_model", *keys, "_deleted"],
        }


def field_schema(f: ScalarField, datamodel: Datamodel) -> Schema:
    """A field's value, with what the Prisma schema says of it."""
    value = dict(value_type(f, datamodel).one.schema)
    if f.is_list:
        value = {"type": "array", "items": _or_null(value)}
    if f.nullable and not (f.is_json and not f.is_list):
        value = _or_null(value)
    about = " ".join(filter(None, (_documentation(f), _protection(f.secret))))
    return {"description": about, **value} if about else value


def _version() -> Schema:
    return {"description": "The version of the format.", "const": VERSION}


def _pointer(name: str) -> str:
    return f"#/$defs/{quote(name)}"


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
    return " ".join(line.strip() for line in lines if not line.strip().startswith(("@secret", "@public")))


def _protection(secret: Secret | None) -> str:
    if secret is None:
        return ""
    if secret.part:
        return "Part of an encrypted value."
    if secret.scheme == "token":
        return "Secret, by its name." if secret.named else "Secret, in plain text."
    where = f" with {secret.iv} and {secret.tag}, for the user in {secret.owner}" if secret.iv else ""
    return f"Secret: {secret.scheme}{where}."


def _listed(names: Iterable[str]) -> str:
    return " and ".join(names)
