"""What somebody does behind the back of PostgreSQL and the files is noticed, refused and healed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import octavo
from crash.both_sides import Sides, say
from octavo.backends.divergence import Divergences
from octavo.backends.healing import heal
from octavo.errors import DivergedError, TransactionFailed, UniqueViolation, UsageError
from octavo.fold.scaffold import scaffold
from octavo.layout.load import frozen_layout
from octavo.postgres.connection import connect


def behind(sides: Sides, *statements: str) -> None:
    """What another program does to PostgreSQL."""
    with connect(sides.url) as connection:
        connection.execute("; ".join(statements).encode())


def told(sides: Sides) -> list[tuple[Any, ...]]:
    """The divergences that are written down and not healed: kind, model, key and fields."""
    found = []
    for text in (sides.folder / "cache/divergence.jsonl").read_text().splitlines():
        line = json.loads(text)
        found.append((line["kind"], line.get("model"), line.get("key"), line.get("fields")))
    return found


def octavo_status(sides: Sides, *options: str, backend: str = "dual") -> tuple[int, dict[str, Any]]:
    variables = {"DATA_BACKEND": backend, "DATABASE_URL": sides.url, "DATA_DIR": str(sides.folder)}
    done = subprocess.run(
        [sys.executable, "-m", "octavo", "status", "--json", *options],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, json.loads(done.stdout or done.stderr)


def healed(sides: Sides) -> None:
    """Heal, and find both sides equal."""
    code, said = octavo_status(sides, "--heal")
    assert (code, said["divergences"]["count"]) == (0, 0)
    assert all(not h["error"] for h in said["healed"])
    assert sides.differences() == []


INSERT_TAG = """INSERT INTO tags (id, "userId", name, "nameLower", "updatedAt")
    VALUES ('t9', 'u', 'nine', 'nine', now())"""


@pytest.mark.parametrize(
    ("statement", "read", "expected"),
    [
        (
            "UPDATE users SET name = 'secretly' WHERE id = 'u'",
            lambda db: db.user.find_unique(where={"id": "u"}).name == "secretly",
            ("different", "User", {"id": "u"}, ["name"]),
        ),
        (
            "DELETE FROM messages WHERE id = 'm0'",
            lambda db: db.chat.find_many(include={"messages": True})[0].messages == [],
            ("extra", "Message", {"id": "m0"}, None),
        ),
        (INSERT_TAG, lambda db: db.tag.count() == 3, ("answer", "Tag", None, None)),
        (
            INSERT_TAG,
            lambda db: len(db.tag.find_many(where={"name": {"contains": "n"}})) == 1,
            ("missing", "Tag", {"id": "t9"}, None),
        ),
    ],
)
def test_a_read_notices_what_differs_and_answers_from_postgresql(
    sides: Sides, statement: str, read: Callable[[Any], bool], expected: tuple[Any, ...]
) -> None:
    behind(sides, statement)
    with sides.open(sample=1.0, apart=True) as (db, _):
        assert read(db)
        assert read(db)
    assert told(sides) == [expected]
    assert "secretly" not in (sides.folder / "cache/divergence.jsonl").read_text()
    code, said = octavo_status(sides)
    assert (code, said["divergences"]["count"]) == (1, 1)
    assert said["counters"] == {"compared": 2, "different": 2}
    healed(sides)


def test_each_comparison_is_counted_with_its_outcome_when_it_is_made(sides: Sides) -> None:
    """Another process is told of a comparison no later than that it differed."""
    behind(sides, "UPDATE users SET name = 'secretly' WHERE id = 'u'")
    with sides.open(sample=1.0, apart=True) as (db, _):
        another = Divergences(str(sides.folder))
        db.user.find_unique(where={"id": "u"})
        assert another.counters() == {"compared": 1, "different": 1}
        with db.tx() as tx:
            tx.user.find_first()
            assert another.counters() == {"compared": 2, "different": 2}


def test_what_a_write_notices_is_no_read_that_was_compared(sides: Sides) -> None:
    behind(sides, "INSERT INTO users (id, email, \"updatedAt\") VALUES ('v', 'b@x', now())")
    with sides.open(sample=0.0, apart=True) as (db, _), pytest.raises(DivergedError):
        db.user.update(where={"id": "v"}, data={"name": "x"})
    _, said = octavo_status(sides)
    assert said["counters"] == {"noticed": 1, "refused": 1}


def test_status_heals_with_the_payloads_of_the_files_root_that_is_named(sides: Sides, tmp_path: Path) -> None:
    (tmp_path / "uploads").mkdir()
    (tmp_path / "uploads" / "cat.png").write_bytes(b"cat")
    behind(
        sides,
        """INSERT INTO images (id, "userId", filename, filepath, "mimeType", size, "updatedAt")
           VALUES ('i', 'u', 'cat.png', 'cat.png', 'image/png', 3, now())""",
    )
    with sides.open(sample=1.0, apart=True) as (db, _):
        db.image.find_many()
    code, said = octavo_status(sides, "--heal", "--files-root", str(tmp_path / "uploads"))
    assert (code, said["divergences"]["count"]) == (0, 0)
    with octavo.connect("json", data_dir=sides.folder) as files:
        assert files.payload(files.image.find_first_or_raise()) == b"cat"


def test_a_read_within_a_transaction_is_compared_with_what_it_has_written(sides: Sides) -> None:
    behind(sides, "UPDATE users SET name = 'secretly' WHERE id = 'u'")
    with sides.open(sample=1.0, apart=True) as (db, backend), db.tx() as tx:
        say(tx, "m1")
        assert tx.message.count() == 2
        assert tx.chat.find_first(where={"id": "k1"}, include={"messages": True}).messages[1].id == "m1"
        assert backend.divergences.open() == []
        assert tx.user.find_first().name == "secretly"
    assert told(sides) == [("different", "User", {"id": "u"}, ["name"])]
    healed(sides)


def test_what_others_are_writing_does_not_differ(sides: Sides) -> None:
    def talk(number: int) -> None:
        for n in range(10):
            say(db, f"{number}-{n}")
            assert db.message.count() > n
            with db.tx(max_wait=60, timeout=60) as tx:
                tx.chat.find_first(where={"id": "k1"}, include={"messages": {"take": -2}})

    with sides.open(sample=1.0) as (db, backend):
        with ThreadPoolExecutor(6) as pool:
            list(pool.map(talk, range(6)))
        assert backend.divergences.open() == []


def test_a_transaction_that_is_too_late_is_in_neither(sides: Sides) -> None:
    with sides.open() as (db, _):
        with pytest.raises(TransactionFailed, match="out of time"), db.tx(timeout=0.1) as tx:  # noqa: PT012
            say(tx, "late")
            time.sleep(0.2)
        assert db.message.count() == 1
    assert sides.differences() == []


def test_nothing_is_compared_without_a_sample(sides: Sides) -> None:
    behind(sides, "DELETE FROM messages")
    with sides.open(sample=0.0) as (db, backend):
        assert db.message.find_many() == []
        assert backend.divergences.counters() == {}


def test_files_that_cannot_answer_are_noted_and_the_answer_stands(sides: Sides) -> None:
    (sides.folder / "tags/tags.json").write_text("{")
    with sides.open(sample=1.0, apart=True) as (db, backend):
        assert db.tag.count() == 2
        assert backend.divergences.counters()["failed"] == 1
    assert told(sides) == [("failed", None, None, None)]
    code, said = octavo_status(sides, "--heal")
    assert (code, said["divergences"]["count"]) == (1, 1)
    assert "tags/tags.json" in said["healed"][0]["error"]


def test_a_write_to_what_the_files_lack_is_refused_and_names_it(sides: Sides) -> None:
    behind(sides, INSERT_TAG)
    with sides.open(apart=True) as (db, _):
        with pytest.raises(DivergedError, match=r'Tag {"id":"t9"}: is not in the files; nothing was written'):
            db.tag.update(where={"id": "t9"}, data={"name": "ten"})
        assert db.tag.find_unique(where={"id": "t9"}).name == "nine"
        with pytest.raises(DivergedError, match=r'Tag {"id":"t9"}: is not in the files, and a CharacterTag'):
            db.character_tag.create(data={"characterId": "c", "tagId": "t9"})
        # What is not concerned goes on.
        say(db, "m1")
    assert told(sides) == [("missing", "Tag", {"id": "t9"}, None)]
    healed(sides)
    with sides.open() as (db, _):
        db.tag.update(where={"id": "t9"}, data={"name": "ten"})
    assert sides.differences() == []


def test_a_delete_of_what_the_files_lack_leaves_both_equal(sides: Sides) -> None:
    behind(sides, INSERT_TAG)
    with sides.open(apart=True) as (db, _):
        db.tag.delete(where={"id": "t9"})
    assert told(sides) == [("missing", "Tag", {"id": "t9"}, None)]
    healed(sides)


def test_what_only_the_files_have_is_in_the_way_of_a_unique(sides: Sides) -> None:
    behind(sides, "DELETE FROM tags WHERE id = 't2'")
    with sides.open(apart=True) as (db, _):
        with pytest.raises(DivergedError, match=r'Tag {"id":"t2"}: the files have its userId, nameLower'):
            db.tag.create(data={"id": "t3", "userId": "u", "name": "t2", "nameLower": "t2"})
        assert db.tag.find_unique(where={"id": "t3"}) is None
        with pytest.raises(UniqueViolation):
            db.tag.create(data={"id": "t1", "userId": "u", "name": "x", "nameLower": "x"})
    healed(sides)


def test_a_referential_action_that_would_widen_the_gap_is_refused(sides: Sides) -> None:
    """In PostgreSQL the message is another chat's by now."""
    behind(sides, """UPDATE messages SET "chatId" = 'k2' WHERE id = 'm0'""")
    with sides.open(apart=True) as (db, _):
        with pytest.raises(DivergedError, match=r'Message {"id":"m0"}: only one side has it'):
            db.chat.delete(where={"id": "k1"})
        assert db.chat.count() == 2
    healed(sides)
    with sides.open() as (db, _):
        db.chat.delete(where={"id": "k1"})
        assert db.message.count() == 1
    assert sides.differences() == []


def test_what_a_trigger_of_the_database_sets_is_in_the_files(sides: Sides) -> None:
    behind(
        sides,
        "CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN NEW.title := NEW.title || '!'; RETURN NEW; END $$",
        "CREATE TRIGGER shout BEFORE INSERT OR UPDATE ON chats FOR EACH ROW EXECUTE FUNCTION shout()",
        """INSERT INTO personas (id, "userId", name, description, "updatedAt")
           VALUES ('x', 'u', 'x', '', now())""",
    )
    with sides.open(apart=True, sample=1.0) as (db, backend):
        backend.divergences.add("missing", "Persona", None)
        assert [h.error for h in heal(backend)] == [""]
        assert db.chat.update(where={"id": "k1"}, data={"title": "oh", "personaId": "x"}).title == "oh!"
        # A referential action changes the chat, and so does the trigger.
        with db.tx() as tx:
            tx.persona.delete(where={"id": "x"})
            chat = tx.chat.find_unique(where={"id": "k1"})
            assert (chat.personaId, chat.title) == (None, "oh!!")
        assert backend.divergences.open() == []
    assert sides.differences() == []


def test_an_embedded_record_moves_to_another_parent(sides: Sides) -> None:
    with sides.open() as (db, _):
        character = {"userId": "u", "name": "Nora", "description": "", "personality": ""}
        character |= {"scenario": "", "firstMessage": ""}
        db.character.create(data={**character, "id": "c2"})
        moved = db.character_tag.update(where={"id": "ct1"}, data={"characterId": "c2"})
        assert moved.characterId == "c2"
    assert sides.differences() == []


def test_a_key_that_is_a_secret_is_not_written_down(sides: Sides) -> None:
    behind(
        sides,
        """INSERT INTO verification_tokens (identifier, token, expires) VALUES ('a@x', 'hush', now())""",
    )
    with sides.open(sample=1.0, apart=True) as (db, _):
        assert len(db.verification_token.find_many()) == 1
    text = (sides.folder / "cache/divergence.jsonl").read_text()
    assert "sha256:" in text
    assert "hush" not in text
    healed(sides)


def test_healing_copies_what_a_record_needs_and_who_is_in_its_way(sides: Sides) -> None:
    behind(
        sides,
        "INSERT INTO users (id, email, \"updatedAt\") VALUES ('v', 'b@x', now())",
        INSERT_TAG.replace("'u'", "'v'"),
        """UPDATE tags SET name = 'swapped', "nameLower" = 'old' WHERE id = 't1'""",
        """UPDATE tags SET "nameLower" = 't1' WHERE id = 't2'""",
        "DELETE FROM chats WHERE id = 'k2'",
    )
    with sides.open(sample=1.0, apart=True) as (db, _):
        db.tag.find_many(where={"id": {"in": ["t2", "t9"]}})
        db.chat.find_many()
    healed(sides)


# Beginning


def test_files_that_nobody_has_seeded_refuse_writes(sides: Sides, tmp_path: Path) -> None:
    other = Sides(sides.url, tmp_path / "other")
    with pytest.raises(UsageError, match="is no store") as refused:
        octavo.connect("dual", database_url=sides.url, data_dir=other.folder)
    assert "octavo export" in refused.value.hint
    scaffold(other.folder, frozen_layout())
    with other.open() as (db, _):
        with pytest.raises(UsageError, match="are empty, and the database is not") as refused:
            say(db, "m1")
        assert "octavo export" in refused.value.hint
        assert db.message.count() == 1


def test_connect_takes_its_settings_from_the_environment(
    sides: Sides, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATA_BACKEND", "dual")
    monkeypatch.setenv("DATABASE_URL", sides.url)
    monkeypatch.setenv("DATA_DIR", str(sides.folder))
    monkeypatch.setenv("DUAL_SAMPLE", "1")
    with octavo.connect() as db:
        assert db.user.count() == 1
    code, said = octavo_status(sides)
    assert (code, said["good"], said["counters"]) == (0, True, {"compared": 1})
    monkeypatch.setenv("DUAL_SAMPLE", "one")
    with pytest.raises(UsageError, match="DUAL_SAMPLE"):
        octavo.connect()


def test_status_tells_which_side_is_missing(sides: Sides, tmp_path: Path) -> None:
    gone = Sides("postgresql://nobody@127.0.0.1:1/none", tmp_path / "none")
    code, said = octavo_status(gone)
    assert code == 3
    assert not said["database"]["reachable"]
    assert not said["store"]["reachable"]
    code, said = octavo_status(sides, backend="json")
    assert (code, said["database"], said["store"]["reachable"]) == (0, None, True)
    code, said = octavo_status(sides, "--heal", backend="json")
    assert code == 2
