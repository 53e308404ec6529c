"""Sparse files: they claim to be larger than what was ever written to them, and need no disk for it."""

from __future__ import annotations

import errno
import os

_LARGEST = 1 << 26
"""bytes: a hole that a crash may have left of one line, and much more"""


class Hollow(OSError):
    """A file has a hole that no file of a store has: reading it would fill memory with zeros."""


def refuse_holes(descriptor: int, path: str, found: os.stat_result | None = None) -> None:
    """Raise Hollow for an open file with such a hole.  Its position is at the beginning afterwards.

    ``found``: what fstat says of it.
    """
    found = found or os.fstat(descriptor)
    if found.st_size < _LARGEST or found.st_blocks * 512 >= found.st_size:
        return
    at = 0
    try:
        while at < found.st_size:
            hole = os.lseek(descriptor, at, os.SEEK_HOLE)
            at = _end_of_hole(descriptor, hole, found.st_size)
            if at - hole >= _LARGEST:
                raise Hollow(
                    errno.EFBIG, f"has a hole of {at - hole:,} bytes: it was never written whole", path
                )
    finally:
        os.lseek(descriptor, 0, os.SEEK_SET)


def _end_of_hole(descriptor: int, hole: int, size: int) -> int:
    try:
        return os.lseek(descriptor, hole, os.SEEK_DATA)
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        # Nothing follows it.
        return size
