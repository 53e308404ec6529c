"""Records outside of Octavo: in JSON, as files spell their values, and in HTML.

Nothing here shows a secret, unless a ``select`` named it.  What is spelled is not a record itself but its
:class:`Parts`, which whole records and results of ``include`` and ``select`` both give.
"""

from __future__ import annotations

import math
from binascii import b2a_base64
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any, NamedTuple, cast
from uuid import UUID

import msgspec
from msgspec import UNSET

from octavo.errors import UsageError
from octavo.schema.datamodel import Model, ScalarField
from octavo.values.json import Null, json_text, one_line
from octavo.values.registry import is_exact
from octavo.values.tokens import tree

_LONGEST_CELL = 500
_MOST_ROWS = 20
_MASK = "…"
_MOST_DIGITS = 4300
"""of a whole number that Python prints"""
_encode = msgspec.json.Encoder().encode


class Parts(NamedTuple):
    """What an object shows of a record."""

    model: Model
    record: Any
    """gives the fields' Python values, as attributes"""
    stored: Sequence[tuple[ScalarField, Any]]
    """the fields that are shown, each with its value in stored form"""
    related: Mapping[str, Any]
    named: Collection[str] = ()
    """the fields that a ``select`` named"""

    def open(self) -> Iterator[tuple[ScalarField, Any]]:
        """The fields that everyone may see.  As in a file, Json that is NULL is left out."""
        for f, stored in self.stored:
            if stored is not UNSET and (f.secret is None or f.name in self.named):
                yield f, stored


def parts_of(value: Any) -> Parts | None:
    """What a value shows of a record; None if it is none."""
    give = getattr(type(value), "__octavo_parts__", None)
    return None if give is None else cast(Parts, give(value))


# As Python's JSON has it.


def as_json(parts: Parts) -> dict[str, Any]:
    """The members of a record's JSON, of types that every encoder of JSON knows."""
    found = {f.name: json_value(stored) for f, stored in parts.open()}
    return found | {name: _related(value, as_json) for name, value in parts.related.items()}


def as_python(parts: Parts) -> dict[str, Any]:
    """The same members with Python's values."""
    found = {f.name: getattr(parts.record, f.name) for f, _ in parts.open()}
    return found | {name: _related(value, as_python) for name, value in parts.related.items()}


def _related(value: Any, spell: Any) -> Any:
    if value is None:
        return None
    if isinstance(value, list):
        return [_related(item, spell) for item in value]
    parts = parts_of(value)
    return value.to_dict() if parts is None else spell(parts)


def json_value(stored: Any) -> Any:
    """A stored value as Python reads its JSON.

    A number of Json that no float holds becomes the nearest one; where Python could not even print it, the
    text of its digits.
    """
    if isinstance(stored, msgspec.Raw):
        try:
            return _decode(stored)
        except (msgspec.MsgspecError, RecursionError):
            return tree(bytes(stored), _leaf)
    if isinstance(stored, bytes):
        return b2a_base64(stored, newline=False).decode()
    return [json_value(item) for item in stored] if isinstance(stored, list) else stored


def _nearest(text: str) -> float | int | str:
    number = float(text)
    if math.isfinite(number):
        return number
    exact = Decimal(text)
    return int(exact) if exact.adjusted() < _MOST_DIGITS else text


def _leaf(token: bytes) -> Any:
    if token.lstrip(b"-").isdigit() and len(token) > _MOST_DIGITS:
        return token.decode()
    return _decode(token)


_decode = msgspec.json.Decoder(float_hook=_nearest).decode


# As text.


def dumps(value: Any) -> str:
    """JSON of records: one, or lists and dicts of them, with other values beside.

    A value is spelled as in a file, to the digit: a DateTime as ``2025-11-22T12:34:56.789Z``, BigInt and
    Decimal as strings of digits, Bytes as base64, Json as it is stored (left out where it is NULL).  Secrets
    are left out unless a ``select`` named them.  Raises UsageError for a value that JSON does not have.
    """
    try:
        return json_text(_spelled(value))
    except RecursionError as error:
        raise UsageError("cannot be spelled in JSON: contains itself, or is nested too deep") from error
    except ValueError as error:
        raise UsageError(f"cannot be spelled in JSON: {error}") from error


def _spelled(value: Any) -> Any:
    """What :func:`octavo.values.json.json_text` prints as the value is spelled."""
    parts = parts_of(value)
    if parts is not None:
        found = {f.name: _text(f, stored) for f, stored in parts.open()}
        related = {name: _spelled(item) for name, item in parts.related.items()}
        return msgspec.Raw(_encode(found | related))
    if isinstance(value, Mapping):
        return {key: _spelled(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_spelled(item) for item in value]
    if isinstance(value, Enum):
        return None if isinstance(value, Null) else _spelled(value.value)
    counted = getattr(value, "to_dict", None)
    return _scalar(value) if counted is None or isinstance(value, type) else _spelled(counted())


def _scalar(value: Any) -> Any:
    """A value that stands beside records, as one in them would be spelled."""
    match value:
        case float() | Decimal() if not math.isfinite(value):
            return _SPECIAL[str(float(value))]
        case Decimal():
            return f"{value:f}"
        case bytes() | bytearray():
            return b2a_base64(value, newline=False).decode()
        case datetime():
            return spelled_moment(value)
        case date() | UUID():
            return str(value)
    return value


_SPECIAL = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}


def _text(f: ScalarField, stored: Any) -> Any:
    """What msgspec spells as it stands in a file."""
    exact = isinstance(stored, msgspec.Raw) and is_exact(f)
    return msgspec.Raw(one_line(bytes(stored).decode())) if exact else stored


def spelled_moment(value: datetime) -> str:
    """A time that belongs to no column: in UTC, to the millisecond or as exact as it is."""
    moment = value if value.tzinfo is None else value.astimezone(UTC).replace(tzinfo=None)
    return moment.isoformat(timespec="microseconds" if moment.microsecond % 1000 else "milliseconds") + "Z"


# As HTML.


def as_html(parts: Parts) -> str:
    """A table of a record, for a notebook.  A secret is masked even if it was asked for."""
    rows = [
        (f.name, _MASK if f.secret and stored is not None else _cell(f, parts)) for f, stored in parts.stored
    ]
    rows += [(name, _related_html(value)) for name, value in parts.related.items()]
    body = "".join(f"<tr><th>{_escaped(name)}</th><td>{cell}</td></tr>" for name, cell in rows)
    return f"<table><caption>{_escaped(parts.model.name)}</caption><tbody>{body}</tbody></table>"


def _cell(f: ScalarField, parts: Parts) -> str:
    try:
        value = getattr(parts.record, f.name)
    except (ValueError, RecursionError):
        value = _MASK
    return _escaped(value if isinstance(value, str) else repr(value))


def _related_html(value: Any) -> str:
    if isinstance(value, list):
        more = len(value) - _MOST_ROWS
        cells = [_related_html(item) for item in value[:_MOST_ROWS]]
        return "".join(cells) + (f"<p>… and {more} more</p>" if more > 0 else "")
    parts = parts_of(value)
    return _escaped(repr(value)) if parts is None else as_html(parts)


def _escaped(text: str) -> str:
    from html import escape

    return escape(text if len(text) <= _LONGEST_CELL else text[:_LONGEST_CELL] + _MASK)
