"""Whether two heaps of rows are the same, in a few kilobytes, in whatever order they come.

Each side adds up the SHA-256 of every row, in one of :data:`BUCKETS` sums chosen by the row's key.  Sums of
digests do not depend on the order, and two heaps that differ anywhere have different sums (the construction
is AdHash: Bellare and Micciancio, "A New Paradigm for Collision-Free Hashing", 1997).  A bucket whose sums
differ says where to look closely.

A row is hashed as the bytes of a binary COPY whose columns are all text, key first: the number of columns,
then each one's length and bytes, a NULL having the length -1 (PostgreSQL's documentation of COPY, section
Binary Format).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from operator import itemgetter
from zlib import crc32

from octavo.layout.types import column_type
from octavo.layout.unfold import Values
from octavo.schema.datamodel import Datamodel, Model
from octavo.schema.ddl import quote, table_name

BUCKETS = 4096
_HEADER = 19
"""bytes in front of a binary COPY's first row"""
_NULL = b"\xff\xff\xff\xff"
_LENGTHS = [n.to_bytes(4) for n in range(2048)]


@dataclass
class Tally:
    """The sums of one side of one model: ``rows`` and ``sums`` by bucket."""

    rows: list[int] = field(default_factory=lambda: [0] * BUCKETS)
    sums: list[int] = field(default_factory=lambda: [0] * BUCKETS)

    def add(self, key: bytes | memoryview, row: bytes | memoryview) -> None:
        """Count a row in."""
        bucket = crc32(key) % BUCKETS
        self.rows[bucket] += 1
        self.sums[bucket] += int.from_bytes(sha256(row).digest())

    def __iadd__(self, other: Tally) -> Tally:
        self.rows = [a + b for a, b in zip(self.rows, other.rows, strict=True)]
        self.sums = [a + b for a, b in zip(self.sums, other.sums, strict=True)]
        return self

    @property
    def count(self) -> int:
        return sum(self.rows)

    def differing(self, other: Tally) -> frozenset[int]:
        """The buckets in which the two sides are not the same."""
        return frozenset(
            n for n in range(BUCKETS) if self.rows[n] != other.rows[n] or self.sums[n] != other.sums[n]
        )


class Framing:
    """How the rows of one model become bytes to hash."""

    def __init__(self, datamodel: Datamodel, model: Model) -> None:
        self.model = model
        names = [f.name for f in model.scalars]
        key = [names.index(n) for n in model.key.field_names]
        self.order = [*key, *(n for n in range(len(names)) if n not in key)]
        self.names = [names[n] for n in self.order]
        self.key_length = len(key)
        self._arrange = itemgetter(*self.order) if len(self.order) > 1 else _single
        self._count = len(self.order).to_bytes(2)
        self._columns = [
            column_type(f, datamodel).text_sql(f"t.{quote(f.column)}")
            for f in (model.scalars[n] for n in self.order)
        ]

    def query(self) -> str:
        """The COPY that gives the database's rows as they are hashed."""
        rows = f"SELECT {', '.join(self._columns)} FROM {table_name(self.model)} AS t"
        return f"COPY ({rows}) TO STDOUT (FORMAT binary)"

    def key(self, row: bytes | memoryview) -> bytes | memoryview:
        """The part of a framed row that holds its key."""
        at = 2
        for _ in range(self.key_length):
            at += 4 + int.from_bytes(row[at : at + 4])
        return row[2:at]

    def frame(self, values: Values) -> tuple[bytes, bytes]:
        """A row from a file as it is hashed, and its key's part of that."""
        parts: list[bytes] = []
        for value in self._arrange(values):
            if value is None:
                parts.append(_NULL)
            else:
                size = len(value)
                parts.append(_LENGTHS[size] if size < 2048 else size.to_bytes(4))
                parts.append(value)
        # A key holds no NULL, so that each part of it is a length and a value.
        return self._count + b"".join(parts), b"".join(parts[: 2 * self.key_length])

    def frame_key(self, values: Sequence[bytes | None]) -> bytes:
        """A key alone, in the order of its fields."""
        return b"".join(len(v).to_bytes(4) + v for v in values if v is not None)

    def split(self, row: bytes) -> dict[str, bytes | None]:
        """A framed row as its values by field."""
        return dict(zip(self.names, _values(row, 2), strict=True))

    def split_key(self, key: bytes) -> dict[str, bytes | None]:
        """A framed key as its values by field."""
        return dict(zip(self.model.key.field_names, _values(key, 0), strict=True))


def _single(values: Values) -> tuple[bytes | None]:
    return (values[0],)


def _values(framed: bytes, at: int) -> Iterator[bytes | None]:
    while at < len(framed):
        size = int.from_bytes(framed[at : at + 4], signed=True)
        at += 4
        yield None if size < 0 else framed[at : at + size]
        at += max(size, 0)


def framed_rows(pieces: Iterable[bytes | memoryview | bytearray]) -> Iterator[memoryview]:
    """The rows of a binary COPY, as psycopg hands it over, without its header and trailer."""
    first = True
    for piece in pieces:
        row = memoryview(piece)
        if first:
            row, first = row[_HEADER:], False
        if len(row) > 2:
            yield row
