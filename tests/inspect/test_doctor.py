"""Each kind of damage, planted in a copy of a sound store, is found as what it is, and nothing else is."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from folders import edit_json, edit_line, tree, write_long_ago
from octavo.errors import BusyError, UsageError
from octavo.inspect import doctor, reading
from octavo.inspect.apart import CAN_FORK
from octavo.inspect.doctor import Diagnosis, examine
from octavo.inspect.findings import MEANINGS, Finding, Kind
from octavo.layout.load import frozen_layout
from octavo.store.changes import Append, Replace
from octavo.store.journal import Entry, encode_entry
from octavo.store.offline import at_rest
from octavo.store.store import Store

LAYOUT = frozen_layout()
Damage = Callable[[Path], object]


def logs(data: Path) -> list[Path]:
    """The chats' logs with several messages, the longest first."""
    found = [p for p in data.glob("chats/*.jsonl") if p.name != "index.jsonl"]
    return sorted(found, key=lambda p: (-p.read_bytes().count(b"\n"), p.name))


def first(data: Path, pattern: str) -> Path:
    return min(data.glob(pattern))


def add(path: Path, text: bytes) -> None:
    with open(path, "ab") as file:
        file.write(text)


def swap(path: Path, pattern: bytes, put: bytes) -> None:
    text, done = re.subn(pattern, put, path.read_bytes(), count=1)
    assert done == 1
    path.write_bytes(text)


def drop_line(path: Path, number: int) -> bytes:
    lines = path.read_bytes().splitlines(True)
    gone = lines.pop(number)
    path.write_bytes(b"".join(lines))
    return gone


def index_line(data: Path, model: str) -> int:
    """The first line of a model in the index of payloads that has one."""
    lines = (data / "binaries/index.jsonl").read_bytes().splitlines()
    return next(
        n for n, line in enumerate(lines) if json.loads(line)["_model"] == model and b"_sha256" in line
    )


def link(path: Path) -> None:
    away = path.with_name("elsewhere-" + path.name)
    target = path.parents[2] / away.name
    path.rename(target)
    path.symlink_to(target)


def twice(data: Path) -> None:
    tags = json.loads((data / "tags/tags.json").read_text("utf-8"))["tags"]
    edit_json(
        data / "tags/tags.json",
        lambda x: x["tags"].append({**tags[0], "name": "another", "nameLower": "another"}),
    )


def superseded(data: Path) -> None:
    log = logs(data)[0]
    lines = log.read_bytes().splitlines(True)
    log.write_bytes(b"".join(lines * 3) + lines[0] * 70)


def folder_in_its_place(data: Path) -> None:
    (data / "tags/tags.json").unlink()
    (data / "tags/tags.json").mkdir(0o700)


def never_kept(data: Path) -> None:
    payload_of(data, "Image").unlink()
    edit_line(data / "binaries/index.jsonl", index_line(data, "Image"), lambda x: x.pop("_sha256"))


def index_of_another_boot(data: Path) -> None:
    (data / "cache/index").mkdir(0o700)
    (data / "cache/index/0123456789abcdef").mkdir(0o700)


FINDINGS: dict[str, tuple[Damage, dict[Kind, int]]] = {
    "nothing": (lambda d: None, {}),
    # what cannot be read
    "a line that is no JSON": (lambda d: add(logs(d)[0], b"what is this?\n"), {Kind.UNREADABLE: 1}),
    "a field of another type": (
        lambda d: edit_json(d / "tags/tags.json", lambda x: x["tags"][0].update(name=5)),
        {Kind.UNREADABLE: 1},
    ),
    "a chat without a field": (
        lambda d: edit_line(d / "chats/index.jsonl", 0, lambda x: x.pop("title")),
        {Kind.UNREADABLE: 1},
    ),
    "a character that cannot be read": (
        lambda d: edit_json(first(d, "characters/*.json"), lambda x: x.update(name=None)),
        {Kind.UNREADABLE: 1},
    ),
    "a character's file cut": (
        lambda d: os.truncate(first(d, "characters/*.json"), 30),
        {Kind.UNREADABLE: 1},
    ),
    "a message in another chat's log": (
        lambda d: add(logs(d)[0], logs(d)[1].read_bytes().splitlines(True)[0]),
        {Kind.UNREADABLE: 1},
    ),
    "an empty document": (lambda d: (d / "tags/tags.json").write_text(""), {Kind.UNREADABLE: 1}),
    "NULs in the middle of a log": (
        lambda d: swap(logs(d)[0], rb'"role"', b'"ro\0e"'),
        {Kind.UNREADABLE: 1},
    ),
    "a newer document": (
        lambda d: edit_json(d / "tags/tags.json", lambda x: x.update(_version=2)),
        {Kind.NEWER: 1},
    ),
    "a newer record file": (
        lambda d: edit_json(first(d, "personas/*.json"), lambda x: x.update(_version=7)),
        {Kind.NEWER: 1},
    ),
    # what is missing, and what is too much
    "a document gone": (lambda d: (d / "tags/tags.json").unlink(), {Kind.MISSING_FILE: 1}),
    "a log gone": (lambda d: (d / "auth/sessions.jsonl").unlink(), {Kind.MISSING_FILE: 1}),
    "a chat's log gone": (lambda d: logs(d)[-1].unlink(), {Kind.MISSING_LOG: 1}),
    "a folder gone": (lambda d: shutil.rmtree(d / "personas"), {Kind.MISSING_FOLDER: 1}),
    "the journal's folder gone": (lambda d: shutil.rmtree(d / "journal"), {Kind.MISSING_FOLDER: 1}),
    "a log without its chat": (
        lambda d: (d / "chats/nobodys.jsonl").write_bytes(b""),
        {Kind.UNOWNED_LOG: 1},
    ),
    "a log with messages without its chat": (
        lambda d: (d / "chats/nobodys.jsonl").write_bytes(
            re.sub(rb'"chatId":"[^"]*"', b'"chatId":"nobodys"', logs(d)[0].read_bytes()).replace(
                b'"id":"', b'"id":"x'
            )
        ),
        {Kind.UNOWNED_LOG: 1},
    ),
    "a link in place of a document": (lambda d: link(d / "tags/tags.json"), {Kind.IN_THE_WAY: 1}),
    "a folder in place of a document": (
        folder_in_its_place,
        {Kind.IN_THE_WAY: 1},
    ),
    # what does not fit together
    "two records with one key": (twice, {Kind.SAME_KEY: 1}),
    "two users with one address": (
        lambda d: edit_json(
            d / "settings/general.json",
            lambda x: x["users"][0].update(email=x["users"][1]["email"]),
        ),
        {Kind.NOT_UNIQUE: 2},
    ),
    "a session of nobody": (
        lambda d: edit_line(d / "auth/sessions.jsonl", 0, lambda x: x.update(userId="nobody")),
        {Kind.BROKEN_REFERENCE: 1},
    ),
    # payloads
    "a payload gone": (
        lambda d: payload_of(d, "Image").unlink(),
        {Kind.PAYLOAD_MISSING: 1},
    ),
    "a payload changed": (
        lambda d: swap(payload_of(d, "Image"), rb"^.", b"\xff"),
        {Kind.PAYLOAD_DIFFERENT: 1},
    ),
    "a payload of nobody": (
        lambda d: stored(d, b"nobody's"),
        {Kind.PAYLOAD_UNNAMED: 1},
    ),
    "a record without its payload": (
        never_kept,
        {Kind.PAYLOAD_NOT_KEPT: 1},
    ),
    "a payload of another size": (
        lambda d: edit_line(d / "binaries/index.jsonl", index_line(d, "Image"), lambda x: x.update(size=1)),
        {Kind.PAYLOAD_SIZE: 1},
    ),
    # what crashes leave
    "a torn line": (lambda d: add(logs(d)[0], b'{"_model":"Message","id":"to'), {Kind.TORN: 1}),
    "a line of which only the length was stored": (lambda d: add(logs(d)[0], b"\0" * 40), {Kind.TORN: 1}),
    "a file that was being written": (
        lambda d: (d / "tags/.tags.json.01234567.new").write_bytes(b"{"),
        {Kind.LEFT_OVER: 1},
    ),
    "a payload that was being written": (
        lambda d: write_long_ago(d / "binaries/.0123456789abcdef.incoming", b"half"),
        {Kind.LEFT_OVER: 1},
    ),
    "an index of another boot": (
        index_of_another_boot,
        {Kind.STALE: 1},
    ),
    "a commit that was interrupted": (
        lambda d: journal(d, Entry(1, (Append("auth/sessions.jsonl", _size(d), "", 0),))),
        {Kind.UNFINISHED: 1},
    ),
    "a commit that never returned": (
        lambda d: (d / "journal/changes.jsonl").write_bytes(b"0123 {"),
        {Kind.UNFINISHED: 1},
    ),
    "a change in doubt": (
        lambda d: journal(d, Entry(1, (Replace("tags/tags.json", "never"),), note={"xid": "7"})),
        {Kind.UNFINISHED: 1, Kind.IN_DOUBT: 1},
    ),
    "a broken journal": (
        lambda d: (d / "journal/changes.jsonl").write_bytes(
            b"broken\n" + encode_entry(Entry(2, (Replace("tags/tags.json", "never"),)))
        ),
        {Kind.JOURNAL: 1},
    ),
    # what lies about
    "a document that others may read": (
        lambda d: (d / "settings/general.json").chmod(0o644),
        {Kind.OPEN_TO_OTHERS: 1},
    ),
    "a folder that others may enter": (lambda d: (d / "auth").chmod(0o755), {Kind.OPEN_TO_OTHERS: 1}),
    "the whole store open": (lambda d: d.chmod(0o755), {Kind.OPEN_TO_OTHERS: 1}),
    "a record whose file has another name": (lambda d: private(d / "characters/Me.json"), {Kind.STRAY: 1}),
    "a link that ends as a log does": (lambda d: (d / "chats/A.jsonl").symlink_to("/etc"), {Kind.STRAY: 1}),
    "a note in a character": (
        lambda d: edit_json(first(d, "characters/*.json"), lambda x: x.update(mine={"yes": 1})),
        {Kind.UNKNOWN_KEY: 1},
    ),
    "a note in a document": (
        lambda d: edit_json(d / "tags/tags.json", lambda x: x.update(mine=1)),
        {Kind.UNKNOWN_KEY: 1},
    ),
    "many superseded lines": (
        superseded,
        {Kind.WASTEFUL: 1},
    ),
}


def _size(data: Path) -> int:
    return (data / "auth/sessions.jsonl").stat().st_size


def payload_of(data: Path, model: str) -> Path:
    line = (data / "binaries/index.jsonl").read_bytes().splitlines()[index_line(data, model)]
    name: str = json.loads(line)["_sha256"]
    return data / "binaries" / name[:2] / name


def private(path: Path) -> None:
    path.write_text("mine", "utf-8")
    path.chmod(0o600)


def stored(data: Path, content: bytes) -> None:
    with Store.open(data, LAYOUT) as store:
        store.put_payload(content)


def journal(data: Path, *entries: Entry) -> None:
    private(data / "journal/changes.jsonl")
    (data / "journal/changes.jsonl").write_bytes(b"".join(map(encode_entry, entries)))


def close_to_others(data: Path) -> None:
    """What was planted is the owner's alone, unless that is what was planted."""
    for path in data.rglob("*"):
        if path.is_file() and not path.is_symlink():
            path.chmod(0o600)


def kinds(diagnosis: Diagnosis) -> dict[Kind, int]:
    return dict(diagnosis.findings.counted)


@pytest.mark.parametrize("name", FINDINGS)
def test_what_is_planted_is_found_and_nothing_else(data: Path, name: str) -> None:
    damage, expected = FINDINGS[name]
    damage(data)
    if Kind.OPEN_TO_OTHERS not in expected:
        close_to_others(data)
    before = tree(data)
    diagnosis = examine(data, LAYOUT)
    assert kinds(diagnosis) == expected
    assert diagnosis.sound == (not any(MEANINGS[kind].damage for kind in expected))
    assert tree(data) == before, "a look changes nothing"


def said(data: Path, jobs: int = 1) -> dict[str, Any]:
    return {k: value for k, value in examine(data, LAYOUT, jobs=jobs).to_dict().items() if k != "seconds"}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (n % 4 > 0)) for n, name in enumerate(FINDINGS)]
)
def test_each_way_of_reading_gives_the_same(data: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    FINDINGS[name][0](data)
    quick = said(data)
    monkeypatch.setattr(doctor, "_WORTH_PROCESSES", 0)
    assert said(data, jobs=3) == quick
    monkeypatch.setattr(reading.Readings, "_take_together", lambda self, logs: False)
    assert said(data) == quick
    monkeypatch.setattr(doctor, "HELD", 0)
    assert said(data) == quick
    monkeypatch.setattr(reading.Readings, "_is_clean", lambda self, file: False)
    assert said(data) == quick


@pytest.mark.skipif(not CAN_FORK, reason="needs fork")
def test_the_share_of_a_process_that_dies_is_read_here(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    swap(first(data, "chats/*-*.jsonl"), b'"role":"', b'"role":"x')
    quick, here, done = said(data), os.getpid(), reading.Readings.done

    def dying(self: reading.Readings, files: Sequence[str]) -> reading.Read:
        if os.getpid() != here:
            os.kill(os.getpid(), signal.SIGKILL)
        return done(self, files)

    monkeypatch.setattr(doctor, "_WORTH_PROCESSES", 0)
    monkeypatch.setattr(reading.Readings, "done", dying)
    assert said(data, jobs=2) == quick


def only(data: Path) -> Finding:
    (finding,) = examine(data, LAYOUT).findings.all()
    return finding


def test_a_finding_names_file_line_model_key_and_field(data: Path) -> None:
    line = logs(data)[0].read_bytes().splitlines()[3]
    edit_line(logs(data)[0], 3, lambda x: x.update(createdAt="yesterday"))
    finding = only(data)
    assert (finding.file, finding.line) == (f"chats/{logs(data)[0].name}", 4)
    assert (finding.model, finding.field) == ("Message", "createdAt")
    assert finding.key == {"id": json.loads(line)["id"]}
    assert str(finding).startswith(f"chats/{logs(data)[0].name}:4: Message.createdAt id=")


def test_what_cannot_be_told_is_said(data: Path) -> None:
    (data / "tags/tags.json").write_text("")
    diagnosis = examine(data, LAYOUT)
    assert kinds(diagnosis) == {Kind.UNREADABLE: 1}
    assert diagnosis.left_out == ["what points at a Tag: not all of these can be read"]


def test_a_tag_that_cannot_be_read_is_still_pointed_at(data: Path) -> None:
    edit_json(data / "tags/tags.json", lambda x: [tag.update(name=5) for tag in x["tags"]])
    diagnosis = examine(data, LAYOUT)
    assert kinds(diagnosis) == {Kind.UNREADABLE: diagnosis.findings.damage}
    assert diagnosis.findings.damage > 3
    assert diagnosis.left_out == []


def test_the_journal_is_taken_into_account_but_not_replayed(data: Path) -> None:
    tags = (data / "tags/tags.json").read_text("utf-8")
    chats = data / "chats/index.jsonl"
    chat = json.loads(chats.read_bytes().splitlines()[0])
    lines = (
        json.dumps({**chat, "id": "newest", "tags": [], "avatarOverrides": []}, separators=(",", ":")) + "\n"
    )
    journal(
        data,
        Entry(
            1, (Append("chats/index.jsonl", chats.stat().st_size, lines), Replace("chats/newest.jsonl", ""))
        ),
        Entry(2, (Replace("tags/tags.json", tags),)),
    )
    (data / "tags/tags.json").write_text("")
    close_to_others(data)
    before = tree(data)
    diagnosis = examine(data, LAYOUT)
    assert kinds(diagnosis) == {Kind.UNFINISHED: 1}
    assert diagnosis.counts["Chat"] == chats.read_bytes().count(b"\n") + 1
    assert tree(data) == before


def test_a_store_that_cannot_be_written_to_is_looked_over(data: Path) -> None:
    edit_json(data / "tags/tags.json", lambda x: x["tags"][0].update(name=5))
    unlocked = data / "cache"
    shutil.rmtree(unlocked)
    unlocked.write_text("no folder at all")
    unlocked.chmod(0o600)
    diagnosis = examine(data, LAYOUT)
    assert kinds(diagnosis) == {Kind.UNREADABLE: 1, Kind.IN_THE_WAY: 1}
    assert any("keeping writers out" in text for text in diagnosis.left_out)


def test_there_has_to_be_a_folder_and_somebody_who_lets_go(data: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is no store"):
        examine(tmp_path / "nowhere", LAYOUT)
    with at_rest(data), pytest.raises(BusyError):
        examine(data, LAYOUT, lock_timeout=0)


def test_secrets_are_not_shown(data: Path) -> None:
    line = json.loads((data / "auth/verification-tokens.jsonl").read_bytes().splitlines()[0])
    edit_line(data / "auth/verification-tokens.jsonl", 0, lambda x: x.update(expires="never"))
    finding = only(data)
    assert finding.key["token"].startswith("sha256:")
    assert line["token"] not in str(finding) + json.dumps(finding.to_dict())


def test_what_a_writer_is_about_is_no_finding(data: Path, writer: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 1.5
    looks = 0
    while time.monotonic() < end or looks < 3:
        diagnosis = examine(data, LAYOUT)
        diagnosis.findings.counted.pop(Kind.PAYLOAD_UNNAMED, None)
        assert kinds(diagnosis) == {}
        looks += 1
    assert writer.poll() is None
    assert (data / "chats").joinpath("index.jsonl").read_bytes().count(b"busy-") > 10


def test_after_a_kill_it_is_sound(data: Path, writer: subprocess.Popen[bytes]) -> None:
    time.sleep(0.5)
    writer.kill()
    writer.wait()
    diagnosis = examine(data, LAYOUT)
    assert diagnosis.sound
    with Store.open(data, LAYOUT):
        pass
    # A payload is stored beside the commits, and what is left of it is no reason to recover the store.
    assert set(kinds(examine(data, LAYOUT))) <= {Kind.PAYLOAD_UNNAMED, Kind.LEFT_OVER}
