"""Opens the data wherever it lives: the client of the backend that ``DATA_BACKEND`` names."""

from __future__ import annotations

import os
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypedDict, Unpack, cast, overload

from octavo.backend import DataBackend, Durability, Settings, get_data_backend, require_durability
from octavo.backend import data_dir as named_data_dir
from octavo.backend import files_root as named_files_root
from octavo.client import Client
from octavo.query.protocols import Backend
from octavo.query.vocabulary import Vocabulary
from octavo.store.definition import define
from octavo.store.phase import Guard

if TYPE_CHECKING:
    from octavo import typed
    from octavo.aio import AsyncClient, Opening


@overload
def connect(
    backend: str | None = None,
    *,
    database_url: str | None = None,
    data_dir: str | os.PathLike[str] | None = None,
    files_root: str | os.PathLike[str] | None = None,
    schema: None = None,
    layout: str | os.PathLike[str] | None = None,
    durability: Durability = "full",
) -> typed.Client: ...
@overload
def connect(
    backend: str | None = None,
    *,
    database_url: str | None = None,
    data_dir: str | os.PathLike[str] | None = None,
    files_root: str | os.PathLike[str] | None = None,
    schema: str | os.PathLike[str],
    layout: str | os.PathLike[str] | None = None,
    durability: Durability = "full",
) -> Client: ...
def connect(
    backend: str | None = None,
    *,
    database_url: str | None = None,
    data_dir: str | os.PathLike[str] | None = None,
    files_root: str | os.PathLike[str] | None = None,
    schema: str | os.PathLike[str] | None = None,
    layout: str | os.PathLike[str] | None = None,
    durability: Durability = "full",
) -> Client | typed.Client:
    """Open the data.

    What is not given comes from ``DATA_BACKEND`` (``prisma``, ``json`` or ``dual``), ``DATABASE_URL``,
    ``DATA_DIR`` (``./data``) and ``FILES_ROOT`` (``./public``, if that is there).  A store knows its schema
    and layout; ``schema`` and ``layout`` are files that are compared with them.  Where there is no store yet,
    the schema is the one that is named or found as :mod:`octavo.schema.named` says, else the one that Octavo
    ships.  ``durability="batched"`` lets writes to the files return at once, where a crash may lose the last
    tenth of a second as a whole; PostgreSQL goes by its own ``synchronous_commit``, and ``dual`` always waits
    for both.  To a type checker, a client of the schema that Octavo ships is :mod:`octavo.typed`'s.
    Raises UsageError, SchemaMismatch, SchemaError, LayoutError, and what the backend raises when it is
    opened.
    """
    environ = os.environ if backend is None else {"DATA_BACKEND": str(backend)}
    require_durability(durability)
    kind, folder = get_data_backend(environ), data_dir or named_data_dir()
    # To PostgreSQL alone, what a folder holds of another schema is a copy that nothing reads.
    defined = define(folder, schema, layout, named_wins=kind is DataBackend.PRISMA)
    settings = Settings(
        database_url=database_url or os.environ.get("DATABASE_URL", ""),
        data_dir=folder,
        files_root=files_root or named_files_root(),
        layout=defined.layout_path,
        durability=durability,
    )
    vocabulary = Vocabulary(defined.datamodel if kind is DataBackend.PRISMA else defined.models)
    opened = emulating(open_backend(kind, vocabulary, settings), vocabulary)
    Guard(settings.data_dir, kind).warn()
    return Client(opened, vocabulary)


class Connecting(TypedDict, total=False):
    """What :func:`connect` and :func:`connect_async` take by name, besides the schema."""

    database_url: str | None
    data_dir: str | os.PathLike[str] | None
    files_root: str | os.PathLike[str] | None
    layout: str | os.PathLike[str] | None
    durability: Durability


@overload
def connect_async(
    backend: str | None = None,
    *,
    schema: None = None,
    threads: int | None = None,
    **settings: Unpack[Connecting],
) -> Opening[typed.AsyncClient]: ...
@overload
def connect_async(
    backend: str | None = None,
    *,
    schema: str | os.PathLike[str],
    threads: int | None = None,
    **settings: Unpack[Connecting],
) -> Opening[AsyncClient]: ...
def connect_async(
    backend: str | None = None,
    *,
    schema: str | os.PathLike[str] | None = None,
    threads: int | None = None,
    **settings: Unpack[Connecting],
) -> Opening[Any]:
    """Open the data for the tasks of asyncio: ``db = await connect_async()``, or a block that closes it,
    ``async with connect_async() as db``.

    Takes what :func:`connect` takes; ``threads`` is how many reads, writes and transactions may each be under
    way on threads (:data:`octavo.aio.THREADS`).  Awaiting raises what :func:`connect` raises.
    """
    from octavo.aio import THREADS, Opening

    open_client: Any = connect
    return Opening(
        partial(open_client, backend, schema=schema, **settings), THREADS if threads is None else threads
    )


def open_backend(kind: DataBackend, vocabulary: Vocabulary, settings: Settings) -> Backend:
    """The backend of this kind: what ``open_backend(vocabulary, settings)`` of its module gives."""
    module = import_module(f"octavo.backends.{kind.value}")
    return cast(Backend, module.open_backend(vocabulary, settings))


def emulating(backend: Backend, vocabulary: Vocabulary) -> Backend:
    """The backend of a client: one that carries out referential actions, if the schema leaves them to it."""
    if vocabulary.datamodel.held_keys or not vocabulary.datamodel.foreign_keys:
        return backend
    from octavo.backends.emulation import EmulatingBackend

    return cast(Backend, EmulatingBackend(backend, vocabulary))
