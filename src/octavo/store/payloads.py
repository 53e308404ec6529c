"""Payloads in a store: the files that records point at, kept once per content under their SHA-256.

A payload is stored before the record that names it is committed, and outside the write lock: it is written
beside its place, synced, and renamed.  Until a record names it nothing depends on it.  It goes only when
a caller asks for that, under the write lock, and a transaction takes no digest whose payload is not there; so
a record never names one that has been removed.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import secrets
import stat
import time
from collections.abc import Collection, Generator, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO, NamedTuple, TypeAlias

from octavo.errors import BusyError, DamagedError, DiskError, UsageError, disk_errors
from octavo.layout.layout import Layout
from octavo.layout.listing import payload_files, payload_path
from octavo.store.changes import discard
from octavo.store.lock import LockFile
from octavo.store.safe_path import Outside, open_beneath
from octavo.store.system import FileSystem, open_to_read, sync, sync_folder, write_all

Source: TypeAlias = "bytes | Path | BinaryIO | Generator[bytes, None, None]"

_PIECE = 1 << 20
_INCOMING = re.compile(r"\.[0-9a-f]{16}\.incoming")
_DIGEST = re.compile(r"[0-9a-f]{64}")


class Removed(NamedTuple):
    """A payload that was removed: its path relative to the data folder, its size in bytes."""

    file: str
    size: int


class Payloads:
    """The payloads of the store at ``root``."""

    def __init__(self, root: str, layout: Layout, system: FileSystem) -> None:
        self.root, self.layout, self.system = root, layout, system

    @property
    def folder(self) -> str:
        """The folder that they lie in.  Raises UsageError if the layout keeps no payloads."""
        if not self.layout.payload_folder:
            raise UsageError("this layout keeps no payloads")
        return os.path.join(self.root, self.layout.payload_folder)

    def file(self, sha256: str) -> str:
        """Where the payload with this digest lies, relative to the data folder.  Raises UsageError."""
        if not _DIGEST.fullmatch(sha256) or not self.layout.payload_folder:
            raise UsageError("is no SHA-256 in lower-case hexadecimal, by which a payload is known")
        return payload_path(self.layout, sha256)

    def has(self, sha256: str) -> bool:
        """Whether there is such a payload."""
        try:
            os.close(open_beneath(Path(self.root), self.file(sha256)))
        except (FileNotFoundError, Outside):
            return False
        return True

    def open(self, sha256: str) -> BinaryIO:
        """A payload to read from.  Raises DamagedError if it is not there, DiskError."""
        file = self.file(sha256)
        try:
            return os.fdopen(open_beneath(Path(self.root), file), "rb")
        except (FileNotFoundError, Outside) as error:
            raise DamagedError("the payload is not there", file=file) from error
        except OSError as error:
            raise DiskError.of(error, "reading a payload") from error

    def put(self, source: Source) -> str:
        """Store a payload durably, and give its SHA-256; one that is there already is put in place again.

        Raises DiskError; nothing is left of it then.
        """
        with disk_errors("storing a payload"):
            return self._put(source)

    def _put(self, source: Source) -> str:
        incoming, file = self._create()
        try:
            digest, at = hashlib.sha256(), 0
            for piece in _pieces(source):
                digest.update(piece)
                write_all(self.system, file.descriptor, piece, at)
                at += len(piece)
            sync(self.system, file.descriptor)
            name = digest.hexdigest()
            shelf = self._make_shelf(name)
            # Over one that is there too, which may have been damaged, and is young again.
            self.system.rename(incoming, os.path.join(shelf, name))
        except BaseException:
            discard(self.system, incoming)
            raise
        finally:
            file.close()
        sync_folder(self.system, shelf)
        # Another process may have made the shelf, and not have synced it yet.
        sync_folder(self.system, self.folder)
        return name

    def _create(self) -> tuple[str, LockFile]:
        """A new file, locked by the kernel for as long as it is open: so it is told from what was left."""
        while True:
            path = os.path.join(self.folder, f".{secrets.token_hex(8)}.incoming")
            file = LockFile(partial(self.system.create, path))
            try:
                if file.lock(fcntl.LOCK_EX) and os.path.samestat(os.fstat(file.descriptor), os.lstat(path)):
                    return path, file
            except FileNotFoundError:
                pass
            except BaseException:
                file.close()
                raise
            # A clean-up took it for what a crash had left.
            discard(self.system, path)
            file.close()

    def _make_shelf(self, digest: str) -> str:
        shelf = os.path.join(self.folder, digest[:2])
        try:
            self.system.make_folder(shelf)
        except FileExistsError:
            if not stat.S_ISDIR(os.lstat(shelf).st_mode):
                file = os.path.relpath(shelf, self.root)
                raise DamagedError("is no folder, as a store has them", file=file) from None
        return shelf

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Keep every payload where it is inside the block: who would remove some is told to wait."""
        with self._folder_lock(fcntl.LOCK_SH):
            yield

    def remove_unnamed(self, named: Collection[str], grace: float) -> list[Removed]:
        """Remove the payloads that are not among those named, and older than ``grace`` seconds.

        Under the write lock.  Raises BusyError while a backup needs them, DiskError.
        """
        removed = []
        with disk_errors("removing payloads"), self._folder_lock(fcntl.LOCK_EX | fcntl.LOCK_NB):
            youngest = time.time() - grace
            shelves = set()
            for digest, file in payload_files(self.layout, Path(self.root)):
                path = os.path.join(self.root, file)
                found = os.lstat(path)
                if digest and digest not in named and found.st_mtime <= youngest:
                    self.system.remove(path)
                    removed.append(Removed(file, found.st_size))
                    shelves.add(os.path.dirname(path))
            for shelf in sorted(shelves):
                sync_folder(self.system, shelf)
        return removed

    @contextmanager
    def _folder_lock(self, how: int) -> Iterator[None]:
        with disk_errors("locking the payloads"):
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
            folder = LockFile(lambda: os.open(self.folder, flags))
        with folder:
            try:
                fcntl.flock(folder.descriptor, how)
            except BlockingIOError:
                raise BusyError(0, "a backup, which needs every payload") from None
            yield


def is_incoming(name: str) -> bool:
    """Whether a file's name is that of a payload on its way, or of what a crash has left of one."""
    return _INCOMING.fullmatch(name) is not None


_JUST_MADE = 1.0
"""seconds in which the maker of a file has locked it"""


def is_abandoned(path: str) -> bool:
    """Whether no living process is writing the payload on its way at ``path``."""
    try:
        with LockFile(lambda: open_to_read(path)) as file:
            found = os.fstat(file.descriptor)
            # Its writer may be about to lock it, or have been done with it just then and given it its name.
            return (
                file.lock(fcntl.LOCK_EX)
                and os.path.samestat(found, os.lstat(path))
                and time.time() - found.st_mtime > _JUST_MADE
            )
    except FileNotFoundError:
        return False


def _pieces(source: Source) -> Iterator[bytes]:
    if isinstance(source, bytes):
        yield source
    elif isinstance(source, Path):
        with open(source, "rb") as file:
            yield from _pieces(file)
    elif isinstance(source, Generator):
        yield from source
    else:
        while piece := source.read(_PIECE):
            yield piece
