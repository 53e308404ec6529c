"""A row in memory: one immutable, typed object per record, the same whatever backend it came from.

The type of each model is built from the Datamodel.  A record's attributes are the schema's field names and
give Python's values; inside, it holds what stands in the file (see :mod:`octavo.values.base`), so that a
log of messages is decoded in one go, and equal records are equal to the digit.
"""

from __future__ import annotations

import keyword
from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import msgspec
from msgspec import UNSET

from octavo.schema.datamodel import Datamodel, Model, ScalarField
from octavo.values.base import ValueType, or_null
from octavo.values.registry import is_plain, reader, value_type
from octavo.values.tokens import elements

encode = msgspec.json.Encoder().encode

_SHOWN = 120
"""characters of a text that a record's ``repr`` shows"""
_MASK = "…"


class BareRecord(msgspec.Struct, frozen=True, gc=False):
    """What every record has beside its fields."""

    def to_dict(self) -> dict[str, Any]:
        """Its fields by name, as Python's values, secrets included."""
        return {f.name: getattr(self, f.name) for f in model_of(self).scalars}

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


def record_type(model: Model, datamodel: Datamodel) -> type[Record]:
    """The type of a model's records.  Its JSON is a line of a log: compact, ``_model`` first.

    A Datamodel has one such type for each model, so that records of one are equal wherever they come from.
    """
    types: dict[str, type[Record]] = datamodel.__dict__.setdefault("_record_types", {})
    found = types.get(model.name)
    return found or types.setdefault(model.name, _build(model, datamodel))


def _build(model: Model, datamodel: Datamodel) -> type[Record]:
    namespace: dict[str, Any] = {"__octavo_model__": model, "__getattr__": _missing}
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
