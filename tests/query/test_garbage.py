"""Whatever is given as an argument, what comes back is an answer or an error of Octavo's own."""

from __future__ import annotations

from contextlib import suppress
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from backends import on_memory
from octavo import AnyNull, DbNull, JsonNull
from octavo.client import Client
from octavo.errors import OctavoError
from query.blog import VOCABULARY

WORDS = [
    *(
        "id",
        "email",
        "name",
        "age",
        "score",
        "balance",
        "words",
        "meta",
        "role",
        "joined",
        "boss",
        "posts",
        "profile",
    ),
    *(
        "AND",
        "OR",
        "NOT",
        "is",
        "is_not",
        "isNot",
        "some",
        "every",
        "none",
        "equals",
        "not",
        "in",
        "not_in",
        "lt",
        "gte",
    ),
    *(
        "contains",
        "mode",
        "has",
        "has_every",
        "is_empty",
        "path",
        "string_contains",
        "array_contains",
        "where",
        "data",
    ),
    *(
        "create",
        "connect",
        "connect_or_create",
        "create_many",
        "update",
        "upsert",
        "delete",
        "disconnect",
        "set",
        "push",
    ),
    *(
        "increment",
        "divide",
        "take",
        "skip",
        "cursor",
        "distinct",
        "order_by",
        "orderBy",
        "include",
        "select",
        "omit",
    ),
    *(
        "_count",
        "sort",
        "nulls",
        "asc",
        "skip_duplicates",
        "authorId_title",
        "title",
        "follows",
        "update_many",
        "",
    ),
]
VALUES = st.one_of(
    st.sampled_from(
        [
            *(
                None,
                True,
                False,
                0,
                1,
                -1,
                2**63,
                10**400,
                1.5,
                float("nan"),
                float("inf"),
                Decimal("1e999999"),
            ),
            *("", "x", "\0", "\ud800", "a" * 300, "2025", "1970-01-01T09:30:00Z", "infinity", b"x", b"\xff"),
            *(
                datetime(1, 1, 1),
                datetime.max,
                date.min,
                time.max,
                DbNull,
                JsonNull,
                AnyNull,
                object(),
                int,
                ...,
            ),
        ]
    ),
    st.sampled_from(WORDS),
)
KEYS = st.one_of(st.sampled_from(WORDS), st.sampled_from([1, None, (), b"x", "\ud800", "a.b"]))
GARBAGE = st.recursive(
    VALUES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(KEYS, inner, max_size=3),
    ),
    max_leaves=12,
)
OPERATIONS = [
    *("find_unique", "find_unique_or_raise", "find_first", "find_first_or_raise", "find_many", "count"),
    *("create", "create_many", "create_many_and_return", "update", "update_many", "update_many_and_return"),
    *("upsert", "delete", "delete_many"),
]
ARGUMENTS = [
    *("where", "data", "create", "update", "include", "select", "omit", "order_by", "take", "skip", "cursor"),
    *("distinct", "skip_duplicates", "unknown"),
]


def filled() -> Client:
    db = on_memory(VOCABULARY)
    for number in range(3):
        db.user.create(data={"id": number, "email": f"{number}@x", "meta": {"a": [1]}, "words": ["x"]})
    db.post.create(data={"id": "p", "title": "t", "authorId": 1})
    return db


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    model=st.sampled_from(["user", "post", "comment", "category"]),
    operation=st.sampled_from(OPERATIONS),
    arguments=st.dictionaries(st.sampled_from(ARGUMENTS), GARBAGE, max_size=4),
)
def test_garbage_as_arguments_is_refused_by_name(
    model: str, operation: str, arguments: dict[str, Any]
) -> None:
    note(f"db.{model}.{operation}(**{arguments!r})")
    with suppress(OctavoError):
        getattr(filled()[model.title()], operation)(**arguments)


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(where=st.dictionaries(st.sampled_from(WORDS), GARBAGE, min_size=1, max_size=3), data=GARBAGE)
def test_garbage_deep_in_arguments_is_refused_by_name(where: dict[str, Any], data: Any) -> None:
    note(f"{where!r} {data!r}")
    db = filled()
    for call in (
        lambda: db.user.find_many(where=where),
        lambda: db.user.find_first(where={"posts": {"some": where}, "boss": {"is": where}}),
        lambda: db.user.update(where={"id": 1, **where}, data=where),
        lambda: db.user.update(where={"id": 1}, data={"posts": where, "boss": where}),
        lambda: db.user.create(data={"email": "n", "posts": {"create": where}}),
        lambda: db.user.find_many(include={"posts": where}, order_by=data),
        lambda: db.user.update_many(data=dict.fromkeys(("age", "words", "meta", "joined", "balance"), data)),
    ):
        with suppress(OctavoError):
            call()


def test_what_is_nested_too_deep_is_refused_by_name() -> None:
    db = filled()
    for name in ("AND", "NOT", "OR"):
        deep: Any = {}
        for _ in range(5000):
            deep = {name: [deep]}
        with suppress(OctavoError):
            db.user.find_many(where=deep)
    for wrap in (
        lambda inner: {"boss": inner},
        lambda inner: {"boss": {"is": inner}},
        lambda inner: {"boss": {"is_not": inner}},
        lambda inner: {"reports": {"some": inner}},
        lambda inner: {"NOT": {"boss": inner}},
    ):
        deep = {"id": 1}
        for _ in range(3000):
            deep = wrap(deep)
        with suppress(OctavoError):
            db.user.find_many(where=deep)
    for data in (
        lambda inner: {"boss": {"update": inner}},
        lambda inner: {"boss": {"create": {"email": "x", **inner}}},
    ):
        deep = {}
        for _ in range(3000):
            deep = data(deep)
        with suppress(OctavoError):
            db.user.update(where={"id": 1}, data=deep)
    deep = True
    for _ in range(3000):
        deep = {"include": {"boss": deep}}
    with suppress(OctavoError):
        db.user.find_many(**deep)
    deep = "asc"
    for _ in range(3000):
        deep = {"boss": deep}
    with suppress(OctavoError):
        db.user.find_many(order_by=deep)
