"""From JSON to rows: what stands in a file, as the text that PostgreSQL would print for each column.

An :class:`Unfolder` decodes one kind of record.  Nearly all of them take the fast way, msgspec's decoder for
a type built from the Datamodel.  What that refuses goes the careful way, member by member, which either
finds the record sound after all (deeper than a parser goes, or with keys that the schema does not know) or
names the field and the reason.  Nothing of the export's SQL is used here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias, TypeVar

import msgspec
from msgspec import UNSET

from octavo.errors import DamagedError
from octavo.layout.keys import KeyForm, is_tombstone
from octavo.layout.layout import Kind, Layout, Place
from octavo.layout.record import attribute
from octavo.layout.stored import OWN_ATTRIBUTES, Shape, array_attribute, value_of, version
from octavo.schema.datamodel import ScalarField
from octavo.values.base import Text, ValueType
from octavo.values.json import one_line
from octavo.values.tokens import Members, NotJson, before_damage, elements, line_of

Values: TypeAlias = list[bytes | None]
"""A row: each column of the model, in the schema's order, as PostgreSQL's text; None is NULL."""

T = TypeVar("T")


class Unfolded:
    """What one record in a file stands for.

    ``values`` is its own row (of a tombstone, ``deleted``: its key alone); ``embedded`` the rows inside it,
    each with its place.  ``sha256`` is its payload's digest, if it has one; ``unknown`` the keys that the
    schema does not know, with the place they stand in.
    """

    __slots__ = ("decoded", "deleted", "embedded", "key_at", "line", "place", "sha256", "unknown", "values")

    def __init__(self, place: Place, values: Values, key_at: Sequence[int]) -> None:
        self.place, self.values, self.key_at = place, values, key_at
        self.embedded: Sequence[tuple[Place, Values]] = ()
        self.decoded: Any = None
        """the record as it was decoded, where that is the row itself"""
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
        shape = Shape(layout, place)
        self.place, self.columns, self.own, self.type = place, shape.columns, shape.own, shape.type
        self.children = [Unfolder(layout, child) for child in layout.embedded(place.model.name)]
        self._row = row_maker(self.columns)
        shown = [f.name for f in place.fields]
        self._key_at = [shown.index(n) for n in place.model.key.field_names if n in shown]
        self._decode = shape.decode
        self._columns = {f.name: (f, column) for f, column in self.columns}
        self._keys = KeyForm(place.model, layout.datamodel)
        self._inherited = _inherited(layout, place)
        self._is_record = shape.is_record
        self._plain = not self.children and self.own.keys() <= {"_version"}
        self.always_carefully = any(child.own for child in self.children)

    def unfold(self, text: bytes) -> Unfolded:
        """Decode one record.  Raises DamagedError, with model and field, for anything that it cannot mean."""
        try:
            if not self.always_carefully:
                return self.of_decoded(self._decode(text))
        except (msgspec.MsgspecError, ValueError, RecursionError):
            pass
        return self.carefully(text)

    def of_decoded(self, decoded: Any) -> Unfolded:
        """The record of what a decoder of :attr:`type` gave.  Raises ValueError for a value that is none."""
        record = Unfolded(self.place, self._row(decoded), self._key_at)
        record.decoded = decoded if self._is_record else None
        if self._plain:
            return record
        if self.children:
            record.embedded = [
                (child.place, child.inherit(child._row(item), record.values))
                for child in self.children
                for item in getattr(decoded, array_attribute(child.place))
            ]
        for key in self.own:
            if (value := getattr(decoded, OWN_ATTRIBUTES[key])) is not UNSET:
                self._take_own(record, key, value)
        return record

    def inherit(self, values: Values, parent: Values) -> Values:
        """An embedded row with its parent's key put back where it belongs."""
        own = iter(values)
        return [next(own) if source is None else parent[source] for source in self._inherited]

    def _take_own(self, record: Unfolded, key: str, value: Any) -> None:
        if key == "_sha256":
            if len(value) != 64 or value.strip("0123456789abcdef"):
                raise ValueError("is no SHA-256 in lower-case hexadecimal")
            record.sha256 = value
        elif key == "_text":
            for name, text in value.items():
                index = next((i for i, (f, _) in enumerate(self.columns) if f.name == name and f.is_json), -1)
                if index < 0 or record.values[index] != one_line(text):
                    raise ValueError(f"is not the text of {name}")
                record.values[index] = text.encode()

    def carefully(self, text: bytes) -> Unfolded:
        """Decode one record member by member, without recursion.

        Raises DamagedError, whose line counts within the text.
        """
        try:
            return self.of_members(Members(text))
        except NotJson as error:
            line = line_of(text, error.position)
            damaged = DamagedError(error.reason, line=line, model=self.place.model.name)
            damaged.key_values = self.key_in(before_damage(text))
            if damaged.key_values is not None:
                damaged.host = self.place.model.name, damaged.key_values
            raise damaged from error

    def of_members(self, found: Members) -> Unfolded:
        """The same for a record that is sliced already."""
        if self.place.kind.is_log and is_tombstone(found):
            return self._tombstone(found)
        key = self.key_in(found)
        try:
            return self._careful_record(found)
        except DamagedError as error:
            if error.model == self.place.model.name:
                error.key_values = key
            if key is not None and self.place.kind is not Kind.EMBEDDED:
                error.host = self.place.model.name, key
            raise

    def key_in(self, found: Members | Mapping[str, bytes]) -> tuple[bytes, ...] | None:
        """The key's values as PostgreSQL's text, if the record shows them and they can be read."""
        names = self.place.model.key.field_names
        try:
            values = [_value(*self._columns[n], found.get(n)) for n in names if n in self._columns]
        except ValueError:
            return None
        known = tuple(v for v in values if v is not None)
        return known if len(known) == len(names) else None

    def _careful_record(self, found: Members) -> Unfolded:
        if "_version" in self.own:
            self._careful_member(found, "_version", version)
        values = [
            self._careful_member(found, f.name, partial(_value, f, column)) for f, column in self.columns
        ]
        record = Unfolded(self.place, values, self._key_at)
        embedded: list[tuple[Place, Values]] = []
        unknown: list[tuple[Place, str]] = []
        for child in self.children:
            for inner in child._array(self.place, found):
                embedded.append((child.place, child.inherit(inner.values, record.values)))
                unknown += inner.unknown
        for key, kind in self.own.items():
            if key != "_version":
                self._careful_member(found, key, partial(self._careful_own, record, key, kind))
        if self.place.kind in (Kind.LOG, Kind.LOG_PER_PARENT):
            found.take_span("_model")
        record.embedded = embedded
        record.unknown = [*((self.place, key) for key in found.left()), *unknown]
        if record.unknown:
            self._check_encoding(found.text)
        return record

    def _careful_member(self, found: Members, key: str, meaning: Callable[[bytes | None], T]) -> T:
        """What is meant by the member of this key, which is taken out.  Raises DamagedError."""
        span = found.take_span(key)
        try:
            return meaning(None if span is None else found.text[slice(*span)])
        except ValueError as error:
            line = line_of(found.text, span[0] if span else found.start)
            reason = _reason(error)
            raise DamagedError(reason, line=line, model=self.place.model.name, field=key) from error

    def _array(self, parent: Place, found: Members) -> list[Unfolded]:
        span = found.take_span(self.place.array)
        start = span[0] if span else found.start
        try:
            if span is None:
                raise NotJson("is missing", start)
            return [
                self.of_members(Members(found.text, first, last))
                for first, last in elements(found.text, *span)
            ]
        except NotJson as error:
            line, model = line_of(found.text, error.position), parent.model.name
            raise DamagedError(error.reason, line=line, model=model, field=self.place.array) from error

    def _careful_own(self, record: Unfolded, key: str, kind: Any, raw: bytes | None) -> None:
        if raw is not None:
            self._take_own(record, key, msgspec.json.decode(raw, type=kind))

    def _check_encoding(self, text: bytes) -> None:
        try:
            text.decode()
        except UnicodeDecodeError as error:
            line = line_of(text, error.start)
            raise DamagedError("is not UTF-8", line=line, model=self.place.model.name) from error

    def _tombstone(self, found: Members) -> Unfolded:
        values = [self._careful_member(found, f.name, partial(_value, f, c)) for f, c in self._keys.fields]
        record = Unfolded(self.place, values, ())
        record.deleted = True
        return record


def _value(field: ScalarField, column: ValueType, raw: bytes | None) -> bytes | None:
    """PostgreSQL's text of what stands under a field's name.  Raises ValueError."""
    value = value_of(field, column, raw)
    if raw is None and not (field.is_json and field.nullable and not field.is_list):
        raise ValueError("is missing")
    return None if field.nullable and column.is_null(value) else column.text(value)


def _reason(error: ValueError) -> str:
    if isinstance(error, UnicodeError):
        return "is not UTF-8"
    if isinstance(error, NotJson):
        return error.reason
    return str(error).replace(" - at `$`", "").replace("`", "")


def row_maker(columns: Sequence[tuple[ScalarField, ValueType]]) -> Callable[[Any], Values]:
    """A function from a decoded record to its row.

    It is written out column by column, as the dataclass decorator does, since a loop takes twice the time and
    this is what reading a store mostly does.
    """
    names: dict[str, Any] = {"UNSET": UNSET}
    cells = []
    for n, (f, column) in enumerate(columns):
        names[f"text{n}"] = column.text
        if f.nullable and column.decoded is msgspec.Raw and not f.is_json:
            names[f"text{n}"] = _or_none(column.text)
        value = f"record.{attribute(f)}"
        may_lack = f.nullable and (column.decoded is not msgspec.Raw or f.is_json)
        lacks = f"(v := {value}) is {'UNSET' if f.is_json and not f.is_list else 'None'}"
        found = "v" if may_lack else value
        cell = f"text{n}({found})"
        cells.append(f"None if {lacks} else {cell}" if may_lack else cell)
    source = f"def row(record):\n    return [{', '.join(cells)}]\n"
    exec(source, names)
    maker: Callable[[Any], Values] = names["row"]
    return maker


def _or_none(text: Text) -> Callable[[msgspec.Raw], bytes | None]:
    """For raw text, which may be ``null`` by itself."""
    return lambda raw: None if bytes(raw) == b"null" else text(raw)


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
