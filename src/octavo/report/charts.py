"""The report's small pictures: where the bytes are, how each model grew, how long each phase was."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from octavo.report.boxes import cut
from octavo.report.markup import Element, el

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
