"""Functions of a model, written out field by field: a loop over the fields takes twice the time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast

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


def texts_of(columns: Sequence[tuple[ScalarField, ValueType]]) -> Callable[[Any], list[bytes | None]]:
    """A function from a row to its values as PostgreSQL's texts.

    It is written out column by column, as the dataclass decorator does, since a loop takes twice the time and
    this is what reading a store mostly does.
    """
    names: dict[str, Any] = {"UNSET": UNSET}
    cells = []
    for n, (f, column) in enumerate(columns):
        names[f"text{n}"] = column.text
        if f.nullable and column.decoded is msgspec.Raw and not f.is_json:
            names[f"text{n}"] = _or_none(column.text)
        value = f"row.{attribute(f)}"
        may_lack = f.nullable and (column.decoded is not msgspec.Raw or f.is_json)
        lacks = f"(v := {value}) is {'UNSET' if f.is_json and not f.is_list else 'None'}"
        found = "v" if may_lack else value
        cell = f"text{n}({found})"
        if column.text is string_text:
            # Mostly this is all there is to it; a call for each takes a fifth of the time.
            cell = f"(v.encode() if '\\0' not in (v := {value}) else text{n}(v))"
        cells.append(f"None if {lacks} else {cell}" if may_lack else cell)
    exec(f"def texts(row):\n    return [{', '.join(cells)}]\n", names)
    return cast(Callable[[Any], list[bytes | None]], names["texts"])


def _or_none(text: Text) -> Callable[[msgspec.Raw], bytes | None]:
    """For raw text, which may be ``null`` by itself."""
    return lambda raw: None if bytes(raw) == b"null" else text(raw)
