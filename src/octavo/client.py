"""What an application imports: ``db = octavo.connect()``, then ``db.character.find_many(where=…)``.

A client is a context manager and may be shared among threads.  It has one accessor for each model, in
snake_case (``db.connection_profile_tag``; ``db["ConnectionProfileTag"]`` is the same), with Prisma's
operations.  Arguments may be spelled as Prisma spells them (``orderBy``).  ``with db.tx() as tx`` gives a
client whose operations all happen or none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, Self, TypeVar

from octavo.errors import RecordNotFound, UniqueViolation, UsageError, ValidationError
from octavo.query.arguments import At, FieldRef
from octavo.query.filters import Filters
from octavo.query.plan import TRUE, Condition, Find, Projection, Unique
from octavo.query.protocols import Backend, Isolation, Transaction
from octavo.query.reads import NO_END, SHOWN, Reads
from octavo.query.result import record_of
from octavo.query.run import Execution, Shown, Writing
from octavo.query.vocabulary import Defaults, Terms, Vocabulary
from octavo.sessions import Alone, Session, Together

if TYPE_CHECKING:
    from octavo.query.aggregates import Aggregates, Asked
    from octavo.query.bodies import Types
    from octavo.query.raw import RawResult
    from octavo.query.search import Hit
    from octavo.query.writes import Writes

T = TypeVar("T")

_ATTEMPTS = 3
"""how often an upsert is tried where another one makes the same record meanwhile"""
_CREATED = ("data", *SHOWN)
_LONGEST = 2_000_000.0
"""seconds: some three weeks, beyond which PostgreSQL's milliseconds do not go"""


def snake_name(model: str) -> str:
    """A model's accessor: ``ConnectionProfileTag`` is ``connection_profile_tag``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", model).lower()


def accessors(models: Iterable[str]) -> dict[str, list[str]]:
    """The models by their accessors.  One that several models share is none of theirs."""
    found: dict[str, list[str]] = {}
    for model in models:
        found.setdefault(snake_name(model), []).append(model)
    return found


class _ByModel(dict[str, Defaults]):
    """Made when they are first asked for: a process seldom writes to every model."""

    def __init__(self, make: Callable[[str], Defaults]) -> None:
        self._make = make

    def __missing__(self, model: str) -> Defaults:
        return self.setdefault(model, self._make(model))


class Schema:
    """A datamodel with all that checks arguments against it; shared by a client and its transactions."""

    def __init__(
        self, vocabulary: Vocabulary, searched: Callable[[str], tuple[str, ...]] = lambda model: ()
    ) -> None:
        """``searched`` tells in which fields of a model a search looks that names none."""
        self.vocabulary, self.searched = vocabulary, searched
        filters = Filters(vocabulary)
        self.filters, self.reads = filters, Reads(filters)
        self.defaults = _ByModel(lambda model: Defaults(vocabulary[model]))
        self.accessors = accessors(m.name for m in vocabulary.datamodel.models if not m.ignored)

    def by_accessor(self, name: str) -> Sequence[str]:
        """The models that an accessor means.  Also understood, where it is no accessor itself, is
        prisma-client-py's spelling: ``connectionprofile``."""
        if name in self.accessors:
            return self.accessors[name]
        every = (model for models in self.accessors.values() for model in models)
        return [model for model in every if model.lower() == name]

    @cached_property
    def aggregates(self) -> Aggregates:
        from octavo.query.aggregates import Aggregates

        return Aggregates(self.reads)

    @cached_property
    def types(self) -> Types:
        from octavo.query.bodies import Types

        return Types(self.vocabulary)

    @cached_property
    def writes(self) -> Writes:
        from octavo.query.writes import Writes

        return Writes(self.filters)


class Fields:
    """A model's fields, as attributes."""

    def __init__(self, terms: Terms) -> None:
        self.__dict__.update((name, FieldRef(terms.name, name)) for name in terms.usable)

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> FieldRef: ...


class ModelClient:
    """The operations on one model.  Each takes Prisma's arguments by name."""

    def __init__(self, schema: Schema, terms: Terms, session: Session) -> None:
        self._schema, self._terms, self._session = schema, terms, session
        self._name = terms.name
        self._texts = {
            name: fields
            for name, fields in terms.uniques.items()
            if len(fields) == 1
            and terms.columns[name].one.is_text
            and not terms.columns[name].one.is_caseless
        }

    def _at(self, operation: str = "") -> At:
        return At(self._name, operation)

    @cached_property
    def fields(self) -> Fields:
        """The model's fields, to compare with: ``where={"changed": {"gt": db.chat.fields.createdAt}}``."""
        return Fields(self._terms)

    # Reading

    def find_unique(self, **arguments: Any) -> Shown | None:
        """The record that ``where`` names by a key or unique; None if there is none.

        ``include``, ``select``, ``omit``.
        """
        # The look-up by a plain text, which is by far the most frequent, skips everything else.
        if len(arguments) == 1 and type(where := arguments.get("where")) is dict and len(where) == 1:
            [(name, value)] = where.items()
            fields = self._texts.get(name)
            if fields is not None and type(value) is str and value.isascii() and "\0" not in value:
                return self._session.reader.find(self._name, fields, (value,))
        at = self._at()
        found = at.named(arguments, ("where", *SHOWN), "arguments")
        unique = self._schema.filters.unique(self._terms, _required(found, "where", at), at / "where")
        projection = self._schema.reads.shown(self._terms, found, at)

        def work(run: Execution) -> Shown | None:
            record = run.one(unique)
            return None if record is None else run.show([record], projection)[0]

        return self._read(work, projection)

    def find_unique_or_raise(self, **arguments: Any) -> Shown:
        """The same; raises RecordNotFound."""
        return self._there(self.find_unique(**arguments), "find_unique_or_raise")

    def find_first(self, **arguments: Any) -> Shown | None:
        """The first record that :meth:`find_many` would give; None if it gives none."""
        found = self._run(self._schema.reads.first(self._terms, arguments, self._at()))
        return found[0] if found else None

    def find_first_or_raise(self, **arguments: Any) -> Shown:
        """The same; raises RecordNotFound."""
        return self._there(self.find_first(**arguments), "find_first_or_raise")

    def find_many(self, **arguments: Any) -> list[Shown]:
        """The records that ``where`` describes, by ``order_by``: ``take`` of them after ``skip``, from
        ``cursor`` on, one for each ``distinct``.  ``include``, ``select``, ``omit``."""
        return self._run(self._schema.reads.many(self._terms, arguments, self._at()))

    def count(self, **arguments: Any) -> int | dict[str, int]:
        """How many records :meth:`find_many` would give (``where``, ``order_by``, ``take``, ``skip``,
        ``cursor``).  With ``select``: for each field named, in how many of them it is not NULL; for
        ``_all``, how many."""
        at = self._at()
        known = ("where", "order_by", "take", "skip", "cursor", "select")
        found = at.named(arguments, known, "arguments")
        select = found.pop("select", None)
        if select is not None:
            asked = self._schema.aggregates.count(self._terms, found, select, at)
            counted: dict[str, int] = self._grouped(asked)[0]["_count"]
            return counted
        find = self._schema.reads.many(self._terms, found, at)
        return self._read(lambda run: run.count(find), None, more=find.cursor is not None)

    def aggregate(self, **arguments: Any) -> dict[str, Any]:
        """What the records that :meth:`find_many` would give (``where``, ``order_by``, ``take``, ``skip``,
        ``cursor``) give together.

        ``_count`` (True, or fields and ``_all``), ``_sum``, ``_avg``, ``_min`` and ``_max`` (fields) say
        what; the answer has the same shape.  All but counts are None where no record has a value.
        """
        return self._grouped(self._schema.aggregates.aggregate(self._terms, arguments, self._at()))[0]

    def group_by(self, **arguments: Any) -> list[dict[str, Any]]:
        """The same for each group of records that agree in the fields ``by``, which the answer has too.

        ``where`` says of which records; ``having``, ``order_by``, ``take`` and ``skip`` are of the groups,
        and may go by what they are aggregated to: ``having={"size": {"_avg": {"gt": 10}}}``.
        """
        return self._grouped(self._schema.aggregates.group_by(self._terms, arguments, self._at()))

    def _grouped(self, asked: Asked) -> list[dict[str, Any]]:
        from octavo.query.aggregates import shown

        groups = self._read(lambda run: run.groups(asked), None, more=asked.find.cursor is not None)
        return shown(self._schema.vocabulary, asked, groups)

    def search(self, query: str, **arguments: Any) -> list[Hit]:
        """The records that have every word of ``query``, best first (:class:`octavo.query.search.Hit`).

        They have them in ``fields``, by default those that the layout names; ``where``, ``take`` (20),
        ``skip``, ``include``, ``select``, ``omit``.  A query without a word finds nothing.
        """
        from octavo.query.search import hits, parse

        terms, schema = self._terms, self._schema
        search, projection = parse(schema.reads, terms, schema.searched, query, arguments, self._at())
        if search is None:
            return []

        def work(run: Execution) -> list[Hit]:
            found = run.reader.search(search)
            return hits(terms, search, found, run.show([record for record, _ in found], projection))

        return self._read(work, projection)

    def _run(self, find: Find) -> list[Shown]:
        return self._read(lambda run: run.find(find), find.projection, more=find.cursor is not None)

    def _read(
        self, work: Callable[[Execution], T], projection: Projection | None, *, more: bool = False
    ) -> T:
        vocabulary = self._schema.vocabulary
        several = projection is not None and bool(projection.relations or projection.counts)
        return self._session.read(lambda r: work(Execution(vocabulary, r)), several=several or more)

    def _there(self, found: Shown | None, doing: str) -> Shown:
        if found is None:
            raise RecordNotFound(self._name, doing)
        return found

    # Writing

    def create(self, **arguments: Any) -> Shown:
        """Make a record of ``data``, nested writes included; of defaults alone, if ``data`` is left out.
        ``include``, ``select``, ``omit``."""
        at = self._at()
        found = at.named(arguments, _CREATED, "arguments")
        data = _required(found, "data", at) if self._terms.needed else found.get("data", {})
        new = self._schema.writes.new(self._terms, data, at / "data")
        projection = None if len(found) < 2 else self._schema.reads.shown(self._terms, found, at)
        with self._session.writing(single=not new.nested and projection is None) as transaction:
            run = self._write(transaction)
            made = run.create(new)
            return made if projection is None else run.show([made], projection)[0]

    def create_many(self, **arguments: Any) -> int:
        """Make a record of each of ``data``; how many were made.  ``skip_duplicates`` leaves out those
        whose key or unique is taken."""
        return len(self._create_many(arguments, ("data", "skip_duplicates")))

    def create_many_and_return(self, **arguments: Any) -> list[Shown]:
        """The same, and give the records."""
        return self._create_many(arguments, ("data", "skip_duplicates", *SHOWN))

    def _create_many(self, arguments: Mapping[str, Any], known: tuple[str, ...]) -> list[Shown]:
        at = self._at()
        found = at.named(arguments, known, "arguments")
        rows = self._schema.writes.rows(self._terms, _required(found, "data", at), at / "data")
        skip = (at / "skip_duplicates").boolean(found.get("skip_duplicates", False))
        projection = self._schema.reads.shown(self._terms, found, at)
        with self._session.writing(single=projection is None) as transaction:
            run = self._write(transaction)
            made = run.insert(self._name, [row.values for row in rows], skip_duplicates=skip)
            return run.show(made, projection)

    def update(self, **arguments: Any) -> Shown:
        """Change the record that ``where`` names, as ``data`` says.  Raises RecordNotFound."""
        at = self._at()
        found = at.named(arguments, ("where", "data", *SHOWN), "arguments")
        unique = self._schema.filters.unique(self._terms, _required(found, "where", at), at / "where")
        edit = self._schema.writes.edit(self._terms, _required(found, "data", at), at / "data")
        projection = self._schema.reads.shown(self._terms, found, at)
        single = bool(edit.changes) and not edit.nested and projection is None
        with self._session.writing(single=single) as transaction:
            run = self._write(transaction)
            return run.show([run.update(unique, edit)], projection)[0]

    def update_many(self, **arguments: Any) -> int:
        """Change all records that fulfil ``where``, or the first ``limit`` of them; how many these were.

        Without ``where`` that is every record; a ``where`` that is given must filter by something.
        """
        return len(self._update_many(arguments, ("where", "data", "limit")))

    def update_many_and_return(self, **arguments: Any) -> list[Shown]:
        """The same, and give the records."""
        return self._update_many(arguments, ("where", "data", "limit", *SHOWN))

    def _update_many(self, arguments: Mapping[str, Any], known: tuple[str, ...]) -> list[Shown]:
        at = self._at()
        found = at.named(arguments, known, "arguments")
        where = self._affected(found, at)
        edit = self._schema.writes.edit(self._terms, _required(found, "data", at), at / "data", plain=True)
        limit = self._limit(found, at)
        projection = self._schema.reads.shown(self._terms, found, at)
        with self._session.writing(single=projection is None and limit is None) as transaction:
            run = self._write(transaction)
            changed = run.change(self._name, run.first(self._name, where, limit), edit.changes)
            run.sort(changed)
            return run.show(changed, projection)

    def upsert(self, **arguments: Any) -> Shown:
        """Change the record that ``where`` names as ``update`` says, or make it as ``create`` says.

        ``data={"create": …, "update": …}`` is the same.
        """
        at = self._at()
        found = at.named(arguments, ("where", "create", "update", "data", *SHOWN), "arguments")
        unique = self._schema.filters.unique(self._terms, _required(found, "where", at), at / "where")
        parts, inner = _upserted(found, at)
        new = self._schema.writes.new(self._terms, _required(parts, "create", inner), inner / "create")
        edit = self._schema.writes.edit(self._terms, _required(parts, "update", inner), inner / "update")
        projection = self._schema.reads.shown(self._terms, found, at)
        for attempt in range(_ATTEMPTS):
            made = False
            try:
                with self._session.writing(single=False) as transaction:
                    run = self._write(transaction)
                    there = run.one(unique)
                    made = there is None
                    record = run.create(new) if there is None else run.edit(there, edit)
                    return run.show([record], projection)[0]
            except (UniqueViolation, RecordNotFound) as error:
                # The same record was made, or deleted, by another caller since it was looked for.
                raced = self._session.owns_transaction and _is_about(error, unique, made)
                if not raced or attempt == _ATTEMPTS - 1:
                    raise
        raise AssertionError("unreachable")

    def delete(self, **arguments: Any) -> Shown:
        """Delete the record that ``where`` names, and give it as it was.  Raises RecordNotFound."""
        at = self._at()
        found = at.named(arguments, ("where", *SHOWN), "arguments")
        unique = self._schema.filters.unique(self._terms, _required(found, "where", at), at / "where")
        projection = self._schema.reads.shown(self._terms, found, at)
        with self._session.writing(single=False) as transaction:
            run = self._write(transaction)
            record = run.required(unique, "a delete")
            shown = run.show([record], projection)[0]
            run.delete(record, "a delete")
            return shown

    def delete_many(self, **arguments: Any) -> int:
        """Delete all records that fulfil ``where``, or the first ``limit`` of them; how many these were,
        cascades not counted.

        Without ``where`` that is every record; a ``where`` that is given must filter by something.
        """
        at = self._at()
        found = at.named(arguments, ("where", "limit"), "arguments")
        where, limit = self._affected(found, at), self._limit(found, at)
        with self._session.writing(single=limit is None) as transaction:
            run = self._write(transaction)
            return transaction.delete(self._name, run.first(self._name, where, limit))

    @staticmethod
    def _limit(found: Mapping[str, Any], at: At) -> int | None:
        if found.get("limit") is None:
            return None
        inner = at / "limit"
        if (limit := inner.whole(found["limit"])) < 0:
            inner.fail("is less than 0", code="P2019")
        return min(limit, NO_END)

    def _affected(self, found: Mapping[str, Any], at: At) -> Condition:
        """Which records a writing of many concerns.

        A filter that came out empty by mistake must not mean all records, so that one has to be left out.
        """
        if "where" not in found:
            return TRUE
        where = self._schema.filters.where(self._terms, found["where"], at / "where")
        if where == TRUE and not self._schema.vocabulary.exact:
            (at / "where").fail("filters by nothing; leave it out to mean every record")
        return where

    def _write(self, transaction: Transaction) -> Writing:
        return Writing(self._schema.vocabulary, transaction, self._schema.defaults)


class Models:
    """Accessors of the models, by attribute in snake_case or by ``[…]`` in the schema's spelling."""

    def __init__(self, schema: Schema, session: Session) -> None:
        self._schema, self._session = schema, session

    def __getattr__(self, name: str) -> ModelClient:
        models = () if name.startswith("_") else self._schema.by_accessor(name)
        if len(models) != 1:
            either = " or ".join(f'["{model}"]' for model in models)
            raise AttributeError(
                f"{name} is the accessor of several models: say {either}"
                if models
                else f"there is no model {name}"
            )
        accessor = self[models[0]]
        self.__dict__[name] = accessor
        return accessor

    def __getitem__(self, model: str) -> ModelClient:
        """The accessor of a model by the schema's name.  Raises KeyError."""
        return ModelClient(self._schema, self._schema.vocabulary[model], self._session)

    def savepoint(self) -> AbstractContextManager[Within]:
        """A part of a transaction (:meth:`Within.savepoint`).  Raises UsageError outside of one."""
        raise UsageError(
            "a savepoint is set within a transaction", hint="with db.tx() as tx, tx.savepoint():"
        )

    def query_raw(self, query: str, *parameters: Any) -> list[dict[str, Any]]:
        """The rows that a statement of SQL gives, each as a dict; its parameters are ``$1`` ….

        Any statement on PostgreSQL, one that reads in ``dual``, a SELECT of constants (``SELECT 1``) on the
        files.  Raises RawQueryError, UsageError.
        """
        return self._raw(query, parameters, writes=False).records()

    def query_first(self, query: str, *parameters: Any) -> dict[str, Any] | None:
        """The first of the rows that :meth:`query_raw` gives; None if there is none."""
        found = self.query_raw(query, *parameters)
        return found[0] if found else None

    def execute_raw(self, query: str, *parameters: Any) -> int:
        """The same, and give the number of rows that the statement was about."""
        return self._raw(query, parameters, writes=True).affected

    def _raw(self, query: str, parameters: Sequence[Any], *, writes: bool) -> RawResult:
        from octavo.query.raw import raw_statement

        return self._session.raw(raw_statement(query, parameters, writes=writes))

    def __dir__(self) -> list[str]:
        unmistakable = (name for name, models in self._schema.accessors.items() if len(models) == 1)
        return [*super().__dir__(), *unmistakable]


class Within(Models):
    """What a transaction gives."""

    _session: Together

    @contextmanager
    def savepoint(self) -> Iterator[Within]:
        """A part of this transaction.

        Leaving by an exception takes back what was done in it, and the transaction goes on, whatever went
        wrong there.  Otherwise it is kept if the transaction is.
        """
        with self._session.part() as session:
            yield Within(self._schema, session)


class Client(Models):
    """A connection to the data, wherever it lives."""

    def __init__(self, backend: Backend, vocabulary: Vocabulary) -> None:
        self._alone = Alone(backend)
        super().__init__(Schema(vocabulary, backend.searched), self._alone)
        self._backend = backend

    @contextmanager
    def tx(
        self,
        *,
        isolation_level: str = "ReadCommitted",
        max_wait: float | timedelta = 2.0,
        timeout: float | timedelta = 5.0,
    ) -> Iterator[Within]:
        """A transaction: what is done with the client that this gives happens whole or not at all.

        Leaving by an exception rolls back.  After the database has refused something within it, nothing more
        can be done, and leaving rolls back even if the error was caught: TransactionFailed.  An error of a
        reading call or an argument may be caught, and so may RecordNotFound.

        ``isolation_level`` is Prisma's: ``ReadUncommitted``, ``ReadCommitted``, ``RepeatableRead`` or
        ``Serializable``.  ``max_wait`` (for its beginning) and ``timeout`` (for the whole) are seconds or a
        ``timedelta``; the defaults are Prisma's.  Inside the block, its thread (or task) writes by nothing
        else: OwnTransaction.
        """
        level = isolation(isolation_level)
        wait, limit = seconds("max_wait", max_wait), seconds("timeout", timeout)
        with self._alone.together(level, wait, limit) as session:
            yield Within(self._schema, session)

    def as_prisma(self) -> Client:
        """The same, which takes arguments exactly as Prisma does, also where this client is stricter."""
        return Client(self._backend, Vocabulary(self._schema.vocabulary.datamodel, exact=True))

    @property
    def types(self) -> Types:
        """The schema's types at run time (:class:`octavo.query.bodies.Types`): ``db.types.Chat``."""
        return self._schema.types

    def payload(self, record: Shown) -> bytes | None:
        """The content of the file that a record points at (``Image``, ``ChatFile``).

        On PostgreSQL it is read from the files root, from ``json`` out of the store.  None if the record
        points at none, or it cannot be had.
        """
        return self._backend.payload(record_of(record))

    def close(self) -> None:
        """Let go of the data.  May be called twice."""
        self._backend.close()

    async def __aenter__(self) -> NoReturn:
        raise TypeError("this client is not asynchronous: async with octavo.connect_async(…) as db")

    async def __aexit__(self, *_: object) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def isolation(level: str) -> Isolation:
    """An isolation level, by Prisma's name for it or PostgreSQL's (``repeatable read``)."""
    given = level.replace(" ", "").replace("_", "").lower() if isinstance(level, str) else ""
    for known in Isolation:
        if known.lower() == given:
            return known
    reason = f"is not one of {', '.join(Isolation)}"
    raise ValidationError("isolation_level", reason)


def seconds(name: str, given: float | timedelta) -> float:
    """A length of time that every lock and PostgreSQL's settings can hold."""
    if isinstance(given, timedelta):
        given = given.total_seconds()
    if isinstance(given, bool) or not isinstance(given, int | float) or not given >= 0:
        raise ValidationError(name, "is no number of seconds")
    return min(given, _LONGEST)


def _required(found: Mapping[str, Any], name: str, at: At) -> Any:
    if name not in found:
        at.lacks(name)
    return found[name]


def _upserted(found: Mapping[str, Any], at: At) -> tuple[Mapping[str, Any], At]:
    """Where an upsert has its ``create`` and ``update``: by themselves, or in ``data`` (prisma-client-py)."""
    if "data" not in found:
        return found, at
    if "create" in found or "update" in found:
        at.fail("takes create and update, or data with both")
    inner = at / "data"
    return inner.named(found["data"], ("create", "update"), "what an upsert takes"), inner


def _is_about(error: UniqueViolation | RecordNotFound, unique: Unique, made: bool) -> bool:
    """Whether an upsert failed since its own record appeared or went away meanwhile."""
    if error.model != unique.model:
        return False
    if isinstance(error, UniqueViolation):
        return made and set(error.fields) == set(unique.fields)
    return not made
