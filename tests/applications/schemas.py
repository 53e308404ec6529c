"""The schemas beside this file, by the names of their applications."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from octavo.schema.datamodel import Datamodel
from octavo.schema.parser import parse_schema

FOLDER = Path(__file__).parent
APPLICATIONS = tuple(sorted(path.stem for path in FOLDER.glob("*.prisma")))


def path_of(application: str) -> Path:
    return FOLDER / f"{application}.prisma"


@cache
def datamodel_of(application: str) -> Datamodel:
    path = path_of(application)
    return parse_schema(path.read_text(), path.name)
