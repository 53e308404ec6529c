"""What transactions come to, and its application to the store, with the position after them, in one commit.

Changes are taken in the order in which they were made.  What is known of a row is kept by its key: the
values that it has then (None: it is there no longer), the key that the same row has in the files, from which
come the values that were not sent, and whether the files must have a row with this key.  So that they were
equal to the database before shows again with every transaction.

Rows come as the texts that PostgreSQL prints.  Casting such a text to its type gives the value back; so the
SQL that folds tables in an export makes JSON of the rows of a stream, too, and what comes of them is the same
to the byte.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import psycopg
from msgspec import Raw, structs

from octavo.backends.sql.columns import ROW, SqlColumn, Tables, array
from octavo.backends.sql.columns import Table as SqlTable
from octavo.errors import ConflictError, DatabaseError, DifferenceError, DivergedError, DriftError
from octavo.follow.protocol import UNCHANGED, Tuple
from octavo.follow.state import Position
from octavo.follow.tables import RESEED, Table
from octavo.layout.fold import concat, member, unkeepable
from octavo.layout.keys import Key, KeyForm
from octavo.layout.layout import Layout
from octavo.layout.record import Record, attribute
from octavo.postgres.connection import Connection
from octavo.postgres.failures import database_errors
from octavo.query.vocabulary import Vocabulary
from octavo.schema.datamodel import ScalarField
from octavo.schema.native import literal
from octavo.store.changeset import ChangeSet, Name
from octavo.store.intake import FilesRoot, PayloadProblem, Unreadable, other_size
from octavo.store.store import Store, Transaction
from octavo.values.registry import is_exact
from octavo.values.text import string_text
from octavo.values.tokens import Members


@dataclass(slots=True)
class Row:
    """What becomes of the row with one key."""

    was_there: bool
    """whether the files have a row with this key"""
    values: Tuple | None
    """None: it is there no longer"""
    origin: Tuple | None
    """the key that the same row has in the files; None: it is not in them"""

    @property
    def is_partial(self) -> bool:
        """Whether values of it have to come from the files."""
        return self.values is not None and UNCHANGED in self.values


@dataclass(slots=True)
class NetModel:
    """What becomes of the rows of one model, by key."""

    table: Table
    truncated: bool = False
    """whether all the rows that the files have are gone"""
    rows: dict[Tuple, Row] = field(default_factory=dict)


class Net:
    """Collects changes."""

    def __init__(self) -> None:
        self.models: dict[str, NetModel] = {}
        self.changes = 0
        """how many rows were changed, each time counted"""

    def insert(self, table: Table, values: Tuple) -> None:
        rows, key = self._rows(table), _key(table, values)
        known = rows.get(key)
        if known is None:
            rows[key] = Row(was_there=False, values=values, origin=None)
        elif known.values is not None:
            raise diverged(table, "a row was inserted that is there already")
        else:
            known.values, known.origin = values, None

    def update(self, table: Table, old: Tuple | None, values: Tuple) -> None:
        # The key, too, may be stored apart and not be sent again; then the old one was sent.
        values = _filled(values, old)
        rows, key = self._rows(table), _key(table, values)
        before = key if old is None else _key(table, old)
        known = self._present(table, before)
        merged = _filled(values, known.values)
        if before == key:
            known.values = merged
            return
        origin = known.origin
        known.values, known.origin = None, None
        target = rows.setdefault(key, Row(was_there=False, values=None, origin=None))
        if target.values is not None:
            raise diverged(table, "a row got the key of another one")
        target.values, target.origin = merged, origin

    def delete(self, table: Table, old: Tuple) -> None:
        known = self._present(table, _key(table, old))
        known.values, known.origin = None, None

    def truncate(self, table: Table) -> None:
        model = self._model(table)
        model.truncated = True
        model.rows.clear()
        self.changes += 1

    def _model(self, table: Table) -> NetModel:
        return self.models.setdefault(table.model.name, NetModel(table))

    def _rows(self, table: Table) -> dict[Tuple, Row]:
        self.changes += 1
        return self._model(table).rows

    def _present(self, table: Table, key: Tuple) -> Row:
        """A row that must be there."""
        model = self._model(table)
        self.changes += 1
        known = model.rows.get(key)
        if known is None and not model.truncated:
            every = (UNCHANGED,) * len(table.model.scalars)
            known = model.rows[key] = Row(was_there=True, values=every, origin=key)
        if known is None or known.values is None:
            raise diverged(table, "a row was changed that is not there")
        return known


def _key(table: Table, values: Tuple) -> Tuple:
    """The key of a row.  Raises DriftError if it was not sent: then nothing says which row it is."""
    key = table.key(values)
    if any(not isinstance(value, bytes) for value in key):
        raise DriftError(
            f"PostgreSQL has sent a change of {table.model.table} without the row's key",
            hint=f"update PostgreSQL to its latest minor release, then {RESEED}",
        )
    return key


def _filled(values: Tuple, before: Tuple | None) -> Tuple:
    """A row with what was not sent of it, as far as that is known."""
    if before is None or UNCHANGED not in values:
        return values
    return tuple(old if new is UNCHANGED else new for new, old in zip(values, before, strict=True))


def diverged(table: Table, reason: str) -> DivergedError:
    return DivergedError(
        table.model.name, "", f"the files have not been equal to PostgreSQL: {reason}", hint=RESEED
    )


Texts: TypeAlias = Sequence[bytes | None]

_AT_ONCE = 1000
"""rows in one statement"""


class Decoder:
    """Decodes rows and keys by a connection."""

    def __init__(self, connection: Connection, layout: Layout) -> None:
        self._connection, self._layout = connection, layout
        self._tables = Tables(Vocabulary(layout.datamodel))
        self._keys = cache(self._key_reader)

    def records(self, model: str, rows: Sequence[Texts]) -> list[Record]:
        """The records of rows that have the values of the model's scalar fields.

        Raises DriftError for what the schema does not allow, DifferenceError for values that no file can
        keep, DatabaseError.
        """
        table = self._tables[model]
        query = self._records_sql(table)
        found: list[Record] = []
        for some in _parts(rows):
            answer = self._ask(query, some)
            if refused := {reason for _, reason in answer if reason}:
                raise DifferenceError(
                    f"{model}: values that no file here can keep: {'; '.join(sorted(refused))}"
                )
            found += table.decode([text.encode() for text, _ in answer])
        return self._exact(model, found, rows)

    def keys(self, model: str, keys: Sequence[Texts]) -> list[Key]:
        return self._keys(model)(keys) if keys else []

    def texts(self, record: Record) -> list[bytes | None]:
        """A record as the stream would have its row."""
        columns = self._tables[type(record).__name__].columns.values()
        texts = [column.parameter(column.column.stored(record)) for column in columns]
        return [None if text is None else text.encode() for text in texts]

    def _exact(self, model: str, records: list[Record], rows: Sequence[Texts]) -> list[Record]:
        """With the exact text of ``json`` columns, which a line of JSON need not be able to hold."""
        scalars = self._layout.place(model).model.scalars
        exact = [(n, attribute(f)) for n, f in enumerate(scalars) if is_exact(f) and not f.is_list]
        if not exact:
            return records
        return [
            structs.replace(record, **{name: Raw(text) for n, name in exact if (text := row[n]) is not None})
            for record, row in zip(records, rows, strict=True)
        ]

    def _records_sql(self, table: SqlTable) -> str:
        place = self._layout.place(table.model.name)
        # The others are about keys that the store does not take.
        lists = [u for u in unkeepable(self._layout, place) if place.model.scalar(u.field).is_list]
        cases = " ".join(f"WHEN {u.condition} THEN {literal(f'{u.field} ({u.reason})')}" for u in lists)
        reason = f"CASE {cases} END" if cases else "NULL"
        return self._sql(table, table.model.scalars, f"{table.record}, {reason}")

    def _sql(self, table: SqlTable, fields: Sequence[ScalarField], wanted: str) -> str:
        """What is wanted of rows that are given column by column, in their order."""
        columns: list[SqlColumn] = [table.columns[f.name] for f in fields]
        given = ", ".join(f"${n}::text[]" for n, _ in enumerate(columns, 1))
        names = ", ".join(f"c{n}" for n, _ in enumerate(columns))
        cast = ", ".join(f"u.c{n}::{c.type} AS {c.quoted}" for n, c in enumerate(columns))
        return (
            f"SELECT {wanted} FROM unnest({given}) WITH ORDINALITY AS u({names}, n),"
            f" LATERAL (SELECT {cast}) AS {ROW}, LATERAL (SELECT {ROW}.*) AS t ORDER BY u.n"
        )

    def _ask(self, query: str, rows: Sequence[Texts]) -> list[Any]:
        parameters = [array(column) for column in zip(*rows, strict=True)]
        try:
            return self._answer(query, parameters)
        except DatabaseError as error:
            if error.sqlstate[:2] not in ("22", "42"):
                raise
            raise DriftError(
                f"the schema has changed under way: the tables do not take any more what they had: {error}",
                hint="compare the database with the schema: octavo schema check",
            ) from error

    def _answer(self, query: str, parameters: list[str]) -> list[Any]:
        with database_errors(doing="reading what was sent"):
            return psycopg.RawCursor(self._connection).execute(query.encode(), parameters).fetchall()

    def _key_reader(self, model: str) -> Callable[[Sequence[Texts]], list[Key]]:
        datamodel = self._layout.datamodel
        form = KeyForm(self._layout.place(model).model, datamodel)
        if all(column.text is string_text for _, column in form.fields):
            return lambda keys: [form.key([(text or b"").decode() for text in key]) for key in keys]
        fields = form.model.key_fields
        parts = ["'{'"]
        for n, f in enumerate(fields):
            parts += member(datamodel, f, ROW, f'{"," if n else ""}"{f.name}":')
        query = self._sql(self._tables[model], fields, concat([*parts, "'}'"]))

        def read(keys: Sequence[Texts]) -> list[Key]:
            answers = (self._ask(query, some) for some in _parts(keys))
            return [form.named(Members(text.encode())) for answer in answers for (text,) in answer]

        return read


def _parts(rows: Sequence[Texts]) -> Iterator[Sequence[Texts]]:
    return (rows[n : n + _AT_ONCE] for n in range(0, len(rows), _AT_ONCE))


_TRIES = 5
"""how often a commit is tried that an edit of the files has interfered with"""


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
        """the rows whose payload could not be read, or is not as the row says"""

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
                reason = "lack a row of PostgreSQL" if there else "have a row that PostgreSQL does not have"
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
        """Copy a row's payload from the files root; its digest, if it can be read."""
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
