"""What the tables look like to the rows that PostgreSQL sends.

A table may be sent with its columns in any order; here rows have the values of a model's scalar fields, in
the schema's order.  A table that was changed under way is told from what it was when following began or went
on, which was then what the schema says: its rows are not taken.  Of a partitioned table the partitions are
sent, each as a table that stores rows of the same model: then it is known which of them was truncated.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import itemgetter
from typing import NamedTuple

from octavo.errors import DriftError
from octavo.follow.protocol import UNCHANGED, Relation, Tuple
from octavo.layout.layout import Layout
from octavo.postgres.connection import Connection
from octavo.postgres.failures import database_errors
from octavo.schema.catalog import introspect
from octavo.schema.datamodel import Model
from octavo.schema.drift import compare
from octavo.url import DatabaseUrl

RESEED = "make the files anew: octavo follow --replace"
Columns = Sequence[tuple[str, int, int]]
"""Of each column its name, the object id of its type, and the type's modifier, in the table's order."""


class Table(NamedTuple):
    """A table as its rows are sent."""

    model: Model
    oid: int
    row: Callable[[Tuple], Tuple]
    """from a row that was sent to the values of the scalar fields"""
    old: Callable[[Tuple], Tuple]
    """the same of what was sent of a row as it was before: the replica identity, the rest as not sent"""
    key: Callable[[Tuple], Tuple]
    """from such values to those of the key"""


class Stored(NamedTuple):
    """A table that stores rows of a model: the model's own, or a partition of that, of whatever level."""

    model: Model
    oid: int
    schema: str
    name: str
    is_own: bool
    """whether it is one of these; else it inherits the model's table, as PostgreSQL did before partitions"""
    persistence: str
    identity: str
    """the replica identity, as in PostgreSQL's catalog"""


class Tables:
    """The tables of the schema, as they were at one moment."""

    def __init__(self, connection: Connection, url: DatabaseUrl, layout: Layout) -> None:
        """Raises DriftError if the database is not what the schema says, DatabaseError."""
        self.places = [place_of(url, model) for model in layout.datamodel.tables]
        """schema and name of each model's table"""
        schemas = layout.datamodel.datasource.schemas or (url.schema,)
        with database_errors(url, "looking at the tables"):
            compare(layout.datamodel, introspect(connection, schemas)).raise_if_any()
            self._stored = {(s.schema, s.name): s for s in stored(connection, url, layout)}
            self._columns = _columns(connection, self._stored.values())

    @property
    def published(self) -> list[tuple[str, str]]:
        """Schema and name of each table that stores rows."""
        return list(self._stored)

    def table(self, sent: Relation) -> Table:
        """The table that is about to have rows.  Raises DriftError if it is not as it was."""
        place = sent.schema, sent.name
        if (stored := self._stored.get(place)) is None:
            raise _drift(place, ["a table that the schema does not know"])
        if sent.oid != stored.oid:
            raise _drift(place, ["another table has its name now"])
        model, known = stored.model, self._columns[stored.oid]
        found = [(column.name, column.type, column.modifier) for column in sent.columns]
        if found != known:
            raise _drift(place, list(_differences(known, found)))
        names = [column.name for column in sent.columns]
        identity = {column.name for column in sent.columns if column.in_key}
        key = [f.column for f in model.key_fields]
        if not identity.issuperset(key):
            reason = f"its replica identity does not tell its rows by {', '.join(key)} any more"
            raise _drift(place, [reason])
        scalars = [f.column for f in model.scalars]
        row = _picker([names.index(c) for c in scalars])
        told = [c in identity for c in scalars]

        def old(values: Tuple) -> Tuple:
            return tuple(v if t else UNCHANGED for v, t in zip(row(values), told, strict=True))

        return Table(model, sent.oid, row, old, _picker([scalars.index(c) for c in key]))

    def truncated(self, tables: Sequence[Table]) -> list[Table]:
        """A table of each model whose rows are all gone when these are truncated.

        Raises DriftError for a partition that was truncated without the others: which rows are gone is not
        sent.
        """
        oids = {table.oid for table in tables}
        left = {stored.model.name for stored in self._stored.values() if stored.oid not in oids}
        for place, stored in self._stored.items():
            if stored.oid in oids and stored.model.name in left:
                raise _drift(place, [f"a partition of {stored.model.table} that was truncated by itself"])
        return list({table.model.name: table for table in tables}.values())


def place_of(url: DatabaseUrl, model: Model) -> tuple[str, str]:
    """Schema and name of a model's table."""
    return model.schema or url.schema, model.table


def _picker(at: Sequence[int]) -> Callable[[Tuple], Tuple]:
    if len(at) == 1:
        [only] = at
        return lambda row: (row[only],)
    return itemgetter(*at)


def stored(connection: Connection, url: DatabaseUrl, layout: Layout) -> list[Stored]:
    """The tables that store rows of the models; those that are partitioned store none themselves."""
    models = layout.datamodel.tables
    places = [place_of(url, model) for model in models]
    rows = connection.execute(
        """
        WITH RECURSIVE stored AS (
            SELECT p.number, c.oid, true AS is_own
            FROM unnest(%s::text[], %s::text[]) WITH ORDINALITY AS p(schema, name, number)
            JOIN pg_catalog.pg_namespace n ON n.nspname = p.schema
            JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = p.name
          UNION ALL
            SELECT stored.number, c.oid, c.relispartition
            FROM stored
            JOIN pg_catalog.pg_inherits i ON i.inhparent = stored.oid
            JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid
        )
        SELECT number, c.oid::bigint, n.nspname, c.relname,
               is_own, c.relpersistence::text, c.relreplident::text
        FROM stored
        JOIN pg_catalog.pg_class c USING (oid)
        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind <> 'p'
        ORDER BY number, n.nspname, c.relname
        """,
        [[schema for schema, _ in places], [name for _, name in places]],
    ).fetchall()
    return [Stored(models[number - 1], *facts) for number, *facts in rows]


def _columns(connection: Connection, tables: Iterable[Stored]) -> Mapping[int, Columns]:
    """The columns of each table by its object id."""
    rows = connection.execute(
        "SELECT attrelid::bigint, attname, atttypid::bigint, atttypmod FROM pg_catalog.pg_attribute"
        " WHERE attrelid = ANY(%s::oid[]) AND attnum > 0 AND NOT attisdropped ORDER BY attrelid, attnum",
        [[table.oid for table in tables]],
    ).fetchall()
    found: dict[int, list[tuple[str, int, int]]] = defaultdict(list)
    for oid, *column in rows:
        found[oid].append(tuple(column))
    return found


def _differences(known: Columns, found: Columns) -> list[str]:
    before, now = ({name: kind for name, *kind in columns} for columns in (known, found))
    return [
        *(f"the column {name} is not sent" for name in before if name not in now),
        *(f"the column {name} is not in the schema" for name in now if name not in before),
        *(
            f"the column {name} has another type"
            for name in before
            if now.get(name, before[name]) != before[name]
        ),
    ] or ["its columns have another order"]


def _drift(place: tuple[str, str], findings: Sequence[str]) -> DriftError:
    table = ".".join(place)
    return DriftError(
        "the schema has changed under way:",
        [f"{table}: {finding}" for finding in findings],
        hint="nothing committed after the change is in the files; bring database and schema together (octavo"
        f" schema check), then {RESEED}",
    )
