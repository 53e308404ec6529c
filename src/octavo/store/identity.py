"""What a store is: its schema, its layout, and how it came to them, in the folder ``schema/``.

``schema/schema.prisma`` is the text of the schema, byte for byte (of a schema folder, the files under their
own names), ``schema/layout.toml`` the layout's.  ``schema/store.json`` says what they mean::

    {"_version": 1, "format": 1, "schema": {"name", "version", "fingerprint"}, "migrations": […]}

With ``"database"`` it says, too, in which order that sorts enums, and how it computes generated columns
(:mod:`octavo.schema.live`).

It is written last: a folder without it belongs to a store from before Octavo wrote one.
"""

import os
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from octavo.backend import PathName
from octavo.errors import (
    DamagedError,
    DiskError,
    OctavoError,
    SchemaError,
    SchemaMismatch,
    is_of_system,
)
from octavo.layout.layout import VERSION, Layout, Place
from octavo.schema.datamodel import Datamodel, Source
from octavo.schema.live import Live, as_live, live_of
from octavo.schema.meaning import differences, fingerprint
from octavo.schema.texts import VERSION as FROZEN_VERSION
from octavo.schema.texts import is_frozen
from octavo.store.system import read_whole

if TYPE_CHECKING:
    from pathlib import Path

FOLDER = "schema"
NAME = "schema/store.json"
LAYOUT = "schema/layout.toml"
MIGRATED = "cache/migrated"
"""in a folder that a migration has put in place, for those that have the one before it open"""
_VERSION = 1
_ENDING = ".prisma"


class SchemaName(msgspec.Struct, frozen=True):
    """A schema by the name of its file or folder, its version where Octavo ships it, and what it means."""

    name: str
    version: str | None
    fingerprint: str

    @classmethod
    def of(cls, datamodel: Datamodel) -> "SchemaName":
        name = datamodel.source.name if datamodel.source else "of a live database"
        return cls(name, FROZEN_VERSION if is_frozen(datamodel) else None, fingerprint(datamodel))

    def __str__(self) -> str:
        return f"schema {self.name} ({self.fingerprint[:19]}…)"


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """What ``schema/store.json`` says.  ``migrations`` are those that the store went through, in order."""

    version: int = msgspec.field(default=_VERSION, name="_version")
    format: int = VERSION
    """the version of the files that hold the records"""
    schema: SchemaName
    database: Live | msgspec.UnsetType = msgspec.UNSET
    """what the database was found to have, where that is more than the schema says"""
    migrations: tuple[dict[str, Any], ...] = ()

    def as_found(self, datamodel: Datamodel) -> Datamodel:
        """The schema as the database was found to have it."""
        return datamodel if self.database is msgspec.UNSET else as_live(datamodel, self.database)


def read_identity(root: PathName) -> Identity | None:
    """What a store says it is; None for one from before it did, or where there is no store.

    Raises DamagedError for what cannot be read, or was written by a newer Octavo; DiskError.
    """
    text = _read(root, NAME)
    if text is None:
        return None
    try:
        found = msgspec.json.decode(text, type=Identity)
    except msgspec.MsgspecError as error:
        raise DamagedError(f"is not what Octavo writes: {error}", file=NAME) from error
    for what, number, known in (("version", found.version, _VERSION), ("format", found.format, VERSION)):
        if number > known:
            raise DamagedError(f"was written by a newer Octavo ({what} {number})", file=NAME)
    return found


def read_source(root: PathName, name: str = FOLDER) -> Source:
    """The texts of a store's schema; ``name`` is what its file or folder was called.

    Raises DamagedError if there are none, or they cannot be read; DiskError.
    """
    files = tuple(
        (file, _decoded(f"{FOLDER}/{file}", _read(root, f"{FOLDER}/{file}") or b""))
        for file in _schema_files(os.path.join(root, FOLDER))
    )
    if not files:
        raise DamagedError("the text of the schema is missing", file=f"{FOLDER}/schema.prisma")
    return Source(name, files, tuple(f"{FOLDER}/{file}" for file, _ in files))


def read_layout_text(root: PathName) -> str:
    """The TOML of a store's layout.  Raises DamagedError, DiskError."""
    text = _read(root, LAYOUT)
    if text is None:
        raise DamagedError("is missing", file=LAYOUT)
    return _decoded(LAYOUT, text)


def is_identity(path: str) -> bool:
    """Whether a file, by its path below the data folder, says what the store is."""
    is_text = path.startswith(f"{FOLDER}/") and path.endswith(_ENDING)
    return is_text or path in (NAME, LAYOUT)


def has_texts(root: PathName) -> bool:
    """Whether there is the text of a schema in a store's folder."""
    return bool(_schema_files(os.path.join(root, FOLDER)))


def _schema_files(folder: str, below: str = "") -> list[str]:
    """The names of the ``.prisma`` files in a store's folder, those of folders in it included, in order."""
    found = []
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(os.path.join(folder, below)) as entries:
        for entry in entries:
            path = f"{below}/{entry.name}" if below else entry.name
            if entry.is_dir(follow_symlinks=False):
                found += _schema_files(folder, path)
            elif entry.name.endswith(_ENDING):
                found.append(path)
    return sorted(found)


def _read(root: PathName, file: str) -> bytes | None:
    try:
        return read_whole(os.path.join(root, file))[0]
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        if not is_of_system(error):
            raise
        raise DamagedError(f"cannot be read: {error.strerror or error}", file=file) from error


def _decoded(file: str, text: bytes) -> str:
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DamagedError(f"is not UTF-8 (byte {error.start})", file=file) from error


def identity_files(
    layout: Layout, migrations: tuple[dict[str, Any], ...] = (), live: Live | None = None
) -> dict[str, bytes]:
    """What ``schema/`` of a store with this schema and layout holds, by path; ``schema/store.json`` last.

    ``live`` is what its database was found to have; None: what the schema knows of that.  There are none for
    a schema that has no text, such as one that was read from a live database.
    """
    from octavo.layout.written import layout_text

    datamodel = layout.datamodel
    if datamodel.source is None:
        return {}
    found = live_of(datamodel if live is None else as_live(datamodel, live))
    database = found if found != Live() else msgspec.UNSET
    identity = Identity(schema=SchemaName.of(datamodel), database=database, migrations=migrations)
    return {
        **{f"{FOLDER}/{name}": text.encode() for name, text in datamodel.source.files},
        LAYOUT: (layout.text or layout_text(layout)).encode(),
        NAME: msgspec.json.format(msgspec.json.encode(identity), indent=2) + b"\n",
    }


def write_identity(root: "Path", files: Mapping[str, bytes], *, synced: bool = True) -> None:
    """Put what :func:`identity_files` gave into a folder; see :func:`disk.write_file`.  Raises DiskError."""
    from octavo.store import disk

    for file, content in files.items():
        disk.write_file(root / file, content, synced=synced)


def require_same(root: PathName, layout: Layout) -> Identity | None:
    """Raise SchemaMismatch if the store in a folder has another schema or layout than this one.

    One that does not say what it is passes.  Gives what it says.  Raises DamagedError, DiskError.
    """
    found = read_identity(root)
    if found is None:
        return None
    if found.schema.fingerprint != fingerprint(layout.datamodel):
        raise other_schema(root, found, layout.datamodel)
    text = read_layout_text(root)
    if text != layout.text:
        from octavo.layout.load import parse_layout

        own = parse_layout(text, layout.datamodel, source=LAYOUT)
        if not same_places(own, layout):
            raise other_layout(own, layout)
    return found


class Standing:
    """What an open store was opened as, and whether the folder still says so."""

    def __init__(self, root: str, layout: Layout) -> None:
        """Raises as :func:`require_same`."""
        self._root, self._layout = root, layout
        self._said = require_same(root, layout)

    @property
    def is_said(self) -> bool:
        """Whether the store says what it is."""
        return self._said is not None

    def check(self) -> None:
        """Look again.  Raises as :func:`require_same`, and DamagedError if the store says no more what it
        is."""
        said = require_same(self._root, self._layout)
        if said is None and self._said is not None:
            raise DamagedError("is missing", file=NAME)
        self._said = said

    def replaced(self) -> OctavoError | None:
        """The error for another folder at the path: SchemaMismatch if the store went through a migration."""
        with suppress(OctavoError):
            said, ours = read_identity(self._root), self._said
            if said is not None and ours is not None:
                if said.schema.fingerprint != ours.schema.fingerprint:
                    return other_schema(self._root, said, self._layout.datamodel)
                # Forth and back, the lists are the same.
                if ours.migrations != said.migrations or os.path.exists(os.path.join(self._root, MIGRATED)):
                    return SchemaMismatch(f"the {said.schema} after a migration", "the layout before it")
        return None


def same_places(one: Layout, other: Layout) -> bool:
    """Whether two layouts of a schema put every record in the same place.

    What is searched is no part of it: an index below ``cache/`` follows the layout that it is opened with.
    """
    return one.payload_folder == other.payload_folder and _places(one) == _places(other)


def _places(layout: Layout) -> list[Place]:
    return [replace(place, search=()) for place in layout.places]


def other_schema(root: PathName, found: Identity, given: Datamodel) -> SchemaMismatch:
    """The error for a store of another schema than the one given.  Raises DamagedError, DiskError."""
    from octavo.schema.parser import parse_source

    told: list[str] = []
    with suppress(DamagedError, DiskError, SchemaError):
        told = differences(parse_source(read_source(root, found.schema.name)), given)
    return SchemaMismatch(f"the {found.schema}", f"the {SchemaName.of(given)}", told)


def other_layout(own: Layout, given: Layout) -> SchemaMismatch:
    """The error for a store whose records lie elsewhere than a layout says."""
    told = [
        f"{place.model.name} lives in {own.host(place.model.name).path}, "
        f"not in {given.host(place.model.name).path}"
        for place in given.places
        if own.host(place.model.name).path != given.host(place.model.name).path
    ]
    told = told or [f"{p.model.name} lives in another way" for p in _places(given) if p not in _places(own)]
    return SchemaMismatch("its own layout", f"the layout {given.source}", told)
