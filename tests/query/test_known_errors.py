"""Errors in the words of Prisma's client: the code, the message and the facts, the same on each backend."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from backends import on_files, on_memory
from octavo.client import Client
from octavo.errors import (
    BusyError,
    ConflictError,
    DatabaseError,
    DiskError,
    OctavoError,
    RawQueryError,
    TransactionFailed,
    UniqueViolation,
    UsageError,
)
from octavo.query.known_errors import KnownError, known_error
from octavo.query.vocabulary import Vocabulary
from octavo.schema.parser import parse_schema
from octavo.schema.texts import frozen_schema
from query.blog import VOCABULARY

NEEDED = "An operation failed because it depends on one or more records that were required but not found. "


def told(call: Callable[[], Any]) -> KnownError:
    with pytest.raises(OctavoError) as raised:
        call()
    found = known_error(raised.value, VOCABULARY)
    assert found is not None
    return found


@pytest.fixture
def blog(db: Client) -> Client:
    db.user.create(data={"id": 1, "email": "a"})
    db.user.create(data={"id": 2, "email": "b"})
    db.post.create(data={"id": "p", "title": "t", "authorId": 1})
    return db


def test_a_unique_names_its_columns(blog: Client) -> None:
    assert told(lambda: blog.user.create(data={"id": 3, "email": "a"})) == (
        "P2002",
        "Unique constraint failed on the fields: (`email`)",
        {"target": ["email"]},
    )
    found = told(lambda: blog.post.create(data={"title": "t", "authorId": 1}))
    assert found.meta == {"target": ["authorId", "title"]}
    assert found.message == "Unique constraint failed on the fields: (`authorId`, `title`)"


def test_a_foreign_key_is_named_as_the_database_names_it(blog: Client) -> None:
    found = told(lambda: blog.post.create(data={"title": "x", "authorId": 9}))
    assert found.code == "P2003"
    assert found.message == "Foreign key constraint violated on the constraint: `Post_authorId_fkey`"
    assert found.meta["constraint"] == "Post_authorId_fkey"


def test_a_required_relation_is_named(blog: Client) -> None:
    data = {"posts": {"disconnect": {"id": "p"}}}
    assert told(lambda: blog.user.update(where={"id": 1}, data=data)) == (
        "P2014",
        "The change you are trying to make would violate the required relation 'PostToUser' between the"
        " `Post` and `User` models.",
        {"relation_name": "PostToUser", "model_a_name": "Post", "model_b_name": "User"},
    )


def test_a_missing_record_is_told_by_what_needed_it(blog: Client) -> None:
    update = told(lambda: blog.user.update(where={"id": 9}, data={"name": "x"}))
    assert update.code == "P2025"
    assert update.message == f"{NEEDED}No record was found for an update."
    assert update.meta["operation"] == "an update"
    assert told(lambda: blog.user.delete(where={"id": 9})).meta["operation"] == "a delete"
    assert told(lambda: blog.user.find_first_or_raise(where={"id": 9})).meta["operation"] == "a query"


def test_a_missing_record_of_a_connect_is_told_by_the_relation(blog: Client) -> None:
    post = {"title": "x", "author": {"connect": {"id": 9}}}
    assert told(lambda: blog.post.create(data=post)) == (
        "P2025",
        f"{NEEDED}No 'User' record (needed to inline the relation on 'Post' record(s)) was found for a nested"
        " connect on one-to-many relation 'PostToUser'.",
        {
            "cause": "No 'User' record (needed to inline the relation on 'Post' record(s)) was found for a"
            " nested connect on one-to-many relation 'PostToUser'.",
            "model": "User",
            "neededFor": "inline the relation on 'Post' record(s)",
            "operation": "a nested connect",
            "relation": "PostToUser",
            "relationType": "one-to-many",
        },
    )


@pytest.mark.parametrize(
    ("data", "code", "said"),
    [
        ({"posts": {"connect": {"id": "no"}}}, "P2018", "found 0"),
        ({"follows": {"connect": {"id": 9}}}, "P2025", "found only 0"),
        ({"posts": {"delete": {"id": "no"}}}, "P2017", "are not connected"),
        (
            {"posts": {"update": {"where": {"id": "no"}, "data": {"views": 1}}}},
            "P2025",
            "No 'Post' record was found for a nested update on one-to-many relation 'PostToUser'.",
        ),
        (
            {"profile": {"delete": True}},
            "P2025",
            "No 'Profile' record was found for a nested delete on one-to-one relation 'ProfileToUser'.",
        ),
    ],
)
def test_a_nested_write_has_prismas_code(blog: Client, data: Any, code: str, said: str) -> None:
    found = told(lambda: blog.user.update(where={"id": 1}, data=data))
    assert found.code == code
    assert said in found.message


def test_a_value_without_room_in_its_column_is_told_by_the_column(blog: Client) -> None:
    found = told(lambda: blog.user.create(data={"email": "x", "age": 3_000_000_000}))
    assert found.code == "P2020"
    assert found.meta["column_name"] == "age"
    found = told(lambda: blog.user.update(where={"id": 1}, data={"id": {"increment": 2**31 - 1}}))
    assert found.code == "P2020"


def test_a_text_without_room_is_told_by_the_column() -> None:
    schema = 'model Thing {\n id Int @id\n label String? @db.VarChar(3) @map("the_label")\n}'
    vocabulary = Vocabulary(parse_schema(schema))
    with pytest.raises(OctavoError) as raised:
        on_memory(vocabulary)["Thing"].create(data={"id": 1, "label": "abcd"})
    assert known_error(raised.value, vocabulary) == (
        "P2000",
        "The provided value for the column is too long for the column's type. Column: the_label",
        {"column_name": "the_label"},
    )


def test_a_unique_beside_an_index_of_its_fields_is_named_as_the_database_names_it(
    tmp_path: Path,
) -> None:
    with on_files(Vocabulary(frozen_schema()), tmp_path / "data") as files:
        user = files.user.create(data={"email": "a@x"})
        tag = {"userId": user.id, "name": "Sea", "nameLower": "sea"}
        files.tag.create(data=tag)
        with pytest.raises(UniqueViolation) as raised:
            files.tag.create(data=tag)
    assert raised.value.constraint == "tags_userId_nameLower_key"


def test_a_null_is_told_by_the_column(db: Client) -> None:
    with pytest.raises(OctavoError) as raised:
        db.user.create(data={"email": "a", "boss": {"create": {"email": None}}})
    assert known_error(raised.value, VOCABULARY) is not None


def test_an_invalid_argument_is_told_as_one(blog: Client) -> None:
    assert told(lambda: blog.user.find_many(where={"emial": "a"})).code == "P2009"
    assert told(lambda: blog.user.create(data={"name": "a"})).code == "P2012"
    assert told(lambda: blog.user.update(data={})).code == "P2012"


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (ConflictError("lost"), "P2034", "Please retry your transaction"),
        (
            TransactionFailed("late", timeout=0.3, taken=0.7459),
            "P2028",
            "A query cannot be executed on an expired transaction. The timeout for this transaction was 300"
            " ms, however 746 ms passed",
        ),
        (
            TransactionFailed("over", end="committed"),
            "P2028",
            "Transaction already closed: A query cannot be executed on a committed transaction.",
        ),
        (
            TransactionFailed("over", end="rolled back"),
            "P2028",
            "A query cannot be executed on a transaction that was rolled back.",
        ),
        (BusyError(1, "pid 7"), "P2028", "Unable to start a transaction in the given time"),
        (
            RawQueryError("syntax", sqlstate="42601"),
            "P2010",
            "Raw query failed. Code: `42601`. Message: `syntax`",
        ),
        (DatabaseError("gone"), "P1001", "Can't reach database server"),
    ],
)
def test_a_failure_of_the_place_has_prismas_code(error: OctavoError, code: str, said: str) -> None:
    found = known_error(error, VOCABULARY)
    assert found is not None
    assert found.code == code
    assert said in found.message


@pytest.mark.parametrize("error", [UsageError("no"), DiskError("full"), DatabaseError("x", sqlstate="XX000")])
def test_what_prisma_has_no_code_for_has_none(error: OctavoError) -> None:
    assert known_error(error, VOCABULARY) is None
