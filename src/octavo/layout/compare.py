"""How PostgreSQL compares what a column holds, told from stored values.

Text goes by its UTF-8 bytes (the ``C`` collation), enums by the order of their declaration, NaN is the
greatest number, and what is only printed differently (1.0 and 1.00) is equal.  NULL is the caller's affair.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, TypeAlias

import msgspec
from msgspec import UNSET

from octavo.layout.order import clock_key, decimal_key, float_key, time_key, zoned_clock_key
from octavo.schema.datamodel import Datamodel, ScalarField, ScalarKind
from octavo.schema.sql import native_type

Key: TypeAlias = Callable[[Any], Any]
"""From a stored value that is not NULL to one that sorts, is equal and hashes as PostgreSQL would have it."""


def comparison_key(field: ScalarField, datamodel: Datamodel) -> Key | None:
    """The key of this field's values; None where the stored value is one itself."""
    if field.is_list:
        return _list_key(element_key(field, datamodel), partial(is_null, field))
    return element_key(field, datamodel)


def element_key(field: ScalarField, datamodel: Datamodel) -> Key | None:
    """The same for a value of the field, or an element where it is a list."""
    if field.kind is ScalarKind.ENUM:
        return {m.name: number for number, m in enumerate(datamodel.enum(field.type).members)}.__getitem__
    if field.kind is ScalarKind.UNSUPPORTED:
        return None
    native = native_type(field).name
    return _BY_NATIVE.get(native) or _BY_SCALAR.get(field.type)


def identity_key(field: ScalarField, datamodel: Datamodel) -> Key | None:
    """From a stored value that is not NULL to one that is equal and hashes as PostgreSQL would have it; None
    where the stored value does itself."""
    if field.is_list:
        return comparison_key(field, datamodel)
    if field.is_json:
        return _json_identity
    if field.kind is not ScalarKind.SCALAR:
        return None
    loose = field.type in ("Decimal", "Float") or native_type(field).name in ("Char", "Citext")
    return element_key(field, datamodel) if loose else None


def is_null(field: ScalarField, stored: Any) -> bool:
    """Whether a stored value, or an element of a list, is NULL (and not JSON's null)."""
    if stored is None or stored is UNSET:
        return True
    return field.type == "Float" and type(stored) is msgspec.Raw and bytes(stored) == b"null"


def null_of(field: ScalarField) -> Any:
    """NULL in this field's stored form."""
    if field.is_list:
        return None
    if field.is_json:
        return UNSET
    return msgspec.Raw(b"null") if field.type == "Float" and field.kind is ScalarKind.SCALAR else None


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


def _inet_key(text: str) -> tuple[Any, ...]:
    """By family, the bits that both networks have, the mask, then all bits."""
    import ipaddress

    found = ipaddress.ip_interface(text)
    bits = f"{int(found.ip):0{found.max_prefixlen}b}"
    length = found.network.prefixlen
    return found.version, bits[:length], length, bits


def _json_identity(raw: msgspec.Raw) -> str:
    from octavo.values import json as jsonb

    return jsonb.equality_key(jsonb.jsonb_text(bytes(raw)))


def _json_key(raw: msgspec.Raw) -> Any:
    from octavo.values import json as jsonb

    return jsonb.order_key(jsonb.jsonb_text(bytes(raw)))


def _list_key(element: Key | None, null: Callable[[Any], bool]) -> Key:
    """Element by element, a NULL behind every value; the shorter first."""

    def key(values: list[Any]) -> tuple[Any, ...]:
        return tuple((True,) if null(v) else (False, v if element is None else element(v)) for v in values)

    return key


def _blank_padded(text: str) -> str:
    return text.rstrip(" ")


_BY_NATIVE: dict[str, Key] = {
    "Char": _blank_padded,
    "Citext": lower,
    "Timetz": zoned_clock_key,
    "Time": clock_key,
    "Inet": _inet_key,
}
_BY_SCALAR: dict[str, Key] = {
    "BigInt": int,
    "Decimal": decimal_key,
    "Float": float_key,
    "DateTime": time_key,
    "Json": _json_key,
}
