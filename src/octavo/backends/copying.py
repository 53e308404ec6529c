"""Makes records of the files what they are in PostgreSQL.

A record is put as it is there, with no constraint looked at: two may have swapped a unique, so that no order
of changes would do.  What does not fit together then (a foreign key that points at nothing, a unique that two
records have) shows that the files differ in yet another record, which is copied too.  So it goes on until
nothing is left; then the files keep the constraints as PostgreSQL does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

from octavo.backends.keys import in_query, in_store
from octavo.errors import DifferenceError
from octavo.layout.layout import Kind
from octavo.layout.record import Record
from octavo.query.paging import pages
from octavo.query.plan import Query, one_of
from octavo.query.protocol import Key, Reader
from octavo.query.vocabulary import Vocabulary
from octavo.schema.datamodel import Relation
from octavo.store.index import Spec
from octavo.store.integrity import Writable

Name: TypeAlias = tuple[str, Key]
"""What tells a record: its model and key"""

_AT_ONCE = 500
"""records that PostgreSQL is asked for in one statement"""


class Copy:
    """Copies records from one state of PostgreSQL within one transaction of the store."""

    def __init__(self, vocabulary: Vocabulary, view: Writable, database: Reader) -> None:
        self._vocabulary, self._view, self._database = vocabulary, view, database
        self._seen: set[Name] = set()
        self._homeless: set[Name] = set()
        """records that were to be embedded in what was not there yet"""
        self.done: set[Name] = set()
        """the records that were something else, or not there, or are gone now"""

    def records(self, names: Iterable[Name]) -> None:
        """Make these records what they are in PostgreSQL, and with them all that would not fit otherwise.

        Raises DifferenceError if PostgreSQL has a record without the one that it belongs to.
        """
        wave = self._new(names)
        while wave:
            next_wave: list[Name] = []
            put: list[tuple[str, Record]] = []
            for model, keys in self._by_model(wave):
                there = self._there(model, keys)
                for key in keys:
                    here, wanted = self.here(model, key), there.get(key)
                    if here == wanted:
                        continue
                    next_wave += self._left_alone(model, here, wanted)
                    if self._view.put(here, wanted):
                        self.done.add((model, key))
                        put += () if wanted is None else ((model, wanted),)
                    else:
                        next_wave += self._home(model, key, wanted)
            for model, record in put:
                next_wave += self._missing(model, record)
                next_wave += self._rivals(model, record)
            wave = self._new(next_wave)

    def model(self, model: str) -> None:
        """Make all records of a model what they are in PostgreSQL."""
        terms = self._vocabulary[model]
        here = {terms.key_of(row): row for row in self._view.rows(model)}
        different: list[Name] = []
        for page in pages(self._database, terms):
            for record in page:
                key = terms.key_of(record)
                if here.pop(key, None) != record:
                    different.append((model, key))
        self.records([*different, *((model, key) for key in here)])

    def here(self, model: str, key: Key) -> Record | None:
        """The record with this key as the files have it."""
        found = self._view.find(model, self._vocabulary[model].key, in_store(key))
        return found[0] if found else None

    def _new(self, names: Iterable[Name]) -> list[Name]:
        new = [name for name in dict.fromkeys(names) if name not in self._seen]
        self._seen.update(new)
        return new

    def _by_model(self, names: Sequence[Name]) -> Iterator[tuple[str, list[Key]]]:
        """Names by their models: first those that live by themselves, as others may be embedded in them."""
        grouped: dict[str, list[Key]] = {}
        for model, key in names:
            grouped.setdefault(model, []).append(key)
        yield from sorted(grouped.items(), key=lambda group: self._is_embedded(group[0]))

    def _is_embedded(self, model: str) -> bool:
        return self._view.rules.layout.place(model).kind is Kind.EMBEDDED

    def _there(self, model: str, keys: Sequence[Key]) -> dict[Key, Record]:
        """The records that PostgreSQL has under these keys."""
        terms = self._vocabulary[model]
        if not self._view.rules.loose(model).isdisjoint(terms.key):
            # What it finds may be spelled in another way than it was asked for.
            found = ((key, self._database.find(model, terms.key, key)) for key in keys)
            return {key: record for key, record in found if record is not None}
        return {terms.key_of(r): r for r in in_database(self._vocabulary, self._database, model, keys)}

    def _left_alone(self, model: str, here: Record | None, wanted: Record | None) -> list[Name]:
        """The records that point at what a record will be no more; some may be embedded in it."""
        found = []
        for relation in self._view.rules.children[model] if here is not None else ():
            values = self._view.rules.values_of(Spec(model, relation.references))
            if wanted is None or values(here) != values(wanted):
                key_of = self._vocabulary[relation.child].key_of
                children = self._view.find(relation.child, relation.fields, values(here))
                found += [(relation.child, key_of(child)) for child in children]
        return found

    def _home(self, model: str, key: Key, wanted: Record | None) -> list[Name]:
        """What is to be copied before a record that it is embedded in, and then that one again."""
        relation = self._view.rules.layout.place(model).relation
        if wanted is None or relation is None or (model, key) in self._homeless:
            raise DifferenceError(f"{model}: the database has a record whose parent is not there")
        self._homeless.add((model, key))
        self._seen.discard((model, key))
        return [*self._parent(relation, wanted), (model, key)]

    def _parent(self, relation: Relation, child: Record) -> list[Name]:
        """What a record points at, if PostgreSQL has that and the files have not."""
        values = self._view.rules.values_of(Spec(relation.child, relation.fields))(child)
        if not self._view.lacks_parent(relation, values):
            return []
        parent = self._database.find(relation.parent, relation.references, in_query(values))
        return [] if parent is None else [(relation.parent, self._vocabulary[relation.parent].key_of(parent))]

    def _missing(self, model: str, record: Record) -> list[Name]:
        relations = self._view.rules.parents[model]
        return [name for relation in relations for name in self._parent(relation, record)]

    def _rivals(self, model: str, record: Record) -> list[Name]:
        """Other records that the files have under a unique of this one."""
        rules, key_of = self._view.rules, self._vocabulary[model].key_of
        found = []
        for fields in rules.uniques[model]:
            for other in self._view.find(model, fields, rules.values_of(Spec(model, fields))(record)):
                if key_of(other) != key_of(record):
                    found.append((model, key_of(other)))
        return found


def in_database(
    vocabulary: Vocabulary, database: Reader, model: str, keys: Sequence[Key]
) -> Iterator[Record]:
    """The records with these keys, in any order."""
    fields = vocabulary[model].key
    for start in range(0, len(keys), _AT_ONCE):
        where = one_of(fields, keys[start : start + _AT_ONCE])
        yield from database.select(Query(model=model, where=where))
