"""PostgreSQL goes down while it is to commit what the files have prepared, and comes up again."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from crash.both_sides import Sides, begin, cascade, say
from octavo.backends.outcome import Outcomes, Witness
from octavo.errors import DatabaseError
from octavo.fold.scaffold import scaffold
from octavo.layout.load import frozen_layout
from octavo.postgres.connection import connect
from octavo.postgres.session import Session
from octavo.schema.ddl import ddl
from octavo.schema.texts import frozen_schema
from restartable import Restartable, open_folder


@pytest.fixture(scope="module")
def durable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Restartable]:
    made = Restartable(open_folder(tmp_path_factory) / "data")
    yield made
    made.server.stop()


@pytest.fixture
def sides(durable: Restartable, tmp_path: Path) -> Sides:
    with connect(durable.url) as connection:
        connection.execute(b"DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        connection.execute(ddl(frozen_schema()).script().encode())
    scaffold(tmp_path / "data", frozen_layout())
    sides = Sides(durable.url, tmp_path / "data")
    with sides.open() as (db, _):
        begin(db)
    return sides


@pytest.mark.parametrize("done", [False, True], ids=["before", "behind"])
def test_a_server_that_crashes_at_the_commit_and_comes_back(
    durable: Restartable, sides: Sides, done: bool
) -> None:
    commit = Session.commit
    back: list[threading.Thread] = []

    def crashing(self: Session) -> bool:
        patch.undo()
        if done:
            commit(self)
        durable.crash()
        back.append(threading.Thread(target=durable.restart))
        back[0].start()
        return commit(self)

    with sides.open() as (db, _), pytest.MonkeyPatch.context() as patch:
        patch.setattr(Session, "commit", crashing)
        if done:
            cascade(db)
        else:
            with pytest.raises(DatabaseError):
                cascade(db)
        back[0].join()
        assert db.character.count() == (0 if done else 1)
        db.tag.update(where={"id": "t1"}, data={"name": "it goes on"})
    assert sides.differences() == []


def test_a_server_that_stays_away_leaves_the_change_in_doubt_until_it_is_back(
    durable: Restartable, sides: Sides
) -> None:
    commit = Session.commit

    def crashing(self: Session) -> bool:
        patch.undo()
        commit(self)
        durable.crash()
        # What answers the COMMIT of a session whose server is gone.
        self._run([("COMMIT", ())])
        return True

    with sides.open() as (db, backend), pytest.MonkeyPatch.context() as patch:
        backend.outcomes._patience = 0.0
        patch.setattr(Session, "commit", crashing)
        with pytest.raises(DatabaseError, match="not known whether a transaction was committed"):
            say(db, "m1")
        with pytest.raises(DatabaseError):
            say(db, "m2")
        durable.restart()
        say(db, "m3")
        assert {m.id for m in db.message.find_many()} == {"m0", "m1", "m3"}
    assert sides.differences() == []


@pytest.fixture
def noted(durable: Restartable, sides: Sides) -> Callable[[], tuple[Outcomes, dict[str, str]]]:
    """A function that gives the note of a transaction that has changed a tag and committed."""

    def note() -> tuple[Outcomes, dict[str, str]]:
        notes: list[dict[str, str]] = []
        taken = Outcomes.note

        def keep(self: Outcomes, xid: str, place: tuple[str, str], witness: Witness) -> dict[str, str]:
            notes.append(taken(self, xid, place, witness))
            return notes[0]

        with sides.open() as (db, backend), pytest.MonkeyPatch.context() as patch:
            patch.setattr(Outcomes, "note", keep)
            db.tag.update(where={"id": "t1"}, data={"name": "changed"})
            backend.outcomes._patience = 0.0
            return backend.outcomes, notes[0]

    return note


def test_a_note_tells_what_became_of_its_transaction(
    durable: Restartable, noted: Callable[[], tuple[Outcomes, dict[str, str]]]
) -> None:
    outcomes, note = noted()
    assert outcomes.committed(note)
    # Somebody has changed the record since.
    with connect(durable.url) as connection:
        connection.execute(b"UPDATE tags SET name = 'again' WHERE id = 't1'")
    assert outcomes.committed(note)


def test_a_number_that_was_given_twice_is_known_by_its_witness(
    durable: Restartable, noted: Callable[[], tuple[Outcomes, dict[str, str]]]
) -> None:
    outcomes, note = noted()
    with connect(durable.url) as connection:
        row = connection.execute(b"SELECT pg_current_xact_id()::text").fetchone()
    assert row is not None
    another = str(int(row[0]))
    # Its transaction has committed, and the witness is older.
    assert not outcomes.committed({**note, "xid": another})
    # Where the witness was to go, it is still there.
    assert not outcomes.committed({**note, "xid": another, "is": "gone"})
    # Such a number was never given.
    assert not outcomes.committed({**note, "xid": str(int(another) + 1_000_000)})


def test_a_note_of_another_database_is_not_guessed_at(
    noted: Callable[[], tuple[Outcomes, dict[str, str]]],
) -> None:
    outcomes, note = noted()
    with pytest.raises(DatabaseError, match="made in another database: elsewhere"):
        outcomes.committed({**note, "database": "elsewhere"})
    with pytest.raises(DatabaseError, match="another database"):
        outcomes.committed({**note, "system": "1"})


def test_a_transaction_that_is_under_way_is_waited_for(
    durable: Restartable, noted: Callable[[], tuple[Outcomes, dict[str, str]]]
) -> None:
    outcomes, note = noted()
    with connect(durable.url) as connection:
        connection.execute(b"BEGIN; UPDATE tags SET name = 'slowly' WHERE id = 't1'")
        row = connection.execute(b"SELECT pg_current_xact_id()::text").fetchone()
        assert row is not None
        open_note = {**note, "xid": row[0]}
        with pytest.raises(DatabaseError, match="still under way"):
            outcomes.committed(open_note)
        outcomes._patience = 30.0
        ending = threading.Timer(0.3, lambda: connection.execute(b"COMMIT"))
        ending.start()
        assert outcomes.committed(open_note)
        ending.join()


def test_a_transaction_that_was_forgotten_is_not_guessed_at(
    durable: Restartable, noted: Callable[[], tuple[Outcomes, dict[str, str]]]
) -> None:
    outcomes, note = noted()
    with connect(durable.url) as connection:
        found = connection.execute(b"SELECT pg_xact_status('3')").fetchone()
    assert found == (None,)
    with pytest.raises(DatabaseError, match="has forgotten"):
        outcomes.committed({**note, "xid": "3"})
