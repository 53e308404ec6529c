"""Where the boxes of a diagram stand and its lines run.

The columns and the order in them are those of :mod:`octavo.report.layers`.  Then come heights: each item is
as near to its neighbours as the order allows.

Each gap between two columns is a channel, in which every bundle that has to climb gets a lane of its own.
What is promised: no two boxes overlap, no line touches a box that it does not end at, and no two bundles lie
upon each other.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

from octavo.report.layers import Bundle, Layers, Link, Segment, layers

MARGIN = 18
"""room beside a box for the signs at a line's ends"""
LANE = 8
"""between two lanes of a channel"""
GAP = 24
"""between two boxes above each other"""
PASS = 12
"""height of the place that a line takes in a column"""
GRID = 6
_ASPECTS = (1.0, 1.25, 1.5, 1.75)
"""how much wider than tall the boxes would be, laid out without gaps"""
_ROUNDS = 60
_SHIFT = 4
"""how far a pass may leave the middle of its place, so that it stays clear of the next"""
_CLEAR = 4
"""how far apart two lines should run"""


class Point(NamedTuple):
    x: float
    y: float


class Placed(NamedTuple):
    """A box's place."""

    x: int
    y: int
    width: int
    height: int


@dataclass
class Geometry:
    """A diagram, measured from its upper left corner."""

    width: int
    height: int
    boxes: list[Placed]
    routes: list[tuple[Point, ...]]
    """of each link: from the box that it points at to the one that it comes from"""
    bundles: list[Bundle]


def arrange(sizes: Sequence[tuple[int, int]], links: Sequence[Link]) -> Geometry:
    """Place boxes of these widths and heights, and route the links: the clearest of several ways."""
    area = sum((width + 70) * (height + GAP) for width, height in sizes)
    heights = [height + GAP for _, height in sizes]
    tried: list[Geometry] = []
    for aspect in _ASPECTS:
        tallest = max([(area / aspect) ** 0.5, *heights])
        tried.append(_Arranger(sizes, links, layers(heights, links, tallest)).run())
    return min(tried, key=lambda g: g.width * g.height * (20 + crossings(g)))


def crossings(geometry: Geometry) -> int:
    """At how many places two bundles cross."""
    flat: set[tuple[int, float, float, float]] = set()
    steep: set[tuple[int, float, float, float]] = set()
    for number, bundle in enumerate(geometry.bundles):
        for link in bundle.links:
            for a, b in pairwise(geometry.routes[link]):
                if a.y == b.y:
                    flat.add((number, a.y, min(a.x, b.x), max(a.x, b.x)))
                else:
                    steep.add((number, a.x, min(a.y, b.y), max(a.y, b.y)))
    return len(
        {
            (mine, other, x, y)
            for mine, x, top, bottom in steep
            for other, y, left, right in flat
            if mine != other and left < x < right and top < y < bottom
        }
    )


@dataclass
class _Channel:
    """The gap between two columns: where each bundle enters from the left and from the right."""

    left: dict[Bundle, set[int]] = field(default_factory=lambda: defaultdict(set))
    right: dict[Bundle, set[int]] = field(default_factory=lambda: defaultdict(set))
    lanes: dict[Bundle, int] = field(default_factory=dict)

    def bundles(self) -> list[Bundle]:
        """Those that pass here, each once."""
        return list(dict.fromkeys((*self.left, *self.right)))

    def span(self, bundle: Bundle) -> tuple[int, int]:
        ends = (*self.left.get(bundle, ()), *self.right.get(bundle, ()))
        return min(ends), max(ends)


class _Arranger:
    def __init__(self, sizes: Sequence[tuple[int, int]], links: Sequence[Link], made: Layers) -> None:
        self.sizes, self.links, self.made = sizes, links, made
        self.heights = [h for _, h in sizes] + [PASS] * (len(made.rank) - made.boxes)
        self.roots: dict[Bundle, int] = {}
        self.top = [0] * len(made.rank)
        self.lines: dict[int, int] = {}

    def run(self) -> Geometry:
        self._choose_roots()
        self._choose_heights()
        self._choose_lines()
        channels = [self._channel(column) for column in range(len(self.made.order))]
        for channel in channels:
            _choose_lanes(channel)
        return self._drawn(channels)

    def _choose_roots(self) -> None:
        """Where at its parent each bundle ends: below each other, in the order of where they go."""
        place = {item: n for order in self.made.order for n, item in enumerate(order)}
        aims: dict[Bundle, list[int]] = defaultdict(list)
        for segment in (s for segments in self.made.segments for s in segments):
            bundle = segment.bundle
            if bundle.parent == segment.left and not bundle.backward:
                aims[bundle].append(place[segment.right])
            elif bundle.parent == segment.right and bundle.backward:
                aims[bundle].append(place[segment.left])
        sides: dict[tuple[int, bool], list[Bundle]] = defaultdict(list)
        for bundle in self.made.bundles:
            sides[bundle.parent, bundle.backward].append(bundle)
        for bundles in sides.values():
            bundles.sort(key=lambda b: sum(a := aims[b]) / len(a) if aims[b] else 0)
            for n, bundle in enumerate(bundles):
                self.roots[bundle] = 12 if len(bundles) == 1 else GRID + 12 * n

    def _offset(self, item: int, bundle: Bundle, link: int | None) -> int:
        """How far below an item's top a bundle, or one of its links, meets it."""
        if item >= self.made.boxes:
            return PASS // 2
        if link is not None:
            # On a box's right side, links stand a little lower: so no end there faces another one.
            return self.links[link].port + (2 if self.is_right_end(link) else 0)
        return self.roots[bundle] + (2 if bundle.backward else 0)

    def is_right_end(self, link: int) -> bool:
        """Whether a link leaves its box on the right side."""
        return self.made.rank[self.links[link].child] <= self.made.rank[self.links[link].parent]

    def _choose_heights(self) -> None:
        """To and fro over the columns: each item towards where its lines run straight."""
        columns = range(len(self.made.order))
        rough: list[float] = [0.0] * len(self.top)
        for column in columns:
            self._settle(rough, column, ())
        for number in range(_ROUNDS):
            last = number >= _ROUNDS // 2
            for column in columns if number % 2 == 0 else reversed(columns):
                left = self.made.segments[column - 1] if column and (last or number % 2 == 0) else ()
                right = self.made.segments[column] if last or number % 2 else ()
                self._settle(rough, column, [*((s, True) for s in left), *((s, False) for s in right)])
        above = min(rough, default=0)
        for item, top in enumerate(rough):
            # Boxes on the grid, so that no end of a line on their left faces one on their right.
            step = GRID if item < self.made.boxes else 1
            self.top[item] = round((top - above) / step) * step

    def _settle(self, rough: list[float], column: int, pulls: Iterable[tuple[Segment, bool]]) -> None:
        """Place a column's items in their order, as near as can be to where they are pulled (in squares)."""
        wanted: dict[int, list[tuple[float, float]]] = defaultdict(list)
        for segment, to_left in pulls:
            ends = (segment.right, segment.right_link), (segment.left, segment.left_link)
            (here, link), (there, other) = ends if to_left else ends[::-1]
            target = rough[there] + self._offset(there, segment.bundle, other)
            passes = (here >= self.made.boxes) + (there >= self.made.boxes)
            wanted[here].append((target - self._offset(here, segment.bundle, link), (1, 2, 40)[passes]))
        order = self.made.order[column]
        aims, weights, shifts, shift = [], [], [], 0
        for n, item in enumerate(order):
            shift += self._between(order[n - 1], item) if n else 0
            pulled = wanted.get(item) or [(rough[item], 0.05)]
            weight = sum(w for _, w in pulled)
            aims.append(sum(t * w for t, w in pulled) / weight - shift)
            weights.append(weight)
            shifts.append(shift)
        for item, place, by in zip(order, _rising(aims, weights), shifts, strict=True):
            rough[item] = place + by

    def _between(self, above: int, item: int) -> int:
        """From one item's top to the next one's, at least."""
        boxes = (above < self.made.boxes) + (item < self.made.boxes)
        return self.heights[above] + (0, GRID, GAP)[boxes]

    def _choose_lines(self) -> None:
        """Where in its place each pass runs: straight on if it can, and clear of other bundles' lines."""
        for column, order in enumerate(self.made.order):
            before = self._channel(column - 1).left if column else {}
            after = self._channel(column).right
            for item in order:
                if (bundle := self.made.bundle_of.get(item)) is not None:
                    self.lines[item] = self._line(item, bundle, before, after)

    def _line(
        self,
        item: int,
        bundle: Bundle,
        before: dict[Bundle, set[int]],
        after: dict[Bundle, set[int]],
    ) -> int:
        middle = self.top[item] + PASS // 2
        own: list[int] = [*before.get(bundle, ()), *after.get(bundle, ())]
        others = {y for side in (before, after) for b, ys in side.items() if b is not bundle for y in ys}
        choices: list[int] = [y for y in own if abs(y - middle) <= _SHIFT]
        choices += sorted(range(middle - _SHIFT, middle + _SHIFT + 1), key=lambda y: abs(y - middle))

        clear: dict[int, int] = {y: min([_CLEAR, *(abs(y - other) for other in others)]) for y in choices}
        return max(choices, key=clear.__getitem__)

    def _height(self, item: int, bundle: Bundle, link: int | None) -> int:
        return self.lines.get(item, self.top[item] + self._offset(item, bundle, link))

    def _channel(self, column: int) -> _Channel:
        """What enters the gap after a column."""
        channel = _Channel()
        for s in self.made.segments[column]:
            channel.left[s.bundle].add(self._height(s.left, s.bundle, s.left_link))
            channel.right[s.bundle].add(self._height(s.right, s.bundle, s.right_link))
        for bundle in self.made.bundles:
            for link in bundle.links:
                child = self.links[link].child
                if child == bundle.parent and self.made.rank[child] == column:
                    channel.left[bundle].add(self._height(child, bundle, None))
                    channel.left[bundle].add(self._height(child, bundle, link))
        return channel

    def _drawn(self, channels: list[_Channel]) -> Geometry:
        columns, boxes = self.made.order, self.made.boxes
        widths = [max([self.sizes[i][0] for i in order if i < boxes], default=0) for order in columns]
        left, lanes, x = [], [], MARGIN
        for width, channel in zip(widths, channels, strict=True):
            left.append(x)
            lanes.append(x + width + MARGIN)
            x += width + MARGIN * 2 + LANE * (max(channel.lanes.values(), default=0))
        placed = []
        for item in range(boxes):
            column = self.made.rank[item]
            placed.append(Placed(left[column], self.top[item] + GRID, widths[column], self.sizes[item][1]))
        height = max([0, *(t + h for t, h in zip(self.top, self.heights, strict=True))])

        def points(bundle: Bundle, link: int) -> tuple[Point, ...]:
            route = []
            for column, enters, leaves in self._way(bundle, link):
                lane = lanes[column] + LANE * channels[column].lanes[bundle]
                route += [Point(lane, enters + GRID), Point(lane, leaves + GRID)]
            parent, child = placed[bundle.parent], placed[self.links[link].child]
            start = parent.x if bundle.backward else parent.x + parent.width
            end = child.x + child.width if self.is_right_end(link) else child.x
            return _plain([Point(start, route[0].y), *route, Point(end, route[-1].y)])

        routes: list[tuple[Point, ...]] = [()] * len(self.links)
        for bundle in self.made.bundles:
            for link in bundle.links:
                routes[link] = points(bundle, link)
        return Geometry(x, height + 2 * GRID, placed, routes, self.made.bundles)

    def _way(self, bundle: Bundle, link: int) -> Iterator[tuple[int, int, int]]:
        """The channels that a link leads through from its parent on: each with the heights at its ends."""
        rank = self.made.rank
        home, aim = rank[bundle.parent], rank[self.links[link].child]
        here = self._height(bundle.parent, bundle, None)
        end = self._height(self.links[link].child, bundle, link)
        if bundle.backward:
            for column in range(home - 1, aim, -1):
                there = self._height(bundle.passes[column], bundle, None)
                yield column, here, there
                here = there
            yield aim, here, end
            return
        for column in range(home, aim - 1):
            there = self._height(bundle.passes[column + 1], bundle, None)
            yield column, here, there
            here = there
        yield max(aim - 1, home), here, end


def _rising(aims: Sequence[float], weights: Sequence[float]) -> list[float]:
    """The rising numbers that are nearest to these (isotonic regression, by pooling neighbours)."""
    pools: list[tuple[float, float, int]] = []
    for aim, weight in zip(aims, weights, strict=True):
        mean, total, count = aim, weight, 1
        while pools and pools[-1][0] > mean:
            other, by, many = pools.pop()
            mean, total, count = (mean * total + other * by) / (total + by), total + by, count + many
        pools.append((mean, total, count))
    return [mean for mean, _, count in pools for _ in range(count)]


def _choose_lanes(channel: _Channel) -> None:
    """A lane for each bundle: an order in which few lines cross, then as far to the left as it allows."""
    order = sorted(channel.bundles(), key=channel.span)
    cost = {(a, b): _crossed(channel, a, b) for a in order for b in order if a is not b}
    improved = True
    while improved:
        improved = False
        for n in range(len(order) - 1):
            for m in range(n + 1, len(order)):
                moved = [*order[:n], *order[n + 1 : m + 1], order[n], *order[m + 1 :]]
                gain = sum(cost[order[n], b] - cost[b, order[n]] for b in order[n + 1 : m + 1])
                if gain > 0:
                    order, improved = moved, True
                    break
            if improved:
                break
    for n, bundle in enumerate(order):
        low, high = channel.span(bundle)
        if low == high:
            channel.lanes[bundle] = 0
            continue
        beside = [
            channel.lanes[b]
            for b in order[:n]
            if (span := channel.span(b))[0] - GRID <= high and span[1] + GRID >= low and span[0] < span[1]
        ]
        channel.lanes[bundle] = max(beside, default=-1) + 1


def _crossed(channel: _Channel, first: Bundle, second: Bundle) -> int:
    """How often two bundles cross if the first has its lane left of the second's.

    Where an end of one faces an end of the other, they would lie upon each other: that counts for many.
    """
    a, b = channel.span(first), channel.span(second)
    crossings = sum(a[0] <= y <= a[1] for y in channel.left.get(second, ()))
    crossings += sum(b[0] <= y <= b[1] for y in channel.right.get(first, ()))
    facing = channel.left.get(second, set()) & channel.right.get(first, set())
    return crossings + 1000 * len(facing)


def _plain(points: list[Point]) -> tuple[Point, ...]:
    """A line without the points that it passes straight."""
    kept: list[Point] = []
    for point in points:
        if kept and kept[-1] == point:
            continue
        if len(kept) >= 2 and (kept[-2].x == kept[-1].x == point.x or kept[-2].y == kept[-1].y == point.y):
            kept.pop()
        kept.append(point)
    return tuple(kept)
