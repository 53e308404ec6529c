"""``relationMode = "prisma"``: referential actions by the client, on every backend as Prisma Client does it.

What each call answers and leaves was recorded from Prisma Client 6.19 on PostgreSQL.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import octavo
from octavo.backends.emulation import pointing_at
from octavo.errors import ConstraintError, OctavoError, RecordNotFound
from octavo.fold.scaffold import scaffold
from octavo.layout.load import layout_for
from octavo.postgres.connection import connect
from octavo.schema.ddl import ddl
from octavo.schema.parser import parse_schema

SCHEMA = """
datasource db {
  provider     = "postgresql"
  url          = env("DATABASE_URL")
  relationMode = "prisma"
}
model Top {
  id        Int         @id
  code      Int?        @unique
  name      String?
  cascades  Cascading[]
  optionals Optional[]
  kept      Kept[]
  required  Required[]
  coded     Coded[]
  one       One?
  unseen    Unseen[]    @ignore
  tags      Tag[]
}
model Cascading {
  id    Int      @id
  at    DateTime @default("2000-01-01T00:00:00Z") @updatedAt
  topId Int?
  top   Top?     @relation(fields: [topId], references: [id], onDelete: Cascade)
  below Below[]
  @@index([topId])
}
model Below {
  id          Int       @id
  cascadingId Int
  cascading   Cascading @relation(fields: [cascadingId], references: [id], onDelete: Cascade)
  @@index([cascadingId])
}
model Optional {
  id    Int  @id
  topId Int?
  top   Top? @relation(fields: [topId], references: [id])
  @@index([topId])
}
model Kept {
  id    Int  @id
  topId Int?
  top   Top? @relation(fields: [topId], references: [id], onDelete: Restrict, onUpdate: Restrict)
  @@index([topId])
}
model Required {
  id    Int @id
  topId Int
  top   Top @relation(fields: [topId], references: [id])
  @@index([topId])
}
model Coded {
  id   Int  @id
  code Int?
  top  Top? @relation(fields: [code], references: [code], onDelete: SetNull, onUpdate: SetNull)
  @@index([code])
}
model One {
  id    Int  @id
  topId Int? @unique
  top   Top? @relation(fields: [topId], references: [id], onDelete: Cascade)
}
model Tag {
  id   Int   @id
  tops Top[]
}
model Unseen {
  id    Int  @id
  topId Int?
  top   Top? @relation(fields: [topId], references: [id], onDelete: Restrict)
  @@index([topId])
  @@ignore
}
"""
MODELS = ("top", "cascading", "below", "optional", "kept", "required", "coded", "one")
ROWS: dict[str, list[dict[str, Any]]] = {
    "top": [{"id": n, "code": n * 10 if n in (1, 2, 4, 5) else None} for n in range(1, 8)],
    "cascading": [{"id": 1, "topId": 1}, {"id": 2, "topId": 1}, {"id": 3, "topId": 2}],
    "below": [{"id": 1, "cascadingId": 1}, {"id": 2, "cascadingId": 3}],
    "optional": [{"id": 1, "topId": 1}, {"id": 2, "topId": 2}],
    "kept": [{"id": 1, "topId": 3}],
    "required": [{"id": 1, "topId": 6}],
    "coded": [{"id": 1, "code": 40}, {"id": 2, "code": 10}],
    "one": [{"id": 1, "topId": 5}],
}


@pytest.fixture(scope="module", params=["json", "prisma", "dual"])
def db(
    request: pytest.FixtureRequest, server: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Any]:
    folder: Path = tmp_path_factory.mktemp("emulation")
    (folder / "schema.prisma").write_text(SCHEMA)
    datamodel = parse_schema(SCHEMA)
    name = f"emulation_{request.param}"
    server.create_database(name)
    url = server.url(name, schema="public")
    with connect(url) as connection:
        connection.execute(ddl(datamodel).script().encode())
    scaffold(folder / "data", layout_for(datamodel, None))
    with octavo.connect(
        request.param,
        schema=folder / "schema.prisma",
        database_url=url,
        data_dir=folder / "data",
    ) as opened:
        for model, rows in ROWS.items():
            getattr(opened, model).create_many(data=rows)
        opened.tag.create(data={"id": 1, "tops": {"connect": [{"id": 1}, {"id": 7}]}})
        yield opened


class Undone(Exception):
    """Takes a transaction back."""


def shown(tx: Any) -> dict[str, list[tuple[Any, ...]]]:
    """Every record, by model: its key and what else it points with."""
    found = {}
    for model in MODELS:
        names = list(ROWS[model][0])
        found[model] = [
            tuple(getattr(record, name) for name in names)
            for record in getattr(tx, model).find_many(order_by={"id": "asc"})
        ]
    return found


def outcome(db: Any, call: Callable[[Any], Any]) -> tuple[Any, dict[str, Any]]:
    """What a call gives, or its error's code; and which models have other records then."""
    changed: dict[str, Any] = {}
    answer: Any = None
    try:
        with db.tx() as tx:
            before = shown(tx)
            try:
                answer = call(tx)
            except (ConstraintError, RecordNotFound) as error:
                answer = error.code
                raise Undone from error
            after = shown(tx)
            changed = {model: after[model] for model in MODELS if after[model] != before[model]}
            raise Undone
    except Undone:
        pass
    return answer, changed


TOPS = [(1, 10), (2, 20), (3, None), (4, 40), (5, 50), (6, None), (7, None)]


def tops(**changed: Any) -> list[tuple[Any, ...]]:
    """The records of Top, but for these: ``_1=None`` is gone, ``_1=(11, 10)`` another."""
    rows = [changed.get(f"_{row[0]}", row) for row in TOPS]
    return sorted((row for row in rows if row), key=lambda row: row[0])


DELETED_1 = {
    "top": tops(_1=None),
    "cascading": [(3, 2)],
    "below": [(2, 3)],
    "optional": [(1, None), (2, 2)],
    "coded": [(1, 40), (2, None)],
}
CALLS: dict[str, tuple[Callable[[Any], Any], Any, dict[str, Any]]] = {
    "delete": (lambda db: db.top.delete(where={"id": 1}).id, 1, DELETED_1),
    "delete what is kept": (lambda db: db.top.delete(where={"id": 3}), "P2014", {}),
    "delete what is required": (lambda db: db.top.delete(where={"id": 6}), "P2014", {}),
    "delete what is pointed at by another field": (
        lambda db: db.top.delete(where={"id": 4}).id,
        4,
        {"top": tops(_4=None), "coded": [(1, None), (2, 10)]},
    ),
    "delete one of one": (lambda db: db.top.delete(where={"id": 5}).id, 5, {"top": tops(_5=None), "one": []}),
    "delete many": (
        lambda db: db.top.delete_many(where={"id": {"in": [1, 2]}}),
        2,
        {
            **DELETED_1,
            "top": tops(_1=None, _2=None),
            "cascading": [],
            "below": [],
            "optional": [(1, None), (2, None)],
        },
    ),
    "delete all": (lambda db: db.top.delete_many(), "P2014", {}),
    "delete none": (lambda db: db.top.delete_many(where={"id": 99}), 0, {}),
    "change a key": (
        lambda db: db.top.update(where={"id": 1}, data={"id": 11}).id,
        11,
        {
            "top": tops(_1=(11, 10)),
            "cascading": [(1, 11), (2, 11), (3, 2)],
            "optional": [(1, 11), (2, 2)],
        },
    ),
    "change a key that is kept": (lambda db: db.top.update(where={"id": 3}, data={"id": 13}), "P2014", {}),
    "name a key that is kept": (lambda db: db.top.update(where={"id": 3}, data={"id": 3}), "P2014", {}),
    "change another field": (lambda db: db.top.update(where={"id": 3}, data={"name": "x"}).name, "x", {}),
    "change a key that is required": (
        lambda db: db.top.update(where={"id": 6}, data={"id": 16}).id,
        16,
        {"top": tops(_6=(16, None)), "required": [(1, 16)]},
    ),
    "count a key on": (
        lambda db: db.top.update(where={"id": 2}, data={"id": {"increment": 100}}).id,
        102,
        {
            "top": tops(_2=(102, 20)),
            "cascading": [(1, 1), (2, 1), (3, 102)],
            "optional": [(1, 1), (2, 102)],
        },
    ),
    "change what unlinks": (
        lambda db: db.top.update(where={"id": 4}, data={"code": 41}).code,
        41,
        {"top": tops(_4=(4, 41)), "coded": [(1, None), (2, 10)]},
    ),
    "name what unlinks": (
        lambda db: db.top.update(where={"id": 4}, data={"code": 40}).code,
        40,
        {"coded": [(1, None), (2, 10)]},
    ),
    "change many": (
        lambda db: db.top.update_many(where={"id": {"in": [1, 2]}}, data={"code": {"increment": 1}}),
        2,
        {"top": tops(_1=(1, 11), _2=(2, 21)), "coded": [(1, 40), (2, None)]},
    ),
    "change many that are kept": (
        lambda db: db.top.update_many(where={"id": 3}, data={"id": 33}),
        "P2014",
        {},
    ),
    "point at nothing": (
        lambda db: db.required.create(data={"id": 9, "topId": 999}).topId,
        999,
        {"required": [(1, 6), (9, 999)]},
    ),
    "come to point at nothing": (
        lambda db: db.cascading.update(where={"id": 1}, data={"topId": 777}).topId,
        777,
        {"cascading": [(1, 777), (2, 1), (3, 2)]},
    ),
    "connect nothing": (
        lambda db: db.cascading.create(data={"id": 9, "top": {"connect": {"id": 999}}}),
        "P2025",
        {},
    ),
    "delete the other end": (
        lambda db: db.cascading.update(where={"id": 2}, data={"top": {"update": {"id": 71}}}).topId,
        71,
        {
            "top": tops(_1=(71, 10)),
            "cascading": [(1, 71), (2, 71), (3, 2)],
            "optional": [(1, 71), (2, 2)],
        },
    ),
    "delete what hangs on one": (
        lambda db: db.top.update(where={"id": 1}, data={"cascades": {"delete_many": {}}}).id,
        1,
        {"cascading": [(3, 2)], "below": [(2, 3)]},
    ),
    "unlink what is required": (
        lambda db: db.top.update(where={"id": 6}, data={"required": {"disconnect": {"id": 1}}}),
        "P2014",
        {},
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_call_does_what_prisma_does(db: Any, name: str) -> None:
    call, answer, changed = CALLS[name]
    assert outcome(db, call) == (answer, changed)


READS: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "include of a required relation": (
        lambda db: db.required.find_unique(where={"id": 9}, include={"top": True}).top,
        None,
    ),
    "include of an optional relation": (
        lambda db: db.cascading.find_unique(where={"id": 9}, include={"top": True}).top,
        None,
    ),
    "no key": (lambda db: db.cascading.find_many(where={"top": None}), []),
    "is no key": (lambda db: db.cascading.find_many(where={"top": {"is": None}}), []),
    "is a key": (lambda db: ids(db.cascading.find_many(where={"top": {"is_not": None}})), [1, 2, 3, 9]),
    "fulfils": (lambda db: ids(db.cascading.find_many(where={"top": {"is": {"id": {"gt": 0}}}})), [1, 2, 3]),
    "does not fulfil": (
        lambda db: ids(db.cascading.find_many(where={"NOT": {"top": {"is": {"id": {"gt": 1}}}}})),
        [1, 2, 9],
    ),
    "is not one that fulfils": (
        lambda db: ids(db.cascading.find_many(where={"top": {"is_not": {"id": {"gt": 1}}}})),
        [1, 2, 9],
    ),
    "required, is not": (
        lambda db: ids(db.required.find_many(where={"top": {"is_not": {"id": 6}}})),
        [9],
    ),
    "order": (
        lambda db: [r.id for r in db.cascading.find_many(order_by=[{"top": {"code": "asc"}}, {"id": "asc"}])],
        [1, 2, 3, 9],
    ),
    "many to many": (
        lambda db: [
            (ids(t.tops), t._count.tops) for t in db.tag.find_many(include={"tops": True, "_count": True})
        ],
        [([1], 1)],
    ),
}


def ids(records: list[Any]) -> list[int]:
    return sorted(record.id for record in records)


@pytest.mark.parametrize("name", READS)
def test_an_orphan_is_read_as_prisma_reads_it(db: Any, name: str) -> None:
    read, answer = READS[name]

    def call(tx: Any) -> Any:
        tx.required.create(data={"id": 9, "topId": 999})
        tx.cascading.create(data={"id": 9, "topId": 999})
        tx.top.delete(where={"id": 7})
        return read(tx)

    assert outcome(db, call)[0] == answer


def test_what_a_client_ignores_is_not_looked_at() -> None:
    """As Prisma, whose client does not know an ignored model."""
    found = pointing_at(parse_schema(SCHEMA))
    names = ["One", "Coded", "Required", "Kept", "Optional", "Cascading"]
    assert [r.child for r in found["Top"]] == names
    assert not found["Tag"]


def test_nothing_is_written_where_an_action_refuses(db: Any) -> None:
    """What is found below one that is deleted refuses before anything is deleted."""
    with pytest.raises(OctavoError, match="required relation"):
        db.top.delete_many()
    assert [record.id for record in db.cascading.find_many(order_by={"id": "asc"})] == [1, 2, 3]
