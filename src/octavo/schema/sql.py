"""How PostgreSQL spells what a Datamodel names: identifiers, literals, and the native type of each scalar."""

from __future__ import annotations

from octavo.schema.datamodel import Model, NativeType, ScalarField

DEFAULT_NATIVE: dict[str, NativeType] = {
    "Int": NativeType("Integer"),
    "BigInt": NativeType("BigInt"),
    "Float": NativeType("DoublePrecision"),
    "Decimal": NativeType("Decimal", (65, 30)),
    "Boolean": NativeType("Boolean"),
    "String": NativeType("Text"),
    "DateTime": NativeType("Timestamp", (3,)),
    "Bytes": NativeType("ByteA"),
    "Json": NativeType("JsonB"),
}
"""What a scalar without ``@db.…`` is."""


def quote(name: str) -> str:
    """An identifier in PostgreSQL's quotes."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A string in PostgreSQL's quotes (``standard_conforming_strings`` on, as it is by default)."""
    return "'" + text.replace("'", "''") + "'"


def qualified(schema: str | None, name: str) -> str:
    """A name in SQL, qualified by its schema if it has one."""
    return f"{quote(schema)}.{quote(name)}" if schema else quote(name)


def table_name(model: Model) -> str:
    """The table's name in SQL, with its schema if the Prisma schema names one."""
    return qualified(model.schema, model.table)


def native_type(scalar: ScalarField) -> NativeType:
    """The native type of a scalar field: the one written, or Prisma's default."""
    return scalar.native or DEFAULT_NATIVE[scalar.type]
