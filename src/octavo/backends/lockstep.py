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
from octavo.backends.copying import differences
from octavo.backends.divergence import LOG, Divergences, Keys, key_text
from octavo.backends.json import changed_record
from octavo.backends.keys import in_query
from octavo.backends.outcome import Outcomes, Witness
from octavo.backends.prisma import PrismaTransaction
from octavo.backends.touched import Touching
from octavo.errors import ConstraintError, DivergedError, OctavoError, TransactionFailed, UniqueViolation
from octavo.layout.record import Record
from octavo.layout.stored import Key
from octavo.query.plan import Change, Condition, Query
from octavo.query.protocol import Reader
from octavo.query.vocabulary import Vocabulary
from octavo.store.changeset import ChangeSet, Name, RowChange, changed_rows
from octavo.store.index import Spec
from octavo.store.integrity import Writable
from octavo.store.writer import Decision

Compare: TypeAlias = Callable[[Call, Reader, Callable[[], object]], None]
"""Holds an answer within a transaction against the files: see :meth:`Comparison.within`."""
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
        self._said: dict[Name, Record | None] = {}
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
        key_of = self.view.rules.codecs[model].key_of
        with self._statement():
            moved = self._moved(model, where, changes)
            after = self.primary.update(model, where, changes)
            pairs = []
            for record in after:
                key = key_of(record)
                before = self.view.get(model, moved.get(key, key))
                if before is None:
                    raise self._diverged("missing", model, moved.get(key, key), "is not in the files")
                pairs.append((before, record))
            self._follow(after, lambda: self.view.update(pairs))
            self._said |= {(model, key): None for key in moved.values()}
            self._note(model, after)
            return after

    def _moved(self, model: str, where: Condition, changes: Sequence[Change]) -> dict[Key, Key]:
        """By their keys after a change, the keys that records have before it."""
        if not {change.field for change in changes} & set(self.vocabulary[model].key):
            return {}
        key_of = self.view.rules.codecs[model].key_of
        found = {}
        for record in self.primary.select(Query(model=model, where=where)):
            try:
                after = changed_record(self.vocabulary, model, record, changes)
            except ConstraintError:
                # PostgreSQL is going to refuse it.
                continue
            found[key_of(after)] = key_of(record)
        return found

    def delete(self, model: str, where: Condition) -> int:
        key_of = self.view.rules.codecs[model].key_of
        with self._statement():
            gone = self.primary.take_out(model, where)
            there = []
            for record in gone:
                found = self.view.get(model, key_of(record))
                if found is None:
                    # Afterwards both sides agree about it.
                    self._record("missing", model, key_of(record))
                else:
                    there.append(found)
            self._follow(gone, lambda: self.view.delete(there))
            self._said |= {(model, key_of(record)): None for record in gone}
            return len(gone)

    def _note(self, model: str, records: Sequence[Record]) -> None:
        key_of = self.view.rules.codecs[model].key_of
        self._said |= {(model, key_of(record)): record for record in records}

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
            terms, key_of = self.vocabulary[model], rules.codecs[model].key_of
            own = {key_of(record) for record in records if isinstance(record, terms.type)}
            get = rules.values_of(Spec(model, fields))
            for record in records if own else ():
                for other in self.view.find(model, fields, get(record)):
                    if key_of(other) not in own or terms.key == fields:
                        reason = f"the files have its {', '.join(fields)}, and PostgreSQL has not"
                        return self._diverged("extra", model, key_of(other), reason)
        for relation in rules.parents[model]:
            get = rules.values_of(Spec(model, fields))
            for record in records if relation.fields == fields else ():
                if not isinstance(record, self.vocabulary[model].type):
                    continue
                values = get(record)
                if self.view.lacks_parent(relation, values):
                    reason = f"is not in the files, and a {model} points at it"
                    if relation.references == self.vocabulary[relation.parent].key:
                        return self._diverged("missing", relation.parent, values, reason)
        said = f"the files refuse what PostgreSQL accepts: {error.says} ({', '.join(fields)})"
        return self._diverged("answer", model, None, said)

    def _record(self, kind: str, model: str, key: Key | None, fields: tuple[str, ...] = ()) -> str:
        """Write down what differs; its key, as it may be shown."""
        shown = None if key is None else self._keys.shown(model, key)
        self._divergences.add(kind, model, shown, fields=fields)
        self._divergences.count("noticed")
        return key_text(shown)

    def _diverged(self, kind: str, model: str, key: Key | None, reason: str) -> DivergedError:
        self._divergences.count("refused")
        return DivergedError(model, self._record(kind, model, key), reason)

    # What referential actions have done

    def _settle(self) -> dict[Name, RowChange]:
        """Make sure that both sides agree about rows that no statement named: those that referential actions
        have changed.  What has changed in the files then.  Raises DivergedError."""
        changed = changed_rows(self.view)
        alone, followed = self._let_follow(changed)
        for kind, name in alone:
            raise self._diverged(kind, *name, "only one side has it after a referential action")
        return changed_rows(self.view) if followed else changed

    def _catch_up(self) -> None:
        """Let the files follow where both sides have such a row.  Raises DivergedError."""
        self._let_follow(changed_rows(self.view))

    def _let_follow(self, changed: Mapping[Name, RowChange]) -> tuple[list[tuple[str, Name]], bool]:
        """How the rows differ that one side alone has, and which they are; and whether others were made what
        they are in PostgreSQL, such as what a trigger of the database has set."""
        alone: list[tuple[str, Name]] = []
        refused: ConstraintError | None = None
        rows: list[Record] = []
        wave = [n for n, change in changed.items() if self._said.get(n, _UNSAID) != change.after]
        seen: set[Name] = set()
        while wave:
            changes = ChangeSet()
            for (model, key), here, there in differences(self.vocabulary, self.view, self.primary, wave):
                if here is None or there is None:
                    alone.append(("missing" if here is None else "extra", (model, key)))
                else:
                    changes.set(model, key, there)
                    rows.append(there)
                    self._said[model, key] = there
            if refused is not None and not changes.rows:
                break
            conflicts = changes.apply(self.view)
            refused = conflicts[0].error if conflicts else None
            seen.update(wave)
            wave = [name for conflict in conflicts for name in conflict.others if name not in seen]
        if refused is not None:
            raise self._culprit(refused, rows)
        return alone, bool(rows)

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
            self._touching.note(self.view.rules, self._said.keys() | changed.keys())
        if changed:
            there = next((name for name, change in changed.items() if change.after is not None), None)
            model, key = there or next(iter(changed))
            witness = Witness(model, in_query(key), there is not None)
            note = outcomes.note(self.primary.told, self.primary.asked(outcomes.place), witness)

        def decide() -> OctavoError | None:
            try:
                self.primary.commit()
            except OctavoError as error:
                if not self.primary.has_ended or not note or not outcomes.committed(note):
                    return error
                LOG.warning("PostgreSQL committed transaction %s, and could not say so", note["xid"])
            return None

        return Decision(note, decide)
