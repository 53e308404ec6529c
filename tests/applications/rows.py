"""Rows for every table of any schema, whose foreign keys fit together."""

from __future__ import annotations

import random
from typing import Any

from octavo.postgres.connection import Connection
from octavo.schema.datamodel import Datamodel, Model, Relation, ScalarField, ScalarKind
from octavo.schema.native import literal, native_type, quote, table_name

_TEXTS = ("plain", "Ω “q” \\", "a\nb", "  ", "ß" * 40)
_BY_TYPE: dict[str, tuple[str, ...]] = {
    "Float": ("0.5", "-1e30", "0.1"),
    "Decimal": ("1.50", "-0.01", "2"),
    "Boolean": ("true", "false"),
    "Json": ('{"b": [1.50, null], "a": "x"}', "null", "[]"),
    "Bytes": ("\\x00ff", "\\x"),
}
_BY_NATIVE: dict[str, tuple[str, ...]] = {
    "Date": ("2025-01-02", "1999-12-31"),
    "Time": ("12:34:56", "00:00:00"),
    "Timetz": ("12:34:56+02", "00:00:00+00"),
    "Timestamp": ("2025-01-02 03:04:05.678", "1999-12-31 23:59:59"),
    "Timestamptz": ("2025-01-02 03:04:05.678+02", "1999-12-31 23:59:59+00"),
    "Inet": ("10.0.0.1", "::1"),
    "Xml": ("<a/>", "<b>c</b>"),
    "Money": ("1.50", "-2"),
}


class Rows:
    """Rows by number: the n-th row of a child belongs to the n-th one of its parent."""

    def __init__(self, datamodel: Datamodel, seed: int) -> None:
        self.datamodel, self.random = datamodel, random.Random(seed)
        self.keys: dict[tuple[str, str], tuple[Relation, str]] = {}
        for key in datamodel.foreign_keys:
            for name, target in zip(key.fields, key.references, strict=True):
                self.keys.setdefault((key.child, name), (key, target))

    def fill(self, connection: Connection, each: int) -> int:
        """Put so many rows into every table.  Gives how many there are."""
        with connection.transaction():
            # Cycles of required references have no order.
            connection.execute("SET LOCAL session_replication_role = replica")
            for model in self.datamodel.tables:
                names = [f for f in model.scalars if f.kind is not ScalarKind.UNSUPPORTED]
                columns = ", ".join(quote(f.column) for f in names)
                for number in range(each):
                    cells = ", ".join(self._cell(model, f, number) for f in names)
                    insert = f"INSERT INTO {table_name(model)} ({columns}) OVERRIDING SYSTEM VALUE"
                    connection.execute(f"{insert} VALUES ({cells})".encode())
        return each * len(self.datamodel.tables)

    def _cell(self, model: Model, field: ScalarField, number: int) -> str:
        if (found := self.keys.get((model.name, field.name))) is not None:
            key, target = found
            if number % 3 == 2 and all(model.scalar(name).nullable for name in key.fields):
                return "NULL"
            parent = self.datamodel.model(key.parent)
            return self._cell(parent, parent.scalar(target), number)
        in_key = any(field.name in index.field_names for index in (*model.uniques, *self._key(model)))
        if field.nullable and not field.is_list and not in_key and self.random.random() < 0.3:
            return "NULL"
        if field.is_list:
            elements = [self._value(model, field, number + n) for n in range(number % 3)]
            quoted = ", ".join('"' + e.replace("\\", "\\\\").replace('"', '\\"') + '"' for e in elements)
            return literal(f"{{{quoted}}}")
        return literal(self._value(model, field, number))

    def _key(self, model: Model) -> tuple[Any, ...]:
        return () if model.primary_key is None else (model.primary_key,)

    def _value(self, model: Model, field: ScalarField, number: int) -> str:
        if field.kind is ScalarKind.ENUM:
            labels = self.datamodel.enum(field.type).labels
            return labels[number % len(labels)]
        if field.type in ("Int", "BigInt"):
            return str(number + 1)
        native = native_type(field)
        values = _BY_NATIVE.get(native.name) or _BY_TYPE.get(field.type)
        if values is not None:
            return values[number % len(values)]
        if native.name in ("Bit", "VarBit"):
            return "01" * 64 if not native.args else "01"[number % 2] * native.args[0]
        if native.name == "Uuid":
            return f"00000000-0000-4000-8000-{number:012d}"
        text = f"{number} {_TEXTS[number % len(_TEXTS)]} {model.name}.{field.name}"
        return text[: native.args[0]] if native.args else text
