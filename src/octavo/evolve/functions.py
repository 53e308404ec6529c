"""The functions of ``--with FILE``: one for a model, from a record as its file shows it to the next one.

A function is named by the model's accessor in the client.  It gets a dict of the record's values in JSON,
under the names that the fields have in the new schema (a field that is dropped keeps its name), and gives the
dict that is to be stored, or None to leave the record out.  A value that it does not touch stays as it is, to
the digit.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeAlias
from uuid import UUID

import msgspec

from octavo.client import accessors
from octavo.errors import UsageError
from octavo.layout.record import value_of
from octavo.schema.datamodel import Datamodel, ScalarField
from octavo.values.registry import value_type, writer

Function: TypeAlias = Callable[[dict[str, Any]], Any]

_PYTHON = (int, float, datetime, date, time, Decimal, UUID, bytes, bytearray, memoryview)
"""values that the client takes and that JSON does not have, or not all of them"""


def load(path: Path, datamodel: Datamodel) -> dict[str, Function]:
    """The functions that a file of Python defines, by model.

    Raises UsageError if it cannot be run, or defines a public function that is named after no model.
    """
    namespace: dict[str, Any] = {"__name__": "octavo_migration", "__file__": str(path)}
    try:
        exec(compile(path.read_bytes(), str(path), "exec"), namespace)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
    except (Exception, SystemExit) as error:
        raise UsageError(f"{path}: cannot be run: {type(error).__name__}: {error}") from error
    models = accessors(m.name for m in datamodel.models if not m.is_view)
    found: dict[str, Function] = {}
    for name, value in namespace.items():
        if (
            name.startswith("_")
            or getattr(value, "__module__", "") != "octavo_migration"
            or isinstance(value, type)
        ):
            continue
        if not callable(value):
            continue
        named = models.get(name, [])
        if len(named) != 1:
            why = f"is the accessor of {' and '.join(named)}" if named else "is no model's accessor"
            known = ", ".join(sorted(models)) if len(models) < 30 else "task_label for a model TaskLabel"
            raise UsageError(
                f"{path}: {name} {why}", hint=f"accessors: {known}; a helper's name begins with _"
            )
        found[named[0]] = value
    if not found:
        raise UsageError(f"{path}: defines no function", hint="such as def message(record): return record")
    return found


class Refused(ValueError):
    """A function gave something that cannot be stored; ``field`` is empty if it is the whole."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.field = field


def call(function: Function, record: dict[str, Any]) -> dict[str, Any] | None:
    """What a function makes of a record.  Raises Refused, which repeats no value."""
    path = str(getattr(function, "__globals__", {}).get("__file__", ""))
    try:
        made = function(record)
    except (Exception, SystemExit) as error:
        trace, line = error.__traceback__, 0
        while trace is not None:
            if trace.tb_frame.f_code.co_filename == path:
                line = trace.tb_lineno
            trace = trace.tb_next
        where = f"{Path(path).name}:{line}: " if line else ""
        raise Refused("", f"{where}{type(error).__name__}") from error
    if made is None or isinstance(made, dict):
        return made
    raise Refused("", f"the function gave {type(made).__name__}, not a dict or None")


class Shown:
    """A value as a function sees it, and back."""

    def __init__(self, field: ScalarField, datamodel: Datamodel) -> None:
        self._field, self._kind = field, value_type(field, datamodel)
        self._write = writer(field, datamodel)

    def stored(self, value: Any) -> Any:
        """The stored form of a value that a function gave.  Raises ValueError."""
        field, kind = self._field, self._kind
        if isinstance(value, _PYTHON) or (
            value and isinstance(value, list) and isinstance(value[0], _PYTHON)
        ):
            return self._write(value)
        if field.is_json and not field.is_list:
            return kind.write(msgspec.Raw(b"null") if value is None else value)
        if value is None:
            # Of a field that is required, this is told with its name.
            return kind.null
        try:
            stored = value_of(field, kind, plain_json(value))
        except (TypeError, msgspec.MsgspecError):
            # A number as text, or the other way round.
            return self._write(value)
        if kind.read is None:
            return self._write(stored)
        try:
            read = kind.read(stored)
        except (ValueError, ArithmeticError):
            # What Python says may repeat the value.
            raise ValueError(f"is no {field.type} as files show it") from None
        return self._write(read)


def shown(value: Any) -> Any:
    """A stored value as JSON has it, in Python's terms."""
    return json.loads(msgspec.json.encode(value))


def plain_json(value: Any) -> bytes:
    """Python's JSON as a text.  Raises TypeError, ValueError."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
