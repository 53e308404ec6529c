"""An export killed at any moment leaves what was there before, and can simply be run again."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from octavo.demo.sample import load_sample
from octavo.postgres.connection import connect

OLD = b"the old store"


def command(url: str, root: Path) -> list[str]:
    options = ["--data-dir", str(root / "data"), "--files-root", str(root / "files"), "--replace", "--quiet"]
    return [sys.executable, "-m", "octavo", "export", "--database-url", url, *options]


def tree(data: Path) -> dict[str, str]:
    """Each file's digest, ``cache/`` left out."""
    return {
        str(p.relative_to(data)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(data.rglob("*"))
        if p.is_file() and p.relative_to(data).parts[0] != "cache"
    }


@pytest.mark.parametrize("there", [False, True], ids=["nothing there", "a store there"])
def test_killed_at_random_moments(schema_database: str, tmp_path: Path, there: bool) -> None:
    with connect(schema_database) as connection:
        load_sample(connection, tmp_path / "files", messages=3000)
    data = tmp_path / "data"
    started = time.monotonic()
    subprocess.run(command(schema_database, tmp_path), check=True)
    whole, took = tree(data), time.monotonic() - started
    os.rename(data, tmp_path / "whole")
    if there:
        (data / "tags").mkdir(parents=True)
        (data / "tags" / "tags.json").write_bytes(OLD)
    old = tree(data) if there else None
    rng = random.Random(5)
    for _ in range(12):
        process = subprocess.Popen(command(schema_database, tmp_path))
        time.sleep(rng.uniform(0.1, took))
        process.send_signal(signal.SIGKILL)
        process.wait()
        if data.exists():
            found = tree(data)
            assert found in (old, whole)
            if found == whole:
                old = whole
        else:
            assert old is None
    subprocess.run(command(schema_database, tmp_path), check=True)
    assert tree(data) == whole
    # What the killed ones left has been swept; what was replaced is kept under its own name.
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []
    kept = [p for p in tmp_path.iterdir() if p.name.startswith("data.replaced-")]
    if there:
        assert sum((p / "tags" / "tags.json").read_bytes() == OLD for p in kept) == 1
