"""The files at one moment, by what tells one state of a file from another without reading it.

A file whose signature (inode, size, both times) is the same has the same content: the time of its last change
is the system's, and no program can set it.  That time may be coarse, so that two changes at once leave one
signature; a file that was changed shortly before the listing therefore counts as changed at the next one.

Of a log the digest of what a verification has read of it is kept too (:meth:`Listing.sign`).  A log that has
only grown begins as it was, and only what was appended has to be read as records.  If a log was read several
times, and not always the same, then no read shows what it holds: it has no digest, and is read again.

A store may have a hundred thousand files: what is known of each is 64 bytes, and no object.
"""

from __future__ import annotations

import os
import struct
import tempfile
from bisect import bisect_left
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from octavo.errors import disk_errors
from octavo.layout.layout import Layout
from octavo.layout.listing import Contents, contents, payload_files
from octavo.store.system import Signature, signature

_SIGNATURE = struct.Struct("<QQqq")
COARSEST = 3_000_000_000
"""nanoseconds: less than this between two changes may not show (FAT keeps two seconds)"""
_FRESH = -1
"""stands for the time of the last change where the signature may be that of two states, or is not known"""
_INODE = 8
"""bytes of a packed signature"""
_DIGEST = 32
_UNKNOWN = bytes(_DIGEST)
_CONTRADICTED = b"\xff" * _DIGEST
"""stand for the digest of a log that was not read, and of one that was read in two states"""
_PIECE = 1 << 20


class _Signatures:
    """Those of some files, by number."""

    def __init__(self) -> None:
        self._packed = bytearray()

    def add(self, path: Path, moment: int, size: int | None = None) -> None:
        found = signature(os.fspath(path))
        if found is None or (size is not None and found.size != size):
            self._packed += _SIGNATURE.pack(0, 0, 0, _FRESH)
            return
        if found.changed > moment - COARSEST:
            found = found._replace(changed=_FRESH)
        self._packed += _SIGNATURE.pack(*found)

    def same(self, number: int, other: _Signatures, there: int) -> bool:
        """Whether a file has the same content as that of another number has in another listing."""
        ours = self._of(number)
        return ours == other._of(there) and _SIGNATURE.unpack(ours)[-1] != _FRESH

    def one(self, number: int, other: _Signatures, there: int) -> bool:
        """Whether it is one file, with the same content or another."""
        ours = self._of(number)[:_INODE]
        return ours == other._of(there)[:_INODE] and any(ours)

    def is_of(self, number: int, found: Signature) -> bool:
        """Whether a file that was opened is the one that was listed, with the same content or another."""
        return found.inode != 0 and _SIGNATURE.unpack(self._of(number))[0] == found.inode

    def _of(self, number: int) -> bytearray:
        return self._packed[number * _SIGNATURE.size : (number + 1) * _SIGNATURE.size]


class Listing:
    """What lies in a data folder."""

    def __init__(self, there: Contents) -> None:
        self.there = there
        self.files, self.payload_files = _Signatures(), _Signatures()
        self.payloads: list[str] = []
        """the paths of all payloads, in order"""
        self._digests = bytearray(_DIGEST * len(there.files))

    def sign(self, path: str, digest: bytes) -> None:
        """A log was read as far as it went when it was listed, with this digest."""
        number = self.there.files.number(path)
        if number is not None:
            known = self._digest(number)
            self._sign(number, digest if known in (_UNKNOWN, digest) else _CONTRADICTED)

    def keep(self, number: int, before: Listing, there: int) -> None:
        """A file is the same that it was before, with that number."""
        self._sign(number, before._digest(there))

    def digest(self, path: str) -> bytes | None:
        """The digest of a log; None if it is not known."""
        number = self.there.files.number(path)
        found = _UNKNOWN if number is None else self._digest(number)
        return None if found in (_UNKNOWN, _CONTRADICTED) else found

    def _digest(self, number: int) -> bytes:
        return bytes(self._digests[number * _DIGEST : (number + 1) * _DIGEST])

    def _sign(self, number: int, digest: bytes) -> None:
        self._digests[number * _DIGEST : (number + 1) * _DIGEST] = digest

    def payload(self, path: str) -> int | None:
        """Which one of the payloads has this path; None: none has."""
        at = bisect_left(self.payloads, path)
        return at if at < len(self.payloads) and self.payloads[at] == path else None

    def changed_payloads(self, now: Listing) -> Iterator[str]:
        """The payloads that are others in a later listing, or are gone."""
        for number, path in enumerate(self.payloads):
            there = now.payload(path)
            if there is None or not self.payload_files.same(number, now.payload_files, there):
                yield path


def listed(layout: Layout, root: Path) -> Listing:
    """List a data folder.  Raises DiskError."""
    with disk_errors("listing the data folder"):
        moment = _clock(root)
        found = Listing(contents(layout, root))
        for file in found.there.files:
            found.files.add(root / file.path, moment, file.size)
        for _, path in payload_files(layout, root):
            found.payloads.append(path)
            found.payload_files.add(root / path, moment)
    return found


def _clock(root: Path) -> int:
    """The time by which the file system signs, in nanoseconds."""
    with tempfile.TemporaryFile(dir=root / "cache") as file:
        return os.fstat(file.fileno()).st_ctime_ns


def pieces(content: BinaryIO, size: int) -> Iterator[bytes]:
    """So many of the next bytes of a file, or what it has of them."""
    while size and (piece := content.read(min(size, _PIECE))):
        size -= len(piece)
        yield piece
