"""The commands that take care of a store, as a user meets them."""

from __future__ import annotations

import os
import re
import tarfile
from pathlib import Path

import pytest

from command import Done, octavo
from folders import edit_json, edit_line, tree
from octavo.inspect.findings import MEANINGS, Kind
from octavo.layout.load import frozen_layout
from octavo.store.store import Store

DOCS = Path(__file__).parents[2] / "docs"


def call(data: Path, *arguments: object) -> Done:
    return octavo(*arguments, DATA_DIR=str(data))


def log_of(data: Path) -> Path:
    return max(
        (p for p in data.glob("chats/*.jsonl") if p.name != "index.jsonl"), key=lambda p: p.stat().st_size
    )


def tear(data: Path) -> None:
    with open(log_of(data), "ab") as file:
        file.write(b'{"_model":"Mess')


def test_a_sound_store_in_a_line(data: Path) -> None:
    done = call(data, "doctor")
    assert (done.code, done.err) == (0, "")
    assert re.fullmatch(r"SOUND: \d+ files, \d+ records, \d+ payloads, 0 notes, in \d+\.\d s\n", done.out)
    assert call(data, "doctor", "--quiet") == Done(0, "", "")


def test_damage_with_its_place_and_what_to_do(data: Path) -> None:
    edit_line(log_of(data), 2, lambda x: x.update(role="KING"))
    (data / "chats" / "\x1b[31m.jsonl").write_text("mine")
    done = call(data, "doctor")
    assert done.code == 1
    assert "damage: cannot be read (1)" in done.out
    assert re.search(rf"^  chats/{log_of(data).name}:3: Message\.role id=\S+: ", done.out, re.MULTILINE)
    assert "→ put back what a backup has" in done.out
    assert r"chats/\x1b[31m" in done.out
    assert "\x1b" not in done.out
    assert done.out.splitlines()[-1].startswith("DAMAGED: 1 × damage, ")
    assert call(data, "doctor", "--quiet").code == 1


def test_notes_alone_are_no_damage(data: Path) -> None:
    tear(data)
    done = call(data, "doctor")
    assert done.code == 0
    assert "note: the end of a log was torn by a crash (1)" in done.out
    assert "SOUND" in done.out


def test_the_doctor_answers_a_machine(data: Path) -> None:
    edit_json(data / "tags/tags.json", lambda x: x["tags"][0].update(name=5))
    done = call(data, "doctor", "--json")
    assert (done.code, done.err) == (1, "")
    answer = done.answer
    assert (answer["sound"], answer["damage"], answer["repair"]) == (False, 1, None)
    assert answer["findingsByKind"] == {"unreadable": 1}
    (finding,) = answer["findings"]
    assert finding["kind"] == "unreadable"
    assert finding["damage"] is True
    assert (finding["file"], finding["model"], finding["field"]) == ("tags/tags.json", "Tag", "name")
    assert finding["line"] > 1
    assert list(finding["key"]) == ["id"]
    assert sum(answer["counts"].values()) > 100


def test_a_dry_run_prints_the_plan_and_does_nothing(data: Path) -> None:
    tear(data)
    before = tree(data)
    done = call(data, "doctor", "--repair", "--dry-run")
    assert done.code == 0
    assert "a repair would do this; nothing was done:" in done.out
    assert f"chats/{log_of(data).name}: cut the torn end, and keep it aside" in done.out
    assert tree(data) == before
    answer = call(data, "doctor", "--dry-run", "--json").answer["repair"]
    assert answer["planned"] == [{"action": "cut", "file": f"chats/{log_of(data).name}"}]
    assert answer["done"] == []


def test_a_repair_says_what_it_did_and_looks_again(data: Path) -> None:
    tear(data)
    done = call(data, "doctor", "--repair")
    assert (done.code, done.err) == (0, "")
    kept = re.search(r"^kept in (.+)$", done.out, re.MULTILINE)
    assert kept is not None
    assert len(list(Path(kept[1]).iterdir())) == 2
    assert "SOUND" in done.out
    assert "note:" not in done.out


def test_setting_aside_ends_with_a_sound_store(data: Path) -> None:
    with open(data / "auth/sessions.jsonl", "ab") as file:
        file.write(b"what is this?\n")
    assert call(data, "doctor", "--repair").code == 1
    done = call(data, "doctor", "--set-aside", "--json")
    assert done.code == 0
    assert done.answer["repair"]["done"] == [{"action": "set aside", "file": "auth/sessions.jsonl"}]
    assert Path(done.answer["repair"]["setAside"]).is_dir()


def test_compaction_says_what_it_gained(data: Path) -> None:
    log = log_of(data)
    whole = log.read_bytes()
    log.write_bytes(whole * 3)
    lines = whole.count(b"\n")
    done = call(data, "compact")
    assert (done.code, done.err) == (0, "")
    assert re.search(rf"^chats/{log.name}\s+{3 * lines}\s+{lines}\s", done.out, re.MULTILINE)
    assert log.read_bytes() == whole
    log.write_bytes(whole * 2)
    answer = call(data, "compact", "--json").answer
    assert [entry for entry in answer["logs"] if entry["rewritten"]] == [
        {
            "file": f"chats/{log.name}",
            "lines": {"before": 2 * lines, "after": lines},
            "bytes": {"before": 2 * len(whole), "after": len(whole)},
            "rewritten": True,
        }
    ]
    assert answer["lines"]["before"] - answer["lines"]["after"] == lines
    assert call(data, "compact", "--quiet") == Done(0, "", "")


def test_compaction_leaves_what_it_cannot_read(data: Path) -> None:
    with open(data / "auth/sessions.jsonl", "ab") as file:
        file.write(b"what is this?\n")
    done = call(data, "compact")
    assert done.code == 1
    assert re.search(r"damaged: auth/sessions\.jsonl:\d+: ", done.err)


def test_payloads_go_only_when_asked(data: Path) -> None:
    with Store.open(data, frozen_layout()) as store:
        name = store.put_payload(b"nobody's")
    path = data / "binaries" / name[:2] / name
    assert call(data, "compact").code == 0
    assert call(data, "compact", "--payloads", "--json").answer["payloadsRemoved"] == []
    os.utime(path, (1_000_000_000, 1_000_000_000))
    done = call(data, "compact", "--payloads")
    assert "removed 1 payload that no record names, 8 bytes" in done.out
    assert not path.exists()


def test_a_backup_is_made_checked_and_found_damaged(data: Path, tmp_path: Path) -> None:
    archive = tmp_path / "there.tar"
    done = call(data, "backup", archive)
    assert (done.code, done.err) == (0, "")
    assert f"archive: {archive}, " in done.out
    assert call(data, "backup", archive, "--check").out.startswith("SOUND: ")
    assert call(data, "backup", "--check", archive, "--quiet") == Done(0, "", "")
    again = call(data, "backup", archive)
    assert again.code == 2
    assert "never overwritten" in again.err
    text = bytearray(archive.read_bytes())
    with tarfile.open(archive) as tar:
        at = tar.getmember("data/tags/tags.json").offset_data
    text[at + 40] ^= 1
    archive.write_bytes(text)
    done = call(data, "backup", "--check", archive, "--json")
    assert done.code == 1
    assert done.answer["damaged"] == ["data/tags/tags.json: is not what the manifest says"]
    assert call(data, "backup", "--check").code == 2


def test_a_backup_of_a_damaged_store_is_made_and_the_damage_told(data: Path, tmp_path: Path) -> None:
    (data / "tags/tags.json").unlink()
    done = call(data, "backup", tmp_path / "there.tar")
    assert done.code == 1
    assert "tags/tags.json: is missing" in done.err
    assert call(data, "backup", "--check", tmp_path / "there.tar").code == 0


def test_a_backup_answers_a_machine(data: Path) -> None:
    answer = call(data, "backup", "--json").answer
    assert Path(answer["archive"]).parent == data.parent
    assert answer["size"] == Path(answer["archive"]).stat().st_size
    assert answer["counts"] == call(data, "doctor", "--json").answer["counts"]
    assert (answer["damaged"], answer["leftOut"]) == ([], [])


@pytest.mark.parametrize("command", ["doctor", "compact", "backup"])
def test_without_a_store_it_is_a_question_of_usage(tmp_path: Path, command: str) -> None:
    done = call(tmp_path / "nowhere", command, "--json")
    assert done.code == 2
    assert done.answer["error"]["kind"] == "UsageError"
    assert list(tmp_path.iterdir()) == []


def test_the_docs_name_every_kind_as_what_it_is() -> None:
    text = (DOCS / "operations.md").read_text("utf-8")
    table = text[text.index("| kind | damage |") :].partition("\n\n")[0]
    documented = {
        kind: damage == "yes"
        for kinds, damage in re.findall(r"^\| (`.*?) \| (yes|no) \|", table, re.MULTILINE)
        for kind in re.findall("`([^`]+)`", kinds)
    }
    assert documented == {kind.value: MEANINGS[kind].damage for kind in Kind}
