"""Lists: in JSON an array.  An element that is NULL is ``null``; in a list of Json that is JSON's own, and no
element can be NULL (``fold.unkeepable`` refuses such a list)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from octavo.text import pattern
from octavo.values.base import ValueType, or_null, wrong

_PLAIN_ELEMENT = {d: pattern(rb'[^"\\{}\s\v' + d + rb"]+") for d in (b",", b";")}


def array_text(elements: list[bytes | None], delimiter: bytes = b",") -> bytes:
    """A one-dimensional array as PostgreSQL prints it (array_out in its documentation, section Arrays).

    All types but ``box`` are delimited by commas.
    """
    plain = _PLAIN_ELEMENT[delimiter].fullmatch
    return b"{" + delimiter.join([_element_text(e, plain) for e in elements]) + b"}"


def _element_text(value: bytes | None, plain: Callable[[bytes], object]) -> bytes:
    if value is None:
        return b"NULL"
    if plain(value) and value.upper() != b"NULL":
        return value
    return b'"' + value.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'


def list_of(element: ValueType) -> ValueType:
    """The type of lists of an element's values."""
    one, is_null, cast = element.array_text or element.text, element.is_null, element.array_cast
    read, write, element_key = element.read, element.write, element.key

    def json_sql(column: str) -> str:
        return (
            f"(SELECT concat('[', string_agg({element.nullable_sql('e')}, ',' ORDER BY n), ']')"
            # After FROM, unnest would make columns of composite values.
            f" FROM (SELECT unnest({column}) AS e, generate_subscripts({column}, 1) AS n) AS u)"
        )

    def line_sql(column: str, unlike: str) -> str:
        assert element.line_sql is not None
        elements = f"SELECT {element.line_sql('e', unlike)} FROM unnest({column}) WITH ORDINALITY AS u(e, n)"
        other = f"array_ndims({column}) > 1 OR array_lower({column}, 1) <> 1"
        return (
            f"CASE WHEN {other} THEN to_json({unlike}::text)"
            f" WHEN {column} IS NOT NULL THEN to_json(ARRAY({elements} ORDER BY n)) END"
        )

    def text(values: list[Any]) -> bytes:
        return array_text([None if is_null(v) else one(v) for v in values], element.delimiter)

    def read_list(values: list[Any]) -> list[Any]:
        return list(values) if read is None else [None if is_null(v) else read(v) for v in values]

    def write_list(value: Any) -> list[Any]:
        if not isinstance(value, list | tuple):
            raise wrong(value, "a list")
        return [write(v) for v in value]

    def key(values: list[Any]) -> tuple[Any, ...]:
        """Element by element, a NULL after every value; the shorter first."""
        return tuple(
            (True,) if is_null(v) else (False, v if element_key is None else element_key(v)) for v in values
        )

    return ValueType(
        sql=f"{element.sql}[]",
        json_sql=json_sql,
        text_sql=lambda c: f"{c}{cast}::text",
        # Of Json, NULL would not be told from the element null.
        line_sql=line_sql if element.line_sql and element.null is None else None,
        compared_as=f"{element.compared_as}[]" if element.compared_as else "",
        collated=element.collated,
        decoded=list[or_null(element.decoded)],  # type: ignore[misc]
        text=text,
        strict=True,
        read=read_list,
        write=write_list,
        key=key,
        identity=key,
        is_ordered=element.is_ordered,
        is_text=element.is_text,
        is_caseless=element.is_caseless,
        respelled=element.respelled,
        exact=element.exact,
        schema={"type": "array", "items": element.schema},
        element=element,
    )
