"""The statement that aggregates records.

The groups are a table of their own, whose columns are the fields of ``by`` and the aggregates.  So ``having``
and the order of groups are conditions and orders on its rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from octavo.backends.sql.columns import ROW, SqlColumn, Table
from octavo.backends.sql.statements import Ready, Statement, Statements
from octavo.query.aggregates import computed_fields, group_columns, is_respelled, total_of
from octavo.query.plan import Aggregate, AggregateFunction, Group, Grouping
from octavo.query.vocabulary import Column
from octavo.schema.datamodel import ScalarKind
from octavo.values.base import ValueType

_ENDS = {AggregateFunction.MIN: ("min", "ASC"), AggregateFunction.MAX: ("max", "DESC")}
_HAVE_ENDS = frozenset(("int2", "int4", "int8", "oid", "numeric", "text", "varchar", "bpchar"))
_HAVE_ENDS |= {"date", "time", "timetz", "timestamp", "timestamptz"}
"""types for which every version of PostgreSQL has ``min`` and ``max``"""


class Groups:
    """The rows of a grouping: the columns that its conditions and orders name."""

    def __init__(self, statements: Statements, grouping: Grouping) -> None:
        vocabulary = statements.tables.vocabulary
        self.grouping = grouping
        self._columns = group_columns(vocabulary, grouping)
        self.columns: Mapping[str, SqlColumn] = {name: SqlColumn(c) for name, c in self._columns.items()}
        self.computed = computed_fields(vocabulary[grouping.query.model], grouping)
        """the fields of which PostgreSQL may say that a sum or an average is out of range"""
        self.ready = self._made(statements)
        """a row of the answer is a group, each of its values as JSON"""

    def _made(self, statements: Statements) -> Ready:
        grouping = self.grouping
        statement, table = statements.begin(grouping.query.model)
        groups = self._groups(statements, statement, table)
        shown = ", ".join(_json(c.type, self.columns[name].of(ROW)) for name, c in self._columns.items())
        where = statement.where(statement.condition(self, grouping.having))
        _, order = statement.order(self, grouping.order)
        by = f" ORDER BY {order}" if order else ""
        cut = statement.slice(grouping.skip, grouping.take)
        return Ready(f"SELECT {shown} FROM ({groups}) AS {ROW}{where}{by}{cut}", statement.parameters)

    def _groups(self, statements: Statements, statement: Statement, table: Table) -> str:
        grouping, query = self.grouping, self.grouping.query
        place = ""
        among = statement.condition(table, grouping.among)
        if query.order or query.skip or query.take is not None:
            place = f"{ROW}.{table.place}"
            rows = statements.numbered(statement, table, query) + statement.slice(query.skip, query.take)
            source = f"({rows}) AS {ROW}{statement.where(among)}"
        else:
            asked = statement.where(statement.condition(table, query.where), among)
            source = f"{table.name} AS {ROW}{asked}"
        values = [_first(table.columns[name], place) for name in grouping.by]
        values += [_aggregated(table, statement, a, place) for a in grouping.aggregates]
        named = (f"{v} AS {c.quoted}" for v, c in zip(values, self.columns.values(), strict=True))
        same = ", ".join(table.columns[name].compared(ROW) for name in grouping.by)
        return f"SELECT {', '.join(named)} FROM {source}" + (f" GROUP BY {same}" if same else "")

    def decode(self, row: Sequence[bytes]) -> Group:
        """A group from a row of the answer."""
        return tuple(_value(c, text) for c, text in zip(self._columns.values(), row, strict=True))


def _json(kind: ValueType, expression: str) -> str:
    """A value as JSON; NULL is NULL."""
    return f"CASE WHEN {expression} IS NOT NULL THEN ({kind.json_sql(expression)})::text END"


def _value(column: Column, text: bytes) -> Any:
    if not text:
        return column.null
    if column.type.decoded is msgspec.Raw:
        return msgspec.Raw(text)
    return msgspec.json.decode(text, type=column.type.decoded)


def _first(column: SqlColumn, place: str) -> str:
    """The value that a group agrees in; of equal ones that print differently, the first."""
    value, order = column.of(ROW), f" ORDER BY {place}" if place else ""
    if not is_respelled(column.column) and column.compared(ROW) == value:
        return value
    if column.field.is_list:
        # Arrays would be joined to one of more dimensions.
        return f"(array_agg({value}::text{order}))[1]::{column.type}"
    return f"(array_agg({value}{order}))[1]"


def _aggregated(table: Table, statement: Statement, aggregate: Aggregate, place: str) -> str:
    if aggregate.field is None:
        return "count(*)"
    column, function = table.columns[aggregate.field], aggregate.function
    value = column.of(ROW)
    if function is AggregateFunction.COUNT:
        return f"count({value})"
    if function in _ENDS:
        name, direction = _ENDS[function]
        has_ends = column.type in _HAVE_ENDS or column.field.kind is ScalarKind.ENUM
        if has_ends and not is_respelled(column.column):
            return f"{name}({column.collated(value)})"
        first = f" {direction}, {place}" if place else f" {direction}"
        sorted_ = f"{value} ORDER BY {statement.sortable(column, ROW)}{first}"
        return f"(array_agg({sorted_}) FILTER (WHERE {value} IS NOT NULL))[1]"
    total = total_of(column.column, function)
    assert total is not None, "the arguments were checked"
    if column.computed_as:
        value = f"{value}::{column.computed_as}"
    return total.sql.format(value=value, order=f" ORDER BY {place}")
