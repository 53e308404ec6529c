"""Uniques, foreign keys and referential actions hold in a store as they hold in PostgreSQL.

Random programs of statements run on both.  After each statement both have refused it for the same constraint,
or hold the same rows; in the end an export of the database gives the store's own files.
"""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, note, settings
from hypothesis import strategies as st

from folders import tree
from octavo.fold.export import ExportOptions, export
from octavo.fold.scaffold import scaffold
from octavo.layout.layout import Layout
from octavo.layout.load import flat_layout, frozen_layout, parse_layout
from octavo.postgres.connection import Connection, connect
from octavo.postgres.embedded import EmbeddedServer
from octavo.schema.datamodel import Datamodel, Model, Relation, ScalarField
from octavo.schema.ddl import ddl
from octavo.schema.parser import parse_schema
from octavo.url import DatabaseUrl
from statements import Delete, Insert, OnPostgres, OnStore, Refusal, Rows, Statement, Update, keys_in

EVERY_ACTION = """
datasource db {
  provider = "postgresql"
  url      = env("DATABASE_URL")
}

model Top {
  id        String    @id
  code      String?   @unique
  x         String?
  y         String?
  seconds   Second[]
  thirds    Third[]
  cascades  Cascade[]
  nulls     Null[]
  restricts Restrict[]
  nothings  Nothing[]
  defaults  Default[]
  pairs     Pair[]
  ones      One?
  strict    Strict[]
  groups    Group[]
  logs      Line[]

  @@unique([x, y])
}

model Second {
  id    String  @id
  topId String
  top   Top     @relation(fields: [topId], references: [id], onDelete: Cascade)
  third Third[]
}

model Third {
  id       String  @id
  secondId String?
  second   Second? @relation(fields: [secondId], references: [id], onDelete: Restrict, onUpdate: Restrict)
  topId    String?
  top      Top?    @relation(fields: [topId], references: [id], onDelete: Cascade)
}

model Cascade {
  id     String  @id
  topId  String
  top    Top     @relation(fields: [topId], references: [id], onDelete: Cascade, onUpdate: Cascade)
  name   String?
  under  Under[]

  @@unique([topId, name])
}

model Under {
  id        String   @id
  cascadeId String?
  cascade   Cascade? @relation(fields: [cascadeId], references: [id], onDelete: Cascade)
  topId     String?
  name      String?
}

model Null {
  id    String  @id
  topId String?
  top   Top?    @relation(fields: [topId], references: [id], onDelete: SetNull, onUpdate: SetNull)
  name  String?

  @@unique([topId, name])
}

model Restrict {
  id    String  @id
  topId String?
  top   Top?    @relation(fields: [topId], references: [id], onDelete: Restrict, onUpdate: Restrict)
}

model Nothing {
  id    String  @id
  topId String?
  top   Top?    @relation(fields: [topId], references: [id], onDelete: NoAction, onUpdate: NoAction)
}

model Default {
  id    String  @id
  topId String? @default("a")
  top   Top?    @relation(fields: [topId], references: [id], onDelete: SetDefault, onUpdate: SetDefault)
}

model Pair {
  id String  @id
  x  String?
  y  String?
  z  String?
  xy Top?    @relation(fields: [x, y], references: [x, y], onDelete: SetNull, onUpdate: Cascade)

  @@unique([y, z])
}

model One {
  id   String  @id
  code String? @unique
  top  Top?    @relation(fields: [code], references: [code], onDelete: NoAction, onUpdate: Cascade)
}

model Strict {
  topId String
  name  String
  top   Top    @relation(fields: [topId], references: [id], onDelete: Restrict, onUpdate: NoAction)
  hangs Hang[]

  @@id([topId, name])
}

model Hang {
  id    String  @id
  topId String?
  name  String?
  on    Strict? @relation(fields: [topId, name], references: [topId, name], onDelete: SetNull)
}

model Group {
  id   String @id
  tops Top[]
}

model Line {
  id    String @id
  topId String
  top   Top    @relation(fields: [topId], references: [id], onDelete: Cascade)
}

model Node {
  id       String  @id
  parentId String?
  parent   Node?   @relation("tree", fields: [parentId], references: [id], onDelete: Cascade)
  children Node[]  @relation("tree")
  nextId   String? @unique
  next     Node?   @relation("chain", fields: [nextId], references: [id], onUpdate: NoAction)
  previous Node?   @relation("chain")
  leftId   String?
  left     Left?   @relation("left", fields: [leftId], references: [id], onDelete: Restrict)
  lefts    Left[]  @relation("right")
}

model Left {
  id     String  @id
  nodeId String?
  node   Node?   @relation("right", fields: [nodeId], references: [id], onDelete: Cascade)
  nodes  Node[]  @relation("left")
}
"""

MIXED = """
version = 1
[documents]
"tops.json" = { tops = "Top", nulls = "Null", groups = "Group" }
"join.json" = { links = "_GroupToTop" }
[files]
"seconds/{id}.json" = "Second"
"nodes/{id}.json" = "Node"
[logs]
"log.jsonl" = ["Third", "Restrict", "Nothing", "Default", "Pair", "One", "Left"]
"under.jsonl" = ["Under", "Hang"]
[logs_per_parent]
"lines/{topId}.jsonl" = "Line"
[embedded]
Cascade = "Top.cascades"
Strict = "Top.strict"
"""

_numbers = itertools.count(1)


def interesting(datamodel: Datamodel, model: Model) -> dict[str, ScalarField]:
    """The fields on which a constraint or a place depends."""
    names = [name for index in model.all_indexes for name in index.field_names]
    names += [name for r in datamodel.parents(model.name) for name in r.fields]
    names += [name for r in datamodel.children(model.name) for name in r.references]
    found = {name: model.scalar(name) for name in dict.fromkeys(names)}
    return {name: f for name, f in found.items() if f.type == "String"}


def first_rows(datamodel: Datamodel) -> list[Statement]:
    """Three rows of each model, each pointing at others, as statements in an order that goes through."""
    found: list[Statement] = []
    done: set[str] = set()
    left = list(datamodel.tables)
    while left:
        model = next(m for m in left if all(_is_there(m, r, done) for r in datamodel.parents(m.name)))
        left.remove(model)
        parents = {r.fields: r.parent for r in datamodel.parents(model.name)}
        names = interesting(datamodel, model)
        rows: list[dict[str, Any]] = [dict.fromkeys(names, letter) for letter in "abc"]
        for fields, parent in parents.items():
            for row in rows if parent not in done else rows[2:]:
                row |= {name: None for name in fields if model.scalar(name).nullable}
        found.append(Insert(model.name, tuple(rows)))
        done.add(model.name)
    return found


def _is_there(model: Model, relation: Relation, done: set[str]) -> bool:
    return relation.parent in done or any(model.scalar(name).nullable for name in relation.fields)


def draw_statement(draw: Callable[..., Any], layout: Layout, names: list[str], rows: Rows) -> Statement:
    """A statement on what is there, likely to point at it."""
    datamodel = layout.datamodel
    model = datamodel.model(draw(st.sampled_from(names)))
    fields = interesting(datamodel, model)
    there = keys_in(datamodel, rows, model.name)
    kind: str = draw(st.sampled_from(["delete", "update", "update", "insert"])) if there else "insert"
    parents = {r.fields[0]: r.parent for r in datamodel.parents(model.name) if len(r.fields) == 1}

    def value(name: str) -> Any:
        known = keys_in(datamodel, rows, parents[name]) if name in parents else "abcdef"
        wanted = [key for key in known if isinstance(key, str)] or ["a"]
        # What shrinks to the first shall be refused least.
        return draw(st.sampled_from([*wanted, *([None] if fields[name].nullable else []), "g"]))

    if kind == "insert":
        new = [{name: value(name) for name in fields} for _ in range(draw(st.integers(1, 2)))]
        return Insert(model.name, tuple(new))
    keys = tuple(draw(st.lists(st.sampled_from(there), min_size=1, max_size=3, unique=True)))
    if kind == "delete":
        return Delete(model.name, keys)
    changed = draw(st.lists(st.sampled_from(sorted(fields)), min_size=1, max_size=2, unique=True))
    return Update(model.name, keys, tuple({name: value(name) for name in changed} for _ in keys))


class Both:
    """A database and a folder that hold the same first rows."""

    def __init__(self, url: str, connection: Connection, layout: Layout, folder: Path) -> None:
        self.url, self.layout, self.folder = url, layout, folder
        self.database = OnPostgres(connection, layout.datamodel)
        scaffold(folder / "first", layout)
        self.first = first_rows(layout.datamodel)
        with OnStore(folder / "first", layout) as files:
            for statement in self.first:
                assert files.run(statement) is None
            self.rows = files.rows()

    def copied(self) -> Path:
        """A folder with the first rows."""
        copy = self.folder / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        return Path(shutil.copytree(self.folder / "first", copy, ignore=shutil.ignore_patterns("cache")))

    def same(self, program: list[Statement], end: Refusal | None) -> None:
        """Run a program that ends as told on both."""
        self.database.reset(self.first)
        with OnStore(self.copied(), self.layout) as files:
            for statement in program:
                expected = self.database.run(statement)
            assert expected == end
            assert [files.run(statement) for statement in program][-1] == end
            assert files.rows() == self.database.rows()

    def run(self, data: st.DataObject, names: list[str], length: int) -> None:
        """Run a program on both."""
        rows = self.rows
        self.database.reset(self.first)
        with OnStore(self.copied(), self.layout) as files:
            for _ in range(data.draw(st.integers(1, length), "length")):
                chosen = draw_statement(data.draw, self.layout, names, rows)
                if not isinstance(chosen, Insert):
                    chosen = in_order(self.database, chosen)
                note(f"{chosen}")
                expected = self.database.run(chosen)
                event(f"{type(chosen).__name__}: {expected and expected[0]}")
                assert files.run(chosen) == expected
                rows = self.database.rows()
                assert files.rows() == rows


def in_order(database: OnPostgres, chosen: Update | Delete) -> Update | Delete:
    """The statement with its keys in the order in which PostgreSQL comes upon their rows."""
    keys = tuple(database.in_order(chosen.model, chosen.keys))
    if isinstance(chosen, Delete):
        return Delete(chosen.model, keys)
    return Update(chosen.model, keys, tuple(chosen.values[chosen.keys.index(key)] for key in keys))


_SCHEMA = parse_schema(EVERY_ACTION)
_LAYOUTS = {"logs": flat_layout(_SCHEMA), "mixed": parse_layout(MIXED, _SCHEMA), "0.7": frozen_layout()}


@pytest.fixture(scope="module", params=list(_LAYOUTS))
def both(request: Any, server: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    layout = _LAYOUTS[request.param]
    name = f"integrity_{next(_numbers)}"
    server.create_database(name)
    url = server.url(name, schema="public")
    with connect(url) as connection:
        connection.execute(ddl(layout.datamodel).script().encode())
        yield Both(url, connection, layout, tmp_path_factory.mktemp("integrity"))


_HEALTH = list(HealthCheck)
_SETTINGS = settings(deadline=None, max_examples=25, suppress_health_check=_HEALTH)
_LONG = settings(deadline=None, max_examples=300, suppress_health_check=_HEALTH)


@_SETTINGS
@given(st.data())
def test_programs(both: Both, data: st.DataObject) -> None:
    both.run(data, [m.name for m in both.layout.datamodel.tables], 8)


@_SETTINGS
@given(st.data())
def test_programs_on_a_tree(both: Both, data: st.DataObject) -> None:
    """Rows of one model that point at each other, and at another model that points back."""
    names = [name for name in ("Node", "Left") if name in both.layout.datamodel]
    if names:
        both.run(data, names, 8)


@pytest.mark.slow
@_LONG
@given(st.data())
def test_many_programs(both: Both, data: st.DataObject) -> None:
    both.run(data, [m.name for m in both.layout.datamodel.tables], 15)


@pytest.mark.parametrize("both", ["0.7"], indirect=True)
def test_what_a_later_action_removes_is_in_nobody_s_way(both: Both) -> None:
    """A user goes with chats that use a profile of theirs, which no chat in use lets go of."""
    both.same([Delete("ConnectionProfile", ("a",))], ("foreign key", "Chat", ("connectionProfileId",)))
    both.same([Delete("User", ("a",))], None)


@pytest.mark.parametrize("both", ["0.7"], indirect=True)
def test_an_export_of_the_database_gives_the_files_of_the_store(both: Both, tmp_path: Path) -> None:
    """Once the store has compacted its logs: to the byte, whatever came before."""
    program: list[Statement] = [
        Update("Chat", ("b",), ({"id": "0"},)),
        Update("Message", ("a", "c"), ({"chatId": "0"}, {"chatId": "0"})),
        Insert("Message", ({"id": "9", "chatId": "a"}, {"id": "10", "chatId": "a"})),
        Delete("Message", ("9",)),
        Update("Character", ("a",), ({"id": "B"},)),
        Insert("CharacterTag", ({"id": "0", "characterId": "B", "tagId": "b"},)),
        Delete("Tag", ("c",)),
        Update("User", ("c",), ({"id": "é"},)),
        Delete("User", ("b",)),
    ]
    url = DatabaseUrl.parse(both.url)
    both.database.reset(both.first)
    with OnStore(both.copied(), both.layout) as files:
        for statement in program:
            assert files.run(statement) == both.database.run(statement)
        files.store.compact()
    export(url, tmp_path / "exported", both.layout, ExportOptions(tmp_path / "none"))
    assert tree(files.root) == tree(tmp_path / "exported")
