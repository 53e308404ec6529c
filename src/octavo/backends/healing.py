"""Makes the files equal to PostgreSQL again where they were seen to differ.

Each record that was written down as different is copied from PostgreSQL, as it is now, while nobody can
write; with it go the records that it needs (what it points at, and who holds a unique that is its own now),
and those that referential actions have changed with it.  Where no record was named, or its key is a secret,
the whole model is compared.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from octavo.backends.divergence import Divergence, Keys
from octavo.backends.dual import DualBackend, DualTransaction
from octavo.backends.json import JsonReader
from octavo.errors import OctavoError
from octavo.layout.record import Record
from octavo.query.plan import And, Compare, Condition, Operator, Or, Query, equals
from octavo.query.protocol import Key, Reader
from octavo.store.index import Spec

_PAGE = 1000
"""records of a model that are compared at once"""
_ROUNDS = 10
"""how often records may have to be copied because others were"""


class Healed(NamedTuple):
    """What became of one divergence; ``error``: why it is still there."""

    divergence: Divergence
    copied: int
    error: str


def heal(backend: DualBackend) -> Iterator[Healed]:
    """Heal one divergence after the other.  What the database or the disk refuses is in the answer."""
    done: set[tuple[str, str]] = set()
    for divergence in backend.divergences.open():
        copied, error = 0, ""
        try:
            if not divergence.model:
                backend.files.read(_read_all)
            elif divergence.about not in done:
                copied = _heal(backend, divergence)
            done.add(divergence.about)
            backend.divergences.healed(divergence)
        except OctavoError as failed:
            error = str(failed)
        yield Healed(divergence, copied, error)


def _read_all(reader: JsonReader) -> None:
    """Read every record of the files.  Raises DamagedError, DiskError."""
    for model in reader.vocabulary.datamodel.tables:
        for _ in reader.view.rows(model.name):
            pass


def _heal(backend: DualBackend, divergence: Divergence) -> int:
    """Copy what a divergence is about; how many records that were."""
    with backend.transaction() as transaction:
        copy = _Copy(backend, transaction)
        keys, shown = Keys(transaction.view.rules), divergence.key
        key = None if shown is None else keys.key(divergence.model, shown)
        if key is not None:
            copy.record(divergence.model, key if isinstance(key, tuple) else (key,))
        else:
            copy.model(divergence.model)
        copy.follow()
        return len(copy.done)


class _Copy:
    """Copies records within one transaction, which has PostgreSQL's side for reading alone."""

    def __init__(self, backend: DualBackend, transaction: DualTransaction) -> None:
        self._vocabulary, self._view = backend.vocabulary, transaction.view
        self._database: Reader = transaction.primary
        self._transaction = transaction
        self.done: set[tuple[str, Key]] = set()
        self._seen: set[tuple[str, Key]] = set()

    def record(self, model: str, key: Key) -> None:
        """Make one record what it is in PostgreSQL."""
        if (model, key) in self._seen:
            return
        self._seen.add((model, key))
        there = self._database.find(model, self._vocabulary[model].key, key)
        self._put(model, key, there)

    def _put(self, model: str, key: Key, there: Record | None) -> None:
        if there is not None:
            self._make_room(model, key, there)
        here = self._transaction.on_files(model, key)
        if here == there:
            return
        self.done.add((model, key))
        if there is None:
            self._view.delete([here])  # type: ignore[list-item]
        elif here is None:
            self._view.insert([there])
        else:
            self._view.update([(here, there)])

    def _make_room(self, model: str, key: Key, there: Record) -> None:
        """Copy what a record points at, and what has a unique of it in the files alone."""
        rules = self._view.rules
        for relation in rules.parents[model]:
            values = rules.values_of(Spec(model, relation.fields))(there)
            parts = values if isinstance(values, tuple) else (values,)
            if None in parts or self._view.find(relation.parent, relation.references, values):
                continue
            parent = self._database.find(relation.parent, relation.references, parts)
            if parent is not None:
                self.record(relation.parent, self._vocabulary[relation.parent].key_of(parent))
        for fields in rules.uniques[model]:
            for other in self._view.find(model, fields, rules.values_of(Spec(model, fields))(there)):
                taken = self._vocabulary[model].key_of(other)
                if taken != key:
                    self.record(model, taken)

    def follow(self) -> None:
        """Copy what has changed by referential actions, until nothing differs."""
        for _ in range(_ROUNDS):
            unsettled = list(self._transaction.unsettled())
            self._seen.clear()
            for model, key, _there, _here in unsettled:
                self.record(model, key)
            if not unsettled:
                return

    def model(self, model: str) -> None:
        """Make all records of a model what they are in PostgreSQL."""
        terms = self._vocabulary[model]
        there: set[Key] = set()
        last: Key | None = None
        while True:
            where: Condition = And() if last is None else _behind(terms.key, last)
            page = self._database.select(Query(model=model, where=where, order=terms.key_order, take=_PAGE))
            for record in page:
                there.add(terms.key_of(record))
                if self._transaction.on_files(model, terms.key_of(record)) != record:
                    self.record(model, terms.key_of(record))
            if len(page) < _PAGE:
                break
            last = terms.key_of(page[-1])
        for row in list(self._view.rows(model)):
            if terms.key_of(row) not in there:
                self.record(model, terms.key_of(row))


def _behind(fields: tuple[str, ...], key: Key) -> Condition:
    """The condition that records behind this one fulfil, in the order of their keys."""
    return Or(
        tuple(
            And((equals(fields[:n], key[:n]), Compare(fields[n], Operator.GT, key[n])))
            for n in range(len(fields))
        )
    )
