"""Reads the files of a data folder as records, one file at a time, in the order that they stand there.

What cannot be read is handed over as a DamagedError that names file and line, and the reading goes on behind
it: it is for the caller to decide whether that ends the matter.  A log is given line by line as it stands,
superseded lines and tombstones included.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import msgspec

from octavo.errors import DamagedError
from octavo.layout.holes import refuse_holes
from octavo.layout.layout import RESERVED_FOLDERS, FileFamily, Kind, Layout, Place
from octavo.layout.stored import encode, version
from octavo.layout.unfold import Unfolded, Unfolder
from octavo.values.tokens import Members, NotJson, before_damage, elements, line_of, why_no_json

Found: TypeAlias = "Unfolded | DamagedError | UnknownKey"

_PAYLOAD = re.compile(r"([0-9a-f]{2})/\1[0-9a-f]{62}")


@dataclass(frozen=True, slots=True)
class UnknownKey:
    """A key of a document that the schema does not know: kept, reported, no damage."""

    file: str
    key: str


@dataclass(frozen=True, slots=True)
class File:
    """A file of the store: its path relative to the data folder, what it holds, its size in bytes."""

    path: str
    family: FileFamily
    size: int


@dataclass(frozen=True)
class Contents:
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


class Reader:
    """Reads the files of one layout below ``root``."""

    def __init__(self, layout: Layout, root: Path) -> None:
        self.layout, self.root = layout, root
        self._unfolders: dict[str, Unfolder] = {}
        self._dispatch: dict[str, tuple[Any, dict[type, Unfolder]]] = {}

    def unfolder(self, place: Place) -> Unfolder:
        """The decoder of this place's records."""
        name = place.model.name
        if name not in self._unfolders:
            self._unfolders[name] = Unfolder(self.layout, place)
        return self._unfolders[name]

    def read(self, file: File) -> Iterator[Found]:
        """The records of a file in the order they stand there, and between them what is no record."""
        try:
            if file.family.kind in (Kind.LOG, Kind.LOG_PER_PARENT):
                yield from self._log(file)
            elif file.family.kind is Kind.FILE:
                yield from self._record_file(file)
            else:
                yield from self._document(file)
        except OSError as error:
            yield DamagedError(f"cannot be read: {error.strerror}", file=file.path)

    def _log(self, file: File) -> Iterator[Found]:
        decode, unfolders = self._log_decoder(file.family)
        place = file.family.places[0]
        belongs = self._belongs(file, place)
        seen: list[bytes | None] | None = None
        with open(self.root / file.path, "rb", buffering=1 << 18) as lines:
            refuse_holes(lines.fileno(), file.path)
            for number, line in enumerate(lines, 1):
                try:
                    decoded = decode(line)
                    # A line as long as the one that Octavo writes has no key twice (see unfold).
                    if len(encode(decoded)) + 1 != len(line):
                        raise ValueError("is not as written")
                    record = unfolders[type(decoded)].of_decoded(decoded)
                except (msgspec.MsgspecError, ValueError, RecursionError):
                    if not line.strip():
                        continue
                    try:
                        record = self._careful_line(file.family, line)
                    except DamagedError as error:
                        yield _placed(error, file.path, number)
                        continue
                record.line = number
                if belongs and not record.deleted:
                    named = [record.values[i] for i in belongs]
                    if named != seen:
                        if file.path != place.file_for(_texts(named)):
                            yield _misplaced(record, file.path)
                            continue
                        seen = named
                yield record

    def _log_decoder(self, family: FileFamily) -> tuple[Any, dict[type, Unfolder]]:
        if family.path not in self._dispatch:
            unfolders = {u.type: u for u in map(self.unfolder, family.places) if not u.always_carefully}
            union: Any = None
            for kind in unfolders:
                union = kind if union is None else union | kind
            decode = msgspec.json.Decoder(union).decode if unfolders else _refuse
            self._dispatch[family.path] = decode, unfolders
        return self._dispatch[family.path]

    def _careful_line(self, family: FileFamily, line: bytes) -> Unfolded:
        text = line.rstrip(b"\r\n")
        try:
            found = Members(text)
            name = msgspec.json.decode(found.get("_model") or b'""', type=str)
        except (NotJson, msgspec.MsgspecError, UnicodeError) as error:
            raise self._torn(family, text, why_no_json(text, error)) from error
        place = next((p for p in family.places if p.model.name == name), None)
        if place is None:
            raise DamagedError(f"_model is {name!r}, which does not live here" if name else "has no _model")
        return self.unfolder(place).of_members(found)

    def _torn(self, family: FileFamily, text: bytes, reason: str) -> DamagedError:
        """The error for a line that is no JSON, with the model and key that stand in front of the damage."""
        found = before_damage(text)
        name = found.get("_model", b'""')[1:-1].decode("utf-8", "replace")
        place = next((p for p in family.places if p.model.name == name), None)
        if place is None:
            return DamagedError(reason)
        error = DamagedError(reason, model=name)
        error.key_values = self.unfolder(place).key_in(found)
        error.host = None if error.key_values is None else (name, error.key_values)
        return error

    def _record_file(self, file: File) -> Iterator[Found]:
        place = file.family.places[0]
        text = self._whole(file)
        try:
            record = self.unfolder(place).unfold(text)
        except DamagedError as error:
            yield _placed(error, file.path, 1, text)
            return
        belongs = self._belongs(file, place)
        if file.path != place.file_for(_texts([record.values[i] for i in belongs])):
            yield _misplaced(record, file.path)
        else:
            yield record

    def _document(self, file: File) -> Iterator[Found]:
        text = self._whole(file)
        arrays = {place.array: place for place in file.family.places}
        try:
            found = Members(text)
        except NotJson as error:
            yield DamagedError(why_no_json(text, error), file=file.path, line=line_of(text, error.position))
            return
        try:
            version(found.get("_version"))
        except ValueError as error:
            yield DamagedError(str(error), file=file.path, line=1, field="_version")
            return
        found.take_span("_version")
        for name, place in arrays.items():
            span = found.take_span(name)
            if span is None:
                yield DamagedError("is missing", file=file.path, model=place.model.name, field=name)
            else:
                yield from self._array(file, text, span, place)
        for key in found.left():
            yield UnknownKey(file.path, key)

    def _whole(self, file: File) -> bytes:
        with open(self.root / file.path, "rb") as content:
            refuse_holes(content.fileno(), file.path)
            return content.read()

    def _array(self, file: File, text: bytes, span: tuple[int, int], place: Place) -> Iterator[Found]:
        unfolder = self.unfolder(place)
        line, counted = 1, 0
        try:
            for start, end in elements(text, *span):
                line, counted = line + text.count(b"\n", counted, start), start
                try:
                    record = unfolder.unfold(text[start:end])
                except DamagedError as error:
                    yield _placed(error, file.path, line)
                    continue
                record.line = line
                yield record
        except NotJson as error:
            line = line_of(text, error.position)
            yield DamagedError(
                error.reason, file=file.path, line=line, model=place.model.name, field=place.array
            )

    def _belongs(self, file: File, place: Place) -> list[int]:
        """Where in a row the values stand that name its file."""
        names = [f.name for f in place.model.scalars]
        return [names.index(n) for n in place.name_fields]


def _refuse(line: bytes) -> Any:
    raise ValueError("every line goes the careful way")


def _texts(values: list[bytes | None]) -> list[str]:
    return [(v or b"").decode() for v in values]


def _placed(error: DamagedError, path: str, line: int, text: bytes | None = None) -> DamagedError:
    """The error with its place: ``line`` is where the text begins that its own line counts in.

    A reason that is about the whole text gets the likeliest cause.
    """
    reason = why_no_json(text, error) if text is not None and not error.field else error.reason
    return error.at(path, line + max(error.line, 1) - 1, reason)


def _misplaced(record: Unfolded, path: str) -> DamagedError:
    error = DamagedError(
        "a record that belongs in another file", file=path, line=record.line, model=record.place.model.name
    )
    error.key_values = tuple(v for v in record.key if v is not None)
    error.host = record.place.model.name, error.key_values
    return error
