"""What a live database holds, read from ``pg_catalog``: a Datamodel, and by name all that it has no word for.

A model stands for each table, named like it; fields are named like their columns.  Nothing is left out:
what a Datamodel cannot say (a partial index, a trigger, a table in another schema) is among
:attr:`Catalog.objects`.

The catalog's tables and columns are those of PostgreSQL's manual, "System Catalogs"; version 12 and later.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from octavo.errors import DatabaseError
from octavo.postgres import catalog_queries as queries
from octavo.postgres.expressions import default_of
from octavo.schema.datamodel import (
    Action,
    Arity,
    Datamodel,
    Datasource,
    DefaultValue,
    Enum,
    EnumMember,
    Function,
    Index,
    IndexField,
    IndexKind,
    Model,
    NativeType,
    Relation,
    RelationKind,
    ScalarField,
    ScalarKind,
)
from octavo.schema.native import NATIVE_TYPES

if TYPE_CHECKING:
    import psycopg

MIGRATIONS_TABLE = "_prisma_migrations"
"""Prisma's own record of what it did; no model."""

OLDEST_SERVER = 120000


class ObjectKind(StrEnum):
    """What a :class:`CatalogObject` is."""

    VIEW = "view"
    MATERIALIZED_VIEW = "materialized view"
    FOREIGN_TABLE = "foreign table"
    PARTITIONED_TABLE = "partitioned table"
    PARTITION = "partition"
    INHERITING_TABLE = "inheriting table"
    UNLOGGED_TABLE = "unlogged table"
    EXTENSION_TABLE = "table of an extension"
    TABLE_ELSEWHERE = "table in another schema"
    GENERATED_COLUMN = "generated column"
    IDENTITY_COLUMN = "identity column"
    REQUIRED_LIST = "list that may not be NULL"
    COLLATED_COLUMN = "column with a collation of its own"
    CHECK = "check constraint"
    EXCLUSION = "exclusion constraint"
    UNIQUE_CONSTRAINT = "unique constraint"
    NOT_VALID = "constraint not validated"
    DEFERRABLE = "deferrable constraint"
    FOREIGN_KEY_DETAIL = "foreign key with further rules"
    INVALID_INDEX = "invalid index"
    PARTIAL_INDEX = "partial index"
    EXPRESSION_INDEX = "index on an expression"
    INDEX_DETAIL = "index with further rules"
    NULLS_NOT_DISTINCT = "unique index that takes NULLs as equal"
    TRIGGER = "trigger"
    RULE = "rule"
    ROW_SECURITY = "row-level security"
    HIDDEN_ROWS = "row-level security that hides rows from this user"
    SEQUENCE = "sequence of no column"
    TYPE = "type"
    LARGE_OBJECTS = "large objects"


class CatalogObject(Struct, frozen=True, kw_only=True):
    """Something that a Datamodel has no word for.  ``table`` is the one it belongs to, if there is one."""

    kind: ObjectKind
    name: str
    schema: str = ""
    table: str = ""
    column: str = ""
    detail: str = ""


class SequenceState(Struct, frozen=True, kw_only=True):
    """A sequence and where it stands.  ``table`` and ``column`` are those that own it; empty: none does."""

    schema: str
    name: str
    table: str = ""
    column: str = ""
    identity: bool = False
    last_value: int | None = None
    """None: this user may not read it"""
    is_called: bool = False
    """False: ``last_value`` is the next to be given out"""


class Migration(Struct, frozen=True, kw_only=True):
    """A row of ``_prisma_migrations``."""

    name: str
    finished: bool
    rolled_back: bool


class Catalog(Struct, frozen=True, kw_only=True):
    """A live database.

    ``expressions`` holds each column's default as PostgreSQL prints it, by (schema, table, column).
    """

    datamodel: Datamodel
    schemas: tuple[str, ...]
    missing_schemas: tuple[str, ...]
    """those of ``schemas`` that do not exist: they hold no tables"""
    database: str
    user: str
    server_version: int
    """as PostgreSQL counts: 180004 is 18.4"""
    server_version_text: str
    encoding: str
    collation: str
    character_type: str
    locale_provider: str
    in_recovery: bool
    objects: tuple[CatalogObject, ...] = ()
    sequences: tuple[SequenceState, ...] = ()
    migrations: tuple[Migration, ...] | None = None
    """None: there is no such table, or it may not be read"""
    has_migrations_table: bool = False
    expressions: Mapping[tuple[str, str, str], str] = {}
    operator_classes: Mapping[tuple[str, str], tuple[str, ...]] = {}
    """of each index, by (schema, name): those of its columns, the defaults among them"""

    def of_kind(self, *kinds: ObjectKind) -> Iterator[CatalogObject]:
        return (o for o in self.objects if o.kind in kinds)

    def has(self, kind: ObjectKind, table: str, name: str = "") -> bool:
        """Whether there is such an object on a table (of this name, if given)."""
        return any(o.table == table and (not name or o.name == name) for o in self.of_kind(kind))


def introspect(connection: psycopg.Connection[Any], schema: str | Sequence[str] = "public") -> Catalog:
    """Read what the database holds, the tables being those of ``schema`` (or of several).

    The connection should be in a transaction with pinned settings (:mod:`octavo.postgres.connection`).
    Raises DatabaseError if the server is too old; psycopg's errors pass through.
    """
    schemas = (schema,) if isinstance(schema, str) else tuple(schema)
    version = connection.info.server_version
    if version < OLDEST_SERVER:
        raise DatabaseError(f"PostgreSQL {version // 10000} is too old: Octavo needs version 12 or later")
    return _Reader(connection, schemas, version).catalog()


class _Reader:
    """Gathers the parts of a :class:`Catalog`; one query for each kind of thing."""

    def __init__(self, connection: psycopg.Connection[Any], schemas: tuple[str, ...], version: int) -> None:
        self.connection = connection
        self.schemas = schemas
        self.version = version
        self.objects: list[CatalogObject] = []
        self.expressions: dict[tuple[str, str, str], str] = {}
        self.operator_classes: dict[tuple[str, str], tuple[str, ...]] = {}

    def rows(self, query: str) -> list[Any]:
        text = queries.for_version(query, self.version)
        return self.connection.execute(text, {"schemas": list(self.schemas)}).fetchall()

    def named(self, query: str) -> list[Any]:
        """Rows with the names that the query gives to its columns."""
        from psycopg.rows import namedtuple_row

        text = queries.for_version(query, self.version)
        with self.connection.cursor(row_factory=namedtuple_row) as cursor:
            return cursor.execute(text, {"schemas": list(self.schemas)}).fetchall()

    def note(self, kind: ObjectKind, name: str, **facts: str) -> None:
        self.objects.append(CatalogObject(kind=kind, name=name, **facts))

    def catalog(self) -> Catalog:
        (facts,) = self.rows(queries.DATABASE)
        there = {name for (name,) in self.rows(queries.SCHEMAS)}
        enums = self.enums()
        models, has_migrations = self.models(enums)
        relations = self.relations(models)
        self.others()
        self.large_objects()
        several = len(self.schemas) > 1
        return Catalog(
            datamodel=Datamodel(
                models=tuple(models.values()),
                enums=tuple(enums.values()),
                relations=tuple(relations),
                datasource=Datasource(schemas=self.schemas if several else ()),
            ),
            schemas=self.schemas,
            missing_schemas=tuple(name for name in self.schemas if name not in there),
            operator_classes=self.operator_classes,
            database=facts[0],
            user=facts[1],
            server_version=self.version,
            server_version_text=facts[2],
            encoding=facts[3],
            collation=facts[4],
            character_type=facts[5],
            locale_provider=facts[6],
            in_recovery=facts[7],
            sequences=tuple(self.sequences()),
            migrations=self.migrations() if has_migrations else None,
            has_migrations_table=bool(has_migrations),
            expressions=self.expressions,
            objects=tuple(self.objects),
        )

    def name(self, schema: str, table: str) -> str:
        """A model's name: the table's; with several schemas, the schema's before it."""
        return table if len(self.schemas) == 1 and schema == self.schemas[0] else f"{schema}.{table}"

    def schema_of(self, schema: str) -> str | None:
        return schema if len(self.schemas) > 1 or schema != self.schemas[0] else None

    def enums(self) -> dict[tuple[str, str], Enum]:
        found: dict[tuple[str, str], Enum] = {}
        for schema, name, labels in self.rows(queries.ENUMS):
            members = tuple(EnumMember(label, label) for label in labels)
            model_name = self.name(schema, name)
            found[schema, name] = Enum(
                name=model_name, type=name, members=members, schema=self.schema_of(schema)
            )
        return found

    def models(self, enums: Mapping[tuple[str, str], Enum]) -> tuple[dict[tuple[str, str], Model], set[str]]:
        """The tables by (schema, name), and the schemas in which Prisma keeps its migrations."""
        columns: dict[tuple[str, str], list[ScalarField]] = defaultdict(list)
        for column in self.named(queries.COLUMNS):
            columns[column.schema, column.table].append(self.scalar(column, enums))
        keys = self.indexes()
        found: dict[tuple[str, str], Model] = {}
        migrations: set[str] = set()
        for schema, table in self.tables():
            if table == MIGRATIONS_TABLE:
                migrations.add(schema)
                continue
            own = keys.get((schema, table), [])
            found[schema, table] = Model(
                name=self.name(schema, table),
                table=table,
                schema=self.schema_of(schema),
                fields=tuple(columns[schema, table]),
                primary_key=next((i for i in own if i.kind is IndexKind.ID), None),
                uniques=tuple(i for i in own if i.kind is IndexKind.UNIQUE),
                indexes=tuple(i for i in own if i.kind is IndexKind.NORMAL),
            )
        return found, migrations

    def tables(self) -> list[tuple[str, str]]:
        found = []
        for row in self.rows(queries.TABLES):
            schema, table, kind, persistence, partition, parents, extension, secured, forced, hidden = row
            where = {"schema": schema, "table": table}
            if hidden:
                self.note(ObjectKind.HIDDEN_ROWS, table, detail="forced" if forced else "enabled", **where)
            elif secured:
                self.note(ObjectKind.ROW_SECURITY, table, detail="forced" if forced else "enabled", **where)
            if extension:
                self.note(ObjectKind.EXTENSION_TABLE, table, detail=extension, **where)
                continue
            if kind in _OTHER_TABLES:
                self.note(_OTHER_TABLES[kind], table, **where)
                continue
            if partition:
                self.note(ObjectKind.PARTITION, table, detail=", ".join(parents), **where)
                continue
            if parents:
                self.note(ObjectKind.INHERITING_TABLE, table, detail=", ".join(parents), **where)
            if kind == "p":
                self.note(ObjectKind.PARTITIONED_TABLE, table, **where)
            if persistence == "u":
                self.note(ObjectKind.UNLOGGED_TABLE, table, **where)
            found.append((schema, table))
        return found

    def scalar(self, column: Any, enums: Mapping[tuple[str, str], Enum]) -> ScalarField:
        where = {"schema": column.schema, "table": column.table, "column": column.name}
        enum = enums.get((column.type_schema, column.type_name)) if column.type_kind == "e" else None
        type_, kind, native = _type_of(column, enum)
        if column.generated:
            how = "VIRTUAL" if column.generated == "v" else "STORED"
            self.note(
                ObjectKind.GENERATED_COLUMN, column.name, detail=f"({column.expression}) {how}", **where
            )
        if column.identity:
            always = "ALWAYS" if column.identity == "a" else "BY DEFAULT"
            self.note(ObjectKind.IDENTITY_COLUMN, column.name, detail=always, **where)
        if column.is_array and column.required:
            self.note(ObjectKind.REQUIRED_LIST, column.name, **where)
        if column.collation:
            self.note(ObjectKind.COLLATED_COLUMN, column.name, detail=column.collation, **where)
        required = column.required and not column.required_unproven
        arity = Arity.LIST if column.is_array else Arity.REQUIRED if required else Arity.OPTIONAL
        return ScalarField(
            name=column.name,
            column=column.name,
            type=type_,
            kind=kind,
            arity=arity,
            native=native,
            default=self.default(column, type_, kind),
            collation=column.collation,
        )

    def default(self, column: Any, type_: str, kind: ScalarKind) -> DefaultValue | None:
        if column.identity:
            return Function("autoincrement")
        if column.expression is None or column.generated:
            return None
        self.expressions[column.schema, column.table, column.name] = column.expression
        return default_of(column.expression, type_, enum=kind is ScalarKind.ENUM, is_list=column.is_array)

    def indexes(self) -> dict[tuple[str, str], list[Index]]:
        found: dict[tuple[str, str], list[Index]] = defaultdict(list)
        for index in self.named(queries.INDEXES):
            where = {"schema": index.schema, "table": index.table}
            if index.constraint == "x":
                continue
            if not index.valid:
                self.note(ObjectKind.INVALID_INDEX, index.name, detail=index.definition, **where)
                continue
            if index.predicate:
                self.note(ObjectKind.PARTIAL_INDEX, index.name, detail=index.definition, **where)
                continue
            if index.expressions:
                self.note(ObjectKind.EXPRESSION_INDEX, index.name, detail=index.definition, **where)
                continue
            if index.included or index.odd_nulls:
                self.note(ObjectKind.INDEX_DETAIL, index.name, detail=index.definition, **where)
            if index.nulls_not_distinct:
                self.note(ObjectKind.NULLS_NOT_DISTINCT, index.name, detail=index.definition, **where)
            if index.constraint == "u":
                self.note(ObjectKind.UNIQUE_CONSTRAINT, index.name, **where)
            if index.deferrable:
                self.note(ObjectKind.DEFERRABLE, index.name, detail=index.definition, **where)
            self.operator_classes[index.schema, index.name] = tuple(index.classes)
            found[index.schema, index.table].append(_index(index))
        return found

    def relations(self, models: Mapping[tuple[str, str], Model]) -> Iterator[Relation]:
        for key in self.named(queries.FOREIGN_KEYS):
            child = models.get((key.schema, key.table))
            if child is None:
                continue
            where = {"schema": key.schema, "table": key.table}
            if not key.proven:
                self.note(ObjectKind.NOT_VALID, key.name, detail=key.definition, **where)
            if key.deferrable:
                self.note(ObjectKind.DEFERRABLE, key.name, detail=key.definition, **where)
            if key.special:
                self.note(ObjectKind.FOREIGN_KEY_DETAIL, key.name, detail=key.definition, **where)
            unique = {frozenset(u.field_names) for u in (*child.uniques, child.primary_key) if u is not None}
            one = frozenset(key.columns) in unique
            yield Relation(
                name=key.name,
                kind=RelationKind.ONE_TO_ONE if one else RelationKind.ONE_TO_MANY,
                child=child.name,
                parent=self.name(key.parent_schema, key.parent),
                child_field="",
                parent_field="",
                fields=tuple(key.columns),
                references=tuple(key.references),
                on_delete=_ACTIONS[key.on_delete],
                on_update=_ACTIONS[key.on_update],
                constraint=key.name,
                required=all(not child.scalar(name).nullable for name in key.columns),
            )

    def others(self) -> None:
        for kind, schema, name, table, detail in self.rows(queries.OTHERS):
            self.note(ObjectKind(kind), name, schema=schema, table=table or "", detail=detail or "")

    def large_objects(self) -> None:
        ((count,),) = self.rows(queries.LARGE_OBJECTS)
        if count:
            self.note(ObjectKind.LARGE_OBJECTS, "pg_largeobject", detail=str(count))

    def sequences(self) -> Iterator[SequenceState]:
        from psycopg import sql

        for schema, name, table, column, dependency, readable in self.rows(queries.SEQUENCES):
            last, called = None, False
            if readable:
                query = sql.SQL("SELECT last_value, is_called FROM {}").format(sql.Identifier(schema, name))
                row = self.connection.execute(query).fetchone()
                last, called = row if row else (None, False)
            if not table:
                self.note(ObjectKind.SEQUENCE, name, schema=schema)
            yield SequenceState(
                schema=schema,
                name=name,
                table=table or "",
                column=column or "",
                identity=dependency == "i",
                last_value=last,
                is_called=called,
            )

    def migrations(self) -> tuple[Migration, ...] | None:
        from psycopg import sql

        found: list[Migration] = []
        for schema, readable in self.rows(queries.MIGRATIONS):
            if not readable:
                return None
            table = sql.Identifier(schema, MIGRATIONS_TABLE)
            query = sql.SQL(
                "SELECT migration_name, finished_at IS NOT NULL, rolled_back_at IS NOT NULL "
                "FROM {} ORDER BY started_at, migration_name"
            ).format(table)
            rows = self.connection.execute(query).fetchall()
            found += [Migration(name=n, finished=f, rolled_back=r) for n, f, r in rows]
        return tuple(found)


_OTHER_TABLES = {
    "v": ObjectKind.VIEW,
    "m": ObjectKind.MATERIALIZED_VIEW,
    "f": ObjectKind.FOREIGN_TABLE,
}
_ACTIONS = {
    "a": Action.NO_ACTION,
    "r": Action.RESTRICT,
    "c": Action.CASCADE,
    "n": Action.SET_NULL,
    "d": Action.SET_DEFAULT,
}
_METHODS = {"hash": "Hash", "gist": "Gist", "gin": "Gin", "spgist": "SpGist", "brin": "Brin"}


def _type_of(column: Any, enum: Enum | None) -> tuple[str, ScalarKind, NativeType | None]:
    if enum is not None:
        return enum.name, ScalarKind.ENUM, None
    native = next((name for name, rule in NATIVE_TYPES.items() if rule.catalog == column.type_name), "")
    if not native or (column.type_schema != "pg_catalog" and column.type_name != "citext"):
        shown = column.shown.removesuffix("[]") if column.is_array else column.shown
        return shown, ScalarKind.UNSUPPORTED, None
    scalar = NATIVE_TYPES[native].scalar
    return scalar, ScalarKind.SCALAR, NativeType(native, _arguments(column.type_name, column.modifier))


def _arguments(type_name: str, modifier: int) -> tuple[int, ...]:
    """What stands in parentheses after a type, from ``atttypmod``, which each type packs in its own way."""
    if modifier < 0:
        return ()
    if type_name in ("varchar", "bpchar"):
        return (modifier - 4,)
    if type_name == "numeric":
        packed = modifier - 4
        scale = packed & 0x7FF
        return packed >> 16 & 0xFFFF, scale - 0x800 if scale & 0x400 else scale
    return (modifier,)


def _index(row: Any) -> Index:
    kind = IndexKind.ID if row.primary else IndexKind.UNIQUE if row.unique else IndexKind.NORMAL
    fields = tuple(
        IndexField(name, "desc" if descending else None, class_ if chosen else None, chosen)
        for name, descending, class_, chosen in zip(
            row.columns, row.descending, row.classes, row.chosen, strict=True
        )
    )
    method = None if row.method == "btree" else _METHODS.get(row.method, row.method)
    return Index(kind=kind, fields=fields, constraint=row.name, algorithm=method)
