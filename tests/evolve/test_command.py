"""``octavo schema migrate`` as a user meets it."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from command import Done, octavo
from evolve.test_migrate import ADD, PLACES, TASKS
from folders import tree
from octavo.errors import SchemaMismatch, ValidationError
from octavo.opening import connect


def opened(folder: Path) -> Any:
    """A client of the schema that the store has."""
    return connect("json", data_dir=folder)


class Shell:
    """A store and its next schema, in a folder where commands are called."""

    def __init__(self, root: Path) -> None:
        self.data, self.next = root / "data", root / "next.prisma"
        for name, text in {"schema.prisma": TASKS, "layout.toml": PLACES}.items():
            (root / name).write_text(text)
        self.next.write_text(TASKS.replace(*ADD))
        made = octavo(
            "scaffold", *self.of, "--schema", root / "schema.prisma", "--layout", root / "layout.toml"
        )
        assert made.code == 0, made.err
        with opened(self.data) as db:
            db.user.create(data={"id": "ann", "name": "Ann", "tasks": {"create": [{"title": "wash"}]}})

    @property
    def of(self) -> tuple[str, Path]:
        return "--data-dir", self.data

    def migrate(self, *more: object) -> Done:
        return octavo("schema", "migrate", *self.of, *more)

    @property
    def files(self) -> dict[str, bytes | None]:
        return tree(self.data)


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def test_plan_migrate_and_back(shell: Shell) -> None:
    before = shell.files
    planned = shell.migrate("--to", shell.next, "--dry-run")
    assert (planned.code, planned.err) == (0, "")
    assert "Task.rank is added: Int" in planned.out
    assert shell.files == before
    done = shell.migrate("--to", shell.next, "--json").answer
    assert {s["subject"]: (s["how"], s["records"]) for s in done["steps"]} == {
        "Task.rank": ("automatic", 1),
        "Task.hint": ("automatic", 1),
    }
    assert Path(done["kept"]).is_dir()
    assert octavo("doctor", *shell.of).code == 0
    with opened(shell.data) as db:
        assert db.task.find_first().rank == 3
    back = shell.migrate("--back")
    assert back.code == 0, back.err
    assert shell.files == before


def test_a_plan_that_is_refused_ends_with_1(shell: Shell) -> None:
    shell.next.write_text(TASKS.replace("note   String?", "note   String"))
    planned = shell.migrate("--to", shell.next, "--dry-run")
    assert planned.code == 1
    assert "Task.note becomes required: Task id 1: is NULL" in planned.out
    before = shell.files
    done = shell.migrate("--to", shell.next)
    assert done.code == 1
    assert "Task.note becomes required: Task id 1: is NULL" in done.err
    assert shell.files == before


def test_a_way_back_that_would_lose_something_names_the_field(shell: Shell) -> None:
    assert shell.migrate("--to", shell.next).code == 0
    with opened(shell.data) as db:
        db.task.update_many(data={"hint": "hot"})
    before = shell.files
    assert shell.migrate("--back", "--dry-run").code == 1
    back = shell.migrate("--back")
    assert (back.code, "Task.hint" in back.err) == (1, True)
    assert shell.files == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "nothing says where to migrate to"),
        (("--back", "--to", "NEXT"), "--back takes no --to"),
        (("--back", "--rename", "Task.title=label"), "--back takes no renames"),
        (("--back",), "was not migrated"),
        (("--to", "nowhere.prisma"), "nowhere.prisma"),
        (("--to", "NEXT", "--rename", "Task.title"), "is not like Model.old=new"),
        (("--to", "NEXT", "--with", "NEXT"), "cannot be run: SyntaxError"),
    ],
)
def test_wrong_usage(shell: Shell, arguments: tuple[str, ...], said: str) -> None:
    before = shell.files
    done = shell.migrate(*(str(shell.next) if a == "NEXT" else a for a in arguments))
    assert (done.code, said in done.err) == (2, True), done.err
    assert shell.files == before


def test_an_open_client_is_told_of_the_other_schema(shell: Shell) -> None:
    with opened(shell.data) as db:
        assert db.task.count() == 1
        assert shell.migrate("--to", shell.next).code == 0
        for _ in range(2):
            with pytest.raises(SchemaMismatch, match=r"octavo schema migrate"):
                db.task.count()
            with pytest.raises(SchemaMismatch, match=r"Task.rank"):
                db.task.create(data={"title": "iron", "userId": "ann"})
    assert shell.migrate("--back").code == 0


def test_an_open_client_is_told_of_a_migration_that_was_taken_back(shell: Shell) -> None:
    with opened(shell.data) as db:
        assert db.task.count() == 1
        assert shell.migrate("--to", shell.next).code == 0
        assert shell.migrate("--back").code == 0
        with pytest.raises(SchemaMismatch, match=r"octavo schema migrate"):
            db.task.count()
        with pytest.raises(SchemaMismatch):
            db.user.create(data={"id": "bob", "name": "Bob"})
    with opened(shell.data) as db:
        assert db.task.count() == 1


def test_a_client_that_was_writing_is_told_and_can_be_closed(shell: Shell) -> None:
    to = (*shell.of, "--to", shell.next)
    command = [sys.executable, "-m", "octavo", "schema", "migrate", *map(str, to)]
    db = opened(shell.data)

    def iron() -> int:
        """Write until that is refused: how many records were written."""
        written = 0
        with suppress(SchemaMismatch):
            while True:
                db.task.create(data={"title": "iron", "userId": "ann"})
                written += 1
        return written

    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as migrating:
        written = iron()
        db.close()
    assert migrating.returncode == 0
    with opened(shell.data) as db:
        assert db.task.count() == 1 + written


def test_an_open_client_is_told_of_another_layout_and_of_other_records(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "moved.toml").write_text(PLACES.replace("tasks.jsonl", "all/tasks.jsonl"))
    (tmp_path / "f.py").write_text("def task(record):\n    return {**record, 'title': 'rinse'}\n")
    for change in (("--layout", tmp_path / "moved.toml"), ("--back",), ("--with", tmp_path / "f.py")):
        with opened(shell.data) as db:
            assert db.task.count() == 1
            assert shell.migrate(*change).code == 0
            with pytest.raises(SchemaMismatch):
                db.task.count()


def test_a_program_of_the_old_schema_gets_an_error_that_names_the_field(shell: Shell) -> None:
    shell.next.write_text(TASKS.replace("  note   String?\n", ""))
    assert shell.migrate("--to", shell.next).code == 0
    with opened(shell.data) as db, pytest.raises(ValidationError, match="note"):
        db.task.find_many(where={"note": "x"})


WRITER = """
import sys
from octavo import connect
from octavo.errors import SchemaMismatch
db = connect("json", data_dir=sys.argv[1])
number = 0
try:
    while True:
        db.task.create(data={"title": f"t{number}", "userId": "ann"})
        number += 1
        print(number, flush=True)
except SchemaMismatch:
    print("mismatch", flush=True)
"""


def test_what_another_process_was_told_is_written_is_there(shell: Shell) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(shell.data)], stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        while writer.stdout.readline() != "5\n":
            pass
        assert shell.migrate("--to", shell.next).code == 0
        told = writer.stdout.read().split()
    assert told[-1] == "mismatch"
    with opened(shell.data) as db:
        numbers = [int(n) for n in told[:-1]]
        assert db.task.count() == 1 + max([5, *numbers])


def test_what_a_function_prints_is_no_part_of_the_answer(shell: Shell, tmp_path: Path) -> None:
    functions = tmp_path / "next.py"
    functions.write_text('print("read")\n\ndef task(record):\n    print("called")\n    return record\n')
    done = shell.migrate("--to", shell.next, "--with", functions, "--dry-run", "--json")
    assert (done.code, json.loads(done.out)["refused"]) == (0, [])
    assert done.err.splitlines() == ["read", "called"]
