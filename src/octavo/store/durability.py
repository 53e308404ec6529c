"""When a commit returns: when it is on disk (``full``), or before that (``batched``)."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

from octavo.errors import UsageError

Durability: TypeAlias = Literal["full", "batched"]


def require_durability(name: str) -> None:
    """Raise UsageError for what is no durability."""
    if name not in get_args(Durability):
        raise UsageError(f"there is no durability {name!r}", hint=" or ".join(get_args(Durability)))
