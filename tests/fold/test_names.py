"""Tables and columns may be called whatever our own statements call theirs."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from string import ascii_lowercase
from typing import Any

import pytest

import octavo as package
from command import octavo
from following import Followed
from octavo.layout.load import layout_for
from octavo.postgres.connection import connect
from octavo.postgres.embedded import EmbeddedServer
from octavo.schema.ddl import ddl
from octavo.store.decoded import load_datamodel

SOURCE = Path(package.__file__).parent


def aliases() -> list[str]:
    """What SQL in our source gives a name to: rows, columns, common table expressions, temporary tables."""
    found = set(ascii_lowercase)
    for file in SOURCE.rglob("*.py"):
        text = file.read_text("utf-8")
        found |= set(re.findall(r"\bAS ([a-z][a-z0-9_]*)\b", text))
        found |= set(re.findall(r"\bWITH ([a-z][a-z0-9_]*) AS\b", text))
        found |= {
            name for inner in re.findall(r"\bAS [a-z]\(([a-z0-9_, ]+)\)", text) for name in inner.split(", ")
        }
    return sorted(found | {f"{letter}{number}" for letter in "cekt" for number in range(3)})


COLUMNS = [*aliases(), "0place", "0first", "0key", "00place", "octavo_0", "octavo_1"]


def schema_text() -> str:
    """Four models, each with a column of each of these names: a number, a list, or Json."""
    fields = [(f"f{n}", name, ("Int?", "String[]", "Json?")[n % 3]) for n, name in enumerate(COLUMNS)]

    def model(name: str, table: str, *more: str, types: int) -> str:
        kinds = [
            (f, column, kind) for n, (f, column, kind) in enumerate(fields) if column not in ("id", "up")
        ]
        # Each name has each type in one of the models.
        lines = [
            f'{f} {fields[(int(f[1:]) + types) % len(fields)][2]} @map("{column}")' for f, column, _ in kinds
        ]
        return "\n  ".join((f"model {name} {{", "id Int @id", *more, *lines, f'@@map("{table}")')) + "\n}\n"

    head = 'datasource db {\n  provider = "postgresql"\n  url = env("DATABASE_URL")\n}\n'
    parent = "up Int", "parent {0} @relation(fields: [up], references: [id], onDelete: Cascade)"
    return head + "".join(
        (
            model(
                "Top",
                "n",
                "logged Logged[]",
                "inside Inside[]",
                'friends Top[] @relation("x")',
                'of Top[] @relation("x")',
                types=0,
            ),
            model("Logged", "o", *(line.format("Top") for line in parent), "least Least[]", types=1),
            model("Inside", "t", *(line.format("Top") for line in parent), types=2),
            model("Least", "gone", *(line.format("Logged") for line in parent), types=0),
        )
    )


LAYOUT = """
version = 1

[files]
"tops/{id}.json" = "Top"

[logs]
"logged.jsonl" = ["Logged"]
"friends.jsonl" = ["_x"]

[logs_per_parent]
"least/{up}.jsonl" = "Least"

[embedded]
Inside = "Top.inside"
"""


@pytest.fixture
def named(tmp_path: Path) -> tuple[Path, Path]:
    """The schema and the layout."""
    (tmp_path / "schema.prisma").write_text(schema_text())
    (tmp_path / "layout.toml").write_text(LAYOUT)
    return tmp_path / "schema.prisma", tmp_path / "layout.toml"


def fill(db: Any, first: int) -> None:
    for top in range(first, first + 3):
        db.top.create(data={"id": top, "f0": 1, "friends": {"connect": [{"id": top}]}})
        db.inside.create(data={"id": top, "up": top, "f3": 2})
        db.logged.create(data={"id": top, "up": top, "least": {"create": [{"id": top}]}})


def ask(db: Any) -> list[Any]:
    """What every kind of statement that reads gives."""
    page = {"order_by": {"id": "desc"}, "take": 1}
    found = [
        db.top.find_many(
            include={"logged": page, "inside": {"distinct": ["f0"]}, "friends": page, "_count": True}
        ),
        db.top.find_many(distinct=["f1"], order_by={"logged": {"_count": "asc"}}, skip=1, take=1),
        db.least.find_many(where={"parent": {"parent": {"friends": {"some": {"f0": 1}}}}}),
        db.least.find_many(order_by=[{"parent": {"parent": {"f0": "desc"}}}], cursor={"id": 2}),
        db.top.count(where={"f1": {"has": "x"}, "f2": {"path": ["a"], "equals": 1}}, take=1),
        db.top.update_many_and_return(where={"f0": {"gte": 0}}, data={"f0": {"increment": 1}}),
    ]
    return [part if isinstance(part, int) else [record.to_dict() for record in part] for part in found]


def test_names_of_ours_may_be_names_of_the_application(
    new_database: Callable[..., str], named: tuple[Path, Path], tmp_path: Path
) -> None:
    schema, layout = named
    url, empty = new_database(), new_database()
    with connect(url) as connection:
        connection.execute(ddl(load_datamodel(None, schema)).script().encode())
    places: dict[str, Any] = {"schema": schema, "layout": layout, "data_dir": tmp_path / "data"}

    def run(*command: str, at: str = url) -> None:
        given = (
            ("--schema", schema, "--layout", layout)
            if command[0] not in ("inventory",)
            else ("--schema", schema)
        )
        done = octavo(
            *command,
            *given,
            DATABASE_URL=at,
            DATA_DIR=str(tmp_path / "data"),
            FILES_ROOT=str(tmp_path / "public"),
        )
        assert done.code == 0, f"{command[0]}: {done.err or done.out}"

    with package.connect("prisma", database_url=url, **places) as db:
        fill(db, 1)
    for command in ("inventory", "export", "verify", "doctor"):
        run(command)
    with package.connect("dual", database_url=url, **places) as both:
        fill(both, 11)
        ask(both)
        both.logged.delete(where={"id": 12})
    run("verify")
    run("cutover", "--waive", "backup", "--waive", "secrets")
    with package.connect("json", **places) as db:
        fill(db, 21)
        db.top.update_many(data={"f0": 7})
        db.logged.delete(where={"id": 1})
        expected = ask(db)
    run("rollback")
    run("verify")
    run("restore", at=empty)
    run("verify", at=empty)
    with package.connect("prisma", database_url=empty, **places) as db:
        db.top.update_many(data={"f0": {"decrement": 1}})
        assert ask(db) == expected


@pytest.mark.slow
def test_names_of_ours_may_be_followed(
    logical_server: EmbeddedServer, named: tuple[Path, Path], tmp_path: Path
) -> None:
    schema, layout = named
    url = logical_server.url(logical_server.create_database("names") and "names", schema="public")
    with connect(url) as connection:
        connection.execute(ddl(load_datamodel(None, schema)).script().encode())
    followed = Followed(url, tmp_path, layout_for(load_datamodel(None, schema), layout))
    with package.connect("prisma", database_url=url, schema=schema) as db:
        fill(db, 1)
        followed.seed()
        fill(db, 11)
        ask(db)
        db.top.delete(where={"id": 2})
        followed.catch_up()
        assert followed.differences() == []
    followed.stop()
    logical_server.drop_database("names")
