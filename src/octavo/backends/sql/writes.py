"""Writing statements: insert, update and delete, each of any number of records at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import groupby
from typing import Any

from octavo.backends.sql.columns import ROW, SqlColumn, Table, Tables, array
from octavo.backends.sql.lowering import Lowering
from octavo.backends.sql.queries import Ready
from octavo.backends.sql.statement import Statement
from octavo.query.plan import Change, ChangeKind, Condition

_OPERATORS = {
    ChangeKind.INCREMENT: "+",
    ChangeKind.DECREMENT: "-",
    ChangeKind.MULTIPLY: "*",
    ChangeKind.DIVIDE: "/",
}


class Writes:
    """Makes the writing statements of one datamodel."""

    def __init__(self, tables: Tables, lowering: Lowering) -> None:
        self.tables, self.lowering = tables, lowering
        self._one = lru_cache(None)(self._insert_one)
        self._many = lru_cache(None)(self._insert_many)

    def insert(
        self, model: str, rows: Sequence[Mapping[str, Any]], *, skip_duplicates: bool
    ) -> Iterator[Ready]:
        """Store rows; one statement for all that neighbour each other and have values for the same fields.
        What has none is left to PostgreSQL.  A row of the answer is a record's JSON."""
        columns = self.tables[model].columns
        for names, group in groupby(rows, key=lambda row: tuple(n for n in columns if n in row)):
            there = list(group)
            if len(there) == 1 or not names:
                text = self._one(model, names, skip_duplicates)
                yield from (Ready(text, [columns[n].parameter(row[n]) for n in names]) for row in there)
            else:
                values = [_array(columns[n], [row[n] for row in there]) for n in names]
                yield Ready(self._many(model, names, skip_duplicates), values)

    def _insert_one(self, model: str, names: tuple[str, ...], skip_duplicates: bool) -> str:
        given = ", ".join(f"${n}::{self.tables[model].columns[name].type}" for n, name in enumerate(names, 1))
        rows = f"VALUES ({given})" if names else "DEFAULT VALUES"
        return self._insert(model, names, skip_duplicates, rows)

    def _insert_many(self, model: str, names: tuple[str, ...], skip_duplicates: bool) -> str:
        arrays = ", ".join(f"${number}::text[]" for number in range(1, len(names) + 1))
        places = [f"c{number}" for number in range(len(names))]
        types = [self.tables[model].columns[name].type for name in names]
        given = ", ".join(f"v.{place}::{type_}" for place, type_ in zip(places, types, strict=True))
        order = f"WITH ORDINALITY AS v({', '.join(places)}, n) ORDER BY v.n"
        return self._insert(model, names, skip_duplicates, f"SELECT {given} FROM unnest({arrays}) {order}")

    def _insert(self, model: str, names: tuple[str, ...], skip_duplicates: bool, rows: str) -> str:
        table = self.tables[model]
        into = f"INSERT INTO {table.name} AS {ROW}"
        if names:
            into += f" ({', '.join(table.columns[name].quoted for name in names)})"
        skipping = " ON CONFLICT DO NOTHING" if skip_duplicates else ""
        return f"{into} {rows}{skipping} RETURNING {table.record}"

    def update(self, model: str, where: Condition, changes: Sequence[Change]) -> Ready:
        """Change the rows that fulfil a condition.  A row of the answer is a record's JSON."""
        statement, table = Statement(self.tables, self.lowering), self.tables[model]
        settings = ", ".join(self._setting(statement, table, change) for change in changes)
        asked = statement.where(statement.condition(table, where))
        text = f"UPDATE {table.name} AS {ROW} SET {settings}{asked} RETURNING {table.record}"
        return Ready(text, statement.parameters)

    def _setting(self, statement: Statement, table: Table, change: Change) -> str:
        column = table.columns[change.field]
        now = column.of(ROW)
        if change.kind in (ChangeKind.SET, ChangeKind.PUSH):
            value = statement.parameter(column.parameter(change.value), column.type)
            if change.kind is ChangeKind.PUSH:
                value = f"coalesce({now}, '{{}}') || {value}"
            return f"{column.quoted} = {value}"
        kind = column.computed_as
        operand = statement.parameter(column.operand(change.value), kind or column.type)
        if not kind:
            return f"{column.quoted} = {now} {_OPERATORS[change.kind]} {operand}"
        return f"{column.quoted} = ({now}::{kind} {_OPERATORS[change.kind]} {operand})::{column.type}"

    def delete(self, model: str, where: Condition, *, returning: bool = False) -> Ready:
        """Delete the rows that fulfil a condition.  ``returning``: a row of the answer is a record's JSON, as
        it was."""
        statement, table = Statement(self.tables, self.lowering), self.tables[model]
        asked = statement.where(statement.condition(table, where))
        answer = f" RETURNING {table.record}" if returning else ""
        return Ready(f"DELETE FROM {table.name} AS {ROW}{asked}{answer}", statement.parameters)


def _array(column: SqlColumn, values: Sequence[Any]) -> str:
    """Values in stored form as an array of texts."""
    texts = [column.parameter(value) for value in values]
    return array([None if text is None else text.encode() for text in texts])
