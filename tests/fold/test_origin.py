"""What is found about another database says nothing about the move; what was equal need not be so still."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import octavo as package
from command import octavo
from octavo.demo.sample import DEMO_PEPPER
from octavo.postgres.connection import connect
from octavo.store import phase


class World:
    """A database with sample data, and the files that were made from it."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url, self.data, self.public = url, folder / "data", folder / "public"

    def call(self, *arguments: object, url: str = "", code: int = 0) -> None:
        done = octavo(*arguments, **self.settings(url))
        assert done.code == code, done.err or done.out

    def settings(self, url: str = "") -> dict[str, str]:
        return {
            "DATABASE_URL": url or self.url,
            "DATA_DIR": str(self.data),
            "FILES_ROOT": str(self.public),
            "ENCRYPTION_MASTER_PEPPER": DEMO_PEPPER,
        }

    def sql(self, statement: str, url: str = "") -> None:
        with connect(url or self.url) as connection:
            connection.execute(statement.encode())

    @property
    def state(self) -> phase.Migration:
        return phase.read(self.data)


@pytest.fixture
def world(sample_database: str, sample: tuple[str, Path], tmp_path: Path) -> World:
    made = World(sample_database, tmp_path)
    shutil.copytree(sample[1], made.public)
    made.call("inventory", "--quiet")
    made.call("export", "--quiet")
    return made


def test_a_restored_copy_says_nothing_about_the_move(world: World, new_database: Callable[..., str]) -> None:
    copy = new_database()
    before = world.state
    world.call("restore", url=copy)
    world.call("verify", url=copy)
    assert world.state == before
    world.call("verify")
    verified = world.state
    assert verified.phase is phase.Phase.VERIFICATION
    world.sql("UPDATE users SET name = 'another'", copy)
    for _ in range(2):
        world.call("verify", url=copy, code=1)
    answer = octavo("verify", "--json", **world.settings(copy)).answer
    assert not answer["equal"]
    assert answer["elsewhere"].startswith("the database ")
    assert world.state == verified
    # Nor does the report show it, although it is the newest.
    shown = octavo("report", "--json", **world.settings()).answer["verification"]
    assert (shown["equal"], shown["differences"]) == (True, 0)
    assert octavo("verify", "--json", **world.settings()).answer["elsewhere"] == ""
    assert world.state.verified != verified.verified


def test_a_database_that_the_files_are_made_from_anew_is_the_one_of_the_move(
    world: World, new_database: Callable[..., str]
) -> None:
    copy = new_database()
    world.call("verify")
    world.call("restore", url=copy)
    world.call("export", "--replace", url=copy)
    world.call("verify", url=copy)
    assert world.state.phase is phase.Phase.VERIFICATION
    before = world.state
    world.call("verify")
    assert world.state == before


def _by_client(world: World) -> None:
    with package.connect("json", data_dir=world.data) as db:
        db.user.update_many(data={"name": "x"})


def _gone_by_client(world: World) -> None:
    with package.connect("json", data_dir=world.data) as db:
        db.character.delete(where={"id": db.character.find_first_or_raise().id})


def _by_editor(world: World) -> None:
    file = world.data / "tags" / "tags.json"
    file.write_bytes(file.read_bytes() + b"\n")


@pytest.mark.parametrize(
    ("write", "side"),
    [
        (lambda world: world.sql("UPDATE users SET name = 'x'"), "database"),
        (lambda world: world.sql("DELETE FROM messages"), "database"),
        (
            lambda world: world.sql(
                "BEGIN; DELETE FROM sessions WHERE id = (SELECT min(id) FROM sessions);"
                """ INSERT INTO tags (id, "userId", name, "nameLower", "updatedAt")
                    SELECT 'new', id, 'new', 'new', now() FROM users LIMIT 1; COMMIT"""
            ),
            "database",
        ),
        (_by_client, "files"),
        (_gone_by_client, "files"),
        (_by_editor, "files"),
    ],
    ids=["update", "delete", "as many", "client", "record file", "editor"],
)
def test_what_was_written_to_since_is_not_called_equal(
    world: World, write: Callable[[World], None], side: str
) -> None:
    def shown() -> tuple[dict[str, object], str, str]:
        done = octavo("report", "--json", **world.settings())
        page = Path(done.answer["path"]).read_text("utf-8")
        return done.answer["verification"], page, octavo("status", **world.settings()).out

    world.call("verify")
    verification, page, said = shown()
    assert (verification["equal"], verification["writtenSince"]) == (
        True,
        {"database": False, "files": False},
    )
    assert "Equal." in page
    assert "written to since" not in page + said
    write(world)
    verification, page, said = shown()
    assert (verification["equal"], verification["equalThen"]) == (False, True)
    assert verification["writtenSince"] == {"database": False, "files": False, side: True}
    assert "Equal." not in page
    assert ">equal<" not in page
    assert "written to since" in page
    assert "written to since" in said


def test_without_a_database_to_ask_nothing_is_called_equal(world: World) -> None:
    world.call("verify")
    settings = {**world.settings(), "DATABASE_URL": "postgresql://127.0.0.1:1/none"}
    done = octavo("report", "--json", **settings)
    assert done.answer["verification"]["writtenSince"] == {"database": None, "files": False}
    assert "Equal." not in Path(done.answer["path"]).read_text("utf-8")
