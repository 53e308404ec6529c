"""What a new record gets where the caller gave nothing, as Prisma's client fills it.

One moment goes for a whole operation: ``now()`` and ``@updatedAt`` of everything that a call writes, nested
records included, are the same, to the millisecond.  ``autoincrement()`` and ``dbgenerated(…)`` are left to
where the record is stored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeAlias

from octavo.layout.writing import literal_value
from octavo.query.ids import generator
from octavo.query.plan import Change, ChangeKind
from octavo.query.vocabulary import Column, Terms
from octavo.schema.datamodel import Function

Make: TypeAlias = Callable[[datetime], Any]
"""From the operation's moment to a value in stored form."""


def moment() -> datetime:
    """Now, as precisely as Prisma has it."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


class Defaults:
    """The defaults of one model."""

    def __init__(self, terms: Terms) -> None:
        self._makers: dict[str, Make] = {}
        self._constants: dict[str, Any] = {}
        self.unlike_any_other = tuple(n for n, c in terms.columns.items() if _is_generated(c))
        """the fields that get an identifier, where the caller gives none"""
        self._updated = [c for c in terms.columns.values() if c.field.updated_at]
        for name, column in terms.columns.items():
            make = _maker(column)
            if make is not None:
                self._makers[name] = make
            elif column.field.default is None and column.field.nullable:
                self._constants[name] = column.null

    def fill(self, given: Mapping[str, Any], now: datetime) -> dict[str, Any]:
        """A row: what is given, and a value for every other field that the place itself does not fill in."""
        row = {**self._constants, **given}
        for name, make in self._makers.items():
            if name not in row:
                row[name] = make(now)
        return row

    def touched(self, changes: Iterable[Change], now: datetime) -> list[Change]:
        """Changes with those of ``@updatedAt``, which go with any other."""
        found = list(changes)
        if found and self._updated:
            named = {c.field for c in found}
            found += [
                Change(c.name, ChangeKind.SET, c.write(now)) for c in self._updated if c.name not in named
            ]
        return found


def _is_generated(column: Column) -> bool:
    default = column.field.default
    return isinstance(default, Function) and default.name != "now" and not column.filled_by_place


def _maker(column: Column) -> Make | None:
    default = column.field.default
    if isinstance(default, Function):
        if column.filled_by_place:
            return None
        if default.name == "now":
            return column.write
        argument = int(default.args[0]) if default.args else None
        make = generator(default.name, argument)
        return lambda _: column.write(make())
    if default is not None:
        if isinstance(default, tuple):
            values = [literal_value(value, column.field, column.write_element) for value in default]
            return lambda _: list(values)
        value = literal_value(default, column.field, column.write_element)
        return lambda _: value
    if column.field.updated_at:
        return column.write
    return None
