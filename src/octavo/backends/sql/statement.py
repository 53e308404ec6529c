"""A statement under way: its parameters and aliases; and conditions and orders in its terms."""

from __future__ import annotations

from collections.abc import Sequence

from octavo.backends.sql.columns import ROW, Parameter, SqlColumn, Table, Tables, array
from octavo.backends.sql.lowering import Lowering
from octavo.query.plan import (
    TRUE,
    And,
    Compare,
    Condition,
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
    Related,
)
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
}
_JSON_SEARCHES = {
    JsonOperator.STRING_CONTAINS: Operator.CONTAINS,
    JsonOperator.STRING_STARTS_WITH: Operator.STARTS_WITH,
    JsonOperator.STRING_ENDS_WITH: Operator.ENDS_WITH,
}


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

    def condition(self, table: Table, condition: Condition, alias: str = ROW) -> str:
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
        return self._test(table.columns[condition.field], condition, alias)

    def _test(
        self, column: SqlColumn, condition: IsNull | Compare | OneOf | ListTest | JsonTest, alias: str
    ) -> str:
        match condition:
            case IsNull():
                return f"{column.of(alias)} IS NULL"
            case Compare():
                return self._compare(column, condition, alias)
            case OneOf():
                return self._one_of(column, condition, alias)
            case ListTest():
                values = self.parameter(column.operands(condition.values), column.operand_type)
                return f"{column.compared(alias)} {_LISTS[condition.op]} {values}"
        return self._json_test(column, condition, alias)

    def _related(self, table: Table, condition: Related, alias: str) -> str:
        link, far = condition.link, self.alias()
        join, on = self.linked(table, link, alias, far)
        target = self.tables[link.target]
        where = "" if condition.where == TRUE else f" AND {self.condition(target, condition.where, far)}"
        return f"EXISTS (SELECT FROM {target.name} AS {far}{join} WHERE {on}{where})"

    def linked(self, table: Table, link: Link, near: str, far: str) -> tuple[str, str]:
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
        if not condition.values:
            return "FALSE"
        if condition.insensitive:
            lowered = [self._lowered_operand(column, value).encode() for value in condition.values]
            return f"{self._lowered(column, alias)} = ANY ({self.parameter(array(lowered), 'text[]')})"
        values = self.parameter(column.operands(condition.values), f"{column.operand_element}[]")
        return f"{column.compared(alias)} = ANY ({values})"

    def _json_test(self, column: SqlColumn, condition: JsonTest, alias: str) -> str:
        value = f"{column.of(alias)}{'' if column.operand_type == column.type else '::jsonb'}"
        if condition.path:
            path = self.parameter(array([step.encode() for step in condition.path]), "text[]")
            value = f"({value} #> {path})"
        operator = condition.op
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

    def order(self, table: Table, order: Sequence[Order]) -> tuple[str, str]:
        """The joins that an order needs beside the row :data:`ROW`, and its terms (empty: there is none)."""
        joins: dict[tuple[Link, ...], str] = {}
        clauses: list[str] = []
        terms = [self._term(table, term, joins, clauses) for term in order]
        return "".join(clauses), ", ".join(terms)

    def _term(self, table: Table, term: Order, joins: dict[tuple[Link, ...], str], clauses: list[str]) -> str:
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

    def _number(self, table: Table, link: Link, alias: str) -> str:
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
