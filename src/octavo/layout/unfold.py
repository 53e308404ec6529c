"""From JSON to rows: what stands in a file, as the text that PostgreSQL would print for each column.

An :class:`Unfolder` decodes one kind of record.  Nearly all of them take the fast way, msgspec's decoder for
a type built from the Datamodel.  What that refuses goes the careful way, member by member, which either
finds the record sound after all (deeper than a parser goes, or with keys that the schema does not know) or
names the field and the reason.  Nothing of the export's SQL is used here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeAlias

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import astuple

from octavo.errors import DamagedError
from octavo.layout import rawjson
from octavo.layout.layout import VERSION, Kind, Layout, Place
from octavo.layout.types import ColumnType, column_type, is_null, or_null
from octavo.schema.datamodel import ScalarField

Values: TypeAlias = list[bytes | None]
"""A row: each column of the model, in the schema's order, as PostgreSQL's text; None is NULL."""


NUL = b"\\u0000"
"""How U+0000 stands in JSON.  PostgreSQL's text has none: what may hold it goes the careful way."""


class Record:
    """What one record in a file stands for.

    ``values`` is its own row (of a tombstone, ``deleted``: its key alone); ``embedded`` the rows inside it,
    each with its place.  ``sha256`` is its payload's digest, if it has one; ``unknown`` the keys that the
    schema does not know, with the place they stand in.
    """

    __slots__ = ("deleted", "embedded", "key_at", "line", "place", "sha256", "unknown", "values")

    def __init__(self, place: Place, values: Values, key_at: Sequence[int]) -> None:
        self.place, self.values, self.key_at = place, values, key_at
        self.embedded: Sequence[tuple[Place, Values]] = ()
        self.sha256: str | None = None
        self.deleted = False
        self.unknown: Sequence[tuple[Place, str]] = ()
        self.line = 0

    @property
    def key(self) -> Values:
        """The values of the key, in the order of its fields."""
        return self.values if self.deleted else [self.values[at] for at in self.key_at]


class Unfolder:
    """Decodes the records of one model, with what is embedded in them."""

    def __init__(self, layout: Layout, place: Place) -> None:
        self.place = place
        self.columns = [(f, column_type(f, layout.datamodel)) for f in place.fields]
        self.children = [Unfolder(layout, child) for child in layout.embedded(place.model.name)]
        self.own = _own_keys(place)
        self.type = self._struct()
        self._row = _row_maker(self.columns)
        shown = [f.name for f in place.fields]
        self._key_at = [shown.index(n) for n in place.model.key.field_names if n in shown]
        self._decode = msgspec.json.Decoder(self.type).decode
        self._inherited = _inherited(layout, place)
        self._plain = not self.children and self.own.keys() <= {"_version"}
        self.always_carefully = any(child.own for child in self.children)

    def _struct(self) -> type[msgspec.Struct]:
        fields: list[Any] = []
        for number, (f, column) in enumerate(self.columns):
            fields.append((f"f{number}", *_member_type(f, column)))
        fields += [(f"e{n}", list[child.type]) for n, child in enumerate(self.children)]  # type: ignore[name-defined]
        names = {f"f{n}": f.name for n, (f, _) in enumerate(self.columns)}
        names |= {f"e{n}": child.place.array for n, child in enumerate(self.children)}
        for number, (key, kind) in enumerate(self.own.items()):
            required = key == "_version"
            fields.append((f"o{number}", kind) if required else (f"o{number}", kind | UnsetType, UNSET))
            names[f"o{number}"] = key
        in_log = self.place.kind in (Kind.LOG, Kind.LOG_PER_PARENT)
        tag = {"tag_field": "_model", "tag": self.place.model.name} if in_log else {}
        return msgspec.defstruct(
            self.place.model.name,
            fields,
            rename=names,
            kw_only=True,
            forbid_unknown_fields=True,
            gc=False,
            **tag,  # type: ignore[arg-type]
        )

    def unfold(self, text: bytes) -> Record:
        """Decode one record.  Raises DamagedError, with model and field, for anything that it cannot mean."""
        try:
            if not self.always_carefully and NUL not in text:
                return self.of_decoded(self._decode(text))
        except (msgspec.MsgspecError, ValueError, RecursionError):
            pass
        return self.carefully(text)

    def of_decoded(self, decoded: Any) -> Record:
        """The record of what a decoder of :attr:`type` gave.  Raises ValueError for a value that is none."""
        record = Record(self.place, self._row(decoded), self._key_at)
        if self._plain:
            return record
        items = astuple(decoded)
        after = len(self.columns) + len(self.children)
        if self.children:
            record.embedded = [
                (child.place, child.inherit(child._row(item), record.values))
                for child, array in zip(self.children, items[len(self.columns) : after], strict=True)
                for item in array
            ]
        self._take_own(record, dict(zip(self.own, items[after:], strict=True)))
        return record

    def inherit(self, values: Values, parent: Values) -> Values:
        """An embedded row with its parent's key put back where it belongs."""
        own = iter(values)
        return [next(own) if source is None else parent[source] for source in self._inherited]

    def _take_own(self, record: Record, own: dict[str, Any]) -> None:
        digest = own.get("_sha256", UNSET)
        if digest is not UNSET:
            if len(digest) != 64 or digest.strip("0123456789abcdef"):
                raise ValueError("_sha256 is no SHA-256 in lower-case hexadecimal")
            record.sha256 = digest
        exact = own.get("_text", UNSET)
        if exact is not UNSET:
            for name, text in exact.items():
                index = next((i for i, (f, _) in enumerate(self.columns) if f.name == name and f.is_json), -1)
                one_line = text.replace("\n", " ").replace("\r", " ").encode()
                if index < 0 or record.values[index] != one_line:
                    raise ValueError(f"_text is not the text of {name}")
                record.values[index] = text.encode()

    def carefully(self, text: bytes) -> Record:
        """Decode one record member by member, without recursion.  Raises DamagedError."""
        try:
            found = _by_key(text)
        except rawjson.NotJson as error:
            raise DamagedError(error.reason, model=self.place.model.name) from error
        if _is_tombstone(self.place, found):
            return self._tombstone(found)
        key = self._key(found)
        try:
            return self._careful_record(found)
        except DamagedError as error:
            error.key_values = key
            raise

    def _key(self, found: Mapping[str, bytes]) -> tuple[bytes, ...] | None:
        """The key's values as PostgreSQL's text, if the record shows them and they can be read."""
        columns = {f.name: (f, column) for f, column in self.columns}
        names = self.place.model.key.field_names
        try:
            values = [self._value(*columns[n], found.get(n)) for n in names if n in columns]
        except DamagedError:
            return None
        known = tuple(v for v in values if v is not None)
        return known if len(known) == len(names) else None

    def _careful_record(self, found: dict[str, bytes]) -> Record:
        values: Values = []
        for f, column in self.columns:
            values.append(self._value(f, column, found.pop(f.name, None)))
        record = Record(self.place, values, self._key_at)
        embedded: list[tuple[Place, Values]] = []
        unknown: list[tuple[Place, str]] = []
        for child in self.children:
            for inner in child._array(self.place, found.pop(child.place.array, None)):
                embedded.append((child.place, child.inherit(inner.values, record.values)))
                unknown += inner.unknown
        self._careful_own(record, found)
        record.embedded = embedded
        record.unknown = [*((self.place, key) for key in found), *unknown]
        return record

    def _value(self, field: ScalarField, column: ColumnType, raw: bytes | None) -> bytes | None:
        model = self.place.model.name
        if raw is None:
            if field.is_json and field.nullable and not field.is_list:
                return None
            raise DamagedError("is missing", model=model, field=field.name)
        try:
            if column.decoded is msgspec.Raw:
                if not field.is_json and field.nullable and raw == b"null":
                    return None
                return column.text(msgspec.Raw(raw))
            decoded = msgspec.json.decode(raw, type=_member_type(field, column)[0])
            return None if is_null(decoded) else column.text(decoded)
        except UnicodeError as error:
            raise DamagedError("is not UTF-8", model=model, field=field.name) from error
        except RecursionError as error:
            raise DamagedError("is nested too deep", model=model, field=field.name) from error
        except (msgspec.MsgspecError, ValueError, KeyError) as error:
            reason = str(error).removesuffix(" - at `$`").replace("`", "")
            raise DamagedError(reason, model=model, field=field.name) from error

    def _array(self, parent: Place, raw: bytes | None) -> list[Record]:
        if raw is None:
            raise DamagedError("is missing", model=parent.model.name, field=self.place.array)
        try:
            spans = list(rawjson.elements(raw))
        except rawjson.NotJson as error:
            raise DamagedError(error.reason, model=parent.model.name, field=self.place.array) from error
        return [self.carefully(raw[start:end]) for start, end in spans]

    def _careful_own(self, record: Record, found: dict[str, bytes]) -> None:
        own: dict[str, Any] = {}
        for key, kind in self.own.items():
            if key not in found:
                if key == "_version":
                    raise DamagedError("is missing", model=self.place.model.name, field=key)
                continue
            try:
                own[key] = msgspec.json.decode(found.pop(key), type=kind)
            except (msgspec.MsgspecError, ValueError) as error:
                if key == "_version":
                    reason = f"is not a version that this Octavo reads ({VERSION})"
                    raise DamagedError(reason, model=self.place.model.name, field=key) from error
                raise DamagedError(
                    "is not what it should be", model=self.place.model.name, field=key
                ) from error
        if self.place.kind in (Kind.LOG, Kind.LOG_PER_PARENT):
            found.pop("_model", None)
        try:
            self._take_own(record, own)
        except ValueError as error:
            raise DamagedError(str(error), model=self.place.model.name) from error

    def _tombstone(self, found: dict[str, bytes]) -> Record:
        columns = {f.name: (f, column) for f, column in self.columns}
        names = self.place.model.key.field_names
        values = [self._value(*columns[n], found.get(n)) for n in names]
        record = Record(self.place, values, self._key_at)
        record.deleted = True
        return record


def _row_maker(columns: Sequence[tuple[ScalarField, ColumnType]]) -> Callable[[Any], Values]:
    """A function from a decoded record to its row.

    It is written out column by column, as the dataclass decorator does, since a loop takes twice the time and
    this is what reading a store mostly does.
    """
    names: dict[str, Any] = {"UNSET": UNSET}
    cells = []
    for n, (f, column) in enumerate(columns):
        names[f"text{n}"] = column.text
        value = f"record.f{n}"
        may_lack = f.nullable and (column.decoded is not msgspec.Raw or f.is_json)
        lacks = f"(v := {value}) is {'UNSET' if f.is_json and not f.is_list else 'None'}"
        found = "v" if may_lack else value
        cell = f"{found}.encode()" if column.is_plain else f"text{n}({found})"
        cells.append(f"None if {lacks} else {cell}" if may_lack else cell)
    source = f"def row(record):\n    return [{', '.join(cells)}]\n"
    exec(source, names)
    maker: Callable[[Any], Values] = names["row"]
    return maker


def _by_key(text: bytes) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for literal, start, end in rawjson.members(text):
        try:
            key = msgspec.json.decode(literal, type=str)
        except (msgspec.MsgspecError, UnicodeError) as error:
            raise rawjson.NotJson("a key is broken", start) from error
        if key in found:
            raise rawjson.NotJson(f"the key {key!r} stands twice", start)
        found[key] = text[start:end]
    return found


def _is_tombstone(place: Place, found: dict[str, bytes]) -> bool:
    return place.kind in (Kind.LOG, Kind.LOG_PER_PARENT) and found.get("_deleted") == b"true"


def _member_type(field: ScalarField, column: ColumnType) -> tuple[Any, ...]:
    """The type of a member and, where it may be left out, what stands for that."""
    if field.is_json and not field.is_list:
        return (msgspec.Raw | UnsetType, UNSET) if field.nullable else (msgspec.Raw,)
    return (or_null(column.decoded),) if field.nullable else (column.decoded,)


def _own_keys(place: Place) -> dict[str, Any]:
    """Octavo's own keys in a record of this place, beside ``_model``, with their types."""
    own: dict[str, Any] = {}
    if place.kind is Kind.FILE:
        own["_version"] = Literal[VERSION]
    if place.payload:
        own["_sha256"] = str
    if any(f.is_json and f.native is not None and f.native.name == "Json" for f in place.fields):
        own["_text"] = dict[str, str]
    return own


def _inherited(layout: Layout, place: Place) -> list[int | None]:
    """For each column of an embedded model: where in the parent's row its value stands, or None."""
    relation = place.relation
    if place.kind is not Kind.EMBEDDED or relation is None:
        return []
    parent = [f.name for f in layout.datamodel.model(relation.parent).scalars]
    source = {
        own: parent.index(theirs) for own, theirs in zip(relation.fields, relation.references, strict=True)
    }
    return [source.get(f.name) for f in place.model.scalars]
