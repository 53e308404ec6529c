"""The files of a data folder: those of the layout, those that are missing, and strays; and the payloads."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

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


class Contents(msgspec.Struct, frozen=True):
    """What lies in a data folder: the layout's files, the fixed ones that are missing, and strays.

    A stray stands where a record is kept, and is none that can be read.  What else is in the folder is the
    user's.
    """

    files: tuple[File, ...]
    missing: tuple[str, ...]
    strays: tuple[str, ...]

    def of(self, place: Place) -> list[File]:
        """The files that hold a place's records."""
        return [f for f in self.files if f.family.path == place.path]


def contents(layout: Layout, root: Path) -> Contents:
    """List a data folder.  Raises OSError if it, or a folder of the layout in it, cannot be listed.

    Only folders of the layout are looked into: not the payloads, nor what is Octavo's own (``cache``,
    ``journal``) or the user's.
    """
    found: list[File] = []
    strays: list[str] = []
    pending = [""]
    while pending:
        folder = pending.pop()
        with os.scandir(root / folder) as entries:
            for entry in sorted(entries, key=lambda e: e.name):
                path = f"{folder}/{entry.name}" if folder else entry.name
                if entry.is_dir(follow_symlinks=False):
                    if layout.family(path) is not None:
                        strays.append(path)
                    elif path in layout.folders and path not in RESERVED_FOLDERS:
                        pending.append(path)
                    continue
                family = layout.family(path)
                if family is None:
                    if layout.misnames(path) or _is_shelf(layout, path):
                        strays.append(path)
                elif not entry.is_file(follow_symlinks=False):
                    strays.append(path)
                else:
                    found.append(File(path, family, entry.stat(follow_symlinks=False).st_size))
    there = {f.path for f in found}
    missing = tuple(f.path for f in layout.families if not f.varies and f.path not in there)
    order = {f.path: n for n, f in enumerate(layout.families)}
    found.sort(key=lambda f: (order[f.family.path], f.path))
    return Contents(tuple(found), missing, tuple(sorted(strays)))


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
