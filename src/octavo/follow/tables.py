"""What the tables look like to the rows that PostgreSQL sends.

A table may be sent with its columns in any order; here rows have the values of a model's scalar fields, in
the schema's order.  A table that was changed under way is told from what it was when following began or went
on, which was then what the schema says: its rows are not taken.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import NamedTuple

from octavo.errors import DriftError
from octavo.follow.protocol import Relation, Tuple
from octavo.layout.layout import Layout
from octavo.postgres.connection import Connection
from octavo.postgres.url import DatabaseUrl
from octavo.schema.catalog import introspect
from octavo.schema.datamodel import Model
from octavo.schema.drift import compare

RESEED = "make the files anew: octavo follow --replace"
Columns = Mapping[str, tuple[int, int]]
"""By name the object id of each column's type, and its modifier."""


class Table(NamedTuple):
    """A model's table as its rows are sent."""

    model: Model
    row: Callable[[Tuple], Tuple]
    """from a row that was sent to the values of the scalar fields"""
    key: Callable[[Tuple], Tuple]
    """from such values to those of the key"""


class Tables:
    """The tables of the schema, as they were at one moment."""

    def __init__(self, connection: Connection, url: DatabaseUrl, layout: Layout) -> None:
        """Raises DriftError if the database is not what the schema says, DatabaseError."""
        self._models = {place_of(url, model): model for model in layout.datamodel.tables}
        schemas = layout.datamodel.datasource.schemas or (url.schema,)
        compare(layout.datamodel, introspect(connection, schemas)).raise_if_any()
        self._columns, self.fingerprint = _columns(connection, list(self._models))
        """of every column; another one when a column was altered since, even back to what it was"""

    @property
    def places(self) -> list[tuple[str, str]]:
        """Schema and name of every table."""
        return list(self._models)

    def require(self, fingerprint: str) -> None:
        """Raise DriftError if a column was altered since its fingerprint was taken."""
        if self.fingerprint != fingerprint:
            raise DriftError(
                "the schema has changed under way: a table was altered, and the log does not say what"
                " that did to its rows",
                hint=RESEED,
            )

    def table(self, sent: Relation) -> Table:
        """The table that is about to have rows.  Raises DriftError if it is not as it was."""
        place = sent.schema, sent.name
        model = self._models.get(place)
        if model is None:
            raise _drift(place, ["a table that the schema does not know"])
        found = {column.name: (column.type, column.modifier) for column in sent.columns}
        known = self._columns[place]
        if found != known:
            raise _drift(place, list(_differences(known, found)))
        names = [column.name for column in sent.columns]
        identity = {column.name for column in sent.columns if column.in_key}
        key = [f.column for f in model.key_fields]
        if not identity.issuperset(key):
            reason = f"its replica identity does not tell its rows by {', '.join(key)} any more"
            raise _drift(place, [reason])
        scalars = [f.column for f in model.scalars]
        return Table(
            model, _picker([names.index(c) for c in scalars]), _picker([scalars.index(c) for c in key])
        )


def place_of(url: DatabaseUrl, model: Model) -> tuple[str, str]:
    """Schema and name of a model's table."""
    return model.schema or url.schema, model.table


def _picker(at: Sequence[int]) -> Callable[[Tuple], Tuple]:
    if len(at) == 1:
        [only] = at
        return lambda row: (row[only],)
    return itemgetter(*at)


def _columns(
    connection: Connection, places: Sequence[tuple[str, str]]
) -> tuple[dict[tuple[str, str], dict[str, tuple[int, int]]], str]:
    """The columns of each table, and what tells their descriptions from later ones: PostgreSQL's log does not
    say what altering a table does to its rows."""
    rows = connection.execute(
        """
        SELECT n.nspname, c.relname, a.attname, a.atttypid::bigint, a.atttypmod, a.attnum, a.xmin::text
        FROM unnest(%s::text[], %s::text[]) AS p(schema, name)
        JOIN pg_catalog.pg_namespace n ON n.nspname = p.schema
        JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = p.name
        JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        ORDER BY c.oid, a.attnum
        """,
        [[schema for schema, _ in places], [name for _, name in places]],
    ).fetchall()
    found: dict[tuple[str, str], dict[str, tuple[int, int]]] = {place: {} for place in places}
    for schema, name, column, kind, modifier, *_ in rows:
        found[schema, name][column] = (kind, modifier)
    return found, hashlib.sha256(repr(rows).encode()).hexdigest()


def _differences(known: Columns, found: Columns) -> list[str]:
    return [
        *(f"the column {name} is not sent" for name in known if name not in found),
        *(f"the column {name} is not in the schema" for name in found if name not in known),
        *(f"the column {n} has another type" for n in known if n in found and known[n] != found[n]),
    ]


def _drift(place: tuple[str, str], findings: Sequence[str]) -> DriftError:
    table = ".".join(place)
    return DriftError(
        "the schema has changed under way:",
        [f"{table}: {finding}" for finding in findings],
        hint="nothing behind the change was taken; bring database and schema together (octavo schema check),"
        " then run octavo follow again, or make the files anew by octavo follow --replace",
    )
