"""Files → PostgreSQL: what is refused, and that a refusal leaves database and files root as they were."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from folders import edit_json, edit_line, records, tree
from octavo.errors import DamagedError, DatabaseError, DifferenceError, DriftError, OctavoError, UsageError
from octavo.fold import restore as restore_module
from octavo.fold.restore import RestoreReport, restore
from octavo.layout.load import frozen_layout
from octavo.postgres.connection import connect
from octavo.url import DatabaseUrl

LAYOUT = frozen_layout()


@pytest.fixture
def public(tmp_path: Path) -> Path:
    return tmp_path / "public"


def run(url: str, data: Path, public: Path) -> RestoreReport:
    return restore(DatabaseUrl.parse(url), data, LAYOUT, public)


def tables(url: str) -> list[str]:
    with connect(url) as connection:
        found = connection.execute(
            "SELECT relname FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace"
            " WHERE nspname = 'public' UNION SELECT typname FROM pg_type JOIN pg_namespace n"
            " ON n.oid = typnamespace WHERE nspname = 'public'"
        ).fetchall()
    return [str(row[0]) for row in found]


class Refusing:
    """Restores, and asserts that what is refused has changed nothing."""

    def __init__(self, url: str, public: Path) -> None:
        self.url, self.public = url, public

    def __call__(self, data: Path, kind: type[OctavoError], words: str) -> OctavoError:
        before = tree(self.public) if self.public.exists() else None
        with pytest.raises(kind, match=words) as caught:
            run(self.url, data, self.public)
        assert tables(self.url) == []
        assert (tree(self.public) if self.public.exists() else None) == before
        return caught.value


@pytest.fixture
def refused(database: str, public: Path) -> Refusing:
    return Refusing(database, public)


class TestDatabase:
    def test_counts_are_reported(self, database: str, exported: Path, public: Path) -> None:
        report = run(database, exported, public)
        assert report.created_tables
        assert report.payloads == sum("_sha256" in r for r in records(exported, "binaries/index.jsonl"))
        with connect(database) as connection:
            for model in LAYOUT.datamodel.tables:
                row = connection.execute(f'SELECT count(*) FROM "{model.table}"'.encode()).fetchone()
                assert row == (report.counts[model.name],)

    def test_tables_that_are_there_and_empty_are_filled(
        self, schema_database: str, exported: Path, public: Path
    ) -> None:
        assert not run(schema_database, exported, public).created_tables

    def test_prismas_own_table_is_no_obstacle(
        self, schema_database: str, exported: Path, public: Path
    ) -> None:
        with connect(schema_database) as connection:
            connection.execute(
                'CREATE TABLE "_prisma_migrations" (id varchar(36) PRIMARY KEY,'
                " checksum varchar(64) NOT NULL,"
                " finished_at timestamptz, migration_name varchar(255) NOT NULL, logs text,"
                " rolled_back_at timestamptz, started_at timestamptz NOT NULL DEFAULT now(),"
                " applied_steps_count integer NOT NULL DEFAULT 0)"
            )
            connection.execute(
                'INSERT INTO "_prisma_migrations" (id, checksum, finished_at, migration_name)'
                " VALUES ('x', 'y', now(), 'first')"
            )
        run(schema_database, exported, public)

    def test_one_row_is_enough_to_refuse(self, schema_database: str, exported: Path, public: Path) -> None:
        with connect(schema_database) as connection:
            connection.execute("INSERT INTO users (id, email, \"updatedAt\") VALUES ('u', 'u', now())")
        with pytest.raises(UsageError, match=r"not empty.*users"):
            run(schema_database, exported, public)
        assert not public.exists()

    def test_drift_is_refused(self, schema_database: str, exported: Path, public: Path) -> None:
        with connect(schema_database) as connection:
            connection.execute("ALTER TABLE tags DROP COLUMN name")
        with pytest.raises(DriftError, match="name"):
            run(schema_database, exported, public)

    def test_other_tables_are_refused(self, database: str, exported: Path, public: Path) -> None:
        with connect(database) as connection:
            connection.execute("CREATE TABLE notes (id text)")
        with pytest.raises(DriftError, match="notes"):
            run(database, exported, public)
        assert not public.exists()

    def test_a_second_restore_is_refused(self, database: str, exported: Path, public: Path) -> None:
        run(database, exported, public)
        with pytest.raises(UsageError, match="not empty"):
            run(database, exported, public)

    def test_no_database(self, exported: Path, public: Path) -> None:
        with pytest.raises(DatabaseError):
            run("postgresql://x@localhost:1/x", exported, public)

    def test_no_folder(self, refused: Refusing, tmp_path: Path) -> None:
        refused(tmp_path / "nothing", UsageError, "is no store")


class TestDamage:
    def test_documents(self, data: Path, refused: Refusing) -> None:
        (data / "tags/tags.json").write_text("{")
        refused(data, DamagedError, r"tags/tags\.json:1")
        (data / "tags/tags.json").unlink()
        refused(data, DamagedError, r"tags/tags\.json: the file is missing")

    def test_a_newer_version(self, data: Path, refused: Refusing) -> None:
        edit_json(data / "tags/tags.json", lambda d: d.update(_version=2))
        refused(data, DamagedError, "version 2")

    def test_lines(self, data: Path, refused: Refusing) -> None:
        edit_line(data / "chats/index.jsonl", 1, lambda d: d.update(title=1))
        refused(data, DamagedError, r"chats/index\.jsonl:2: Chat\.title")

    def test_a_torn_log(self, data: Path, refused: Refusing) -> None:
        path = max((data / "chats").iterdir(), key=lambda p: p.stat().st_size * (p.stem != "index"))
        path.write_bytes(path.read_bytes()[:-10])
        refused(data, DamagedError, f"{path.name}:")

    def test_a_log_that_is_gone_is_no_empty_chat(self, data: Path, refused: Refusing) -> None:
        path = next(p for p in (data / "chats").iterdir() if p.stem != "index")
        path.unlink()
        refused(data, DamagedError, f"chats/{path.name}: the log of an existing record is missing")

    def test_a_log_without_a_parent(self, data: Path, refused: Refusing) -> None:
        (data / "chats/nobody.jsonl").touch()
        refused(data, DamagedError, r"chats/nobody\.jsonl: a log whose parent does not exist")

    def test_a_record_file_under_another_name(self, data: Path, refused: Refusing) -> None:
        path = next((data / "characters").iterdir())
        path.rename(path.with_name("other.json"))
        refused(data, DamagedError, r"characters/other\.json.*belongs in another file")

    @pytest.mark.parametrize(
        ("value", "code"), [('"\\u0000"', r"U\+0000"), ('"\\ud800"', "surrogate"), ("[1e999999]", "22003")]
    )
    def test_a_value_that_postgresql_refuses(
        self, data: Path, refused: Refusing, value: str, code: str
    ) -> None:
        path = max((data / "chats").iterdir(), key=lambda p: p.stat().st_size * (p.stem != "index"))
        lines = path.read_text().splitlines()
        line = json.loads(lines[3])
        line["rawResponse"] = "\0"
        lines[3] = json.dumps(line).replace('"\\u0000"', value)
        path.write_text("\n".join(lines) + "\n")
        refused(data, DamagedError, rf"{path.name}:4: Message\.rawResponse.*{code}")

    def test_two_records_with_one_key(self, data: Path, refused: Refusing) -> None:
        edit_json(data / "tags/tags.json", lambda d: d["tags"].append(d["tags"][0]))
        key = json.loads((data / "tags/tags.json").read_text())["tags"][0]["id"]
        refused(data, DifferenceError, rf"(?s)tags_pkey.*tags/tags\.json:\d+: Tag {key}: another record")

    def test_two_records_with_one_unique_value(self, data: Path, refused: Refusing) -> None:
        def copy_email(found: Any) -> None:
            found["users"][1]["email"] = found["users"][0]["email"]

        edit_json(data / "settings/general.json", copy_email)
        error = refused(
            data, DifferenceError, r"(?s)users_email_key.*User .*another record has the same email"
        )
        assert json.loads((data / "settings/general.json").read_text())["users"][0]["email"] not in str(error)

    def test_a_record_whose_parent_is_missing(self, data: Path, refused: Refusing) -> None:
        edit_line(data / "chats/index.jsonl", 0, lambda d: d.update(characterId="nobody"))
        refused(data, DifferenceError, r"(?s)chats_characterId_fkey.*chats/index\.jsonl:1: Chat .*Character")

    def test_inconsistent_files_and_tables_that_are_there(
        self, schema_database: str, data: Path, public: Path
    ) -> None:
        edit_line(data / "chats/index.jsonl", 0, lambda d: d.update(characterId="nobody"))
        with pytest.raises(DifferenceError, match="chats_characterId_fkey"):
            run(schema_database, data, public)
        with connect(schema_database) as connection:
            assert connection.execute("SELECT count(*) FROM users").fetchone() == (0,)

    def test_what_has_no_place_in_the_database_is_said(self, data: Path, database: str, public: Path) -> None:
        edit_json(data / "tags/tags.json", lambda d: d.update(note=1))
        edit_line(data / "chats/index.jsonl", 0, lambda d: d.update(mine=1))
        (data / "notes.txt").touch()
        (data / "characters/Notes.json").touch()
        left = run(database, data, public).left_out
        assert len(left) == 3
        assert "tags/tags.json: the key 'note'" in "\n".join(left)
        assert "chats/index.jsonl (Chat): the key 'mine'" in "\n".join(left)
        assert "characters/Notes.json: a stray file" in left

    def test_superseded_lines_and_tombstones_are_obeyed(
        self, data: Path, database: str, public: Path
    ) -> None:
        path = max((data / "chats").iterdir(), key=lambda p: p.stat().st_size * (p.stem != "index"))
        first, second = (json.loads(x) for x in path.read_text().splitlines()[:2])
        with open(path, "a") as file:
            file.write(json.dumps(first | {"content": "later"}) + "\n")
            file.write(json.dumps({"_model": "Message", "id": second["id"], "_deleted": True}) + "\n")
        for record in records(data, "binaries/index.jsonl"):
            if record.get("messageId") == second["id"]:
                number = records(data, "binaries/index.jsonl").index(record)
                edit_line(data / "binaries/index.jsonl", number, lambda d: d.update(messageId=None))
        run(database, data, public)
        with connect(database) as connection:
            found = connection.execute(
                "SELECT id, content FROM messages WHERE id = ANY(%s)", [[first["id"], second["id"]]]
            ).fetchall()
        assert found == [(first["id"], "later")]


class TestPayloads:
    @pytest.fixture
    def line(self, data: Path) -> dict[str, Any]:
        return dict(next(r for r in records(data, "binaries/index.jsonl") if "_sha256" in r))

    def test_are_written_back(self, exported: Path, database: str, public: Path, sample: Any) -> None:
        run(database, exported, public)
        assert tree(public) == tree(sample[1])

    def test_the_same_file_may_be_there(
        self, exported: Path, database: str, sample: Any, tmp_path: Path
    ) -> None:
        public = Path(shutil.copytree(sample[1], tmp_path / "public"))
        before = {p: p.stat().st_mtime_ns for p in public.rglob("*") if p.is_file()}
        run(database, exported, public)
        assert {p: p.stat().st_mtime_ns for p in public.rglob("*") if p.is_file()} == before

    def test_another_file_is_never_overwritten(
        self, data: Path, refused: Refusing, line: dict[str, Any]
    ) -> None:
        (refused.public / line["filepath"]).parent.mkdir(parents=True)
        (refused.public / line["filepath"]).write_bytes(b"mine")
        refused(data, DifferenceError, "another file stands there")

    @pytest.mark.parametrize("what", ["folder", "pipe", "link"])
    def test_nor_is_anything_else(
        self, data: Path, refused: Refusing, line: dict[str, Any], what: str, tmp_path: Path
    ) -> None:
        at = refused.public / line["filepath"]
        at.parent.mkdir(parents=True)
        if what == "folder":
            at.mkdir()
        elif what == "pipe":
            os.mkfifo(at)
        else:
            at.symlink_to(tmp_path / "elsewhere")
        refused(data, DifferenceError, "stands there|symbolic link|regular file")
        assert not (tmp_path / "elsewhere").exists()

    @pytest.mark.parametrize("path", ["../outside.png", "/tmp/outside-octavo.png", "a/../../outside.png", ""])
    def test_are_never_written_outside(self, data: Path, database: str, public: Path, path: str) -> None:
        number = next(n for n, r in enumerate(records(data, "binaries/index.jsonl")) if "_sha256" in r)
        edit_line(data / "binaries/index.jsonl", number, lambda d: d.update(filepath=path))
        before = set(os.listdir(public.parent))
        report = run(database, data, public)
        assert any("was not written" in note for note in report.payload_notes)
        assert set(os.listdir(public.parent)) - before == {"public"}
        assert not Path("/tmp/outside-octavo.png").exists()

    def test_that_are_missing_or_changed_are_damage(
        self, data: Path, refused: Refusing, line: dict[str, Any]
    ) -> None:
        path = data / "binaries" / line["_sha256"][:2] / line["_sha256"]
        content = path.read_bytes()
        path.write_bytes(content + b"x")
        refused(data, DamagedError, f"{line['_sha256']}: .*digest")
        path.unlink()
        refused(data, DamagedError, f"{line['_sha256']}: the payload is missing")

    def test_two_for_one_path_are_refused(self, data: Path, refused: Refusing, line: dict[str, Any]) -> None:
        lines = records(data, "binaries/index.jsonl")
        number = next(n for n, r in enumerate(lines) if r.get("_sha256", line["_sha256"]) != line["_sha256"])
        edit_line(data / "binaries/index.jsonl", number, lambda d: d.update(filepath=line["filepath"]))
        with pytest.raises(DifferenceError, match=str(line["filepath"])):
            run(refused.url, data, refused.public)
        assert tables(refused.url) == []

    def test_rows_without_one_are_said(self, data: Path, database: str, public: Path) -> None:
        edit_line(data / "binaries/index.jsonl", 0, lambda d: d.pop("_sha256"))
        report = run(database, data, public)
        assert sum("has no payload" in note for note in report.payload_notes) == 1


class TestEnds:
    SCRIPT = """
import sys
from pathlib import Path
from octavo.layout.load import frozen_layout
from octavo.fold.restore import restore
from octavo.url import DatabaseUrl
restore(DatabaseUrl.parse(sys.argv[1]), Path(sys.argv[2]), frozen_layout(), Path(sys.argv[3]))
"""

    @pytest.mark.parametrize("after", [0.0, 0.05, 0.15, 0.3])
    def test_killed_at_any_moment_the_database_is_empty_and_it_can_be_done_again(
        self, database: str, exported: Path, public: Path, after: float
    ) -> None:
        command = [sys.executable, "-c", self.SCRIPT, database, str(exported), str(public)]
        with subprocess.Popen(command) as process:
            time.sleep(after + 0.25)
            process.send_signal(signal.SIGKILL)
        killed = process.returncode == -signal.SIGKILL
        for _ in range(200):
            with connect(database) as connection:
                row = connection.execute(
                    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                ).fetchone()
            if row == (1,):
                break
            time.sleep(0.02)
        if killed and tables(database) == []:
            run(database, exported, public)
        assert "users" in tables(database)

    def test_a_backend_that_is_terminated_changes_nothing(
        self, refused: Refusing, exported: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        finish: Callable[..., None] = restore_module._Filling.finish

        def ended(self: Any, *arguments: Any) -> None:
            with connect(refused.url) as other:
                other.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            finish(self, *arguments)

        monkeypatch.setattr(restore_module._Filling, "finish", ended)
        refused(exported, DatabaseError, "ended the connection|lost|closed")
