"""The files of a store that has no records yet."""

from __future__ import annotations

from octavo.layout.layout import VERSION, FileFamily, Kind


def empty_file(family: FileFamily) -> bytes | None:
    """What a fixed file holds when it holds no records; None where there is one file per record."""
    if family.varies:
        return None
    if family.kind is Kind.LOG:
        return b""
    arrays = "".join(f',\n  "{place.array}": []' for place in family.places)
    return f'{{\n  "_version": {VERSION}{arrays}\n}}\n'.encode()
