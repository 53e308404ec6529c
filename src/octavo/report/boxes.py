"""What stands in a model's box: its name, then a row for its key, for each unique, for each foreign key."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from octavo.schema.datamodel import Datamodel, Model, Relation

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
MOST = 24
"""characters of a name or a row; a longer one is cut, and shown whole by its title"""


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
    width = max([PADDING * 2 + _cells(cut(model.name)) * HEAD_CELL, *(_row_width(row) for row in rows)])
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
    return LABEL + PADDING + _cells(row.text) * CELL


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


def cut(text: str, most: int = MOST) -> str:
    """The beginning of a text that would be too wide."""
    if _cells(text) <= most:
        return text
    while _cells(text) >= most:
        text = text[:-1]
    return text + "…"


def _cells(text: str) -> int:
    """How many characters of a typewriter a text is wide."""
    return sum(_cell(c) for c in text)


def _cell(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
