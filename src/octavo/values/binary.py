"""Bytes: in JSON a string, base64."""

from __future__ import annotations

from typing import Any

from octavo.values.base import TYPES, ValueType, matching, wrong

_BASE64 = "(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?"


def _write(value: Any) -> bytes:
    if type(value) is bytes:
        return value
    if not isinstance(value, bytes | bytearray | memoryview):
        raise wrong(value, "bytes")
    return bytes(value)


TYPES["ByteA"] = ValueType(
    json_sql=lambda c: f"""concat('"', translate(encode({c}, 'base64'), E'\\n', ''), '"')""",
    decoded=bytes,
    text=lambda value: b"\\x" + value.hex().encode(),
    write=_write,
    default_key=lambda base64: base64.rstrip("="),
    schema={**matching(_BASE64), "contentEncoding": "base64"},
)
