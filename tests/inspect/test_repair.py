"""A repair does what can be done without losing anything, keeps what it takes out, and no more."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import time
from pathlib import Path

import msgspec
import pytest

from command import octavo
from folders import beside, edit_json, edit_line, tree, write_long_ago
from octavo.errors import BusyError
from octavo.inspect.doctor import Diagnosis, examine
from octavo.inspect.findings import MEANINGS, Kind
from octavo.inspect.repair import Action, Repair, carry_out, plan
from octavo.layout.load import frozen_layout
from octavo.store.changes import Append, Replace
from octavo.store.journal import Entry, encode_entry
from octavo.store.offline import at_rest
from octavo.store.store import Store

LAYOUT = frozen_layout()
TORN = b'{"_model":"Message","id":"to'


def mend(data: Path, *, set_aside: bool = False) -> Repair:
    return carry_out(plan(examine(data, LAYOUT), LAYOUT, set_aside=set_aside), data, LAYOUT)


def kinds(diagnosis: Diagnosis) -> set[Kind]:
    return {kind for kind, number in diagnosis.findings.counted.items() if number}


def log_of(data: Path) -> Path:
    return max(
        (p for p in data.glob("chats/*.jsonl") if p.name != "index.jsonl"), key=lambda p: p.stat().st_size
    )


def pieces(repair: Repair) -> dict[str, bytes]:
    """What was kept aside: the bytes, by where they stood."""
    assert repair.aside is not None
    lines = [json.loads(line) for line in (repair.aside / "pieces.jsonl").read_bytes().splitlines()]
    found = {f"{line['file']}@{line['at']}": (repair.aside / line["piece"]).read_bytes() for line in lines}
    assert [len(data) for data in found.values()] == [line["bytes"] for line in lines]
    assert all(line["reason"] for line in lines)
    return found


def crash(data: Path) -> None:
    """Everything that a crash can leave, and an open folder."""
    log = log_of(data)
    with open(log, "ab") as file:
        file.write(TORN)
    (data / "tags/.tags.json.01234567.new").write_bytes(b"{")
    write_long_ago(data / "binaries/.0123456789abcdef.incoming", b"half")
    for name in ("index", "index/0123456789abcdef"):
        (data / "cache" / name).mkdir(0o700)
    sessions = data / "auth/sessions.jsonl"
    entry = Entry(1, (Append("auth/sessions.jsonl", sessions.stat().st_size, "", 0),))
    (data / "journal/changes.jsonl").write_bytes(encode_entry(entry))
    (data / "journal/changes.jsonl").chmod(0o600)
    (data / "auth").chmod(0o755)


def test_what_a_crash_left_is_put_in_order(data: Path) -> None:
    sound = tree(data)
    log = log_of(data)
    size = log.stat().st_size
    crash(data)
    repair = mend(data)
    assert repair.skipped == []
    assert {step.action for step in repair.done} == {*Action} - {Action.MAKE, Action.SET_ASIDE, Action.MOVE}
    assert kinds(examine(data, LAYOUT)) == set()
    assert tree(data) == sound
    assert stat.S_IMODE((data / "auth").stat().st_mode) == 0o700
    assert pieces(repair) == {f"chats/{log.name}@{size}": TORN}
    assert repair.aside is not None
    assert repair.aside.parent == data.parent
    assert stat.S_IMODE(repair.aside.stat().st_mode) == 0o700
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in repair.aside.iterdir())


def test_a_plan_does_nothing_by_itself(data: Path) -> None:
    crash(data)
    before = tree(data, cache=True)
    steps = plan(examine(data, LAYOUT), LAYOUT)
    assert "auth: close to others" in map(str, steps)
    after = tree(data, cache=True)
    assert {k: v for k, v in after.items() if k not in ("cache/write.lock",)} == before
    assert list(beside(data)) == []


def test_there_is_nothing_to_do_for_a_sound_store(data: Path) -> None:
    before = tree(data, cache=True)
    repair = mend(data, set_aside=True)
    assert (repair.done, repair.skipped, repair.aside) == ([], [], None)
    assert tree(data) == {k: v for k, v in before.items() if not k.startswith("cache/")}


def test_damage_is_never_touched_unless_asked(data: Path) -> None:
    (data / "tags/tags.json").write_text("")
    edit_line(data / "chats/index.jsonl", 0, lambda x: x.pop("title"))
    (data / "auth/sessions.jsonl").unlink()
    log_of(data).unlink()
    shutil.rmtree(data / "personas")
    for path in data.rglob("*.json*"):
        path.chmod(0o600)
    before = tree(data)
    assert mend(data).done == []
    assert tree(data) == before
    assert list(beside(data)) == []


def test_a_missing_folder_is_made_where_it_hides_no_loss(data: Path) -> None:
    shutil.rmtree(data / "journal")
    shutil.rmtree(data / "personas")
    assert [str(step) for step in mend(data).done] == ["journal: make the folder"]
    assert kinds(examine(data, LAYOUT)) == {Kind.MISSING_FOLDER}


def test_the_journal_is_replayed(data: Path) -> None:
    tags = (data / "tags/tags.json").read_text("utf-8").replace('"name": "', '"name": "re')
    (data / "journal/changes.jsonl").write_bytes(encode_entry(Entry(1, (Replace("tags/tags.json", tags),))))
    (data / "journal/changes.jsonl").chmod(0o600)
    (data / "tags/tags.json").write_text("")
    assert [step.action for step in mend(data).done] == [Action.RECOVER]
    assert (data / "tags/tags.json").read_text("utf-8") == tags
    assert os.listdir(data / "journal") == []
    assert kinds(examine(data, LAYOUT)) == set()


def test_a_journal_in_doubt_stays(data: Path) -> None:
    entry = encode_entry(Entry(1, (Replace("tags/tags.json", "never"),), note={"xid": "7"}))
    (data / "journal/changes.jsonl").write_bytes(entry)
    (data / "journal/changes.jsonl").chmod(0o600)
    assert mend(data).done == []
    assert (data / "journal/changes.jsonl").read_bytes() == entry


def test_lines_are_set_aside_byte_for_byte(data: Path) -> None:
    log = log_of(data)
    lines = log.read_bytes().splitlines(True)
    edit_line(log, 1, lambda x: x.update(role="KING"))
    broken = log.read_bytes().splitlines(True)
    log.write_bytes(b"".join([*broken[:3], b"what\xff is\tthis?\r\n", *broken[3:], TORN]))
    repair = mend(data, set_aside=True)
    at = len(broken[0])
    name = f"chats/{log.name}"
    assert pieces(repair) == {
        f"{name}@{len(b''.join(broken)) + 16}": TORN,
        f"{name}@{at}": broken[1],
        f"{name}@{len(b''.join(broken[:3]))}": b"what\xff is\tthis?\r\n",
    }
    assert log.read_bytes() == b"".join([lines[0], *lines[2:]])
    assert kinds(examine(data, LAYOUT)) <= {Kind.BROKEN_REFERENCE}


def test_elements_of_a_document_are_set_aside_and_the_rest_stays(data: Path) -> None:
    path = data / "settings/connection-profiles.json"
    edit_json(path, lambda x: x["connectionProfiles"][2].update(name=5, mine=[1, 2]))
    edit_json(path, lambda x: x.update(note="mine"))
    before = json.loads(path.read_text("utf-8"))
    repair = mend(data, set_aside=True)
    (piece,) = pieces(repair).values()
    gone = before["connectionProfiles"].pop(2)
    assert json.loads(piece) == gone
    assert json.loads(path.read_text("utf-8")) == before
    path.chmod(0o600)
    assert Kind.UNREADABLE not in kinds(examine(data, LAYOUT))


def test_the_only_element_leaves_an_empty_array(data: Path) -> None:
    path = data / "image-profiles/image-profiles.json"
    edit_json(
        path, lambda x: [x["imageProfiles"].__delitem__(slice(1, None)), x["imageProfiles"][0].pop("name")]
    )
    mend(data, set_aside=True)
    assert json.loads(path.read_text("utf-8"))["imageProfiles"] == []


def test_record_files_and_logs_of_nobody_are_set_aside_whole(data: Path) -> None:
    persona = min(data.glob("personas/*.json"))
    persona.write_bytes(b'{"_version": 1, "id": "x", "na')
    unowned = data / "chats/nobodys.jsonl"
    unowned.write_bytes(b"")
    repair = mend(data, set_aside=True)
    assert pieces(repair) == {
        f"personas/{persona.name}@0": b'{"_version": 1, "id": "x", "na',
        "chats/nobodys.jsonl@0": b"",
    }
    assert not persona.exists()
    assert not unowned.exists()


def test_a_document_that_is_none_is_not_set_aside(data: Path) -> None:
    (data / "tags/tags.json").write_text('{"_version": 1, "tags": [')
    edit_json(data / "settings/general.json", lambda x: x.update(_version=2))
    (data / "settings/general.json").chmod(0o600)
    before = tree(data)
    assert mend(data, set_aside=True).done == []
    assert tree(data) == before


def test_what_has_changed_since_it_was_looked_at_is_left_alone(data: Path) -> None:
    log = log_of(data)
    with open(log, "ab") as file:
        file.write(TORN)
    steps = plan(examine(data, LAYOUT), LAYOUT)
    with open(log, "ab") as file:
        file.write(b"rn")
    before = log.read_bytes()
    repair = carry_out(steps, data, LAYOUT)
    assert (repair.done, repair.aside) == ([], None)
    assert "has changed since" in repair.skipped[0][1]
    assert log.read_bytes() == before


def test_it_waits_for_the_write_lock(data: Path) -> None:
    crash(data)
    steps = plan(examine(data, LAYOUT), LAYOUT)
    before = tree(data)
    with at_rest(data), pytest.raises(BusyError):
        carry_out(steps, data, LAYOUT, lock_timeout=0)
    assert {**tree(data), "journal/changes.jsonl": before["journal/changes.jsonl"]} == before


def test_an_open_store_sees_what_was_done(data: Path) -> None:
    with Store.open(data, LAYOUT) as store:
        chat = store.read(lambda view: min(view.rows("Chat"), key=lambda c: c.id))
        log = data / "chats" / f"{chat.id}.jsonl"
        messages = len(store.read(lambda view: view.find("Message", ("chatId",), chat.id)))
        edit_line(log, 0, lambda x: x.update(role="KING"))
        mend(data, set_aside=True)
        assert len(store.read(lambda view: view.find("Message", ("chatId",), chat.id))) == messages - 1
        with store.transaction() as tx:
            tx.insert([msgspec.structs.replace(tx.find("Message", ("chatId",), chat.id)[0], id="new")])
    assert Kind.UNREADABLE not in kinds(examine(data, LAYOUT))
    assert log.read_bytes().count(b'"id":"new"') == 1


def test_a_writer_goes_on_meanwhile(data: Path, writer: subprocess.Popen[bytes]) -> None:
    broken = data / "auth/sessions.jsonl"
    rounds = 0
    end = time.monotonic() + 1
    while time.monotonic() < end or rounds < 2:
        with at_rest(data), open(broken, "ab") as file:
            file.write(b"what is this?\n")
        repair = mend(data, set_aside=True)
        assert list(pieces(repair).values()) == [b"what is this?\n"]
        rounds += 1
    assert writer.poll() is None
    writer.kill()
    writer.wait()
    left = examine(data, LAYOUT)
    assert not any(MEANINGS[kind].damage for kind in kinds(left))


@pytest.mark.parametrize(
    ("one", "other"),
    [("auth/sessions.jsonl", "chats/index.jsonl"), ("characters/{id}.json", "personas/{id}.json")],
    ids=["logs", "record files"],
)
def test_nothing_is_set_aside_for_a_layout_that_does_not_describe_the_files(
    data: Path, one: str, other: str
) -> None:
    path = data / "schema/layout.toml"
    text = path.read_text("utf-8")
    swapped = text.replace(one, "\0").replace(other, one).replace("\0", other)
    path.write_text(swapped, "utf-8")
    before = tree(data)
    done = octavo("doctor", "--set-aside", "--data-dir", data)
    assert done.code == 2
    assert "schema/layout.toml: the layout does not describe these files" in done.err
    assert tree(data) == before
    assert octavo("doctor", "--data-dir", data).code == 1
    path.write_text(text, "utf-8")
    assert octavo("doctor", "--data-dir", data).code == 0


def test_a_line_in_the_wrong_log_is_set_aside_still(data: Path) -> None:
    """Its own log has records: the layout is right."""
    tag = (data / "chats/index.jsonl").read_bytes().splitlines(keepends=True)[0]
    (data / "auth/sessions.jsonl").write_bytes(tag)
    assert pieces(mend(data, set_aside=True)) == {"auth/sessions.jsonl@0": tag}
