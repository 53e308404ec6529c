"""The names that Prisma gives to constraints and indexes, as long as PostgreSQL takes them."""

from __future__ import annotations

from collections.abc import Sequence

MAX_BYTES = 63
"""How long a name can be in PostgreSQL."""


def cut_name(text: str, limit: int = MAX_BYTES) -> str:
    """A name cut to so many bytes, between two characters."""
    return text.encode()[:limit].decode(errors="ignore")


def constraint_name(table: str, columns: Sequence[str], suffix: str) -> str:
    """What Prisma calls a constraint or index: ``<table>_<column>…_<suffix>``, the part before cut to fit."""
    end = f"_{suffix}"
    return cut_name("_".join((table, *columns)), MAX_BYTES - len(end)) + end
