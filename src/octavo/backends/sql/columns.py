"""How SQL speaks of a model: its table, and each column with the ways to write, compare and order it.

A value goes to PostgreSQL as the text that it would print itself (:mod:`octavo.values`), and is cast
there to the column's type without its length, so that a text to compare with is not cut to fit.

What ``lower`` does depends on the collation: on some databases it leaves É alone, on others a final Σ becomes
ς.  :class:`Lowering` chooses one that maps each character by itself, and translates what it maps otherwise
than Python does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple, Protocol, TypeAlias

import msgspec

from octavo.errors import DriftError
from octavo.layout.fold import concat, member
from octavo.layout.record import Record, value_of
from octavo.query.plan import Link
from octavo.query.vocabulary import Column, Terms, Vocabulary
from octavo.schema.datamodel import Datamodel, IndexKind
from octavo.schema.native import literal, quote, table_name
from octavo.values.lists import array_text
from octavo.values.text import lower, string_text
from octavo.values.tokens import Members

ROW = "t0"
"""the alias of the record that a statement is about"""

Parameter: TypeAlias = str | None
"""A value as PostgreSQL's text; None is NULL."""


class SqlColumn:
    """One column in SQL.  Methods that take ``of`` take the alias of its row."""

    def __init__(self, column: Column) -> None:
        field, kind = column.field, column.type
        self.column, self.field, self.quoted = column, field, quote(field.column)
        self.type = kind.sql
        """what a value to be stored is cast to"""
        self.operand_type = kind.compared_as or kind.sql
        """what a value to compare with is cast to"""
        self.operand_element = kind.one.compared_as or kind.one.sql
        self.computed_as = kind.computed_as
        self.search_sql, self._collated = kind.search_sql, kind.collated
        self._text, self._element_text = kind.text, kind.one.text
        self._plain = kind.text is string_text

    def of(self, alias: str) -> str:
        """The column itself."""
        return f"{alias}.{self.quoted}"

    def compared(self, alias: str) -> str:
        """What is compared with a value of :attr:`operand_type`."""
        column = self.of(alias)
        return column if self.operand_type == self.type else f"{column}::{self.operand_type}"

    def collated(self, expression: str) -> str:
        """What orders text by its bytes."""
        return f'{expression} COLLATE "C"' if self._collated else expression

    def text(self, alias: str) -> str:
        """Its text to search in, with the blanks that pad it."""
        return self.search_sql(self.of(alias))

    def parameter(self, stored: Any) -> Parameter:
        """A value in stored form."""
        if self.column.is_null(stored):
            return None
        if self._plain:
            return stored  # type: ignore[no-any-return]
        return self._text(stored).decode()

    def operand(self, stored: Any) -> str:
        """A value to compare with; of a list column, an element's."""
        return stored if self._plain else self._element_text(stored).decode()

    def operands(self, values: Sequence[Any]) -> str:
        """Several of these as one array."""
        if self._plain:
            return array([value.encode() for value in values])
        return array([self._element_text(value) for value in values])


def array(values: Sequence[bytes | None]) -> str:
    """An array of PostgreSQL's texts as a parameter."""
    return array_text(list(values)).decode()


class Rows(Protocol):
    """What conditions and orders are about."""

    @property
    def columns(self) -> Mapping[str, SqlColumn]: ...


class Table:
    """One model, view or join table in SQL."""

    def __init__(self, terms: Terms, datamodel: Datamodel) -> None:
        self.terms, self.model, self.datamodel = terms, terms.model, datamodel
        self.name = table_name(terms.model)
        self.columns = {name: SqlColumn(column) for name, column in terms.columns.items()}
        self._decoder = msgspec.json.Decoder(list[terms.type])  # type: ignore[name-defined]
        self.place, self.first, self.key = map(self._beside, ("place", "first", "key"))
        """columns beside a row's own: its place in the order, its place among those that count once, and its
        key's"""

    def _beside(self, name: str) -> str:
        """A name, quoted, that no column of the table has."""
        columns = {column.field.column for column in self.columns.values()}
        while name in columns:
            name += "_"
        return quote(name)

    @cached_property
    def record(self) -> str:
        """The record in the row :data:`ROW` as JSON: the line of a log that it would be."""
        parts = [literal(f'{{"_model":"{self.model.name}"')]
        for field in self.model.scalars:
            parts += member(self.datamodel, field, ROW, f',"{field.name}":')
        return concat([*parts, literal("}")])

    def decode(self, rows: Sequence[bytes]) -> list[Record]:
        """Records from what :attr:`record` gives.  Raises DriftError for what the schema does not allow."""
        try:
            found: list[Record] = self._decoder.decode(b"[%b]" % b",".join(rows))
        except RecursionError:
            return [self._deep(row) for row in rows]
        except msgspec.MsgspecError as error:
            raise DriftError(
                f"{self.model.name}: a record in the database is not what the schema says",
                hint="compare the database with the schema: octavo schema check",
            ) from error
        return found

    def _deep(self, row: bytes) -> Record:
        """A record with a Json value that is nested deeper than the decoder goes."""
        found = Members(row)
        kinds = {name: (c.field, c.column.type) for name, c in self.columns.items()}
        return self.terms.record({name: value_of(*kinds[name], found.get(name)) for name in kinds})

    def has_index(self, fields: Sequence[str]) -> bool:
        """Whether an index leads straight to the rows with certain values of these fields."""
        wanted = set(fields)
        return any(
            set(index.field_names[: len(wanted)]) == wanted
            for index in self.model.all_indexes
            if index.kind is not IndexKind.NORMAL or index.algorithm in (None, "BTree", "Hash")
        )


class Tables:
    """Every model's table, made when it is first asked for."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self._tables: dict[str, Table] = {}

    def __getitem__(self, model: str) -> Table:
        found = self._tables.get(model)
        if found is None:
            table = Table(self.vocabulary[model], self.vocabulary.datamodel)
            found = self._tables.setdefault(model, table)
        return found

    def is_sliced_quickly(self, link: Link) -> bool:
        """Whether the records linked to one record are found by an index."""
        if link.join:
            return self[link.join].has_index((link.near,))
        return self[link.target].has_index(link.references)

    def linked(self, link: Link, near: Callable[[str], str], far: str, join: str) -> tuple[str, str]:
        """How the rows of ``link.target`` under the alias ``far`` are found: what joins them (empty, or a
        JOIN with the join table under the alias ``join``), and the condition.

        ``near`` gives the expression of a field of ``link.model``.
        """
        target = self[link.target]
        if not link.join:
            pairs = zip(link.fields, link.references, strict=True)
            return "", " AND ".join(f"{target.columns[r].of(far)} = {near(f)}" for f, r in pairs)
        rows = self[link.join]
        [own], [other] = link.fields, link.references
        joined = (
            f" JOIN {rows.name} AS {join}"
            f" ON {rows.columns[link.far].of(join)} = {target.columns[other].of(far)}"
        )
        return joined, f"{rows.columns[link.near].of(join)} = {near(own)}"


Ask: TypeAlias = Callable[[str, Sequence[str]], Any]
"""Runs a query, with parameters ``$1`` …, and gives the first column of its only row (None: no row)."""

_COLLATION = """
SELECT collname FROM pg_catalog.pg_collation
WHERE collnamespace = 'pg_catalog'::regnamespace AND collprovider IN ('b', 'c')
  AND collname IN ('pg_c_utf8', 'C.utf8', 'C.UTF-8')
  AND collencoding IN (-1, pg_char_to_encoding(getdatabaseencoding()))
ORDER BY collprovider, collname LIMIT 1
"""
_BEYOND = 0x1F000
"""from here on no character has a case"""


class _Way(NamedTuple):
    collation: str
    others: str
    """characters that must be mapped before"""
    mapped: str


class Lowering:
    """Asks the server, once, how it lowers."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    def sql(self, text: str) -> str:
        """The lower case of an SQL expression of type text."""
        collation, others, mapped = self._way
        plain = f"lower(({text}) COLLATE {collation})"
        if not others:
            return plain
        translated = f"translate({text}, {literal(others)}, {literal(mapped)})"
        return (
            f"CASE WHEN octet_length({text}) = length({text}) THEN {plain}"
            f" ELSE lower({translated} COLLATE {collation}) END"
        )

    @cached_property
    def _way(self) -> _Way:
        found = self._ask(_COLLATION, ())
        collation = quote("C" if found is None else found)
        characters = [chr(n) for n in range(0x80, _BEYOND) if not 0xD800 <= n < 0xE000]
        lowered: Sequence[str] = characters
        if found is not None:
            lowered = self._ask(f"SELECT lower($1::text COLLATE {collation})", ["".join(characters)])
            assert len(lowered) == len(characters), collation
        # What a newer Unicode than Python's maps stays as it is mapped.
        pairs = zip(characters, lowered, strict=True)
        others = [c for c, theirs in pairs if lower(c) not in (c, theirs)]
        return _Way(collation, "".join(others), "".join(map(lower, others)))
