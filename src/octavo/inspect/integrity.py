"""Whether the records in the files are consistent among themselves: keys, uniques, foreign keys.

Where files and database are equal this follows from the database's own constraints.  Where they are not, the
records are gathered in a temporary SQLite file and asked.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from enum import Enum, auto
from functools import partial
from pathlib import Path
from typing import Any

from octavo.errors import DiskError
from octavo.inspect.findings import shown_key
from octavo.inspect.observers import Inspector, Observer, Rows
from octavo.inspect.row_hash import CopyBinary
from octavo.layout.codec import Values
from octavo.layout.layout import Layout
from octavo.layout.listing import File
from octavo.schema.datamodel import Datamodel, Model, Relation
from octavo.store import disk

_OF_THE_DISK = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)
"""what SQLite says, in the last byte of its error code, when the disk has no room or fails"""
_PREFIX = "verify-"


@contextmanager
def scratch(folder: Path) -> Iterator[sqlite3.Connection]:
    """A temporary SQLite database on disk, in ``folder`` if that can be written, gone at the end.

    Raises DiskError if the disk fails it, or has no room for it.
    """
    while True:
        # Locked, it tells other processes that this one is alive; before that, one may have swept it.
        with _folder(folder) as path, disk.unlocked_folder(Path(path)) as is_own:
            if is_own:
                with _opened(Path(path)) as database:
                    yield database
                return


def _folder(folder: Path) -> tempfile.TemporaryDirectory[str]:
    try:
        return tempfile.TemporaryDirectory(dir=folder, prefix=_PREFIX)
    except OSError:
        return tempfile.TemporaryDirectory(prefix=f"octavo-{_PREFIX}")


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path / "rows.sqlite", isolation_level=None)) as database:
        for setting in ("journal_mode=OFF", "synchronous=OFF", "cache_size=-8000", "locking_mode=EXCLUSIVE"):
            database.execute(f"PRAGMA {setting}")
        try:
            yield database
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF not in _OF_THE_DISK:
                raise
            raise DiskError(f"comparing in a temporary file: {error}", path=str(path)) from error


def sweep(folder: Path) -> None:
    """Remove scratch space that killed processes have left."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(_PREFIX) and entry.is_dir(follow_symlinks=False):
                with disk.unlocked_folder(Path(entry.path)) as is_left:
                    if is_left:
                        shutil.rmtree(entry.path, ignore_errors=True)


_AT_ONCE = 2000


class Rule(Enum):
    """What a record can break."""

    KEY = auto()
    UNIQUE = auto()
    REFERENCE = auto()
    ORPHAN = auto()
    """no rule: a reference to nothing, where the schema has the client keep references"""


@dataclass(frozen=True, slots=True)
class Violation:
    """A record that breaks a rule of the schema."""

    rule: Rule
    model: str
    key: dict[str, Any]
    fields: tuple[str, ...]
    reason: str
    file: str
    line: int = 0

    def to_dict(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "key": self.key,
            "fields": list(self.fields),
            "reason": self.reason,
            "file": self.file,
            "line": self.line,
        }

    def __str__(self) -> str:
        key = ", ".join(str(value) for value in self.key.values())
        return f"{self.file}{f':{self.line}' if self.line else ''}: {self.model} {key}: {self.reason}"


def violations(
    layout: Layout, root: Path, files: Iterable[File], advance: Callable[[int], None], *, keys: bool = False
) -> Iterator[Violation]:
    """Every violation among the records of files that count.  With ``keys``, also of two with one key."""
    with gathering(layout, root / "cache") as gathered:
        inspector = Inspector(layout, root)
        for file in files:
            put = gathered.visit(file.path)

            def observe(name: str, rows: Rows, put: Observer = put) -> None:
                put(name, rows)
                advance(len(rows))

            inspector.observe(file, observe)
        yield from gathered.violations(keys=keys)


@contextmanager
def gathering(layout: Layout, cache: Path) -> Iterator[Gathered]:
    """Gather records in a scratch file below ``cache``, or elsewhere if that cannot be written."""
    with scratch(cache) as database:
        yield Gathered(layout.datamodel, database)


class Gathered:
    """The records of files, to be asked for violations when they are all there.

    A file may be visited again: what it gave before then no longer counts.
    """

    def __init__(self, datamodel: Datamodel, database: sqlite3.Connection) -> None:
        self.datamodel, self.database, self.relations = datamodel, database, datamodel.foreign_keys
        targets = {(r.parent, r.references) for r in self.relations}
        self._rules = {m.name: self._rules_of(m, targets) for m in datamodel.tables}
        self._files: list[str] = []
        self._visits: dict[str, int] = {}
        self._unread: set[str] = set()
        self._records: list[tuple[Any, ...]] = []
        self._held: list[tuple[Any, ...]] = []
        self._refs: list[tuple[Any, ...]] = []
        """what is still to be put into the tables"""
        database.execute("CREATE TABLE records (model, key, visit, line)")
        database.execute("CREATE TABLE held (model, rule, value, key, visit, line)")
        database.execute("CREATE TABLE refs (rule, value, key, visit, line)")
        database.execute("CREATE TABLE unread (model, key)")
        database.execute("CREATE TABLE visits (number INTEGER PRIMARY KEY)")
        database.execute("BEGIN")

    def _rules_of(
        self, model: Model, targets: set[tuple[str, tuple[str, ...]]]
    ) -> tuple[list[int], list[tuple[str, list[int]]], list[tuple[int, list[int]]]]:
        """The key of a model, its uniques and the foreign keys that it holds, as positions in a row."""
        names = [f.name for f in model.scalars]
        uniques = {u.field_names for u in model.uniques}
        uniques |= {fields for parent, fields in targets if parent == model.name}
        uniques.discard(model.key.field_names)
        keyed = [(",".join(fields), [names.index(n) for n in fields]) for fields in sorted(uniques)]
        held = [
            (number, [names.index(n) for n in relation.fields])
            for number, relation in enumerate(self.relations)
            if relation.child == model.name
        ]
        return [names.index(n) for n in model.key.field_names], keyed, held

    def visit(self, file: str) -> Observer:
        """Begin to read a file; what takes in its rows is given."""
        self._visits[file] = len(self._files)
        self._files.append(file)
        return partial(self._put, self._visits[file])

    def forget(self, file: str) -> None:
        """A file is gone, with all its records."""
        self._visits.pop(file, None)

    def unread(self, model: str, key: Sequence[bytes] | None) -> None:
        """A record that is there cannot be read: what points at it is sound.  ``key``: None if it is unknown,
        so that nothing can be said about what points at this model."""
        if key is None:
            self._unread.add(model)
        else:
            self.database.execute("INSERT INTO unread VALUES (?, ?)", (model, _framed(key)))

    @property
    def unchecked(self) -> list[Relation]:
        """The foreign keys that cannot be checked, as what they point at cannot be read."""
        return [r for r in self.relations if r.parent in self._unread]

    def violations(self, *, keys: bool = False) -> Iterator[Violation]:
        """Every violation.  With ``keys``, also of two records with one key.  To be asked once."""
        self._flush()
        if len(self._visits) < len(self._files):
            self.database.executemany("INSERT INTO visits VALUES (?)", ((n,) for n in self._visits.values()))
            for table in ("records", "held", "refs"):
                self.database.execute(f"DELETE FROM {table} WHERE visit NOT IN (SELECT number FROM visits)")
        self.database.execute("CREATE INDEX by_key ON records (model, key)")
        self.database.execute("CREATE INDEX by_value ON held (model, rule, value)")
        if keys:
            yield from self._same_keys()
        yield from self._broken_uniques()
        for number, relation in enumerate(self.relations):
            if relation.parent not in self._unread:
                yield from self._orphans(number, relation)

    def _put(self, visit: int, name: str, rows: Rows) -> None:
        own, uniques, held = self._rules[name]
        for values, line in rows:
            key = _joined(values, own)
            self._records.append((name, key, visit, line))
            for rule, positions in uniques:
                if (value := _joined(values, positions)) is not None:
                    self._held.append((name, rule, value, key, visit, line))
            for number, positions in held:
                if (value := _joined(values, positions)) is not None:
                    self._refs.append((number, value, key, visit, line))
        if len(self._records) > _AT_ONCE:
            self._flush()

    def _flush(self) -> None:
        for table, rows in (("records", self._records), ("held", self._held), ("refs", self._refs)):
            if rows:
                marks = ", ".join("?" * len(rows[0]))
                self.database.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)
                rows.clear()

    def _same_keys(self) -> Iterator[Violation]:
        query = "SELECT model, key, visit, line FROM records GROUP BY model, key HAVING count(*) > 1"
        for name, key, *where in self.database.execute(query):
            fields = self.datamodel.model(name).key.field_names
            yield self._violation(Rule.KEY, (name, key), fields, "another record has this key", where)

    def _broken_uniques(self) -> Iterator[Violation]:
        query = (
            "SELECT model, rule, key, visit, line FROM held WHERE (model, rule, value) IN"
            " (SELECT model, rule, value FROM held GROUP BY 1, 2, 3 HAVING count(DISTINCT key) > 1)"
        )
        for name, rule, key, *where in self.database.execute(query):
            fields = tuple(rule.split(","))
            reason = f"another record has the same {' and '.join(fields)}"
            yield self._violation(Rule.UNIQUE, (name, key), fields, reason, where)

    def _orphans(self, number: int, relation: Relation) -> Iterator[Violation]:
        parent = self.datamodel.model(relation.parent)
        rule = Rule.REFERENCE if self.datamodel.held_keys else Rule.ORPHAN
        by_key = relation.references == parent.key.field_names
        there = (
            "SELECT key FROM records WHERE model = ?"
            if by_key
            else "SELECT value FROM held WHERE model = ? AND rule = ?"
        )
        asked: tuple[Any, ...] = (
            (relation.parent,) if by_key else (relation.parent, ",".join(relation.references))
        )
        query = (
            f"SELECT key, visit, line FROM refs WHERE rule = ? AND value NOT IN ({there})"
            " AND value NOT IN (SELECT key FROM unread WHERE model = ?)"
        )
        for key, *where in self.database.execute(query, (number, *asked, relation.parent)):
            reason = f"its {relation.parent} ({', '.join(relation.fields)}) is not there"
            yield self._violation(rule, (relation.child, key), relation.fields, reason, where)

    def _violation(
        self,
        rule: Rule,
        record: tuple[str, bytes],
        fields: tuple[str, ...],
        reason: str,
        where: Sequence[int],
    ) -> Violation:
        name, key = record
        model, (visit, line) = self.datamodel.model(name), where
        shown = shown_key(model, CopyBinary(self.datamodel, model).split_key(key))
        return Violation(rule, name, shown, fields, reason, self._files[visit], line)


def _joined(values: Values, positions: list[int]) -> bytes | None:
    """Values as one key; None if any is NULL, which no rule binds."""
    joined = b""
    for position in positions:
        if (value := values[position]) is None:
            return None
        joined += len(value).to_bytes(4) + value
    return joined


def _framed(parts: Sequence[bytes]) -> bytes:
    return b"".join(len(v).to_bytes(4) + v for v in parts)
