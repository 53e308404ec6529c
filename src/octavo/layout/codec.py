"""Rows to the text of a file and back.

A :class:`Codec` belongs to one place of the layout.  It splits the text of a record into rows: the record's
own, and those of the records embedded in it, with their parent's key.  It joins them again to the very bytes
that an export writes.

There are two ways to decode.  The fast way is msgspec's decoder for a type that is built from the Datamodel.
It refuses unknown keys and wrong types, and never guesses.  What it refuses goes the careful way, member by
member, which either finds the record sound after all (nested deeper than a parser goes, or with keys that the
schema does not know) or names the field and the reason.  Nothing of the export's SQL is used here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cached_property, partial
from operator import attrgetter
from typing import Any, Literal, TypeAlias, TypeVar, cast

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import astuple

from octavo.errors import DamagedError
from octavo.layout.compiled import maker, texts_of
from octavo.layout.keys import Key, KeyForm, key_getter
from octavo.layout.layout import VERSION, Kind, Layout, Place
from octavo.layout.order import file_order
from octavo.layout.record import (
    Checks,
    Noted,
    Record,
    Row,
    attribute,
    digest_of,
    encode,
    member,
    noted,
    plain,
    record_type,
    value_of,
)
from octavo.schema.datamodel import ScalarField
from octavo.values.base import ValueType
from octavo.values.json import one_line
from octavo.values.registry import is_exact, value_type
from octavo.values.tokens import Members, NotJson, before_damage, elements, line_of

Values: TypeAlias = list[bytes | None]
"""A row: each column of the model, in the schema's order, as PostgreSQL's text; None is NULL."""

Embedded: TypeAlias = Mapping[str, Sequence[Row]]
"""The rows embedded in a record, by model."""

NONE: Embedded = {}

T = TypeVar("T")

_SHA256, _TEXT = "_0sha256", "_0text"
"""the attributes of Octavo's own keys ``_sha256`` and ``_text``, which no field's can be"""
_OWN = {"_version": "_0version", "_sha256": _SHA256, "_text": _TEXT}


class Decoded(msgspec.Struct, frozen=True, gc=False):
    """What the text of a record stands for."""

    row: Row
    embedded: Embedded = NONE


class _AsWritten(msgspec.Struct, frozen=True, gc=False):
    """A record as it stands in a file, with what is embedded in it.  Shows nothing of itself, as it may hold
    secrets."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


class Codec:
    """Reads and writes the records of one place."""

    def __init__(self, layout: Layout, place: Place) -> None:
        self.layout, self.place = layout, place
        self.name = place.model.name
        datamodel = layout.datamodel
        self.record_type = record_type(place.model, datamodel)
        self.children = [Codec(layout, child) for child in layout.embedded(self.name)]
        self.keys = KeyForm(place.model, datamodel)
        self.key_of = self.keys.of
        """from a row to its key"""
        self.order = file_order(place.model)
        """a sort key for rows as they follow each other in a file"""
        self._columns = {f.name: (f, value_type(f, datamodel)) for f in place.fields}
        self._own = _own_keys(place)
        self.is_plain = place.kind.is_log and not self.children and not self._own
        """whether a record as msgspec decodes it is the row itself"""
        self.type = self._type()
        """what msgspec decodes a record as"""
        self._decode = msgspec.json.Decoder(self.type).decode
        self._all = [(f, value_type(f, datamodel)) for f in place.model.scalars]
        self.checks = Checks(place.model, self._all)
        self.key_at = [place.model.scalars.index(f) for f in place.model.key_fields]
        """where in them those of the key stand"""
        self._make = maker(self.record_type, place.fields)
        self._json_texts = [f for f in place.fields if is_exact(f)]
        self._notes = bool(self._json_texts or place.payload)
        """whether a row may be more than its values as they are decoded"""
        self._inherits = self._inherited()
        self._arrays = [(child, child.array) for child in self.children]
        self._bare = place.fields[0] if place.is_array_of_keys else None
        """the field whose value alone stands for a record"""
        self._nothing: Embedded = {child.name: () for child in self.children} or NONE

    @cached_property
    def texts(self) -> Callable[[Any], Values]:
        """From a row (without a note) to its values as PostgreSQL's texts."""
        return texts_of(self._all)

    def _type(self) -> Any:
        if self.place.is_array_of_keys:
            return member(self.place.fields[0], self.layout.datamodel)[0]
        return self.record_type if self.is_plain else self._struct()

    def _struct(self) -> type[msgspec.Struct]:
        datamodel = self.layout.datamodel
        shown = self.place.fields
        fields: list[Any] = [(attribute(f), *member(f, datamodel)) for f in shown]
        names = {attribute(f): f.name for f in shown}
        for child in self.children:
            fields.append((child.array, list[child.type]))  # type: ignore[name-defined]
            names[child.array] = child.place.array
        for key, kind in self._own.items():
            attr = _OWN[key]
            fields.append((attr, kind) if key == "_version" else (attr, kind | UnsetType, UNSET))
            names[attr] = key
        tag = {"tag_field": "_model", "tag": self.name} if self.place.kind.is_log else {}
        return msgspec.defstruct(
            self.name,
            fields,
            bases=(_AsWritten,),
            rename=names,
            kw_only=True,
            frozen=True,
            gc=False,
            forbid_unknown_fields=True,
            **tag,  # type: ignore[arg-type]
        )

    @property
    def array(self) -> str:
        """The attribute that holds the array of an embedded place in its parent's record, as decoded."""
        return f"_{self.place.array}"

    def _inherited(self) -> list[tuple[str, str]]:
        """The attributes that an embedded row has from its parent, with those of the parent."""
        relation = self.place.relation
        if self.place.kind is not Kind.EMBEDDED or relation is None:
            return []
        parent = self.layout.datamodel.model(relation.parent)
        return [
            (attribute(self.place.model.scalar(own)), attribute(parent.scalar(theirs)))
            for own, theirs in zip(relation.fields, relation.references, strict=True)
        ]

    def inherited(self, parent: Row) -> dict[str, Any]:
        """The stored values that an embedded row has from its parent."""
        return {own: getattr(parent, theirs) for own, theirs in self._inherits}

    # Decoding

    def decode(self, text: bytes) -> Decoded:
        """The rows that a record's text stands for.

        Raises DamagedError, with model and field and the line within the text, for anything that it cannot
        mean.
        """
        try:
            return self.quickly(text)
        except (msgspec.MsgspecError, ValueError, RecursionError, DamagedError):
            return self.carefully(text)

    def quickly(self, text: bytes) -> Decoded:
        """The same for text as Octavo writes it.  Raises msgspec's errors, ValueError, RecursionError or
        DamagedError for anything else, which may be sound all the same."""
        decoded = self._decode(text)
        if not self._is_as_written(decoded, text):
            raise ValueError("is not as written")
        found = self.split(decoded)
        self.check((found,), text)
        return found

    def check(self, records: Collection[Decoded], text: bytes) -> None:
        """Check records that stand in ``text`` as Octavo writes it, many at once.  Raises as ``quickly``."""
        self.checks.run([plain(record.row) for record in records], text)
        hosts = [record for record in records if record.embedded is not self._nothing]
        for child in self.children if hosts else ():
            if rows := [plain(row) for record in hosts for row in record.embedded[child.name]]:
                child.checks.run(rows, text)

    def split(self, decoded: Any) -> Decoded:
        """The rows of a record as msgspec has decoded it.  Raises ValueError for a value that is none."""
        if self.is_plain:
            return Decoded(decoded)
        row = self._row(decoded, {}) if self._notes else self._make(decoded)
        embedded = self._nothing
        for child, array in self._arrays:
            if items := getattr(decoded, array):
                inherited = child.inherited(row)
                embedded = {**embedded, child.name: [child._row(item, inherited) for item in items]}
        return Decoded(row, embedded)

    def split_all(self, decoded: Sequence[Any]) -> list[Decoded]:
        """The same for many, most of which have nothing embedded in them."""
        if self._notes or not self._arrays:
            return list(map(self.split, decoded))
        arrays, nothing = attrgetter(*(array for _, array in self._arrays)), self._nothing
        return [
            self.split(one) if any(arrays(one)) else Decoded(row, nothing)
            for one, row in zip(decoded, map(self._make, decoded), strict=True)
        ]

    def _row(self, decoded: Any, inherited: Mapping[str, Any]) -> Row:
        if self._bare is not None:
            return self.record_type(**{attribute(self._bare): decoded}, **inherited)
        row = self._make(decoded, **inherited)
        if self._json_texts and (texts := getattr(decoded, _TEXT)) is not UNSET:
            row = self._exact(row, texts)
        if self.place.payload and (sha256 := getattr(decoded, _SHA256)) is not UNSET:
            return noted(row, _digest(sha256))
        return row

    def _exact(self, row: Record, texts: Mapping[str, str]) -> Record:
        """With the exact text of ``json`` columns, where their line in a file had to be another."""
        exact: dict[str, Any] = {}
        named = {f.name: f for f in self._json_texts}
        for name, text in texts.items():
            held = UNSET if name not in named else getattr(row, attribute(named[name]))
            if type(held) is not msgspec.Raw or bytes(held) != one_line(text):
                raise ValueError(f"is not the text of {name}")
            exact[attribute(named[name])] = msgspec.Raw(text.encode())
        return msgspec.structs.replace(row, **exact)

    def _is_as_written(self, decoded: Any, text: bytes) -> bool:
        """Whether the text is as long as the one that Octavo writes.

        That one has no spare byte, so a text of its length has no key twice.
        """
        length = len(encode(decoded))
        if self.place.kind is Kind.FILE:
            length += self._white_space(decoded, 0) + 1
        elif self.place.kind is Kind.DOCUMENT:
            length += self._white_space(decoded, 2)
        return length == len(text)

    def _white_space(self, decoded: Any, depth: int) -> int:
        """The bytes that indenting this record by 2 takes, at this depth."""
        there = sum(item is not UNSET for item in astuple(decoded))
        size = there * (2 * depth + 4) + 2 * depth + 1
        for child in self.children:
            if array := getattr(decoded, child.array):
                size += len(array) * (2 * depth + 5) + 2 * depth + 3
                if child._bare is None:
                    size += sum(child._white_space(item, depth + 2) for item in array)
        return size

    def carefully(self, text: bytes) -> Decoded:
        """Decode a record member by member, without recursion; keys that the schema does not know are kept.

        Raises DamagedError, whose line counts within the text.
        """
        try:
            return self.of_members(Members(text))
        except NotJson as error:
            line = line_of(text, error.position)
            damaged = DamagedError(error.reason, line=line, model=self.name)
            damaged.key_values = self.key_in(before_damage(text))
            if damaged.key_values is not None:
                damaged.host = self.name, damaged.key_values
            raise damaged from error

    def of_members(self, found: Members) -> Decoded:
        """The same for a record that is sliced already."""
        key = self.key_in(found)
        try:
            return self._record(found)
        except DamagedError as error:
            if error.model == self.name:
                error.key_values = key
            if key is not None:
                error.host = self.name, key
            raise

    def _record(self, found: Members) -> Decoded:
        if "_version" in self._own:
            self._member(found, "_version", version)
        own = self._columns_of(found, {})
        embedded: dict[str, Sequence[Row]] = {
            c.name: c._array(self.name, found, own) or () for c in self.children
        }
        row = self._with_own(own, found)
        if self.place.kind.is_log:
            found.take_span("_model")
        return Decoded(self._with_unknown(row, found), embedded or NONE)

    def _array(self, parent: str, found: Members, row: Row) -> list[Row]:
        span = found.take_span(self.place.array)
        start = span[0] if span else found.start
        inherited = self.inherited(row)
        try:
            if span is None:
                raise NotJson("is missing", start)
            item = self._item if self._bare is None else self._key_alone
            return [item(found.text, first, last, inherited) for first, last in elements(found.text, *span)]
        except NotJson as error:
            line = line_of(found.text, error.position)
            raise DamagedError(error.reason, line=line, model=parent, field=self.place.array) from error

    def _key_alone(self, text: bytes, first: int, last: int, inherited: Mapping[str, Any]) -> Row:
        (name, (f, column)) = next(iter(self._columns.items()))
        try:
            return self.record_type(**{attribute(f): _value(f, column, text[first:last])}, **inherited)
        except ValueError as error:
            line = line_of(text, first)
            raise DamagedError(_reason(error), line=line, model=self.name, field=name) from error

    def _item(self, text: bytes, first: int, last: int, inherited: Mapping[str, Any]) -> Row:
        found = Members(text, first, last)
        key = self.key_in(found)
        try:
            row = self._with_own(self._columns_of(found, inherited), found)
            return self._with_unknown(row, found)
        except DamagedError as error:
            error.key_values = key
            raise

    def _columns_of(self, found: Members, inherited: Mapping[str, Any]) -> Record:
        values = {
            attribute(f): self._member(found, name, partial(_value, f, column))
            for name, (f, column) in self._columns.items()
        }
        return self.record_type(**values, **inherited)

    def _with_own(self, row: Record, found: Members) -> Row:
        if "_text" in self._own:
            exact: Callable[[Any], Record] = partial(self._exact, row)
            row = self._member(found, "_text", lambda raw: exact(_own_value(dict[str, str], raw) or {}))
        if self.place.payload:
            return noted(row, self._member(found, "_sha256", lambda raw: _digest(_own_value(str, raw))))
        return row

    def _with_unknown(self, row: Row, found: Members) -> Row:
        unknown = found.left_members()
        if not unknown:
            return row
        try:
            found.text.decode()
        except UnicodeDecodeError as error:
            line = line_of(found.text, error.start)
            raise DamagedError("is not UTF-8", line=line, model=self.name) from error
        return noted(plain(row), digest_of(row), unknown)

    def _member(self, found: Members, key: str, meaning: Callable[[bytes | None], T]) -> T:
        """What is meant by the member of this key, which is taken out.  Raises DamagedError."""
        span = found.take_span(key)
        try:
            return meaning(None if span is None else found.text[slice(*span)])
        except ValueError as error:
            line = line_of(found.text, span[0] if span else found.start)
            raise DamagedError(_reason(error), line=line, model=self.name, field=key) from error

    def removed(self, found: Members) -> Key:
        """The key that a tombstone removes.  Raises DamagedError."""
        values = [self._member(found, f.name, partial(_value, f, column)) for f, column in self.keys.fields]
        return self.keys.key(values)

    def key_in(self, found: Members | Mapping[str, bytes]) -> tuple[bytes, ...] | None:
        """The key's values as PostgreSQL's text, if the record shows them and they can be read."""
        texts = []
        for f, column in self.keys.fields:
            if f.name not in self._columns:
                return None
            try:
                value = _value(f, column, found.get(f.name))
            except ValueError:
                return None
            if f.nullable and column.is_null(value):
                return None
            texts.append(column.text(value))
        return tuple(texts)

    def by_key(self, records: Iterable[Decoded], file: str) -> dict[str, dict[Key, Row]]:
        """The rows embedded in records of a file, by model and key.  Raises DamagedError for a key that
        stands twice."""
        embedded: dict[str, dict[Key, Row]] = {child.name: {} for child in self.children}
        for record in records:
            for child in self.children if record.embedded is not self._nothing else ():
                rows = embedded[child.name]
                for row in record.embedded[child.name]:
                    key = child.key_of(row)
                    if key in rows:
                        raise DamagedError("its key stands twice", file=file, model=child.name)
                    rows[key] = row
        return embedded

    def unknown_keys(self, found: Decoded) -> list[tuple[Place, str]]:
        """The keys that the schema does not know, in a record and in what is embedded in it."""
        keys = [(self.place, key) for key, _ in _unknown(found.row)]
        for child in self.children:
            for row in found.embedded[child.name]:
                keys += [(child.place, key) for key, _ in _unknown(row)]
        return keys

    # Encoding

    def encode(self, row: Row, embedded: Embedded = NONE) -> bytes:
        """The bytes of a record as they stand in its file: a line without its end, the content of a record
        file, or an element of a document's array.  What is embedded comes in any order."""
        if self.is_plain and type(row) is not Noted:
            return encode(row)
        kind = self.place.kind
        if kind.is_log:
            return self._text(row, embedded, None)
        return self._text(row, embedded, 0) + b"\n" if kind is Kind.FILE else self._text(row, embedded, 2)

    def encode_tombstone(self, key: Key) -> bytes:
        """The line, without its end, that removes the record with this key."""
        return self.keys.tombstone(key)

    def _text(self, row: Row, embedded: Embedded, depth: int | None) -> bytes:
        """A record as JSON: indented, its closing bracket at ``depth``; compact for None."""
        if self._bare is not None:
            return encode(getattr(row, attribute(self._bare)))
        inner, outer = _line(depth, 1), _line(depth, 0)
        colon = b":" if depth is None else b": "
        members = [key + colon + value for key, value in self._members(row, embedded, depth)]
        return b"{" + inner + (b"," + inner).join(members) + outer + b"}"

    def _members(self, row: Row, embedded: Embedded, depth: int | None) -> list[tuple[bytes, bytes]]:
        """Each member's key and value as JSON, in their order."""
        found: list[tuple[bytes, bytes]] = []
        if self.place.kind.is_log:
            found.append((b'"_model"', encode(self.name)))
        elif self.place.kind is Kind.FILE:
            found.append((b'"_version"', b"%d" % VERSION))
        lines, texts = self._one_line(row)
        for name, (f, _) in self._columns.items():
            if (value := getattr(row, attribute(f))) is not UNSET:
                found.append((encode(name), lines[name] if name in lines else encode(value)))
        for child in self.children:
            array = child._rows_text(embedded.get(child.name, ()), depth)
            found.append((encode(child.place.array), array))
        if texts:
            found.append((b'"_text"', encode(texts)))
        if type(row) is Noted:
            if row.sha256 is not None:
                found.append((b'"_sha256"', encode(row.sha256)))
            found += [(encode(key), value) for key, value in row.unknown]
        return found

    def _rows_text(self, rows: Iterable[Row], depth: int | None) -> bytes:
        """Embedded records as JSON, in a record whose closing bracket is at ``depth``."""
        inner, outer = _line(depth, 2), _line(depth, 1)
        below = None if depth is None else depth + 2
        texts = [self._text(row, NONE, below) for row in sorted(rows, key=self.order)]
        return b"[" + inner + (b"," + inner).join(texts) + outer + b"]" if texts else b"[]"

    def _one_line(self, row: Row) -> tuple[dict[str, bytes], dict[str, str]]:
        """The lines of ``json`` columns whose text is another, and these texts."""
        lines: dict[str, bytes] = {}
        texts: dict[str, str] = {}
        for f in self._json_texts:
            raw = getattr(row, attribute(f))
            if f.is_list or raw is UNSET:
                continue
            text = bytes(raw).decode()
            if (line := one_line(text)) != text.encode():
                lines[f.name], texts[f.name] = line, text
        return lines, texts


class Namer:
    """The file that a record lives in, from the stored values that name it."""

    def __init__(self, codec: Codec) -> None:
        place = codec.place
        self._place = place
        datamodel = codec.layout.datamodel
        fields = [place.model.scalar(name) for name in place.name_fields]
        self._texts = [value_type(f, datamodel).text for f in fields]
        self.values_of: Callable[[Row], Any] = codec.key_of
        """from a row to the values that name its file"""
        if place.kind is Kind.LOG_PER_PARENT:
            self.values_of = key_getter(fields)
        self._files: dict[Key, str] = {}

    def file(self, values: Any) -> str:
        """``values``: one, or the tuple of more.  They are those of the key, or of the parent's."""
        found = self._files.get(values)
        if found is None:
            parts = (values,) if len(self._texts) == 1 else values
            texts = [text(part).decode() for text, part in zip(self._texts, parts, strict=True)]
            found = self._place.file_for(texts)
            if len(self._files) >= 4096:
                self._files.clear()
            self._files[values] = found
        return found


class Codecs(dict[str, Codec]):
    """The codec of each model, made when it is first asked for."""

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        self._layout = layout

    @classmethod
    def of(cls, layout: Layout) -> Codecs:
        """Those that all users of a layout share."""
        known: dict[str, Any] = vars(layout)
        if (found := known.get("codecs")) is None:
            found = known.setdefault("codecs", cls(layout))
        return cast(Codecs, found)

    def __missing__(self, model: str) -> Codec:
        made = Codec(self._layout, self._layout.host(model))
        self[made.name] = made
        self.update({child.name: child for child in made.children})
        return self[model]


def version(raw: bytes | None) -> None:
    """Check what stands under ``_version``.  Raises ValueError."""
    if raw is None:
        raise ValueError("is missing")
    if raw != b"%d" % VERSION:
        found = raw[:20].decode("utf-8", "replace")
        raise ValueError(f"is format version {found}; this Octavo reads {VERSION}")


def _own_keys(place: Place) -> dict[str, Any]:
    """Octavo's own keys in a record of this place, beside ``_model``, with their types, in their order."""
    own: dict[str, Any] = {}
    if place.kind is Kind.FILE:
        own["_version"] = Literal[VERSION]
    if any(is_exact(f) for f in place.fields):
        own["_text"] = dict[str, str]
    if place.payload:
        own["_sha256"] = str
    return own


def _own_value(kind: Any, raw: bytes | None) -> Any:
    return None if raw is None else msgspec.json.decode(raw, type=kind)


def _digest(value: str | None) -> str | None:
    if value is not None and (len(value) != 64 or value.strip("0123456789abcdef")):
        raise ValueError("is no SHA-256 in lower-case hexadecimal")
    return value


def _unknown(row: Row) -> tuple[tuple[str, bytes], ...]:
    return row.unknown if type(row) is Noted else ()


def _line(depth: int | None, more: int) -> bytes:
    """What separates tokens that stand on lines of their own."""
    return b"" if depth is None else b"\n" + b"  " * (depth + more)


def _value(field: ScalarField, column: ValueType, raw: bytes | None) -> Any:
    """The stored form of what stands under a field's name.  Raises ValueError."""
    value = value_of(field, column, raw)
    if raw is None and not (field.is_json and field.nullable and not field.is_list):
        raise ValueError("is missing")
    if not (field.nullable and column.is_null(value)):
        column.text(value)
    return value


def _reason(error: ValueError) -> str:
    if isinstance(error, UnicodeError):
        return "is not UTF-8"
    if isinstance(error, NotJson):
        return error.reason
    return str(error).replace(" - at `$`", "").replace("`", "")
