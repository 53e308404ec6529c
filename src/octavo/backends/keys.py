"""A key as a query has it, always a tuple, and as the store has it: of one field, its value alone."""

from __future__ import annotations

from octavo.layout.keys import Key as StoredKey
from octavo.query.protocol import Key


def in_store(key: Key) -> StoredKey:
    """A key, or other values of some fields, as the store names them."""
    return key[0] if len(key) == 1 else key


def in_query(values: StoredKey) -> Key:
    """What the store names so, as a query does."""
    return values if isinstance(values, tuple) else (values,)
