"""What can be said about each model: its fields, relations, uniques and defaults, as arguments name them.

Defaults are filled as Prisma's client fills them.  One moment goes for a whole operation: ``now()`` and
``@updatedAt`` of everything that a call writes, nested records included, are the same, to the millisecond.
``autoincrement()`` and ``dbgenerated(…)`` are left to where the record is stored.
"""

from __future__ import annotations

import itertools
import math
import os
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from functools import cached_property, partial
from operator import attrgetter, itemgetter
from typing import Any, TypeAlias

from octavo.errors import ValueOutOfRange
from octavo.layout.keys import KeyForm, hashable
from octavo.layout.record import Record, attribute, record_type
from octavo.query.plan import Change, ChangeKind, Link, Order
from octavo.schema.datamodel import (
    Arity,
    Datamodel,
    Function,
    Model,
    RelationField,
    RelationKind,
    ScalarField,
    ScalarKind,
)
from octavo.values.base import Key, ValueType, Write
from octavo.values.json import JsonNull
from octavo.values.registry import literal_value, value_type, writer

_BASE36 = "0123456789abcdefghijklmnopqrstuvwxyz"
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_NANO = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"
_counter = itertools.count(int.from_bytes(os.urandom(8)) % 36**4)


def generator(name: str, argument: int | None = None) -> Callable[[], str]:
    """The function that makes identifiers of this kind; KeyError if there is none."""
    if name == "nanoid":
        length = argument or 21
        return lambda: _random(_NANO, length)
    return _GENERATORS[name, argument]


def uuid4() -> str:
    number = int.from_bytes(os.urandom(16)) & ~(0xF000 << 64 | 0xC000 << 48) | 0x4000 << 64 | 0x8000 << 48
    return _hyphenated(f"{number:032x}")


def _hyphenated(digits: str) -> str:
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def uuid7() -> str:
    """Milliseconds, then 74 random bits (RFC 9562)."""
    raw = bytearray(_milliseconds().to_bytes(6) + os.urandom(10))
    raw[6] = raw[6] & 0x0F | 0x70
    raw[8] = raw[8] & 0x3F | 0x80
    return _hyphenated(raw.hex())


def cuid1() -> str:
    """``c``, milliseconds, a counter, the process, eight random characters; all in base 36."""
    count = _base(next(_counter) % 36**4, _BASE36).rjust(4, "0")
    return f"c{_base(_milliseconds(), _BASE36)}{count}{_process()}{_random(_BASE36, 8)}"


def cuid2() -> str:
    """A letter and 23 characters of a digest that nothing can be told from."""
    import hashlib

    entropy = f"{_milliseconds()}{next(_counter)}{_process()}{os.urandom(24).hex()}"
    number = int.from_bytes(hashlib.sha3_512(entropy.encode()).digest())
    return _random(_BASE36[10:], 1) + _base(number, _BASE36)[1:24]


def ulid() -> str:
    """Milliseconds and 80 random bits, as 26 characters of Crockford's alphabet."""
    number = _milliseconds() << 80 | int.from_bytes(os.urandom(10))
    return _base(number, _CROCKFORD).rjust(26, "0")


def _random(alphabet: str, length: int) -> str:
    """Characters of the system's randomness."""
    return "".join(alphabet[int.from_bytes(os.urandom(8)) % len(alphabet)] for _ in range(length))


def _milliseconds() -> int:
    return time.time_ns() // 1_000_000


def _process() -> str:
    return _base(os.getpid() % 36**2, _BASE36).rjust(2, "0") + _base(
        sum(os.uname().nodename.encode()) % 36**2, _BASE36
    ).rjust(2, "0")


def _base(number: int, digits: str) -> str:
    text = ""
    while True:
        number, digit = divmod(number, len(digits))
        text = digits[digit] + text
        if not number:
            return text


_GENERATORS: dict[tuple[str, int | None], Callable[[], str]] = {
    ("uuid", None): uuid4,
    ("uuid", 4): uuid4,
    ("uuid", 7): uuid7,
    ("cuid", None): cuid1,
    ("cuid", 1): cuid1,
    ("cuid", 2): cuid2,
    ("ulid", None): ulid,
}


Make: TypeAlias = Callable[[datetime], Any]
"""From the operation's moment to a value in stored form."""


def moment() -> datetime:
    """Now, as precisely as Prisma has it."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


class Defaults:
    """The defaults of one model."""

    def __init__(self, terms: Terms) -> None:
        self.model = terms.name
        self._makers: dict[str, Make] = {}
        self._constants: dict[str, Any] = {}
        self.unlike_any_other = tuple(n for n, c in terms.columns.items() if _is_generated(c))
        """the fields that get an identifier, where the caller gives none"""
        self._updated = [c for c in terms.columns.values() if c.field.updated_at]
        for name, column in terms.columns.items():
            try:
                make = _maker(column)
            except ValueError:
                # A default that does not fit its column is refused when it is used.
                make = partial(_made, column)
            if make is not None:
                self._makers[name] = make
            elif column.field.default is None and column.field.nullable and not column.filled_by_place:
                self._constants[name] = column.null

    def fill(self, given: Mapping[str, Any], now: datetime) -> dict[str, Any]:
        """A row: what is given, and a value for every other field that the place itself does not fill in.

        Raises ValueOutOfRange for a default that does not fit its column.
        """
        row = {**self._constants, **given}
        for name, make in self._makers.items():
            if name not in row:
                try:
                    row[name] = make(now)
                except ValueError as error:
                    raise ValueOutOfRange(self.model, [name]) from error
        return row

    def made_for(self, rows: Iterable[Mapping[str, Any]]) -> list[str]:
        """The fields for which no row gives an identifier, so that each gets a new one."""
        made = list(self.unlike_any_other)
        for row in rows:
            made = [name for name in made if name not in row]
        return made

    def touched(self, changes: Iterable[Change], now: datetime) -> list[Change]:
        """Changes with those of ``@updatedAt``, which go with any other."""
        found = list(changes)
        if found and self._updated:
            named = {c.field for c in found}
            found += [
                Change(c.name, ChangeKind.SET, c.write(now)) for c in self._updated if c.name not in named
            ]
        return found


def _is_generated(column: Column) -> bool:
    default = column.field.default
    return isinstance(default, Function) and default.name != "now" and not column.filled_by_place


def _made(column: Column, now: datetime) -> Any:
    make = _maker(column)
    return column.null if make is None else make(now)


def _maker(column: Column) -> Make | None:
    default = column.field.default
    if isinstance(default, Function):
        if column.filled_by_place:
            return None
        if default.name == "now":
            return column.write
        argument = int(default.args[0]) if default.args else None
        make = generator(default.name, argument)
        return lambda _: column.write(make())
    if default is not None:
        if isinstance(default, tuple):
            values = [literal_value(value, column.field, column.one.write) for value in default]
            return lambda _: list(values)
        value = literal_value(default, column.field, column.one.write)
        return lambda _: value
    if column.field.updated_at:
        return column.write
    return None


class Column:
    """A scalar field, with the ways between a caller's value, the stored form and comparing."""

    def __init__(
        self,
        model: str,
        field: ScalarField,
        datamodel: Datamodel,
        kind: ValueType | None = None,
        place: int | None = None,
    ) -> None:
        """``kind``: the type of its values, where the field does not say it; ``place``: where its value is in
        a row that is a tuple and no record."""
        self.field = field
        self.model = model
        """the name of the model that has it; empty: it is of a group"""
        self.name = field.name
        self.attribute = attribute(field)
        self.stored: Callable[[Any], Any] = attrgetter(self.attribute) if place is None else itemgetter(place)
        """from a record to this field's value in stored form"""
        self.type = kind or value_type(field, datamodel)
        self.one = self.type.one
        """the type of one value, where the field is a list of them"""
        self.null, self.is_null, self.key = self.type.null, self.type.is_null, self.type.key
        self.write: Write = writer(field, datamodel) if kind is None else kind.write
        self.operand: Write = self.one.operand
        """from a value to compare with"""
        self.sort_key: Callable[[Any], Any] = _composed(self.key, self.stored)
        """from a record in which this field is not NULL to what sorts as its value does"""

    def loosen(self) -> None:
        """Take values as Prisma does: None is Json's null, and of a number with a fraction an Int takes the
        whole part."""
        if self.field.is_json and not self.field.is_list:
            self.write = _preparing(self.write, lambda value: JsonNull if value is None else value)
        elif self.one.summed == "whole":
            self.write = _preparing(self.write, _whole_part)
            self.operand = _preparing(self.operand, _whole_part)

    def comparable(self, stored: Any) -> Any:
        """What sorts, is equal and hashes as the value does in PostgreSQL.  The value is not NULL."""
        return stored if self.key is None else self.key(stored)

    @property
    def filled_by_place(self) -> bool:
        """Whether the backend gives the value, where the caller gives none."""
        default = self.field.default
        is_computed = isinstance(default, Function) and default.name in ("autoincrement", "dbgenerated")
        return is_computed or self.field.generated is not None

    @property
    def needed(self) -> bool:
        """Whether a new record must be given a value."""
        field = self.field
        has_value = field.default is not None or field.updated_at or field.generated is not None
        return field.arity is Arity.REQUIRED and not has_value


class Terms:
    """One model's part of the vocabulary."""

    def __init__(self, model: Model, datamodel: Datamodel, *, exact: bool = False) -> None:
        self.model = model
        self.name = model.name
        self.type: type[Record] = record_type(model, datamodel)
        self.columns: Mapping[str, Column] = {f.name: Column(model.name, f, datamodel) for f in model.scalars}
        if exact:
            for column in self.columns.values():
                column.loosen()
        self.links: Mapping[str, Link] = {
            f.name: _link(model, f, datamodel)
            for f in (() if model.is_join else model.relations)
            if not f.ignored
        }
        self._getters: dict[tuple[str, ...], Callable[[Record], tuple[Any, ...]]] = {}
        self.usable: Mapping[str, Column] = {
            name: c
            for name, c in self.columns.items()
            if not c.field.ignored and c.field.kind is not ScalarKind.UNSUPPORTED
        }
        """the columns that arguments may name"""
        self.needed: tuple[str, ...] = tuple(name for name, c in self.columns.items() if c.needed)
        """those that a new record must be given a value for"""
        self.uniques: Mapping[str, tuple[str, ...]] = {
            index.client_name if len(index.fields) > 1 else index.field_names[0]: index.field_names
            for index in (*([model.primary_key] if model.primary_key else []), *model.uniques)
        }
        """what tells one record, by the name that a ``where`` has for it"""
        self.filled_by_place = tuple(c for c in self.columns.values() if c.filled_by_place)
        """those for which the backend gives a value, where the caller gives none"""
        self.required = tuple(c for c in self.columns.values() if not c.field.nullable)
        """those that are never NULL"""
        self.required_of = self.getter(tuple(c.name for c in self.required))
        """from a record to their values"""
        self._record_attributes = tuple((c.attribute, name) for name, c in self.columns.items())
        self.key: tuple[str, ...] = model.key.field_names if model.has_key else ()
        self.key_of: Callable[[Record], tuple[Any, ...]] = self._key_getter(datamodel)
        """from a record to the stored values of its key, which have a hash"""

    def _key_getter(self, datamodel: Datamodel) -> Callable[[Record], tuple[Any, ...]]:
        get = self.getter(self.key)
        if not self.key or not KeyForm(self.model, datamodel).has_raw:
            return get
        return lambda record: tuple(map(hashable, get(record)))

    def getter(self, fields: tuple[str, ...]) -> Callable[[Record], tuple[Any, ...]]:
        """A function from a record to its values of these fields, in stored form."""
        found = self._getters.get(fields)
        if found is None:
            found = self._getters[fields] = self._getter(fields)
        return found

    def _getter(self, fields: tuple[str, ...]) -> Callable[[Record], tuple[Any, ...]]:
        names = [self.columns[f].attribute for f in fields]
        if len(names) == 1:
            one = attrgetter(names[0])
            return lambda record: (one(record),)
        if not names:
            return lambda record: ()
        return attrgetter(*names)

    def record(self, values: Mapping[str, Any]) -> Record:
        """The record with these stored values, by field name; one for each field."""
        return self.type(**{attribute: values[name] for attribute, name in self._record_attributes})

    def has_null(self, fields: tuple[str, ...], values: tuple[Any, ...]) -> bool:
        """Whether one of these fields' values is NULL."""
        return any(self.columns[f].is_null(v) for f, v in zip(fields, values, strict=True))

    @cached_property
    def key_order(self) -> tuple[Order, ...]:
        """The order by key, which any other order ends with."""
        return tuple(Order(name) for name in self.key)

    @cached_property
    def default_order(self) -> tuple[Order, ...]:
        """The order where a caller asks for none: by ``createdAt`` if there is one, then by key."""
        created = self.model.created
        if created is None or created.ignored or created.name in self.key:
            return self.key_order
        return (Order(created.name), *self.key_order)


class Vocabulary:
    """Every model's terms."""

    def __init__(self, datamodel: Datamodel, *, exact: bool = False) -> None:
        """``exact``: arguments mean what they mean to Prisma, also where they are refused otherwise since
        they are more often a mistake (docs/client.md lists these)."""
        self.datamodel, self.exact = datamodel, exact
        self._terms: dict[str, Terms] = {}

    def __getitem__(self, model: str) -> Terms:
        """The terms of a model or a join table.  Raises KeyError if there is none of this name."""
        found = self._terms.get(model)
        if found is None:
            found = self._terms.setdefault(
                model, Terms(self.datamodel.model(model), self.datamodel, exact=self.exact)
            )
        return found

    def opposite(self, link: Link) -> Link:
        """The same relation, seen from its target (also where the target has no field for it)."""
        join = {"join": link.join, "near": link.far, "far": link.near}
        for other in self[link.target].links.values():
            if other.relation == link.relation and other != link and other.target == link.model:
                return other
        return Link(
            name="",
            model=link.target,
            target=link.model,
            fields=link.references,
            references=link.fields,
            is_list=True,
            required=link.required,
            holds_key=not link.holds_key and not link.join,
            relation=link.relation,
            **join,
        )


def _preparing(write: Write, prepare: Callable[[Any], Any]) -> Write:
    return lambda value: write(prepare(value))


def _whole_part(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_whole_part(one) for one in value]
    return int(value) if isinstance(value, float) and math.isfinite(value) else value


def _composed(key: Key | None, stored: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return stored if key is None else lambda record: key(stored(record))


def _link(model: Model, field: RelationField, datamodel: Datamodel) -> Link:
    for relation in datamodel.relations:
        if relation.name != field.relation:
            continue
        as_child = (relation.child, relation.child_field) == (model.name, field.name)
        if not as_child and (relation.parent, relation.parent_field) != (model.name, field.name):
            continue
        many = relation.kind is RelationKind.MANY_TO_MANY
        if many:
            own, other = (
                datamodel.model(model.name).key.field_names,
                datamodel.model(field.model).key.field_names,
            )
        else:
            own, other = relation.fields, relation.references
            if not as_child:
                own, other = other, own
        return Link(
            name=field.name,
            model=model.name,
            target=field.model,
            fields=own,
            references=other,
            is_list=field.is_list,
            required=relation.required and not many,
            holds_key=as_child and not many,
            relation=relation.name,
            join=relation.constraint if many else "",
            near=("A" if as_child else "B") if many else "",
            far=("B" if as_child else "A") if many else "",
        )
    raise LookupError(f"{model.name}.{field.name} belongs to no relation")
