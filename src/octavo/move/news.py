"""What the files say that they did not say at an earlier listing.

Of a log that has only grown, that is what was appended; of any other file that may have changed, all that it
holds.  A file that is gone, or was not what was expected, says nothing more: what it said is lost.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from octavo.errors import DamagedError
from octavo.layout.codec import Codecs
from octavo.layout.found import Entry, Many, UnknownKey
from octavo.layout.layout import Layout
from octavo.layout.listing import File
from octavo.layout.scan import Scanner
from octavo.move.listing import Listing, pieces
from octavo.store.system import Signature, open_signed

if TYPE_CHECKING:
    from _hashlib import HASH

MOST = 50_000
"""records that are looked at; where more have changed, looking at everything is as quick"""
_LARGEST = 1 << 26
"""bytes of a file, or of what was appended to one, that are read"""


class Unsure(Exception):
    """It cannot be told whether both sides are the same; the text says why."""


class News:
    """What the files say at a listing that they did not say at one before.

    ``doubts`` are files of which it is not known what they said.  A log whose digest was not known is read
    again, or with ``unsigned`` counts as grown if it is the same file and not smaller, which may be wrong.
    """

    def __init__(
        self,
        layout: Layout,
        root: Path,
        listings: tuple[Listing, Listing],
        doubts: Iterable[str] = (),
        *,
        unsigned: bool = False,
    ) -> None:
        self.layout, self.root = layout, root
        self.before, self.now = listings
        self.doubts = set(doubts)
        self.unsigned = unsigned
        self.doubted: set[str] = set()
        """files that could not be read as they were listed"""
        self.lost: set[str] = set()
        """files of which what was said before holds no more"""
        self._codecs = Codecs.of(layout)
        self._scanners: dict[str, Scanner] = {}
        self.changed = list(self._changed())
        """the files that may be others than before"""

    def _changed(self) -> Iterator[File]:
        for path, was, number in self.before.there.files.paired(self.now.there.files):
            if was is not None and number is not None and self._is_same(path, was, number):
                self.now.keep(number, self.before, was)
                continue
            if was is not None:
                self.lost.add(path)
            if number is not None:
                yield self.now.there.files[number]

    def _is_same(self, path: str, was: int, number: int) -> bool:
        return path not in self.doubts and self.before.files.same(was, self.now.files, number)

    def is_kept(self, path: str) -> bool:
        """Whether all that a file said before still holds, but for the records of which it says more."""
        return path not in self.lost and self.before.there.files.number(path) is not None

    def entries(self) -> Iterator[tuple[File, Entry]]:
        """What the changed files say: records and tombstones, each with its file.  Raises Unsure."""
        for file in self.changed:
            if (text := self._read(file)) is None:
                continue
            for found in self._scanner(file).scan(file.path, BytesIO(text)):
                for item in found.each() if isinstance(found, Many) else (found,):
                    if isinstance(item, DamagedError):
                        self.doubted.add(file.path)
                    elif not isinstance(item, UnknownKey):
                        yield file, item

    def _scanner(self, file: File) -> Scanner:
        path = file.family.path
        if (scanner := self._scanners.get(path)) is None:
            scanner = self._scanners[path] = Scanner(file.family, self._codecs)
        return scanner

    def _read(self, file: File) -> bytes | None:
        """What a file says that it did not say before; None if it is not what was listed."""
        try:
            descriptor, found = open_signed(os.fspath(self.root / file.path))
            with open(descriptor, "rb", buffering=0) as content:
                if self._is_as_listed(file, found):
                    return self._new_in(file, content)
        except OSError:
            pass
        self.doubted.add(file.path)
        return None

    def _is_as_listed(self, file: File, found: Signature) -> bool:
        """Whether an open file begins with what it held when it was listed, as far as its signature tells."""
        number = self.now.there.files.number(file.path)
        if number is None or not self.now.files.is_of(number, found):
            return False
        return found.size == file.size or (found.size > file.size and file.family.kind.is_log)

    def _new_in(self, file: File, content: BinaryIO) -> bytes:
        digest, size = sha256(), 0
        if file.family.kind.is_log and file.path not in self.doubts:
            size, digest = self._known(file, content)
        if file.size - size > _LARGEST:
            raise Unsure(f"{file.path} was written anew")
        new = b"".join(pieces(content, file.size - size))
        if len(new) < file.size - size:
            self.doubted.add(file.path)
        if file.family.kind.is_log and not self.unsigned:
            digest.update(new)
            self.now.sign(file.path, digest.digest())
        return new

    def _known(self, file: File, content: BinaryIO) -> tuple[int, HASH]:
        """How many bytes of a log are as they were, and their digest; what comes next is to be read."""
        digest, known, last = sha256(), self.before.digest(file.path), b"\n"
        number = self.before.there.files.number(file.path)
        size = 0 if number is None else self.before.there.files[number].size
        if number is None or size > file.size or not (known or self.unsigned):
            return 0, digest
        if known is not None:
            for piece in pieces(content, size):
                digest.update(piece)
                last = piece
            is_known = digest.digest() == known
        else:
            there = self.now.there.files.number(file.path)
            is_known = there is not None and self.before.files.one(number, self.now.files, there)
            content.seek(max(size - 1, 0))
            last = content.read(1) if size else last
        if is_known and last.endswith(b"\n"):
            self.lost.discard(file.path)
            return size, digest
        content.seek(0)
        return 0, sha256()
