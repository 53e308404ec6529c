"""The whole life of an application's data, on the schema of each: from PostgreSQL into files, back, and on.

``pytest --slow -s tests/applications/test_lives.py`` lives all eight, and prints what the proposals folded.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import octavo
from applications.rows import Rows
from applications.schemas import APPLICATIONS, datamodel_of, path_of
from command import Done
from command import octavo as command
from octavo.layout.propose import propose
from octavo.layout.record import attribute
from octavo.postgres.connection import connect
from octavo.schema.datamodel import Datamodel, ScalarField
from octavo.schema.ddl import ddl
from octavo.url import DatabaseUrl

SMALL = """
datasource db {
  provider = "postgresql"
  url      = env("DATABASE_URL")
}
enum Mood {
  GLAD
  SAD
}
model Author {
  id    String   @id @default(uuid())
  name  String   @unique @db.VarChar(60)
  tags  String[]
  books Book[]
}
model Book {
  id       Int     @id @default(autoincrement())
  title    String?
  mood     Mood    @default(GLAD)
  author   Author  @relation(fields: [authorId], references: [id], onDelete: Cascade)
  authorId String
  shelves  Shelf[]
}
model Shelf {
  id    Int    @id
  about Json?
  books Book[]
}
"""
ROWS = 5


class Life:
    """An application's data in one place, and the commands that it goes through."""

    def __init__(self, schema: Path, datamodel: Datamodel, url: str, folder: Path) -> None:
        self.schema, self.datamodel, self.url, self.folder = schema, datamodel, url, folder
        self.data = folder / "data"
        self.models = [m for m in propose(datamodel).layout.datamodel.models if not (m.is_view or m.ignored)]
        """those that a client sees, and that have a key"""
        (folder / "public").mkdir(parents=True)

    def run(self, *arguments: object, **settings: str) -> Done:
        made = {
            "DATABASE_URL": self.url,
            "DATA_DIR": str(self.data),
            "FILES_ROOT": str(self.folder / "public"),
        }
        done = command(*arguments, **{**made, **settings})
        assert done.code == 0, f"{arguments}: {done.err}{done.out}"
        return done

    def connected(self, backend: str) -> Any:
        return octavo.connect(backend, database_url=self.url, data_dir=self.data)

    def reads(self, backend: str) -> dict[str, list[Any]]:
        """Every record of every model that a client sees."""
        with self.connected(backend) as db:
            return {model.name: db[model.name].find_many() for model in self.models}

    def compare_reads(self) -> None:
        """Every record of every model is the same on both sides, one by one."""
        files, database = self.reads("json"), self.reads("prisma")
        for model in self.models:
            for record, other in zip(files[model.name], database[model.name], strict=True):
                for field in map(attribute, model.scalars):
                    one, two = getattr(record, field, None), getattr(other, field, None)
                    assert (model.name, field, one) == (model.name, field, two)

    def write(self, backend: str, word: str) -> int:
        """Change a text in every model that has one to change.  Gives how many records that were."""
        changed = 0
        with self.connected(backend) as db, db.tx() as tx:
            for model in self.models:
                held = {n for index in model.all_indexes for n in index.field_names}
                held |= {n for key in self.datamodel.foreign_keys for n in (*key.fields, *key.references)}
                texts = [
                    f.name
                    for f in model.scalars
                    if f.type == "String" and _is_roomy(f) and not (f.ignored or f.name in held)
                ]
                if texts:
                    changed += tx[model.name].update_many(data={texts[0]: word})
        return changed


def _is_roomy(field: ScalarField) -> bool:
    """Whether any short text fits."""
    native = field.native
    is_text = native is None or native.name in ("Text", "Citext") or native.args > (9,)
    return is_text and not field.is_list


def live(life: Life, new_database: Callable[..., str]) -> int:
    """The whole life.  Gives the number of differences that were found, all of which are asserted to be 0."""
    schema: tuple[object, ...] = ("--schema", life.schema)
    life.run("schema", "check", *schema)
    proposal = life.folder / "layout.toml"
    proposal.write_text(life.run("layout", "propose", *schema).out, "utf-8")
    schema = (*schema, "--layout", proposal)
    life.run("inventory", *schema)
    life.run("export", *schema)
    differences = _verified(life)
    life.run("doctor")
    other = new_database()
    life.run("restore", DATABASE_URL=other)
    differences += _verified(life, DATABASE_URL=other)
    life.compare_reads()
    assert life.write("dual", "both") > 0
    life.compare_reads()
    life.run("backup", life.folder / "archive.tar")
    differences += _verified(life)
    life.run("cutover", "--waive", "secrets", DATA_BACKEND="dual")
    assert life.write("json", "files") > 0
    life.run("compact")
    before = {p: (life.data / p).read_bytes() for p in _records(life.data)}
    following = life.folder / "next.prisma"
    following.write_text(_with_a_field(life.schema.read_text("utf-8"), life.datamodel), "utf-8")
    life.run("schema", "migrate", "--to", following, "--dry-run", DATA_BACKEND="json")
    life.run("schema", "migrate", "--to", following, DATA_BACKEND="json")
    life.run("doctor")
    life.run("schema", "migrate", "--back", DATA_BACKEND="json")
    assert {p: (life.data / p).read_bytes() for p in _records(life.data)} == before
    life.run("rollback", DATA_BACKEND="json")
    differences += _verified(life)
    life.compare_reads()
    life.run("report", "--out", life.folder / "page.html")
    return differences


def _verified(life: Life, **settings: str) -> int:
    found = life.run("verify", "--json", **settings).answer
    assert (found["equal"], found["differences"]) == (True, [])
    return len(found["differences"])


def _records(data: Path) -> Iterator[str]:
    for folder, _, names in os.walk(data):
        relative = os.path.relpath(folder, data)
        if relative.partition(os.sep)[0] not in ("cache", "journal", "schema"):
            yield from (os.path.join(relative, name) for name in names)


def _with_a_field(text: str, datamodel: Datamodel) -> str:
    """The next version of a schema: its first model has an optional field more."""
    model = next(m for m in datamodel.models if not (m.is_view or m.ignored))
    lines = text.splitlines(keepends=True)
    at = next(n for n, line in enumerate(lines) if line.split()[:2] == ["model", model.name])
    return "".join([*lines[: at + 1], "  octavoNote String?\n", *lines[at + 1 :]])


@pytest.fixture
def lived(new_database: Callable[..., str], tmp_path: Path) -> Callable[[Path, Datamodel], int]:
    def run(schema: Path, datamodel: Datamodel) -> int:
        url = new_database()
        with connect(DatabaseUrl.parse(url)) as connection:
            connection.execute(ddl(datamodel).script().encode())
            Rows(datamodel, seed=1).fill(connection, ROWS)
        return live(Life(schema, datamodel, url, tmp_path / "life"), new_database)

    return run


def test_a_small_application_lives(lived: Callable[[Path, Datamodel], int], tmp_path: Path) -> None:
    from octavo.schema.parser import parse_schema

    (tmp_path / "small.prisma").write_text(SMALL, "utf-8")
    assert lived(tmp_path / "small.prisma", parse_schema(SMALL)) == 0


@pytest.mark.slow
@pytest.mark.parametrize("application", APPLICATIONS)
def test_an_application_lives(application: str, lived: Callable[[Path, Datamodel], int]) -> None:
    started, datamodel = time.monotonic(), datamodel_of(application)
    differences = lived(path_of(application), datamodel)
    kinds = Counter(place.kind.value for place in propose(datamodel).layout.places)
    folded = ", ".join(f"{n} {kind}" for kind, n in kinds.most_common())
    took = time.monotonic() - started
    print(f"| {application} | {len(datamodel.tables)} | {folded} | {took:.0f} | {differences} |")
