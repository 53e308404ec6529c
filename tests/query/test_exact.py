"""Where this client is stricter than Prisma on purpose, ``as_prisma()`` gives one that is not.

The answers are those of Prisma 6.19.3 on PostgreSQL.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from octavo import DbNull, JsonNull
from octavo.client import Client
from octavo.errors import ValidationError


@pytest.fixture
def exact(db: Client) -> Client:
    """A blog, of which the arguments are Prisma's."""
    for number, name in enumerate(("a_b", "a%b", "axb", "A\\B", None)):
        db.user.create(data={"email": f"{number}@x", "name": name, "age": number - 1})
    db.user.update(where={"email": "0@x"}, data={"meta": {"s": "x%y"}})
    db.user.update(where={"email": "1@x"}, data={"profile": {"create": {"id": "p", "bio": ""}}})
    db.profile.create(data={"id": "alone", "bio": ""})
    return db.as_prisma()


def found(db: Client, where: dict[str, Any]) -> str:
    """The users that a filter finds, by their numbers."""
    return "".join(user.email[0] for user in db.user.find_many(where=where, order_by={"id": "asc"}))


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({"name": {}}, "01234"),
        ({"name": {"not": {}}}, "01234"),
        ({"name": {"mode": "insensitive"}}, "01234"),
        ({"NOT": {"name": {}}}, "01234"),
        ({"OR": [{"name": {}}, {"name": "axb"}]}, "2"),
        ({"OR": [{"profile": {}}, {"name": "axb"}]}, "2"),
        ({"profile": {}}, "01234"),
        ({"profile": {"is": {}}}, "1"),
        ({"profile": {"isNot": {}}}, "0234"),
        ({"profile": {"bio": {}}}, "1"),
        ({"posts": {}}, "01234"),
        ({"posts": {"every": {}}}, "01234"),
        ({"meta": {}}, "01234"),
        ({"name": {"contains": "_"}}, "0123"),
        ({"name": {"contains": "a_b"}}, "012"),
        ({"name": {"startsWith": "a%"}}, "012"),
        ({"name": {"endsWith": "%"}}, "0123"),
        ({"name": {"contains": "a\\_b"}}, "0"),
        ({"name": {"contains": "A\\\\B"}}, "3"),
        ({"name": {"contains": "\\"}}, ""),
        ({"name": {"equals": "a_b"}}, "0"),
        ({"name": {"equals": "A_B", "mode": "insensitive"}}, "0123"),
        ({"name": {"not": "A_B", "mode": "insensitive"}}, ""),
        ({"name": {"in": ["A_B", "AXB"], "mode": "insensitive"}}, "02"),
        ({"meta": {"path": ["s"], "string_contains": "x_y"}}, "0"),
        ({"age": 1.5}, "2"),
        ({"age": {"gt": -0.5}}, "234"),
        ({"age": {"in": [2.9, -1.9]}}, "03"),
        ({"meta": {"equals": None}}, ""),
    ],
)
def test_a_filter_finds_what_it_finds_in_prisma(exact: Client, where: dict[str, Any], expected: str) -> None:
    assert found(exact, where) == expected


def test_null_for_a_json_field_is_jsons_null(exact: Client) -> None:
    exact.user.update(where={"email": "0@x"}, data={"meta": None})
    exact.user.create_many(data=[{"email": "5@x", "meta": None}])
    assert found(exact, {"meta": {"equals": JsonNull}}) == found(exact, {"meta": {"equals": None}}) == "05"
    assert found(exact, {"meta": {"equals": DbNull}}) == "1234"


def test_an_int_takes_the_whole_part_of_a_number(exact: Client) -> None:
    for given, stored in ((2.7, 2), (-2.7, -2), (1e3, 1000)):
        assert exact.user.update(where={"email": "0@x"}, data={"age": given}).age == stored
    assert exact.user.update(where={"email": "0@x"}, data={"age": {"increment": 1.5}}).age == 1001


def test_having_takes_the_whole_part_for_a_sum_and_the_number_for_an_average(exact: Client) -> None:
    def names(having: dict[str, Any]) -> list[str | None]:
        groups = exact.user.group_by(by=["name"], having={"age": having}, where={"age": {"gt": 0}})
        return [group["name"] for group in groups]

    assert names({"_sum": {"gt": 1.5}}) == ["A\\B", None]
    assert names({"_sum": {"equals": 2.5}}) == ["A\\B"]
    assert names({"_avg": {"equals": 2.5}}) == []
    assert names({"_avg": {"gt": 1.5}}) == ["A\\B", None]
    assert names({"_count": {"gte": 1.5}}) == ["A\\B", "axb", None]


def test_a_filter_of_many_may_be_empty(exact: Client) -> None:
    assert exact.user.update_many(where={}, data={"age": 1}) == 5
    assert exact.user.update_many(where={"AND": []}, data={}, limit=2) == 2
    assert exact.profile.delete_many(where={}) == 2


def test_set_passes_over_what_is_missing(exact: Client) -> None:
    exact.category.create_many(data=[{"name": "a"}, {"name": "b"}])
    post = {"id": "p", "title": "t", "author": {"connect": {"email": "0@x"}}}
    exact.post.create(data={**post, "categories": {"connect": {"name": "a"}}})
    change = {"categories": {"set": [{"name": "b"}, {"name": "missing"}]}}
    changed = exact.post.update(where={"id": "p"}, data=change, include={"categories": True})
    assert [category.name for category in changed.categories] == ["b"]


def test_disconnect_false_disconnects(exact: Client) -> None:
    change = {"user": {"disconnect": False}}
    assert exact.profile.update(where={"id": "p"}, data=change).userId is None


@pytest.mark.parametrize(
    ("where", "path"),
    [
        ({"name": {"endsWith": "a\\"}}, "where.name.endsWith"),
        ({"email": None}, "where.email"),
        ({"OR": {"name": "x"}}, "where.OR"),
        ({"meta": {"path": ["a"]}}, "where.meta"),
        ({"words": {}}, "where.words"),
        ({"meta": None}, "where.meta"),
        ({"age": float("inf")}, "where.age"),
    ],
)
def test_what_prisma_refuses_is_refused(exact: Client, where: dict[str, Any], path: str) -> None:
    with pytest.raises(ValidationError) as raised:
        exact.user.find_many(where=where)
    assert raised.value.path.replace("ends_with", "endsWith") == path


def test_what_prisma_calls_an_input_error_has_its_code(exact: Client) -> None:
    calls: list[Callable[[], Any]] = [
        lambda: exact.user.group_by(by=["age"], having={"name": "x"}),
        lambda: exact.user.group_by(by=["age"], order_by={"name": "asc"}),
        lambda: exact.user.find_many(where={"name": exact.user.fields.age}),
        lambda: exact.user.find_many(where={"name": exact.post.fields.title}),
        lambda: exact.user.find_many(where={"meta": {"path": ["a"]}}),
        lambda: exact.user.delete_many(limit=-1),
    ]
    for call in calls:
        with pytest.raises(ValidationError) as raised:
            call()
        assert raised.value.code == "P2019"


def test_the_client_that_it_is_made_of_stays_as_strict(exact: Client, db: Client) -> None:
    filters: list[Any] = [{"name": {}}, {"profile": {}}, {"age": 1.5}, {"meta": {"equals": None}}]
    for where in filters:
        with pytest.raises(ValidationError):
            db.user.find_many(where=where)
    assert found(db, {"name": {"contains": "_"}}) == "0"
    with pytest.raises(ValidationError):
        db.user.delete_many(where={})


def test_no_call_leaves_every_field_out(db: Client) -> None:
    every = dict.fromkeys(("id", "bio", "userId"), True)
    for client in (db, db.as_prisma()):
        with pytest.raises(ValidationError):
            client.profile.find_many(omit=every)
        assert client.profile.find_many(omit=every, include={"user": True}) == []
