"""What a migration does to a store, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from octavo.backends.json import JsonBackend
from octavo.client import Client
from octavo.errors import DamagedError, DifferenceError, UsageError
from octavo.evolve.functions import load
from octavo.evolve.matching import Renames
from octavo.evolve.migrate import MigrateOptions, MigrateReport, migrate, migrate_back
from octavo.fold.scaffold import scaffold
from octavo.inspect.doctor import examine
from octavo.layout.layout import Layout
from octavo.layout.load import parse_layout
from octavo.query.vocabulary import Vocabulary
from octavo.schema.datamodel import Datamodel
from octavo.schema.parser import parse_schema, parse_source
from octavo.store.identity import (
    LAYOUT,
    identity_files,
    read_identity,
    read_layout_text,
    read_source,
    write_identity,
)
from octavo.store.store import Store

HEAD = 'datasource db {\n  provider = "postgresql"\n  url = env("DATABASE_URL")\n}\n'
TASKS = (
    HEAD
    + """
model User {
  id    String @id
  name  String
  tasks Task[]
}
model Task {
  id     Int         @id @default(autoincrement())
  title  String      @db.VarChar(20)
  note   String?
  state  State       @default(OPEN)
  owner  User        @relation(fields: [userId], references: [id], onDelete: Cascade)
  userId String
  data   Json?
  labels TaskLabel[]
}
model TaskLabel {
  taskId Int
  name   String
  task   Task   @relation(fields: [taskId], references: [id], onDelete: Cascade)
  @@id([taskId, name])
}
enum State {
  OPEN
  DONE
}
"""
)
PLACES = """version = 1
[documents]
"users.json" = { users = "User" }
[logs]
"tasks.jsonl" = ["Task"]
[embedded]
TaskLabel = "Task.labels"
"""


class Tasks:
    """A store of tasks, and its way from schema to schema."""

    def __init__(self, root: Path) -> None:
        self.root = root / "data"
        root.mkdir(exist_ok=True)
        self.layout = parse_layout(PLACES, parse_schema(TASKS))
        scaffold(self.root, self.layout)
        write_identity(self.root, identity_files(self.layout))

    def client(self, of: Layout | None = None) -> Client:
        layout = of or self.now
        vocabulary = Vocabulary(layout.datamodel)
        return Client(JsonBackend(vocabulary, Store.open(self.root, layout)), vocabulary)

    @property
    def now(self) -> Layout:
        """The layout that the store has, with its schema."""
        identity = read_identity(self.root)
        assert identity is not None
        datamodel = parse_source(read_source(self.root, identity.schema.name))
        return parse_layout(read_layout_text(self.root), datamodel, source=LAYOUT)

    @property
    def files(self) -> dict[str, bytes]:
        return {
            str(path.relative_to(self.root)): path.read_bytes()
            for path in self.root.rglob("*")
            if path.is_file() and path.relative_to(self.root).parts[0] != "cache"
        }

    def fill(self) -> None:
        with self.client() as db:
            for name in ("ann", "bob"):
                db.user.create(data={"id": name, "name": name.title()})
            for n, title in enumerate(("wash", "iron", "fold"), 1):
                owner = ("ann", "bob")[n % 2]
                db.task.create(
                    data={
                        "title": title,
                        "userId": owner,
                        "note": None if n == 2 else f"note {n}",
                        "state": "DONE" if n == 3 else "OPEN",
                        "data": {"n": n, "x": 1.50},
                        "labels": {"create": [{"name": "b"}, {"name": "a"}]},
                    }
                )

    def to(self, *changes: tuple[str, str], layout: str | None = None, **options: Any) -> MigrateReport:
        """Migrate to the schema of now with these replacements in its text."""
        text = self.now.datamodel.source.files[0][1] if self.now.datamodel.source else ""
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        target = parse_schema(text)
        return migrate(
            self.root,
            self.now,
            target,
            MigrateOptions(**options),
            layout=None if layout is None else parse_layout(layout, target),
        )

    def back(self, **options: Any) -> MigrateReport:
        return migrate_back(self.root, self.now, MigrateOptions(**options))

    def records(self, file: str = "tasks.jsonl") -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.root / file).read_bytes().splitlines()]

    def functions(self, text: str, target: Datamodel | None = None) -> dict[str, Any]:
        file = self.root.parent / "functions.py"
        file.write_text(text, "utf-8")
        return load(file, target or self.now.datamodel)

    def require_sound(self) -> None:
        found = examine(self.root, self.now).findings
        assert not found.counted, found.kept


@pytest.fixture
def tasks(tmp_path: Path) -> Tasks:
    made = Tasks(tmp_path)
    made.fill()
    return made


ADD = ("  labels TaskLabel[]\n", "  labels TaskLabel[]\n  rank Int @default(3)\n  hint String?\n")


def test_an_added_field_has_its_default_or_null(tasks: Tasks) -> None:
    report = tasks.to(ADD)
    assert [(r["rank"], r["hint"]) for r in tasks.records()] == [(3, None)] * 3
    assert report.counts == {"User": 2, "Task": 3, "TaskLabel": 6}
    with tasks.client() as db:
        found = db.task.find_many(where={"rank": 3}, include={"labels": True})
        assert found[0].labels[0].name == "a"
    tasks.require_sound()


def test_a_dry_run_says_what_would_be_and_changes_nothing(tasks: Tasks) -> None:
    before = tasks.files
    report = tasks.to(ADD, dry_run=True)
    (step,) = [s for s in report.steps if s.subject == "Task.rank"]
    assert (step.how, step.records) == ("automatic", 3)
    assert tasks.files == before
    assert not list(tasks.root.parent.glob(".data*"))


def test_the_old_store_is_kept_and_the_way_back_restores_the_bytes(tasks: Tasks) -> None:
    before = tasks.files
    report = tasks.to(ADD)
    assert report.kept is not None
    kept = report.kept / "tasks.jsonl"
    assert kept.read_bytes() == before["tasks.jsonl"]
    tasks.back()
    assert tasks.files == before


def test_the_way_back_names_a_field_that_was_written_to_since(tasks: Tasks) -> None:
    tasks.to(ADD)
    with tasks.client() as db:
        db.task.update(where={"id": 1}, data={"rank": 9})
    before = tasks.files
    with pytest.raises(DifferenceError, match=r"Task\.rank"):
        tasks.back()
    assert tasks.files == before


def test_the_way_back_names_a_field_whose_values_are_gone(tasks: Tasks) -> None:
    report = tasks.to(("  note   String?\n", ""))
    assert report.lost == ["Task.note"]
    before = tasks.files
    with pytest.raises(DifferenceError, match=r"Task\.note"):
        tasks.back()
    assert tasks.files == before
    made = "def task(record):\n    return {**record, 'note': 'again'}\n"
    tasks.back(functions=tasks.functions(made, parse_schema(TASKS)))
    assert [r["note"] for r in tasks.records()] == ["again"] * 3


def test_the_way_back_keeps_what_was_written_since(tasks: Tasks) -> None:
    tasks.to(ADD)
    with tasks.client() as db:
        db.task.update(where={"id": 1}, data={"title": "rinse"})
        db.user.create(data={"id": "cyd", "name": "Cyd"})
    tasks.back()
    assert tasks.records()[0]["title"] == "rinse"
    with tasks.client() as db:
        assert db.user.count() == 3


def test_what_a_crash_has_torn_of_a_log_does_not_count(tasks: Tasks) -> None:
    with open(tasks.root / "tasks.jsonl", "ab") as file:
        file.write(b'{"_model":"Task","id":9,"ti')
    assert tasks.to(ADD).counts["Task"] == 3
    tasks.require_sound()


def test_a_store_that_is_damaged_is_not_migrated(tasks: Tasks) -> None:
    file = tasks.root / "tasks.jsonl"
    file.write_bytes(file.read_bytes().replace(b'"id":1,', b'"id":"one",'))
    before = tasks.files
    with pytest.raises(DamagedError, match=r"tasks.jsonl:1: Task\.id"):
        tasks.to(ADD)
    assert tasks.files == before


def test_two_migrations_are_taken_back_one_after_the_other(tasks: Tasks) -> None:
    first = tasks.files
    tasks.to(ADD)
    second = tasks.files
    tasks.to(("String      @db.VarChar(20)", "String"))
    tasks.back()
    assert tasks.files == second
    tasks.back()
    assert tasks.files == first
    with pytest.raises(UsageError, match="was not migrated"):
        tasks.back()


class TestRefused:
    """Records speak against a step: they are named, and nothing changes."""

    @pytest.fixture
    def refused(self, tasks: Tasks) -> Callable[..., list[str]]:
        def refused(*changes: tuple[str, str], **options: Any) -> list[str]:
            before = tasks.files
            planned = tasks.to(*changes, dry_run=True, **options)
            with pytest.raises(DifferenceError) as error:
                tasks.to(*changes, **options)
            assert tasks.files == before
            assert list(error.value.findings) == planned.refused
            return planned.refused

        return refused

    def test_a_field_that_becomes_required(self, refused: Callable[..., list[str]]) -> None:
        (said,) = refused(("note   String?", "note   String"))
        assert said == "Task.note becomes required: Task id 2: is NULL"

    def test_a_required_field_without_a_default(self, refused: Callable[..., list[str]]) -> None:
        said = refused((ADD[0], ADD[0] + "  rank Int\n"))
        assert len(said) == 3
        assert "Task.rank" in said[0]

    @pytest.mark.parametrize(
        ("line", "why"),
        [
            ("code String @default(uuid())", "uuid() makes values for new records only"),
            ("code String @default(cuid())", "cuid() makes values for new records only"),
            ("at DateTime @updatedAt", "@updatedAt is set in new records only"),
            ('long Int @default(dbgenerated("length(title)"))', "only PostgreSQL can evaluate its default"),
        ],
    )
    def test_a_default_that_cannot_be_evaluated(
        self, refused: Callable[..., list[str]], line: str, why: str
    ) -> None:
        assert why in refused((ADD[0], f"{ADD[0]}  {line}\n"))[0]

    def test_a_unique_that_is_violated(self, refused: Callable[..., list[str]]) -> None:
        said = refused(("userId String\n", "userId String @unique\n"), ("tasks Task[]", "tasks Task?"))
        assert any("Task(userId) becomes unique: Task id 1" in line for line in said)

    def test_a_unique_whose_values_are_spelled_otherwise(self, tasks: Tasks) -> None:
        tasks.to(("  note   String?", "  note   String? @db.Citext\n  cost   Decimal? @db.Decimal"))
        with tasks.client() as db:
            db.task.update(where={"id": 1}, data={"note": "Same", "cost": "1.0"})
            db.task.update(where={"id": 3}, data={"note": "sAME", "cost": "1.00"})
        for line in ("note   String? @db.Citext", "cost   Decimal? @db.Decimal"):
            assert len(tasks.to((line, f"{line} @unique"), dry_run=True).refused) == 2

    def test_a_label_in_use(self, refused: Callable[..., list[str]]) -> None:
        (said,) = refused(("  DONE\n", ""))
        assert said.endswith("Task id 3: is DONE, which is no label any more")

    def test_a_value_that_does_not_fit(self, refused: Callable[..., list[str]]) -> None:
        said = refused(("VarChar(20)", "VarChar(3)"))
        assert [line.partition(": ")[2] for line in said] == [
            f"Task id {n}: is longer than 3 characters" for n in (1, 2, 3)
        ]

    def test_another_type(self, refused: Callable[..., list[str]]) -> None:
        assert "only a function can make its value" in refused(("note   String?", "note   Int?"))[0]

    def test_a_relation_to_what_is_not_there(self, refused: Callable[..., list[str]]) -> None:
        said = refused(
            (
                "  note   String?\n",
                '  note   String?\n  by User? @relation("by", fields: [note], references: [id])\n',
            ),
            ("  tasks Task[]\n", '  tasks Task[]\n  noted Task[] @relation("by")\n'),
        )
        assert any("Task(note) refers to User" in line and "Task id 1" in line for line in said)

    def test_a_key_that_no_schema_knew(self, tasks: Tasks, refused: Callable[..., list[str]]) -> None:
        file = tasks.root / "tasks.jsonl"
        file.write_bytes(file.read_bytes().replace(b'"id":1,', b'"id":1,"rank":"high",'))
        assert "has a key rank already" in refused(ADD)[0]

    def test_a_file_of_the_user_in_the_way(self, tasks: Tasks) -> None:
        (tasks.root / "bills.jsonl").write_text("mine")
        with pytest.raises(UsageError, match=r"bills\.jsonl"):
            tasks.to(("enum State", "model Bill {\n  id Int @id\n}\nenum State"))
        assert (tasks.root / "bills.jsonl").read_text() == "mine"


class TestRenames:
    def test_models_fields_and_labels(self, tasks: Tasks) -> None:
        before = tasks.files
        tasks.to(
            ("model Task {", "model Job {"),
            ("Task[]", "Job[]"),
            ("Task   @relation", "Job   @relation"),
            ("  title ", "  name "),
            ("  DONE\n", "  CLOSED\n"),
            ("taskId Int", "jobId Int"),
            ("[taskId]", "[jobId]"),
            ("[taskId, name]", "[jobId, name]"),
            renames=Renames.parse(
                ["Task.title=name", "State.DONE=CLOSED", "TaskLabel.taskId=jobId"], ["Task=Job"]
            ),
        )
        assert [(r["_model"], r["name"], r["state"]) for r in tasks.records()][2] == ("Job", "fold", "CLOSED")
        tasks.require_sound()
        tasks.back()
        assert tasks.files == before

    @pytest.mark.parametrize(
        ("members", "models", "said"),
        [
            (["Task.nope=rank"], [], "the store's schema has no nope"),
            (["Task.title=nope"], [], "the new schema has no nope"),
            (["Task.title=rank"], [], "the new schema still has title"),
            (["Nope.title=rank"], [], "there is no model or enum Nope"),
            ([], ["Task=Job"], "the new schema has no Job"),
            (["Task.title"], [], "is not like Model.old=new"),
            ([], ["Task"], "is not like Old=New"),
        ],
    )
    def test_a_rename_that_is_none(
        self, tasks: Tasks, members: list[str], models: list[str], said: str
    ) -> None:
        with pytest.raises(UsageError, match=said):
            tasks.to(ADD, renames=Renames.parse(members, models))

    def test_a_name_that_only_prisma_knows_needs_no_rename(self, tasks: Tasks) -> None:
        tasks.to(("  title  String", '  label  String @map("title")'))
        assert tasks.records()[0]["label"] == "wash"


class TestFunctions:
    def test_a_function_sees_new_names_and_gives_the_record(self, tasks: Tasks) -> None:
        tasks.to(
            ("note   String?", "remark Int"),
            renames=Renames.parse(["Task.note=remark"], []),
            functions=tasks.functions(
                "def task(record):\n"
                "    assert 'labels' not in record and '_model' not in record, record\n"
                "    return {**record, 'remark': len(record['remark'] or '')}\n"
            ),
        )
        assert [r["remark"] for r in tasks.records()] == [6, 0, 6]
        assert b'"x": 1.50' in tasks.files["tasks.jsonl"] or b'"x": 1.5' in tasks.files["tasks.jsonl"]

    def test_fields_not_set_take_their_defaults(self, tasks: Tasks) -> None:
        made = "def task(record):\n    record.pop('note')\n    return record\n"
        tasks.to(ADD, functions=tasks.functions(made))
        assert [(r["note"], r["rank"]) for r in tasks.records()] == [(None, 3)] * 3

    def test_none_leaves_the_record_out_with_what_is_embedded(self, tasks: Tasks) -> None:
        made = "def task(record):\n    return None if record['id'] == 2 else record\n"
        report = tasks.to(ADD, functions=tasks.functions(made))
        assert report.counts == {"User": 2, "Task": 2, "TaskLabel": 4}
        assert "Task" in report.lost
        tasks.require_sound()

    def test_a_record_that_others_refer_to_is_not_left_out(self, tasks: Tasks) -> None:
        made = "def user(record):\n    return None\n"
        with pytest.raises(DifferenceError, match="its User"):
            tasks.to(ADD, functions=tasks.functions(made))

    def test_an_embedded_model_by_its_accessor(self, tasks: Tasks) -> None:
        made = "def task_label(record):\n    return {'name': record['name'].upper()}\n"
        tasks.to(ADD, functions=tasks.functions(made))
        assert tasks.records()[0]["labels"] == [{"name": "A"}, {"name": "B"}]

    @pytest.mark.parametrize(
        "line", ["price Decimal", "size BigInt", "at DateTime", "raw Bytes", "prices Decimal[]", "mark Float"]
    )
    def test_a_text_that_is_no_value_of_the_type(self, tasks: Tasks, line: str) -> None:
        name, value = line.partition(" ")[0], ["hunter2"] if line.endswith("[]") else "hunter2"
        made = tasks.functions(f"def task(record):\n    return {{**record, {name!r}: {value!r}}}\n")
        next_schema = (ADD[0], f"{ADD[0]}  {line}\n")
        with pytest.raises(DifferenceError) as error:
            tasks.to(next_schema, functions=made)
        assert name in error.value.findings[0]
        assert "hunter2" not in "".join(error.value.findings)

    @pytest.mark.parametrize(
        ("body", "said"),
        [
            ("return 5", "gave int"),
            ("return record['nope']", "functions.py:2: KeyError"),
            ("return {**record, 'nope': 1}", "'nope', which is no field"),
            ("return {**record, 'state': 'LOST'}", "state is not a value of State"),
            ("return {**record, 'title': None}", "title is NULL"),
            ("return {**record, 'title': 5}", "title must be text"),
            ("return {**record, 'rank': 10**5000}", "rank is out of range"),
            ("return {**record, 'weight': 10**400}", "weight is too large"),
        ],
    )
    def test_what_a_function_must_not_give(self, tasks: Tasks, body: str, said: str) -> None:
        before = tasks.files
        with pytest.raises(DifferenceError) as error:
            tasks.to(
                (ADD[0], f"{ADD[1]}  weight Float?\n"),
                functions=tasks.functions(f"def task(record):\n    {body}\n"),
            )
        assert said in error.value.findings[0]
        assert tasks.files == before

    def test_a_number_that_python_does_not_read(self, tasks: Tasks) -> None:
        with tasks.client() as db:
            db.task.update(where={"id": 1}, data={"data": msgspec.Raw(b"9" * 5000)})
        with pytest.raises(DifferenceError, match="Task id 1: has a number of too many digits"):
            tasks.to(ADD, functions=tasks.functions("def task(record):\n    return record\n"))

    def test_a_function_that_is_named_after_no_model(self, tasks: Tasks) -> None:
        with pytest.raises(UsageError, match="tasks is no model's accessor"):
            tasks.functions("def tasks(record):\n    return record\n")


class TestPlaces:
    MOVED = """version = 1
[files]
"users/{id}.json" = "User"
[logs_per_parent]
"tasks/{userId}.jsonl" = "Task"
[logs]
"labels.jsonl" = ["TaskLabel"]
"""

    def test_a_layout_that_changes_and_back(self, tasks: Tasks) -> None:
        before = tasks.files
        tasks.to(layout=self.MOVED)
        assert (tasks.root / "tasks" / "ann.jsonl").read_bytes().count(b"\n") == 1
        assert tasks.records("labels.jsonl")[0] == {"_model": "TaskLabel", "taskId": 1, "name": "a"}
        tasks.require_sound()
        tasks.back()
        assert tasks.files == before

    def test_a_new_model_has_a_place_and_the_others_keep_theirs(self, tasks: Tasks) -> None:
        tasks.to(("enum State", "model Bill {\n  id Int @id\n}\nenum State"))
        text = read_layout_text(tasks.root)
        assert 'TaskLabel = "Task.labels"' in text
        assert '"tasks.jsonl" = ["Task"]' in text
        with tasks.client() as db:
            db.bill.create(data={"id": 1})
        tasks.require_sound()

    def test_a_parent_that_goes_leaves_its_records_a_place_of_their_own(self, tasks: Tasks) -> None:
        text = TASKS.replace("labels TaskLabel[]\n", "").replace(
            "  task   Task   @relation(fields: [taskId], references: [id], onDelete: Cascade)\n", ""
        )
        tasks.to((TASKS, text))
        assert len(tasks.records(tasks.now.place("TaskLabel").path)) == 6
        tasks.require_sound()

    def test_unknown_keys_and_the_users_files_stay(self, tasks: Tasks) -> None:
        file = tasks.root / "tasks.jsonl"
        file.write_bytes(file.read_bytes().replace(b'"id":1,', b'"id":1,"mine":[1.50],'))
        users = tasks.root / "users.json"
        users.write_bytes(users.read_bytes().replace(b'"_version": 1', b'"_version": 1,\n  "about": "us"'))
        (tasks.root / ".git").mkdir()
        (tasks.root / ".git" / "HEAD").write_text("ref")
        tasks.to(ADD)
        assert b'"mine":[1.50]' in file.read_bytes()
        assert b'"about": "us"' in users.read_bytes()
        assert (tasks.root / ".git" / "HEAD").read_text() == "ref"

    def test_a_numbered_field_counts_in_the_order_of_the_file(self, tasks: Tasks) -> None:
        tasks.to(
            ("  name   String\n  task", "  no Int @default(autoincrement())\n  name   String\n  task"),
            ("  name  String\n", "  name  String\n  at DateTime @default(now())\n"),
        )
        assert [label["no"] for r in tasks.records() for label in r["labels"]] == [1, 2, 3, 4, 5, 6]
        assert len({u["at"] for u in json.loads(tasks.files["users.json"])["users"]}) == 1


def test_a_text_that_means_the_same_is_taken_without_touching_a_record(tasks: Tasks) -> None:
    inode = (tasks.root / "tasks.jsonl").stat().st_ino
    report = tasks.to(("model User {", "// users\nmodel User {"))
    assert not report.rebuilt
    assert b"// users" in tasks.files["schema/schema.prisma"]
    assert (tasks.root / "tasks.jsonl").stat().st_ino == inode
