"""The entity-relationship diagram: each table a box, each foreign key a line, coloured by its action.

In a model's box stand its name, then a row for its key, for each unique and for each foreign key.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from xml.etree.ElementTree import Element

from octavo.report.geometry import Geometry, Placed, Point, arrange
from octavo.report.layers import Link
from octavo.report.markup import cells, cut, el, number
from octavo.schema.datamodel import Action, Datamodel, Model, Relation, RelationKind

HEAD = 24
"""height of a box's head, in the diagram's units; so is all that follows"""
ROW = 18
GRID = 6
"""heights and places of boxes are multiples of this"""
LABEL = 30
"""where a row's text begins, after its label"""
END = 12
"""between the ends of two lines at the same box"""
PADDING = 10
CELL = 6.7
"""width of one character of a row: 0.61 of the size that the style sheet sets"""
HEAD_CELL = 7.4


class RowKind(StrEnum):
    """What a row is about, as its label says it."""

    KEY = "PK"
    UNIQUE = "U"
    REFERENCE = "FK"
    REST = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its text may be cut, its title is whole."""

    kind: RowKind
    text: str
    title: str


@dataclass(frozen=True, slots=True)
class Box:
    """A model's box, not placed yet."""

    name: str
    shown: str
    title: str
    rows: tuple[Row, ...]
    ports: tuple[int, ...]
    """how far the middle of each foreign key's row is below the box's top"""
    width: int
    height: int


def boxes(datamodel: Datamodel) -> list[Box]:
    """The boxes of a schema's tables, in the schema's order."""
    return [_box(datamodel, model) for model in datamodel.tables]


def _box(datamodel: Datamodel, model: Model) -> Box:
    keys = list(datamodel.parents(model.name))
    above = list(_constraints(model))
    rows = [*above, *(_reference(model, key) for key in keys)]
    named = {name for index in model.all_indexes if index.kind != "normal" for name in index.field_names}
    named.update(name for key in keys for name in key.fields)
    if rest := [f.name for f in model.scalars if f.name not in named]:
        fields = "field" if len(rest) == 1 else "fields"
        rows.append(Row(RowKind.REST, f"{len(rest)} other {fields}", ", ".join(rest)))
    ports = tuple(_middle(len(above) + n) for n in range(len(keys)))
    width = max([PADDING * 2 + cells(cut(model.name)) * HEAD_CELL, *(_row_width(row) for row in rows)])
    meanings = {meaning(key) for key in datamodel.children(model.name)}
    height = max(HEAD + ROW * len(rows) + GRID, END * len(meanings))
    return Box(
        name=model.name,
        shown=cut(model.name),
        title=f"{model.name}: {model.documentation}" if model.documentation else model.name,
        rows=tuple(rows),
        ports=ports,
        width=_up(width),
        height=_up(height),
    )


def _middle(row: int) -> int:
    return HEAD + row * ROW + ROW // 2


def _up(length: float) -> int:
    return -int(-length // GRID) * GRID


def _row_width(row: Row) -> float:
    return LABEL + PADDING + cells(row.text) * CELL


def _constraints(model: Model) -> Iterator[Row]:
    if model.primary_key is not None:
        names = ", ".join(model.primary_key.field_names)
        yield Row(RowKind.KEY, cut(names), f"primary key: {names}")
    for unique in model.uniques:
        names = ", ".join(unique.field_names)
        yield Row(RowKind.UNIQUE, cut(names), f"unique: {names}")


def _reference(model: Model, key: Relation) -> Row:
    names = ", ".join(key.fields)
    return Row(RowKind.REFERENCE, cut(names + ("" if key.required else "?")), sentence(key))


def meaning(key: Relation) -> tuple[str, bool]:
    """What foreign keys that share a line have in common, beside the table that they point at."""
    return key.on_delete.value, key.required


def sentence(key: Relation) -> str:
    """A foreign key in words, with what happens when the record that it points at goes or changes."""
    optional = "" if key.required else " or is null"
    return (
        f"{key.child}.{', '.join(key.fields)} → {key.parent}.{', '.join(key.references)}{optional}; "
        f"on delete: {key.on_delete}, on update: {key.on_update}"
    )


_ROUND = 6
_FOOT = 10
"""length of the signs at a line's ends"""

MEANINGS = {
    Action.CASCADE: "is deleted with it",
    Action.SET_NULL: "stays, and points at nothing",
    Action.SET_DEFAULT: "stays, and points at the default",
    Action.RESTRICT: "keeps it from being deleted",
    Action.NO_ACTION: "keeps it from being deleted, at the end of the statement",
}
"""what becomes of a record when the one that it points at is deleted"""


@dataclass(frozen=True)
class Diagram:
    """A schema's boxes and foreign keys, placed."""

    datamodel: Datamodel
    boxes: tuple[Box, ...]
    keys: tuple[Relation, ...]
    geometry: Geometry


def diagram(datamodel: Datamodel) -> Diagram:
    """Place a schema's tables."""
    made = boxes(datamodel)
    place = {box.name: n for n, box in enumerate(made)}
    keys, links = [], []
    for child in datamodel.tables:
        for key, port in zip(datamodel.parents(child.name), made[place[child.name]].ports, strict=True):
            if key.parent in place:
                keys.append(key)
                links.append(Link(place[child.name], place[key.parent], port, meaning(key)))
    geometry = arrange([(box.width, box.height) for box in made], links)
    return Diagram(datamodel, tuple(made), tuple(keys), geometry)


def drawn(made: Diagram, groups: Mapping[str, int]) -> Element:
    """The diagram as an SVG; ``groups`` gives models their colours, by number."""
    g = made.geometry
    near = _neighbours(made)
    return el(
        "svg",
        el("title", "Entity-relationship diagram", id="er-title"),
        el("desc", _described(made), id="er-desc"),
        el("g", *_lines(made), class_="lines"),
        el(
            "g",
            *(
                _drawn_box(box, placed, f"g{groups.get(box.name, 'x')} m{n} {near[n]}")
                for n, (box, placed) in enumerate(zip(made.boxes, g.boxes, strict=True))
            ),
        ),
        xmlns="http://www.w3.org/2000/svg",
        class_="er",
        role="img",
        aria_labelledby="er-title er-desc",
        viewBox=f"0 0 {g.width} {g.height}",
        width=g.width,
        height=g.height,
    )


def fitting(made: Diagram) -> str:
    """The style rule by which the diagram is as wide as the page, neither tiny nor blown up."""
    width = made.geometry.width
    return (
        f".er {{ max-width: {width * 11 // 10}px }}\n"
        f"@media screen {{ .er {{ min-width: {width * 4 // 5}px }} }}\n"
    )


def highlighting(made: Diagram) -> str:
    """The style rule by which a box that is pointed at shows its own lines alone."""
    if not made.keys:
        return ""
    chosen = (f".er:has(.m{n}:hover) :is(.key,.end,.box):not(.t{n})" for n in range(len(made.boxes)))
    return f"@media screen {{ {', '.join(chosen)} {{ opacity: 0.15 }} }}\n"


def legend(made: Diagram) -> Element:
    """What the lines and the signs at their ends mean: as far as they occur."""
    used = {key.on_delete for key in made.keys}
    actions = [
        el(
            "li",
            _sample(el("path", d="M2 8 H46", class_="line"), action),
            el("span", el("b", str(action)), f": {fate}"),
        )
        for action, fate in MEANINGS.items()
        if action in used
    ]
    ends = {
        "exactly one record": _one(Point(40, 8), -1, required=True),
        "none or one": _one(Point(40, 8), -1, required=False),
        "any number": _many(Point(40, 8), -1),
    }
    signs = [
        el("li", _sample(el("g", el("path", d="M2 8 H40", class_="line"), *marks), None), el("span", text))
        for text, marks in ends.items()
    ]
    return el(
        "div",
        el("div", el("p", "When a record is deleted, one that points at it …"), el("ul", *actions)),
        el("div", el("p", "At this end of a line there is …"), el("ul", *signs)),
        class_="legend",
    )


def _sample(drawing: Element, action: Action | None) -> Element:
    kind = "plain" if action is None else action.lower()
    return el(
        "svg", el("g", drawing, class_=kind), viewBox="0 0 48 16", width=48, height=16, aria_hidden="true"
    )


def _described(made: Diagram) -> str:
    return (
        f"{len(made.boxes)} tables and {len(made.keys)} foreign keys; "
        "each line leads from a foreign key, on its left end the table that it points at. "
        "The same is listed below the diagram."
    )


def _neighbours(made: Diagram) -> list[str]:
    """Of each box, the classes that say whose boxes it is to be seen with: its own and its neighbours'."""
    place = {box.name: n for n, box in enumerate(made.boxes)}
    near: dict[int, set[int]] = defaultdict(set)
    for key in made.keys:
        near[place[key.child]].add(place[key.parent])
        near[place[key.parent]].add(place[key.child])
    return [" ".join(f"t{other}" for other in sorted({n, *near[n]})) for n in range(len(made.boxes))]


def _drawn_box(box: Box, placed: Placed, classes: str) -> Element:
    x, y, width, height = placed
    rows = [
        el(
            "g",
            el("title", row.title),
            el("rect", x=x + 1, y=top, width=width - 2, height=ROW, class_="row"),
            el("text", row.kind.value, x=x + PADDING, y=top + 13, class_="label"),
            el(
                "text",
                row.text,
                x=x + (LABEL if row.kind.value else PADDING),
                y=top + 13,
                class_="field" if row.kind.value else "rest",
            ),
        )
        for row, top in zip(box.rows, range(y + HEAD, y + height, ROW), strict=False)
    ]
    head = f"M{x} {y + HEAD} V{y + 4} q0 -4 4 -4 H{x + width - 4} q4 0 4 4 V{y + HEAD} z"
    return el(
        "g",
        el("title", box.title),
        el("rect", x=x, y=y, width=width, height=height, rx=4, class_="body"),
        el("path", d=head, class_="head"),
        el("text", box.shown, x=x + PADDING, y=y + 16, class_="name"),
        *rows,
        class_=f"box {classes}",
    )


def _lines(made: Diagram) -> Iterator[Element]:
    place = {box.name: n for n, box in enumerate(made.boxes)}
    for bundle in made.geometry.bundles:
        keys = [made.keys[n] for n in bundle.links]
        routes = [made.geometry.routes[n] for n in bundle.links]
        touched = " ".join(f"t{n}" for n in sorted({place[k.child] for k in keys} | {bundle.parent}))
        start = routes[0][0]
        outward = -1 if bundle.backward else 1
        yield el(
            "g",
            el("title", _together(keys)),
            *(el("path", d=_path(route), class_="hit") for route in routes),
            *(_key(key, route, place) for key, route in zip(keys, routes, strict=True)),
            el("g", *_one(start, outward, required=keys[0].required), class_=f"end {touched}"),
            class_=keys[0].on_delete.lower(),
        )


def _together(keys: Sequence[Relation]) -> str:
    if len(keys) == 1:
        return sentence(keys[0])
    children = ", ".join(dict.fromkeys(key.child for key in keys))
    return f"{children} → {keys[0].parent}; on delete: {keys[0].on_delete}"


def _key(key: Relation, route: tuple[Point, ...], place: Mapping[str, int]) -> Element:
    end, before = route[-1], route[-2]
    outward = 1 if before.x > end.x else -1
    signs = _one(end, outward, required=False) if key.kind is RelationKind.ONE_TO_ONE else _many(end, outward)
    return el(
        "g",
        el("title", sentence(key)),
        el("path", d=_path(route), class_="line"),
        *signs,
        # Where it runs alone, or nearly so, it is found by its own name.
        el("path", d=_path(route[-3:]), class_="hit"),
        class_=f"key t{place[key.child]} t{place[key.parent]}",
    )


def _many(at: Point, outward: int) -> tuple[Element, ...]:
    tip = at.x + outward * _FOOT
    return (
        el(
            "path",
            d=f"M{number(at.x)} {number(at.y - 5)} L{number(tip)} {number(at.y)} "
            f"L{number(at.x)} {number(at.y + 5)}",
            class_="sign",
        ),
    )


def _one(at: Point, outward: int, *, required: bool) -> tuple[Element, ...]:
    def bar(distance: int) -> Element:
        x = number(at.x + outward * distance)
        return el("path", d=f"M{x} {number(at.y - 4)} V{number(at.y + 4)}", class_="sign")

    if required:
        return bar(5), bar(9)
    return bar(5), el("circle", cx=at.x + outward * 11, cy=at.y, r=3, class_="sign")


def _path(points: Sequence[Point]) -> str:
    """A line with its corners rounded."""
    parts = [f"M{number(points[0].x)} {number(points[0].y)}"]
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        by = min(_ROUND, _distance(before, corner) / 2, _distance(corner, after) / 2)
        start, end = _towards(corner, before, by), _towards(corner, after, by)
        parts.append(f"L{number(start.x)} {number(start.y)}")
        parts.append(f"Q{number(corner.x)} {number(corner.y)} {number(end.x)} {number(end.y)}")
    parts.append(f"L{number(points[-1].x)} {number(points[-1].y)}")
    return " ".join(parts)


def _distance(a: Point, b: Point) -> float:
    return abs(a.x - b.x) + abs(a.y - b.y)


def _towards(start: Point, aim: Point, by: float) -> Point:
    whole = _distance(start, aim)
    return Point(start.x + (aim.x - start.x) * by / whole, start.y + (aim.y - start.y) * by / whole)
