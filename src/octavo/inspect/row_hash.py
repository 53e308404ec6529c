"""Whether two heaps of rows are the same, in a few kilobytes, in whatever order they come.

Each side adds up the SHA-256 of every row, in one of :data:`BUCKETS` sums chosen by the row's key.  Sums of
digests do not depend on the order, and two heaps that differ anywhere have different sums (the construction
is AdHash: Bellare and Micciancio, "A New Paradigm for Collision-Free Hashing", 1997).  A bucket whose sums
differ says where to look closely.

A row is hashed as a binary COPY frames it, key first (:mod:`octavo.inspect.copybinary`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from zlib import crc32

from octavo.inspect.copybinary import CopyBinary

BUCKETS = 1024


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

    def adder(self, framed: CopyBinary) -> Callable[[bytes], None]:
        """A function that counts a framed row in."""
        key, rows, sums = framed.key, self.rows, self.sums

        def add(row: bytes) -> None:
            # As bucket_of, without a call for each row.
            bucket = crc32(key(row)) % BUCKETS
            rows[bucket] += 1
            sums[bucket] += int.from_bytes(sha256(row).digest())

        return add

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
