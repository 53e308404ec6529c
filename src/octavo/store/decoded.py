"""The Datamodel and the layout, kept decoded in ``cache/schema.json``.

Parsing a schema takes a hundred times as long as decoding the result, and imports a parser.  So the first
process that opens a store keeps both there, and later ones decode them, whatever the schema.  The file's
first line is a checksum of the rest, its second Octavo's version and the texts: a file that is damaged or was
made from anything else is ignored and made anew.
"""

import os
from collections.abc import Sequence
from contextlib import suppress
from typing import Any
from zlib import crc32

import msgspec
from msgspec.structs import asdict

from octavo.backend import PathName
from octavo.errors import LayoutError
from octavo.layout.layout import Kind, Layout, Place
from octavo.layout.load import given_text, known_layout, layout_for
from octavo.schema.datamodel import Datamodel
from octavo.schema.texts import FILE, frozen_schema, frozen_text, is_known, known_frozen, schema_texts
from octavo.version import __version__

NAME = "cache/schema.json"


class _Placed(msgspec.Struct):
    """A layout's line: the model by its name, the relation by its constraint's."""

    model: str
    kind: Kind
    path: str
    array: str
    relation: str | None
    payload: str
    payload_size: str
    search: tuple[str, ...] = ()


class _Content(msgspec.Struct):
    datamodel: Datamodel
    places: list[_Placed]
    payload_folder: str
    source: str


def load_datamodel(
    data_dir: PathName | None, schema: PathName | None = None, layout: PathName | None = None
) -> Datamodel:
    """The Datamodel of a schema file or folder, without one the frozen schema's.

    Both are decoded from the cache of the store at ``data_dir``, if it holds them; the layout is then known
    to :func:`octavo.layout.load.layout_for`.  If a store of this layout is there, what was parsed is kept.
    Raises SchemaError.
    """
    if schema is None and is_known():
        return frozen_schema()
    texts = [(FILE, frozen_text())] if schema is None else schema_texts(schema)
    if data_dir is None:
        return _parsed(schema, texts)
    try:
        text = given_text(None, layout) if schema is None or layout else None
    except LayoutError:
        # A backend that needs the layout says so.
        return _parsed(schema, texts)
    mark = _mark([*(text for _, text in texts), text or ""])
    place = os.path.join(data_dir, NAME)
    if (found := _read(place, mark)) is not None:
        datamodel = found.datamodel
        if schema is not None or known_frozen(datamodel) is datamodel:
            known_layout(layout, text, found)
            return datamodel
        return frozen_schema()
    datamodel = _parsed(schema, texts)
    with suppress(LayoutError):
        made = layout_for(datamodel, layout)
        if all(os.path.isdir(os.path.join(data_dir, folder)) for folder in made.folders if folder != "cache"):
            _keep(place, mark, made)
    return datamodel


def _parsed(schema: PathName | None, texts: Sequence[tuple[str, str]]) -> Datamodel:
    if schema is None:
        return frozen_schema()
    from octavo.schema.parser import parse_files

    return parse_files(texts)


def _mark(texts: Sequence[str]) -> bytes:
    """What a file must have been made from: its second line."""
    return msgspec.json.encode([__version__, *texts]) + b"\n"


def _checksum(rest: bytes) -> bytes:
    return b"%08x" % crc32(rest)


def _read(place: str, mark: bytes) -> Layout | None:
    """The layout, with its Datamodel; None if there is no such file, or it does not fit."""
    try:
        with open(place, "rb") as file:
            checksum, _, rest = file.read().partition(b"\n")
    except OSError:
        return None
    if not rest.startswith(mark) or checksum != _checksum(rest):
        return None
    found = msgspec.json.decode(rest[len(mark) :], type=_Content)
    relations = {relation.constraint: relation for relation in found.datamodel.foreign_keys}

    def place_of(line: _Placed) -> Place:
        given: dict[str, Any] = asdict(line)
        given["model"] = found.datamodel.model(line.model)
        given["relation"] = None if line.relation is None else relations[line.relation]
        return Place(**given)

    return Layout(found.datamodel, tuple(map(place_of, found.places)), found.payload_folder, found.source)


def _keep(path: str, mark: bytes, layout: Layout) -> None:
    """Write the file beside and rename it; where that is not possible, the next process parses again."""
    from pathlib import Path

    from octavo.store import disk

    kept = Path(path)

    def line(place: Place) -> _Placed:
        relation = place.relation and place.relation.constraint
        return _Placed(**{**asdict(place), "model": place.model.name, "relation": relation})

    rest = mark + msgspec.json.encode(
        _Content(layout.datamodel, list(map(line, layout.places)), layout.payload_folder, layout.source)
    )
    beside = kept.with_name(f".{kept.name}.{os.urandom(4).hex()}.new")
    try:
        disk.make_folder(kept.parent)
        with disk.create(beside) as file:
            file.write(_checksum(rest) + b"\n" + rest)
        os.replace(beside, kept)
    except OSError:
        with suppress(OSError):
            beside.unlink()
