"""Raw SQL: a statement with its parameters, and what it gives.

Values travel as PostgreSQL's own text, both ways.  A column of an answer has the name of its type as
Prisma's client knows it (``int``, ``datetime``, ``json-array``).  On the files only constants can be
selected, which is what health checks ask for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal
from enum import Enum
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from octavo.errors import UsageError
from octavo.query.arguments import At
from octavo.values.json import json_text, read_json
from octavo.values.lists import array_text
from octavo.values.text import string

MOST_PARAMETERS = 65535
"""PostgreSQL's limit for one statement"""


class RawStatement(NamedTuple):
    """A statement and its parameters ``$1`` …, as text; None is NULL."""

    text: str
    parameters: tuple[str | None, ...] = ()
    writes: bool = False
    """whether it was given to ``execute_raw``; PostgreSQL decides whether it writes"""

    @property
    def command(self) -> str:
        """Its first word, in capitals."""
        found = _FIRST_WORD.match(self.text)
        return found[1].upper() if found else ""


_FIRST_WORD = re.compile(r"(?:\s|--[^\n]*(?:\n|$)|/\*.*?\*/|\()*([A-Za-z]*)", re.DOTALL)
_TURNS = ("BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT", "SAVEPOINT", "RELEASE")


class RawResult(NamedTuple):
    """What a statement gives: columns, the types of their values, and the rows as PostgreSQL's text."""

    columns: tuple[str, ...]
    types: tuple[str, ...]
    rows: list[tuple[str | None, ...]]
    affected: int
    """how many rows the statement was about"""

    def records(self) -> list[dict[str, Any]]:
        """Each row as a dict of Python's values.  Of columns with the same name the last one counts."""
        readers = [reader(kind) for kind in self.types]
        return [
            {
                name: None if text is None else read(text)
                for name, read, text in zip(self.columns, readers, row, strict=True)
            }
            for row in self.rows
        ]


def raw_statement(text: Any, parameters: Sequence[Any], *, writes: bool) -> RawStatement:
    """A statement that may be run.

    Raises ValidationError for what is no statement or no parameter, UsageError for one that would begin or
    end a transaction.
    """
    at = At("", "")
    if not isinstance(text, str) or "\0" in text:
        (at / "query").fail("must be a statement of SQL, as text")
    if len(parameters) > MOST_PARAMETERS:
        (at / "parameters").fail(f"are more than {MOST_PARAMETERS}")
    given = tuple((at / "parameters")[n].value(_parameter, value) for n, value in enumerate(parameters))
    statement = RawStatement(text, given, writes)
    command = statement.command
    if command in _TURNS or re.match(r"\s*PREPARE\s+TRANSACTION\b", text, re.IGNORECASE):
        raise UsageError(f"raw SQL cannot hold {command}", hint="use db.tx()")
    if command == "COPY":
        raise UsageError("raw SQL cannot hold COPY")
    return statement


def _parameter(value: Any) -> str | None:
    """A parameter as PostgreSQL's text.  Raises ValueError."""
    if isinstance(value, Enum):
        value = value.value
    if value is None:
        return None
    for kinds, text in _TEXTS:
        if isinstance(value, kinds):
            return text(value)
    raise ValueError(f"is a {type(value).__name__}, which has no place in SQL")


def _moment_text(value: datetime) -> str:
    moment = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    return moment.isoformat(" ")


def _array(values: Sequence[Any]) -> str:
    if any(isinstance(value, list | tuple) for value in values):
        rows = (_array(v) if isinstance(v, list | tuple) else "NULL" for v in values)
        return f"{{{','.join(rows)}}}"
    texts = [None if text is None else text.encode() for text in map(_parameter, values)]
    return array_text(texts).decode()


_TEXTS: Sequence[tuple[Any, Callable[[Any], str]]] = (
    (bool, lambda value: str(value).lower()),
    (str, string),
    ((int, Decimal, UUID), str),
    (float, repr),
    ((bytes, bytearray, memoryview), lambda value: f"\\x{bytes(value).hex()}"),
    (datetime, _moment_text),
    ((date, time), lambda value: value.isoformat()),
    ((list, tuple), _array),
    (Mapping, json_text),
)


# From PostgreSQL's text to Python's values.


def _moment(text: str) -> datetime | str:
    """A moment; the text itself of one that Python cannot hold (``infinity``, BC, years over 9999)."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return text
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def _or_text(read: Callable[[str], Any]) -> Callable[[str], Any]:
    def reading(text: str) -> Any:
        try:
            return read(text)
        except ValueError:
            return text

    return reading


_READERS: Mapping[str, Callable[[str], Any]] = {
    "int": int,
    "bigint": int,
    "float": float,
    "double": float,
    "decimal": lambda text: Decimal(re.sub(r"[$,]", "", text)),
    "bool": lambda text: text == "t",
    "bytes": lambda text: bytes.fromhex(text[2:]),
    "datetime": _moment,
    "date": _or_text(date.fromisoformat),
    "time": _or_text(time.fromisoformat),
    "json": lambda text: read_json(msgspec.Raw(text.encode())),
}


def reader(kind: str, readers: Mapping[str, Callable[[str], Any]] = _READERS) -> Callable[[str], Any]:
    """What makes a value of PostgreSQL's text of this type: by that of its elements, if it is an array."""
    if kind.endswith("-array"):
        read = readers.get(kind.removesuffix("-array"), str)
        return lambda text: _elements(elements(text), read)
    return readers.get(kind, str)


def _elements(found: list[Any], read: Callable[[str], Any]) -> list[Any]:
    return [
        None if one is None else _elements(one, read) if isinstance(one, list) else read(one) for one in found
    ]


_ELEMENT = re.compile(r'\{|\}|,|"((?:[^"\\]|\\.)*)"|([^{},"]+)', re.DOTALL)


def elements(text: str) -> list[Any]:
    """The elements of an array as PostgreSQL prints it: texts, None for NULL, a list for each row of an array
    of more dimensions."""
    stack: list[list[Any]] = [[]]
    # One that does not begin at 1 is printed with its bounds.
    for found in _ELEMENT.finditer(text, text.index("{")):
        match found[0]:
            case "{":
                stack.append([])
            case "}":
                inner = stack.pop()
                stack[-1].append(inner)
            case ",":
                pass
            case _:
                quoted, plain = found.groups()
                if plain is None:
                    stack[-1].append(re.sub(r"\\(.)", r"\1", quoted, flags=re.DOTALL))
                else:
                    stack[-1].append(None if plain == "NULL" else plain)
    found_: list[Any] = stack[0][0]
    return found_


# Constants, which need no database.

_SELECT = re.compile(r"\s*SELECT\s+(.*?)\s*;?\s*", re.IGNORECASE | re.DOTALL)
_CONSTANT = re.compile(
    r"\s*(?:(?P<int>[+-]?\d{1,9})(?:\s*\+\s*(?P<more>\d{1,9}))?|'(?P<string>[^'\\]*)'|(?P<bool>true|false)"
    r"|(?P<now>now\(\)|current_timestamp))(?:\s+(?:AS\s+)?(?:\"(?P<exact>[^\"]+)\"|(?P<name>[a-z_]\w*)))?\s*",
    re.IGNORECASE,
)


def constants(statement: RawStatement) -> RawResult:
    """The answer to a ``SELECT`` of constants.  Raises UsageError for any other statement."""
    found = _SELECT.fullmatch(re.sub(r"--[^\n]*|/\*.*?\*/", " ", statement.text, flags=re.DOTALL))
    parts = [_CONSTANT.fullmatch(part) for part in found[1].split(",")] if found else [None]
    if statement.parameters or None in parts:
        raise UsageError(
            "the files do not understand SQL; SELECT 1 is answered, nothing else",
            hint="ask by the client's operations, or PostgreSQL with DATA_BACKEND=prisma",
        )
    names, types, row = zip(*(_constant(part) for part in parts if part is not None), strict=True)
    return RawResult(names, types, [row], 1)


def _constant(part: re.Match[str]) -> tuple[str, str, str]:
    name = part["exact"] or (part["name"] or "").lower()
    if part["int"] is not None:
        return name or "?column?", "int", str(int(part["int"]) + int(part["more"] or 0))
    if part["string"] is not None:
        return name or "?column?", "string", part["string"]
    if part["bool"] is not None:
        return name or "?column?", "bool", part["bool"][0].lower()
    default = "now" if "(" in part["now"] else "current_timestamp"
    return name or default, "datetime", datetime.now(UTC).isoformat(" ")
