"""The tokens of a JSON text: where members, elements and values start and end, as bytes.

A Json column may be nested deeper than a recursive parser goes and hold numbers that no float can, so its
text is never decoded here.  Nothing recurses, and every key shows, so that a duplicate is noticed.  This is
the careful way that takes over where msgspec's decoder gives up.

What is accepted is JSON as RFC 8259 has it, except that UTF-8 is not checked.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import msgspec

from octavo.errors import DamagedError
from octavo.text import pattern

_WS = r"[ \t\n\r]*+"
_STR = r'"(?:[^"\\\x00-\x1f]++|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*+"'
_SIMPLE_VALUE = rf"(?:{_STR}|true|false|null|-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?)"


_SPACE = pattern(_WS.encode())
_KEY = pattern(_STR.encode())
_SIMPLE = pattern(_SIMPLE_VALUE.encode())
_SIMPLE_MEMBERS = pattern(rf"(?:{_STR}{_WS}:{_WS}{_SIMPLE_VALUE}{_WS},{_WS})*+".encode())
_SIMPLE_ELEMENTS = pattern(rf"(?:{_SIMPLE_VALUE}{_WS},{_WS})*+".encode())
_NO_COLON, _NO_COMMA, _AFTER_END = "a colon is missing", "a comma is missing", "unexpected text after the end"
_OBJECT, _ARRAY = ord("{"), ord("[")
_CLOSING = {_OBJECT: b"}", _ARRAY: b"]"}


class NotJson(ValueError):
    """The text is not JSON here, or has a key twice: ``position`` counts bytes from 0."""

    def __init__(self, reason: str, position: int) -> None:
        super().__init__(f"{reason} (byte {position + 1})")
        self.reason, self.position = reason, position


class Members:
    """The members of an object, by key, to be taken out one by one.  Raises NotJson, for a duplicate key
    too."""

    def __init__(self, text: bytes, start: int = 0, end: int | None = None) -> None:
        self.text, self.start = text, start
        self._spans: dict[str, tuple[int, int]] = {}
        for literal, first, last in members(text, start, end):
            try:
                key = msgspec.json.decode(literal, type=str)
            except (msgspec.MsgspecError, UnicodeError) as error:
                raise NotJson("a key is broken", first) from error
            if key in self._spans:
                raise NotJson(f"duplicate key {key!r}", first)
            self._spans[key] = first, last

    def get(self, key: str) -> bytes | None:
        """The text of a key's value, or None."""
        span = self._spans.get(key)
        return None if span is None else self.text[slice(*span)]

    def take_span(self, key: str) -> tuple[int, int] | None:
        """Where the value of a key starts and ends, or None; the key is then gone."""
        return self._spans.pop(key, None)

    def left_members(self) -> tuple[tuple[str, bytes], ...]:
        """The members that were not taken, with the text of their values."""
        return tuple((key, self.text[slice(*span)]) for key, span in self._spans.items())


def line_of(text: bytes, position: int) -> int:
    """The line that a position is in, from 1."""
    return text.count(b"\n", 0, position) + 1


_PARTIAL = pattern(
    rb'(?:"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{0,4})?)*'
    rb"|t|tr|tru|f|fa|fal|fals|n|nu|nul|-|-?(?:0|[1-9][0-9]*)(?:\.[0-9]*)?(?:[eE][+-]?[0-9]*)?)?"
)

_FRACTION = pattern(rb"\.|[eE][+-]?")


def is_beginning(text: bytes) -> bool:
    """Whether a text is an object that was cut, not a whole one."""
    try:
        for _ in members(text):
            pass
    except NotJson as error:
        at = error.position
        if error.reason == _NO_COMMA:
            return text[at - 1 : at].isdigit() and _FRACTION.fullmatch(text, at) is not None
        return error.reason not in (_NO_COLON, _AFTER_END) and _PARTIAL.fullmatch(text, at) is not None
    return False


def before_damage(text: bytes) -> dict[str, bytes]:
    """The members of a broken object before the damage; of equal keys the first."""
    found: dict[str, bytes] = {}
    with suppress(NotJson, UnicodeError):
        for literal, start, end in members(text):
            found.setdefault(literal[1:-1].decode(), text[start:end])
    return found


def members(text: bytes, start: int = 0, end: int | None = None) -> Iterator[tuple[bytes, int, int]]:
    """The members of the object in ``text[start:end]``: each key as its string literal, and where its value
    starts and ends.

    Raises NotJson where it is no object, is cut, or is followed by something.
    """
    at, closed = _opened(text, start, _OBJECT, "an object")
    while not closed:
        key, first = _key(text, at)
        last = value_end(text, first)
        yield key, first, last
        at, closed = _next(text, last, b"}")
    _expect_end(text, at, end)


def elements(text: bytes, start: int = 0, end: int | None = None) -> Iterator[tuple[int, int]]:
    """Where each element of the array in ``text[start:end]`` starts and ends.  Raises NotJson."""
    at, closed = _opened(text, start, _ARRAY, "an array")
    while not closed:
        last = value_end(text, at)
        yield at, last
        at, closed = _next(text, last, b"]")
    _expect_end(text, at, end)


def value_end(text: bytes, start: int) -> int:
    """Where the value that starts here ends.  Raises NotJson."""
    at, nested = _value(text, start)
    inside = bytearray()
    while True:
        if nested:
            inside.append(text[at])
            at, closed = _opened(text, at, text[at], "a value")
        elif inside:
            at, closed = _next(text, at, _CLOSING[inside[-1]])
        else:
            return at
        if closed:
            inside.pop()
            nested = False
        elif inside[-1] == _OBJECT:
            _, at = _key(text, _end(_SIMPLE_MEMBERS, text, at))
            at, nested = _value(text, at)
        else:
            at, nested = _value(text, _end(_SIMPLE_ELEMENTS, text, at))


def tree(text: bytes, leaf: Callable[[bytes], str]) -> Any:
    """A whole text as lists, dicts and leaves: what ``leaf`` makes of each scalar and of each key.  Of equal
    keys the last counts.  Raises NotJson."""
    whole: Any = None
    inside: list[Any] = []
    key = ""
    at = _end(_SPACE, text, 0)
    while True:
        end, nested = _value(text, at)
        made: Any = ({} if text[at] == _OBJECT else []) if nested else leaf(text[at:end])
        if not inside:
            whole = made
        elif type(inside[-1]) is dict:
            inside[-1][key] = made
        else:
            inside[-1].append(made)
        if nested:
            inside.append(made)
            at, closed = _opened(text, at, text[at], "a value")
        else:
            at, closed = _after(text, end, inside)
        while closed:
            inside.pop()
            at, closed = _after(text, at, inside)
        if not inside:
            _expect_end(text, at, None)
            return whole
        if type(inside[-1]) is dict:
            literal, at = _key(text, at)
            key = leaf(literal)


def _after(text: bytes, at: int, inside: list[Any]) -> tuple[int, bool]:
    """Past what follows a value in the innermost container: a comma, or the bracket that closes it."""
    return _next(text, at, b"}" if type(inside[-1]) is dict else b"]") if inside else (at, False)


def _value(text: bytes, at: int) -> tuple[int, bool]:
    """Where a simple value ends, or where a nested one begins, and whether it is nested."""
    if at >= len(text):
        raise NotJson("the text is cut", at)
    if text[at] in _CLOSING:
        return at, True
    found = _SIMPLE.match(text, at)
    if not found:
        raise NotJson("a string is broken" if text[at] == ord('"') else "a value is missing or broken", at)
    return found.end(), False


def _key(text: bytes, at: int) -> tuple[bytes, int]:
    """The key at this position, and where its value begins."""
    key = _KEY.match(text, at)
    if not key:
        raise NotJson("the text is cut" if at >= len(text) else "a key is missing or broken", at)
    at = _end(_SPACE, text, key.end())
    if text[at : at + 1] != b":":
        raise NotJson("the text is cut" if at >= len(text) else _NO_COLON, at)
    return key[0], _end(_SPACE, text, at + 1)


def _end(pattern: re.Pattern[bytes], text: bytes, at: int) -> int:
    """Stale what matches here; the pattern may match nothing."""
    found = pattern.match(text, at)
    return found.end() if found else at


def _opened(text: bytes, at: int, bracket: int, what: str) -> tuple[int, bool]:
    """Past the bracket that opens, and past the one that closes if nothing is between."""
    at = _end(_SPACE, text, at)
    if text[at : at + 1] != bytes([bracket]):
        raise NotJson(f"is not {what}", at)
    at = _end(_SPACE, text, at + 1)
    closed = text[at : at + 1] == _CLOSING[bracket]
    return (at + 1 if closed else at), closed


def _next(text: bytes, at: int, bracket: bytes) -> tuple[int, bool]:
    """Past the comma, or past the closing bracket."""
    at = _end(_SPACE, text, at)
    found = text[at : at + 1]
    if found == bracket:
        return at + 1, True
    if found != b",":
        raise NotJson(_NO_COMMA if found else "the text is cut", at)
    return _end(_SPACE, text, at + 1), False


def _expect_end(text: bytes, at: int, end: int | None) -> None:
    at = _end(_SPACE, text, at)
    if at < (len(text) if end is None else end):
        raise NotJson(_AFTER_END, at)


def why_no_json(text: bytes, error: Exception) -> str:
    """The likeliest reason why a text that should be JSON is none."""
    if not text.strip():
        return "the file is empty" if not text else "holds nothing but white space"
    if not text.strip(b"\0"):
        return "holds nothing but NUL bytes"
    if text.startswith(b"\xef\xbb\xbf"):
        return "starts with a byte order mark"
    if b"\0" in text:
        return "holds NUL bytes"
    return error.reason if isinstance(error, (NotJson, DamagedError)) else "_model is no name"
