"""Rows as the lines of PostgreSQL's COPY in text format, to be loaded.

One line is a row's values, separated by tabs; a NULL is ``\\N``; backslash, tab and line breaks are escaped
(PostgreSQL's documentation of COPY, section Text Format).
"""

from __future__ import annotations

from octavo.layout.codec import Values
from octavo.schema.datamodel import Model
from octavo.schema.sql import quote, table_name

_ESCAPES = ((b"\\", b"\\\\"), (b"\n", b"\\n"), (b"\t", b"\\t"), (b"\r", b"\\r"))
_NULL = b"\\N"
# While a whole row is escaped at once, these stand for the tabs between values, since no value holds a NUL,
# and for NULLs, unless a value happens to hold that byte.
_BETWEEN, _ABSENT = b"\0", b"\x1a"


def copy_in(model: Model, table: str = "") -> bytes:
    """The statement that takes lines into the table, or into one like it, columns in the schema's order."""
    columns = ", ".join(quote(f.column) for f in model.scalars)
    return f"COPY {table or table_name(model)} ({columns}) FROM STDIN".encode()


def line(values: Values) -> bytes:
    """A row's line, with its end."""
    row = _BETWEEN.join([_ABSENT if v is None else v for v in values])
    if row.count(_ABSENT) != values.count(None):
        return b"\t".join([_NULL if v is None else _escaped(v) for v in values]) + b"\n"
    return _escaped(row).replace(_BETWEEN, b"\t").replace(_ABSENT, _NULL) + b"\n"


def _escaped(value: bytes) -> bytes:
    for raw, escape in _ESCAPES:
        value = value.replace(raw, escape)
    return value
