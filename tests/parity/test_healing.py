"""Files that differ from PostgreSQL become equal to it again, whatever has been done there."""

from __future__ import annotations

import itertools
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backends import dual_backend, emptied, prisma_backend
from crash.both_sides import VOCABULARY, Sides
from octavo.backends.divergence import Divergences, Keys
from octavo.backends.dual import DualBackend
from octavo.backends.healing import heal
from octavo.client import Client
from octavo.layout.load import frozen_layout
from octavo.move.verify import VerifyOptions, verify
from octavo.postgres.connection import connect
from octavo.postgres.embedded import EmbeddedServer
from octavo.query.plan import Query
from octavo.url import DatabaseUrl
from parity.alike import run
from parity.programs import Programs

QUICK = {"deadline": None, "suppress_health_check": list(HealthCheck)}
PROGRAMS = Programs(VOCABULARY)
_numbers = itertools.count()


def names(sides: Sides, **new: str) -> None:
    """Give tags the names of others, behind both sides' back."""
    with connect(sides.url) as connection:
        for tag in new:
            connection.execute(f"UPDATE tags SET \"nameLower\" = '~{tag}' WHERE id = '{tag}'".encode())
        for tag, name in new.items():
            connection.execute(f"UPDATE tags SET \"nameLower\" = '{name}' WHERE id = '{tag}'".encode())


@pytest.mark.parametrize("seen", [["t1"], ["t2"], ["t1", "t2", "t3"]])
def test_uniques_that_went_round(sides: Sides, seen: list[str]) -> None:
    with sides.open() as (db, _):
        db.tag.create(data={"id": "t3", "userId": "u", "name": "t3", "nameLower": "t3"})
    names(sides, t1="t2", t2="t3", t3="t1")
    with sides.open(apart=True, sample=1.0) as (db, backend):
        db.tag.find_many(where={"id": {"in": seen}})
        assert len(backend.divergences.open()) == len(seen)
        assert [h.error for h in heal(backend)] == [""] * len(seen)
        assert backend.divergences.open() == []
        # One that was not seen goes with those that were.
        assert db.tag.update(where={"id": "t3"}, data={"name": "goes on"}).nameLower == "t1"
    assert sides.differences() == []


def test_a_record_that_is_kept_from_going_by_one_that_went_too(sides: Sides) -> None:
    """No chat may lose its profile, and PostgreSQL has neither any more."""
    with connect(sides.url) as connection:
        connection.execute(b"DELETE FROM chats; DELETE FROM connection_profiles; DELETE FROM characters")
    with sides.open(apart=True, sample=1.0) as (db, backend):
        assert db.connection_profile.find_many() == []
        assert db.character.find_many() == []
        assert [h.error for h in heal(backend)] == ["", ""]
    assert sides.differences() == []


def test_an_embedded_record_that_moved(sides: Sides) -> None:
    """One host was seen; the other, where the record is to be, came later than it."""
    with connect(sides.url) as connection:
        connection.execute(
            b"""INSERT INTO characters (id, "userId", name, description, personality, scenario,
                "firstMessage", "updatedAt") VALUES ('c2', 'u', 'Nora', '', '', '', '', now());
            UPDATE character_tags SET "characterId" = 'c2'; DELETE FROM chats;
            DELETE FROM characters WHERE id = 'c'"""
        )
    with sides.open(apart=True, sample=1.0) as (db, backend):
        assert db.character_tag.find_first().characterId == "c2"
        assert [h.error for h in heal(backend)] == [""]
        db.character.find_many()
        assert [h.error for h in heal(backend)] == [""]
    assert sides.differences() == []


@pytest.fixture(scope="module")
def place(server: EmbeddedServer, schema_template: str) -> Iterator[tuple[str, Path]]:
    """A database with the schema's tables, and a folder."""
    server.create_database("healing", template=schema_template)
    with tempfile.TemporaryDirectory() as made:
        yield server.url("healing", schema="public"), Path(made)
    server.drop_database("healing")


def seen(backend: DualBackend) -> None:
    """Write down every record in which both sides differ, as if reads had come upon it."""

    def rows(reader: Any, model: str) -> dict[Any, Any]:
        return {VOCABULARY[model].key_of(r): r for r in reader.select(Query(model=model))}

    keys = Keys(backend.files.store.rules)
    for model in (m.name for m in VOCABULARY.datamodel.tables):
        there, here = rows(backend.primary, model), rows(backend.files, model)
        for key in {**there, **here}:
            if there.get(key) != here.get(key):
                shown = keys.shown(model, key[0] if len(key) == 1 else key)
                backend.divergences.add("different", model, shown)


@pytest.mark.parametrize("length", [10, pytest.param(40, marks=pytest.mark.slow)])
@settings(max_examples=5, **QUICK)  # type: ignore[arg-type]
@given(data=st.data())
def test_whatever_another_program_has_done(place: tuple[str, Path], length: int, data: Any) -> None:
    url, folder = place
    files = folder / f"data{next(_numbers)}"
    with prisma_backend(VOCABULARY, url) as backend:
        emptied(backend)
    with dual_backend(VOCABULARY, url, files, sample=0.0) as both:
        run(data.draw(PROGRAMS.program(length)), Client(both, VOCABULARY))
    with dual_backend(VOCABULARY, url, files, sample=0.0) as both:
        # Empty files would be those that nobody has seeded.
        Client(both, VOCABULARY).user.create(data={"id": "own", "email": "own@x"})
    with prisma_backend(VOCABULARY, url) as backend:
        run(data.draw(PROGRAMS.program(length)), Client(backend, VOCABULARY))
    with dual_backend(VOCABULARY, url, files, sample=0.0, apart=True) as both:
        seen(both)
        assert [h.error for h in heal(both) if h.error] == []
    assert Divergences(str(files)).open() == []
    report = verify(DatabaseUrl.parse(url), files, frozen_layout(), VerifyOptions(folder / "none", jobs=1))
    assert report.differences == []
    assert report.equal
    shutil.rmtree(files)
