"""The records that a file holds in the end: of a log, the last line of each key, unless a tombstone."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice

from octavo.errors import DamagedError
from octavo.layout.layout import Kind
from octavo.layout.reader import File, Reader, UnknownKey
from octavo.layout.unfold import Unfolded

_AT_ONCE = 5_000
"""records; a longer log is read twice rather than held in memory"""


def live_records(
    reader: Reader,
    file: File,
    damage: Callable[[DamagedError], None] | None = None,
    unknown: Callable[[UnknownKey], None] = lambda key: None,
) -> Iterator[Unfolded]:
    """The records of a file that count, in the order of the file.

    What cannot be read goes to ``damage``; without it, it is raised.  ``unknown`` hears of a document's keys
    that the schema does not know.
    """

    def records() -> Iterator[Unfolded]:
        for item in reader.read(file):
            if isinstance(item, Unfolded):
                yield item
            elif isinstance(item, DamagedError):
                if damage is None:
                    raise item
                damage(item)
            else:
                unknown(item)

    if file.family.kind not in (Kind.LOG, Kind.LOG_PER_PARENT):
        return records()
    rest = records()
    first = list(islice(rest, _AT_ONCE))
    if len(first) < _AT_ONCE:
        return _last(first)
    # Of a long log only the hashes of the keys are held: a clean one then needs no memory at all.
    hashes = array("q", (_hash(r) for r in chain(first, rest)))
    del first
    repeated = {h for h, n in Counter(hashes).items() if n > 1} if _repeats(hashes) else set[int]()
    return _long(reader, file, repeated)


def _identity(record: Unfolded) -> tuple[str | bytes | None, ...]:
    return (record.place.model.name, *record.key)


def _hash(record: Unfolded) -> int:
    return hash(_identity(record))


def _repeats(hashes: array[int]) -> bool:
    ordered = sorted(hashes)
    return any(a == b for a, b in zip(ordered, islice(ordered, 1, None), strict=False))


def _last(records: Iterable[Unfolded]) -> Iterator[Unfolded]:
    found: dict[tuple[str | bytes | None, ...], Unfolded] = {}
    for record in records:
        identity = _identity(record)
        found.pop(identity, None)
        found[identity] = record
    return (record for record in found.values() if not record.deleted)


def _long(reader: Reader, file: File, repeated: set[int]) -> Iterator[Unfolded]:
    """Records whose key stands once as they come; of the others the last line."""
    last: dict[tuple[str | bytes | None, ...], int] = {}
    if repeated:
        for item in reader.read(file):
            if isinstance(item, Unfolded) and _hash(item) in repeated:
                last[_identity(item)] = item.line
    for item in reader.read(file):
        if isinstance(item, Unfolded) and not item.deleted:
            if repeated and last.get(_identity(item), item.line) != item.line:
                continue
            yield item
