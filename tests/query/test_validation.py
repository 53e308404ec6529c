"""A wrong argument is refused before anything runs, by a path into it and the nearest right name."""

# The table's rows are long.
# ruff: noqa: E501

from __future__ import annotations

from typing import Any

import pytest

from octavo import DbNull
from octavo.client import Client
from octavo.errors import UsageError, ValidationError

WRONG: list[tuple[str, str, dict[str, Any], str, str]] = [
    ("user", "find_many", {"were": {}}, "were", "where"),
    ("user", "find_many", {"where": {"nmae": "x"}}, "where.nmae", "name"),
    ("user", "find_many", {"where": {"name": {"containz": "x"}}}, "where.name.containz", "contains"),
    ("user", "find_many", {"where": {"name": {"startWith": "x"}}}, "where.name.startWith", "startsWith"),
    ("user", "find_many", {"where": {"age": {"contains": "x"}}}, "where.age.contains", ""),
    ("user", "find_many", {"where": {"role": {"lt": "USER"}}}, "where.role.lt", ""),
    ("user", "find_many", {"where": {"role": "OWNER"}}, "where.role", ""),
    ("user", "find_many", {"where": {"email": None}}, "where.email", ""),
    ("user", "find_many", {"where": {"email": {}}}, "where.email", ""),
    ("user", "find_many", {"where": {"age": "x"}}, "where.age", ""),
    ("user", "find_many", {"where": {"age": {"in": 1}}}, "where.age.in", ""),
    ("user", "find_many", {"where": {"age": {"in": [1, None]}}}, "where.age.in[1]", ""),
    ("user", "find_many", {"where": {"age": {"in": [1], "notIn": [2], "not_in": [3]}}}, "where.age.not_in", ""),
    ("user", "find_many", {"where": {"name": {"equals": "x", "mode": "loose"}}}, "where.name.mode", ""),
    ("user", "find_many", {"where": {"OR": [{"name": "x"}, {"agee": 1}]}}, "where.OR[1].agee", "age"),
    ("user", "find_many", {"where": None}, "where", ""),
    ("user", "find_many", {"where": {"posts": {"any": {}}}}, "where.posts.any", ""),
    ("user", "find_many", {"where": {"posts": {}}}, "where.posts", ""),
    ("user", "find_many", {"where": {"profile": {}}}, "where.profile", ""),
    ("user", "find_many", {"where": {"posts": {"some": {"titel": 1}}}}, "where.posts.some.titel", "title"),
    ("post", "find_many", {"where": {"author": None}}, "where.author", ""),
    ("user", "find_many", {"where": {"words": {"has_any": ["x"]}}}, "where.words.has_any", "has_every"),
    ("user", "find_many", {"where": {"words": {"is_empty": 1}}}, "where.words.is_empty", ""),
    ("user", "find_many", {"where": {"meta": None}}, "where.meta", ""),
    ("user", "find_many", {"where": {"meta": {"equals": None}}}, "where.meta.equals", ""),
    ("user", "find_many", {"where": {"meta": {"path": "a"}}}, "where.meta.path", ""),
    ("user", "find_many", {"where": {"meta": {"path": ["a"]}}}, "where.meta", ""),
    ("user", "find_many", {"order_by": {"nmae": "asc"}}, "order_by.nmae", "name"),
    ("user", "find_many", {"order_by": {"name": "up"}}, "order_by.name", ""),
    ("user", "find_many", {"order_by": {"email": {"sort": "asc", "nulls": "last"}}}, "order_by.email.nulls", ""),
    ("user", "find_many", {"order_by": {"posts": {"title": "asc"}}}, "order_by.posts.title", ""),
    ("user", "find_many", {"take": "1"}, "take", ""),
    ("user", "find_many", {"skip": -1}, "skip", ""),
    ("user", "find_many", {"distinct": ["nam"]}, "distinct[0].nam", "name"),
    ("user", "find_many", {"distinct": [["name"]]}, "distinct[0]", ""),
    ("user", "find_many", {"order_by": ""}, "order_by", ""),
    ("user", "find_many", {"cursor": {}}, "cursor", ""),
    ("user", "find_many", {"include": []}, "include", ""),
    ("user", "find_many", {"cursor": {"name": "x"}}, "cursor", ""),
    ("user", "find_many", {"include": {"post": True}}, "include.post", "posts"),
    ("user", "find_many", {"include": {"posts": {"wher": {}}}}, "include.posts.wher", "where"),
    ("user", "find_many", {"include": {"posts": {"include": {"authors": True}}}}, "include.posts.include.authors", "author"),
    ("user", "find_many", {"include": {"name": True}}, "include.name", ""),
    ("user", "find_many", {"select": {}}, "select", ""),
    ("user", "find_many", {"select": {"emial": True}}, "select.emial", "email"),
    ("user", "find_many", {"select": {"name": 1}}, "select.name", ""),
    ("user", "find_many", {"select": {"name": True}, "include": {"posts": True}}, "", ""),
    ("user", "find_many", {"include": {"_count": {"select": {"boss": True}}}}, "include._count.select.boss", "posts"),
    ("user", "find_unique", {}, "", ""),
    ("user", "find_unique", {"where": {"name": "x"}}, "where", ""),
    ("user", "find_unique", {"where": {"id": None}}, "where.id", ""),
    ("post", "find_unique", {"where": {"authorId_title": {"authorId": 1}}}, "where.authorId_title", ""),
    ("post", "find_unique", {"where": {"authorId_title": {"authorId": 1, "titel": "x"}}}, "where.authorId_title.titel", "title"),
    ("user", "create", {}, "", ""),
    ("user", "create", {"data": {}}, "data", ""),
    ("user", "create", {"data": {"email": None}}, "data.email", ""),
    ("user", "create", {"data": {"email": "x", "nam": 1}}, "data.nam", "name"),
    ("user", "create", {"data": {"email": "x", "meta": None}}, "data.meta", ""),
    ("user", "create", {"data": {"email": "x", "age": 2**31}}, "data.age", ""),
    ("user", "create", {"data": {"email": "x", "posts": {"creat": {}}}}, "data.posts.creat", "create"),
    ("user", "create", {"data": {"email": "x", "posts": {"update": {}}}}, "data.posts.update", ""),
    ("user", "create", {"data": {"email": "x", "posts": {"create": [{"title": "a"}, {}]}}}, "data.posts.create[1]", ""),
    ("user", "create", {"data": {"email": "x", "posts": {"create": {"title": "a", "authorId": 1}}}}, "data.posts.create.authorId", ""),
    ("user", "create", {"data": {"email": "x", "posts": {"create": {"title": "a", "author": {}}}}}, "data.posts.create.author", ""),
    ("post", "create", {"data": {"title": "x"}}, "data", ""),
    ("post", "create", {"data": {"title": "x", "authorId": 1, "author": {"connect": {"id": 1}}}}, "data.authorId", ""),
    ("post", "create", {"data": {"title": "x", "author": {"connect": [{"id": 1}]}}}, "data.author.connect", ""),
    ("post", "create", {"data": {"title": "x", "author": {"connect": {"id": 1}, "create": {"email": "x"}}}}, "data.author", ""),
    ("post", "update", {"where": {"id": "x"}, "data": {"author": {"disconnect": True}}}, "data.author.disconnect", "connect"),
    ("post", "update", {"where": {"id": "x"}, "data": {"views": {"incremnt": 1}}}, "data.views.incremnt", "increment"),
    ("post", "update", {"where": {"id": "x"}, "data": {"views": {"increment": 1, "set": 2}}}, "data.views", ""),
    ("post", "update", {"where": {"id": "x"}, "data": {"views": {"divide": 0}}}, "data.views.divide", ""),
    ("post", "update", {"where": {"id": "x"}, "data": {"title": {"increment": 1}}}, "data.title.increment", ""),
    ("user", "update_many", {"where": {}, "data": {"name": "x"}}, "where", ""),
    ("user", "update_many", {"data": {"posts": {}}}, "data.posts", ""),
    ("user", "delete_many", {"where": {}}, "where", ""),
    ("user", "delete_many", {"where": None}, "where", ""),
    ("user", "delete_many", {"where": {"AND": []}}, "where", ""),
    ("user", "delete_many", {"where": {"AND": [{"OR": [{}]}]}}, "where", ""),
    ("user", "find_many", {"where": {"OR": {"name": "x"}}}, "where.OR", ""),
    ("user", "create_many", {"data": [{"email": "x"}, {"email": 1}]}, "data[1].email", ""),
    ("user", "create_many", {"data": [{"email": "x", "posts": {}}]}, "data[0].posts", ""),
    ("user", "create_many", {"data": [], "skipDuplicates": 1}, "skip_duplicates", ""),
    ("user", "count", {"select": {"nam": True}}, "select.nam", "name"),
    ("user", "count", {"select": {"name": 1}}, "select.name", ""),
    ("user", "count", {"select": {"name": False}}, "select", ""),
]  # fmt: skip


@pytest.mark.parametrize(("model", "operation", "arguments", "path", "known"), WRONG)
def test_the_error_points_into_the_argument(
    db: Client, model: str, operation: str, arguments: dict[str, Any], path: str, known: str
) -> None:
    with pytest.raises(ValidationError) as raised:
        getattr(getattr(db, model), operation)(**arguments)
    assert raised.value.path == path
    assert raised.value.known == known
    assert raised.value.code in ("P2009", "P2012", "P2019", "P2020")
    assert isinstance(raised.value, UsageError)


def test_a_filter_is_not_nested_without_end(db: Client) -> None:
    where: dict[str, Any] = {"name": "x"}
    for _ in range(1000):
        where = {"OR": [where]}
    with pytest.raises(ValidationError, match="nested too deep"):
        db.user.find_many(where=where)


def test_values_are_not_repeated_in_messages(db: Client) -> None:
    with pytest.raises(ValidationError) as raised:
        db.user.create(data={"email": "x", "token": ["hunter2"]})
    assert "hunter2" not in str(raised.value)


def test_a_required_json_field_cannot_be_the_databases_null(db: Client) -> None:
    with pytest.raises(ValidationError):
        db.user.create(data={"email": "x", "role": DbNull})


def test_an_unknown_model_has_no_accessor(db: Client) -> None:
    with pytest.raises(AttributeError, match="users"):
        db.users  # noqa: B018
    assert "passport" in dir(db)
    with pytest.raises(KeyError):
        db["Users"]
