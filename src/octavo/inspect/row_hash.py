"""Whether two heaps of rows are the same, in a few kilobytes, in whatever order they come.

Each side adds up the SHA-256 of every row, in one of :data:`BUCKETS` sums chosen by the row's key.  Sums of
digests do not depend on the order, and two heaps that differ anywhere have different sums (the construction
is AdHash: Bellare and Micciancio, "A New Paradigm for Collision-Free Hashing", 1997).  A bucket whose sums
differ says where to look closely.

A row is hashed as PostgreSQL's COPY in binary format sends it: the number of its columns, then each one's
length and bytes, a NULL having the length -1 (PostgreSQL's documentation of COPY, section Binary Format).
Every column is asked for as text, the key first, so nothing in a value needs escaping.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from operator import itemgetter
from zlib import crc32

from octavo.layout.codec import Values
from octavo.schema.datamodel import Datamodel, Model
from octavo.schema.native import quote, table_name
from octavo.values.registry import value_type

BUCKETS = 1024
_COUNT = 2
"""bytes in front of a row's first column"""
_NULL = b"\xff\xff\xff\xff"
_SHORT = 4096
_LENGTHS = [n.to_bytes(4) for n in range(_SHORT)]


class CopyBinary:
    """The rows of one model as frames: key first, then the other columns in the schema's order."""

    def __init__(self, datamodel: Datamodel, model: Model) -> None:
        self.model = model
        names = [f.name for f in model.scalars]
        key = [names.index(n) for n in model.key.field_names]
        order = [*key, *(n for n in range(len(names)) if n not in key)]
        self.names = [names[n] for n in order]
        self.key_length = len(key)
        self._arrange = itemgetter(*order) if len(order) > 1 else tuple
        self._in_order = order == sorted(order)
        self._count = len(order).to_bytes(_COUNT)
        columns = (model.scalars[n] for n in order)
        self._columns = [value_type(f, datamodel).text_sql(f"t.{quote(f.column)}") for f in columns]

    def copy_out(self, where: str = "") -> bytes:
        """The statement that sends every row of the table, in no order; those alone for which a clause (on
        ``t``) holds."""
        rows = f"SELECT {', '.join(self._columns)} FROM {table_name(self.model)} AS t{where}"
        return f"COPY ({rows}) TO STDOUT (FORMAT binary)".encode()

    def frame(self, values: Values) -> bytes:
        """A row from a file, framed as the database sends it."""
        parts = [self._count]
        for value in values if self._in_order else self._arrange(values):
            if value is None:
                parts.append(_NULL)
            else:
                size = len(value)
                parts.append(_LENGTHS[size] if size < _SHORT else size.to_bytes(4))
                parts.append(value)
        return b"".join(parts)

    def key(self, frame: bytes) -> bytes:
        """The part of a frame that is the row's key."""
        at = _COUNT
        for _ in range(self.key_length):
            at += 4 + int.from_bytes(frame[at : at + 4])
        return frame[_COUNT:at]

    def value(self, frame: bytes, name: str) -> bytes:
        """A frame's value of a field that is not NULL."""
        at = _COUNT
        for _ in range(self.names.index(name)):
            at += 4 + max(int.from_bytes(frame[at : at + 4], signed=True), 0)
        return frame[at + 4 : at + 4 + int.from_bytes(frame[at : at + 4])]

    def split(self, frame: bytes) -> dict[str, bytes | None]:
        """A frame's values by field."""
        return dict(zip(self.names, _values(frame, _COUNT), strict=True))

    def split_key(self, key: bytes) -> dict[str, bytes]:
        """A key's values by field."""
        return dict(zip(self.model.key.field_names, parts_of(key), strict=True))


def framed(key: Iterable[bytes]) -> bytes:
    """A key as it is in frames."""
    return b"".join(len(part).to_bytes(4) + part for part in key)


def parts_of(key: bytes) -> list[bytes]:
    """The values of a framed key; none of them is NULL."""
    return [part or b"" for part in _values(key, 0)]


def _values(framed: bytes, at: int) -> Iterator[bytes | None]:
    while at < len(framed):
        size = int.from_bytes(framed[at : at + 4], signed=True)
        at += 4
        yield None if size < 0 else framed[at : at + size]
        at += max(size, 0)


def bucket_of(key: bytes) -> int:
    """Where rows with this key are counted."""
    return crc32(key) % BUCKETS


def _zeros() -> defaultdict[int, int]:
    return defaultdict(int)


@dataclass
class Tally:
    """The sums of one side of one model: ``rows`` and ``sums`` by bucket; a bucket without rows has none."""

    rows: defaultdict[int, int] = field(default_factory=_zeros)
    sums: defaultdict[int, int] = field(default_factory=_zeros)

    def add(self, framed: CopyBinary, rows: Iterable[bytes]) -> int:
        """Count framed rows in; gives their number."""
        counts, sums, columns = self.rows, self.sums, range(framed.key_length)
        number = 0
        for number, row in enumerate(rows, 1):  # noqa: B007
            # As framed.key and bucket_of, without two calls for each row.
            end = _COUNT
            for _ in columns:
                end += 4 + int.from_bytes(row[end : end + 4])
            bucket = crc32(row[_COUNT:end]) % BUCKETS
            counts[bucket] += 1
            sums[bucket] += int.from_bytes(sha256(row).digest())
        return number

    def __iadd__(self, other: Tally) -> Tally:
        for bucket, count in other.rows.items():
            self.rows[bucket] += count
            self.sums[bucket] += other.sums[bucket]
        return self

    @property
    def count(self) -> int:
        return sum(self.rows.values())

    def differing(self, other: Tally) -> frozenset[int]:
        """The buckets in which the two sides are not the same."""
        buckets = self.rows.keys() | other.rows.keys()
        return frozenset(n for n in buckets if (self.rows[n], self.sums[n]) != (other.rows[n], other.sums[n]))
