"""An export and a verification in parts, on workers of Dask."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from command import SETTINGS
from folders import tree
from octavo.postgres.connection import connect, transaction
from octavo.postgres.embedded import EmbeddedServer

RUN = Path(__file__).parents[2] / "examples/many_workers/run.py"


def start(what: str, *arguments: str, url: str, options: tuple[object, ...]) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if name not in SETTINGS}
    command = [sys.executable, RUN, what, "--parts", "2", *arguments, "--", *options]
    return subprocess.Popen(
        list(map(str, command)),
        env={**environment, "DATABASE_URL": url},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_workers_export_and_verify_and_run_what_was_killed_again(
    server: EmbeddedServer, sample: tuple[str, Path], exported: Path, tmp_path: Path
) -> None:
    url, target = server.url(sample[0], schema="public"), tmp_path / "data"
    where = ("--data-dir", target, "--files-root", sample[1])
    with connect(url) as connection, transaction(connection):
        # Each part waits for this table.
        connection.execute("LOCK TABLE messages")
        exporting = start("export", url=url, options=where)
        os.kill(started(exporting, 2)[0], signal.SIGKILL)
    out, err = exporting.communicate(timeout=60)
    assert (exporting.returncode, err.count("trying again: part 1/2, part 2/2")) == (0, 1), err
    assert tree(target) == tree(exported)

    verifying = start("verify", url=url, options=where)
    out, err = verifying.communicate(timeout=60)
    assert (verifying.returncode, "trying again" in err) == (0, False), err
    assert "\nEQUAL: " in out


def started(running: subprocess.Popen[str], number: int) -> list[int]:
    """The processes of so many parts, as soon as they run."""
    end = time.monotonic() + 60
    while time.monotonic() < end and running.poll() is None:
        threads = Path(f"/proc/{running.pid}/task").glob("*/children")
        found = [int(pid) for thread in threads for pid in thread.read_text().split()]
        if len(found) == number:
            return found
        time.sleep(0.05)
    raise AssertionError(running.communicate())


def test_what_goes_on_failing_is_given_up_with_its_reason(tmp_path: Path) -> None:
    url, where = "postgresql://user:hidden@127.0.0.1:1/app", ("--data-dir", tmp_path / "data")
    running = start("export", "--tries", "2", url=url, options=where)
    out, err = running.communicate(timeout=60)
    assert running.returncode == 3
    assert err.count("trying again: part 1/2, part 2/2") == 1
    assert "cannot be reached: nothing listens there" in err
    assert "given up after 2 tries: part " in err
    assert "hidden" not in out + err
    assert not (tmp_path / "data").exists()
