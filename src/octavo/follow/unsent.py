"""What PostgreSQL's log does not tell, although it decides which rows there are and which of them are sent.

Altering a table, attaching or detaching a partition, renaming an enum's label, altering the publication: no
message says so.  The catalog does.  A *mark* stands for each of these objects.  It is made of catalog rows
with the number of the transaction that wrote each (``xmin``), so that it also differs after a change that was
taken back.  The marks of the slot's snapshot are those of the files.  They must be the same when transactions
are applied that have been received, so that no position passes such a change.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from itertools import groupby
from operator import itemgetter

from octavo.errors import DriftError
from octavo.follow.tables import RESEED
from octavo.postgres.connection import Connection
from octavo.postgres.failures import database_errors

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
