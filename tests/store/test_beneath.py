"""Paths that lead out of a folder are never followed."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octavo.store.safe_path import Outside, folder_beneath, open_beneath, parts_of


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "secret").write_bytes(b"secret")
    root = tmp_path / "root"
    (root / "a" / "b").mkdir(parents=True)
    (root / "a" / "b" / "file").write_bytes(b"inside")
    (root / "link").symlink_to("../secret")
    (root / "inner").symlink_to("a/b/file")
    (root / "up").symlink_to("..")
    (root / "loop").symlink_to("loop")
    os.mkfifo(root / "fifo")
    return root


def content(root: Path, path: str) -> bytes:
    descriptor = open_beneath(root, path)
    with open(descriptor, "rb") as file:
        return file.read()


@pytest.mark.parametrize("path", ["a/b/file", "./a/b/file", "a//b/./file", "a/b/../b/file"])
def test_a_path_inside_is_opened_unless_it_holds_dots(root: Path, path: str) -> None:
    if ".." in path:
        with pytest.raises(Outside, match="by \\.\\."):
            content(root, path)
    else:
        assert content(root, path) == b"inside"


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("../secret", "by \\.\\."),
        ("a/../../secret", "by \\.\\."),
        ("/etc/hostname", "absolute"),
        ("//etc/hostname", "absolute"),
        ("link", "symbolic link"),
        ("inner", "symbolic link"),
        ("up/secret", "symbolic link"),
        ("loop", "symbolic link"),
        ("loop/x", "symbolic link"),
        ("a/b/file\0.png", "NUL"),
        ("", "names no file"),
        (".", "names no file"),
        ("./", "names no file"),
        ("a/b/file/", "names no file"),
        ("a/b", "no regular file"),
        ("fifo", "no regular file"),
    ],
)
def test_what_leads_elsewhere_is_refused(root: Path, path: str, reason: str) -> None:
    with pytest.raises(Outside, match=reason):
        content(root, path)


@pytest.mark.parametrize("path", ["nothing", "a/nothing", "nothing/file", "a/b/file/below"])
def test_what_is_not_there_is_missing(root: Path, path: str) -> None:
    with pytest.raises(FileNotFoundError):
        content(root, path)


def test_a_name_too_long_is_an_error_of_the_system(root: Path) -> None:
    with pytest.raises(OSError, match="too long"):
        content(root, "n" * 300)


def test_folders_are_made_as_far_as_they_are_missing(root: Path) -> None:
    os.close(folder_beneath(root, "new/deep/file"))
    assert (root / "new" / "deep").is_dir()
    assert not (root / "new" / "deep" / "file").exists()


@pytest.mark.parametrize("path", ["../new/file", "/new/file", "up/new/file", "loop/file"])
def test_folders_are_never_made_elsewhere(root: Path, path: str) -> None:
    before = sorted(os.listdir(root.parent))
    with pytest.raises(Outside):
        folder_beneath(root, path)
    assert sorted(os.listdir(root.parent)) == before


def test_no_descriptor_is_left_open(root: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for path in ("a/b/file", "../secret", "link", "nothing/x", "a/b", "fifo", "up/x"):
        with contextlib.suppress(Outside, OSError):
            os.close(open_beneath(root, path))
        with contextlib.suppress(Outside, OSError):
            os.close(folder_beneath(root, path))
    assert len(os.listdir("/proc/self/fd")) == before


@given(st.text(alphabet="./\\a\0~", max_size=12))
def test_the_names_on_a_path_never_lead_up(path: str) -> None:
    try:
        parts = parts_of(path)
    except Outside:
        return
    assert parts
    assert all(part not in ("", ".", "..") and "/" not in part for part in parts)
