"""PostgreSQL's rows by the record that they are in, and by the file that this is in.

A row of an embedded model is in the record of its parent.  A record is told by its model and by its key as
:class:`octavo.inspect.row_hash.CopyBinary` frames it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from urllib.parse import unquote_to_bytes

import psycopg

from octavo.inspect.row_hash import CopyBinary, framed, parts_of
from octavo.layout.layout import FileFamily, Kind, Layout, Place
from octavo.move.news import Unsure
from octavo.postgres.connection import Connection
from octavo.postgres.copying import CopyOut
from octavo.postgres.failures import database_errors
from octavo.schema.datamodel import Model
from octavo.schema.ddl import sql_type
from octavo.schema.native import literal, quote
from octavo.url import DatabaseUrl

_AT_ONCE = 1000
"""keys that PostgreSQL is asked for together"""


class Hosted:
    """Asks one connection after the other for rows."""

    def __init__(self, layout: Layout) -> None:
        self.layout, self.datamodel = layout, layout.datamodel
        self.frames = {m.name: CopyBinary(self.datamodel, m) for m in self.datamodel.tables}

    def rows(
        self, connection: Connection, url: DatabaseUrl, model: str, restriction: str = ""
    ) -> Iterator[bytes]:
        """The rows of a model, with a restriction on ``t``.  Raises Unsure, DatabaseError."""
        with database_errors(url, f"reading {model}"):
            try:
                # Rolled back, so that no lock is left.
                with connection.transaction(force_rollback=True):
                    copy = CopyOut(connection, self.frames[model].copy_out(restriction))
                    try:
                        yield from copy.rows()
                    finally:
                        for _ in copy.batches():
                            pass
            except psycopg.DataError as error:
                raise Unsure(f"PostgreSQL does not take a key of {model}") from error
            except psycopg.errors.LockNotAvailable as error:
                raise Unsure(f"another session waits for the table of {model}") from error

    def host_of(self, model: str) -> tuple[str, Callable[[bytes], bytes]]:
        """The model of the records that a model's rows are in, and a function from a row to the key."""
        place, frame = self.layout.place(model), self.frames[model]
        if place.kind is not Kind.EMBEDDED or place.relation is None:
            return model, frame.key
        names = self.named(model)

        def key(row: bytes) -> bytes:
            values = frame.split(row)
            return framed([values[name] or b"" for name in names])

        return place.relation.parent, key

    def named(self, model: str) -> Sequence[str]:
        """The fields of a model that hold the key of the record that a row is in."""
        place = self.layout.place(model)
        if place.kind is not Kind.EMBEDDED or place.relation is None:
            return place.model.key.field_names
        return place.relation.fields

    def home_of(self, place: Place) -> Callable[[bytes], str]:
        """From a row of a record to the file that it is in."""
        if not place.name_fields:
            return lambda row: place.path
        frame = self.frames[place.model.name]

        def home(row: bytes) -> str:
            values = frame.split(row)
            return place.file_for([(values[name] or b"").decode() for name in place.name_fields])

        return home

    def of_records(
        self, connection: Connection, url: DatabaseUrl, model: str, keys: Collection[bytes], rows: int
    ) -> Iterator[bytes]:
        """The rows of a model, which has so many, in the records with these keys; others too, if that is
        quicker."""
        if len(keys) * 4 > rows:
            if keys:
                yield from self.rows(connection, url, model)
            return
        ordered, names = list(keys), self.named(model)
        for start in range(0, len(ordered), _AT_ONCE):
            parts = [parts_of(key) for key in ordered[start : start + _AT_ONCE]]
            yield from self.rows(
                connection, url, model, self._among(self.datamodel.model(model), names, parts)
            )

    def in_file(
        self, connections: Sequence[tuple[Connection, DatabaseUrl]], path: str
    ) -> Iterator[tuple[str, bytes]]:
        """Every record that PostgreSQL has in a file, as each of the connections sees it."""
        family = self.layout.family(path)
        if family is None:
            raise Unsure(f"{path} may have changed")
        place = family.places[0]
        key = _key_in(family, path) if family.varies else []
        if family.kind is Kind.FILE:
            yield place.model.name, framed(key)
            return
        restriction = ""
        if family.varies and place.relation is not None:
            yield place.relation.parent, framed(key)
            restriction = self._among(place.model, place.relation.fields, [key])
        for one in family.places:
            frame = self.frames[one.model.name]
            for connection, url in connections:
                for row in self.rows(connection, url, one.model.name, restriction):
                    yield one.model.name, frame.key(row)

    def _among(self, model: Model, names: Sequence[str], keys: Sequence[Sequence[bytes]]) -> str:
        """Restricts a query to the rows in which these fields have one of these values."""
        arrays, same = [], []
        for at, name in enumerate(names):
            texts = ", ".join(literal(key[at].decode()) for key in keys)
            scalar = model.scalar(name)
            arrays.append(f"ARRAY[{texts}]::text[]")
            same.append(f"t.{quote(scalar.column)} = k.c{at}::{sql_type(self.datamodel, scalar)}")
        aliases = ", ".join(f"c{at}" for at in range(len(names)))
        return f" JOIN unnest({', '.join(arrays)}) AS k({aliases}) ON {' AND '.join(same)}"


def _key_in(family: FileFamily, path: str) -> list[bytes]:
    """The key that names a file."""
    place = family.places[0]
    key = [unquote_to_bytes(part) for part in family.stem(path).split(".")]
    if place.file_for([part.decode("utf-8", "replace") for part in key]) != path:
        raise Unsure(f"the name of {path} does not tell whose it is")
    return key
