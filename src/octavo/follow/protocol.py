"""What PostgreSQL sends on a replication connection, as messages.

Two protocols lie in each other.  The outer one (PostgreSQL's manual, *Streaming Replication Protocol*) brings
data and keepalives, and takes standby status updates.  The data are those of the output plugin ``pgoutput``,
version 1 (*Logical Replication Message Formats*): a transaction is sent when it has been committed, whole,
between Begin and Commit; what a table looks like is said before its first row, and again after it has
changed.  Values come as the text that PostgreSQL prints.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Final, Literal, NamedTuple, TypeAlias

VERSION = 1
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


class Unchanged(Enum):
    """A large value that is stored apart from its row, was not changed, and so was not sent."""

    UNCHANGED = "unchanged"


UNCHANGED: Final = Unchanged.UNCHANGED

Value: TypeAlias = "bytes | Literal[Unchanged.UNCHANGED] | None"
"""A column's text; None is NULL."""
Tuple: TypeAlias = tuple[Value, ...]


class Keepalive(NamedTuple):
    """Everything that was committed before ``end`` has been sent."""

    end: int
    reply: bool
    """whether the server wants to hear from us at once"""


class Column(NamedTuple):
    name: str
    in_key: bool
    """whether it is part of the replica identity"""
    type: int
    """the type's object id"""
    modifier: int


class Relation(NamedTuple):
    """A table as it was when the rows that follow were written."""

    oid: int
    schema: str
    name: str
    identity: str
    """the replica identity: ``d`` primary key, ``i`` an index, ``f`` all columns, ``n`` nothing"""
    columns: tuple[Column, ...]


class Begin(NamedTuple):
    commit: int
    """the position of its commit"""
    transaction: int
    """its number, without the epoch"""


class Commit(NamedTuple):
    end: int
    """the position after its commit"""
    time: datetime


class Insert(NamedTuple):
    relation: int
    row: Tuple


class Update(NamedTuple):
    relation: int
    old: Tuple | None
    """the old key, where it has changed, or the old row, where all columns are the identity"""
    row: Tuple


class Delete(NamedTuple):
    relation: int
    old: Tuple


class Truncate(NamedTuple):
    relations: tuple[int, ...]


class Other(NamedTuple):
    """Something that changes no row: where a transaction came from, the name of a type."""

    kind: str


Message: TypeAlias = Begin | Commit | Relation | Insert | Update | Delete | Truncate | Other


class ProtocolError(ValueError):
    """What was received is not what the manual says."""


def position(text: str) -> int:
    """A position in PostgreSQL's log from its text, ``16/B374D848``.  Raises ValueError."""
    high, low = text.split("/")
    return int(high, 16) << 32 | int(low, 16)


def position_text(at: int) -> str:
    """A position as PostgreSQL writes it."""
    return f"{at >> 32:X}/{at & 0xFFFFFFFF:X}"


def received(data: bytes) -> Keepalive | Message:
    """What one CopyData of the server says.  Raises ProtocolError."""
    reading = _Reading(data)
    match reading.letter():
        case "k":
            end, _time = reading.numbers(">QQ")
            return Keepalive(end, bool(reading.numbers(">B")[0]))
        case "w":
            reading.numbers(">QQQ")
            return _message(reading)
        case other:
            raise ProtocolError(f"an unknown message {other!r}")


def status(flushed: int, now: datetime, *, reply: bool = False) -> bytes:
    """A standby status update: everything before ``flushed`` is durable here."""
    micros = (now - _EPOCH) // timedelta(microseconds=1)
    return struct.pack(">cQQQQB", b"r", flushed, flushed, flushed, micros, reply)


def _message(reading: _Reading) -> Message:
    kind = reading.letter()
    if (read := _READERS.get(kind)) is None:
        raise ProtocolError(f"an unknown message {kind!r}")
    found = read(reading)
    if not isinstance(found, Other) and not reading.at_end:
        raise ProtocolError(f"more than a message {kind!r} has")
    return found


def _begin(reading: _Reading) -> Begin:
    commit, _time, transaction = reading.numbers(">QQI")
    return Begin(commit, transaction)


def _commit(reading: _Reading) -> Commit:
    _flags, _commit, end, micros = reading.numbers(">BQQq")
    return Commit(end, _EPOCH + timedelta(microseconds=micros))


def _relation(reading: _Reading) -> Relation:
    (oid,) = reading.numbers(">I")
    schema, name = reading.string(), reading.string()
    identity = reading.letter()
    (count,) = reading.numbers(">H")
    columns = []
    for _ in range(count):
        (flags,) = reading.numbers(">B")
        column = reading.string()
        columns.append(Column(column, bool(flags & 1), *reading.numbers(">Ii")))
    return Relation(oid, schema, name, identity, tuple(columns))


def _insert(reading: _Reading) -> Insert:
    (relation,) = reading.numbers(">I")
    reading.expect("N")
    return Insert(relation, reading.tuple())


def _update(reading: _Reading) -> Update:
    (relation,) = reading.numbers(">I")
    old = None
    if reading.letter() in "KO":
        old = reading.tuple()
        reading.expect("N")
    return Update(relation, old, reading.tuple())


def _delete(reading: _Reading) -> Delete:
    (relation,) = reading.numbers(">I")
    if reading.letter() not in "KO":
        raise ProtocolError("a deleted row without its key")
    return Delete(relation, reading.tuple())


def _truncate(reading: _Reading) -> Truncate:
    count, _options = reading.numbers(">IB")
    return Truncate(tuple(reading.numbers(f">{count}I")))


class _Reading:
    """Bytes, read from their beginning."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    @property
    def at_end(self) -> bool:
        return self.at == len(self.data)

    def numbers(self, form: str) -> tuple[int, ...]:
        try:
            found = struct.unpack_from(form, self.data, self.at)
        except struct.error as error:
            raise ProtocolError("a message that is cut") from error
        self.at += struct.calcsize(form)
        return found

    def letter(self) -> str:
        return chr(self.numbers(">B")[0])

    def expect(self, letter: str) -> None:
        if (found := self.letter()) != letter:
            raise ProtocolError(f"{found!r} where {letter!r} belongs")

    def string(self) -> str:
        end = self.data.find(b"\0", self.at)
        if end < 0:
            raise ProtocolError("a message that is cut")
        try:
            found = self.data[self.at : end].decode()
        except UnicodeError as error:
            raise ProtocolError("a name that is not UTF-8") from error
        self.at = end + 1
        return found

    def tuple(self) -> Tuple:
        (count,) = self.numbers(">H")
        return tuple([self._value() for _ in range(count)])

    def _value(self) -> Value:
        match self.letter():
            case "t":
                (length,) = self.numbers(">I")
                if self.at + length > len(self.data):
                    raise ProtocolError("a message that is cut")
                self.at += length
                return self.data[self.at - length : self.at]
            case "n":
                return None
            case "u":
                return UNCHANGED
            case other:
                raise ProtocolError(f"a value of the kind {other!r}")


_READERS: dict[str, Callable[[_Reading], Message]] = {
    "B": _begin,
    "C": _commit,
    "R": _relation,
    "I": _insert,
    "U": _update,
    "D": _delete,
    "T": _truncate,
    "Y": lambda _: Other("type"),
    "O": lambda _: Other("origin"),
    "M": lambda _: Other("message"),
}
