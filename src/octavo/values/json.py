"""Json: PostgreSQL's own text, in files and in memory, so that no digit passes through a float.

A ``jsonb`` column does not keep the text that it was given: keys are sorted (shorter first, then by bytes),
the last of equal keys wins, numbers are printed as ``numeric`` prints them (no exponent, but every digit),
and strings are escaped in one way.  A file that Octavo writes contains that text.  A ``json`` column keeps
its text.  Nothing here depends on Python's stack: JSON may be nested deeper.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from enum import Enum
from itertools import islice
from typing import Any

import msgspec
from msgspec.json import encode
from msgspec.json import format as format_json
from msgspec.structs import replace

from octavo.text import pattern
from octavo.values.base import TYPES, ValueType, as_it_is, cast_text, line_as_printed
from octavo.values.number import MOST_DIGITS, MOST_FRACTION
from octavo.values.tokens import NotJson, elements, members, tree

_NUMBER = pattern(r"(-?)([0-9]+)(?:\.([0-9]+))?(?:[eE]([+-]?[0-9]+))?")
_STRING_OR_NUMBER = pattern(r'"(?:[^"\\]++|\\.)*+"|-?[0-9][0-9.]*')
_HALF = "contains half a surrogate pair, which PostgreSQL's text cannot"
_OUT_OF_RANGE = "contains a number out of PostgreSQL's range"


class Null(Enum):
    """Prisma's nulls of a Json field, which may hold JSON's ``null``, or the database's NULL.  Reading gives
    None for both; writing and filtering say which is meant."""

    DB = "DbNull"
    """no value in the database"""
    JSON = "JsonNull"
    """the value ``null`` in JSON"""
    ANY = "AnyNull"
    """either, in filters"""

    def __repr__(self) -> str:
        return f"octavo.{self.value}"


DbNull, JsonNull, AnyNull = Null.DB, Null.JSON, Null.ANY


def jsonb_text(text: bytes) -> bytes:
    """JSON as a ``jsonb`` column prints it.  Raises ValueError with the reason for what it cannot hold:
    no JSON, U+0000 or half a surrogate pair in a string, a number with too many digits."""
    if b"\\u0000" not in text:
        try:
            return format_json(encode(_sorted(_decoder.decode(text))), indent=0)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            pass
    try:
        text.decode()
        return _printed(tree(text, _leaf), str, _sorted_members, ", ").encode()
    except UnicodeDecodeError as error:
        raise ValueError("is not UTF-8") from error
    except NotJson as error:
        raise ValueError("is not JSON") from error


def _sorted(value: Any) -> Any:
    """A decoded value with its objects' keys in order."""
    if type(value) is dict:
        if len(value) < 2:
            return {key: _sorted(item) for key, item in value.items()}
        return {key: _sorted(value[key]) for key in sorted(value, key=_by_length)}
    return [_sorted(item) for item in value] if type(value) is list else value


def _by_length(key: str) -> tuple[int, bytes]:
    text = key.encode()
    return len(text), text


def _leaf(token: bytes) -> str:
    """A scalar or a key as jsonb prints it."""
    if token[0] == ord('"'):
        try:
            return json_string(msgspec.json.decode(token, type=str))
        except msgspec.MsgspecError as error:
            raise ValueError(_HALF) from error
    text = token.decode()
    return text if text[0] in "tfn" else _numeric(text)


def _sorted_members(tree: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key in sorted(tree, key=_key_order):
        yield f"{key}: ", tree[key]


def _key_order(printed: str) -> tuple[int, bytes]:
    return _by_length(msgspec.json.decode(printed, type=str) if "\\" in printed else printed[1:-1])


def json_string(value: str) -> str:
    """A string as PostgreSQL prints it in JSON.  Raises ValueError for what its text cannot hold."""
    if "\0" in value:
        raise ValueError("contains U+0000, which PostgreSQL's text cannot")
    try:
        return encode(str.__str__(value)).decode()
    except UnicodeEncodeError as error:
        raise ValueError(_HALF) from error


def _numeric(text: str) -> str:
    """A JSON number as ``numeric`` prints it: written out, as many digits after the point as it has."""
    found = _NUMBER.fullmatch(text)
    if not found:
        raise ValueError("is not JSON")
    sign, whole, fraction, exponent = found.groups("")
    if len(exponent) > 10:
        raise ValueError(_OUT_OF_RANGE)
    shift = int(exponent or 0)
    digits = whole + fraction
    point, scale = len(whole) + shift, max(0, len(fraction) - shift)
    if not digits.strip("0"):
        if scale > MOST_FRACTION:
            raise ValueError(_OUT_OF_RANGE)
        return f"0.{'0' * scale}" if scale else "0"
    if point > MOST_DIGITS + len(whole) or scale > MOST_FRACTION:
        raise ValueError(_OUT_OF_RANGE)
    if point <= 0:
        digits, point = "0" * (1 - point) + digits, 1
    digits = digits.ljust(point, "0")
    whole, fraction = digits[:point].lstrip("0") or "0", digits[point:]
    if len(whole) > MOST_DIGITS:
        raise ValueError(_OUT_OF_RANGE)
    return f"{sign}{whole}.{fraction}" if fraction else sign + whole


_decoder = msgspec.json.Decoder(float_hook=lambda text: msgspec.Raw(_numeric(text).encode()))


def json_text(value: Any) -> str:
    """A Python value as JSON: dicts with string keys, lists, tuples, strings, bools, None, and numbers.

    Raises ValueError with the reason for anything else, also for NaN and infinity, which JSON does not have.
    """
    return _printed(value, _scalar, _python_members, ",")


def _python_members(value: Mapping[Any, Any]) -> Iterator[tuple[str, Any]]:
    for key, item in value.items():
        if not isinstance(key, str):
            raise ValueError(f"must have strings as keys, not {type(key).__name__}")
        yield f"{json_string(key)}:", item


_DOUBTFUL = 1024
"""the depth from which, at each doubling, a value is looked through for one that contains itself"""


def _printed(
    value: Any,
    leaf: Callable[[Any], str],
    members: Callable[[Mapping[Any, Any]], Iterator[tuple[str, Any]]],
    comma: str,
) -> str:
    """A value as JSON: ``leaf`` prints scalars, ``members`` gives those of an object, with key and colon.

    Raises ValueError for a value that contains itself.
    """
    pieces: list[str] = []
    entered: list[Any] = []
    doubtful = _DOUBTFUL
    inside: list[Iterator[tuple[str, Any]]] = [iter([("", value)])]
    closing = [""]
    while inside:
        for before, item in inside[-1]:
            pieces.append(before)
            if isinstance(item, Mapping):
                opened, brackets = members(item), "{}"
            elif isinstance(item, list | tuple):
                opened, brackets = (("", element) for element in item), "[]"
            else:
                pieces.append(leaf(item))
                continue
            pieces.append(brackets[0])
            closing.append(brackets[1])
            inside.append(_separated(opened, comma))
            entered.append(item)
            break
        else:
            inside.pop()
            pieces.append(closing.pop())
            del entered[len(inside) - 1 :]
        if len(entered) == doubtful:
            doubtful *= 2
            if len(set(map(id, entered))) < len(entered):
                raise ValueError("contains itself")
    return "".join(pieces)


def _separated(members: Iterator[tuple[str, Any]], comma: str) -> Iterator[tuple[str, Any]]:
    yield from islice(members, 1)
    for key, value in members:
        yield comma + key, value


def _scalar(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            return json_string(value)
        case int():
            return _int_text(value)
        case float():
            if not math.isfinite(value):
                raise ValueError("contains NaN or infinity, which JSON does not have")
            return repr(value)
        case Decimal():
            if not value.is_finite():
                raise ValueError("contains NaN or infinity, which JSON does not have")
            return str(value)
        case msgspec.Raw():
            return bytes(value).decode()
    raise ValueError(f"contains a {type(value).__name__}, which JSON does not have")


def _int_text(value: int) -> str:
    """The digits of a whole number, also of one longer than Python prints."""
    if value.bit_length() < 10_000:
        return int.__repr__(value)
    if value.bit_length() > 4 * MOST_DIGITS:
        raise ValueError(_OUT_OF_RANGE)
    return str(Decimal(value))


def equality_key(text: bytes) -> str:
    """What two values have in common if jsonb takes them for equal: the canonical text without the zeros
    at the end of fractions.  ``text`` is canonical."""
    return _STRING_OR_NUMBER.sub(_without_zeros, text.decode())


def _without_zeros(found: re.Match[str]) -> str:
    text = found[0]
    return text.rstrip("0").removesuffix(".") if "." in text and text[0] != '"' else text


_NULL, _STRING, _NUMERIC, _BOOLEAN, _ARRAY, _OBJECT = range(6)


def order_key(text: bytes) -> tuple[Any, ...]:
    """What sorts as jsonb does: by type (null, string, number, boolean, array, object), containers by their
    number of elements first.  A scalar at the top counts as an array of one.  ``text`` is canonical."""
    whole = tree(text, bytes.decode)
    flat: list[Any] = []
    if type(whole) is str:
        return ((_ARRAY, 1, 0), _scalar_key(whole))
    stack: list[Any] = [whole]
    while stack:
        value = stack.pop()
        if type(value) is str:
            flat.append(_scalar_key(value))
        elif type(value) is list:
            flat.append((_ARRAY, len(value), 1))
            stack += reversed(value)
        else:
            flat.append((_OBJECT, len(value)))
            for key in sorted(value, key=_key_order, reverse=True):
                stack += (value[key], key)
    return tuple(flat)


def _scalar_key(printed: str) -> tuple[Any, ...]:
    first = printed[0]
    if first == '"':
        return (_STRING, msgspec.json.decode(printed, type=str))
    if first == "n":
        return (_NULL,)
    if first in "tf":
        return (_BOOLEAN, first == "t")
    return (_NUMERIC, Decimal(printed))


_INDEX = pattern(r"[ \t\n\r\v\f]*[+-]?[0-9]+")
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
    """The string that a text is; None if it is no string."""
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


# To and from Python, and the types.


def number(text: str) -> float | Decimal:
    """A JSON number with a fraction or an exponent, without losing a digit.

    A float where its shortest spelling is this very text, a Decimal otherwise (``1.50``, ``1e400``).
    """
    value = float(text)
    return value if repr(value) == text else Decimal(text)


_reader = msgspec.json.Decoder(float_hook=number)


def read_json(raw: msgspec.Raw) -> Any:
    """Dicts, lists, strings, bools, None, ints of any size, and :func:`number`.

    Raises RecursionError for one nested deeper than Python's stack goes; its text is whole all the same.
    """
    return _reader.decode(raw)


def _written(value: Any) -> str:
    if value is DbNull or value is AnyNull:
        raise ValueError(f"cannot be {value!r} here")
    return json_text(None if value is JsonNull else value)


def _write_jsonb(value: Any) -> msgspec.Raw:
    return msgspec.Raw(jsonb_text(_written(value).encode()))


def _write_json(value: Any) -> msgspec.Raw:
    text = _written(value)
    # It is compared as jsonb, so that must be able to hold it.
    jsonb_text(text.encode())
    return msgspec.Raw(one_line(text))


def one_line(text: str) -> bytes:
    """The text of a ``json`` column as a line has it: without line breaks, and without outer blanks,
    which no reader could tell."""
    return text.replace("\n", " ").replace("\r", " ").strip(" \t").encode()


def _json(value: msgspec.Raw) -> bytes:
    text = bytes(value)
    text.decode()
    return text


_ESCAPE = pattern(rb"\\u(?:[dD][89abAB]..\\u[dD][c-fC-F]..|(0000|[dD][89a-fA-F]..))|\\.")


def _jsonb(value: msgspec.Raw) -> bytes:
    text = bytes(value)
    text.decode()
    if b"\\u" in text and any(found[1] for found in _ESCAPE.finditer(text)):
        raise ValueError("contains U+0000 or half a surrogate pair, which jsonb cannot")
    return text


def _default_key(text: str) -> Any:
    try:
        return jsonb_text(text.encode())
    except ValueError:
        return text


_JSONB = ValueType(
    json_sql=cast_text,
    line_sql=line_as_printed,
    # jsonb orders strings by the collation of the database.
    order_sql=lambda c: f'{c}::text COLLATE "C"',
    decoded=msgspec.Raw,
    text=_jsonb,
    null=msgspec.UNSET,
    read=read_json,
    write=_write_jsonb,
    key=lambda raw: order_key(jsonb_text(bytes(raw))),
    identity=lambda raw: equality_key(jsonb_text(bytes(raw))),
    file_key=bytes,
    default_key=_default_key,
    respelled=True,
    schema={},
)
TYPES.update(
    {
        "JsonB": _JSONB,
        "Json": replace(
            _JSONB,
            line_sql=None,
            json_sql=lambda c: f"btrim(translate({c}::text, E'\\n\\r', '  '), E' \\t')",
            order_sql=as_it_is,
            compared_as="jsonb",
            text=_json,
            write=_write_json,
            write_operand=_write_jsonb,
            respelled=False,
            exact=True,
        ),
    }
)
