"""Column defaults as PostgreSQL prints them, read for what they mean.

``pg_get_expr`` spells one default in many ways: ``'{}'::jsonb``, ``'-1'::integer``, ``(-1)``, ``now()`` or
``CURRENT_TIMESTAMP``, ``ARRAY['a'::text]`` or ``'{a}'::text[]``.  Here each becomes a value of the
Datamodel, and an expression that is none a list of words to compare.

Casts are left out of account, as a column has one type and that is compared by itself; so are parentheses
that only group, of which PostgreSQL prints more than an author writes.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Sequence
from typing import Any

from msgspec import Struct

from octavo.schema.datamodel import DefaultValue, EnumValue, Function, Number, SingleDefault
from octavo.values.base import ValueType

_TOKEN = re.compile(
    r"""(?P<space>\s+)
    |(?P<escaped>[eE]'(?:[^'\\]|\\.|'')*')
    |(?P<string>'(?:[^']|'')*')
    |(?P<quoted>"(?:[^"]|"")*")
    |(?P<number>(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)
    |(?P<word>[^\W\d][\w$]*)
    |(?P<cast>::)
    |(?P<mark>.)""",
    re.VERBOSE | re.DOTALL,
)
_TYPE_WORDS = frozenset(
    (
        *(
            "varying",
            "precision",
            "with",
            "without",
            "time",
            "zone",
            "year",
            "month",
            "day",
            "hour",
            "minute",
        ),
        *("second", "to"),
    )
)
_NOW = frozenset(("now", "current_timestamp", "transaction_timestamp", "localtimestamp"))
_NO_CALL = frozenset(
    ("and", "or", "not", "in", "is", "any", "all", "case", "when", "then", "else", "between")
)


class Token(Struct, frozen=True):
    """A word of an expression: ``kind`` is string, quoted, number, word or mark; ``text`` is unescaped."""

    kind: str
    text: str


def words(expression: str) -> tuple[Token, ...]:
    """What an expression says, without casts, grouping and other matters of spelling: two that say the same
    are equal."""
    tokens = list(_tokens(expression))
    return tuple(_ungrouped(_renamed(_uncast(tokens))))


def default_of(expression: str, type_: str, *, enum: bool, is_list: bool) -> DefaultValue | None:
    """The default that an expression stands for, in a column of this Prisma type.

    An expression that is no constant becomes ``dbgenerated("…")``; NULL is no default.
    """
    tokens = words(expression)
    if len(tokens) == 1 and tokens[0] == Token("word", "null"):
        return None
    if tokens == (Token("word", "now"),):
        return Function("now")
    if tokens[:2] == (Token("word", "nextval"), Token("mark", "(")):
        return Function("autoincrement")
    computed = Function("dbgenerated", (expression,))
    if is_list:
        elements = _elements(tokens)
        if elements is None:
            return computed
        values = [_constant(element, type_, enum) for element in elements]
        return tuple(v for v in values if v is not None) if None not in values else computed
    constant = _constant(tokens, type_, enum)
    return computed if constant is None else constant


def comparable(value: DefaultValue, kind: ValueType) -> Any:
    """A constant in a form in which two spellings of one value are equal; ``kind`` is one value's type."""
    match value:
        case tuple():
            return tuple(comparable(element, kind) for element in value)
        case Number():
            return kind.default_key(value.text)
        case str():
            return kind.default_key(value)
    return value


def _tokens(text: str) -> Iterator[Token]:
    for match in _TOKEN.finditer(text):
        kind, found = str(match.lastgroup), match[0]
        if kind == "space":
            continue
        if kind == "escaped":
            yield Token("string", re.sub(r"\\(.)|''", lambda m: m[1] or "'", found[2:-1], flags=re.DOTALL))
        elif kind == "string":
            yield Token("string", found[1:-1].replace("''", "'"))
        elif kind == "quoted":
            name = found[1:-1].replace('""', '"')
            yield Token("word" if re.fullmatch("[a-z_][a-z0-9_]*", name) else "quoted", name)
        else:
            yield Token(kind, found.lower() if kind == "word" else found)


def _uncast(tokens: Sequence[Token]) -> list[Token]:
    """Without ``::type``, without the type's name before a string (``interval '1 day'``)."""
    kept: list[Token] = []
    at = 0
    while at < len(tokens):
        token = tokens[at]
        following = tokens[at + 1] if at + 1 < len(tokens) else None
        if token.kind == "cast":
            at = _after_type(tokens, at + 1)
        elif token.kind == "word" and following is not None and following.kind == "string":
            at += 1
        else:
            kept.append(token)
            at += 1
    return kept


def _after_type(tokens: Sequence[Token], at: int) -> int:
    def is_mark(position: int, text: str) -> bool:
        return position < len(tokens) and tokens[position] == Token("mark", text)

    at += 1
    while is_mark(at, "."):
        at += 2
    while at < len(tokens):
        if tokens[at].kind == "word" and tokens[at].text in _TYPE_WORDS:
            at += 1
        elif is_mark(at, "(") or is_mark(at, "["):
            closing = ")" if is_mark(at, "(") else "]"
            while at < len(tokens) and not is_mark(at, closing):
                at += 1
            at += 1
        else:
            break
    return at


def _renamed(tokens: Sequence[Token]) -> list[Token]:
    """With one word for the present moment, and without ``pg_catalog.``."""
    kept: list[Token] = []
    at = 0
    while at < len(tokens):
        token = tokens[at]
        if token == Token("word", "pg_catalog") and tokens[at + 1 : at + 2] == [Token("mark", ".")]:
            at += 2
            continue
        at += 1
        if token.kind == "word" and token.text in _NOW:
            kept.append(Token("word", "now"))
            if tokens[at : at + 1] == [Token("mark", "(")]:
                while at < len(tokens) and tokens[at] != Token("mark", ")"):
                    at += 1
                at += 1
        else:
            kept.append(token)
    return kept


def _ungrouped(tokens: Sequence[Token]) -> Iterator[Token]:
    """Without parentheses that group: those that follow no name of a function."""
    open_: list[bool] = []
    before: Token | None = None
    for token in tokens:
        shown = True
        if token == Token("mark", "("):
            called = before is not None and (
                before.kind == "quoted" or (before.kind == "word" and before.text not in _NO_CALL)
            )
            open_.append(called)
            shown = called
        elif token == Token("mark", ")"):
            shown = open_.pop() if open_ else True
        before = token
        if shown:
            yield token


def _elements(tokens: Sequence[Token]) -> list[tuple[Token, ...]] | None:
    """The elements of an array, each as its words; None if the expression is no constant array."""
    if len(tokens) == 1 and tokens[0].kind == "string":
        return _array_literal(tokens[0].text)
    if len(tokens) < 3 or tokens[0] != Token("word", "array") or tokens[1] != Token("mark", "["):
        return None
    if tokens[-1] != Token("mark", "]"):
        return None
    elements: list[tuple[Token, ...]] = []
    current: list[Token] = []
    for token in tokens[2:-1]:
        if token == Token("mark", ","):
            elements.append(tuple(current))
            current = []
        else:
            current.append(token)
    return [*elements, tuple(current)] if current else elements


_ELEMENT = re.compile(
    r'\s*(?:"((?:[^"\\]|\\.)*)"|((?:[^",{}\\\s]|\\.)(?:[^",{}\\]|\\.)*?))\s*(,|$)', re.DOTALL
)


def _array_literal(text: str) -> list[tuple[Token, ...]] | None:
    """PostgreSQL's ``{a,"b c"}``, of one dimension and without NULLs."""
    if not (text.startswith("{") and text.endswith("}")):
        return None
    inside, at = text[1:-1], 0
    found: list[tuple[Token, ...]] = []
    while at < len(inside):
        match = _ELEMENT.match(inside, at)
        if match is None or (match[2] is not None and match[2].upper() == "NULL"):
            return None
        element = match[1] if match[1] is not None else match[2]
        found.append((Token("string", re.sub(r"\\(.)", r"\1", element, flags=re.DOTALL)),))
        at = match.end()
    return found


def _constant(tokens: Sequence[Token], type_: str, enum: bool) -> SingleDefault | None:
    """The constant that these words are; None if they are none."""
    text: str
    if len(tokens) == 1 and tokens[0].kind in ("string", "number", "word"):
        kind, text = tokens[0].kind, tokens[0].text
    elif len(tokens) == 2 and tokens[0] == Token("mark", "-") and tokens[1].kind == "number":
        kind, text = "number", f"-{tokens[1].text}"
    else:
        return None
    if type_ == "Boolean":
        known = {"true": True, "t": True, "false": False, "f": False}
        return known.get(text)
    if kind == "word":
        return None
    if enum:
        return EnumValue(text)
    if type_ in ("Int", "BigInt", "Float", "Decimal"):
        return Number(text)
    if type_ == "Bytes" and text.startswith("\\x"):
        return base64.b64encode(bytes.fromhex(text[2:])).decode("ascii")
    return text
