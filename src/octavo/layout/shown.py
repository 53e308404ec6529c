"""What records and results of ``include`` and ``select`` have in common: the ways out of Octavo."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from octavo.errors import UsageError
from octavo.layout.spelled import Parts, as_html, as_json

Mode = Literal["python", "json"]


class Shown:
    """A record, as much of it as was asked for, and its relations."""

    __slots__ = ()

    def __octavo_parts__(self) -> Parts:
        raise NotImplementedError

    def to_dict(self, mode: Mode = "python") -> dict[str, Any]:
        """Fields and relations by name.

        ``mode="python"``: Python's values, secrets included.  ``mode="json"``: what ``json.dumps`` takes,
        spelled as in a file (:func:`octavo.dumps`), without the secrets that no ``select`` named.  Raises
        UsageError for another mode.
        """
        if mode == "json":
            return as_json(self.__octavo_parts__())
        if mode != "python":
            raise UsageError(f"mode must be 'python' or 'json', not {mode!r}")
        return self._values()

    def _values(self) -> dict[str, Any]:
        raise NotImplementedError

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        """The members of its JSON, so that ``dict(record)`` is ``record.to_dict(mode="json")``.  FastAPI
        makes that of what a route without a type returns."""
        return iter(as_json(self.__octavo_parts__()).items())

    def _repr_html_(self) -> str:
        """A table, for notebooks."""
        return as_html(self.__octavo_parts__())

    @property
    def __pydantic_serializer__(self) -> Any:
        """How Pydantic spells it where it knows no more than ``Any``."""
        from octavo.layout.pydantic import serializer

        return serializer()
