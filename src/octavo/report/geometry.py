"""Where the boxes of a diagram stand and its lines run.

Columns first: what is pointed at is left of what points.  Links that point at one box and mean the same share
a line, a *bundle*; where it has to get past a column, it takes a place in it like a box (a *pass*).  So no
line ever leads through a box.  Then an order that crosses few lines (these are the steps of Sugiyama's
method), then heights: each item as near to its neighbours as the order allows.

Each gap between two columns is a channel, in which every bundle that has to climb gets a lane of its own.
What is promised: no two boxes overlap, no line touches a box that it does not end at, and no two bundles lie
upon each other.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
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
