"""How each PostgreSQL type stands in JSON, in both directions.

``json_sql`` makes JSON of a column inside PostgreSQL (the export's direction); ``decoded`` and ``text``
make PostgreSQL's own text form of what stands in a file (the direction of verify and restore).  The two
share nothing, so that a mistake in one shows against the other.

=====================================  =========================================================
type                                   in JSON
=====================================  =========================================================
String and its native types, enums     string (an enum's value by its Prisma name)
Boolean                                ``true``, ``false``
Int                                    number
BigInt, Decimal                        string of digits, as PostgreSQL prints it
Float                                  number as PostgreSQL prints it; ``"NaN"``, ``"Infinity"``,
                                       ``"-Infinity"``
Bytes                                  string, base64
DateTime                               string, see :mod:`octavo.layout.times`
Json                                   PostgreSQL's own text
list                                   array; an element that is NULL is ``null``
``Unsupported("…")``                   string of PostgreSQL's text form
=====================================  =========================================================
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeAlias

import msgspec

from octavo.layout import times
from octavo.schema.datamodel import Datamodel, Enum, ScalarField, ScalarKind
from octavo.schema.ddl import literal, native_type

Text: TypeAlias = Callable[[Any], bytes]
"""From a value as msgspec decodes it to PostgreSQL's text form.  Raises ValueError with the reason."""


@dataclass(frozen=True, slots=True)
class ColumnType:
    """The two directions of one column.  Neither is asked about NULL."""

    json_sql: Callable[[str], str]
    """from an SQL expression to one that yields JSON text"""
    decoded: Any
    """the type, in msgspec's terms, that a value in a file must have"""
    text: Text
    text_sql: Callable[[str], str]
    """from an SQL expression to one that yields PostgreSQL's text form, in a binary COPY"""
    by_bytes: bool = False
    """whether the column is text, which is ordered by its bytes"""


def _cast_text(column: str) -> str:
    return f"{column}::text"


def _as_it_is(column: str) -> str:
    return column


def _json_string(column: str) -> str:
    return f"to_json({column}::text)"


def _quoted(column: str) -> str:
    """For text that holds nothing to escape."""
    return f"""concat('"', {column}, '"')"""


def _string(value: str) -> bytes:
    encoded = value.encode()
    if b"\0" in encoded:
        raise ValueError("holds U+0000, which PostgreSQL's text cannot")
    return encoded


def _boolean(value: bool) -> bytes:
    return b"true" if value else b"false"


def _integer(value: int) -> bytes:
    return b"%d" % value


_DIGITS = re.compile(r"-?(?:0|[1-9][0-9]*)")
_DECIMAL = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?|NaN|-?Infinity")


def _bigint(value: str) -> bytes:
    if not _DIGITS.fullmatch(value) or not -(2**63) <= int(value) < 2**63:
        raise ValueError("is not a 64-bit whole number in a string")
    return value.encode()


def _decimal(value: str) -> bytes:
    if not _DECIMAL.fullmatch(value):
        raise ValueError("is not a decimal number in a string")
    return value.encode()


_FLOAT = re.compile(rb"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|\"(NaN|-?Infinity)\"")


def _float(value: msgspec.Raw) -> bytes:
    found = _FLOAT.fullmatch(bytes(value))
    if not found:
        raise ValueError('is neither a number nor "NaN", "Infinity" or "-Infinity"')
    return found[1] or found[0]


def _float_sql(column: str) -> str:
    special = "'NaN', 'Infinity', '-Infinity'"
    return f"""CASE WHEN {column} IN ({special}) THEN concat('"', {column}, '"') ELSE {column}::text END"""


def _bytes(value: bytes) -> bytes:
    return b"\\x" + value.hex().encode()


def _bytes_sql(column: str) -> str:
    return f"""concat('"', translate(encode({column}, 'base64'), E'\\n', ''), '"')"""


def _json(value: msgspec.Raw) -> bytes:
    text = bytes(value)
    text.decode()
    return text


def _json_text_sql(column: str) -> str:
    """The ``json`` type keeps line breaks between tokens; a line of a log cannot (see fold)."""
    return f"translate({column}::text, E'\\n\\r', '  ')"


_INT4 = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)]
_INT2 = Annotated[int, msgspec.Meta(ge=-(2**15), le=2**15 - 1)]
_OID = Annotated[int, msgspec.Meta(ge=0, le=2**32 - 1)]

_TEXT = ColumnType(_json_string, str, _string, _cast_text)
_PLAIN_TEXT = ColumnType(lambda c: f"to_json({c})", str, _string, _as_it_is, by_bytes=True)
_DECIMAL_TYPE = ColumnType(_quoted, str, _decimal, _cast_text)

_BY_NATIVE: Mapping[str, ColumnType] = {
    "Text": _PLAIN_TEXT,
    "VarChar": _PLAIN_TEXT,
    # A cast to text would drop the blanks that pad it.
    "Char": _PLAIN_TEXT,
    "Citext": ColumnType(_json_string, str, _string, _cast_text, by_bytes=True),
    "SmallInt": ColumnType(_cast_text, _INT2, _integer, _cast_text),
    "Oid": ColumnType(_cast_text, _OID, _integer, _cast_text),
    # Money prints with the locale's currency sign; its number does not.
    "Money": ColumnType(lambda c: _quoted(f"{c}::numeric"), str, _decimal, lambda c: f"{c}::numeric::text"),
    "Json": ColumnType(_json_text_sql, msgspec.Raw, _json, _cast_text),
}

_BY_SCALAR: Mapping[str, ColumnType] = {
    "String": _TEXT,
    "Boolean": ColumnType(_cast_text, bool, _boolean, _cast_text),
    "Int": ColumnType(_cast_text, _INT4, _integer, _cast_text),
    "BigInt": ColumnType(_quoted, str, _bigint, _cast_text),
    "Float": ColumnType(_float_sql, msgspec.Raw, _float, _cast_text),
    "Decimal": _DECIMAL_TYPE,
    "Bytes": ColumnType(_bytes_sql, bytes, _bytes, _cast_text),
    "Json": ColumnType(_cast_text, msgspec.Raw, _json, _cast_text),
}


def column_type(field: ScalarField, datamodel: Datamodel) -> ColumnType:
    """The two directions of this field's column, lists included."""
    element = _element_type(field, datamodel)
    return _list_of(element) if field.is_list else element


def _element_type(field: ScalarField, datamodel: Datamodel) -> ColumnType:
    if field.kind is ScalarKind.ENUM:
        return _enum(datamodel.enum(field.type))
    if field.kind is ScalarKind.UNSUPPORTED:
        return _TEXT
    native = native_type(field)
    if field.type == "DateTime":
        codec = times.time_type(native.name, native.args[0] if native.args else 6)
        return ColumnType(codec.json_sql, str, codec.text, _cast_text)
    return _BY_NATIVE.get(native.name) or _BY_SCALAR[field.type]


def _enum(enum: Enum) -> ColumnType:
    labels = {m.name: m.label.encode() for m in enum.members}
    renamed = [m for m in enum.members if m.label != m.name]

    def json_sql(column: str) -> str:
        if not renamed:
            return _json_string(column)
        cases = " ".join(f"WHEN {literal(m.label)} THEN {literal(m.name)}" for m in renamed)
        return f"to_json(CASE {column}::text {cases} ELSE {column}::text END)"

    return ColumnType(json_sql, Literal[tuple(labels)], labels.__getitem__, _cast_text)


def _list_of(element: ColumnType) -> ColumnType:
    def json_sql(column: str) -> str:
        item = f"coalesce({element.json_sql('e')}::text, 'null')"
        return (
            f"(SELECT concat('[', string_agg({item}, ',' ORDER BY n), ']')"
            f" FROM unnest({column}) WITH ORDINALITY AS u(e, n))"
        )

    def text(values: list[Any]) -> bytes:
        return array_text([None if is_null(v) else element.text(v) for v in values])

    return ColumnType(json_sql, list[or_null(element.decoded)], text, _cast_text)  # type: ignore[misc]


def or_null(decoded: Any) -> Any:
    """The type, in msgspec's terms, of a value that may be ``null``; raw text can hold that by itself."""
    return decoded if decoded is msgspec.Raw else decoded | None


def is_null(value: Any) -> bool:
    """Whether a decoded value, raw text included, is ``null``."""
    return value is None or (type(value) is msgspec.Raw and bytes(value) == b"null")


_PLAIN_ELEMENT = re.compile(rb'[^"\\{},\s\v]+')


def array_text(elements: list[bytes | None]) -> bytes:
    """A one-dimensional array as PostgreSQL prints it (array_out in its documentation, section Arrays)."""
    return b"{" + b",".join(map(_array_element, elements)) + b"}"


def _array_element(value: bytes | None) -> bytes:
    if value is None:
        return b"NULL"
    if _PLAIN_ELEMENT.fullmatch(value) and value.upper() != b"NULL":
        return value
    return b'"' + value.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'
