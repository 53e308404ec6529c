"""What a generated package does at run time: it opens data of its schema, and has its types.

A type is made when it is first asked for: ``Chat`` (a record), ``ChatCreate`` and ``ChatUpdate`` (bodies of
requests, for Pydantic and FastAPI), and each enum.  They are those of any client with the same schema.
"""

from __future__ import annotations

from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from octavo.errors import SchemaMismatch
from octavo.generate.names import CLIENTS, Names
from octavo.query.bodies import Types
from octavo.query.vocabulary import Vocabulary

if TYPE_CHECKING:
    from octavo.aio import Opening

SCHEMA = "schema.prisma"
_BODIES = ("Create", "Update")


class Package:
    """The contents of a generated package: :meth:`find` makes each at its first use."""

    def __init__(self, name: str, file: str) -> None:
        self._name = name
        self._schema = Path(file).with_name(SCHEMA)

    def find(self, name: str) -> Any:
        """What the package has by this name, as a module's ``__getattr__``.  Raises AttributeError,
        SchemaError."""
        if name in ("connect", "connect_async"):
            return getattr(self, name)
        if name in CLIENTS:
            from octavo import aio, client

            return getattr(aio if name.startswith("Async") else client, name)
        hint = ""
        if not name.startswith("_"):
            if (own := self._types.get(name)) is not None:
                return getattr(self._made, own)
            hint = "; shapes of arguments are there for type checkers alone"
        raise AttributeError(f"module {self._name!r} has no attribute {name!r}{hint}")

    def names(self) -> list[str]:
        """All names that the package has."""
        return [*CLIENTS, *self._types]

    def connect(self, backend: str | None = None, **settings: Any) -> Any:
        """Open the data, as :func:`octavo.connect` does, of this package's schema.

        Raises SchemaMismatch, which names what differs, if the store has another one.
        """
        from octavo.opening import connect

        try:
            return connect(backend, schema=self._schema, **settings)
        except SchemaMismatch as error:
            folder = self._schema.parent
            error.add_note(f"octavo generate --out {folder} writes the typed client of the store's schema")
            raise

    def connect_async(
        self, backend: str | None = None, *, threads: int | None = None, **settings: Any
    ) -> Opening[Any]:
        """The same for asyncio."""
        from octavo.aio import THREADS, Opening

        return Opening(partial(self.connect, backend, **settings), THREADS if threads is None else threads)

    @cached_property
    def _vocabulary(self) -> Vocabulary:
        from octavo.store.decoded import load_datamodel

        return Vocabulary(load_datamodel(None, self._schema))

    @cached_property
    def _made(self) -> Types:
        return Types(self._vocabulary)

    @cached_property
    def _types(self) -> dict[str, str]:
        """By the name in Python, the name in the schema."""
        names = Names(self._vocabulary)
        bodies = {stem + kind: model + kind for model, stem in names.of.items() for kind in _BODIES}
        return bodies | {own: name for known in (names.enum, names.record) for name, own in known.items()}
