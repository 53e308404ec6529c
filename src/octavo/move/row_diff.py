"""The close look at what a tally says is not the same: which records, which fields.

Only the buckets that differ are looked at.  Their rows of both sides go into a temporary SQLite file, so that
memory does not grow with the number of differences.  Where two texts of a field differ, PostgreSQL itself is
asked whether they mean the same (the order of keys in a Json value, white space): what it prints for both is
compared.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg

from octavo.errors import DamagedError
from octavo.inspect.findings import (
    Difference,
    DifferenceKind,
    Differences,
    Texts,
    shown_key,
    shown_value,
)
from octavo.inspect.integrity import scratch
from octavo.inspect.observers import Inspector, Rows
from octavo.inspect.row_hash import CopyBinary, bucket_of
from octavo.layout.layout import Kind, Layout
from octavo.layout.listing import File
from octavo.move.share import Share
from octavo.postgres.copying import CopyOut
from octavo.schema.datamodel import Datamodel, ScalarField
from octavo.schema.ddl import sql_type
from octavo.values.registry import value_type

if TYPE_CHECKING:
    from octavo.postgres.connection import Connection

_BATCH = 200
"""pairs of rows that PostgreSQL is asked about together"""
_TABLES = (
    "CREATE TABLE d (model, key, row, PRIMARY KEY (model, key)) WITHOUT ROWID",
    "CREATE TABLE f (model, key, row, file, line)",
)


class Unread:
    """The records that are there in the files and could not be read: neither present nor missing."""

    def __init__(self, layout: Layout, damage: Iterable[DamagedError]) -> None:
        self.layout = layout
        self.records = {error.host for error in damage if error.host is not None}
        """by model and key, what is embedded in them included"""
        self.parts = {part for error in damage if (part := self._part(error)) is not None}
        """whole files, and arrays of documents"""

    def _part(self, error: DamagedError) -> tuple[str, str] | None:
        family = self.layout.family(error.file)
        if family is None:
            return None
        if family.kind is Kind.FILE or (family.kind.is_log and not error.line):
            return error.file, ""
        if family.kind is not Kind.DOCUMENT:
            return None
        if not error.model:
            return error.file, ""
        if any(p.model.name == error.model and p.array == error.field for p in family.places):
            return error.file, error.model
        return None

    def holds(self, name: str, row: Mapping[str, bytes | None]) -> bool:
        """Whether the record that this row of a model would be in is among them."""
        host, file = self.layout.host(name).model.name, self.file(name, row)
        key = tuple(row[n] or b"" for n in self._host_key(name))
        return (host, key) in self.records or not self.parts.isdisjoint(((file, ""), (file, host)))

    def file(self, name: str, row: Mapping[str, bytes | None]) -> str:
        """The file that the record of this row belongs in; empty where the row of its host tells."""
        place, host = self.layout.place(name), self.layout.host(name)
        if place is not host and host.kind is Kind.LOG_PER_PARENT:
            return ""
        naming = place.name_fields or self._host_key(name)
        return host.file_for([(row[n] or b"").decode() for n in naming])

    def _host_key(self, name: str) -> Sequence[str]:
        """The fields that hold the key of the record that a row is in."""
        place = self.layout.place(name)
        if place.kind is Kind.EMBEDDED and place.relation is not None:
            return place.relation.fields
        return place.model.key.field_names


class CloseLook:
    """Compares the differing buckets of models, record by record.

    ``inspector`` reads the files; ``share`` is what is compared of both sides; ``differing`` names the
    buckets by model; a row whose record is among the ``unread`` is not missing; ``advance`` hears of every
    row read.
    """

    def __init__(
        self,
        connection: Connection,
        inspector: Inspector,
        share: Share,
        differing: Mapping[str, frozenset[int]],
        unread: Unread,
        advance: Callable[[int], None],
    ) -> None:
        self.connection, self.inspector, self.share, self.advance = connection, inspector, share, advance
        self.unread, self.layout = unread, unread.layout
        self.differing = differing
        datamodel = self.layout.datamodel
        self.frames = {name: CopyBinary(datamodel, datamodel.model(name)) for name in differing}

    def compare(self, files: Iterable[File], found: Differences, cache: Path) -> dict[str, int]:
        """Report every difference in these buckets.  Gives, by model, the number of records that the files
        hold in them, superseded ones not counted."""
        with scratch(cache) as database:
            for table in _TABLES:
                database.execute(table)
            database.execute("BEGIN")
            for framed in self.frames.values():
                self._load_database(database, framed)
            self._load_files(database, files)
            database.execute("CREATE INDEX by_key ON f (model, key)")
            for framed in self.frames.values():
                self._report(database, framed, found)
            live = "SELECT model, count(DISTINCT key) FROM f GROUP BY model"
            return dict.fromkeys(self.frames, 0) | dict(database.execute(live))

    def _load_database(self, database: sqlite3.Connection, framed: CopyBinary) -> None:
        name, buckets = framed.model.name, self.differing[framed.model.name]

        def rows() -> Iterator[tuple[str, bytes, bytes]]:
            for row in CopyOut(self.connection, framed.copy_out(self.share.where(framed.model))).rows():
                self.advance(1)
                key = framed.key(row)
                if bucket_of(key) in buckets:
                    yield name, key, row

        database.executemany("INSERT INTO d VALUES (?, ?, ?)", rows())

    def _load_files(self, database: sqlite3.Connection, files: Iterable[File]) -> None:
        concerned = {self.layout.host(name).path for name in self.frames}
        for file in files:
            if file.family.path in concerned:
                # What is damaged has been reported by now.
                self.inspector.observe(file, partial(self._load_rows, database, file.path))

    def _load_rows(self, database: sqlite3.Connection, path: str, name: str, rows: Rows) -> None:
        self.advance(len(rows))
        if (framed := self.frames.get(name)) is None:
            return
        buckets = self.differing[name]
        keyed = ((framed.key(row), row, line) for row, line in ((framed.frame(v), n) for v, n in rows))
        database.executemany(
            "INSERT INTO f VALUES (?, ?, ?, ?, ?)",
            ((name, key, row, path, line) for key, row, line in keyed if bucket_of(key) in buckets),
        )

    def _report(self, database: sqlite3.Connection, framed: CopyBinary, found: Differences) -> None:
        name = framed.model.name
        gone = "SELECT key, row FROM d WHERE model = ? AND key NOT IN (SELECT key FROM f WHERE model = ?)"
        for key, row in database.execute(gone, (name, name)):
            values = framed.split(row)
            if not self.unread.holds(name, values):
                file = self.unread.file(name, values)
                found.add(_difference(framed, key, DifferenceKind.MISSING, file=file))
        extra = (
            "SELECT key, file, line FROM f WHERE model = ? AND key NOT IN (SELECT key FROM d WHERE model = ?)"
            " GROUP BY key"
        )
        for key, file, line in database.execute(extra, (name, name)):
            found.add(_difference(framed, key, DifferenceKind.EXTRA, file=file, line=line))
        twice = (
            "SELECT key, file, line, count(*), group_concat(DISTINCT file) FROM f WHERE model = ?"
            " GROUP BY key HAVING count(*) > 1"
        )
        for key, file, line, number, names in database.execute(twice, (name,)):
            reason = f"{number} records have this key, in {names.replace(',', ', ')}"
            found.add(_difference(framed, key, DifferenceKind.DAMAGED, reason=reason, file=file, line=line))
        changed = (
            "SELECT d.key, d.row, f.row, f.file, f.line FROM d JOIN f USING (model, key)"
            " WHERE model = ? AND d.row <> f.row GROUP BY d.key HAVING count(*) = 1"
        )
        pairs = database.execute(changed, (name,))
        meaning = Meaning(self.connection, self.layout.datamodel, framed)
        while batch := pairs.fetchmany(_BATCH):
            for difference in meaning.differences(batch):
                found.add(difference)


class Meaning:
    """Tells texts that mean the same to PostgreSQL from those that do not."""

    def __init__(self, connection: Connection, datamodel: Datamodel, framed: CopyBinary) -> None:
        self.connection, self.datamodel, self.frames = connection, datamodel, framed

    def differences(self, batch: list[tuple[bytes, bytes, bytes, str, int]]) -> Iterator[Difference]:
        """What is left of pairs of rows (key, the database's, the files', file, line) with other texts."""
        pairs = [(self.frames.split(ours), self.frames.split(theirs)) for _, ours, theirs, *_ in batch]
        unequal: list[set[str]] = [
            {n for n in self.frames.names if ours[n] != theirs[n]} for ours, theirs in pairs
        ]
        for f in self.frames.model.scalars:
            asked = [
                i for i, names in enumerate(unequal) if f.name in names and pairs[i][0][f.name] is not None
            ]
            asked = [i for i in asked if pairs[i][1][f.name] is not None]
            if not value_type(f, self.datamodel).respelled:
                continue
            texts = [pairs[i][1][f.name] or b"" for i in asked]
            for i, printed in zip(asked, self._printed(f, texts), strict=True):
                if printed is not None and printed == pairs[i][0][f.name]:
                    unequal[i].discard(f.name)
        for (key, _, _, file, line), (ours, theirs), names in zip(batch, pairs, unequal, strict=True):
            if names:
                fields = tuple(f.name for f in self.frames.model.scalars if f.name in names)
                public = [n for n in fields if self.frames.model.scalar(n).secret is None]
                yield _difference(
                    self.frames,
                    key,
                    DifferenceKind.DIFFERENT,
                    fields=fields,
                    values={n: Texts(shown_value(ours[n]), shown_value(theirs[n])) for n in public} or None,
                    file=file,
                    line=line,
                )

    def _printed(self, field: ScalarField, texts: list[bytes]) -> list[bytes | None]:
        """What PostgreSQL prints for texts of this field's type; None for one that it does not take."""
        if not texts:
            return []
        kind = sql_type(self.datamodel, field)
        query = (
            f"SELECT (v::{kind})::text FROM unnest(%s::text[]) WITH ORDINALITY AS u(v, n) ORDER BY n"
        ).encode()
        try:
            with self.connection.transaction():
                rows = self.connection.execute(query, [[t.decode() for t in texts]]).fetchall()
            return [row[0].encode() for row in rows]
        except (psycopg.DataError, psycopg.ProgrammingError, UnicodeDecodeError):
            if len(texts) == 1:
                return [None]
            return [one for text in texts for one in self._printed(field, [text])]


def _difference(
    framed: CopyBinary, key: bytes, kind: DifferenceKind, fields: tuple[str, ...] = (), **facts: Any
) -> Difference:
    shown = shown_key(framed.model, framed.split_key(key))
    return Difference(model=framed.model.name, kind=kind, key=shown, fields=fields, **facts)
