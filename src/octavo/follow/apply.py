"""Brings what transactions come to into the store, together with the position behind them, or not at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from octavo.errors import ConflictError, ConstraintError, DivergedError
from octavo.follow.coalesce import Net, NetModel, Row, diverged
from octavo.follow.decode import Decoder
from octavo.follow.protocol import UNCHANGED, Tuple
from octavo.follow.state import Position
from octavo.follow.tables import RESEED
from octavo.layout.layout import Layout
from octavo.layout.record import Record
from octavo.layout.stored import Key
from octavo.store.intake import FilesRoot, PayloadProblem, Unreadable, other_size
from octavo.store.replay import ModelChanges, Put, Replay
from octavo.store.store import Store
from octavo.store.transaction import Transaction

_TRIES = 5
"""how often a commit is tried that somebody's editor has come in the way of"""


class Plan(NamedTuple):
    """What is to become of one model's rows."""

    net: NetModel
    changes: ModelChanges
    expected: dict[Key, bool]
    """by key, whether the files must have a row"""


class Applier:
    """Applies changes to one store."""

    def __init__(self, store: Store, layout: Layout, decoder: Decoder, files_root: Path) -> None:
        self.store, self._decoder, self._files = store, decoder, FilesRoot(files_root, layout)
        self.missing: dict[tuple[str, Key], PayloadProblem] = {}
        """the rows whose payload could not be had, or is not as the row says"""

    def apply(self, net: Net, position: Position) -> None:
        """Make changes durable, and with them the position.

        Raises DivergedError if the files had not been equal to the database before, DriftError and
        DifferenceError for rows that are not what the schema says, BusyError, DatabaseError, DiskError.
        """
        plans = {name: self._plan(model) for name, model in net.models.items()}
        for attempt in range(_TRIES):
            try:
                with self.store.transaction() as tx:
                    if plans:
                        self._replay(tx, plans)
                    tx.set_position(position.encode())
                return
            except ConflictError:
                if attempt == _TRIES - 1:
                    raise

    def _replay(self, tx: Transaction, plans: Mapping[str, Plan]) -> None:
        changes = {}
        for name, plan in plans.items():
            made = ModelChanges(set(plan.changes.gone), plan.changes.puts)
            if plan.net.truncated:
                key_of = tx.rules.codecs[name].key_of
                made.gone |= {key_of(row) for row in tx.rows(name)}
            for key, there in plan.expected.items():
                if (tx.get(name, key) is not None) is not there:
                    reason = "lack a row of PostgreSQL" if there else "have a row that PostgreSQL had not"
                    raise diverged(plan.net.table, f"they {reason}")
            changes[name] = made
        try:
            Replay(tx).run(changes)
        except ConstraintError as error:
            said = f"they refuse what PostgreSQL accepts: {error.says} ({', '.join(error.fields)})"
            raise DivergedError(error.model, "", said, hint=RESEED) from error

    def _plan(self, net: NetModel) -> Plan:
        name = net.table.model.name
        keys = self._keys(net)
        self._complete(name, net, keys)
        there = [row for row in net.rows.values() if row.values is not None]
        records = self._decoder.records(name, [_texts(row) for row in there])
        changes = ModelChanges()
        for key, row in net.rows.items():
            if row.values is None or row.origin != key:
                changes.gone.add(keys[key])
        for row, record in zip(there, records, strict=True):
            origin = None if row.origin is None else keys[row.origin]
            changes.puts.append(Put(record, origin, self._payload(name, record, origin)))
        expected = {} if net.truncated else {keys[key]: row.was_there for key, row in net.rows.items()}
        return Plan(net, changes, expected)

    def _keys(self, net: NetModel) -> dict[Tuple, Key]:
        """The stored form of every key that is named."""
        texts = list(
            dict.fromkeys([*net.rows, *(r.origin for r in net.rows.values() if r.origin is not None)])
        )
        stored = self._decoder.keys(net.table.model.name, [_sent(key) for key in texts])
        return dict(zip(texts, stored, strict=True))

    def _complete(self, name: str, net: NetModel, keys: Mapping[Tuple, Key]) -> None:
        """Take from the files what was not sent, since it was not changed."""
        for row in net.rows.values():
            if row.is_partial and row.values is not None and row.origin is not None:
                record = self._row(name, keys[row.origin])
                if record is None:
                    raise diverged(net.table, "they lack a row of PostgreSQL")
                known = self._decoder.texts(record)
                row.values = tuple(
                    new if new is None or isinstance(new, bytes) else old
                    for new, old in zip(row.values, known, strict=True)
                )

    def _row(self, model: str, key: Key) -> Record | None:
        return self.store.read(lambda view: view.get(model, key))

    # Payloads

    def _payload(self, model: str, record: Record, origin: Key | None) -> str | None:
        """The digest of a row's payload: the one that it had, unless the row says that it is another now."""
        if model not in self._files.places:
            return None
        before = None if origin is None else self._row(model, origin)
        if before is not None and self._files.pointed_at(before) == self._files.pointed_at(record):
            kept = self.store.read(lambda view: view.payload(model, origin))
            if kept is not None:
                return kept
        return self._carry(model, record)

    def _carry(self, model: str, record: Record) -> str | None:
        """Copy a row's payload from the files root; its digest, if it can be had."""
        key = self.store.rules.codecs[model].key_of(record)
        self.missing.pop((model, key), None)
        path, size = self._files.pointed_at(record)
        if path is None:
            return None
        try:
            digest, found = self._files.take(self.store, path)
        except Unreadable as error:
            self.missing[model, key] = PayloadProblem(model, _shown(key), path, error.reason, kept=False)
            return None
        if size is not None and size != found:
            self.missing[model, key] = other_size(model, _shown(key), path, size, found)
        return digest

    def carry_missing(self) -> None:
        """Look again for payloads that were not there when their rows came: an application may write the row
        first."""
        for (model, key), problem in list(self.missing.items()):
            if problem.kept:
                continue
            record = self._row(model, key)
            if record is None:
                del self.missing[model, key]
                continue
            digest = self._carry(model, record)
            if digest is not None:
                with self.store.transaction() as tx:
                    tx.set_payload(model, key, digest)

    def find_missing(self) -> None:
        """Note the rows that have no payload, of all that the files have."""
        for model, place in self._files.places.items():
            self._find_missing(model, place.payload)

    def _find_missing(self, model: str, payload: str) -> None:
        key_of = self.store.rules.codecs[model].key_of

        def without(view: Any) -> list[tuple[Key, str]]:
            rows = [(key_of(row), getattr(row, payload)) for row in view.rows(model)]
            return [(k, p) for k, p in rows if p is not None and view.payload(model, k) is None]

        for key, path in self.store.read(without):
            self.missing[model, key] = PayloadProblem(model, _shown(key), path, "is missing", kept=False)


def _sent(values: Tuple) -> Sequence[bytes | None]:
    """The values of a row or key that is complete."""
    if UNCHANGED in values:
        raise AssertionError("a value is neither sent nor completed")
    return [value for value in values if value is not UNCHANGED]


def _texts(row: Row) -> Sequence[bytes | None]:
    return _sent(row.values or ())


def _shown(key: Key) -> str:
    return ", ".join(map(str, key)) if isinstance(key, tuple) else str(key)
