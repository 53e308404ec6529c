"""What each argument of a reading call finds and shows, on each backend."""

from __future__ import annotations

from copy import copy, deepcopy
from decimal import Decimal
from typing import Any

import pytest

from octavo import AnyNull, DbNull, JsonNull
from octavo.client import Client
from octavo.errors import RecordNotFound


def emails(db: Client, **arguments: Any) -> str:
    return "".join(u.email[0] for u in db.user.find_many(**arguments))


FILTERS: list[tuple[dict[str, Any], str]] = [
    ({}, "abcd"),
    ({"name": "Ann"}, "a"),
    ({"name": {"equals": "ann", "mode": "insensitive"}}, "a"),
    ({"name": {"in": ["ANN", "ÉMILE"], "mode": "insensitive"}}, "ad"),
    ({"name": None}, "c"),
    ({"name": {"not": None}}, "abd"),
    ({"name": {"not": "Ann"}}, "bd"),
    ({"NOT": {"name": "Ann"}}, "bd"),
    ({"OR": [{"name": {"not": "Ann"}}, {"name": None}]}, "bcd"),
    ({"OR": []}, ""),
    ({"AND": []}, "abcd"),
    ({"NOT": []}, "abcd"),
    ({"NOT": {}}, "abcd"),
    ({"NOT": [{"age": 30}, {"age": 6}]}, "d"),
    ({"AND": [{"age": 30}, {"name": None}]}, "c"),
    ({"name": {"in": []}}, ""),
    ({"name": {"not_in": []}}, "abcd"),
    ({"name": {"notIn": ["Ann"]}}, "bd"),
    ({"age": {"lt": 30}}, "d"),
    ({"age": {"lte": 30, "gt": 5}}, "ac"),
    ({"age": {"not": {"gte": 30}}}, "d"),
    ({"name": {"contains": "n"}}, "a"),
    ({"name": {"contains": "_"}}, ""),
    ({"name": {"contains": "%", "mode": "insensitive"}}, ""),
    ({"name": {"startsWith": "BO", "mode": "insensitive"}}, "b"),
    ({"name": {"starts_with": "BO"}}, ""),
    ({"name": {"ends_with": "ile"}}, "d"),
    ({"name": {"gt": "a"}}, "bd"),
    ({"role": "USER", "email": {"lt": "c"}}, "ab"),
    ({"email": {"not": {"in": ["a@x"]}}}, "bcd"),
]


@pytest.mark.parametrize(("where", "found"), FILTERS)
def test_filters(people: Client, where: dict[str, Any], found: str) -> None:
    assert emails(people, where=where) == found
    assert people.user.count(where=where) == len(found)


@pytest.fixture
def lists(db: Client) -> Client:
    for email, words in (("a", ["x", "y"]), ("b", []), ("d", ["y"])):
        db.user.create(data={"email": email, "words": words})
    db.user.create(data={"email": "n"})
    return db


@pytest.mark.parametrize(
    ("where", "found"),
    [
        ({"has": "y"}, "ad"),
        ({"has_every": ["y", "x"]}, "a"),
        ({"hasEvery": []}, "abd"),
        ({"hasSome": ["x", "z"]}, "a"),
        ({"has_some": []}, ""),
        ({"isEmpty": True}, "b"),
        ({"is_empty": False}, "ad"),
        ({"equals": ["x", "y"]}, "a"),
        (["y"], "d"),
        (None, "n"),
    ],
)
def test_list_filters(lists: Client, where: Any, found: str) -> None:
    assert emails(lists, where={"words": where}) == found


@pytest.fixture
def documents(db: Client) -> Client:
    values = {
        "a": {"k": {"n": 1, "s": "Hello"}, "l": [1, {"x": 2}, "z"]},
        "b": {"k": {"n": Decimal("2.50"), "s": "help"}, "l": []},
        "c": [1, 2],
        "j": JsonNull,
        "d": DbNull,
        "s": "text",
    }
    for email, meta in values.items():
        db.user.create(data={"email": email, "meta": meta})
    return db


@pytest.mark.parametrize(
    ("where", "found"),
    [
        (DbNull, "d"),
        (JsonNull, "j"),
        (AnyNull, "dj"),
        ({"equals": "text"}, "s"),
        ({"not": "text"}, "abcj"),
        ({"equals": [1, Decimal("2.0")]}, "c"),
        ({"path": ["k", "n"], "equals": 1}, "a"),
        ({"path": ["k", "n"], "not": 1}, "b"),
        ({"path": ["k", "n"], "gt": 1}, "b"),
        ({"path": ["k", "n"], "lte": 2.5}, "ab"),
        ({"path": ["k", "n"], "lt": "x"}, ""),
        ({"path": ["k", "s"], "string_contains": "el"}, "ab"),
        ({"path": ["k", "s"], "stringStartsWith": "hel", "mode": "insensitive"}, "ab"),
        ({"path": ["k", "s"], "string_ends_with": "p"}, "b"),
        ({"path": ["k", "n"], "string_contains": "1"}, ""),
        ({"path": ["l"], "array_contains": [{"x": 2}]}, "a"),
        ({"path": ["l"], "array_contains": "z"}, "a"),
        ({"path": ["l"], "array_starts_with": 1}, "a"),
        ({"path": ["l"], "arrayEndsWith": "z"}, "a"),
        ({"path": ["l", 1, "x"], "equals": 2}, "a"),
        ({"array_contains": 2}, "c"),
        ({"path": ["k"], "equals": DbNull}, "cdjs"),
    ],
)
def test_json_filters(documents: Client, where: Any, found: str) -> None:
    assert emails(documents, where={"meta": where}, order_by={"email": "asc"}) == found


def test_what_is_no_such_array_is_false_and_what_is_not_there_is_unknown(documents: Client) -> None:
    for operator in ("array_starts_with", "array_ends_with", "array_contains"):
        where = {"NOT": {"meta": {"path": ["l"], operator: "nothing"}}}
        assert emails(documents, where=where, order_by={"email": "asc"}) == "ab"
        where = {"NOT": {"meta": {"path": ["k"], operator: "nothing"}}}
        assert emails(documents, where=where, order_by={"email": "asc"}) == "ab"
    assert emails(documents, where={"meta": {"array_contains": JsonNull}}) == ""


@pytest.fixture
def writers(people: Client) -> Client:
    """a has two posts and a profile, b one post, c a boss; d nothing."""
    people.user.update(
        where={"email": "a@x"},
        data={
            "posts": {"create": [{"title": "one", "views": 3}, {"title": "two", "views": 1}]},
            "profile": {"create": {"bio": "…"}},
            "follows": {"connect": [{"email": "b@x"}, {"email": "c@x"}]},
        },
    )
    people.user.update(where={"email": "b@x"}, data={"posts": {"create": {"title": "three", "views": 2}}})
    people.user.update(where={"email": "c@x"}, data={"boss": {"connect": {"email": "a@x"}}})
    return people


@pytest.mark.parametrize(
    ("where", "found"),
    [
        ({"posts": {"some": {}}}, "ab"),
        ({"posts": {"some": {"views": {"gt": 2}}}}, "a"),
        ({"posts": {"none": {}}}, "cd"),
        ({"posts": {"none": {"title": "one"}}}, "bcd"),
        ({"posts": {"every": {"views": {"gte": 2}}}}, "bcd"),
        ({"profile": None}, "bcd"),
        ({"profile": {"is_not": None}}, "a"),
        ({"profile": {"bio": "…"}}, "a"),
        ({"profile": {"is": {"bio": "…"}}}, "a"),
        ({"profile": {"isNot": {"bio": "…"}}}, "bcd"),
        ({"boss": {"is": None}}, "abd"),
        ({"boss": {"name": "Ann"}}, "c"),
        ({"reports": {"some": {"email": "c@x"}}}, "a"),
        ({"follows": {"some": {"name": "bob"}}}, "a"),
        ({"followedBy": {"some": {"name": "Ann"}}}, "bc"),
        ({"followedBy": {"none": {}}}, "ad"),
    ],
)
def test_relation_filters(writers: Client, where: dict[str, Any], found: str) -> None:
    assert emails(writers, where=where) == found


@pytest.mark.parametrize(
    ("order", "found"),
    [
        ({"email": "desc"}, "dcba"),
        ({"name": "asc"}, "abdc"),
        ({"name": "desc"}, "cdba"),
        ({"name": {"sort": "asc", "nulls": "first"}}, "cabd"),
        ({"name": {"sort": "desc", "nulls": "last"}}, "dbac"),
        ([{"age": "desc"}, {"email": "desc"}], "bcad"),
        ({"posts": {"_count": "desc"}}, "abcd"),
        ([{"posts": {"_count": "asc"}}, {"email": "desc"}], "dcba"),
        ({"boss": {"name": "asc"}}, "cabd"),
        ({"boss": {"name": "desc"}}, "abdc"),
        ([{"boss": {"posts": {"_count": "desc"}}}], "cabd"),
    ],
)
def test_orders(writers: Client, order: Any, found: str) -> None:
    assert emails(writers, order_by=order) == found
    assert emails(writers, orderBy=order, take=-3) == found[1:]


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ({"take": 2}, "ab"),
        ({"take": 0}, ""),
        ({"take": 10**30, "skip": 1}, "bcd"),
        ({"skip": 10**30}, ""),
        ({"skip": 3}, "d"),
        ({"skip": 1, "take": 1}, "b"),
        ({"take": -1}, "d"),
        ({"take": -2, "skip": 1}, "bc"),
        ({"cursor": {"email": "c@x"}}, "cd"),
        ({"cursor": {"email": "c@x"}, "skip": 1}, "d"),
        ({"cursor": {"email": "c@x"}, "take": -2}, "bc"),
        ({"cursor": {"email": "nobody"}}, ""),
        ({"cursor": {"email": "c@x"}, "where": {"email": {"not": "c@x"}}}, "d"),
        ({"cursor": {"email": "c@x"}, "order_by": {"name": "asc"}}, "c"),
        ({"cursor": {"email": "c@x"}, "order_by": {"name": "desc"}}, "cdba"),
        ({"cursor": {"email": "d@x"}, "order_by": {"name": "asc"}}, "dc"),
        ({"cursor": {"email": "a@x"}, "order_by": [{"age": "desc"}, {"email": "desc"}]}, "ad"),
        ({"cursor": {"email": "c@x"}, "order_by": {"boss": {"name": "asc"}}}, "cabd"),
        ({"cursor": {"email": "b@x"}, "order_by": {"boss": {"name": "asc"}}}, "bd"),
        ({"cursor": {"email": "b@x"}, "order_by": {"boss": {"name": "desc"}}}, "bdc"),
        ({"distinct": "age"}, "abd"),
        ({"distinct": ["age"], "order_by": {"email": "desc"}, "skip": 1}, "cb"),
    ],
)
def test_slices(writers: Client, arguments: dict[str, Any], found: str) -> None:
    assert emails(writers, **arguments) == found
    counted = {k: v for k, v in arguments.items() if k != "distinct"}
    assert writers.user.count(**counted) == len(emails(writers, **counted))


def test_includes_go_to_any_depth_and_each_level_is_one_call(
    writers: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    reader: Any = writers._backend.read(type)
    related = reader.related

    def counted(self: Any, query: Any, link: Any, keys: Any) -> Any:
        calls.append(link.name)
        return related(self, query, link, keys)

    monkeypatch.setattr(reader, "related", counted)
    found: Any = writers.user.find_many(
        include={
            "posts": {
                "where": {"views": {"gt": 0}},
                "order_by": {"views": "asc"},
                "take": 1,
                "include": {"author": {"select": {"email": True}}, "categories": True},
            },
            "profile": True,
            "boss": {"include": {"follows": {"orderBy": {"email": "desc"}}}},
            "_count": {"select": {"posts": {"where": {"views": {"gt": 2}}}, "followedBy": True}},
        }
    )
    assert calls == ["posts", "author", "categories", "profile", "boss", "follows"]
    a, b, c, d = found
    assert [p.title for p in a.posts] == ["two"]
    assert [p.title for p in b.posts] == ["three"]
    assert a.posts[0].author.email == "a@x"
    assert d.posts == []
    assert a.posts[0].categories == []
    assert a.profile.bio == "…"
    assert b.profile is None
    assert [u.email for u in c.boss.follows] == ["c@x", "b@x"]
    assert (a._count.posts, a._count.followedBy, b._count.followedBy) == (1, 0, 1)
    assert a.boss is None


def test_nested_slices_are_by_parent(writers: Client) -> None:
    found: Any = writers.user.find_many(include={"posts": {"take": -1, "order_by": {"views": "asc"}}})
    assert [[p.title for p in u.posts] for u in found] == [["one"], ["three"], [], []]
    found = writers.user.find_many(include={"posts": {"skip": 1, "order_by": {"views": "asc"}}})
    assert [[p.title for p in u.posts] for u in found] == [["one"], [], [], []]


def test_a_selection_shows_what_was_asked_for(writers: Client) -> None:
    found: Any = writers.user.find_first(
        where={"email": "a@x"}, select={"email": True, "posts": {"select": {"title": True}}, "name": False}
    )
    assert found.email == "a@x"
    shown = found.to_dict()
    assert sorted(p["title"] for p in shown.pop("posts")) == ["one", "two"]
    assert shown == {"email": "a@x"}
    with pytest.raises(AttributeError, match=r"User.name was not asked for"):
        found.name  # noqa: B018
    with pytest.raises(AttributeError, match="User has no nmae"):
        found.nmae  # noqa: B018
    with pytest.raises(AttributeError):
        found.email = "x"
    same: Any = writers.user.find_unique(where={"email": "a@x"}, omit={"token": True})
    assert "token" not in same.to_dict()
    assert same == writers.user.find_unique(where={"email": "a@x"}, omit={"token": True})
    assert same != found


def test_what_was_found_can_be_copied(writers: Client) -> None:
    found: Any = writers.user.find_unique(where={"email": "a@x"}, include={"posts": True, "_count": True})
    for copied in (copy(found), deepcopy(found)):
        assert copied == found
        assert copied._count == found._count
    assert deepcopy(found).posts is not found.posts
    plain = writers.user.find_unique(where={"email": "a@x"})
    assert deepcopy(plain) == plain


def test_a_relation_that_was_not_included_says_so(people: Client) -> None:
    found: Any = people.user.find_unique(where={"email": "a@x"})
    with pytest.raises(AttributeError, match=r"User.posts was not asked for: include it"):
        found.posts  # noqa: B018
    with pytest.raises(AttributeError, match="User has no psts"):
        found.psts  # noqa: B018
    assert not hasattr(found, "__wrapped__")


def test_secrets_do_not_show(db: Client) -> None:
    db.user.create(data={"email": "x", "token": "hunter2", "profile": {"create": {"bio": "b"}}})
    found: Any = db.user.find_many(include={"profile": {"include": {"user": True}}})
    assert "hunter2" not in repr(found)
    assert found[0].token == "hunter2"


def test_uniques_find_one_record(writers: Client) -> None:
    one: Any = writers.post.find_unique(where={"authorId_title": {"authorId": 1, "title": "one"}})
    assert one.views == 3
    assert writers.post.find_unique(where={"id": one.id}) is not None
    assert writers.post.find_unique(where={"id": one.id, "views": {"gt": 3}}) is None
    assert writers.user.find_unique(where={"email": "é"}) is None
    assert writers.user.find_first_or_raise(order_by={"email": "asc"}, take=-1).email == "d@x"
    for operation in (writers.user.find_unique_or_raise, writers.user.find_first_or_raise):
        with pytest.raises(RecordNotFound) as raised:
            operation(where={"email": "nobody"})
        assert (raised.value.code, raised.value.model) == ("P2025", "User")


def test_counts(people: Client) -> None:
    assert people.user.count() == 4
    assert people.user.count(where={"age": 30}, take=1) == 1
    assert people.user.count(select={"_all": True, "name": True, "age": True}) == {
        "_all": 4,
        "name": 3,
        "age": 3,
    }
