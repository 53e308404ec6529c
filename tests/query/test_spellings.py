"""Spellings of prisma-client-py that are understood: they mean what ours mean, and nothing twice."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from backends import on_memory
from octavo.client import Client
from octavo.errors import TransactionFailed, ValidationError
from octavo.query.vocabulary import Vocabulary
from octavo.schema.parser import parse_schema
from query.blog import VOCABULARY

ALIKE = """
datasource db {
  provider = "postgresql"
  url      = env("DATABASE_URL")
}

model UserTag {
  id    Int @id
  order Int
}

model USerTag {
  id Int @id
}

model Usertoken {
  id Int @id
}

model UserToken {
  id         Int    @id
  startswith String
}
"""


@pytest.fixture
def blog() -> Client:
    return on_memory(VOCABULARY)


def test_an_order_is_an_order_by_within_what_is_included_too(blog: Client) -> None:
    for email in ("b", "a"):
        blog.user.create(data={"email": email, "posts": {"create": [{"title": "x"}, {"title": "y"}]}})
    include: Any = {"posts": {"order": {"title": "desc"}}}
    theirs = blog.user.find_many(order=[{"email": "asc"}], include=include)
    include = {"posts": {"order_by": {"title": "desc"}}}
    assert theirs == blog.user.find_many(order_by=[{"email": "asc"}], include=include)
    assert [user.email for user in theirs] == ["a", "b"]
    assert [post.title for post in theirs[0].posts] == ["y", "x"]


@pytest.mark.parametrize(
    ("arguments", "path", "reason"),
    [
        ({"order": {}, "order_by": {}}, "order_by", "is given twice"),
        ({"orderBy": {}, "order": {}}, "order", "is given twice"),
        (
            {"where": {"email": {"startswith": "a", "startsWith": "b"}}},
            "where.email.startsWith",
            "given twice",
        ),
        ({"where": {"age": {"startswith": "a"}}}, "where.age.startswith", "is unknown; operators"),
        ({"where": {"order": "a"}}, "where.order", "is unknown"),
        ({"order": {"nme": "asc"}}, "order_by.nme", "is unknown"),
    ],
)
def test_what_is_wrong_in_either_spelling_is_refused(
    blog: Client, arguments: dict[str, Any], path: str, reason: str
) -> None:
    with pytest.raises(ValidationError, match=reason) as raised:
        blog.user.find_many(**arguments)
    assert raised.value.path == path


@pytest.mark.parametrize(
    ("arguments", "path", "reason"),
    [
        ({"data": {"create": {"email": "a"}}}, "data", "lacks update"),
        ({"data": {"create": {}, "update": {}}}, "data.create", "lacks email"),
        ({"data": {"create": {"email": "a"}, "update": {"nme": 1}}}, "data.update.nme", "did you mean name"),
        ({"data": {"create": {}, "update": {}}, "update": {}}, "", "create and update, or data with both"),
        ({"data": {"email": "a"}}, "data.email", "what an upsert takes: create, update"),
        ({"data": None}, "data", "must be a dict, not None"),
        ({}, "", "lacks create"),
    ],
)
def test_an_upsert_takes_data_with_both_and_nothing_else(
    blog: Client, arguments: dict[str, Any], path: str, reason: str
) -> None:
    with pytest.raises(ValidationError, match=reason) as raised:
        blog.user.upsert(where={"email": "a"}, **arguments)
    assert raised.value.path == path
    assert blog.user.count() == 0


def test_an_accessor_without_underscores_is_understood_where_it_is_clear() -> None:
    db = on_memory(Vocabulary(parse_schema(ALIKE)))
    assert db.usertoken._name == "Usertoken"
    assert db.user_token._name == "UserToken"
    with pytest.raises(AttributeError, match="several models"):
        _ = db.usertag
    with pytest.raises(AttributeError, match="no model UserTag"):
        _ = db.UserTag
    assert "usertag" not in dir(db)
    # Fields of these names are fields.
    db["UserTag"].create(data={"id": 1, "order": 2})
    assert db["UserTag"].count(select={"order": True}) == {"order": 1}
    db.user_token.create(data={"id": 1, "startswith": "s"})
    assert db.user_token.find_many(where={"startswith": {"startswith": "s"}})[0].startswith == "s"


def test_limits_of_a_transaction_may_be_spans_of_time(blog: Client) -> None:
    with blog.tx(max_wait=timedelta(seconds=1), timeout=timedelta(minutes=1)) as tx:
        tx.user.create(data={"email": "a"})
    assert blog.user.count() == 1
    for wrong in (timedelta(seconds=-1), "5", None):
        with pytest.raises(ValidationError, match="no number of seconds"), blog.tx(timeout=wrong):  # type: ignore[arg-type]
            pass


def test_a_limit_that_is_a_span_of_time_is_kept(tmp_path: Any) -> None:
    from backends import on_files

    with on_files(VOCABULARY, tmp_path / "data") as db:
        with pytest.raises(TransactionFailed), db.tx(timeout=timedelta(0)) as tx:
            tx.user.create(data={"email": "a"})
        assert db.user.count() == 0


def test_a_block_of_asyncio_names_the_client_for_it(blog: Client) -> None:
    async def use() -> None:
        async with blog:
            pass

    with pytest.raises(TypeError, match="connect_async"):
        asyncio.run(use())
