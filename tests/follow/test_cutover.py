"""The whole way of an application that knows nothing of Octavo: followed, cut over, written to, and back."""

from __future__ import annotations

import threading
from contextlib import closing
from typing import Any

import psycopg
import pytest

from following import PATIENCE, Followed
from moves import Move
from octavo import connect
from octavo.backend import DataBackend, Settings
from octavo.cli import failures
from octavo.follow import life
from octavo.move.cutover import cutover
from octavo.move.rollback import rollback
from octavo.move.sides import MoveOptions, Sides
from octavo.postgres.connection import connect as connect_to
from octavo.query.vocabulary import Vocabulary
from octavo.store import phase
from writer import Writer

WAIVED = ("secrets", "backup")


def sides_of(followed: Followed) -> Sides:
    vocabulary = Vocabulary(followed.layout.datamodel)
    return Sides(vocabulary, Settings(database_url=followed.address, data_dir=followed.data_dir, layout=None))


def test_cut_over_while_somebody_writes_and_back_again(followed: Followed) -> None:
    followed.seed()
    refused: list[psycopg.Error] = []
    over = threading.Event()

    def write() -> None:
        with closing(connect_to(followed.url)) as connection:
            writer = Writer(connection, followed.layout.datamodel, seed=9)
            try:
                while not over.is_set():
                    writer.transaction()
            except psycopg.Error as error:
                refused.append(error)

    writing = threading.Thread(target=write)
    writing.start()
    try:
        done = cutover(sides_of(followed), MoveOptions(files_root=followed.files_root, waive=WAIVED))
        assert done.done, done.closed
        writing.join(PATIENCE)
    finally:
        over.set()
        writing.join()
    # The application was told; what it had committed before is in the files.
    assert [error.sqlstate for error in refused] == ["25006"]
    assert phase.read(followed.data_dir).backend is DataBackend.JSON
    assert followed.sql("SELECT 1 FROM pg_replication_slots WHERE database = current_database()") == []
    assert not life.stop(followed.url, followed.data_dir)
    with client(followed) as db:
        db.user.create(data={"id": "new", "email": "new@example.org"})
    back = rollback(sides_of(followed), MoveOptions(files_root=followed.files_root))
    assert back.done
    assert followed.sql("SELECT id FROM users WHERE id = 'new'") == [("new",)]
    followed.seed(replace=True)
    followed.sql("UPDATE users SET name = 'followed again'")
    followed.catch_up()
    assert followed.differences() == []


def test_a_rollback_ends_following(followed: Followed) -> None:
    followed.seed()
    move = Move(followed.address, followed.data_dir, followed.files_root)
    with move.paused("cutover", "switch", waive=WAIVED) as run:
        run.kill()
    assert move.state.following is not None
    with client(followed) as db:
        db.user.create(data={"id": "new", "email": "new@example.org"})
    assert rollback(sides_of(followed), MoveOptions(files_root=followed.files_root)).done
    assert move.state.following is None
    assert followed.sql("SELECT 1 FROM pg_replication_slots WHERE database = current_database()") == []
    assert not life.stop(followed.url, followed.data_dir)
    assert followed.differences() == []


def test_a_cutover_that_was_killed_while_it_follows_is_done_again(followed: Followed) -> None:
    followed.seed()
    move = Move(followed.address, followed.data_dir, followed.files_root)
    for at in ("freeze", "catch up", "lock"):
        with move.paused("cutover", at, waive=WAIVED) as run:
            run.kill()
        assert move.state.is_frozen
        assert rollback(sides_of(followed), MoveOptions(files_root=followed.files_root)).done
        followed.sql(f"UPDATE users SET name = 'opened after {at}'")
    # Given up, it goes on following.
    assert followed.catch_up().transactions
    assert followed.differences() == []


@pytest.mark.parametrize("at", ["the old files", "the new ones"])
def test_what_is_printed_when_following_anew_is_interrupted(
    followed: Followed, at: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    followed.seed()

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(*((life, "export") if at == "the old files" else (life, "_follow")), interrupted)
    assert failures.exit_code(lambda: followed.seed(replace=True), as_json=False) == 130
    said = capsys.readouterr().err
    assert ("follow no database: octavo follow --replace" in said) is (at == "the old files")
    assert ("follow PostgreSQL, and go on" in said) is (at == "the new ones")


def client(followed: Followed) -> Any:
    return connect(backend="json", data_dir=followed.data_dir)
