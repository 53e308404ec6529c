"""A row in memory: one immutable, typed object per record, the same whatever backend it came from.

The type of each model is built from the Datamodel.  A record's attributes are the schema's field names and
give Python's values; inside, it holds what stands in the file (see :mod:`octavo.values.base`), so that a
log of messages is decoded in one go, and equal records are equal to the digit.  :class:`Checks` finds what
the types do not show: that a text is a time, a number in its range.
"""

from __future__ import annotations

import keyword
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Self, TypeAlias, cast
from weakref import WeakValueDictionary

import msgspec
from msgspec import UNSET
from msgspec.structs import astuple

from octavo.errors import DamagedError, SchemaError
from octavo.layout.shown import Shown
from octavo.layout.spelled import Parts
from octavo.schema.datamodel import Datamodel, Model, ScalarField
from octavo.schema.texts import FINGERPRINT, frozen_schema, is_frozen
from octavo.text import pattern
from octavo.values.base import ValueType, or_null
from octavo.values.registry import is_plain, reader, value_type
from octavo.values.tokens import elements

encode = msgspec.json.Encoder().encode

ESCAPED = pattern(rb"\\u")
"""finds a character that JSON spells by its number; ``in`` takes three times as long"""

_SHOWN = 120
"""characters of a text that a record's ``repr`` shows"""
_MASK = "…"


class BareRecord(Shown, msgspec.Struct, frozen=True, gc=False):
    """What every record has beside its fields."""

    def __octavo_parts__(self) -> Parts:
        fields = model_of(self).scalars
        return Parts(model_of(self), self, [(f, getattr(self, attribute(f))) for f in fields], {})

    def _values(self) -> dict[str, Any]:
        return {f.name: getattr(self, f.name) for f in model_of(self).scalars}

    def __reduce__(self) -> tuple[Any, ...]:
        return _remade, (_types_of(type(self)), model_of(self).name, astuple(self))

    def __deepcopy__(self, memo: Any) -> Self:
        return self

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        from octavo.layout.pydantic import record_schema

        def new(stored: Mapping[str, Any]) -> Any:
            return cls(**{attribute(f): stored[f.name] for f in model_of(cls).scalars})

        return record_schema(cls, _types_of(cls).datamodel, new)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={text}' for name, text in _shown(self))})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return list(_shown(self))


class Record(BareRecord, frozen=True, gc=False):
    """One row of a model.  Compares by its fields; shows no secret in its ``repr``."""

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """The fields, which only the schema knows."""


class Noted:
    """A row with what the schema does not know of it; in everything else it is that row."""

    __slots__ = ("row", "sha256", "unknown")

    def __init__(self, row: Record, sha256: str | None, unknown: tuple[tuple[str, bytes], ...]) -> None:
        self.row = row
        self.sha256 = sha256
        """the digest of its payload"""
        self.unknown = unknown
        """the members of its text that the schema does not know"""

    def __getattr__(self, name: str) -> Any:
        return getattr(self.row, name)

    def __repr__(self) -> str:
        return repr(self.row)


Row: TypeAlias = Record | Noted


def plain(row: Row) -> Record:
    """A row without what the schema does not know of it."""
    return row.row if type(row) is Noted else row  # type: ignore[return-value]


def noted(row: Record, sha256: str | None, unknown: tuple[tuple[str, bytes], ...] = ()) -> Row:
    """A row with a note, if there is anything to note."""
    return row if sha256 is None and not unknown else Noted(row, sha256, unknown)


def digest_of(row: Row) -> str | None:
    """The SHA-256 of a row's payload, if one is kept."""
    return row.sha256 if type(row) is Noted else None


def keeping(row: Record, before: Row | None) -> Row:
    """A row with the note of what it was before."""
    return Noted(row, before.sha256, before.unknown) if type(before) is Noted else row


def _shown(record: BareRecord) -> Iterator[tuple[str, str]]:
    for f in model_of(record).scalars:
        value = getattr(record, f.name)
        if f.secret is not None and value is not None:
            yield f.name, _MASK
            continue
        text = repr(value)
        yield f.name, text if len(text) <= _SHOWN else text[:_SHOWN] + _MASK


def model_of(record: BareRecord | type[BareRecord]) -> Model:
    """The model that a record, or a type of records, belongs to."""
    found: Model = record.__octavo_model__  # type: ignore[union-attr]
    return found


@lru_cache(4096)
def attribute(field: ScalarField) -> str:
    """The attribute in which a record holds this field's stored form.

    It is the field's name where the stored form is Python's value, and one with ``_`` before it otherwise,
    which no field's name has.
    """
    plain = is_plain(field) and field.name not in _TAKEN and not keyword.iskeyword(field.name)
    return field.name if plain else f"_{field.name}"


def stored_value(record: Any, field: ScalarField) -> Any:
    """A field's value in its stored form."""
    return getattr(record, attribute(field))


def member(field: ScalarField, datamodel: Datamodel) -> tuple[Any, ...]:
    """The type of this field's member in JSON, in msgspec's terms; with it, where a member may be left out,
    what stands for that."""
    kind = value_type(field, datamodel).decoded
    if field.is_json and not field.is_list:
        return (msgspec.Raw | msgspec.UnsetType, UNSET) if field.nullable else (msgspec.Raw,)
    return (or_null(kind),) if field.nullable else (kind,)


def value_of(field: ScalarField, column: ValueType, raw: bytes | None) -> Any:
    """The stored form of a member that is known to be sound; UNSET of one that is left out."""
    if raw is None:
        return UNSET
    if column.decoded is msgspec.Raw:
        return msgspec.Raw(raw)
    if field.nullable and raw == b"null":
        return None
    if column.decoded == list[msgspec.Raw]:
        return [msgspec.Raw(raw[start:end]) for start, end in elements(raw)]
    return msgspec.json.decode(raw, type=column.decoded)


class _Types(dict[str, type[Record]]):
    """The types of a schema's records, by model.

    Equal Datamodels share them, so that a record that was pickled is equal to what it was made from.
    """

    def __init__(self, datamodel: Datamodel, text: bytes) -> None:
        self.datamodel = datamodel
        self.text = text
        """the Datamodel; empty for the frozen schema's"""

    def of(self, model: Model) -> type[Record]:
        found = self.get(model.name)
        return found or self.setdefault(model.name, _build(model, self))

    def __reduce__(self) -> tuple[Any, ...]:
        return _types_again, (FINGERPRINT if not self.text else "", self.text)


_TYPES: WeakValueDictionary[bytes, _Types] = WeakValueDictionary()
"""by the Datamodel as JSON"""


def _types(datamodel: Datamodel) -> _Types:
    found: _Types | None = datamodel.__dict__.get("_record_types")
    if found is None:
        text = b"" if is_frozen(datamodel) else msgspec.json.encode(datamodel)
        shared = _TYPES.setdefault(text, _Types(datamodel, text))
        found = datamodel.__dict__.setdefault("_record_types", shared)
    return found


def _types_of(kind: type[BareRecord]) -> _Types:
    found: _Types = kind.__octavo_types__  # type: ignore[attr-defined]
    return found


def _types_again(fingerprint: str, text: bytes) -> _Types:
    """The types of a pickled record.  Raises SchemaError for one of another version's frozen schema."""
    if not text:
        if fingerprint != FINGERPRINT:
            raise SchemaError("the pickled record is of another version of Octavo's schema")
        return _types(frozen_schema())
    return _TYPES.get(text) or _types(msgspec.json.decode(text, type=Datamodel))


def _remade(types: _Types, model: str, values: tuple[Any, ...]) -> Record:
    kind = types.of(types.datamodel.model(model))
    return kind(**dict(zip(kind.__struct_fields__, values, strict=True)))


def record_type(model: Model, datamodel: Datamodel) -> type[Record]:
    """The type of a model's records.  Its JSON is a line of a log: compact, ``_model`` first.

    A Datamodel has one such type for each model, so that records of one are equal wherever they come from.
    """
    return _types(datamodel).of(model)


def _build(model: Model, types: _Types) -> type[Record]:
    datamodel = types.datamodel
    namespace: dict[str, Any] = {
        "__octavo_model__": model,
        "__octavo_types__": types,
        "__getattr__": _missing,
    }
    for f in model.scalars:
        if (name := attribute(f)) != f.name:
            namespace[f.name] = _property(name, reader(f, datamodel))
    made = msgspec.defstruct(
        model.name,
        [(attribute(f), *member(f, datamodel)) for f in model.scalars],
        bases=(Record,),
        namespace=namespace,
        rename={attribute(f): f.name for f in model.scalars},
        tag_field="_model",
        tag=model.name,
        kw_only=True,
        frozen=True,
        gc=False,
        forbid_unknown_fields=True,
    )
    return cast(type[Record], made)


def _missing(record: Record, name: str) -> Any:
    """An attribute that a record has not: a relation, perhaps, which a query would have to ask for."""
    model = model_of(type(record))
    if any(f.name == name for f in model.relations):
        raise AttributeError(f"{model.name}.{name} was not asked for: include it")
    raise AttributeError(f"{model.name} has no {name}")


def _property(name: str, read: Any) -> property:
    if read is None:
        return property(lambda record: getattr(record, name))
    return property(lambda record: read(getattr(record, name)))


_TAKEN = frozenset(name for name in dir(Record) if not name.startswith("_"))


_MARKS = ((4, "-"), (7, "-"), (10, "T"), (13, ":"), (16, ":"), (19, "."))
"""what stands where in a time, but for its end"""


def _is_time(text: str, size: int) -> bool:
    """Whether a text is a time as long as this.  False of some that are, too."""
    if len(text) != size or text[4:8:3] != "--" or text[10:17:3] != "T::" or text[11:13] == "24":
        return False
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return text[-1] == "Z" and text[19] in ".Z"


_Column: TypeAlias = tuple[ScalarField, str, ValueType]
"""a column, with the attribute in which a row holds it"""


class Checks:
    """Checks the values of one model's rows, many at once."""

    def __init__(self, model: Model, columns: Iterable[tuple[ScalarField, ValueType]]) -> None:
        self.model = model
        self._times: list[tuple[str, int]] = []
        self._json: list[str] = []
        self._others: list[_Column] = []
        self._all: list[_Column] = []
        for f, column in columns:
            self._all.append((f, attribute(f), column))
            if f.is_json and not f.is_list:
                self._json.append(attribute(f))
            elif column.width:
                self._times.append((attribute(f), column.width))
            elif column.strict:
                self._others.append((f, attribute(f), column))

    def run(self, records: Collection[Any], text: bytes) -> None:
        """Check records that stand in ``text``.  Raises DamagedError for the first that is wrong, ValueError
        for Json that is not UTF-8."""
        if self._json and not text.isascii():
            # The decoder passes over Json.
            raw = [value for r in records for name in self._json if (value := getattr(r, name)) is not UNSET]
            b"\n".join(raw).decode()
        if ESCAPED.search(text):
            # An escaped character may be one that PostgreSQL cannot hold.
            self._values(records, self._all)
        else:
            for name, size in self._times:
                self._all_times(records, name, size)
            if self._others:
                self._values(records, self._others)

    def _all_times(self, records: Collection[Any], name: str, size: int) -> None:
        times = [t for r in records if (t := getattr(r, name)) is not None]
        if len(times) == 1 and _is_time(times[0], size):
            return
        joined = "".join(times)
        with suppress(ValueError):
            # Of the spellings that Python takes for a time, ours is told by its length and punctuation.
            if (
                size
                and len(joined) == size * len(times)
                and all(joined[at::size] == mark * len(times) for at, mark in _MARKS if at < size - 1)
                and joined[size - 1 :: size] == "Z" * len(times)
                and "T24" not in joined
                and all(map(datetime.fromisoformat, times))
            ):
                return
        self._values(records, [column for column in self._all if column[1] == name])

    def _values(self, records: Iterable[Any], columns: list[_Column]) -> None:
        for record in records:
            for f, held, column in columns:
                value = getattr(record, held)
                if f.nullable and column.is_null(value):
                    continue
                try:
                    column.text(value)
                except ValueError as error:
                    raise DamagedError(str(error), model=self.model.name, field=f.name) from error
