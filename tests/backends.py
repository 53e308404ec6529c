"""A client on each backend, for tests that must pass on all of them."""

from __future__ import annotations

from pathlib import Path

from memory import MemoryBackend
from octavo.backends.json import JsonBackend
from octavo.client import Client
from octavo.layout.layout import layout_for
from octavo.migrate.scaffold import scaffold
from octavo.query.vocabulary import Vocabulary
from octavo.store.store import Durability, Store

BACKENDS = ("memory", "json")


def on_memory(vocabulary: Vocabulary) -> Client:
    """An empty database in memory."""
    return Client(MemoryBackend(vocabulary), vocabulary)


def on_files(vocabulary: Vocabulary, folder: Path, durability: Durability = "full") -> Client:
    """The store in a folder, which is made if it is not there."""
    layout = layout_for(vocabulary.datamodel, None)
    if not folder.exists():
        scaffold(folder, layout)
    return Client(JsonBackend(vocabulary, Store.open(folder, layout, durability=durability)), vocabulary)


def client(kind: str, vocabulary: Vocabulary, folder: Path) -> Client:
    """An empty database of one of the :data:`BACKENDS`."""
    return on_memory(vocabulary) if kind == "memory" else on_files(vocabulary, folder / "data")
