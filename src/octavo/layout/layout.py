"""Where each model's records live: a small declarative file, checked against the Datamodel when loaded.

There are five ways to live (:class:`Kind`), one table each in the layout's TOML::

    [documents]        "settings/general.json" = { users = "User", chatSettings = "ChatSettings" }
    [files]            "characters/{id}.json" = "Character"
    [logs]             "binaries/index.jsonl" = ["Image", "ChatFile"]
    [logs_per_parent]  "chats/{chatId}.jsonl" = "Message"
    [embedded]         CharacterTag = "Character.tags"

``[payloads]`` names the files that records point at, and ``[search]`` the texts that are searched.
Everything that reads or writes the data folder asks the layout; no model has code of its own.

Any id gives a file name that is safe, unique and readable on every file system.  The bytes of its UTF-8 form
other than ``a-z 0-9 - _`` are percent-encoded, capitals too, since some file systems do not tell ``A`` from
``a`` (nor composed letters from decomposed ones).  What comes out empty, longer than :data:`LONGEST` bytes,
or as a name that is in use becomes ``~`` and the SHA-256 of the id in hexadecimal.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from enum import StrEnum
from functools import cached_property

from msgspec import Struct

from octavo.schema.datamodel import Datamodel, Model, Relation, ScalarField
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
    spelled = text.encode()
    if not _OTHER.search(spelled):
        return text
    return _OTHER.sub(lambda match: b"%%%02X" % match[0][0], spelled).decode("ascii")


VERSION = 1
"""of the layout file and of the documents (``_version``)"""

RESERVED_FOLDERS = frozenset({"journal", "cache", "schema"})

NO_KEY = (
    "has nothing that identifies a record: a layout that excludes it leaves its table out"
    " (octavo layout propose writes one)"
)


class Kind(StrEnum):
    """The ways for a record to live on disk."""

    DOCUMENT = "document"
    FILE = "file"
    LOG = "log"
    LOG_PER_PARENT = "log per parent"
    EMBEDDED = "embedded"

    @property
    def is_log(self) -> bool:
        """Whether records are lines, of which the last of a key counts."""
        return self in (Kind.LOG, Kind.LOG_PER_PARENT)


class Place(Struct, frozen=True, kw_only=True, dict=True):
    """Where one model's records live.

    ``path`` is the file's, relative to the data folder; in a family of files the name's varying part stands
    as ``{field}``.  An embedded model has none: it lies in its host's file.
    """

    model: Model
    kind: Kind
    path: str
    array: str = ""
    """the key of its array: in the document, or (embedded) in the parent's record"""
    relation: Relation | None = None
    """to the parent: of an embedded model, or of one with a log per parent"""
    payload: str = ""
    """the field that holds the path of the record's payload, if it has one"""
    payload_size: str = ""
    """the field that holds the payload's size in bytes, if there is one"""
    search: tuple[str, ...] = ()
    """the fields of text that an index is kept of, and that a search looks in"""

    @cached_property
    def fields(self) -> tuple[ScalarField, ...]:
        """The columns that a record on disk shows: an embedded one leaves out its parent's key."""
        if self.kind is not Kind.EMBEDDED or self.relation is None:
            return self.model.scalars
        parent_key = self.relation.fields
        return tuple(f for f in self.model.scalars if f.name not in parent_key)

    @property
    def is_array_of_keys(self) -> bool:
        """Whether its records stand as bare values: those of an implicit many-to-many relation are embedded
        as the keys that they link to."""
        return self.kind is Kind.EMBEDDED and self.model.is_join

    @cached_property
    def name_fields(self) -> tuple[str, ...]:
        """The fields that name the file, where there is one per key or per parent."""
        if self.kind is Kind.FILE:
            return self.model.key.field_names
        if self.kind is Kind.LOG_PER_PARENT and self.relation is not None:
            return self.relation.fields
        return ()

    def file_for(self, key: Iterable[str]) -> str:
        """The file of the record (or of the parent) with this key, given as text, part by part."""
        if "{" not in self.path:
            return self.path
        before, _, rest = self.path.partition("{")
        return before + file_stem(tuple(key)) + rest.partition("}")[2]


class FileFamily(Struct, frozen=True, dict=True):
    """One file, or all the files of one pattern, and what lives in them, in the schema's order."""

    path: str
    kind: Kind
    places: tuple[Place, ...]

    @property
    def folder(self) -> str:
        return self.path.rpartition("/")[0]

    @property
    def varies(self) -> bool:
        """Whether there is one file per record or per parent."""
        return self.kind in (Kind.FILE, Kind.LOG_PER_PARENT)

    def stem(self, path: str) -> str:
        """What stands in the path of one of its files for the key; the parts of that are between dots."""
        before, after = self._around
        return path[before:-after]

    @cached_property
    def _around(self) -> tuple[int, int]:
        """How much of a path is before the stem, and after it."""
        before, _, rest = self.path.partition("{")
        return len(before), len(rest.partition("}")[2])

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """Matches the paths of the family's files."""
        before, *field_names, after = re.split(r"[{},]", self.path) if self.varies else (self.path, "")
        stem = stem_pattern(len(field_names)) if self.varies else ""
        return re.compile(re.escape(before) + stem + re.escape(after))


def folders_above(path: str) -> list[str]:
    """The folders that a path leads through."""
    parts = path.split("/")
    return ["/".join(parts[:n]) for n in range(1, len(parts))]


class Layout(Struct, frozen=True, dict=True):
    """Every model's :class:`Place`, in the schema's order."""

    datamodel: Datamodel
    places: tuple[Place, ...]
    payload_folder: str = ""
    source: str = ""

    @cached_property
    def text(self) -> str:
        """The TOML that it was read from, whatever else that says; empty: it was made up."""
        return ""

    def read_from(self, text: str) -> Layout:
        """The same, with its text."""
        vars(self)["text"] = text
        return self

    @cached_property
    def _by_model(self) -> dict[str, Place]:
        return {place.model.name: place for place in self.places}

    def place(self, model: str) -> Place:
        """Where this model lives.  Raises KeyError for a model that the schema does not have."""
        return self._by_model[model]

    @cached_property
    def _embedded(self) -> dict[str, tuple[Place, ...]]:
        found: dict[str, list[Place]] = {place.model.name: [] for place in self.places}
        for place in self.places:
            if place.kind is Kind.EMBEDDED and place.relation is not None:
                found[place.relation.parent].append(place)
        order = {name: [r.name for r in self.datamodel.model(name).relations] for name in found}
        return {
            name: tuple(sorted(places, key=lambda p: order[name].index(p.array)))
            for name, places in found.items()
        }

    def embedded(self, model: str) -> tuple[Place, ...]:
        """What lives inside this model's records, in the order of its relation fields."""
        return self._embedded[model]

    def host(self, model: str) -> Place:
        """The place of the record that this model's records are written with: its own, or its parent's."""
        place = self.place(model)
        while place.kind is Kind.EMBEDDED and place.relation is not None:
            place = self.place(place.relation.parent)
        return place

    @cached_property
    def families(self) -> tuple[FileFamily, ...]:
        """The files there are, each once."""
        grouped: dict[str, list[Place]] = {}
        for place in self.places:
            if place.kind is not Kind.EMBEDDED:
                grouped.setdefault(place.path, []).append(place)
        return tuple(FileFamily(path, places[0].kind, tuple(places)) for path, places in grouped.items())

    @cached_property
    def _by_path(self) -> dict[str, FileFamily]:
        return {family.path: family for family in self.families}

    @cached_property
    def _by_folder(self) -> dict[str, list[FileFamily]]:
        found: dict[str, list[FileFamily]] = {}
        for family in self.families:
            if family.varies:
                found.setdefault(family.folder, []).append(family)
        return found

    def family(self, path: str) -> FileFamily | None:
        """The family that a path below the data folder belongs to, or None."""
        if (exact := self._by_path.get(path)) is not None:
            return exact
        for family in self._by_folder.get(path[: max(path.rfind("/"), 0)], ()):
            if family.pattern.fullmatch(path):
                return family
        return None

    def misnames(self, path: str) -> bool:
        """Whether a file that belongs to no family lies among the files of one, and ends as they do: a record
        that is not read, as its name is not one that Octavo gives."""
        folder, _, name = path.rpartition("/")
        return any(
            family.varies
            and family.folder == folder
            and name.endswith(family.path[family.path.rindex(".") :])
            for family in self.families
        )

    def is_own_folder(self, path: str) -> bool:
        """Whether a folder below the data folder is one of the store's: others are the user's."""
        above, _, name = path.rpartition("/")
        is_shelf = above == self.payload_folder and re.fullmatch(r"[0-9a-f]{2}", name) is not None
        return path in self.folders or (is_shelf and above != "")

    @cached_property
    def folders(self) -> tuple[str, ...]:
        """Every folder of a store, relative to it, parents first."""
        found = {f.folder for f in self.families} | {self.payload_folder} | set(RESERVED_FOLDERS)
        parents = {folder for f in found for folder in folders_above(f)}
        return tuple(sorted((found | parents) - {""}))


def may_meet(one: FileFamily, other: FileFamily) -> bool:
    """Whether a file of one could be a file, or a folder, on the way to one of the other."""
    if one.varies and other.varies:
        return one.folder == other.folder and ending(one.path) == ending(other.path)
    if not (one.varies or other.varies):
        return one.path == other.path or _holds(one.path, other) or _holds(other.path, one)
    fixed, family = (other, one) if one.varies else (one, other)
    if _holds(fixed.path, family) or any(map(family.pattern.fullmatch, folders_above(fixed.path))):
        return True
    return family.pattern.fullmatch(fixed.path) is not None


def ending(path: str) -> str:
    return path.rpartition(".")[2]


def _holds(path: str, family: FileFamily) -> bool:
    """Whether this path is a folder that the family's files lie in."""
    return path in folders_above(family.path)
