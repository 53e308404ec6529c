"""The nulls that a Json field tells apart.

A Json field may hold JSON's ``null``, or nothing (the database's NULL).  Reading gives None for both;
writing and filtering say which is meant, since ``None`` could be either.
"""

from __future__ import annotations

from enum import Enum


class Null(Enum):
    """One of Prisma's three nulls."""

    DB = "DbNull"
    """no value in the database"""
    JSON = "JsonNull"
    """the value ``null`` in JSON"""
    ANY = "AnyNull"
    """either, in filters"""

    def __repr__(self) -> str:
        return f"octavo.{self.value}"


DbNull, JsonNull, AnyNull = Null.DB, Null.JSON, Null.ANY
