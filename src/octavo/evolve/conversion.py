"""A field's values under its next type: what becomes of each by itself, and of which that cannot be said.

Only what loses nothing is done: a longer text, a wider number, more digits.  The other way goes value by
value, as far as each fits.  Anything else takes a function (:mod:`octavo.evolve.functions`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from msgspec import Struct

from octavo.postgres.expressions import default_of
from octavo.schema.datamodel import Datamodel, EnumMember, Function, NativeType, ScalarField, ScalarKind
from octavo.schema.native import native_type
from octavo.values.base import ValueType
from octavo.values.registry import literal_value, value_type

Convert = Callable[[Any], Any]
"""From a stored value that is not NULL to one of the next type.  Raises ValueError with the reason."""

_WHOLE = {"SmallInt": 2, "Integer": 4, "BigInt": 8}
_TEXTS = frozenset({"Text", "VarChar", "Citext"})
_MOMENTS = frozenset({"Timestamp", "Timestamptz"})
_CLOCKS = frozenset({"Time", "Timetz"})


class Conversion(Struct, frozen=True):
    """What becomes of the values of a field whose type changes."""

    convert: Convert | None
    """None: each stays as it is"""
    is_checked: bool = False
    """whether some values may not fit"""


SAME = Conversion(None)


def conversion(
    old: tuple[ScalarField, Datamodel], new: tuple[ScalarField, Datamodel], labels: Mapping[str, str]
) -> Conversion | None:
    """What becomes of a field's values; None if nothing that follows from the types.

    ``labels``: of each old label of an enum that is still there, the new one.
    """
    (before, old_datamodel), (after, new_datamodel) = old, new
    if before.is_list != after.is_list or before.kind is not after.kind:
        return None
    to = value_type(after, new_datamodel).one
    if before.kind is ScalarKind.ENUM:
        members = old_datamodel.enum(before.type).members
        made: Conversion | None = _labels(members, labels)
    elif before.kind is ScalarKind.UNSUPPORTED:
        made = SAME if before.type == after.type else None
    else:
        made = _native(native_type(before), native_type(after), value_type(before, old_datamodel).one, to)
    if made is None or made.convert is None or not before.is_list:
        return made
    one, is_null = made.convert, value_type(before, old_datamodel).one.is_null
    return Conversion(
        lambda values: [to.null if is_null(v) else one(v) for v in values], is_checked=made.is_checked
    )


def _labels(members: tuple[EnumMember, ...], labels: Mapping[str, str]) -> Conversion:
    if all(labels.get(m.name) == m.name for m in members):
        return SAME

    def convert(value: str) -> str:
        if value not in labels:
            raise ValueError(f"is {value}, which is no label any more")
        return labels[value]

    return Conversion(convert, is_checked=any(m.name not in labels for m in members))


def _native(old: NativeType, new: NativeType, was: ValueType, to: ValueType) -> Conversion | None:
    if old == new:
        return SAME
    names = {old.name, new.name}
    if names <= _WHOLE.keys():
        return Conversion(_through(was, to), is_checked=_WHOLE[new.name] < _WHOLE[old.name])
    if names == {"Decimal"}:
        return Conversion(_equal(was, to), is_checked=not _is_wider(old.args, new.args))
    if names <= _TEXTS or (old.name, new.name) == ("Uuid", "Text"):
        is_checked = bool(new.args) and not (old.args and old.args[0] <= new.args[0])
        return Conversion(_unchanged(to), is_checked=is_checked)
    if names == {"Char"}:
        return Conversion(_equal(was, to), is_checked=(new.args or (1,)) < (old.args or (1,)))
    if names == {"VarBit"}:
        return Conversion(
            _unchanged(to), is_checked=bool(new.args) and not (old.args and old.args <= new.args)
        )
    if len(names) == 1 and names <= _MOMENTS | _CLOCKS:
        ours, theirs = _precision(old), _precision(new)
        digits = _moment(theirs) if names <= _MOMENTS else _clock(theirs)
        return Conversion(digits, is_checked=theirs < ours)
    return None


def _is_wider(old: tuple[int, ...], new: tuple[int, ...]) -> bool:
    if not new:
        return True
    if not old:
        return False
    return new[1] >= old[1] and new[0] - new[1] >= old[0] - old[1]


def _precision(native: NativeType) -> int:
    return native.args[0] if native.args else 6


def _through(was: ValueType, to: ValueType) -> Convert:
    read, write = was.read, to.write
    return lambda value: write(value if read is None else read(value))


def _equal(was: ValueType, to: ValueType) -> Convert:
    """Written anew, and equal to what it was."""
    key, write = was.key, to.write
    assert key is not None

    def convert(value: Any) -> Any:
        try:
            made = write(value)
        except ValueError:
            made = None
        if made is None or key(made) != key(value):
            raise ValueError("does not fit")
        return made

    return convert


def _unchanged(to: ValueType) -> Convert:
    write = to.write

    def convert(value: str) -> str:
        if write(value) != value:
            raise ValueError("does not fit")
        return value

    return convert


def _moment(precision: int) -> Convert:
    """``2025-11-22T12:34:56.789Z`` with another number of digits."""

    def convert(value: str) -> str:
        if not value.endswith("Z"):
            return value
        whole, _, digits = value[:-1].partition(".")
        if digits[precision:].strip("0"):
            raise ValueError(f"has more than {precision} digits after the second")
        digits = digits[:precision].ljust(precision, "0")
        return f"{whole}{'.' if digits else ''}{digits}Z"

    return convert


def _clock(precision: int) -> Convert:
    """PostgreSQL's text of a time of day shows no more digits than it needs."""

    def convert(value: str) -> str:
        _, _, rest = value.partition(".")
        digits = rest.partition("+")[0].partition("-")[0]
        if len(digits) > precision:
            raise ValueError(f"has more than {precision} digits after the second")
        return value

    return convert


class Fill(Struct, frozen=True):
    """What a field that existing records do not have gets in them."""

    value: Any = None
    """in stored form"""
    is_counted: bool = False
    """each gets a number, from 1"""
    is_moment: bool = False
    """it is the time of the migration"""
    refused: str = ""
    """why it can get none; empty: it can"""


def fill(field: ScalarField, datamodel: Datamodel, moment: datetime) -> Fill:
    """What PostgreSQL would give existing rows in a column that is added; ``now()`` is ``moment``."""
    kind, default = value_type(field, datamodel), field.default
    if field.kind is ScalarKind.SCALAR and isinstance(default, Function) and default.name == "dbgenerated":
        # An expression may be a constant, or now() in other words.
        for expression in default.args:
            default = default_of(str(expression), field.type, enum=False, is_list=field.is_list)
    match default:
        case Function(name="autoincrement"):
            return Fill(is_counted=True)
        case Function(name="now"):
            return Fill(kind.write(moment), is_moment=True)
        case Function(name="dbgenerated", args=args) if args:
            return Fill(refused="only PostgreSQL can evaluate its default")
        case Function(name=name):
            # The client makes these: to PostgreSQL the column has no default.
            reason = f"{name}() makes values for new records only"
        case tuple():
            return Fill([literal_value(one, field, kind.one.write) for one in default])
        case None:
            reason = "@updatedAt is set in new records only" if field.updated_at else "has no default"
        case _:
            return Fill(literal_value(default, field, kind.one.write))
    return Fill(kind.null) if field.nullable else Fill(refused=f"is required, and {reason}")
