"""Schema 0.7, shipped inside the package and frozen: a changed byte is another version.

Its Datamodel lies beside it ready-made, since every process begins with it and parsing takes a hundred times
as long.  After a change to what a Datamodel holds, ``make frozen`` makes that file anew and prints its
fingerprint.
"""

from __future__ import annotations

import os
from functools import cache

import msgspec

from octavo.schema.datamodel import Datamodel

FOLDER = os.path.dirname(__file__)
VERSION = "0.7.0"
FILE = f"octavo-{VERSION}.prisma"
FINGERPRINT = "sha256:f4d6a6f90da429773710820d16f23aee409a99fdffb9c44f69f5b4a2ebb576b3"

READY_FILE = f"octavo-{VERSION}.json"
READY_FINGERPRINT = "sha256:f83fb2330fdd8a779124aa9b2d7b2cf64abf50174ceb149003b3ffc501be58cd"


def fingerprint(text: str) -> str:
    """The SHA-256 of a schema's UTF-8 bytes, as ``sha256:<hex>``."""
    import hashlib

    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


@cache
def frozen_text() -> str:
    """The text of the frozen schema."""
    return _read(FILE).decode()


@cache
def frozen_schema() -> Datamodel:
    """The frozen schema's Datamodel."""
    return msgspec.json.decode(_read(READY_FILE), type=Datamodel)


def changed_files() -> list[str]:
    """The names of the shipped files that are not as they were frozen."""
    shipped = (
        (FILE, FINGERPRINT, frozen_text()),
        (READY_FILE, READY_FINGERPRINT, _read(READY_FILE).decode()),
    )
    return [file for file, expected, text in shipped if fingerprint(text) != expected]


def made_ready(datamodel: Datamodel) -> bytes:
    """A Datamodel as JSON, a line for each of its parts."""
    return msgspec.json.format(msgspec.json.encode(datamodel), indent=1) + b"\n"


def _read(file: str) -> bytes:
    with open(os.path.join(FOLDER, file), "rb") as opened:
        return opened.read()


if __name__ == "__main__":
    from pathlib import Path

    from octavo.schema.parser import parse_schema

    made = made_ready(parse_schema(frozen_text(), FILE))
    Path(FOLDER, READY_FILE).write_bytes(made)
    print(f"READY_FINGERPRINT = {fingerprint(made.decode())}")
