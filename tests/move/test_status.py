"""How a move stands: the phase, both sides' counts, and a checklist that is looked at each time."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from octavo.backend import DataBackend, Settings
from octavo.demo.sample import DEMO_PEPPER
from octavo.fold.inventory import generate_prisma_metadata, save_inventory
from octavo.fold.scaffold import scaffold
from octavo.layout.load import frozen_layout
from octavo.move.checklist import Item, Verdict
from octavo.move.status import Count, Looking, Status, status
from octavo.move.verify import VerifyOptions, verify
from octavo.postgres.connection import connect
from octavo.query.vocabulary import Vocabulary
from octavo.store.phase import Phase
from octavo.url import DatabaseUrl

LAYOUT = frozen_layout()
Look = Callable[..., Status]


@pytest.fixture
def look(sample_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Look:
    """The status of a move of the sample database to ``data``."""
    monkeypatch.delenv("DATA_BACKEND", raising=False)
    monkeypatch.chdir(tmp_path)

    def see(kind: str = "dual", **looking: Any) -> Status:
        settings = Settings(database_url=sample_database, data_dir=tmp_path / "data", layout=None)
        given = {"pepper": DEMO_PEPPER, **looking}
        return status(DataBackend(kind), Vocabulary(LAYOUT.datamodel), settings, Looking(**given))

    return see


def _item(found: Status, title: str) -> Item:
    return next(item for item in found.checklist if item.title.startswith(title))


def test_before_the_first_step(look: Look) -> None:
    found = look("prisma")
    assert found.phase is None
    assert found.good
    assert {c.files for c in found.counts.values()} == {None}
    assert _item(found, "uniques").verdict is Verdict.UNKNOWN
    assert _item(found, "encrypted fields readable").verdict is Verdict.GOOD


def test_the_phase_follows_the_steps(
    look: Look, sample_database: str, exported: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    save_inventory(generate_prisma_metadata(sample_database), data)
    assert look("prisma").phase is Phase.INVENTORY
    scaffold(data, LAYOUT)
    assert look("prisma").phase is Phase.SCAFFOLD
    shutil.copytree(exported, data, dirs_exist_ok=True, symlinks=True)
    verify(DatabaseUrl.parse(sample_database), data, LAYOUT, VerifyOptions(tmp_path / "public", None, 1))
    found = look()
    assert found.phase is Phase.VERIFICATION
    assert [t.phase for t in found.migration.transitions] == [
        Phase.INVENTORY,
        Phase.SCAFFOLD,
        Phase.VERIFICATION,
    ]


def test_what_stands_there_tells_the_phase_of_a_move_that_was_not_recorded(look: Look, data: Path) -> None:
    assert look().phase is Phase.DUAL_WRITE
    shutil.rmtree(data)
    scaffold(data, LAYOUT)
    assert look("prisma").phase is Phase.SCAFFOLD


def test_counts_of_the_first_inventory_and_of_both_sides_now(
    look: Look, data: Path, sample_database: str
) -> None:
    save_inventory(generate_prisma_metadata(sample_database), data)
    with closing(connect(sample_database)) as connection:
        connection.execute("DELETE FROM verification_tokens")
    save_inventory(generate_prisma_metadata(sample_database), data)
    found = look()
    assert found.counts["VerificationToken"] == Count(4, 0, 4)
    assert found.counts["Message"] == Count(150, 150, 150)


def test_every_item_of_a_sound_store_is_good(look: Look, data: Path, tmp_path: Path) -> None:
    (tmp_path / ".env.example").write_text("DATA_BACKEND=prisma\n")
    found = look()
    assert {item.verdict for item in found.checklist} == {Verdict.GOOD}
    assert found.good
    titles = " ".join(item.title for item in found.checklist)
    for named in ("23 models", "mapping", "encrypted", "referential", "uniques", "enums", "timestamps"):
        assert named in titles


def test_nothing_is_remembered(look: Look, data: Path) -> None:
    assert _item(look(), "enums").verdict is Verdict.GOOD
    index = data / "chats" / "index.jsonl"
    profiles = data / "settings" / "connection-profiles.json"
    text = profiles.read_text()
    profiles.write_text(text.replace('"OPENAI"', '"CLOSEDAI"', 1))
    broken = _item(look(), "enums")
    assert broken.verdict is Verdict.BAD
    assert "connection-profiles.json" in broken.reason
    profiles.write_text(text)
    assert _item(look(), "enums").verdict is Verdict.GOOD
    lines = index.read_text().splitlines()
    first = json.loads(lines[0])
    first["characterId"] = "nobody"
    index.write_text("\n".join([json.dumps(first), *lines[1:]]) + "\n")
    found = look()
    assert _item(found, "referential integrity").verdict is Verdict.BAD
    assert not found.good


def _spoil(field: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(record: dict[str, Any]) -> None:
        record[field] = value

    return change


@pytest.mark.parametrize(
    ("title", "file", "change"),
    [
        ("timestamps", "chats/index.jsonl", _spoil("createdAt", "yesterday")),
        ("uniques", "auth/sessions.jsonl", _spoil("sessionToken", "the same")),
        ("all 23 models", "chats/index.jsonl", _spoil("title", 7)),
    ],
)
def test_an_item_is_bad_where_the_files_are(
    look: Look, data: Path, title: str, file: str, change: Callable[[dict[str, Any]], None]
) -> None:
    lines = [json.loads(line) for line in (data / file).read_text().splitlines()]
    for line in lines[:2]:
        change(line)
    (data / file).write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert _item(look(), title).verdict is Verdict.BAD


def test_drift_is_an_item_that_is_bad(look: Look, data: Path, sample_database: str) -> None:
    with closing(connect(sample_database)) as connection:
        connection.execute("ALTER TABLE tags ADD COLUMN extra text")
    found = look()
    assert _item(found, "schema frozen").verdict is Verdict.BAD
    assert _item(found, "field mapping").verdict is Verdict.BAD
    assert not found.good


def test_another_pepper_is_told_without_a_value(look: Look, data: Path) -> None:
    found = look(pepper="another")
    secrets = _item(found, "encrypted fields readable")
    assert secrets.verdict is Verdict.BAD
    assert "ApiKey" in secrets.reason or "User" in secrets.reason
    assert _item(look(pepper=None), "encrypted fields readable").verdict is Verdict.UNKNOWN


def test_the_setting_is_documented_or_not(look: Look, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = look()
    assert _item(found, "DATA_BACKEND").verdict is Verdict.BAD
    assert found.good, "it says nothing against the data"
    monkeypatch.setenv("DATA_BACKEND", "dual")
    assert _item(look(), "DATA_BACKEND").verdict is Verdict.GOOD


def test_a_quick_look_reads_no_records(look: Look, data: Path) -> None:
    found = look(quick=True)
    assert not found.checklist
    assert not found.counts
    assert found.good


def test_on_the_files_the_database_need_not_be_there(data: Path, tmp_path: Path) -> None:
    settings = Settings(database_url="postgresql://u@127.0.0.1:1/x", data_dir=data, layout=None)
    found = status(DataBackend.JSON, Vocabulary(LAYOUT.datamodel), settings, Looking(pepper=DEMO_PEPPER))
    assert found.good
    assert _item(found, "schema frozen").verdict is Verdict.UNKNOWN
    assert _item(found, "uniques").verdict is Verdict.GOOD


def test_what_ends_a_look_at_what_cannot_be_used(look: Look, data: Path) -> None:
    layout = Vocabulary(LAYOUT.datamodel)
    for url, code in (("", 2), ("mysql://u@h/x", 2), ("postgresql://u@127.0.0.1:1/x", 3)):
        settings = Settings(database_url=url, data_dir=data, layout=None)
        assert status(DataBackend.DUAL, layout, settings).exit_code == code
        assert status(DataBackend.JSON, layout, settings).exit_code == 0
    shutil.rmtree(data / "journal")
    for kind in DataBackend:
        found = look(kind)
        assert (found.store, found.exit_code) == ("journal: the folder is missing", 1)
    shutil.rmtree(data)
    assert look("json").exit_code == 2


def _obey_permissions() -> None:
    """Let this process be refused what the permissions refuse, if it is root's."""
    drop_from_bounding_set, may_override, may_read = 24, 1, 2
    libc = ctypes.CDLL(None)
    for capability in (may_override, may_read):
        libc.prctl(drop_from_bounding_set, capability, 0, 0, 0)


def test_a_store_that_cannot_be_written_to_can_be_looked_at(data: Path) -> None:
    (data / "cache" / "write.lock").touch()
    (data / "cache" / "write.lock").chmod(0o400)
    command = [sys.executable, "-m", "octavo", "status", "--quick", "--data-dir", str(data)]
    environment = os.environ | {"DATA_BACKEND": "json", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        command, env=environment, preexec_fn=_obey_permissions, capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")
