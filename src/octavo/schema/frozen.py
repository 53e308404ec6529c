"""Schema 0.7, shipped inside the package and frozen: a changed byte is another version."""

from __future__ import annotations

import os
from functools import cache

from octavo.schema.datamodel import Datamodel
from octavo.schema.texts import fingerprint

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
