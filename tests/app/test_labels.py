"""Tags on everything that can have them, and exactly one default profile."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from octavo.app import set_default, tag, tags_of, untag
from octavo.errors import RecordNotFound, UsageError
from octavo.schema.texts import frozen_schema
from octavo.typed import Client

TAGGED = {
    "Character": "eve",
    "Persona": "me",
    "Chat": "chat",
    "ConnectionProfile": "c1",
    "ImageProfile": "i1",
}


def test_these_are_all_models_that_a_tag_is_tied_to() -> None:
    schema = frozen_schema()
    ties = [schema.model(key.child) for key in schema.children("Tag")]
    assert {f.model for tie in ties for f in tie.relations} - {"Tag"} == set(TAGGED)


@pytest.mark.parametrize("model", TAGGED)
def test_a_tag_is_put_on_and_taken_off(db: Client, model: str) -> None:
    first = tag(db, model, TAGGED[model], " Slow Burn ")
    assert tag(db, model, TAGGED[model], "slow burn") == first
    tag(db, model, TAGGED[model], "Angst")
    assert tags_of(db, model, TAGGED[model]) == ["Angst", "Slow Burn"]
    assert untag(db, model, TAGGED[model], "SLOW BURN")
    assert not untag(db, model, TAGGED[model], "slow burn")
    assert tags_of(db, model, TAGGED[model]) == ["Angst"]
    assert db.tag.count(where={"userId": "ada"}) == 2


def test_a_tag_is_its_owner_s(db: Client) -> None:
    hers = tag(db, "Character", "eve", "Drama")
    db.persona.create(data={"id": "bobby", "userId": "bob", "name": "Bobby", "description": ""})
    assert tag(db, "Persona", "bobby", "drama") != hers
    assert tags_of(db, "Persona", "bobby") == ["drama"]


def test_what_cannot_be_tagged_is_refused(db: Client) -> None:
    with pytest.raises(UsageError, match="Message cannot be tagged; these can: Character, "):
        tag(db, "Message", "x", "y")
    with pytest.raises(UsageError, match="has a name"):
        tag(db, "Chat", "chat", " ")
    with pytest.raises(RecordNotFound):
        tag(db, "Chat", "no such chat", "x")
    assert db.tag.count() == 0


def test_several_who_tag_at_once_make_one_tag(db: Client) -> None:
    with ThreadPoolExecutor(4) as pool:
        made = set(pool.map(lambda name: tag(db, "Chat", "chat", name), ["x", "X"] * 4))
    assert len(made) == 1
    assert db.chat_tag.count() == 1


@pytest.mark.parametrize(
    ("model", "first", "second"), [("ConnectionProfile", "c1", "c2"), ("ImageProfile", "i1", "i2")]
)
def test_there_is_one_default_for_each_user(db: Client, model: str, first: str, second: str) -> None:
    bobs = {"id": "bobs", "userId": "bob", "name": "b", "provider": "OPENAI", "modelName": "m"}
    db[model].create(data=bobs)
    for profile in ("bobs", first, second, second):
        set_default(db, model, profile)
    defaults = db[model].find_many(where={"isDefault": True}, order_by={"id": "asc"})
    assert [p.id for p in defaults] == ["bobs", second]


def test_setting_a_default_leaves_its_user_as_it_was(db: Client) -> None:
    before = db.user.find_unique(where={"id": "ada"})
    set_default(db, "ImageProfile", "i1")
    assert db.user.find_unique(where={"id": "ada"}) == before


def test_of_several_who_set_a_default_at_once_one_is_the_last(db: Client) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda profile: set_default(db, "ConnectionProfile", profile), ["c1", "c2"] * 6))
    assert db.connection_profile.count(where={"isDefault": True}) == 1


def test_a_default_of_what_has_none_is_refused(db: Client) -> None:
    with pytest.raises(UsageError, match="these have: ConnectionProfile, ImageProfile"):
        set_default(db, "Chat", "chat")
    with pytest.raises(RecordNotFound):
        set_default(db, "ImageProfile", "nothing")
