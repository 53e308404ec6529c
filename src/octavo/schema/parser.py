"""The Prisma schema language: text in, Datamodel out.

It takes any schema that Prisma 6.19 takes for PostgreSQL, and refuses what Prisma refuses.  On the way::

    text ─syntax→ blocks ─names→ drafts ─attributes→ ─relations→ ─validate→ ─resolve→ Datamodel
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from octavo.schema.attributes import read_attributes
from octavo.schema.config import read_config
from octavo.schema.datamodel import Datamodel
from octavo.schema.names import read_names
from octavo.schema.reader import read_blocks
from octavo.schema.relations import pair_relations
from octavo.schema.resolve import build
from octavo.schema.syntax import Sources
from octavo.schema.texts import schema_texts
from octavo.schema.validate import validate


def parse_schema(text: str, file: str = "schema.prisma") -> Datamodel:
    """The Datamodel of one schema.  ``file`` is its name in messages.  Raises SchemaError."""
    return parse_files([(file, text)])


def parse_files(files: Sequence[tuple[str, str]]) -> Datamodel:
    """The Datamodel of a schema in several files: names and texts, in order.  Raises SchemaError."""
    sources = Sources(files)
    blocks = read_blocks(sources)
    draft = read_config(sources, blocks)
    read_names(draft, blocks)
    read_attributes(draft)
    pair_relations(draft)
    validate(draft)
    return build(draft)


def load_schema(path: str | os.PathLike[str]) -> Datamodel:
    """The Datamodel of a file, or of all ``.prisma`` files in a folder and those below it, by name.

    Raises SchemaError, also where something cannot be read.
    """
    return parse_files(schema_texts(path))
