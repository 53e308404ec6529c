"""What identifies a record of a model: its key in memory, and the line that removes it from a log.

Everything about a key is in the order of the key (``@@id([userId, postId])``), which need not be the one in
which the model declares its fields.  In a file a key is read by the names of its fields.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any, TypeAlias, cast

import msgspec

from octavo.layout.record import attribute, encode, value_of
from octavo.schema.datamodel import Datamodel, Model, ScalarField
from octavo.values.registry import value_type
from octavo.values.tokens import Members

Key: TypeAlias = Any
"""What identifies a record of a model: the key's value in its stored form; of several fields, their tuple.
A value whose stored form is raw JSON, which has no hash, is its bytes (:mod:`octavo.layout.keys`)."""

DELETED = b',"_deleted":true}'
"""how the line of a tombstone ends, as Octavo writes it"""


def key_getter(fields: Iterable[ScalarField]) -> Callable[[Any], Key]:
    """A function from a row to the stored values of these fields: the value of one, the tuple of more."""
    return cast(Callable[[Any], Key], attrgetter(*map(attribute, fields)))


def is_tombstone(found: Members) -> bool:
    """Whether the line of a log with these members removes a record."""
    return found.get("_deleted") == b"true"


def one_or_tuple(values: Sequence[Any]) -> Any:
    """Values of some fields as the store names them: the value of one field, the tuple of more."""
    return values[0] if len(values) == 1 else tuple(values)


def as_tuple(values: Any) -> tuple[Any, ...]:
    """The values that the store names so."""
    return values if isinstance(values, tuple) else (values,)


class KeyForm:
    """The forms of one model's keys."""

    def __init__(self, model: Model, datamodel: Datamodel) -> None:
        self.model = model
        self.fields = [(f, value_type(f, datamodel)) for f in model.key_fields]
        self.has_raw = any(column.decoded is msgspec.Raw for _, column in self.fields)
        """whether a part of the stored key is raw JSON"""
        self.of: Callable[[Any], Key] = self._of()
        """from a row to its key"""

    def _of(self) -> Callable[[Any], Key]:
        get = key_getter(self.model.key_fields)
        if not self.has_raw:
            return get
        if len(self.fields) == 1:
            return lambda record: hashable(get(record))
        return lambda record: tuple(map(hashable, get(record)))

    def key(self, values: Sequence[Any]) -> Key:
        """The key with these stored values."""
        return one_or_tuple([hashable(value) for value in values])

    def parts(self, key: Key) -> Sequence[Any]:
        """The stored values of a key."""
        parts = (key,) if len(self.fields) == 1 else key
        if not self.has_raw:
            return parts
        return [
            msgspec.Raw(bytes(part)) if column.decoded is msgspec.Raw else part
            for part, (_, column) in zip(parts, self.fields, strict=True)
        ]

    def texts(self, key: Key) -> list[bytes]:
        """PostgreSQL's text of a key's values."""
        return [c.text(part) for (_, c), part in zip(self.fields, self.parts(key), strict=True)]

    def named(self, found: Members | Mapping[str, bytes]) -> Key:
        """The key that the members of an object name, which are known to be sound."""
        return self.key([value_of(f, column, found.get(f.name)) for f, column in self.fields])

    def members(self, key: Key) -> dict[str, bytes]:
        """The JSON of a key's values by the names of its fields."""
        parts = self.parts(key)
        return {f.name: encode(part) for (f, _), part in zip(self.fields, parts, strict=True)}

    def tombstone(self, key: Key) -> bytes:
        """The line, without its end, that removes the record with this key."""
        named = b",".join(encode(name) + b":" + value for name, value in self.members(key).items())
        return b'{"_model":' + encode(self.model.name) + b"," + named + DELETED


def hashable(value: Any) -> Any:
    """A stored value as a part of a key."""
    return bytes(value) if type(value) is msgspec.Raw else value
