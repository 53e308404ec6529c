"""Rows as the lines of PostgreSQL's COPY in text format.

One line is a row's values, separated by tabs; a NULL is ``\\N``; backslash and the control characters that
have a letter are escaped (PostgreSQL's documentation of COPY, section Text Format).  It is what the database
sends to be verified and takes to be restored.
"""

from __future__ import annotations

import re
from operator import itemgetter

from octavo.layout.live import key_values
from octavo.layout.types import column_type
from octavo.layout.unfold import Record, Values
from octavo.schema.datamodel import Datamodel, Model
from octavo.schema.ddl import quote, table_name

_LETTERS = {b"\b": b"b", b"\f": b"f", b"\n": b"n", b"\r": b"r", b"\t": b"t", b"\v": b"v"}
_UNESCAPED = {b"\\" + letter: raw for raw, letter in _LETTERS.items()} | {b"\\\\": b"\\"}
_ESCAPE = re.compile(rb"\\[\\bfnrtv]")
# No value holds a NUL, so what starts with one can stand for the separators until all else is escaped.
_BETWEEN, _NULL = b"\0|", b"\0N"


class CopyText:
    """The rows of one model as lines: key first, then the other columns in the schema's order."""

    def __init__(self, datamodel: Datamodel, model: Model) -> None:
        self.model = model
        names = [f.name for f in model.scalars]
        key = [names.index(n) for n in model.key.field_names]
        order = [*key, *(n for n in range(len(names)) if n not in key)]
        self.names = [names[n] for n in order]
        self._key_length = len(key)
        self._arrange = itemgetter(*order) if len(order) > 1 else tuple
        columns = [model.scalars[n] for n in order]
        self._columns = [quote(f.column) for f in columns]
        self._read = [column_type(f, datamodel).text_sql(f"t.{quote(f.column)}") for f in columns]

    def copy_out(self) -> bytes:
        """The statement that sends every row of the table, in no order."""
        return f"COPY (SELECT {', '.join(self._read)} FROM {table_name(self.model)} AS t) TO STDOUT".encode()

    def copy_in(self) -> bytes:
        """The statement that takes rows into the table."""
        return f"COPY {table_name(self.model)} ({', '.join(self._columns)}) FROM STDIN".encode()

    def line(self, values: Values) -> bytes:
        """A row's line, without its end."""
        text = _BETWEEN.join([_NULL if v is None else v for v in self._arrange(values)])
        if b"\\" in text:
            text = text.replace(b"\\", b"\\\\")
        for raw, letter in _LETTERS.items():
            if raw in text:
                text = text.replace(raw, b"\\" + letter)
        return text.replace(_BETWEEN, b"\t").replace(_NULL, b"\\N")

    def key(self, line: bytes) -> bytes:
        """The part of a line that is the row's key."""
        if self._key_length == 1:
            return line.partition(b"\t")[0]
        return b"\t".join(line.split(b"\t", self._key_length)[: self._key_length])

    def key_of(self, record: Record) -> bytes:
        """A record's key as :meth:`key` gives it; of a tombstone too."""
        return b"\t".join(map(_escape, key_values(record)))

    def split(self, line: bytes) -> dict[str, bytes | None]:
        """A line's values by field."""
        return dict(zip(self.names, map(_unescape, line.split(b"\t")), strict=True))

    def split_key(self, key: bytes) -> dict[str, bytes | None]:
        """A key's values by field."""
        return dict(zip(self.model.key.field_names, map(_unescape, key.split(b"\t")), strict=True))


def _escape(value: bytes | None) -> bytes:
    if value is None:
        return b"\\N"
    value = value.replace(b"\\", b"\\\\")
    for raw, letter in _LETTERS.items():
        value = value.replace(raw, b"\\" + letter)
    return value


def _unescape(value: bytes) -> bytes | None:
    if value == b"\\N":
        return None
    return _ESCAPE.sub(lambda found: _UNESCAPED[found[0]], value)
