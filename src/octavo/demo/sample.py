"""Sample data for schema 0.7, loaded into a database that has its tables.

The contents are invented here; which columns there are, and in which order tables can be filled, comes from
the Datamodel.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from octavo.demo.conversation import MESSAGE_FIELDS, conversation
from octavo.demo.data import Row, World
from octavo.errors import DiskError, UsageError
from octavo.schema.datamodel import Arity, Datamodel, Model

if TYPE_CHECKING:
    from octavo.postgres.connection import Connection

DEMO_PEPPER: Final = "octavo-sample-pepper"
"""What the sample's secrets are encrypted with; not a real pepper."""

_TOLD_EVERY: Final = 5_000


@dataclass(frozen=True, slots=True)
class SampleSummary:
    """What was loaded: rows by model (in the order of the schema), and the payloads on disk."""

    counts: Mapping[str, int]
    payloads: int
    """how many files lie under the files root"""
    payload_bytes: int

    @property
    def rows(self) -> int:
        return sum(self.counts.values())


def load_sample(
    connection: Connection,
    files_root: Path | str,
    *,
    messages: int = 2_000,
    seed: int = 7,
    pepper: str = DEMO_PEPPER,
    schema: str = "public",
    progress: Callable[[int], None] | None = None,
) -> SampleSummary:
    """Fill the empty tables of schema 0.7 with data that looks real, in one transaction.

    ``messages`` is how many messages there will be (at least one); the number of everything else follows.
    The same ``seed``, ``messages`` and ``pepper`` give the same rows and files.  Payloads are written below
    ``files_root``.  ``progress`` hears the number of messages so far.

    Raises UsageError for fewer than one message; DatabaseError if PostgreSQL refuses a row; DiskError if a
    payload cannot be written, which leaves no rows.
    """
    from octavo.postgres.connection import transaction
    from octavo.schema.texts import frozen_schema

    if messages < 1:
        raise UsageError(f"sample data has at least one message, not {messages}")
    datamodel = frozen_schema()
    rng = random.Random(seed)
    world = World(rng, messages, pepper)
    counts: dict[str, int] = {}
    with transaction(connection, schema):
        for model in filling_order(datamodel):
            if model.name == "Message":
                told = _told(conversation(rng, world.plans, world.attach), progress)
                counts[model.name] = copy_rows(connection, model, MESSAGE_FIELDS, told)
            elif model.name == "ChatFile":
                counts[model.name] = copy_records(connection, model, list(world.files()))
            else:
                counts[model.name] = copy_records(connection, model, world.rows[model.name])
        _write_payloads(Path(files_root), world.payloads)
    return SampleSummary(
        {model.name: counts[model.name] for model in datamodel.tables},
        len(world.payloads),
        sum(map(len, world.payloads.values())),
    )


def filling_order(datamodel: Datamodel) -> tuple[Model, ...]:
    """Every table, each after those that its foreign keys point at, otherwise in the schema's order.

    A table that points at itself is no obstacle.  Raises UsageError if tables point at each other in circles.
    """
    left = list(datamodel.tables)
    done: dict[str, Model] = {}
    while left:
        ready = next(
            (
                model
                for model in left
                if all(
                    key.parent in done or key.parent == model.name for key in datamodel.parents(model.name)
                )
            ),
            None,
        )
        if ready is None:
            raise UsageError(f"foreign keys in a circle: {', '.join(model.name for model in left)}")
        left.remove(ready)
        done[ready.name] = ready
    return tuple(done.values())


def copy_records(connection: Connection, model: Model, records: Sequence[Row]) -> int:
    """Load records, all of the same fields, by ``COPY``; gives their number."""
    if not records:
        return 0
    fields = tuple(records[0])
    return copy_rows(
        connection, model, fields, (tuple(record[name] for name in fields) for record in records)
    )


def copy_rows(
    connection: Connection, model: Model, fields: Sequence[str], rows: Iterable[Sequence[object]]
) -> int:
    """Stream rows into a model's table by ``COPY``, values in the order of ``fields``; gives their number.

    Values are what psycopg adapts to text; Json goes as its text.  Raises UsageError if a required field
    without a default is not among the fields; KeyError for a field that the model does not have.
    """
    from psycopg import sql

    columns = [model.scalar(name).column for name in fields]
    needed = {f.name for f in model.scalars if f.arity is Arity.REQUIRED and f.default is None}
    if missing := sorted(needed.difference(fields)):
        raise UsageError(f"{model.name}: no values for {', '.join(missing)}")
    table = sql.Identifier(*(part for part in (model.schema, model.table) if part))
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    count = 0
    with (
        connection.cursor() as cursor,
        cursor.copy(sql.SQL("COPY {} ({}) FROM STDIN").format(table, names)) as copy,
    ):
        for row in rows:
            copy.write_row(row)
            count += 1
    return count


def _told(
    rows: Iterable[Sequence[object]], progress: Callable[[int], None] | None
) -> Iterator[Sequence[object]]:
    count = 0
    for row in rows:
        yield row
        count += 1
        if progress is not None and count % _TOLD_EVERY == 0:
            progress(count)
    if progress is not None:
        progress(count)


def _write_payloads(root: Path, payloads: Mapping[str, bytes]) -> None:
    try:
        for path, body in payloads.items():
            target = root / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(body)
    except OSError as error:
        raise DiskError.of(error, "writing a sample payload") from error
