"""Rows as the lines of PostgreSQL's COPY in text format, to be loaded.

One line is a row's values, separated by tabs; a NULL is ``\\N``; backslash, tab and line breaks are escaped
(PostgreSQL's documentation of COPY, section Text Format).
"""

from __future__ import annotations

from octavo.layout.unfold import Values
from octavo.schema.datamodel import Model
from octavo.schema.ddl import quote, table_name

_ESCAPES = ((b"\\", b"\\\\"), (b"\n", b"\\n"), (b"\t", b"\\t"), (b"\r", b"\\r"))
# No value holds a NUL, so that it can stand for the tab between values until theirs are escaped.
_BETWEEN, _NULL = b"\0", b"\\N"


def copy_in(model: Model) -> bytes:
    """The statement that takes lines into the table, columns in the schema's order."""
    columns = ", ".join(quote(f.column) for f in model.scalars)
    return f"COPY {table_name(model)} ({columns}) FROM STDIN".encode()


def line(values: Values) -> bytes:
    """A row's line, with its end."""
    if None in values:
        return b"\t".join([_NULL if v is None else _escaped(v) for v in values]) + b"\n"
    text = _escaped(_BETWEEN.join(values))  # type: ignore[arg-type]
    return text.replace(_BETWEEN, b"\t") + b"\n"


def _escaped(value: bytes) -> bytes:
    for raw, escape in _ESCAPES:
        value = value.replace(raw, escape)
    return value
