"""The tables of a schema and those of a live database as facts of one form, to be compared."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from octavo.postgres.catalog import Catalog, ObjectKind
from octavo.postgres.expressions import comparable, words
from octavo.schema.datamodel import (
    Arity,
    Datamodel,
    DefaultValue,
    Enum,
    EnumValue,
    Function,
    Index,
    IndexField,
    IndexKind,
    Model,
    NativeType,
    Relation,
    ScalarField,
    ScalarKind,
    SingleDefault,
)
from octavo.schema.ddl import default_sql, is_serial, operator_class, sql_type
from octavo.schema.live import generation
from octavo.schema.native import NATIVE_TYPES, native_type
from octavo.values.registry import value_type

Place: TypeAlias = tuple[str, str]
"""a schema and a name in it, as the database has them"""


class Column(NamedTuple):
    """What is compared of a column.  ``defaults`` holds, of the schema, the one that is wanted; of the
    catalog, every form of the one that is set."""

    which: object
    """the type without its precision"""
    precision: tuple[int, ...]
    shown: str
    plain: str
    """the type's name as an author and PostgreSQL may both write it; only of what Prisma does not support"""
    null: str
    """``NULL`` or ``NOT NULL``; empty: Prisma's lists are neither"""
    serial: bool
    defaults: tuple[object, ...]
    default: str
    generated: str = ""
    """of a column that is computed, what follows ``GENERATED ALWAYS AS``"""


class Key(NamedTuple):
    """What is compared of a primary key, a unique or an index.

    ``classes`` has for each column its operator class, and whether that is the type's default; on the
    schema's side it may be left open.
    """

    name: str
    word: str
    columns: tuple[str, ...]
    how: tuple[object, ...]
    """the method, and the sort order of each column"""
    classes: tuple[tuple[str | None, bool], ...]
    shown: str


class ForeignKey(NamedTuple):
    """What is compared of a foreign key; ``ends`` are the parent and the pairs of columns."""

    name: str
    ends: object
    parent: Place
    columns: tuple[str, ...]
    shown: str
    actions: tuple[str, str]


ANY = "any default"
_NULL = {Arity.REQUIRED: "NOT NULL", Arity.OPTIONAL: "NULL"}


class Facts:
    """One side as a table of facts: of the schema, or (with ``catalog``) of the database."""

    def __init__(self, datamodel: Datamodel, home: str, shown: Callable[[Place], str]) -> None:
        self.datamodel, self.home, self.shown = datamodel, home, shown
        self.catalog: Catalog | None = None

    def place(self, model: Model) -> Place:
        """Where a model's table is."""
        return model.schema or self.home, stored(model.table)

    def place_of(self, enum: Enum) -> Place:
        return enum.schema or self.home, stored(enum.type)

    def enums(self) -> dict[Place, tuple[str, ...]]:
        return {self.place_of(enum): enum.labels for enum in self.datamodel.enums}

    def columns(self, model: Model) -> dict[str, Column]:
        return {stored(scalar.column): self._column(model, scalar) for scalar in model.scalars}

    def _column(self, model: Model, scalar: ScalarField) -> Column:
        shown, serial, defaults = sql_type(self.datamodel, scalar), is_serial(scalar), [self._default(scalar)]
        default, generated = "autoincrement()" if serial else "", generation(model, scalar) or ""
        is_unsupported = scalar.kind is ScalarKind.UNSUPPORTED
        if self.catalog is None:
            default = default or default_sql(self.datamodel, scalar) or ""
        else:
            place = (*self.place(model), scalar.column)
            is_unsupported = True
            if expression := self.catalog.expressions.get(place, ""):
                default = expression
                defaults.append(("expression", words(expression)))
            for found in self.catalog.of_kind(ObjectKind.GENERATED_COLUMN):
                if (found.schema, found.table, found.column) == place:
                    generated = found.detail
        return Column(
            *self._type(scalar),
            shown,
            plain=_plain(shown.removesuffix("[]")) if is_unsupported else "",
            null=_NULL.get(scalar.arity, ""),
            serial=serial,
            defaults=tuple(defaults),
            default=default,
            generated=generated,
        )

    def _type(self, scalar: ScalarField) -> tuple[object, tuple[int, ...]]:
        if scalar.kind is ScalarKind.ENUM:
            enum = self.datamodel.enum(scalar.type)
            return (enum.schema or self.home, stored(enum.type), scalar.is_list), ()
        if scalar.kind is ScalarKind.UNSUPPORTED:
            return (_plain(scalar.type), scalar.is_list), ()
        native = native_type(scalar)
        return (native.name, scalar.is_list), _precision(native)

    def _default(self, scalar: ScalarField) -> object:
        """A default in a form that two spellings of it share.  What the client computes is none here."""
        match scalar.default:
            case Function("dbgenerated", args):
                return ("expression", words(str(args[0]))) if args else ANY
            case Function("now" | "autoincrement" as name):
                return name
            case None | Function():
                return None
        kind = value_type(scalar, self.datamodel).one
        return "constant", comparable(self._labelled(scalar, scalar.default), kind)

    def _labelled(self, scalar: ScalarField, value: DefaultValue) -> DefaultValue:
        """A default's enum values by their labels in the database."""

        def labelled(single: SingleDefault) -> SingleDefault:
            if not isinstance(single, EnumValue):
                return single
            members = self.datamodel.enum(scalar.type).members
            return EnumValue(next((m.label for m in members if m.name == single.name), single.name))

        return tuple(map(labelled, value)) if isinstance(value, tuple) else labelled(value)

    def _key(self, model: Model, index: Index) -> Key:
        names = [_class(part) for part in index.fields]
        columns = tuple(stored(model.scalar(name).column) for name in index.field_names)
        sorts = tuple("desc" if (part.sort or "").lower() == "desc" else "" for part in index.fields)
        method = (index.algorithm or "BTree").lower()
        word = "unique" if index.kind is IndexKind.UNIQUE else "index"
        parts = [" ".join(filter(None, part)) for part in zip(columns, names, sorts, strict=True)]
        classes: tuple[tuple[str | None, bool], ...]
        if self.catalog is not None:
            found = self.catalog.operator_classes[self.place(model)[0], index.constraint]
            classes = tuple((name, part.ops is None) for name, part in zip(found, index.fields, strict=True))
        else:
            classes = tuple((name, name is None) for name in names)
        return Key(
            stored(index.constraint),
            word,
            columns,
            (method, *sorts),
            classes,
            f"{'unique ' if word == 'unique' else ''}({', '.join(parts)})"
            + ("" if method == "btree" else f" using {method}"),
        )

    def primary_key(self, model: Model) -> Key | None:
        return None if model.primary_key is None else self._key(model, model.primary_key)

    def keys(self, model: Model) -> list[Key]:
        return [self._key(model, index) for index in (*model.uniques, *model.indexes)]

    def foreign_keys(self, model: Model) -> list[ForeignKey]:
        return [self._foreign_key(model, k) for k in self.datamodel.foreign_keys if k.child == model.name]

    def _foreign_key(self, child: Model, key: Relation) -> ForeignKey:
        own = tuple(stored(child.scalar(name).column) for name in key.fields)
        if key.parent in self.datamodel:
            parent = self.datamodel.model(key.parent)
            place, target = self.place(parent), self.shown(self.place(parent))
            theirs = tuple(stored(parent.scalar(name).column) for name in key.references)
        else:
            schema, dot, name = key.parent.partition(".")
            place = (schema, name) if dot else ("", key.parent)
            theirs, target = key.references, self.shown(place) if dot else key.parent
        shown = f"{self.shown(self.place(child))}({', '.join(own)}) to {target}({', '.join(theirs)})"
        ends = place, frozenset(zip(own, theirs, strict=True))
        actions = f"ON DELETE {key.on_delete}", f"ON UPDATE {key.on_update}"
        return ForeignKey(stored(key.constraint), ends, place, own, shown, actions)


def stored(name: str) -> str:
    """A name as PostgreSQL keeps it: cut to 63 bytes, between two characters."""
    return name.encode()[:63].decode("utf-8", "ignore")


def _plain(type_: str) -> str:
    """A type's name as an author and PostgreSQL may both write it."""
    return "".join(type_.replace('"', "").lower().split()).removeprefix("public.").removeprefix("pg_catalog.")


def _precision(native: NativeType) -> tuple[int, ...]:
    arguments = native.args or NATIVE_TYPES[native.name].implied
    return (*arguments, 0) if native.name == "Decimal" and len(arguments) == 1 else arguments


def _class(part: IndexField) -> str | None:
    """An operator class by PostgreSQL's name, without its parameters."""
    if part.ops is None:
        return None
    return part.ops.partition("(")[0].strip() if part.raw_ops else operator_class(part.ops)
