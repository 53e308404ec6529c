"""The same statements on PostgreSQL and on a store, row by row, to be compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from msgspec import UNSET, Raw, structs
from psycopg import errors as refused

from octavo.errors import ConstraintError, ForeignKeyViolation, NullViolation, UniqueViolation
from octavo.layout.layout import Layout
from octavo.layout.record import Record, attribute
from octavo.postgres.connection import Connection
from octavo.schema.datamodel import Datamodel, Model, ScalarField
from octavo.schema.ddl import sql_type
from octavo.schema.native import literal, quote, table_name
from octavo.store.store import Store
from octavo.values.registry import value_type
from stores import Unsynced

Values: TypeAlias = Mapping[str, Any]
"""A row by its fields, in their stored form."""

PRETENDED = "2025-01-02T03:04:05.678Z"


class Insert(NamedTuple):
    model: str
    rows: tuple[Values, ...]


class Update(NamedTuple):
    """The rows with these keys get these values, each its own."""

    model: str
    keys: tuple[Any, ...]
    values: tuple[Values, ...]


class Delete(NamedTuple):
    model: str
    keys: tuple[Any, ...]


Statement: TypeAlias = Insert | Update | Delete
Refusal: TypeAlias = tuple[str, str, tuple[str, ...]]
"""Why a statement was refused: the kind, the model and the fields of the constraint."""
Rows: TypeAlias = dict[str, list[tuple[bytes | None, ...]]]
"""What PostgreSQL prints of each row, in order, by model."""


def plain_value(field: ScalarField, datamodel: Datamodel) -> Any:
    """A stored value for a field of which nothing depends on the value."""
    if field.is_json:
        return Raw(b'{"a": 1.50}')
    if field.type in datamodel._enums_by_name:
        return datamodel.enum(field.type).members[0].name
    return {"Int": 1, "Boolean": False, "DateTime": PRETENDED}.get(field.type, "x")


class OnStore:
    """Statements on the store in a folder."""

    def __init__(self, root: Path, layout: Layout) -> None:
        self.root, self.layout = root, layout
        self.store = Store.open(root, layout, system=Unsynced())

    def __enter__(self) -> OnStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.store.close()

    def record(self, model: Model, values: Values) -> Record:
        """A row of these values; what is not named is a plain value."""
        kind = self.store.rules.codecs[model.name].record_type
        datamodel = self.layout.datamodel
        return kind(
            **{
                attribute(f): values[f.name] if f.name in values else plain_value(f, datamodel)
                for f in model.scalars
            }
        )

    def run(self, statement: Statement) -> Refusal | None:
        """Run a statement as a transaction; why it was refused."""
        model = self.layout.datamodel.model(statement.model)
        try:
            with self.store.transaction() as tx:
                match statement:
                    case Insert(_, rows):
                        tx.insert([self.record(model, values) for values in rows])
                    case Update(name, keys, values):
                        before = [tx.get(name, key) for key in keys]
                        tx.update(
                            [
                                (row, structs.replace(row, **_attributes(model, changed)))
                                for row, changed in zip(before, values, strict=True)
                                if row is not None
                            ]
                        )
                    case Delete(name, keys):
                        tx.delete([row for key in keys if (row := tx.get(name, key)) is not None])
        except ConstraintError as error:
            kind = {UniqueViolation: "unique", ForeignKeyViolation: "foreign key", NullViolation: "null"}
            return kind[type(error)], error.model, error.fields
        return None

    def rows(self) -> Rows:
        """All rows of all models."""
        return self.store.read(
            lambda view: {m: sorted(self._texts(m, view), key=_sortable) for m in self.models}
        )

    @property
    def models(self) -> list[str]:
        return [m.name for m in self.layout.datamodel.tables]

    def _texts(self, name: str, view: Any) -> Iterator[tuple[bytes | None, ...]]:
        datamodel = self.layout.datamodel
        columns = [(attribute(f), value_type(f, datamodel)) for f in datamodel.model(name).scalars]
        for row in view.rows(name):
            values = [(getattr(row, held), column) for held, column in columns]
            yield tuple(None if v is None or v is UNSET else column.text(v) for v, column in values)


class OnPostgres:
    """Statements on the tables of a database."""

    def __init__(self, connection: Connection, datamodel: Datamodel) -> None:
        self.connection, self.datamodel = connection, datamodel
        self._constraints = dict(_constraints(datamodel))
        self._all = " UNION ALL ".join(self._texts(m) for m in datamodel.tables).encode()
        # Rows come in the order in which they stand in their table.
        for way in ("indexscan", "bitmapscan", "indexonlyscan"):
            connection.execute(f"SET enable_{way} = off".encode())

    def run(self, statement: Statement) -> Refusal | None:
        """Run a statement; why it was refused."""
        query = self._sql(statement)
        try:
            self.connection.execute(query.encode())
        except (refused.UniqueViolation, refused.ForeignKeyViolation, refused.RestrictViolation) as error:
            return self._constraints[error.diag.table_name or "", error.diag.constraint_name or ""]
        except refused.NotNullViolation as error:
            child = next(m for m in self.datamodel.tables if m.table == error.diag.table_name)
            field = next(f.name for f in child.scalars if f.column == error.diag.column_name)
            return "null", child.name, (field,)
        return None

    def _sql(self, statement: Statement) -> str:
        model = self.datamodel.model(statement.model)
        match statement:
            case Insert():
                return self._insert(model, statement)
            case Update():
                return self._update(model, statement)
            case Delete():
                return self._delete(model, statement)

    def reset(self, statements: Sequence[Statement]) -> None:
        """Let the tables hold what these statements insert into empty ones, as a transaction of its own."""
        deletes = [f"DELETE FROM {table_name(m)}" for m in self.datamodel.tables]
        inserts = [self._sql(statement) for statement in statements]
        # Nothing of a referential action, whatever the order.
        script = [
            "SET session_replication_role = replica",
            *deletes,
            *inserts,
            "RESET session_replication_role",
        ]
        self.connection.execute(";\n".join(script).encode())

    def in_order(self, model: str, keys: Sequence[Any]) -> list[Any]:
        """Keys in the order in which a statement comes upon their rows."""
        found = self.datamodel.model(model)
        columns = ", ".join(quote(f.column) for f in found.key_fields)
        rows = self.connection.execute(f"SELECT {columns} FROM {table_name(found)} ORDER BY ctid".encode())
        there = [row[0] if len(row) == 1 else tuple(row) for row in rows]
        return [key for key in there if key in keys]

    def rows(self) -> Rows:
        """All rows of all models."""
        found: Rows = {m.name: [] for m in self.datamodel.tables}
        for model, texts in self.connection.execute(self._all):
            found[model].append(tuple(None if text is None else text.encode() for text in texts))
        return {model: sorted(rows, key=_sortable) for model, rows in found.items()}

    def _texts(self, model: Model) -> str:
        columns = [value_type(f, self.datamodel).text_sql(f"t.{quote(f.column)}") for f in model.scalars]
        name = literal(model.name)
        return f"SELECT {name} AS model, ARRAY[{', '.join(columns)}]::text[] FROM {table_name(model)} AS t"

    def _insert(self, model: Model, statement: Insert) -> str:
        names = ", ".join(quote(f.column) for f in model.scalars)
        rows = ", ".join(
            "(" + ", ".join(self._literal(f, self._value(f, row)) for f in model.scalars) + ")"
            for row in statement.rows
        )
        return f"INSERT INTO {table_name(model)} ({names}) VALUES {rows}"

    def _value(self, field: ScalarField, row: Values) -> Any:
        return row[field.name] if field.name in row else plain_value(field, self.datamodel)

    def _update(self, model: Model, statement: Update) -> str:
        changed = [f for f in model.scalars if any(f.name in values for values in statement.values)]
        sets = []
        for f in changed:
            cases = " ".join(
                f"WHEN {self._is(model, key)} THEN {self._literal(f, values[f.name])}"
                for key, values in zip(statement.keys, statement.values, strict=True)
                if f.name in values
            )
            sets.append(f"{quote(f.column)} = CASE {cases} ELSE {quote(f.column)} END")
        where = " OR ".join(self._is(model, key) for key in statement.keys)
        return f"UPDATE {table_name(model)} SET {', '.join(sets)} WHERE {where}"

    def _delete(self, model: Model, statement: Delete) -> str:
        return (
            f"DELETE FROM {table_name(model)} WHERE {' OR '.join(self._is(model, k) for k in statement.keys)}"
        )

    def _is(self, model: Model, key: Any) -> str:
        parts = zip(model.key_fields, key if isinstance(key, tuple) else (key,), strict=True)
        return "(" + " AND ".join(f"{quote(f.column)} = {self._literal(f, v)}" for f, v in parts) + ")"

    def _literal(self, field: ScalarField, value: Any) -> str:
        if value is None or value is UNSET:
            return f"NULL::{sql_type(self.datamodel, field)}"
        text = value_type(field, self.datamodel).text(value).decode()
        return f"{literal(text)}::{sql_type(self.datamodel, field)}"


def _attributes(model: Model, values: Values) -> dict[str, Any]:
    return {attribute(model.scalar(name)): value for name, value in values.items()}


def _constraints(datamodel: Datamodel) -> Iterator[tuple[tuple[str, str], Refusal]]:
    for model in datamodel.tables:
        for index in model.all_indexes:
            yield (model.table, index.constraint), ("unique", model.name, index.field_names)
    for key in datamodel.foreign_keys:
        child, parent = datamodel.model(key.child), datamodel.model(key.parent)
        found = "foreign key", child.name, key.fields
        yield (child.table, key.constraint), found
        yield (parent.table, key.constraint), found


def keys_in(datamodel: Datamodel, rows: Rows, name: str) -> list[Any]:
    """The keys of rows as they were printed; all of them are texts."""
    model = datamodel.model(name)
    at = [[f.name for f in model.scalars].index(f.name) for f in model.key_fields]
    found = [tuple((row[i] or b"").decode() for i in at) for row in rows[name]]
    return [key[0] if len(key) == 1 else key for key in found]


def _sortable(row: tuple[bytes | None, ...]) -> list[tuple[bool, bytes]]:
    return [(value is None, value or b"") for value in row]
