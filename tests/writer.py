"""A plain SQL client that writes random transactions over all models, and knows nothing of Octavo.

Rows are inserted, changed, given other keys and parents, deleted and truncated, as the schema allows;
statements that it refuses are taken back to a savepoint, and some transactions as a whole.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import psycopg

from octavo.postgres.connection import Connection
from octavo.schema.datamodel import Datamodel, Model, ScalarField, ScalarKind
from octavo.schema.native import literal, quote, table_name

_TEXTS = ("", "é😀", "a\\b\"c'd", "line\nbreak\ttab", "{}", "NULL", "  x  ")
_TIMES = ("infinity", "-infinity", "0044-03-15 12:00:00.5 BC", "2025-11-22 12:34:56.789", "12025-01-01")


class Writer:
    """Writes by one connection."""

    def __init__(self, connection: Connection, datamodel: Datamodel, seed: int) -> None:
        self.connection, self.datamodel = connection, datamodel
        self.random = random.Random(seed)
        self.committed = 0
        self._foreign = {
            m.name: {f: r for r in datamodel.parents(m.name) if len(r.fields) == 1 for f in r.fields}
            for m in datamodel.tables
        }
        self._leaves = [m for m in datamodel.tables if not list(datamodel.children(m.name))]

    def write(self, transactions: int) -> None:
        for _ in range(transactions):
            self.transaction()

    def transaction(self) -> None:
        """Some statements, mostly committed."""
        with self.connection.transaction():
            for _ in range(self.random.choice((1, 1, 2, 5, 12))):
                self._attempt(self.random.choices(_STATEMENTS, _WEIGHTS)[0](self))
            if self.random.random() < 0.1:
                raise psycopg.Rollback
            self.committed += 1

    def _attempt(self, statement: str) -> None:
        try:
            with self.connection.transaction():
                self.connection.execute(statement.encode())
        except (psycopg.errors.IntegrityError, psycopg.errors.ProgramLimitExceeded):
            # A constraint refuses it, or a text is too long for an index.
            pass

    def _model(self) -> Model:
        return self.random.choice(self.datamodel.tables)

    def insert(self) -> str:
        model = self._model()
        names = ", ".join(quote(f.column) for f in model.scalars)
        values = ", ".join(self._value(model, f, new=True) for f in model.scalars)
        return f"INSERT INTO {table_name(model)} ({names}) SELECT {values}"

    def update(self) -> str:
        model = self._model()
        free = [f for f in model.scalars if f not in model.key_fields] or list(model.scalars)
        chosen = self.random.sample(free, self.random.randint(1, min(3, len(free))))
        sets = ", ".join(f"{quote(f.column)} = {self._value(model, f)}" for f in chosen)
        return f"UPDATE {table_name(model)} SET {sets} WHERE {self._some(model)}"

    def move(self) -> str:
        """A row gets another key."""
        model = self._model()
        field = self.random.choice(model.key_fields)
        value = self._value(model, field, new=True)
        return f"UPDATE {table_name(model)} SET {quote(field.column)} = {value} WHERE {self._some(model, 1)}"

    def delete(self) -> str:
        # Users take everything with them.
        model = self._model() if self.random.random() < 0.1 else self.random.choice(self._leaves)
        return f"DELETE FROM {table_name(model)} WHERE {self._some(model)}"

    def replace(self) -> str:
        """A row goes and comes back, in one transaction."""
        model = self.random.choice(self._leaves)
        table, names = table_name(model), ", ".join(quote(f.column) for f in model.scalars)
        return (
            f"CREATE TEMPORARY TABLE kept ON COMMIT DROP AS SELECT {names} FROM {table}"
            f" WHERE {self._some(model, 1)}; DELETE FROM {table} WHERE {self._is_kept(model)};"
            f" INSERT INTO {table} ({names}) SELECT {names} FROM kept; DROP TABLE kept"
        )

    def truncate(self) -> str:
        return f"TRUNCATE {table_name(self.random.choice(self._leaves))}"

    def _is_kept(self, model: Model) -> str:
        keys = ", ".join(quote(f.column) for f in model.key_fields)
        return f"({keys}) IN (SELECT {keys} FROM kept)"

    def _some(self, model: Model, most: int = 0) -> str:
        many = most or self.random.choice((1, 1, 1, 4))
        return f"ctid = ANY(ARRAY(SELECT ctid FROM {table_name(model)} ORDER BY random() LIMIT {many}))"

    def _value(self, model: Model, field: ScalarField, *, new: bool = False) -> str:
        if (relation := self._foreign[model.name].get(field.name)) is not None:
            parent = self.datamodel.model(relation.parent)
            column = quote(parent.scalar(relation.references[0]).column)
            some = f"(SELECT {column} FROM {table_name(parent)} ORDER BY random() LIMIT 1)"
            return "NULL" if field.nullable and self.random.random() < 0.3 else some
        if field.nullable and self.random.random() < 0.3:
            return "NULL"
        is_unique = any(field.name in i.field_names for i in model.all_indexes if i.kind.value != "normal")
        if field.type == "String" and (is_unique and (new or self.random.random() < 0.9)):
            return literal(f"{self.random.getrandbits(64):016x}")
        return self._of_type(field)

    def _of_type(self, field: ScalarField) -> str:
        chance = self.random
        if field.kind is ScalarKind.ENUM:
            enum = self.datamodel.enum(field.type)
            label = literal(chance.choice(enum.members).label)
            return f"{label}::{quote(enum.type)}"
        match field.type:
            case "String":
                return literal(self._text())
            case "Int":
                return str(chance.choice((0, -1, 2**31 - 1, chance.randint(0, 1000))))
            case "Boolean":
                return chance.choice(("true", "false"))
            case "DateTime":
                return f"{literal(chance.choice((*_TIMES, f'20{chance.randint(10, 99)}-01-02')))}::timestamp"
            case "Json":
                return f"{literal(self._json())}::jsonb"
        raise AssertionError(field.type)

    def _text(self) -> str:
        if self.random.random() < 0.1:
            # Too long for its row, and nothing to compress: it is stored apart.
            return self.random.randbytes(4000).hex()
        return self.random.choice((*_TEXTS, f"text {self.random.random()}"))

    def _json(self) -> str:
        value: Any = self.random.choice((None, 1.5, "x", [], {"a": [1, {"b": None}], "é": "y"}, self._text()))
        text = json.dumps(value)
        return self.random.choice((text, text, "1e400", '{"n": 1.50, "m": 100000000000000000000.10}'))


_STATEMENTS: tuple[Callable[[Writer], str], ...] = (
    Writer.insert,
    Writer.update,
    Writer.delete,
    Writer.move,
    Writer.replace,
    Writer.truncate,
)
_WEIGHTS = (50, 25, 10, 5, 5, 1)
