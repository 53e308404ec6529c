"""Where each model's records live: a small declarative file, checked against the Datamodel when loaded.

There are five ways to live (:class:`Kind`), one table each in the layout's TOML::

    [documents]        "settings/general.json" = { users = "User", chatSettings = "ChatSettings" }
    [files]            "characters/{id}.json" = "Character"
    [logs]             "binaries/index.jsonl" = ["Image", "ChatFile"]
    [logs_per_parent]  "chats/{chatId}.jsonl" = "Message"
    [embedded]         CharacterTag = "Character.tags"

and ``[payloads]`` names the files that records point at.  Everything that reads or writes the data folder
asks the layout; no model has code of its own.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cache, cached_property
from importlib.resources import files
from itertools import combinations
from pathlib import Path
from typing import Any

from octavo.errors import LayoutError
from octavo.layout.names import DEVICES, file_stem, stem_pattern
from octavo.schema.datamodel import Datamodel, Model, Relation, ScalarField, ScalarKind

VERSION = 1
"""of the layout file and of the documents (``_version``)"""

RESERVED_FOLDERS = frozenset({"journal", "cache"})

_NO_KEY = "has nothing that identifies a record"


class Kind(StrEnum):
    """The ways for a record to live on disk."""

    DOCUMENT = "document"
    FILE = "file"
    LOG = "log"
    LOG_PER_PARENT = "log per parent"
    EMBEDDED = "embedded"

    @property
    def is_log(self) -> bool:
        """Whether records are lines, of which the last of a key counts."""
        return self in (Kind.LOG, Kind.LOG_PER_PARENT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where one model's records live.

    ``path`` is the file's, relative to the data folder; in a family of files the name's varying part stands
    as ``{field}``.  An embedded model has its host's path.
    """

    model: Model
    kind: Kind
    path: str
    array: str = ""
    """the key of its array: in the document, or (embedded) in the parent's record"""
    relation: Relation | None = None
    """to the parent: of an embedded model, or of one with a log per parent"""
    payload: str = ""
    """the field that holds the path of the record's payload, if it has one"""
    payload_size: str = ""
    """the field that holds the payload's size in bytes, if there is one"""

    @property
    def fields(self) -> tuple[ScalarField, ...]:
        """The columns that a record on disk shows: an embedded one leaves out its parent's key."""
        if self.kind is not Kind.EMBEDDED or self.relation is None:
            return self.model.scalars
        parent_key = self.relation.fields
        return tuple(f for f in self.model.scalars if f.name not in parent_key)

    @property
    def name_fields(self) -> tuple[str, ...]:
        """The fields that name the file, where there is one per key or per parent."""
        if self.kind is Kind.FILE:
            return self.model.key.field_names
        if self.kind is Kind.LOG_PER_PARENT and self.relation is not None:
            return self.relation.fields
        return ()

    def file_for(self, key: Iterable[str]) -> str:
        """The file of the record (or of the parent) with this key, given as text, part by part."""
        return _VARYING.sub(lambda _: file_stem(tuple(key)), self.path)


@dataclass(frozen=True)
class FileFamily:
    """One file, or all the files of one pattern, and what lives in them, in the schema's order."""

    path: str
    kind: Kind
    places: tuple[Place, ...]

    @property
    def folder(self) -> str:
        return self.path.rpartition("/")[0]

    @property
    def varies(self) -> bool:
        """Whether there is one file per record or per parent."""
        return self.kind in (Kind.FILE, Kind.LOG_PER_PARENT)

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """Matches the paths of the family's files."""
        before, *field_names, after = re.split(r"[{},]", self.path) if self.varies else (self.path, "")
        stem = stem_pattern(len(field_names)) if self.varies else ""
        return re.compile(re.escape(before) + stem + re.escape(after))

    def may_meet(self, other: FileFamily) -> bool:
        """Whether a file of one could be a file, or a folder, on the way to one of the other."""
        if self.varies and other.varies:
            return self.folder == other.folder and _ending(self.path) == _ending(other.path)
        if not (self.varies or other.varies):
            return self.path == other.path or _holds(self.path, other) or _holds(other.path, self)
        fixed, family = (other, self) if self.varies else (self, other)
        if _holds(fixed.path, family) or any(map(family.pattern.fullmatch, _above(fixed.path))):
            return True
        # No record is named ``index`` (see names).
        is_index = fixed.path.rpartition("/")[2].startswith("index.")
        return family.pattern.fullmatch(fixed.path) is not None and not is_index


def _ending(path: str) -> str:
    return path.rpartition(".")[2]


def _above(path: str) -> list[str]:
    """The folders that a path leads through."""
    parts = path.split("/")
    return ["/".join(parts[:n]) for n in range(1, len(parts))]


def _holds(path: str, family: FileFamily) -> bool:
    """Whether this path is a folder that the family's files lie in."""
    return path in _above(family.path)


_VARYING = re.compile(r"\{[^{}]*\}")
_NAME = r"[a-z0-9](?:[a-z0-9_.-]*[a-z0-9_-])?"
_FIXED_PATH = re.compile(rf"(?:{_NAME}/)*{_NAME}\.(?:json|jsonl)")
_VARYING_PATH = re.compile(rf"(?:{_NAME}/)*\{{[^{{}}/]+\}}\.(?:json|jsonl)")
_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


@dataclass(frozen=True)
class Layout:
    """Every model's :class:`Place`, in the schema's order."""

    datamodel: Datamodel
    places: tuple[Place, ...]
    payload_folder: str = ""
    source: str = ""

    @cached_property
    def _by_model(self) -> dict[str, Place]:
        return {place.model.name: place for place in self.places}

    def place(self, model: str) -> Place:
        """Where this model lives.  Raises KeyError for a model that the schema does not have."""
        return self._by_model[model]

    @cached_property
    def _embedded(self) -> dict[str, tuple[Place, ...]]:
        found: dict[str, list[Place]] = {place.model.name: [] for place in self.places}
        for place in self.places:
            if place.kind is Kind.EMBEDDED and place.relation is not None:
                found[place.relation.parent].append(place)
        order = {name: [r.name for r in self.datamodel.model(name).relations] for name in found}
        return {
            name: tuple(sorted(places, key=lambda p: order[name].index(p.array)))
            for name, places in found.items()
        }

    def embedded(self, model: str) -> tuple[Place, ...]:
        """What lives inside this model's records, in the order of its relation fields."""
        return self._embedded[model]

    def host(self, model: str) -> Place:
        """The place of the record that this model's records are written with: its own, or its parent's."""
        place = self.place(model)
        while place.kind is Kind.EMBEDDED and place.relation is not None:
            place = self.place(place.relation.parent)
        return place

    @cached_property
    def families(self) -> tuple[FileFamily, ...]:
        """The files there are, each once."""
        grouped: dict[str, list[Place]] = {}
        for place in self.places:
            if place.kind is not Kind.EMBEDDED:
                grouped.setdefault(place.path, []).append(place)
        return tuple(FileFamily(path, places[0].kind, tuple(places)) for path, places in grouped.items())

    def family(self, path: str) -> FileFamily | None:
        """The family that a path below the data folder belongs to, or None."""
        exact = next((f for f in self.families if f.path == path), None)
        return exact or next((f for f in self.families if f.pattern.fullmatch(path)), None)

    @cached_property
    def folders(self) -> tuple[str, ...]:
        """Every folder of a store, relative to it, parents first."""
        found = {f.folder for f in self.families} | {self.payload_folder} | set(RESERVED_FOLDERS)
        parents = {folder for f in found for folder in _above(f)}
        return tuple(sorted((found | parents) - {""}))


def frozen_layout() -> Layout:
    """The layout of schema 0.7, as shipped."""
    return _frozen()


@cache
def _frozen() -> Layout:
    from octavo.schema.frozen import frozen_schema

    text = files("octavo.layout").joinpath("layout-0.7.toml").read_text("utf-8")
    return parse_layout(text, frozen_schema(), source="layout-0.7.toml")


def load_layout(path: Path, datamodel: Datamodel) -> Layout:
    """Read a layout file.  Raises LayoutError for anything that does not fit the Datamodel."""
    try:
        text = path.read_text("utf-8")
    except OSError as error:
        raise LayoutError(f"cannot be read: {error.strerror}", file=str(path)) from error
    except UnicodeDecodeError as error:
        raise LayoutError(f"is not UTF-8 (byte {error.start})", file=str(path)) from error
    return parse_layout(text, datamodel, source=str(path))


def default_layout(datamodel: Datamodel) -> Layout:
    """A layout for any schema: every model in a log of its own, named by its table.

    Raises LayoutError for a model whose records nothing identifies (Prisma allows it with ``@@ignore``).
    """
    places, used = [], set[str]()
    for model in datamodel.tables:
        if not model.has_key:
            raise LayoutError(_NO_KEY, file="default layout", model=model.name)
        stem = file_stem((model.table.lower(),))
        while stem in used:
            stem += "-"
        used.add(stem)
        path = f"{stem}.jsonl" if re.fullmatch(r"[a-z0-9].*", stem) else f"records/{stem}.jsonl"
        places.append(Place(model=model, kind=Kind.LOG, path=path))
    return Layout(datamodel, tuple(places), source="default layout")


def parse_layout(text: str, datamodel: Datamodel, *, source: str = "layout") -> Layout:
    """Read a layout from TOML text and check it against the Datamodel.

    Each table of the Datamodel has exactly one place; parents exist and are required; no two files can
    meet; a file that is shared is shared in one way.  Raises LayoutError with the model concerned.
    """
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise LayoutError(f"is not TOML: {error}", file=source) from error
    return _Builder(data, datamodel, source).build()


class _Builder:
    def __init__(self, data: Mapping[str, Any], datamodel: Datamodel, source: str) -> None:
        self.data, self.datamodel, self.source = data, datamodel, source
        self.places: dict[str, Place] = {}

    def fail(self, message: str, model: str = "") -> LayoutError:
        return LayoutError(message, file=self.source, model=model)

    def build(self) -> Layout:
        known = {"version", "documents", "files", "logs", "logs_per_parent", "embedded", "payloads"}
        if unknown := sorted(set(self.data) - known):
            raise self.fail(f"unknown table {', '.join(unknown)}; there are {', '.join(sorted(known))}")
        version = self.data.get("version")
        if type(version) is not int or version != VERSION:
            raise self.fail(f"version must be {VERSION}, not {version!r}")
        for path, arrays in self.table("documents").items():
            for array, model in self.entries(path, arrays, dict).items():
                if not _KEY.fullmatch(array):
                    raise self.fail(f"{path}: the key {array!r} is no name of letters, digits and _")
                self.put(model, Kind.DOCUMENT, path, array=array)
        for path, model in self.table("files").items():
            self.put(model, Kind.FILE, path)
        for path, models in self.table("logs").items():
            for model in self.entries(path, models, list):
                self.put(model, Kind.LOG, path)
        for path, model in self.table("logs_per_parent").items():
            self.put_log_per_parent(path, model)
        for model, target in self.table("embedded").items():
            self.put_embedded(model, target)
        folder = self.put_payloads()
        if left := [m.name for m in self.datamodel.tables if m.name not in self.places]:
            raise self.fail(f"no place for {', '.join(left)}")
        places = tuple(self.places[m.name] for m in self.datamodel.tables)
        layout = Layout(self.datamodel, places, folder, self.source)
        self.check_hosts(layout)
        self.check_paths(layout)
        return layout

    def table(self, name: str) -> Mapping[str, Any]:
        found = self.data.get(name, {})
        if not isinstance(found, dict):
            raise self.fail(f"{name} must be a table")
        return found

    def entries(self, path: str, value: Any, kind: type) -> Any:
        if not isinstance(value, kind):
            wanted = "a table of keys and models" if kind is dict else "a list of models"
            raise self.fail(f"{path}: must be {wanted}")
        if not value:
            raise self.fail(f"{path}: holds no model")
        return value

    def model(self, name: Any) -> Model:
        if not isinstance(name, str) or name not in self.datamodel:
            raise self.fail(f"the schema has no model {name!r}")
        return self.datamodel.model(name)

    def put(
        self, name: Any, kind: Kind, path: str, array: str = "", relation: Relation | None = None
    ) -> None:
        model = self.model(name)
        if model.is_view:
            raise self.fail("is a view: it has no records of its own", model.name)
        if model.name in self.places:
            raise self.fail(f"is placed twice: {self.places[model.name].path} and {path}", model.name)
        if not model.has_key:
            raise self.fail(_NO_KEY, model.name)
        place = Place(model=model, kind=kind, path=path, array=array, relation=relation)
        self.check_path(place)
        self.places[model.name] = place

    def check_path(self, place: Place) -> None:
        if place.kind is Kind.EMBEDDED:
            return
        path, model = place.path, place.model.name
        fields = ",".join(place.name_fields)
        ending = "jsonl" if place.kind in (Kind.LOG, Kind.LOG_PER_PARENT) else "json"
        pattern = _VARYING_PATH if fields else _FIXED_PATH
        if not pattern.fullmatch(path) or _ending(path) != ending:
            names = f"lower-case folders and {{{fields}}}" if fields else "lower-case names"
            raise self.fail(f"{path!r} is not a path of {names} that ends in .{ending}", model)
        if fields and _VARYING.findall(path) != [f"{{{fields}}}"]:
            raise self.fail(f"{path!r} must name its file by {{{fields}}}", model)
        if path.split("/")[0] in RESERVED_FOLDERS:
            raise self.fail(f"{path!r}: {path.split('/')[0]}/ is Octavo's own", model)
        if devices := [part for part in path.split("/") if part.partition(".")[0] in DEVICES]:
            raise self.fail(f"{path!r}: {devices[0]} is a device on Windows", model)

    def put_log_per_parent(self, path: str, name: Any) -> None:
        model = self.model(name)
        fields = tuple(f for group in _VARYING.findall(path) for f in group[1:-1].split(","))
        relation = next((r for r in self.datamodel.parents(model.name) if r.fields == fields), None)
        if relation is None:
            raise self.fail(
                f"{path!r}: no relation has the fields {', '.join(fields) or '(none)'}", model.name
            )
        self.check_parent(relation)
        self.put(name, Kind.LOG_PER_PARENT, path, relation=relation)

    def put_embedded(self, name: str, target: Any) -> None:
        model = self.model(name)
        parent, _, array = str(target).partition(".")
        relation = next(
            (r for r in self.datamodel.parents(name) if r.parent == parent and r.parent_field == array), None
        )
        if relation is None or not array:
            raise self.fail(f"{target!r} is no relation of this model", model.name)
        self.check_parent(relation)
        self.put(name, Kind.EMBEDDED, "", array=array, relation=relation)

    def check_parent(self, relation: Relation) -> None:
        if not relation.required:
            raise self.fail(f"its parent by {', '.join(relation.fields)} must be required", relation.child)
        if relation.references != self.datamodel.model(relation.parent).key.field_names:
            raise self.fail(f"must point at the key of {relation.parent}", relation.child)

    def put_payloads(self) -> str:
        table = self.table("payloads")
        if unknown := sorted(set(table) - {"folder", "path", "size"}):
            raise self.fail(f"payloads: unknown key {', '.join(unknown)}")
        paths, sizes, folder = table.get("path", {}), table.get("size", {}), table.get("folder", "")
        if not isinstance(paths, dict) or not isinstance(sizes, dict):
            raise self.fail("payloads: path and size must be tables of models and fields")
        if paths and not (isinstance(folder, str) and re.fullmatch(r"[a-z0-9][a-z0-9_-]*", folder)):
            raise self.fail("payloads: folder must be one lower-case name")
        if folder in RESERVED_FOLDERS | DEVICES:
            raise self.fail(f"payloads: {folder}/ cannot be their folder")
        for name in sizes:
            if name not in paths:
                raise self.fail("has the size of a payload, but no path", name)
        for name, path in paths.items():
            place, size = self.places.get(name), sizes.get(name, "")
            if place is None or place.kind is not Kind.LOG:
                raise self.fail("only a model in a log can have payloads", name)
            self.check_payload_field(place.model, path, {"String"})
            if size:
                self.check_payload_field(place.model, size, {"Int", "BigInt"})
            self.places[name] = replace(place, payload=path, payload_size=size)
        return folder if paths else ""

    def check_payload_field(self, model: Model, name: Any, types: set[str]) -> None:
        fitting = {
            f.name for f in model.scalars if f.kind is ScalarKind.SCALAR and not f.is_list and f.type in types
        }
        if name not in fitting:
            raise self.fail(
                f"payloads: {name!r} is no field of type {' or '.join(sorted(types))}", model.name
            )

    def check_hosts(self, layout: Layout) -> None:
        for place in layout.places:
            if place.relation is None:
                continue
            parent = layout.place(place.relation.parent)
            if parent.kind is Kind.EMBEDDED:
                raise self.fail(f"its parent {parent.model.name} is embedded itself", place.model.name)
            if place.kind is parent.kind is Kind.LOG_PER_PARENT:
                raise self.fail(
                    f"its parent {parent.model.name} has a log per parent itself", place.model.name
                )

    def check_paths(self, layout: Layout) -> None:
        for family in layout.families:
            if len({p.kind for p in family.places}) > 1 or (family.varies and len(family.places) > 1):
                raise self.fail(f"{family.path}: shared in different ways")
        shelves = re.compile(re.escape(layout.payload_folder) + "/[0-9a-f]{2}/.*")
        for family in layout.families:
            if layout.payload_folder and shelves.fullmatch(family.path):
                raise self.fail(f"{family.path} lies among the payloads")
        for one, other in combinations(layout.families, 2):
            if one.may_meet(other):
                raise self.fail(f"{one.path} and {other.path} can be the same file")
