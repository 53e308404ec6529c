"""The line that a log must hold for a row, as PostgreSQL prints it.

The oracle of a verification by lines: ``row_to_json`` of a row whose columns have the schema's names; where a
type's JSON is not what PostgreSQL makes of it, ``line_sql`` of the value types helps.  It shares nothing with
the SQL that writes an export (:mod:`octavo.layout.fold` and ``json_sql``), nor with the decoders of a
verification by fields, so that a mistake in either shows.

Two values that a file tells apart never give the same line.  Where that is not certain (a year that
PostgreSQL prints in another way, an array with several dimensions), the line holds a random word instead of
the value, which no file holds: then the fields are compared.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from itertools import count, product

from octavo.layout.layout import Kind, Layout, Place
from octavo.schema.datamodel import ScalarField
from octavo.schema.native import literal, quote, table_name
from octavo.values.registry import value_type

_MOST_OPTIONAL = 4
"""Json columns of a model that may be NULL: the members of a line are another for each combination"""
_LONGEST_NAME = 63
"""bytes of a name in SQL: PostgreSQL cuts a longer one"""


class Lines:
    """The lines of one model, each with what names its file, or (in a log of many) its key."""

    def __init__(self, layout: Layout, place: Place) -> None:
        """Raises NotPrinted if a line of this model cannot be asked for."""
        self.layout, self.place = layout, place
        self._unlike = literal(secrets.token_hex(16))
        self._names = map("x{}".format, count())
        self.children = layout.embedded(place.model.name)
        self.logs = [
            p
            for p in layout.places
            if p.kind is Kind.LOG_PER_PARENT and p.relation and p.relation.parent == place.model.name
        ]
        """where each record has a log of its own"""
        if place.payload:
            raise NotPrinted("has payloads, whose digests only the files hold")
        names = place.name_fields or place.model.key.field_names
        named = bool(place.name_fields or self.logs)
        if named and len(names) > 1:
            raise NotPrinted("its file is named by several fields")
        head = f"{_of('t', place.model.scalar(names[0]))}::text" if named else "''::text"
        joins, arrays = self._embedded()
        line, rows = self._json(place, "t", arrays)
        self._select = f"SELECT {head}, {line} FROM {table_name(place.model)} AS t{joins}{rows}"

    def copy_out(self, first: int = 0, end: int | None = None, condition: str = "") -> bytes:
        """The statement that sends what is in the pages of the table from ``first`` to before ``end``; those
        rows alone for which a condition (on ``t``) holds."""
        bounds = [condition] if condition else []
        bounds += [f"t.ctid >= '({first},0)'"] if first else []
        bounds += [f"t.ctid < '({end},0)'"] if end is not None else []
        where = f" WHERE {' AND '.join(bounds)}" if bounds else ""
        return f"COPY ({self._select}{where}) TO STDOUT (FORMAT binary)".encode()

    def count_embedded(self) -> Iterator[bytes]:
        """For each embedded model, the statement that counts the rows of it that the lines show."""
        for child in self.children:
            assert child.relation is not None
            pairs = zip(child.relation.fields, child.relation.references, strict=True)
            same = " AND ".join(
                f"{_of('c', child.model.scalar(own))} = {_of('t', self.place.model.scalar(theirs))}"
                for own, theirs in pairs
            )
            tables = f"{table_name(child.model)} AS c JOIN {table_name(self.place.model)} AS t"
            yield f"SELECT count(*) FROM {tables} ON {same}".encode()

    def _json(self, place: Place, alias: str, arrays: Sequence[str] = ()) -> tuple[str, str]:
        """The expression of a record's JSON, and what has to follow in FROM."""
        optional = [f for f in place.fields if f.is_json and f.nullable and not f.is_list]
        if len(optional) > _MOST_OPTIONAL:
            raise NotPrinted("has many Json fields that may be NULL")
        tag = f"{literal(place.model.name)} AS _model" if place.kind.is_log else ""
        rows, cases = "", ""
        for held in product((False, True), repeat=len(optional)):
            absent = [f for f, there in zip(optional, held, strict=True) if not there]
            columns = [self._column(f, alias) for f in place.fields if f not in absent]
            row = next(self._names)
            rows += (
                f" CROSS JOIN LATERAL (SELECT {', '.join(filter(None, [tag, *columns, *arrays]))}) AS {row}"
            )
            nulls = [
                f"{_of(alias, f)} IS {'NOT ' if there else ''}NULL"
                for f, there in zip(optional, held, strict=True)
            ]
            # Only the row that is chosen is computed.
            cases += (
                f" WHEN {' AND '.join(nulls)} THEN row_to_json({row})" if nulls else f"row_to_json({row})"
            )
        return f"CASE{cases} END" if optional else cases, rows

    def _embedded(self) -> tuple[str, list[str]]:
        """The joins that gather what is embedded in a record, and its members."""
        joins, arrays = "", []
        for child in self.children:
            assert child.relation is not None
            if child.is_array_of_keys:
                item, rows = f"to_json({self._value(child.fields[0], 'c')})", ""
            else:
                item, rows = self._json(child, "c")
            keys = [_of("c", child.model.scalar(name)) for name in child.relation.fields]
            theirs = [_of("t", self.place.model.scalar(name)) for name in child.relation.references]
            name = next(self._names)
            selected = ", ".join(f"{key} AS k{n}" for n, key in enumerate(keys))
            same = " AND ".join(f"{name}.k{n} = {other}" for n, other in enumerate(theirs))
            order = ", ".join(self._order(child))
            joins += (
                f" LEFT JOIN (SELECT {selected}, string_agg(({item})::text, ',' ORDER BY {order}) AS items"
                f" FROM {table_name(child.model)} AS c{rows} GROUP BY {', '.join(keys)}) AS {name} ON {same}"
            )
            arrays.append(f"coalesce('[' || {name}.items || ']', '[]')::json AS {_name(child.array)}")
        return joins, arrays

    def _order(self, child: Place) -> Iterator[str]:
        model = child.model
        if model.created is not None:
            yield _of("c", model.created)
        for f in model.key_fields:
            kind = value_type(f, self.layout.datamodel)
            is_string = kind.schema.get("type") == "string" and kind.file_key is None
            yield f'({self._value(f, "c")})::text COLLATE "C"' if is_string else _of("c", f)

    def _column(self, field: ScalarField, alias: str) -> str:
        return f"{self._value(field, alias)} AS {_name(field.name)}"

    def _value(self, field: ScalarField, alias: str) -> str:
        """The column as what ``row_to_json`` prints as the format has it."""
        line_sql = value_type(field, self.layout.datamodel).line_sql
        if line_sql is None:
            raise NotPrinted(
                f"{field.name} is of a type of which a file may hold more than PostgreSQL prints"
            )
        return line_sql(_of(alias, field), self._unlike)


class NotPrinted(Exception):
    """PostgreSQL is not asked for the lines of a model; the message says why."""


def _of(alias: str, field: ScalarField) -> str:
    return f"{alias}.{quote(field.column)}"


def _name(name: str) -> str:
    if len(name.encode()) > _LONGEST_NAME:
        raise NotPrinted(f"{name} is longer than a name in SQL")
    return quote(name)
