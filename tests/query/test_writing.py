"""What each writing call and nested write does, on each backend."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from backends import on_memory
from octavo.client import Client
from octavo.errors import (
    ForeignKeyViolation,
    RecordNotFound,
    RequiredRelationViolation,
    TransactionFailed,
    UniqueViolation,
    UsageError,
    ValidationError,
    ValueOutOfRange,
)
from query.blog import VOCABULARY


def user(db: Client, email: str, **include: Any) -> Any:
    return db.user.find_unique(where={"email": email}, **({"include": include} if include else {}))


def titles(db: Client, email: str) -> list[str]:
    return sorted(p.title for p in user(db, email, posts=True).posts)


def test_defaults_are_filled(db: Client) -> None:
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    made: Any = db.user.create(data={"email": "a"})
    assert made.id == 1
    assert made.role == "USER"
    assert made.words == []
    assert made.meta is None
    assert before <= made.joined == made.changed <= datetime.now(UTC)
    assert db.user.create(data={"email": "b"}).id == 2
    post: Any = db.post.create(data={"title": "t", "authorId": 1})
    assert re.fullmatch(r"c[0-9a-z]{24}", post.id)
    assert (post.views, post.likes) == (0, 0)
    profile: Any = db.profile.create(data={"bio": "b"})
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", profile.id)


def test_what_is_written_is_found_by_it(db: Client) -> None:
    now = datetime(2025, 1, 1, 1, 1, 1, 1234)
    db.user.create(data={"email": "a", "joined": now, "balance": Decimal("1.005"), "score": 0.1})
    assert db.user.count(where={"joined": now, "score": 0.1, "balance": Decimal("1.01")}) == 1


def test_json_of_any_depth_is_kept(db: Client) -> None:
    deep: list[Any] = []
    for _ in range(3000):
        deep = [deep]
    made: Any = db.user.create(data={"email": "a", "meta": deep})
    assert bytes(made._meta) == b"[" * 3001 + b"]" * 3001
    assert db.user.count(where={"meta": {"path": ["0"], "array_contains": [[]]}}) == 1
    db.user.update(where={"email": "a"}, data={"name": "x"})
    assert user(db, "a")._meta == made._meta


def test_number_and_list_operations(db: Client) -> None:
    db.user.create(data={"email": "a", "age": 7, "balance": Decimal("1.50"), "words": ["x"]})
    changed: Any = db.user.update(
        where={"email": "a"},
        data={
            "age": {"divide": -2},
            "balance": {"multiply": Decimal("1.5")},
            "words": {"push": ["y", "z"]},
            "score": {"increment": 1},
            "name": {"set": "n"},
        },
    )
    assert (changed.age, changed.balance, changed.words) == (-3, Decimal("2.25"), ["x", "y", "z"])
    assert (changed.score, changed.name) == (None, "n")
    assert db.user.update(where={"email": "a"}, data={"words": {"push": "w"}}).words == ["x", "y", "z", "w"]
    assert db.user.update(where={"email": "a"}, data={"words": {"set": []}}).words == []
    with pytest.raises(ValueOutOfRange) as raised:
        db.user.update(where={"email": "a"}, data={"age": {"multiply": -(2**30)}})
    assert raised.value.fields == ("age",)


def test_an_update_touches_what_it_changes(db: Client) -> None:
    old: Any = db.user.create(data={"email": "a", "changed": datetime(2000, 1, 1)})
    assert db.user.update(where={"id": old.id}, data={}) == old
    assert db.user.update(where={"id": old.id}, data={"name": "x"}).changed > old.changed
    assert db.user.update(where={"id": old.id}, data={"changed": datetime(2001, 1, 1)}).changed.year == 2001
    assert db.user.update_many(data={"age": 1}) == 1
    assert user(db, "a").changed.year > 2001
    assert old.name is None


def test_updates_of_many(people: Client) -> None:
    assert people.user.update_many(where={"age": 30}, data={"age": {"increment": 1}}) == 2
    found = people.user.update_many_and_return(where={"age": 31}, data={"name": "n"}, select={"email": True})
    assert [f.to_dict() for f in found] == [{"email": "a@x"}, {"email": "c@x"}]
    assert people.user.delete_many(where={"age": 31}) == 2
    assert people.user.delete_many() == 2


def test_create_many(db: Client) -> None:
    rows = [{"email": "a"}, {"email": "b"}, {"email": "a"}]
    with pytest.raises(UniqueViolation) as raised:
        db.user.create_many(data=rows)
    assert (raised.value.code, raised.value.model, raised.value.fields) == ("P2002", "User", ("email",))
    assert db.user.count() == 0
    assert db.user.create_many(data=rows, skipDuplicates=True) == 2
    made = db.user.create_many_and_return(data=[{"email": "c"}], include={"posts": True})
    assert [(m.email, m.posts) for m in made] == [("c", [])]
    assert db.user.create_many(data=[]) == 0


def test_updates_and_deletes_need_their_record(db: Client) -> None:
    for operation, arguments in (
        (db.user.update, {"data": {"name": "x"}}),
        (db.user.update, {"data": {}}),
        (db.user.delete, {}),
    ):
        with pytest.raises(RecordNotFound):
            operation(where={"email": "nobody"}, **arguments)


def test_delete_gives_the_record_as_it_was(people: Client) -> None:
    people.post.create(data={"title": "t", "author": {"connect": {"email": "a@x"}}})
    gone: Any = people.user.delete(where={"email": "a@x"}, include={"posts": True})
    assert [p.title for p in gone.posts] == ["t"]
    assert people.post.count() == 0


def test_upsert(db: Client) -> None:
    arguments: Any = {"where": {"email": "a"}, "create": {"email": "a"}, "update": {"name": "again"}}
    assert db.user.upsert(**arguments).name is None
    assert db.user.upsert(**arguments, select={"name": True}).to_dict() == {"name": "again"}


def test_foreign_keys(db: Client) -> None:
    with pytest.raises(ForeignKeyViolation) as raised:
        db.post.create(data={"title": "t", "authorId": 9})
    assert (raised.value.code, raised.value.fields) == ("P2003", ("authorId",))
    assert db.post.count() == 0


NEW = {"title": "new"}


def test_over_a_list_whose_records_hold_the_key(people: Client) -> None:
    db = people
    data = {"posts": {"create": [{"title": "1"}, {"title": "2"}], "createMany": {"data": [{"title": "3"}]}}}
    db.user.update(where={"email": "a@x"}, data=data)
    one: Any = db.post.find_first(where={"title": "1"})
    db.user.update(where={"email": "b@x"}, data={"posts": {"connect": {"id": one.id}}})
    assert (titles(db, "a@x"), titles(db, "b@x")) == (["2", "3"], ["1"])
    connect_or_create = [
        {"where": {"id": one.id}, "create": NEW},
        {"where": {"id": "none"}, "create": NEW},
    ]
    db.user.update(where={"email": "a@x"}, data={"posts": {"connectOrCreate": connect_or_create}})
    assert titles(db, "a@x") == ["1", "2", "3", "new"]
    db.user.update(
        where={"email": "a@x"},
        data={
            "posts": {
                "update": {"where": {"id": one.id}, "data": {"views": {"increment": 5}}},
                "updateMany": {"where": {"title": {"in": ["2", "3"]}}, "data": {"views": 1}},
                "upsert": [
                    {"where": {"id": one.id}, "update": {"title": "uno"}, "create": NEW},
                    {"where": {"id": "none"}, "update": {}, "create": {"title": "due"}},
                ],
                "delete_many": {"title": "new"},
            }
        },
    )
    assert titles(db, "a@x") == ["2", "3", "due", "uno"]
    assert [p.views for p in db.post.find_many(order_by={"title": "asc"})] == [1, 1, 0, 5]
    db.user.update(where={"email": "a@x"}, data={"posts": {"delete": [{"id": one.id}]}})
    assert titles(db, "a@x") == ["2", "3", "due"]


@pytest.mark.parametrize(
    "step",
    [
        {"connect": {"id": "none"}},
        {"set": [{"id": "none"}]},
        {"delete": {"id": "other"}},
        {"update": {"where": {"id": "other"}, "data": {"views": 1}}},
    ],
)
def test_nested_writes_need_their_record_and_leave_nothing_behind(people: Client, step: Any) -> None:
    people.user.update(where={"email": "b@x"}, data={"posts": {"create": {"id": "other", "title": "o"}}})
    with pytest.raises(RecordNotFound) as raised:
        people.user.update(where={"email": "a@x"}, data={"name": "x", "posts": step})
    assert raised.value.model == "Post"
    assert "User.posts" in raised.value.doing
    assert user(people, "a@x").name == "Ann"


def test_nested_writes_are_done_in_the_order_of_their_names(people: Client) -> None:
    def posts(*steps: tuple[str, Any]) -> list[str]:
        people.user.update(where={"email": "a@x"}, data={"posts": dict(steps)})
        return titles(people, "a@x")

    new = [{"title": "one"}, {"title": "two"}]
    assert posts(("delete_many", {}), ("create", new)) == ["one", "two"]
    assert posts(("deleteMany", {}), ("createMany", {"data": new})) == ["one", "two"]
    assert posts(("update_many", {"where": {}, "data": {"views": 1}}), ("delete_many", {"views": 1})) == []
    assert posts(("create", new), ("delete_many", {})) == []


@pytest.mark.parametrize("step", [{"disconnect": {"id": "p"}}, {"set": []}])
def test_a_required_relation_is_not_broken(people: Client, step: Any) -> None:
    people.user.update(where={"email": "a@x"}, data={"posts": {"create": {"id": "p", "title": "o"}}})
    with pytest.raises(RequiredRelationViolation) as raised:
        people.user.update(where={"email": "a@x"}, data={"posts": step})
    assert (raised.value.code, raised.value.model, raised.value.relation) == ("P2014", "Post", "author")
    people.user.update(where={"email": "b@x"}, data={"posts": {"disconnect": {"id": "p"}}})


def test_set_and_disconnect_where_the_key_may_be_null(db: Client) -> None:
    db.user.create(data={"email": "boss", "reports": {"create": [{"email": e} for e in "abc"]}})
    db.user.update(where={"email": "boss"}, data={"reports": {"disconnect": {"email": "a"}}})
    assert sorted(u.email for u in user(db, "boss", reports=True).reports) == ["b", "c"]
    db.user.update(where={"email": "boss"}, data={"reports": {"set": [{"email": "a"}, {"email": "b"}]}})
    assert sorted(u.email for u in user(db, "boss", reports=True).reports) == ["a", "b"]


def test_over_a_relation_whose_key_the_record_holds(db: Client) -> None:
    made: Any = db.post.create(
        data={"title": "t", "author": {"create": {"email": "a"}}}, include={"author": True}
    )
    assert made.author.email == "a"
    db.user.create(data={"email": "b"})

    def author(step: Any) -> Any:
        return db.post.update(where={"id": made.id}, data={"author": step}, include={"author": True})

    assert author({"connect": {"email": "b"}}).author.email == "b"
    assert author({"update": {"name": "B"}}).author.name == "B"
    assert author({"update": {"where": {"name": "B"}, "data": {"name": "BB"}}}).author.name == "BB"
    with pytest.raises(RecordNotFound):
        author({"update": {"where": {"name": "B"}, "data": {"name": "BBB"}}})
    again = {"connect_or_create": {"where": {"email": "c"}, "create": {"email": "c"}}}
    assert author(again).author.email == author(again).author.email == "c"
    upsert = {"upsert": {"create": {"email": "d"}, "update": {"name": "C"}}}
    assert author(upsert).author.name == "C"


def test_an_optional_parent_can_go(db: Client) -> None:
    db.user.create(data={"email": "a", "boss": {"create": {"email": "boss"}}})
    db.user.update(where={"email": "a"}, data={"boss": {"disconnect": {"name": "x"}}})
    assert user(db, "a", boss=True).boss.email == "boss"
    db.user.update(where={"email": "a"}, data={"boss": {"disconnect": True}})
    assert user(db, "a").bossId is None
    db.user.update(where={"email": "a"}, data={"boss": {"disconnect": True}})
    with pytest.raises(RecordNotFound):
        db.user.update(where={"email": "a"}, data={"boss": {"delete": True}})
    upsert = {"upsert": {"create": {"email": "new"}, "update": {}}}
    assert db.user.update(where={"email": "a"}, data={"boss": upsert}).bossId is not None
    db.user.update(where={"email": "a"}, data={"boss": {"delete": True}})
    assert user(db, "new") is None
    assert user(db, "a").bossId is None


def test_one_to_one(db: Client) -> None:
    db.user.create(
        data={"email": "a", "profile": {"create": {"bio": "1"}}, "passport": {"create": {"number": "n"}}}
    )
    db.user.create(data={"email": "b", "profile": {"create": {"bio": "2"}}})
    second: Any = db.profile.find_first(where={"bio": "2"})
    # From the side without the key: the old one makes room.
    db.user.update(where={"email": "a"}, data={"profile": {"connect": {"id": second.id}}})
    assert user(db, "a", profile=True).profile.bio == "2"
    assert user(db, "b", profile=True).profile is None
    first: Any = db.profile.find_first(where={"bio": "1"})
    assert first.userId is None
    # From the side with the key: whoever had it makes room.
    db.profile.update(where={"id": first.id}, data={"user": {"connect": {"email": "a"}}})
    assert user(db, "a", profile=True).profile.bio == "1"
    assert db.profile.find_unique_or_raise(where={"id": second.id}).userId is None
    db.user.update(where={"email": "a"}, data={"profile": {"update": {"bio": "1+"}}})
    db.user.update(where={"email": "a"}, data={"profile": {"create": {"bio": "3"}}})
    assert user(db, "a", profile=True).profile.bio == "3"
    db.user.update(where={"email": "a"}, data={"profile": {"disconnect": True}})
    db.user.update(where={"email": "a"}, data={"profile": {"upsert": {"create": {"bio": "4"}, "update": {}}}})
    db.user.update(where={"email": "a"}, data={"profile": {"delete": True}})
    assert sorted(p.bio for p in db.profile.find_many()) == ["1+", "2", "3"]
    for step in ({"create": {"number": "m"}}, {"disconnect": True}):
        with pytest.raises(RequiredRelationViolation):
            db.user.update(where={"email": "a"}, data={"passport": step})
    with pytest.raises(RequiredRelationViolation):
        db.passport.create(data={"number": "m", "owner": {"connect": {"email": "a"}}})


def test_many_to_many(db: Client) -> None:
    db.user.create(
        data={
            "email": "a",
            "posts": {
                "create": {"id": "p", "title": "t", "categories": {"create": [{"name": "x"}, {"name": "y"}]}}
            },
        }
    )

    def names(step: Any) -> str:
        found: Any = db.post.update(
            where={"id": "p"},
            data={"categories": step},
            include={"categories": {"order_by": {"name": "asc"}}},
        )
        return "".join(c.name for c in found.categories)

    db.category.create(data={"name": "z"})
    assert names({"connect": [{"name": "z"}, {"name": "x"}]}) == "xyz"
    assert names({"disconnect": {"name": "y"}}) == "xz"
    assert names({"set": [{"name": "y"}]}) == "y"
    assert names({"connect_or_create": {"where": {"name": "w"}, "create": {"name": "w"}}}) == "wy"
    assert names({"update": {"where": {"name": "w"}, "data": {"name": "v"}}}) == "vy"
    with pytest.raises(RecordNotFound):
        names({"update": {"where": {"name": "z"}, "data": {"name": "v"}}})
    assert names({"upsert": {"where": {"name": "u"}, "update": {}, "create": {"name": "u"}}}) == "uvy"
    assert (
        names(
            {
                "delete": {"name": "y"},
                "update_many": {"where": {"name": {"gt": "u"}}, "data": {"name": {"set": "q"}}},
            }
        )
        == "qu"
    )
    assert names({"delete_many": {}}) == ""
    assert sorted(c.name for c in db.category.find_many()) == ["x", "z"]
    counted: Any = db.category.find_first(where={"posts": {"some": {"id": "p"}}}, include={"_count": True})
    assert counted is None


def test_self_relations_have_two_sides(db: Client) -> None:
    db.user.create(data={"email": "a", "follows": {"create": {"email": "b"}}})
    assert [u.email for u in user(db, "b", followedBy=True).followedBy] == ["a"]
    assert user(db, "b", follows=True).follows == []


def test_compound_keys(db: Client) -> None:
    db.comment.create(data={"number": 1, "lang": "en", "text": "hi"})
    where = {"number_lang": {"number": 1, "lang": "en"}}
    assert db.comment.update(where=where, data={"lang": "de"}).lang == "de"
    assert db.comment.find_unique(where=where) is None
    assert db.comment.delete_many(where={"number_lang": {"number": 1}}) == 1


def test_a_transaction_happens_whole_or_not_at_all(db: Client) -> None:
    with db.tx() as tx:
        tx.user.create(data={"email": "a"})
        assert tx.user.count() == 1
    with pytest.raises(ZeroDivisionError), db.tx() as tx:  # noqa: PT012
        tx.user.create(data={"email": "b"})
        raise ZeroDivisionError
    assert db.user.count() == 1


def test_a_failed_transaction_is_lost_even_if_the_error_is_caught(db: Client) -> None:
    db.user.create(data={"email": "a"})
    with pytest.raises(TransactionFailed) as raised, db.tx() as tx:  # noqa: PT012
        tx.user.create(data={"email": "b"})
        with pytest.raises(RecordNotFound):
            tx.user.find_unique_or_raise(where={"email": "none"})
        assert tx.user.count() == 2
        with pytest.raises(UniqueViolation):
            tx.user.create(data={"email": "a"})
        with pytest.raises(TransactionFailed):
            tx.user.count()
    assert raised.value.code == "P2028"
    assert db.user.count() == 1


def test_within_a_transaction_a_thread_writes_by_nothing_else(db: Client) -> None:
    with db.tx() as tx:
        tx.user.create(data={"email": "a"})
        assert db.user.count() == 0
        with pytest.raises(UsageError, match="inside another one"):
            db.user.create(data={"email": "b"})
        with pytest.raises(UsageError, match="inside another one"), db.tx():
            pass
    db.user.create(data={"email": "b"})
    assert db.user.count() == 2


@pytest.mark.parametrize("wrong", [-1, "5", None, True, float("nan")])
def test_the_limits_of_a_transaction_are_seconds(db: Client, wrong: Any) -> None:
    for limits in ({"timeout": wrong}, {"max_wait": wrong}):
        with pytest.raises(ValidationError, match="number of seconds"), db.tx(**limits):
            pass
    with db.tx(timeout=float("inf"), max_wait=1e12) as tx:
        assert tx.user.count() == 0


def test_an_ended_transaction_cannot_be_used(db: Client) -> None:
    with db.tx() as tx:
        pass
    with pytest.raises(TransactionFailed, match="has ended"):
        tx.user.create(data={"email": "a"})


def test_the_client_is_a_context_manager() -> None:
    with on_memory(VOCABULARY) as db:
        assert db["User"].count() == 0
