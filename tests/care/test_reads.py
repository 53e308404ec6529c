"""``doctor`` and ``backup`` read each file of a sound store once, from its beginning to its end."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not shutil.which("strace"), reason="needs strace")

_OPENED = re.compile(r"openat\(.*= \d+<(?P<path>[^>]*)>$")
_READ = re.compile(r"(?:read|pread64)\(\d+<(?P<path>[^>]*)>.*= (?P<size>\d+)$")


def reads(command: list[str], data: Path, log: Path) -> tuple[Counter[str], Counter[str]]:
    """How often a command opens each file of a store, and how many bytes of it it reads."""
    trace = ["strace", "-f", "-y", "-qq", "-o", str(log), "-e", "trace=openat,read,pread64,readv,mmap"]
    subprocess.run(
        [*trace, sys.executable, "-m", "octavo", *command, "--data-dir", str(data), "--quiet"], check=True
    )
    opened: Counter[str] = Counter()
    read: Counter[str] = Counter()
    for line in log.read_text("utf-8", "replace").splitlines():
        if found := _OPENED.search(line):
            opened[found["path"]] += 1
        elif found := _READ.search(line):
            read[found["path"]] += int(found["size"])
    return opened, read


@pytest.mark.parametrize("command", ["doctor", "backup"])
def test_each_file_is_read_once(data: Path, tmp_path: Path, command: str) -> None:
    grown = max(data.glob("chats/*-*.jsonl"), key=lambda path: path.stat().st_size)
    lines = grown.read_text("utf-8").splitlines()
    made = [re.sub(r'"id":"[^"]*"', f'"id":"more-{n}"', lines[-1], count=1) for n in range(12_000)]
    grown.write_text("\n".join([*lines, *made, ""]), "utf-8")
    assert grown.stat().st_size > 1 << 22
    arguments = [command] if command == "doctor" else [command, str(tmp_path / "there.tar.gz")]
    opened, read = reads(arguments, data, tmp_path / "log")
    own = ("cache", "journal", "schema")
    files = {str(p): p.stat().st_size for p in data.rglob("*") if p.is_file() and p.parts[-2] not in own}
    files = {p: size for p, size in files.items() if Path(p).relative_to(data).parts[0] not in own}
    assert len(files) > 40
    assert {path: opened[path] for path in files} == dict.fromkeys(files, 1)
    assert {path: read[path] for path in files} == files
