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
list                                   array; an element that is NULL is ``null`` (of Json: that is
                                       JSON's own, and there is no NULL)
``Unsupported("…")``                   string of PostgreSQL's text form
=====================================  =========================================================
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from math import isinf
from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec.structs import replace

from octavo.layout import times
from octavo.schema.datamodel import Datamodel, Enum, ScalarField, ScalarKind
from octavo.schema.sql import literal, native_type

Text: TypeAlias = Callable[[Any], bytes]
"""From a value as msgspec decodes it to PostgreSQL's text form.  Raises ValueError with the reason."""


Sql: TypeAlias = Callable[[str], str]
"""From an SQL expression to another."""


def _as_it_is(column: str) -> str:
    return column


def _cast_text(column: str) -> str:
    return f"{column}::text"


def _is_null(column: str) -> str:
    return f"{column} IS NULL"


class ColumnType(msgspec.Struct, frozen=True):
    """Both directions of one column, and the order of its values."""

    json_sql: Sql
    """to one that yields JSON text, for a value that is not NULL"""
    decoded: Any
    """the type that msgspec decodes the JSON as"""
    text: Text
    text_sql: Sql = _cast_text
    """to one that yields PostgreSQL's text form, in a COPY"""
    order_sql: Sql = _as_it_is
    """to one that sorts as a key does: what JSON has as a text by its UTF-8 bytes"""
    null_sql: Sql = _is_null
    """to the condition that it is NULL"""

    def nullable_sql(self, column: str) -> str:
        """An SQL expression that yields JSON text, ``null`` for NULL."""
        return f"CASE WHEN {self.null_sql(column)} THEN 'null' ELSE ({self.json_sql(column)})::text END"


def _by_bytes(column: str) -> str:
    return f'{column} COLLATE "C"'


def _json_string(column: str) -> str:
    return f"to_json({column}::text)"


def _quoted(column: str) -> str:
    """For text that holds nothing to escape."""
    return f"""concat('"', {column}, '"')"""


def _printed(column: str) -> str:
    """What the type's output function prints; a cast to text can be something else (inet, bpchar)."""
    return f"CASE num_nonnulls({column}) WHEN 1 THEN concat({column}) END"


def string_text(value: str) -> bytes:
    """A string as PostgreSQL's text, which cannot hold U+0000."""
    if "\0" in value:
        raise ValueError("holds U+0000, which PostgreSQL's text cannot")
    return value.encode()


def _boolean(value: bool) -> bytes:
    return b"true" if value else b"false"


def _short_boolean(value: bool) -> bytes:
    return b"t" if value else b"f"


def _integer(value: int) -> bytes:
    return b"%d" % value


_WHOLE = re.compile(r"0|-?[1-9][0-9]{0,18}")
_DECIMAL = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?|NaN|-?Infinity")


def _bigint(value: str) -> bytes:
    if not _WHOLE.fullmatch(value) or not -(2**63) <= int(value) < 2**63:
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
    if not found[1] and isinf(float(found[0])):
        raise ValueError("is a number too large for its column")
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


_ESCAPE = re.compile(rb"\\u(?:[dD][89abAB]..\\u[dD][c-fC-F]..|(0000|[dD][89a-fA-F]..))|\\.")


def _jsonb(value: msgspec.Raw) -> bytes:
    text = bytes(value)
    text.decode()
    if b"\\u" in text and any(found[1] for found in _ESCAPE.finditer(text)):
        raise ValueError("holds U+0000 or half a surrogate pair, which jsonb cannot")
    return text


def _json_text_sql(column: str) -> str:
    """The ``json`` type keeps line breaks between tokens, which a line of a log cannot hold, and blanks
    around the value, which no reader can tell (see fold)."""
    return f"btrim(translate({column}::text, E'\\n\\r', '  '), E' \\t')"


def one_line(text: str) -> bytes:
    """The same of a ``json`` column's exact text."""
    return text.replace("\n", " ").replace("\r", " ").strip(" \t").encode()


_INT4 = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)]
_INT2 = Annotated[int, msgspec.Meta(ge=-(2**15), le=2**15 - 1)]
_OID = Annotated[int, msgspec.Meta(ge=0, le=2**32 - 1)]

_PLAIN_TEXT = ColumnType(lambda c: f"to_json({c})", str, string_text, _as_it_is, _by_bytes)
_CAST = ColumnType(_json_string, str, string_text, order_sql=lambda c: f'{c}::text COLLATE "C"')
_PRINTED = ColumnType(
    lambda c: f"to_json(concat({c}))",
    str,
    string_text,
    _printed,
    lambda c: f'concat({c}) COLLATE "C"',
    # A composite value whose fields are all NULL is none, though IS NULL says so.
    lambda c: f"num_nonnulls({c}) = 0",
)

_BY_NATIVE: Mapping[str, ColumnType] = {
    "Text": _PLAIN_TEXT,
    "VarChar": _PLAIN_TEXT,
    # A cast to text would drop the blanks that pad it, and comparing does.
    "Char": replace(_PLAIN_TEXT, order_sql=lambda c: f'concat({c}) COLLATE "C"'),
    # A cast to text would add the mask that goes without saying.
    "Inet": _PRINTED,
    "SmallInt": ColumnType(_cast_text, _INT2, _integer),
    "Oid": ColumnType(_cast_text, _OID, _integer),
    # Money prints with the locale's currency sign; its number does not.
    "Money": ColumnType(lambda c: _quoted(f"{c}::numeric"), str, _decimal, lambda c: f"{c}::numeric::text"),
    "Json": ColumnType(_json_text_sql, msgspec.Raw, _json),
}

_BY_SCALAR: Mapping[str, ColumnType] = {
    "String": _CAST,
    "Boolean": ColumnType(_cast_text, bool, _boolean),
    "Int": ColumnType(_cast_text, _INT4, _integer),
    "BigInt": ColumnType(_quoted, str, _bigint),
    "Float": ColumnType(_float_sql, msgspec.Raw, _float),
    "Decimal": ColumnType(_quoted, str, _decimal),
    "Bytes": ColumnType(_bytes_sql, bytes, _bytes),
    # jsonb orders strings by the collation of the database.
    "Json": ColumnType(_cast_text, msgspec.Raw, _jsonb, order_sql=lambda c: f'{c}::text COLLATE "C"'),
}

_ARRAYS: Mapping[str, str] = {"Money": "::numeric[]", "Xml": "::text[]"}
"""what an array is cast to where its own text would print the elements otherwise than alone"""


def column_type(field: ScalarField, datamodel: Datamodel) -> ColumnType:
    """The two directions of this field's column, lists included."""
    element = _element_type(field, datamodel)
    return _list_of(field, element) if field.is_list else element


def _element_type(field: ScalarField, datamodel: Datamodel) -> ColumnType:
    if field.kind is ScalarKind.ENUM:
        return _enum(datamodel.enum(field.type))
    if field.kind is ScalarKind.UNSUPPORTED:
        return _PRINTED
    native = native_type(field)
    if field.type == "DateTime":
        codec = times.time_type(native.name, native.args[0] if native.args else 6)
        return ColumnType(codec.json_sql, str, codec.text)
    return _BY_NATIVE.get(native.name) or _BY_SCALAR[field.type]


def _enum(enum: Enum) -> ColumnType:
    labels = {m.name: m.label.encode() for m in enum.members}
    renamed = [m for m in enum.members if m.label != m.name]

    def name_sql(column: str) -> str:
        if not renamed:
            return f"{column}::text"
        cases = " ".join(f"WHEN {literal(m.label)} THEN {literal(m.name)}" for m in renamed)
        return f"CASE {column}::text {cases} ELSE {column}::text END"

    return ColumnType(
        lambda c: f"to_json({name_sql(c)})",
        Literal[tuple(labels)],
        labels.__getitem__,
        order_sql=lambda c: f'({name_sql(c)}) COLLATE "C"',
    )


def _list_of(field: ScalarField, element: ColumnType) -> ColumnType:
    """``null`` is a NULL element, but in a list of Json it is JSON's own (see fold.unkeepable)."""

    def json_sql(column: str) -> str:
        return (
            f"(SELECT concat('[', string_agg({element.nullable_sql('e')}, ',' ORDER BY n), ']')"
            # Behind FROM, unnest would make columns of composite values.
            f" FROM (SELECT unnest({column}) AS e, generate_subscripts({column}, 1) AS n) AS u)"
        )

    plain = field.kind is ScalarKind.SCALAR
    cast = _ARRAYS.get(native_type(field).name, "") if plain else ""
    one = _short_boolean if plain and field.type == "Boolean" else element.text
    delimiter = b";" if field.kind is ScalarKind.UNSUPPORTED and field.type == "box" else b","

    def text(values: list[Any]) -> bytes:
        return array_text([None if is_null(v) else one(v) for v in values], delimiter)

    def json_text(values: list[Any]) -> bytes:
        return array_text([one(v) for v in values])

    return ColumnType(
        json_sql,
        list[or_null(element.decoded)],  # type: ignore[misc]
        json_text if field.is_json else text,
        lambda c: f"{c}{cast}::text",
    )


def or_null(decoded: Any) -> Any:
    """The type, in msgspec's terms, of a value that may be ``null``; raw text can hold that by itself."""
    return decoded if decoded is msgspec.Raw else decoded | None


def is_null(value: Any) -> bool:
    """Whether a decoded value, raw text included, is ``null``."""
    return value is None or (type(value) is msgspec.Raw and bytes(value) == b"null")


_PLAIN_ELEMENT = {d: re.compile(rb'[^"\\{}\s\v' + d + rb"]+") for d in (b",", b";")}


def array_text(elements: list[bytes | None], delimiter: bytes = b",") -> bytes:
    """A one-dimensional array as PostgreSQL prints it (array_out in its documentation, section Arrays).

    All types but ``box`` are delimited by commas.
    """
    plain = _PLAIN_ELEMENT[delimiter].fullmatch
    return b"{" + delimiter.join([_array_element(e, plain) for e in elements]) + b"}"


def _array_element(value: bytes | None, plain: Callable[[bytes], object]) -> bytes:
    if value is None:
        return b"NULL"
    if plain(value) and value.upper() != b"NULL":
        return value
    return b'"' + value.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'
