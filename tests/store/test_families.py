"""Each way to live: what a change does to the files, and what it leaves alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from folders import edit_json, records, tree
from octavo.errors import ConflictError, DamagedError
from octavo.store.store import Store
from small_store import build, erase, layout, message, revise, row, state_of, state_on_disk
from stores import Unsynced


@pytest.fixture
def data(tmp_path: Path) -> Path:
    build(tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture
def store(data: Path) -> Iterator[Store]:
    with Store.open(data, layout(), system=Unsynced()) as opened:
        yield opened


def changed(before: dict[str, bytes | None], data: Path) -> set[str]:
    """The files that are not as they were."""
    after = tree(data)
    return {
        f
        for f in before.keys() | after.keys()
        if before.get(f) != after.get(f) and f != "journal/changes.jsonl"
    }


class TestDocuments:
    def test_a_change_rewrites_only_its_record(self, store: Store, data: Path) -> None:
        path = data / "tags/tags.json"
        edit_json(path, lambda d: d.update(note={"a": [1.50]}))
        text = path.read_text().replace('"id": "tag-2"', '"why": "mine",     "id":\t"tag-2"')
        path.write_text(text)
        with store.transaction() as tx:
            revise(tx, "Tag", "tag-1", name="other")
        now = path.read_text()
        assert now.startswith('{\n  "_version": 1,\n  "tags": [\n')
        assert json.loads(now)["note"] == {"a": [1.50]}
        assert '"why": "mine",     "id":\t"tag-2"' in now
        assert json.loads(now)["tags"][0]["name"] == "other"
        with store.transaction() as tx:
            revise(tx, "Tag", "tag-2", name="other")
        assert json.loads(path.read_text())["tags"][1]["why"] == "mine"

    def test_records_stand_in_order(self, store: Store, data: Path) -> None:
        with store.transaction() as tx:
            tx.insert([row("Tag", id=n, userId="user-1", nameLower=n) for n in ("é", "z", "B", "a")])
        ids = [tag["id"] for tag in json.loads((data / "tags/tags.json").read_text())["tags"]]
        assert ids == sorted(ids, key=str.encode)

    def test_two_models_of_one_document(self, store: Store, data: Path) -> None:
        before = tree(data)
        with store.transaction() as tx:
            tx.insert([row("ChatSettings", id="s", userId="user-1")])
        assert changed(before, data) == {"settings/general.json"}
        document = json.loads((data / "settings/general.json").read_text())
        assert ([u["id"] for u in document["users"]], document["chatSettings"][0]["id"]) == (["user-1"], "s")


class TestRecordFiles:
    def test_one_file_each(self, store: Store, data: Path) -> None:
        before = tree(data)
        with store.transaction() as tx:
            tx.insert([row("Character", id="../New", userId="user-1")])
        assert changed(before, data) == {"characters/%2E%2E%2F%4Eew.json"}
        with store.transaction() as tx:
            erase(tx, "Character", "../New")
        assert changed(before, data) == set()

    def test_another_key_is_another_file(self, store: Store, data: Path) -> None:
        edit_json(data / "characters/hero-1.json", lambda d: d.update(note="mine"))
        before = tree(data)
        with store.transaction() as tx:
            revise(tx, "Character", "hero-1", id="hero-9")
        assert changed(before, data) == {
            "characters/hero-1.json",
            "characters/hero-9.json",
            "chats/index.jsonl",
        }
        assert json.loads((data / "characters/hero-9.json").read_text())["note"] == "mine"

    def test_files_that_come_and_go_by_hand(self, store: Store, data: Path) -> None:
        assert [c.id for c in store.read(lambda v: sorted(v.rows("Persona"), key=lambda p: p.id))] == [
            "persona-1"
        ]
        text = (data / "personas/persona-1.json").read_text()
        (data / "personas/persona-2.json").write_text(text.replace("persona-1", "persona-2"))
        assert store.get("Persona", "persona-2") is not None
        assert store.read(lambda view: view.count("Persona")) == 2
        (data / "personas/persona-1.json").unlink()
        assert store.get("Persona", "persona-1") is None
        assert store.read(lambda view: view.count("Persona")) == 1
        with store.transaction() as tx:
            tx.insert([row("Persona", id="persona-1", userId="user-1")])
        assert state_of(store) == state_on_disk(data)

    def test_a_record_in_the_wrong_file_is_damage(self, store: Store, data: Path) -> None:
        (data / "personas/other.json").write_bytes((data / "personas/persona-1.json").read_bytes())
        for read in (lambda: store.get("Persona", "other"), lambda: state_of(store)):
            with pytest.raises(DamagedError, match=r"personas/other.json: .*belongs in another file"):
                read()
        assert store.get("Persona", "persona-1") is not None

    def test_files_of_other_names_are_left_alone(self, store: Store, data: Path) -> None:
        for name in ("README.md", "Persona.json", "a b.json", ".hidden.json"):
            (data / "personas" / name).write_text("not ours")
        assert store.read(lambda view: view.count("Persona")) == 1
        with store.transaction() as tx:
            erase(tx, "User", "user-1")
        assert (data / "personas/README.md").read_text() == "not ours"


class TestLogs:
    def test_a_change_is_a_line(self, store: Store, data: Path) -> None:
        path = data / "chats/index.jsonl"
        before = path.read_bytes()
        with store.transaction() as tx:
            revise(tx, "Chat", "chat-1", title="other")
            erase(tx, "ChatTag", "cht-1")
        after = path.read_bytes()
        assert after.startswith(before)
        (line,) = (json.loads(line) for line in after[len(before) :].splitlines())
        assert (line["id"], line["title"], line["tags"]) == ("chat-1", "other", [])

    def test_a_last_line_without_its_end_gets_it(self, store: Store, data: Path) -> None:
        path = data / "chats/chat-1.jsonl"
        path.write_bytes(path.read_bytes().rstrip(b"\n"))
        with store.transaction() as tx:
            tx.insert([message(9)])
        assert [m["id"] for m in records(data, "chats/chat-1.jsonl")] == ["m0", "m1", "m2", "m9"]
        assert state_of(store) == state_on_disk(data)

    @pytest.mark.parametrize("torn", [b'{"_model":"Message","id":"torn', b"\0" * 300])
    def test_what_is_torn_is_cut_and_kept(self, store: Store, data: Path, torn: bytes) -> None:
        for file in ("chats/chat-1.jsonl", "auth/sessions.jsonl"):
            with open(data / file, "ab") as log:
                log.write(torn)
        with store.transaction() as tx:
            tx.insert([message(9)])
            tx.insert([row("Session", id="new", userId="user-1", sessionToken="new")])
        kept = {p.name.rpartition(".")[0]: p.read_bytes() for p in (data / "cache/torn").iterdir()}
        assert kept == {"chats+chat-1.jsonl": torn, "auth+sessions.jsonl": torn}
        assert state_of(store) == state_on_disk(data)

    def test_garbage_is_compacted_away(self, store: Store, data: Path) -> None:
        for number in range(300):
            with store.transaction() as tx:
                revise(tx, "Chat", "chat-1", title=f"{number}")
                revise(tx, "Message", "m1", content=f"{number}")
        assert len(records(data, "chats/index.jsonl")) < 150
        assert len(records(data, "chats/chat-1.jsonl")) < 150
        assert state_of(store) == state_on_disk(data)

    def test_unknown_keys_outlive_compaction(self, store: Store, data: Path) -> None:
        path = data / "chats/chat-1.jsonl"
        path.write_text(path.read_text().replace('"id":"m1"', '"note":[1.50],"id":"m1"'))
        for number in range(200):
            with store.transaction() as tx:
                revise(tx, "Message", "m0", content=f"{number}")
        with store.transaction() as tx:
            revise(tx, "Message", "m1", content="changed")
        store.compact()
        (line,) = (text for text in path.read_text().splitlines() if '"m1"' in text)
        assert line.endswith(',"note":[1.50]}')


class TestLogsPerParent:
    def test_they_come_and_go_with_their_parent(self, store: Store, data: Path) -> None:
        values = {"userId": "user-1", "characterId": "hero-1", "connectionProfileId": "profile-1"}
        before = tree(data)
        with store.transaction() as tx:
            tx.insert([row("Chat", id="new", **values)])
        assert changed(before, data) == {"chats/index.jsonl", "chats/new.jsonl"}
        assert (data / "chats/new.jsonl").read_bytes() == b""
        with store.transaction() as tx:
            tx.insert([message(5, "new")])
            revise(tx, "Chat", "new", id="newer")
        assert not (data / "chats/new.jsonl").exists()
        assert [m["chatId"] for m in records(data, "chats/newer.jsonl")] == ["newer"]
        with store.transaction() as tx:
            erase(tx, "Chat", "newer")
        assert changed(before, data) == {"chats/index.jsonl"}

    def test_a_file_that_is_there_already_is_not_overwritten(self, store: Store, data: Path) -> None:
        values = {"userId": "user-1", "characterId": "hero-1", "connectionProfileId": "profile-1"}
        (data / "chats/new.jsonl").write_text("somebody's")
        with pytest.raises(ConflictError, match=r"chats/new.jsonl"), store.transaction() as tx:
            tx.insert([row("Chat", id="new", **values)])
        assert (data / "chats/new.jsonl").read_text() == "somebody's"
        assert store.get("Chat", "new") is None

    def test_a_missing_log_is_damage(self, store: Store, data: Path) -> None:
        (data / "chats/chat-1.jsonl").unlink()
        for read in (
            lambda: store.read(lambda view: view.find("Message", ("chatId",), "chat-1")),
            lambda: store.read(lambda view: view.count("Message")),
            lambda: store.get("Message", "m0"),
        ):
            with pytest.raises(DamagedError, match=r"chats/chat-1.jsonl: is missing"):
                read()

        def append() -> None:
            with store.transaction() as tx:
                tx.insert([message(9)], known_new=["id"])

        def remove() -> None:
            with store.transaction() as tx:
                erase(tx, "Chat", "chat-1")

        for write in (append, remove):
            with pytest.raises(DamagedError, match=r"chats/chat-1.jsonl: is missing"):
                write()
        assert not (data / "chats/chat-1.jsonl").exists()

    def test_memory_is_bounded(self, data: Path) -> None:
        """Of many logs only as many are held as the budget allows, and all are answered for."""
        values = {"userId": "user-1", "characterId": "hero-1", "connectionProfileId": "profile-1"}
        with Store.open(data, layout(), system=Unsynced(), log_budget=20_000) as store:
            with store.transaction() as tx:
                tx.insert([row("Chat", id=f"c{n}", **values) for n in range(30)])
                tx.insert([message(n, f"c{n % 30}", id=f"x{n}") for n in range(300)])
            family = store.engine.base.family("Message")
            for _ in range(2):
                for n in range(30):
                    there = store.read(lambda v, n=n: v.find("Message", ("chatId",), f"c{n}"))  # type: ignore[misc]
                    assert len(there) == 10
                    assert 1 <= len(family._logs) < 10  # type: ignore[attr-defined]
                    assert 0 < family._used <= 20_000 + 5_000  # type: ignore[attr-defined]
                    with store.transaction() as tx:
                        revise(tx, "Message", f"x{n}", content="changed " * 10)
            assert state_of(store) == state_on_disk(data)

    def test_the_order_of_a_chat_follows_its_changes(self, store: Store) -> None:
        def ids() -> list[str]:
            found = store.read(lambda view: view.in_file_order("Message", ("chatId",), "chat-1"))
            return [m.id for m in found]

        assert ids() == ["m0", "m1", "m2"]
        with store.transaction() as tx:
            revise(tx, "Message", "m0", createdAt="2026-01-01T00:00:00.000Z")
            tx.insert([message(3, createdAt="2024-01-01T00:00:00.000Z")])
        assert ids() == ["m3", "m1", "m2", "m0"]
        with store.transaction() as tx:
            erase(tx, "Message", "m1")
        assert ids() == ["m3", "m2", "m0"]


class TestEmbedded:
    def test_they_live_in_their_parent(self, store: Store, data: Path) -> None:
        before = tree(data)
        with store.transaction() as tx:
            tx.insert([row("CharacterTag", id="ct-2", characterId="hero-2", tagId="tag-1")])
            revise(tx, "CharacterTag", "ct-1", tagId="tag-2")
        assert changed(before, data) == {"characters/hero-1.json", "characters/hero-2.json"}
        tags = json.loads((data / "characters/hero-1.json").read_text())["tags"]
        assert [tag["tagId"] for tag in tags] == ["tag-2"]
        assert "characterId" not in tags[0]

    def test_one_that_moves_takes_its_unknown_keys_along(self, store: Store, data: Path) -> None:
        edit_json(data / "characters/hero-1.json", lambda d: d["tags"][0].update(why="mine"))
        with store.transaction() as tx:
            revise(tx, "CharacterTag", "ct-1", characterId="hero-2")
        one, other = (json.loads((data / f"characters/hero-{n}.json").read_text())["tags"] for n in (1, 2))
        assert one == []
        assert [(tag["id"], tag["why"]) for tag in other] == [("ct-1", "mine")]
