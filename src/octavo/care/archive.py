"""Reads an archive that may come from anywhere: just what ``octavo backup`` writes, and nothing else.

A tar file can hold much that a store has no use for: links, devices, names that lead elsewhere, extended
headers of any size.  Programs disagree on some of it, and unpack more than was checked.  So the first member
that Octavo cannot have written ends the reading.  Memory is bounded by the names that the archive holds, and
every byte is looked at once.
"""

from __future__ import annotations

import hashlib
import re
import stat
import zlib
from collections.abc import Callable, Iterator
from typing import IO, NamedTuple

from octavo.errors import DamagedError

DATA, MANIFEST = "data", "manifest.json"
_BLOCK = 512
_EMPTY = bytes(_BLOCK)
_PIECE = 1 << 20
_GZIP = b"\x1f\x8b"
_MAGIC = b"ustar\x0000"
_FILE, _FOLDER, _EXTENDED = b"0", b"5", b"x"
_LONGEST_EXTENSION = 1 << 16
"""bytes of an extended header: one name, and some numbers"""
_EXTENSIONS = frozenset({"path", "size", "mtime", "uid", "gid", "hdrcharset"})
_RECORD = re.compile(rb"([1-9][0-9]{0,5}) ([a-z]+)=")
_OCTAL = re.compile(rb"[0-7]+")
_PADDING = 2 * _BLOCK + 10_240
"""bytes of zeros that end a tar file, at most"""
_MANIFEST_HEAD, _MANIFEST_FILE = 1 << 20, 300
"""bytes of a manifest, at most, beside its names, and for each file"""


class Content(NamedTuple):
    """What an archive holds."""

    files: dict[str, tuple[bytes, int]]
    """by name, the SHA-256 and the size of each file"""
    manifest: bytes


def spelled(name: str) -> str:
    """A file's name as JSON can hold it: a byte that is not UTF-8 becomes an escape, a backslash two."""
    raw = name.replace("\\", "\\\\").encode("utf-8", "surrogateescape")
    return raw.decode("utf-8", "backslashreplace")


def read(file: IO[bytes], advance: Callable[[int], None]) -> Content:
    """Read an archive to its end.  ``advance`` hears how many bytes of it were read.

    Raises DamagedError for one that is cut, or that ``octavo backup`` has not made; OSError.
    """
    try:
        return _Reading(_Stream(_pieces(file, advance))).run()
    except zlib.error as error:
        raise DamagedError(f"the archive is damaged: {error}") from error


def _pieces(file: IO[bytes], advance: Callable[[int], None]) -> Iterator[bytes]:
    """The bytes of the tar file, in pieces of a bounded size."""
    given = _next(file, advance)
    if not given.startswith(_GZIP):
        while given:
            yield given
            given = _next(file, advance)
        return
    inflating = zlib.decompressobj(wbits=31)
    while not inflating.eof:
        piece = inflating.decompress(given, _PIECE)
        yield piece
        given = inflating.unconsumed_tail or _next(file, advance)
        if not piece and not given:
            raise _cut()
    if inflating.unused_data or given:
        raise DamagedError("something follows the end of the archive")


def _next(file: IO[bytes], advance: Callable[[int], None]) -> bytes:
    given = file.read(_PIECE)
    advance(len(given))
    return given


def _cut() -> DamagedError:
    return DamagedError("the archive is cut")


class _Stream:
    """Bytes, of which exactly as many are taken as are asked for."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._piece, self._at = pieces, b"", 0

    def pieces(self, size: int) -> Iterator[memoryview]:
        """The next ``size`` bytes.  Raises DamagedError if there are fewer."""
        while size:
            if self._at == len(self._piece):
                self._piece, self._at = self._more(), 0
            piece = memoryview(self._piece)[self._at : self._at + size]
            self._at += len(piece)
            size -= len(piece)
            yield piece

    def _more(self) -> bytes:
        for piece in self._pieces:
            if piece:
                return piece
        raise _cut()

    def take(self, size: int) -> bytes:
        end = self._at + size
        if end <= len(self._piece):
            taken, self._at = self._piece[self._at : end], end
            return taken
        return b"".join(self.pieces(size))

    def rest(self) -> Iterator[bytes]:
        """All that is left."""
        yield self._piece[self._at :]
        yield from self._pieces


class _Header(NamedTuple):
    name: str
    kind: bytes
    size: int


class _Reading:
    def __init__(self, stream: _Stream) -> None:
        self._stream = stream
        self._files: dict[str, tuple[bytes, int]] = {}
        self._folders: set[str] = set()
        self._largest_manifest = _MANIFEST_HEAD

    def run(self) -> Content:
        while True:
            header = self._header()
            if header.name == MANIFEST and header.kind == _FILE:
                break
            self._check(header)
            if header.kind == _FOLDER:
                self._folders.add(header.name)
            else:
                self._files[header.name] = self._digest(header.size), header.size
                self._largest_manifest += _MANIFEST_FILE + 6 * len(header.name.encode("utf-8", "replace"))
        if header.size > self._largest_manifest:
            raise DamagedError("is larger than what it could say of the files before it", file=MANIFEST)
        manifest = self._stream.take(header.size)
        self._skip_padding(header.size)
        self._end()
        return Content(self._files, manifest)

    def _header(self) -> _Header:
        """The next member's header, with what an extended one before it says."""
        block = self._stream.take(_BLOCK)
        header = self._plain(block)
        if header.kind != _EXTENDED:
            return header
        extended = self._extension(header)
        header = self._plain(self._stream.take(_BLOCK))
        if "size" in extended:
            if not extended["size"].isdigit() or len(extended["size"]) > 18:
                raise _foreign(header.name, "its size is no number")
            header = header._replace(size=int(extended["size"]))
        if "path" in extended:
            name = extended["path"].decode("utf-8", "surrogateescape")
            header = header._replace(name=name.removesuffix("/") if header.kind == _FOLDER else name)
        return header

    def _plain(self, block: bytes) -> _Header:
        if block == _EMPTY:
            raise DamagedError("the archive has no manifest: it is cut, or not one of Octavo's")
        if block[257:265] != _MAGIC or _number(block[148:156]) != sum(block) - sum(block[148:156]) + 256:
            raise DamagedError("the archive is damaged, or not one of Octavo's: no header of a tar file")
        name = block[:100].rstrip(b"\0").decode("utf-8", "surrogateescape")
        kind, size = block[156:157], _number(block[124:136])
        if _number(block[100:108]) & (stat.S_ISUID | stat.S_ISGID | stat.S_ISVTX) or block[345:500].strip(
            b"\0"
        ):
            raise _foreign(name)
        return _Header(name.removesuffix("/") if kind == _FOLDER else name, kind, size)

    def _extension(self, header: _Header) -> dict[str, bytes]:
        if not 0 < header.size <= _LONGEST_EXTENSION:
            raise _foreign(header.name, "its extended header is empty or too large")
        text = self._stream.take(header.size)
        self._skip_padding(header.size)
        found: dict[str, bytes] = {}
        at = 0
        while at < len(text):
            record = _RECORD.match(text, at)
            end = 0 if record is None else at + int(record[1])
            if record is None or not record.end() < end <= len(text) or text[end - 1 : end] != b"\n":
                raise _foreign(header.name, "its extended header is broken")
            key = record[2].decode()
            if key in found or key not in _EXTENSIONS:
                raise _foreign(header.name, f"its extended header says {key}")
            found[key] = text[record.end() : end - 1]
            at = end
        return found

    def _check(self, header: _Header) -> None:
        """Raise DamagedError for a member that does not belong in an archive of a store."""
        name, kind, size = header
        if kind not in (_FILE, _FOLDER):
            raise _foreign(name, "it is no regular file and no folder")
        if kind == _FOLDER and size:
            raise _foreign(name, "it is a folder with content")
        above, _, last = name.rpartition("/")
        # What has a name in a folder that came before it lies below data/, and is spelled in one way.
        if (not above and name != DATA) or (above and above not in self._folders):
            raise _foreign(name, "it is in no folder of the store")
        if last in ("", ".", "..") or "\0" in last:
            raise _foreign(name, "it has no name of its own")
        if name in self._files or name in self._folders or (name == DATA and kind != _FOLDER):
            raise _foreign(name, "its name is taken")

    def _digest(self, size: int) -> bytes:
        digest = hashlib.sha256()
        for piece in self._stream.pieces(size):
            digest.update(piece)
        self._skip_padding(size)
        return digest.digest()

    def _skip_padding(self, size: int) -> None:
        if self._stream.take(-size % _BLOCK).strip(b"\0"):
            raise DamagedError("the archive is damaged: something stands between two of its files")

    def _end(self) -> None:
        """Raise DamagedError if anything but a tar file's end follows."""
        left = 0
        for piece in self._stream.rest():
            left += len(piece)
            if left > _PADDING or piece.strip(b"\0"):
                raise DamagedError("something follows the manifest, which is the last of an archive")
        if left < 2 * _BLOCK:
            raise _cut()


def _number(field: bytes) -> int:
    digits = field.rstrip(b"\0 ")
    if not _OCTAL.fullmatch(digits):
        raise DamagedError("the archive is damaged, or not one of Octavo's: no number in a header")
    return int(digits, 8)


def _foreign(name: str, reason: str = "") -> DamagedError:
    said = "does not belong in an archive of a store"
    return DamagedError(f"{said}: {reason}" if reason else said, file=spelled(name))
