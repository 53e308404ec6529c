"""PostgreSQL's tables from a Datamodel, word for word as Prisma Migrate writes them.

The statements come in stages, so that rows can be loaded between them: keys, indexes and foreign keys are
quicker to make from rows that are there than to keep up row by row.  Whichever way, the catalog ends up the
same.

The format is that of Prisma's ``migration.sql``: type names in capitals, primary keys inside CREATE TABLE,
uniques as indexes, views left to their author.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from octavo.errors import SchemaError
from octavo.schema.datamodel import (
    Action,
    Arity,
    Datamodel,
    DefaultValue,
    Enum,
    EnumValue,
    Extension,
    Function,
    Index,
    IndexField,
    IndexKind,
    Model,
    Number,
    Relation,
    ScalarField,
    ScalarKind,
)
from octavo.schema.literals import show_datetime
from octavo.schema.live import generation
from octavo.schema.native import NATIVE_TYPES, literal, native_type, qualified, quote, table_name

_ACTIONS = {
    Action.CASCADE: "CASCADE",
    Action.RESTRICT: "RESTRICT",
    Action.NO_ACTION: "NO ACTION",
    Action.SET_NULL: "SET NULL",
    Action.SET_DEFAULT: "SET DEFAULT",
}
_METHODS = {
    "BTree": "BTREE",
    "Hash": "HASH",
    "Gist": "GIST",
    "Gin": "GIN",
    "SpGist": "SPGIST",
    "Brin": "BRIN",
}


@dataclass(frozen=True, kw_only=True)
class Ddl:
    """The statements that make a database, by stage; each without its semicolon.

    Run ``schemas``, ``extensions``, ``enums``, ``bare_tables``, load rows, then ``primary_keys``,
    ``indexes`` and ``foreign_keys``; or run :meth:`script` at once.
    """

    schemas: tuple[str, ...]
    extensions: tuple[str, ...]
    enums: tuple[str, ...]
    tables: tuple[str, ...]
    """with their primary keys, as Prisma writes them"""
    bare_tables: tuple[str, ...]
    """the same tables without primary keys"""
    primary_keys: tuple[str, ...]
    indexes: tuple[str, ...]
    foreign_keys: tuple[str, ...]

    @property
    def schemas_and_types(self) -> tuple[str, ...]:
        return (*self.schemas, *self.extensions, *self.enums)

    @property
    def before_rows(self) -> tuple[str, ...]:
        """What must be there before rows are loaded."""
        return (*self.schemas_and_types, *self.bare_tables)

    @property
    def after_rows(self) -> tuple[str, ...]:
        """What is made quickest when the rows are there."""
        return (*self.primary_keys, *self.indexes, *self.foreign_keys)

    def script(self) -> str:
        """The whole as the text of a migration, with Prisma's comments."""
        stages = (
            ("CreateSchema", self.schemas),
            ("CreateExtension", self.extensions),
            ("CreateEnum", self.enums),
            ("CreateTable", self.tables),
            ("CreateIndex", self.indexes),
            ("AddForeignKey", self.foreign_keys),
        )
        parts = [f"-- {title}\n{statement};\n" for title, stage in stages for statement in stage]
        return "\n".join(parts)


def ddl(datamodel: Datamodel, schema: str = "public") -> Ddl:
    """The statements that make the tables of a Datamodel, those that a layout excludes too.

    Names carry their PostgreSQL schema where the Prisma schema names several; otherwise they are plain and
    belong to the first schema of the search path, which ``schema`` names: it is created if it is not
    ``public``. Raises SchemaError for a default that cannot be written.
    """
    datamodel = datamodel.complete
    source = datamodel.datasource
    named = source.schemas or ((schema,) if schema != "public" else ())
    of_extensions = (e.schema for e in source.extensions if e.schema is not None)
    tables = datamodel.tables
    return Ddl(
        schemas=tuple(
            f"CREATE SCHEMA IF NOT EXISTS {quote(name)}"
            for name in dict.fromkeys((*named, *of_extensions))
            if name not in ("public", "pg_catalog")
        ),
        extensions=tuple(map(_extension, dict.fromkeys(source.extensions))),
        enums=tuple(_enum(enum) for enum in datamodel.enums),
        tables=tuple(_table(datamodel, model, with_key=True) for model in tables),
        bare_tables=tuple(_table(datamodel, model, with_key=False) for model in tables),
        primary_keys=tuple(
            f"ALTER TABLE {table_name(model)} ADD {_primary_key(model, model.primary_key)}"
            for model in tables
            if model.primary_key is not None
        ),
        indexes=tuple(statement for model in tables for statement in _indexes(model)),
        foreign_keys=tuple(_foreign_keys(datamodel)),
    )


def sql_type(datamodel: Datamodel, scalar: ScalarField) -> str:
    """The column's type in SQL, as Prisma spells it: ``TIMESTAMP(3)``, ``"Role"``, ``TEXT[]``."""
    if scalar.kind is ScalarKind.UNSUPPORTED:
        base = scalar.type
    elif scalar.kind is ScalarKind.ENUM:
        enum = datamodel.enum(scalar.type)
        base = qualified(enum.schema, enum.type)
    else:
        native = native_type(scalar)
        arguments = f"({','.join(str(arg) for arg in native.args)})" if native.args else ""
        base = NATIVE_TYPES[native.name].sql + arguments
    return base + ("[]" if scalar.is_list else "")


def default_sql(datamodel: Datamodel, scalar: ScalarField) -> str | None:
    """The column's default in SQL; None if the database has none (the client may: ``uuid()``).

    A counter (``autoincrement()``) is part of the type, not a default.
    """
    default = scalar.default
    if default is None:
        return None
    if isinstance(default, Function):
        if default.name == "now":
            return "CURRENT_TIMESTAMP"
        if default.name == "dbgenerated" and default.args:
            return str(default.args[0])
        return None
    if isinstance(default, tuple):
        values = ", ".join(_constant(datamodel, scalar, value) for value in default)
        return f"ARRAY[{values}]::{sql_type(datamodel, scalar)}"
    return _constant(datamodel, scalar, default)


def is_serial(scalar: ScalarField) -> bool:
    """Whether the column counts by itself (``autoincrement()``)."""
    return isinstance(scalar.default, Function) and scalar.default.name == "autoincrement"


def _extension(extension: Extension) -> str:
    words = [f"CREATE EXTENSION IF NOT EXISTS {quote(extension.name)}"]
    if extension.schema is not None:
        words.append(f"WITH SCHEMA {quote(extension.schema)}")
    if extension.version is not None:
        words.append(f"VERSION {quote(extension.version)}")
    return " ".join(words)


def _enum(enum: Enum) -> str:
    labels = ", ".join(literal(member.label) for member in enum.sorted_members)
    return f"CREATE TYPE {qualified(enum.schema, enum.type)} AS ENUM ({labels})"


def _table(datamodel: Datamodel, model: Model, *, with_key: bool) -> str:
    columns = ",\n".join(f"    {_column(datamodel, model, scalar)}" for scalar in model.scalars)
    key = model.primary_key if with_key else None
    constraint = f",\n\n    {_primary_key(model, key)}" if key else ""
    return f"CREATE TABLE {table_name(model)} (\n{columns}{constraint}\n)"


def _column(datamodel: Datamodel, model: Model, scalar: ScalarField) -> str:
    required = " NOT NULL" if scalar.arity is Arity.REQUIRED else ""
    if (generated := generation(model, scalar)) is not None:
        return (
            f"{quote(scalar.column)} {sql_type(datamodel, scalar)}{required} GENERATED ALWAYS AS {generated}"
        )
    if is_serial(scalar):
        return f"{quote(scalar.column)} {NATIVE_TYPES[native_type(scalar).name].serial}{required}"
    default = default_sql(datamodel, scalar)
    suffix = f" DEFAULT {default}" if default is not None else ""
    return f"{quote(scalar.column)} {sql_type(datamodel, scalar)}{required}{suffix}"


def _primary_key(model: Model, key: Index) -> str:
    columns = ",".join(quote(model.scalar(name).column) for name in key.field_names)
    return f"CONSTRAINT {quote(key.constraint)} PRIMARY KEY ({columns})"


def _indexes(model: Model) -> Iterator[str]:
    for index in model.written_indexes:
        unique = "UNIQUE " if index.kind is IndexKind.UNIQUE else ""
        method = f" USING {_METHODS[index.algorithm]} " if index.algorithm not in (None, "BTree") else ""
        columns = ", ".join(_index_column(model, part) for part in index.fields)
        yield f"CREATE {unique}INDEX {quote(index.constraint)} ON {table_name(model)}{method}({columns})" + (
            f" WHERE ({index.predicate})" if index.predicate is not None else ""
        )


def _index_column(model: Model, part: IndexField) -> str:
    words = [quote(model.scalar(part.name).column)]
    if part.ops:
        words.append(part.ops if part.raw_ops else operator_class(part.ops))
    if part.sort:
        words.append(part.sort.upper())
    return " ".join(words)


def operator_class(name: str) -> str:
    """PostgreSQL's name of an operator class that Prisma names: ``JsonbPathOps`` is ``jsonb_path_ops``."""
    joined = name.replace("MinMax", "Minmax").replace("VarBit", "Varbit").replace("Tz", "tz")
    return re.sub(r"(?<!^)(?=[A-Z])", "_", joined).lower()


def _foreign_keys(datamodel: Datamodel) -> Iterator[str]:
    if datamodel.datasource.relation_mode == "prisma":
        return
    for key in datamodel.foreign_keys:
        child, parent = datamodel.model(key.child), datamodel.model(key.parent)
        if not (child.is_view or parent.is_view):
            yield _foreign_key(key, child, parent)


def _foreign_key(key: Relation, child: Model, parent: Model) -> str:
    own = ", ".join(quote(child.scalar(name).column) for name in key.fields)
    theirs = ", ".join(quote(parent.scalar(name).column) for name in key.references)
    return (
        f"ALTER TABLE {table_name(child)} ADD CONSTRAINT {quote(key.constraint)} FOREIGN KEY ({own}) "
        f"REFERENCES {table_name(parent)}({theirs}) "
        f"ON DELETE {_ACTIONS[key.on_delete]} ON UPDATE {_ACTIONS[key.on_update]}"
    )


def _constant(datamodel: Datamodel, scalar: ScalarField, value: DefaultValue) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case Number():
            return number_text(value, scalar)
        case EnumValue():
            return literal(_label(datamodel.enum(scalar.type), value.name))
        case str() if scalar.type == "Bytes":
            return literal("\\x" + _bytes(scalar, value).hex())
        case str() if scalar.type == "DateTime":
            return literal(_moment(value))
        case str():
            return literal(value)
        case _:
            raise SchemaError(f"the default of {scalar.name} is not a constant")


def _label(enum: Enum, name: str) -> str:
    for member in enum.members:
        if member.name == name:
            return member.label
    raise SchemaError(f"enum {enum.name} has no value {name}")


def _bytes(scalar: ScalarField, text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise SchemaError(f"the default of {scalar.name} is not base64") from None


def number_text(value: Number, scalar: ScalarField) -> str:
    """A number as Prisma writes it into a default: ``1_000``, ``1e3`` and ``01000`` are ``1000``."""
    if scalar.type in ("Int", "BigInt"):
        return str(int(value.text))
    number = Decimal(value.text)
    return format(number if number else abs(number), "f")


def _moment(text: str) -> str:
    """An RFC 3339 time as Prisma writes it into a default: ``2020-01-01 00:00:00 +00:00``."""
    shown = show_datetime(text)
    return f"{shown[:10]} {shown[11:-6]} {shown[-6:]}"
