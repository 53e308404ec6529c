"""What a caller gives is stored as PostgreSQL would store it, to the byte, or refused for the reason that
PostgreSQL has."""

# The tables' rows are long.
# ruff: noqa: E501

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import UNSET

import every_type
from octavo import AnyNull, DbNull, JsonNull
from octavo.postgres.connection import Connection, connect
from octavo.postgres.embedded import EmbeddedServer
from octavo.schema.ddl import ddl, sql_type
from octavo.values.registry import reader, value_type, writer

DATAMODEL = every_type.datamodel()
MODEL = DATAMODEL.model("Value")


@pytest.fixture(scope="module")
def typed(server: EmbeddedServer) -> Iterator[Connection]:
    with connect(server.create_database("writing")) as connection:
        connection.execute(ddl(DATAMODEL).script().encode())
        connection.execute("SET timezone TO 'UTC'")
        yield connection
    server.drop_database("writing")


def stored(name: str, value: Any) -> Any:
    return writer(MODEL.scalar(name), DATAMODEL)(value)


def as_json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def in_postgres(connection: Connection, name: str, text: str, by: str = "") -> str:
    """The JSON of a column that was given this text, cast as an assignment casts."""
    field = MODEL.scalar(name)
    json_sql = value_type(field, DATAMODEL).json_sql("c")
    source = f"%s::text{f'::{by}' if by else ''}::{sql_type(DATAMODEL, field)}"
    row = connection.execute(f"SELECT ({json_sql})::text FROM (SELECT {source} AS c) AS t", [text])
    return str(row.fetchone()[0])  # type: ignore[index]


SAME = [
    ("flag", True, "true", ""),
    ("small", -32768, "-32768", ""),
    ("whole", 2**31 - 1, "2147483647", ""),
    ("oid", 2**32 - 1, "4294967295", ""),
    ("big", -(2**63), "-9223372036854775808", ""),
    ("single", 0.1, "0.1", "float8"),
    ("single", 16777217.0, "16777217", "float8"),
    ("single", 1e-45, "1e-45", "float8"),
    ("single", 123456.0, "123456", ""),
    ("single", 1234567.0, "1234567", ""),
    ("single", float("nan"), "NaN", ""),
    ("double", 0.1, "0.1", ""),
    ("double", -0.0, "-0", ""),
    ("double", 1e14, "1e14", ""),
    ("double", 1e15, "1e15", ""),
    ("double", 123456789012345.6, "123456789012345.6", ""),
    ("double", 1e-4, "0.0001", ""),
    ("double", 1.5e-5, "0.000015", ""),
    ("double", 5e-324, "5e-324", ""),
    ("double", float("-inf"), "-Infinity", ""),
    ("double", 7, "7", ""),
    ("decimal", Decimal("1.5"), "1.5", "numeric"),
    ("decimal", Decimal("1.005"), "1.005", "numeric"),
    ("decimal", Decimal("-1.005"), "-1.005", "numeric"),
    ("decimal", Decimal("-0.001"), "-0.001", "numeric"),
    ("decimal", "1e2", "1e2", "numeric"),
    ("decimal", Decimal("NaN"), "NaN", "numeric"),
    ("any", Decimal("1E+5"), "1E+5", ""),
    ("any", Decimal("-0.000"), "-0.000", ""),
    ("any", Decimal("1.50"), "1.50", ""),
    ("any", 0.1, "0.1", ""),
    ("any", Decimal("Infinity"), "Infinity", ""),
    ("money", Decimal("0.005"), "0.005", "numeric"),
    ("money", Decimal("-92233720368547758.08"), "-92233720368547758.08", ""),
    ("text", "é😀\n\x01", "é😀\n\x01", ""),
    ("varchar", "abcde", "abcde", ""),
    ("char", "ab", "ab", ""),
    ("bit", "1010", "1010", ""),
    ("varbit", "101", "101", ""),
    ("uuid", "ABCDEFAB-CDEF-ABCD-EFAB-CDEFABCDEFAB", "ABCDEFAB-CDEF-ABCD-EFAB-CDEFABCDEFAB", ""),
    ("uuid", "{abcdefabcdefabcdefabcdefabcdefab}", "{abcdefabcdefabcdefabcdefabcdefab}", ""),
    ("uuid", UUID(int=7), "00000000-0000-0000-0000-000000000007", ""),
    ("inet", "10.0.0.1/8", "10.0.0.1/8", ""),
    ("inet", "::1", "::1", ""),
    ("inet", "::ffff:1.2.3.4/120", "::ffff:1.2.3.4/120", ""),
    ("bytes", b"\x00\xff", "\\x00ff", ""),
    ("at", datetime(2025, 11, 22, 12, 34, 56, 789499), "2025-11-22 12:34:56.789499", ""),
    ("at", datetime(2025, 11, 22, 12, 34, 56, 789500), "2025-11-22 12:34:56.7895", ""),
    ("at", datetime(1999, 12, 31, 23, 59, 59, 999500), "1999-12-31 23:59:59.9995", ""),
    ("at", datetime(1969, 1, 1, 0, 0, 0, 500), "1969-01-01 00:00:00.0005", ""),
    ("at", datetime(7, 1, 1), "0007-01-01", ""),
    ("at", datetime(9999, 12, 31, 23, 59, 59, 999999), "9999-12-31 23:59:59.999999", ""),
    ("at", "infinity", "infinity", ""),
    ("at", "-000043-03-15T12:00:00.500Z", "0044-03-15 12:00:00.5 BC", ""),
    ("at", "2025-11-22T12:34:56+01:00", "2025-11-22 11:34:56", ""),
    ("micros", datetime(2025, 1, 1, 1, 1, 1, 1), "2025-01-01 01:01:01.000001", ""),
    ("zoned", datetime(2025, 1, 1, tzinfo=timezone(timedelta(hours=5))), "2025-01-01 00:00+05", ""),
    ("seconds", datetime(2025, 1, 1, 1, 1, 1, 500000), "2025-01-01 01:01:01.5", ""),
    ("day", date(2025, 1, 1), "2025-01-01", ""),
    ("day", datetime(2025, 1, 1, 1, tzinfo=timezone(timedelta(hours=5))), "2024-12-31", ""),
    ("clock", time(12, 34, 56, 100), "12:34:56.0001", ""),
    ("clockz", time(12, 34, 56, 789500, timezone(timedelta(hours=-3, minutes=-30))), "12:34:56.7895-03:30", ""),
    ("clockz", time(1, 2), "01:02+00", ""),
    ("jsonb", {"bb": [1, 2.50, None], "a": "\x1f\"\\/é"}, '{"bb": [1, 2.5, null], "a": "\\u001f\\"\\\\/é"}', ""),
    ("jsonb", JsonNull, "null", ""),
    ("jsonb", Decimal("1.50"), "1.50", ""),
    ("jsonb", 1e22, "1e22", ""),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value", "text", "by"), SAME)
def test_a_value_is_stored_as_postgresql_stores_it(
    typed: Connection, name: str, value: Any, text: str, by: str
) -> None:
    assert as_json(stored(name, value)) == in_postgres(typed, name, text, by)


def test_enums_lists_and_nulls_have_their_stored_form() -> None:
    assert stored("mood", "ODD") == "ODD"
    assert stored("ints", (1, 2)) == [1, 2]
    assert as_json(stored("floats", [0.1, float("nan")])) == '[0.1,"NaN"]'
    assert as_json(stored("jsons", [None, JsonNull, {"a": 1}])) == '[null,null,{"a": 1}]'
    assert stored("text", None) is None
    assert stored("jsonb", DbNull) is UNSET
    assert as_json(stored("double", None)) == "null"
    assert reader(MODEL.scalar("double"), DATAMODEL)(stored("double", None)) is None  # type: ignore[misc]


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("flag", 1, "must be a bool, not int"),
        ("small", 2**15, "out of range"),
        ("whole", 2**31, "out of range"),
        ("whole", True, "must be a whole number, not bool"),
        ("whole", 1.0, "must be a whole number, not float"),
        ("big", 2**63, "out of range"),
        ("single", 1e39, "too large"),
        ("single", 1e-50, "too small"),
        ("double", "1", "must be a number, not str"),
        ("double", 10**400, "too large"),
        ("decimal", Decimal("99999999.995"), "more than 8 digits"),
        ("decimal", Decimal("Infinity"), "infinite"),
        ("any", "1,5", "is not a decimal number"),
        ("money", Decimal("1e17"), "out of range"),
        ("text", 1, "must be text, not int"),
        ("text", "\0", "U+0000"),
        ("text", "\ud800", "surrogate"),
        ("varchar", "abcdef", "longer than 5"),
        ("bit", "101", "is not 4 bits"),
        ("varbit", "1010101", "longer than 6"),
        ("uuid", "x", "is not a UUID"),
        ("inet", "300.0.0.1", "is not an IP address"),
        ("bytes", "x", "must be bytes, not str"),
        ("at", date(2025, 1, 1), "must be a datetime, not date"),
        ("at", "yesterday", "is not a UTC time"),
        ("day", 1, "must be a date, not int"),
        ("clock", 1, "must be a time, not int"),
        ("mood", "glad to see you", "is not a value of Mood"),
        ("ints", 1, "must be a list, not int"),
        ("ints", None, "must be a list, not None"),
        ("ints", [None], "must be a whole number, not None"),
        ("jsonb", None, "octavo.JsonNull or octavo.DbNull"),
        ("jsonb", {"a": float("nan")}, "NaN"),
        ("jsonb", {1: 2}, "must have strings as keys, not int"),
        ("jsonb", {"a": {1}}, "contains a set"),
        ("jsonb", "\0", "U+0000"),
        ("jsonb", ["\ud800"], "surrogate"),
        ("jsonb", Decimal("1e200000"), "range"),
        ("jsonb", AnyNull, "cannot be"),
        ("range", "[1,2)", "cannot be written"),
    ],
)
def test_what_postgresql_would_not_take_is_refused(name: str, value: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=reason.replace("+", r"\+").replace("(", r"\(")):
        stored(name, value)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(number=st.floats(allow_nan=False), small=st.floats(width=32, allow_nan=False))
def test_floats_are_printed_as_postgresql_prints_them(typed: Connection, number: float, small: float) -> None:
    assert as_json(stored("double", number)) == in_postgres(typed, "double", repr(number))
    assert as_json(stored("single", small)) == in_postgres(typed, "single", repr(small), "float8")


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(moment=st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)))
def test_times_are_rounded_as_postgresql_rounds_them(typed: Connection, moment: datetime) -> None:
    for name in ("at", "micros", "zoned", "seconds"):
        text = moment.isoformat(" ") + ("+00" if name == "zoned" else "")
        assert as_json(stored(name, moment)) == in_postgres(typed, name, text)
        assert stored(name, moment.replace(tzinfo=UTC)) == stored(name, moment)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(number=st.decimals("-9999999", "9999999", places=4, allow_nan=False))
def test_decimals_are_rounded_as_postgresql_rounds_them(typed: Connection, number: Decimal) -> None:
    assert as_json(stored("decimal", number)) == in_postgres(typed, "decimal", str(number), "numeric")
    assert as_json(stored("any", number)) == in_postgres(typed, "any", str(number))


ARITHMETIC = {"increment": "+", "decrement": "-", "multiply": "*", "divide": "/"}


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    kind=st.sampled_from(sorted(ARITHMETIC)),
    name=st.sampled_from(["small", "whole", "big", "double", "single", "decimal", "any"]),
    data=st.data(),
)
def test_arithmetic_is_postgresqls(typed: Connection, kind: str, name: str, data: st.DataObject) -> None:
    if name in ("decimal", "any"):
        values: st.SearchStrategy[Any] = st.decimals("-9999999", "9999999", places=2, allow_nan=False)
        by = "numeric"
    elif name in ("double", "single"):
        values, by = st.floats(width=32, allow_nan=False, allow_infinity=False), "float8"
    else:
        values, by = st.integers(-1000, 1000), "int8"
    left, right = data.draw(values), data.draw(values.filter(bool) if kind == "divide" else values)
    field = MODEL.scalar(name)
    first, second = (
        stored(name, left),
        writer(MODEL.scalar("any" if by == "numeric" else name), DATAMODEL)(right),
    )
    try:
        computed = as_json(value_type(field, DATAMODEL).changed(kind, first, second))
    except ValueError:
        computed = "refused"
    kind_sql = sql_type(DATAMODEL, field)
    operand = f"(%s::text)::{'numeric' if by == 'numeric' else kind_sql}"
    json_sql = value_type(field, DATAMODEL).json_sql("c")
    statement = (
        f"SELECT ({json_sql})::text FROM"
        f" (SELECT ((%s::text)::{by}::{kind_sql} {ARITHMETIC[kind]} {operand})::{kind_sql} AS c) AS t"
    )
    try:
        row = typed.execute(statement, [str(left), str(right)]).fetchone()
        expected = str(row[0]) if row else ""
    except psycopg.errors.NumericValueOutOfRange:
        expected = "refused"
    assert computed == expected


ORDERED: dict[str, list[Any]] = {
    "flag": [False, True],
    "big": [-(2**63), -1, 0, 2**63 - 1],
    "double": [float("-inf"), -1.5, 0.0, 5e-324, 1e22, float("inf"), float("nan")],
    "any": [Decimal("-Infinity"), Decimal("-1.50"), Decimal(0), Decimal("1e300"), Decimal("NaN")],
    "text": ["", " ", "A", "a", "aa", "é", "\uffff", "😀"],
    "mood": ["GLAD", "SAD", "ODD"],
    "at": ["-infinity", "-004713-11-24T00:00:00.000Z", "-000043-01-01T00:00:00.000Z", datetime(1, 1, 1), datetime(9999, 1, 1), "+012345-01-01T00:00:00.000Z", "+294276-01-01T00:00:00.000Z", "infinity"],
    "day": ["-infinity", "0000-01-01", date(2025, 1, 1), "+1234567-01-01", "infinity"],
    "clock": ["00:00:00", "12:34:56", "12:34:56.49", "12:34:56.5", "24:00:00"],
    "clockz": ["12:00:00+02", "12:00:00+01", "11:00:00+00", "12:00:00+00"],
    "inet": ["0.0.0.0/0", "10.0.0.0/8", "10.0.0.1/8", "10.0.0.0/16", "10.0.0.1", "::", "::1"],
    "bytes": [b"", b"\x00", b"a", b"\xff"],
    "ints": [[], [1], [1, 2], [2], [2, 1]],
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(ORDERED))
def test_values_compare_as_postgresql_compares_them(typed: Connection, name: str) -> None:
    field = MODEL.scalar(name)
    values = [stored(name, v) for v in ORDERED[name]]
    key = value_type(field, DATAMODEL).key or (lambda value: value)
    printed = value_type(field, DATAMODEL).text
    kind = sql_type(DATAMODEL, field) + (' COLLATE "C"' if name == "text" else "")
    for a in values:
        for b in values:
            texts = [printed(a).decode(), printed(b).decode()]
            query = f"SELECT x < y, x = y FROM (SELECT %s::text::{kind} x, %s::text::{kind} y) t"
            expected = typed.execute(query, texts).fetchone()
            assert (key(a) < key(b), key(a) == key(b)) == expected
