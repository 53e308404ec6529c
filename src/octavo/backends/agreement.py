"""Whether PostgreSQL's tables still have the columns of the schema, for a backend that writes to both sides.

Prisma Migrate alters the database first; until ``octavo schema migrate`` has brought the files along, a write
to both must not happen.  Looking costs a tenth of a millisecond, so it is done with the first write, after a
pause, and now and then: in the round trip that begins a transaction.  What is asked is a number that changes
with the catalog's rows; only when it has changed are the columns compared by name.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress

import msgspec

from octavo.backend import PathName
from octavo.backends.prisma import PrismaBackend, PrismaTransaction
from octavo.errors import DatabaseError, NullViolation, SchemaMismatch
from octavo.schema.native import literal
from octavo.store.identity import SchemaName

_ORIGIN = "cache/origin.json"
_PAUSE = 0.002
"""seconds without a write after which the next one looks"""
_AGAIN = 0.1
"""seconds after which one looks anyhow"""
_GONE = ("42703", "42P01")
"""PostgreSQL's codes for a column, and a table, that does not exist"""
_MARK = 2
"""the column of the answer, after those of :data:`octavo.backends.outcome.BEGINNING`"""


class Agreement:
    """Compares one database with the schema.  Used under the write lock."""

    def __init__(self, primary: PrismaBackend, data_dir: PathName) -> None:
        """Columns that only PostgreSQL has are no matter where the export of ``data_dir`` has waived them."""
        self._waived = _allows_extra_columns(data_dir)
        self._primary = primary
        datamodel = primary.schema.vocabulary.datamodel
        self._name = str(SchemaName.of(datamodel))
        self._expected = [
            (model.name, {f.column: f.name for f in model.scalars}) for model in datamodel.tables
        ]
        tables = ", ".join(
            f"to_regclass({literal(primary.schema.tables[name].name)})" for name, _ in self._expected
        )
        there = f"unnest(ARRAY[{tables}]::oid[]) WITH ORDINALITY AS t(o, n)"
        inner = "SELECT sum(a.xmin::text::bigint) + count(*) AS n FROM pg_attribute a WHERE a.attrelid = t.o"
        self._mark_sql = f"(SELECT sum(s.n)::text FROM {there} CROSS JOIN LATERAL ({inner} OFFSET 0) s)"
        self._columns_sql = (
            f"SELECT coalesce(json_agg(json_build_array(t.n, a.attname)), '[]')::text FROM {there}"
            " JOIN pg_attribute a ON a.attrelid = t.o AND a.attnum > 0 AND NOT a.attisdropped"
        )
        self._mark = b""
        """what was told when the columns were compared last"""
        self._looked = self._written = 0.0

    def asking(self, query: str) -> str:
        """The query that begins a transaction; it looks, if that is due."""
        now = time.monotonic()
        if now - self._written < _PAUSE and now - self._looked < _AGAIN:
            return query
        self._looked = now
        return f"{query}, {self._mark_sql}"

    def check(self, transaction: PrismaTransaction) -> None:
        """Raise SchemaMismatch if the tables have other columns than the schema; nothing is kept then."""
        told = transaction.session.told
        if told is not None and told.nfields > _MARK:
            mark = told.get_value(0, _MARK) or b""
            if mark != self._mark:
                self.compare(transaction)
                self._mark = mark
        self._written = time.monotonic()

    def explain(self, error: BaseException) -> None:
        """Raise SchemaMismatch if it is because of other columns that a statement has failed."""
        failed = isinstance(error, DatabaseError) and error.sqlstate in _GONE
        if not (failed or isinstance(error, NullViolation)):
            return
        with self._primary.pool.session() as session:
            transaction = self._primary.on(session, None)
            try:
                self.compare(transaction)
            finally:
                transaction.rollback()

    def compare(self, transaction: PrismaTransaction) -> None:
        """Compare the columns by name.  Raises SchemaMismatch."""
        answer = transaction.asked(lambda session: session.execute(self._columns_sql))
        found: list[set[str]] = [set() for _ in self._expected]
        for number, column in msgspec.json.decode(answer.get_value(0, 0) or b"[]"):
            found[number - 1].add(column)
        told = []
        for (model, expected), columns in zip(self._expected, found, strict=True):
            told += [f"{model}.{expected[c]} is not in PostgreSQL" for c in expected if c not in columns]
            extra = () if self._waived else sorted(columns - expected.keys())
            told += [f"{model}.{c} is in PostgreSQL alone" for c in extra]
        if told:
            self._written = self._looked = 0.0
            raise SchemaMismatch(f"the {self._name}", "PostgreSQL's tables", told)


class _Origin(msgspec.Struct):
    """What an export notes of the drift that it was allowed (``octavo.fold.source``)."""

    allowed: tuple[str, ...] = ()


def _allows_extra_columns(data_dir: PathName) -> bool:
    with (
        suppress(FileNotFoundError, msgspec.MsgspecError),
        open(os.path.join(data_dir, _ORIGIN), "rb") as file,
    ):
        return "extra-column" in msgspec.json.decode(file.read(), type=_Origin).allowed
    return False
