"""A log that is too large for memory: where its rows stand, instead of the rows.

Of each row it holds position, length and a hash of the key: 24 bytes.  They are in the order of the file
(:func:`octavo.layout.order.file_order`), and rows are read and decoded when they are used.
"""

from __future__ import annotations

import os
from array import array
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice, pairwise
from typing import Any, NamedTuple, overload

from octavo.layout.codec import Codec
from octavo.layout.keys import Key
from octavo.layout.record import Record, Row, plain
from octavo.layout.scan import Line, Scanner, end_of_log
from octavo.store.changes import Append, Change
from octavo.store.families.base import GARBAGE, Changed, Tail, opened
from octavo.store.families.held import OVERHEAD
from octavo.store.freshness import Stale, World
from octavo.store.system import Signature

_BLOCK = 128
"""rows that are read at once"""
_FEW = 8
"""keys that are looked for one by one"""


class _Spans(NamedTuple):
    """Position, length and hash of the key of each row.  They only ever grow at their end; any other change
    makes new ones, so that a thread that is reading these goes on."""

    at: array[int]
    length: array[int]
    hashes: array[int]

    def without(self, gone: Collection[int]) -> _Spans:
        """A copy that lacks some rows."""
        left = _Spans(*(column[:] for column in self))
        for n in sorted(gone, reverse=True):
            for column in left:
                del column[n]
        return left

    def insert(self, n: int, line: Line) -> None:
        for column, value in zip(self, (line.at, line.length, hash(line.key)), strict=True):
            column.insert(n, value)


class LongLog:
    """One log, and the state of the file that it was read from."""

    def __init__(self, world: World, file: str, scanner: Scanner, codec: Codec) -> None:
        """Read a log, piece by piece.  Raises DamagedError, DiskError, Stale."""
        self.world, self.file, self.scanner, self.codec = world, file, scanner, codec
        self.lineage: Any = None
        """what the index calls the states of the file that came from this one by commits alone"""
        self.lines = self.size = 0
        self.is_torn = False
        self._spans = _Spans(array("q"), array("q"), array("q"))
        with opened(world, file) as (descriptor, self.signature):
            _, self.size, self.ended = end_of_log(descriptor, self.signature.size)
            self.is_torn = self.size < self.signature.size
            self._read(descriptor)

    def __len__(self) -> int:
        return len(self._spans.at)

    @property
    def cost(self) -> int:
        """About how many bytes of memory it takes."""
        return 24 * len(self) + OVERHEAD

    @property
    def tail(self) -> Tail:
        return Tail(self.size, self.ended, self.signature)

    @property
    def is_wasteful(self) -> bool:
        """Whether superseded lines outweigh the records."""
        return self.lines > 2 * len(self) + GARBAGE

    def rows(self, *, plainly: bool) -> Rows:
        """The rows as they are now; ``plainly``: without what the schema does not know of them."""
        return Rows(self, self._spans, plain if plainly else None)

    # The first time

    def _read(self, descriptor: int) -> None:
        spans, order = self._spans, self.codec.order
        strays: dict[int, Any] = {}
        """by number, the sort keys of lines that are not where their order has them"""
        gone: set[int] = set()
        before: Any = None
        last: Any = None
        for piece in self.scanner.lines(self.file, descriptor, 0, self.size):
            self.lines += piece.lines
            keys = [None if row is None else order(row) for row in piece.rows]
            number = len(spans.at)
            spans.at.extend(piece.at)
            spans.length.extend(piece.lengths)
            spans.hashes.extend(map(hash, piece.keys))
            if keys and None not in keys and (last is None or last[1] < keys[0]) and _ascend(keys):
                before = (number + len(keys) - 2, keys[-2]) if len(keys) > 1 else last
                last = number + len(keys) - 1, keys[-1]
                continue
            for n, key in enumerate(keys, number):
                if key is None:
                    gone.add(n)
                elif last is None or key > last[1]:
                    before, last = last, (n, key)
                elif before is None or key > before[1]:
                    # The last one is the stray: it is later than those that follow.
                    strays[last[0]], last = last[1], (n, key)
                else:
                    strays[n] = key
        gone |= self._superseded(descriptor)
        if gone or strays:
            self._put_in_order(descriptor, gone, strays)

    def _superseded(self, descriptor: int) -> set[int]:
        """The numbers of the lines of which a later one has the key."""
        ordered = sorted(self._spans.hashes)
        repeated = {a for a, b in pairwise(ordered) if a == b}
        del ordered
        if not repeated:
            return set()
        found: set[int] = set()
        last: dict[Key, int] = {}
        for n, hashed in enumerate(self._spans.hashes):
            if hashed in repeated:
                key, _ = self.scanner.line(self._text(descriptor, n))
                if (earlier := last.get(key)) is not None:
                    found.add(earlier)
                last[key] = n
        return found

    def _put_in_order(self, descriptor: int, gone: set[int], strays: dict[int, Any]) -> None:
        lines = self._spans
        kept = [n for n in range(len(lines.at)) if n not in gone and n not in strays]
        self._spans = _Spans(*(array("q", map(column.__getitem__, kept)) for column in lines))
        del kept
        found: list[tuple[int, int]] = []
        for n in sorted((n for n in strays if n not in gone), key=strays.__getitem__):
            found.append((self._where(strays[n], partial(self._row, descriptor)), n))
        # From the end, so that the places of the others stay.
        for at, n in reversed(found):
            for column, old in zip(self._spans, lines, strict=True):
                column.insert(at, old[n])

    def _where(self, key: Any, row_at: Callable[[int], Row]) -> int:
        """Where a row with this sort key belongs."""
        order = self.codec.order
        return bisect_left(range(len(self)), key, key=lambda n: order(row_at(n)))

    # Afterwards

    def follow(self, change: Change, changed: Mapping[Key, Changed], found: Signature | None) -> None:
        """A commit of this process has changed the file.  Raises as :meth:`go_on`; Stale if it is to be read
        again."""
        if found is None or not isinstance(change, Append):
            raise Stale
        self.go_on(found, {key for key, (before, _) in changed.items() if before is None})

    def go_on(self, found: Signature, new: Collection[Key] = ()) -> None:
        """Take over the lines that were appended, to a file that is the same up to there.

        ``new`` are keys that no row before had.  Raises DamagedError, DiskError, Stale.
        """
        last: dict[Key, Line] = {}
        lines = 0
        with opened(self.world, self.file, appended=True) as (descriptor, there):
            if there != found:
                raise Stale
            _, size, ended = end_of_log(descriptor, found.size)
            start = self.size + (not self.ended)
            for piece in self.scanner.lines(self.file, descriptor, start, size, self.lines + 1):
                lines += piece.lines
                for line in piece.each():
                    last.pop(line.key, None)
                    last[line.key] = line
            self._take(descriptor, last, new)
        self.lines += lines
        self.size, self.ended, self.signature, self.is_torn = size, ended, found, size < found.size

    def _take(self, descriptor: int, last: dict[Key, Line], new: Collection[Key]) -> None:
        order, row_at = self.codec.order, partial(self._row, descriptor)
        gone = self._numbers([key for key in last if key not in new], row_at)
        came = [line for line in last.values() if line.row is not None]
        came.sort(key=lambda line: order(line.row))
        spans = self._spans
        if gone:
            self._spans = spans.without(gone)
        end = len(self)
        newest = order(row_at(end - 1)) if end and came else None
        if came and newest is not None and order(came[0].row) <= newest:
            if self._spans is spans:
                self._spans = spans.without(())
            for line in came:
                self._spans.insert(self._where(order(line.row), row_at), line)
            return
        for line in came:
            self._spans.insert(len(self), line)

    def _numbers(self, keys: Sequence[Key], row_at: Callable[[int], Row]) -> set[int]:
        """Where the rows with these keys are, as far as there are any."""
        wanted = {hash(key): key for key in keys}
        if len(wanted) < len(keys):
            # Two keys with one hash.
            return set().union(*(self._numbers([key], row_at) for key in keys))
        hashes = self._spans.hashes
        numbers: Iterable[int] = ()
        if len(keys) > _FEW:
            numbers = (n for n, hashed in enumerate(hashes) if hashed in wanted)
        elif keys:
            numbers = _find(hashes.tobytes(), [array("q", [hashed]).tobytes() for hashed in wanted])
        return {n for n in numbers if self.codec.key_of(row_at(n)) == wanted[hashes[n]]}

    # Rows

    def _text(self, descriptor: int, n: int) -> bytes:
        return os.pread(descriptor, self._spans.length[n], self._spans.at[n])

    def _row(self, descriptor: int, n: int) -> Row:
        return self.scanner.rows([self._text(descriptor, n)])[0]

    def block(self, spans: _Spans, first: int, end: int) -> list[Row]:
        """Some rows, read from the file.  Raises DamagedError, DiskError, Stale."""
        found = self.world.steadily(partial(self._block, spans, first, end))
        if found is None:
            raise Stale
        return found

    def _block(self, spans: _Spans, first: int, end: int) -> list[Row] | None:
        with opened(self.world, self.file, appended=True) as (descriptor, found):
            grows = self.file in self.world.in_flight and found.inode == self.signature.inode
            if found != self.signature and not grows:
                # What is in memory does not become right by waiting for a commit of this process.
                return None
            at, length = spans.at[first:end], spans.length[first:end]
            if all(
                start + n + 1 == following for start, n, following in zip(at, length, at[1:], strict=False)
            ):
                # They stand one after the other.
                text = os.pread(descriptor, at[-1] + length[-1] - at[0], at[0])
                return self.scanner.rows(text.split(b"\n"))
            return self.scanner.rows(
                [os.pread(descriptor, n, start) for start, n in zip(at, length, strict=True)]
            )


class Rows(Sequence[Any]):
    """The rows of a long log in the order of the file, read as they are used.  Raise as reading the log."""

    def __init__(self, log: LongLog, spans: _Spans, made: Callable[[Row], Record] | None) -> None:
        self._log, self._spans, self._made, self._len = log, spans, made, len(spans.at)

    def __len__(self) -> int:
        return self._len

    @overload
    def __getitem__(self, at: int) -> Any: ...
    @overload
    def __getitem__(self, at: slice) -> list[Any]: ...
    def __getitem__(self, at: int | slice) -> Any:
        if isinstance(at, slice):
            return [self[n] for n in range(*at.indices(self._len))]
        n = range(self._len)[at]
        return self._block(n, n + 1)[0]

    def __iter__(self) -> Iterator[Any]:
        for first in range(0, self._len, _BLOCK):
            yield from self._block(first, min(first + _BLOCK, self._len))

    def __reversed__(self) -> Iterator[Any]:
        for end in range(self._len, 0, -_BLOCK):
            yield from reversed(self._block(max(end - _BLOCK, 0), end))

    def _block(self, first: int, end: int) -> list[Any]:
        found = self._log.block(self._spans, first, end)
        return found if self._made is None else list(map(self._made, found))


def _ascend(keys: list[Any]) -> bool:
    return all(map(_less, keys, islice(keys, 1, None)))


def _less(a: Any, b: Any) -> bool:
    return bool(a < b)


def _find(data: bytes, patterns: Iterable[bytes]) -> Iterator[int]:
    """The numbers of the words of 8 bytes that are one of these."""
    for pattern in patterns:
        at = data.find(pattern)
        while at >= 0:
            if at % 8 == 0:
                yield at // 8
            at = data.find(pattern, at + 1)
