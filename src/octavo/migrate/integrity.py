"""Whether the records in the files are consistent among themselves: keys, uniques, foreign keys.

Where files and database are equal this follows from the database's own constraints.  Where they are not, the
records are gathered in a temporary SQLite file and asked.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from octavo.layout.reader import File, Reader
from octavo.layout.unfold import Record, Values
from octavo.migrate.closer import scratch
from octavo.migrate.copybinary import CopyBinary
from octavo.migrate.differences import shown_key
from octavo.schema.datamodel import Model, Relation


@dataclass(frozen=True, slots=True)
class Violation:
    """A record that breaks a rule of the schema."""

    model: str
    key: dict[str, Any]
    fields: tuple[str, ...]
    reason: str
    file: str

    def to_dict(self) -> dict[str, Any]:
        """As it stands in a report."""
        return {
            "model": self.model,
            "key": self.key,
            "fields": list(self.fields),
            "reason": self.reason,
            "file": self.file,
        }


class Integrity:
    """Checks the records of a data folder against uniques and foreign keys."""

    def __init__(self, reader: Reader) -> None:
        self.reader, self.layout = reader, reader.layout
        datamodel = self.layout.datamodel
        self.frames = {m.name: CopyBinary(datamodel, m) for m in datamodel.tables}
        self.relations = datamodel.foreign_keys
        targets = {(r.parent, r.references) for r in self.relations}
        self.rules = {m.name: self._rules(m, targets) for m in datamodel.tables}

    def _rules(
        self, model: Model, targets: set[tuple[str, tuple[str, ...]]]
    ) -> tuple[list[tuple[str, list[int]]], list[tuple[int, list[int]]]]:
        """The uniques of a model and the foreign keys that it holds, as positions in a row."""
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
        return keyed, held

    def check(
        self, files: Iterable[File], cache: Path, advance: Callable[[int], None]
    ) -> Iterator[Violation]:
        """Every violation.  Later lines of a log supersede earlier ones."""
        with scratch(cache) as database:
            database.execute(
                "CREATE TABLE records (model, key, slot, file, PRIMARY KEY (model, key)) WITHOUT ROWID"
            )
            database.execute(
                "CREATE TABLE held (model, rule, value, key, PRIMARY KEY (model, rule, key)) WITHOUT ROWID"
            )
            database.execute(
                "CREATE TABLE refs (rule, value, model, key, PRIMARY KEY (rule, model, key)) WITHOUT ROWID"
            )
            database.execute("BEGIN")
            for file in files:
                for item in self.reader.read(file):
                    if isinstance(item, Record):
                        advance(1)
                        self._take(database, file, item)
            database.execute("CREATE INDEX by_value ON held (model, rule, value)")
            yield from self._broken_uniques(database)
            for number, relation in enumerate(self.relations):
                yield from self._orphans(database, number, relation)

    def _take(self, database: sqlite3.Connection, file: File, record: Record) -> None:
        name = record.place.model.name
        host = self.frames[name].key_of(record)
        slot = host.hex()
        if self.layout.embedded(name) or record.deleted:
            self._forget(database, name, host)
        if record.deleted:
            return
        for place, values in ((record.place, record.values), *record.embedded):
            self._put(database, place.model, values, f"{name} {slot}", file.path)

    def _forget(self, database: sqlite3.Connection, host: str, key: bytes) -> None:
        """What an earlier line of this record stood for."""
        slot = f"{host} {key.hex()}"
        for name in (host, *(p.model.name for p in self.layout.embedded(host))):
            for table in ("held", "refs"):
                database.execute(
                    f"DELETE FROM {table} WHERE model = ? AND key IN"
                    " (SELECT key FROM records WHERE model = ? AND slot = ?)",
                    (name, name, slot),
                )
            database.execute("DELETE FROM records WHERE model = ? AND slot = ?", (name, slot))

    def _put(self, database: sqlite3.Connection, model: Model, values: Values, slot: str, file: str) -> None:
        framed = self.frames[model.name]
        key = framed.key(framed.frame(values))
        name = model.name
        database.execute("INSERT OR REPLACE INTO records VALUES (?, ?, ?, ?)", (name, key, slot, file))
        uniques, held = self.rules[name]
        for rule, positions in uniques:
            if (value := _joined(values, positions)) is not None:
                database.execute("INSERT OR REPLACE INTO held VALUES (?, ?, ?, ?)", (name, rule, value, key))
        for number, positions in held:
            if (value := _joined(values, positions)) is not None:
                database.execute(
                    "INSERT OR REPLACE INTO refs VALUES (?, ?, ?, ?)", (number, value, name, key)
                )

    def _broken_uniques(self, database: sqlite3.Connection) -> Iterator[Violation]:
        query = (
            "SELECT h.model, h.rule, h.key, r.file FROM held h JOIN records r USING (model, key)"
            " WHERE (h.model, h.rule, h.value) IN"
            " (SELECT model, rule, value FROM held GROUP BY model, rule, value HAVING count(*) > 1)"
        )
        for name, rule, key, file in database.execute(query):
            fields = tuple(rule.split(","))
            yield self._violation(
                name, key, fields, f"another record has the same {' and '.join(fields)}", file
            )

    def _orphans(self, database: sqlite3.Connection, number: int, relation: Relation) -> Iterator[Violation]:
        parent = self.layout.datamodel.model(relation.parent)
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
            "SELECT refs.key, records.file FROM refs JOIN records USING (model, key)"
            f" WHERE refs.rule = ? AND refs.value NOT IN ({there})"
        )
        for key, file in database.execute(query, (number, *asked)):
            reason = f"its {relation.parent} ({', '.join(relation.fields)}) is not there"
            yield self._violation(relation.child, key, relation.fields, reason, file)

    def _violation(self, name: str, key: bytes, fields: tuple[str, ...], reason: str, file: str) -> Violation:
        framed = self.frames[name]
        return Violation(name, shown_key(framed.model, framed.split_key(key)), fields, reason, file)


def _joined(values: Values, positions: list[int]) -> bytes | None:
    """Values as one key; None if any is NULL, which no rule binds."""
    parts = [values[i] for i in positions]
    if any(v is None for v in parts):
        return None
    return b"".join(len(v).to_bytes(4) + v for v in parts if v is not None)
