"""The inventory: how much there is of everything, and how it is built, written down before a move.

An inventory is a plain JSON value.  Its structure is derived from the Datamodel and the layout.  Lists of
things with names have those under ``name``, so that two inventories can be compared thing by thing.  Saved as
``cache/prisma-metadata-<date>.json`` it is the baseline that the next one is compared with; beside it stands
a report for people.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from octavo.errors import DamagedError, DriftError, UsageError, disk_errors
from octavo.fold.inventory_report import Facts, report
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
from octavo.store import disk, phase
from octavo.store.phase import Phase

if TYPE_CHECKING:
    from octavo.url import DatabaseUrl

METADATA_VERSION: Final = 1
_FOLDER: Final = "cache"
_NAME: Final = re.compile(r"prisma-metadata-([0-9]{4}-[0-9]{2}-[0-9]{2})(?:-([0-9]+))?\.json")
_PASSING: Final = ("generatedAt",)
"""facts that differ between two inventories of one state"""


@dataclass(frozen=True, slots=True)
class SavedInventory:
    """Where an inventory was written, and how it differs from the one before."""

    metadata: Facts
    json: Path
    report: Path
    baseline: Path | None
    """the earlier inventory that it was compared with; None: it is the first"""
    changes: tuple[str, ...]


def generate_prisma_metadata(
    database_url: str | DatabaseUrl | None = None,
    *,
    layout: Layout | None = None,
    schema_text: str | None = None,
) -> Facts:
    """Count every model's records, in one snapshot, and describe the structure.

    ``database_url`` is ``DATABASE_URL``, if left out; ``layout`` that of the frozen schema.  For another
    schema, ``schema_text`` is its text, of which the fingerprint is taken.

    Raises UsageError if there is no URL; DatabaseError if the database cannot be read; DriftError if a table
    of the schema is missing, which cannot be counted.  Any other drift is listed under ``drift``.
    """
    from octavo.fold.source import Source
    from octavo.layout.load import frozen_layout
    from octavo.postgres.catalog import introspect
    from octavo.postgres.connection import read_snapshot
    from octavo.postgres.drift import FindingKind, compare
    from octavo.postgres.failures import database_errors

    layout = layout or frozen_layout()
    url = _database_url(database_url)
    schemas = layout.datamodel.datasource.schemas or (url.schema,)
    with read_snapshot(url, schemas=schemas) as snapshot:
        with database_errors(url, "reading the catalog"):
            catalog = introspect(snapshot.connection, schemas)
        drift = compare(layout.datamodel, catalog)
        missing = [str(f) for f in drift.findings if f.kind is FindingKind.MISSING and f.what == "table"]
        if missing:
            raise DriftError("the database has not all tables of the schema:", missing)
        source = Source(snapshot, drift)
        counts, left_out = source.counts(layout.datamodel), source.left_out(layout)
    return {
        "version": METADATA_VERSION,
        "generatedAt": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "schema": schema_facts(schema_text),
        "database": {
            "name": catalog.database,
            "schemas": list(catalog.schemas),
            "serverVersion": catalog.server_version_text,
            "encoding": catalog.encoding,
            "collation": catalog.collation,
            "characterType": catalog.character_type,
            "localeProvider": catalog.locale_provider,
            "migrations": [m.name for m in catalog.migrations or () if m.finished and not m.rolled_back],
        },
        "counts": counts,
        "totalRecords": sum(counts.values()),
        **describe(layout),
        "drift": [str(finding) for finding in drift.findings],
        "notes": [str(note) for note in drift.notes],
        "leftOut": left_out,
    }


def save_prisma_metadata(metadata: Facts | None = None, data_dir: Path | str | None = None) -> Path:
    """Write an inventory (a new one, if left out) below a data folder; gives the JSON file's path.

    ``data_dir`` is ``DATA_DIR``, else ``./data``.  See :func:`save_inventory`.
    """
    return save_inventory(generate_prisma_metadata() if metadata is None else metadata, data_dir).json


def save_inventory(metadata: Facts, data_dir: Path | str | None = None) -> SavedInventory:
    """Write ``cache/prisma-metadata-<date>.json`` and the report beside it, compared with the newest before.

    An earlier inventory is never overwritten by one that says something else: the second of a day has ``-2``
    after the date.  Raises DamagedError if the newest cannot be read, DiskError if nothing can be written.
    """
    home = Path(data_dir or os.environ.get("DATA_DIR") or "data")
    folder = home / _FOLDER
    baseline = newest_baseline(folder)
    old = read_baseline(baseline) if baseline else None
    changes = () if old is None else compare_metadata(old, metadata)
    name = _name_for(metadata, baseline, same=old is not None and not changes)
    target = folder / f"{name}.json"
    page = folder / f"{name}.md"
    text = json.dumps(metadata, indent=2, ensure_ascii=False) + "\n"
    since = None
    if baseline is not None and old is not None:
        since = f"`{baseline.name}`" if baseline != target else f"the inventory of {old.get('generatedAt')}"
    with disk_errors("making the folder for inventories"):
        disk.make_folder(home)
    disk.write_file(page, report(metadata, since, changes).encode())
    disk.write_file(target, text.encode())
    with phase.changing(home) as state:
        state.reach(Phase.INVENTORY, f"inventory: {metadata['totalRecords']} records")
    return SavedInventory(metadata, target, page, baseline, changes)


def newest_baseline(folder: Path, *, first: bool = False) -> Path | None:
    """The newest inventory in a ``cache/`` folder, by date and number, or the ``first``; None if there is
    none."""
    with disk_errors("looking for earlier inventories"):
        found = [(key, path) for path in folder.glob("prisma-metadata-*.json") if (key := _order(path))]
    return (min if first else max)(found)[1] if found else None


def _order(path: Path) -> tuple[str, int] | None:
    name = _NAME.fullmatch(path.name)
    return (name[1], int(name[2] or 1)) if name else None


def _name_for(metadata: Facts, baseline: Path | None, *, same: bool) -> str:
    day = str(metadata["generatedAt"])[:10]
    last = _order(baseline) if baseline is not None else None
    if last is None or last[0] < day:
        return f"prisma-metadata-{day}"
    number = last[1] if same else last[1] + 1
    # A clock that went back must not make the newest one look old.
    return f"prisma-metadata-{last[0]}{f'-{number}' if number > 1 else ''}"


def read_baseline(path: Path) -> Facts:
    """Read an inventory.  Raises DamagedError if it is none, or a newer Octavo's; DiskError too."""
    file = f"{_FOLDER}/{path.name}"
    with disk_errors("reading an earlier inventory"):
        raw = path.read_bytes()
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError) as error:
        line = error.lineno if isinstance(error, json.JSONDecodeError) else 0
        raise DamagedError("is not JSON; delete it to start anew", file=file, line=line) from error
    if not isinstance(found, dict) or not isinstance(found.get("version"), int):
        raise DamagedError("is no inventory; delete it to start anew", file=file)
    if found["version"] > METADATA_VERSION:
        raise DamagedError(f"was written by a newer Octavo (version {found['version']})", file=file)
    return found


def compare_metadata(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[str, ...]:
    """What changed from one inventory to a later one, a sentence each, in the order of the inventory."""
    counted: tuple[Mapping[str, Any], Mapping[str, Any]] = (old.get("counts", {}), new.get("counts", {}))
    skipped = {*_PASSING, "version", "counts", "totalRecords"}
    changes = [
        f"{model}: {before} → {after} records ({after - before:+d})"
        for model, after in counted[1].items()
        if isinstance(before := counted[0].get(model), int) and before != after
    ]
    for part in dict.fromkeys((*new, *old)):
        if part not in skipped:
            changes += _differences(_WORDS.get(part, part), old.get(part), new.get(part))
    return tuple(changes)


_WORDS: Final = {"models": "", "enums": "enum", "relations": "relation", "integrityChecks": "check"}
"""How a part of the inventory is called in front of the thing that changed; else by its own name."""

_SENTENCES: Final = ("drift", "notes", "leftOut", "database migrations")


def _differences(where: str, old: Any, new: Any) -> Iterator[str]:
    before, after = (_by_name(value, sentences=where in _SENTENCES) for value in (old, new))
    if before is None or after is None:
        if old != new:
            yield f"{where}: {_shown(old)} → {_shown(new)}"
        return
    for name in dict.fromkeys((*before, *after)):
        joined = f"{where} {name}".strip()
        if name not in after:
            yield f"{joined}: no longer there"
        elif name not in before:
            yield f"{joined}: new"
        else:
            yield from _differences(joined, before[name], after[name])


def _by_name(value: Any, *, sentences: bool) -> dict[str, Any] | None:
    """The parts of something, if it has any: a mapping, named things, checks, or sentences."""
    if sentences and isinstance(value, list):
        return {json.dumps(part, ensure_ascii=False): None for part in value}
    if isinstance(value, dict):
        return {key: part for key, part in value.items() if key != "name"}
    if isinstance(value, list) and all(isinstance(part, dict) and "name" in part for part in value):
        return {str(part["name"]): part for part in value}
    if isinstance(value, list) and all(isinstance(part, dict) and "check" in part for part in value):
        return {f"{part['model']}: {part['check']}": None for part in value}
    return None


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False) if not isinstance(value, str) else value


def schema_facts(text: str | None) -> Facts:
    """Version and fingerprint of a schema's text; None: of the frozen one."""
    from octavo.schema import texts
    from octavo.schema.texts import fingerprint

    if text is None or text == texts.frozen_text():
        return {"version": texts.VERSION, "fingerprint": texts.FINGERPRINT}
    return {"version": None, "fingerprint": fingerprint(text)}


def _database_url(given: str | DatabaseUrl | None) -> DatabaseUrl:
    from octavo.url import DatabaseUrl

    if isinstance(given, DatabaseUrl):
        return given
    text = given or os.environ.get("DATABASE_URL")
    if not text:
        raise UsageError("no database: DATABASE_URL is not set", hint="set it, or say --database-url")
    return DatabaseUrl.parse(text)


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
            **({"named": True} if secret.named else {}),
        }
    return facts


def shown_default(f: ScalarField) -> str | None:
    """A field's default as the schema writes it; None if it has none."""
    if f.updated_at:
        return "@updatedAt"
    return None if f.default is None else _default_text(f.default)


def _default_text(value: DefaultValue) -> str:
    if isinstance(value, Function):
        return f"{value.name}({', '.join(json.dumps(arg) for arg in value.args)})"
    if isinstance(value, Number):
        return value.text
    if isinstance(value, EnumValue):
        return value.name
    if isinstance(value, tuple):
        return f"[{', '.join(map(_default_text, value))}]"
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
    for key in (k for k in datamodel.held_keys if k.child == model.name):
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


def _parent(place: Place) -> str:
    return place.relation.parent if place.relation else ""


def _and(names: tuple[str, ...]) -> str:
    return " and ".join(names)
