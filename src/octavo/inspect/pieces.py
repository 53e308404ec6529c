"""The parts of a file that cannot be read, cut out of the rest, which stays as it is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from octavo.errors import DamagedError
from octavo.layout.layout import Kind, Layout, Place
from octavo.layout.reader import File, Reader
from octavo.layout.unfold import Unfolder
from octavo.values.tokens import Members, elements


class Piece(NamedTuple):
    """Bytes that stood in a file of the store."""

    file: str
    at: int
    """the byte at which they stood"""
    data: bytes
    reason: str


def damaged_pieces(layout: Layout, root: Path, file: str, data: bytes) -> tuple[list[Piece], bytes | None]:
    """What cannot be read of a file, and the rest of it; None: nothing is left.

    Of a log these are lines, of a document elements of its arrays.  ``data`` is what the file holds.
    Raises NotJson for a document that is none.
    """
    family = layout.family(file)
    if family is None:
        raise AssertionError(file)
    reader = Reader(layout, root)
    if family.kind is Kind.DOCUMENT:
        return _elements(layout, family.places, file, data)
    found = File(file, family, len(data))
    errors = [error for error in reader.read(found) if isinstance(error, DamagedError)]
    if family.kind is Kind.FILE:
        return [Piece(file, 0, data, error.reason) for error in errors[:1]], None if errors else data
    reasons = {error.line: error.reason for error in errors}
    pieces, kept, at = [], [], 0
    for number, line in enumerate(_lines(data), 1):
        if number in reasons:
            pieces.append(Piece(file, at, line, reasons[number]))
        else:
            kept.append(line)
        at += len(line)
    return pieces, b"".join(kept)


def _lines(data: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(data):
        end = data.find(b"\n", at) + 1 or len(data)
        yield data[at:end]
        at = end


def _elements(layout: Layout, places: tuple[Place, ...], file: str, data: bytes) -> tuple[list[Piece], bytes]:
    spans = []
    members = Members(data)
    for place in places:
        if (span := members.take_span(place.array)) is not None:
            spans.append((span, place))
    pieces: list[Piece] = []
    parts, at = [], 0
    for (start, end), place in sorted(spans, key=lambda item: item[0]):
        unfolder, sound = Unfolder(layout, place), []
        before = len(pieces)
        for first, last in elements(data, start, end):
            text = data[first:last]
            try:
                unfolder.unfold(text)
                sound.append(text)
            except DamagedError as error:
                pieces.append(Piece(file, first, text, error.reason))
        if len(pieces) > before:
            inner = b"[\n    " + b",\n    ".join(sound) + b"\n  ]" if sound else b"[]"
            parts += [data[at:start], inner]
            at = end
    return sorted(pieces, key=lambda piece: piece.at), b"".join([*parts, data[at:]])
