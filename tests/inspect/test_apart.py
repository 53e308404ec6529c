"""Work in a forked process: what it gives, what it raises, and what is left of it."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from octavo.errors import DamagedError
from octavo.inspect.apart import CAN_FORK, apart

pytestmark = pytest.mark.skipif(not CAN_FORK, reason="needs fork")


def is_running(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def test_what_it_returns_was_made_in_another_process() -> None:
    held = ["made before"]
    with apart(lambda: (os.getpid(), held)) as result:
        pid, found = result()
    assert found == held
    assert pid != os.getpid()
    assert not is_running(pid)


def test_what_it_raises_is_raised_here() -> None:
    def work() -> None:
        raise DamagedError("is broken", file="tags/tags.json", line=3)

    with apart(work) as result, pytest.raises(DamagedError, match="broken") as caught:
        result()
    assert (caught.value.file, caught.value.line) == ("tags/tags.json", 3)


def test_where_it_dies_the_work_is_done_here() -> None:
    here = os.getpid()

    def work() -> int:
        if os.getpid() != here:
            os.kill(os.getpid(), signal.SIGKILL)
        return os.getpid()

    with apart(work) as result:
        assert result() == here


def test_nothing_runs_on_when_this_process_is_interrupted(tmp_path: Path) -> None:
    def work() -> None:
        (tmp_path / "pid").write_text(str(os.getpid()))
        time.sleep(60)

    def interrupted() -> None:
        with apart(work):
            while not (tmp_path / "pid").exists():
                time.sleep(0.001)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not is_running(int((tmp_path / "pid").read_text() or 0))
