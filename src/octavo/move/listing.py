"""The files at one moment, by what tells one state of a file from another without reading it.

A file whose signature (inode, size, both times) is the same has the same content: the time of its last change
is the system's, and no program can set it.  That time may be coarse, so that two changes at once leave one
signature; a file that was changed shortly before the listing therefore counts as changed at the next one.

Of a log the digest of its content is kept too.  A log that has only grown begins as it was, and only what was
appended has to be read as records.
"""

from __future__ import annotations

import os
import struct
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, NamedTuple

from octavo.errors import disk_errors
from octavo.layout.layout import Layout
from octavo.layout.listing import Contents, contents, payload_files
from octavo.store.system import signature

_SIGNATURE = struct.Struct("<QQqq")
COARSEST = 3_000_000_000
"""nanoseconds: less than this between two changes may not show (FAT keeps two seconds)"""
_FRESH = bytes(8)
"""stands for the inode of a file whose signature may be that of two states of it"""
_PIECE = 1 << 20

State = bytes
"""of a file: its signature, and of a log the digest after it; empty: equal to none"""


class Listing(NamedTuple):
    """What lies in a data folder."""

    there: Contents
    states: dict[str, State]
    """by path; a payload's too"""

    def is_same(self, path: str, other: Listing) -> bool:
        """Whether a file has the same content in both."""
        ours, theirs = (one.states.get(path, b"")[: _SIGNATURE.size] for one in (self, other))
        return ours == theirs and not (_FRESH.startswith(ours[: len(_FRESH)]))


def listed(layout: Layout, root: Path) -> Listing:
    """List a data folder.  Raises DiskError."""
    with disk_errors("listing the data folder"):
        moment = _clock(root)
        there = contents(layout, root)
        states = {file.path: _state(root / file.path, moment, file.size) for file in there.files}
        for _, path in payload_files(layout, root):
            states[path] = _state(root / path, moment)
    return Listing(there, states)


def _clock(root: Path) -> int:
    """The time by which the file system signs, in nanoseconds."""
    with tempfile.TemporaryFile(dir=root / "cache") as file:
        return os.fstat(file.fileno()).st_ctime_ns


def _state(path: Path, moment: int, size: int | None = None) -> State:
    found = signature(os.fspath(path))
    if found is None or (size is not None and found.size != size):
        return b""
    if found.changed > moment - COARSEST:
        found = found._replace(inode=0)
    return _SIGNATURE.pack(*found)


def add_digests(listing: Listing, root: Path) -> None:
    """Read all logs, and keep their digests."""
    for file in listing.there.files:
        if file.family.kind.is_log and (state := listing.states[file.path]):
            with suppress(OSError), open(root / file.path, "rb", buffering=0) as log:
                digest = sha256()
                for piece in pieces(log, file.size):
                    digest.update(piece)
                listing.states[file.path] = state + digest.digest()


def known_log(state: State) -> tuple[int, bytes] | None:
    """The size and the digest of a log in a state; None where they are not known."""
    if len(state) <= _SIGNATURE.size:
        return None
    return _SIGNATURE.unpack_from(state)[1], state[_SIGNATURE.size :]


def with_digest(state: State, digest: bytes) -> State:
    return state[: _SIGNATURE.size] + digest if state else b""


def pieces(content: BinaryIO, size: int) -> Iterator[bytes]:
    """So many of the next bytes of a file, or what it has of them."""
    while size and (piece := content.read(min(size, _PIECE))):
        size -= len(piece)
        yield piece
