"""The types of the client's records and arguments; what they are, type checkers read in ``__init__.pyi``.

At run time, this module has the client's classes and, for each model of the schema that Octavo ships:

- ``Chat``, the type of its records: what ``find_many`` gives is one, unless relations or a part of it were
  asked for.  Pydantic and FastAPI take it for all of these;
- ``ChatCreate`` and ``ChatUpdate``, which Pydantic and FastAPI take as the type of a request's body.

They are made when they are first asked for.  The other shapes of arguments are plain dicts then, and their
names are for type checkers alone: import those within ``if TYPE_CHECKING:``.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from octavo.client import Client, Models
from octavo.query.bodies import Types
from octavo.query.vocabulary import Vocabulary
from octavo.schema.texts import frozen_schema

__all__ = ["AsyncClient", "AsyncModels", "Client", "Models"]


@cache
def _types() -> Types:
    return Types(Vocabulary(frozen_schema()))


def __getattr__(name: str) -> Any:
    if name in ("AsyncClient", "AsyncModels"):
        from octavo import aio

        return getattr(aio, name)
    hint = ""
    if not name.startswith("_"):
        try:
            return getattr(_types(), name)
        except AttributeError:
            hint = "; shapes of arguments are there for type checkers alone"
    raise AttributeError(f"module 'octavo.typed' has no attribute {name!r}{hint}")


def __dir__() -> list[str]:
    return [*__all__, *dir(_types())]
