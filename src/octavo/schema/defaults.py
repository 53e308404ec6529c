"""``@default(…)``: which values and functions a field of which type can have."""

from __future__ import annotations

from octavo.schema import literals
from octavo.schema.arguments import Arguments
from octavo.schema.datamodel import (
    Arity,
    DefaultValue,
    EnumValue,
    Function,
    Number,
    ScalarKind,
    SingleDefault,
)
from octavo.schema.draft import EnumDraft, ScalarDraft
from octavo.schema.syntax import Array, Call, Constant, Expression, NumberLiteral, StringLiteral

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
            args.fail(f"{draft.name} is no list, its default is one")
        return tuple(_literal(args, draft, enum, item) for item in value.items)
    if draft.arity is Arity.LIST:
        args.fail(f"{draft.name} is a list, its default is not")
    return _literal(args, draft, enum, value)


def _literal(args: Arguments, draft: ScalarDraft, enum: EnumDraft | None, value: Expression) -> SingleDefault:
    if draft.kind is ScalarKind.ENUM:
        assert enum is not None
        names = [v.name for v in enum.node.values]
        if not isinstance(value, Constant) or value.text not in names:
            args.sources.fail(f"the default of {draft.name} is no value of {enum.name}", value.at, names)
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
    args.sources.fail(f"the default of {draft.name} is no {draft.type}", value.at)


def _dbgenerated(args: Arguments, call: Call) -> Function:
    match [arg.value for arg in call.args]:
        case []:
            return Function("dbgenerated")
        case [StringLiteral() as text] if text.value:
            return Function("dbgenerated", (text.value,))
    args.sources.fail("dbgenerated() takes nothing or one text that is not empty", call.at)


def _function(args: Arguments, draft: ScalarDraft, call: Call) -> Function:
    if call.name not in _FUNCTIONS:
        args.sources.fail(f"PostgreSQL has no default {call.name}()", call.at, (*_FUNCTIONS, "dbgenerated"))
    if draft.kind is not ScalarKind.SCALAR or draft.type not in _FUNCTIONS[call.name]:
        args.sources.fail(f"{call.name}() is no default for {draft.type}", call.at)
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
