"""The whole way of an application that knows nothing of Octavo: followed, cut over, written to, and back."""

from __future__ import annotations

import threading
from contextlib import closing
from typing import Any

import psycopg

from following import PATIENCE, Followed
from octavo import connect, migration
from octavo.backend import DataBackend, Settings
from octavo.follow import life
from octavo.migrate.cutover import CutoverOptions, cutover
from octavo.migrate.move import Sides
from octavo.migrate.rollback import RollbackOptions, rollback
from octavo.postgres.connection import connect as connect_to
from octavo.query.vocabulary import Vocabulary
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
        done = cutover(sides_of(followed), CutoverOptions(files_root=followed.files_root, waive=WAIVED))
        assert done.done, done.closed
        writing.join(PATIENCE)
    finally:
        over.set()
        writing.join()
    # The application was told; what it had committed before is in the files.
    assert [error.sqlstate for error in refused] == ["25006"]
    assert migration.read(followed.data_dir).backend is DataBackend.JSON
    assert followed.sql("SELECT 1 FROM pg_replication_slots WHERE database = current_database()") == []
    assert not life.stop(followed.url, followed.data_dir)
    with client(followed) as db:
        db.user.create(data={"id": "new", "email": "new@example.org"})
    back = rollback(sides_of(followed), RollbackOptions(files_root=followed.files_root))
    assert back.done
    assert followed.sql("SELECT id FROM users WHERE id = 'new'") == [("new",)]
    followed.seed(replace=True)
    followed.sql("UPDATE users SET name = 'followed again'")
    followed.catch_up()
    assert followed.differences() == []


def client(followed: Followed) -> Any:
    return connect(backend="json", data_dir=followed.data_dir)
