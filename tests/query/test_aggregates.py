"""``aggregate``, ``group_by`` and ``count`` with ``select``, on each backend."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from octavo.client import Client
from octavo.errors import ValidationError, ValueOutOfRange


@pytest.fixture
def posts(people: Client) -> Client:
    """Two users with three posts and one, and two without."""
    ann = people.user.find_unique_or_raise(where={"email": "a@x"})
    bob = people.user.find_unique_or_raise(where={"email": "b@x"})
    for title, views, likes, author in (("x", 1, 2**62, ann), ("y", 2, 2**62, ann), ("z", 2, 5, ann)):
        people.post.create(data={"title": title, "views": views, "likes": likes, "authorId": author.id})
    people.post.create(data={"title": "x", "views": 7, "authorId": bob.id})
    return people


def test_an_aggregate_has_the_shape_of_what_was_asked(posts: Client) -> None:
    assert posts.post.aggregate(
        _count=True, _sum={"views": True}, _avg={"views": True}, _min={"title": True}, _max={"views": True}
    ) == {
        "_count": 4,
        "_sum": {"views": 12},
        "_avg": {"views": 3.0},
        "_min": {"title": "x"},
        "_max": {"views": 7},
    }


def test_a_count_of_fields_leaves_out_nulls(people: Client) -> None:
    wanted = {"_all": 4, "age": 3, "name": 3, "role": 4, "meta": 0}
    assert people.user.aggregate(_count=dict.fromkeys(wanted, True)) == {"_count": wanted}
    assert people.user.count(select=dict.fromkeys(wanted, True)) == wanted


def test_an_aggregate_of_nothing_is_null_and_its_count_zero(people: Client) -> None:
    found = people.user.aggregate(
        where={"name": "nobody"}, _count=True, _sum={"age": True}, _avg={"score": True}, _max={"name": True}
    )
    assert found == {"_count": 0, "_sum": {"age": None}, "_avg": {"score": None}, "_max": {"name": None}}


def test_an_average_of_whole_numbers_is_a_float(people: Client) -> None:
    assert people.user.aggregate(_avg={"age": True}) == {"_avg": {"age": 21.666666666666668}}


def test_a_sum_of_64_bit_numbers_may_have_more_bits(posts: Client) -> None:
    assert posts.post.aggregate(_sum={"likes": True}, _avg={"likes": True}) == {
        "_sum": {"likes": 2**63 + 5},
        "_avg": {"likes": 2.305843009213694e18},
    }


def test_decimals_keep_their_digits(people: Client) -> None:
    for balance, email in (("1.10", "a@x"), ("2.05", "b@x"), ("-0.01", "c@x")):
        people.user.update(where={"email": email}, data={"balance": balance})
    found = people.user.aggregate(_sum={"balance": True}, _avg={"balance": True}, _min={"balance": True})
    assert found == {
        "_sum": {"balance": Decimal("3.14")},
        "_avg": {"balance": Decimal("1.04666666666666666667")},
        "_min": {"balance": Decimal("-0.01")},
    }
    assert str(found["_avg"]["balance"]) == "1.04666666666666666667"


def test_floats_are_summed_in_the_order_of_the_records(people: Client) -> None:
    for email, score in (("a@x", 1e16), ("b@x", 1.0), ("c@x", -1e16), ("d@x", 1.0)):
        people.user.update(where={"email": email}, data={"score": score})
    assert people.user.aggregate(_sum={"score": True}) == {"_sum": {"score": 1.0}}
    by_score = people.user.aggregate(order_by={"score": "asc"}, _sum={"score": True})
    assert by_score == {"_sum": {"score": 0.0}}


def test_a_sum_of_floats_out_of_range_says_so(people: Client) -> None:
    people.user.update_many(data={"score": 1e308})
    with pytest.raises(ValueOutOfRange) as raised:
        people.user.aggregate(_sum={"score": True})
    assert (raised.value.model, raised.value.fields) == ("User", ("score",))


def test_a_group_that_is_left_out_by_its_key_is_not_computed(people: Client) -> None:
    people.user.update_many(data={"score": 1e308})
    asked: dict[str, Any] = {"by": ["age"], "_sum": {"score": True}}
    assert people.user.group_by(**asked, having={"age": 5}) == [{"age": 5, "_sum": {"score": 1e308}}]
    for having in ({"age": {"not": 5}}, {"score": {"_sum": {"gt": 0}}}):
        with pytest.raises(ValueOutOfRange):
            people.user.group_by(**asked, having=having)


def test_an_aggregate_is_of_the_records_that_a_find_gives(people: Client) -> None:
    def total(**arguments: Any) -> Any:
        return people.user.aggregate(_sum={"id": True}, **arguments)["_sum"]["id"]

    ids = [user.id for user in people.user.find_many(order_by={"id": "asc"})]
    for arguments in (
        {"order_by": {"id": "desc"}, "take": 2, "skip": 1},
        {"order_by": {"id": "asc"}, "take": -2},
        {"order_by": {"id": "asc"}, "cursor": {"id": ids[1]}},
        {"where": {"age": 30}},
    ):
        found = sum(user.id for user in people.user.find_many(**arguments))
        assert total(**arguments) == found, arguments
    assert total(cursor={"id": 0}) is None


def test_groups_have_what_they_agree_in(people: Client) -> None:
    assert people.user.group_by(by=["age"], _count=True) == [
        {"age": 5, "_count": 1},
        {"age": 30, "_count": 2},
        {"age": None, "_count": 1},
    ]
    assert people.user.group_by(by="role", _count={"_all": True, "name": True}) == [
        {"role": "USER", "_count": {"_all": 4, "name": 3}}
    ]


def test_having_goes_by_aggregates_and_by_fields(posts: Client) -> None:
    def titles(having: dict[str, Any]) -> list[str]:
        return [group["title"] for group in posts.post.group_by(by=["title"], having=having)]

    assert titles({"views": {"_sum": {"gt": 2}}}) == ["x"]
    assert titles({"title": {"not": "x"}}) == ["y", "z"]
    assert titles({"title": {"in": ["x", "y"], "_count": {"lt": 2}}}) == ["y"]
    assert titles({"OR": [{"views": {"_max": 7}}, {"title": "z"}]}) == ["x", "z"]
    assert titles({"NOT": {"views": {"_avg": {"equals": 2}}}}) == ["x"]
    assert titles({"AND": [{"views": {"_min": {"lte": 1}}}, {"title": {"starts_with": "x"}}]}) == ["x"]
    assert titles({"likes": {"_sum": {"gte": 2**62}}}) == ["x", "y"]
    assert titles({}) == ["x", "y", "z"]
    assert titles({"OR": []}) == []


def test_groups_are_ordered_by_aggregates_and_cut(posts: Client) -> None:
    def titles(**arguments: Any) -> list[str]:
        return [group["title"] for group in posts.post.group_by(by=["title"], **arguments)]

    assert titles(order_by={"_sum": {"views": "desc"}}) == ["x", "y", "z"]
    assert titles(order_by=[{"_count": {"id": "asc"}}, {"title": "desc"}]) == ["z", "y", "x"]
    assert titles(order_by={"title": "desc"}, take=2) == ["z", "y"]
    assert titles(order_by={"title": "desc"}, skip=1) == ["y", "x"]
    assert titles(order_by={"title": "asc"}, take=-1) == ["z"]
    assert titles(order_by={"title": "asc"}, take=-2, skip=1) == ["x", "y"]
    assert titles(take=0) == []


def test_groups_without_a_value_come_last_or_first(people: Client) -> None:
    def ages(order: Any) -> list[Any]:
        return [group["age"] for group in people.user.group_by(by=["age"], order_by=order)]

    assert ages({"age": "desc"}) == [None, 30, 5]
    assert ages({"age": {"sort": "desc", "nulls": "last"}}) == [30, 5, None]


def test_groups_by_json_and_lists_and_floats(people: Client) -> None:
    for email, meta, words, score in (("a@x", {"a": 1}, ["w"], -0.0), ("b@x", {"a": 1.0}, ["w"], 0.0)):
        people.user.update(where={"email": email}, data={"meta": meta, "words": words, "score": score})
    assert people.user.group_by(by=["meta"], _count=True, where={"email": {"in": ["a@x", "b@x"]}}) == [
        {"meta": {"a": 1}, "_count": 2}
    ]
    counted = people.user.group_by(by=["words"], _count=True)
    assert counted == [{"words": ["w"], "_count": 2}, {"words": [], "_count": 2}]
    [one, two] = people.user.group_by(by=["score"], _count=True)
    assert (str(one["score"]), one["_count"], two["score"]) == ("-0.0", 2, None)


def test_prisma_client_pys_names_are_understood(people: Client) -> None:
    assert people.user.group_by(by=["role"], count=True, avg={"age": True}, order={"role": "asc"}) == [
        {"role": "USER", "_count": 4, "_avg": {"age": 21.666666666666668}}
    ]


@pytest.mark.parametrize(
    ("operation", "arguments", "path", "reason"),
    [
        ("aggregate", {}, "", "asks for nothing"),
        ("aggregate", {"_sum": {"name": True}}, "_sum.name", "unknown"),
        ("aggregate", {"_min": {"meta": True}}, "_min.meta", "unknown"),
        ("aggregate", {"_max": {"words": True}}, "_max.words", "unknown"),
        ("aggregate", {"_count": {"age": 1}}, "_count.age", "must be a bool"),
        ("aggregate", {"_count": True, "distinct": ["age"]}, "distinct", "unknown"),
        ("group_by", {"_count": True}, "by", "names no field"),
        ("group_by", {"by": ["nme"]}, "by[0].nme", "unknown"),
        ("group_by", {"by": ["age"], "having": {"name": "x"}}, "having.name", "neither aggregated"),
        ("group_by", {"by": ["age"], "having": {"name": {"_sum": 1}}}, "having.name._sum", "cannot be asked"),
        (
            "group_by",
            {"by": ["age"], "having": {"age": {"_avg": {"gt": "x"}}}},
            "having.age._avg.gt",
            "number",
        ),
        ("group_by", {"by": ["age"], "order_by": {"name": "asc"}}, "order_by.name", "is not one of"),
        ("group_by", {"by": ["age"], "order_by": {"_sum": {"name": "asc"}}}, "order_by._sum.name", "unknown"),
        ("group_by", {"by": ["age"], "cursor": {"id": 1}}, "cursor", "unknown"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    db: Client, operation: str, arguments: dict[str, Any], path: str, reason: str
) -> None:
    with pytest.raises(ValidationError) as raised:
        getattr(db.user, operation)(**arguments)
    assert (raised.value.path, reason in str(raised.value)) == (path, True), raised.value
