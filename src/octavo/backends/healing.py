"""Copies what differs between PostgreSQL and the files, one divergence after the other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from octavo.backends.copying import Copy
from octavo.backends.divergence import Divergence, Keys
from octavo.backends.dual import DualBackend
from octavo.backends.reading import JsonReader
from octavo.errors import OctavoError


class Healed(NamedTuple):
    """What became of one divergence; ``error``: why it is still there."""

    divergence: Divergence
    copied: int
    error: str


def heal(backend: DualBackend) -> Iterator[Healed]:
    """Heal one divergence after the other.  What the database or the disk refuses is in the answer."""
    done: set[tuple[str, str]] = set()
    for divergence in backend.divergences.open():
        copied, error = 0, ""
        try:
            if not divergence.model:
                backend.on_files(lambda files: files.read(_read_all))
            elif divergence.about not in done:
                copied = _heal(backend, divergence)
            done.add(divergence.about)
            backend.divergences.healed(divergence)
        except OctavoError as failed:
            error = str(failed)
        yield Healed(divergence, copied, error)


def _read_all(reader: JsonReader) -> None:
    """Read every record of the files.  Raises DamagedError, DiskError."""
    for model in reader.vocabulary.datamodel.tables:
        for _ in reader.view.rows(model.name):
            pass


def _heal(backend: DualBackend, divergence: Divergence) -> int:
    """Copy what a divergence is about; how many records that were."""
    with backend.locked() as transaction:
        copy = Copy(backend.vocabulary, transaction.view, transaction.primary)
        keys, shown = Keys(transaction.view.rules), divergence.key
        key = None if shown is None else keys.key(divergence.model, shown)
        if key is not None:
            copy.records([(divergence.model, key)])
        else:
            copy.model(divergence.model)
        return len(copy.done)
