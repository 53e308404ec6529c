"""Reads logs to be indexed: which record stands where.

A line is not read further than to its key, and to whether it removes the record.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, Protocol

import msgspec

from octavo.errors import DamagedError
from octavo.layout.codec import Codec, Decoded
from octavo.layout.keys import Key
from octavo.layout.layout import FileFamily
from octavo.layout.record import Row, attribute, encode, member
from octavo.layout.scan import Log, Scanner, end_of_log, whole_lines
from octavo.store.freshness import World
from octavo.store.system import Signature

LONGEST_KEY = 400
"""bytes of a key of the index"""
LARGE = 4 << 20
"""bytes of a log that are read at once"""


class Read(NamedTuple):
    """A log that was read to be indexed."""

    file: str
    found: Signature
    """the state in which it was read"""
    places: dict[bytes, tuple[int, int]]
    """position and length of each record's line; the length of a tombstone's is 0"""
    is_whole: bool = True
    """whether no more of the log is to be read"""


class Logs(Protocol):
    """What is asked of the family whose records are to be found."""

    world: World
    family: FileFamily
    scanner: Scanner
    codec: Codec
    model: str

    def files(self) -> Iterable[str]:
        """The logs that there are."""

    def understand(self, file: str, data: bytes) -> Log: ...

    def file_of(self, row: Row) -> str:
        """The log that a row belongs into."""

    def expected(self, file: str) -> Signature | None: ...

    def look_for(self, key: Key) -> Decoded | None:
        """The record with this key, without the index."""


class Indexer:
    """Reads the logs of one family."""

    def __init__(self, logs: Logs) -> None:
        self.logs, self.codec = logs, logs.codec
        self.broken: set[str] = set()
        """the logs with a line that cannot be read"""
        self._decode_key: Callable[[bytes], Any] | None = None

    def whole(self, file: str, data: bytes, found: Signature) -> Read:
        """A log of which all is there."""
        self.broken.discard(file)
        return Read(file, found, {raw_key(k): (at, length) for k, at, length in self._lines(file, data)})

    def pieces(self, file: str, descriptor: int, found: Signature) -> Iterator[Read]:
        """An open log, piece by piece."""
        self.broken.discard(file)
        _, end, _ = end_of_log(descriptor, found.size)
        at = 0
        while at < end:
            text = whole_lines(descriptor, at, end, LARGE)
            places = {raw_key(key): (at + n, length) for key, n, length in self._lines(file, text)}
            at += len(text)
            yield Read(file, found, places, at >= end)

    def _lines(self, file: str, data: bytes) -> Iterator[tuple[Key, int, int]]:
        """Key, position and length of each line; the length of a tombstone's is 0."""
        if self._decode_key is None:
            self._decode_key = self._key_decoder()
        decode, key_of = self._decode_key, self.codec.keys.of
        at, unread = 0, False
        while at < len(data):
            end = data.find(b"\n", at)
            line = data[at : len(data) if end < 0 else end]
            try:
                decoded = decode(line)
                yield key_of(decoded), at, 0 if decoded._deleted else len(line)
            except (msgspec.MsgspecError, UnicodeError, RecursionError):
                try:
                    if line.strip():
                        key, record = self.logs.scanner.line(line.rstrip(b"\r"))
                        yield key, at, 0 if record is None else len(line)
                except DamagedError:
                    unread = True
            at += len(line) + 1
        if unread:
            # A torn last line does not count; anything else is for who asks for what may be there.
            try:
                self.logs.understand(file, data)
            except DamagedError:
                self.broken.add(file)

    def _key_decoder(self) -> Callable[[bytes], Any]:
        """Decodes of a line the key, and whether it is a tombstone."""
        fields = [f for f, _ in self.codec.keys.fields]
        kind = msgspec.defstruct(
            "Key",
            [
                *((attribute(f), *member(f, self.codec.layout.datamodel)) for f in fields),
                ("_deleted", bool, False),
            ],
            rename={attribute(f): f.name for f in fields},
        )
        return msgspec.json.Decoder(kind).decode


def raw_key(key: Key) -> bytes:
    """A record's key as the index has it."""
    raw = encode(key)
    return raw if len(raw) <= LONGEST_KEY else b"~" + digest(raw)


def digest(raw: bytes) -> bytes:
    """What stands for a key that is too long."""
    from hashlib import sha256

    return sha256(raw).digest()
