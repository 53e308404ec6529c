"""``octavo report`` on a real database and store: what it writes, what it says, what it keeps to itself."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import pytest

from command import Done, octavo
from octavo.demo.sample import DEMO_PEPPER
from octavo.postgres.connection import connect
from octavo.schema.native import quote, table_name
from octavo.schema.texts import frozen_schema
from octavo.store.decoded import load_datamodel

EVERY = Path(__file__).parents[1] / "schema" / "schemas" / "every.prisma"


class World:
    """A database with sample data, and a store that was made of it."""

    def __init__(self, url: str, files: Path, data: Path) -> None:
        self.url, self.files, self.data = url, files, data

    def call(self, *arguments: object, url: str | None = None) -> Done:
        return octavo(
            *arguments,
            DATABASE_URL=self.url if url is None else url,
            DATA_DIR=str(self.data),
            FILES_ROOT=str(self.files),
            ENCRYPTION_MASTER_PEPPER=DEMO_PEPPER,
        )

    @property
    def cache(self) -> Path:
        return self.data / "cache"

    def report(self) -> str:
        """The page, newly made."""
        done = self.call("report", "--json")
        assert done.code == 0, done.err
        return Path(done.answer["path"]).read_text("utf-8")

    def secrets(self) -> set[str]:
        """Every value of a secret field in the database."""
        found: set[str] = set()
        with connect(self.url) as connection:
            for model in frozen_schema().tables:
                for field in model.scalars:
                    if field.secret is not None:
                        query = f"SELECT {quote(field.column)}::text FROM {table_name(model)}"
                        found.update(row[0] for row in connection.execute(query.encode()) if row[0])
        return found


@pytest.fixture
def world(sample_database: str, sample: tuple[str, Path], exported: Path, tmp_path: Path) -> World:
    data = tmp_path / "data"
    shutil.copytree(exported, data)
    return World(sample_database, sample[1], data)


def test_it_writes_one_page_and_says_where_it_is_and_what_it_holds(world: World) -> None:
    assert world.call("inventory", "--quiet").code == 0
    assert world.call("verify", "--quiet").code == 0
    done = world.call("report", "--json")
    assert (done.code, done.err) == (0, "")
    answer = done.answer
    path = Path(answer["path"])
    assert path.parent == world.cache
    assert re.fullmatch(r"report-\d{4}-\d\d-\d\d\.html", path.name)
    assert path.stat().st_mode & 0o777 == 0o600
    assert answer["bytes"] == path.stat().st_size
    assert (answer["models"], answer["foreignKeys"]) == (23, 38)
    assert answer["records"]["database"] == answer["records"]["files"] > 0
    assert answer["verification"]["equal"] is True
    assert answer["counts"] == 2
    assert answer["phase"] == "verification"
    assert answer["problems"] == []
    assert set(answer["checklist"]) <= {"good", "bad", "unknown"}
    kept = [
        path
        for path in world.data.rglob("*")
        if path.is_file() and not {"cache", "schema"}.intersection(path.relative_to(world.data).parts)
    ]
    assert answer["files"]["bytes"] == sum(p.stat().st_size for p in kept)
    assert answer["files"]["files"] == len(kept)
    page = path.read_text("utf-8")
    assert "Equal." in page
    assert f"{answer['records']['files']:,}" in page


def test_it_says_a_line_or_nothing(world: World) -> None:
    said = world.call("report")
    assert said.code == 0
    assert re.fullmatch(r"The report is \S*/report-\S+\.html\n", said.out)
    assert (world.call("report", "--quiet").out, world.call("report", "--quiet").err) == ("", "")


def test_it_is_written_where_it_is_told_but_never_over_anything_else(world: World, tmp_path: Path) -> None:
    page = tmp_path / "pages" / "today.html"
    assert world.call("report", "--out", page).code == 0
    page.write_text(page.read_text("utf-8") + "<p>stale</p>", "utf-8")
    assert world.call("report", "--out", page).code == 0
    assert "stale" not in page.read_text("utf-8")
    note = tmp_path / "note.html"
    note.write_text("<p>mine</p>")
    refused = world.call("report", "--out", note)
    assert refused.code == 2
    assert "is not a report" in refused.err
    assert note.read_text() == "<p>mine</p>"
    assert world.call("report", "--out", tmp_path).code == 2


def test_it_changes_nothing_in_the_store(world: World) -> None:
    def everything() -> dict[str, bytes]:
        found = (p for p in world.data.rglob("*") if p.is_file())
        return {str(p): p.read_bytes() for p in found if p.name != "write.lock"}

    before = everything()
    world.call("report", "--out", world.data.parent / "page.html")
    assert everything() == before


def test_differences_are_told_by_model_and_no_secret_ever(world: World) -> None:
    secrets = world.secrets()
    assert len(secrets) > 20
    page = world.data / "settings" / "general.json"
    document = json.loads(page.read_text())
    for user in document["users"]:
        user["name"] = "SOMETHING-ELSE"
        if user["passwordHash"]:
            user["passwordHash"] = "$2b$12$" + "A" * 53
    page.write_text(json.dumps(document))
    tokens = world.data / "auth" / "verification-tokens.jsonl"
    tokens.write_text(tokens.read_text().partition("\n")[2])
    sessions = world.data / "auth" / "sessions.jsonl"
    sessions.write_text(
        re.sub(r'"sessionToken":"[^"]*', '"sessionToken":"CHANGED-TOKEN', sessions.read_text())
    )
    assert world.call("verify", "--quiet").code == 1
    text = world.report()
    assert "Not equal." in text
    assert "passwordHash" in text
    assert "not in the files" in text
    for secret in (*secrets, "A" * 53, "CHANGED-TOKEN", "SOMETHING-ELSE", DEMO_PEPPER):
        assert secret not in text
    password = re.search(r"//[^:/]*:([^@]+)@", world.url)
    assert password is None or password[1] not in text


def test_the_last_verification_that_was_finished_counts(world: World) -> None:
    assert world.call("verify", "--quiet").code == 0
    (done,) = world.cache.glob("verification-*.jsonl")
    later = done.stat().st_mtime + 60
    unfinished = world.cache / "verification-2999-01-01T000000.jsonl"
    unfinished.write_text('{"difference": {}}\n{"summ')
    os.utime(unfinished, (later, later))
    empty = world.cache / "verification-2999-01-01T000001.jsonl"
    empty.touch()
    os.utime(empty, (later, later))
    assert done.name in world.report()


def test_a_verification_whose_report_is_gone_still_has_a_verdict(world: World) -> None:
    assert world.call("verify", "--quiet").code == 0
    for report in world.cache.glob("verification-*.jsonl"):
        report.unlink()
    assert "Equal." in world.report()


def test_what_is_damaged_is_told_and_the_page_is_made(world: World) -> None:
    (world.cache / "prisma-metadata-2020-01-01.json").write_text('{"version": 1}')
    (world.cache / "verification-2020-01-01T000000.jsonl").write_text('{"summary": {"equal": 3}}\n')
    done = world.call("report", "--json")
    assert done.code == 1
    problems = done.answer["problems"]
    assert [re.sub(r":.*", "", p) for p in sorted(problems)] == [
        "cache/prisma-metadata-2020-01-01.json",
        "cache/verification-2020-01-01T000000.jsonl",
    ]
    page = Path(done.answer["path"]).read_text("utf-8")
    assert all(name in page for name in ("What could not be read", "prisma-metadata-2020-01-01.json"))


def test_a_store_that_is_damaged_is_told_by_the_checklist(world: World) -> None:
    (world.data / "tags" / "tags.json").write_text("{")
    done = world.call("report", "--json")
    assert done.code == 0
    assert done.answer["checklist"]["bad"] > 0
    assert "tags/tags.json" in Path(done.answer["path"]).read_text("utf-8")


def test_growth_is_what_inventories_counted_and_what_there_is_now(world: World) -> None:
    assert world.call("inventory", "--quiet").code == 0
    (saved,) = world.cache.glob("prisma-metadata-*.json")
    metadata = json.loads(saved.read_text())
    metadata["generatedAt"] = "2020-02-03T04:05:06Z"
    metadata["counts"]["Message"] = 1
    (world.cache / "prisma-metadata-2020-02-03.json").write_text(json.dumps(metadata))
    page = world.report()
    assert "3 counts from" in re.sub("<[^>]*>", "", page)
    assert re.search(r"Message: 1 → \d+", page)
    assert "PostgreSQL, now" in page


def test_without_a_database_or_a_store_there_is_still_the_schema(tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    data = tmp_path / "nothing"
    done = octavo("report", "--json", "--out", out, DATA_DIR=str(data))
    assert done.code == 0
    assert done.answer["files"] is None
    assert done.answer["verification"] is None
    assert not data.exists()
    text = out.read_text("utf-8")
    assert "There is no data folder yet" in text
    assert "ConnectionProfileTag" in text


def test_any_schema_has_a_report(tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    done = octavo("report", "--json", "--schema", EVERY, "--out", out, DATA_DIR=str(tmp_path / "data"))
    assert done.code == 0
    assert done.answer["models"] == len(load_datamodel(None, EVERY).tables)
    text = out.read_text("utf-8")
    assert all(f">{model.name}</text>" in text for model in load_datamodel(None, EVERY).tables)


def test_a_database_that_is_not_there_is_told(world: World) -> None:
    done = world.call("report", "--json", url="postgresql://nobody:hidden-word@127.0.0.1:1/none")
    assert done.code == 0
    page = Path(done.answer["path"]).read_text("utf-8")
    assert "not there" in page
    assert "hidden-word" not in page
