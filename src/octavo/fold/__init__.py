"""The move: inventory, scaffold, export, verify, restore."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from octavo.fold.inventory import generate_prisma_metadata, save_prisma_metadata

__all__ = ["generate_prisma_metadata", "save_prisma_metadata"]

_HOMES = {
    "generate_prisma_metadata": "octavo.fold.inventory",
    "save_prisma_metadata": "octavo.fold.inventory",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
