"""Where the next schema's records live: a model that stays keeps its place, a new one gets a proposal."""

from __future__ import annotations

import re
from contextlib import suppress

from msgspec.structs import replace

from octavo.errors import LayoutError
from octavo.evolve.matching import Matching
from octavo.evolve.steps import Step
from octavo.layout.layout import Kind, Layout, Place
from octavo.layout.load import parse_layout, require_keys
from octavo.layout.propose import completed
from octavo.layout.written import layout_text
from octavo.schema.datamodel import Datamodel, Model, Relation, ScalarKind
from octavo.schema.live import Live, as_live, live_of

SOURCE = "schema/layout.toml"


def with_keys(datamodel: Datamodel) -> Datamodel:
    """A schema without the models that nothing identifies: they have no place in files."""
    return datamodel.without([m.name for m in datamodel.models if not (m.is_view or m.has_key)])


def as_before(datamodel: Datamodel, old: Datamodel, matching: Matching) -> Datamodel:
    """The next schema with what is kept of the live database beside the old one, under the new names."""
    kept = live_of(old)
    enums = {}
    for enum in datamodel.enums:
        if enum.name in kept.enums:
            labels = matching.labels(old.enum(enum.name), enum)
            enums[enum.name] = tuple(labels[name] for name in kept.enums[enum.name] if name in labels)
    generated: dict[str, dict[str, str]] = {}
    for model, fields in kept.generated.items():
        for name, expression in fields.items():
            if (after := matching.field_after(model, name)) is not None:
                generated.setdefault(matching.after[model], {})[after] = expression
    return as_live(datamodel, Live(enums, generated))


def next_layout(old: Layout, matching: Matching) -> Layout:
    """The layout of the new schema.  Raises LayoutError if places that stay do not fit any more.

    Its text is the old one, with what its author wrote beside, where that says the same.
    """
    kept = {name: place for name in matching.models if (place := _kept(old, matching, name)) is not None}
    kept = {name: place for name, place in kept.items() if _has_host(place, kept)}
    require_keys(matching.new, SOURCE)
    places, _ = completed(matching.new, kept)
    folder = old.payload_folder if any(place.payload for place in places) else ""
    made = Layout(matching.new, places, folder, SOURCE)
    if all(re.search(rf"\b{re.escape(model.name)}\b", old.text) for model in matching.new.tables):
        with suppress(LayoutError):
            same = parse_layout(old.text, matching.new, source=SOURCE)
            if (same.places, same.payload_folder) == (made.places, made.payload_folder):
                return same
    return parse_layout(layout_text(made), matching.new, source=SOURCE)


def _kept(old: Layout, matching: Matching, name: str) -> Place | None:
    """The place that a model keeps; None if it cannot."""
    model = matching.new.model(name)
    before = old.place(matching.models[name])
    if not model.has_key:
        return None
    made = Place(model=model, kind=before.kind, path=before.path, array=before.array)
    if before.kind is Kind.FILE:
        made = replace(made, path=_renamed(before.path, model.key.field_names))
    if before.relation is not None:
        relation = _relation(matching, model, before.relation)
        if relation is None:
            return None
        if before.kind is Kind.EMBEDDED:
            if not relation.parent_field:
                return None
            made = replace(made, relation=relation, array=relation.parent_field)
        else:
            made = replace(made, relation=relation, path=_renamed(before.path, relation.fields))
    return _with_extras(made, before, matching)


def _relation(matching: Matching, model: Model, before: Relation) -> Relation | None:
    """The relation by which a record lives with its parent, if it still can."""
    for relation in matching.new.parents(model.name):
        if matching.relation_before(relation) == before:
            is_key = relation.references == matching.new.model(relation.parent).key.field_names
            return relation if relation.required and is_key else None
    return None


def _with_extras(made: Place, before: Place, matching: Matching) -> Place:
    """With payloads and searched texts, as far as their fields are still there and of a fitting type."""
    names = {old: new for new, old in matching.fields[made.model.name].items()}

    def of_type(name: str, *types: str) -> str:
        after = names.get(name, "")
        if not after:
            return ""
        f = made.model.scalar(after)
        return after if f.kind is ScalarKind.SCALAR and not f.is_list and f.type in types else ""

    payload = of_type(before.payload, "String")
    size = of_type(before.payload_size, "Int", "BigInt") if payload else ""
    search = tuple(name for old in before.search if (name := of_type(old, "String")))
    return replace(made, payload=payload, payload_size=size, search=search)


def _renamed(path: str, fields: tuple[str, ...]) -> str:
    """A varying path whose name consists of these fields."""
    before, _, rest = path.partition("{")
    return f"{before}{{{','.join(fields)}}}{rest.partition('}')[2]}"


def _has_host(place: Place, kept: dict[str, Place]) -> bool:
    """Whether what a record lives with is where it was, too."""
    if place.relation is None:
        return True
    parent = kept.get(place.relation.parent)
    if parent is None:
        return place.kind is Kind.LOG_PER_PARENT
    return parent.kind is not Kind.EMBEDDED


def moves(old: Layout, new: Layout, matching: Matching) -> list[Step]:
    """What changes its place."""
    steps = []
    for name, before in matching.models.items():
        was, now = old.place(before), new.place(name)
        ours, theirs = _told(was), _told(now)
        if was.kind is not now.kind or (ours != theirs and was.kind in (Kind.DOCUMENT, Kind.LOG)):
            steps.append(
                Step(subject=name, change=f"lived in {ours}, lives in {theirs}", means="records move")
            )
        elif ours != theirs:
            steps.append(
                Step(
                    subject=name, change=f"lived in {ours}, lives in {theirs}", means="files get other names"
                )
            )
    return steps


def _told(place: Place) -> str:
    if place.kind is Kind.EMBEDDED and place.relation is not None:
        return f"{place.relation.parent}.{place.array}"
    return f"{place.path} ({place.array})" if place.kind is Kind.DOCUMENT else place.path
