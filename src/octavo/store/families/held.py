"""A log of a parent with its rows in memory."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from octavo.layout.codec import Codec
from octavo.layout.keys import Key
from octavo.layout.record import Noted, Record, Row, plain
from octavo.layout.scan import Log, Scanner, end_of_log
from octavo.store.changes import Append, Change
from octavo.store.families.base import Changed, LogFile, opened
from octavo.store.freshness import Stale, World
from octavo.store.system import Signature

OVERHEAD = 1_000
"""bytes of memory that each log takes beside its rows"""
_MANY = 2_000
"""records that an event loop does not sort"""
_FEW = 100
"""changes of a log for which its records are not sorted anew"""


class Logs(Protocol):
    """The family that a log is one of."""

    world: World
    scanner: Scanner
    codec: Codec
    model: str

    def in_order(self, model: str, rows: Iterable[Row]) -> list[Row]: ...


class HeldLog(LogFile):
    """A log of one model in memory, its rows in the order of the file once that was asked for."""

    def __init__(self, family: Logs, file: str, log: Log, found: Signature) -> None:
        super().__init__(file, log, found)
        self.lineage: Any = None
        """what the index calls the states of the file that came from this one by commits alone"""
        self._family = family
        self._ordered: list[Row] | None = None
        """the rows in the order of the file, once they were asked for: longer by those that come at its end,
        otherwise replaced"""
        self._since: list[Changed] = []
        """what has changed since they were put in order"""
        self._plain: list[Record] | None = None
        """the same without notes"""

    def __len__(self) -> int:
        return len(self.log.live[self._family.model])

    @property
    def cost(self) -> int:
        """About how many bytes of memory it takes, as the budget counts them."""
        return self.log.size + OVERHEAD

    @property
    def is_torn(self) -> bool:
        return bool(self.log.torn)

    def rows(self, *, plainly: bool) -> Sequence[Any]:
        """The rows in the order of the file; ``plainly``: without what the schema does not know of them."""
        found: Any = self._plain if plainly else self._ordered
        if found is not None and not self._since:
            return found  # type: ignore[no-any-return]
        world = self._family.world
        # A commit must not come between, or what is remembered would lack it.
        with world.mutex, world.guard:
            ordered = self._ordered
            if ordered is None or self._since:
                ordered = self._ordered = self._put_in_order()
                self._plain, self._since = None, []
            if not plainly:
                return ordered
            if self._plain is None:
                noted: Any = Noted in set(map(type, ordered))
                self._plain = list(map(plain, ordered)) if noted else ordered  # type: ignore[assignment]
            return self._plain  # type: ignore[return-value]

    def _put_in_order(self) -> list[Row]:
        found = None
        if self._ordered is not None and len(self._since) <= _FEW:
            found = self._reordered(self._ordered, self._since)
        if found is not None:
            return found
        family = self._family
        if len(self) > _MANY:
            family.world.take_time()
        return family.in_order(family.model, self.log.live[family.model].values())

    def _reordered(self, ordered: list[Row], changes: Iterable[Changed]) -> list[Row] | None:
        """Rows in the order of the file, after changes; None: they are to be sorted anew."""
        found, order, key_of = list(ordered), self._family.codec.order, self._family.codec.key_of
        for before, after in changes:
            if before is not None:
                at = bisect_left(found, order(before), key=order)
                if at == len(found) or key_of(found[at]) != key_of(before):
                    return None
                del found[at]
            if after is not None:
                insort(found, after, key=order)
        return found

    def follow(self, change: Change, changed: Mapping[Key, Changed], found: Signature | None) -> None:
        """A commit of this process has changed the file."""
        self._take(changed)
        self.written(change, found)
        if not isinstance(change, Append):
            self.lineage = None

    def go_on(self, found: Signature) -> None:
        """Take over the lines that others have appended, to a file that is the same up to there.

        Raises DamagedError, DiskError, Stale.
        """
        log, family = self.log, self._family
        live, last = log.live[family.model], dict[Key, Row | None]()
        lines = 0
        with opened(family.world, self.file, appended=True) as (descriptor, there):
            if there != found:
                raise Stale
            _, size, ended = end_of_log(descriptor, found.size)
            start = log.size + (not log.ended)
            for piece in family.scanner.lines(self.file, descriptor, start, size, log.lines + 1):
                lines += piece.lines
                for key, row in zip(piece.keys, piece.rows, strict=True):
                    last.pop(key, None)
                    last[key] = row
        self._take({key: Changed(live.get(key), row) for key, row in last.items()})
        log.lines, log.size, log.ended, log.torn = log.lines + lines, size, ended, bytes(found.size - size)
        self.signature = found

    def _take(self, changed: Mapping[Key, Changed]) -> None:
        live = self.log.live[self._family.model]
        if self._ordered is not None and not self._appends(self._ordered, changed):
            self._since += list(changed.values())[: _FEW + 1 - len(self._since)]
        for key, (_, after) in changed.items():
            live.pop(key, None)
            if after is not None:
                live[key] = after

    def _appends(self, ordered: list[Row], changed: Mapping[Key, Changed]) -> bool:
        """Put new records at the end of those in order, if that is where they belong; whether it is.

        A thread that is reading the list meanwhile reads again.
        """
        new = [after for _, after in changed.values()]
        if self._since or len(new) > _FEW or any(before is not None for before, _ in changed.values()):
            return False
        order = self._family.codec.order
        records = sorted((one for one in new if one is not None), key=order)
        if any(isinstance(record, Noted) for record in records):
            return False
        if ordered and records and order(records[0]) <= order(ordered[-1]):
            return False
        if self._plain is not None and self._plain is not ordered:
            self._plain.extend(map(plain, records))
        ordered.extend(records)
        return True
