"""How PostgreSQL spells what a Datamodel names: identifiers and literals."""

from __future__ import annotations

from octavo.schema.datamodel import Model


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
