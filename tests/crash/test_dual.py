"""A transaction on PostgreSQL and the files happens on both or on neither, whatever interrupts it."""

from __future__ import annotations

import errno
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psycopg
import pytest

from crash.both_sides import CHANGES, VOCABULARY, Sides, begin, say
from faults import KILLED, Fault, Faulty, child, die, die_half_way, fail, fail_half_way, received
from interrupts import Interrupter
from octavo.errors import DamagedError, DatabaseError, DiskError, OctavoError
from octavo.fold.scaffold import scaffold
from octavo.layout.load import frozen_layout
from octavo.postgres.connection import connect
from octavo.postgres.embedded import EmbeddedServer
from octavo.postgres.session import Session
from octavo.schema.native import literal
from octavo.store.store import Store

NewSides = Callable[[], Sides]


@pytest.fixture(scope="module")
def template(server: EmbeddedServer, schema_template: str, quick_folder: Path) -> Iterator[tuple[str, Path]]:
    """A database and its files, equal, to be copied."""
    server.create_database("dual_template", template=schema_template)
    folder = quick_folder / "dual"
    scaffold(folder, frozen_layout())
    sides = Sides(server.url("dual_template", schema="public"), folder)
    with sides.open() as (db, _):
        begin(db)
    assert sides.differences() == []
    yield "dual_template", folder
    server.drop_database("dual_template")


@pytest.fixture(scope="module")
def database_again(server: EmbeddedServer, template: tuple[str, Path]) -> Iterator[Callable[[], str]]:
    """A function that gives one database, each time as the template is."""
    server.create_database("dual_again", template=template[0])
    url = server.url("dual_again", schema="public")
    tables = [model.table for model in VOCABULARY.datamodel.tables]
    again = ["SET session_replication_role = replica", *(f"DELETE FROM {table}" for table in tables)]
    with connect(url) as connection:
        for table in tables:
            for (text,) in connection.execute(f"SELECT t::text FROM {table} t".encode()).fetchall():
                again.append(f"INSERT INTO {table} SELECT ({literal(text)}::{table}).*")

    def restore() -> str:
        with connect(url) as connection:
            connection.execute("; ".join(again).encode())
        return url

    yield restore
    server.drop_database("dual_again")


@pytest.fixture
def new_sides(
    template: tuple[str, Path], database_again: Callable[[], str], copied: Callable[[Path], Path]
) -> NewSides:
    """A function that gives a database and its files, equal, to be ruined; one at a time."""
    return lambda: Sides(database_again(), copied(template[1]))


@pytest.fixture
def sides(new_sides: NewSides) -> Sides:
    return new_sides()


def work(
    sides: Sides, change: str, system: Faulty, prepare: Callable[[], None]
) -> Callable[[Connection], None]:
    """A process that makes a change, and says so when it is acknowledged."""

    def run(connection: Connection) -> None:
        with sides.open(system) as (db, _):
            prepare()
            CHANGES[change](db)
            connection.send("done")
        connection.send(list(system.calls))

    return run


def before_and_after(new_sides: NewSides, change: str) -> tuple[Any, Any, int]:
    """What PostgreSQL holds before and after a change, and how many system calls a process makes for it."""
    sides = new_sides()
    before = rows(sides)
    with child(work(sides, change, Faulty(), lambda: None)) as connection:
        *_, calls = received(connection)
    return before, rows(sides), len(calls)


def rows(sides: Sides) -> dict[str, list[str]]:
    """All that PostgreSQL holds, but for what the client makes up."""
    with connect(sides.url) as connection:
        found = {}
        for table in ("users", "tags", "characters", "character_tags", "chats", "messages"):
            query = (
                f"SELECT (to_jsonb(t) - '{{createdAt,updatedAt}}'::text[])::text FROM {table} t ORDER BY 1"
            )
            found[table] = [text for (text,) in connection.execute(query.encode()).fetchall()]
    return found


def killed(sides: Sides, change: str, system: Faulty, prepare: Callable[[], None] = lambda: None) -> bool:
    """Let a process make a change and die of it; whether it had been acknowledged."""
    said = []
    with child(work(sides, change, system, prepare)) as connection:
        said += list(received(connection))
    return "done" in said


def equal_and_whole(sides: Sides, before: Any, after: Any, acknowledged: bool) -> None:
    with sides.open() as (db, _):
        found = rows(sides)
        assert found == after if acknowledged else found in (before, after)
        # And it goes on.
        db.user.create(data={"id": "next", "email": "next@x"})
    assert sides.differences() == []


@pytest.mark.parametrize(
    ("fault", "change"),
    [
        (die, "talk"),
        (die, "cascade"),
        pytest.param(die, "several", marks=pytest.mark.slow),
        *(pytest.param(die_half_way, change, marks=pytest.mark.slow) for change in CHANGES),
    ],
)
def test_a_process_killed_at_any_call_leaves_both_sides_equal(
    new_sides: NewSides, change: str, fault: Fault
) -> None:
    before, after, calls = before_and_after(new_sides, change)
    for at in range(1, calls + 1):
        sides = new_sides()
        acknowledged = killed(sides, change, Faulty(at, fault))
        equal_and_whole(sides, before, after, acknowledged)


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("tries", [4, pytest.param(300, marks=pytest.mark.slow)])
def test_an_exception_out_of_any_line_leaves_both_sides_equal(
    new_sides: NewSides, change: str, tries: int
) -> None:
    sides = new_sides()
    before, counting = rows(sides), Interrupter()
    with sides.open() as (db, _):
        db.message.find_many()
        counting.run(lambda: CHANGES[change](db))
    after, places = rows(sides), counting.distinct()
    for at in places[len(places) % 5 :: max(len(places) // tries, 1)]:
        sides = new_sides()
        with sides.open() as (db, backend):
            db.message.find_many()
            interrupter = Interrupter(at)
            interrupter.run(partial(CHANGES[change], db))
            # The process goes on, in the thread that was interrupted.
            db.user.create(data={"id": "own", "email": "own@x"})
            assert backend.files.find("User", ("id",), ("own",)) is not None, interrupter.where
            db.user.delete(where={"id": "own"})
            found = rows(sides)
            assert found in (before, after), interrupter.where
        equal_and_whole(sides, found, found, acknowledged=False)


def die_at_commit(*, done: bool) -> Callable[[], None]:
    """Patch this process to die when PostgreSQL is to commit: before it does, or when it has."""
    commit = Session.commit

    def last(self: Session) -> bool:
        if done:
            commit(self)
        os._exit(KILLED)

    return lambda: setattr(Session, "commit", last)


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("done", [False, True], ids=["before", "behind"])
def test_a_process_killed_around_the_commit(new_sides: NewSides, change: str, done: bool) -> None:
    before, after, _ = before_and_after(new_sides, change)
    sides = new_sides()
    assert not killed(sides, change, Faulty(), die_at_commit(done=done))
    sides.recover()
    assert sides.differences() == []
    assert rows(sides) == (after if done else before)


def test_a_recovery_killed_at_any_call_is_done_again(new_sides: NewSides) -> None:
    _, after, _ = before_and_after(new_sides, "cascade")

    def recovering(sides: Sides, system: Faulty) -> Callable[[Connection], None]:
        def run(connection: Connection) -> None:
            with sides.open(system):
                connection.send(list(system.calls))

        return run

    sides = new_sides()
    killed(sides, "cascade", Faulty(), die_at_commit(done=True))
    again = Path(shutil.copytree(sides.folder, sides.folder.with_name("again")))
    with child(recovering(sides, Faulty())) as connection:
        [calls] = received(connection)
    for at in range(1, len(calls) + 1):
        shutil.rmtree(sides.folder)
        shutil.copytree(again, sides.folder)
        with child(recovering(sides, Faulty(at, die))) as connection:
            list(received(connection))
        sides.recover()
        assert sides.differences() == []
        assert rows(sides) == after
    shutil.rmtree(again)


FULL = errno.ENOSPC


@pytest.mark.parametrize(
    ("fault", "sticky", "change"),
    [
        pytest.param(fail(FULL), True, "several", id="full"),
        *(pytest.param(fail(FULL), False, change, marks=pytest.mark.slow) for change in CHANGES),
        *(pytest.param(fail_half_way(FULL), True, change, marks=pytest.mark.slow) for change in CHANGES),
        *(pytest.param(fail(errno.EIO), False, change, marks=pytest.mark.slow) for change in CHANGES),
    ],
)
def test_a_disk_that_fails_at_any_call_leaves_both_sides_equal(
    new_sides: NewSides, change: str, fault: Fault, sticky: bool
) -> None:
    """What PostgreSQL has committed is never lost: the caller is not told of the files, and they follow."""
    before, after, calls = before_and_after(new_sides, change)
    outcomes = set()
    for at in range(1, calls + 1):
        sides = new_sides()
        system = Faulty(at, fault, sticky=sticky)
        failed = False
        try:
            with sides.open(system) as (db, _):
                CHANGES[change](db)
                system.at = 0
                db.tag.create(data={"id": "t9", "userId": "u", "name": "t9", "nameLower": "t9"})
                db.tag.delete(where={"id": "t9"})
        except OctavoError:
            failed = True
        sides.recover()
        assert sides.differences() == []
        found = rows(sides)
        assert found in (before, after) if failed else found == after
        outcomes.add((failed, found == after))
    assert (True, False) in outcomes
    assert (False, True) in outcomes


def test_files_that_lag_behind_are_recovered_by_the_next_write(
    sides: Sides, caplog: pytest.LogCaptureFixture
) -> None:
    system = Faulty()
    commit = Session.commit

    def full_afterwards(self: Session) -> bool:
        kept = commit(self)
        system.at, system.fault, system.sticky = len(system.calls) + 1, fail(errno.ENOSPC), True
        return kept

    with sides.open(system) as (db, backend), pytest.MonkeyPatch.context() as patch:
        patch.setattr(Session, "commit", full_afterwards)
        with caplog.at_level(logging.ERROR, "octavo.backends.dual"):
            assert say(db, "m1").id == "m1"
        assert "lag behind" in caplog.text
        assert backend.divergences.counters()["lagging"] == 1
        patch.undo()
        assert db.message.find_unique(where={"id": "m1"}) is not None
        with pytest.raises(DiskError):
            say(db, "m2")
        assert db.message.find_unique(where={"id": "m2"}) is None
        system.at = 0
        say(db, "m2")
        assert backend.files.store.read(lambda view: view.get("Message", "m1")) is not None
    assert sides.differences() == []


@pytest.mark.parametrize("done", [False, True], ids=["before", "behind"])
def test_a_connection_lost_during_the_commit(sides: Sides, done: bool) -> None:
    commit = Session.commit

    def lost(self: Session) -> bool:
        patch.undo()
        if done:
            commit(self)
        self.connection.close()
        raise psycopg.OperationalError("server closed the connection unexpectedly")

    with sides.open(sample=1.0) as (db, _), pytest.MonkeyPatch.context() as patch:
        patch.setattr(Session, "commit", lost)
        if done:
            say(db, "m1")
        else:
            with pytest.raises(DatabaseError, match="was lost"):
                say(db, "m1")
        assert (db.message.find_unique(where={"id": "m1"}) is not None) == done
        say(db, "m2")
    assert sides.differences() == []


def test_a_store_in_doubt_opens_only_where_postgresql_answers(sides: Sides) -> None:
    killed(sides, "talk", Faulty(), die_at_commit(done=True))
    with pytest.raises(DamagedError, match="in doubt"):
        Store.open(sides.folder, frozen_layout())
    sides.recover()
    Store.open(sides.folder, frozen_layout()).close()
    assert sides.differences() == []


def test_two_processes_write_at_once(sides: Sides) -> None:
    def writer(name: str) -> Callable[[Connection], None]:
        def run(connection: Connection) -> None:
            with sides.open(sample=0.5) as (db, _):
                for number in range(15):
                    say(db, f"{name}-{number}")
                    # What is read is what is written only at this level, as in PostgreSQL.
                    with db.tx(isolation_level="Serializable", max_wait=60, timeout=60) as tx:
                        title = tx.chat.find_unique(where={"id": "k1"}).title
                        tx.chat.update(where={"id": "k1"}, data={"title": f"{title}+"})
                        tx.character_tag.delete_many()
                        tx.character_tag.create(data={"characterId": "c", "tagId": "t1"})

        return run

    with child(writer("a")) as one, child(writer("b")) as other:
        assert [*received(one), *received(other)] == []
    with sides.open(sample=1.0) as (db, _):
        assert db.chat.find_unique(where={"id": "k1"}).title == "k1" + "+" * 30
        assert db.message.count() == 31
    assert sides.differences() == []


def test_compacting_beside_a_writer_brings_no_deleted_record_back(sides: Sides) -> None:
    with sides.open() as (db, _), Store.open(sides.folder, frozen_layout()) as other:
        for number in range(60):
            say(db, f"n{number}")
            if number % 5 == 0:
                # It has to read again what it knows of the log, the index of which is up to date already.
                other.compact()
                say(db, f"new{number}", "k2")
            assert db.message.delete(where={"id": f"n{number}"}) is not None
    assert sides.differences() == []
