"""The parts of a file that cannot be read, cut out of the rest, which stays as it is."""

from __future__ import annotations

from io import BytesIO
from typing import NamedTuple

from octavo.errors import DamagedError
from octavo.layout.codec import Codecs
from octavo.layout.layout import Kind, Layout
from octavo.layout.scan import Scanner
from octavo.values.tokens import Members, elements


class Piece(NamedTuple):
    """Bytes that stood in a file of the store."""

    file: str
    at: int
    """the byte at which they stood"""
    data: bytes
    reason: str


def damaged_pieces(layout: Layout, file: str, data: bytes) -> tuple[list[Piece], bytes | None]:
    """What cannot be read of a file, and the rest of it; None: nothing is left.

    Of a log these are lines, of a document elements of its arrays.  ``data`` is what the file holds.
    """
    family = layout.family(file)
    if family is None:
        raise AssertionError(file)
    damage: dict[tuple[int, int], str] = {}
    for item in Scanner(family, Codecs(layout)).scan(file, BytesIO(data)):
        if isinstance(item, DamagedError) and item.span is not None:
            damage[item.span] = item.reason
    pieces = [Piece(file, start, data[start:end], reason) for (start, end), reason in damage.items()]
    pieces.sort(key=lambda piece: piece.at)
    if family.kind is Kind.FILE:
        return pieces, None if pieces else data
    spans = sorted(damage) if family.kind.is_log else []
    replaced = [(span, b"") for span in spans] or _arrays(data, [p.array for p in family.places], damage)
    parts, at = [], 0
    for (start, end), instead in replaced:
        parts += [data[at:start], instead]
        at = end
    return pieces, b"".join([*parts, data[at:]])


def _arrays(
    data: bytes, names: list[str], damage: dict[tuple[int, int], str]
) -> list[tuple[tuple[int, int], bytes]]:
    """The arrays of a document that hold damaged elements, and what they are without these."""
    if not damage:
        return []
    members = Members(data)
    found = []
    for array in filter(None, map(members.take_span, names)):
        spans = list(elements(data, *array))
        sound = [data[slice(*span)] for span in spans if span not in damage]
        if len(sound) < len(spans):
            inner = b"[\n    " + b",\n    ".join(sound) + b"\n  ]" if sound else b"[]"
            found.append((array, inner))
    return sorted(found)
