"""What becomes of the records of one model.

A :class:`ModelChange` is made once from the two schemas and applied to each record.  What a record cannot
become goes to the step that asks for it, with the record's key, and the record counts for nothing more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from hashlib import sha256
from typing import Any

import msgspec
from msgspec import UNSET

from octavo.evolve.conversion import Conversion, Fill, conversion, fill
from octavo.evolve.functions import Function, Refused, Shown, call, shown
from octavo.evolve.matching import Matching, scalar_pairs
from octavo.evolve.steps import How, Step
from octavo.inspect.findings import shown_key
from octavo.layout.codec import Codec
from octavo.layout.record import Noted, Record, Row, attribute, digest_of, noted, plain, record_type
from octavo.schema.datamodel import Arity, Datamodel, ScalarField, ScalarKind
from octavo.schema.native import native_type
from octavo.values.registry import value_type

_TOTAL = 1 << 256


class Sum:
    """The values of one field that its default would not give, as one number: the sum of their digests.

    It does not depend on their order.  Equal sums mean that nothing was written in between.
    """

    def __init__(self, field: ScalarField, datamodel: Datamodel, filled: Fill) -> None:
        self._kind, self._attribute = value_type(field, datamodel), attribute(field)
        known = not (filled.refused or filled.is_counted)
        self._usual: Any = self._text(filled.value) if known else UNSET
        self.count = self._sum = 0

    def _text(self, value: Any) -> bytes | None:
        return None if self._kind.is_null(value) else self._kind.text(value)

    def add(self, key: bytes, row: Any) -> None:
        """Count in the value of a record with this key."""
        text = self._text(getattr(row, self._attribute))
        if text != self._usual:
            self.count += 1
            digest = sha256(b"%d:%b%b" % (len(key), key, b"" if text is None else b"=" + text)).digest()
            self._sum = (self._sum + int.from_bytes(digest)) % _TOTAL

    @property
    def text(self) -> str:
        """It as a store notes it; empty where every value is the default's."""
        return f"{self.count}:{self._sum:064x}" if self.count else ""


class ModelChange:
    """What becomes of the records of a model that is in both schemas."""

    def __init__(
        self, matching: Matching, model: str, codec: Codec, function: Function | None, moment: datetime
    ) -> None:
        """``codec``: of the old records; ``function``: what makes the new ones of them."""
        self.matching, self.model, self.codec = matching, model, codec
        self.old, self.new = matching.old.model(matching.models[model]), matching.new.model(model)
        self.function, self.moment = function, moment
        self.steps: list[Step] = []
        self.left_out = self.count = 0
        self.is_counted = False
        """whether records are numbered, so that their order matters"""
        self.is_ours = function is not None
        """whether it makes values that PostgreSQL's own need not equal: times, numbers, a function's"""
        self.touched: set[str] = set()
        """the new fields whose values may not be what they were"""
        self.dropped: dict[str, Sum] = {}
        """the values of old fields that are gone"""
        self.filled: dict[str, Sum] = {}
        """the values of new fields"""
        self.altered: dict[str, Sum] = {}
        """the values that a function has changed"""
        self._type = record_type(self.new, matching.new)
        self._same: list[tuple[str, str]] = []
        self._made: list[Callable[[Any, dict[str, Any], int], None]] = []
        self._dropped: list[tuple[Step, Callable[[Any], bool], str]] = []
        for before, after in scalar_pairs(matching, model):
            if before is None:
                self._add(after)
            else:
                self._keep(before, after)
        kept = set(matching.fields[model].values())
        for gone in self.old.scalars:
            if gone.name not in kept:
                self._drop(gone)
        self._function_step = self._functions()

    def step(self, field: str, change: str, means: str = "", how: How = How.AUTOMATIC) -> Step:
        """One more step of the plan, about a field or (empty) the model."""
        step = Step(
            subject=f"{self.model}.{field}" if field else self.model, change=change, means=means, planned=how
        )
        self.steps.append(step)
        return step

    # Making

    def _add(self, field: ScalarField) -> None:
        name, filled = attribute(field), fill(field, self.matching.new, self.moment)
        kind = value_type(field, self.matching.new)
        what = f"is added: {_type(field)}"
        self.touched.add(field.name)
        self.filled[field.name] = Sum(field, self.matching.new, filled)
        if filled.refused:
            how = How.AUTOMATIC if self.function is None else How.FUNCTION
            step = self.step(field.name, what, "a value for each record", how)

            def give(row: Any, values: dict[str, Any], number: int) -> None:
                raise _Unfit(step, filled.refused)
        elif filled.is_counted:
            self.is_ours = True
            step = self.step(field.name, what, "records are numbered, from 1")
            self.is_counted = True

            def give(row: Any, values: dict[str, Any], number: int) -> None:
                try:
                    values[name] = kind.write(number)
                except ValueError as error:
                    raise _Unfit(step, str(error)) from error
        else:
            null = kind.is_null(filled.value)
            self.is_ours = self.is_ours or filled.is_moment
            self.step(
                field.name, what, "NULL in existing records" if null else "its default in existing records"
            )

            def give(row: Any, values: dict[str, Any], number: int) -> None:
                values[name] = filled.value

        self._made.append(give)

    def _keep(self, before: ScalarField, after: ScalarField) -> None:
        old_kind, kind = value_type(before, self.matching.old), value_type(after, self.matching.new)
        step = None
        if before.name != after.name:
            is_declared = (self.new.name, before.name) in self.matching.renames.members or (
                (self.old.name, before.name) in self.matching.renames.members
            )
            self.step(
                after.name,
                f"was {before.name}",
                "values stay",
                How.DECLARED if is_declared or self.new.is_join else How.AUTOMATIC,
            )
        found = self._conversion(before, after)
        if found is None or found.convert is not None or _type(before) != _type(after):
            step = self._typed(before, after, found)
        if after.arity is Arity.REQUIRED and before.arity is Arity.OPTIONAL:
            step = self.step(after.name, "becomes required", "refused where it is NULL")
        elif after.arity is Arity.OPTIONAL and before.arity is Arity.REQUIRED:
            self.step(after.name, "becomes optional", "values stay")
        source, target = attribute(before), attribute(after)
        if step is None:
            self._same.append((target, source))
            return
        self.touched.add(after.name)
        convert = None if found is None else found.convert
        is_null, null, required = old_kind.is_null, kind.null, after.arity is Arity.REQUIRED
        refused = step

        def give(row: Any, values: dict[str, Any], number: int) -> None:
            value = getattr(row, source)
            if is_null(value):
                if required:
                    raise _Unfit(refused, "is NULL")
                values[target] = null
            elif found is None:
                raise _Unfit(refused, "only a function can make its value")
            else:
                try:
                    values[target] = value if convert is None else convert(value)
                except ValueError as error:
                    raise _Unfit(refused, str(error)) from error

        self._made.append(give)

    def _conversion(self, before: ScalarField, after: ScalarField) -> Conversion | None:
        labels: dict[str, str] = {}
        if before.kind is ScalarKind.ENUM and after.kind is ScalarKind.ENUM:
            old, new = self.matching.old.enum(before.type), self.matching.new.enum(after.type)
            labels = self.matching.labels(old, new)
        return conversion((before, self.matching.old), (after, self.matching.new), labels)

    def _typed(self, before: ScalarField, after: ScalarField, found: Conversion | None) -> Step:
        change = f"was {_type(before)}, becomes {_type(after)}"
        if before.kind is after.kind is ScalarKind.ENUM and before.type == after.type:
            change = f"takes the labels of {after.type}"
        if found is None:
            how = How.AUTOMATIC if self.function is None else How.FUNCTION
            return self.step(after.name, change, "a function makes the values", how)
        if found.convert is None:
            return self.step(after.name, change, "values stay")
        means = (
            "refused where a value does not fit" if found.is_checked else "values stay, as the type has them"
        )
        return self.step(after.name, change, means)

    def _drop(self, field: ScalarField) -> None:
        self.dropped[field.name] = Sum(field, self.matching.old, fill(field, self.matching.old, self.moment))
        kind = value_type(field, self.matching.old)
        step = self.step(field.name, "is dropped", "values are left out")
        self._dropped.append((step, kind.is_null, attribute(field)))

    def _functions(self) -> Step | None:
        self._pairs: list[tuple[str, ScalarField]] = []
        """what a function sees: the name, and the old field"""
        self._shown: dict[str, Shown] = {}
        if self.function is None:
            return None
        hidden = set(map(_name, self.old.scalars)) - set(map(_name, self.codec.place.fields))
        back = {old: new for new, old in self.matching.fields[self.model].items()}
        self._pairs = [(back.get(f.name, f.name), f) for f in self.old.scalars if f.name not in hidden]
        self._shown = {f.name: Shown(f, self.matching.new) for f in self.new.scalars}
        self.altered = {
            f.name: Sum(f, self.matching.new, Fill(refused="any"))
            for f in self.new.scalars
            if f.name in self.matching.fields[self.model]
        }
        self.touched |= set(self._shown)
        return self.step("", "goes through its function", "it gives each record", How.FUNCTION)

    # Applying

    def key_text(self, row: Row) -> bytes:
        """The key of an old row, as one text."""
        return b"\0".join(self.codec.keys.texts(self.codec.key_of(row)))

    def apply(self, row: Row, number: int = 0) -> Row | None:
        """What an old row becomes; None if it is left out, or cannot be made."""
        record = plain(row)
        self.count += 1
        if self.dropped:
            key = self.key_text(row)
            for total in self.dropped.values():
                total.add(key, record)
            for step, is_null, name in self._dropped:
                step.records += not is_null(getattr(record, name))
        try:
            if self.function is not None:
                return self._by_function(row, number)
            values = {target: getattr(record, source) for target, source in self._same}
            for give in self._made:
                give(record, values, number)
            unknown = row.unknown if type(row) is Noted else ()
            self._refuse_known(unknown)
            return noted(self._type(**values), digest_of(row), unknown)
        except _Unfit as error:
            error.step.refuse(f"{named(self.codec, record)}: {error}")
            return None

    def settle(self) -> None:
        """Note, when all records were seen, how many each step concerns."""
        counted = [step for step, _, _ in self._dropped]
        for step in self.steps:
            if not any(step is one for one in counted):
                step.records = self.count
        if self._function_step is not None and self.left_out:
            self._function_step.means = f"it gives each record; {self.left_out:,} are left out"

    def _refuse_known(self, unknown: Iterable[tuple[str, bytes]]) -> None:
        for name, _ in unknown:
            if any(f.name == name for f in self.new.fields):
                step = next((s for s in self.steps if s.subject == f"{self.model}.{name}"), None)
                raise _Unfit(
                    step or self.step(name, "is added"),
                    f"has a key {name} already, which the store's schema does not know: take it out, or give"
                    " a function that uses it",
                )

    def _by_function(self, row: Row, number: int) -> Row | None:
        assert self.function is not None
        assert self._function_step is not None
        record, step = plain(row), self._function_step
        unknown = dict(row.unknown) if type(row) is Noted else {}
        try:
            given = self._given(record, unknown)
            made = call(self.function, self._given(record, unknown))
        except Refused as error:
            raise _Unfit(step, str(error)) from error
        except RecursionError as error:
            raise _Unfit(step, "is nested too deep for a function") from error
        except ValueError as error:
            raise _Unfit(step, "has a number of too many digits for a function") from error
        if made is None:
            self.left_out += 1
            return None
        plainly = self._plainly(record, number, made)
        values: dict[str, Any] = {}
        for f in self.new.scalars:
            name, target = f.name, attribute(f)
            if target in plainly and (name not in made or _is_same(made, given, name)):
                values[target] = plainly[target]
                continue
            if name not in made:
                values[target] = self._default(f, given, number)
                continue
            try:
                values[target] = self._shown[name].stored(made[name])
            except (ValueError, RecursionError) as error:
                raise _Unfit(step, f"{name} {error}") from error
            if f.arity is Arity.REQUIRED and value_type(f, self.matching.new).is_null(values[target]):
                raise _Unfit(step, f"{name} is NULL, and required")
        self._note_altered(record, values, plainly)
        known = {f.name for f in (*self.new.fields, *self.old.fields)} | {name for name, _ in self._pairs}
        if strange := [n for n in made if n not in known and n not in unknown]:
            raise _Unfit(step, f"the function gave {strange[0]!r}, which is no field")
        kept = tuple((n, raw) for n, raw in unknown.items() if n in made and n not in self._shown)
        return noted(self._type(**values), digest_of(row), kept)

    def _given(self, record: Record, unknown: dict[str, bytes]) -> dict[str, Any]:
        found = {name: getattr(record, attribute(f)) for name, f in self._pairs}
        values = {name: shown(value) for name, value in found.items() if value is not UNSET}
        return values | {name: msgspec.json.decode(raw) for name, raw in unknown.items()}

    def _plainly(self, record: Record, number: int, made: dict[str, Any]) -> dict[str, Any]:
        """The values that follow by themselves: all that the function leaves alone, or never saw."""
        values = {target: getattr(record, source) for target, source in self._same}
        for give in self._made:
            try:
                give(record, values, number)
            except _Unfit:
                continue
        seen = {name for name, _ in self._pairs}
        gone = [attribute(f) for f in self.new.scalars if f.name in seen and f.name not in made]
        return {target: value for target, value in values.items() if target not in gone}

    def _default(self, field: ScalarField, given: dict[str, Any], number: int) -> Any:
        """The value of a field that the function has not set."""
        assert self._function_step is not None
        kind = value_type(field, self.matching.new)
        if field.is_json and field.nullable and field.name not in given:
            return kind.null
        filled = fill(field, self.matching.new, self.moment)
        if filled.refused:
            raise _Unfit(self._function_step, f"{field.name} was not given, and {filled.refused}")
        return kind.write(number) if filled.is_counted else filled.value

    def _note_altered(self, record: Record, values: dict[str, Any], plainly: dict[str, Any]) -> None:
        for f in self.new.scalars:
            if f.name in self.altered:
                target = attribute(f)
                if target not in plainly or plainly[target] != values[target]:
                    self.altered[f.name].count += 1


class _Unfit(Exception):
    """A record cannot be what a step asks for."""

    def __init__(self, step: Step, reason: str) -> None:
        super().__init__(reason)
        self.step = step


def named(codec: Codec, record: Record) -> str:
    """A record by its model and key, which is a digest where it is a secret."""
    model = codec.place.model
    texts = dict(zip((f.name for f in model.scalars), codec.texts(record), strict=True))
    return f"{model.name} " + ", ".join(f"{name} {value}" for name, value in shown_key(model, texts).items())


def _name(field: ScalarField) -> str:
    return field.name


def _is_same(made: dict[str, Any], given: dict[str, Any], name: str) -> bool:
    """Whether a function has left a value as it was, to the type of each number in it."""
    if name not in given:
        return False
    try:
        return repr(made[name]) == repr(given[name])
    except (RecursionError, ValueError):
        return False


def _type(field: ScalarField) -> str:
    """A field's type as the schema says it."""
    written = field.type if field.kind is not ScalarKind.UNSUPPORTED else f'Unsupported("{field.type}")'
    if field.kind is ScalarKind.SCALAR and field.native is not None:
        native = native_type(field)
        written += f" @db.{native.name}" + (f"({', '.join(map(str, native.args))})" if native.args else "")
    return written + ("[]" if field.is_list else "")
