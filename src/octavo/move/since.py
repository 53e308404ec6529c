"""What has changed since a verification, and whether both sides are the same there.

A verification has shown that a snapshot of PostgreSQL and the files at a moment were the same.  That first
snapshot is still held, a second one and a second listing were taken; this shows the same for them by looking
at what may have changed:

- every row that a transaction wrote which the first snapshot may not have seen.  Its number is in the row
  (``xmin``), also when it was a subtransaction or was prepared, and also when the row was frozen since.
  What the first snapshot took for running is counted as not seen.
- every record of which a file says something that it did not say before: of a log that has grown, what was
  appended; of any other file that changed, all that it holds, and all that PostgreSQL has of it.

These records are compared, with what is embedded in them, as each side has them now.  Of all others neither
side has a new version: the files say of them what they said, and PostgreSQL has them as it had them, unless
it has deleted them, which leaves no trace in a row.  So the rest is counted: PostgreSQL must have as many
rows outside these records as the first snapshot had outside of them.  A table that was truncated, rewritten
or replaced meanwhile lies in another file of PostgreSQL's; one whose columns were renamed, dropped and added
again, or are computed in another way has other columns.  Nothing is told of either.

What cannot be told so is left open (:class:`Unsure`, :attr:`Since.doubted`): a verification of everything
has to tell it.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from octavo.fold.source import Source
from octavo.inspect.observers import log_places
from octavo.inspect.payloads import digest_of, file_digest
from octavo.inspect.row_hash import framed, parts_of
from octavo.layout.codec import Values
from octavo.layout.found import Entry
from octavo.layout.layout import Kind, Layout, Place
from octavo.layout.listing import File, payload_path
from octavo.move import news
from octavo.move.hosted import Hosted
from octavo.move.listing import Listing
from octavo.move.news import News, Unsure
from octavo.move.originals import State, is_same, originals
from octavo.postgres.connection import Connection
from octavo.postgres.failures import database_errors
from octavo.postgres.session import Window, unseen_since, window
from octavo.schema.datamodel import Model
from octavo.schema.native import quote, table_name
from octavo.store.intake import read_payload
from octavo.store.safe_path import Outside
from octavo.url import DatabaseUrl


class Side(NamedTuple):
    """A snapshot of the database and the files of the same moment."""

    source: Source
    listing: Listing
    counts: Mapping[str, int]
    """rows by model"""
    window: Window
    structure: object
    """what of the database's structure no row tells"""
    originals: Mapping[str, Mapping[str, State]]
    """by model, the files below the files root that its rows name"""


class _Record:
    """A record that may have changed, with what is embedded in it.  Rows are told by sums of digests."""

    __slots__ = ("before", "exists", "files", "home", "now")

    def __init__(self) -> None:
        self.before = self.now = 0
        """the sums of its rows in the first and the second snapshot; 0: there are none"""
        self.exists = False
        """whether the second one has it"""
        self.home = ""
        """the file that it was in, as its row in the first one says"""
        self.files: dict[str, int] = {}
        """by file that says something new of it, the sum of its rows there; 0: it was removed"""


class Since:
    """Compares what may have changed from one side to the next.

    ``doubted`` are files of which the verification has not shown what they hold; afterwards, those of which
    this has not.  With a ``pepper``, secrets of what changed are opened; payloads are held against
    ``files_root``, if it is a folder.  Raises Unsure, DatabaseError.
    """

    def __init__(
        self,
        layout: Layout,
        root: Path,
        sides: tuple[Side, Side],
        doubted: Iterable[str],
        files_root: Path,
        pepper: str | None = None,
    ) -> None:
        self.layout, self.root, self.files_root, self.pepper = layout, root, files_root, pepper
        self.before, self.now = sides
        self.datamodel = layout.datamodel
        self.doubted: set[str] = set()
        self._open_doubts = set(doubted)
        self._hosted = Hosted(layout)
        self._frames = self._hosted.frames
        self._records: dict[str, dict[bytes, _Record]] = {
            p.model.name: {} for p in layout.places if p.kind is not Kind.EMBEDDED
        }
        self._checked: dict[str, bool] = {}
        """payloads by digest, whether they are what it says"""
        self.records = 0
        """those that were looked at"""
        self._look()

    def _look(self) -> None:
        self._require_one_history()
        self._doubt_originals()
        self._news = News(self.layout, self.root, (self.before.listing, self.now.listing), self._open_doubts)
        self._hear_of_rows()
        for file, entry in self._news.entries():
            self._hear_of_entry(file, entry)
        self.doubted |= self._news.doubted
        both = [_opened(self.before), _opened(self.now)]
        for path in sorted(self._news.lost | self._open_doubts):
            for model, key in self._hosted.in_file(both, path):
                self._record(model, key)
        for at_first, side in ((True, self.before), (False, self.now)):
            self._fetch(side, at_first=at_first)
        self._compare()
        self._compare_counts()
        self._compare_logs()
        self._compare_payloads()
        self.doubted.update(self.now.listing.there.missing)

    def _doubt_originals(self) -> None:
        """Where a file below the files root has changed that a record names, the records are read again, and
        held against it."""
        for name, states in self.before.originals.items():
            place = self.layout.place(name)
            named = states.keys() & self.now.originals[name].keys()
            if all(is_same(self.files_root, path, states[path]) for path in named):
                continue
            if "{" in place.path:
                raise Unsure(f"a file below the files root that a record of {name} names has changed")
            self._open_doubts.add(place.path)

    def _require_one_history(self) -> None:
        if self.before.structure != self.now.structure:
            raise Unsure("the database's structure has changed")
        first, now = self.before.window, self.now.window
        if now.next < first.next or now.next - first.first >= 1 << 31:
            raise Unsure("the numbers of PostgreSQL's transactions tell nothing")

    def _record(self, model: str, key: bytes) -> _Record:
        own = self._records[model]
        if (found := own.get(key)) is None:
            found = own[key] = _Record()
            self.records += 1
            if self.records > news.MOST:
                raise Unsure(f"more than {news.MOST:,} records may have changed")
        return found

    # PostgreSQL

    def _rows(self, side: Side, model: str, restriction: str) -> Iterator[bytes]:
        return self._hosted.rows(*_opened(side), model, restriction)

    def _hear_of_rows(self) -> None:
        """Every row that the first snapshot may not have seen."""
        restriction = f" WHERE {unseen_since('t', self.before.window.first)}"
        for name in self._frames:
            host, key_of = self._hosted.host_of(name)
            for row in self._rows(self.now, name, restriction):
                self._record(host, key_of(row))

    def _fetch(self, side: Side, *, at_first: bool) -> None:
        """What a snapshot has of the records: their rows, and how many."""
        counted: Counter[str] = Counter()
        for name in self._frames:
            host, key_of = self._hosted.host_of(name)
            own, home = self._records[host], self._hosted.home_of(self.layout.place(name))
            for row in self._hosted.of_records(*_opened(side), name, own, side.counts[name]):
                if (record := own.get(key_of(row))) is None:
                    continue
                counted[name] += 1
                if at_first:
                    record.before += _digest(name, row)
                    if host == name:
                        record.home = home(row)
                else:
                    record.now += _digest(name, row)
                    record.exists |= host == name
        if at_first:
            self._were = counted
        else:
            self._are = counted

    # The files

    def _hear_of_entry(self, file: File, entry: Entry) -> None:
        record = self._record(entry.codec.name, framed([value or b"" for value in entry.key]))
        if file.path in record.files and not file.family.kind.is_log:
            # Two records have this key.
            self.doubted.add(file.path)
        record.files[file.path] = 0 if entry.deleted else self._sum_of(file.path, entry)

    def _sum_of(self, path: str, entry: Entry) -> int:
        place = entry.place
        if place.payload and not self._has_payload(entry):
            self.doubted.add(path)
        total = 0
        for one, values in ((place, entry.values), *entry.embedded):
            name = one.model.name
            total += _digest(name, self._frames[name].frame(values))
            if self.pepper is not None and not self._opens(one.model, values):
                self.doubted.add(path)
        return total

    def _opens(self, model: Model, values: Values) -> bool:
        if not any(f.secret is not None and f.secret.is_checkable for f in model.scalars):
            return True
        from octavo.crypto import check_record

        texts = (None if value is None else value.decode() for value in values)
        named = dict(zip((f.name for f in model.scalars), texts, strict=True))
        return not check_record(model, named, self.pepper or "")

    def _has_payload(self, entry: Entry) -> bool:
        """Whether a record's payload is what its digest says, in the store and below the files root."""
        digest, place = entry.sha256, entry.place
        if digest is not None and not self._is_sound(digest):
            return False
        at = [f.name for f in place.model.scalars].index(place.payload)
        path = entry.values[at]
        if path is None or not self.files_root.is_dir():
            return True
        try:
            return digest_of(read_payload(self.files_root, path.decode()))[0] == digest
        except (Outside, OSError):
            # A verification reports it, and finds no difference.
            return True

    def _is_sound(self, digest: str) -> bool:
        if digest not in self._checked:
            try:
                found, _ = file_digest(self.root, payload_path(self.layout, digest))
                self._checked[digest] = found == digest
            except OSError:
                self._checked[digest] = False
        return self._checked[digest]

    # Both

    def _compare(self) -> None:
        for record in (record for own in self._records.values() for record in own.values()):
            sums = [total for total in record.files.values() if total]
            if record.before and record.home not in record.files and self._news.is_kept(record.home):
                # What its file says of it was shown, and is the same.
                sums.append(record.before)
            if sums != ([record.now] if record.now else []):
                self.doubted.update(record.files, filter(None, (record.home,)))
                if not (record.files or record.home):
                    raise Unsure("PostgreSQL has records that the files do not have")

    def _compare_counts(self) -> None:
        for name, number in self.before.counts.items():
            if number - self._were[name] != self.now.counts[name] - self._are[name]:
                raise Unsure(f"rows of {name} are gone from PostgreSQL")

    def _compare_logs(self) -> None:
        """Every parent has its log, and every log its parent: as many as there are parents, the new ones and
        those of changed parents among them."""
        there = self.now.listing.there
        for place, parent in log_places(self.layout):
            name, own = parent.model.name, set[str]()
            if len(there.of(place)) != self.now.counts[name]:
                raise Unsure(f"there are not as many logs {place.path} as records of {name}")
            for key, record in self._records[name].items():
                path = place.file_for([part.decode() for part in parts_of(key)])
                own.add(path)
                if record.exists != (there.files.number(path) is not None):
                    self.doubted.add(path)
            for file in self._news.changed:
                is_other = file.path not in own and not self._news.is_kept(file.path)
                if is_other and file.family.path == place.path:
                    self.doubted.add(file.path)

    def _compare_payloads(self) -> None:
        """A payload that is gone, or is not what its digest says any more, may be one that a record names."""
        for path in self.before.listing.changed_payloads(self.now.listing):
            if self.now.listing.payload(path) is None or not self._is_sound(os.path.basename(path)):
                raise Unsure(f"the payload {path} has changed")


def side_of(
    source: Source,
    listing: Listing,
    layout: Layout,
    files_root: Path,
    counts: Mapping[str, int] | None = None,
) -> Side:
    """A side, of what is open.  Raises DatabaseError, Unsure if rows do not tell who wrote them."""
    connection, tables = source.snapshot.connection, layout.datamodel.tables
    with database_errors(source.snapshot.url, "looking at the tables"):
        seen = window(connection)
        stored = connection.execute(_TABLES, [[table_name(model) for model in tables]]).fetchall()
        enums = connection.execute(_ENUMS).fetchall()
        named = {
            place.model.name: [str(path) for (path,) in connection.execute(_named(place)).fetchall()]
            for place in layout.places
            if place.payload
        }
    if seen is None:
        raise Unsure("this server does not tell the numbers of its transactions")
    if any(kind != "p" and (kind, method) != ("r", "heap") for kind, method, *_ in stored):
        raise Unsure("a table is stored in another way than PostgreSQL's own")
    states = {name: originals(files_root, paths) for name, paths in named.items()}
    counted = counts or source.counts(layout.datamodel)
    return Side(source, listing, counted, seen, (stored, enums), states)


def _opened(side: Side) -> tuple[Connection, DatabaseUrl]:
    return side.source.snapshot.connection, side.source.snapshot.url


def _named(place: Place) -> bytes:
    """The statement that tells the paths that rows name."""
    column = quote(place.model.scalar(place.payload).column)
    return (
        f"SELECT DISTINCT {column}::text FROM {table_name(place.model)} WHERE {column} IS NOT NULL".encode()
    )


_TABLES = b"""
    WITH RECURSIVE t AS (
        SELECT u.name, to_regclass(u.name)::oid AS oid FROM unnest(%s::text[]) AS u(name)
      UNION
        SELECT t.name, i.inhrelid FROM t JOIN pg_catalog.pg_inherits i ON i.inhparent = t.oid
    )
    SELECT c.relkind::text, coalesce(a.amname::text, ''), t.name, c.oid::bigint, c.relfilenode::bigint, ARRAY(
        SELECT concat_ws(' ', f.attnum, f.atttypid, f.atttypmod, f.attname, pg_get_expr(d.adbin, d.adrelid))
        FROM pg_catalog.pg_attribute f
        LEFT JOIN pg_catalog.pg_attrdef d ON (d.adrelid, d.adnum) = (f.attrelid, f.attnum)
        WHERE f.attrelid = c.oid AND f.attnum > 0 AND NOT f.attisdropped ORDER BY f.attnum
    )
    FROM t LEFT JOIN pg_catalog.pg_class c USING (oid) LEFT JOIN pg_catalog.pg_am a ON a.oid = c.relam
    ORDER BY t.name, c.oid
"""
_ENUMS = b"SELECT oid::bigint, enumlabel::text FROM pg_catalog.pg_enum ORDER BY 1"


def _digest(model: str, row: bytes) -> int:
    return int.from_bytes(sha256(model.encode() + b"\0" + row).digest())
