"""Values of a fixed set: Boolean, and enums, which are strings in JSON, by their Prisma names."""

from __future__ import annotations

from enum import Enum as PythonEnum
from typing import Any, Literal

from octavo.schema.datamodel import Enum
from octavo.schema.native import literal, qualified
from octavo.values.base import TYPES, ValueType, cast_text, line_as_printed, wrong


def _write_boolean(value: Any) -> bool:
    if type(value) is not bool:
        raise wrong(value, "a bool")
    return value


TYPES["Boolean"] = ValueType(
    json_sql=cast_text,
    line_sql=line_as_printed,
    decoded=bool,
    text=lambda value: b"true" if value else b"false",
    array_text=lambda value: b"t" if value else b"f",
    write=_write_boolean,
    schema={"type": "boolean"},
)


def enum_type(enum: Enum) -> ValueType:
    """The type of an enum's values, which PostgreSQL compares in the order of their declaration."""
    labels = {m.name: m.label.encode() for m in enum.members}
    renamed = [m for m in enum.members if m.label != m.name]

    def name_sql(column: str) -> str:
        if not renamed:
            return f"{column}::text"
        cases = " ".join(f"WHEN {literal(m.label)} THEN {literal(m.name)}" for m in renamed)
        return f"CASE {column}::text {cases} ELSE {column}::text END"

    def line_sql(column: str, unlike: str) -> str:
        cases = " ".join(f"WHEN {literal(m.label)} THEN {literal(m.name)}" for m in enum.members)
        named = f"CASE {column}::text {cases} ELSE {unlike} END"
        return f"CASE WHEN {column} IS NOT NULL THEN {named} END" if renamed else column

    def write(value: Any) -> str:
        if isinstance(value, PythonEnum):
            value = value.value
        if type(value) is not str:
            raise wrong(value, f"{enum.name} (as text)")
        if value not in labels:
            raise ValueError(f"is not a value of {enum.name}")
        return value

    return ValueType(
        sql=qualified(enum.schema, enum.type),
        json_sql=lambda c: f"to_json({name_sql(c)})",
        line_sql=line_sql,
        order_sql=lambda c: f'({name_sql(c)}) COLLATE "C"',
        decoded=Literal[tuple(labels)],
        text=labels.__getitem__,
        write=write,
        key={m.name: number for number, m in enumerate(enum.sorted_members)}.__getitem__,
        schema={"type": "string", "enum": list(labels)},
    )
