"""File names from record ids: any id gives a name that is safe, unique and readable on every file system.

The bytes of the id's UTF-8 form other than ``a-z 0-9 - _`` are percent-encoded, capitals too, since some
file systems do not tell ``A`` from ``a`` (nor composed letters from decomposed ones).  What comes out
empty, longer than :data:`LONGEST` bytes, or as a name that is in use becomes ``~`` and the SHA-256 of the
id in hexadecimal.
"""

from __future__ import annotations

from collections.abc import Sequence

from octavo.text import pattern

LONGEST = 200
"""bytes in a name, without its ending"""

DEVICES = frozenset(["con", "prn", "aux", "nul"] + [f"{p}{n}" for p in ("com", "lpt") for n in range(1, 10)])
"""names that are no files on Windows, whatever follows their first dot"""

TAKEN = DEVICES | {"index"}
"""names that stand for something else: our own index files too"""

_OTHER = pattern(rb"[^a-z0-9_-]")


def file_stem(key: Sequence[str]) -> str:
    """The file name, without its ending, for a record whose key has these parts.

    The parts of a compound key are joined by ``.``, which no encoded part can hold.
    """
    encoded = ".".join(_encode(part) for part in key)
    if not encoded or len(encoded) > LONGEST or encoded in TAKEN or encoded.partition(".")[0] in DEVICES:
        plain = "\0".join(key) if len(key) > 1 else key[0]
        import hashlib

        return "~" + hashlib.sha256(plain.encode()).hexdigest()
    return encoded


def stem_pattern(parts: int) -> str:
    """A regular expression for the names that :func:`file_stem` gives to keys of so many parts.

    An ending may follow it.
    """
    part = "(?:[a-z0-9_-]|%[0-9A-F]{2})"
    plain = f"{part}+" if parts == 1 else r"\.".join([f"{part}*"] * parts)
    taken = "|".join(sorted(TAKEN if parts == 1 else DEVICES))
    return rf"(?:(?!(?:{taken})(?:\.|\Z)){plain}|~[0-9a-f]{{64}})"


def _encode(text: str) -> str:
    return _OTHER.sub(lambda match: b"%%%02X" % match[0][0], text.encode()).decode("ascii")
