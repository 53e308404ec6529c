"""A transaction in lockstep: each statement is done in PostgreSQL, and then in the files.

The records that come back from PostgreSQL, with all that it filled in, are what the files get.  What no
statement named, since referential actions or triggers changed it, is held against PostgreSQL at the end; and
then its commit decides about both.

A write that finds the files to lack what it changes, or to refuse what PostgreSQL has accepted, is refused:
somebody has written behind our back, and the gap is not to grow.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

from octavo.backends.comparing import Call, Listening
from octavo.backends.copying import in_database
from octavo.backends.divergence import LOG, Divergences, Keys, key_text
from octavo.backends.json import changed_record
from octavo.backends.keys import in_query, in_store
from octavo.backends.net import NetChange, net_changes
from octavo.backends.outcome import Outcomes, Witness
from octavo.backends.prisma import PrismaTransaction
from octavo.backends.touched import Touching
from octavo.errors import ConstraintError, DivergedError, OctavoError, TransactionFailed, UniqueViolation
from octavo.layout.record import Record
from octavo.query.plan import Change, Condition, Query
from octavo.query.protocol import Key, Reader
from octavo.query.vocabulary import Vocabulary
from octavo.store.index import Spec
from octavo.store.integrity import Writable
from octavo.store.writer import Decision

Compare: TypeAlias = Callable[[Call, Reader, Callable[[], object]], None]
"""Holds an answer within a transaction against the files: see :meth:`Comparison.within`."""
Unsettled: TypeAlias = "tuple[str, Key, Record | None, Record | None]"
"""A record that is another in PostgreSQL: its model and key, and the record there and here."""

_UNSAID: Any = object()


class DualTransaction:
    """Statements that are done on both sides.  Reads are PostgreSQL's, and some of them compared."""

    def __init__(
        self,
        vocabulary: Vocabulary,
        primary: PrismaTransaction,
        view: Writable,
        divergences: Divergences,
        touching: Touching,
        compare: Compare | None = None,
    ) -> None:
        self.vocabulary, self.primary, self.view = vocabulary, primary, view
        self._divergences, self._keys, self._touching = divergences, Keys(view.rules), touching
        self._said: dict[tuple[str, Key], Record | None] = {}
        """what PostgreSQL has said that each record is now; None: it is deleted"""
        self._failed = self._has_written = False
        reader: Reader = primary
        if compare is not None:
            reader = Listening(primary, lambda call: compare(call, primary, self._catch_up))
        self.find, self.select = reader.find, reader.select
        self.related, self.count, self.count_related = reader.related, reader.count, reader.count_related

    @contextmanager
    def _statement(self) -> Iterator[None]:
        """One write.  If it fails, one side may have done it and the other not, so that all is lost."""
        if self._failed:
            raise TransactionFailed("the transaction has failed; nothing more can be done in it")
        self._has_written = True
        try:
            yield
        except BaseException:
            self._failed = True
            raise

    def insert(
        self,
        model: str,
        rows: Sequence[Mapping[str, Any]],
        *,
        skip_duplicates: bool = False,
        known_new: Collection[str] = (),
    ) -> list[Record]:
        with self._statement():
            made = self.primary.insert(model, rows, skip_duplicates=skip_duplicates, known_new=known_new)
            self._follow(made, lambda: self.view.insert(made, known_new=known_new))
            self._note(model, made)
            return made

    def update(self, model: str, where: Condition, changes: Sequence[Change]) -> list[Record]:
        key_of = self.vocabulary[model].key_of
        with self._statement():
            moved = self._moved(model, where, changes)
            after = self.primary.update(model, where, changes)
            pairs = []
            for record in after:
                key = key_of(record)
                before = self._in_files(model, moved.get(key, key))
                if before is None:
                    raise self._diverged("missing", model, moved.get(key, key), "is not in the files")
                pairs.append((before, record))
            self._follow(after, lambda: self.view.update(pairs))
            self._said |= {(model, key): None for key in moved.values()}
            self._note(model, after)
            return after

    def _moved(self, model: str, where: Condition, changes: Sequence[Change]) -> dict[Key, Key]:
        """By their keys after a change, the keys that records have before it."""
        terms = self.vocabulary[model]
        if not {change.field for change in changes} & set(terms.key):
            return {}
        found = {}
        for record in self.primary.select(Query(model=model, where=where)):
            try:
                after = changed_record(self.vocabulary, model, record, changes)
            except ConstraintError:
                # PostgreSQL is going to refuse it.
                continue
            found[terms.key_of(after)] = terms.key_of(record)
        return found

    def delete(self, model: str, where: Condition) -> int:
        key_of = self.vocabulary[model].key_of
        with self._statement():
            gone = self.primary.take_out(model, where)
            there = []
            for record in gone:
                found = self._in_files(model, key_of(record))
                if found is None:
                    # Afterwards both sides agree about it.
                    self._record("missing", model, key_of(record))
                else:
                    there.append(found)
            self._follow(gone, lambda: self.view.delete(there))
            self._said |= {(model, key_of(record)): None for record in gone}
            return len(gone)

    def _note(self, model: str, records: Sequence[Record]) -> None:
        key_of = self.vocabulary[model].key_of
        for record in records:
            # The newest is to be the last.
            self._said.pop((model, key_of(record)), None)
            self._said[model, key_of(record)] = record

    def _in_files(self, model: str, key: Key) -> Record | None:
        """The record with this key, as the files have it in this transaction."""
        found = self.view.find(model, self.vocabulary[model].key, in_store(key))
        return found[0] if found else None

    def _follow(self, records: Sequence[Record], write: Callable[[], None]) -> None:
        """Let the files do what PostgreSQL has done with these records.

        Raises DivergedError if they refuse it, which they would not if both sides had been equal.
        """
        try:
            write()
        except ConstraintError as error:
            raise self._culprit(error, records) from error

    def _culprit(self, error: ConstraintError, records: Sequence[Record]) -> DivergedError:
        """The record because of which the files refuse what PostgreSQL accepts."""
        model, fields, rules = error.model, error.fields, self.view.rules
        if isinstance(error, UniqueViolation):
            terms = self.vocabulary[model]
            own = {terms.key_of(record) for record in records if isinstance(record, terms.type)}
            get = rules.values_of(Spec(model, fields))
            for record in records if own else ():
                for other in self.view.find(model, fields, get(record)):
                    if terms.key_of(other) not in own or terms.key == fields:
                        reason = f"the files have its {', '.join(fields)}, and PostgreSQL has not"
                        return self._diverged("extra", model, terms.key_of(other), reason)
        for relation in rules.parents[model]:
            get = rules.values_of(Spec(model, fields))
            for record in records if relation.fields == fields else ():
                if not isinstance(record, self.vocabulary[model].type):
                    continue
                values = get(record)
                if self.view.lacks_parent(relation, values):
                    reason = f"is not in the files, and a {model} points at it"
                    if relation.references == self.vocabulary[relation.parent].key:
                        return self._diverged("missing", relation.parent, in_query(values), reason)
        said = f"the files refuse what PostgreSQL accepts: {error.says} ({', '.join(fields)})"
        return self._diverged("answer", model, None, said)

    def _record(self, kind: str, model: str, key: Key | None, fields: tuple[str, ...] = ()) -> str:
        """Write down what differs; its key, as it may be shown."""
        shown = None if key is None else self._keys.shown(model, in_store(key))
        self._divergences.add(kind, model, shown, fields=fields)
        self._divergences.count("noticed")
        return key_text(shown)

    def _diverged(self, kind: str, model: str, key: Key | None, reason: str) -> DivergedError:
        self._divergences.count("refused")
        return DivergedError(model, self._record(kind, model, key), reason)

    # What referential actions have done

    def _settle(self) -> list[NetChange]:
        """Make sure that both sides agree about records that no statement named: those that referential
        actions have changed.  What has changed in the files then.  Raises DivergedError."""
        changed = net_changes(self.vocabulary, self.view)
        unsettled = list(self._unsettled(changed))
        for kind, model, key in self._let_follow(unsettled):
            raise self._diverged(kind, model, key, "only one side has it after a referential action")
        return net_changes(self.vocabulary, self.view) if unsettled else changed

    def _catch_up(self) -> list[tuple[str, str, Key]]:
        """Let the files follow where both sides have such a record; how the others differ, and which they
        are.  Raises DivergedError."""
        return self._let_follow(list(self._unsettled(net_changes(self.vocabulary, self.view))))

    def _let_follow(self, unsettled: Sequence[Unsettled]) -> list[tuple[str, str, Key]]:
        alone = []
        for model, key, there, here in unsettled:
            if there is None or here is None:
                alone.append(("missing" if here is None else "extra", model, key))
                continue
            # Something else differs in it, such as what a trigger of the database has set.
            pair = (here, there)
            self._follow([there], lambda: self.view.update([pair]))  # noqa: B023
            self._note(model, [there])
        return alone

    def _unsettled(self, changed: Sequence[NetChange]) -> Iterator[Unsettled]:
        """The records that have changed in the files, and are not what they are in PostgreSQL."""
        unsaid: dict[str, dict[Key, Record | None]] = {}
        for model, key, record in changed:
            if self._said.get((model, key), _UNSAID) != record:
                unsaid.setdefault(model, {})[key] = record
        for model, records in unsaid.items():
            key_of = self.vocabulary[model].key_of
            found = in_database(self.vocabulary, self.primary, model, list(records))
            there = {key_of(record): record for record in found}
            for key, record in records.items():
                if there.get(key) != record:
                    yield model, key, there.get(key), record

    # The end

    def decision(self, outcomes: Outcomes) -> Decision | None:
        """Who decides whether the files' changes happen: PostgreSQL, by its commit; None: it has no part in
        them."""
        if self._failed:
            raise TransactionFailed("the transaction has failed; nothing of it is kept")
        changed = self._settle()
        if not self._has_written:
            self.primary.commit()
            return None
        note: dict[str, str] = {}
        if self._touching.is_wanted:
            names = [*self._said, *((model, key) for model, key, _ in changed)]
            self._touching.note(self.view.rules, dict.fromkeys(names))
        if changed:
            model, key, record = next((c for c in changed if c[2] is not None), changed[0])
            witness = Witness(model, key, record is not None)
            note = outcomes.note(self.primary.told[0], self.primary.asked(outcomes.place), witness)

        def decide() -> OctavoError | None:
            try:
                self.primary.commit()
            except OctavoError as error:
                if not self.primary.has_ended or not note or not outcomes.committed(note):
                    return error
                LOG.warning("PostgreSQL committed transaction %s, and could not say so", note["xid"])
            return None

        return Decision(note, decide)
