"""Each command as a user meets it: what it answers, with which code, on which stream."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from command import Done, octavo
from octavo.demo.sample import DEMO_PEPPER, load_sample
from octavo.postgres.connection import connect
from octavo.postgres.embedded import EmbeddedServer
from octavo.schema.native import quote, table_name
from octavo.schema.texts import frozen_schema

MODELS = [model.name for model in frozen_schema().tables]


@dataclass(frozen=True)
class Application:
    """A database with sample data, its payloads, and an export of it.  For reading only."""

    url: str
    files: Path
    data: Path
    secrets: tuple[str, ...]

    def call(self, *arguments: object, data: Path | None = None, pepper: str = DEMO_PEPPER) -> Done:
        return octavo(
            *arguments,
            DATABASE_URL=self.url,
            FILES_ROOT=str(self.files),
            DATA_DIR=str(data or self.data),
            ENCRYPTION_MASTER_PEPPER=pepper,
        )

    def copy(self, to: Path) -> Path:
        """A copy of the export, to be changed."""
        return Path(shutil.copytree(self.data, to))


@pytest.fixture(scope="module")
def application(
    server: EmbeddedServer, schema_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Application]:
    root = tmp_path_factory.mktemp("application")
    url = server.create_database("commands", template=schema_template)
    secrets: set[str] = set()
    with connect(url) as connection:
        load_sample(connection, root / "public", messages=200)
        for model in frozen_schema().tables:
            for field in model.scalars:
                if field.secret is not None:
                    query = f"SELECT {quote(field.column)}::text FROM {table_name(model)}"
                    secrets.update(row[0] for row in connection.execute(query.encode()) if row[0])
    made = Application(url, root / "public", root / "data", tuple(secrets))
    assert made.call("export").code == 0
    yield made
    server.drop_database("commands")


def test_the_whole_way_in_words(application: Application, database: str, tmp_path: Path) -> None:
    data = tmp_path / "data"

    def call(*arguments: object) -> str:
        done = application.call(*arguments, data=data)
        assert (done.code, done.err) == (0, "")
        assert "\x1b" not in done.out
        assert max(len(re.sub(r"\S*/\S*", "", line)) for line in done.out.splitlines()) <= 80
        return done.out

    assert "is as the schema says" in call("schema", "check")
    assert "23 models" in call("inventory")
    assert "is ready" in call("scaffold")
    dry = call("export", "--dry-run")
    assert "would be written; nothing was" in dry
    exported = call("export")
    verified = call("verify")
    restored = call("restore", "--database-url", database, "--files-root", tmp_path / "back")
    for model in MODELS:
        for shown in (dry, exported, verified, restored):
            assert re.search(rf"^{model}\s+\d", shown, re.MULTILINE)
    assert "EQUAL: " in verified
    assert "left out: nothing" in verified
    assert "made the tables and loaded" in restored
    replaced = call("export", "--replace")
    kept = re.search("the store that was there: (.+)", replaced)
    assert kept is not None
    assert Path(kept[1]).is_dir()


def test_the_whole_way_for_a_machine(application: Application, database: str, tmp_path: Path) -> None:
    data = tmp_path / "data"
    calls = {
        "check": application.call("schema", "check", "--json"),
        "show": application.call("schema", "show", "--json"),
        "schemas": application.call("schema", "json-schema", "--json", "--out", tmp_path / "schemas"),
        "inventory": application.call("inventory", "--json", data=data),
        "scaffold": application.call("scaffold", "--json", data=data),
        "export": application.call("export", "--json", data=data),
        "verify": application.call("verify", "--json", data=data),
        "restore": octavo(
            *("restore", "--json", "--database-url", database, "--data-dir", data),
            *("--files-root", tmp_path / "back"),
        ),
    }
    for name, done in calls.items():
        assert (done.code, done.err) == (0, ""), name
    answers = {name: done.answer for name, done in calls.items()}
    counts = answers["inventory"]["counts"]
    assert list(counts) == MODELS
    assert answers["export"]["counts"] == answers["restore"]["counts"] == counts
    assert answers["verify"]["equal"] is True
    assert answers["verify"]["counts"] == {m: {"database": n, "files": n} for m, n in counts.items()}
    assert answers["verify"]["leftOut"] == []
    assert all(Path(file).is_file() for file in answers["schemas"]["files"])


def test_quiet_says_nothing_unless_there_is_something(application: Application, tmp_path: Path) -> None:
    data = tmp_path / "data"
    quiet = ("schema", "check"), ("inventory",), ("scaffold",), ("export",), ("verify",), ("schema", "show")
    for command in quiet:
        assert application.call(*command, "--quiet", data=data) == Done(0, "", ""), command
    nowhere = tmp_path / "nowhere"
    done = application.call("export", "--quiet", "--replace", "--files-root", nowhere, data=data)
    assert (done.code, done.out) == (0, "")
    assert "the files root is not there" in done.err
    (data / "chats" / "Stray.jsonl").write_text("mine")
    done = application.call("verify", "--quiet", "--files-root", nowhere, data=data)
    assert (done.code, done.out) == (0, "")
    assert "1 file that nothing points at" in done.err
    assert "left out" in done.err


def test_differences_are_named(application: Application, tmp_path: Path) -> None:
    data = application.copy(tmp_path / "data")
    tags = json.loads((data / "tags" / "tags.json").read_text("utf-8"))
    first, gone = tags["tags"][0], tags["tags"].pop()
    first["name"] = "[red]\x1b[31mforged\u202e\n"
    (data / "tags" / "tags.json").write_text(json.dumps(tags), "utf-8")
    done = application.call("verify", data=data)
    assert done.code == 1
    assert "NOT EQUAL" in done.out
    assert f"different Tag id={first['id']}" in done.out
    assert f"missing Tag id={gone['id']}" in done.out
    assert r"[red]\x1b[31mforged\u202e\n" in done.out
    assert "\x1b" not in done.out
    assert "\u202e" not in done.out
    quiet = application.call("verify", "--quiet", data=data)
    assert quiet.code == 1
    assert "NOT EQUAL" in quiet.out
    machine = application.call("verify", "--json", data=data)
    assert machine.code == 1
    assert "\u202e" not in machine.out
    kinds = {
        d["key"]["id"]: (d["kind"], d["fields"]) for d in machine.answer["differences"] if d["model"] == "Tag"
    }
    assert kinds == {first["id"]: ("different", ["name"]), gone["id"]: ("missing", [])}


def test_inconsistent_records_are_named_one_by_one(
    application: Application, new_database: Callable[..., str], tmp_path: Path
) -> None:
    data = application.copy(tmp_path / "data")
    index = data / "chats" / "index.jsonl"
    index.write_text(
        re.sub(r'("_model":"Chat".*?"characterId":)"[^"]*"', r'\1"nobody"', index.read_text("utf-8")), "utf-8"
    )
    files = ("--data-dir", data, "--files-root", tmp_path / "public")
    done = octavo("restore", *files, DATABASE_URL=new_database())
    first, *others = done.err.splitlines()
    assert done.code == 1
    assert first.startswith("error: the files are not consistent: ")
    assert first.endswith(", by chats_characterId_fkey")
    assert 1 < len(others) <= 5
    assert all(re.fullmatch(r"  chats/index\.jsonl:\d+: Chat .*", line) for line in others)
    error = octavo("restore", *files, "--json", DATABASE_URL=new_database()).answer["error"]
    assert error["findings"] == [line.strip() for line in others]
    assert f"error: {error['message']}" == first


def test_payloads_to_look_at_are_counted_and_named(application: Application, tmp_path: Path) -> None:
    files = Path(shutil.copytree(application.files, tmp_path / "public"))
    missing, longer, *_ = sorted(path for path in files.rglob("*") if path.is_file())
    missing.unlink()
    longer.write_bytes(longer.read_bytes() + b"more")
    done = application.call("export", "--files-root", files, data=tmp_path / "data")
    assert done.code == 0
    assert "is missing" in done.err
    assert "kept, of another size" in done.err
    assert missing.name in done.out
    answer = application.call(
        "export", "--json", "--replace", "--files-root", files, data=tmp_path / "data"
    ).answer
    assert answer["payloads"]["problemsTotal"] == len(answer["payloads"]["problems"])
    assert sum(answer["payloads"]["problemsByReason"].values()) == answer["payloads"]["problemsTotal"]


def _spoil_documents(data: Path) -> None:
    for path in data.rglob("*.json"):
        if path.parent.name != "cache":
            text = path.read_text("utf-8")
            path.write_text(
                re.sub(r'"([0-9a-f$][^"\n]{15,})"(,?)$', r'"\1~"\2', text, flags=re.MULTILINE), "utf-8"
            )


def _cut_logs(data: Path) -> None:
    for path in data.rglob("*.jsonl"):
        if path.parent.name != "cache" and path.stat().st_size:
            path.write_bytes(path.read_bytes()[:-20])


def _double_lines(data: Path) -> None:
    for path in [*data.glob("auth/*.jsonl"), data / "binaries" / "index.jsonl"]:
        path.write_bytes(path.read_bytes().replace(b'":"', b'":["').replace(b'",', b'"],'))


def _empty_documents(data: Path) -> None:
    for path in [*data.glob("settings/*.json"), *data.glob("auth/*.json")]:
        path.write_text(re.sub(r"\[\n[^\0]*\]", "[]", path.read_text("utf-8")), "utf-8")


@pytest.mark.parametrize("harm", [None, _spoil_documents, _cut_logs, _double_lines, _empty_documents])
def test_secrets_never_show(
    application: Application,
    new_database: Callable[..., str],
    schema_template: str,
    tmp_path: Path,
    harm: Callable[[Path], None] | None,
) -> None:
    data = application.copy(tmp_path / "data")
    if harm is not None:
        harm(data)
    said = []
    for extra in ((), ("--json",)):
        said += [
            application.call("schema", "check", *extra, data=data),
            application.call("inventory", *extra, data=data),
            application.call("scaffold", *extra, data=data),
            application.call("verify", *extra, data=data),
            application.call("verify", *extra, data=data, pepper="another"),
            application.call("doctor", *extra, data=data),
            application.call("doctor", "--set-aside", "--dry-run", *extra, data=data),
            application.call("backup", tmp_path / f"{len(extra)}.tar", *extra, data=data),
            *(
                octavo(
                    "restore",
                    *extra,
                    "--database-url",
                    url,
                    "--data-dir",
                    data,
                    "--files-root",
                    tmp_path / "f",
                )
                for url in (new_database(), new_database(schema_template))
            ),
            application.call("export", *extra, data=data),
            application.call("export", "--dry-run", "--replace", *extra, data=data),
        ]
    everything = "\n".join(done.out + done.err for done in said)
    everything += "".join(path.read_text("utf-8") for path in data.glob("cache/*.*"))
    assert [secret for secret in application.secrets if secret in everything] == []
    assert DEMO_PEPPER not in everything
    assert "Traceback" not in everything
    assert "defect" not in everything
    # One of them found something in each case: the wrong pepper, if nothing else.
    assert 1 in {done.code for done in said}


def test_a_shell_completes_commands_and_options() -> None:
    def completed(*words: str) -> list[str]:
        asked = {"COMP_WORDS": " ".join(words), "COMP_CWORD": str(len(words) - 1)}
        environment = {**os.environ, **asked, "_OCTAVO_COMPLETE": "bash_complete"}
        program = Path(sys.executable).with_name("octavo")
        done = subprocess.run([program], env=environment, capture_output=True, text=True, check=True)
        return [line.partition(",")[2] for line in done.stdout.splitlines()]

    assert completed("octavo", "exp") == ["export"]
    assert completed("octavo", "export", "--dry") == ["--dry-run"]
    assert completed("octavo", "schema", "m") == ["migrate"]
