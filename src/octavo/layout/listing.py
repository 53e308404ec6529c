"""The files of a data folder: those of the layout, those that are missing, and strays; and the payloads."""

from __future__ import annotations

import os
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, compress
from typing import TYPE_CHECKING, TypeAlias, overload

import msgspec

from octavo.layout.layout import RESERVED_FOLDERS, VERSION, FileFamily, Kind, Layout, Place
from octavo.text import pattern

if TYPE_CHECKING:
    from pathlib import Path

_PAYLOAD = pattern(r"([0-9a-f]{2})/\1[0-9a-f]{62}")


class File(msgspec.Struct, frozen=True):
    """A file of the store: its path relative to the data folder, what it holds, its size in bytes."""

    path: str
    family: FileFamily
    size: int


_Named: TypeAlias = tuple[FileFamily, list[str], "array[int]"]
"""a family, with the names of its files in its folder and their sizes"""


_NONE: tuple[None, int, list[str]] = (None, 0, [])


class Files(Sequence[File]):
    """The files of a store, family by family, in the order of their paths.

    A family may have a hundred thousand: only their names and sizes are held, and a :class:`File` is made
    when it is asked for.
    """

    def __init__(self, families: Iterable[_Named] = ()) -> None:
        self._families = [found for found in families if found[1]]
        self._ends = list(accumulate(len(names) for _, names, _ in self._families))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    @overload
    def __getitem__(self, at: int) -> File: ...
    @overload
    def __getitem__(self, at: slice) -> list[File]: ...
    def __getitem__(self, at: int | slice) -> File | list[File]:
        if isinstance(at, slice):
            return [self[n] for n in range(len(self))[at]]
        n = range(len(self))[at]
        one = bisect_right(self._ends, n)
        family, names, sizes = self._families[one]
        n -= self._ends[one - 1] if one else 0
        return File(_below(family.folder, names[n]), family, sizes[n])

    def __iter__(self) -> Iterator[File]:
        for family, names, sizes in self._families:
            folder = family.folder
            for name, size in zip(names, sizes, strict=True):
                yield File(_below(folder, name), family, size)

    @property
    def size(self) -> int:
        """The bytes of all of them."""
        return sum(sum(sizes) for _, _, sizes in self._families)

    def of(self, *paths: str) -> Files:
        """Those of the families with these paths."""
        return Files(found for found in self._families if found[0].path in paths)

    def chosen(self, numbers: Iterable[int]) -> Files:
        """Those with these numbers."""
        chosen = [False] * len(self)
        for number in numbers:
            chosen[number] = True
        starts = [0, *self._ends]
        return Files(
            (family, [*compress(names, which)], array("q", compress(sizes, which)))
            for (family, names, sizes), start in zip(self._families, starts, strict=False)
            if any(which := chosen[start : start + len(names)])
        )

    def portions(self, size: int) -> Iterator[Files]:
        """All of them in portions of about so many bytes, the largest files first."""
        sizes = array("q")
        for _, _, own in self._families:
            sizes += own
        portion: list[int] = []
        left = size
        for number in sorted(range(len(sizes)), key=lambda n: -sizes[n]):
            portion.append(number)
            left -= sizes[number]
            if left <= 0:
                yield self.chosen(portion)
                portion, left = [], size
        if portion:
            yield self.chosen(portion)

    def number(self, path: str) -> int | None:
        """Which one of these has this path; None: none has."""
        folder, _, name = path.rpartition("/")
        start = 0
        for (family, names, _), end in zip(self._families, self._ends, strict=True):
            if family.folder == folder:
                at = bisect_left(names, name)
                if at < len(names) and names[at] == name:
                    return start + at
            start = end
        return None

    def paired(self, other: Files) -> Iterator[tuple[str, int | None, int | None]]:
        """The path of each file that is among these or the others, with its number in both."""
        ours, theirs = self._numbered(), other._numbered()
        for path in dict.fromkeys((*ours, *theirs)):
            family, start, names = ours.get(path, _NONE)
            family, first, others = theirs.get(path, (family, *_NONE[1:]))
            folder = "" if family is None else family.folder
            a = b = 0
            while a < len(names) or b < len(others):
                if b == len(others) or (a < len(names) and names[a] < others[b]):
                    yield _below(folder, names[a]), start + a, None
                    a += 1
                elif a == len(names) or others[b] < names[a]:
                    yield _below(folder, others[b]), None, first + b
                    b += 1
                else:
                    yield _below(folder, names[a]), start + a, first + b
                    a, b = a + 1, b + 1

    def _numbered(self) -> dict[str, tuple[FileFamily | None, int, list[str]]]:
        """By family: itself, the number of its first file, their names."""
        starts = [0, *self._ends]
        return {
            family.path: (family, start, names)
            for (family, names, _), start in zip(self._families, starts, strict=False)
        }


def _below(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def _in_order(found: _Named) -> _Named:
    family, names, sizes = found
    order = sorted(range(len(names)), key=names.__getitem__)
    return family, [names[n] for n in order], array("q", [sizes[n] for n in order])


class Contents(msgspec.Struct, frozen=True):
    """What lies in a data folder: the layout's files, the fixed ones that are missing, and strays.

    A stray stands where a record is kept, and is none that can be read.  What else is in the folder is the
    user's.
    """

    files: Files
    missing: tuple[str, ...]
    strays: tuple[str, ...]

    def of(self, place: Place) -> Files:
        """The files that hold a place's records."""
        return self.files.of(place.path)


def contents(layout: Layout, root: Path) -> Contents:
    """List a data folder.  Raises OSError if it, or a folder of the layout in it, cannot be listed.

    Only folders of the layout are looked into: not the payloads, nor what is Octavo's own (``cache``,
    ``journal``) or the user's.
    """
    found: dict[str, _Named] = {f.path: (f, [], array("q")) for f in layout.families}
    strays: list[str] = []
    pending = [""]
    while pending:
        folder = pending.pop()
        with os.scandir(root / folder) as entries:
            for entry in entries:
                path = _below(folder, entry.name)
                family = layout.family(path)
                if entry.is_dir(follow_symlinks=False):
                    if family is not None:
                        strays.append(path)
                    elif path in layout.folders and path not in RESERVED_FOLDERS:
                        pending.append(path)
                elif family is None:
                    if layout.misnames(path) or _is_shelf(layout, path):
                        strays.append(path)
                elif not entry.is_file(follow_symlinks=False):
                    strays.append(path)
                else:
                    _, names, sizes = found[family.path]
                    names.append(entry.name)
                    sizes.append(entry.stat(follow_symlinks=False).st_size)
    missing = tuple(path for path, (family, names, _) in found.items() if not (family.varies or names))
    return Contents(Files(map(_in_order, found.values())), missing, tuple(sorted(strays)))


def payload_files(layout: Layout, root: Path) -> Iterator[tuple[str, str]]:
    """Each payload below the data folder: its digest, as its name says, and its path relative to the root.

    A file among them that is none is given with an empty digest.
    """
    if not layout.payload_folder:
        return
    base = root / layout.payload_folder
    if not base.is_dir():
        return
    for shelf in sorted(os.listdir(base)):
        if not _is_shelf(layout, f"{layout.payload_folder}/{shelf}") or _is_no_folder(base / shelf):
            continue
        for name in sorted(os.listdir(base / shelf)):
            digest = name if _PAYLOAD.fullmatch(f"{shelf}/{name}") else ""
            yield digest, f"{layout.payload_folder}/{shelf}/{name}"


def payload_path(layout: Layout, digest: str) -> str:
    """Where the payload with this SHA-256 lies, relative to the data folder."""
    return f"{layout.payload_folder}/{digest[:2]}/{digest}"


def _is_shelf(layout: Layout, path: str) -> bool:
    return path not in layout.folders and layout.is_own_folder(path)


def _is_no_folder(path: Path) -> bool:
    return path.is_symlink() or not path.is_dir()


def empty_file(family: FileFamily) -> bytes | None:
    """What a fixed file holds when it holds no records; None where there is one file per record."""
    if family.varies:
        return None
    if family.kind is Kind.LOG:
        return b""
    arrays = "".join(f',\n  "{place.array}": []' for place in family.places)
    return f'{{\n  "_version": {VERSION}{arrays}\n}}\n'.encode()
