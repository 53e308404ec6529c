"""What of a live database is not as the schema says.

A *finding* could make an export lose or bend something and refuses it; a *note* is told and waived, as it
cannot: the order of columns, an index more, a view, a trigger, Prisma's own table.  What has no rows and
decides over none is a note.  Names are those of the database.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from octavo.errors import DriftError
from octavo.postgres.catalog import Catalog, CatalogObject, ObjectKind, introspect
from octavo.postgres.expressions import comparable, words
from octavo.schema.datamodel import (
    Arity,
    Datamodel,
    DefaultValue,
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
from octavo.schema.native import NATIVE_TYPES, native_type
from octavo.text import some
from octavo.values.registry import value_type

if TYPE_CHECKING:
    import psycopg


class FindingKind(StrEnum):
    """How the database differs: it lacks something, has something more, or has it otherwise."""

    MISSING = "missing"
    EXTRA = "extra"
    DIFFERENT = "different"


@dataclass(frozen=True, slots=True)
class Finding:
    """One difference.  ``what`` is ``table``, ``column``, ``type``, ``precision``, ``nullability``,
    ``default``, ``primary key``, ``unique``, ``index``, ``foreign key``, ``referential action``, ``enum`` or
    ``row-level security``; ``expected`` and ``found`` are empty on the side where there is nothing.
    """

    kind: FindingKind
    what: str
    name: str
    expected: str = ""
    found: str = ""

    def __str__(self) -> str:
        match self.kind:
            case FindingKind.MISSING:
                detail = f" ({self.expected})" if self.expected else ""
                return f"missing {self.what} {self.name}{detail}"
            case FindingKind.EXTRA:
                detail = f" ({self.found})" if self.found else ""
                return f"extra {self.what} {self.name}{detail}"
        return (
            f"different {self.what} of {self.name}: expected {self.expected or 'none'}, "
            f"found {self.found or 'none'}"
        )


@dataclass(frozen=True, slots=True)
class Note:
    """Something other than the schema says that cannot hurt an export."""

    what: str
    name: str
    text: str = ""

    def __str__(self) -> str:
        return f"{self.what} {self.name}{f': {self.text}' if self.text else ''}"


@dataclass(frozen=True)
class Drift:
    """The result of a comparison, in the schema's order."""

    findings: tuple[Finding, ...]
    notes: tuple[Note, ...]

    @property
    def refuses(self) -> bool:
        """Whether an export would be at risk."""
        return bool(self.findings)

    def raise_if_any(self) -> None:
        """Raise DriftError, which names every finding, if there is any."""
        if self.findings:
            differences = some(len(self.findings), "difference")
            raise DriftError(
                f"the database is not as the schema says ({differences}):",
                [str(finding) for finding in self.findings],
                hint="bring the database or the schema up to date; octavo schema check shows this list",
            )


def compare(expected: Datamodel, catalog: Catalog) -> Drift:
    """Hold a live database against the schema that it should have."""
    comparison = _Comparison(expected.complete, catalog)
    comparison.run()
    return Drift(tuple(comparison.findings), tuple(comparison.notes))


def check(
    connection: psycopg.Connection[Any], expected: Datamodel, schema: str | Sequence[str] = "public"
) -> Drift:
    """Read the live database and hold it against the schema; ``schema`` gives way to those the schema
    names.
    """
    return compare(expected, introspect(connection, expected.datasource.schemas or schema))


_Place: TypeAlias = tuple[str, str]
"""a schema and a name in it, as the database has them"""


class _Column(NamedTuple):
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
    generated: bool = False


class _Key(NamedTuple):
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


class _ForeignKey(NamedTuple):
    """What is compared of a foreign key; ``ends`` are the parent and the pairs of columns."""

    name: str
    ends: object
    parent: _Place
    columns: tuple[str, ...]
    shown: str
    actions: tuple[str, str]


_ANY = "any default"
_NULL = {Arity.REQUIRED: "NOT NULL", Arity.OPTIONAL: "NULL"}


class _Facts:
    """One side as a table of facts: of the schema, or (with ``catalog``) of the database."""

    def __init__(self, datamodel: Datamodel, home: str, shown: Callable[[_Place], str]) -> None:
        self.datamodel, self.home, self.shown = datamodel, home, shown
        self.catalog: Catalog | None = None

    def place(self, model: Model) -> _Place:
        """Where a model's table is."""
        return model.schema or self.home, stored(model.table)

    def enums(self) -> dict[_Place, tuple[str, ...]]:
        return {(e.schema or self.home, stored(e.type)): e.labels for e in self.datamodel.enums}

    def columns(self, model: Model) -> dict[str, _Column]:
        return {stored(scalar.column): self._column(model, scalar) for scalar in model.scalars}

    def _column(self, model: Model, scalar: ScalarField) -> _Column:
        shown, serial, defaults = sql_type(self.datamodel, scalar), is_serial(scalar), [self._default(scalar)]
        default, generated = "autoincrement()" if serial else "", False
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
                    default, generated = f"generated from {found.detail}", True
        return _Column(
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
                return ("expression", words(str(args[0]))) if args else _ANY
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

    def _key(self, model: Model, index: Index) -> _Key:
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
        return _Key(
            stored(index.constraint),
            word,
            columns,
            (method, *sorts),
            classes,
            f"{'unique ' if word == 'unique' else ''}({', '.join(parts)})"
            + ("" if method == "btree" else f" using {method}"),
        )

    def primary_key(self, model: Model) -> _Key | None:
        return None if model.primary_key is None else self._key(model, model.primary_key)

    def keys(self, model: Model) -> list[_Key]:
        return [self._key(model, index) for index in (*model.uniques, *model.indexes)]

    def foreign_keys(self, model: Model) -> list[_ForeignKey]:
        return [self._foreign_key(model, k) for k in self.datamodel.foreign_keys if k.child == model.name]

    def _foreign_key(self, child: Model, key: Relation) -> _ForeignKey:
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
        return _ForeignKey(stored(key.constraint), ends, place, own, shown, actions)


class _Comparison:
    """Walks both tables of facts; a thing inside another that is missing is not named again by itself."""

    def __init__(self, expected: Datamodel, catalog: Catalog) -> None:
        self.expected, self.catalog = expected, catalog
        home = expected.datasource.schemas[0] if expected.datasource.schemas else catalog.schemas[0]
        self.ours = _Facts(expected, home, self.shown)
        self.theirs = _Facts(catalog.datamodel, catalog.schemas[0], self.shown)
        self.theirs.catalog = catalog
        self.findings: list[Finding] = []
        self.notes: list[Note] = []
        self.said: set[tuple[_Place, str]] = set()
        """foreign keys of tables that are compared: by table and name"""

    def run(self) -> None:
        self.enums()
        for model, live in self.tables():
            columns = self.columns(model, live)
            self.primary_key(model, live, columns)
            self.indexes(model, live, columns)
            self.foreign_keys(model, live, columns)
        self.objects()
        self.migrations()

    def missing(self, what: str, name: str, expected: str = "") -> None:
        self.findings.append(Finding(FindingKind.MISSING, what, name, expected))

    def extra(self, what: str, name: str, found: str = "") -> None:
        self.findings.append(Finding(FindingKind.EXTRA, what, name, found=found))

    def different(self, what: str, name: str, expected: str, found: str) -> None:
        self.findings.append(Finding(FindingKind.DIFFERENT, what, name, expected, found))

    def note(self, what: str, name: str, text: str = "") -> None:
        self.notes.append(Note(what, name, text))

    def shown(self, place: _Place) -> str:
        return place[1] if len(self.catalog.schemas) == 1 else ".".join(place)

    def table(self, model: Model) -> str:
        return self.shown(self.ours.place(model))

    def enums(self) -> None:
        live = self.theirs.enums()
        for place, labels in self.ours.enums().items():
            found = live.pop(place, None)
            if found is None:
                self.missing("enum", self.shown(place), ", ".join(labels))
            elif found != labels:
                self.different("enum", self.shown(place), ", ".join(labels), ", ".join(found))
        for place in live:
            self.note("extra enum", self.shown(place))

    def tables(self) -> list[tuple[Model, Model]]:
        """The tables that are there, on both sides."""
        live = {self.theirs.place(model): model for model in self.catalog.datamodel.models}
        others = {(o.schema, o.name): o for o in self.catalog.of_kind(*_IN_PLACE_OF_TABLES)}
        wanted = {self.ours.place(model): model for model in self.expected.tables}
        views = {self.ours.place(model): model for model in self.expected.models if model.is_view}
        for place in wanted:
            if place in live:
                continue
            if place in others:
                self.different("table", self.shown(place), "table", others[place].kind)
            else:
                self.missing("table", self.shown(place))
        for place in views:
            if place not in live and place not in others:
                self.note("missing view", self.shown(place))
        for place in live:
            if place not in wanted:
                self.extra("table", self.shown(place))
        for other in self.catalog.of_kind(ObjectKind.FOREIGN_TABLE):
            if (other.schema, other.name) not in wanted.keys() | views.keys():
                self.extra("foreign table", self.shown((other.schema, other.name)))
        return [(model, live[place]) for place, model in wanted.items() if place in live]

    def columns(self, model: Model, live: Model) -> Collection[str]:
        """Compare the columns; gives the names of those that are there."""
        wanted, found = self.ours.columns(model), self.theirs.columns(live)
        for name, column in wanted.items():
            if name in found:
                self.column(f"{self.table(model)}.{name}", column, found[name])
            else:
                self.missing("column", f"{self.table(model)}.{name}", column.shown)
        for name, column in found.items():
            if name not in wanted:
                self.extra("column", f"{self.table(model)}.{name}", column.shown)
        order = [name for name in found if name in wanted]
        if len(order) == len(wanted) and order != list(wanted):
            self.note("order of columns", self.table(model), ", ".join(order))
        return found

    def column(self, name: str, wanted: _Column, found: _Column) -> None:
        same = wanted.which == found.which
        if wanted.plain and wanted.plain == found.plain:
            same, found = True, found._replace(precision=wanted.precision)
        if not same:
            self.different("type", name, wanted.shown, found.shown)
        elif wanted.precision != found.precision:
            self.different("precision", name, wanted.shown, found.shown)
        # A SERIAL column is NOT NULL, whatever its field says.
        free = not wanted.null or not found.null or (wanted.serial and found.null == "NOT NULL")
        if wanted.null != found.null and not free:
            self.different("nullability", name, wanted.null, found.null)
        has_default = wanted.defaults[0] in (_ANY, *found.defaults)
        if found.generated or (same and not has_default):
            self.different("default", name, wanted.default, found.default)

    def primary_key(self, model: Model, live: Model, columns: Collection[str]) -> None:
        name = self.table(model)
        wanted, found = self.ours.primary_key(model), self.theirs.primary_key(live)
        if wanted is None:
            if found is not None:
                self.extra("primary key", name, ", ".join(found.columns))
            return
        known = set(wanted.columns).issubset(columns)
        if found is None:
            if self.old_join_keys(model, live):
                self.note("unique index as the key", name, "made by a Prisma before version 6")
            elif known:
                self.missing("primary key", name, ", ".join(wanted.columns))
        elif wanted.columns != found.columns and known:
            self.different("primary key", name, ", ".join(wanted.columns), ", ".join(found.columns))
        elif wanted.name != found.name:
            self.note("name of the primary key", name, found.name)

    def old_join_keys(self, model: Model, live: Model) -> set[str]:
        """The uniques that stand for the key of a join table which a Prisma before version 6 made."""
        key = self.ours.primary_key(model)
        if not model.is_join or key is None or live.primary_key is not None:
            return set()
        columns = set(key.columns)
        return {k.name for k in self.theirs.keys(live) if k.word == "unique" and set(k.columns) == columns}

    def indexes(self, model: Model, live: Model, columns: Collection[str]) -> None:
        table = self.table(model)
        remaining = {key.name: key for key in self.theirs.keys(live)}
        wanted = self.ours.keys(model)
        for key in wanted:
            found = remaining.get(key.name)
            if found is None:
                continue
            if _same_key(key, found):
                self.nulls(self.ours.place(model), found)
            elif set(key.columns).issubset(columns):
                self.different(key.word, key.name, key.shown, found.shown)
        unmatched = [key for key in wanted if remaining.pop(key.name, None) is None]
        for key in unmatched:
            twin = next((other for other in remaining.values() if _same_key(key, other)), None)
            if twin is not None:
                del remaining[twin.name]
                self.note(f"name of the {key.word}", f"{table}.{key.name}", twin.name)
            elif set(key.columns).issubset(columns):
                self.missing(key.word, key.name, f"on {table}: {key.shown}")
        known = self.old_join_keys(model, live)
        for name, key in remaining.items():
            if name not in known:
                self.note(f"extra {key.word}", name, f"on {table}")

    def nulls(self, place: _Place, key: _Key) -> None:
        for found in self.catalog.of_kind(ObjectKind.NULLS_NOT_DISTINCT):
            if ((found.schema, found.table), found.name) == (place, key.name):
                self.different("unique", key.name, "NULLs differ from each other", found.detail)

    def foreign_keys(self, model: Model, live: Model, columns: Collection[str]) -> None:
        place, table = self.ours.place(model), self.table(model)
        remaining = {key.name: key for key in self.theirs.foreign_keys(live)}
        self.said |= {(place, name) for name in remaining}
        virtual = self.expected.datasource.relation_mode == "prisma"
        unmatched = []
        for key in [] if virtual else self.ours.foreign_keys(model):
            found = remaining.get(key.name)
            if found is not None and found.ends == key.ends:
                self.rules(place, key, remaining.pop(key.name))
            else:
                unmatched.append(key)
        there = {self.theirs.place(other) for other in self.catalog.datamodel.models}
        for key in unmatched:
            twin = next((other for other in remaining.values() if other.ends == key.ends), None)
            namesake = remaining.pop(key.name, None)
            if twin is not None:
                remaining.pop(twin.name, None)
                self.note("name of the foreign key", f"{table}.{key.name}", twin.name)
                self.rules(place, key, twin)
            elif not set(key.columns).issubset(columns) or key.parent not in there:
                continue
            elif namesake is not None:
                self.different("foreign key", key.name, key.shown, namesake.shown)
            else:
                self.missing("foreign key", key.name, key.shown)
        for key in remaining.values():
            self.extra("foreign key", key.name, key.shown)

    def rules(self, place: _Place, key: _ForeignKey, found: _ForeignKey) -> None:
        for wanted, has in zip(key.actions, found.actions, strict=True):
            if wanted != has:
                self.different("referential action", key.name, wanted, has)
        for other in self.catalog.of_kind(ObjectKind.NOT_VALID, ObjectKind.FOREIGN_KEY_DETAIL):
            if ((other.schema, other.table), other.name) == (place, found.name):
                wanted = "valid for every row, with plain rules"
                self.different("foreign key", key.name, wanted, other.detail)

    def objects(self) -> None:
        wanted = {self.ours.place(model) for model in self.expected.tables}
        for other in self.catalog.objects:
            name = self.object_name(other)
            table = other.schema, other.table
            if other.kind is ObjectKind.HIDDEN_ROWS and table in wanted:
                self.different("row-level security", name, "every row visible", "rows hidden from this user")
            elif other.kind not in _SAID_ALREADY and not (
                other.kind in (ObjectKind.NOT_VALID, ObjectKind.FOREIGN_KEY_DETAIL)
                and (table, other.name) in self.said
            ):
                self.note(other.kind, name, other.detail)

    def object_name(self, other: CatalogObject) -> str:
        home = other.schema in ("", self.catalog.schemas[0]) and len(self.catalog.schemas) == 1
        parts = ("" if home else other.schema, other.table, other.name)
        return ".".join(part for at, part in enumerate(parts) if part and part not in parts[:at])

    def migrations(self) -> None:
        catalog = self.catalog
        if not catalog.has_migrations_table:
            return
        if catalog.migrations is None:
            self.note("table", "_prisma_migrations", "Prisma's own; this user may not read it")
            return
        self.note("table", "_prisma_migrations", f"Prisma's own, {len(catalog.migrations)} migrations")
        for migration in catalog.migrations:
            if not migration.finished and not migration.rolled_back:
                self.note("migration that did not finish", migration.name)


def _same_key(wanted: _Key, found: _Key) -> bool:
    """Whether an index is the one that is wanted, whatever its name: a class left open is the default."""
    return wanted[1:4] == found[1:4] and all(
        is_default if open_ else name == other
        for (name, open_), (other, is_default) in zip(wanted.classes, found.classes, strict=True)
    )


_IN_PLACE_OF_TABLES = (
    ObjectKind.VIEW,
    ObjectKind.MATERIALIZED_VIEW,
    ObjectKind.FOREIGN_TABLE,
    ObjectKind.PARTITION,
    ObjectKind.EXTENSION_TABLE,
)
_SAID_ALREADY = frozenset(
    (
        ObjectKind.FOREIGN_TABLE,
        ObjectKind.GENERATED_COLUMN,
        ObjectKind.NULLS_NOT_DISTINCT,
    )
)


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
