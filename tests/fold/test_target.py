"""The folder that an export puts in place: what stands there, and that nothing of it is ever lost."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from folders import beside, tree
from octavo.errors import DiskError, OctavoError, UsageError
from octavo.fold.scaffold import scaffold
from octavo.fold.target import State, building, state_of
from octavo.layout.load import frozen_layout
from octavo.store import disk

LAYOUT = frozen_layout()
FILE = "tags/tags.json"


def put(target: Path, text: str = "new", *, replace: bool = False) -> Path | None:
    """Put a folder in place that holds one file."""
    with building(target, LAYOUT) as built:
        (built.path / FILE).write_text(text)
        return built.put_in_place(replace=replace)


def store(target: Path, text: str = "old") -> dict[str, bytes | None]:
    scaffold(target, LAYOUT)
    (target / "auth/sessions.jsonl").write_text(text)
    return tree(target, cache=True)


class TestWhatStandsThere:
    def test_nothing(self, tmp_path: Path) -> None:
        assert state_of(tmp_path / "data", LAYOUT) is State.NOTHING
        assert state_of(tmp_path / "a" / "b", LAYOUT) is State.NOTHING

    def test_an_empty_folder_is_no_store(self, tmp_path: Path) -> None:
        assert state_of(tmp_path, LAYOUT) is State.EMPTY

    def test_a_cache_is_no_store(self, tmp_path: Path) -> None:
        (tmp_path / "cache" / "deep").mkdir(parents=True)
        (tmp_path / "cache" / "deep" / "file").touch()
        assert state_of(tmp_path, LAYOUT) is State.EMPTY

    def test_what_scaffold_makes_is_no_store(self, tmp_path: Path) -> None:
        scaffold(tmp_path / "data", LAYOUT)
        assert state_of(tmp_path / "data", LAYOUT) is State.EMPTY

    @pytest.mark.parametrize(
        "path", ["characters/x.json", "journal/changes.jsonl", f"binaries/ab/ab{'0' * 62}", "tags/tags.json"]
    )
    def test_any_other_file_of_octavos_makes_it_a_store(self, tmp_path: Path, path: str) -> None:
        scaffold(tmp_path, LAYOUT)
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_bytes(b"{}")
        assert state_of(tmp_path, LAYOUT) is State.STORE

    @pytest.mark.parametrize("path", ["note", "journal/0001", "other/x", "binaries/x", "characters/X"])
    def test_a_file_of_the_users_does_not(self, tmp_path: Path, path: str) -> None:
        scaffold(tmp_path, LAYOUT)
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_bytes(b"{}")
        assert state_of(tmp_path, LAYOUT) is State.EMPTY

    def test_without_what_scaffold_makes_every_folder_link_and_pipe_does(self, tmp_path: Path) -> None:
        folders = [tmp_path / name for name in "abcde"]
        for folder in folders:
            (folder / "tags").mkdir(parents=True)
        (folders[0] / "elsewhere").mkdir()
        (folders[1] / "characters").symlink_to(tmp_path)
        os.mkfifo(folders[2] / "pipe")
        os.mkfifo(folders[3] / "tags" / "tags.json")
        (folders[4] / "tags" / "tags.json").symlink_to("/dev/zero")
        assert [state_of(folder, LAYOUT) for folder in folders] == [State.STORE] * 5

    def test_a_file_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "data").write_text("x")
        with pytest.raises(UsageError, match="is not a folder"):
            state_of(tmp_path / "data", LAYOUT)


class TestPuttingInPlace:
    def test_where_nothing_is(self, tmp_path: Path) -> None:
        assert put(tmp_path / "data") is None
        assert (tmp_path / "data" / FILE).read_text() == "new"
        assert list(beside(tmp_path / "data")) == []

    def test_in_folders_that_are_missing(self, tmp_path: Path) -> None:
        put(tmp_path / "a" / "b" / "data")
        assert (tmp_path / "a" / "b" / "data" / FILE).exists()

    def test_folders_made_for_nothing_are_removed(self, tmp_path: Path) -> None:
        with pytest.raises(ZeroDivisionError), building(tmp_path / "a" / "b" / "data", LAYOUT):
            raise ZeroDivisionError
        assert os.listdir(tmp_path) == []

    def test_what_is_no_store_is_replaced_without_a_trace(self, tmp_path: Path) -> None:
        scaffold(tmp_path / "data", LAYOUT)
        assert put(tmp_path / "data") is None
        assert os.listdir(tmp_path) == ["data"]

    def test_its_cache_is_carried_over(self, tmp_path: Path) -> None:
        (tmp_path / "data" / "cache" / "deep").mkdir(parents=True)
        (tmp_path / "data" / "cache" / "deep" / "baseline").write_text("x")
        put(tmp_path / "data")
        assert (tmp_path / "data" / "cache" / "deep" / "baseline").read_text() == "x"

    def test_a_store_is_not_replaced_unless_wanted(self, tmp_path: Path) -> None:
        before = store(tmp_path / "data")
        with pytest.raises(UsageError, match="already holds a store"):
            put(tmp_path / "data")
        assert tree(tmp_path / "data", cache=True) == before
        assert list(beside(tmp_path / "data")) == []

    def test_a_replaced_store_is_kept_byte_for_byte(self, tmp_path: Path) -> None:
        before = store(tmp_path / "data")
        kept = put(tmp_path / "data", replace=True)
        assert kept is not None
        assert tree(kept, cache=True) == before
        assert list(beside(tmp_path / "data")) == [kept.name]
        again = put(tmp_path / "data", replace=True)
        assert again is not None
        assert again != kept
        assert tree(kept, cache=True) == before

    def test_a_store_that_came_meanwhile_is_not_lost(self, tmp_path: Path) -> None:
        with building(tmp_path / "data", LAYOUT) as built:
            before = store(tmp_path / "data")
            with pytest.raises(UsageError):
                built.put_in_place(replace=False)
        assert tree(tmp_path / "data", cache=True) == before

    def test_a_link_is_followed(self, tmp_path: Path) -> None:
        (tmp_path / "real").mkdir()
        (tmp_path / "data").symlink_to("real")
        put(tmp_path / "data")
        assert (tmp_path / "data").is_symlink()
        assert (tmp_path / "real" / FILE).exists()

    @pytest.mark.parametrize("name", ["[a-z]*?", " ", "-rf", "data.octavo-building-", "ü" * 60])
    def test_any_name_will_do(self, tmp_path: Path, name: str) -> None:
        put(tmp_path / name)
        assert put(tmp_path / name, replace=True) is not None
        assert len(os.listdir(tmp_path)) == 2

    def test_many_at_once_lose_nothing(self, tmp_path: Path) -> None:
        failures: list[OctavoError] = []

        def run(number: int) -> None:
            try:
                put(tmp_path / "data", str(number), replace=True)
            except OctavoError as error:
                failures.append(error)

        threads = [threading.Thread(target=run, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        there = {(tmp_path / name / FILE).read_text() for name in os.listdir(tmp_path)}
        assert len(there) == len(os.listdir(tmp_path)) == 8 - len(failures)
        assert all("meanwhile" in str(error) for error in failures)
        assert not any(name.startswith(".") for name in os.listdir(tmp_path))


class TestLeftovers:
    def dead(self, target: Path, code: str) -> None:
        """Run a builder that dies in the middle."""
        text = (
            "import os; from pathlib import Path; from octavo.layout.load import frozen_layout\n"
            "from octavo.fold import target; from octavo.store import disk\n"
            f"with target.building(Path({str(target)!r}), frozen_layout()) as built:\n"
            "    (built.path / 'tags/tags.json').write_text('dead')\n    " + code
        )
        subprocess.run([sys.executable, "-c", text], check=False)

    def test_of_a_dead_builder_are_swept(self, tmp_path: Path) -> None:
        self.dead(tmp_path / "data", "os._exit(1)")
        assert len(os.listdir(tmp_path)) == 1
        put(tmp_path / "data")
        assert os.listdir(tmp_path) == ["data"]

    def test_of_a_live_one_are_left(self, tmp_path: Path) -> None:
        with building(tmp_path / "data", LAYOUT) as one:
            with building(tmp_path / "data", LAYOUT) as two:
                assert one.path.is_dir()
                assert one.path != two.path
            one.put_in_place(replace=False)
        assert os.listdir(tmp_path) == ["data"]

    def test_of_another_target_are_left(self, tmp_path: Path) -> None:
        self.dead(tmp_path / "other", "os._exit(1)")
        put(tmp_path / "data")
        assert len(os.listdir(tmp_path)) == 2

    def test_a_builder_that_died_before_the_exchange_has_changed_nothing(self, tmp_path: Path) -> None:
        before = store(tmp_path / "data")
        die = "disk.exchange = lambda *a: os._exit(1); built.put_in_place(replace=True)"
        self.dead(tmp_path / "data", die)
        assert tree(tmp_path / "data", cache=True) == before
        kept = put(tmp_path / "data", replace=True)
        assert kept is not None
        assert tree(kept, cache=True) == before
        assert sorted(os.listdir(tmp_path)) == ["data", kept.name]

    def test_one_that_died_after_the_exchange_has_kept_the_old_store(self, tmp_path: Path) -> None:
        before = store(tmp_path / "data")
        die = "target._settle = lambda *a: os._exit(1); built.put_in_place(replace=True)"
        self.dead(tmp_path / "data", die)
        assert (tmp_path / "data" / FILE).read_text() == "dead"
        put(tmp_path / "data", replace=True)
        names = sorted(os.listdir(tmp_path))
        assert len(names) == 3
        assert not any(name.startswith(".") for name in names)
        assert before in [tree(tmp_path / name, cache=True) for name in names]

    def test_an_exchange_that_fails_leaves_the_old_store_and_nothing_else(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = store(tmp_path / "data")

        def fail(built: Path, target: Path) -> None:
            raise OSError(5, "Input/output error", str(target))

        monkeypatch.setattr(disk, "exchange", fail)
        with pytest.raises(DiskError, match="Input/output error"):
            put(tmp_path / "data", replace=True)
        assert tree(tmp_path / "data", cache=True) == before
        assert os.listdir(tmp_path) == ["data"]

    def test_a_file_system_without_exchange_is_said(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = store(tmp_path / "data")
        rename = disk._rename
        monkeypatch.setattr(
            disk, "_rename", lambda a, b, flags: flags != disk._EXCHANGE and rename(a, b, flags)
        )
        with pytest.raises(UsageError, match="cannot exchange"):
            put(tmp_path / "data", replace=True)
        assert tree(tmp_path / "data", cache=True) == before
        assert os.listdir(tmp_path) == ["data"]


def _can_mount(at: Path) -> bool:
    done = subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(at)], capture_output=True, check=False)
    return done.returncode == 0


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("mount"), reason="needs to mount")
def test_a_mount_point_is_said_and_keeps_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    if not _can_mount(tmp_path / "data"):
        pytest.skip("may not mount here")
    try:
        (tmp_path / "data" / "lost+found").mkdir()
        with pytest.raises(UsageError, match="mount point"):
            put(tmp_path / "data", replace=True)
        before = store(tmp_path / "data")
        with pytest.raises(UsageError, match="mount point"):
            put(tmp_path / "data", replace=True)
        assert tree(tmp_path / "data", cache=True) == before
        assert os.listdir(tmp_path) == ["data"]
        put(tmp_path / "data" / "inside")
        assert (tmp_path / "data" / "inside" / FILE).exists()
    finally:
        subprocess.run(["umount", str(tmp_path / "data")], check=True)
