"""The parts of a schema as written, each with its place in the text; what names mean is not known here."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import NoReturn, TypeAlias

from octavo.errors import SchemaError
from octavo.schema.datamodel import Arity


@dataclass(frozen=True, slots=True)
class StringLiteral:
    """A quoted text, its escapes resolved."""

    value: str
    at: int


@dataclass(frozen=True, slots=True)
class NumberLiteral:
    """A number, spelled as in the schema."""

    text: str
    at: int


@dataclass(frozen=True, slots=True)
class Constant:
    """A bare word (``Cascade``, ``true``, the name of a field), with dots if it is a path."""

    text: str
    at: int


@dataclass(frozen=True, slots=True)
class Array:
    items: tuple[Expression, ...]
    at: int


@dataclass(frozen=True, slots=True)
class Call:
    """``now()``, ``raw("…")``, but also a field with options in an index: ``name(sort: Desc)``."""

    name: str
    args: tuple[Argument, ...]
    at: int


Expression: TypeAlias = StringLiteral | NumberLiteral | Constant | Array | Call


@dataclass(frozen=True, slots=True)
class Argument:
    """``name`` is None where the argument was given by its position."""

    name: str | None
    value: Expression
    at: int


@dataclass(frozen=True, slots=True)
class Attribute:
    """``@name(…)`` or ``@@name(…)``; the name without its signs."""

    name: str
    args: tuple[Argument, ...]
    at: int


@dataclass(frozen=True, slots=True)
class TypeNode:
    name: str
    """of a scalar, an enum, a model; for ``Unsupported("…")`` the text"""
    arity: Arity
    unsupported: bool
    at: int


@dataclass(frozen=True, slots=True)
class FieldNode:
    name: str
    type: TypeNode
    attributes: tuple[Attribute, ...]
    documentation: str | None
    at: int


@dataclass(frozen=True, slots=True)
class ModelNode:
    keyword: str
    """``model``, ``view`` or ``type``"""
    name: str
    fields: tuple[FieldNode, ...]
    attributes: tuple[Attribute, ...]
    documentation: str | None
    at: int


@dataclass(frozen=True, slots=True)
class ValueNode:
    name: str
    attributes: tuple[Attribute, ...]
    documentation: str | None
    at: int


@dataclass(frozen=True, slots=True)
class EnumNode:
    name: str
    values: tuple[ValueNode, ...]
    attributes: tuple[Attribute, ...]
    documentation: str | None
    at: int


@dataclass(frozen=True, slots=True)
class Property:
    name: str
    value: Expression | None
    at: int


@dataclass(frozen=True, slots=True)
class ConfigNode:
    """A ``datasource`` or ``generator`` block."""

    keyword: str
    name: str
    properties: tuple[Property, ...]
    at: int


Block: TypeAlias = ModelNode | EnumNode | ConfigNode


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
