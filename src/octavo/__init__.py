"""Octavo folds the PostgreSQL database of a Prisma application into plain JSON files, and back.

``octavo.connect()``, and for asyncio ``octavo.connect_async()``, open the data wherever it lives
(:mod:`octavo.opening`); ``octavo.dumps()`` makes JSON of records; ``JsonNull``, ``DbNull`` and ``AnyNull``
tell the nulls of a Json field apart.  :mod:`octavo.aio`, :mod:`octavo.app`, :mod:`octavo.backend` and
:mod:`octavo.errors` need not be imported by themselves.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from octavo.version import __version__

if TYPE_CHECKING:
    from octavo import aio, app, backend, errors
    from octavo.layout.spelled import dumps
    from octavo.opening import connect, connect_async
    from octavo.typed import AsyncClient, Client
    from octavo.values.json import AnyNull, DbNull, JsonNull

__all__ = [
    "AnyNull",
    "AsyncClient",
    "Client",
    "DbNull",
    "JsonNull",
    "__version__",
    "aio",
    "app",
    "backend",
    "connect",
    "connect_async",
    "dumps",
    "errors",
]

_HOMES = {
    "connect": "octavo.opening",
    "connect_async": "octavo.opening",
    "dumps": "octavo.layout.spelled",
    "Client": "octavo.client",
    "AsyncClient": "octavo.aio",
    "JsonNull": "octavo.values.json",
    "DbNull": "octavo.values.json",
    "AnyNull": "octavo.values.json",
}
_MODULES = ("aio", "app", "backend", "errors")


def __getattr__(name: str) -> Any:
    # A command that never opens a client does not load one.
    if name in _MODULES:
        return import_module(f"octavo.{name}")
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'octavo' has no attribute {name!r}")
