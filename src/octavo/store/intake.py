"""Takes payloads from the files root into a store: the files that records point at by a path.

The path is followed below the files root and nowhere else.  A record whose payload cannot be read is kept
without one, and reported.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from octavo.backend import PathName
from octavo.layout.layout import Layout
from octavo.layout.record import Record, model_of, plain, stored_value
from octavo.store.safe_path import Outside, open_beneath

if TYPE_CHECKING:
    from octavo.store.store import Store
    from octavo.store.view import Writable

_PIECE = 1 << 20


class PayloadProblem(Struct, frozen=True):
    """A row whose payload is not simply there.  The row itself is kept all the same."""

    model: str
    key: str
    path: str
    reason: str
    kept: bool
    """whether a payload was kept for the row"""


def other_size(model: str, key: str, path: str, said: int, found: int) -> PayloadProblem:
    """The problem of a payload that was kept, and is not as long as its row says."""
    return PayloadProblem(model, key, path, f"is {found} bytes, the row says {said}", kept=True)


class Unreadable(Exception):
    """A payload cannot be read; ``reason`` follows its path in a message."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def read_payload(root: PathName, path: str) -> Iterator[bytes]:
    """The bytes of a file below the files root, in pieces.

    Raises Outside for a path that leads elsewhere, OSError as the system does.
    """
    descriptor = open_beneath(root, path)
    try:
        while piece := os.read(descriptor, _PIECE):
            yield piece
    finally:
        os.close(descriptor)


def readable(root: PathName, path: str) -> Iterator[bytes]:
    """The same, where what fails in reading is to be told from what fails in writing a copy.

    Raises Unreadable.
    """
    try:
        yield from read_payload(root, path)
    except Outside as error:
        raise Unreadable(f"is refused: the path {error.reason}") from error
    except FileNotFoundError as error:
        raise Unreadable("is missing") from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise Unreadable(f"cannot be read: {reason}") from error


class FilesRoot:
    """The folder from which the paths in records lead to their payloads."""

    def __init__(self, root: PathName, layout: Layout) -> None:
        self.root = root
        self.places = {place.model.name: place for place in layout.places if place.payload}
        """of the models whose records point at payloads"""

    def pointed_at(self, record: Record) -> tuple[str | None, int | None]:
        """The path that a record of such a model has, and the size that it gives."""
        model = model_of(record)
        place = self.places[model.name]
        path = stored_value(record, model.scalar(place.payload))
        size = stored_value(record, model.scalar(place.payload_size)) if place.payload_size else None
        return path, None if size is None else int(size)

    def payload(self, record: Record) -> bytes | None:
        """What a record points at; None if it points at nothing, or that cannot be had."""
        path = self.pointed_at(record)[0] if model_of(record).name in self.places else None
        if path is None:
            return None
        try:
            return b"".join(readable(self.root, path))
        except Unreadable:
            return None

    def take(self, store: Store, path: str) -> tuple[str, int]:
        """Copy what lies at a path into a store: its digest and size.  Raises Unreadable, DiskError."""
        size = 0

        def counted() -> Generator[bytes, None, None]:
            nonlocal size
            for piece in readable(self.root, path):
                size += len(piece)
                yield piece

        return store.put_payload(counted()), size


class Intake:
    """Takes the payloads of records as they are written to a store."""

    def __init__(self, store: Store, files: FilesRoot, tell: Callable[[PayloadProblem], object]) -> None:
        """``tell`` hears of every payload that is not simply there."""
        self._store, self._files, self._tell = store, files, tell

    def take(self, view: Writable) -> None:
        """Store the payloads of the records that a transaction makes, or has point elsewhere.

        To be called when it has written all of them.  Raises DiskError if one cannot be stored.
        """
        for model in self._files.places:
            for key, change in list(view.layer.changes.get(model, {}).items()):
                if change.after is None:
                    continue
                after = self._files.pointed_at(plain(change.after))
                if change.before is None or self._files.pointed_at(plain(change.before)) != after:
                    view.set_payload(model, key, self._taken(model, key, *after))

    def _taken(self, model: str, key: Any, path: str | None, size: int | None) -> str | None:
        """The digest of a payload, which is in the store then; None: it cannot be had."""
        if path is None:
            return None
        shown = "/".join(map(str, key)) if isinstance(key, tuple) else str(key)
        try:
            digest, found = self._files.take(self._store, path)
        except Unreadable as error:
            self._tell(PayloadProblem(model, shown, path, error.reason, kept=False))
            return None
        if size is not None and size != found:
            self._tell(other_size(model, shown, path, size, found))
        return digest
