"""The examples run as their README says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from octavo.demo.run import run_demo
from octavo.migrate.progress import SILENT

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_reading_an_exported_store_with_the_standard_library_alone(tmp_path: Path) -> None:
    report = run_demo(tmp_path / "demo", 300, SILENT)
    assert [step.name for step in report.steps][-3:] == ["restore", "proof", "write"]
    done = subprocess.run(
        [sys.executable, "-S", str(EXAMPLES / "read_chats.py"), str(report.data_dir)],
        capture_output=True,
        text=True,
        check=True,
    )
    counted = sum(int(line.rsplit(", ", 1)[1].split()[0]) for line in done.stdout.splitlines())
    assert counted == 300
