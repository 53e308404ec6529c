"""A part of a work that several processes or machines share: ``--part 2/5`` is the second of five."""

from __future__ import annotations

import re
from dataclasses import dataclass

from octavo.errors import UsageError

MOST = 1000
"""parts that a work can have"""
_PART = re.compile(r"([0-9]{1,6})/([0-9]{1,6})")


@dataclass(frozen=True, slots=True, order=True)
class Part:
    """Part ``number`` (from 1 on) of ``of`` parts."""

    number: int
    of: int

    @classmethod
    def parse(cls, text: str) -> Part:
        """The part that ``number/of`` names.  Raises UsageError."""
        found = _PART.fullmatch(text)
        if found is None:
            raise UsageError(f"{text[:50]!r} is not a part", hint="2/5 is the second of five parts")
        number, of = map(int, found.groups())
        if not 1 <= of <= MOST:
            raise UsageError(f"{text!r} is not a part: there can be 1 to {MOST} parts")
        if not 1 <= number <= of:
            raise UsageError(
                f"{text!r} is not a part: of {of} parts, the first is 1/{of}, the last {of}/{of}"
            )
        return cls(number, of)

    @property
    def all(self) -> list[Part]:
        """All parts of the same work."""
        return [Part(number, self.of) for number in range(1, self.of + 1)]

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"
