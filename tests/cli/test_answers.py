"""What each command answers on sample data, in words and as JSON, is as recorded in ``data/answers.json``.

Times, sizes of archives, paths, servers and names of users are replaced.  After an intended change of an
answer, ``OCTAVO_RECORD=1 pytest tests/cli/test_answers.py`` records all of them anew.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from command import octavo
from folders import edit_json, edit_line
from octavo.demo.sample import DEMO_PEPPER, load_sample
from octavo.postgres.connection import connect
from octavo.postgres.embedded import EmbeddedServer
from octavo.schema.ddl import ddl
from octavo.schema.texts import frozen_schema

RECORDED = Path(__file__).with_name("data") / "answers.json"
MESSAGES = 25
VOLATILE = (
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)", "<time>"),
    (r"\d{4}-\d\d-\d\d([ T]\d\d[:-]?\d\d[:-]?\d\d)?(\.\d{3}Z)?(-\d\b)?", "<date>"),
    (r"\d\d:\d\d:\d\d", "<clock>"),
    (r"\b\d{6}Z?\b(?=\.(tar|html|json|md))", "<clock>"),
    (r"\b[0-9A-F]+/[0-9A-F]{6,}\b", "<position>"),
    (r"\b\d+\.\d s\b", "<seconds>"),
    (r" {2,}\d+\.\d {2}", "  <seconds>  "),
    (r"\b[\d,]+ records that may have changed", "<some> records that may have changed"),
    (r"\b\d+ (s|min) ago", "<age> ago"),
    (r"(?<=_)[0-9a-f]{8,}(?=\b|_)", "<token>"),
    (r"postgres(?:ql)?://\S+?/(\w+)(\?host=[^\s\"']+)?", "<database>"),
    (r"\b[\w-]+@[\w.-]+\b", "<user>"),
)


class Recorder:
    """Calls commands and keeps what they answer, by a name each."""

    def __init__(self, root: Path, settings: dict[str, str]) -> None:
        self.root, self.settings = root, settings
        self.answers: dict[str, Any] = {}
        self.varying = {"size", "first"}
        """names of whole numbers that change from run to run"""

    def call(self, *arguments: object, name: str = "", **settings: str) -> None:
        """Run a command in words and as JSON."""
        self.once(*arguments, name=name, **settings)
        self.once(*arguments, "--json", name=name, **settings)

    def once(self, *arguments: object, name: str = "", **settings: str) -> None:
        """Run a command once.  Its time columns and counts of bytes are replaced."""
        done = octavo(*arguments, **{**self.settings, **settings})
        shown: Any = self._plain(done.out).splitlines()
        if "--json" in arguments:
            shown = self._still(json.loads(done.out))
        said = self._plain(" ".join(map(str, arguments))) + (f" ({name})" if name else "")
        assert said not in self.answers
        self.answers[said] = {"code": done.code, "out": shown, "err": self._plain(done.err).splitlines()}

    def _still(self, value: Any, key: str = "") -> Any:
        """A machine's answer without what changes from run to run."""
        match value:
            case dict():
                return {self._plain(name): self._still(part, name) for name, part in value.items()}
            case list():
                return [self._still(part, key) for part in value]
            case str() if key != "system":
                return self._plain(value)
            case str() | float():
                return "<number>"
            case int() if key in self.varying:
                return "<number>"
        return value

    def _plain(self, text: str) -> str:
        text = text.replace(str(self.root), "<folder>").replace(sys.executable, "<python>")
        for pattern, word in VOLATILE:
            text = re.sub(pattern, word, text)
        return text


@pytest.fixture
def recorder(logical_server: EmbeddedServer, tmp_path: Path) -> Iterator[Recorder]:
    url = logical_server.create_database("answers")
    with connect(url) as connection:
        connection.execute(ddl(frozen_schema()).script().encode())
        load_sample(connection, tmp_path / "public", messages=MESSAGES)
    settings = {
        "DATABASE_URL": url,
        "FILES_ROOT": str(tmp_path / "public"),
        "DATA_DIR": str(tmp_path / "data"),
        "ENCRYPTION_MASTER_PEPPER": DEMO_PEPPER,
    }
    yield Recorder(tmp_path, settings)
    logical_server.drop_database("answers")


def test_every_command_answers_as_recorded(
    recorder: Recorder, new_database: Callable[..., str], tmp_path: Path
) -> None:
    _the_way(recorder, new_database, tmp_path)
    _a_damaged_store(recorder, new_database, tmp_path)
    _a_database_that_differs(recorder)
    _compare("commands", recorder.answers)


def test_the_demo_tells_what_was_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    recorder = Recorder(tmp_path, {})
    recorder.call("demo", "--messages", MESSAGES)
    _compare("demo", recorder.answers)


def _the_way(recorder: Recorder, new_database: Callable[..., str], tmp_path: Path) -> None:
    call = recorder.call
    call("schema", "show")
    call("schema", "check")
    call("schema", "json-schema", "--out", tmp_path / "schemas")
    call("inventory")
    call("scaffold")
    call("export", "--dry-run")
    recorder.once("export")
    recorder.once("export", "--replace", "--json")
    call("verify")
    call("doctor")
    call("compact", "--payloads")
    recorder.once("backup", tmp_path / "archive.tar")
    recorder.once("backup", tmp_path / "second.tar", "--json")
    call("backup", "--check", tmp_path / "archive.tar")
    call("status")
    call("secrets", "check")
    call("secrets", "rotate", "--dry-run", DATA_BACKEND="dual", ENCRYPTION_NEW_PEPPER="another")
    recorder.once("restore", DATABASE_URL=new_database(), FILES_ROOT=str(tmp_path / "back"))
    recorder.once("restore", "--json", DATABASE_URL=new_database(), FILES_ROOT=str(tmp_path / "back"))
    recorder.varying.add("bytes")
    call("report", "--out", tmp_path / "page.html")
    recorder.varying.discard("bytes")
    call("cutover", "--dry-run")
    recorder.once("cutover")
    recorder.once("cutover", "--json")
    call("status", name="cut over", DATA_BACKEND="json")
    call("rollback", "--dry-run")
    recorder.once("rollback")
    recorder.once("rollback", "--json")
    recorder.once("cutover", "--json", name="again")
    recorder.once("cleanup", "--yes")
    recorder.once("cleanup", "--yes", "--json")
    call("cleanup")
    following = {"DATA_DIR": str(tmp_path / "followed")}
    recorder.once("follow", "--until-caught-up", **following)
    recorder.once("follow", "--until-caught-up", "--json", **following)
    recorder.once("follow", "--stop", **following)
    recorder.once("follow", "--stop", "--json", **following)


def _a_damaged_store(recorder: Recorder, new_database: Callable[..., str], tmp_path: Path) -> None:
    data = tmp_path / "damaged"
    shutil.copytree(tmp_path / "data", data)
    log = max((p for p in data.glob("chats/*.jsonl") if p.name != "index.jsonl"), key=os.path.getsize)
    edit_line(log, 1, lambda x: x.update(role="KING"))
    edit_json(data / "tags/tags.json", lambda x: x["tags"].pop())
    (data / "chats" / "Stray.jsonl").write_text("mine")
    damaged = {"DATA_DIR": str(data)}
    recorder.call("doctor", name="damaged", **damaged)
    recorder.call("doctor", "--dry-run", "--set-aside", name="damaged", **damaged)
    recorder.call("verify", name="damaged", **damaged)
    recorder.call("compact", name="damaged", **damaged)
    recorder.call("restore", name="damaged", **damaged, DATABASE_URL=new_database())
    recorder.call("secrets", "check", name="damaged", DATA_BACKEND="json", **damaged)


def _a_database_that_differs(recorder: Recorder) -> None:
    with closing(connect(recorder.settings["DATABASE_URL"])) as connection:
        connection.execute(
            'ALTER TABLE "tags" ADD COLUMN "more" integer, '
            'ALTER "name" DROP NOT NULL, DROP COLUMN "updatedAt"'
        )
        connection.execute('CREATE TABLE "more" (id integer)')
        connection.commit()
    recorder.call("schema", "check", name="another database")
    recorder.once("inventory", name="another database")
    recorder.call("export", name="another database", DATA_DIR=str(recorder.root / "fresh"))


def _compare(part: str, answers: dict[str, Any]) -> None:
    recorded = json.loads(RECORDED.read_text("utf-8")) if RECORDED.exists() else {}
    if os.environ.get("OCTAVO_RECORD"):
        recorded[part] = answers
        RECORDED.write_text(_a_line_each(recorded), "utf-8")
    assert list(answers) == list(recorded[part])
    for said, answer in answers.items():
        assert "\n".join(_leaves(answer)) == "\n".join(_leaves(recorded[part][said])), said


def _leaves(value: Any, path: str = "") -> Iterator[str]:
    """Every value of an answer with the way to it, in order: keys too are in the order of a record."""
    match value:
        case dict() if value:
            for name, part in value.items():
                yield from _leaves(part, f"{path}.{name}")
        case list() if value:
            for number, part in enumerate(value):
                yield from _leaves(part, f"{path}[{number}]")
        case _:
            yield f"{path}: {value!r}"


def _a_line_each(recorded: dict[str, dict[str, Any]]) -> str:
    """JSON with a line for each answer."""
    parts = []
    for part, answers in recorded.items():
        lines = [
            f"{json.dumps(said)}: {json.dumps(answer, ensure_ascii=False)}"
            for said, answer in answers.items()
        ]
        parts.append(f"{json.dumps(part)}: {{\n" + ",\n".join(lines) + "\n}")
    return "{" + ",\n".join(parts) + "}\n"
