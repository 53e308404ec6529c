"""What of a live database is not as the schema says.

A *finding* could make an export lose or bend something and refuses it; a *note* is told and waived, as it
cannot: the order of columns, an index more, a view, a trigger, Prisma's own table.  What has no rows and
decides over none is a note.  Names are those of the database.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Any

from octavo.errors import DriftError
from octavo.schema.catalog import Catalog, CatalogObject, ObjectKind, introspect
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
from octavo.schema.expressions import comparable, same_expression
from octavo.schema.native import NATIVE_TYPES
from octavo.schema.sql import native_type
from octavo.text import some

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
    comparison = _Comparison(expected, catalog)
    comparison.run()
    return Drift(tuple(comparison.findings), tuple(comparison.notes))


def check(
    connection: psycopg.Connection[Any], expected: Datamodel, schema: str | Sequence[str] = "public"
) -> Drift:
    """Read the live database and hold it against the schema; ``schema`` gives way to those the schema
    names.
    """
    return compare(expected, introspect(connection, expected.datasource.schemas or schema))


class _Comparison:
    """Walks both sides; a thing inside another that is missing is not named again by itself."""

    def __init__(self, expected: Datamodel, catalog: Catalog) -> None:
        self.expected = expected
        self.catalog = catalog
        self.live = catalog.datamodel
        self.home = expected.datasource.schemas[0] if expected.datasource.schemas else catalog.schemas[0]
        self.findings: list[Finding] = []
        self.notes: list[Note] = []
        self.present: dict[str, Model] = {}
        """live tables by the name of the model that they are"""

    def run(self) -> None:
        self.enums()
        self.tables()
        for model in self.expected.tables:
            live = self.present.get(model.name)
            if live is not None:
                self.columns(model, live)
                self.primary_key(model, live)
                self.indexes(model, live)
                self.foreign_keys(model, live)
        self.objects()
        self.migrations()

    def find(self, kind: FindingKind, what: str, name: str, expected: str = "", found: str = "") -> None:
        self.findings.append(Finding(kind, what, name, expected, found))

    def note(self, what: str, name: str, text: str = "") -> None:
        self.notes.append(Note(what, name, text))

    def place(self, model: Model) -> tuple[str, str]:
        """Where a model's table is: its schema and name."""
        return model.schema or self.home, stored(model.table)

    def shown(self, schema: str, table: str) -> str:
        return table if len(self.catalog.schemas) == 1 else f"{schema}.{table}"

    def table(self, model: Model) -> str:
        return self.shown(*self.place(model))

    @cached_property
    def live_tables(self) -> dict[tuple[str, str], Model]:
        return {(m.schema or self.catalog.schemas[0], m.table): m for m in self.live.models}

    def enums(self) -> None:
        live = {(e.schema or self.catalog.schemas[0], e.type): e for e in self.live.enums}
        for enum in self.expected.enums:
            place = (enum.schema or self.home, stored(enum.type))
            found = live.pop(place, None)
            if found is None:
                self.find(FindingKind.MISSING, "enum", self.shown(*place), ", ".join(enum.labels))
            elif found.labels != enum.labels:
                self.find(
                    FindingKind.DIFFERENT,
                    "enum",
                    self.shown(*place),
                    ", ".join(enum.labels),
                    ", ".join(found.labels),
                )
        for place in live:
            self.note("extra enum", self.shown(*place))

    def tables(self) -> None:
        live = dict(self.live_tables)
        others = {(o.schema, o.name): o for o in self.catalog.of_kind(*_IN_PLACE_OF_TABLES)}
        for model in self.expected.tables:
            place = self.place(model)
            found = live.pop(place, None)
            if found is not None:
                self.present[model.name] = found
            elif place in others:
                self.find(FindingKind.DIFFERENT, "table", self.shown(*place), "table", others[place].kind)
            else:
                self.find(FindingKind.MISSING, "table", self.shown(*place))
        views = {self.place(model) for model in self.expected.models if model.is_view}
        for place in views:
            if place not in live and place not in others:
                self.note("missing view", self.shown(*place))
        for place in live:
            self.find(FindingKind.EXTRA, "table", self.shown(*place))
        wanted = {self.place(model) for model in self.expected.tables}
        for object_ in self.catalog.of_kind(ObjectKind.FOREIGN_TABLE):
            if (object_.schema, object_.name) not in wanted | views:
                self.find(FindingKind.EXTRA, "foreign table", self.shown(object_.schema, object_.name))

    def columns(self, model: Model, live: Model) -> None:
        found = {scalar.column: scalar for scalar in live.scalars}
        for scalar in model.scalars:
            other = found.pop(stored(scalar.column), None)
            name = f"{self.table(model)}.{stored(scalar.column)}"
            if other is None:
                self.find(FindingKind.MISSING, "column", name, sql_type(self.expected, scalar))
            else:
                self.column(model, name, scalar, other)
        for column, other in found.items():
            name = f"{self.table(model)}.{column}"
            self.find(FindingKind.EXTRA, "column", name, found=sql_type(self.live, other))
        both = [stored(s.column) for s in model.scalars]
        order = [s.column for s in live.scalars if s.column not in found]
        if set(both) == set(order) and both != order:
            self.note("order of columns", self.table(model), ", ".join(order))

    def column(self, model: Model, name: str, scalar: ScalarField, found: ScalarField) -> None:
        schema, table = self.place(model)
        generated = next(
            (
                o
                for o in self.catalog.of_kind(ObjectKind.GENERATED_COLUMN)
                if (o.schema, o.table, o.column) == (schema, table, found.column)
            ),
            None,
        )
        wanted, has = self.type(self.expected, scalar), self.type(self.live, found)
        if scalar.kind is ScalarKind.UNSUPPORTED and _plain(self.shown_type(found)) == _plain(scalar.type):
            has = wanted
        if wanted[0] != has[0]:
            self.different("type", name, sql_type(self.expected, scalar), sql_type(self.live, found))
        elif wanted != has:
            self.different("precision", name, sql_type(self.expected, scalar), sql_type(self.live, found))
        # A SERIAL column is NOT NULL, whatever its field says.
        free = scalar.is_list or found.is_list or (is_serial(scalar) and not found.nullable)
        if scalar.arity is not found.arity and not free:
            words = {Arity.REQUIRED: "NOT NULL", Arity.OPTIONAL: "NULL"}
            self.different("nullability", name, words[scalar.arity], words[found.arity])
        if generated is not None:
            self.different("default", name, self.default(scalar), f"generated from {generated.detail}")
        elif wanted[0] == has[0] and not self.same_default(model, scalar, found):
            self.different("default", name, self.default(scalar), self.live_default(model, found))

    def shown_type(self, found: ScalarField) -> str:
        return sql_type(self.live, found).removesuffix("[]")

    def different(self, what: str, name: str, expected: str, found: str) -> None:
        self.find(FindingKind.DIFFERENT, what, name, expected, found)

    def type(self, datamodel: Datamodel, scalar: ScalarField) -> tuple[object, object]:
        """A column's type in two parts: which, and how precise."""
        if scalar.kind is ScalarKind.ENUM:
            enum = datamodel.enum(scalar.type)
            home = self.home if datamodel is self.expected else self.catalog.schemas[0]
            return (enum.schema or home, stored(enum.type), scalar.is_list), ()
        if scalar.kind is ScalarKind.UNSUPPORTED:
            return (_plain(scalar.type), scalar.is_list), ()
        native = native_type(scalar)
        return (native.name, scalar.is_list), _precision(native)

    def default(self, scalar: ScalarField) -> str:
        return "autoincrement()" if is_serial(scalar) else default_sql(self.expected, scalar) or ""

    def live_default(self, model: Model, found: ScalarField) -> str:
        written = self.catalog.expressions.get((*self.place(model), found.column), "")
        return written or self.default(found)

    def same_default(self, model: Model, scalar: ScalarField, found: ScalarField) -> bool:
        wanted, has = scalar.default, found.default
        if isinstance(wanted, Function):
            if wanted.name == "dbgenerated":
                if not wanted.args:
                    return True
                written = self.catalog.expressions.get((*self.place(model), found.column))
                return written is not None and same_expression(str(wanted.args[0]), written)
            if wanted.name not in ("now", "autoincrement"):
                return has is None
            return isinstance(has, Function) and has.name == wanted.name
        if wanted is None or has is None or isinstance(has, Function):
            return wanted is None and has is None
        native = native_type(scalar) if scalar.kind is ScalarKind.SCALAR else None
        return bool(
            comparable(self.labelled(scalar, wanted), scalar.type, native)
            == comparable(has, scalar.type, native)
        )

    def labelled(self, scalar: ScalarField, value: DefaultValue) -> DefaultValue:
        """A default's enum values by their labels in the database, as the live side has them."""

        def labelled(single: SingleDefault) -> SingleDefault:
            if not isinstance(single, EnumValue):
                return single
            members = self.expected.enum(scalar.type).members
            return EnumValue(next((m.label for m in members if m.name == single.name), single.name))

        return tuple(map(labelled, value)) if isinstance(value, tuple) else labelled(value)

    def primary_key(self, model: Model, live: Model) -> None:
        name = self.table(model)
        wanted, has = model.primary_key, live.primary_key
        if wanted is None and has is None:
            return
        if wanted is None and has is not None:
            self.find(FindingKind.EXTRA, "primary key", name, found=", ".join(_columns(live, has)))
        elif wanted is not None and has is None:
            columns = _columns(model, wanted)
            if model.is_join and any(set(_columns(live, u)) == set(columns) for u in live.uniques):
                self.note("unique index as the key", name, "made by a Prisma before version 6")
            elif not self.lacks(live, columns):
                self.find(FindingKind.MISSING, "primary key", name, ", ".join(columns))
        elif wanted is not None and has is not None:
            ours, theirs = _columns(model, wanted), _columns(live, has)
            if ours != theirs and not self.lacks(live, ours):
                self.different("primary key", name, ", ".join(ours), ", ".join(theirs))
            elif stored(wanted.constraint) != has.constraint:
                self.note("name of the primary key", name, has.constraint)

    def lacks(self, live: Model, columns: Iterable[str]) -> bool:
        """Whether a column is missing, which has been named already."""
        return not {scalar.column for scalar in live.scalars}.issuperset(columns)

    def indexes(self, model: Model, live: Model) -> None:
        remaining = {index.constraint: index for index in (*live.uniques, *live.indexes)}
        unmatched: list[Index] = []
        for index in (*model.uniques, *model.indexes):
            found = remaining.pop(stored(index.constraint), None)
            if found is None:
                unmatched.append(index)
                continue
            self.index(model, live, index, found)
        for index in unmatched:
            twin = next((r for r in remaining.values() if self.same_index(model, live, index, r)), None)
            if twin is not None:
                del remaining[twin.constraint]
                self.note(
                    f"name of the {_word(index)}", f"{self.table(model)}.{index.constraint}", twin.constraint
                )
            elif not self.lacks(live, _columns(model, index)):
                self.find(
                    FindingKind.MISSING,
                    _word(index),
                    index.constraint,
                    f"on {self.table(model)}: {_definition(model, index)}",
                )
        for extra in remaining.values():
            if not self.is_old_join_key(model, live, extra):
                self.note(f"extra {_word(extra)}", extra.constraint, f"on {self.table(model)}")

    def is_old_join_key(self, model: Model, live: Model, index: Index) -> bool:
        key = model.primary_key
        return (
            model.is_join
            and key is not None
            and live.primary_key is None
            and index.kind is IndexKind.UNIQUE
            and set(_columns(live, index)) == set(_columns(model, key))
        )

    def index(self, model: Model, live: Model, index: Index, found: Index) -> None:
        schema, table = self.place(model)
        if not self.same_index(model, live, index, found):
            if not self.lacks(live, _columns(model, index)):
                ours, theirs = _definition(model, index), _definition(live, found)
                self.different(_word(index), index.constraint, ours, theirs)
            return
        details = (ObjectKind.NULLS_NOT_DISTINCT, ObjectKind.INDEX_DETAIL)
        for object_ in self.catalog.of_kind(*details):
            if (object_.schema, object_.table, object_.name) != (schema, table, found.constraint):
                continue
            if object_.kind is ObjectKind.NULLS_NOT_DISTINCT:
                self.different("unique", index.constraint, "NULLs differ from each other", object_.detail)

    def same_index(self, model: Model, live: Model, index: Index, found: Index) -> bool:
        return (
            index.kind is found.kind
            and _normal_method(index) == _normal_method(found)
            and [part[:2] for part in _index_columns(model, index)]
            == [part[:2] for part in _index_columns(live, found)]
            and self.same_classes(live, index, found)
        )

    def same_classes(self, live: Model, index: Index, found: Index) -> bool:
        """Whether the operator classes agree: one left out is the type's default, which may be written
        too.
        """
        place = live.schema or self.catalog.schemas[0], found.constraint
        names = self.catalog.operator_classes.get(place, ())
        for part, other, name in zip(index.fields, found.fields, names, strict=True):
            if part.ops is None and other.ops is not None:
                return False
            if part.ops is not None and _class(part) != name:
                return False
        return True

    def foreign_keys(self, model: Model, live: Model) -> None:
        remaining = {key.constraint: key for key in self.live.relations if key.child == live.name}
        virtual = self.expected.datasource.relation_mode == "prisma"
        wanted = [] if virtual else [k for k in self.expected.foreign_keys if k.child == model.name]
        unmatched: list[Relation] = []
        for key in wanted:
            found = remaining.get(stored(key.constraint))
            if found is not None and self.same_ends(key, found):
                del remaining[found.constraint]
                self.actions(model, key, found)
            else:
                unmatched.append(key)
        for key in unmatched:
            twin = next((r for r in remaining.values() if self.same_ends(key, r)), None)
            namesake = remaining.pop(stored(key.constraint), None)
            if twin is not None:
                remaining.pop(twin.constraint, None)
                self.note("name of the foreign key", f"{self.table(model)}.{key.constraint}", twin.constraint)
                self.actions(model, key, twin)
            elif self.lacks(live, self.ends(self.expected, key)[1]) or key.parent not in self.present:
                continue
            elif namesake is not None:
                shown = self.key_shown(self.expected, key), self.key_shown(self.live, namesake)
                self.different("foreign key", key.constraint, *shown)
            else:
                self.find(
                    FindingKind.MISSING, "foreign key", key.constraint, self.key_shown(self.expected, key)
                )
        for extra in remaining.values():
            self.find(
                FindingKind.EXTRA, "foreign key", extra.constraint, found=self.key_shown(self.live, extra)
            )

    def ends(self, datamodel: Datamodel, key: Relation) -> tuple[object, tuple[str, ...], tuple[str, ...]]:
        """A foreign key's parent table and the columns on both sides."""
        child = datamodel.model(key.child)
        own = tuple(stored(child.scalar(name).column) for name in key.fields)
        if key.parent not in datamodel:
            return tuple(key.parent.split(".", 1)), own, key.references
        parent = datamodel.model(key.parent)
        home = self.home if datamodel is self.expected else self.catalog.schemas[0]
        theirs = tuple(stored(parent.scalar(name).column) for name in key.references)
        return (parent.schema or home, stored(parent.table)), own, theirs

    def same_ends(self, key: Relation, found: Relation) -> bool:
        parent, own, theirs = self.ends(self.expected, key)
        live_parent, live_own, live_theirs = self.ends(self.live, found)
        return parent == live_parent and set(zip(own, theirs, strict=True)) == set(
            zip(live_own, live_theirs, strict=True)
        )

    def key_shown(self, datamodel: Datamodel, key: Relation) -> str:
        parent, own, theirs = self.ends(datamodel, key)
        target = self.shown(*parent) if isinstance(parent, tuple) and len(parent) == 2 else key.parent
        child = self.table(datamodel.model(key.child))
        return f"{child}({', '.join(own)}) to {target}({', '.join(theirs)})"

    def actions(self, model: Model, key: Relation, found: Relation) -> None:
        for word, wanted, has in (
            ("ON DELETE", key.on_delete, found.on_delete),
            ("ON UPDATE", key.on_update, found.on_update),
        ):
            if wanted is not has:
                self.different("referential action", key.constraint, f"{word} {wanted}", f"{word} {has}")
        schema, table = self.place(model)
        for object_ in self.catalog.of_kind(ObjectKind.NOT_VALID, ObjectKind.FOREIGN_KEY_DETAIL):
            if (object_.schema, object_.table, object_.name) == (schema, table, found.constraint):
                self.different(
                    "foreign key", key.constraint, "valid for every row, with plain rules", object_.detail
                )

    def objects(self) -> None:
        wanted = {self.place(model) for model in self.expected.tables}
        keys = {(self.place(m), k.constraint) for m in self.expected.tables for k in self.foreign_of(m)}
        for object_ in self.catalog.objects:
            name = self.object_name(object_)
            if object_.kind is ObjectKind.HIDDEN_ROWS and (object_.schema, object_.table) in wanted:
                self.different("row-level security", name, "every row visible", "rows hidden from this user")
            elif object_.kind in _SAID_ALREADY or (
                object_.kind in (ObjectKind.NOT_VALID, ObjectKind.FOREIGN_KEY_DETAIL)
                and ((object_.schema, object_.table), object_.name) in keys
            ):
                continue
            else:
                self.note(object_.kind, name, object_.detail)

    def foreign_of(self, model: Model) -> Iterator[Relation]:
        live = self.present.get(model.name)
        return (k for k in self.live.relations if live is not None and k.child == live.name)

    def object_name(self, object_: CatalogObject) -> str:
        home = object_.schema in ("", self.catalog.schemas[0]) and len(self.catalog.schemas) == 1
        parts = ("" if home else object_.schema, object_.table, object_.name)
        deduplicated = [part for at, part in enumerate(parts) if part and part not in parts[:at]]
        return ".".join(deduplicated)

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


def _columns(model: Model, index: Index) -> tuple[str, ...]:
    return tuple(stored(model.scalar(name).column) for name in index.field_names)


def _word(index: Index) -> str:
    return "unique" if index.kind is IndexKind.UNIQUE else "index"


def _normal_method(index: Index) -> str:
    return (index.algorithm or "BTree").lower()


def _index_columns(model: Model, index: Index) -> Iterator[tuple[str, str, str | None]]:
    for part in index.fields:
        class_ = _class(part)
        sort = "desc" if (part.sort or "asc").lower() == "desc" else "asc"
        yield stored(model.scalar(part.name).column), sort, class_


def _class(part: IndexField) -> str | None:
    """An operator class by PostgreSQL's name, without its parameters."""
    if part.ops is None:
        return None
    return part.ops.partition("(")[0].strip() if part.raw_ops else operator_class(part.ops)


def _definition(model: Model, index: Index) -> str:
    method = "" if _normal_method(index) == "btree" else f" using {_normal_method(index)}"
    columns = []
    for column, sort, class_ in _index_columns(model, index):
        columns.append(" ".join(filter(None, (column, class_, "desc" if sort == "desc" else ""))))
    unique = "unique " if index.kind is IndexKind.UNIQUE else ""
    return f"{unique}({', '.join(columns)}){method}"
