"""What a call with ``include``, ``select`` or ``omit`` gives: a record, as much of it as was asked for, and
its relations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import UNSET
from msgspec.structs import replace

from octavo.layout.record import Record, attribute, model_of, stored_value
from octavo.layout.shown import Shown
from octavo.layout.spelled import Parts

_MASK = "…"
_SHOWN = 120


class Counts:
    """The numbers that ``_count`` shows, by relation."""

    __slots__ = ("_numbers",)

    def __init__(self, numbers: Mapping[str, int]) -> None:
        self._numbers = dict(numbers)

    def __getattr__(self, name: str) -> int:
        try:
            return self._numbers[name]
        except KeyError:
            raise AttributeError(f"{name} was not counted") from None

    def to_dict(self) -> dict[str, int]:
        return dict(self._numbers)

    def __reduce__(self) -> tuple[Any, ...]:
        return Counts, (self._numbers,)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Counts) and self._numbers == other._numbers

    def __repr__(self) -> str:
        return f"Counts({', '.join(f'{name}={number}' for name, number in self._numbers.items())})"

    __hash__ = None  # type: ignore[assignment]


class Result(Shown):
    """A record with relations.  Fields and relations are attributes; what was not asked for raises
    AttributeError and says so.  Results are equal if they show the same; secrets do not show in ``repr``."""

    __slots__ = ("_0by_name", "_0fields", "_0record", "_0related")

    def __init__(
        self, record: Record, fields: tuple[str, ...], related: Mapping[str, Any], by_name: bool = False
    ) -> None:
        """``by_name``: the fields were selected, each by its name."""
        # Names that no field and no relation can have.
        object.__setattr__(self, "_0by_name", by_name)
        object.__setattr__(self, "_0record", record)
        object.__setattr__(self, "_0fields", fields)
        object.__setattr__(self, "_0related", related)

    def __getattr__(self, name: str) -> Any:
        related = object.__getattribute__(self, "_0related")
        if name in related:
            return related[name]
        record = object.__getattribute__(self, "_0record")
        if name in object.__getattribute__(self, "_0fields"):
            return getattr(record, name)
        model = model_of(record)
        if name == "_count" or any(f.name == name for f in model.fields):
            raise AttributeError(f"{model.name}.{name} was not asked for: select or include it")
        raise AttributeError(f"{model.name} has no {name}")

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError("records are not changed in place; update them")

    def __reduce__(self) -> tuple[Any, ...]:
        # For copies: they are not made attribute by attribute, since attributes cannot be set.
        given = ("_0record", "_0fields", "_0related", "_0by_name")
        record, fields, *others = (object.__getattribute__(self, name) for name in given)
        hidden = {f for f in model_of(record).scalars if f.secret is not None and f.name not in fields}
        if hidden:
            record = replace(record, **{attribute(f): UNSET for f in hidden})
        return Result, (record, fields, *others)

    def __octavo_parts__(self) -> Parts:
        record, fields = record_of(self), object.__getattribute__(self, "_0fields")
        model = model_of(record)
        return Parts(
            model,
            record,
            [(f, stored_value(record, f)) for f in map(model.scalar, fields)],
            object.__getattribute__(self, "_0related"),
            fields if object.__getattribute__(self, "_0by_name") else (),
        )

    def _values(self) -> dict[str, Any]:
        return {name: _plain(value) for name, value in _items(self)}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Result) and _compared(self) == _compared(other)

    __hash__ = None  # type: ignore[assignment]

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *(name for name, _ in _items(self))]

    def __repr__(self) -> str:
        return f"{model_of(record_of(self)).name}({', '.join(f'{n}={t}' for n, t in _texts(self))})"


def record_of(shown: Record | Result) -> Record:
    """The whole record, of which a result may show a part."""
    if isinstance(shown, Record):
        return shown
    found: Record = object.__getattribute__(shown, "_0record")
    return found


def _items(result: Result) -> Iterator[tuple[str, Any]]:
    record = record_of(result)
    for name in object.__getattribute__(result, "_0fields"):
        yield name, getattr(record, name)
    yield from object.__getattribute__(result, "_0related").items()


def _compared(result: Result) -> tuple[Any, ...]:
    """What results are equal by: as records, by stored values, which unlike Python's are equal to themselves
    (NaN)."""
    record = record_of(result)
    fields = object.__getattribute__(result, "_0fields")
    shown = {name: stored_value(record, model_of(record).scalar(name)) for name in fields}
    return type(record), shown, object.__getattribute__(result, "_0related")


def _texts(result: Result) -> Iterator[tuple[str, str]]:
    secret = {f.name for f in model_of(record_of(result)).scalars if f.secret is not None}
    for name, value in _items(result):
        text = repr(value)
        if name in secret and value is not None:
            text = _MASK
        elif name in object.__getattribute__(result, "_0fields") and len(text) > _SHOWN:
            text = text[:_SHOWN] + _MASK
        yield name, text


def _plain(value: Any) -> Any:
    if isinstance(value, Record | Result | Counts):
        return value.to_dict()
    if isinstance(value, list) and value and isinstance(value[0], Record | Result):
        return [item.to_dict() for item in value]
    return value
