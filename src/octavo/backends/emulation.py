"""Referential actions where no foreign key carries them out: ``relationMode = "prisma"``.

Prisma's client does the part of the database there, within the transaction, as does this on each backend:
before records are deleted, or fields that others point at are changed, those that point at them are looked
for.  ``Restrict`` refuses, ``SetNull`` unlinks them, ``Cascade`` takes them along, and theirs.

As in Prisma, an action follows from the fields that a change names, whether or not their values differ; a
foreign key may be set to a value that no record has; and the rows of an implicit many-to-many relation stay
when one of their records goes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeAlias, cast

from octavo.backends.json import changed_record
from octavo.errors import RequiredRelationViolation
from octavo.layout.record import Record
from octavo.query.plan import Change, ChangeKind, Condition, Query, one_of
from octavo.query.protocols import Backend, Key, Transaction
from octavo.query.vocabulary import Vocabulary
from octavo.schema.datamodel import Action, Datamodel, Relation, RelationKind

Steps: TypeAlias = list[Callable[[], object]]
"""writes that are still to be made: nothing is written before all of them are known to be allowed"""


def pointing_at(datamodel: Datamodel) -> Mapping[str, Sequence[Relation]]:
    """The relations by which others point at each model, without what the schema has a client ignore."""
    found: dict[str, list[Relation]] = {m.name: [] for m in datamodel.tables}
    # Backwards, as Prisma's client goes about them: the last is the first to refuse.
    for relation in reversed(datamodel.relations):
        child = datamodel.model(relation.child)
        is_known = child.has_key and not child.ignored and not child.relation(relation.child_field).ignored
        if is_known and relation.kind is not RelationKind.MANY_TO_MANY and relation.parent in found:
            found[relation.parent].append(relation)
    return found


class EmulatingBackend:
    """A backend in all but its transactions, which emulate."""

    def __init__(self, backend: Backend, vocabulary: Vocabulary) -> None:
        self._backend, self._vocabulary = backend, vocabulary
        self._pointing_at = pointing_at(vocabulary.datamodel)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    @contextmanager
    def transaction(self, *, single: bool = False, **given: Any) -> Iterator[Transaction]:
        # One write may become several.
        with self._backend.transaction(single=False, **given) as transaction:
            yield cast(Transaction, EmulatingTransaction(transaction, self._vocabulary, self._pointing_at))


class EmulatingTransaction:
    """A transaction that carries out referential actions before its own writes."""

    def __init__(
        self, transaction: Transaction, vocabulary: Vocabulary, relations: Mapping[str, Sequence[Relation]]
    ) -> None:
        self._transaction, self._vocabulary, self._pointing_at = transaction, vocabulary, relations

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transaction, name)

    def delete(self, model: str, where: Condition) -> int:
        """As the transaction's.  Raises RequiredRelationViolation where ``Restrict`` refuses."""
        steps: Steps = []
        where = self._deleting(model, where, steps)
        for step in steps:
            step()
        return self._transaction.delete(model, where)

    def update(self, model: str, where: Condition, changes: Sequence[Change]) -> list[Record]:
        """As the transaction's.  Raises RequiredRelationViolation where ``Restrict`` refuses."""
        steps: Steps = []
        where = self._updating(model, where, changes, steps)
        for step in steps:
            step()
        return self._transaction.update(model, where, changes)

    def _deleting(self, model: str, where: Condition, steps: Steps) -> Condition:
        """Add what is to be done before records are deleted.  Gives the condition that they fulfil then."""
        relations = self._pointing_at[model]
        records = self._transaction.select(Query(model=model, where=where)) if relations else []
        if not records:
            return where
        for relation in relations:
            pointing = self._pointing(relation, records)
            if pointing is None:
                continue
            if relation.on_delete is Action.CASCADE:
                child = self._deleting(relation.child, pointing, steps)
                steps.append(partial(self._transaction.delete, relation.child, child))
            else:
                self._unlink(relation, relation.on_delete, pointing, steps)
        return self._exactly(model, records)

    def _updating(self, model: str, where: Condition, changes: Sequence[Change], steps: Steps) -> Condition:
        """Add what is to be done before records are changed.  Gives the condition that they fulfil then."""
        named = {change.field for change in changes}
        relations = [r for r in self._pointing_at[model] if not named.isdisjoint(r.references)]
        records = self._transaction.select(Query(model=model, where=where)) if relations else []
        if not records:
            return where
        for relation in relations:
            if relation.on_update is Action.CASCADE:
                self._take_along(relation, records, changes, steps)
            elif (pointing := self._pointing(relation, records)) is not None:
                self._unlink(relation, relation.on_update, pointing, steps)
        return self._exactly(model, records)

    def _unlink(self, relation: Relation, action: Action, pointing: Condition, steps: Steps) -> None:
        """``Restrict``, which refuses if anything points, or ``SetNull``."""
        if action is Action.RESTRICT:
            if self._transaction.select(Query(model=relation.child, where=pointing, take=1)):
                raise RequiredRelationViolation(relation.child, relation.child_field)
        elif action is Action.SET_NULL:
            columns = self._vocabulary[relation.child].columns
            self._set(relation, pointing, [columns[f].null for f in relation.fields], steps)

    def _take_along(
        self, relation: Relation, records: Sequence[Record], changes: Sequence[Change], steps: Steps
    ) -> None:
        """Give those that point at records the values that these are going to have."""
        get = self._vocabulary[relation.parent].getter(relation.references)
        for record in records:
            after = get(changed_record(self._vocabulary, relation.parent, record, changes))
            pointing = self._pointing(relation, [record])
            if pointing is None or after == get(record):
                continue
            found = self._transaction.select(Query(model=relation.child, where=pointing))
            if found:
                # By their keys: the next record may move to where this one was.
                self._set(relation, self._exactly(relation.child, found), after, steps)

    def _set(self, relation: Relation, which: Condition, values: Sequence[Any], steps: Steps) -> None:
        """Give children a foreign key."""
        changes = [Change(f, ChangeKind.SET, v) for f, v in zip(relation.fields, values, strict=True)]
        which = self._updating(relation.child, which, changes, steps)
        steps.append(partial(self._transaction.update, relation.child, which, changes))

    def _pointing(self, relation: Relation, records: Sequence[Record]) -> Condition | None:
        """The condition that those fulfil which point at these records; None if nothing can."""
        terms = self._vocabulary[relation.parent]
        found: list[Key] = list(map(terms.getter(relation.references), records))
        values = [v for v in found if not terms.has_null(relation.references, v)]
        return one_of(relation.fields, values) if values else None

    def _exactly(self, model: str, records: Sequence[Record]) -> Condition:
        terms = self._vocabulary[model]
        return one_of(terms.key, [terms.key_of(record) for record in records])
