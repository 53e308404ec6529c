"""A search of words: what it finds is the same on each backend; how hits are ranked is each one's affair."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

import octavo
from backends import BACKENDS, dual_backend, on_files, on_memory, prisma_backend
from octavo.client import Client
from octavo.errors import ValidationError
from octavo.layout.layout import Layout
from octavo.layout.load import frozen_layout
from octavo.query.search import Hit
from octavo.query.vocabulary import Vocabulary
from octavo.store import texts
from octavo.values.words import Ranking, folded, snippet, words_of
from query.blog import VOCABULARY

FROZEN = Vocabulary(frozen_layout().datamodel)
TEXTS = {
    "red": "The red door was open.",
    "both": "Behind the RED gate: a door, another door, and a third door!",
    "door": "A door without a colour",
    "blue": "A blue window; nothing else",
    "accents": "Émile's café — naïve, İstanbul & ΟΔΥΣΣΕΥΣ",
    "signs": 'foo_bar x-ray a/b/c ada@example.org "quoted" 3.14 (paren) <b>bold</b>',
    "far": "red " + "and so on " * 100 + "door",
    "inside": "bored doors",
}


@pytest.fixture(params=[*BACKENDS, "indexed"])
def chats(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Client]:
    """Messages in two chats, on each backend in turn, and on files that are indexed."""
    folder = tmp_path / "data"
    match request.param:
        case "memory":
            yield filled(on_memory(FROZEN))
        case "json" | "indexed":
            if request.param == "indexed":
                monkeypatch.setattr(texts, "SMALLEST", 0)
            with on_files(FROZEN, folder) as made:
                yield filled(made)
            assert request.param == "indexed" or not (folder / "cache/search").exists()
        case "prisma":
            with prisma_backend(FROZEN, request.getfixturevalue("schema_database")) as backend:
                yield filled(Client(backend, FROZEN))
        case "dual":
            with dual_backend(FROZEN, request.getfixturevalue("schema_database"), folder) as both:
                yield filled(Client(both, FROZEN))


def filled(db: Client) -> Client:
    user = db.user.create(data={"email": "a@example.org", "passwordHash": "secretive"})
    ada = {"name": "Ada of the red door", "description": "An analyst", "userId": user.id, "personality": ""}
    hero = db.character.create(data={**ada, "scenario": "", "firstMessage": "", "exampleDialogues": ""})
    data = {"userId": user.id, "name": "p", "provider": "OPENAI", "modelName": "m"}
    profile = db.connection_profile.create(data=data)
    for number in (1, 2):
        data = {"title": f"Talk {number}", "characterId": hero.id, "connectionProfileId": profile.id}
        db.chat.create(data={"id": f"chat-{number}", "userId": user.id, **data})
    db.message.create_many(
        data=[
            {"id": name, "chatId": f"chat-{1 + n % 2}", "role": "USER", "content": content}
            for n, (name, content) in enumerate(TEXTS.items())
        ]
    )
    return db


def found(db: Client, query: str, **more: Any) -> list[str]:
    return sorted(hit.record.id for hit in db.message.search(query, **more))


def test_a_search_finds_what_has_every_word_in_any_case(chats: Client) -> None:
    assert found(chats, "red door") == ["both", "far", "red"]
    assert found(chats, "Door, RED!") == ["both", "far", "red"]
    assert found(chats, "red") == ["both", "far", "red"]
    assert found(chats, "red window") == []
    assert found(chats, "door door door") == found(chats, "door") == ["both", "door", "far", "red"]


def test_words_are_letters_and_digits(chats: Client) -> None:
    for query in (
        "foo bar",
        "bar_foo",
        "x ray",
        "x-ray",
        "ada@example.org",
        "example",
        "b c a",
        "3.14",
        "14 3",
    ):
        assert found(chats, query) == ["signs"], query
    for query in ("émile", "ÉMILE'S", "CAFÉ", "naïve", "istanbul", "İstanbul", "οδυσσευσ", "ΟΔΥΣΣΕΥΣ"):
        assert found(chats, query) == ["accents"], query
    assert found(chats, "emile") == []
    assert found(chats, "bore") == []


def test_what_a_query_language_would_take_for_an_operator_is_a_word_or_nothing(chats: Client) -> None:
    assert found(chats, '"red" -door* (') == ["both", "far", "red"]
    assert found(chats, "red & !door | window:*") == []
    assert found(chats, "content:red") == []
    assert found(chats, "red OR door") == found(chats, "red and door near") == []
    for query in ("", "  ", "!?", '"', "***", "_"):
        assert chats.message.search(query) == []


def test_hits_have_a_rank_and_a_snippet_and_come_best_first(chats: Client) -> None:
    hits = chats.message.search("red door")
    assert all(isinstance(hit, Hit) for hit in hits)
    assert [hit.rank for hit in hits] == sorted((hit.rank for hit in hits), reverse=True)
    assert all(hit.rank > 0 for hit in hits)
    snippets = {hit.record.id: hit.snippet for hit in hits}
    assert snippets["red"] == "The **red** door was open.".replace("door", "**door**")
    assert snippets["both"].count("**door**") == 3
    assert "**RED** gate" in snippets["both"]
    assert len(snippets["far"]) < 200
    assert hits[-1].record.id == "far"


def test_where_take_and_skip_narrow(chats: Client) -> None:
    assert found(chats, "red", where={"chatId": "chat-1"}) == ["far", "red"]
    assert found(chats, "door", where={"chat": {"title": "Talk 2"}}) == ["both"]
    every = [hit.record.id for hit in chats.message.search("door")]
    assert [hit.record.id for hit in chats.message.search("door", take=2)] == every[:2]
    assert [hit.record.id for hit in chats.message.search("door", take=2, skip=1)] == every[1:3]
    assert chats.message.search("door", take=0) == []


def test_records_are_shown_as_asked_for(chats: Client) -> None:
    (hit,) = chats.message.search("blue", include={"chat": True})
    assert hit.record.chat.title == "Talk 2"
    (hit,) = chats.message.search("blue", select={"id": True})
    assert hit.record.to_dict() == {"id": "blue"}
    assert "**blue**" in hit.snippet


def test_fields_are_those_of_the_layout_or_those_that_are_named(chats: Client) -> None:
    assert len(chats.character.search("analyst ada")) == 1
    assert chats.character.search("analyst ada", fields=["name"]) == []
    assert len(chats.character.search("ada", fields="name")) == 1
    assert len(chats.connection_profile.search("m p", fields=["name", "modelName"])) == 1
    with pytest.raises(ValidationError, match="the layout names none"):
        chats.connection_profile.search("m p")


@pytest.mark.parametrize("smallest", [0, 1 << 20])
def test_a_search_can_be_awaited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, smallest: int) -> None:
    monkeypatch.setattr(texts, "SMALLEST", smallest)
    with on_files(FROZEN, tmp_path / "data") as db:
        filled(db)

    async def work() -> None:
        async with octavo.connect_async("json", data_dir=tmp_path / "data") as db:
            for _ in range(3):
                hits = await db.message.search("red door", take=20)
                assert sorted(hit.record.id for hit in hits) == ["both", "far", "red"]
                where: Any = {"content": {"contains": "DOOR", "mode": "insensitive"}}
                assert await db.message.count(where=where) == 5
            async with db.tx() as tx:
                await tx.message.update(where={"id": "blue"}, data={"content": "a red door"})
                assert len(await tx.message.search("red door")) == 4

    asyncio.run(work())


def test_no_secret_is_searched(chats: Client) -> None:
    with pytest.raises(ValidationError, match="is a secret"):
        chats.user.search("secretive", fields=["passwordHash"])


def test_a_transaction_searches_what_it_has_written(chats: Client) -> None:
    with chats.tx() as tx:
        tx.message.update(where={"id": "blue"}, data={"content": "a red door"})
        tx.message.delete(where={"id": "far"})
        assert sorted(h.record.id for h in tx.message.search("red door")) == ["blue", "both", "red"]
    assert found(chats, "red door") == ["blue", "both", "red"]


def test_bad_searches_are_typed_errors(chats: Client) -> None:
    many = " ".join(f"word{n}" for n in range(10_000))
    with pytest.raises(ValidationError, match="10000 different words"):
        chats.message.search(many)
    assert found(chats, "red door " * 5_000) == ["both", "far", "red"]
    bad: list[tuple[Any, dict[str, Any]]] = [
        ("x" * 501, {}),
        ("a\0b", {}),
        ("\ud800", {}),
        (None, {}),
        (5, {}),
        ("red", {"take": -1}),
        ("red", {"take": "5"}),
        ("red", {"fields": ["contents"]}),
        ("red", {"fields": ["createdAt"]}),
        ("red", {"fields": []}),
        ("red", {"wher": {}}),
        ("red", {"where": {"nothing": 1}}),
    ]
    for query, more in bad:
        with pytest.raises(ValidationError):
            chats.message.search(query, **more)


def test_a_model_that_no_layout_lets_be_searched_is_searched_by_named_fields(db: Client) -> None:
    db.user.create(data={"email": "a@x", "name": "Ann Lee"})
    db.user.create(data={"email": "b@x"})
    assert [hit.record.email for hit in db.user.search("lee ANN", fields=["name"])] == ["a@x"]
    assert [hit.record.email for hit in db.user.search("x b", fields=["name", "email"])] == ["b@x"]
    with pytest.raises(ValidationError, match="is not a field of text"):
        db.user.search("a", fields=["words"])
    with pytest.raises(ValidationError, match="is a secret"):
        db.user.search("a", fields=["token"])


def test_the_index_ranks_as_looking_at_every_record_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ranked = []
    for smallest in (0, 1 << 20):
        monkeypatch.setattr(texts, "SMALLEST", smallest)
        with on_files(FROZEN, tmp_path / str(smallest)) as db:
            filled(db)
            for query in ("red door", "door", "and", "a"):
                ranked.append(
                    [(h.record.id, pytest.approx(h.rank, rel=1e-6)) for h in db.message.search(query)]
                )
    assert ranked[:4] == ranked[4:]


def test_a_caseless_column_is_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(texts, "SMALLEST", 0)
    from octavo.layout.load import flat_layout

    plain = flat_layout(VOCABULARY.datamodel)
    places = tuple(replace(p, search=("title",)) if p.model.name == "Post" else p for p in plain.places)
    layout = Layout(plain.datamodel, places, plain.payload_folder, plain.source)
    with on_files(VOCABULARY, tmp_path / "data", layout=layout) as db:
        user = db.user.create(data={"email": "a@x"})
        for title in ("Red door", "Blue door"):
            db.post.create(data={"title": title, "author": {"connect": {"id": user.id}}})
        found = db.post.find_many(where={"title": {"contains": "RED", "mode": "insensitive"}})
        assert [p.title for p in found] == ["Red door"]
        assert [h.record.title for h in db.post.search("door red")] == ["Red door"]


def test_folding_keeps_places() -> None:
    text = "İΣ ÉẞK 𐐀 ﬀ"
    assert len(folded(text)) == len(text)
    assert folded(text[:3]) + folded(text[3:]) == folded(text)
    assert words_of(folded("foo_bar, x-1")) == ["foo", "bar", "x", "1"]


def test_a_snippet_shows_where_most_words_stand() -> None:
    text = "door " + "x " * 200 + "the\n\nRed   door " + "y " * 200
    assert "the **Red** **door** y" in snippet([text], {"red", "door"})
    assert snippet(["nothing", "a door"], {"door"}) == "a **door**"
    assert snippet([], {"door"}) == ""
    assert snippet(["x" * 10_000], {"door"}) == "x" * 160 + "…"


def test_rare_words_weigh_more_than_frequent_ones() -> None:
    ranking = Ranking(["rare", "often"], 100, 1000, [1, 60])
    assert ranking.of(["rare", "often", *["x"] * 8]) > ranking.of(["often", "often", *["x"] * 8])
