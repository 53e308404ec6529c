"""The runbook is true: its commands run, in their order, on the demo's data."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from octavo.demo.sample import DEMO_PEPPER, load_sample
from octavo.postgres.connection import connect
from octavo.postgres.embedded import EmbeddedServer
from octavo.schema.ddl import ddl
from octavo.schema.texts import frozen_schema

ROOT = Path(__file__).parents[2]
RUNBOOK = ROOT / "docs" / "migration.md"
_FOLLOWING = "## The same by following\n"
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
    with_dual, _ = RUNBOOK.read_text().split(_FOLLOWING)
    said = run_blocks(blocks(with_dual), tmp_path, sample_database, sample[1])
    for sentence in (
        "EQUAL",
        "the files are the backend of record: start the application with DATA_BACKEND=json",
        "PostgreSQL is the backend of record: start the application with DATA_BACKEND=dual or prisma",
        "SOUND",
        "the move is over",
    ):
        assert sentence in said
    assert DEMO_PEPPER not in said


@pytest.mark.slow
def test_the_same_by_following(logical_server: EmbeddedServer, tmp_path: Path) -> None:
    url, files_root = logical_server.create_database("runbook"), tmp_path / "sample"
    with connect(url) as connection:
        connection.execute(ddl(frozen_schema()).script().encode())
        load_sample(connection, files_root, messages=50)
    _, following = RUNBOOK.read_text().split(_FOLLOWING)
    (tmp_path / "here").mkdir()
    said = run_blocks(blocks(following), tmp_path / "here", url, files_root)
    assert said.count("EQUAL") == 2
    assert "the files are the backend of record" in said
    with connect(url) as connection:
        assert connection.execute("SELECT count(*) FROM pg_replication_slots").fetchone() == (0,)
