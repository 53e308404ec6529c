"""Files that follow a database: what others commit there is in them."""

from __future__ import annotations

from contextlib import closing

from following import Followed
from octavo.postgres.connection import connect
from writer import Writer


def test_what_was_there_and_what_is_committed_later_is_in_the_files(followed: Followed) -> None:
    assert followed.seed().seeded
    followed.sql("UPDATE users SET name = 'somebody else'", "DELETE FROM messages WHERE role = 'USER'")
    report = followed.catch_up()
    assert report.caught_up
    assert report.transactions == 1
    assert followed.differences() == []


def test_random_transactions_over_all_models(followed: Followed) -> None:
    followed.seed()
    with closing(connect(followed.url)) as connection:
        writer = Writer(connection, followed.layout.datamodel, seed=1)
        for _ in range(4):
            writer.write(100)
            followed.catch_up()
            assert followed.differences() == []
