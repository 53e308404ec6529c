"""An export that is killed, or that the disk fails, at any system call loses nothing and can be run again.

The calls that change the disk are counted by an undisturbed run under strace; then one run after the other is
struck at one of them.  By default some of them are, with ``-m slow`` all.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from folders import tree
from octavo.layout.layout import frozen_layout
from octavo.migrate.export import ExportOptions, export
from octavo.postgres.url import DatabaseUrl

CALLS = ("mkdir", "write", "rename", "renameat2", "syncfs", "fsync", "unlink", "unlinkat", "rmdir")
SCRIPT = """
import sys
from pathlib import Path
from octavo.errors import DiskError, OctavoError
from octavo.layout.layout import frozen_layout
from octavo.migrate.export import ExportOptions, export
from octavo.postgres.url import DatabaseUrl
options = ExportOptions(Path(sys.argv[3]), jobs=1, replace=True)
try:
    export(DatabaseUrl.parse(sys.argv[1]), Path(sys.argv[2]), frozen_layout(), options)
except OctavoError as error:
    sys.exit(error.exit_code if isinstance(error, DiskError) else 9)
"""

pytestmark = pytest.mark.skipif(not shutil.which("strace"), reason="needs strace")


class Struck:
    """Runs the export in a process of its own, struck at one system call."""

    def __init__(self, url: str, target: Path, files_root: Path) -> None:
        self.url, self.target, self.files_root = url, target, files_root

    def command(self) -> list[str]:
        return [sys.executable, "-c", SCRIPT, self.url, str(self.target), str(self.files_root)]

    def count(self, log: Path) -> dict[str, int]:
        """How often each call is made in a run that nothing disturbs."""
        trace = ["strace", "-f", "-qq", "-o", str(log), "-e", f"trace={','.join(CALLS)}"]
        subprocess.run([*trace, *self.command()], check=True)
        names = re.findall(r"^\d+ +(\w+)\(", log.read_text(), re.MULTILINE)
        return {name: names.count(name) for name in CALLS}

    def strike(self, call: str, number: int, how: str) -> tuple[int, str]:
        """The exit code and what was printed."""
        inject = f"inject={call}:{how}:when={number}"
        trace = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e", inject]
        done = subprocess.run([*trace, *self.command()], capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr


@pytest.fixture
def struck(sample_database: str, sample: tuple[str, Path], exported: Path, tmp_path: Path) -> Struck:
    """Strikes at an export that is to replace a store, in a folder of its own."""
    root = tmp_path / "root"
    root.mkdir()
    (root / "data").mkdir()
    (root / "data" / "mine").write_text("mine")
    (root / "data" / "cache").mkdir()
    (root / "data" / "cache" / "baseline").write_text("baseline")
    return Struck(sample_database, root / "data", sample[1])


def whole(folder: Path) -> dict[str, bytes | None]:
    return tree(folder, cache=True)


def moments(counts: dict[str, int], each: int) -> Iterator[tuple[str, int]]:
    """Some moments of each call: the first, the last, and some between."""
    for call, count in counts.items():
        chosen = {1, count, *(1 + n * count // each for n in range(each))} if each else range(1, count + 1)
        yield from ((call, number) for number in sorted(chosen) if 1 <= number <= count)


def reset(target: Path, old: Path) -> None:
    shutil.rmtree(target.parent)
    target.parent.mkdir()
    shutil.copytree(old, target)


def killed_everywhere(struck: Struck, exported: Path, tmp_path: Path, each: int) -> None:
    target = struck.target
    old = Path(shutil.copytree(target, tmp_path / "old"))
    before, after = whole(old), tree(exported)
    counts = struck.count(tmp_path / "log")
    assert counts["renameat2"] >= 2
    for call, number in moments(counts, each):
        reset(target, old)
        struck.strike(call, number, "signal=KILL")
        if whole(target) != before:
            assert tree(target) == after, (call, number)
            assert before in [whole(target.with_name(n)) for n in os.listdir(target.parent)], (call, number)
        replaced = tree(target) == after
        options = ExportOptions(struck.files_root, replace=True)
        export(DatabaseUrl.parse(struck.url), target, frozen_layout(), options)
        assert tree(target) == after, (call, number)
        names = [n for n in os.listdir(target.parent) if n != target.name]
        assert not [n for n in names if n.startswith(".")], (call, number)
        assert before in [whole(target.with_name(n)) for n in names], (call, number)
        assert len(names) == 1 + replaced, (call, number)


def failed_everywhere(struck: Struck, tmp_path: Path, each: int, errors: dict[str, str]) -> None:
    target = struck.target
    old = Path(shutil.copytree(target, tmp_path / "old"))
    before = whole(old)
    counts = struck.count(tmp_path / "log")
    for call, number in moments({c: n for c, n in counts.items() if c in errors}, each):
        reset(target, old)
        code, printed = struck.strike(call, number, f"error={errors[call]}")
        if code == 0:
            # What cannot be tidied up is left; the export itself is there.
            assert whole(target) != before
            continue
        if whole(target) != before:
            assert before in [whole(target.with_name(n)) for n in os.listdir(target.parent)]
            continue
        assert code == 3, (call, number, printed)
        assert os.listdir(target.parent) == [target.name], (call, number)


ENOSPC = {"mkdir": "ENOSPC", "write": "ENOSPC", "rename": "ENOSPC", "renameat2": "EIO"}
EIO = {"mkdir": "EIO", "write": "EIO", "rename": "EROFS", "syncfs": "EIO", "fsync": "EIO"}


def test_killed_at_some_calls(struck: Struck, exported: Path, tmp_path: Path) -> None:
    killed_everywhere(struck, exported, tmp_path, 1)


@pytest.mark.slow
def test_killed_at_every_call(struck: Struck, exported: Path, tmp_path: Path) -> None:
    killed_everywhere(struck, exported, tmp_path, 0)


@pytest.mark.parametrize("errors", [ENOSPC, EIO])
def test_the_disk_fails_at_some_calls(struck: Struck, tmp_path: Path, errors: dict[str, str]) -> None:
    failed_everywhere(struck, tmp_path, 1, errors)


@pytest.mark.slow
@pytest.mark.parametrize("errors", [ENOSPC, EIO])
def test_the_disk_fails_at_every_call(struck: Struck, tmp_path: Path, errors: dict[str, str]) -> None:
    failed_everywhere(struck, tmp_path, 0, errors)


@pytest.mark.parametrize("after", [0.0, 0.05, 0.1, 0.2])
def test_killed_at_any_moment_where_nothing_was(struck: Struck, exported: Path, after: float) -> None:
    shutil.rmtree(struck.target)
    with subprocess.Popen(struck.command()) as process:
        threading.Timer(after + 0.25, process.kill).start()
        process.wait()
        time.sleep(0)
    if struck.target.exists():
        assert tree(struck.target) == tree(exported)
        return
    options = ExportOptions(struck.files_root)
    export(DatabaseUrl.parse(struck.url), struck.target, frozen_layout(), options)
    assert tree(struck.target) == tree(exported)
    assert os.listdir(struck.target.parent) == ["data"]


def test_a_full_disk(
    sample_database: str, sample: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A small file system of its own, where it may be mounted."""
    from octavo.errors import DiskError

    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=96k", "tmpfs", str(tmp_path)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("may not mount here")
    try:
        options = ExportOptions(sample[1])
        with pytest.raises(DiskError, match="No space left"):
            export(DatabaseUrl.parse(sample_database), tmp_path / "data", frozen_layout(), options)
        assert os.listdir(tmp_path) == []
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)
