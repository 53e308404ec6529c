"""A command that the disk has no room for says so and ends, whatever its workers are at.

Each runs in a process of its own, so that one that does not end fails its test and holds up nobody.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from octavo.postgres.connection import connect
from octavo.postgres.embedded import EmbeddedServer

PATIENCE = 60
"""seconds after which a command counts as one that does not end"""
NO_ROOM = ("sh", "-c", 'ulimit -f 0; exec "$@"', "sh")
"""what runs a command that can make files and write nothing into them"""


def octavo(url: str, *arguments: object, before: Sequence[str] = ()) -> tuple[int, str]:
    """Run a command, behind another if need be.  Gives the exit code and what was said."""
    done = subprocess.run(
        [*before, sys.executable, "-m", "octavo", *map(str, arguments)],
        env={**os.environ, "DATABASE_URL": url, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    return done.returncode, done.stderr


@contextmanager
def small_disk(at: Path, kilobytes: int) -> Iterator[None]:
    """A file system of its own, where it may be mounted."""
    mount = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(at)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("may not mount here")
    try:
        yield
    finally:
        subprocess.run(["umount", str(at)], check=True)


@pytest.fixture
def url(server: EmbeddedServer, sample: tuple[str, Path]) -> str:
    return server.url(sample[0], schema="public")


@pytest.mark.parametrize(
    "jobs", [2, pytest.param(1, marks=pytest.mark.slow), pytest.param(4, marks=pytest.mark.slow)]
)
def test_where_nothing_can_be_written(url: str, sample: tuple[str, Path], tmp_path: Path, jobs: int) -> None:
    """Every worker fails with its first file, in the middle of its rows."""
    options = ("--data-dir", tmp_path / "data", "--files-root", sample[1], "--jobs", jobs)
    code, said = octavo(url, "export", *options, before=NO_ROOM)
    assert code == 3, said
    assert "writing the export: File too large" in said
    assert os.listdir(tmp_path) == []


def full(url: str, files_root: Path, at: Path, kilobytes: int) -> None:
    with small_disk(at, kilobytes):
        code, said = octavo(url, "export", "--data-dir", at / "data", "--files-root", files_root)
        assert code == 3, said
        assert "No space left" in said
        assert os.listdir(at) == []


def test_a_full_disk(url: str, sample: tuple[str, Path], tmp_path: Path) -> None:
    full(url, sample[1], tmp_path, 96)


@pytest.mark.slow
@pytest.mark.parametrize("kilobytes", range(32, 257, 4))
def test_a_disk_that_is_full_at_any_point(
    url: str, sample: tuple[str, Path], tmp_path: Path, kilobytes: int
) -> None:
    full(url, sample[1], tmp_path, kilobytes)


def test_a_verification_without_room(
    url: str, sample: tuple[str, Path], exported: Path, tmp_path: Path
) -> None:
    data = Path(shutil.copytree(exported, tmp_path / "data"))
    for log in (data / "chats").glob("*-*.jsonl"):
        log.write_text(log.read_text().replace('"role":"USER"', '"role":"ASSISTANT"'))
    code, said = octavo(url, "verify", "--data-dir", data, "--files-root", sample[1], before=NO_ROOM)
    assert code == 3, said
    assert "comparing in a temporary file" in said


def test_a_restore_without_room(database: str, exported: Path, tmp_path: Path) -> None:
    code, said = octavo(
        *(database, "restore", "--data-dir", exported, "--files-root", tmp_path / "public"), before=NO_ROOM
    )
    assert code == 3, said
    assert "writing payloads: File too large" in said
    with closing(connect(database)) as connection:
        tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
        assert connection.execute(tables).fetchone() == (0,)
