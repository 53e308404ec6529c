"""A client on each backend, for tests that must pass on all of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from memory import MemoryBackend
from octavo.backend import Durability, Settings
from octavo.backends.dual import DualBackend
from octavo.backends.json import JsonBackend
from octavo.backends.prisma import PrismaBackend, open_backend
from octavo.client import Client
from octavo.fold.scaffold import scaffold
from octavo.layout.layout import Layout
from octavo.layout.load import layout_for
from octavo.postgres.connection import connect
from octavo.query.vocabulary import Vocabulary
from octavo.schema.native import table_name
from octavo.store.store import Store
from octavo.store.system import SYSTEM, FileSystem

BACKENDS = ("memory", "json", "prisma", "dual")


def on_memory(vocabulary: Vocabulary) -> Client:
    """An empty database in memory."""
    return Client(MemoryBackend(vocabulary), vocabulary)


def on_files(
    vocabulary: Vocabulary, folder: Path, durability: Durability = "full", layout: Layout | None = None
) -> Client:
    """The store in a folder, which is made if it is not there."""
    layout = layout or layout_for(vocabulary.datamodel, None)
    if not folder.exists():
        scaffold(folder, layout)
    return Client(JsonBackend(vocabulary, Store.open(folder, layout, durability=durability)), vocabulary)


@contextmanager
def dual_backend(
    vocabulary: Vocabulary,
    url: str,
    folder: Path,
    *,
    sample: float = 1.0,
    system: FileSystem = SYSTEM,
    apart: bool = False,
    layout: Layout | None = None,
) -> Iterator[DualBackend]:
    """The backend on the tables in a database and the store in a folder, which is made if it is not there.

    Reads are compared, and nothing may differ when the block ends, unless both sides are ``apart``.
    """
    layout = layout or layout_for(vocabulary.datamodel, None)
    if not folder.exists():
        scaffold(folder, layout)
    settings = Settings(database_url=url, data_dir=folder, layout=None)
    primary = open_backend(vocabulary, settings)
    with closing(DualBackend(vocabulary, primary, folder, layout, sample=sample, system=system)) as backend:
        yield backend
        assert apart or backend.divergences.open() == []


@contextmanager
def prisma_backend(vocabulary: Vocabulary, url: str) -> Iterator[PrismaBackend]:
    """A backend on the tables in a database."""
    settings = Settings(database_url=url, data_dir=Path("nowhere"), layout=None)
    with closing(open_backend(vocabulary, settings)) as backend:
        yield backend


def emptied(backend: PrismaBackend) -> None:
    """Delete every row, and let the counters begin anew."""
    datamodel = backend.schema.vocabulary.datamodel
    deletes = "; ".join(f"DELETE FROM {table_name(model)}" for model in datamodel.tables)
    counters = "SELECT setval(seqrelid, seqstart, false) FROM pg_sequence"
    with connect(backend.pool.url) as connection:
        # TRUNCATE makes new files.
        connection.execute(f"SET session_replication_role = replica; {deletes}; {counters}".encode())
