"""The tables whose rows PostgreSQL sends, and what its log does not tell of them.

A table may be sent with its columns in any order; here rows have the values of a model's scalar fields, in
the schema's order.  A table that was changed under way is told from what it was when following began or went
on, which was then what the schema says: its rows are not taken.  Of a partitioned table the partitions are
sent, each as a table that stores rows of the same model: then it is known which of them was truncated.

Altering a table, attaching or detaching a partition, renaming an enum's label, altering the publication: no
message says so, although it decides which rows there are and which of them are sent.  The catalog does.  A
*mark* stands for each of these objects.  It is made of catalog rows with the number of the transaction that
wrote each (``xmin``), so that it also differs after a change that was taken back.  The marks of the slot's
snapshot are those of the files.  They must be the same when transactions are applied that have been received,
so that no position passes such a change.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

from octavo.errors import DriftError
from octavo.follow.protocol import UNCHANGED, Relation, Tuple
from octavo.layout.layout import Layout
from octavo.postgres.catalog import introspect
from octavo.postgres.connection import Connection
from octavo.postgres.drift import compare
from octavo.postgres.failures import database_errors
from octavo.schema.datamodel import Model
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
            drift = compare(layout.datamodel, introspect(connection, schemas))
            drift.raise_if_any()
            self._stored = {(s.schema, s.name): s for s in stored(connection, url, layout)}
            self._columns = _columns(connection, self._stored.values())
        if generated := drift.live.generated:
            raise DriftError(
                "PostgreSQL's log does not tell the values of generated columns:",
                [
                    f"generated column {model}.{name}"
                    for model, fields in generated.items()
                    for name in fields
                ],
                hint="keep the files in step by DATA_BACKEND=dual instead",
            )

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


Places = Sequence[tuple[str, str]]
"""Schema and name of each table."""
Marks = Mapping[str, str]
"""By what it is and is called, the digest of an object's catalog rows."""

_MARKS = """
    WITH RECURSIVE place AS (
        SELECT c.oid, format('%%s.%%s', p.schema, p.name) AS name
        FROM unnest(%(schemas)s::text[], %(names)s::text[]) AS p(schema, name)
        JOIN pg_catalog.pg_namespace n ON n.nspname = p.schema
        JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = p.name
    ), child AS (
        SELECT i.inhrelid AS oid, i.xmin, place.name AS parent
        FROM place JOIN pg_catalog.pg_inherits i ON i.inhparent = place.oid
      UNION ALL
        SELECT i.inhrelid, i.xmin, child.parent
        FROM child JOIN pg_catalog.pg_inherits i ON i.inhparent = child.oid
    )
    SELECT format('table %%s', place.name),
           concat_ws(' ', place.oid, a.attnum, a.attname, a.atttypid, a.atttypmod, a.xmin)
    FROM place
    JOIN pg_catalog.pg_attribute a ON a.attrelid = place.oid AND a.attnum > 0 AND NOT a.attisdropped
  UNION ALL
    SELECT format('%%s %%s.%%s of %%s', CASE WHEN c.relispartition THEN 'partition' ELSE 'child' END,
                  n.nspname, c.relname, child.parent),
           concat_ws(' ', c.oid, child.xmin)
    FROM child
    JOIN pg_catalog.pg_class c USING (oid)
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  UNION ALL
    SELECT format('enum %%s.%%s', n.nspname, t.typname), concat_ws(' ', t.oid, e.enumlabel, e.xmin)
    FROM pg_catalog.pg_type t
    JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
    JOIN pg_catalog.pg_enum e ON e.enumtypid = t.oid
    WHERE EXISTS (SELECT FROM place JOIN pg_catalog.pg_attribute a ON a.attrelid = place.oid
                  WHERE a.atttypid IN (t.oid, t.typarray))
  UNION ALL
    SELECT format('publication %%s', p.pubname), concat_ws(' ', p.oid, p.xmin, r.oid, r.xmin)
    FROM pg_catalog.pg_publication p LEFT JOIN pg_catalog.pg_publication_rel r ON r.prpubid = p.oid
    WHERE p.pubname = %(publication)s
    ORDER BY 1, 2
"""


def is_under_way(connection: Connection, transactions: Sequence[int]) -> bool:
    """Whether one of these transactions, which have been sent, is not visible yet.

    A transaction is sent when its commit is in the log.  It becomes visible after that, and then gives back
    its locks.  Raises DatabaseError.
    """
    with database_errors(doing="looking at the transactions"):
        row = connection.execute(
            "SELECT EXISTS (SELECT FROM pg_catalog.pg_locks WHERE locktype = 'transactionid'"
            " AND granted AND transactionid = ANY(%s::xid[]))",
            [[str(number) for number in transactions]],
        ).fetchone()
    return bool(row and row[0])


def read_marks(connection: Connection, publication: str, places: Places) -> Marks:
    """The marks of the tables, their partitions and enums, and the publication, as the connection sees them.

    Raises DatabaseError.
    """
    names = {"schemas": [schema for schema, _ in places], "names": [name for _, name in places]}
    with database_errors(doing="looking at the catalog"):
        rows = connection.execute(_MARKS.encode(), {**names, "publication": publication}).fetchall()
    return {
        str(what): hashlib.sha256(repr([facts for _, facts in found]).encode()).hexdigest()
        for what, found in groupby(rows, itemgetter(0))
    }


def require_unchanged(connection: Connection, publication: str, places: Places, known: Marks) -> None:
    """Raise DriftError, which names all that has changed since the marks were read; DatabaseError."""
    found = read_marks(connection, publication, places)
    if found == known:
        return
    if not known:
        raise DriftError(
            "following was begun by an older Octavo, which kept less of the catalog", hint=RESEED
        )
    raise DriftError(
        "the database has changed under way, and PostgreSQL's log does not say what that did to the rows:",
        [
            _change(what, known, found)
            for what in sorted(known.keys() | found)
            if known.get(what) != found.get(what)
        ],
        hint=RESEED,
    )


def _change(what: str, known: Marks, found: Marks) -> str:
    if what not in found:
        return f"{what} is gone"
    if what not in known:
        return f"{what} is new"
    return f"{what} was altered"


def require_published(connection: Connection, publication: str, places: Places) -> None:
    """Make sure that the publication sends all tables, with all rows and columns, and all that happens to
    them.

    Raises DriftError that names what it leaves out, DatabaseError.
    """
    # Row filters and column lists exist since PostgreSQL 15.
    filtered, listed = (
        ("r.prqual IS NOT NULL", "r.prattrs IS NOT NULL")
        if connection.info.server_version >= 150000
        else ("false", "false")
    )
    with database_errors(doing="looking at the publication"):
        options = connection.execute(
            "SELECT pubinsert, pubupdate, pubdelete, pubtruncate FROM pg_catalog.pg_publication"
            " WHERE pubname = %s",
            [publication],
        ).fetchone()
        tables = connection.execute(
            f"SELECT n.nspname, c.relname, {filtered}, {listed} FROM pg_catalog.pg_publication_rel r"
            " JOIN pg_catalog.pg_publication p ON p.oid = r.prpubid"
            " JOIN pg_catalog.pg_class c ON c.oid = r.prrelid"
            " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE p.pubname = %s"
            " ORDER BY 1, 2".encode(),
            [publication],
        ).fetchall()
    if options is None:
        left_out = ["it is gone"]
    else:
        kinds = ("INSERT", "UPDATE", "DELETE", "TRUNCATE")
        left_out = [f"it leaves out {kind}" for kind, on in zip(kinds, options, strict=True) if not on]
        there = {(str(schema), str(name)) for schema, name, *_ in tables}
        left_out += [f"it lacks {'.'.join(place)}" for place in sorted(set(places) - there)]
        left_out += [f"it filters the rows of {schema}.{name}" for schema, name, has, _ in tables if has]
        left_out += [f"it lists columns of {schema}.{name}" for schema, name, _, has in tables if has]
    if left_out:
        raise DriftError(
            f"the publication {publication} does not send all that is written:",
            left_out,
            hint=RESEED,
        )
