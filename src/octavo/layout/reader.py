"""Reads the files of a data folder: what each contains, and the records of it that count."""

from __future__ import annotations

import os
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from hashlib import sha256
from io import FileIO
from itertools import islice
from typing import TYPE_CHECKING, BinaryIO, TypeAlias, TypeVar

from octavo.errors import DamagedError
from octavo.layout.codec import Codecs
from octavo.layout.found import Entry, Found, Many, UnknownKey
from octavo.layout.holes import refuse_holes
from octavo.layout.keys import Key
from octavo.layout.layout import FileFamily, Layout
from octavo.layout.listing import File
from octavo.layout.scan import Scanner

if TYPE_CHECKING:
    from pathlib import Path

T = TypeVar("T")
Sign: TypeAlias = Callable[[str, bytes], object]
"""Takes the path of a log and the SHA-256 of what was read of it, once for each time that it is read."""

_AT_ONCE = 1 << 22
"""bytes; a larger log is read twice rather than held in memory"""
_TOGETHER = 1 << 16
"""bytes of small logs that are decoded in one go"""


class _Listed(FileIO):
    """A log as far as it went when it was listed, whatever has been appended to it since."""

    def __init__(self, path: str, size: int, *, signed: bool) -> None:
        super().__init__(path)
        self._left = size
        self.digest = sha256() if signed else None
        """of what was read"""

    def read(self, size: int | None = -1, /) -> bytes:
        wanted = self._left if size is None or size < 0 else min(size, self._left)
        found = super().read(wanted) or b""
        self._left -= len(found)
        if self.digest is not None:
            self.digest.update(found)
        return found


class Reader:
    """Reads the files of a data folder, and logs as far as they went when they were listed.

    ``sign`` hears of each log what was read of it, but for those that are read together.
    """

    def __init__(self, layout: Layout, root: Path, sign: Sign | None = None) -> None:
        self.layout, self.root, self.sign = layout, root, sign
        self._folder = os.path.join(root, "")
        self._codecs = Codecs.of(layout)
        self._scanners: dict[str, Scanner] = {}

    def read(self, file: File) -> Iterator[Found]:
        """What stands in a file."""
        return _one_by_one(self.read_many(file))

    def read_many(self, file: File) -> Iterator[Found | Many]:
        """The same; where it can be, many records at once."""
        try:
            with self._open(file) as content:
                yield from self._scanner(file.family).scan(file.path, content)
        except OSError as error:
            yield DamagedError(f"cannot be read: {error.strerror}", file=file.path)

    def together(self, files: Sequence[File]) -> Many | None:
        """All records of several logs of a family, if all lines of each are records that count and as Octavo
        writes them."""
        texts = []
        for file in files:
            with suppress(OSError):
                texts.append((file.path, self._text(file)))
        # One that cannot be read, or was cut since it was listed, is read by itself.
        if any(len(text) != file.size for file, (_, text) in zip(files, texts, strict=False)):
            return None
        return self._scanner(files[0].family).together(texts) if len(texts) == len(files) else None

    def together_of(self, family: FileFamily, logs: Sequence[tuple[str, bytes]]) -> Many | None:
        """The same of logs of a family, by path and text, that were read already."""
        return self._scanner(family).together(logs)

    def _text(self, file: File) -> bytes:
        descriptor = os.open(self._folder + file.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.read(descriptor, file.size)
        finally:
            os.close(descriptor)

    def hashes(self, file: File) -> array[int]:
        """Of each line of a log that can be read, the hash of its record's model and key."""
        with suppress(OSError), self._open(file) as content:
            return self._scanner(file.family).hashes(file.path, content)
        return array("q")

    @contextmanager
    def _open(self, file: File) -> Iterator[BinaryIO]:
        # Large pieces are read: a buffer would be filled in vain.
        path = self._folder + file.path
        if not file.family.kind.is_log:
            with FileIO(path) as content:
                refuse_holes(content.fileno(), file.path)
                yield content
            return
        with _Listed(path, file.size, signed=self.sign is not None) as log:
            refuse_holes(log.fileno(), file.path)
            yield log
        if self.sign is not None and log.digest is not None:
            self.sign(file.path, log.digest.digest())

    def _scanner(self, family: FileFamily) -> Scanner:
        found = self._scanners.get(family.path)
        if found is None:
            found = self._scanners[family.path] = Scanner(family, self._codecs)
        return found


_Damage: TypeAlias = "Callable[[DamagedError], None] | None"


def _ignored(key: UnknownKey) -> None:
    """Hear nothing of it."""


def live_records(
    reader: Reader, file: File, damage: _Damage = None, unknown: Callable[[UnknownKey], None] = _ignored
) -> Iterator[Entry]:
    """The records of a file that count, in the order of the file: of a log, the last line of each key, unless
    it is a tombstone.

    What cannot be read goes to ``damage``; without it, it is raised.  ``unknown`` hears of a document's keys
    that the schema does not know.
    """
    return _one_by_one(live_many(reader, file, damage, unknown))


def live_many(
    reader: Reader, file: File, damage: _Damage = None, unknown: Callable[[UnknownKey], None] = _ignored
) -> Iterator[Entry | Many]:
    """The same; where it can be, many records at once."""

    def hear(item: Found) -> None:
        if type(item) is UnknownKey:
            unknown(item)
        elif isinstance(item, DamagedError):
            if damage is None:
                raise item
            damage(item)

    if not file.family.kind.is_log:
        return _records(reader.read_many(file), hear)
    if file.size < _AT_ONCE:
        found = list(reader.read_many(file))
        return _records(found, hear) if _is_clean(found) else _last(_one_by_one(found), hear)
    # Of a long log only the hashes of the keys are held: a clean one then needs no memory at all.
    hashes = reader.hashes(file)
    if not _repeats(hashes):
        return _records(reader.read_many(file), hear)
    repeated = {h for h, n in Counter(hashes).items() if n > 1}
    return _long(reader, file, repeated, hear)


def live_together(
    reader: Reader,
    files: Iterable[File],
    damage: _Damage = None,
    unknown: Callable[[UnknownKey], None] = _ignored,
) -> Iterator[tuple[list[File], Iterable[Entry | Many]]]:
    """The same of the files of a family; small logs are read many at once."""
    for group in _groups(files):
        many = reader.together(group) if len(group) > 1 else None
        if many is not None:
            yield group, (many,)
            continue
        for file in group:
            yield [file], live_many(reader, file, damage, unknown)


def _groups(files: Iterable[File]) -> Iterator[list[File]]:
    """Files one after the other, small logs together."""
    group: list[File] = []
    size = 0
    for file in files:
        if group and (size + file.size > _TOGETHER or not file.family.kind.is_log):
            yield group
            group, size = [], 0
        group.append(file)
        size += file.size
    if group:
        yield group


def _one_by_one(found: Iterable[T | Many]) -> Iterator[T | Entry]:
    for item in found:
        if isinstance(item, Many):
            yield from item.each()
        else:
            yield item


def _is_clean(found: Sequence[Found | Many]) -> bool:
    """Whether each line of a log is a record, and its key that of no other."""
    keys: list[Key] = []
    for item in found:
        if not isinstance(item, Many):
            return False
        keys += item.keys
    return len(set(keys)) == len(keys)


def _records(items: Iterable[Found | Many], hear: Callable[[Found], None]) -> Iterator[Entry | Many]:
    for item in items:
        if not isinstance(item, Entry | Many):
            hear(item)
        elif isinstance(item, Many) or not item.deleted:
            yield item


def _repeats(hashes: array[int]) -> bool:
    ordered = sorted(hashes)
    return any(a == b for a, b in zip(ordered, islice(ordered, 1, None), strict=False))


def _last(items: Iterable[Found], hear: Callable[[Found], None]) -> Iterator[Entry]:
    found: dict[tuple[str, Key], Entry] = {}
    for item in items:
        if type(item) is not Entry:
            hear(item)
            continue
        identity = item.identity
        # The place of the last line counts.
        found.pop(identity, None)
        found[identity] = item
    return iter([entry for entry in found.values() if entry.found is not None])


def _long(reader: Reader, file: File, repeated: set[int], hear: Callable[[Found], None]) -> Iterator[Entry]:
    """Records whose key stands once as they come; of the others the last line."""
    last: dict[tuple[str, Key], int] = {}
    for item in reader.read(file):
        if type(item) is Entry and hash(identity := item.identity) in repeated:
            last[identity] = item.line
    for item in reader.read(file):
        if type(item) is not Entry:
            hear(item)
        elif not item.deleted and last.get(item.identity, item.line) == item.line:
            yield item
