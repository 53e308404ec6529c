"""The examples run as their README says."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from octavo.backend import DataBackend
from octavo.demo.run import run_demo
from octavo.inspect.progress import SILENT
from places import is_there, new_place

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


SAID = """\
signed up once only: email is taken
signed in: True
tags of Mira: Sea, Slow Burn
  assistant: Come in, before the wind takes you.
  user: Have you seen the ferry?
  assistant: Not since Tuesday.
  user: Then I shall stay.
  assistant: There is soup.  (3 to choose from)
found in 'A night with Mira', with Mira: Have you seen the ferry?
Mira: 1 chats, 1 tags
Tomas: 0 chats, 1 tags
last said: There is soup. / Stay as long as you like.
a profile that a chat talks through stays
messages left: 0
nobody is left
"""


@pytest.mark.parametrize(
    "kind",
    [
        kind
        if is_there(kind)
        else pytest.param(
            kind, marks=pytest.mark.xfail(reason=f"there is no backend {kind} yet", strict=True)
        )
        for kind in DataBackend
    ],
)
def test_the_chat_application_runs_unchanged_on_each_backend(
    kind: DataBackend, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    place = new_place(kind, tmp_path, lambda: str(request.getfixturevalue("schema_database")))
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, str(EXAMPLES / "chat.py")],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, **place},
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, SAID, "")


@pytest.mark.parametrize("reads", [0, 1])
def test_an_example_ends_quietly_when_its_reader_does(tmp_path: Path, exported: Path, reads: int) -> None:
    place = new_place(DataBackend.JSON, tmp_path, lambda: "")
    for program in (["read_chats.py", str(exported)], ["chat.py"]):
        command = [sys.executable, "-u", str(EXAMPLES / program[0]), *program[1:]]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, **place}
        ) as running:
            assert running.stdout is not None
            assert running.stderr is not None
            for _ in range(reads):
                assert running.stdout.readline()
            running.stdout.close()
            said = running.stderr.read()
        assert said == b""
        assert running.returncode in (0, -signal.SIGPIPE)


def test_a_folder_that_is_no_store_is_named() -> None:
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "read_chats.py"), "/nowhere"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "/nowhere/chats/index.jsonl: No such file or directory\n"
