"""What attributes say of a field, a model or an enum, each by itself.

Attributes and arguments are handed out once, and what is left over is refused: an attribute or argument that
the language does not have is never ignored.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NoReturn, TypeVar

from octavo.schema import literals
from octavo.schema.datamodel import (
    Action,
    Arity,
    DefaultValue,
    EnumValue,
    Function,
    IndexKind,
    Number,
    ScalarKind,
    SingleDefault,
)
from octavo.schema.draft import (
    Condition,
    EnumDraft,
    FieldDraft,
    IndexDraft,
    IndexedDraft,
    ModelDraft,
    RelationDraft,
    ScalarDraft,
    SchemaDraft,
)
from octavo.schema.native import OPERATOR_CLASSES
from octavo.schema.syntax import (
    Argument,
    Array,
    Attribute,
    Call,
    Constant,
    Expression,
    NumberLiteral,
    Object,
    Sources,
    StringLiteral,
)

_T = TypeVar("_T")

_KINDS = {
    StringLiteral: "a text",
    NumberLiteral: "a number",
    Constant: "a word",
    Array: "a list",
    Call: "a function",
    Object: "an object",
}


class Values:
    """Reads expressions as the kind of value that is wanted there."""

    def __init__(self, sources: Sources) -> None:
        self.sources = sources

    def _mismatch(self, value: Expression, wanted: str) -> NoReturn:
        self.sources.fail(f"expected {wanted}, found {_KINDS[type(value)]}", value.at, (wanted,))

    def string(self, value: Expression) -> str:
        if not isinstance(value, StringLiteral):
            self._mismatch(value, "a text")
        return value.value

    def constant(self, value: Expression) -> str:
        if not isinstance(value, Constant):
            self._mismatch(value, "a word")
        return value.text

    def integer(self, value: Expression) -> int:
        if not isinstance(value, NumberLiteral) or "." in value.text or abs(int(value.text)) >= 2**63:
            self._mismatch(value, "a whole number")
        return int(value.text)

    def boolean(self, value: Expression) -> bool:
        if not isinstance(value, Constant) or value.text not in ("true", "false"):
            self._mismatch(value, "true or false")
        return value.text == "true"

    def array(self, value: Expression, item: Callable[[Expression], _T]) -> list[_T]:
        """The items of a list; a value that is no list counts as a list of one."""
        return [item(part) for part in (value.items if isinstance(value, Array) else (value,))]


class Arguments(Values):
    """The arguments of one attribute."""

    def __init__(self, sources: Sources, attribute: Attribute, label: str) -> None:
        super().__init__(sources)
        self.attribute, self.label = attribute, label
        self._left: dict[str | None, Argument] = {}
        for arg in attribute.args:
            if arg.name in self._left:
                what = f"the argument {arg.name!r}" if arg.name else "an argument without a name"
                sources.fail(f"{label} has {what} twice", arg.at)
            self._left[arg.name] = arg

    def optional(self, name: str) -> Expression | None:
        arg = self._left.pop(name, None)
        return arg.value if arg else None

    def default(self, name: str) -> Expression | None:
        """The argument that may be given without its name."""
        named, unnamed = self._left.pop(name, None), self._left.pop(None, None)
        if named and unnamed:
            self.sources.fail(f"{self.label} has the argument {name!r} twice", named.at)
        found = named or unnamed
        return found.value if found else None

    def required(self, name: str) -> Expression:
        value = self.default(name)
        if value is None:
            self.sources.fail(f"{self.label} lacks the argument {name!r}", self.attribute.at, (name,))
        return value

    def text(self, name: str) -> str | None:
        """An optional text that may not be empty."""
        value = self.optional(name)
        if value is None:
            return None
        text = self.string(value)
        if not text:
            self.sources.fail(f"the argument {name!r} of {self.label} is empty", value.at)
        return text

    def choice(self, name: str, choices: Sequence[str]) -> str | None:
        value = self.optional(name)
        if value is None:
            return None
        word = self.constant(value)
        if word not in choices:
            self.sources.fail(f"{name!r} of {self.label} cannot be {word}", value.at, choices)
        return word

    def fail(self, message: str) -> NoReturn:
        self.sources.fail(f"{self.label}: {message}", self.attribute.at)

    def done(self) -> None:
        """Refuse what is left over."""
        for arg in self._left.values():
            what = f"argument {arg.name!r}" if arg.name else "argument without a name"
            self.sources.fail(f"{self.label} takes no {what}", arg.at)


class Attributes:
    """The attributes of one field (``@``) or block (``@@``)."""

    def __init__(self, sources: Sources, attributes: Sequence[Attribute], sign: str) -> None:
        self.sources, self.sign = sources, sign
        self._left = list(attributes)

    def single(self, name: str) -> Arguments | None:
        """The attribute of this name, or None.  Raises SchemaError where it is written twice."""
        found = self.repeated(name)
        if len(found) > 1:
            self.sources.fail(f"{self.sign}{name} is written twice", found[1].attribute.at)
        return found[0] if found else None

    def repeated(self, name: str) -> list[Arguments]:
        found = [attribute for attribute in self._left if attribute.name == name]
        if found:
            self._left = [attribute for attribute in self._left if attribute.name != name]
        return [Arguments(self.sources, attribute, f"{self.sign}{name}") for attribute in found]

    def scoped(self) -> Attribute | None:
        """The one attribute with a dot in its name, ``@db.Text``."""
        found = [attribute for attribute in self._left if "." in attribute.name]
        if len(found) > 1:
            self.sources.fail("a field has one native type", found[1].at)
        if found:
            self._left.remove(found[0])
        return found[0] if found else None

    def done(self) -> None:
        if self._left:
            first = self._left[0]
            self.sources.fail(f"{self.sign}{first.name} is not a valid attribute here", first.at)


ALGORITHMS = ("BTree", "Hash", "Gist", "Gin", "SpGist", "Brin")
_SORTS = ("Asc", "Desc")
_CLIENT_NAME = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")

_F = TypeVar("_F", bound=FieldDraft)


def read_attributes(schema: SchemaDraft) -> None:
    """Fill the drafts with what their attributes say.  Raises SchemaError."""
    for model in schema.models:
        for relation in model.relations:
            _relation_field(schema, relation)
    for model in schema.models:
        _model(schema, model)
    for enum in schema.enums:
        _enum(schema, enum)


def _relation_field(schema: SchemaDraft, draft: RelationDraft) -> None:
    sources = schema.sources
    attributes = Attributes(sources, draft.node.attributes, "@")
    if args := attributes.single("relation"):
        draft.attribute = args.attribute
        if (value := args.optional("fields")) is not None:
            draft.fields = _plain_fields(args, value, draft.model)
        if (value := args.optional("references")) is not None:
            draft.references = _plain_fields(args, value, draft.target)
        if (value := args.default("name")) is not None:
            draft.relation = args.string(value)
            if not draft.relation:
                args.fail("a relation's name cannot be empty")
        draft.on_delete = _action(args, "onDelete")
        draft.on_update = _action(args, "onUpdate")
        draft.map = args.text("map")
        args.done()
    for name in ("id", "default", "map", "unique"):
        if args := attributes.single(name):
            args.fail(f"{draft.name} is a relation, not a column")
    if args := attributes.single("ignore"):
        draft.ignored = True
        args.done()
    attributes.done()


def _action(args: Arguments, name: str) -> Action | None:
    word = args.choice(name, tuple(Action))
    return Action(word) if word else None


def _scalar_field(model: ModelDraft, draft: ScalarDraft, schema: SchemaDraft) -> None:
    attributes = Attributes(schema.sources, draft.node.attributes, "@")
    if args := attributes.single("map"):
        _map_column(args, model, draft)
        args.done()
    if args := attributes.single("ignore"):
        if draft.kind is ScalarKind.UNSUPPORTED:
            args.fail("a field of type Unsupported is ignored as it is")
        draft.ignored = True
        args.done()
    if args := attributes.single("relation"):
        args.fail(f"{draft.name} is not a relation: {draft.type} is not a model")
    if args := attributes.single("id"):
        if model.primary_key is not None:
            args.fail("a model has one primary key")
        model.primary_key = _field_key(args, IndexKind.ID, draft)
    if args := attributes.single("updatedAt"):
        if not draft.is_scalar("DateTime") or draft.arity is Arity.LIST:
            args.fail("only a single DateTime can be set on every write")
        draft.updated_at = True
        args.done()
    if args := attributes.single("default"):
        draft.default = read_default(args, draft, schema.enums_by_name.get(draft.type))
        args.done()
    if draft.kind is ScalarKind.SCALAR:
        draft.native_attribute = attributes.scoped()
    if args := attributes.single("unique"):
        where = _where(args, model)
        model.indexes.append(_field_key(args, IndexKind.UNIQUE, draft, where))
    attributes.done()


def _map_column(args: Arguments, model: ModelDraft, draft: ScalarDraft) -> None:
    """Two fields cannot share a column.  A field further down counts with its own name, mapped or not."""
    column = args.string(args.required("name"))
    other = model.fields_by_name.get(column)
    clashes = isinstance(other, ScalarDraft) and other is not draft and other.column == column
    if clashes or any(f.written_column == column for f in model.scalars):
        args.sources.fail(f"{model.name} has two fields for the column {column}", draft.at)
    draft.written_column = column


def _field_key(
    args: Arguments,
    kind: IndexKind,
    draft: ScalarDraft,
    where: str | tuple[Condition, ...] | None = None,
) -> IndexDraft:
    """``@id`` or ``@unique``."""
    mapped = args.text("map")
    indexed = _field_options(args, draft)
    clustered = _clustered(args)
    args.done()
    return IndexDraft(
        kind, args.attribute, (indexed,), map=mapped, clustered=clustered, on_field=True, where=where
    )


def _field_options(args: Arguments, draft: ScalarDraft) -> IndexedDraft:
    length = args.optional("length")
    return IndexedDraft(
        draft,
        length=args.integer(length) if length is not None else None,
        sort=args.choice("sort", _SORTS),
    )


def _clustered(args: Arguments) -> bool | None:
    value = args.optional("clustered")
    return args.boolean(value) if value is not None else None


def _model(schema: SchemaDraft, model: ModelDraft) -> None:
    sources = schema.sources
    for draft in model.scalars:
        _scalar_field(model, draft, schema)
    attributes = Attributes(sources, model.node.attributes, "@@")
    if args := attributes.single("ignore"):
        model.ignored = True
        args.done()
        for draft in model.scalars:
            if draft.ignored:
                sources.fail(f"{model.name} is ignored as a whole; {draft.name} needs no @ignore", draft.at)
    if args := attributes.single("id"):
        _block_id(args, model)
    if args := attributes.single("map"):
        model.written_table = args.string(args.required("name"))
        args.done()
    if args := attributes.single("schema"):
        model.schema, model.schema_at = _schema(args)
    for args in attributes.repeated("index"):
        model.indexes.append(_block_index(args, model))
    for args in attributes.repeated("unique"):
        model.indexes.append(_block_key(args, IndexKind.UNIQUE, model))
    for args in attributes.repeated("fulltext"):
        args.fail("Prisma has no full-text indexes for PostgreSQL")
    if args := attributes.single("shardKey"):
        args.fail("PostgreSQL has no shard keys")
    key = model.primary_key
    if key and key.on_field and not model.ignored and key.fields[0].field.arity is not Arity.REQUIRED:
        sources.fail("a primary key must be required", key.at)
    attributes.done()


def _schema(args: Arguments) -> tuple[str, int]:
    value = args.required("name")
    name = args.string(value)
    args.done()
    return name, value.at


def _block_id(args: Arguments, model: ModelDraft) -> None:
    key = _block_key(args, IndexKind.ID, model)
    optional = [f.field.name for f in key.fields if f.field.arity is not Arity.REQUIRED]
    if optional and not model.ignored:
        args.fail(f"a primary key must be required: {', '.join(optional)}")
    if model.primary_key is not None:
        args.fail("a model has one primary key: @id or @@id")
    model.primary_key = key


def _block_index(args: Arguments, model: ModelDraft) -> IndexDraft:
    fields = _index_fields(args, model)
    name, mapped = args.text("name"), args.text("map")
    if name and mapped:
        args.fail("'name' is an old spelling of 'map' here; only one can be written")
    index = IndexDraft(
        IndexKind.NORMAL,
        args.attribute,
        fields,
        map=name or mapped,
        algorithm=args.choice("type", ALGORITHMS),
        clustered=_clustered(args),
        where=_where(args, model),
    )
    args.done()
    return index


def _block_key(args: Arguments, kind: IndexKind, model: ModelDraft) -> IndexDraft:
    """``@@id`` or ``@@unique``."""
    fields = _index_fields(args, model)
    name, mapped = _client_name(args), args.text("map")
    clustered = _clustered(args)
    where = _where(args, model) if kind is IndexKind.UNIQUE else None
    args.done()
    return IndexDraft(kind, args.attribute, fields, name=name, map=mapped, clustered=clustered, where=where)


_NUMBERS = ("Int", "BigInt", "Float", "Decimal")


def _where(args: Arguments, model: ModelDraft) -> str | tuple[Condition, ...] | None:
    """Which rows an index is of: ``raw("…")`` as its text, ``{ field: value }`` as conditions."""
    value = args.optional("where")
    match value:
        case None:
            return None
        case Call(name="raw", args=(Argument(value=StringLiteral(value=text)), *_)) if text:
            return text
        case Object(members=members) if members:
            return tuple(_condition(args, model, name, part) for name, part in members)
    args.sources.fail(f'{args.label}: "where" is raw("…") or {{ field: value }}', value.at)


def _condition(args: Arguments, model: ModelDraft, name: str, value: Expression) -> Condition:
    field = _find(args, model, name, value.at, [])
    negated = isinstance(value, Object)
    if isinstance(value, Object):
        if len(value.members) != 1 or value.members[0][0] != "not":
            args.sources.fail(f"{args.label}: an object here is {{ not: value }}", value.at)
        value = value.members[0][1]
    match value:
        case Constant(text="null"):
            return Condition(field, None, negated)
        case Constant(text="true" | "false") if field.is_scalar("Boolean"):
            return Condition(field, value.text == "true", negated)
        case NumberLiteral() if field.is_scalar(*_NUMBERS):
            return Condition(field, Number(value.text), negated)
        case StringLiteral() if field.kind is ScalarKind.ENUM or field.is_scalar("String", "DateTime"):
            return Condition(field, value.value, negated)
    args.sources.fail(f"{args.label}: {name} cannot have this value", value.at)


def _client_name(args: Arguments) -> str | None:
    name = args.text("name")
    if name and not _CLIENT_NAME.issuperset(name):
        args.fail(f"the name {name!r} has other characters than _a-zA-Z0-9")
    return name


def _find(args: Arguments, model: ModelDraft, name: str, at: int, seen: list[ScalarDraft]) -> ScalarDraft:
    found = model.fields_by_name.get(name)
    if found is None:
        args.sources.fail(f"{args.label}: {model.name} has no field {name}", at)
    if isinstance(found, RelationDraft):
        args.sources.fail(f"{args.label}: {model.name}.{name} is a relation, not a column", at)
    if found in seen:
        args.sources.fail(f"{args.label}: the field {name} is named twice", at)
    return found


def _plain_fields(args: Arguments, value: Expression, model: ModelDraft) -> tuple[ScalarDraft, ...]:
    seen: list[ScalarDraft] = []

    def item(part: Expression) -> None:
        seen.append(_find(args, model, args.constant(part), part.at, seen))

    args.array(value, item)
    return tuple(seen)


def _index_fields(args: Arguments, model: ModelDraft) -> tuple[IndexedDraft, ...]:
    seen: list[ScalarDraft] = []

    def item(part: Expression) -> IndexedDraft:
        name = part.name if isinstance(part, Call) else args.constant(part)
        indexed = IndexedDraft(_find(args, model, name, part.at, seen))
        seen.append(indexed.field)
        if isinstance(part, Call):
            _read_options(args, part, indexed)
        return indexed

    return tuple(args.array(args.required("fields"), item))


def _read_options(args: Arguments, part: Call, indexed: IndexedDraft) -> None:
    """``field(sort: Desc, length: 10, ops: raw("…"))``; as in Prisma, any other argument is ignored."""
    given: dict[str | None, Expression] = {}
    for arg in part.args:
        given.setdefault(arg.name, arg.value)
    if (value := given.get("sort")) is not None:
        indexed.sort = args.constant(value)
        if indexed.sort not in _SORTS:
            args.sources.fail(f"a field cannot be sorted {indexed.sort}", value.at, _SORTS)
    if (value := given.get("length")) is not None:
        indexed.length = args.integer(value)
    value = given.get("ops")
    if isinstance(value, Constant):
        indexed.ops = value.text
        if value.text not in OPERATOR_CLASSES:
            args.sources.fail(f'{value.text} is not an operator class; raw("…") names any other', value.at)
    elif isinstance(value, Call) and value.name == "raw":
        match value.args:
            case [arg] if isinstance(arg.value, StringLiteral):
                indexed.ops, indexed.raw_ops = arg.value.value, True
            case _:
                args.sources.fail("raw() takes one text", value.at)
    elif value is not None:
        args.sources.fail('an operator class is a word or raw("…")', value.at)


def _enum(schema: SchemaDraft, enum: EnumDraft) -> None:
    for value in enum.node.members:
        attributes = Attributes(schema.sources, value.attributes, "@")
        if args := attributes.single("map"):
            enum.written_labels[value.name] = args.string(args.required("name"))
            args.done()
        attributes.done()
    attributes = Attributes(schema.sources, enum.node.attributes, "@@")
    if args := attributes.single("map"):
        enum.written_type = args.string(args.required("name"))
        args.done()
    if args := attributes.single("schema"):
        enum.schema, enum.schema_at = _schema(args)
    attributes.done()


_FUNCTIONS: dict[str, tuple[str, ...]] = {
    "autoincrement": ("Int", "BigInt"),
    "uuid": ("String",),
    "cuid": ("String",),
    "ulid": ("String",),
    "nanoid": ("String",),
    "now": ("DateTime",),
}
"""Which scalar types a function is for; ``dbgenerated`` is for all."""


def read_default(args: Arguments, draft: ScalarDraft, enum: EnumDraft | None) -> DefaultValue:
    """What ``@default`` says.  Raises SchemaError where the field's type cannot have it."""
    value = args.required("value")
    if (name := args.text("map")) is not None:
        args.fail(f"PostgreSQL has no names for defaults: {name}")
    if isinstance(value, Call) and value.name == "dbgenerated":
        return _dbgenerated(args, value)
    if draft.kind is ScalarKind.UNSUPPORTED:
        args.fail('a field of type Unsupported takes dbgenerated("…") only')
    if isinstance(value, Call):
        return _function(args, draft, value)
    if isinstance(value, Array):
        if draft.arity is not Arity.LIST:
            args.fail(f"{draft.name} is not a list, but its default is")
        return tuple(_literal(args, draft, enum, item) for item in value.items)
    if draft.arity is Arity.LIST:
        args.fail(f"{draft.name} is a list, but its default is not")
    return _literal(args, draft, enum, value)


def _literal(args: Arguments, draft: ScalarDraft, enum: EnumDraft | None, value: Expression) -> SingleDefault:
    if draft.kind is ScalarKind.ENUM:
        assert enum is not None
        names = [v.name for v in enum.node.members]
        if not isinstance(value, Constant) or value.text not in names:
            args.sources.fail(f"the default of {draft.name} is not a value of {enum.name}", value.at, names)
        return EnumValue(value.text)
    return _scalar(args, draft, value)


def _scalar(args: Arguments, draft: ScalarDraft, value: Expression) -> SingleDefault:
    match draft.type, value:
        case "Boolean", Constant(text="true" | "false"):
            return value.text == "true"
        case "String", StringLiteral():
            return value.value
        case "Json" | "Bytes" | "DateTime", StringLiteral():
            if literals.CHECKS[draft.type](value.value):
                return value.value
        case "Int" | "BigInt", NumberLiteral():
            if literals.is_integer(value.text):
                return Number(value.text)
        case "Float" | "Decimal", NumberLiteral():
            if literals.is_finite(value.text):
                return Number(value.text)
        case "Decimal", StringLiteral():
            if literals.is_decimal(value.value):
                return Number(value.value)
    args.sources.fail(f"the default of {draft.name} is not a valid {draft.type}", value.at)


def _dbgenerated(args: Arguments, call: Call) -> Function:
    match [arg.value for arg in call.args]:
        case []:
            return Function("dbgenerated")
        case [StringLiteral() as text] if text.value:
            return Function("dbgenerated", (text.value,))
    args.sources.fail("dbgenerated() takes no argument, or one text that is not empty", call.at)


def _function(args: Arguments, draft: ScalarDraft, call: Call) -> Function:
    if call.name not in _FUNCTIONS:
        args.sources.fail(f"PostgreSQL has no default {call.name}()", call.at, (*_FUNCTIONS, "dbgenerated"))
    if draft.kind is not ScalarKind.SCALAR or draft.type not in _FUNCTIONS[call.name]:
        args.sources.fail(f"{call.name}() cannot be a default for {draft.type}", call.at)
    values = [arg.value for arg in call.args]
    if not values:
        return Function(call.name)
    allowed = {"uuid": (4, 7), "cuid": (1, 2), "nanoid": range(2, 256)}.get(call.name)
    if allowed is None:
        args.sources.fail(f"{call.name}() takes no argument", call.at)
    match values:
        case [NumberLiteral() as number] if number.text.isdigit() and int(number.text) in allowed:
            return Function(call.name, (int(number.text),))
    wanted = (
        " or ".join(map(str, allowed)) if isinstance(allowed, tuple) else "one whole number from 2 to 255"
    )
    args.sources.fail(f"{call.name}() takes {wanted}", call.at)
