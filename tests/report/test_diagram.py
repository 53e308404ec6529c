"""A diagram shows every table and foreign key of any schema, and nothing in it lies upon anything else."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import combinations, pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from octavo.errors import SchemaError
from octavo.report.diagram import HEAD, ROW, Diagram, boxes, diagram, drawn, highlighting, legend
from octavo.report.geometry import Geometry, Placed, Point, arrange, crossings
from octavo.report.layers import Bundle, Link
from octavo.report.markup import MOST, cut, document
from octavo.schema.datamodel import Datamodel
from octavo.schema.parser import parse_schema
from octavo.schema.texts import frozen_schema
from octavo.store.decoded import load_datamodel
from schema_gen import generate

HERE = Path(__file__).parents[1] / "schema"
SCHEMAS = [*sorted((HERE / "data").glob("*.prisma")), *sorted((HERE / "schemas").glob("*.prisma"))]
CONFIG = 'datasource db {\n  provider = "postgresql"\n  url = "postgres://x"\n}\n'


def chain(models: int) -> Datamodel:
    """Models of which each points at the one before, and all at the first."""
    text = [CONFIG]
    for n in range(models):
        lines = ["  id Int @id"]
        if n:
            lines += [f'  prior Int\n  p M{n - 1} @relation(name: "p{n}", fields: [prior], references: [id])']
            lines += [f'  root Int?\n  r M0? @relation(name: "r{n}", fields: [root], references: [id])']
        if n + 1 < models:
            lines.append(f'  next M{n + 1}[] @relation(name: "p{n + 1}")')
        if n == 0:
            lines += [f'  all{k} M{k}[] @relation(name: "r{k}")' for k in range(1, models)]
        text.append(f"model M{n} {{\n{chr(10).join(lines)}\n}}\n")
    return parse_schema("\n".join(text))


def star(models: int) -> Datamodel:
    """Models that all point at the first."""
    back = "\n".join(f"  a{n} M{n}[]" for n in range(1, models))
    rest = "\n".join(
        f"model M{n} {{\n  id Int @id\n  h Int\n  hub M0 @relation(fields: [h], references: [id])\n}}"
        for n in range(1, models)
    )
    return parse_schema(f"{CONFIG}model M0 {{\n  id Int @id\n{back}\n}}\n{rest}\n")


def alone(models: int) -> Datamodel:
    """Models that know nothing of each other."""
    return parse_schema(CONFIG + "".join(f"model M{n} {{\n  id Int @id\n}}\n" for n in range(models)))


def check(geometry: Geometry, links: list[Link]) -> None:
    """What the geometry promises."""
    for box in geometry.boxes:
        assert box.x >= 0
        assert box.y >= 0
        assert box.x + box.width <= geometry.width
        assert box.y + box.height <= geometry.height
    for a, b in combinations(geometry.boxes, 2):
        assert a.x + a.width < b.x or b.x + b.width < a.x or a.y + a.height < b.y or b.y + b.height < a.y
    for link, route in zip(links, geometry.routes, strict=True):
        _check_route(geometry, link, route)
    _check_apart(geometry)


def _check_route(geometry: Geometry, link: Link, route: tuple[Point, ...]) -> None:
    parent, child = geometry.boxes[link.parent], geometry.boxes[link.child]
    assert route[0].x in (parent.x, parent.x + parent.width)
    assert parent.y < route[0].y < parent.y + parent.height
    assert route[-1].x in (child.x, child.x + child.width)
    assert abs(route[-1].y - (child.y + link.port)) <= 2
    for a, b in pairwise(route):
        assert a != b
        assert a.x == b.x or a.y == b.y
        assert 0 <= min(a.x, b.x) <= max(a.x, b.x) <= geometry.width
        assert 0 <= min(a.y, b.y) <= max(a.y, b.y) <= geometry.height
        for box in geometry.boxes:
            assert not _goes_through(a, b, box)


def _goes_through(a: Point, b: Point, box: Placed) -> bool:
    return (
        min(a.x, b.x) < box.x + box.width
        and max(a.x, b.x) > box.x
        and min(a.y, b.y) <= box.y + box.height
        and max(a.y, b.y) >= box.y
    )


def _check_apart(geometry: Geometry) -> None:
    """No two bundles share a stretch: where they meet, they cross."""
    flat: dict[float, list[tuple[float, float, Bundle]]] = {}
    steep: dict[float, list[tuple[float, float, Bundle]]] = {}
    for bundle in geometry.bundles:
        for link in bundle.links:
            for a, b in pairwise(geometry.routes[link]):
                if a.y == b.y:
                    flat.setdefault(a.y, []).append((min(a.x, b.x), max(a.x, b.x), bundle))
                else:
                    steep.setdefault(a.x, []).append((min(a.y, b.y), max(a.y, b.y), bundle))
    for lines in (*flat.values(), *steep.values()):
        for (begin, end, mine), (other_begin, other_end, other) in combinations(lines, 2):
            assert mine is other or end <= other_begin or other_end <= begin


def checked(datamodel: Datamodel) -> Diagram:
    made = diagram(datamodel)
    place = {box.name: n for n, box in enumerate(made.boxes)}
    ports = {box.name: iter(box.ports) for box in made.boxes}
    check(
        made.geometry, [Link(place[k.child], place[k.parent], next(ports[k.child]), None) for k in made.keys]
    )
    return made


@pytest.mark.parametrize("path", SCHEMAS, ids=lambda path: path.stem)
def test_any_schema_is_laid_out_without_anything_upon_anything_else(path: Path) -> None:
    datamodel = load_datamodel(None, path)
    made = checked(datamodel)
    assert [box.name for box in made.boxes] == [model.name for model in datamodel.tables]
    assert len(made.keys) == len(datamodel.foreign_keys)


@pytest.mark.parametrize("make", [chain, star, alone])
@pytest.mark.parametrize("models", [1, 2, 100])
def test_one_model_or_a_hundred(make: Callable[[int], Datamodel], models: int) -> None:
    made = checked(make(models))
    assert len(made.boxes) == models
    # Neither a tower nor a ribbon.
    if models == 100 and make is not chain:
        assert 0.3 < made.geometry.width / made.geometry.height < 3


def test_the_frozen_schema_fits_a_page_and_crosses_few_lines() -> None:
    made = checked(frozen_schema())
    assert made.geometry.width < 1500
    assert made.geometry.height < 1200
    assert crossings(made.geometry) < 40


def test_what_is_pointed_at_is_on_the_left_where_there_is_no_cycle() -> None:
    made = diagram(frozen_schema())
    left = {box.name: placed.x for box, placed in zip(made.boxes, made.geometry.boxes, strict=True)}
    assert all(left[key.parent] < left[key.child] for key in made.keys)


def test_cycles_and_models_that_point_at_themselves() -> None:
    checked(
        parse_schema(
            CONFIG
            + """
            model A {
              id Int @id
              b Int
              toB B @relation("ab", fields: [b], references: [id])
              fromB B[] @relation("ba")
              self Int?
              to A? @relation("aa", fields: [self], references: [id], onDelete: NoAction, onUpdate: NoAction)
              from A[] @relation("aa")
            }
            model B {
              id Int @id
              a Int @unique
              toA A @relation("ba", fields: [a], references: [id], onDelete: NoAction, onUpdate: NoAction)
              fromA A[] @relation("ab")
            }
            """
        )
    )


def test_a_schema_without_models() -> None:
    made = checked(parse_schema(CONFIG))
    assert made.boxes == ()
    assert "<svg" in document(drawn(made, {}))
    assert highlighting(made) == ""


@st.composite
def graphs(draw: st.DrawFn) -> tuple[list[tuple[int, int]], list[Link]]:
    """Boxes of some sizes, and links between any of them, themselves included."""
    count = draw(st.integers(1, 14))
    box = st.integers(0, count - 1)
    pairs = draw(st.lists(st.tuples(box, box, st.integers(0, 4)), max_size=30))
    above = draw(st.lists(st.integers(0, 4), min_size=count, max_size=count))
    widths = draw(st.lists(st.integers(10, 30), min_size=count, max_size=count))
    rows = list(above)
    links = []
    for child, parent, meaning in pairs:
        links.append(Link(child, parent, HEAD + rows[child] * ROW + ROW // 2, meaning))
        rows[child] += 1
    sizes = [(6 * widths[n], max(HEAD + ROW * rows[n] + 6, 60)) for n in range(count)]
    return sizes, links


@settings(max_examples=60, deadline=None)
@given(graphs())
def test_any_boxes_and_links(graph: tuple[list[tuple[int, int]], list[Link]]) -> None:
    sizes, links = graph
    geometry = arrange(sizes, links)
    assert all(
        box.width >= width and box.height == h for box, (width, h) in zip(geometry.boxes, sizes, strict=True)
    )
    check(geometry, links)
    again = arrange(sizes, links)
    assert (again.boxes, again.routes) == (geometry.boxes, geometry.routes)


def dense(seed: int) -> tuple[list[tuple[int, int]], list[Link]]:
    """Many boxes with many links, few of which lead back."""
    rng = random.Random(seed)
    count = rng.randint(8, 24)
    rows = [rng.randint(0, 3) for _ in range(count)]
    links = []
    for _ in range(rng.randint(count, 3 * count)):
        child = rng.randrange(count)
        parent = max(0, child - rng.randint(1, 8)) if rng.random() < 0.95 else rng.randrange(count)
        links.append(Link(child, parent, HEAD + rows[child] * ROW + ROW // 2, rng.randint(0, 4)))
        rows[child] += 1
    return [(6 * rng.randint(10, 30), max(HEAD + ROW * row + 6, 60)) for row in rows], links


@pytest.mark.parametrize("seed", [7, 41, 201, 281])
def test_where_lines_would_lie_upon_each_other_they_step_aside(seed: int) -> None:
    """With these, they would, if a pass could not leave its middle or lanes were in any order."""
    sizes, links = dense(seed)
    check(arrange(sizes, links), links)


@pytest.mark.slow
@given(st.integers(0, 2**32))
@settings(max_examples=300, deadline=None)
def test_many_dense_diagrams(seed: int) -> None:
    sizes, links = dense(seed)
    check(arrange(sizes, links), links)


@pytest.mark.slow
@settings(max_examples=3000, deadline=None)
@given(graphs())
def test_many_boxes_and_links(graph: tuple[list[tuple[int, int]], list[Link]]) -> None:
    check(arrange(*graph), graph[1])


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**9))
def test_schemas_made_at_random(seed: int) -> None:
    try:
        datamodel = parse_schema(generate(random.Random(seed).randrange(10**9), spice=0))
    except SchemaError:
        return
    made = checked(datamodel)
    document(drawn(made, {}))
    legend(made)


def test_a_box_names_its_key_its_uniques_and_its_foreign_keys() -> None:
    box = next(box for box in boxes(frozen_schema()) if box.name == "ImageProfile")
    assert [(row.kind.value, row.text) for row in box.rows] == [
        ("PK", "id"),
        ("U", "userId, name"),
        ("FK", "userId"),
        ("FK", "apiKeyId?"),
        ("", "7 other fields"),
    ]
    assert "on delete: SetNull, on update: Cascade" in box.rows[3].title
    assert box.ports == (HEAD + 2 * ROW + ROW // 2, HEAD + 3 * ROW + ROW // 2)


def test_long_and_wide_names_are_cut_to_what_fits() -> None:
    assert cut("x" * MOST) == "x" * MOST
    assert cut("x" * 500) == "x" * (MOST - 1) + "…"
    assert cut("名" * 500) == "名" * (MOST // 2 - 1) + "…"
