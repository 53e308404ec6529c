"""A backup is the store as it was at one moment, and can be put back with plain tools."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import re
import resource
import shlex
import shutil
import stat
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

import octavo as octavo_package
from folders import beside, tree
from octavo.care.backup import ArchivedFile, BackupReport, Manifest, back_up, check, schema_of
from octavo.errors import BusyError, DamagedError, DiskError, UsageError
from octavo.fold.scaffold import scaffold
from octavo.inspect.doctor import examine
from octavo.inspect.findings import Kind
from octavo.inspect.progress import Progress
from octavo.layout.load import frozen_layout
from octavo.store import phase
from octavo.store.changes import Replace
from octavo.store.journal import Entry, encode_entry
from octavo.store.store import Store
from privileges import without_privileges

LAYOUT = frozen_layout()
DOCS = Path(__file__).parents[2] / "docs"


def archived(data: Path, target: Path | None = None) -> BackupReport:
    return back_up(data, LAYOUT, target, schema_of(None))


def unpack(archive: Path, to: Path) -> Path:
    """The store in an archive, by the system's own tar."""
    to.mkdir()
    subprocess.run(["tar", "-xf", archive, "-C", to], check=True)
    return to / "data"


@pytest.mark.parametrize("ending", ["tar", "tar.gz", "tgz"])
def test_tar_gives_the_store_back(data: Path, tmp_path: Path, ending: str) -> None:
    report = archived(data, tmp_path / f"there.{ending}")
    back = unpack(tmp_path / f"there.{ending}", tmp_path / "back")
    assert tree(back) == tree(data)
    modes = {stat.S_IMODE(p.lstat().st_mode) for p in (back, *back.rglob("*")) if p.is_dir()}
    assert modes == {0o700}
    assert {stat.S_IMODE(p.lstat().st_mode) for p in back.rglob("*") if p.is_file()} == {0o600}
    assert stat.S_IMODE(report.target.stat().st_mode) == 0o600
    assert os.listdir(back / "cache") == []
    with Store.open(back, LAYOUT) as store:
        assert store.read(lambda view: view.count("Chat")) == report.manifest.counts["Chat"]
    assert examine(back, LAYOUT).findings.all() == []


def test_the_manifest_says_what_is_in_it(data: Path, tmp_path: Path) -> None:
    report = archived(data, tmp_path / "there.tar")
    with tarfile.open(tmp_path / "there.tar") as tar:
        file = tar.extractfile("manifest.json")
        assert file is not None
        manifest = json.load(file)
        assert tar.getnames()[-1] == "manifest.json"
    assert manifest["counts"] == examine(data, LAYOUT).counts
    assert manifest["format"] == 1
    assert manifest["schema"] == schema_of(None)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", manifest["madeAt"])
    files = {f"data/{path}": text for path, text in tree(data).items() if text is not None}
    assert {f["path"]: (f["size"], f["sha256"]) for f in manifest["files"]} == {
        path: (len(text), hashlib.sha256(text).hexdigest()) for path, text in files.items()
    }
    assert (report.damaged, report.left_out) == ([], [])


@pytest.mark.parametrize("number", [0, 1, 3])
def test_the_manifest_is_indented_json_though_it_is_written_piece_by_piece(number: int) -> None:
    files = [ArchivedFile(f'data/\\{n}"ö', n, f"{n}" * 64) for n in range(number)]
    made = Manifest(1, "1", 1, {"version": None}, "now", {"Tag": 3}, files)
    text = b"".join(made.text())
    assert text == msgspec.json.format(msgspec.json.encode(made), indent=2) + b"\n"
    assert msgspec.json.decode(text, type=Manifest) == made


def test_what_was_committed_is_in_it_and_the_journal_is_not(data: Path, tmp_path: Path) -> None:
    with Store.open(data, LAYOUT) as store:
        with store.transaction() as tx:
            tag = next(tx.rows("Tag"))
            tx.update([(tag, msgspec.structs.replace(tag, name="renamed", nameLower="renamed"))])
            chat = next(tx.rows("Chat"))
            tx.insert([msgspec.structs.replace(chat, id="new")])
        archived(data, tmp_path / "there.tar")
    back = unpack(tmp_path / "there.tar", tmp_path / "back")
    assert os.listdir(back / "journal") == []
    with Store.open(back, LAYOUT) as store:
        assert store.read(lambda view: view.get("Tag", tag.id)).name == "renamed"  # type: ignore[union-attr]
        assert store.read(lambda view: view.get("Chat", "new")) is not None


def test_a_crash_is_recovered_first(data: Path, tmp_path: Path) -> None:
    tags = (data / "tags/tags.json").read_text("utf-8").replace('"name": "', '"name": "re')
    (data / "journal/changes.jsonl").write_bytes(encode_entry(Entry(1, (Replace("tags/tags.json", tags),))))
    (data / "tags/tags.json").write_text("")
    archived(data, tmp_path / "there.tar")
    back = unpack(tmp_path / "there.tar", tmp_path / "back")
    assert (back / "tags/tags.json").read_text("utf-8") == tags


def test_while_writers_go_on_each_transaction_is_in_it_wholly_or_not_at_all(
    data: Path, tmp_path: Path, writer: subprocess.Popen[bytes]
) -> None:
    seen = set()
    for number in range(4):
        report = archived(data, tmp_path / f"{number}.tar")
        assert report.damaged == []
        assert check(report.target).damaged == []
        diagnosis = examine(unpack(report.target, tmp_path / f"back-{number}"), LAYOUT)
        assert set(diagnosis.findings.counted) <= {Kind.PAYLOAD_UNNAMED}
        seen.add((tmp_path / f"back-{number}/data/chats/index.jsonl").read_bytes())
        time.sleep(0.1)
    assert len(seen) == 4
    assert writer.poll() is None


def test_no_payload_is_removed_while_it_is_made(data: Path, tmp_path: Path) -> None:

    with Store.open(data, LAYOUT) as store:
        name = store.put_payload(b"nobody's")
        started, go_on = threading.Event(), threading.Event()

        class Stopping(Progress):
            def begin(self, phase: str, total: int, unit: str = "rows") -> None:
                if "payloads" in phase:
                    started.set()
                    go_on.wait(20)

        def make() -> None:
            back_up(data, LAYOUT, tmp_path / "there.tar", schema_of(None), Stopping())

        thread = threading.Thread(target=make)
        thread.start()
        assert started.wait(20)
        try:
            with pytest.raises(BusyError, match="a backup"):
                store.remove_payloads(grace=-1)
        finally:
            go_on.set()
            thread.join()
        assert [r.file for r in store.remove_payloads(grace=-1)] == [f"binaries/{name[:2]}/{name}"]
    assert (unpack(tmp_path / "there.tar", tmp_path / "back") / "binaries" / name[:2] / name).exists()


def test_nothing_is_overwritten_and_nothing_lies_in_the_store(data: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.tar").write_text("mine")
    (tmp_path / "way-in").symlink_to(data / "chats")
    before = tree(data)
    refused = {
        tmp_path / "mine.tar": "is there already",
        data / "there.tar": "in the store itself",
        data / "cache": "in the store itself",
        tmp_path / "way-in": "in the store itself",
        tmp_path / "there.zip": "is called",
        tmp_path / "nowhere" / "there.tar": "no folder",
    }
    for target, reason in refused.items():
        with pytest.raises(UsageError, match=reason):
            archived(data, target)
    assert (tmp_path / "mine.tar").read_text() == "mine"
    assert tree(data) == before
    assert sorted(beside(data)) == ["mine.tar", "way-in"]


def test_without_a_name_it_lies_beside_the_store_and_in_a_folder_if_one_is_named(
    data: Path, tmp_path: Path
) -> None:
    (tmp_path / "backups").mkdir()
    pattern = r"data\.backup-\d{4}-\d\d-\d\dT\d{6}Z\.tar\.gz"
    first, second = archived(data).target, archived(data, tmp_path / "backups").target
    assert (first.parent, second.parent) == (data.parent, tmp_path / "backups")
    assert re.fullmatch(pattern, first.name)
    assert re.fullmatch(pattern, second.name)
    assert sorted(beside(data)) == ["backups", first.name]


def test_what_was_left_by_a_kill_goes(data: Path, tmp_path: Path) -> None:
    (tmp_path / ".octavo-backup-0123").mkdir()
    (tmp_path / ".octavo-backup-0123" / "half").write_text("half")
    archived(data, tmp_path / "there.tar")
    assert sorted(beside(data)) == ["there.tar"]


def test_what_others_have_left_in_a_shared_folder_blocks_none(data: Path, tmp_path: Path) -> None:
    """It is another user's, or no folder at all."""
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / ".octavo-backup-file").write_text("mine")
    (shared / ".octavo-backup-link").symlink_to(data)
    (shared / ".octavo-backup-nowhere").symlink_to("nothing")
    for name in ("closed", "kept"):
        (shared / f".octavo-backup-{name}").mkdir()
        (shared / f".octavo-backup-{name}" / "file").write_text("mine")
    left = sorted(os.listdir(shared))
    shutil.move(data, shared / "data")
    before = tree(shared / "data")

    def back_it_up(there: Path) -> None:
        archived(there / "data", there / "there.tar")
        assert sorted(os.listdir(there)) == sorted([*left, "data", "there.tar"])

    for name, mode in (("closed", 0o000), ("kept", 0o500)):
        os.chmod(shared / f".octavo-backup-{name}", mode)
    without_privileges(shared, back_it_up)
    assert tree(shared / "data") == before


def test_if_the_disk_is_full_nothing_is_left(data: Path, tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    largest = max(path.stat().st_size for path in data.rglob("*") if path.is_file())
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest + 4096, before[1]))
    try:
        with pytest.raises(DiskError, match="making the backup"):
            archived(data, tmp_path / "there.tar")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(beside(data)) == []


def test_strays_are_kept_links_are_not_and_damage_is_told(data: Path, tmp_path: Path) -> None:
    (data / "characters/draft.json~").write_text("mine")
    (data / "chats/away").symlink_to("/etc/passwd")
    (data / "auth/sessions.jsonl").write_text("what is this?\n")
    payload = min(data.glob("binaries/??/*"))
    payload.write_bytes(b"another")
    report = archived(data, tmp_path / "there.tar")
    back = unpack(report.target, tmp_path / "back")
    assert tree(back) == {k: v for k, v in tree(data).items() if k != "chats/away"}
    assert report.left_out == ["chats/away: is a symbolic link"]
    assert [text.partition(": ")[0] for text in report.damaged] == [
        "auth/sessions.jsonl:1",
        str(payload.relative_to(data)),
    ]
    assert check(report.target).damaged == []


def test_what_a_store_lacks_is_told(data: Path, tmp_path: Path) -> None:
    gone = [data / "tags/tags.json", min(data.glob("chats/*-*.jsonl")), min(data.glob("binaries/??/*"))]
    for path in gone:
        path.unlink()
    report = archived(data, tmp_path / "there.tar")
    assert report.damaged == sorted(f"{path.relative_to(data)}: is missing" for path in gone)
    assert phase.read(data).backup is None


def test_an_empty_store_too(tmp_path: Path) -> None:
    scaffold(tmp_path / "data", LAYOUT)
    report = archived(tmp_path / "data", tmp_path / "there.tar.gz")
    assert tree(unpack(report.target, tmp_path / "back")) == tree(tmp_path / "data")


def rewritten(archive: Path, change: Callable[[tarfile.TarInfo, bytes], list[tuple[str, bytes]]]) -> None:
    """Write an archive again, each file as ``change`` has it."""
    made = archive.with_suffix(".new")
    with tarfile.open(archive) as old, tarfile.open(made, "w") as new:
        for member in old:
            content = old.extractfile(member)
            for name, data in change(member, b"" if content is None else content.read()):
                member.name, member.size = name, len(data)
                new.addfile(member, io.BytesIO(data))
    made.replace(archive)


TAG = "data/tags/tags.json"
HARM: dict[str, tuple[Callable[[tarfile.TarInfo, bytes], list[tuple[str, bytes]]], list[str]]] = {
    "a byte changed": (
        lambda m, d: [(m.name, d.replace(b"a", b"b", 1) if m.name == TAG else d)],
        [f"{TAG}: is not what the manifest says"],
    ),
    "a file gone": (lambda m, d: [] if m.name == TAG else [(m.name, d)], [f"{TAG}: is missing"]),
    "a file more": (
        lambda m, d: [(m.name, d), ("data/evil", b"x")] if m.name == TAG else [(m.name, d)],
        ["data/evil: is not in the manifest"],
    ),
}


@pytest.mark.parametrize("name", HARM)
def test_a_check_names_what_is_not_as_it_was_made(data: Path, tmp_path: Path, name: str) -> None:
    archive = archived(data, tmp_path / "there.tar").target
    assert check(archive).damaged == []
    change, expected = HARM[name]
    rewritten(archive, change)
    assert check(archive).damaged == expected


def test_an_archive_that_was_cut_or_is_none_is_damage(data: Path, tmp_path: Path) -> None:
    whole = archived(data, tmp_path / "there.tar.gz").target.read_bytes()
    plain = gzip.decompress(whole)
    cut = tmp_path / "cut.tar"
    for text in (
        whole[: len(whole) // 2],
        plain[: len(plain) // 2],
        b"",
        b"no archive at all" * 100,
        whole[:20],
    ):
        cut.write_bytes(text)
        with pytest.raises(DamagedError):
            check(cut)
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 0x40
    cut.write_bytes(flipped)
    try:
        damaged = check(cut).damaged
    except DamagedError as error:
        damaged = [error.reason]
    assert damaged
    with pytest.raises(UsageError, match="is not there"):
        check(tmp_path / "nowhere.tar")


def test_the_commands_of_the_docs_put_a_backup_back(data: Path, tmp_path: Path) -> None:
    """What docs/operations.md says, run by a shell as it stands there."""
    text = (DOCS / "operations.md").read_text("utf-8")
    section = text[text.index("### Putting one back") :]
    found = re.search(r"```sh\n(.*?)```", section, re.DOTALL)
    assert found is not None
    before = tree(data)
    (tmp_path / "bin").mkdir()
    octavo = tmp_path / "bin" / "octavo"
    octavo.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m octavo "$@"\n')
    octavo.chmod(0o700)
    archived(data, tmp_path / "data.backup.tar.gz")
    (data / "tags/tags.json").write_text("lost")
    environment = {**os.environ, "PATH": f"{octavo.parent}:{os.environ['PATH']}", "DATA_DIR": "data"}
    environment["PYTHONPATH"] = str(Path(octavo_package.__file__).parents[1])
    done = subprocess.run(
        ["sh", "-euc", found[1]], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "SOUND" in done.stdout
    assert tree(data) == before


def test_backups_of_one_second_have_names_of_their_own(data: Path, tmp_path: Path) -> None:
    made = [back_up(data, LAYOUT, None, schema_of(None)).target for _ in range(3)]
    made += [back_up(data, LAYOUT, tmp_path, schema_of(None)).target for _ in range(2)]
    assert len(set(made)) == 5
    assert all(check(archive).damaged == [] for archive in made)
