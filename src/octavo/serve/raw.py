"""Raw SQL in Prisma's JSON protocol: parameters come tagged in a JSON text, rows go out by their types."""

from __future__ import annotations

import math
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from types import NoneType
from typing import Any

import msgspec

from octavo.client import Models
from octavo.query.raw import RawResult, raw_statement, reader
from octavo.serve.refusals import Refused
from octavo.values.json import json_text


def raw(models: Models, query: str, parameters: list[Any], *, writes: bool) -> RawResult:
    """What a statement gives.  Raises RawQueryError, UsageError."""
    return models._session.raw(raw_statement(query, parameters, writes=writes))


_GIVEN: Mapping[str, Callable[[str], Any]] = {
    "bigint": int,
    "date": datetime.fromisoformat,
    "decimal": Decimal,
    "bytes": b64decode,
}


def parameters(given: Any) -> list[Any]:
    """A statement's parameters.  Raises Refused."""
    try:
        found = msgspec.json.decode(given) if isinstance(given, str) else given
        if not isinstance(found, list | NoneType):
            raise TypeError
        return [_parameter(value) for value in found or ()]
    except (msgspec.MsgspecError, ArithmeticError, ValueError, TypeError, KeyError) as error:
        raise Refused("the parameters of the raw query are invalid", {}, "P2010") from error


def _parameter(value: Any) -> Any:
    if isinstance(value, list):
        return [_parameter(item) for item in value]
    if isinstance(value, dict):
        if value.keys() == {"prisma__type", "prisma__value"}:
            return _GIVEN[value["prisma__type"]](value["prisma__value"])
        return json_text(value)
    return value


def _number(text: str) -> Any:
    value = float(text)
    return value if math.isfinite(value) else None


def _moment(text: str) -> str:
    found = text.replace(" ", "T", 1)
    if found[-3:-2] in "+-" and found.count(":") == 2:
        return f"{found}:00"
    return found if found[-6:-5] in "+-" else f"{found}Z"


_SHOWN: Mapping[str, Callable[[str], Any]] = {
    "int": int,
    "float": _number,
    "double": _number,
    "bool": lambda text: text == "t",
    "bytes": lambda text: b64encode(bytes.fromhex(text[2:])).decode(),
    "decimal": lambda text: text.replace("$", "").replace(",", ""),
    "datetime": _moment,
    "time": lambda text: text.partition("+")[0].partition("-")[0],
    "json": lambda text: msgspec.Raw(text.encode()),
}


def rows(result: RawResult) -> dict[str, Any]:
    """What a query gives, as it goes out."""
    shown = [reader(kind, _SHOWN) for kind in result.types]
    return {
        "columns": result.columns,
        "types": result.types,
        "rows": [
            [None if text is None else show(text) for show, text in zip(shown, row, strict=True)]
            for row in result.rows
        ],
    }
