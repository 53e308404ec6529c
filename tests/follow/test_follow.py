"""Files that follow a database: what others commit there is in them."""

from __future__ import annotations

from following import Followed


def test_what_was_there_and_what_is_committed_later_is_in_the_files(followed: Followed) -> None:
    assert followed.seed().seeded
    followed.sql("UPDATE users SET name = 'somebody else'", "DELETE FROM messages WHERE role = 'USER'")
    report = followed.catch_up()
    assert report.caught_up
    assert report.transactions == 1
    assert followed.differences() == []
