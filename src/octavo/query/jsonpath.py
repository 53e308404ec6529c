"""Parts of a canonical jsonb text: what ``#>``, ``@>`` and ``jsonb_typeof`` tell of it, without recursion of
Python's own where the text may be deep."""

from __future__ import annotations

import re

import msgspec

from octavo.layout.jsonb import equality_key, json_string
from octavo.layout.rawjson import elements, members

_INDEX = re.compile(r"[ \t\n\r\v\f]*[+-]?[0-9]+")
_KINDS = {"{": "object", "[": "array", '"': "string", "t": "boolean", "f": "boolean", "n": "null"}


def kind_of(text: bytes) -> str:
    """What ``jsonb_typeof`` says."""
    return _KINDS.get(chr(text[0]), "number")


def at_path(text: bytes, path: tuple[str, ...]) -> bytes | None:
    """What ``#>`` finds: keys of objects, places in arrays (from 0, or from -1 backwards); None: nothing."""
    for step in path:
        found = _child(text, step)
        if found is None:
            return None
        text = found
    return text


def _child(text: bytes, step: str) -> bytes | None:
    kind = kind_of(text)
    if kind == "object":
        key = json_string(step).encode()
        return next((text[start:end] for name, start, end in members(text) if name == key), None)
    if kind != "array" or not _INDEX.fullmatch(step) or len(step.strip()) > 11:
        return None
    there = elements_of(text)
    place = int(step)
    return there[place] if -len(there) <= place < len(there) else None


def elements_of(text: bytes) -> list[bytes]:
    """The elements of an array; of anything else none."""
    return [text[start:end] for start, end in elements(text)] if kind_of(text) == "array" else []


def string_of(text: bytes) -> str | None:
    """The string that stands there, if it is one."""
    return msgspec.json.decode(text, type=str) if kind_of(text) == "string" else None


def contains(whole: bytes, part: bytes) -> bool:
    """What ``@>`` says: objects contain the members, arrays the elements of the other, at any place.  At the
    top an array contains a scalar that is one of its elements."""
    if kind_of(whole) == "array" and kind_of(part) not in ("array", "object"):
        part = b"[" + part + b"]"
    return _contains(whole, part)


def _contains(whole: bytes, part: bytes) -> bool:
    kind = kind_of(part)
    if kind_of(whole) != kind:
        return False
    if kind == "array":
        there = elements_of(whole)
        return all(any(_contains(own, wanted) for own in there) for wanted in elements_of(part))
    if kind == "object":
        own_members = {key: whole[start:end] for key, start, end in members(whole)}
        return all(
            key in own_members and _contains(own_members[key], part[start:end])
            for key, start, end in members(part)
        )
    return equality_key(whole) == equality_key(part)
