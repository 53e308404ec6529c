"""Where a Datamodel's layout comes from: a file's TOML, the one shipped, or one proposed for any schema.

A layout is checked against the Datamodel: each table has exactly one place; parents exist and are required;
no two files can meet; a file that is shared is shared in one way.  Models that a file does not place are
placed by the proposal (:mod:`octavo.layout.propose`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from itertools import combinations
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from octavo.backend import PathName
from octavo.errors import LayoutError
from octavo.layout.layout import (
    DEVICES,
    NO_KEY,
    RESERVED_FOLDERS,
    VERSION,
    Kind,
    Layout,
    Place,
    ending,
    file_stem,
    may_meet,
    stem_pattern,
)
from octavo.schema.datamodel import Datamodel, Model, Relation, ScalarKind
from octavo.schema.texts import frozen_schema, is_frozen

if TYPE_CHECKING:
    from octavo.layout.propose import Proposal

SHIPPED = "layout-0.7.toml"
"""the frozen schema's layout, beside this module"""

_VARYING = r"\{[^{}]*\}"
_NAME = rf"(?:[a-z0-9](?:[a-z0-9_.-]*[a-z0-9_-])?|{stem_pattern(1)})"
"""a name as people choose it, or one that was made of a table's"""
_FIXED_PATH = rf"(?:{_NAME}/)*{_NAME}\.(?:json|jsonl)"
_VARYING_PATH = rf"(?:{_NAME}/)*\{{[^{{}}/]+\}}\.(?:json|jsonl)"
_KEY = r"[A-Za-z][A-Za-z0-9_]*"

_known: dict[tuple[int, str, str], Layout] = {}
"""layouts by the identity of their Datamodel, their source and their text"""


def frozen_layout() -> Layout:
    """The layout of schema 0.7, as shipped."""
    return layout_for(frozen_schema(), None)


def layout_for(datamodel: Datamodel, path: PathName | None) -> Layout:
    """The layout in a file; without one the frozen schema's own, or one proposed for another schema.

    Raises LayoutError.
    """
    datamodel = datamodel.complete
    text = given_text(datamodel, path)
    if text is None:
        return default_layout(datamodel)
    source = _source(path)
    key = id(datamodel), source, text
    return _known.get(key) or _known.setdefault(key, parse_layout(text, datamodel, source=source))


def proposal_for(
    datamodel: Datamodel, path: PathName | None, counts: Mapping[str, int] | None = None
) -> Proposal:
    """The same layout, with the reason for each place that no file gives; ``counts`` are the numbers of rows
    of models, if they are known.

    A model that nothing identifies is left out of what is proposed without a file.  Raises LayoutError.
    """
    from octavo.layout.propose import Proposal, propose

    text = given_text(datamodel, path)
    if text is None:
        return propose(datamodel, counts=counts)
    parser = _Parser(text, datamodel, _source(path), counts)
    return Proposal(parser.parse(), parser.reasons)


def known_layout(path: PathName | None, text: str | None, layout: Layout) -> None:
    """Let :func:`layout_for` give this layout for a path of this text, without parsing it."""
    if text is not None:
        source = _source(path)
        _known.setdefault(
            (id(layout.datamodel.complete), source, text), replace(layout, source=source).read_from(text)
        )


def given_text(datamodel: Datamodel | None, path: PathName | None) -> str | None:
    """The TOML that :func:`layout_for` reads; ``datamodel`` is None for the frozen one.

    None where there is none: the layout is made up.  Raises LayoutError.
    """
    if path is None:
        if datamodel is not None and not is_frozen(datamodel):
            return None
        path = os.path.join(os.path.dirname(__file__), SHIPPED)
    try:
        with open(path, encoding="utf-8", newline="") as file:
            return file.read()
    except OSError as error:
        raise LayoutError(f"cannot be read: {error.strerror}", file=str(path)) from error
    except UnicodeDecodeError as error:
        raise LayoutError(f"is not UTF-8 (byte {error.start})", file=str(path)) from error


def _source(path: PathName | None) -> str:
    return SHIPPED if path is None else str(path)


def default_layout(datamodel: Datamodel) -> Layout:
    """The layout proposed for a schema.

    Raises LayoutError for a model whose records nothing identifies (Prisma allows it with ``@@ignore``).
    """
    from octavo.layout.propose import SOURCE, propose

    require_keys(datamodel, SOURCE)
    return propose(datamodel).layout


def require_keys(datamodel: Datamodel, source: str) -> None:
    """Raise LayoutError for a model whose records nothing identifies."""
    if keyless := [m.name for m in datamodel.tables if not m.has_key]:
        raise LayoutError(NO_KEY, file=source, model=keyless[0])


def flat_layout(datamodel: Datamodel) -> Layout:
    """Every model in a log of its own, named by its table: the layout of stores made before there were
    proposals.  Raises LayoutError for a model whose records nothing identifies.
    """
    places, used = [], set[str]()
    for model in datamodel.tables:
        if not model.has_key:
            raise LayoutError(NO_KEY, file="default layout", model=model.name)
        stem = file_stem((model.table.lower(),))
        while stem in used:
            stem += "-"
        used.add(stem)
        path = f"{stem}.jsonl" if re.fullmatch(r"[a-z0-9].*", stem) else f"records/{stem}.jsonl"
        places.append(Place(model=model, kind=Kind.LOG, path=path))
    return Layout(datamodel, tuple(places), source="default layout")


def parse_layout(text: str, datamodel: Datamodel, *, source: str = "layout") -> Layout:
    """Read a layout from TOML text and check it against the Datamodel.

    Raises LayoutError with the model concerned.
    """
    return _Parser(text, datamodel, source).parse()


class _Parser:
    """Reads one layout."""

    def __init__(
        self, text: str, datamodel: Datamodel, source: str, counts: Mapping[str, int] | None = None
    ) -> None:
        import tomllib

        self.datamodel, self.source, self.text = datamodel.complete, source, text
        try:
            self.data: Mapping[str, Any] = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise self.fail(f"is not TOML: {error}") from error
        self.places: dict[str, Place] = {}
        self.counts = counts
        self.reasons: Mapping[str, str] = {}
        """of the places that the text does not give"""

    def fail(self, message: str, model: str = "") -> LayoutError:
        return LayoutError(message, file=self.source, model=model)

    def parse(self) -> Layout:
        """The layout.  Raises LayoutError."""
        self.exclude()
        known = {
            "exclude",
            "version",
            "documents",
            "files",
            "logs",
            "logs_per_parent",
            "embedded",
            "payloads",
            "search",
        }
        if unknown := sorted(set(self.data) - known):
            raise self.fail(f"unknown table {', '.join(unknown)}; there are {', '.join(sorted(known))}")
        version = self.data.get("version")
        if type(version) is not int or version != VERSION:
            raise self.fail(f"version must be {VERSION}, not {version!r}")
        for path, arrays in self.table("documents").items():
            for array, model in self.entries(path, arrays, dict).items():
                if not re.fullmatch(_KEY, array):
                    raise self.fail(f"{path}: the key {array!r} must be a name of letters, digits and _")
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
        self.put_search()
        require_keys(self.datamodel, self.source)
        is_whole = all(m.name in self.places for m in self.datamodel.tables)
        if not is_whole:
            self.complete()
        places = tuple(self.places[m.name] for m in self.datamodel.tables)
        layout = Layout(self.datamodel, places, folder, self.source)
        if is_whole:
            layout.read_from(self.text)
        self.check_hosts(layout)
        self.check_paths(layout)
        return layout

    def complete(self) -> None:
        """Place what the text does not."""
        from octavo.layout.propose import completed

        places, self.reasons = completed(self.datamodel, self.places, self.counts)
        self.places |= {place.model.name: place for place in places}

    def exclude(self) -> None:
        """Leave out the models of ``exclude``, which is for tables without a key alone."""
        names = self.data.get("exclude", [])
        if not isinstance(names, list):
            raise self.fail("exclude must be a list of models")
        for name in names:
            model = self.model(name)
            if model.is_view or model.has_key:
                raise self.fail("has a key: only a model without one can be excluded", model.name)
        self.datamodel = self.datamodel.without(names)

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
            raise self.fail(NO_KEY, model.name)
        place = Place(model=model, kind=kind, path=path, array=array, relation=relation)
        self.check_path(place)
        self.places[model.name] = place

    def check_path(self, place: Place) -> None:
        if place.kind is Kind.EMBEDDED:
            return
        path, model = place.path, place.model.name
        fields = ",".join(place.name_fields)
        wanted = "jsonl" if place.kind in (Kind.LOG, Kind.LOG_PER_PARENT) else "json"
        pattern = _VARYING_PATH if fields else _FIXED_PATH
        if not re.fullmatch(pattern, path) or ending(path) != wanted:
            names = f"lower-case folders and {{{fields}}}" if fields else "lower-case names"
            raise self.fail(f"{path!r} is not a path of {names} that ends in .{wanted}", model)
        if fields and re.findall(_VARYING, path) != [f"{{{fields}}}"]:
            raise self.fail(f"{path!r} must name its file by {{{fields}}}", model)
        if path.split("/")[0] in RESERVED_FOLDERS:
            raise self.fail(f"{path!r}: {path.split('/')[0]}/ is Octavo's own", model)
        if devices := [part for part in path.split("/") if part.partition(".")[0] in DEVICES]:
            raise self.fail(f"{path!r}: {devices[0]} is a device on Windows", model)

    def put_log_per_parent(self, path: str, name: Any) -> None:
        model = self.model(name)
        fields = tuple(f for group in re.findall(_VARYING, path) for f in group[1:-1].split(","))
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
            raise self.fail(f"{target!r} is not a relation of this model", model.name)
        self.check_parent(relation)
        self.put(name, Kind.EMBEDDED, "", array=array, relation=relation)

    def check_parent(self, relation: Relation) -> None:
        if not self.datamodel.held_keys:
            reason = 'with relationMode = "prisma" its parent may be missing: it cannot live with it'
            raise self.fail(reason, relation.child)
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

    def put_search(self) -> None:
        """The texts that are searched.  Raises LayoutError with the line."""
        if not self.table("search"):
            return
        from octavo.layout.searched import check_searched

        for name, fields in self.table("search").items():
            place = self.places.get(name)
            if place is None:
                reason = f"the schema has no model {name!r}"
            elif not (reason := check_searched(place.model, fields, self.datamodel)):
                self.places[name] = replace(place, search=tuple(fields))
                continue
            line = line_of(self.text, "search", name)
            raise LayoutError(reason, file=f"{self.source}:{line}", model=name if place else "")

    def check_payload_field(self, model: Model, name: Any, types: set[str]) -> None:
        fitting = {
            f.name for f in model.scalars if f.kind is ScalarKind.SCALAR and not f.is_list and f.type in types
        }
        if name not in fitting:
            raise self.fail(
                f"payloads: {name!r} is not a field of type {' or '.join(sorted(types))}", model.name
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
            if may_meet(one, other):
                raise self.fail(f"{one.path} and {other.path} can be the same file")


def line_of(text: str, table: str, key: str) -> int:
    """The number of the line of a TOML text in which a table gives a value to a key; that of the table, if
    the key is written some other way."""
    within, found = "", 1
    for number, line in enumerate(text.splitlines(), 1):
        if head := re.match(r"\s*\[\s*([^\[\]]+?)\s*\]", line):
            within = head[1].strip("\"'")
            if within == table:
                found = number
        elif within == table and re.match(rf"""\s*["']?{re.escape(key)}["']?\s*[=.]""", line):
            return number
    return found
