"""From the texts that PostgreSQL sends to records: PostgreSQL itself makes JSON of them, as in an export.

A value that is sent is what its type prints, and casting that text to the type gives the value back.  So the
SQL that folds tables folds the rows of a stream too, and what comes of them is the same to the byte.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any, TypeAlias

import psycopg
from msgspec import Raw, structs

from octavo.backends.sql.columns import ROW, SqlColumn, Table, Tables, array
from octavo.errors import DatabaseError, DifferenceError, DriftError
from octavo.layout.fold import concat, member, unkeepable
from octavo.layout.keys import KeyForm
from octavo.layout.layout import Layout
from octavo.layout.record import Record, attribute
from octavo.layout.stored import Key, is_json_text
from octavo.layout.types import string_text
from octavo.postgres.connection import Connection
from octavo.postgres.failures import database_errors
from octavo.query.vocabulary import Vocabulary
from octavo.schema.datamodel import ScalarField
from octavo.schema.sql import literal
from octavo.values.tokens import Members

Texts: TypeAlias = Sequence[bytes | None]

_AT_ONCE = 1000
"""rows in one statement"""


class Decoder:
    """Decodes rows and keys by a connection."""

    def __init__(self, connection: Connection, layout: Layout) -> None:
        self._connection, self._layout = connection, layout
        self._tables = Tables(Vocabulary(layout.datamodel))
        self._keys = cache(self._key_reader)

    def records(self, model: str, rows: Sequence[Texts]) -> list[Record]:
        """The records of rows that have the values of the model's scalar fields.

        Raises DriftError for what the schema does not allow, DifferenceError for values that no file can
        keep, DatabaseError.
        """
        table = self._tables[model]
        query = self._records_sql(table)
        found: list[Record] = []
        for some in _parts(rows):
            answer = self._ask(query, some)
            if refused := {reason for _, reason in answer if reason}:
                raise DifferenceError(
                    f"{model}: values that no file here can keep: {'; '.join(sorted(refused))}"
                )
            found += table.decode([text.encode() for text, _ in answer])
        return self._exact(model, found, rows)

    def keys(self, model: str, keys: Sequence[Texts]) -> list[Key]:
        """The stored form of keys."""
        return self._keys(model)(keys) if keys else []

    def texts(self, record: Record) -> list[bytes | None]:
        """A record as the stream would have its row."""
        columns = self._tables[type(record).__name__].columns.values()
        texts = [column.parameter(column.column.stored(record)) for column in columns]
        return [None if text is None else text.encode() for text in texts]

    def _exact(self, model: str, records: list[Record], rows: Sequence[Texts]) -> list[Record]:
        """With the exact text of ``json`` columns, which a line of JSON need not be able to hold."""
        scalars = self._layout.place(model).model.scalars
        exact = [(n, attribute(f)) for n, f in enumerate(scalars) if is_json_text(f) and not f.is_list]
        if not exact:
            return records
        return [
            structs.replace(record, **{name: Raw(text) for n, name in exact if (text := row[n]) is not None})
            for record, row in zip(records, rows, strict=True)
        ]

    def _records_sql(self, table: Table) -> str:
        place = self._layout.place(table.model.name)
        # The others are about keys that the store does not take.
        lists = [u for u in unkeepable(self._layout, place) if place.model.scalar(u.field).is_list]
        cases = " ".join(f"WHEN {u.condition} THEN {literal(f'{u.field} ({u.reason})')}" for u in lists)
        reason = f"CASE {cases} END" if cases else "NULL"
        return self._sql(table, table.model.scalars, f"{table.record}, {reason}")

    def _sql(self, table: Table, fields: Sequence[ScalarField], wanted: str) -> str:
        """What is wanted of rows that are given column by column, in their order."""
        columns: list[SqlColumn] = [table.columns[f.name] for f in fields]
        given = ", ".join(f"${n}::text[]" for n, _ in enumerate(columns, 1))
        names = ", ".join(f"c{n}" for n, _ in enumerate(columns))
        cast = ", ".join(f"u.c{n}::{c.type} AS {c.quoted}" for n, c in enumerate(columns))
        return (
            f"SELECT {wanted} FROM unnest({given}) WITH ORDINALITY AS u({names}, n),"
            f" LATERAL (SELECT {cast}) AS {ROW}, LATERAL (SELECT {ROW}.*) AS t ORDER BY u.n"
        )

    def _ask(self, query: str, rows: Sequence[Texts]) -> list[Any]:
        parameters = [array(column) for column in zip(*rows, strict=True)]
        try:
            return self._answer(query, parameters)
        except DatabaseError as error:
            if error.sqlstate[:2] not in ("22", "42"):
                raise
            raise DriftError(
                f"the schema has changed under way: the tables do not take any more what they had: {error}",
                hint="compare the database with the schema: octavo schema check",
            ) from error

    def _answer(self, query: str, parameters: list[str]) -> list[Any]:
        with database_errors(doing="reading what was sent"):
            return psycopg.RawCursor(self._connection).execute(query.encode(), parameters).fetchall()

    def _key_reader(self, model: str) -> Callable[[Sequence[Texts]], list[Key]]:
        datamodel = self._layout.datamodel
        form = KeyForm(self._layout.place(model).model, datamodel)
        if all(column.text is string_text for _, column in form.fields):
            return lambda keys: [form.key([(text or b"").decode() for text in key]) for key in keys]
        fields = form.model.key_fields
        parts = ["'{'"]
        for n, f in enumerate(fields):
            parts += member(datamodel, f, ROW, f'{"," if n else ""}"{f.name}":')
        query = self._sql(self._tables[model], fields, concat([*parts, "'}'"]))

        def read(keys: Sequence[Texts]) -> list[Key]:
            answers = (self._ask(query, some) for some in _parts(keys))
            return [form.named(Members(text.encode())) for answer in answers for (text,) in answer]

        return read


def _parts(rows: Sequence[Texts]) -> Iterator[Sequence[Texts]]:
    return (rows[n : n + _AT_ONCE] for n in range(0, len(rows), _AT_ONCE))
