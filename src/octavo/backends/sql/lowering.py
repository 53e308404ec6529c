"""The lower case of a text in SQL, the same as :func:`octavo.values.text.lower` gives.

What PostgreSQL's ``lower`` does depends on the collation: on some databases it leaves É alone, on others a
final Σ becomes ς.  One is chosen that maps each character by itself, and what it maps otherwise than Python
does, if anything, is translated before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, NamedTuple, TypeAlias

from octavo.schema.sql import literal, quote
from octavo.values.text import lower

Ask: TypeAlias = Callable[[str, Sequence[str]], Any]
"""Runs a query, with parameters ``$1`` …, and gives the first column of its only row (None: no row)."""

_COLLATION = """
SELECT collname FROM pg_catalog.pg_collation
WHERE collnamespace = 'pg_catalog'::regnamespace AND collprovider IN ('b', 'c')
  AND collname IN ('pg_c_utf8', 'C.utf8', 'C.UTF-8')
  AND collencoding IN (-1, pg_char_to_encoding(getdatabaseencoding()))
ORDER BY collprovider, collname LIMIT 1
"""
_BEYOND = 0x1F000
"""from here on no character has a case"""


class _Way(NamedTuple):
    collation: str
    others: str
    """characters that must be mapped before"""
    mapped: str


class Lowering:
    """Asks the server, once, how it lowers."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    def sql(self, text: str) -> str:
        """The lower case of an SQL expression of type text."""
        collation, others, mapped = self._way
        plain = f"lower(({text}) COLLATE {collation})"
        if not others:
            return plain
        translated = f"translate({text}, {literal(others)}, {literal(mapped)})"
        return (
            f"CASE WHEN octet_length({text}) = length({text}) THEN {plain}"
            f" ELSE lower({translated} COLLATE {collation}) END"
        )

    @cached_property
    def _way(self) -> _Way:
        found = self._ask(_COLLATION, ())
        collation = quote("C" if found is None else found)
        characters = [chr(n) for n in range(0x80, _BEYOND) if not 0xD800 <= n < 0xE000]
        lowered: Sequence[str] = characters
        if found is not None:
            lowered = self._ask(f"SELECT lower($1::text COLLATE {collation})", ["".join(characters)])
            assert len(lowered) == len(characters), collation
        # What a newer Unicode than Python's maps stays as it is mapped.
        pairs = zip(characters, lowered, strict=True)
        others = [c for c, theirs in pairs if lower(c) not in (c, theirs)]
        return _Way(collation, "".join(others), "".join(map(lower, others)))
