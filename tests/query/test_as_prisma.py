"""What Prisma's engine (6.19.3, on PostgreSQL) answers, each backend answers.

The answers were recorded from ``@prisma/client`` with this very schema; where ours is another on purpose,
the table of differences in ``docs/client.md`` says so.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, time
from pathlib import Path
from typing import Any

import pytest

from backends import BACKENDS, dual_backend, emptied, on_files, on_memory, prisma_backend
from octavo.backends.prisma import PrismaBackend
from octavo.client import Client
from octavo.errors import OctavoError, RecordNotFound, ValidationError
from octavo.postgres.connection import connect
from octavo.postgres.embedded import EmbeddedServer
from octavo.query.arguments import FieldRef
from octavo.query.vocabulary import Vocabulary
from octavo.schema.ddl import ddl
from octavo.schema.parser import parse_schema

SCHEMA = """
datasource db {
  provider = "postgresql"
  url      = env("DATABASE_URL")
}
model Box {
  id    Int     @id
  name  String?
  notes Note[]
}
model Note {
  id    Int     @id
  owner String?
  boxId Int?
  box   Box?    @relation(fields: [boxId], references: [id])
}
model Stamp {
  id      Int      @id @default(autoincrement())
  text    String?
  changed DateTime @updatedAt
}
model Maker {
  name  String @id
  parts Part[]
}
model Part {
  maker   String
  code    String
  made    Maker  @relation(fields: [maker], references: [name])
  uses    Use[]

  @@id([maker, code])
}
model Use {
  kit    Int
  maker  String
  code   String
  number Int    @default(1)
  part   Part   @relation(fields: [maker, code], references: [maker, code])
  slips  Slip[]

  @@id([kit, maker, code])
}
model Slip {
  id    Int     @id
  kit   Int?
  maker String?
  code  String?
  use   Use?    @relation(fields: [kit, maker, code], references: [kit, maker, code])
}
model Tree {
  id       Int   @id
  size     Int   @default(0)
  parentId Int?
  parent   Tree? @relation("tree", fields: [parentId], references: [id])
  kids     Tree[] @relation("tree")
}
model Word {
  id     Int     @id
  is     String?
  isNot  String?
  where  String?
  data   Json?
  things Thing[]
}
model Thing {
  id     Int   @id
  wordId Int?
  word   Word? @relation(fields: [wordId], references: [id])
}
model Tie {
  id     Int  @id
  wordId Int
  word   Owed @relation(fields: [wordId], references: [id])
}
model Owed {
  id   Int     @id
  is   String?
  ties Tie[]
}
model UserURL {
  id Int @id
}
model UserUrl {
  id Int  @id
  x  Int?
}
model Pair {
  id     Int       @id
  name   String?
  nick   String?   @db.VarChar(9)
  words  String[]
  more   String[]
  real   Float?    @db.Real
  double Float?
  small  Int?      @db.SmallInt
  whole  Int?
  exact  Decimal?  @db.Decimal(10, 2)
  money  Decimal?
  day    DateTime? @db.Date
  moment DateTime?
  fine   DateTime? @db.Timestamptz(6)
  clock  DateTime? @db.Time(3)
  data   Json?
  other  Json?
}
model Event {
  id        Int       @id
  createdAt DateTime?
  kind      String    @default("a")
  boxId     Int?
}
model Shift {
  id    Int        @id
  from  DateTime   @db.Time(0)
  fine  DateTime?  @db.Time(6)
  zoned DateTime?  @db.Timetz(3)
  many  DateTime[] @db.Time(3)
}
"""
VOCABULARY = Vocabulary(parse_schema(SCHEMA))


@pytest.fixture(scope="module")
def on_postgres(server: EmbeddedServer) -> Iterator[PrismaBackend]:
    with connect(server.create_database("as_prisma")) as connection:
        connection.execute(ddl(VOCABULARY.datamodel).script().encode())
    with prisma_backend(VOCABULARY, server.url("as_prisma", schema="public")) as opened:
        yield opened
    server.drop_database("as_prisma")


@pytest.fixture(params=BACKENDS)
def db(
    request: pytest.FixtureRequest, tmp_path: Path, on_postgres: PrismaBackend, server: EmbeddedServer
) -> Iterator[Any]:
    match request.param:
        case "memory":
            yield on_memory(VOCABULARY)
            return
        case "json":
            with on_files(VOCABULARY, tmp_path / "data") as made:
                yield made
            return
        case "prisma":
            yield Client(on_postgres, VOCABULARY)
        case "dual":
            with dual_backend(
                VOCABULARY, server.url("as_prisma", schema="public"), tmp_path / "data"
            ) as both:
                yield Client(both, VOCABULARY)
    emptied(on_postgres)


@pytest.fixture
def events(db: Any) -> Any:
    """Four, of which two were made at the same moment and one at no known one."""
    for key, day in ((4, 1), (3, 2), (2, None), (1, 2)):
        moment = None if day is None else datetime(2025, 1, day, tzinfo=UTC)
        db.event.create(data={"id": key, "createdAt": moment})
    return db


@pytest.fixture
def pairs(db: Any) -> Any:
    """Records whose fields are equal to one another, less, greater, and NULL."""
    noon, night = "2025-01-01T12:00:00.5Z", "2025-01-02T00:00:00Z"
    for record in (
        {"name": "a", "nick": "a", "words": ["a", "b"], "more": ["b", "a"][::-1], "real": 0.1, "double": 0.1}
        | {"small": 1, "whole": 1, "exact": "1.50", "money": "1.5", "day": "2025-01-01", "moment": noon}
        | {"fine": noon, "data": {"a": 1}, "other": {"a": 1.0}},
        {"name": "b", "nick": "B", "words": None, "real": 0.1, "small": 1, "whole": 2, "exact": "1.50"}
        | {"money": "1.501", "day": "2025-01-02", "moment": night, "fine": night, "data": {"a": 1}},
        {"name": "x", "nick": "", "words": ["X"], "more": [], "real": 0.1, "double": 0.2, "small": 3}
        | {"whole": 2, "day": "2025-01-03", "moment": night, "fine": noon, "data": {"a": [1]}, "other": [1]},
        {"nick": "z", "words": ["z"], "more": ["y"]},
    ):
        given = {key: value for key, value in record.items() if value is not None}
        db.pair.create(data={"id": db.pair.count() + 1, **given})
    return db


def ids(found: list[Any]) -> list[int]:
    return sorted(record.id for record in found)


def answer(call: Callable[[], Any]) -> Any:
    """What a call gives; of an error, its class."""
    try:
        return call()
    except OctavoError as error:
        return type(error)


def answers(find: Callable[[Any], Any], expected: list[tuple[Any, Any]]) -> None:
    """Each filter finds what Prisma finds."""
    found = [(where, answer(lambda: find(where))) for where, _ in expected]  # noqa: B023
    assert [f"{json.dumps(w)}: {f}" for w, f in found] == [f"{json.dumps(w)}: {f}" for w, f in expected]


EMPTY_BRANCHES: list[tuple[Any, Any]] = [
    ({"OR": [{"owner": "mine"}, {}]}, [1]),
    ({"OR": [{}]}, []),
    ({"OR": [{}, {}]}, []),
    ({"OR": []}, []),
    ({"OR": [{"AND": []}, {"id": 2}]}, [2]),
    ({"OR": [{"AND": {}}, {"id": 2}]}, [2]),
    ({"OR": [{"AND": [{}]}, {"id": 2}]}, [2]),
    ({"OR": [{"AND": [{"AND": []}]}, {"id": 2}]}, [2]),
    ({"OR": [{"AND": [{}, {}]}]}, []),
    ({"OR": [{"OR": []}, {"id": 2}]}, [2]),
    ({"OR": [{"OR": [{}]}, {"id": 2}]}, [2]),
    ({"OR": [{"OR": [{}, {"id": 1}]}, {"id": 2}]}, [1, 2]),
    ({"OR": [{"NOT": []}, {"id": 2}]}, [2]),
    ({"OR": [{"NOT": {}}, {"id": 2}]}, [2]),
    ({"OR": [{"NOT": [{}]}, {"id": 2}]}, [2]),
    ({"OR": [{"NOT": {"OR": []}}, {"id": 2}]}, [2]),
    ({"OR": [{"NOT": {"OR": [{}]}}, {"id": 2}]}, [2]),
    ({"OR": [{"NOT": {"NOT": {}}}, {"id": 2}]}, [2]),
    ({"OR": [{"NOT": [{}, {"id": 1}]}]}, [2, 3]),
    ({"OR": [{"AND": [{"OR": []}]}, {"id": 2}]}, [2]),
    ({"OR": [{"id": {"in": []}}, {"id": 2}]}, [2]),
    ({"OR": [{"id": {"not_in": []}}, {"id": 2}]}, [1, 2, 3]),
    ({"OR": [{"NOT": {"id": {"in": []}}}, {"id": 2}]}, [1, 2, 3]),
    ({"OR": [{"NOT": [{}, {"id": {"in": []}}]}]}, [1, 2, 3]),
    ({"OR": [{"box": {"is": {}}}, {"id": 2}]}, [1, 2]),
    ({"OR": [{"box": {"is_not": {}}}, {"id": 2}]}, [2, 3]),
    ({"NOT": {"OR": [{}]}}, [1, 2, 3]),
    ({"NOT": {"OR": []}}, [1, 2, 3]),
    ({"NOT": {"OR": [{}, {"id": 1}]}}, [2, 3]),
    ({"NOT": [{}, {"id": 1}]}, [2, 3]),
    ({"NOT": {"id": 2, "OR": []}}, [1, 3]),
    ({"AND": [{"OR": [{}]}]}, [1, 2, 3]),
    ({"AND": [{"OR": []}, {"id": 1}]}, [1]),
    ({"id": 1, "OR": []}, []),
    ({"box": {"OR": [{}]}}, []),
    ({"box": {"OR": [{}, {"id": 1}]}}, [1]),
    ({"box": {"is": {"OR": [{}]}}}, []),
    ({"OR": {}}, ValidationError),
    ({"OR": {"id": 2}}, ValidationError),
]
EMPTY_BRANCHES_OVER_A_LIST: list[tuple[Any, Any]] = [
    ({"notes": {"some": {"OR": [{}]}}}, []),
    ({"notes": {"every": {"OR": [{}]}}}, []),
    ({"notes": {"none": {"OR": [{}]}}}, [1, 2]),
    ({"notes": {"some": {"OR": [{}, {"id": 1}]}}}, [1]),
    ({"OR": [{"notes": {"some": {}}}]}, [1, 2]),
    ({"OR": [{"notes": {"every": {}}}, {"id": 9}]}, [1, 2]),
]


_X = {"name": "x"}
NEGATIONS: list[tuple[Any, Any]] = [
    ({"box": {"is_not": _X}}, [2, 4]),
    ({"NOT": {"box": _X}}, [2, 4]),
    ({"NOT": {"box": {"is": _X}}}, [2, 4]),
    ({"NOT": {"box": {"is_not": _X}}}, [1, 5]),
    ({"NOT": {"NOT": {"box": _X}}}, [1, 5]),
    ({"NOT": {"box": {"name": None}}}, [1, 2, 4, 5]),
    ({"NOT": {"box": {"name": {"not": "x"}}}}, [1, 4, 5]),
    ({"box": {"is_not": {"name": {"not": "x"}}}}, [1, 4, 5]),
    ({"box": {"is_not": {"NOT": _X}}}, [1, 4, 5]),
    ({"box": {"NOT": _X}}, [2]),
    ({"NOT": {"AND": [{"box": _X}, {"owner": "a"}]}}, [2, 3, 4, 5]),
    ({"NOT": {"OR": [{"box": _X}, {"owner": "a"}]}}, [4]),
    ({"NOT": {"OR": [{"box": _X}, {"id": 9}]}}, [2, 4]),
    ({"NOT": {"box": _X, "owner": "a"}}, [2, 3, 4, 5]),
    ({"NOT": [{"box": _X}, {"owner": "c"}]}, [4]),
    ({"NOT": {"box": {"notes": {"some": {"owner": "a"}}}}}, [2, 3, 4]),
    ({"box": {"is_not": {"notes": {"some": {"owner": "a"}}}}}, [2, 3, 4]),
    ({"box": {"is_not": None}}, [1, 2, 3, 5]),
    ({"NOT": {"box": None}}, [1, 2, 3, 5]),
    ({"NOT": {"box": {"is_not": None}}}, [4]),
    ({"NOT": {"box": {"is": {}}}}, [4]),
    ({"box": {"is_not": {}}}, [4]),
    ({"box": {"is": _X, "is_not": {"id": 1}}}, []),
    ({"box": {"is": _X, "is_not": {"id": 2}}}, [1, 5]),
    ({"NOT": {"box": {"is": _X, "is_not": {"id": 2}}}}, [2, 4]),
    ({"NOT": {"owner": "a"}}, [3, 4, 5]),
    ({"NOT": {"owner": {"in": ["a"]}}}, [3, 4, 5]),
]
NEGATIONS_OVER_A_LIST: list[tuple[Any, Any]] = [
    ({"notes": {"some": {"owner": "a"}}}, [1]),
    ({"notes": {"every": {"owner": "a"}}}, [2]),
    ({"notes": {"none": {"owner": "a"}}}, [2, 3]),
    ({"NOT": {"notes": {"some": {"owner": "a"}}}}, [2, 3]),
    ({"NOT": {"notes": {"every": {"owner": "a"}}}}, [1, 3]),
    ({"NOT": {"notes": {"none": {"owner": "a"}}}}, [1]),
    ({"notes": {"some": {"NOT": {"owner": "a"}}}}, [1, 3]),
    ({"notes": {"some": {"box": {"is_not": _X}}}}, [2]),
    ({"notes": {"every": {"box": {"is_not": _X}}}}, [2, 3]),
    ({"notes": {"every": {"box": _X}}}, [1, 3]),
    ({"notes": {"none": {"box": {"is_not": _X}}}}, [1, 3]),
    ({"notes": {"every": {"owner": {"not": "a"}}}}, [2, 3]),
    ({"notes": {"every": {"NOT": {"box": _X}}}}, [2, 3]),
]


def test_what_is_unknown_of_a_related_record_is_neither_so_nor_not_so(db: Any) -> None:
    db.box.create_many(data=[{"id": 1, "name": "x"}, {"id": 2, "name": "y"}, {"id": 3}])
    rows = [(1, "a", 1), (2, None, 2), (3, "c", 3), (4, "d", None), (5, "c", 1)]
    db.note.create_many(data=[{"id": id, "owner": owner, "boxId": box} for id, owner, box in rows])
    answers(lambda where: ids(db.note.find_many(where=where)), NEGATIONS)
    answers(lambda where: ids(db.box.find_many(where=where)), NEGATIONS_OVER_A_LIST)


@pytest.fixture
def notes(db: Any) -> Any:
    db.box.create_many(data=[{"id": 1, "name": "a"}, {"id": 2}])
    rows = [{"id": 1, "owner": "mine", "boxId": 1}, {"id": 2, "owner": "theirs", "boxId": 2}, {"id": 3}]
    db.note.create_many(data=rows)
    return db


def test_a_branch_that_filters_nothing_is_left_out(notes: Any) -> None:
    answers(lambda where: ids(notes.note.find_many(where=where)), EMPTY_BRANCHES)
    counts = [(w, len(f) if isinstance(f, list) else f) for w, f in EMPTY_BRANCHES]
    answers(lambda where: notes.note.count(where=where), counts)
    answers(lambda where: ids(notes.box.find_many(where=where)), EMPTY_BRANCHES_OVER_A_LIST)


def test_an_or_without_branches_finds_nothing_wherever_a_filter_begins(notes: Any) -> None:
    nothing: dict[str, Any] = {"OR": [{}]}
    assert notes.note.find_unique(where={"id": 1, **nothing}) is None
    assert notes.note.find_unique(where={"id": 1, "AND": [nothing]}).id == 1
    box = notes.box.find_first(
        where={"id": 1},
        include={"notes": {"where": nothing}, "_count": {"select": {"notes": {"where": nothing}}}},
    )
    assert (box.notes, box._count.notes) == ([], 0)
    left = notes.box.update(
        where={"id": 1}, data={"notes": {"delete_many": nothing}}, include={"notes": True}
    )
    assert ids(left.notes) == [1]
    with pytest.raises(RecordNotFound):
        notes.note.update(
            where={"id": 1}, data={"box": {"update": {"where": nothing, "data": {"name": "q"}}}}
        )
    assert notes.note.delete_many(where=nothing) == 0
    assert notes.note.delete_many(where={"OR": [{}, {"id": 1}]}) == 1
    with pytest.raises(ValidationError):
        notes.note.delete_many(where={"AND": [nothing]})


def test_an_update_that_sets_nothing_tells_what_it_found(db: Any) -> None:
    old = datetime(2000, 1, 1, tzinfo=UTC)
    db.stamp.create_many(data=[{"text": text, "changed": old} for text in "ab"])
    assert db.stamp.update_many(data={}) == 2
    assert db.stamp.update_many(where={"text": "b"}, data={}) == 1
    assert db.stamp.update_many(where={"text": "c"}, data={}) == 0
    [found] = db.stamp.update_many_and_return(where={"text": "b"}, data={}, select={"id": True})
    assert found.to_dict() == {"id": 2}
    assert [r.id for r in db.stamp.update_many_and_return(data={})] == [1, 2]
    assert db.stamp.update(where={"id": 1}, data={}).text == "a"
    assert db.stamp.upsert(where={"id": 1}, create={}, update={}).text == "a"
    with db.tx() as tx:
        assert tx.stamp.update_many(data={}) == 2
    # Nothing was changed, so that @updatedAt stays.
    assert {r.changed for r in db.stamp.find_many()} == {old}
    with pytest.raises(RecordNotFound):
        db.stamp.update(where={"id": 9}, data={})


def test_a_record_of_defaults_needs_no_data(db: Any) -> None:
    made = [db.stamp.create(), db.stamp.create(data={}), db.stamp.create(select={"id": True})]
    assert [record.id for record in made] == [1, 2, 3]
    assert db.stamp.create_many(data=[{}, {}]) == 2
    assert db.stamp.create_many(data={}) == 1
    for refused in (db.note.create, db.stamp.create_many, lambda: db.stamp.create(data=None)):
        with pytest.raises(ValidationError):
            refused()
    assert db.stamp.count() == 6


OLD = {"kit_maker_code": {"kit": 1, "maker": "m", "code": "old"}}


@pytest.fixture
def parts(db: Any) -> Any:
    db.maker.create(data={"name": "m", "parts": {"create": [{"code": "old"}, {"code": "other"}]}})
    db.use.create_many(data=[{"kit": 1, "maker": "m", "code": code} for code in ("old", "other")])
    db.slip.create(data={"id": 1, "kit": 1, "maker": "m", "code": "old"})
    return db


@pytest.mark.parametrize(
    ("data", "key"),
    [
        ({"number": 5, "part": {"update": {"code": "new"}}}, (1, "m", "new", 5)),
        ({"part": {"update": {"code": "new"}}}, (1, "m", "new", 1)),
        ({"kit": 7, "part": {"update": {"code": "new"}}}, (7, "m", "new", 1)),
        ({"number": {"increment": 2}, "part": {"update": {"code": "new"}}}, (1, "m", "new", 3)),
        (
            {
                "number": 5,
                "part": {"upsert": {"create": {"maker": "x", "code": "y"}, "update": {"code": "new"}}},
            },
            (1, "m", "new", 5),
        ),
        ({"number": 5, "part": {"update": {"made": {"update": {"name": "n"}}}}}, (1, "n", "old", 5)),
        (
            {"number": 5, "part": {"update": {"code": "z", "made": {"update": {"name": "n"}}}}},
            (1, "n", "z", 5),
        ),
    ],
    ids=["field", "alone", "own key", "number", "upsert", "two levels", "both levels"],
)
def test_an_update_goes_on_when_a_nested_one_renames_its_key(parts: Any, data: Any, key: Any) -> None:
    kit, maker, code, number = key
    renamed = {"kit": kit, "maker": maker, "code": code, "number": number}
    slips = {"create": {"id": 2}, "update": {"where": {"id": 1}, "data": {}}}
    found = parts.use.update(where=OLD, data={**data, "slips": slips}, include={"part": True, "slips": True})
    shown = found.to_dict()
    assert {name: shown[name] for name in renamed} == renamed
    assert (found.part.maker, found.part.code, ids(found.slips)) == (maker, code, [1, 2])
    assert renamed in [use.to_dict() for use in parts.use.find_many()]
    assert parts.use.count() == parts.part.count() == 2
    assert parts.slip.count(where={"kit": kit, "maker": maker, "code": code}) == 2


def test_an_upsert_goes_on_when_a_nested_update_renames_its_key(parts: Any) -> None:
    create = {"kit": 1, "maker": "m", "code": "z"}
    update = {"number": 5, "part": {"update": {"code": "new"}}}
    found = parts.use.upsert(where=OLD, create=create, update=update)
    assert found.to_dict() == {"kit": 1, "maker": "m", "code": "new", "number": 5}


def test_a_record_that_is_its_own_parent_is_renamed_over_it(db: Any) -> None:
    db.tree.create(data={"id": 1, "parentId": 1})
    found = db.tree.update(where={"id": 1}, data={"size": 3, "parent": {"update": {"id": 2}}})
    assert found.to_dict() == {"id": 2, "size": 3, "parentId": 2}
    assert db.tree.find_many() == [found]


NAMED_LIKE_OPERATORS: list[tuple[Any, Any]] = [
    ({"word": {"is": "x"}}, [1]),
    ({"word": {"is": {"is": "x"}}}, [1]),
    ({"word": {"is": {"equals": "x"}}}, [1]),
    ({"word": {"is": {"contains": "x"}}}, [1]),
    ({"word": {"is": {"is": {"contains": "x"}}}}, [1]),
    ({"word": {"is": None}}, [3]),
    ({"word": {"is": {}}}, [1, 2]),
    ({"word": {"is": {"AND": []}}}, [1, 2]),
    ({"word": {"is": {"is": None}}}, [2]),
    ({"word": {"is": {"not": "x"}}}, []),
    ({"word": {"is": {"isNot": "y"}}}, [1]),
    ({"word": {"is": {"id": 1}}}, [1]),
    ({"word": {"isNot": "y"}}, [1]),
    ({"word": {"isNot": {"isNot": "y"}}}, [3]),
    ({"word": {"isNot": {"is": "x"}}}, [3]),
    ({"word": {"isNot": None}}, [1, 2]),
    ({"word": {"is": "x", "isNot": "y"}}, [1]),
    ({"word": {"is": "x", "id": 1}}, [1]),
    ({"word": {"is": {"is": "x", "isNot": "y"}}}, [1]),
    ({"word": {"is": {"is": "x"}, "id": 1}}, ValidationError),
    ({"word": {"is": {"unknown": "x"}}}, ValidationError),
]


def test_a_related_model_may_have_fields_that_are_called_like_operators(db: Any) -> None:
    db.word.create(data={"id": 1, "is": "x", "isNot": "y", "things": {"create": {"id": 1}}})
    db.word.create(data={"id": 2, "things": {"create": {"id": 2}}})
    db.thing.create(data={"id": 3})
    answers(lambda where: ids(db.thing.find_many(where=where)), NAMED_LIKE_OPERATORS)
    db.owed.create(data={"id": 1, "ties": {"create": {"id": 1}}})
    # The relation is required, so that only the field can be NULL.
    assert ids(db.tie.find_many(where={"word": {"is": None}})) == [1]


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ({"where": {"is": "x"}, "data": {"is": "z"}}, {"is": "z"}),
        ({"where": "q"}, {"where": "q"}),
        ({"data": {"is": "w"}}, {"is": "w"}),
        ({"data": {"foo": "w"}}, {"data": {"foo": "w"}}),
        ({"data": {"is": "v"}, "where": "k"}, {"data": {"is": "v"}, "where": "k"}),
    ],
)
def test_a_nested_update_may_set_fields_that_are_called_where_and_data(
    db: Any, given: Any, stored: Any
) -> None:
    db.word.create(data={"id": 1, "is": "x", "things": {"create": {"id": 1}}})
    found = db.thing.update(where={"id": 1}, data={"word": {"update": given}}, include={"word": True})
    assert found.word.to_dict() == {"id": 1, "is": "x", "isNot": None, "where": None, "data": None, **stored}


def test_models_that_share_an_accessor_are_reached_by_their_names(db: Any) -> None:
    db["UserURL"].create(data={"id": 1})
    db["UserUrl"].create(data={"id": 1, "x": 2})
    with pytest.raises(AttributeError, match=r'say \["UserURL"\] or \["UserUrl"\]'):
        db.user_url  # noqa: B018
    assert "user_url" not in dir(db)
    with db.tx() as tx:
        assert (tx["UserURL"].count(), tx["UserUrl"].find_first().x) == (1, 2)
        with pytest.raises(AttributeError, match="several models"):
            tx.user_url  # noqa: B018


TIMES_OF_DAY: list[tuple[Any, str]] = [
    ("1970-01-01T09:30:00.000Z", "09:30:00"),
    ("2025-06-07T09:30:00.000Z", "09:30:00"),
    ("1970-01-01T09:30:00.000+02:00", "07:30:00"),
    ("1970-01-01T23:30:00-05:00", "04:30:00"),
    ("1970-01-01 09:30:00Z", "09:30:00"),
    ("1970-01-01T09:30:00.9Z", "09:30:01"),
    ("1970-01-01T23:59:59.9Z", "24:00:00"),
    (datetime(2025, 6, 7, 9, 30, 0, 999_000, tzinfo=UTC), "09:30:01"),
    # Beyond Prisma:
    (time(9, 30), "09:30:00"),
    ("09:30", "09:30:00"),
    ("24:00:00", "24:00:00"),
]


def at(hour: int = 0, minute: int = 0, second: int = 0, micros: int = 0) -> datetime:
    return datetime(1970, 1, 1, hour, minute, second, micros, UTC)


def test_a_time_of_day_is_an_instant_of_the_first_of_january_1970(db: Any) -> None:
    for number, (given, stored) in enumerate(TIMES_OF_DAY):
        made = db.shift.create(data={"id": number, "from": given})
        assert made._from == stored
        expected = (
            datetime(1970, 1, 2, tzinfo=UTC) if stored == "24:00:00" else at(*map(int, stored.split(":")))
        )
        assert made.to_dict()["from"] == expected
        assert number in ids(db.shift.find_many(where={"from": given}))
    for refused in ("1970-01-01", "2025", "noon", "1970-01-01T09:61:00Z"):
        with pytest.raises(ValidationError):
            db.shift.create(data={"id": 99, "from": refused})
    found = db.shift.find_many(where={"from": {"gte": "2020-01-01T09:30:01Z"}}, order_by={"id": "asc"})
    assert ids(found) == [5, 6, 7, 10]
    assert db.shift.count(where={"from": {"lt": "1970-01-02T00:00:00Z"}}) == 0


def test_times_of_day_keep_their_digits_and_zones(db: Any) -> None:
    made = db.shift.create(
        data={
            "id": 1,
            "from": at(),
            "fine": "1970-01-01T09:30:00.123456Z",
            "zoned": "1970-01-01T11:30:00.5+02:00",
            "many": ["1970-01-01T09:30:00.250Z", datetime(2025, 1, 1, 1, 2, 3, 4000)],
        }
    )
    assert made.fine == at(9, 30, 0, 123456)
    assert made.zoned == "09:30:00.5+00"
    assert made.many == [at(9, 30, 0, 250_000), at(1, 2, 3, 4000)]
    assert db.shift.count(where={"many": {"has": "1970-01-01T09:30:00.250Z"}}) == 1
    assert db.shift.count(where={"zoned": {"gte": "1970-01-01T09:30:00Z"}}) == 1
    pushed = db.shift.update(where={"id": 1}, data={"many": {"push": "1970-01-01T10:00:00Z"}})
    assert pushed.many[2] == at(10)
    # What was read can be given again.
    again = db.shift.create(data={**pushed.to_dict(), "id": 2})
    assert {**again.to_dict(), "id": 1} == pushed.to_dict()


def test_without_an_order_records_come_by_the_moment_of_their_making_and_then_by_key(events: Any) -> None:
    def found(**arguments: Any) -> list[int]:
        return [event.id for event in events.event.find_many(**arguments)]

    assert found() == [4, 1, 3, 2]
    assert found(take=-2) == [3, 2]
    assert found(take=2, cursor={"id": 3}) == [3, 2]
    assert found(distinct=["createdAt"]) == [4, 1, 2]
    assert found(order_by={"kind": "asc"}) == [1, 2, 3, 4], "any other order ends with the key alone"
    assert events.event.find_first().id == 4
    assert events.event.find_first(take=-1).id == 2


def test_a_limit_is_of_the_first_records(events: Any) -> None:
    event = events.event
    assert event.update_many(where={"id": {"gt": 1}}, data={"kind": "b"}, limit=2) == 2
    assert ids(event.find_many(where={"kind": "b"})) == [3, 4]
    changed = event.update_many_and_return(data={"kind": "c"}, limit=3, select={"id": True})
    assert [e.id for e in changed] == [4, 1, 3]
    assert event.update_many(data={"kind": "d"}, limit=0) == 0
    assert event.update_many(data={}, limit=3) == 3
    assert event.delete_many(limit=3) == 3
    assert ids(event.find_many()) == [2]
    assert event.delete_many(where={"id": 2}, limit=9) == 1
    for limit in (-1, 1.5, "1", True):
        with pytest.raises(ValidationError) as raised:
            event.delete_many(limit=limit)
        assert raised.value.path == "limit"


OTHER_FIELDS: list[tuple[str, Any, list[int]]] = [
    ("equals", lambda f: {"name": f.nick}, [1]),
    ("equals, without regard to case", lambda f: {"name": {"equals": f.nick, "mode": "insensitive"}}, [1, 2]),
    ("not", lambda f: {"name": {"not": f.nick}}, [2, 3]),
    ("lt", lambda f: {"nick": {"lt": f.name}}, [2, 3]),
    ("starts_with", lambda f: {"name": {"starts_with": f.nick}}, [1, 3]),
    ("contains", lambda f: {"name": {"contains": f.nick, "mode": "insensitive"}}, [1, 2, 3]),
    ("in", lambda f: {"name": {"in": f.words}}, [1]),
    ("not_in", lambda f: {"name": {"notIn": f.words}}, [3]),
    ("in, without regard to case", lambda f: {"name": {"in": f.words, "mode": "insensitive"}}, [1, 3]),
    ("has", lambda f: {"words": {"has": f.name}}, [1]),
    ("not has", lambda f: {"NOT": {"words": {"has": f.name}}}, [3, 4]),
    ("has_every", lambda f: {"words": {"has_every": f.more}}, [1, 3]),
    ("has_some", lambda f: {"words": {"has_some": f.more}}, [1]),
    ("list equals", lambda f: {"words": {"equals": f.more}}, [1]),
    ("a float of single precision", lambda f: {"real": {"gt": f.double}}, [1]),
    ("numbers of 16 and 32 bits", lambda f: {"small": {"gte": f.whole}}, [1, 3]),
    ("decimals of different scale", lambda f: {"exact": f.money}, [1]),
    ("a day and an instant", lambda f: {"day": {"lte": f.moment}}, [1, 2]),
    ("a day is its midnight", lambda f: {"day": f.moment}, [2]),
    ("instants of different precision", lambda f: {"moment": f.fine}, [1, 2]),
    ("json", lambda f: {"data": {"equals": f.other}}, [1]),
    ("json at a path", lambda f: {"data": {"path": ["a"], "equals": f.other}}, [3]),
    ("in another branch", lambda f: {"OR": [{"name": f.nick}, {"id": 4}]}, [1, 4]),
]


def test_a_filter_compares_with_another_field(pairs: Any) -> None:
    fields = pairs.pair.fields
    found = [(name, ids(pairs.pair.find_many(where=filter_(fields)))) for name, filter_, _ in OTHER_FIELDS]
    assert found == [(name, expected) for name, _, expected in OTHER_FIELDS]


def test_a_related_record_compares_with_its_own_fields(db: Any) -> None:
    db.box.create(data={"id": 1, "notes": {"create": [{"id": 1, "owner": "x"}, {"id": 2}]}})
    note = db.note.fields
    assert ids(db.box.find_many(where={"notes": {"some": {"id": note.boxId}}})) == [1]
    assert ids(db.box.find_many(where={"notes": {"some": {"id": {"gt": note.boxId}}}})) == [1]
    assert ids(db.box.find_many(where={"notes": {"every": {"id": note.boxId}}})) == []


@pytest.mark.parametrize(
    ("filter_", "path"),
    [
        (lambda db: {"name": db.note.fields.owner}, "where.name"),
        (lambda db: {"name": {"lt": db.pair.fields.whole}}, "where.name.lt"),
        (lambda db: {"name": {"in": db.pair.fields.nick}}, "where.name.in"),
        (lambda db: {"words": {"has": db.pair.fields.more}}, "where.words.has"),
        (lambda db: {"clock": db.pair.fields.moment}, "where.clock"),
        (lambda db: {"data": {"string_contains": db.pair.fields.name}}, "where.data.string_contains"),
        (lambda db: {"id": db.pair.fields.whole, "name": FieldRef("Pair", "nothing")}, "where.name"),
    ],
)
def test_fields_that_do_not_compare_are_refused(db: Any, filter_: Any, path: str) -> None:
    with pytest.raises(ValidationError) as raised:
        db.pair.find_many(where=filter_(db))
    assert raised.value.path == path


def test_no_other_field_names_a_record_or_is_a_value(db: Any) -> None:
    calls: list[Callable[[], Any]] = [
        lambda: db.pair.find_unique(where={"id": db.pair.fields.whole}),
        lambda: db.pair.update_many(data={"name": db.pair.fields.nick}),
        lambda: db.pair.group_by(by=["name"], having={"name": db.pair.fields.nick}),
    ]
    for call in calls:
        with pytest.raises(ValidationError):
            call()


def test_records_are_changed_by_a_comparison_with_another_field(pairs: Any) -> None:
    assert pairs.pair.update_many(where={"id": pairs.pair.fields.whole}, data={"name": "same"}) == 2
    assert pairs.pair.delete_many(where={"name": {"not": pairs.pair.fields.nick}}) == 3


def test_a_cursor_goes_with_an_order_by_a_number_of_records(db: Any) -> None:
    for box, notes in ((1, 2), (2, 1), (3, 0), (4, 1), (5, 0)):
        made = [{"id": box * 10 + number} for number in range(notes)]
        db.box.create(data={"id": box, "notes": {"create": made}})
    db.note.create_many(data=[{"id": 1}, {"id": 2}])

    def boxes(cursor: int, direction: str, **arguments: Any) -> list[int]:
        order = [{"notes": {"_count": direction}}, {"id": "asc"}]
        return [b.id for b in db.box.find_many(cursor={"id": cursor}, order_by=order, **arguments)]

    assert boxes(2, "desc") == [2, 4, 3, 5]
    assert boxes(4, "asc", take=2, skip=1) == [1]
    assert boxes(3, "desc", take=-2) == [4, 3]
    order = [{"box": {"notes": {"_count": "asc"}}}, {"id": "desc"}]
    found = db.note.find_many(cursor={"id": 1}, order_by=order)
    assert [note.id for note in found] == [1, 40, 20, 11, 10]
    found = db.note.find_many(cursor={"id": 40}, order_by=order, take=-3)
    assert [note.id for note in found] == [2, 1, 40]


def test_how_relations_would_be_loaded_changes_nothing(db: Any) -> None:
    db.box.create(data={"id": 1, "notes": {"create": {"id": 1}}}, relation_load_strategy="query")
    for strategy in ("join", "query"):
        given = {"include": {"notes": True}, "relationLoadStrategy": strategy}
        assert [len(box.notes) for box in db.box.find_many(**given)] == [1]
        assert len(db.box.find_unique(where={"id": 1}, **given).notes) == 1
        assert len(db.box.update(where={"id": 1}, data={"name": "n"}, **given).notes) == 1
    for call in (db.box.find_many, db.box.create_many_and_return):
        with pytest.raises(ValidationError) as raised:
            call(relationLoadStrategy="lateral", **({} if call == db.box.find_many else {"data": []}))
        assert raised.value.path == "relation_load_strategy"
