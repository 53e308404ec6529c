"""What a new record gets where the caller gave nothing, as Prisma's client fills it.

One moment goes for a whole operation: ``now()`` and ``@updatedAt`` of everything that a call writes, nested
records included, are the same, to the millisecond.  ``autoincrement()`` and ``dbgenerated(…)`` are left to
where the record is stored.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeAlias

from octavo.query.plan import Change, ChangeKind
from octavo.query.vocabulary import Column, Terms
from octavo.schema.datamodel import Function
from octavo.values.registry import literal_value

_BASE36 = "0123456789abcdefghijklmnopqrstuvwxyz"
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_NANO = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"
_counter = itertools.count(int.from_bytes(os.urandom(8)) % 36**4)


def generator(name: str, argument: int | None = None) -> Callable[[], str]:
    """The function that makes identifiers of this kind; KeyError if there is none."""
    if name == "nanoid":
        length = argument or 21
        return lambda: _random(_NANO, length)
    return _GENERATORS[name, argument]


def uuid4() -> str:
    number = int.from_bytes(os.urandom(16)) & ~(0xF000 << 64 | 0xC000 << 48) | 0x4000 << 64 | 0x8000 << 48
    return _hyphenated(f"{number:032x}")


def _hyphenated(digits: str) -> str:
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def uuid7() -> str:
    """Milliseconds, then 74 random bits (RFC 9562)."""
    raw = bytearray(_milliseconds().to_bytes(6) + os.urandom(10))
    raw[6] = raw[6] & 0x0F | 0x70
    raw[8] = raw[8] & 0x3F | 0x80
    return _hyphenated(raw.hex())


def cuid1() -> str:
    """``c``, milliseconds, a counter, the process, eight random characters; all in base 36."""
    count = _base(next(_counter) % 36**4, _BASE36).rjust(4, "0")
    return f"c{_base(_milliseconds(), _BASE36)}{count}{_process()}{_random(_BASE36, 8)}"


def cuid2() -> str:
    """A letter and 23 characters of a digest that nothing can be told from."""
    import hashlib

    entropy = f"{_milliseconds()}{next(_counter)}{_process()}{os.urandom(24).hex()}"
    number = int.from_bytes(hashlib.sha3_512(entropy.encode()).digest())
    return _random(_BASE36[10:], 1) + _base(number, _BASE36)[1:24]


def ulid() -> str:
    """Milliseconds and 80 random bits, as 26 characters of Crockford's alphabet."""
    number = _milliseconds() << 80 | int.from_bytes(os.urandom(10))
    return _base(number, _CROCKFORD).rjust(26, "0")


def _random(alphabet: str, length: int) -> str:
    """Characters of the system's randomness."""
    return "".join(alphabet[int.from_bytes(os.urandom(8)) % len(alphabet)] for _ in range(length))


def _milliseconds() -> int:
    return time.time_ns() // 1_000_000


def _process() -> str:
    return _base(os.getpid() % 36**2, _BASE36).rjust(2, "0") + _base(
        sum(os.uname().nodename.encode()) % 36**2, _BASE36
    ).rjust(2, "0")


def _base(number: int, digits: str) -> str:
    text = ""
    while True:
        number, digit = divmod(number, len(digits))
        text = digits[digit] + text
        if not number:
            return text


_GENERATORS: dict[tuple[str, int | None], Callable[[], str]] = {
    ("uuid", None): uuid4,
    ("uuid", 4): uuid4,
    ("uuid", 7): uuid7,
    ("cuid", None): cuid1,
    ("cuid", 1): cuid1,
    ("cuid", 2): cuid2,
    ("ulid", None): ulid,
}


Make: TypeAlias = Callable[[datetime], Any]
"""From the operation's moment to a value in stored form."""


def moment() -> datetime:
    """Now, as precisely as Prisma has it."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


class Defaults:
    """The defaults of one model."""

    def __init__(self, terms: Terms) -> None:
        self._makers: dict[str, Make] = {}
        self._constants: dict[str, Any] = {}
        self.unlike_any_other = tuple(n for n, c in terms.columns.items() if _is_generated(c))
        """the fields that get an identifier, where the caller gives none"""
        self._updated = [c for c in terms.columns.values() if c.field.updated_at]
        for name, column in terms.columns.items():
            make = _maker(column)
            if make is not None:
                self._makers[name] = make
            elif column.field.default is None and column.field.nullable:
                self._constants[name] = column.null

    def fill(self, given: Mapping[str, Any], now: datetime) -> dict[str, Any]:
        """A row: what is given, and a value for every other field that the place itself does not fill in."""
        row = {**self._constants, **given}
        for name, make in self._makers.items():
            if name not in row:
                row[name] = make(now)
        return row

    def made_for(self, rows: Iterable[Mapping[str, Any]]) -> list[str]:
        """The fields for which no row gives an identifier, so that each gets a new one."""
        made = list(self.unlike_any_other)
        for row in rows:
            made = [name for name in made if name not in row]
        return made

    def touched(self, changes: Iterable[Change], now: datetime) -> list[Change]:
        """Changes with those of ``@updatedAt``, which go with any other."""
        found = list(changes)
        if found and self._updated:
            named = {c.field for c in found}
            found += [
                Change(c.name, ChangeKind.SET, c.write(now)) for c in self._updated if c.name not in named
            ]
        return found


def _is_generated(column: Column) -> bool:
    default = column.field.default
    return isinstance(default, Function) and default.name != "now" and not column.filled_by_place


def _maker(column: Column) -> Make | None:
    default = column.field.default
    if isinstance(default, Function):
        if column.filled_by_place:
            return None
        if default.name == "now":
            return column.write
        argument = int(default.args[0]) if default.args else None
        make = generator(default.name, argument)
        return lambda _: column.write(make())
    if default is not None:
        if isinstance(default, tuple):
            values = [literal_value(value, column.field, column.one.write) for value in default]
            return lambda _: list(values)
        value = literal_value(default, column.field, column.one.write)
        return lambda _: value
    if column.field.updated_at:
        return column.write
    return None
