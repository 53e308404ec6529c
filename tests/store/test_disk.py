"""The steps on which durability rests."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from octavo.errors import DiskError
from octavo.store import disk


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


@pytest.fixture(autouse=True)
def _open_umask() -> object:
    before = os.umask(0)
    yield
    os.umask(before)


def test_files_and_folders_are_the_owners_alone_whatever_the_umask(tmp_path: Path) -> None:
    disk.write_file(tmp_path / "a" / "b" / "file", b"x")
    assert mode(tmp_path / "a" / "b" / "file") == 0o600
    assert mode(tmp_path / "a") == mode(tmp_path / "a" / "b") == 0o700


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    disk.write_file(tmp_path / "file", b"old")
    with open(tmp_path / "file", "rb") as reader:
        disk.write_file(tmp_path / "file", b"new")
        assert reader.read() == b"old"
    assert (tmp_path / "file").read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["file"]


def test_what_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").mkdir()
    with pytest.raises(DiskError, match="writing file"):
        disk.write_file(tmp_path / "file", b"x")
    assert os.listdir(tmp_path) == ["file"]


def test_the_longest_name_can_be_written(tmp_path: Path) -> None:
    disk.write_file(tmp_path / ("n" * 255), b"x")
    assert os.listdir(tmp_path) == ["n" * 255]


def test_create_never_opens_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileExistsError):
        disk.create(tmp_path / "link")
    assert not (tmp_path / "elsewhere").exists()


def test_a_new_file_is_put_in_place_and_never_over_another(tmp_path: Path) -> None:
    disk.make_file(tmp_path / "file", b"first")
    with pytest.raises(FileExistsError):
        disk.make_file(tmp_path / "file", b"second")
    assert (tmp_path / "file").read_bytes() == b"first"
    assert mode(tmp_path / "file") == 0o600
    assert os.listdir(tmp_path) == ["file"]


def test_put_in_place_never_replaces(tmp_path: Path) -> None:
    (tmp_path / "built").mkdir()
    (tmp_path / "target").mkdir()
    with pytest.raises(FileExistsError):
        disk.put_in_place(tmp_path / "built", tmp_path / "target")
    assert sorted(os.listdir(tmp_path)) == ["built", "target"]
    disk.put_in_place(tmp_path / "built", tmp_path / "other")
    assert sorted(os.listdir(tmp_path)) == ["other", "target"]


def test_exchange_swaps(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    disk.exchange(tmp_path / "one", tmp_path / "two")
    assert (tmp_path / "one" / "two").exists()
    assert (tmp_path / "two" / "one").exists()


def test_a_lock_is_held_by_one_and_dies_with_its_holder(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from octavo.store import disk;"
        f"lock = disk.lock_folder(Path({str(tmp_path)!r})); print(lock, flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline().strip() != b"None"
        assert disk.is_locked(tmp_path)
        assert disk.lock_folder(tmp_path) is None
        holder.kill()
        holder.wait()
    assert not disk.is_locked(tmp_path)


def test_a_folder_that_is_gone_cannot_be_locked(tmp_path: Path) -> None:
    assert disk.lock_folder(tmp_path / "gone") is None
    assert not disk.is_locked(tmp_path / "gone")
