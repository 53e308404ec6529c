"""What in a data folder is not Octavo's stays where it is, whatever a command does, and is no damage."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from command import octavo
from folders import beside, tree
from foreign import LINKS, found, plant
from octavo.errors import UsageError
from octavo.fold.export import ExportOptions, export
from octavo.fold.scaffold import scaffold
from octavo.fold.target import Carried
from octavo.inspect.doctor import examine
from octavo.inspect.progress import Progress
from octavo.layout.listing import contents
from octavo.layout.load import flat_layout, frozen_layout
from octavo.schema.parser import parse_schema
from octavo.store import disk
from octavo.store.changes import Replace
from octavo.store.journal import Entry, encode_entry
from octavo.store.store import Store
from octavo.url import DatabaseUrl
from privileges import without_privileges

LAYOUT = frozen_layout()


@pytest.fixture
def data(exported: Path, tmp_path: Path) -> Path:
    """A store with files of the user's."""
    made = Path(shutil.copytree(exported, tmp_path / "data"))
    plant(made)
    return made


@pytest.fixture
def settings(data: Path, sample_database: str, sample: tuple[str, Path]) -> dict[str, str]:
    return {"DATA_DIR": str(data), "DATABASE_URL": sample_database, "FILES_ROOT": str(sample[1])}


COMMANDS: dict[str, tuple[str, ...]] = {
    "scaffold": ("scaffold",),
    "doctor": ("doctor",),
    "doctor --repair": ("doctor", "--repair"),
    "doctor --set-aside": ("doctor", "--repair", "--set-aside"),
    "compact": ("compact", "--payloads"),
    "backup": ("backup",),
    "verify": ("verify",),
    "status": ("status",),
    "report": ("report",),
    "export --replace": ("export", "--replace"),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_after_every_command_it_is_where_it_was(data: Path, settings: dict[str, str], name: str) -> None:
    before = found(data, LAYOUT)
    assert set(LINKS) < set(before)
    done = octavo(*COMMANDS[name], **settings)
    assert done.code == 0, done.err + done.out
    assert found(data, LAYOUT) == before
    assert "belong" not in done.out


def test_it_is_no_finding(data: Path) -> None:
    assert examine(data, LAYOUT).findings.all() == []


def test_a_folder_of_the_users_that_cannot_be_listed_is_no_damage(data: Path) -> None:
    """A file system that was mounted for the store has such a one."""

    def look(store: Path) -> None:
        assert examine(store, LAYOUT).findings.all() == []
        assert contents(LAYOUT, store).strays == ()

    (data / "lost+found").mkdir(0o000)
    without_privileges(data, look)


def test_recovery_sweeps_what_octavo_was_writing_and_nothing_else(data: Path) -> None:
    before = found(data, LAYOUT)
    tags = (data / "tags/tags.json").read_text("utf-8")
    (data / "journal/changes.jsonl").write_bytes(encode_entry(Entry(1, (Replace("tags/tags.json", tags),))))
    (data / "tags/.tags.json.01234567.new").write_text("half")
    with Store.open(data, LAYOUT):
        pass
    assert found(data, LAYOUT) == before


class Again:
    """Exports once more in the place of the store."""

    def __init__(self, settings: dict[str, str], data: Path) -> None:
        self.url, self.files_root = DatabaseUrl.parse(settings["DATABASE_URL"]), Path(settings["FILES_ROOT"])
        self.data = data

    def __call__(self, *, replace: bool = True, finish: Callable[[Path], None] | None = None) -> Path | None:
        options = ExportOptions(self.files_root, replace=replace, finish=finish)
        return export(self.url, self.data, LAYOUT, options, Progress()).kept


@pytest.fixture
def again(data: Path, settings: dict[str, str]) -> Again:
    return Again(settings, data)


def inodes(data: Path) -> dict[str, int]:
    return {
        path: os.lstat(data / path).st_ino
        for path, (kind, *_) in found(data, LAYOUT).items()
        if kind != 0o040000
    }


def test_replacing_copies_nothing_and_leaves_nothing_in_the_folder_that_is_kept(
    again: Again, data: Path
) -> None:
    before, at = found(data, LAYOUT), inodes(data)
    kept = again()
    assert kept is not None
    assert found(data, LAYOUT) == before
    assert inodes(data) == at
    assert found(kept, LAYOUT) == {}
    assert list(beside(data)) == [kept.name]


def test_a_repository_goes_on(again: Again, data: Path) -> None:
    shutil.rmtree(data / ".git")

    def git(*arguments: str) -> str:
        command = ["git", "-c", "user.name=a", "-c", "user.email=a@b.example", *arguments]
        return subprocess.run(command, cwd=data, check=True, capture_output=True, text=True).stdout

    (data / ".gitignore").write_text("cache/\n")
    git("init", "-q")
    git("add", "-A")
    git("commit", "-qm", "one")
    again()
    assert git("status", "--porcelain") == ""
    git("fsck", "--strict")


def test_what_the_user_does_while_the_store_is_replaced_is_kept(again: Again, data: Path) -> None:
    """In the moment between naming it in the new folder and the exchange."""
    before = found(data, LAYOUT)

    class Busy(Carried):
        def name_in(self, old: Path, new: Path) -> None:
            super().name_in(old, new)
            (old / "new").write_text("new")
            (old / "docs/new").mkdir()
            (old / "docs/new/deep").write_text("new")
            (old / "chats/notes.txt").unlink()
            (old / "characters/.gitkeep").write_text("in place")
            (old / ".other").write_text("renamed")
            (old / ".other").rename(old / ".git/HEAD")

    carried, old, new = Busy(LAYOUT), data, data.with_name("new")
    scaffold(new, LAYOUT)
    carried.name_in(old, new)
    disk.exchange(new, old)
    carried.leave(new, old)
    after = found(data, LAYOUT)
    changed = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
    assert changed == {
        "new",
        "docs/new",
        "docs/new/deep",
        "chats/notes.txt",
        "characters/.gitkeep",
        ".git/HEAD",
    }
    assert [after[path][3] for path in ("new", "docs/new/deep", "characters/.gitkeep", ".git/HEAD")] == [
        b"new",
        b"new",
        b"in place",
        b"renamed",
    ]
    assert found(new, LAYOUT) == {}


@pytest.mark.parametrize("number", [errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP])
def test_where_there_are_no_hard_links_files_are_copied(
    again: Again, data: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    (data / "docs/pipe").unlink()
    before = found(data, LAYOUT)

    def link(*_: Any, **__: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", link)
    kept = again()
    assert kept is not None
    assert found(data, LAYOUT) == before
    assert found(kept, LAYOUT) == {}


def test_what_is_mounted_in_the_folder_refuses_and_nothing_changes(
    again: Again, data: Path, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").write_text("mine")
    if subprocess.run(["mount", "--bind", tmp_path / "other", data / "empty"], check=False).returncode:
        pytest.skip("mounting is not permitted here")
    try:
        before = tree(data)
        with pytest.raises(UsageError, match="another file system"):
            again()
        assert tree(data) == before
        assert sorted(beside(data)) == ["other"]
    finally:
        subprocess.run(["umount", data / "empty"], check=True)


def test_it_makes_no_store_of_what_scaffold_makes(again: Again, data: Path) -> None:
    """A user who keeps a repository in an empty store exports into it without replacing one."""
    shutil.rmtree(data)
    scaffold(data, LAYOUT)
    plant(data)
    before = found(data, LAYOUT)
    assert again(replace=False) is None
    assert found(data, LAYOUT) == before
    assert list(beside(data)) == []


def test_a_folder_with_nothing_of_octavos_is_not_replaced_unasked(again: Again, data: Path) -> None:
    shutil.rmtree(data)
    data.mkdir()
    (data / "letter.txt").write_text("mine")
    with pytest.raises(UsageError, match="already"):
        again(replace=False)
    assert tree(data) == {"letter.txt": b"mine"}


def test_the_files_of_another_layout_stay_with_the_store_that_is_replaced(
    again: Again, data: Path, tmp_path: Path
) -> None:
    shutil.rmtree(data)
    other = flat_layout(
        parse_schema(
            'datasource db {\n provider = "postgresql"\n url = env("DATABASE_URL")\n}\n'
            "model Entry {\n id String @id\n text String\n}\nmodel Other {\n id String @id\n}\n"
        )
    )
    scaffold(data, other)
    with Store.open(data, other) as store, store.transaction() as tx:
        kind: Any = tx.rules.codecs["Entry"].record_type
        tx.insert([kind(id="a", text="b")])
    (data / "README.md").write_text("mine")
    (data / ".git").mkdir()
    (data / ".git/config.json").write_text("{}")
    kept = again()
    assert kept is not None
    assert set(found(data, LAYOUT)) == {"README.md", ".git", ".git/config.json"}
    assert sorted(path.name for path in kept.glob("*.jsonl")) == ["entry.jsonl", "other.jsonl"]
    assert examine(data, LAYOUT).findings.all() == []
