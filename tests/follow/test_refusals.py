"""What stands in the way of following is said clearly; what was committed is never passed over."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from following import Followed
from octavo.backend import DataBackend
from octavo.errors import DatabaseError, DifferenceError, DivergedError, DriftError, UsageError
from octavo.fold.export import ExportOptions, export
from octavo.fold.scaffold import scaffold
from octavo.follow import life
from octavo.follow.state import read_plan, write_plan
from octavo.layout.load import frozen_layout
from octavo.postgres.embedded import EmbeddedServer
from octavo.store import phase, position
from octavo.store.phase import Phase
from octavo.store.store import Store
from octavo.url import DatabaseUrl

Follow = Callable[..., Followed]
TABLES = "SELECT relname, relreplident FROM pg_class WHERE relname = 'verification_tokens'"
MADE = "SELECT slot_name FROM pg_replication_slots WHERE database = current_database()"


def made(followed: Followed) -> tuple[list[Any], list[Any], list[Any]]:
    """What following has made in the database: slots, publications, the identity of a table without key."""
    return (
        followed.sql(MADE),
        followed.sql("SELECT pubname FROM pg_publication"),
        followed.sql(TABLES),
    )


NOTHING: tuple[list[Any], list[Any], list[Any]] = ([], [], [("verification_tokens", "d")])


def test_a_server_without_a_logical_log(schema_database: str, tmp_path: Path) -> None:
    followed = Followed(schema_database, tmp_path, frozen_layout())
    with pytest.raises((UsageError, DatabaseError), match=r"wal_level|max_wal_senders"):
        followed.seed()


def test_the_address_of_a_pooler(followed: Followed) -> None:
    url = DatabaseUrl.parse(f"{followed.address}&pgbouncer=true")
    with pytest.raises(UsageError, match="pooler"):
        life.follow(url, followed.data_dir, followed.layout, followed.options)


def test_a_user_who_may_not_replicate(followed: Followed, logical_server: EmbeddedServer) -> None:
    followed.sql("CREATE ROLE reader LOGIN", "GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader")
    try:
        url = DatabaseUrl.parse(logical_server.url(followed.url.database, schema="public", user="reader"))
        with pytest.raises(DatabaseError) as raised:
            life.follow(url, followed.data_dir, followed.layout, followed.options)
        assert "REPLICATION" in raised.value.hint
    finally:
        followed.sql("DROP OWNED BY reader", "DROP ROLE reader")


def test_a_user_who_does_not_own_the_tables(followed: Followed, logical_server: EmbeddedServer) -> None:
    followed.sql(
        "CREATE ROLE copier LOGIN REPLICATION", "GRANT SELECT ON ALL TABLES IN SCHEMA public TO copier"
    )
    try:
        url = DatabaseUrl.parse(logical_server.url(followed.url.database, schema="public", user="copier"))
        with pytest.raises(DatabaseError, match=r"owner|permission|may not"):
            life.follow(url, followed.data_dir, followed.layout, followed.options)
        assert made(followed) == NOTHING
    finally:
        followed.sql("DROP OWNED BY copier", "DROP ROLE copier")


def test_a_server_whose_slots_are_taken(followed: Followed) -> None:
    names = [f"taken_{n}" for n in range(16)]
    for name in names:
        followed.sql(f"SELECT pg_create_physical_replication_slot('{name}')")
    try:
        with pytest.raises(UsageError, match="max_replication_slots is 16, and 16 are taken"):
            followed.seed()
    finally:
        for name in names:
            followed.sql(f"SELECT pg_drop_replication_slot('{name}')")


def test_a_table_that_is_not_logged(followed: Followed) -> None:
    followed.sql("ALTER TABLE sessions SET UNLOGGED")
    with pytest.raises(UsageError, match="sessions is not logged"):
        followed.seed()
    assert made(followed) == NOTHING


def test_a_store_that_follows_nothing(followed: Followed) -> None:
    export(followed.url, followed.data_dir, followed.layout, ExportOptions(followed.files_root))
    with pytest.raises(UsageError, match="already holds a store"):
        followed.seed()
    report = followed.seed(replace=True)
    assert report.replaced is not None
    assert report.replaced.is_dir()
    assert followed.differences() == []


def test_files_that_are_the_backend_of_record(followed: Followed) -> None:
    followed.seed()
    with phase.changing(followed.data_dir) as state:
        state.go(Phase.CUTOVER, "for a test", backend=DataBackend.JSON)
    with pytest.raises(UsageError, match="backend of record"):
        followed.catch_up()
    with pytest.raises(UsageError, match="backend of record"):
        followed.seed(replace=True)


def test_files_that_follow_nothing_cannot_catch_up(followed: Followed) -> None:
    scaffold(followed.data_dir, followed.layout)
    with pytest.raises(UsageError, match="follow no database"):
        followed.catch_up()
    with pytest.raises(UsageError, match="follow no database"):
        life.lag(followed.url, followed.data_dir)
    assert not followed.stop()


def test_only_one_follows(followed: Followed) -> None:
    followed.seed()
    with followed.running():
        with pytest.raises(UsageError, match=r"runs on .* already"):
            followed.catch_up()
        with pytest.raises(UsageError, match=r"runs on .* already"):
            followed.stop()


def test_rows_that_cannot_be_followed_leave_nothing_behind(followed: Followed) -> None:
    followed.sql(
        "SET LOCAL session_replication_role = replica",
        "UPDATE character_tags SET \"characterId\" = 'nobody'"
        " WHERE ctid = (SELECT min(ctid) FROM character_tags)",
    )
    with pytest.raises(DifferenceError, match="whose parent is missing"):
        followed.seed()
    assert made(followed) == NOTHING
    assert read_plan(followed.data_dir) is None


def test_generated_columns_are_not_followed(followed: Followed) -> None:
    followed.sql(
        'ALTER TABLE tags DROP COLUMN "updatedAt"',
        'ALTER TABLE tags ADD COLUMN "updatedAt" timestamp(3) NOT NULL'
        ' GENERATED ALWAYS AS ("createdAt") STORED',
    )
    with pytest.raises(DriftError) as raised:
        followed.seed()
    assert raised.value.findings == ("generated column Tag.updatedAt",)
    assert made(followed) == NOTHING


# What goes wrong later


def refuses(followed: Followed, error: type[Exception], match: str) -> None:
    """Catching up is refused, and the files stay where they were."""
    before = position.read(followed.data_dir)
    with pytest.raises(error, match=match):
        followed.catch_up()
    assert position.read(followed.data_dir) == before


def test_a_slot_that_was_dropped(followed: Followed) -> None:
    followed.seed()
    followed.sql(f"SELECT pg_drop_replication_slot(slot_name) FROM ({MADE}) AS s")
    refuses(followed, DatabaseError, "slot octavo_.* is not there")
    with pytest.raises(DatabaseError, match="is not there"):
        life.lag(followed.url, followed.data_dir)
    followed.seed(replace=True)
    assert followed.differences() == []


def test_a_slot_whose_log_was_thrown_away(followed: Followed, logical_server: EmbeddedServer) -> None:
    followed.seed()
    logical_server.execute("ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'")
    try:
        logical_server.execute("SELECT pg_reload_conf()")
        for _ in range(4):
            followed.sql("SELECT pg_logical_emit_message(true, 'x', repeat('x', 1000000))")
            logical_server.execute("SELECT pg_switch_wal()")
        logical_server.execute("CHECKPOINT")
        refuses(followed, DatabaseError, "is lost")
    finally:
        logical_server.execute("ALTER SYSTEM RESET max_slot_wal_keep_size")
        logical_server.execute("SELECT pg_reload_conf()")


def test_a_slot_that_somebody_else_has_read(followed: Followed) -> None:
    followed.seed()
    followed.sql("SET LOCAL synchronous_commit = on", "UPDATE users SET name = 'missed'")
    followed.sql(f"SELECT pg_replication_slot_advance(slot_name, pg_current_wal_lsn()) FROM ({MADE}) AS s")
    refuses(followed, DatabaseError, "was read by another client")


def test_another_database(followed: Followed, new_followed: Follow, followed_template: str) -> None:
    followed.seed()
    other = new_followed(followed_template)
    with pytest.raises(DatabaseError, match="another database"):
        life.catch_up(other.url, followed.data_dir, followed.layout, followed.options)


def test_a_database_with_another_history(followed: Followed) -> None:
    followed.seed()
    plan = read_plan(followed.data_dir)
    assert plan is not None
    write_plan(followed.data_dir, msgspec.structs.replace(plan, timeline=plan.timeline + 1))
    refuses(followed, DatabaseError, "restored or has failed over")


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ("ALTER TABLE users ADD COLUMN age integer DEFAULT 7", "age"),
        ("ALTER TABLE users DROP COLUMN image", "image"),
        ('ALTER TABLE messages ALTER COLUMN "tokenCount" TYPE bigint', "tokenCount"),
        ("ALTER TABLE users ALTER COLUMN name TYPE varchar(5) USING left(name, 5)", "users was altered"),
        ("CREATE TABLE more (id text PRIMARY KEY)", "more"),
    ],
)
def test_a_schema_that_was_changed_before_going_on(followed: Followed, change: str, found: str) -> None:
    followed.seed()
    followed.sql(change, 'UPDATE users SET "totpEnabled" = true')
    before = position.read(followed.data_dir)
    with pytest.raises(DriftError) as raised:
        followed.catch_up()
    assert any(found in finding for finding in raised.value.findings)
    assert position.read(followed.data_dir) == before


@pytest.mark.parametrize(
    "changes",
    [
        (
            'ALTER TABLE messages DROP COLUMN "swipeGroupId"',
            'ALTER TABLE messages ADD COLUMN "swipeGroupId" text',
            'CREATE INDEX "messages_swipeGroupId_idx" ON messages ("swipeGroupId")',
        ),
        (
            'ALTER TABLE messages ALTER "createdAt" TYPE timestamp(0)',
            'ALTER TABLE messages ALTER "createdAt" TYPE timestamp(3)',
        ),
    ],
)
def test_a_schema_that_was_changed_and_changed_back(followed: Followed, changes: tuple[str, ...]) -> None:
    """What it did to the rows is in no log."""
    followed.seed()
    followed.sql(*changes)
    refuses(followed, DriftError, "changed under way")
    followed.seed(replace=True)
    assert followed.differences() == []


def test_a_schema_that_is_changed_under_way(followed: Followed) -> None:
    followed.seed()
    with followed.running() as running:
        followed.sql("UPDATE users SET name = 'before'")
        followed.sql("ALTER TABLE users ADD COLUMN age integer DEFAULT 7", "UPDATE users SET name = 'behind'")
        with pytest.raises(DriftError) as raised:
            running.wait(lambda r: False)
    assert raised.value.findings == ("public.users: the column age is not in the schema",)
    with Store.open(followed.data_dir, followed.layout) as store:
        names = store.read(lambda view: {row.name for row in view.rows("User")})
    assert names == {"before"}
    # That it was taken back does not make good what was not understood.
    followed.sql("ALTER TABLE users DROP COLUMN age")
    refuses(followed, DriftError, "changed under way")


def test_a_label_that_the_schema_does_not_know(followed: Followed) -> None:
    followed.seed()
    with followed.running() as running:
        followed.sql("ALTER TYPE \"Role\" ADD VALUE 'NOBODY'")
        followed.sql("UPDATE messages SET role = 'NOBODY'")
        with pytest.raises(DriftError):
            running.wait(lambda r: False)


def test_a_publication_that_lacks_a_table(followed: Followed) -> None:
    followed.seed()
    [[name]] = followed.sql("SELECT pubname FROM pg_publication")
    followed.sql(f'ALTER PUBLICATION "{name}" DROP TABLE sessions')
    refuses(followed, DriftError, "lacks public.sessions")


def test_a_table_whose_replica_identity_was_taken(followed: Followed) -> None:
    followed.seed()
    with followed.running() as running:
        followed.sql("ALTER TABLE users REPLICA IDENTITY USING INDEX users_email_key")
        followed.sql("UPDATE users SET name = 'x'")
        with pytest.raises(DriftError, match="replica identity"):
            running.wait(lambda r: False)


def test_files_that_were_not_equal(followed: Followed) -> None:
    followed.seed()
    with Store.open(followed.data_dir, followed.layout) as store, store.transaction() as tx:
        tx.delete(list(tx.rows("Message")))
    followed.sql("UPDATE messages SET content = 'x'")
    refuses(followed, DivergedError, "Message: the files have not been equal to PostgreSQL: they lack a row")


def test_files_that_have_something_more(followed: Followed) -> None:
    followed.seed()
    with Store.open(followed.data_dir, followed.layout) as store, store.transaction() as tx:
        [tag, *_] = tx.rows("Tag")
        other = msgspec.structs.replace(tag, id="more", name="More", nameLower="more")
        tx.insert([other])
    followed.sql(
        'INSERT INTO tags (id, "userId", name, "nameLower", "updatedAt")'
        f" VALUES ('z', '{tag.userId}', 'More', 'more', now())"
    )
    refuses(followed, DivergedError, r"Tag: they refuse what PostgreSQL accepts: not unique")


def test_an_export_over_files_that_follow(followed: Followed) -> None:
    followed.seed()
    options = ExportOptions(followed.files_root, replace=True)
    with pytest.raises(UsageError, match="follow PostgreSQL"):
        export(followed.url, followed.data_dir, followed.layout, options)


def test_files_of_which_nobody_knows_how_far_they_are(followed: Followed) -> None:
    followed.seed()
    (followed.data_dir / position.NAME).unlink()
    with pytest.raises(DatabaseError, match="is not known: they were replaced"):
        followed.catch_up()
    assert followed.stop()
    assert made(followed) == NOTHING


def test_what_somebody_has_left_who_was_killed_while_he_began(followed: Followed) -> None:
    followed.seed()
    plan = read_plan(followed.data_dir)
    assert plan is not None
    write_plan(followed.data_dir, msgspec.structs.replace(plan, seeded=False))
    with pytest.raises(UsageError, match="already holds a store"):
        followed.seed()
    assert made(followed) == NOTHING


def test_a_cache_that_was_deleted(followed: Followed) -> None:
    followed.seed()
    shutil.rmtree(followed.data_dir / "cache")
    with pytest.raises(UsageError, match="already holds a store"):
        followed.seed()
    for name in (row[0] for row in followed.sql(MADE)):
        followed.sql(f"SELECT pg_drop_replication_slot('{name}')")
