"""Makes rows of the files what they are in PostgreSQL.

Rows are set as they are there, with deferred constraints (:mod:`octavo.store.changeset`).  A constraint that
does not hold then shows that the files differ in yet another row, which is copied too.  So it goes on until
nothing is left; then the files keep the constraints as PostgreSQL does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from octavo.errors import DifferenceError
from octavo.layout.keys import Key, as_tuple
from octavo.layout.record import Record, model_of
from octavo.query.paging import pages
from octavo.query.plan import Query, one_of
from octavo.query.protocols import Reader
from octavo.query.vocabulary import Vocabulary
from octavo.store.changeset import ChangeSet, Conflict, Name
from octavo.store.index import Spec
from octavo.store.rules import Rules
from octavo.store.view import Writable

_AT_ONCE = 500
"""records that PostgreSQL is asked for in one statement"""


class Copy:
    """Copies rows from one state of PostgreSQL within one transaction of the store."""

    def __init__(self, vocabulary: Vocabulary, view: Writable, database: Reader) -> None:
        self._vocabulary, self._view, self._database = vocabulary, view, database
        self._seen: set[Name] = set()
        self.done: set[Name] = set()
        """the rows that were something else, or not there, or are gone now"""

    def records(self, names: Iterable[Name]) -> None:
        """Make these rows what they are in PostgreSQL, and with them all that would not fit otherwise.

        Raises DifferenceError if PostgreSQL has a row without the one in whose record it is embedded.
        """
        wave = self._new(names)
        homeless: list[Conflict] = []
        while wave:
            conflicts = self._wanted(wave).apply(self._view, thoroughly=True)
            wave = self._new(name for conflict in conflicts for name in self._about(conflict))
            homeless += [conflict for conflict in conflicts if self._is_homeless(conflict)]
        for conflict in homeless:
            if self._is_homeless(conflict):
                model = conflict.error.model
                raise DifferenceError(f"{model}: the database has a record whose parent is not there")

    def _is_homeless(self, conflict: Conflict) -> bool:
        """Whether a row is embedded in one that is not there."""
        rules, relation, row = self._view.rules, conflict.relation, conflict.row
        if relation is None or row is None or not rules.is_embedding(relation):
            return False
        return self._view.lacks_parent(relation, rules.values_of(Spec(relation.child, relation.fields))(row))

    def model(self, model: str) -> None:
        """Make all rows of a model what they are in PostgreSQL."""
        here = {self._key(row): row for row in self._view.rows(model)}
        different: list[Name] = []
        for page in pages(self._database, self._vocabulary[model]):
            for record in page:
                key = self._key(record)
                if here.pop(key, None) != record:
                    different.append((model, key))
        self.records([*different, *((model, key) for key in here)])

    def _wanted(self, names: Iterable[Name]) -> ChangeSet:
        """What these rows are in PostgreSQL, as far as they are something else here."""
        changes = ChangeSet()
        for (model, key), here, wanted in differences(self._vocabulary, self._view, self._database, names):
            self.done.add((model, key))
            if wanted is None:
                changes.delete(model, key if here is None else self._key(here))
            else:
                # Equal keys may be spelled in two ways.
                changes.move(model, None if here is None else self._key(here), self._key(wanted), wanted)
        return changes

    def _new(self, names: Iterable[Name]) -> list[Name]:
        new = [name for name in dict.fromkeys(names) if name not in self._seen]
        self._seen.update(new)
        return new

    def _key(self, row: Record) -> Key:
        key: Key = self._view.rules.codecs[model_of(row).name].key_of(row)
        return key

    def _about(self, conflict: Conflict) -> Iterator[Name]:
        """The rows because of which a constraint may not hold."""
        yield from conflict.others
        relation, row = conflict.relation, conflict.row
        if relation is not None and row is not None:
            values = self._view.rules.values_of(Spec(relation.child, relation.fields))(row)
            parent = self._database.find(relation.parent, relation.references, as_tuple(values))
            if parent is not None:
                yield relation.parent, self._key(parent)


def differences(
    vocabulary: Vocabulary, view: Writable, database: Reader, names: Iterable[Name]
) -> Iterator[tuple[Name, Record | None, Record | None]]:
    """Those of some rows that differ: as the files have them, and as PostgreSQL does."""
    by_model: dict[str, list[Key]] = {}
    for model, key in names:
        by_model.setdefault(model, []).append(key)
    for model, keys in by_model.items():
        found = _in_database(vocabulary, view.rules, database, model, keys)
        for key in keys:
            here, there = view.get(model, key), found.get(key)
            if here != there:
                yield (model, key), here, there


def _in_database(
    vocabulary: Vocabulary, rules: Rules, database: Reader, model: str, keys: Sequence[Key]
) -> dict[Key, Record]:
    fields = vocabulary[model].key
    if not rules.loose(model).isdisjoint(fields):
        # What it finds may be spelled in another way than it was asked for.
        one_by_one = ((key, database.find(model, fields, as_tuple(key))) for key in keys)
        return {key: record for key, record in one_by_one if record is not None}
    key_of = rules.codecs[model].key_of
    found: dict[Key, Record] = {}
    for start in range(0, len(keys), _AT_ONCE):
        where = one_of(fields, [as_tuple(key) for key in keys[start : start + _AT_ONCE]])
        found |= {key_of(record): record for record in database.select(Query(model=model, where=where))}
    return found
