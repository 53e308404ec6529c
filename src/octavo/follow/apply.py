"""Brings what transactions come to into the store, together with the position behind them, or not at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from octavo.errors import ConflictError, DivergedError
from octavo.follow.coalesce import Net, NetModel, Row, diverged
from octavo.follow.decode import Decoder
from octavo.follow.protocol import UNCHANGED, Tuple
from octavo.follow.state import Position
from octavo.follow.tables import RESEED
from octavo.layout.layout import Layout
from octavo.layout.record import Record
from octavo.layout.stored import Key
from octavo.store.changeset import ChangeSet, Name
from octavo.store.intake import FilesRoot, PayloadProblem, Unreadable, other_size
from octavo.store.store import Store
from octavo.store.transaction import Transaction

_TRIES = 5
"""how often a commit is tried that somebody's editor has come in the way of"""


class _Plan:
    """What is to be done in one transaction."""

    def __init__(self) -> None:
        self.changes = ChangeSet()
        self.expected: dict[Name, bool] = {}
        """whether the files must have the row"""
        self.payloads: dict[Name, str | None] = {}
        """the digests of those that change"""


class Applier:
    """Applies changes to one store."""

    def __init__(self, store: Store, layout: Layout, decoder: Decoder, files_root: Path) -> None:
        self.store, self._decoder, self._files = store, decoder, FilesRoot(files_root, layout)
        self.missing: dict[Name, PayloadProblem] = {}
        """the rows whose payload could not be had, or is not as the row says"""

    def apply(self, net: Net, position: Position) -> None:
        """Make changes durable, and with them the position.

        Raises DivergedError if the files had not been equal to the database before, DriftError and
        DifferenceError for rows that are not what the schema says, BusyError, DatabaseError, DiskError.
        """
        plan = _Plan()
        for model in net.models.values():
            self._add(model, plan)
        for attempt in range(_TRIES):
            try:
                with self.store.transaction() as tx:
                    if net.models:
                        self._make(tx, net, plan)
                    tx.set_position(position.encode())
                return
            except ConflictError:
                if attempt == _TRIES - 1:
                    raise

    def _make(self, tx: Transaction, net: Net, plan: _Plan) -> None:
        for name, model in net.models.items():
            if model.truncated:
                key_of = tx.rules.codecs[name].key_of
                known = plan.changes.rows.get(name, {})
                for key in [key_of(row) for row in tx.rows(name)]:
                    if key not in known:
                        plan.changes.delete(name, key)
        for (name, key), there in plan.expected.items():
            if (tx.get(name, key) is not None) is not there:
                reason = "lack a row of PostgreSQL" if there else "have a row that PostgreSQL had not"
                raise diverged(net.models[name].table, f"they {reason}")
        for conflict in plan.changes.apply(tx):
            error = conflict.error
            said = f"they refuse what PostgreSQL accepts: {error.says} ({', '.join(error.fields)})"
            raise DivergedError(error.model, "", said, hint=RESEED) from error
        for (model_name, key), digest in plan.payloads.items():
            tx.set_payload(model_name, key, digest)

    def _add(self, net: NetModel, plan: _Plan) -> None:
        """Plan what is to become of one model's rows."""
        name = net.table.model.name
        keys = self._keys(net)
        self._complete(name, net, keys)
        there = [(key, row) for key, row in net.rows.items() if row.values is not None]
        for key, row in net.rows.items():
            if row.values is None:
                plan.changes.delete(name, keys[key])
            if not net.truncated:
                plan.expected[name, keys[key]] = row.was_there
        records = self._decoder.records(name, [_texts(row) for _, row in there])
        for (key, row), record in zip(there, records, strict=True):
            origin = None if row.origin is None else keys[row.origin]
            plan.changes.move(name, origin, keys[key], record)
            if name in self._files.places and not self._keeps_payload(name, record, origin):
                plan.payloads[name, keys[key]] = self._carry(name, record)

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

    def _keeps_payload(self, model: str, record: Record, origin: Key | None) -> bool:
        """Whether a row has a payload, and does not say that it is another now."""
        before = None if origin is None else self._row(model, origin)
        if before is None or self._files.pointed_at(before) != self._files.pointed_at(record):
            return False
        return self.store.read(lambda view: view.payload(model, origin)) is not None

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
