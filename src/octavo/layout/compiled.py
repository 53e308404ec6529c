"""Functions of a model, written out field by field: a loop over the fields takes twice the time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, TypeAlias, cast, get_args, get_origin

import msgspec
from msgspec import UNSET

from octavo.layout.record import Record, attribute
from octavo.schema.datamodel import ScalarField
from octavo.values.base import Text, ValueType
from octavo.values.text import string_text


def maker(made: type[Record], fields: Iterable[ScalarField]) -> Callable[..., Record]:
    """A function from a decoded record to its row, written out attribute by attribute as that is quickest.

    It takes the attributes that an embedded record has from its parent by name.
    """
    values = ", ".join(f"{name}=source.{name}" for name in map(attribute, fields))
    names: dict[str, Any] = {"Made": made}
    exec(f"def make(source, **inherited):\n    return Made({values}, **inherited)\n", names)
    return cast(Callable[..., Record], names["make"])


_Column: TypeAlias = tuple[ScalarField, ValueType]


def texts_of(columns: Sequence[_Column]) -> Callable[[Any], list[bytes | None]]:
    """A function from a row to its values as PostgreSQL's texts.

    It is written out column by column, as the dataclass decorator does, since a loop takes twice the time and
    this is what reading a store mostly does.
    """
    names: dict[str, Any] = {"UNSET": UNSET}
    cells = []
    for n, (f, column) in enumerate(columns):
        names[f"text{n}"] = _text_of(f, column)
        lacks, found = _lacking(f, column)
        cell = f"text{n}({found})"
        if column.text is string_text:
            # Mostly this is all there is to it; a call for each takes a fifth of the time.
            value = f"row.{attribute(f)}"
            cell = f"(v.encode() if '\\0' not in (v := {value}) else text{n}(v))"
        cells.append(f"None if {lacks} else {cell}" if lacks else cell)
    exec(f"def texts(row):\n    return [{', '.join(cells)}]\n", names)
    return cast(Callable[[Any], list[bytes | None]], names["texts"])


def marked(
    columns: Sequence[_Column], *, between: str, null: str, end: str
) -> Callable[[Iterable[Any]], str]:
    """A function from rows that were checked to one text of all their values, with marks: between values, for
    NULL, at the end of a row.

    The values are PostgreSQL's texts, but for times, which are in the other spelling that it takes too.
    """
    # Between these begin the times that have a year of four digits, which is not the year zero.
    names: dict[str, Any] = {"UNSET": UNSET, "null": null, "encoding": "utf-8", "first": "1", "after": ":"}
    cells = []
    for n, (f, column) in enumerate(columns):
        names[f"text{n}"] = _text_of(f, column)
        lacks, found = _lacking(f, column)
        if column.printed:
            cell = found
        elif get_origin(column.decoded) is Literal:
            names[f"text{n}"] = {name: column.text(name).decode() for name in get_args(column.decoded)}
            cell = f"text{n}[{found}]"
        elif f.is_json and not f.is_list:
            cell = f"str({found}, encoding)"
        elif column.width:
            value = found if lacks else f"(v := {found})"
            cell = f"v if first <= {value} < after else text{n}(v).decode()"
        elif f.nullable and not lacks:
            cell = f"null if (v := text{n}({found})) is None else v.decode()"
        else:
            cell = f"text{n}({found}).decode()"
        cells.append(f"{{(null if {lacks} else {cell})}}" if lacks else f"{{({cell})}}")
    row = f"f{between.join(cells) + end!r}"
    exec(f"def marked(rows):\n    return ''.join([{row} for row in rows])\n", names)
    return cast(Callable[[Iterable[Any]], str], names["marked"])


def _lacking(f: ScalarField, column: ValueType) -> tuple[str, str]:
    """Of a column's value in ``row``: the condition that it is NULL, which also names it ``v`` (empty: it is
    never, or its text says so); and the value."""
    value = f"row.{attribute(f)}"
    if not f.nullable or (column.decoded is msgspec.Raw and not f.is_json):
        return "", value
    return f"(v := {value}) is {'UNSET' if f.is_json and not f.is_list else 'None'}", "v"


def _text_of(f: ScalarField, column: ValueType) -> Callable[[Any], bytes | None]:
    if f.nullable and column.decoded is msgspec.Raw and not f.is_json:
        return _or_none(column.text)
    return column.text


def _or_none(text: Text) -> Callable[[msgspec.Raw], bytes | None]:
    """For raw text, which may be ``null`` by itself."""
    return lambda raw: None if bytes(raw) == b"null" else text(raw)
