"""jsonb's text, equality and order are PostgreSQL's own."""

# The tables' rows are long.
# ruff: noqa: E501

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from octavo.postgres.connection import Connection, connect
from octavo.postgres.embedded import EmbeddedServer
from octavo.values.json import at_path, contains, equality_key, json_text, jsonb_text, order_key

TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=6)
NUMBERS = st.one_of(
    st.integers(),
    st.decimals(allow_nan=False, allow_infinity=False, min_value=-1000, max_value=1000, places=3),
    st.floats(allow_nan=False, allow_infinity=False, width=32),
)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXTS, inner, max_size=4)),
    max_leaves=12,
)
quick = settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@pytest.fixture(scope="module")
def postgres(server: EmbeddedServer) -> Iterator[Connection]:
    with connect(server.create_database("jsonb", locale="C")) as connection:
        yield connection
    server.drop_database("jsonb")


def one(connection: Connection, query: str, *values: str) -> Any:
    row = connection.execute(query, values).fetchone()
    assert row is not None
    return row[0]


def spelled(value: Any, ascii_only: bool) -> str:
    """JSON by another writer, with its own spelling of strings."""
    return json.dumps(value, default=float, ensure_ascii=ascii_only)


@quick
@given(value=VALUES, ascii_only=st.booleans())
def test_jsonb_is_printed_as_postgresql_prints_it(postgres: Connection, value: Any, ascii_only: bool) -> None:
    plain, other = json_text(value), spelled(value, ascii_only)
    # A backslash before u0000 is read the careful way.
    for text in (plain, other, rf'{{"a": [{other}, "\\u0000"], "": {plain}}}'):
        assert jsonb_text(text.encode()).decode() == one(postgres, "SELECT (%s::jsonb)::text", text)


@quick
@given(
    text=st.from_regex(r"\A-?(0|[1-9][0-9]{0,6})(\.[0-9]{1,6})?([eE][+-]?[0-9]{1,3})?\Z"),
)
@example("-0")
@example("-0.00")
@example("0e5")
@example("1.50e1")
@example("1e-16383")
@example("1e131071")
def test_numbers_are_written_out(postgres: Connection, text: str) -> None:
    assert jsonb_text(text.encode()).decode() == one(postgres, "SELECT (%s::jsonb)::text", text)


@pytest.mark.parametrize("text", ["1e131072", "1e-16384", "0e-16384", "1e99999999999"])
def test_numbers_that_numeric_cannot_hold_are_refused(postgres: Connection, text: str) -> None:
    with pytest.raises(psycopg.Error):
        one(postgres, "SELECT (%s::jsonb)::text", text)
    with pytest.raises(ValueError, match="range"):
        jsonb_text(text.encode())


@pytest.mark.parametrize(
    "text",
    ["", "{", "[1", "[1,]", "{,}", '{"a"}', '{"a":}', '{"a":1,}', "[}", "01", "1.", "nul", "1 2", "[1]]", "]",
     '"a', '"\x01"', '"\\x"', '"\\u0000"', '"\\ud800"', '{"\\udc00": 1}', "'a'", "NaN", "-", "truefalse", "1true"],
)  # fmt: skip
def test_what_is_no_jsonb_is_refused(postgres: Connection, text: str) -> None:
    with pytest.raises(psycopg.Error):
        one(postgres, "SELECT (%s::jsonb)::text", text)
    with pytest.raises(ValueError, match=r"JSON|UTF|U\+0000|surrogate|range"):
        jsonb_text(text.encode())


@pytest.mark.parametrize(
    "text", [' { "a" : 1 , "a" : [ ] } ', '{"b":1,"aa":2,"a":{}}', '["\\u00e9\\ud83d\\ude00\\/"]']
)
def test_spelling_does_not_matter(postgres: Connection, text: str) -> None:
    assert jsonb_text(text.encode()).decode() == one(postgres, "SELECT (%s::jsonb)::text", text)


def test_depth_does_not_matter() -> None:
    depth = 30_000
    deep: Any = 1
    for _ in range(depth):
        deep = [deep]
    text = json_text(deep)
    assert text == "[" * depth + "1" + "]" * depth
    assert jsonb_text(text.encode()).decode() == text
    assert len(order_key(text.encode())) == depth + 1
    while type(deep) is list:
        deep = deep.pop()


@pytest.mark.parametrize("around", [lambda x: [x], lambda x: {"a": 1, "b": x}, lambda x: [1, [{"c": x}]]])
def test_what_contains_itself_is_refused(around: Callable[[Any], Any]) -> None:
    endless: list[Any] = []
    endless.append(around(endless))
    with pytest.raises(ValueError, match="contains itself"):
        json_text(endless)


@quick
@given(a=VALUES, b=VALUES)
@example([], 1)
@example([[]], [1])
@example({}, [])
@example({"a": 1, "b": 2}, {"b": 1, "c": 2})
@example({"a": 1}, {"a": Decimal("1.00")})
@example("a", ["a"])
def test_equality_and_order_are_postgresqls(postgres: Connection, a: Any, b: Any) -> None:
    first, second = (jsonb_text(json_text(v).encode()) for v in (a, b))
    query = "SELECT ARRAY[x = y, x < y] FROM (SELECT %s::jsonb x, %s::jsonb y) t"
    equal, less = one(postgres, query, first.decode(), second.decode())
    assert (equality_key(first) == equality_key(second)) == equal
    assert (order_key(first) < order_key(second)) == less


@quick
@given(a=VALUES, b=VALUES, steps=st.lists(st.sampled_from(["a", "b", "0", "1", "-1", "x", "01"]), max_size=3))
@example(["a", 1], "a", ["0"])
@example({"a": {"b": [1, 2, {"c": 3}]}}, {"a": {"b": [2]}}, ["a", "b", "-1"])
@example([[1, 2], 3], [[1]], ["0", "01"])
def test_paths_and_containment_are_postgresqls(
    postgres: Connection, a: Any, b: Any, steps: list[str]
) -> None:
    whole, part = (jsonb_text(json_text(v).encode()) for v in (a, b))
    found = at_path(whole, tuple(steps))
    row = postgres.execute("SELECT (%s::jsonb #> %s)::text", [whole.decode(), steps]).fetchone()
    assert row == (None if found is None else found.decode(),)
    assert contains(whole, part) == one(
        postgres, "SELECT %s::jsonb @> %s::jsonb", whole.decode(), part.decode()
    )
