"""Beginning, going on, stopping: what is there afterwards, in the folder and in the database."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from command import octavo
from following import PATIENCE, Followed, Running, command, environment, wait_for_progress, writing
from octavo.backend import DataBackend
from octavo.follow import life
from octavo.follow.life import FollowOptions
from octavo.layout.load import frozen_layout
from octavo.move.verify import VerifyOptions, verify
from octavo.postgres.connection import connect
from octavo.postgres.embedded import LOGICAL
from octavo.schema.ddl import ddl
from octavo.schema.texts import frozen_schema
from octavo.store import phase, position
from octavo.store.phase import Phase
from octavo.store.store import Store
from restartable import Restartable, open_folder
from strike import ONE_THREAD, Moment, Struck, every, some
from writer import Writer

PUBLICATIONS = "SELECT pubname FROM pg_publication"
OWN = "FROM pg_replication_slots WHERE database = current_database()"
SLOTS = f"SELECT slot_name, active {OWN}"
IDENTITY = "SELECT relreplident FROM pg_class WHERE relname = 'verification_tokens'"


def test_the_state_of_the_move_tells_what_follows(followed: Followed) -> None:
    assert life.follow(
        followed.url,
        followed.data_dir,
        followed.layout,
        FollowOptions(followed.files_root, until_caught_up=True),
    ).seeded
    state = phase.read(followed.data_dir)
    assert state.phase is Phase.DUAL_WRITE
    assert state.backend is DataBackend.PRISMA
    assert state.following is not None
    assert followed.sql(SLOTS) == [(state.following.slot, False)]
    assert followed.sql(PUBLICATIONS) == [(state.following.publication,)]


def test_stopping_leaves_the_database_as_it_was_and_the_files_as_they_are(followed: Followed) -> None:
    followed.seed()
    assert followed.sql(IDENTITY) == [("i",)]
    assert followed.stop()
    assert followed.sql(SLOTS) == followed.sql(PUBLICATIONS) == []
    assert followed.sql(IDENTITY) == [("d",)]
    assert phase.read(followed.data_dir).following is None
    assert position.read(followed.data_dir) is None
    assert followed.differences() == []
    assert not followed.stop()


@pytest.mark.parametrize("kind", ["FULL", "NOTHING", "USING INDEX verification_tokens_identifier_token_key"])
def test_a_table_gets_back_the_identity_that_it_had(followed: Followed, kind: str) -> None:
    followed.sql(f"ALTER TABLE verification_tokens REPLICA IDENTITY {kind}")
    before = followed.sql(IDENTITY)
    followed.seed()
    followed.sql("UPDATE verification_tokens SET expires = now()", "DELETE FROM verification_tokens")
    followed.sql("INSERT INTO verification_tokens VALUES ('a', 'b', now())")
    followed.catch_up()
    assert followed.differences() == []
    followed.stop()
    assert followed.sql(IDENTITY) == before


def test_the_application_goes_on_writing_whether_followed_or_not(followed: Followed) -> None:
    change = "UPDATE verification_tokens SET expires = now()"
    followed.seed()
    followed.sql(change)
    followed.stop()
    followed.sql(change)


def test_the_lag_is_what_was_written_and_not_carried_over(followed: Followed) -> None:
    followed.seed()
    before = life.lag(followed.url, followed.data_dir)
    followed.sql("UPDATE messages SET content = repeat('x', 1000)")
    assert life.lag(followed.url, followed.data_dir) > before
    with followed.running() as running:
        running.wait_for_transactions(1)
        assert running.report.position


def test_made_anew_while_it_follows(followed: Followed) -> None:
    followed.seed()
    [[old, _]] = followed.sql(SLOTS)
    followed.sql("DELETE FROM tags")
    report = followed.seed(replace=True)
    assert report.seeded
    assert report.replaced is not None
    [[new, _]] = followed.sql(SLOTS)
    assert new != old
    assert followed.differences() == []
    # The old folder has no part in it any more.
    assert not life.stop(followed.url, report.replaced)


def test_an_idle_follower_lets_the_server_throw_away_its_log(
    followed: Followed, monkeypatch: pytest.MonkeyPatch
) -> None:
    from octavo.follow import follower

    monkeypatch.setattr(follower, "_IDLE", 0.0)
    followed.seed()
    [[at]] = followed.sql("SELECT pg_current_wal_insert_lsn()::text")
    with followed.running() as running:
        # Nothing of this is for the files.
        followed.sql("CREATE TABLE elsewhere AS SELECT 1", "DROP TABLE elsewhere")
        query = f"SELECT confirmed_flush_lsn > '{at}' {OWN}"
        while followed.sql(query) != [(True,)]:
            running.wait(lambda r: True)


def test_what_is_under_way_when_following_begins_comes_once(followed: Followed) -> None:
    put = "INSERT INTO users (id, email, \"updatedAt\") VALUES ('{0}', '{0}', now())"
    followed.sql(put.format("before"))
    running = Running(followed)
    try:
        with closing(connect(followed.url)) as connection, connection.transaction():
            connection.execute(put.format("under way").encode())
            running.wait_for_waiting()
            followed.sql(put.format("meanwhile"))
        running.wait(lambda r: bool(r.report.position))
    finally:
        running.end()
    followed.catch_up()
    assert followed.differences() == []


def test_it_is_ended_while_it_waits_to_begin(followed: Followed) -> None:
    running = Running(followed)
    with closing(connect(followed.url)) as connection, connection.transaction():
        connection.execute("UPDATE users SET name = 'under way'")
        running.wait_for_waiting()
        running.end()
    assert followed.sql(SLOTS) == followed.sql(PUBLICATIONS) == []
    assert running.error is None


def test_others_write_while_the_files_are_made(followed: Followed) -> None:
    for number in range(3):
        with writing(followed, seed=number) as writer:
            followed.seed(replace=number > 0)
        assert writer.committed
        followed.catch_up()
        assert followed.differences() == []


def test_whether_it_runs(followed: Followed) -> None:
    assert not life.is_running(followed.data_dir)
    followed.seed()
    assert not life.is_running(followed.data_dir)
    with followed.running():
        assert life.is_running(followed.data_dir)


# Payloads


def test_a_payload_comes_with_its_row_or_later(followed: Followed, monkeypatch: pytest.MonkeyPatch) -> None:
    from octavo.follow import follower

    monkeypatch.setattr(follower, "_LOOK", 0.0)
    followed.seed()
    put = 'INSERT INTO images (id, "userId", filename, filepath, "mimeType", size, "updatedAt")'
    user = "(SELECT id FROM users LIMIT 1)"
    followed.files_root.mkdir(exist_ok=True)
    (followed.files_root / "one.png").write_bytes(b"one")
    with followed.running() as running:
        followed.sql(f"{put} SELECT 'one', {user}, 'one', 'one.png', 'image/png', 3, now()")
        followed.sql(f"{put} SELECT 'two', {user}, 'two', 'two.png', 'image/png', 3, now()")
        running.wait_for_transactions(2)
        (followed.files_root / "two.png").write_bytes(b"two")
        running.wait(lambda r: not any(p.path == "two.png" for p in r.report.payload_problems))
    followed.sql("UPDATE images SET filename = 'another name' WHERE id = 'one'")
    report = followed.catch_up()
    assert {p.key for p in report.payload_problems}.isdisjoint({"one", "two"})
    with Store.open(followed.data_dir, followed.layout) as store:
        for name in ("one", "two"):
            assert payload_of(store, name) == name.encode()


def payload_of(store: Store, image: str) -> bytes:
    digest = store.read(lambda view: view.payload("Image", image))
    assert digest is not None
    with store.open_payload(digest) as payload:
        return payload.read()


# Both sides go down


SEED = (
    ONE_THREAD
    + """
import sys
from pathlib import Path
from octavo.follow.life import FollowOptions, follow
from octavo.layout.load import frozen_layout
from octavo.url import DatabaseUrl
url, data_dir = sys.argv[1:]
options = FollowOptions(Path("none"), 1, until_caught_up=True)
follow(DatabaseUrl.parse(url), Path(data_dir), frozen_layout(), options)
"""
)


def is_killed_at(followed: Followed, moment: Moment) -> None:
    """Seeding that was killed is begun again, and leaves one slot in the end."""
    Struck(SEED, followed.address, followed.data_dir).kill(moment)
    followed.seed()
    assert len(followed.sql(SLOTS)) == len(followed.sql(PUBLICATIONS)) == 1
    assert followed.differences() == []
    followed.stop()
    assert followed.sql(SLOTS) == followed.sql(PUBLICATIONS) == []
    assert followed.sql(IDENTITY) == [("d",)]


def moments(new_followed: Callable[..., Followed], template: str, log: Path) -> dict[str, int]:
    rehearsed = new_followed(template)
    return Struck(SEED, rehearsed.address, rehearsed.data_dir).count(log, ("sendto", "rename", "renameat2"))


def test_seeding_that_is_killed(
    new_followed: Callable[..., Followed], followed_template: str, tmp_path: Path
) -> None:
    for moment in some(moments(new_followed, followed_template, tmp_path / "log")):
        is_killed_at(new_followed(followed_template), moment)


@pytest.mark.slow
def test_seeding_that_is_killed_at_every_call(
    new_followed: Callable[..., Followed], followed_template: str, tmp_path: Path
) -> None:
    for moment in every(moments(new_followed, followed_template, tmp_path / "log")):
        is_killed_at(new_followed(followed_template), moment)


def test_connections_that_are_cut_are_made_again(followed: Followed) -> None:
    followed.seed()
    cut = f"SELECT pg_terminate_backend(active_pid) {OWN}"
    with followed.running() as running, closing(connect(followed.url)) as connection:
        writer = Writer(connection, followed.layout.datamodel, seed=3)
        for number in range(1, 4):
            carried = running.report.transactions
            writer.write(10)
            running.wait_for_transactions(carried + 1)
            followed.sql(cut)
            running.wait_for_words(number)
    followed.catch_up()
    assert followed.differences() == []


@pytest.fixture
def durable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Restartable]:
    made = Restartable(open_folder(tmp_path_factory) / "data", LOGICAL)
    yield made
    made.server.stop()


def test_a_server_that_crashes_and_comes_back(durable: Restartable, tmp_path: Path) -> None:
    followed = Followed(durable.url, tmp_path, frozen_layout())
    with closing(connect(followed.url)) as connection:
        connection.execute(ddl(frozen_schema()).script().encode())
    followed.seed()
    with followed.running() as running:
        for number in range(2):
            with closing(connect(followed.url)) as connection:
                Writer(connection, followed.layout.datamodel, seed=number).write(40)
            durable.crash()
            running.wait_for_words(number + 1)
            back = threading.Thread(target=durable.restart)
            back.start()
            back.join()
    followed.catch_up()
    assert followed.differences() == []
    followed.stop()


# The command


def test_a_signal_ends_the_command_in_order(followed: Followed) -> None:
    followed.seed()
    process = subprocess.Popen(command(followed), env=environment(), stdout=subprocess.PIPE, text=True)
    followed.sql("UPDATE users SET name = 'x'")
    wait_for_progress(followed, process)
    process.terminate()
    said, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    assert "1 transaction carried over" in said


def test_the_command(followed: Followed) -> None:
    where = {"DATABASE_URL": followed.address, "DATA_DIR": str(followed.data_dir)}
    where["FILES_ROOT"] = str(followed.files_root)
    made = octavo("follow", "--until-caught-up", "--json", **where)
    assert (made.code, made.err) == (0, "")
    first: Any = made.answer
    assert first["seeded"]
    assert first["caughtUp"]
    followed.sql("UPDATE users SET name = 'x'")
    done = octavo("follow", "--until-caught-up", **where)
    assert done.code == 0
    assert "1 transaction carried over" in done.out
    quiet = octavo("follow", "--replace", "--until-caught-up", "--quiet", **where)
    assert (quiet.code, quiet.out) == (0, "")
    assert "could not be read" in quiet.err
    assert octavo("follow", "--stop", "--until-caught-up", **where).code == 2
    assert octavo("follow", "--stop", "--json", **where).answer["removed"]
    assert octavo("follow", "--stop", **where).out == "nothing was followed\n"
    report = verify(
        followed.url, followed.data_dir, followed.layout, VerifyOptions(followed.files_root, jobs=1)
    )
    assert report.equal
