"""The runbook is true: its commands run, in their order, on the demo's data."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from octavo.demo.sample import DEMO_PEPPER

ROOT = Path(__file__).parents[2]
RUNBOOK = ROOT / "docs" / "migration.md"
_BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(text: str) -> list[str]:
    """The commands of a page, block by block."""
    return _BLOCK.findall(text)


def run_blocks(commands: list[str], folder: Path, url: str, files_root: Path) -> str:
    """Run blocks as one shell would, in a folder with the example application.  Gives what they print."""
    shutil.copy(ROOT / "examples" / "chat.py", folder)
    shutil.copytree(files_root, folder / "public")
    script = "set -euo pipefail\n" + "\n".join(
        f"echo '== block {number}'\n{block}" for number, block in enumerate(commands)
    )
    inherited = {k: v for k, v in os.environ.items() if k not in ("DATA_BACKEND", "DATABASE_URL")}
    programs = str(Path(sys.executable).parent)
    environment = {
        **inherited,
        "PATH": f"{programs}{os.pathsep}{inherited['PATH']}",
        "APP_DATABASE_URL": url,
        "APP_PEPPER": DEMO_PEPPER,
    }
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_the_runbook_runs(sample_database: str, sample: tuple[str, Path], tmp_path: Path) -> None:
    said = run_blocks(blocks(RUNBOOK.read_text()), tmp_path, sample_database, sample[1])
    for sentence in (
        "EQUAL",
        "the files are the backend of record: start the application with DATA_BACKEND=json",
        "PostgreSQL is the backend of record: start the application with DATA_BACKEND=dual or prisma",
        "SOUND",
        "the move is over",
    ):
        assert sentence in said
    assert DEMO_PEPPER not in said
