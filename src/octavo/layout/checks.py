"""What a decoder's types do not show about values: that a text is a time, a number in its range."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from contextlib import suppress
from datetime import datetime
from typing import Any, TypeAlias

from msgspec import UNSET

from octavo.errors import DamagedError
from octavo.layout.record import attribute
from octavo.schema.datamodel import Model, ScalarField
from octavo.text import pattern
from octavo.values.base import ValueType

_ESCAPED = pattern(rb"\\u")

_MARKS = ((4, "-"), (7, "-"), (10, "T"), (13, ":"), (16, ":"), (19, "."))
"""what stands where in a time, but for its end"""


def _is_time(text: str, size: int) -> bool:
    """Whether a text is a time as long as this.  False of some that are, too."""
    if len(text) != size or text[4:8:3] != "--" or text[10:17:3] != "T::" or text[11:13] == "24":
        return False
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return text[-1] == "Z" and text[19] in ".Z"


_Column: TypeAlias = tuple[ScalarField, str, ValueType]
"""a column, with the attribute in which a row holds it"""


class Checks:
    """Checks the values of one model's rows, many at once."""

    def __init__(self, model: Model, columns: Iterable[tuple[ScalarField, ValueType]]) -> None:
        self.model = model
        self._times: list[tuple[str, int]] = []
        self._json: list[str] = []
        self._others: list[_Column] = []
        self._all: list[_Column] = []
        for f, column in columns:
            self._all.append((f, attribute(f), column))
            if f.is_json and not f.is_list:
                self._json.append(attribute(f))
            elif column.width:
                self._times.append((attribute(f), column.width))
            elif column.strict:
                self._others.append((f, attribute(f), column))

    def run(self, records: Collection[Any], text: bytes) -> None:
        """Check records that stand in ``text``.  Raises DamagedError for the first that is wrong, ValueError
        for Json that is not UTF-8."""
        if self._json and not text.isascii():
            # The decoder passes over Json.
            raw = [value for r in records for name in self._json if (value := getattr(r, name)) is not UNSET]
            b"\n".join(raw).decode()
        if b"\\" in text and _ESCAPED.search(text):
            # An escaped character may be one that PostgreSQL cannot hold.
            self._values(records, self._all)
        else:
            for name, size in self._times:
                self._all_times(records, name, size)
            if self._others:
                self._values(records, self._others)

    def _all_times(self, records: Collection[Any], name: str, size: int) -> None:
        times = [t for r in records if (t := getattr(r, name)) is not None]
        if len(times) == 1 and _is_time(times[0], size):
            return
        joined = "".join(times)
        with suppress(ValueError):
            # Of the spellings that Python takes for a time, ours is told by its length and punctuation.
            if (
                size
                and len(joined) == size * len(times)
                and all(joined[at::size] == mark * len(times) for at, mark in _MARKS if at < size - 1)
                and joined[size - 1 :: size] == "Z" * len(times)
                and "T24" not in joined
                and all(map(datetime.fromisoformat, times))
            ):
                return
        self._values(records, [column for column in self._all if column[1] == name])

    def _values(self, records: Iterable[Any], columns: list[_Column]) -> None:
        for record in records:
            for f, held, column in columns:
                value = getattr(record, held)
                if f.nullable and column.is_null(value):
                    continue
                try:
                    column.text(value)
                except ValueError as error:
                    raise DamagedError(str(error), model=self.model.name, field=f.name) from error
