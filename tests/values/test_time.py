"""Times are written as ECMAScript writes them and read back as PostgreSQL prints them."""

from __future__ import annotations

import re

import pytest

from octavo.postgres.connection import connect
from octavo.schema.datamodel import NativeType
from octavo.values.registry import of_native

CASES: list[tuple[str, int, str, str]] = [
    ("Timestamp", 3, "2025-11-22 12:34:56.789", "2025-11-22T12:34:56.789Z"),
    ("Timestamp", 3, "2025-11-22 12:34:50", "2025-11-22T12:34:50.000Z"),
    ("Timestamp", 3, "2025-11-22 00:00:00.1", "2025-11-22T00:00:00.100Z"),
    ("Timestamp", 0, "2025-11-22 12:34:50", "2025-11-22T12:34:50Z"),
    ("Timestamp", 6, "2025-11-22 12:34:56.000009", "2025-11-22T12:34:56.000009Z"),
    ("Timestamp", 4, "2025-11-22 12:34:56.12", "2025-11-22T12:34:56.1200Z"),
    ("Timestamp", 3, "infinity", "infinity"),
    ("Timestamp", 3, "-infinity", "-infinity"),
    ("Timestamp", 3, "9999-12-31 23:59:59.999", "9999-12-31T23:59:59.999Z"),
    ("Timestamp", 3, "10000-01-01 00:00:00", "+010000-01-01T00:00:00.000Z"),
    ("Timestamp", 3, "12345-06-07 00:00:00", "+012345-06-07T00:00:00.000Z"),
    ("Timestamp", 3, "294276-12-31 23:59:59.999", "+294276-12-31T23:59:59.999Z"),
    ("Timestamp", 3, "0001-01-01 00:00:00", "0001-01-01T00:00:00.000Z"),
    ("Timestamp", 3, "0001-12-31 23:59:59 BC", "0000-12-31T23:59:59.000Z"),
    ("Timestamp", 3, "0001-02-29 00:00:00 BC", "0000-02-29T00:00:00.000Z"),
    ("Timestamp", 3, "0002-01-01 00:00:00 BC", "-000001-01-01T00:00:00.000Z"),
    ("Timestamp", 3, "0044-03-15 12:00:00 BC", "-000043-03-15T12:00:00.000Z"),
    ("Timestamp", 3, "4714-11-24 00:00:00 BC", "-004713-11-24T00:00:00.000Z"),
    ("Timestamptz", 3, "2025-11-22 12:34:56.789+00", "2025-11-22T12:34:56.789Z"),
    ("Timestamptz", 6, "0044-03-15 12:00:00.5+00 BC", "-000043-03-15T12:00:00.500000Z"),
    ("Timestamptz", 0, "infinity", "infinity"),
    ("Date", 6, "2025-11-22", "2025-11-22"),
    ("Date", 6, "0044-03-15 BC", "-000043-03-15"),
    ("Date", 6, "5874897-12-31", "+5874897-12-31"),
    ("Date", 6, "-infinity", "-infinity"),
    ("Time", 3, "24:00:00", "24:00:00"),
    ("Time", 3, "12:34:56.7", "12:34:56.7"),
    ("Timetz", 6, "12:34:56.000001-15:59:59", "12:34:56.000001-15:59:59"),
    ("Timetz", 6, "12:34:56+05:30", "12:34:56+05:30"),
]
SQL = {
    "Timestamptz": "timestamptz",
    "Timetz": "timetz",
    "Time": "time",
    "Date": "date",
    "Timestamp": "timestamp",
}


def test_the_written_form(database: str) -> None:
    with connect(database) as connection:
        for native, precision, printed, written in CASES:
            codec = of_native(NativeType(native, (precision,)))
            assert codec.text(written) == printed.encode()
            value = f"(SELECT '{printed}'::{SQL[native]} AS v) AS t"
            query = f"SELECT ({codec.json_sql('v')})::text, v::text FROM {value}"
            assert connection.execute(query.encode()).fetchone() == (f'"{written}"', printed)


@pytest.mark.parametrize("native", ["Timestamp", "Timestamptz", "Date"])
@pytest.mark.parametrize("precision", [0, 3, 6])
def test_any_moment_comes_back(database: str, native: str, precision: int) -> None:
    """Days all over the range, and every day of the years around its seams."""
    codec = of_native(NativeType(native, (precision,)))
    seams = ["4714-12-01 BC", "0005-01-01 BC", "0001-12-01 BC", "0004-01-01", "9999-12-01", "1900-01-01"]
    days = " UNION ALL ".join(
        f"SELECT timestamp '{day}' + n * interval '1 day 01:00:07.000011' FROM generate_series(0, 1500) n"
        for day in seams
    )
    step = "interval '36499 days 01:01:01.1'"
    spread = f"SELECT timestamp '4713-01-01 BC' + n * {step} FROM generate_series(0, 2980) n"
    kind = SQL[native] if native == "Date" else f"{SQL[native]}({precision})"
    values = f"SELECT m::{kind} AS v FROM ({days} UNION ALL {spread}) AS x(m)"
    query = f"SELECT {codec.json_sql('v')}, v::text FROM ({values}) AS t"
    with connect(database) as connection:
        rows = connection.execute(query.encode()).fetchall()
    assert len(rows) > 10_000
    assert len({written for written, _ in rows}) > 8_000
    for written, printed in rows:
        assert codec.text(written[1:-1]) == printed.encode()


WRONG = [
    ("Timestamp", 3, "", "is not a UTC time like"),
    ("Timestamp", 3, "T", "is not a UTC time like"),
    ("Timestamp", 3, "T00:00:00.000Z", "is not a day like"),
    ("Timestamp", 3, "2025-11-22T12:34:56.789", "with 3 fraction digits"),
    ("Timestamp", 3, "2025-11-22T12:34:56.78Z", "with 3 fraction digits"),
    ("Timestamp", 3, "2025-11-22T12:34:56.7890Z", "with 3 fraction digits"),
    ("Timestamp", 0, "2025-11-22T12:34:56.Z", "is not a UTC time like"),
    ("Timestamp", 3, "2025-11-22T12:34:56.789Z\n", "is not a UTC time like"),
    ("Timestamp", 3, "2025-11-22 12:34:56.789Z", "is not a UTC time like"),
    ("Timestamp", 3, "2025-11-22t12:34:56.789z", "is not a UTC time like"),
    ("Timestamp", 3, "2025-11-22T12:34:56.789+00:00", "is not a UTC time like"),
    ("Timestamp", 3, "2025-11-22T12:34:60.000Z", "is not a UTC time like"),
    ("Timestamp", 3, "2025-11-22T12:34:5٦.000Z", "is not a UTC time like"),
    ("Timestamp", 3, "2٠25-11-22T12:34:56.000Z", "is not a day like"),
    ("Timestamp", 3, "2025-13-22T12:34:56.000Z", "is not a valid date"),
    ("Timestamp", 3, "2025-00-22T12:34:56.000Z", "is not a valid date"),
    ("Timestamp", 3, "1900-02-29T12:34:56.000Z", "is not a valid date"),
    ("Timestamp", 3, "-000001-02-29T12:34:56.000Z", "is not a valid date"),
    ("Timestamp", 3, "02025-11-22T12:34:56.000Z", "is not a day like"),
    ("Timestamp", 3, "+002025-11-22T12:34:56.000Z", "more digits than it needs"),
    ("Timestamp", 3, "-000000-11-22T12:34:56.000Z", "more digits than it needs"),
    ("Timestamp", 3, "+0294276-11-22T12:34:56.000Z", "more digits than it needs"),
    ("Timestamp", 3, "+294277-01-01T00:00:00.000Z", "is out of PostgreSQL's range"),
    ("Timestamp", 3, "-004713-11-23T00:00:00.000Z", "is out of PostgreSQL's range"),
    ("Timestamp", 3, "Infinity", "is not a UTC time like"),
    ("Date", 6, "2025-11-22T00:00:00.000Z", "is not a day like"),
    ("Date", 6, "+5874898-01-01", "is out of PostgreSQL's range"),
    ("Date", 6, "2025-11-31", "is not a valid date"),
    ("Time", 3, "24:00:01", "is not a time of day"),
    ("Time", 3, "23:59:60", "is not a time of day"),
    ("Time", 3, "12:34", "is not a time of day"),
    ("Time", 3, "12:34:56.70", "is not a time of day"),
    ("Time", 3, "12:34:56.7001", "is not a time of day"),
    ("Time", 0, "12:34:56.7", "is not a time of day"),
    ("Time", 3, "12:34:56+00", "is not a time of day"),
    ("Timetz", 3, "12:34:56", "is not a time of day"),
    ("Timetz", 3, "12:34:56+16", "is not a time of day"),
    ("Timetz", 3, "12:34:56Z", "is not a time of day"),
]


@pytest.mark.parametrize(("native", "precision", "written", "reason"), WRONG)
def test_what_is_no_time(native: str, precision: int, written: str, reason: str) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)):
        of_native(NativeType(native, (precision,))).text(written)
