"""Arguments by name: both spellings, unknown names refused with the nearest one that is known."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache, wraps
from typing import Any, NoReturn, TypeVar, cast

from msgspec import Struct

from octavo.errors import ValidationError
from octavo.values.base import Unfit

Check = TypeVar("Check", bound=Callable[..., Any])

ALIASES: Mapping[str, str] = {
    "order": "order_by",
    "startswith": "starts_with",
    "endswith": "ends_with",
    "count": "_count",
    "sum": "_sum",
    "avg": "_avg",
    "min": "_min",
    "max": "_max",
}
"""spellings of prisma-client-py, understood wherever the name that they stand for is known"""


@lru_cache(4096)
def snake(name: str) -> str:
    """Prisma's spelling in Python's: ``startsWith`` is ``starts_with``; ``AND``, ``OR``, ``NOT`` stay."""
    return re.sub(r"(?<=[a-z0-9])[A-Z]", lambda found: "_" + found[0].lower(), name)


def _spelled(name: str) -> str:
    return ALIASES.get(name) or snake(name)


@lru_cache(4096)
def camel(name: str) -> str:
    """Python's spelling in Prisma's."""
    return re.sub(r"(?<=[a-z0-9])_([a-z])", lambda found: found[1].upper(), name)


class FieldRef(Struct, frozen=True, gc=False):
    """Another field of the same record, to compare with: ``db.chat.fields.title``."""

    model: str
    field: str


class At:
    """Where in the arguments something stands, and how to say that it is wrong there."""

    __slots__ = ("model", "path")

    def __init__(self, model: str, path: str) -> None:
        self.model, self.path = model, path

    def __truediv__(self, name: str) -> At:
        return At(self.model, f"{self.path}.{name}" if self.path else name)

    def __getitem__(self, number: int) -> At:
        return At(self.model, f"{self.path}[{number}]")

    def fail(self, reason: str, known: str = "", code: str = "P2009") -> NoReturn:
        raise ValidationError(self.path, reason, model=self.model, known=known, code=code)

    def lacks(self, name: str) -> NoReturn:
        self.fail(f"lacks {name}", code="P2012")

    def unknown(self, name: Any, known: Iterable[str], what: str) -> NoReturn:
        """Refuse a name, and suggest the nearest of those that are known."""
        from difflib import get_close_matches

        near = get_close_matches(str(name), [*(names := list(known)), *map(camel, names)], n=1)
        (self / str(name)).fail(f"is unknown; {what}", near[0] if near else "")

    def value(self, write: Callable[[Any], Any], given: Any) -> Any:
        """A value in stored form."""
        try:
            return write(given)
        except ValueError as error:
            self.refuse(error)

    def refuse(self, error: ValueError) -> NoReturn:
        """Refuse a value, for what its type says of it."""
        self.fail(str(error), code=error.code if isinstance(error, Unfit) else "P2009")

    def mapping(self, given: Any) -> Mapping[str, Any]:
        if type(given) is not dict and not isinstance(given, Mapping):
            dump = None if isinstance(given, type) else getattr(given, "model_dump", None)
            if dump is None:
                self.fail(f"must be a dict, not {_type(given)}")
            # A Pydantic model of the caller's: what was set in it.
            return self.mapping(dump(exclude_unset=True))
        return given

    def named(self, given: Any, known: Iterable[str], what: str = "names known here") -> dict[str, Any]:
        """A dict of arguments by their names in Python's spelling.  Others than ``known`` are refused."""
        allowed = tuple(known)
        found: dict[str, Any] = {}
        for key, value in given.items() if type(given) is dict else self.mapping(given).items():
            name = key if key in allowed else _spelled(key) if isinstance(key, str) else key
            if name not in allowed:
                self.unknown(key, allowed, f"{what}: {', '.join(allowed)}")
            if name in found:
                (self / key).fail("is given twice")
            found[name] = value
        return found

    def each(self, given: Any) -> list[tuple[Any, At]]:
        """The elements of a list, each with its place; one that is no list stands for itself."""
        if isinstance(given, list | tuple):
            return [(item, self[number]) for number, item in enumerate(given)]
        return [(given, self)]

    def sequence(self, given: Any) -> Sequence[Any]:
        if not isinstance(given, list | tuple):
            self.fail(f"must be a list, not {_type(given)}")
        return given

    def boolean(self, given: Any) -> bool:
        if type(given) is not bool:
            self.fail(f"must be a bool, not {_type(given)}")
        return given

    def whole(self, given: Any, *, lowest: int | None = None) -> int:
        if type(given) is not int:
            self.fail(f"must be a whole number, not {_type(given)}")
        if lowest is not None and given < lowest:
            self.fail(f"is less than {lowest}")
        return given


def bounded(check: Check) -> Check:
    """Let a method ``(terms, given, at, …)`` refuse arguments that are nested deeper than Python's stack."""

    @wraps(check)
    def checked(self: Any, terms: Any, given: Any, at: At, *more: Any, **options: Any) -> Any:
        try:
            return check(self, terms, given, at, *more, **options)
        except RecursionError:
            at.fail("is nested too deep")

    return cast(Check, checked)


def _type(value: Any) -> str:
    return "None" if value is None else type(value).__name__
