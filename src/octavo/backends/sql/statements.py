"""The statements that a plan needs: look-ups, queries, and writes of any number of records at once.

A :class:`Statement` is one under way: its parameters and aliases, with conditions and orders in its terms.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import groupby
from typing import Any, NamedTuple

from octavo.backends.sql.columns import ROW, Lowering, Parameter, Rows, SqlColumn, Table, Tables, array
from octavo.query.plan import (
    TRUE,
    And,
    Change,
    ChangeKind,
    Compare,
    CompareCount,
    Condition,
    Insert,
    IsNull,
    JsonOperator,
    JsonTest,
    Link,
    ListOperator,
    ListTest,
    Not,
    OneOf,
    Operator,
    Or,
    Order,
    Other,
    Query,
    Related,
    Search,
)
from octavo.query.protocols import Key
from octavo.schema.native import literal
from octavo.values.json import kind_of, string_of
from octavo.values.text import lower

_ORDERING = {Operator.LT: "<", Operator.LTE: "<=", Operator.GT: ">", Operator.GTE: ">="}
_JSON_ORDERING = {
    JsonOperator.LT: "<",
    JsonOperator.LTE: "<=",
    JsonOperator.GT: ">",
    JsonOperator.GTE: ">=",
}
_LISTS = {ListOperator.EQUALS: "=", ListOperator.HAS_EVERY: "@>", ListOperator.HAS_SOME: "&&"}
_SEARCHES = {
    Operator.CONTAINS: "strpos({text}, {part}) > 0",
    Operator.STARTS_WITH: "starts_with({text}, {part})",
    Operator.ENDS_WITH: "right({text}, length({part})) = {part}",
    Operator.LIKE: "{text} LIKE {part}",
}
_JSON_SEARCHES = {
    JsonOperator.STRING_CONTAINS: Operator.CONTAINS,
    JsonOperator.STRING_STARTS_WITH: Operator.STARTS_WITH,
    JsonOperator.STRING_ENDS_WITH: Operator.ENDS_WITH,
    JsonOperator.STRING_LIKE: Operator.LIKE,
}


_SEARCHED = 200_000
"""characters of a record that a search looks in: of more, PostgreSQL may refuse to make a tsvector"""
_BETWEEN = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~«»¡¿‐‑‒–—―‘’‚“”„…‹›、。「」\u00a0"
"""characters between words, of which PostgreSQL's parser takes some for parts of addresses and numbers"""


def _in_words(text: str) -> str:
    return f"translate({text}, {literal(_BETWEEN)}, {literal(' ' * len(_BETWEEN))})"


class Statement:
    """Collects the parameters of one statement, and gives what refers to them."""

    def __init__(self, tables: Tables, lowering: Lowering) -> None:
        self.tables, self.lowering = tables, lowering
        self.parameters: list[Parameter] = []
        self._aliases = 0

    def parameter(self, value: Parameter, cast: str) -> str:
        """A value in the text, as a reference with its type."""
        self.parameters.append(value)
        return f"${len(self.parameters)}::{cast}"

    def alias(self) -> str:
        self._aliases += 1
        return f"t{self._aliases}"

    def condition(self, table: Rows, condition: Condition, alias: str = ROW) -> str:
        """A condition on the row under an alias: true, false or NULL as the plan's is true, false or
        unknown."""
        match condition:
            case And() | Or():
                if not condition.parts:
                    return "TRUE" if condition == TRUE else "FALSE"
                parts = [self.condition(table, part, alias) for part in condition.parts]
                return f"({(' AND ' if isinstance(condition, And) else ' OR ').join(parts)})"
            case Not():
                return f"NOT ({self.condition(table, condition.part, alias)})"
            case Related():
                return self._related(table, condition, alias)
            case CompareCount():
                sign = "=" if condition.op is Operator.EQUALS else _ORDERING[condition.op]
                number = self.parameter(str(condition.value), "bigint")
                return f"{self._number_over(table, condition.path, alias)} {sign} {number}"
        return self._test(table.columns, condition, alias)

    def _test(
        self,
        columns: Mapping[str, SqlColumn],
        condition: IsNull | Compare | OneOf | ListTest | JsonTest,
        alias: str,
    ) -> str:
        column = columns[condition.field]
        match condition:
            case IsNull():
                return f"{column.of(alias)} IS NULL"
            case Compare(value=Other() as other):
                return self._compare_other(column, columns[other.field], condition, alias)
            case Compare():
                return self._compare(column, condition, alias)
            case OneOf(values=Other() as other):
                return self._one_of_other(column, columns[other.field], alias, condition.insensitive)
            case OneOf():
                return self._one_of(column, condition, alias)
            case ListTest():
                values = self._tested(columns, condition, alias)
                return f"{column.compared(alias)} {_LISTS[condition.op]} {values}"
            case JsonTest(value=Other() as other):
                found = self._json_at(column, condition.path, alias)
                return f"{found} = {columns[other.field].of(alias)}::jsonb"
        return self._json_test(column, condition, alias)

    def _tested(self, columns: Mapping[str, SqlColumn], condition: ListTest, alias: str) -> str:
        """The values that a list is tested for."""
        column, values = columns[condition.field], condition.values
        if isinstance(values, Other):
            return f"{columns[values.field].compared(alias)}::{column.operand_type}"
        if values and isinstance(values[0], Other):
            return f"ARRAY[{columns[values[0].field].compared(alias)}]::{column.operand_type}"
        return self.parameter(column.operands(values), column.operand_type)

    def _compare_other(self, column: SqlColumn, other: SqlColumn, condition: Compare, alias: str) -> str:
        folded = condition.insensitive or column.column.one.is_caseless
        if condition.op in _SEARCHES:
            texts = [c.text(alias) for c in (column, other)]
            text, part = (self.lowering.sql(t) if folded else f"({t})" for t in texts)
            return _SEARCHES[condition.op].format(text=f'({text}) COLLATE "C"', part=f'({part}) COLLATE "C"')
        equal = condition.op is Operator.EQUALS
        if condition.insensitive or (folded and not equal):
            left, right = (f'{self._lowered(c, alias)} COLLATE "C"' for c in (column, other))
        else:
            left, right = column.compared(alias), other.compared(alias)
            left = left if equal else column.collated(left)
        return f"{left} {'=' if equal else _ORDERING[condition.op]} {right}"

    def _one_of_other(self, column: SqlColumn, other: SqlColumn, alias: str, insensitive: bool) -> str:
        if not insensitive:
            return f"{column.compared(alias)} = ANY ({other.compared(alias)})"
        lowered = f"ARRAY(SELECT {self.lowering.sql('e::text')} FROM unnest({other.of(alias)}) AS e)"
        found = f"{self._lowered(column, alias)} = ANY ({lowered})"
        return f"CASE WHEN {other.of(alias)} IS NOT NULL THEN {found} END"

    def _related(self, table: Rows, condition: Related, alias: str) -> str:
        link, far = condition.link, self.alias()
        join, on = self.linked(table, link, alias, far)
        target = self.tables[link.target]
        where = "" if condition.where == TRUE else f" AND {self.condition(target, condition.where, far)}"
        return f"EXISTS (SELECT FROM {target.name} AS {far}{join} WHERE {on}{where})"

    def linked(self, table: Rows, link: Link, near: str, far: str) -> tuple[str, str]:
        """How rows of a link's target are found from a row of its model, by their aliases: a JOIN or
        nothing, and the condition."""
        join = self.alias() if link.join else ""
        return self.tables.linked(link, lambda field: table.columns[field].of(near), far, join)

    def _compare(self, column: SqlColumn, condition: Compare, alias: str) -> str:
        if condition.op in _SEARCHES:
            return self._search(column, condition, alias)
        equal = condition.op is Operator.EQUALS
        if condition.insensitive or (column.column.one.is_caseless and not equal):
            left = f'{self._lowered(column, alias)} COLLATE "C"'
            right = self.parameter(self._lowered_operand(column, condition.value), "text")
        else:
            left = column.compared(alias)
            left = left if equal else column.collated(left)
            right = self.parameter(column.operand(condition.value), column.operand_type)
        return f"{left} {'=' if equal else _ORDERING[condition.op]} {right}"

    def _lowered(self, column: SqlColumn, alias: str) -> str:
        return self.lowering.sql(f"{column.of(alias)}::text")

    @staticmethod
    def _lowered_operand(column: SqlColumn, stored: str) -> str:
        return lower(column.column.comparable(stored))

    def _search(self, column: SqlColumn, condition: Compare, alias: str) -> str:
        text, part = column.text(alias), condition.value
        if condition.insensitive or column.column.one.is_caseless:
            text, part = self.lowering.sql(text), lower(part)
        return self._found(condition.op, text, part)

    def _found(self, operator: Operator, text: str, part: str) -> str:
        """A search that takes its text literally, whatever the column's collation."""
        given = self.parameter(part, "text")
        return _SEARCHES[operator].format(text=f'({text}) COLLATE "C"', part=given)

    def _one_of(self, column: SqlColumn, condition: OneOf, alias: str) -> str:
        assert isinstance(condition.values, tuple)
        if not condition.values:
            return "FALSE"
        if condition.insensitive:
            lowered = [self._lowered_operand(column, value).encode() for value in condition.values]
            return f"{self._lowered(column, alias)} = ANY ({self.parameter(array(lowered), 'text[]')})"
        values = self.parameter(column.operands(condition.values), f"{column.operand_element}[]")
        return f"{column.compared(alias)} = ANY ({values})"

    def _json_at(self, column: SqlColumn, path: Sequence[str], alias: str) -> str:
        value = f"{column.of(alias)}{'' if column.operand_type == column.type else '::jsonb'}"
        if not path:
            return value
        return f"({value} #> {self.parameter(array([step.encode() for step in path]), 'text[]')})"

    def _json_test(self, column: SqlColumn, condition: JsonTest, alias: str) -> str:
        value, operator = self._json_at(column, condition.path, alias), condition.op
        if operator is JsonOperator.MISSING:
            return f"{value} IS NULL"
        if operator in _JSON_SEARCHES:
            return self._json_search(value, condition)
        operand = bytes(condition.value)
        if operator in _JSON_ORDERING:
            return self._json_order(value, operand, _JSON_ORDERING[operator])
        given = self.parameter(operand.decode(), "jsonb")
        if operator is JsonOperator.EQUALS:
            return f"{value} = {given}"
        if operator is JsonOperator.ARRAY_CONTAINS:
            return f"(jsonb_typeof({value}) = 'array' AND {value} @> {given})"
        end = 0 if operator is JsonOperator.ARRAY_STARTS_WITH else -1
        return (
            f"CASE WHEN jsonb_typeof({value}) = 'array' THEN coalesce({value} -> {end} = {given}, FALSE)"
            f" WHEN {value} IS NOT NULL THEN FALSE END"
        )

    def _json_search(self, value: str, condition: JsonTest) -> str:
        text, part = f"{value} #>> '{{}}'", condition.value
        if condition.insensitive:
            text, part = self.lowering.sql(f"({text})"), lower(part)
        found = self._found(_JSON_SEARCHES[condition.op], text, part)
        return f"(jsonb_typeof({value}) = 'string' AND {found})"

    def _json_order(self, value: str, operand: bytes, sign: str) -> str:
        kind = kind_of(operand)
        string = string_of(operand)
        if string is not None:
            # jsonb orders strings by the database's collation.
            text = self.parameter(string, "text")
            compared = f"""({value} #>> '{{}}') COLLATE "C" {sign} {text}"""
        else:
            compared = f"{value} {sign} {self.parameter(operand.decode(), 'jsonb')}"
        return f"(jsonb_typeof({value}) = '{kind}' AND {compared})"

    def order(self, table: Rows, order: Sequence[Order]) -> tuple[str, str]:
        """The joins that an order needs beside the row :data:`ROW`, and its terms (empty: there is none)."""
        joins: dict[tuple[Link, ...], str] = {}
        clauses: list[str] = []
        terms = [self._term(table, term, joins, clauses) for term in order]
        return "".join(clauses), ", ".join(terms)

    def _term(self, table: Rows, term: Order, joins: dict[tuple[Link, ...], str], clauses: list[str]) -> str:
        alias, path = ROW, term.path if term.field is not None else term.path[:-1]
        for number, link in enumerate(path, 1):
            target = self.tables[link.target]
            if path[:number] not in joins:
                far = joins[path[:number]] = self.alias()
                join, on = self.linked(table, link, alias, far)
                assert not join, "a relation to one record has no join table"
                clauses.append(f" LEFT JOIN {target.name} AS {far} ON {on}")
            alias, table = joins[path[:number]], target
        direction = "DESC" if term.descending else "ASC"
        if term.field is None:
            return f"{self._number(table, term.path[-1], alias)} {direction}"
        nulls = "FIRST" if term.nulls_first else "LAST"
        return f"{self.sortable(table.columns[term.field], alias)} {direction} NULLS {nulls}"

    def sortable(self, column: SqlColumn, alias: str) -> str:
        """What sorts as the column does."""
        if column.column.one.is_caseless and not column.field.is_list:
            return f'{self._lowered(column, alias)} COLLATE "C"'
        return column.collated(column.compared(alias))

    def _number_over(self, table: Rows, path: tuple[Link, ...], alias: str) -> str:
        link, *rest = path
        if not rest:
            return self._number(table, link, alias)
        far, target = self.alias(), self.tables[link.target]
        _, on = self.linked(table, link, alias, far)
        number = self._number_over(target, tuple(rest), far)
        return f"coalesce((SELECT {number} FROM {target.name} AS {far} WHERE {on}), 0)"

    def _number(self, table: Rows, link: Link, alias: str) -> str:
        far = self.alias()
        join, on = self.linked(table, link, alias, far)
        return f"(SELECT count(*) FROM {self.tables[link.target].name} AS {far}{join} WHERE {on})"

    def where(self, *conditions: str) -> str:
        """A WHERE clause; empty if nothing is asked."""
        asked = [c for c in conditions if c and c != "TRUE"]
        return f" WHERE {' AND '.join(asked)}" if asked else ""

    def slice(self, skip: int, take: int | None) -> str:
        """What leaves out and takes; empty for all."""
        clause = "" if take is None else f" LIMIT {self.parameter(str(take), 'bigint')}"
        return clause + (f" OFFSET {self.parameter(str(skip), 'bigint')}" if skip else "")


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
        statement, table = self.begin(query.model)
        if not query.distinct:
            joins, order = statement.order(table, query.order)
            where = statement.where(statement.condition(table, query.where))
            rows = f"{table.name} AS {ROW}{joins}{where}"
            by = f" ORDER BY {order}" if order else ""
        else:
            rows = f"({self.numbered(statement, table, query)}) AS {ROW} WHERE {table.first} = 1"
            by = f" ORDER BY {table.place}"
        text = f"SELECT {table.record} FROM {rows}{by}{statement.slice(query.skip, query.take)}"
        return Ready(text, statement.parameters)

    def begin(self, model: str) -> tuple[Statement, Table]:
        """A statement about a model's records."""
        return Statement(self.tables, self.lowering), self.tables[model]

    def numbered(
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
        statement, table = self.begin(query.model)
        where = statement.where(statement.condition(table, query.where))
        rows = f"{table.name} AS {ROW}{where}"
        if query.distinct:
            same = ", ".join(table.columns[f].compared(ROW) for f in query.distinct)
            rows = f"(SELECT DISTINCT {same} FROM {rows}) AS {ROW}"
        if query.skip or query.take is not None:
            rows = f"(SELECT FROM {rows}{statement.slice(query.skip, query.take)}) AS {ROW}"
        return Ready(f"SELECT count(*) FROM {rows}", statement.parameters)

    def search(self, search: Search) -> Ready:
        """What a search finds; a row is a rank and a record's JSON."""
        statement, table = self.begin(search.model)
        texts = ", ".join(table.columns[name].text(ROW) for name in search.fields)
        text = statement.lowering.sql(f"left(concat_ws(' ', {texts}), {_SEARCHED})")
        words = statement.parameter(" ".join(search.words), "text")
        where = statement.where("v.words @@ q.words", statement.condition(table, search.where))
        _, order = statement.order(table, self.tables.vocabulary[search.model].key_order)
        rank = "ts_rank(v.words, q.words)"
        return Ready(
            f"SELECT {rank}, {table.record} FROM {table.name} AS {ROW}"
            f" CROSS JOIN LATERAL (SELECT to_tsvector('simple', {_in_words(text)}) AS words OFFSET 0) AS v"
            f" CROSS JOIN (SELECT plainto_tsquery('simple', {words}) AS words) AS q"
            f"{where} ORDER BY {rank} DESC, {order}{statement.slice(search.skip, search.take)}",
            statement.parameters,
        )

    def related(self, query: Query, link: Link, keys: Sequence[Key]) -> Ready:
        """The linked records of each key; a row is the key's number, from 1, and a record's JSON."""
        statement, table = self.begin(link.target)
        source = self._keys(statement, link, keys)
        join, on = self._linked(statement, link)
        columns = f"SELECT k.n, {table.record} FROM"
        if query.distinct or ((query.skip or query.take is not None) and self.tables.is_sliced_quickly(link)):
            # For each key by itself.
            chosen = self.numbered(statement, table, query, join, on)
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
        statement, table = self.begin(link.target)
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

    def insert(self, new: Insert) -> Iterator[Ready]:
        """Store rows; one statement for all that neighbour each other and have values for the same fields.
        What has none is left to PostgreSQL.  A row of the answer is a record's JSON."""
        model, skip_duplicates = new.model, new.skip_duplicates
        columns = self.tables[model].columns
        for names, group in groupby(new.rows, key=lambda row: tuple(n for n in columns if n in row)):
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
        statement, table = self.begin(model)
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
        statement, table = self.begin(model)
        asked = statement.where(statement.condition(table, where))
        answer = f" RETURNING {table.record}" if returning else ""
        return Ready(f"DELETE FROM {table.name} AS {ROW}{asked}{answer}", statement.parameters)


def _array(column: SqlColumn, values: Sequence[Any]) -> str:
    """Values in stored form as an array of texts."""
    texts = [column.parameter(value) for value in values]
    return array([None if text is None else text.encode() for text in texts])
