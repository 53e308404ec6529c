"""Drift that cannot hurt, through the whole way: export, verify, restore, writes, cutover and back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import octavo
from command import Done
from command import octavo as command
from octavo.errors import UsageError
from octavo.postgres.connection import connect

HEAD = 'datasource db {\n  provider = "postgresql"\n  url      = env("DATABASE_URL")\n}\n'
PERSON = """
model Person {
  id    Int    @id
  first String
  full  String? SPELLED
}
"""
TABLE = """
    CREATE TABLE "Person" (
        id int CONSTRAINT "Person_pkey" PRIMARY KEY, "full" text GENERATED ALWAYS AS (upper(first)) STORED,
        first text NOT NULL CONSTRAINT named CHECK (first <> '')
    )
"""
EXPRESSION = '@default(dbgenerated("upper(first)"))'


class World:
    """A database, a schema and a data folder, and commands on them."""

    def __init__(self, folder: Path, url: str, schema: str, *statements: str) -> None:
        self.url, self.schema, self.data = url, folder / "schema.prisma", folder / "data"
        self.schema.write_text(HEAD + schema)
        self.run(*statements)

    def run(self, *statements: str) -> list[Any]:
        with connect(self.url) as connection:
            found = [connection.execute(statement.encode()) for statement in statements]
            return found[-1].fetchall() if found[-1].description else []

    def __call__(self, *arguments: object, url: str = "", code: int = 0) -> Done:
        common = ("--data-dir", self.data, "--schema", self.schema)
        done = command(*arguments, *common, DATABASE_URL=url or self.url)
        if done.code != code:
            pytest.fail(f"ended with {done.code}:\n{done.out}{done.err}")
        return done

    def connect(self, backend: str) -> Any:
        return octavo.connect(backend, database_url=self.url, data_dir=self.data, schema=self.schema)


@pytest.mark.parametrize("spelled", ["", "@default(dbgenerated())", EXPRESSION])
def test_a_generated_column_is_kept_as_a_value_and_restored(
    new_database: Callable[..., str], tmp_path: Path, spelled: str
) -> None:
    world = World(tmp_path, new_database(), PERSON.replace("SPELLED", spelled), TABLE)
    world.run("INSERT INTO \"Person\" (id, first) VALUES (1, 'ann')")
    noted = world("export", "--json").answer["notes"]
    assert "generated column Person.full: (upper(first)) STORED" in noted
    files = [*world.data.glob("*.json*"), *world.data.glob("person/*")]
    assert [f for f in files if '"full":"ANN"' in f.read_text("utf-8").replace(" ", "")]
    world("verify")
    for made in ("", TABLE):
        other = new_database()
        if made:
            with connect(other) as connection:
                connection.execute(made.encode())
        world("restore", url=other)
        world("verify", url=other)
        with connect(other) as connection:
            connection.execute("UPDATE \"Person\" SET first = 'bo'")
            assert connection.execute('SELECT "full" FROM "Person"').fetchall() == [("BO",)]


@pytest.mark.parametrize("backend", ["prisma", "dual"])
def test_postgresql_computes_a_generated_column(database: str, tmp_path: Path, backend: str) -> None:
    world = World(tmp_path, database, PERSON.replace("SPELLED", EXPRESSION), TABLE)
    world("export")
    with world.connect(backend) as db:
        assert db.person.create(data={"id": 1, "first": "ann"}).full == "ANN"
        assert db.person.create_many(data=[{"id": n, "first": "x"} for n in (2, 3)]) == 2
        assert db.person.update(where={"id": 2}, data={"first": "bo"}).full == "BO"
        refused = "Person: PostgreSQL computes the generated column full"
        with pytest.raises(UsageError, match=refused):
            db.person.create(data={"id": 9, "first": "x", "full": "y"})
        with pytest.raises(UsageError, match=refused):
            db.person.update(where={"id": 1}, data={"full": "y"})
        assert [p.full for p in db.person.find_many(order_by={"id": "asc"})] == ["ANN", "BO", "X"]
    if backend == "dual":
        world("verify")


def test_a_cutover_names_what_ends_and_the_way_back_computes_again(database: str, tmp_path: Path) -> None:
    schema = PERSON.replace("SPELLED", EXPRESSION) + (
        'model Other {\n  id String @id @default(dbgenerated("gen_random_uuid()"))\n}\n'
    )
    other = (
        'CREATE TABLE "Other" (id text CONSTRAINT "Other_pkey" PRIMARY KEY DEFAULT gen_random_uuid(), '
        "extra int)"
    )
    world = World(tmp_path, database, schema, TABLE, other)
    world.run("INSERT INTO \"Person\" (id, first) VALUES (0, 'eve')")
    refused = world("export", code=1)
    assert "extra column Other.extra" in refused.err
    assert "--allow-drift extra-column" in refused.err
    assert world("export", "--allow-drift", "extra-table", code=1).err == refused.err
    assert "'missing-column' cannot be allowed" in world("export", "--allow-drift=missing-column", code=2).err
    allowed = "drift that is allowed: extra column Other.extra (INTEGER)"
    assert world("export", "--allow-drift", "extra-column", "--json").answer["leftOut"] == [allowed]
    assert world("verify", "--json").answer["leftOut"] == [allowed]
    assert "allowed: extra column Other.extra" in world("status").out
    world("backup", tmp_path / "backup.tar")
    notes = world("cutover", "--json").answer["notes"]
    assert [note.partition(": ")[2] for note in notes] == [
        "generated column Person.full: (upper(first)) STORED",
        "check constraint Person.named: CHECK ((first <> ''::text))",
        "default Other.id: dbgenerated, so that a new record must be given a value",
    ]
    with world.connect("json") as db:
        with pytest.raises(UsageError, match=r"Person\.full: only PostgreSQL can compute its value"):
            db.person.create(data={"id": 1, "first": "ann"})
        db.person.create(data={"id": 1, "first": "ann", "full": "ANN"})
    world("rollback")
    rows = world.run('SELECT id, first, "full" FROM "Person" ORDER BY id')
    assert rows == [(0, "eve", "EVE"), (1, "ann", "ANN")]


def test_a_column_that_may_be_null_refuses_only_where_it_is(database: str, tmp_path: Path) -> None:
    table = 'CREATE TABLE "A" (id int CONSTRAINT "A_pkey" PRIMARY KEY, s text)'
    world = World(tmp_path, database, "model A {\n  id Int @id\n  s String\n}\n", table)
    world.run("INSERT INTO \"A\" VALUES (1, 'x')")
    notes = world("export", "--json").answer["notes"]
    assert notes == ["column that may be NULL A.s: no row has NULL in it"]
    world("verify")
    world.run('INSERT INTO "A" VALUES (2, NULL)')
    assert "different nullability of A.s" in world("verify", code=1).err


def test_the_order_of_an_enum_in_the_database_is_that_of_the_files(
    new_database: Callable[..., str], tmp_path: Path
) -> None:
    schema = "enum Size {\n  small\n  large\n}\nmodel Shirt {\n  id Int @id\n  size Size\n}\n"
    made = "CREATE TYPE \"Size\" AS ENUM ('large', 'small')"
    table = 'CREATE TABLE "Shirt" (id int CONSTRAINT "Shirt_pkey" PRIMARY KEY, size "Size" NOT NULL)'
    world = World(tmp_path, new_database(), schema, made, table)
    world.run("INSERT INTO \"Shirt\" VALUES (1, 'small'), (2, 'large'), (3, 'small')")
    world("export")
    world("verify")
    for backend in ("prisma", "json", "dual"):
        with world.connect(backend) as db:
            sizes = [shirt.size for shirt in db.shirt.find_many(order_by={"size": "asc"})]
        assert sizes == ["large", "small", "small"], backend
    other = new_database()
    world("restore", url=other)
    with connect(other) as connection:
        assert connection.execute('SELECT id FROM "Shirt" ORDER BY size, id').fetchall() == [(2,), (1,), (3,)]
