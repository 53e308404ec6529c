"""The texts of schemas: of a file, of a folder's files, and of schema 0.7.

That one is shipped inside the package and frozen: a changed byte is another version.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING

from octavo.errors import SchemaError
from octavo.schema.datamodel import Datamodel, Source

if TYPE_CHECKING:
    from pathlib import Path


def schema_texts(path: str | os.PathLike[str]) -> list[tuple[str, str]]:
    """The name and the text of a schema file, or of each one of a schema folder, by name.

    As in Prisma, symbolic links are followed, and what they lead to has to be called ``.prisma``.  Raises
    SchemaError, also where something cannot be read.
    """
    from pathlib import Path

    root = Path(path)
    try:
        if not root.is_dir():
            return [(str(root), _read(root))]
        found = sorted(_files(root))
    except OSError as error:
        raise SchemaError(error.strerror or str(error), file=str(error.filename or root)) from error
    if not found:
        raise SchemaError("no .prisma file in this folder", file=str(root))
    return [(str(file), _read(file)) for file in found]


def schema_text(path: str | os.PathLike[str]) -> str:
    """The text of a schema file, or of a schema folder's files one after the other.  Raises SchemaError."""
    return "".join(text for _, text in schema_texts(path))


def schema_source(path: str | os.PathLike[str]) -> Source:
    """The texts of a schema file or folder.  Raises SchemaError."""
    return Source.of(schema_texts(path), os.fspath(path) if os.path.isdir(path) else "")


def fingerprint(text: str) -> str:
    """The SHA-256 of a schema's UTF-8 bytes, as ``sha256:<hex>``."""
    import hashlib

    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def _files(root: Path) -> Iterator[Path]:
    """The schema files in a folder and below it, in no order.  Raises OSError, SchemaError."""
    left: list[tuple[Path, frozenset[str]]] = [(root, frozenset())]
    while left:
        folder, above = left.pop()
        real = os.path.realpath(folder, strict=True)
        if real in above:
            raise SchemaError("is a symbolic link to a folder that it lies in", file=str(folder))
        for entry in folder.iterdir():
            try:
                target = os.path.realpath(entry, strict=True)
            except OSError as error:
                # What a link that leads nowhere should be may be a part of the schema.
                raise SchemaError(error.strerror or str(error), file=str(entry)) from error
            if os.path.isdir(target):
                left.append((entry, above | {real}))
            elif os.path.splitext(target)[1] == ".prisma" and os.path.isfile(target):
                yield entry


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise SchemaError(f"not UTF-8 (byte {error.start})", file=str(path)) from error
    except OSError as error:
        raise SchemaError(error.strerror or str(error), file=str(path)) from error


FOLDER = os.path.dirname(__file__)
VERSION = "0.7.0"
FILE = f"octavo-{VERSION}.prisma"
FINGERPRINT = "sha256:f4d6a6f90da429773710820d16f23aee409a99fdffb9c44f69f5b4a2ebb576b3"

_datamodels: dict[str, Datamodel] = {}


@cache
def frozen_text() -> str:
    """The text of the frozen schema."""
    with open(os.path.join(FOLDER, FILE), "rb") as file:
        return file.read().decode()


@cache
def frozen_source() -> Source:
    """The same as a schema's texts."""
    return Source.of([(FILE, frozen_text())])


def frozen_schema() -> Datamodel:
    """The frozen schema's Datamodel, the same object in the whole process.

    It is parsed, unless it has been taken from a store's cache (:func:`known_frozen`) before.
    """
    if FINGERPRINT not in _datamodels:
        from octavo.schema.parser import parse_schema

        return known_frozen(parse_schema(frozen_text(), FILE))
    return _datamodels[FINGERPRINT]


def known_frozen(datamodel: Datamodel) -> Datamodel:
    """Take this for the frozen schema's Datamodel; gives the one that is known already, if one is."""
    return _datamodels.setdefault(FINGERPRINT, datamodel)


def is_known() -> bool:
    """Whether :func:`frozen_schema` needs no parser in this process."""
    return FINGERPRINT in _datamodels


def is_frozen(datamodel: Datamodel) -> bool:
    """Whether this is :func:`frozen_schema`'s Datamodel."""
    return _datamodels.get(FINGERPRINT) is datamodel


def is_intact() -> bool:
    """Whether the shipped text is unchanged."""
    return fingerprint(frozen_text()) == FINGERPRINT
