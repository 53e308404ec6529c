"""The system calls by which the disk is changed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from octavo.store import system
from octavo.store.system import SYSTEM, SyncError, sync_all


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "file").write_bytes(b"x")
    return tmp_path


def test_any_tree_is_synced(tree: Path) -> None:
    sync_all(SYSTEM, str(tree))


def test_where_syncfs_does_not_tell_of_errors_each_file_and_folder_is_synced(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(system, "_syncfs_reports", lambda: False)
    monkeypatch.setattr(system, "_sync", lambda descriptor: synced.append(os.fstat(descriptor).st_ino))
    sync_all(SYSTEM, str(tree))
    assert sorted(synced) == sorted((tree / name).stat().st_ino for name in ("a/b", "a/file", "a", "."))


def test_a_tree_that_is_not_there_cannot_be_synced(tmp_path: Path) -> None:
    with pytest.raises(SyncError):
        sync_all(SYSTEM, str(tmp_path / "gone"))
