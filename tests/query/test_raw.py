"""Raw SQL: on PostgreSQL any statement, in dual one that reads, on the files a SELECT of constants."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from decimal import Decimal
from math import isnan
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from backends import dual_backend, emptied, on_files
from octavo.aio import AsyncClient
from octavo.backends.prisma import PrismaBackend
from octavo.client import Client
from octavo.errors import ConflictError, RawQueryError, TransactionFailed, UsageError, ValidationError
from octavo.postgres.embedded import EmbeddedServer
from octavo.query.raw import elements, raw_statement
from query.blog import VOCABULARY

NOON = datetime(2025, 1, 1, 12, 0, 0, 123000, tzinfo=UTC)


@pytest.fixture
def postgres(blog_on_postgres: PrismaBackend) -> Iterator[Client]:
    yield Client(blog_on_postgres, VOCABULARY)
    emptied(blog_on_postgres)


@pytest.fixture
def dual(blog_on_postgres: PrismaBackend, server: EmbeddedServer, tmp_path: Path) -> Iterator[Client]:
    with dual_backend(VOCABULARY, str(server.url("blog", schema="public")), tmp_path / "data") as both:
        yield Client(both, VOCABULARY)
    emptied(blog_on_postgres)


@pytest.fixture
def files(tmp_path: Path) -> Iterator[Client]:
    with on_files(VOCABULARY, tmp_path / "data") as db:
        yield db


@pytest.mark.parametrize(
    ("query", "row"),
    [
        ("SELECT 1", {"?column?": 1}),
        ("  select 1 ;", {"?column?": 1}),
        ("/* alive? */ SELECT 1 AS ok -- yes", {"ok": 1}),
        ('SELECT 1 AS "Result"', {"Result": 1}),
        ("SELECT 1 + 1 result", {"result": 2}),
        ("SELECT 1 AS a, 'x' AS b, TRUE", {"a": 1, "b": "x", "?column?": True}),
    ],
)
def test_a_health_check_is_answered_alike_everywhere(db: Client, query: str, row: dict[str, Any]) -> None:
    assert db.query_raw(query) == [row]
    with db.tx() as tx:
        assert tx.query_raw(query) == [row]


def test_the_files_know_the_moment(files: Client) -> None:
    [row] = files.query_raw("SELECT now()")
    assert abs((datetime.now(UTC) - row["now"]).total_seconds()) < 60
    assert files.execute_raw("SELECT 1") == 1


@pytest.mark.parametrize(
    "query",
    ["SELECT * FROM users", 'SELECT count(*) FROM "User"', "DELETE FROM users", "", "SELECT", "SELECT $1"],
)
def test_the_files_refuse_all_other_sql(files: Client, query: str) -> None:
    with pytest.raises(UsageError, match="do not understand SQL"):
        files.query_raw(query)


def test_parameters_and_results_have_types(postgres: Client) -> None:
    uuid = UUID("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11")
    [row] = postgres.query_raw(
        """SELECT $1::int AS i, $2::bigint AS b, $3::numeric AS d, $4::float8 AS f, $5::text AS s,
           $6::timestamp AS t, $7::timestamptz AS z, $8::date AS day, $9::time AS clock, $10::bytea AS y,
           $11::jsonb AS j, $12::uuid AS u, $13::bool AS ok, $14::text[] AS list, $15::int[] AS grid,
           $16::text AS nothing, $17::float8 AS nan, 'infinity'::timestamp AS ever, 'USER'::"Role" AS role,
           '{USER,ADMIN}'::"Role"[] AS roles, $18::jsonb[] AS docs""",
        *(7, 2**62, Decimal("1.10"), 0.1, "é 'x' \\", NOON.replace(tzinfo=None), NOON, date(2024, 2, 29)),
        *(time(9, 30), b"\0\xff", {"a": [1, None, "x"]}, uuid, True, ["a,b", None, 'q"\\', "", "NULL"]),
        *([[1, 2], [3, 4]], None, float("nan"), [{"a": 1}, {"b": "{}"}]),
    )
    assert isnan(row.pop("nan"))
    assert row == {
        **{"i": 7, "b": 2**62, "d": Decimal("1.10"), "f": 0.1, "s": "é 'x' \\", "t": NOON, "z": NOON},
        **{"day": date(2024, 2, 29), "clock": time(9, 30), "y": b"\0\xff", "j": {"a": [1, None, "x"]}},
        **{"u": str(uuid), "ok": True, "list": ["a,b", None, 'q"\\', "", "NULL"], "grid": [[1, 2], [3, 4]]},
        **{"nothing": None, "ever": "infinity", "role": "USER", "roles": ["USER", "ADMIN"]},
        "docs": [{"a": 1}, {"b": "{}"}],
    }


def test_columns_are_named_by_prismas_types(blog_on_postgres: PrismaBackend) -> None:
    query = "SELECT 1 AS a, 1::bigint AS b, now() AS c, '{}'::jsonb[] AS d, 'USER'::\"Role\" AS e, 1.5 AS f"
    answer = blog_on_postgres.raw(raw_statement(query, (), writes=False))
    assert answer.types == ("int", "bigint", "datetime", "json-array", "enum", "decimal")


def test_a_statement_may_write(postgres: Client) -> None:
    made = """INSERT INTO "User" (email, changed) SELECT 'u' || n, now() FROM generate_series(1, $1) AS n"""
    assert postgres.execute_raw(made, 3) == 3
    assert postgres.query_raw('UPDATE "User" SET name = $1 WHERE email = $2 RETURNING id', "x", "u2") == [
        {"id": 2}
    ]
    assert postgres.user.count(where={"name": "x"}) == 1
    assert postgres.execute_raw('DELETE FROM "User" WHERE email = ANY($1)', ["u1", "u3"]) == 2


def test_a_statement_is_part_of_its_transaction(postgres: Client) -> None:
    def work() -> None:
        with postgres.tx() as tx:
            tx.user.create(data={"email": "a"})
            assert tx.query_raw('SELECT email FROM "User"') == [{"email": "a"}]
            tx.execute_raw("""UPDATE "User" SET email = 'b'""")
            assert tx.user.count(where={"email": "b"}) == 1
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        work()
    assert postgres.user.count() == 0


def test_what_postgresql_refuses_is_told_with_its_code(postgres: Client) -> None:
    with pytest.raises(RawQueryError, match="syntax error") as raised:
        postgres.query_raw("SELEC 1")
    assert (raised.value.code, raised.value.sqlstate) == ("P2010", "42601")
    postgres.user.create(data={"email": "a"})

    def work() -> None:
        with postgres.tx() as tx:
            with pytest.raises(RawQueryError) as raised:
                tx.execute_raw("""INSERT INTO "User" (email, changed) VALUES ('a', now())""")
            assert raised.value.sqlstate == "23505"
            # As in PostgreSQL.
            with pytest.raises(TransactionFailed):
                tx.user.count()

    with pytest.raises(TransactionFailed):
        work()


def test_a_message_repeats_no_value(postgres: Client) -> None:
    with pytest.raises(RawQueryError) as raised:
        postgres.query_raw("SELECT $1::int", "s3cret")
    assert "s3cret" not in str(raised.value)


@pytest.mark.parametrize(
    "query", ["COMMIT", "-- now\n rollback", "/* x */ BEGIN", "(END)", "COPY x TO STDOUT"]
)
def test_a_transaction_is_not_ended_by_sql(db: Client, query: str) -> None:
    with pytest.raises(UsageError, match="raw SQL cannot hold"):
        db.query_raw(query)


def test_a_session_that_a_statement_has_changed_is_used_no_more(postgres: Client) -> None:
    postgres.execute_raw("SET TimeZone = 'Asia/Tokyo'")
    postgres.query_raw("SELECT set_config('search_path', 'pg_catalog', false)")
    made: Any = postgres.user.create(data={"email": "a", "joined": NOON})
    assert made.joined == NOON
    assert postgres.query_raw("SHOW TimeZone") == [{"TimeZone": "UTC"}]


@pytest.mark.parametrize("value", ["\0", "\ud800", object(), {"a": object()}])
def test_a_parameter_without_a_place_in_sql_is_refused(db: Client, value: Any) -> None:
    with pytest.raises(ValidationError, match=r"parameters\[1\]"):
        db.query_raw("SELECT $1, $2", 1, value)


@pytest.mark.parametrize("query", [1, None, "SELECT '\0'"])
def test_what_is_no_statement_is_refused(db: Client, query: Any) -> None:
    with pytest.raises(ValidationError, match="query"):
        db.query_raw(query)


def test_dual_reads_alone(dual: Client, blog_on_postgres: PrismaBackend) -> None:
    dual.user.create(data={"email": "a"})

    def write_and(query: str) -> None:
        with dual.tx() as tx:
            tx.category.create(data={"name": "c"})
            tx.query_raw(query)

    writing = [
        """UPDATE "User" SET name = 'x'""",
        """WITH made AS (INSERT INTO "Category" (name) VALUES ('c') RETURNING *) SELECT * FROM made""",
        """SELECT nextval('"User_id_seq"')""",
        'SELECT * FROM "User" FOR UPDATE',
        "CREATE TABLE other (a int)",
    ]
    for query in writing:
        with pytest.raises(UsageError, match="may only read"):
            dual.query_raw(query)
        with pytest.raises(UsageError, match="may only read"):
            dual.execute_raw(query)
        with pytest.raises(UsageError, match="may only read"):
            write_and(query)
    assert dual.query_raw('SELECT email, name FROM "User"') == [{"email": "a", "name": None}]
    with dual.tx() as tx:
        tx.user.update(where={"email": "a"}, data={"name": "y"})
        assert tx.query_raw('SELECT name FROM "User"') == [{"name": "y"}]
        # Reading leaves the transaction as it was.
        tx.user.update(where={"email": "a"}, data={"name": "z"})
    assert dual.user.count(where={"name": "z"}) == 1
    assert dual.category.count() == 0


def test_a_conflict_is_one_in_raw_sql_too(postgres: Client) -> None:
    with pytest.raises(ConflictError):
        postgres.query_raw("""DO $$ BEGIN RAISE SQLSTATE '40001'; END $$""")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("{}", []),
        ("{1,NULL}", ["1", None]),
        ('{"a b","\\"","\\\\",NULL,"NULL",x y}', ["a b", '"', "\\", None, "NULL", "x y"]),
        ("[0:1]={1,2}", ["1", "2"]),
        ("{{a},{b}}", [["a"], ["b"]]),
        ('{"{}",""}', ["{}", ""]),
    ],
)
def test_an_array_is_read_as_postgresql_prints_it(text: str, found: list[Any]) -> None:
    assert elements(text) == found


def test_a_statement_can_be_awaited(db: Client) -> None:
    async def work() -> None:
        awaited = AsyncClient(db)
        assert await awaited.query_raw("SELECT 1 AS one") == [{"one": 1}]
        assert await awaited.execute_raw("SELECT 1") == 1
        async with awaited.tx() as tx:
            assert await tx.query_raw("SELECT 2 AS two") == [{"two": 2}]

    asyncio.run(work())
