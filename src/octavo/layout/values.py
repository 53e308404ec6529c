"""A field's value as Python has it, and as it stands in a record in memory.

A record holds each value in its *stored* form: what msgspec decodes the JSON of its column as (see
:mod:`octavo.layout.types`).  For most types that is Python's own value already.  The others are turned when
they are asked for, so that reading a thousand messages parses no time that nobody looks at:

===================  =================================  ===============================================
type                 stored                             in Python
===================  =================================  ===============================================
DateTime             its text                           ``datetime`` in UTC, of ``@db.Time`` on
                                                        1970-01-01; the text where that cannot hold it
                                                        (``infinity``, BC, years over 9999, the zone of
                                                        ``@db.Timetz``)
Json                 ``msgspec.Raw``; ``UNSET`` is NULL  what the JSON means; numbers as :func:`number`
BigInt, Decimal      string of digits                   ``int``, ``Decimal``
Float                ``msgspec.Raw``, ``null`` too       ``float``
lists                list of these, or None             list (a NULL list is empty)
===================  =================================  ===============================================
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from typing import Any, TypeAlias

import msgspec
from msgspec import UNSET

from octavo.schema.datamodel import ScalarField, ScalarKind
from octavo.schema.sql import native_type

Read: TypeAlias = Callable[[Any], Any]
"""From a value's stored form to Python's."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def reader(field: ScalarField) -> Read | None:
    """How this field's stored form becomes Python's value; None where it is that already."""
    element = _element_reader(field)
    if field.is_list:
        return _list_reader(element)
    return None if element is None else _or_none(element)


def number(text: str) -> float | Decimal:
    """A JSON number with a fraction or an exponent, without losing a digit.

    A float where its shortest spelling is this very text, a Decimal otherwise (``1.50``, ``1e400``).
    """
    value = float(text)
    return value if repr(value) == text else Decimal(text)


_json = msgspec.json.Decoder(float_hook=number)


def read_json(raw: msgspec.Raw) -> Any:
    """What a JSON text means: dicts, lists, strings, bools, None, ints of any size, and :func:`number`.

    Raises RecursionError for one nested deeper than Python's stack goes; its text is whole all the same.
    """
    return _json.decode(raw)


def read_time(text: str) -> datetime | str:
    """The UTC time that a DateTime's text stands for; the text itself where ``datetime`` cannot hold it."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return text
    return found if found.tzinfo is UTC else found.replace(tzinfo=UTC)


def read_clock(text: str) -> datetime:
    """The instant of 1970-01-01 (UTC) that a time of day stands for, as in Prisma; ``24:00:00`` is the end of
    that day."""
    if text == "24:00:00":
        return _EPOCH + timedelta(days=1)
    return datetime.combine(_EPOCH, time.fromisoformat(text), UTC)


def read_float(raw: msgspec.Raw) -> float | None:
    """The float that stands there as a number, or as ``"NaN"``, ``"Infinity"``, ``"-Infinity"``; or null."""
    text = bytes(raw)
    return None if text == b"null" else float(text.strip(b'"'))


def _element_reader(field: ScalarField) -> Read | None:
    if field.kind is not ScalarKind.SCALAR:
        return None
    if field.type == "DateTime":
        return _TIMES.get(native_type(field).name, read_time)
    return _READERS.get(field.type)


_TIMES: dict[str, Read | None] = {"Time": read_clock, "Timetz": None}
_READERS: dict[str, Read] = {"Json": read_json, "BigInt": int, "Decimal": Decimal, "Float": read_float}


def _or_none(read: Read) -> Read:
    def value(stored: Any) -> Any:
        return None if stored is None or stored is UNSET else read(stored)

    return value


def _list_reader(read: Read | None) -> Read:
    def values(stored: Any) -> list[Any]:
        if stored is None:
            return []
        return list(stored) if read is None else [None if s is None else read(s) for s in stored]

    return values
