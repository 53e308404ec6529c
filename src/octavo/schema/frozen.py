"""Schema 0.7, shipped inside the package and frozen: a changed byte is another version."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files

from octavo.schema.datamodel import Datamodel
from octavo.schema.parser import parse_schema

VERSION = "0.7.0"
FILE = f"octavo-{VERSION}.prisma"
FINGERPRINT = "sha256:f4d6a6f90da429773710820d16f23aee409a99fdffb9c44f69f5b4a2ebb576b3"


def fingerprint(text: str) -> str:
    """The SHA-256 of a schema's UTF-8 bytes, as ``sha256:<hex>``."""
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


@cache
def frozen_text() -> str:
    """The text of the frozen schema."""
    return files("octavo.schema").joinpath(FILE).read_bytes().decode()


@cache
def frozen_schema() -> Datamodel:
    """The frozen schema's Datamodel."""
    return parse_schema(frozen_text(), FILE)
