"""The demo does the whole migration, overwrites nothing, and ends with commands that work."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from command import octavo
from octavo.demo.run import run_demo
from octavo.errors import UsageError
from octavo.inspect.progress import SILENT, Progress

NOBODY = 65534
STEPS = ["server", "sample", "inventory", "scaffold", "export", "verify", "restore", "proof", "write"]


def test_the_demo_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = octavo("demo", "--messages", 150)
    assert (done.code, done.err) == (0, "")
    assert [line.split()[0] for line in done.out.splitlines()[2 : 2 + len(STEPS)]] == STEPS
    assert sorted(os.listdir("octavo-demo")) == ["data", "public", "public-restored"]
    shown = done.out.partition("Try next:")[2].partition("With a database")[0]
    commands = [line.strip() for line in shown.splitlines() if line.strip()]
    assert len(commands) >= 3
    for command in commands:
        ran = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
        assert (ran.returncode, ran.stderr) == (0, ""), command
        assert ran.stdout


def test_the_demo_overwrites_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "octavo-demo").write_text("mine")
    done = octavo("demo", "--messages", 20, "--json")
    assert (done.code, done.err) == (0, "")
    assert done.answer["folder"] == str(tmp_path / "octavo-demo-2")
    assert [step["step"] for step in done.answer["steps"]] == STEPS
    assert (tmp_path / "octavo-demo").read_text() == "mine"
    again = octavo("demo", "--messages", 20, "--keep", "octavo-demo-2")
    assert again.code == 2
    assert "octavo-demo-2 exists already" in again.err


def test_an_empty_folder_may_be_named(tmp_path: Path) -> None:
    done = octavo("demo", "--quiet", "--messages", 20, "--keep", tmp_path)
    assert (done.code, done.out, done.err) == (0, "", "")
    assert (tmp_path / "data" / "chats" / "index.jsonl").stat().st_size > 0


def test_a_link_that_leads_nowhere_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "demo").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="exists already"):
        run_demo(tmp_path / "demo", 20, SILENT)
    assert not (tmp_path / "elsewhere").exists()


def test_an_interrupted_demo_leaves_nothing(tmp_path: Path) -> None:
    class Impatient(Progress):
        def begin(self, phase: str, total: int, unit: str = "rows") -> None:
            if phase == "export":
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_demo(tmp_path / "demo", 20, Impatient())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_the_demo_as_another_user() -> None:
    # Not below pytest's own folder, which nobody else may enter.
    with tempfile.TemporaryDirectory() as place:
        os.chown(place, NOBODY, -1)
        command = [
            sys.executable,
            "-m",
            "octavo",
            "demo",
            "--quiet",
            "--messages",
            "20",
            "--keep",
            f"{place}/d",
        ]
        try:
            ran = subprocess.run(
                command, user=NOBODY, extra_groups=[], cwd=place, capture_output=True, text=True, check=False
            )
        except PermissionError:
            pytest.skip("another user may not run this Python")
        assert (ran.returncode, ran.stderr) == (0, "")
