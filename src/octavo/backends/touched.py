"""What dual transactions change while an export runs: ``cache/touched.jsonl``.

An export that is to replace a store copies one state of PostgreSQL, and writers go on with the old store
meanwhile.  So, under the write lock, it opens that state and makes this file, on which it keeps the kernel's
lock.  As long as it does, each transaction writes down here which records it is about to change, before
PostgreSQL commits; and before the folders are exchanged, the export copies these once more.

A record that is written down in vain is copied in vain, and that is all.  A key that is a secret is not
written down: then the whole model is compared.  The file goes with the export; what is left of one that was
killed, the next transaction removes.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

import msgspec

from octavo.backends.divergence import Keys
from octavo.errors import BusyError, ConflictError, disk_errors
from octavo.layout.stored import Key
from octavo.store.changeset import Name
from octavo.store.lock import LockFile
from octavo.store.rules import Rules
from octavo.store.system import FILE_MODE

NAME = "cache/touched.jsonl"
_PIECE = 1 << 20


class _Line(msgspec.Struct, omit_defaults=True):
    model: str
    key: dict[str, msgspec.Raw] | None = None


class Touching:
    """The side of those who write to the store in a folder."""

    def __init__(self, root: str) -> None:
        self._path = os.path.join(root, NAME)

    @property
    def is_wanted(self) -> bool:
        """Whether an export is under way, or has left its file."""
        return os.path.exists(self._path)

    def note(self, rules: Rules, names: Iterable[Name]) -> None:
        """Write down what is about to be changed.  The write lock is held.  Raises DiskError."""
        doing = "noting what changes, for the export that is under way"
        with disk_errors(doing), suppress(FileNotFoundError), LockFile(self._open) as file:
            if file.lock(fcntl.LOCK_SH):
                # Its export is not alive.
                os.unlink(self._path)
            else:
                with open(file.descriptor, "ab", closefd=False) as lines:
                    lines.write(b"".join(_lines(Keys(rules), names)))

    def _open(self) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC)


def _lines(keys: Keys, names: Iterable[Name]) -> Iterator[bytes]:
    for model, key in names:
        shown = None if keys.is_secret(model) else keys.shown(model, key)
        yield msgspec.json.encode(_Line(model, shown)) + b"\n"


class Touched:
    """The side of the export; made by :meth:`of`."""

    def __init__(self, path: str, file: LockFile, rules: Rules) -> None:
        self._path, self._file, self._keys = path, file, Keys(rules)
        self._read = 0
        """bytes that were read"""

    @classmethod
    @contextmanager
    def of(cls, root: str, rules: Rules) -> Iterator[Touched]:
        """Let writers write down what they change, until the block ends.  Entered under the write lock.

        Raises BusyError if another export is under way that is to replace this store, DiskError.
        """
        path = os.path.join(root, NAME)
        with disk_errors("asking writers what they change"):
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            file = LockFile(lambda: os.open(path, flags, FILE_MODE))
        with file:
            if not file.lock(fcntl.LOCK_EX):
                raise BusyError(0, "another export that is to replace it")
            with disk_errors("asking writers what they change"):
                # That of an export that was killed.
                os.ftruncate(file.descriptor, 0)
            made = cls(path, file, rules)
            try:
                yield made
            finally:
                made.end()

    @property
    def size(self) -> int:
        """How many bytes were written down.  Under the write lock, all that they tell is decided."""
        return os.fstat(self._file.descriptor).st_size

    def until(self, end: int) -> list[tuple[str, Key | None]]:
        """What was written down before ``end``, and not read yet: models and keys; None: all of a model.

        Raises ConflictError if the file was taken away, so that it does not tell everything.
        """
        if not self._is_there():
            raise ConflictError("cache/ was emptied while the export ran; run it again")
        data = bytearray()
        while (missing := end - self._read - len(data)) > 0:
            data += os.pread(self._file.descriptor, min(missing, _PIECE), self._read + len(data))
        self._read = end
        found: dict[tuple[str, Key | None], None] = {}
        for text in bytes(data).splitlines():
            line = msgspec.json.decode(text, type=_Line)
            key = None if line.key is None else self._keys.key(line.model, line.key)
            found[line.model, key] = None
        return list(found)

    def end(self) -> None:
        """Ask no more."""
        if self._is_there():
            with suppress(OSError):
                os.unlink(self._path)

    def _is_there(self) -> bool:
        try:
            return os.path.samestat(os.fstat(self._file.descriptor), os.lstat(self._path))
        except OSError:
            return False
