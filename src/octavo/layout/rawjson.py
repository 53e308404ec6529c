"""JSON sliced without being understood: members and elements as the bytes that stand there.

A Json column may be nested deeper than a recursive parser goes and hold numbers that no float can, so its
text is never decoded.  This is the careful way that takes over where the fast decoder (msgspec) gives up; it
has no recursion, and it also tells what the fast one does not: a key that stands twice.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_SPACE = re.compile(rb"[ \t\n\r]*+")
_STRING = re.compile(rb'"[^"\\\x00-\x1f]*+(?:\\.[^"\\\x00-\x1f]*+)*+"', re.DOTALL)
_SCALAR = re.compile(rb"true|false|null|-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?")
_STRUCTURAL = re.compile(rb'["{}\[\]]')
_CLOSES = {ord("{"): ord("}"), ord("["): ord("]")}
_OPEN, _CLOSE, _QUOTE = b"{[", b"}]", ord('"')


class NotJson(ValueError):
    """The text is not JSON here: ``position`` counts bytes from 0."""

    def __init__(self, reason: str, position: int) -> None:
        super().__init__(f"{reason} (byte {position + 1})")
        self.reason, self.position = reason, position


def members(text: bytes, start: int = 0, end: int | None = None) -> Iterator[tuple[bytes, int, int]]:
    """The members of the object that stands in ``text[start:end]``: each key, as the string literal that
    stands there, and where its value starts and ends.

    Raises NotJson where it is no object, is cut, or has something behind it.
    """
    end = len(text) if end is None else end
    at = _opened(text, start, b"{", "an object")
    at, closed = _maybe_closed(text, at, b"}")
    while not closed:
        key = _STRING.match(text, at)
        if not key:
            raise NotJson("a key is missing", at)
        at = _space(text, key.end())
        if text[at : at + 1] != b":":
            raise NotJson("a colon is missing", at)
        first = _space(text, at + 1)
        last = value_end(text, first)
        yield key[0], first, last
        at, closed = _next(text, last, b"}")
    _nothing_behind(text, at, end)


def elements(text: bytes, start: int = 0, end: int | None = None) -> Iterator[tuple[int, int]]:
    """Where each element of the array that stands in ``text[start:end]`` starts and ends.  Raises NotJson."""
    end = len(text) if end is None else end
    at = _opened(text, start, b"[", "an array")
    at, closed = _maybe_closed(text, at, b"]")
    while not closed:
        last = value_end(text, at)
        yield at, last
        at, closed = _next(text, last, b"]")
    _nothing_behind(text, at, end)


def value_end(text: bytes, start: int) -> int:
    """Where the value that starts here ends.  Brackets and strings are checked, nested scalars are not."""
    if start >= len(text):
        raise NotJson("the text is cut", start)
    if text[start] not in _OPEN:
        found = (_STRING if text[start] == _QUOTE else _SCALAR).match(text, start)
        if not found:
            raise NotJson("a value is missing or broken", start)
        return found.end()
    expected, at = bytearray(), start
    while True:
        found = _STRUCTURAL.search(text, at)
        if not found:
            raise NotJson("the text is cut", len(text))
        at = found.start()
        byte = text[at]
        if byte == _QUOTE:
            found = _STRING.match(text, at)
            if not found:
                raise NotJson("a string is broken", at)
            at = found.end()
            continue
        if byte in _OPEN:
            expected.append(_CLOSES[byte])
        elif expected.pop() != byte:
            raise NotJson("a bracket does not fit", at)
        at += 1
        if not expected:
            return at


def _space(text: bytes, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _opened(text: bytes, start: int, bracket: bytes, what: str) -> int:
    at = _space(text, start)
    if text[at : at + 1] != bracket:
        raise NotJson(f"is not {what}", at)
    return at + 1


def _maybe_closed(text: bytes, at: int, bracket: bytes) -> tuple[int, bool]:
    at = _space(text, at)
    closed = text[at : at + 1] == bracket
    return (at + 1 if closed else at), closed


def _next(text: bytes, at: int, bracket: bytes) -> tuple[int, bool]:
    """Past the comma, or past the closing bracket."""
    at = _space(text, at)
    found = text[at : at + 1]
    if found == bracket:
        return at + 1, True
    if found != b",":
        raise NotJson("the text is cut" if not found else "a comma is missing", at)
    return _space(text, at + 1), False


def _nothing_behind(text: bytes, at: int, end: int) -> None:
    at = _space(text, at)
    if at < end:
        raise NotJson("something stands behind the end", at)
