"""Identifiers that Prisma's client makes by itself: ``uuid()``, ``cuid()``, ``ulid()``, ``nanoid()``."""

from __future__ import annotations

import hashlib
import itertools
import os
import secrets
import time
import uuid
from collections.abc import Callable

_BASE36 = "0123456789abcdefghijklmnopqrstuvwxyz"
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_NANO = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"
_counter = itertools.count(secrets.randbelow(36**4))


def generator(name: str, argument: int | None = None) -> Callable[[], str]:
    """The function that makes identifiers of this kind; KeyError if there is none."""
    if name == "nanoid":
        length = argument or 21
        return lambda: "".join(secrets.choice(_NANO) for _ in range(length))
    return _GENERATORS[name, argument]


def uuid4() -> str:
    number = int.from_bytes(os.urandom(16)) & ~(0xF000 << 64 | 0xC000 << 48) | 0x4000 << 64 | 0x8000 << 48
    digits = f"{number:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def uuid7() -> str:
    """Milliseconds, then 74 random bits (RFC 9562)."""
    raw = bytearray(_milliseconds().to_bytes(6) + os.urandom(10))
    raw[6] = raw[6] & 0x0F | 0x70
    raw[8] = raw[8] & 0x3F | 0x80
    return str(uuid.UUID(bytes=bytes(raw)))


def cuid1() -> str:
    """``c``, milliseconds, a counter, the process, eight random characters; all in base 36."""
    count = _base(next(_counter) % 36**4, _BASE36).rjust(4, "0")
    random = "".join(secrets.choice(_BASE36) for _ in range(8))
    return f"c{_base(_milliseconds(), _BASE36)}{count}{_process()}{random}"


def cuid2() -> str:
    """A letter and 23 characters of a digest that nothing can be told from."""
    entropy = f"{_milliseconds()}{next(_counter)}{_process()}{secrets.token_hex(24)}"
    number = int.from_bytes(hashlib.sha3_512(entropy.encode()).digest())
    return secrets.choice(_BASE36[10:]) + _base(number, _BASE36)[1:24]


def ulid() -> str:
    """Milliseconds and 80 random bits, as 26 characters of Crockford's alphabet."""
    number = _milliseconds() << 80 | secrets.randbits(80)
    return _base(number, _CROCKFORD).rjust(26, "0")


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
