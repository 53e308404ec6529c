"""Small PNG pictures, made of nothing but numbers."""

from __future__ import annotations

import random
import struct
import zlib


def png(rng: random.Random, width: int, height: int) -> bytes:
    """A valid truecolour PNG: a tilted gradient of two colours with a little noise.

    The format is that of the PNG specification (third edition): the signature, then IHDR, IDAT and IEND, each
    with its length and CRC-32; every row starts with filter type 0.
    """
    start, end = rng.randbytes(3), rng.randbytes(3)
    reach = width + height
    ramp = b"".join(
        bytes((a * (reach - step) + b * step) // reach for a, b in zip(start, end, strict=True))
        for step in range(reach)
    )
    rows = bytearray()
    for y in range(height):
        row = bytearray(ramp[y * 3 : (y + width) * 3])
        for at in range(rng.randrange(7), len(row), 7):
            row[at] ^= rng.getrandbits(4)
        rows += b"\0" + row
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        _chunk(kind, body)
        for kind, body in ((b"IHDR", header), (b"IDAT", zlib.compress(rows, 6)), (b"IEND", b""))
    )


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
