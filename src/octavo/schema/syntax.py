"""From text to syntax: the parts of a schema as written, each with its place in the text.

The grammar is ``prisma.lark``, beside this module; what names mean is not known here.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import accumulate
from pathlib import Path
from typing import Any, NoReturn, TypeAlias

from lark import Lark, Token, Transformer, v_args
from lark.exceptions import UnexpectedCharacters, UnexpectedInput, UnexpectedToken, VisitError
from lark.parsers.lalr_interactive_parser import InteractiveParser
from msgspec import Struct
from msgspec.structs import replace

from octavo.errors import SchemaError
from octavo.schema.datamodel import Arity


class StringLiteral(Struct, frozen=True):
    """A quoted text, its escapes resolved."""

    value: str
    at: int


class NumberLiteral(Struct, frozen=True):
    """A number, spelled as in the schema."""

    text: str
    at: int


class Constant(Struct, frozen=True):
    """A bare word (``Cascade``, ``true``, the name of a field), with dots if it is a path."""

    text: str
    at: int


class Array(Struct, frozen=True):
    items: tuple[Expression, ...]
    at: int


class Call(Struct, frozen=True):
    """``now()``, ``raw("…")``, but also a field with options in an index: ``name(sort: Desc)``."""

    name: str
    args: tuple[Argument, ...]
    at: int


class Object(Struct, frozen=True):
    """``{ name: value }``, which only the ``where`` of an index can be."""

    members: tuple[tuple[str, Expression], ...]
    at: int


Expression: TypeAlias = StringLiteral | NumberLiteral | Constant | Array | Call | Object


class Argument(Struct, frozen=True):
    """``name`` is None where the argument was given by its position."""

    name: str | None
    value: Expression
    at: int


class Attribute(Struct, frozen=True):
    """``@name(…)`` or ``@@name(…)``; the name without its signs."""

    name: str
    args: tuple[Argument, ...]
    at: int


class TypeNode(Struct, frozen=True):
    name: str
    """of a scalar, an enum, a model; for ``Unsupported("…")`` the text"""
    arity: Arity
    unsupported: bool
    at: int


class Node(Struct, frozen=True):
    """What has a name, attributes and a comment."""

    name: str
    attributes: tuple[Attribute, ...]
    documentation: str | None
    at: int


class Member(Node, frozen=True):
    """A field of a model, or (without a type) a value of an enum."""

    type: TypeNode | None


class Property(Struct, frozen=True):
    """A line of a ``datasource`` or ``generator``."""

    name: str
    value: Expression | None
    at: int


class Block(Node, frozen=True):
    """A model, view, type or enum; or, with properties alone, a datasource or generator."""

    keyword: str
    members: tuple[Member, ...]
    properties: tuple[Property, ...]

    @property
    def is_config(self) -> bool:
        return self.keyword in ("datasource", "generator")


class Sources:
    """The texts of a schema, laid end to end: a place is one number, whatever the file.

    ``files`` holds names (for messages) and texts.
    """

    def __init__(self, files: Sequence[tuple[str, str]]) -> None:
        self.files = tuple(files)
        self.starts = [0, *accumulate(len(text) + 1 for _, text in self.files)]

    def fail(self, message: str, at: int, expected: Sequence[str] = ()) -> NoReturn:
        """Raise the SchemaError that points at a place."""
        index = min(bisect_right(self.starts, at) - 1, len(self.files) - 1)
        name, text = self.files[index]
        before = text[: at - self.starts[index]].replace("\r\n", "\n").replace("\r", "\n")
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        raise SchemaError(message, file=name, line=line, column=column, expected=expected)


def read_blocks(sources: Sources) -> tuple[Block, ...]:
    """The blocks of all files, in order.  Raises SchemaError where a text is not of the language."""
    blocks: list[Block] = []
    for (_, text), start in zip(sources.files, sources.starts, strict=False):
        try:
            blocks.extend(_Builder(sources, start).transform(_parser().parse(text)))
        except UnexpectedInput as error:
            _explain(error, sources, text, start)
        except VisitError as error:
            if isinstance(error.orig_exc, RecursionError):
                sources.fail(_TOO_DEEP, start)
            raise error.orig_exc from None
        except RecursionError:
            sources.fail(_TOO_DEEP, start)
    return tuple(blocks)


_TOO_DEEP = "a list or an object is nested too deeply"


def _explain(error: UnexpectedInput, sources: Sources, text: str, start: int) -> NoReturn:
    if isinstance(error, UnexpectedToken):
        _refuse_unclosed(error, sources, text, start)
        at, found = error.token.start_pos or 0, _shown(error.token)
        expected = _in_words(error.accepts or error.expected)
    else:
        assert isinstance(error, UnexpectedCharacters)
        at = error.pos_in_stream or 0
        found = _shown(re.split(r"\s", text[at : at + 30], maxsplit=1)[0])
        expected = _in_words(error.allowed or ())
    if text[at] == "\ufeff":
        sources.fail("a byte order mark cannot be in a schema", start + at)
    sources.fail(f"unexpected {found}", start + at, expected)


_HEADER = re.compile(r"[^\S\r\n]*((?:model|type|view|enum|datasource|generator)[^\S\r\n]+[\w-]+[^\S\r\n]*\{)")


def _refuse_unclosed(error: UnexpectedToken, sources: Sources, text: str, start: int) -> None:
    """Where a text ends, or another block begins, within a block: this block lacks its end."""
    parser: InteractiveParser | None = error.interactive_parser
    is_end = error.token.type == "$END"
    header = None if is_end else _header(text, error.token.start_pos or 0)
    if parser is None or (header is None and not is_end):
        return
    stack = [part for part in parser.parser_state.value_stack if isinstance(part, Token)]
    opened = [index for index, token in enumerate(stack) if token.type == "_OPEN"]
    if opened:
        keyword, name = stack[opened[-1] - 2 : opened[-1]]
        if header is not None:
            sources.fail(f"{keyword} {name} is not closed before this block", start + header, ("'}'",))
        sources.fail(f"{keyword} {name} is not closed", start + (keyword.start_pos or 0), ("'}'",))
    if is_end and stack:
        at = start + (stack[-1].end_pos or 0)
        sources.fail("unexpected end of the file", at, _in_words(error.accepts or error.expected))


def _header(text: str, at: int) -> int | None:
    """Where the line around a place begins, if it is the first line of a block."""
    match = _HEADER.match(text, max(text.rfind("\n", 0, at), text.rfind("\r", 0, at)) + 1)
    return match.start(1) if match is not None and at < match.end() else None


def _shown(text: str) -> str:
    return "end of the line" if text.strip() == "" else repr(text.strip())


_WORDS = {
    "MODEL": "a model",
    "TYPE": "a type",
    "VIEW": "a view",
    "ENUM": "an enum",
    "DATASOURCE": "a datasource",
    "GENERATOR": "a generator",
    "NAME": "a name",
    "PATH": "",
    "NUMBER": "a number",
    "STRING": "a quoted text",
    "UNSUPPORTED": 'Unsupported("…")',
    "_OPEN": "'{' and the end of the line",
    "_CLOSE": "'}'",
    "_EQUALS": "'='",
    "_OPTIONAL": "'?'",
    "_LIST": "'[]'",
    "_BANG": "",
    "LBRACKET": "'['",
    "LBRACE": "'{'",
    "_RBRACKET": "']'",
    "_LPAREN": "'('",
    "_RPAREN": "')'",
    "_COMMA": "','",
    "_COLON": "':'",
    "AT": "an attribute '@…'",
    "AT_AT": "an attribute '@@…'",
    "COMMENT": "",
    "DOC": "",
    "MULTILINE": "",
    "MULTILINE_LF": "",
    "LF": "the end of the line",
    "$END": "the end of the file",
    "BLANK": "",
}


def _in_words(terminals: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(word for name in terminals if (word := _WORDS.get(name, name))))


@cache
def _parser() -> Lark:
    grammar = Path(__file__).with_name("prisma.lark").read_text(encoding="utf-8")
    return Lark(grammar, parser="lalr", lexer="contextual", maybe_placeholders=False)


class _Comment(Struct, frozen=True):
    """``text`` is None for a comment that is no documentation."""

    text: str | None


def _documentation(comments: Iterable[_Comment]) -> str | None:
    texts = [comment.text for comment in comments if comment.text is not None]
    return "\n".join(texts) if texts else None


def _documented(parts: Iterable[Any]) -> Iterator[Member]:
    """The members among a block's parts, each with the comments directly above it and after it."""
    above: list[_Comment] = []
    together = False
    for part in parts:
        if isinstance(part, _Comment):
            above = [*above, part] if together else [part]
        elif isinstance(part, Member):
            yield replace(part, documentation=_documentation([*above, _Comment(part.documentation)]))
            above = []
        together = isinstance(part, _Comment)


def _comment_text(token: Token) -> str | None:
    """What a comment says as documentation: all of ``///`` and ``/* */`` does, nothing of ``//``."""
    if token.type == "DOC":
        return token[3:].rstrip("\r\n").lstrip()
    if token.type == "COMMENT":
        return None
    return token.rstrip("\r\n")[2:-2].strip()


class _Builder(Transformer[Token, Any]):
    """Makes syntax nodes of lark's tree."""

    def __init__(self, sources: Sources, start: int) -> None:
        super().__init__(visit_tokens=False)
        self.sources, self.offset = sources, start

    def _name(self, token: Token) -> str:
        """A name is of letters, ASCII digits, hyphens and underscores."""
        if not token.isascii():
            for index, sign in enumerate(token):
                if not sign.isascii() and not unicodedata.category(sign).startswith("L"):
                    self.sources.fail(f"{sign!r} cannot be in a name", self._at(token) + index)
        return str(token)

    def _at(self, token: Token) -> int:
        return self.offset + (token.start_pos or 0)

    # comments

    def comment(self, children: list[Token]) -> _Comment:
        return _Comment(_comment_text(children[0]))

    remark = comment

    def end(self, children: list[Token]) -> _Comment:
        return _Comment(None if children[0].type == "LF" else _comment_text(children[0]))

    # expressions

    def string(self, children: list[Token]) -> StringLiteral:
        return StringLiteral(self._unescape(children[0]), self._at(children[0]))

    def number(self, children: list[Token]) -> NumberLiteral:
        return NumberLiteral(str(children[0]), self._at(children[0]))

    def constant(self, children: list[Token]) -> Constant:
        return Constant(self._name(children[0]), self._at(children[0]))

    def member(self, children: list[Any]) -> tuple[str, Expression]:
        return self._name(children[0]), children[1]

    def object(self, children: list[Any]) -> Object:
        return Object(tuple(children[1:]), self._at(children[0]))

    def array(self, children: list[Any]) -> Array:
        return Array(tuple(children[1:]), self._at(children[0]))

    @v_args(inline=True)
    def call(self, name: Token, args: tuple[Argument, ...]) -> Call:
        return Call(self._name(name), args, self._at(name))

    @v_args(inline=True)
    def named(self, name: Token, value: Expression) -> Argument:
        return Argument(self._name(name), value, self._at(name))

    @v_args(inline=True)
    def positional(self, value: Expression) -> Argument:
        return Argument(None, value, value.at)

    def arguments(self, children: list[Argument]) -> tuple[Argument, ...]:
        return tuple(children)

    # members of blocks

    def attribute(self, children: list[Any]) -> Attribute:
        sign, name, *args = children
        return Attribute(self._name(name), args[0] if args else (), self._at(sign))

    def block_attribute(self, children: list[Any]) -> Attribute:
        return self.attribute(children[:-1])

    def base(self, children: list[Token]) -> tuple[str, bool, int]:
        first = children[0]
        if first.type == "UNSUPPORTED":
            return self._unescape(children[1]), True, self._at(first)
        return self._name(first), False, self._at(first)

    def required(self, children: list[Any]) -> TypeNode:
        name, unsupported, at = children[0]
        return TypeNode(name, Arity.REQUIRED, unsupported, at)

    def optional(self, children: list[Any]) -> TypeNode:
        name, unsupported, at = children[0]
        return TypeNode(name, Arity.OPTIONAL, unsupported, at)

    def many(self, children: list[Any]) -> TypeNode:
        name, unsupported, at = children[0]
        return TypeNode(name, Arity.LIST, unsupported, at)

    def optional_list(self, children: list[Any]) -> NoReturn:
        self.sources.fail("a list cannot be optional: write 'Type[]' or 'Type?'", children[0][2])

    def legacy_required(self, children: list[Any]) -> NoReturn:
        self.sources.fail("a field is required without '!'", children[0][2])

    def legacy_list(self, children: list[Any]) -> NoReturn:
        self.sources.fail("a list is written 'Type[]'", children[1][2])

    def field(self, children: list[Any]) -> Member:
        name, kind, *attributes, end = children
        return Member(self._name(name), tuple(attributes), end.text, self._at(name), kind)

    def value(self, children: list[Any]) -> Member:
        name, *attributes, end = children
        return Member(self._name(name), tuple(attributes), end.text, self._at(name), None)

    def property(self, children: list[Any]) -> Property:
        name, *value, _ = children
        return Property(self._name(name), value[0] if value else None, self._at(name))

    # blocks

    def model(self, children: list[Any]) -> Block:
        keyword, name, *parts = children
        return Block(
            self._name(name),
            attributes=tuple(part for part in parts if isinstance(part, Attribute)),
            documentation=None,
            at=self._at(name),
            keyword=str(keyword),
            members=tuple(_documented(parts)),
            properties=tuple(part for part in parts if isinstance(part, Property)),
        )

    enum = config = model

    def type_alias(self, children: list[Any]) -> NoReturn:
        self.sources.fail("a type alias ('type X = …') is not of the language", self._at(children[1]))

    def start(self, children: list[Any]) -> list[Block]:
        """A comment directly above a block documents it; above a datasource or generator, the next one."""
        blocks: list[Block] = []
        pending: str | None = None
        comments: list[_Comment] = []
        for child in children:
            if isinstance(child, _Comment):
                comments.append(child)
                continue
            if isinstance(child, Block):
                if comments:
                    pending = _documentation(comments)
                if child.is_config:
                    blocks.append(child)
                else:
                    blocks.append(replace(child, documentation=pending))
                    pending = None
            comments = []
        return blocks

    def _unescape(self, token: Token) -> str:
        """What a quoted text means; its escapes are JSON's."""
        text = token[1:-1]
        if "\\" not in text:
            return text
        for match in _ESCAPE.finditer(text):
            if match.group(1) is None and match.group(2) is None:
                self.sources.fail(
                    f"unknown escape {match.group()!r} in a text (a backslash itself is written twice)",
                    self._at(token) + 1 + match.start(),
                )
        value = _ESCAPE.sub(_unescaped, text)
        try:
            return value.encode("utf-16", "surrogatepass").decode("utf-16")
        except UnicodeDecodeError:
            self.sources.fail("half a surrogate pair in a text", self._at(token))


_ESCAPE = re.compile(r'\\(?:(["\\/bfnrt])|u([0-9a-fA-F]{4})|[\s\S])')
_ESCAPED = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


def _unescaped(match: re.Match[str]) -> str:
    plain, code = match.groups()
    return chr(int(code, 16)) if code else _ESCAPED.get(plain, plain)
