"""The types of the client's records and arguments; what they are, type checkers read in ``__init__.pyi``.

At run time, this module has the client's classes and each model's type of records: what ``find_many`` gives
is a ``Character`` unless relations or a part of it were asked for.  The shapes of arguments are plain dicts
then, and their names are for type checkers alone: import those within ``if TYPE_CHECKING:``.
"""

from __future__ import annotations

from typing import Any

from octavo.client import Client, Models
from octavo.layout.record import record_type
from octavo.schema.texts import frozen_schema

__all__ = ["AsyncClient", "AsyncModels", "Client", "Models"]


def __getattr__(name: str) -> Any:
    if name in ("AsyncClient", "AsyncModels"):
        from octavo import aio

        return getattr(aio, name)
    schema = frozen_schema()
    if name in schema:
        return record_type(schema.model(name), schema)
    hint = "" if name.startswith("_") else "; shapes of arguments are there for type checkers alone"
    raise AttributeError(f"module 'octavo.typed' has no attribute {name!r}{hint}")
