"""Rows come out of a binary COPY as they were sent, and its errors as those of any statement."""

from __future__ import annotations

import psycopg
import pytest

from octavo.postgres.connection import Connection, connect
from octavo.postgres.copying import CopyOut, columns


def copied(connection: Connection, query: str) -> list[list[bytes | None]]:
    """The rows by either way, which must give the same."""
    statement = f"COPY ({query}) TO STDOUT (FORMAT binary)".encode()
    views = map(columns, CopyOut(connection, statement).views())
    found = [[None if value is None else bytes(value) for value in row] for row in views]
    assert found == [columns(row) for row in CopyOut(connection, statement).rows()]
    return found


@pytest.mark.parametrize("count", [0, 1, 2, 5000])
def test_each_row_comes_once_in_order(database: str, count: int) -> None:
    query = f"SELECT n::text, NULL::text, '', repeat('é', n % 50) FROM generate_series(1, {count}) AS s(n)"
    with connect(database) as connection:
        rows = copied(connection, query)
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert rows == [[b"%d" % n, None, b"", b"\xc3\xa9" * (n % 50)] for n in range(1, count + 1)]


def test_rows_that_are_larger_than_what_one_read_brings(database: str) -> None:
    query = "SELECT repeat(chr(96 + n), 3000000) FROM generate_series(1, 3) AS s(n)"
    with connect(database) as connection:
        rows = copied(connection, query)
    assert rows == [[letter * 3_000_000] for letter in (b"a", b"b", b"c")]


@pytest.mark.parametrize("at", [1, 2, 4000])
def test_an_error_among_the_rows_is_raised_as_the_server_says_it(database: str, at: int) -> None:
    query = f"SELECT (10 / ({at} - n))::text FROM generate_series(1, 5000) AS s(n)"
    with connect(database) as connection:
        with pytest.raises(psycopg.errors.DivisionByZero):
            copied(connection, query)
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_connection_that_is_closed_meanwhile_ends_the_waiting(database: str) -> None:
    with connect(database) as connection:
        copy = CopyOut(connection, b"COPY (SELECT pg_sleep(600)::text) TO STDOUT (FORMAT binary)")
        assert copy.take() == []
        connection.close()
        with pytest.raises(psycopg.OperationalError):
            next(copy.rows())
