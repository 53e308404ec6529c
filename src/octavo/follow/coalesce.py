"""What transactions come to: of each row that they touch, what it is in the end.

Changes are taken in the order in which they were made.  What is known of a row is kept by its key: the
values that it has then (None: it is there no longer), the key that the same row has in the files, from which
come the values that were not sent, and whether the files must have a row with this key.  So that they were
equal to the database before shows again with every transaction.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from octavo.errors import DivergedError, DriftError
from octavo.follow.protocol import UNCHANGED, Tuple
from octavo.follow.tables import RESEED, Table


@dataclass(slots=True)
class Row:
    """What becomes of the row with one key."""

    was_there: bool
    """whether the files have a row with this key"""
    values: Tuple | None
    """None: it is there no longer"""
    origin: Tuple | None
    """the key that the same row has in the files; None: it is not in them"""

    @property
    def is_partial(self) -> bool:
        """Whether values of it have to come from the files."""
        return self.values is not None and UNCHANGED in self.values


@dataclass(slots=True)
class NetModel:
    """What becomes of the rows of one model, by key."""

    table: Table
    truncated: bool = False
    """whether all the rows that the files have are gone"""
    rows: dict[Tuple, Row] = field(default_factory=dict)


class Net:
    """Collects changes."""

    def __init__(self) -> None:
        self.models: dict[str, NetModel] = {}
        self.changes = 0
        """how many rows were changed, each time counted"""

    def insert(self, table: Table, values: Tuple) -> None:
        rows, key = self._rows(table), _key(table, values)
        known = rows.get(key)
        if known is None:
            rows[key] = Row(was_there=False, values=values, origin=None)
        elif known.values is not None:
            raise diverged(table, "a row was inserted that is there already")
        else:
            known.values, known.origin = values, None

    def update(self, table: Table, old: Tuple | None, values: Tuple) -> None:
        # The key, too, may be stored apart and not be sent again; then the old one was sent.
        values = _filled(values, old)
        rows, key = self._rows(table), _key(table, values)
        before = key if old is None else _key(table, old)
        known = self._present(table, before)
        merged = _filled(values, known.values)
        if before == key:
            known.values = merged
            return
        origin = known.origin
        known.values, known.origin = None, None
        target = rows.setdefault(key, Row(was_there=False, values=None, origin=None))
        if target.values is not None:
            raise diverged(table, "a row got the key of another one")
        target.values, target.origin = merged, origin

    def delete(self, table: Table, old: Tuple) -> None:
        known = self._present(table, _key(table, old))
        known.values, known.origin = None, None

    def truncate(self, table: Table) -> None:
        model = self._model(table)
        model.truncated = True
        model.rows.clear()
        self.changes += 1

    def _model(self, table: Table) -> NetModel:
        return self.models.setdefault(table.model.name, NetModel(table))

    def _rows(self, table: Table) -> dict[Tuple, Row]:
        self.changes += 1
        return self._model(table).rows

    def _present(self, table: Table, key: Tuple) -> Row:
        """A row that must be there."""
        model = self._model(table)
        self.changes += 1
        known = model.rows.get(key)
        if known is None and not model.truncated:
            every = (UNCHANGED,) * len(table.model.scalars)
            known = model.rows[key] = Row(was_there=True, values=every, origin=key)
        if known is None or known.values is None:
            raise diverged(table, "a row was changed that is not there")
        return known


def _key(table: Table, values: Tuple) -> Tuple:
    """The key of a row.  Raises DriftError if it was not sent: then nothing says which row it is."""
    key = table.key(values)
    if any(not isinstance(value, bytes) for value in key):
        raise DriftError(
            f"PostgreSQL has sent a change of {table.model.table} without the row's key",
            hint=f"update PostgreSQL to its latest minor release, then {RESEED}",
        )
    return key


def _filled(values: Tuple, before: Tuple | None) -> Tuple:
    """A row with what was not sent of it, as far as that is known."""
    if before is None or UNCHANGED not in values:
        return values
    return tuple(old if new is UNCHANGED else new for new, old in zip(values, before, strict=True))


def diverged(table: Table, reason: str) -> DivergedError:
    return DivergedError(
        table.model.name, "", f"the files have not been equal to PostgreSQL: {reason}", hint=RESEED
    )
