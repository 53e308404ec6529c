"""The statements that a plan needs: look-ups, queries, and writes of any number of records at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import groupby
from typing import Any, NamedTuple

from octavo.backends.sql.columns import ROW, Parameter, SqlColumn, Table, Tables, array
from octavo.backends.sql.lowering import Lowering
from octavo.backends.sql.statement import Statement
from octavo.query.plan import Change, ChangeKind, Condition, Link, Query
from octavo.query.protocol import Key

_OPERATORS = {
    ChangeKind.INCREMENT: "+",
    ChangeKind.DECREMENT: "-",
    ChangeKind.MULTIPLY: "*",
    ChangeKind.DIVIDE: "/",
}


class Ready(NamedTuple):
    """A statement that can be run."""

    text: str
    parameters: Sequence[Parameter]


class Statements:
    """Makes the statements of one datamodel."""

    def __init__(self, tables: Tables, lowering: Lowering) -> None:
        self.tables, self.lowering = tables, lowering
        self._find = lru_cache(None)(self._find_text)
        self._one = lru_cache(None)(self._insert_one)
        self._many = lru_cache(None)(self._insert_many)

    def find(self, model: str, fields: tuple[str, ...], values: Key) -> Ready:
        """The record with these values of a key; a row is its JSON."""
        columns = self.tables[model].columns
        parameters = [columns[f].operand(v) for f, v in zip(fields, values, strict=True)]
        return Ready(self._find(model, fields), parameters)

    def _find_text(self, model: str, fields: tuple[str, ...]) -> str:
        table = self.tables[model]
        columns = [table.columns[f] for f in fields]
        equal = [f"{c.compared(ROW)} = ${n}::{c.operand_type}" for n, c in enumerate(columns, 1)]
        return f"SELECT {table.record} FROM {table.name} AS {ROW} WHERE {' AND '.join(equal)}"

    def select(self, query: Query) -> Ready:
        """The records of a query; a row is a record's JSON."""
        statement, table = self._begin(query.model)
        if not query.distinct:
            joins, order = statement.order(table, query.order)
            where = statement.where(statement.condition(table, query.where))
            rows = f"{table.name} AS {ROW}{joins}{where}"
            by = f" ORDER BY {order}" if order else ""
        else:
            rows = f"({self._numbered(statement, table, query)}) AS {ROW} WHERE {table.first} = 1"
            by = f" ORDER BY {table.place}"
        text = f"SELECT {table.record} FROM {rows}{by}{statement.slice(query.skip, query.take)}"
        return Ready(text, statement.parameters)

    def _begin(self, model: str) -> tuple[Statement, Table]:
        return Statement(self.tables, self.lowering), self.tables[model]

    def _numbered(
        self, statement: Statement, table: Table, query: Query, source: str = "", on: str = ""
    ) -> str:
        """The rows of a query in its order, numbered; if it is distinct, also among those that agree."""
        joins, order = statement.order(table, query.order)
        by = f" ORDER BY {order}" if order else ""
        same = ", ".join(table.columns[f].compared(ROW) for f in query.distinct)
        first = f"row_number() OVER (PARTITION BY {same}{by}) AS {table.first}, " if same else ""
        where = statement.where(on, statement.condition(table, query.where))
        return (
            f"SELECT {ROW}.*, {first}row_number() OVER ({by.strip()}) AS {table.place}"
            f" FROM {table.name} AS {ROW}{source}{joins}{where}{by}"
        )

    def count(self, query: Query) -> Ready:
        """How many records a query gives."""
        statement, table = self._begin(query.model)
        where = statement.where(statement.condition(table, query.where))
        rows = f"{table.name} AS {ROW}{where}"
        if query.distinct:
            same = ", ".join(table.columns[f].compared(ROW) for f in query.distinct)
            rows = f"(SELECT DISTINCT {same} FROM {rows}) AS {ROW}"
        if query.skip or query.take is not None:
            rows = f"(SELECT FROM {rows}{statement.slice(query.skip, query.take)}) AS {ROW}"
        return Ready(f"SELECT count(*) FROM {rows}", statement.parameters)

    def related(self, query: Query, link: Link, keys: Sequence[Key]) -> Ready:
        """The linked records of each key; a row is the key's number, from 1, and a record's JSON."""
        statement, table = self._begin(link.target)
        source = self._keys(statement, link, keys)
        join, on = self._linked(statement, link)
        columns = f"SELECT k.n, {table.record} FROM"
        if query.distinct or ((query.skip or query.take is not None) and self.tables.is_sliced_quickly(link)):
            # For each key by itself.
            chosen = self._numbered(statement, table, query, join, on)
            if query.distinct:
                chosen = f"SELECT * FROM ({chosen}) AS {ROW} WHERE {table.first} = 1 ORDER BY {table.place}"
            chosen += statement.slice(query.skip, query.take)
            text = f"{columns} {source} CROSS JOIN LATERAL ({chosen}) AS {ROW} ORDER BY k.n, {table.place}"
            return Ready(text, statement.parameters)
        joins, order = statement.order(table, query.order)
        where = statement.where(on, statement.condition(table, query.where))
        rows = f"{source} CROSS JOIN {table.name} AS {ROW}{join}{joins}{where}"
        if not query.skip and query.take is None:
            by = f", {order}" if order else ""
            return Ready(f"{columns} {rows} ORDER BY k.n{by}", statement.parameters)
        # One pass over the table for all keys.
        by = f" ORDER BY {order}" if order else ""
        place = f"row_number() OVER (PARTITION BY k.n{by}) AS {table.place}"
        skip = statement.parameter(str(query.skip), "bigint")
        last = "" if query.take is None else statement.parameter(str(query.skip + query.take), "bigint")
        until = f" AND {table.place} <= {last}" if last else ""
        text = (
            f"SELECT {table.key}, {table.record}"
            f" FROM (SELECT {ROW}.*, k.n AS {table.key}, {place} FROM {rows}) AS {ROW}"
            f" WHERE {table.place} > {skip}{until} ORDER BY {table.key}, {table.place}"
        )
        return Ready(text, statement.parameters)

    def count_related(self, link: Link, where: Condition, keys: Sequence[Key]) -> Ready:
        """How many linked records of each key fulfil a condition; a row is the key's number, from 1, and
        theirs, if there are any."""
        statement, table = self._begin(link.target)
        source = self._keys(statement, link, keys)
        join, on = self._linked(statement, link)
        asked = statement.where(on, statement.condition(table, where))
        rows = f"{source} CROSS JOIN {table.name} AS {ROW}{join}{asked}"
        return Ready(f"SELECT k.n, count(*) FROM {rows} GROUP BY k.n", statement.parameters)

    def _keys(self, statement: Statement, link: Link, keys: Sequence[Key]) -> str:
        """The keys as rows ``k``: their number and the values ``k0``, ``k1`` …"""
        own = self.tables[link.model]
        arrays, names = [], []
        for place, field in enumerate(link.fields):
            column = own.columns[field]
            values = column.operands([key[place] for key in keys])
            # They are values of the column's own type, and are compared with columns alone.
            arrays.append(statement.parameter(values, f"{column.type}[]"))
            names.append(f"k{place}")
        return f"unnest({', '.join(arrays)}) WITH ORDINALITY AS k({', '.join(names)}, n)"

    def _linked(self, statement: Statement, link: Link) -> tuple[str, str]:
        places = {field: f"k.k{place}" for place, field in enumerate(link.fields)}
        join = statement.alias() if link.join else ""
        return self.tables.linked(link, places.__getitem__, ROW, join)

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
        statement, table = self._begin(model)
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
        statement, table = self._begin(model)
        asked = statement.where(statement.condition(table, where))
        answer = f" RETURNING {table.record}" if returning else ""
        return Ready(f"DELETE FROM {table.name} AS {ROW}{asked}{answer}", statement.parameters)


def _array(column: SqlColumn, values: Sequence[Any]) -> str:
    """Values in stored form as an array of texts."""
    texts = [column.parameter(value) for value in values]
    return array([None if text is None else text.encode() for text in texts])
