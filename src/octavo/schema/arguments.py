"""The attributes of one field or block, and the arguments of one attribute, each handed out once.

What nobody asked for is refused: an attribute or argument that the language does not have is never passed
over.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NoReturn, TypeVar

from octavo.schema.syntax import (
    Argument,
    Array,
    Attribute,
    Call,
    Constant,
    Expression,
    NumberLiteral,
    Sources,
    StringLiteral,
)

_T = TypeVar("_T")

_KINDS = {
    StringLiteral: "a text",
    NumberLiteral: "a number",
    Constant: "a word",
    Array: "a list",
    Call: "a function",
}


class Values:
    """Reads expressions as the kind of value that is wanted there."""

    def __init__(self, sources: Sources) -> None:
        self.sources = sources

    def _mismatch(self, value: Expression, wanted: str) -> NoReturn:
        self.sources.fail(f"{_KINDS[type(value)]} stands where {wanted} is wanted", value.at, (wanted,))

    def string(self, value: Expression) -> str:
        if not isinstance(value, StringLiteral):
            self._mismatch(value, "a text")
        return value.value

    def constant(self, value: Expression) -> str:
        if not isinstance(value, Constant):
            self._mismatch(value, "a word")
        return value.text

    def integer(self, value: Expression) -> int:
        if not isinstance(value, NumberLiteral) or "." in value.text or abs(int(value.text)) >= 2**63:
            self._mismatch(value, "a whole number")
        return int(value.text)

    def boolean(self, value: Expression) -> bool:
        if not isinstance(value, Constant) or value.text not in ("true", "false"):
            self._mismatch(value, "true or false")
        return value.text == "true"

    def array(self, value: Expression, item: Callable[[Expression], _T]) -> list[_T]:
        """The items of a list; a value that is no list counts as a list of one."""
        return [item(part) for part in (value.items if isinstance(value, Array) else (value,))]


class Arguments(Values):
    """The arguments of one attribute."""

    def __init__(self, sources: Sources, attribute: Attribute, label: str) -> None:
        super().__init__(sources)
        self.attribute, self.label = attribute, label
        self._left: dict[str | None, Argument] = {}
        for arg in attribute.args:
            if arg.name in self._left:
                what = f"the argument {arg.name!r}" if arg.name else "an argument without a name"
                sources.fail(f"{label} has {what} twice", arg.at)
            self._left[arg.name] = arg

    def optional(self, name: str) -> Expression | None:
        arg = self._left.pop(name, None)
        return arg.value if arg else None

    def default(self, name: str) -> Expression | None:
        """The argument that may be given without its name."""
        named, unnamed = self._left.pop(name, None), self._left.pop(None, None)
        if named and unnamed:
            self.sources.fail(f"{self.label} has the argument {name!r} twice", named.at)
        found = named or unnamed
        return found.value if found else None

    def required(self, name: str) -> Expression:
        value = self.default(name)
        if value is None:
            self.sources.fail(f"{self.label} lacks the argument {name!r}", self.attribute.at, (name,))
        return value

    def text(self, name: str) -> str | None:
        """An optional text that may not be empty."""
        value = self.optional(name)
        if value is None:
            return None
        text = self.string(value)
        if not text:
            self.sources.fail(f"the argument {name!r} of {self.label} is empty", value.at)
        return text

    def choice(self, name: str, choices: Sequence[str]) -> str | None:
        value = self.optional(name)
        if value is None:
            return None
        word = self.constant(value)
        if word not in choices:
            self.sources.fail(f"{name!r} of {self.label} cannot be {word}", value.at, choices)
        return word

    def fail(self, message: str) -> NoReturn:
        self.sources.fail(f"{self.label}: {message}", self.attribute.at)

    def done(self) -> None:
        """Refuse what is left over."""
        for arg in self._left.values():
            what = f"argument {arg.name!r}" if arg.name else "argument without a name"
            self.sources.fail(f"{self.label} takes no {what}", arg.at)


class Attributes:
    """The attributes of one field (``@``) or block (``@@``)."""

    def __init__(self, sources: Sources, attributes: Sequence[Attribute], sign: str) -> None:
        self.sources, self.sign = sources, sign
        self._left = list(attributes)

    def single(self, name: str) -> Arguments | None:
        """The attribute of this name, or None.  Raises SchemaError where it is written twice."""
        found = self.repeated(name)
        if len(found) > 1:
            self.sources.fail(f"{self.sign}{name} is written twice", found[1].attribute.at)
        return found[0] if found else None

    def repeated(self, name: str) -> list[Arguments]:
        found = [attribute for attribute in self._left if attribute.name == name]
        if found:
            self._left = [attribute for attribute in self._left if attribute.name != name]
        return [Arguments(self.sources, attribute, f"{self.sign}{name}") for attribute in found]

    def scoped(self) -> Attribute | None:
        """The one attribute with a dot in its name, ``@db.Text``."""
        found = [attribute for attribute in self._left if "." in attribute.name]
        if len(found) > 1:
            self.sources.fail("a field has one native type", found[1].at)
        if found:
            self._left.remove(found[0])
        return found[0] if found else None

    def done(self) -> None:
        if self._left:
            first = self._left[0]
            self.sources.fail(f"{self.sign}{first.name} is not an attribute that can stand here", first.at)
