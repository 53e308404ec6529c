"""A layout for any schema, as a person would fold it, with the reason for each place.

What a model is, is told from its relations, keys and fields, and from the words of its name
(:mod:`octavo.layout.role`): a table that joins two others is embedded in one of them; what accumulates below
a parent is a log per parent; what is small and referred to by many is a document; a record with many texts is
a file of its own; the rest is a log each.

The proposal is a function of the schema (and of the numbers of rows, where they are given).  Places that are
kept stay as they are, and what is proposed beside them keeps out of their way.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from itertools import count
from typing import NamedTuple

from msgspec.structs import replace

from octavo.layout.layout import DEVICES, RESERVED_FOLDERS, FileFamily, Kind, Layout, Place, may_meet
from octavo.layout.naming import Names, camel, kebab, many
from octavo.layout.role import Role, Roles, is_told_by_its_text
from octavo.schema.datamodel import Datamodel, Model, Relation

SOURCE = "proposed layout"
_NO_KEY = "has nothing that identifies a record"
_FORBIDDEN = RESERVED_FOLDERS | DEVICES | {"schema", "index"}
_MOST_LOGS = 2
"""logs per parent that one parent has"""

_SAMPLE = 1000
"""rows that say something: a database in which an application is tried has less"""
_FEW = 100
_BIG_DOCUMENT = 1000
_BIG_FOLDER = 20_000
_LONG_ARRAY = 100
_SHORT_LOG = 3
"""rows from which, or up to which, on the average, a way to live does not pay"""


class Proposal(NamedTuple):
    """A layout, and why each model that was not kept is placed so."""

    layout: Layout
    reasons: Mapping[str, str]


def propose(
    datamodel: Datamodel, keep: Layout | None = None, counts: Mapping[str, int] | None = None
) -> Proposal:
    """A layout of this schema; models that nothing identifies are left out of it.

    ``keep`` is a layout of an earlier version of the schema: whatever of it still fits stays.  ``counts`` are
    the numbers of rows of models.
    """
    keyless = [m.name for m in datamodel.tables if not m.has_key]
    datamodel = datamodel.complete.without([*(m.name for m in datamodel.excluded), *keyless])
    kept = {} if keep is None else still_fitting(keep, datamodel)
    places, reasons = completed(datamodel, kept, counts)
    folder = keep.payload_folder if keep is not None and any(p.payload for p in places) else ""
    return Proposal(Layout(datamodel, places, folder, SOURCE), reasons | dict.fromkeys(keyless, _NO_KEY))


def completed(
    datamodel: Datamodel, places: Mapping[str, Place], counts: Mapping[str, int] | None = None
) -> tuple[tuple[Place, ...], dict[str, str]]:
    """These places, with one for each model that has none; and the reasons for those."""
    proposer = _Proposer(datamodel, places, counts or {})
    return proposer.places(), proposer.reasons


def still_fitting(keep: Layout, datamodel: Datamodel) -> dict[str, Place]:
    """The places of models that are still there, with the same key and below the same parent."""
    found: dict[str, Place] = {}
    for place in keep.places:
        name = place.model.name
        if name not in datamodel or not datamodel.model(name).has_key:
            continue
        model, relation = datamodel.model(name), place.relation
        if place.kind is Kind.FILE and model.key.field_names != place.model.key.field_names:
            continue
        if relation is not None:
            relation = next((r for r in datamodel.parents(name) if _same(r, relation)), None)
            if relation is None or not can_hold(relation, datamodel):
                continue
        names = {f.name for f in model.scalars}
        found[name] = replace(
            place,
            model=model,
            relation=relation,
            payload=place.payload if place.payload in names else "",
            payload_size=place.payload_size if {place.payload, place.payload_size} <= names else "",
            search=tuple(f for f in place.search if f in names),
        )
    return found


def _same(one: Relation, other: Relation) -> bool:
    return (one.parent, one.fields, one.parent_field) == (other.parent, other.fields, other.parent_field)


def can_hold(relation: Relation, datamodel: Datamodel) -> bool:
    """Whether records may live with the parent that they have by this foreign key."""
    parent = datamodel.model(relation.parent)
    return (
        relation.required
        and datamodel.datasource.relation_mode == "foreignKeys"
        and parent.has_key
        and relation.parent != relation.child
        and relation.references == parent.key.field_names
        and not is_told_by_its_text(datamodel.model(relation.child), relation.fields, datamodel)
        and not is_told_by_its_text(parent, relation.references, datamodel)
    )


class _Proposer:
    """Proposes places, model by model, each way to live in its turn."""

    def __init__(self, datamodel: Datamodel, kept: Mapping[str, Place], counts: Mapping[str, int]) -> None:
        self.datamodel, self.counts = datamodel, counts
        self.found: dict[str, Place] = dict(kept)
        self.reasons: dict[str, str] = {}
        self.names = Names(m.name for m in datamodel.models)
        self.roles = Roles(datamodel, self.names)
        self.hosts: set[str] = {p.relation.parent for p in kept.values() if p.relation is not None}
        """the models whose records hold others, or own logs of them"""

    def places(self) -> tuple[Place, ...]:
        left = [m for m in self.datamodel.tables if m.name not in self.found]
        ways = [self.embed, self.in_log_of_parent, self.in_document, self.in_file, self.in_log]
        for way in ways:
            # Parents before children, so that those nearest to the root own the logs.
            for model in sorted(left, key=self._depth):
                if model.name not in self.found:
                    way(model, self.roles[model.name])
        return tuple(self.found[m.name] for m in self.datamodel.tables)

    @cached_property
    def _depths(self) -> dict[str, int]:
        """How many parents a model has above it, that are required and take it with them."""
        depths = {m.name: 0 for m in self.datamodel.tables}
        for _ in depths:
            changed = False
            for relation in self.datamodel.foreign_keys:
                below = depths[relation.parent] + 1 if relation.parent != relation.child else 0
                if relation.required and below > depths[relation.child] and below < len(depths):
                    depths[relation.child], changed = below, True
            if not changed:
                break
        return depths

    def _depth(self, model: Model) -> tuple[int, int]:
        return self._depths[model.name], self.datamodel.tables.index(model)

    # The ways to live

    def embed(self, model: Model, role: Role) -> None:
        relation = None if model.name in self.hosts else self._first(role.hosts)
        if relation is None or self._mean(model.name, relation.parent, above=_LONG_ARRAY):
            return
        place = Place(
            model=model, kind=Kind.EMBEDDED, path="", array=relation.parent_field, relation=relation
        )
        self._place(place, self._counted(role.embedded_because(relation), model.name))

    def in_log_of_parent(self, model: Model, role: Role) -> None:
        for relation in () if self._owns_logs(model.name) else role.timelines:
            parent = relation.parent
            if not self._may_own_logs(relation):
                continue
            if self._mean(model.name, parent, below=_SHORT_LOG) or self._rows(parent, above=_BIG_FOLDER):
                continue
            folder = f"{self._base(parent)}/{self._within(model.name, parent)}"
            path = f"{folder}/{{{','.join(relation.fields)}}}.jsonl"
            place = Place(model=model, kind=Kind.LOG_PER_PARENT, path=path, relation=relation)
            said = f"accumulates below its {parent}, and goes with it"
            self._place(self._apart(place), self._counted(said, model.name, parent))
            return

    def in_document(self, model: Model, role: Role) -> None:
        reason = role.document_because
        rows = self.counts.get(model.name, 0)
        referring = sum(self.counts.get(name, 0) for name in {r.child for r in role.children})
        if 0 < rows <= _FEW and referring >= max(_SAMPLE, rows * _FEW) and not role.grows:
            reason = reason or f"few, and {referring:,} records refer to them"
        if not reason or self._rows(model.name, above=_BIG_DOCUMENT):
            return
        path, array = f"{self._base(model.name)}.json", camel(many(self.names[model.name]))
        place = Place(model=model, kind=Kind.DOCUMENT, path=path, array=array)
        self._place(self._apart(place), self._counted(reason, model.name))

    def in_file(self, model: Model, role: Role) -> None:
        if not role.file_because or self._rows(model.name, above=_BIG_FOLDER):
            return
        fields = model.key.field_names
        if is_told_by_its_text(model, fields, self.datamodel):
            return
        path = f"{self._base(model.name)}/{{{','.join(fields)}}}.json"
        place = Place(model=model, kind=Kind.FILE, path=path)
        self._place(self._apart(place), self._counted(role.file_because, model.name))

    def in_log(self, model: Model, role: Role) -> None:
        place = Place(model=model, kind=Kind.LOG, path=f"{self._base(model.name)}.jsonl")
        self._place(self._apart(place), self._counted(role.log_because, model.name))

    # What they ask

    def _first(self, relations: Iterable[Relation]) -> Relation | None:
        """The first of some parents that may embed."""
        for relation in relations:
            above = self.found.get(relation.parent)
            if (above is None or above.kind is not Kind.EMBEDDED) and can_hold(relation, self.datamodel):
                return relation
        return None

    def _may_own_logs(self, relation: Relation) -> bool:
        above = self.found.get(relation.parent)
        if above is not None and above.kind in (Kind.EMBEDDED, Kind.LOG_PER_PARENT):
            return False
        return can_hold(relation, self.datamodel) and self._owns_logs(relation.parent) < _MOST_LOGS

    def _owns_logs(self, parent: str) -> int:
        logs = (p for p in self.found.values() if p.kind is Kind.LOG_PER_PARENT and p.relation is not None)
        return sum(p.relation is not None and p.relation.parent == parent for p in logs)

    def _rows(self, model: str, above: int) -> bool:
        return self.counts.get(model, 0) > above

    def _mean(self, child: str, parent: str, above: float = 0, below: float = 0) -> bool:
        """Whether there are more children to a parent, or less, than this; of few or unknown, neither."""
        children, parents = self.counts.get(child, 0), self.counts.get(parent, 0)
        if children < _SAMPLE or not parents:
            return False
        return children / parents > above if above else children / parents < below

    def _counted(self, reason: str, *models: str) -> str:
        """The reason, with the numbers of rows that are known."""
        known = [f"{self.counts[m]:,} of {m}" for m in models if m in self.counts]
        return f"{reason} ({', '.join(known)})" if known else reason

    def _base(self, model: str) -> str:
        """The path of a model's file without its ending, which is the folder of what belongs to it, too."""
        place = self.found.get(model)
        if place is not None and place.path:
            folder, _, name = place.path.rpartition("/")
            stem = name.partition(".")[0]
            is_whole = bool(folder) and (place.name_fields != () or stem == "index")
            return folder if is_whole else f"{folder}/{stem}".strip("/")
        role, found = self.roles[model], self.names[model]
        if role.model.is_join:
            return self._free(kebab(found))
        if role.is_of_signing_in:
            return f"auth/{kebab(many(found))}"
        if role.owner:
            return f"{self._base(role.owner)}/{self._within(model, role.owner)}"
        if theme := self.roles.themes.get(model):
            named = next((m.name for m in self.datamodel.tables if self.names[m.name] == theme), "")
            folder = self._base(named) if named else self._free(kebab(theme))
            return f"{folder}/{kebab(many(found[len(theme) :]))}"
        return self._free(kebab(many(found)))

    def _within(self, model: str, owner: str) -> str:
        """A model's name where it lies in the folder of another: without the words that both begin with."""
        own, theirs = self.names[model], self.names[owner]
        alike = 0
        while alike < min(len(own) - 1, len(theirs)) and own[alike] == theirs[alike]:
            alike += 1
        return kebab(many(own[alike:]))

    def _place(self, place: Place, reason: str) -> None:
        self.found[place.model.name] = place
        self.reasons[place.model.name] = reason
        if place.relation is not None:
            self.hosts.add(place.relation.parent)

    # Paths that nothing else has

    def _free(self, name: str) -> str:
        return f"{name}-records" if name in _FORBIDDEN else name

    def _apart(self, place: Place) -> Place:
        """The place, its path changed until no file of it can be one of another model."""
        others = [FileFamily(p.path, p.kind, (p,)) for p in self.found.values() if p.path]
        for path in _spellings(place):
            family = FileFamily(path, place.kind, (replace(place, path=path),))
            if not any(may_meet(family, other) for other in others):
                return family.places[0]
        raise AssertionError("numbers do not end")


def _spellings(place: Place) -> Iterator[str]:
    """The path of a place, and others to take instead, each further from it than the one before."""
    yield place.path
    folder, _, name = place.path.rpartition("/")
    if place.name_fields:
        yield from (f"{folder}-{n}/{name}" for n in count(2))
    if folder:
        # A log per parent leaves no room for other names in its folder.
        yield f"{folder}-{name}"
        name, folder = f"{folder.rpartition('/')[2]}-{name}", folder.rpartition("/")[0]
    stem, _, ending = name.partition(".")
    yield from ("/".join(filter(None, [folder, f"{stem}-{n}.{ending}"])) for n in count(2))
