"""Statements that are sent together, and prepared, on one connection."""

from __future__ import annotations

import signal
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import psycopg
import pytest

from interrupts import Interrupter
from octavo.postgres import session as module
from octavo.postgres.session import Session
from octavo.url import DatabaseUrl

NewDatabase = Callable[..., str]
MODE = "ISOLATION LEVEL READ COMMITTED"


@pytest.fixture
def session(new_database: NewDatabase) -> Iterator[Session]:
    with closing(Session(DatabaseUrl.parse(new_database()))) as opened:
        opened.execute("CREATE TABLE t (a int PRIMARY KEY, b text)")
        yield opened


def rows(session: Session) -> int:
    return int(session.execute("SELECT count(*) FROM t").get_value(0, 0) or b"")


def test_a_transaction_begins_with_its_first_statement(session: Session) -> None:
    session.begin(MODE, [("statement_timeout", "7s")], "SELECT 'asked'")
    assert session.is_alive
    assert session.execute("SHOW statement_timeout").get_value(0, 0) == b"7s"
    assert not session.is_alive
    assert session.told is not None
    assert session.told.get_value(0, 0) == b"asked"
    assert session.commit()
    assert session.is_alive


def test_a_transaction_without_statements_ends(session: Session) -> None:
    session.begin(MODE)
    assert session.commit()
    session.begin(MODE)
    session.rollback()
    assert session.is_alive


def test_a_first_statement_that_fails_dooms_the_transaction(session: Session) -> None:
    session.begin(MODE, asking="SELECT 1")
    with pytest.raises(psycopg.errors.DivisionByZero):
        session.execute("SELECT 1 / 0")
    assert session.told is None
    with pytest.raises(psycopg.errors.InFailedSqlTransaction):
        session.execute("SELECT 1")
    assert not session.commit()
    assert rows(session) == 0


def test_a_transaction_that_cannot_begin_executes_nothing(session: Session) -> None:
    session.begin("ISOLATION LEVEL NONE")
    with pytest.raises(psycopg.errors.SyntaxError):
        session.execute("INSERT INTO t VALUES (1, '')")
    session.rollback()
    assert rows(session) == 0


def test_a_statement_that_fails_whenever_it_is_executed_is_prepared_once(session: Session) -> None:
    for _ in range(6):
        with pytest.raises(psycopg.errors.DivisionByZero):
            session.execute("SELECT 1 / $1::int", ["0"])
    names = session.execute("SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE '%1 / %'")
    assert names.get_value(0, 0) == b"1"


def test_the_least_recently_used_statements_are_prepared_no_more(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MOST_PREPARED", 3)
    for number in (1, 2, 3, 1, 4, 5, 1):
        for _ in range(3):
            assert session.execute(f"SELECT {number}, $1::text", ["x"]).get_value(0, 1) == b"x"
    found = session.execute("SELECT string_agg(substr(statement, 8, 1), '') FROM pg_prepared_statements")
    assert sorted((found.get_value(0, 0) or b"").decode()) == ["1", "4", "5"]


def test_a_prepared_statement_goes_on_after_its_table_has_changed(session: Session) -> None:
    for _ in range(4):
        session.execute("SELECT * FROM t")
    session.execute("ALTER TABLE t ADD c int")
    with pytest.raises(psycopg.errors.FeatureNotSupported):
        session.execute("SELECT * FROM t")
    for _ in range(4):
        assert session.execute("SELECT * FROM t").nfields == 3
    found = session.execute("SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE '%FROM t'")
    assert found.get_value(0, 0) == b"1"


def test_large_values_go_both_ways(session: Session) -> None:
    text = "x" * (20 << 20)
    for _ in range(4):
        assert len(session.execute("SELECT $1::text || $1::text", [text]).get_value(0, 0) or b"") == 40 << 20


def test_the_server_s_reason_for_ending_the_connection_is_raised(session: Session) -> None:
    with pytest.raises(psycopg.errors.AdminShutdown):
        session.execute("SELECT pg_terminate_backend(pg_backend_pid())")
    assert not session.is_alive
    with pytest.raises(psycopg.OperationalError):
        session.execute("SELECT 1")


def test_an_interrupted_statement_is_cancelled(session: Session) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with pytest.raises(KeyboardInterrupt):
            session.execute("SELECT pg_sleep(60)")
    finally:
        signal.signal(signal.SIGALRM, before)
    assert not session.is_alive or rows(session) == 0


def test_a_session_interrupted_as_it_is_set_up_closes_its_connection(new_database: NewDatabase) -> None:
    url = DatabaseUrl.parse(new_database())
    raised: list[BaseException] = []

    def work() -> None:
        try:
            Session(url).close()
        except BaseException as error:
            # Its traceback holds what was made.
            raised.append(error)
            raise

    counting = Interrupter()
    counting.run(work)
    names = (" _set_up ", " _is_behind_a_pooler ", " _resets ")
    setting_up = [at for at in counting.distinct() if any(n in counting.moments[at - 1] for n in names)]
    assert len(setting_up) > 10
    for at in setting_up:
        Interrupter(at).run(work)
    assert len(raised) == len(setting_up)
    left = [found for error in raised for found in _connections(error)]
    assert all(connection.closed for connection in left)


def _connections(error: BaseException) -> Iterator[psycopg.Connection[Any]]:
    """Those in the frames that an exception came through."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        found = frame.f_locals.get("self")
        if isinstance(found, Session):
            yield found.connection
