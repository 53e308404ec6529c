"""What the data is: models, fields, enums, relations, keys and defaults, as one immutable value.

A :class:`Datamodel` comes from a Prisma schema (:mod:`octavo.schema.parser`) or from a live database
(:mod:`octavo.postgres.catalog`); everything else is derived from it.  What Prisma leaves to a default
(referential actions, table, column and constraint names) is resolved here; what the author wrote is kept
beside it where Prisma's own DMMF shows it (``written_…``).

Its parts are msgspec's structs: a process that starts up reads the frozen schema's Datamodel from JSON, in a
hundredth of the time that the text takes to parse.
"""

import os
from collections.abc import Collection, Iterator, Sequence
from enum import StrEnum
from functools import cached_property
from typing import TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from octavo.schema.identifiers import constraint_name


class Arity(StrEnum):
    """How many values a field holds."""

    REQUIRED = "required"
    OPTIONAL = "optional"
    LIST = "list"


class ScalarKind(StrEnum):
    """What :attr:`ScalarField.type` names."""

    SCALAR = "scalar"
    """one of Prisma's nine scalar types"""
    ENUM = "enum"
    UNSUPPORTED = "unsupported"
    """``Unsupported("…")``: the text is PostgreSQL's type"""


class Action(StrEnum):
    """A referential action, spelled as Prisma does."""

    CASCADE = "Cascade"
    RESTRICT = "Restrict"
    NO_ACTION = "NoAction"
    SET_NULL = "SetNull"
    SET_DEFAULT = "SetDefault"


class IndexKind(StrEnum):
    """What an index is for, spelled as Prisma's DMMF does."""

    ID = "id"
    UNIQUE = "unique"
    NORMAL = "normal"


class RelationKind(StrEnum):
    """How many records stand on each side of a relation."""

    ONE_TO_ONE = "1-1"
    ONE_TO_MANY = "1-n"
    MANY_TO_MANY = "n-n"


class Number(Struct, frozen=True, tag=True, omit_defaults=True):
    """A number as the schema spells it, so that no digit of a default passes through a float."""

    text: str


class EnumValue(Struct, frozen=True, tag=True, omit_defaults=True):
    """A default that is a value of the field's enum, by its Prisma name."""

    name: str


class Function(Struct, frozen=True, tag=True, omit_defaults=True):
    """A default that is computed: ``uuid(7)``, ``now()``, ``autoincrement()``, ``dbgenerated("…")``."""

    name: str
    args: tuple[str | int, ...] = ()


SingleDefault: TypeAlias = bool | str | Number | EnumValue | Function
DefaultValue: TypeAlias = SingleDefault | tuple[SingleDefault, ...]
"""A default: strings are as written (for Bytes: base64; for Json: its text), a tuple is a list's default."""


class NativeType(Struct, frozen=True, omit_defaults=True):
    """A PostgreSQL type as Prisma names it: ``@db.VarChar(20)`` is ``NativeType("VarChar", (20,))``."""

    name: str
    args: tuple[int, ...] = ()


class Secret(Struct, frozen=True, omit_defaults=True):
    """How a field's value is protected, from a ``/// @secret …`` line of its documentation, or from its name.

    ``scheme`` is ``bcrypt``, ``aes-256-gcm``, or ``token`` (plain, but never shown).  ``iv``, ``tag`` and
    ``owner`` name the sibling fields that hold the IV, the authentication tag and the user's id from which
    the key derives; empty where the scheme has none.  ``part`` marks such an IV or tag itself.
    """

    scheme: str
    iv: str = ""
    tag: str = ""
    owner: str = ""
    part: bool = False
    named: bool = False
    """whether no line says so: the field is named as a secret (:mod:`octavo.schema.secret_fields`)"""

    @property
    def is_checkable(self) -> bool:
        """Whether it can be told if a value is whole: of a ciphertext or a hash, not of what is plain."""
        return not self.part and self.scheme != "token"


class ScalarField(Struct, frozen=True, tag="scalar", tag_field="field", kw_only=True, omit_defaults=True):
    """A field that is a column."""

    name: str
    column: str
    type: str
    kind: ScalarKind = ScalarKind.SCALAR
    arity: Arity = Arity.REQUIRED
    written_column: str | None = None
    """the column's name, if written (``@map``)"""
    native: NativeType | None = None
    """the ``@db.…`` type as written; None: Prisma's default for the scalar"""
    default: DefaultValue | None = None
    updated_at: bool = False
    """set by the client on every write (``@updatedAt``)"""
    ignored: bool = False
    documentation: str | None = None
    secret: Secret | None = None
    generated: str | None = None
    """of a column that a live database computes, how (:mod:`octavo.schema.live`)"""
    collation: str | None = None
    """of a live column, where it is not the database's own"""

    @property
    def nullable(self) -> bool:
        """Whether the column may be NULL.  Prisma's list columns may: it never declares them NOT NULL."""
        return self.arity is not Arity.REQUIRED

    @property
    def is_list(self) -> bool:
        return self.arity is Arity.LIST

    @property
    def is_json(self) -> bool:
        return self.kind is ScalarKind.SCALAR and self.type == "Json"


class RelationField(Struct, frozen=True, tag="relation", tag_field="field", kw_only=True, omit_defaults=True):
    """A field that is another model's records, not a column.

    ``fields`` and ``references`` are those of the side that holds the foreign key; empty on the other.
    """

    name: str
    model: str
    arity: Arity
    relation: str
    """the relation's name, written or generated (``CharacterToUser``)"""
    fields: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    written_on_delete: Action | None = None
    written_on_update: Action | None = None
    ignored: bool = False
    documentation: str | None = None

    @property
    def is_list(self) -> bool:
        return self.arity is Arity.LIST


Field: TypeAlias = ScalarField | RelationField


class IndexField(Struct, frozen=True, omit_defaults=True):
    """A field in an index: its Prisma name, with sort order and operator class where written."""

    name: str
    sort: str | None = None
    ops: str | None = None
    raw_ops: bool = False
    """``ops`` was written as ``raw("…")``"""


class Index(Struct, frozen=True, kw_only=True, dict=True, omit_defaults=True):
    """A primary key, a unique or a plain index."""

    kind: IndexKind
    fields: tuple[IndexField, ...]
    constraint: str
    """its name in the database"""
    name: str | None = None
    """the client's name for it (``name:``), if written"""
    written_constraint: str | None = None
    """the database name, if written (``map:``)"""
    algorithm: str | None = None
    """``Hash``, ``Gin``, … as Prisma spells it; None: a B-tree"""
    written_algorithm: str | None = None
    """the algorithm, if written (``type:``): ``BTree`` too"""
    on_field: bool = False
    """written on the field (``@id``), not on the block (``@@id``)"""
    predicate: str | None = None
    """of a partial index, which rows it is of, in SQL (``where:``)"""

    @cached_property
    def field_names(self) -> tuple[str, ...]:
        return tuple(f.name for f in self.fields)

    @cached_property
    def client_name(self) -> str:
        """How a ``where`` names a compound key: ``characterId_tagId``, or the name written."""
        return self.name or "_".join(self.field_names)


class Model(Struct, frozen=True, kw_only=True, dict=True, omit_defaults=True):
    """A table (or, if ``is_view``, a view)."""

    name: str
    table: str
    fields: tuple[Field, ...]
    primary_key: Index | None = None
    uniques: tuple[Index, ...] = ()
    indexes: tuple[Index, ...] = ()
    partial_indexes: tuple[Index, ...] = ()
    """uniques and indexes of some rows only (``where:``), which identify no record"""
    index_order: tuple[Index, ...] = ()
    """uniques and indexes together, in the order in which Prisma's DMMF has them; empty: uniques first"""
    schema: str | None = None
    """the PostgreSQL schema, if the Prisma schema names several"""
    written_table: str | None = None
    """the table's name, if written (``@@map``)"""
    is_view: bool = False
    is_join: bool = False
    """the table of an implicit many-to-many relation, which is no model in the schema file"""
    ignored: bool = False
    documentation: str | None = None

    @cached_property
    def scalars(self) -> tuple[ScalarField, ...]:
        """The columns, in the schema's order."""
        return tuple(f for f in self.fields if isinstance(f, ScalarField))

    @cached_property
    def relations(self) -> tuple[RelationField, ...]:
        return tuple(f for f in self.fields if isinstance(f, RelationField))

    @cached_property
    def all_indexes(self) -> tuple[Index, ...]:
        """The primary key, the uniques and the plain indexes, without the partial ones."""
        key = () if self.primary_key is None else (self.primary_key,)
        return (*key, *(index for index in self.written_indexes if index.predicate is None))

    @cached_property
    def written_indexes(self) -> tuple[Index, ...]:
        """The uniques and the plain indexes, partial ones too, in the schema's order."""
        return self.index_order or (*self.uniques, *self.indexes, *self.partial_indexes)

    @cached_property
    def key(self) -> Index:
        """What identifies a record: the primary key; else the first unique on one required field; else
        the first unique of required fields only.  Prisma accepts no model without any of these."""
        if self.primary_key is not None:
            return self.primary_key
        required = {f.name for f in self.scalars if f.arity is Arity.REQUIRED}
        usable = [u for u in self.uniques if required.issuperset(u.field_names)]
        single = [u for u in usable if len(u.fields) == 1]
        if not usable:
            raise LookupError(f"{self.name} has nothing that identifies a record")
        return (single or usable)[0]

    @cached_property
    def has_key(self) -> bool:
        try:
            return bool(self.key)
        except LookupError:
            return False

    @cached_property
    def key_fields(self) -> tuple[ScalarField, ...]:
        return tuple(self.scalar(name) for name in self.key.field_names)

    @cached_property
    def created(self) -> ScalarField | None:
        """``createdAt``, by which records are ordered in a file before their key."""
        found = self._scalars_by_name.get("createdAt")
        return found if found is not None and found.type == "DateTime" and not found.is_list else None

    @cached_property
    def _scalars_by_name(self) -> dict[str, ScalarField]:
        return {f.name: f for f in self.scalars}

    @cached_property
    def _relations_by_name(self) -> dict[str, RelationField]:
        return {f.name: f for f in self.relations}

    def scalar(self, name: str) -> ScalarField:
        """The column field of this name.  Raises KeyError if there is none."""
        try:
            return self._scalars_by_name[name]
        except KeyError:
            raise KeyError(f"{self.name}.{name}") from None

    def relation(self, name: str) -> RelationField:
        """The relation field of this name.  Raises KeyError if there is none."""
        try:
            return self._relations_by_name[name]
        except KeyError:
            raise KeyError(f"{self.name}.{name}") from None


class EnumMember(Struct, frozen=True, omit_defaults=True):
    """A value of an enum: its name in Prisma and its label in the database."""

    name: str
    label: str
    written_label: str | None = None
    documentation: str | None = None


class Enum(Struct, frozen=True, kw_only=True, dict=True, omit_defaults=True):
    """An enum type; the order of its members is the database's order, unless ``order`` is another."""

    name: str
    type: str
    """the PostgreSQL type's name"""
    members: tuple[EnumMember, ...]
    schema: str | None = None
    written_type: str | None = None
    documentation: str | None = None
    order: tuple[str, ...] = ()
    """the names of its members as a live database sorts them; empty: as the schema has them"""

    @cached_property
    def labels(self) -> tuple[str, ...]:
        return tuple(m.label for m in self.members)

    @cached_property
    def sorted_members(self) -> tuple[EnumMember, ...]:
        """The members as PostgreSQL sorts them."""
        by_name = {m.name: m for m in self.members}
        return tuple(by_name[name] for name in self.order or by_name)


class Relation(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A foreign key, or (``MANY_TO_MANY``) an implicit join table.

    The *child* holds the foreign key, the *parent* is pointed at.  For a many-to-many relation the child is
    model A, the parent model B of the join table, and fields and references are empty.
    """

    name: str
    kind: RelationKind
    child: str
    parent: str
    child_field: str
    """the relation field on the child"""
    parent_field: str
    """the relation field on the parent"""
    fields: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    on_delete: Action = Action.NO_ACTION
    on_update: Action = Action.CASCADE
    constraint: str = ""
    """the foreign key's name in the database; for a many-to-many relation the join table's name"""
    written_constraint: str | None = None
    required: bool = True
    """whether every child has a parent"""


class Extension(Struct, frozen=True, omit_defaults=True):
    """An extension of PostgreSQL that the schema asks for, by its name there."""

    name: str
    schema: str | None = None
    version: str | None = None


class Datasource(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The ``datasource`` block, as far as it says anything about the data."""

    name: str = "db"
    provider: str = "postgresql"
    relation_mode: str = "foreignKeys"
    schemas: tuple[str, ...] = ()
    extensions: tuple[Extension, ...] = ()


class Source(Struct, frozen=True):
    """The texts of a schema: the name of its file or folder, and each file's name and text.

    A single file is called ``schema.prisma``; those of a folder have their names relative to it.
    """

    name: str
    files: tuple[tuple[str, str], ...]
    paths: tuple[str, ...] = ()
    """where each file was read, for messages"""

    @classmethod
    def of(cls, files: Sequence[tuple[str, str]], root: str = "") -> "Source":
        """Of files as they were read; ``root`` is the folder of them, empty: one file was named."""
        paths = tuple(name for name, _ in files)
        if len(files) == 1 and not root:
            return cls(os.path.basename(paths[0]), (("schema.prisma", files[0][1]),), paths)
        root = root or os.path.commonpath([os.path.dirname(path) for path in paths])
        named = ((os.path.relpath(name, root).replace(os.sep, "/"), text) for name, text in files)
        return cls(os.path.basename(os.path.abspath(root)), tuple(named), paths)


class Datamodel(Struct, frozen=True, kw_only=True, dict=True, omit_defaults=True):
    """A whole schema.  ``models`` holds views too (``is_view``), in the order of the file."""

    models: tuple[Model, ...]
    enums: tuple[Enum, ...] = ()
    relations: tuple[Relation, ...] = ()
    datasource: Datasource = Datasource()
    whole: "Datamodel | None" = None
    """the schema with the models that a layout excludes; None: none is excluded"""

    def without(self, names: Collection[str]) -> "Datamodel":
        """The schema without some models, as a layout that excludes them has it: no relation leads there."""
        if not names:
            return self
        kept = [m for m in self.models if m.name not in names]
        made = Datamodel(
            models=tuple(
                replace(m, fields=tuple(f for f in m.fields if not _is_of(f, names)))
                if any(_is_of(f, names) for f in m.fields)
                else m
                for m in kept
            ),
            enums=self.enums,
            relations=tuple(r for r in self.relations if r.child not in names and r.parent not in names),
            datasource=self.datasource,
            whole=self.complete,
        )
        return made if self.source is None else made.parsed_from(self.source)

    @property
    def complete(self) -> "Datamodel":
        """The schema with every model, whatever a layout excludes."""
        return self.whole or self

    @cached_property
    def excluded(self) -> tuple[Model, ...]:
        """The models that a layout excludes."""
        return tuple(m for m in self.complete.models if m.name not in self)

    @cached_property
    def source(self) -> Source | None:
        """The texts that it was parsed from, whatever else they say; None for a live database's."""
        return None

    def parsed_from(self, source: Source) -> "Datamodel":
        """The same, with its texts."""
        vars(self)["source"] = source
        return self

    @cached_property
    def _by_name(self) -> dict[str, Model]:
        return {m.name: m for m in (*self.models, *self.join_tables)}

    @cached_property
    def _enums_by_name(self) -> dict[str, Enum]:
        return {e.name: e for e in self.enums}

    def model(self, name: str) -> Model:
        """The model (or join table) of this name.  Raises KeyError if there is none."""
        return self._by_name[name]

    def enum(self, name: str) -> Enum:
        """The enum of this name.  Raises KeyError if there is none."""
        return self._enums_by_name[name]

    def __contains__(self, name: str) -> bool:
        return name in self._by_name

    @cached_property
    def tables(self) -> tuple[Model, ...]:
        """Everything that holds rows of its own: the models that are not views (those with ``@@ignore``
        too), then the join tables of implicit many-to-many relations."""
        return (*(m for m in self.models if not m.is_view), *self.join_tables)

    @cached_property
    def join_tables(self) -> tuple[Model, ...]:
        """The tables that Prisma makes for implicit many-to-many relations: columns ``A`` and ``B``."""
        named = {m.name: m for m in self.models}
        return tuple(_join_table(r, named) for r in self._many_to_many)

    @property
    def _many_to_many(self) -> list[Relation]:
        return [r for r in self.relations if r.kind is RelationKind.MANY_TO_MANY]

    @cached_property
    def foreign_keys(self) -> tuple[Relation, ...]:
        """Every foreign key of :attr:`tables`, those of the join tables included (``A`` before ``B``)."""
        own = [r for r in self.relations if r.kind is not RelationKind.MANY_TO_MANY]
        joined = zip(self._many_to_many, self.join_tables, strict=True)
        joins = [fk for relation, join in joined for fk in _join_keys(relation, join)]
        return (*own, *joins)

    @property
    def held_keys(self) -> tuple[Relation, ...]:
        """The foreign keys that the database holds to: none where the client does its work."""
        return () if self.datasource.relation_mode == "prisma" else self.foreign_keys

    def children(self, parent: str) -> Iterator[Relation]:
        """The foreign keys that point at a model."""
        return (r for r in self.foreign_keys if r.parent == parent)

    def parents(self, child: str) -> Iterator[Relation]:
        """The foreign keys that a model holds."""
        return (r for r in self.foreign_keys if r.child == child)


def _is_of(field: Field, models: Collection[str]) -> bool:
    return isinstance(field, RelationField) and field.model in models


def _join_table(relation: Relation, models: dict[str, Model]) -> Model:
    def column(letter: str, target: str) -> tuple[ScalarField, RelationField]:
        referenced = models[target]
        identity = referenced.key_fields[0]
        plain = replace(
            identity,
            name=letter,
            column=letter,
            arity=Arity.REQUIRED,
            default=None,
            updated_at=False,
            documentation=None,
            secret=None if identity.secret is None else Secret("token", named=True),
        )
        link = RelationField(
            name=f"{letter}_{target}",
            model=target,
            arity=Arity.REQUIRED,
            relation=f"{relation.constraint}_{letter}",
            fields=(letter,),
            references=(identity.name,),
            written_on_delete=Action.CASCADE,
            written_on_update=Action.CASCADE,
        )
        return plain, link

    a, to_a = column("A", relation.child)
    b, to_b = column("B", relation.parent)
    table = relation.constraint
    return Model(
        name=table,
        table=table,
        fields=(a, b, to_a, to_b),
        schema=models[relation.child].schema,
        is_join=True,
        primary_key=Index(
            kind=IndexKind.ID,
            fields=(IndexField("A"), IndexField("B")),
            constraint=constraint_name(table, (), "AB_pkey"),
        ),
        indexes=(
            Index(
                kind=IndexKind.NORMAL,
                fields=(IndexField("B"),),
                constraint=constraint_name(table, (), "B_index"),
            ),
        ),
    )


def _join_keys(relation: Relation, join: Model) -> Iterator[Relation]:
    ends = (relation.child_field, relation.parent_field)
    for link, field in zip(join.relations, ends, strict=True):
        yield Relation(
            name=link.relation,
            kind=RelationKind.ONE_TO_MANY,
            child=join.name,
            parent=link.model,
            child_field=link.name,
            parent_field=field,
            fields=link.fields,
            references=link.references,
            on_delete=Action.CASCADE,
            on_update=Action.CASCADE,
            constraint=constraint_name(join.name, (), f"{link.fields[0]}_fkey"),
        )
