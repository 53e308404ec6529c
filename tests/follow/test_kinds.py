"""Each kind of value and of change that comes by the stream, in the files as an export would write it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

import every_type
from following import Followed
from octavo.fold.export import ExportOptions, export
from octavo.layout.layout import Layout
from octavo.postgres.connection import connect
from octavo.schema.ddl import ddl
from octavo.store.store import Store

Follow = Callable[..., Followed]


def with_every_type(new_followed: Follow) -> Followed:
    """A database with every type that Prisma has, without rows, and files that follow it."""
    followed = new_followed(None, every_type.layout())
    with closing(connect(followed.url)) as connection:
        connection.execute(ddl(every_type.datamodel()).script().encode())
    followed.seed()
    return followed


def in_order(followed: Followed) -> dict[str, bytes]:
    """The files, with one line a record, by their names."""
    with Store.open(followed.data_dir, followed.layout) as store:
        store.compact()
    return contents(followed.data_dir, followed.layout)


def contents(data_dir: Path, layout: Layout) -> dict[str, bytes]:
    files = (p for p in data_dir.rglob("*") if p.is_file() and "cache" not in p.parts)
    return {str(p.relative_to(data_dir)): p.read_bytes() for p in files}


SETTINGS = (
    "DateStyle = 'SQL, DMY'",
    "TimeZone = 'Asia/Kathmandu'",
    "IntervalStyle = 'iso_8601'",
    "extra_float_digits = -5",
    "bytea_output = 'escape'",
    "array_nulls = off",
)


@pytest.mark.parametrize("settings", [(), SETTINGS], ids=["as it is", "otherwise"])
def test_every_type_comes_to_the_very_bytes_of_an_export(
    new_followed: Follow, tmp_path: Path, settings: tuple[str, ...]
) -> None:
    """However the database's settings would have values printed."""
    followed = with_every_type(new_followed)
    for setting in settings:
        followed.sql(f"ALTER DATABASE {followed.url.database} SET {setting}")
    with closing(connect(followed.url)) as connection:
        every_type.load(connection)
    followed.catch_up()
    assert followed.differences() == []
    exported = tmp_path / "exported"
    export(followed.url, exported, followed.layout, ExportOptions(followed.files_root))
    assert in_order(followed) == contents(exported, followed.layout)


def test_every_type_is_changed_and_removed(new_followed: Follow) -> None:
    followed = with_every_type(new_followed)
    with closing(connect(followed.url)) as connection:
        every_type.load(connection)
    followed.catch_up()
    # Each row gets the values of another, without the texts that are stored apart.
    names = [f'"{f.column}"' for f in followed.layout.datamodel.model("Value").scalars][1:]
    sets = ", ".join(f"{name} = other.{name}" for name in names if name != '"text"')
    followed.sql(
        f'UPDATE "Value" SET {sets} FROM "Value" AS other WHERE other.id = "Value".id % 7 + 1',
        'UPDATE "Stamp" SET author = NULL',
    )
    followed.catch_up()
    assert followed.differences() == []
    followed.sql('DELETE FROM "Value" WHERE id % 2 = 0', "DELETE FROM \"Stamp\" WHERE at = 'infinity'")
    followed.sql('DELETE FROM "the children" WHERE "left" < 0', 'UPDATE "Node" SET "eggId" = NULL')
    followed.catch_up()
    assert followed.differences() == []


def test_keys_of_every_type_are_changed(new_followed: Follow) -> None:
    followed = with_every_type(new_followed)
    with closing(connect(followed.url)) as connection:
        every_type.load(connection)
    followed.catch_up()
    followed.sql(
        'UPDATE "Value" SET id = id + 100',
        'UPDATE "the children" SET "left" = "left" + 7, "right" = "right" || \'x\'',
        'UPDATE "Node" SET id = id || \'/\', "eggId" = NULL',
        "UPDATE \"Egg\" SET id = id || '?'",
        "UPDATE \"Stamp\" SET at = at + interval '1 us'",
    )
    followed.catch_up()
    assert followed.differences() == []


LONG = "(SELECT string_agg(md5(n::text), '') FROM generate_series(1, 1000) AS n)"


def test_values_that_are_stored_apart_and_not_sent_stay(followed: Followed) -> None:
    followed.sql(f"UPDATE characters SET description = {LONG}")
    followed.seed()
    followed.sql("UPDATE characters SET name = 'another'")
    followed.catch_up()
    assert followed.differences() == []


def test_they_go_along_with_a_row_whose_key_changes_twice(followed: Followed) -> None:
    followed.sql(f"UPDATE messages SET content = {LONG} || id")
    followed.seed()
    followed.sql(
        "UPDATE messages SET id = 'x' || id",
        "UPDATE messages SET id = 'y' || id, role = 'TOOL'",
        "UPDATE messages SET role = 'USER' WHERE id LIKE 'yx%0%'",
    )
    followed.catch_up()
    assert followed.differences() == []


def test_two_rows_exchange_their_keys(followed: Followed) -> None:
    followed.sql(f"UPDATE characters SET description = {LONG} || id")
    followed.seed()
    [[one], [other]] = followed.sql("SELECT id FROM characters ORDER BY 1 LIMIT 2")
    followed.sql(
        f"UPDATE characters SET id = 'between' WHERE id = '{one}'",
        f"UPDATE characters SET id = '{one}' WHERE id = '{other}'",
        f"UPDATE characters SET id = '{other}' WHERE id = 'between'",
    )
    assert followed.catch_up().transactions == 1
    assert followed.differences() == []


def test_two_rows_exchange_unique_values(followed: Followed) -> None:
    followed.seed()
    [[one, mail], [other, another]] = followed.sql("SELECT id, email FROM users ORDER BY 1 LIMIT 2")
    followed.sql(
        f"UPDATE users SET email = 'between' WHERE id = '{one}'",
        f"UPDATE users SET email = '{mail}' WHERE id = '{other}'",
        f"UPDATE users SET email = '{another}' WHERE id = '{one}'",
    )
    followed.catch_up()
    assert followed.differences() == []


def test_a_model_without_primary_key(followed: Followed) -> None:
    followed.seed()
    followed.sql("UPDATE verification_tokens SET expires = 'infinity'")
    followed.sql("UPDATE verification_tokens SET token = token || 'x' WHERE identifier < 'n'")
    followed.sql("DELETE FROM verification_tokens WHERE identifier >= 'n'")
    followed.sql("INSERT INTO verification_tokens VALUES ('somebody', 'token', now())")
    followed.catch_up()
    assert followed.differences() == []


def test_tables_are_truncated_with_what_points_at_them(followed: Followed) -> None:
    followed.seed()
    followed.sql("TRUNCATE tags CASCADE", "INSERT INTO verification_tokens VALUES ('a', 'b', now())")
    followed.sql("DELETE FROM sessions", "TRUNCATE sessions, verification_tokens")
    followed.catch_up()
    assert followed.differences() == []
    assert followed.sql("SELECT count(*) FROM tags, character_tags") == [(0,)]


def test_everything_goes_and_comes_back_in_one_transaction(followed: Followed) -> None:
    followed.seed()
    models = followed.layout.datamodel.tables
    keep = [f'CREATE TEMPORARY TABLE "kept {m.name}" AS TABLE {m.table}' for m in models]
    back = [f'INSERT INTO {m.table} TABLE "kept {m.name}"' for m in models]
    off = "SET LOCAL session_replication_role = replica"
    followed.sql(*keep, "TRUNCATE users, verification_tokens CASCADE", off, *back)
    followed.catch_up()
    assert followed.differences() == []


def test_what_was_rolled_back_never_comes(followed: Followed) -> None:
    followed.seed()
    with closing(connect(followed.url)) as connection, connection.transaction(force_rollback=True):
        connection.execute("DELETE FROM users")
    assert followed.catch_up().transactions == 0
    assert followed.differences() == []
