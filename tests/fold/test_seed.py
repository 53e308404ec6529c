"""What was written to PostgreSQL alone, between an export and the first dual write, is noticed by that."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest

import octavo
from crash.both_sides import Sides, begin, say
from octavo.backends.gap import SEED
from octavo.backends.healing import heal
from octavo.fold.export import ExportOptions, export
from octavo.fold.scaffold import scaffold
from octavo.layout.load import frozen_layout
from octavo.postgres.connection import connect
from octavo.postgres.embedded import EmbeddedServer
from octavo.url import DatabaseUrl

LAYOUT = frozen_layout()
TAG = (
    """INSERT INTO tags (id, "userId", name, "nameLower", "updatedAt") VALUES ('t9', 'u', 'n', 'n', now())"""
)


@pytest.fixture
def sides(schema_database: str, tmp_path: Path) -> Sides:
    """A database, and files that were exported from it."""
    scaffold(tmp_path / "before", LAYOUT)
    with Sides(schema_database, tmp_path / "before").open() as (db, _):
        begin(db)
    sides = Sides(schema_database, tmp_path / "data")
    exported(sides)
    return sides


def exported(sides: Sides) -> None:
    options = ExportOptions(sides.folder / "none", replace=True)
    export(DatabaseUrl.parse(sides.url), sides.folder, LAYOUT, options)


def alone(sides: Sides, statements: str) -> None:
    """What an application writes to PostgreSQL alone."""
    with connect(sides.url) as connection:
        connection.execute(statements.encode())


def noticed(sides: Sides) -> set[tuple[str, str]]:
    """What the first dual write notices, by kind and model.  It happens."""
    with sides.open(apart=True) as (db, backend):
        say(db, "m1")
        found = {(d.kind, d.model) for d in backend.divergences.open()}
    assert not (sides.folder / SEED).exists()
    return found


def test_where_nothing_was_written(sides: Sides) -> None:
    assert (sides.folder / SEED).exists()
    assert noticed(sides) == set()
    assert sides.differences() == []


@pytest.mark.parametrize(
    ("statements", "models"),
    [
        (TAG, {"Tag"}),
        ("DELETE FROM tags WHERE id = 't2'", {"Tag"}),
        ("UPDATE chats SET title = 'new' WHERE id = 'k1'; DELETE FROM tags WHERE id = 't2'", {"Chat", "Tag"}),
        (f"DELETE FROM tags WHERE id = 't2'; {TAG}", {"Tag"}),
        ("DELETE FROM character_tags", {"CharacterTag"}),
        (
            "INSERT INTO verification_tokens (identifier, token, expires) VALUES ('a', 'hush', now())",
            {"VerificationToken"},
        ),
    ],
)
def test_what_was_written_is_noticed_and_healed(sides: Sides, statements: str, models: set[str]) -> None:
    alone(sides, statements)
    assert noticed(sides) == {("answer", model) for model in models}
    with sides.open(apart=True) as (_, backend):
        assert [h.error for h in heal(backend)] == [""] * len(models)
    assert sides.differences() == []


def test_another_export_closes_the_gap(sides: Sides) -> None:
    alone(sides, TAG)
    assert noticed(sides) == {("answer", "Tag")}
    exported(sides)
    with sides.open() as (db, backend):
        say(db, "m2")
        assert backend.divergences.open() == []
    assert sides.differences() == []


@pytest.mark.parametrize(
    "statements",
    [
        "UPDATE messages SET content = content; UPDATE tags SET name = name",
        f"BEGIN; {TAG}; ROLLBACK",
        f"{TAG}; DELETE FROM tags WHERE id = 't9'",
        "VACUUM (FREEZE) tags",
    ],
)
def test_what_leaves_everything_as_it_was_is_no_gap(sides: Sides, statements: str) -> None:
    alone(sides, statements)
    assert noticed(sides) == set()


def test_a_transaction_that_was_under_way_during_the_export(sides: Sides) -> None:
    with connect(sides.url) as connection:
        connection.execute(f"BEGIN; {TAG}".encode())
        exported(sides)
        connection.execute(b"COMMIT")
    assert noticed(sides) == {("answer", "Tag")}


def test_files_that_others_have_written_to_as_well(sides: Sides) -> None:
    alone(sides, "DELETE FROM tags WHERE id = 't2'")
    with octavo.connect("json", data_dir=sides.folder) as db:
        db.tag.delete(where={"id": "t2"})
    assert noticed(sides) == set()
    assert sides.differences() == []


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Callable[[Sides], str]:
    """What the log says of the first dual write."""

    def text(sides: Sides) -> str:
        with caplog.at_level(logging.WARNING, "octavo.backends.dual"):
            assert noticed(sides) == set()
        return caplog.text

    return text


def test_another_database_cannot_be_held_against_the_seed(
    sides: Sides, told: Callable[[Sides], str], server: EmbeddedServer
) -> None:
    name = DatabaseUrl.parse(sides.url).database
    server.create_database("seed_other", template=name)
    other = Sides(server.url("seed_other", schema="public"), sides.folder)
    assert "made from another database; octavo verify compares all" in told(other)
    server.drop_database("seed_other")


def test_nobody_waits_for_it_for_long(
    sides: Sides, told: Callable[[Sides], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("octavo.backends.gap._PATIENCE", 0.0)
    alone(sides, TAG)
    assert "it would take too long" in told(sides)


def test_a_seed_that_cannot_be_read_is_none(sides: Sides) -> None:
    (sides.folder / SEED).write_text("{")
    with sides.open() as (db, _):
        say(db, "m1")
