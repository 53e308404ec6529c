"""A tar file that is written while it is not yet known which of its members will count.

Each member is written as soon as its file has been read, so that no file is read twice and nothing is copied
but into the archive.  What turns out to have changed since is forgotten and written once more, at the end;
the gaps are closed when the archive is finished, or left out when it is compressed.
"""

from __future__ import annotations

import hashlib
import os
import struct
import tarfile
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from io import RawIOBase
from pathlib import Path
from typing import BinaryIO, NamedTuple

from octavo.store.system import FILE_MODE, FOLDER_MODE, SYSTEM, open_privately, write_all

_BLOCK = 512
_PIECE = _BUFFER = 1 << 20
_LEVEL = 6
_WINDOW = 1 << 15
"""bytes that deflate looks back"""
_NAME, _SIZE, _TIME, _SUM = slice(0, 100), slice(124, 136), slice(136, 148), slice(148, 156)
"""where in a header these stand"""
_LARGEST = 8**11 - 1
"""what eleven octal digits can say"""
_END = bytes(2 * _BLOCK)


_MEMBER = struct.Struct("=qqq32s")


class Member(NamedTuple):
    """A file in the spool: where its header and its bytes begin, how many they are, and their SHA-256."""

    start: int
    at: int
    size: int
    sha256: bytes

    @property
    def end(self) -> int:
        return self.at + self.size + -self.size % _BLOCK

    def packed(self) -> bytes:
        """The same in few bytes, as there may be a hundred thousand."""
        return _MEMBER.pack(*self)

    @classmethod
    def of(cls, packed: bytes) -> Member:
        return cls(*_MEMBER.unpack(packed))


class Spool:
    """Writes the members of a tar file."""

    def __init__(self, path: Path) -> None:
        # It is read, too.
        self.file: BinaryIO = open(path, "x+b", _BUFFER, opener=open_privately)  # noqa: SIM115
        self.close = self.file.close
        self.end = 0
        self._gaps: list[tuple[int, int]] = []
        owner = tarfile.TarInfo()
        owner.uid, owner.gid, owner.mode = os.getuid(), os.getgid(), FILE_MODE
        self._owner = owner
        plain = bytearray(owner.tobuf(tarfile.PAX_FORMAT))
        for field in (_NAME, _SIZE, _TIME):
            plain[field] = bytes(field.stop - field.start)
        plain[_SUM] = b" " * 8
        self._sum = sum(plain)
        """of a header without name, size and time"""
        self._before, self._after = bytes(plain[_NAME.stop : _SIZE.start]), bytes(plain[_SUM.stop :])

    def add_folder(self, name: str, modified: float) -> tuple[int, int]:
        """Add a folder; where it begins and ends is given."""
        start = self.end
        self._write(self._header(name, 0, modified, is_folder=True))
        return start, self.end

    def add(self, name: str, data: bytes, modified: float) -> Member:
        """Add a file that is held in memory."""
        header, start = self._header(name, len(data), modified), self.end
        for part in (header, data, bytes(-len(data) % _BLOCK)):
            self._write(part)
        return Member(start, start + len(header), len(data), hashlib.sha256(data).digest())

    def add_pieces(self, name: str, pieces: Iterable[bytes], modified: float) -> None:
        """Add a file whose size is known when it has been written."""
        start, empty = self.end, self._header(name, 0, modified)
        self._write(empty)
        for piece in pieces:
            self._write(piece)
        size = self.end - start - len(empty)
        self._write(bytes(-size % _BLOCK))
        self.file.flush()
        write_all(SYSTEM, self.file.fileno(), self._header(name, size, modified), start)

    def copy(self, name: str, source: int, size: int, modified: float) -> Member:
        """Add a file from its descriptor: of one that grows meanwhile, the first ``size`` bytes.

        Raises OSError.
        """
        start = self.end
        self._write(self._header(name, size, modified))
        at, digest = self.end, hashlib.sha256()
        while (left := at + size - self.end) and (piece := os.read(source, min(left, _PIECE))):
            digest.update(piece)
            self._write(piece)
        if left:
            # It has become shorter.
            self._forget_from(start)
            return self.copy(name, _rewound(source), size - left, modified)
        self._write(bytes(-size % _BLOCK))
        return Member(start, at, size, digest.digest())

    def read(self, member: Member) -> BinaryIO:
        """The bytes of a file that was added."""
        self.file.flush()
        return _Slice(self.file.fileno(), member.at, member.size)  # type: ignore[return-value]

    def forget(self, start: int, end: int) -> None:
        """Let a part of the file not count."""
        self._gaps.append((start, end))

    def _forget_from(self, start: int) -> None:
        self.file.flush()
        self.file.seek(start)
        self.file.truncate()
        self.end = start

    def _write(self, data: bytes) -> None:
        self.file.write(data)
        self.end += len(data)

    def _header(self, name: str, size: int, modified: float, *, is_folder: bool = False) -> bytes:
        """As ``tarfile`` has it, which takes fifty times as long."""
        raw = name.encode("utf-8", "surrogateescape")
        when = int(modified)
        if is_folder or len(raw) > 100 or not raw.isascii() or size > _LARGEST or not 0 <= when <= _LARGEST:
            made = tarfile.TarInfo(name)
            made.uid, made.gid, made.mode = self._owner.uid, self._owner.gid, FILE_MODE
            made.size, made.mtime = size, when
            if is_folder:
                made.type, made.mode = tarfile.DIRTYPE, FOLDER_MODE
            return made.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
        numbers = b"%011o\0%011o\0" % (size, when)
        total = b"%06o\0 " % (self._sum + sum(raw) + sum(numbers))
        return b"".join((raw.ljust(100, b"\0"), self._before, numbers, total, self._after))

    # The end

    def finish(self) -> None:
        """Close the gaps, and end the tar file."""
        if self._gaps:
            self._close_gaps()
        self._write(_END)
        self._write(bytes(-self.end % tarfile.RECORDSIZE))
        self.file.flush()

    def _close_gaps(self) -> None:
        self.file.flush()
        descriptor, at = self.file.fileno(), min(start for start, _ in self._gaps)
        start = at
        for gap, after in sorted([*self._gaps, (self.end, self.end)]):
            for piece in self._pieces(start, gap):
                write_all(SYSTEM, descriptor, piece, at)
                at += len(piece)
            start = after
        self._gaps.clear()
        self._forget_from(at)

    def _pieces(self, start: int, end: int) -> Iterator[bytes]:
        while start < end:
            piece = os.pread(self.file.fileno(), min(end - start, _PIECE), start)
            start += len(piece)
            yield piece

    def compress(self, target: BinaryIO, advance: Callable[[int], object]) -> None:
        """Write what is finished as gzip has it."""
        compress(self._pieces(0, self.end), target, advance)


class _Slice(RawIOBase):
    """A part of a file."""

    def __init__(self, descriptor: int, at: int, size: int) -> None:
        self._descriptor, self._at, self._end = descriptor, at, at + size

    def read(self, size: int = -1) -> bytes:
        left = self._end - self._at
        piece = os.pread(self._descriptor, left if size < 0 else min(size, left), self._at)
        self._at += len(piece)
        return piece


def _rewound(descriptor: int) -> int:
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def compress(pieces: Iterable[bytes], target: BinaryIO, advance: Callable[[int], object]) -> None:
    """Compress by a thread for each processor into one gzip file.

    Each piece is compressed by itself, with the end of the one before as what it may refer to.
    """
    jobs = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    target.write(b"\x1f\x8b\x08" + bytes(5) + b"\0\xff")
    check, size, before = 0, 0, b""
    waiting: deque[Future[bytes]] = deque()
    with ThreadPoolExecutor(jobs) as pool:
        for piece in pieces:
            check, size = zlib.crc32(piece, check), size + len(piece)
            waiting.append(pool.submit(_deflated, piece, before))
            before = piece[-_WINDOW:]
            advance(len(piece))
            while len(waiting) > 2 * jobs:
                target.write(waiting.popleft().result())
        for done in waiting:
            target.write(done.result())
    # An empty last block, as none before was told that it is the last.
    target.write(b"\x03\0" + check.to_bytes(4, "little") + (size & 0xFFFFFFFF).to_bytes(4, "little"))


def _deflated(piece: bytes, before: bytes) -> bytes:
    deflating = zlib.compressobj(_LEVEL, wbits=-zlib.MAX_WBITS, zdict=before)
    return deflating.compress(piece) + deflating.flush(zlib.Z_SYNC_FLUSH)
