"""Strings: in JSON a string, checked and printed as PostgreSQL's type has it.

PostgreSQL compares text by its collation; Octavo asks for the order of UTF-8 bytes (``C``) everywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from functools import lru_cache
from typing import Any
from uuid import UUID

from msgspec.structs import replace

from octavo.text import pattern
from octavo.values.base import (
    TYPES,
    Schema,
    TooLong,
    ValueType,
    as_it_is,
    line_as_printed,
    line_as_text,
    matching,
    wrong,
)

_UUID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_ANY: Schema = {"type": "string", "pattern": r"^[^\u0000]*$"}


def string_text(value: str) -> bytes:
    """A string as PostgreSQL's text, which cannot hold U+0000."""
    if "\0" in value:
        raise ValueError("contains U+0000, which PostgreSQL's text cannot")
    return value.encode()


def string(value: Any) -> str:
    """A string that PostgreSQL can hold.  Raises ValueError."""
    if type(value) is not str:
        if not isinstance(value, str):
            raise wrong(value, "text")
        value = value.value if isinstance(value, Enum) else str.__str__(value)
    if "\0" in value:
        raise ValueError("contains U+0000, which PostgreSQL's text cannot")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise ValueError("contains half a surrogate pair, which PostgreSQL's text cannot") from error
    return value  # type: ignore[no-any-return]


def lower(text: str) -> str:
    """The lower case of each character by itself (Unicode's simple mapping), as PostgreSQL's ``lower`` has it
    in the collation ``pg_c_utf8``."""
    if text.isascii():
        return text.lower()
    return "".join(_lower(c) for c in text)


@lru_cache(4096)
def _lower(character: str) -> str:
    # Of all characters only İ has more than one in its full mapping, of which the simple one is the first.
    return character.lower()[0]


_TEXT = ValueType(
    json_sql=lambda c: f"to_json({c})",
    line_sql=line_as_printed,
    text_sql=as_it_is,
    order_sql=lambda c: f'{c} COLLATE "C"',
    collated=True,
    text=string_text,
    printed=True,
    write=string,
    schema=_ANY,
    is_ordered=True,
    is_text=True,
)
_CAST = replace(
    _TEXT,
    json_sql=lambda c: f"to_json({c}::text)",
    line_sql=line_as_text,
    text_sql=lambda c: f"{c}::text",
    order_sql=lambda c: f'{c}::text COLLATE "C"',
    collated=False,
    is_text=False,
)
"""for a type that is not text, and whose cast to text is what it prints"""
_PRINTED = replace(
    _CAST,
    json_sql=lambda c: f"to_json(concat({c}))",
    line_sql=line_as_printed,
    text_sql=lambda c: f"CASE num_nonnulls({c}) WHEN 1 THEN concat({c}) END",
    order_sql=lambda c: f'concat({c}) COLLATE "C"',
    # A composite value whose fields are all NULL is not NULL, though IS NULL says so.
    null_sql=lambda c: f"num_nonnulls({c}) = 0",
)
"""for a type that prints something else than its cast to text"""


def _cut(value: str, length: int) -> str:
    """PostgreSQL drops blanks beyond the length, and nothing else."""
    if len(value) > length:
        if value[length:].strip(" "):
            raise TooLong(f"is longer than {length} characters")
        value = value[:length]
    return value


def _varchar(args: tuple[int, ...]) -> ValueType:
    if not args:
        return _TEXT
    (length,) = args
    return replace(
        _TEXT,
        write=lambda value: _cut(string(value), length),
        write_operand=string,
        schema={**_ANY, "maxLength": length},
    )


def _char(args: tuple[int, ...]) -> ValueType:
    length = args[0] if args else 1
    return replace(
        _TEXT,
        # A cast to text would drop the blanks that pad it, and comparing does.
        order_sql=lambda c: f'concat({c}) COLLATE "C"',
        search_sql=lambda c: f"CASE WHEN {c} IS NOT NULL THEN concat({c}) END",
        write=lambda value: _cut(string(value), length).ljust(length),
        write_operand=string,
        key=_without_blanks,
        identity=_without_blanks,
        default_key=_without_blanks,
        schema={**_ANY, "minLength": length, "maxLength": length},
    )


def _without_blanks(value: str) -> str:
    return value.rstrip(" ")


def _bits(value: Any, fits: Callable[[int], bool] = lambda _: True, reason: str = "") -> str:
    bits = string(value)
    if bits.strip("01"):
        raise ValueError("is not a text of 0 and 1")
    if not fits(len(bits)):
        raise TooLong(reason)
    return bits


def _bit(args: tuple[int, ...]) -> ValueType:
    length = args[0] if args else 1
    return replace(
        _CAST,
        # The plain name would mean one bit.
        sql='pg_catalog."bit"',
        write=lambda value: _bits(value, lambda n: n == length, f"is not {length} bits"),
        write_operand=_bits,
        schema=matching(f"[01]{{{length}}}"),
    )


def _varbit(args: tuple[int, ...]) -> ValueType:
    most = args[0] if args else 2**31
    return replace(
        _CAST,
        write=lambda value: _bits(value, lambda n: n <= most, f"is longer than {most} bits"),
        write_operand=_bits,
        schema=matching(f"[01]{{0,{most}}}" if args else "[01]*"),
    )


_HEX_GROUPS = pattern(r"[0-9a-fA-F]{4}(?:-?[0-9a-fA-F]{4}){7}")


def _uuid(value: Any) -> str:
    if isinstance(value, UUID):
        return str(value)
    spelled = string(value)
    bare = spelled[1:-1] if spelled.startswith("{") and spelled.endswith("}") else spelled
    if not _HEX_GROUPS.fullmatch(bare):
        raise ValueError("is not a UUID")
    return str(UUID(bare))


def _inet(value: Any) -> str:
    import ipaddress

    if isinstance(value, str):
        try:
            found = ipaddress.ip_interface(string(value))
        except ValueError as error:
            raise ValueError("is not an IP address") from error
    elif isinstance(value, ipaddress.IPv4Address | ipaddress.IPv6Address):
        found = ipaddress.ip_interface(value)
    else:
        raise wrong(value, "an IP address (as text)")
    address = str(found.ip)
    if isinstance(found, ipaddress.IPv6Interface):
        if found.scope_id is not None:
            raise ValueError("has a scope, which PostgreSQL's inet does not have")
        if (mapped := found.ip.ipv4_mapped) is not None:
            address = f"::ffff:{mapped}"
    length = found.network.prefixlen
    return address if length == found.max_prefixlen else f"{address}/{length}"


def _inet_key(text: str) -> tuple[Any, ...]:
    """By family, the bits that both networks have, the mask, then all bits."""
    import ipaddress

    found = ipaddress.ip_interface(text)
    bits = f"{int(found.ip):0{found.max_prefixlen}b}"
    length = found.network.prefixlen
    return found.version, bits[:length], length, bits


TYPES.update(
    {
        "Text": _TEXT,
        "VarChar": _varchar,
        "Char": _char,
        "Citext": replace(
            _CAST, key=lower, identity=lower, is_text=True, is_caseless=True, equal_spellings=True
        ),
        "Xml": replace(_CAST, compared_as="text", collated=True, array_cast="::text[]"),
        "Bit": _bit,
        "VarBit": _varbit,
        "Uuid": replace(_CAST, write=_uuid, default_key=str.lower, schema=matching(_UUID)),
        "Inet": replace(_PRINTED, write=_inet, key=_inet_key),
    }
)


def unsupported(name: str) -> ValueType:
    """A type that Prisma has no name for (``Unsupported("…")``): PostgreSQL's text, which only PostgreSQL
    writes."""

    def write(value: Any) -> Any:
        raise ValueError("is of a type that cannot be written")

    delimiter = b";" if name == "box" else b","
    return replace(
        _PRINTED,
        sql=name,
        line_sql=None,
        write=write,
        is_ordered=False,
        equal_spellings=True,
        delimiter=delimiter,
    )


# Bytes: in JSON a string, base64.

_BASE64 = "(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?"


def _write_bytes(value: Any) -> bytes:
    if type(value) is bytes:
        return value
    if not isinstance(value, bytes | bytearray | memoryview):
        raise wrong(value, "bytes")
    return bytes(value)


TYPES["ByteA"] = ValueType(
    line_sql=lambda c, _: f"replace(encode({c}, 'base64'), chr(10), '')",
    json_sql=lambda c: f"""concat('"', translate(encode({c}, 'base64'), E'\\n', ''), '"')""",
    decoded=bytes,
    text=lambda value: b"\\x" + value.hex().encode(),
    write=_write_bytes,
    default_key=lambda base64: base64.rstrip("="),
    schema={**matching(_BASE64), "contentEncoding": "base64"},
)
