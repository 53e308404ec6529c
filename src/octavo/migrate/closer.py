"""The close look at what a tally says is not the same: which records, which fields.

Only the buckets that differ are looked at.  Their rows of both sides go into a temporary SQLite file, so that
memory does not grow with the number of differences.  Where two texts of a field differ, PostgreSQL itself is
asked whether they mean the same (the order of keys in a Json value, white space): what it prints for both is
compared.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg

from octavo.layout.layout import Kind, Layout
from octavo.layout.reader import File, Reader
from octavo.layout.unfold import Record
from octavo.migrate.copybinary import CopyBinary, frames
from octavo.migrate.differences import (
    Difference,
    DifferenceKind,
    Differences,
    shown_key,
    shown_value,
)
from octavo.migrate.tally import bucket_of
from octavo.schema.datamodel import Datamodel, ScalarField
from octavo.schema.ddl import sql_type

if TYPE_CHECKING:
    from octavo.postgres.connection import Connection

_BATCH = 200
_TABLES = (
    "CREATE TABLE d (model, key, row, PRIMARY KEY (model, key)) WITHOUT ROWID",
    # What stands in one slot (a key of a log, a key inside a key of a log) supersedes what stood there.
    "CREATE TABLE f (model, key, slot, row, file, line, host, PRIMARY KEY (model, key, slot)) WITHOUT ROWID",
    "CREATE TABLE hosts (model, key, line, PRIMARY KEY (model, key)) WITHOUT ROWID",
)


@contextmanager
def scratch(folder: Path) -> Iterator[sqlite3.Connection]:
    """A temporary SQLite database on disk, in ``folder`` if that can be written, gone at the end."""
    try:
        made = tempfile.TemporaryDirectory(dir=folder, prefix="verify-")
    except OSError:
        made = tempfile.TemporaryDirectory(prefix="octavo-verify-")
    with made as path, closing(sqlite3.connect(Path(path) / "rows.sqlite", isolation_level=None)) as database:
        for setting in ("journal_mode=OFF", "synchronous=OFF", "cache_size=-8000", "locking_mode=EXCLUSIVE"):
            database.execute(f"PRAGMA {setting}")
        yield database


class CloseLook:
    """Compares the differing buckets of models, record by record.

    ``differing`` names the buckets by model; ``advance`` hears of every row read.
    """

    def __init__(
        self,
        connection: Connection,
        reader: Reader,
        differing: Mapping[str, frozenset[int]],
        advance: Callable[[int], None],
    ) -> None:
        self.connection, self.reader, self.advance = connection, reader, advance
        self.layout: Layout = reader.layout
        self.differing = differing
        datamodel = self.layout.datamodel
        self.frames = {name: CopyBinary(datamodel, datamodel.model(name)) for name in differing}
        hosts = (self.layout.host(name).model for name in differing)
        self._hosts = {model.name: CopyBinary(datamodel, model) for model in hosts}

    def compare(
        self, files: Iterable[File], found: Differences, cache: Path, told: Container[tuple[str, bytes]] = ()
    ) -> dict[str, int]:
        """Report every difference in these buckets.  Gives, by model, the number of records that the files
        hold in them, superseded ones not counted.

        ``told`` holds the models and keys of records that are known to be damaged: they are not missing.
        """
        with scratch(cache) as database:
            for table in _TABLES:
                database.execute(table)
            database.execute("BEGIN")
            for framed in self.frames.values():
                self._load_database(database, framed)
            self._load_files(database, files)
            self._drop_superseded(database)
            for framed in self.frames.values():
                self._report(database, framed, found, told)
            live = "SELECT model, count(DISTINCT key) FROM f GROUP BY model"
            return dict.fromkeys(self.frames, 0) | dict(database.execute(live))

    def _load_database(self, database: sqlite3.Connection, framed: CopyBinary) -> None:
        name, buckets = framed.model.name, self.differing[framed.model.name]

        def rows() -> Iterator[tuple[str, bytes, bytes]]:
            with self.connection.cursor() as cursor, cursor.copy(framed.copy_out()) as copy:
                for row in frames(copy):
                    self.advance(1)
                    key = framed.key(row)
                    if bucket_of(key) in buckets:
                        yield name, key, row

        database.executemany("INSERT INTO d VALUES (?, ?, ?)", rows())

    def _load_files(self, database: sqlite3.Connection, files: Iterable[File]) -> None:
        concerned = {self.layout.host(name).path for name in self.frames}
        put = "INSERT OR REPLACE INTO f VALUES (?, ?, ?, ?, ?, ?, ?)"
        for file in files:
            if file.family.path not in concerned:
                continue
            for number, item in enumerate(self.reader.read(file)):
                if isinstance(item, Record) and item.place.model.name in self._hosts:
                    self.advance(1)
                    if item.deleted or item.embedded:
                        self._note_host(database, item)
                    for row in self._rows(file, item, number):
                        database.execute(put, row)

    def _rows(self, file: File, record: Record, number: int) -> Iterator[tuple[Any, ...]]:
        """What of a record is to be looked at, with the slot that it takes."""
        in_log = record.place.kind.is_log
        slot = file.path if in_log else f"{file.path} {number}"
        host = self._hosts[record.place.model.name].key_of(record)
        if record.deleted:
            return
        for place, values in ((record.place, record.values), *record.embedded):
            framed = self.frames.get(place.model.name)
            if framed is None:
                continue
            row = framed.frame(values)
            key = framed.key(row)
            if bucket_of(key) in self.differing[place.model.name]:
                inside = host if place is not record.place else b""
                where = slot if place is record.place else f"{slot} {host.hex()}"
                yield place.model.name, key, where, row, file.path, record.line, inside

    def _note_host(self, database: sqlite3.Connection, record: Record) -> None:
        """Remember where a record of a log stands last: what an earlier line embeds is gone."""
        if record.place.kind.is_log:
            line = -1 if record.deleted else record.line
            name = record.place.model.name
            key = self._hosts[name].key_of(record)
            database.execute("INSERT OR REPLACE INTO hosts VALUES (?, ?, ?)", (name, key, line))
            if record.deleted and name in self.frames:
                database.execute("DELETE FROM f WHERE model = ? AND key = ?", (name, key))

    def _drop_superseded(self, database: sqlite3.Connection) -> None:
        for name in self.frames:
            place = self.layout.place(name)
            if place.kind is Kind.EMBEDDED and self.layout.host(name).kind.is_log:
                database.execute(
                    "DELETE FROM f WHERE model = ? AND line <>"
                    " (SELECT line FROM hosts WHERE hosts.model = ? AND hosts.key = f.host)",
                    (name, self.layout.host(name).model.name),
                )

    def _report(
        self,
        database: sqlite3.Connection,
        framed: CopyBinary,
        found: Differences,
        told: Container[tuple[str, bytes]],
    ) -> None:
        name = framed.model.name
        gone = "SELECT key FROM d WHERE model = ? AND key NOT IN (SELECT key FROM f WHERE model = ?)"
        for (key,) in database.execute(gone, (name, name)):
            if (name, key) not in told:
                found.add(_difference(framed, key, DifferenceKind.MISSING))
        extra = (
            "SELECT key, file, line FROM f WHERE model = ? AND key NOT IN (SELECT key FROM d WHERE model = ?)"
            " GROUP BY key"
        )
        for key, file, line in database.execute(extra, (name, name)):
            found.add(_difference(framed, key, DifferenceKind.EXTRA, file=file, line=line))
        twice = (
            "SELECT key, file, line, group_concat(file, ', ') FROM f WHERE model = ?"
            " GROUP BY key HAVING count(*) > 1"
        )
        for key, file, line, files in database.execute(twice, (name,)):
            reason = f"{len(files.split(', '))} records have this key, in {files}"
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
            if f.type == "String" and not f.is_list and f.native is None:
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
                    values={n: (shown_value(ours[n]), shown_value(theirs[n])) for n in public},
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


def _difference(framed: CopyBinary, key: bytes, kind: DifferenceKind, **facts: Any) -> Difference:
    shown = shown_key(framed.model, framed.split_key(key))
    return Difference(model=framed.model.name, kind=kind, key=shown, **facts)
