"""Elements of HTML and SVG, built as a tree: writing the tree escapes the text, never the caller.

Of them the report's small pictures are made: where the bytes are, how each model grew, how long each phase
was.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias
from xml.etree.ElementTree import Element, tostring

Child: TypeAlias = "Element | str | int | Iterable[Element | str | int | None] | None"
Attribute: TypeAlias = "str | float | bool | None"

MOST = 24
"""characters of a name or a row; a longer one is cut, and shown whole by its title"""
_TURNS = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")


def el(tag: str, *children: Child, **attributes: Attribute) -> Element:
    """An element with its children; None is no child.

    An attribute's ``_`` stands for ``-``, one at its end for nothing (``class_``); one that is None or False
    is left out, one that is True is empty.
    """
    made = Element(tag)
    for name, value in attributes.items():
        if value is None or value is False:
            continue
        shown = "" if value is True else value if isinstance(value, str) else number(value)
        made.set(name.rstrip("_").replace("_", "-"), clean(shown))
    for child in children:
        if isinstance(child, Element | str | int) or child is None:
            _add(made, child)
        else:
            for part in child:
                _add(made, part)
    return made


def _add(parent: Element, child: Element | str | int | None) -> None:
    if isinstance(child, Element):
        parent.append(child)
    elif child is not None:
        text = clean(str(child))
        if len(parent):
            parent[-1].tail = (parent[-1].tail or "") + text
        else:
            parent.text = (parent.text or "") + text


def data(text: str, tag: str = "bdi", **attributes: Attribute) -> Element:
    """Text that comes from data, set apart so that its direction of writing ends where it ends."""
    return el(tag, text, dir=None if tag == "bdi" else "auto", **attributes)


def clean(text: str) -> str:
    """Text with control characters as escapes: those that no page can hold, and those that turn the direction
    of writing, which an element around them cannot contain."""
    return "".join(ascii(c)[1:-1] if _is_control(c) and c not in "\n\t" else c for c in text)


def _is_control(character: str) -> bool:
    return unicodedata.category(character) in ("Cc", "Cs") or unicodedata.bidirectional(character) in _TURNS


def moment(time: datetime) -> Element:
    """A moment in UTC, for people and for machines."""
    return el("time", f"{time:%Y-%m-%d %H:%M} UTC", datetime=time.isoformat())


def number(value: float) -> str:
    """A coordinate with at most two decimals."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def cut(text: str, most: int = MOST) -> str:
    """The beginning of a text that would be too wide."""
    if cells(text) <= most:
        return text
    while cells(text) >= most:
        text = text[:-1]
    return text + "…"


def cells(text: str) -> int:
    """How many characters of a typewriter a text is wide."""
    return sum(_cell(c) for c in text)


def _cell(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


_SIGNS = {
    "good": ("M4 9 L8 13 L14 5", "good"),
    "bad": ("M5 5 L13 13 M13 5 L5 13", "bad"),
    "unknown": ("M5 9 H13", "unknown"),
}


def mark(verdict: str, words: str = "") -> Element:
    """A verdict as a sign in its colour, and in words."""
    path, name = _SIGNS.get(verdict, _SIGNS["unknown"])
    return el(
        "span",
        el("svg", el("path", d=path), viewBox="0 0 18 18", width=18, height=18, aria_hidden="true"),
        el("span", words or verdict),
        class_=f"mark {name}",
    )


def table(
    head: Sequence[str], rows: Iterable[Sequence[Child]], label: str, *, numbers: Sequence[int] = ()
) -> Element:
    """A table that scrolls by itself where the page is too narrow; ``numbers`` stand to the right."""

    def cell(column: int, child: Child, tag: str) -> Element:
        return el(tag, child, class_="number" if column in numbers else None)

    return el(
        "div",
        el(
            "table",
            el("thead", el("tr", *(cell(n, title, "th") for n, title in enumerate(head)))),
            el("tbody", *(el("tr", *(cell(n, child, "td") for n, child in enumerate(row))) for row in rows)),
        ),
        class_="scroll",
        role="region",
        aria_label=label,
        tabindex="0",
    )


def folded(title: str, *children: Child, printed: bool = False) -> Element:
    """Details that are opened on demand; on paper they are there if they are to be ``printed``."""
    return el("details", el("summary", title), *children, class_="printed" if printed else None)


def document(root: Element) -> str:
    return "<!doctype html>\n" + tostring(root, encoding="unicode", method="html") + "\n"


_SPARK = (180, 44)
_EDGE = 4
_CELL = 7.4
"""width of a character in a treemap, at most"""
_BAND = 28


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a whole: its name, its share, what is said about it, and its colour's class."""

    name: str
    size: float
    said: str
    colour: str


def treemap(parts: Iterable[Part], width: int, height: int, label: str, *, class_: str) -> Element:
    """Rectangles whose areas are as the parts' sizes, each as near to a square as they allow."""
    ordered = sorted((p for p in parts if p.size > 0), key=lambda p: -p.size)
    cells = []
    for part, (x, y, w, h) in zip(ordered, squarified([p.size for p in ordered], width, height), strict=True):
        room = int((w - 16) / _CELL)
        texts = []
        if room >= 6 and h >= 24:
            texts.append(el("text", cut(part.name, room), x=x + 8, y=y + 18, class_="name"))
            if h >= 42:
                texts.append(el("text", cut(part.said, room), x=x + 8, y=y + 35, class_="said"))
        cells.append(
            el(
                "g",
                el("title", f"{part.name}: {part.said}"),
                el("rect", x=x + 1, y=y + 1, width=max(w - 2, 0.5), height=max(h - 2, 0.5), rx=3),
                *texts,
                class_=part.colour,
            )
        )
    return picture(cells, width, height, label, class_=f"treemap {class_}")


def squarified(
    sizes: Sequence[float], width: float, height: float
) -> Iterator[tuple[float, float, float, float]]:
    """Rectangles (x, y, width, height) that fill an area, for sizes from the largest to the smallest.

    Each row along the shorter side takes one more as long as that makes its worst rectangle squarer (Bruls,
    Huizing and van Wijk).
    """
    scale = width * height / sum(sizes) if sizes else 0.0
    areas = [size * scale for size in sizes]
    x = y = 0.0
    while areas:
        side = min(width, height)
        row = 1
        while row < len(areas) and _worst(areas[: row + 1], side) <= _worst(areas[:row], side):
            row += 1
        taken, areas = areas[:row], areas[row:]
        depth = sum(taken) / side if side else 0.0
        along = 0.0
        for area in taken:
            length = area / depth if depth else 0.0
            yield (x, y + along, depth, length) if width >= height else (x + along, y, length, depth)
            along += length
        if width >= height:
            x, width = x + depth, max(width - depth, 0.0)
        else:
            y, height = y + depth, max(height - depth, 0.0)


def _worst(row: Sequence[float], side: float) -> float:
    """How far from a square the worst rectangle of a row is."""
    total = sum(row)
    if not total or not side:
        return float("inf")
    return max(side**2 * max(row) / total**2, total**2 / (side**2 * min(row)) if min(row) else float("inf"))


def sparkline(points: Sequence[tuple[datetime, int]], label: str) -> Element:
    """A line of numbers over time, from nought upwards; one point alone is a dot."""
    width, height = _SPARK
    first, last = points[0][0], points[-1][0]
    seconds = (last - first).total_seconds() or 1.0
    most = max(number for _, number in points) or 1

    def place(time: datetime, number: int) -> tuple[float, float]:
        share = (time - first).total_seconds() / seconds if len(points) > 1 and last > first else 1.0
        return _EDGE + share * (width - 2 * _EDGE), height - _EDGE - number / most * (height - 2 * _EDGE)

    places = [place(*point) for point in points]
    drawn: list[Element] = [
        el("line", x1=0, y1=height - 1, x2=width, y2=height - 1, class_="base"),
    ]
    if len(places) > 1:
        line = " ".join(f"{'L' if n else 'M'}{x:.1f} {y:.1f}" for n, (x, y) in enumerate(places))
        area = f"{line} L{places[-1][0]:.1f} {height - 1} L{places[0][0]:.1f} {height - 1} z"
        drawn += [el("path", d=area, class_="area"), el("path", d=line, class_="trend")]
    drawn.append(el("circle", cx=round(places[-1][0], 1), cy=round(places[-1][1], 1), r=3, class_="dot"))
    return picture(drawn, width, height, label, class_="spark")


@dataclass(frozen=True, slots=True)
class Stretch:
    """A stretch of time."""

    name: str
    begin: datetime
    end: datetime
    colour: str


def bands(rows: Mapping[str, Sequence[Stretch]], width: int, label: str) -> Element:
    """Stretches of time as bands below each other, all to one scale."""
    every = [stretch for row in rows.values() for stretch in row]
    first, last = min(s.begin for s in every), max(s.end for s in every)
    seconds = (last - first).total_seconds() or 1.0
    left, drawn = 90, []
    for number, (name, row) in enumerate(rows.items()):
        y = number * (_BAND + 8)
        drawn.append(el("text", name, x=0, y=y + 19, class_="said"))
        for s in row:
            x = left + (s.begin - first).total_seconds() / seconds * (width - left)
            w = max((s.end - s.begin).total_seconds() / seconds * (width - left), 2)
            room = int((w - 12) / _CELL)
            drawn.append(
                el(
                    "g",
                    el("title", f"{s.name}: from {s.begin:%Y-%m-%d %H:%M} to {s.end:%Y-%m-%d %H:%M} UTC"),
                    el("rect", x=x, y=y, width=max(w - 2, 1.5), height=_BAND, rx=3),
                    el("text", s.name, x=x + 8, y=y + 19, class_="name") if len(s.name) <= room else None,
                    class_=s.colour,
                )
            )
    return picture(drawn, width, len(rows) * (_BAND + 8), label, class_="bands")


def picture(children: Iterable[Element], width: int, height: int, label: str, *, class_: str) -> Element:
    """An SVG that says what it shows."""
    return el(
        "svg",
        el("title", label),
        *children,
        class_=class_,
        role="img",
        aria_label=label,
        viewBox=f"0 0 {width} {height}",
        width=width,
        height=height,
    )
