"""The Datamodel and the layout, kept decoded in ``cache/schema.json``.

Parsing a schema takes a hundred times as long as decoding the result, and imports a parser.  So the first
process that opens a store keeps both there, and later ones decode them, whatever the schema.  The file's
first line is a checksum of the rest, its second Octavo's version and the texts: a file that is damaged or was
made from anything else is ignored and made anew.

The package brings such a file for the frozen schema and its layout (``make stub``).
"""

import os
from contextlib import suppress
from typing import Any
from zlib import crc32

import msgspec
from msgspec.structs import asdict

from octavo.backend import PathName
from octavo.errors import LayoutError
from octavo.layout.layout import Kind, Layout, Place
from octavo.layout.load import given_text, known_layout, layout_for
from octavo.schema.datamodel import Datamodel, Source
from octavo.schema.meaning import fingerprint, know
from octavo.schema.texts import (
    FOLDER,
    VERSION,
    frozen_schema,
    frozen_source,
    is_known,
    known_frozen,
    schema_source,
)
from octavo.version import __version__

NAME = "cache/schema.json"
SHIPPED = os.path.join(FOLDER, f"octavo-{VERSION}.json")
"""the frozen schema and its layout, decoded"""


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
    fingerprint: str
    places: list[_Placed]
    payload_folder: str


class Cached:
    """The Datamodel of some texts, decoded from the cache of the store at ``data_dir`` if it holds them.

    The layout in a file, or the one that goes with the schema, is then known to
    :func:`octavo.layout.load.layout_for`.
    """

    def __init__(self, data_dir: PathName | None, source: Source, layout: PathName | None) -> None:
        """Raises SchemaError."""
        self._data_dir, self._source, self._layout = data_dir, source, layout
        self._is_frozen = source.files == frozen_source().files
        self._is_parsed = False
        self.datamodel = frozen_schema() if self._is_frozen and is_known() else self._read() or self._parse()

    def _read(self) -> Datamodel | None:
        # A backend that needs a layout which cannot be read says so.
        with suppress(LayoutError):
            text = self._layout_text()
            places = [SHIPPED] if self._is_frozen and self._layout is None else []
            if self._data_dir is not None:
                places.append(self._place(self._data_dir))
            mark = _mark(self._source, text)
            found = next((made for place in places if (made := _read(place, mark)) is not None), None)
            if found is not None:
                found.datamodel.parsed_from(self._source)
                datamodel = found.datamodel.complete.parsed_from(self._source)
                if self._is_frozen and known_frozen(datamodel) is not datamodel:
                    return frozen_schema()
                known_layout(self._layout, text, found)
                return datamodel
        return None

    def _parse(self) -> Datamodel:
        self._is_parsed = True
        if self._is_frozen:
            return frozen_schema()
        from octavo.schema.parser import parse_source

        return parse_source(self._source)

    def keep(self) -> None:
        """Keep what was parsed, where a store with the folders of this layout is."""
        if not self._is_parsed or self._data_dir is None:
            return
        with suppress(LayoutError):
            made = layout_for(self.datamodel, self._layout)
            folders = {"journal", *made.folders} - {"cache", "schema"}
            if all(os.path.isdir(os.path.join(self._data_dir, folder)) for folder in folders):
                _write(self._place(self._data_dir), _content(made, _mark(self._source, self._layout_text())))

    def _layout_text(self) -> str | None:
        """The text of the layout; None: it is made up.  Raises LayoutError."""
        return given_text(None, self._layout) if self._is_frozen or self._layout is not None else None

    @staticmethod
    def _place(data_dir: PathName) -> str:
        return os.path.join(data_dir, NAME)


def load_datamodel(
    data_dir: PathName | None, schema: PathName | None = None, layout: PathName | None = None
) -> Datamodel:
    """The Datamodel of a schema file or folder, without one the frozen schema's; kept in the store's cache if
    there is a store.  Raises SchemaError."""
    found = Cached(data_dir, frozen_source() if schema is None else schema_source(schema), layout)
    found.keep()
    return found.datamodel


def shipped_content() -> bytes:
    """What :data:`SHIPPED` holds."""
    layout = layout_for(frozen_schema(), None)
    return _content(layout, _mark(frozen_source(), given_text(None, None)))


def _mark(source: Source, layout: str | None) -> bytes:
    """What a file must have been made from: its second line."""
    return msgspec.json.encode([__version__, *source.files, layout or ""]) + b"\n"


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
    for datamodel in (found.datamodel, found.datamodel.complete):
        know(datamodel, found.fingerprint)
    relations = {relation.constraint: relation for relation in found.datamodel.foreign_keys}

    def place_of(line: _Placed) -> Place:
        given: dict[str, Any] = asdict(line)
        given["model"] = found.datamodel.model(line.model)
        given["relation"] = None if line.relation is None else relations[line.relation]
        return Place(**given)

    return Layout(found.datamodel, tuple(map(place_of, found.places)), found.payload_folder)


def _content(layout: Layout, mark: bytes) -> bytes:
    """What a file holds."""

    def line(place: Place) -> _Placed:
        relation = place.relation and place.relation.constraint
        return _Placed(**{**asdict(place), "model": place.model.name, "relation": relation})

    rest = mark + msgspec.json.encode(
        _Content(
            layout.datamodel,
            fingerprint(layout.datamodel),
            list(map(line, layout.places)),
            layout.payload_folder,
        )
    )
    return _checksum(rest) + b"\n" + rest


def _write(path: str, content: bytes) -> None:
    """Write the file beside and rename it; where that is not possible, the next process parses again."""
    from pathlib import Path

    from octavo.store import disk

    kept = Path(path)
    beside = kept.with_name(f".{kept.name}.{os.urandom(4).hex()}.new")
    try:
        disk.make_folder(kept.parent)
        with disk.create(beside) as file:
            file.write(content)
        os.replace(beside, kept)
    except OSError:
        with suppress(OSError):
            beside.unlink()
