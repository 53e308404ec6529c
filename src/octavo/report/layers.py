"""In which column each box of a diagram stands, and in which order: the first steps of Sugiyama's method.

What is pointed at is left of what points.  Links that point at one box and mean the same share a line, a
*bundle*; where it has to get past a column, it takes a place in it like a box (a *pass*).  So no line ever
leads through a box.  The order is one that crosses few lines.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from random import Random
from typing import NamedTuple

_SWEEPS = 16
_TRIES = 24
_EFFORT = 1500
"""pieces of lines over all tries: the more there are, the fewer tries"""


class Link(NamedTuple):
    """A line to be drawn from one box, at a height below its top, to the box that it points at."""

    child: int
    parent: int
    port: int
    meaning: Hashable
    """links with the same parent and meaning share a line"""


@dataclass(eq=False)
class Bundle:
    """Links that share a line.  ``backward``: the parent stands right of the children, as in a cycle."""

    parent: int
    backward: bool
    links: list[int] = field(default_factory=list)
    passes: dict[int, int] = field(default_factory=dict)
    """by column, the item that is its place there"""


class Segment(NamedTuple):
    """A piece of a bundle from one column to the next, between two items."""

    left: int
    right: int
    bundle: Bundle
    left_link: int | None
    """the link that ends here; None: it is the bundle's own line"""
    right_link: int | None


@dataclass
class Layers:
    """Items are numbered: first the boxes, then the passes."""

    boxes: int
    rank: list[int]
    """each item's column"""
    bundles: list[Bundle]
    order: list[list[int]]
    """the items of each column, from the top"""
    segments: list[list[Segment]]
    """between each column and the next"""

    @cached_property
    def bundle_of(self) -> dict[int, Bundle]:
        """Whose place an item is, if it is a pass."""
        return {item: bundle for bundle in self.bundles for item in bundle.passes.values()}


def layers(heights: Sequence[int], links: Sequence[Link], tallest: float) -> Layers:
    """Columns, none of them taller than ``tallest`` if that can be, and the order in them."""
    rank = _ranks(heights, links, tallest)
    made = _with_passes(rank, links)
    _order(made)
    return made


def _ranks(heights: Sequence[int], links: Sequence[Link], tallest: float) -> list[int]:
    """Each box in the first column that is right of all its parents and has room.

    Of the boxes whose parents are placed, the one with the longest line of descendants is next; in a cycle,
    the one that waits for the fewest.
    """
    around: dict[int, set[int]] = defaultdict(set)
    waits: dict[int, set[int]] = {box: set() for box in range(len(heights))}
    for link in links:
        if link.child != link.parent:
            around[link.child].add(link.parent)
            around[link.parent].add(link.child)
            waits[link.child].add(link.parent)
    children: dict[int, set[int]] = defaultdict(set)
    for child, parents in waits.items():
        for parent in parents:
            children[parent].add(child)
    depth = _depths(len(heights), children)
    rank: dict[int, int] = {}
    filled: list[int] = []
    while waits:
        box = min(waits, key=lambda b: (len(waits[b]), not around[b], -depth[b], b))
        del waits[box]
        for child in children[box]:
            if child in waits:
                waits[child].discard(box)
        column = max((rank[other] + 1 for other in around[box] if other in rank), default=0)
        while column < len(filled) and filled[column] and filled[column] + heights[box] > tallest:
            column += 1
        filled.extend([0] * (column + 1 - len(filled)))
        filled[column] += heights[box]
        rank[box] = column
    return [rank[box] for box in range(len(heights))]


def _depths(count: int, children: dict[int, set[int]]) -> list[int]:
    """How many boxes stand in the longest line of descendants; what leads back in a cycle is not followed."""
    depth: dict[int, int] = {}
    for start in range(count):
        pending = [start]
        under_way: set[int] = set()
        while pending:
            box = pending[-1]
            new = [c for c in sorted(children[box]) if c not in depth and c not in under_way]
            if box not in depth and box not in under_way and new:
                under_way.add(box)
                pending += new
                continue
            pending.pop()
            if box not in depth:
                depth[box] = max((depth[c] + 1 for c in children[box] if c in depth), default=0)
    return [depth[box] for box in range(count)]


def _with_passes(rank: list[int], links: Sequence[Link]) -> Layers:
    found: dict[tuple[int, Hashable, bool], Bundle] = {}
    for number, link in enumerate(links):
        backward = rank[link.child] < rank[link.parent]
        bundle = found.setdefault(
            (link.parent, link.meaning, backward), Bundle(parent=link.parent, backward=backward)
        )
        bundle.links.append(number)
    bundles = list(found.values())
    rank = list(rank)
    boxes = len(rank)
    for bundle in bundles:
        home = rank[bundle.parent]
        far = [rank[links[n].child] for n in bundle.links]
        between = range(min(far) + 1, home) if bundle.backward else range(home + 1, max(far))
        for column in between:
            bundle.passes[column] = len(rank)
            rank.append(column)
    columns = max(rank, default=-1) + 1
    made = Layers(boxes, rank, bundles, [[] for _ in range(columns)], [[] for _ in range(columns)])
    for item, column in enumerate(rank):
        made.order[column].append(item)
    for bundle in bundles:
        _add_segments(made, bundle, links)
    return made


def _add_segments(made: Layers, bundle: Bundle, links: Sequence[Link]) -> None:
    """The pieces of a bundle: from its parent from column to column, and from there to each child."""
    home = made.rank[bundle.parent]
    line = {home: bundle.parent, **bundle.passes}
    for column, item in sorted(line.items()):
        if column + 1 in line:
            made.segments[column].append(Segment(item, line[column + 1], bundle, None, None))
    for number in bundle.links:
        child = links[number].child
        column = made.rank[child]
        if bundle.backward:
            made.segments[column].append(Segment(child, line[column + 1], bundle, number, None))
        elif column > home:
            made.segments[column - 1].append(Segment(line[column - 1], child, bundle, None, number))


def _order(made: Layers) -> None:
    """Order each column by where its neighbours stand, to and fro, and keep the order that crosses least.

    Where that leads depends on where it begins, so it is tried from several orders, the same ones each time.
    """
    shuffled = Random(1)
    best, fewest = [list(column) for column in made.order], _crossings(made)
    tries = max(1, min(_TRIES, _EFFORT // (1 + sum(map(len, made.segments)))))
    for number in range(tries):
        if number:
            for column in made.order:
                shuffled.shuffle(column)
        for sweep in range(_SWEEPS):
            forward = sweep % 2 == 0
            columns = range(1, len(made.order)) if forward else range(len(made.order) - 2, -1, -1)
            for n in columns:
                _by_neighbours(made, n, to_left=forward)
            _exchange(made)
            crossings = _crossings(made)
            if crossings < fewest:
                best, fewest = [list(column) for column in made.order], crossings
            if fewest == 0:
                break
    made.order = best


def _by_neighbours(made: Layers, column: int, *, to_left: bool) -> None:
    beside = made.order[column - 1 if to_left else column + 1]
    place = {item: n / max(len(beside), 1) for n, item in enumerate(beside)}
    wanted: dict[int, list[float]] = defaultdict(list)
    for segment in made.segments[column - 1 if to_left else column]:
        here, there = (segment.right, segment.left) if to_left else (segment.left, segment.right)
        wanted[here].append(place[there])
    current = made.order[column]
    own = {item: n / len(current) for n, item in enumerate(current)}
    # What has no neighbour there stays about where it is.
    mean = {item: sum(w) / len(w) if (w := wanted.get(item)) else own[item] for item in current}
    made.order[column] = sorted(current, key=lambda item: (mean[item], own[item]))


def _exchange(made: Layers) -> None:
    """Let neighbours change places wherever fewer lines cross then."""
    for column, order in enumerate(made.order):
        ends: dict[int, tuple[list[int], list[int]]] = {item: ([], []) for item in order}
        if column > 0:
            place = {item: n for n, item in enumerate(made.order[column - 1])}
            for segment in made.segments[column - 1]:
                ends[segment.right][0].append(place[segment.left])
        if column + 1 < len(made.order):
            place = {item: n for n, item in enumerate(made.order[column + 1])}
            for segment in made.segments[column]:
                ends[segment.left][1].append(place[segment.right])
        changed = True
        while changed:
            changed = False
            for n in range(len(order) - 1):
                above, below = ends[order[n]], ends[order[n + 1]]
                if sum(_cross(below[s], above[s]) - _cross(above[s], below[s]) for s in (0, 1)) < 0:
                    order[n], order[n + 1] = order[n + 1], order[n]
                    changed = True


def _cross(above: list[int], below: list[int]) -> int:
    """How many lines of an upper item cross those of a lower one, given where they end."""
    return sum(a > b for a in above for b in below)


def _crossings(made: Layers) -> int:
    total = 0
    for column, segments in enumerate(made.segments[:-1]):
        left = {item: n for n, item in enumerate(made.order[column])}
        right = {item: n for n, item in enumerate(made.order[column + 1])}
        seen: list[int] = []
        for _, end in sorted((left[s.left], right[s.right]) for s in segments):
            total += len(seen) - bisect_right(seen, end)
            insort(seen, end)
    return total
