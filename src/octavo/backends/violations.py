"""What PostgreSQL refuses, as the errors that every backend raises.

The server names the table and the constraint; which model and fields these are, the Datamodel says.  Values
of rows, which the server's DETAIL repeats, are in no message and in no cause.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from octavo.errors import (
    ConflictError,
    ForeignKeyViolation,
    NullViolation,
    OctavoError,
    TransactionFailed,
    UniqueViolation,
    ValueOutOfRange,
)
from octavo.postgres.failures import database_error

if TYPE_CHECKING:
    import psycopg

    from octavo.schema.datamodel import Datamodel, Model
    from octavo.url import DatabaseUrl

_UNIQUE, _NOT_NULL = "23505", "23502"
_FOREIGN_KEY = ("23503", "23001")
"""the second since PostgreSQL 18, for RESTRICT"""
_OUT_OF_RANGE = ("22003", "22012", "0A000")
"""too large, divided by zero; and what a type has no value for: money that is NaN"""
_CONFLICTS = {
    "40001": "the data changed while the transaction was under way",
    "40P01": "two transactions waited for each other, and this one was ended",
}
_ENDED = ("25P02", "25P03", "25P04")
"""the transaction failed before, was idle for too long, took too long"""


class Violations:
    """Turns psycopg's errors on one database into Octavo's."""

    def __init__(self, datamodel: Datamodel, url: DatabaseUrl) -> None:
        self.url = url
        self._models: dict[tuple[str, str], Model] = {}
        self._uniques: dict[tuple[str, str, str], tuple[str, ...]] = {}
        self._keys: dict[tuple[str, str, str], tuple[str, ...]] = {}
        for model in datamodel.tables:
            place = (model.schema or url.schema, model.table)
            self._models[place] = model
            for index in model.all_indexes:
                self._uniques[*place, index.constraint] = index.field_names
        for key in datamodel.foreign_keys:
            child = datamodel.model(key.child)
            self._keys[child.schema or url.schema, child.table, key.constraint] = key.fields

    def error(self, error: psycopg.Error, model: str, computed: Sequence[str] = ()) -> OctavoError:
        """What to raise for an error from a statement on a model, which computes these fields."""
        state, found = error.sqlstate or "", error.diag
        place = (found.schema_name or "", found.table_name or "")
        constraint = (*place, found.constraint_name or "")
        there = self._models.get(place)
        name = there.name if there else found.table_name or model
        if state == _UNIQUE:
            return UniqueViolation(name, self._uniques.get(constraint, ()))
        if state in _FOREIGN_KEY:
            return ForeignKeyViolation(name, self._keys.get(constraint, ()))
        if state == _NOT_NULL:
            fields = [f.name for f in there.scalars if f.column == found.column_name] if there else []
            return NullViolation(name, fields)
        if state in _OUT_OF_RANGE and computed:
            return ValueOutOfRange(model, computed)
        if state in _CONFLICTS:
            return ConflictError(_CONFLICTS[state], hint="run the transaction again")
        if state in _ENDED:
            return TransactionFailed("the transaction failed or ran out of time; nothing of it is kept")
        return database_error(error, self.url)
