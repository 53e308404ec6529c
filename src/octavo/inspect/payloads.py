"""Payloads: the files that records point at, kept in the data folder once per content.

A payload lies at ``<folder>/<2 hex>/<sha256>``, under the SHA-256 of its bytes; the record's line names it
in ``_sha256``.  The path that the record itself holds is only ever followed below the files root.
"""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from octavo.layout.layout import Layout
from octavo.layout.listing import payload_path
from octavo.store import disk
from octavo.store.intake import PayloadProblem, Unreadable, other_size, read_payload, readable
from octavo.store.safe_path import Outside, folder_beneath, parts_of
from octavo.store.system import SYSTEM, sync

CONFLICT = "another file stands there"


def digest_of(pieces: Iterator[bytes]) -> tuple[str, int]:
    """SHA-256 in hexadecimal, and the number of bytes."""
    digest, size = hashlib.sha256(), 0
    for piece in pieces:
        digest.update(piece)
        size += len(piece)
    return digest.hexdigest(), size


def file_digest(data: Path, file: str) -> tuple[str, int]:
    """The digest and size of a payload in the data folder.  Raises OSError; follows no symbolic link."""
    return digest_of(_pieces(data, file))


def _pieces(data: Path, file: str) -> Iterator[bytes]:
    try:
        yield from read_payload(data, file)
    except Outside as error:
        raise OSError(errno.ELOOP, f"its path {error.reason}", file) from error


class PayloadKeeper:
    """Copies payloads from the files root into a data folder that is being built."""

    def __init__(self, layout: Layout, files_root: Path, built: Path) -> None:
        self.layout, self.files_root, self.built = layout, files_root, built
        self.problems: list[PayloadProblem] = []
        self.kept = 0
        """rows that have their payload"""
        self.size = 0
        """bytes written, each content once"""
        self.root_missing = not files_root.is_dir()
        self._lock = threading.Lock()

    def keep(self, model: str, key: str, path: str, size: int | None) -> str | None:
        """Copy a row's payload and give its digest; None, and a problem, if it cannot be read.

        Raises OSError if the copy cannot be written.
        """
        incoming = self.built / self.layout.payload_folder / f".{secrets.token_hex(8)}.incoming"
        digest, found = hashlib.sha256(), 0
        try:
            pieces = readable(self.files_root, path)
            piece = next(pieces, b"")
            with disk.create(incoming) as file:
                while piece:
                    digest.update(piece)
                    found += len(piece)
                    file.write(piece)
                    piece = next(pieces, b"")
        except Unreadable as error:
            with suppress(FileNotFoundError):
                incoming.unlink()
            self._note(PayloadProblem(model, key, path, error.reason, kept=False))
            return None
        name = digest.hexdigest()
        self._shelve(incoming, name, found)
        if size is not None and size != found:
            self._note(other_size(model, key, path, size, found))
        return name

    def _shelve(self, incoming: Path, digest: str, size: int) -> None:
        target = self.built / payload_path(self.layout, digest)
        with self._lock:
            self.kept += 1
            if target.exists():
                incoming.unlink()
                return
            disk.make_folder(target.parent)
            os.rename(incoming, target)
            self.size += size

    def _note(self, problem: PayloadProblem) -> None:
        with self._lock:
            self.problems.append(problem)


def payload_conflict(files_root: Path, path: str, digest: str) -> str | None:
    """Why a payload cannot go to this path: something else stands there, or on the way.  Raises OSError.

    A path that leads elsewhere by itself is no conflict: nothing is ever written there.
    """
    try:
        parts_of(path)
    except Outside:
        return None
    try:
        there = _digest_there(files_root, path)
    except Outside as error:
        return f"the path {error.reason}"
    return None if there in (None, digest) else CONFLICT


def put_back(data: Path, layout: Layout, digest: str, files_root: Path, path: str) -> str | None:
    """Write a payload to where its row says, below the files root; never over a file with other content.

    Gives the reason if that cannot be done, None if the file is there now.  Raises OSError as the system does
    in writing.
    """
    try:
        parts_of(path)
        if (there := _digest_there(files_root, path)) is not None:
            return None if there == digest else CONFLICT
        folder = folder_beneath(files_root, path)
    except Outside as error:
        return f"the path {error.reason}"
    name = parts_of(path)[-1]
    beside = f".octavo-{os.getpid()}-{threading.get_ident()}"
    try:
        descriptor = os.open(
            beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644, dir_fd=folder
        )
        try:
            with open(descriptor, "wb") as file:
                for piece in _pieces(data, payload_path(layout, digest)):
                    file.write(piece)
                disk.sync_file(file)
            try:
                os.link(beside, name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
            except FileExistsError:
                return CONFLICT
        finally:
            os.unlink(beside, dir_fd=folder)
        sync(SYSTEM, folder)
    finally:
        os.close(folder)
    return None


def _digest_there(root: Path, path: str) -> str | None:
    try:
        return digest_of(read_payload(root, path))[0]
    except FileNotFoundError:
        return None
