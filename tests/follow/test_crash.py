"""What a kill leaves, of the follower or of PostgreSQL: nothing is lost, and nothing comes twice.

A row that came twice would be refused, as the files must have what a change was made of (see ``net``).
"""

from __future__ import annotations

import random
import subprocess
import time
from contextlib import closing
from pathlib import Path

import pytest

from following import Followed, command, environment, wait_for_progress, writing
from octavo.postgres.connection import connect
from strike import Moment, Struck, every, some
from writer import Writer

CATCH_UP = """
import sys
from pathlib import Path
from octavo.follow.life import FollowOptions, catch_up
from octavo.layout.load import frozen_layout
from octavo.url import DatabaseUrl
url, data_dir = sys.argv[1:]
catch_up(DatabaseUrl.parse(url), Path(data_dir), frozen_layout(), FollowOptions(Path("none")))
"""
CALLS = ("pwrite64", "fdatasync", "fsync", "rename", "unlink", "sendto")


def kill_again_and_again(followed: Followed, times: int, chance: random.Random) -> None:
    for _ in range(times):
        process = subprocess.Popen([*command(followed), "--quiet"], env=environment())
        try:
            wait_for_progress(followed, process)
            time.sleep(chance.random() * 0.3)
        finally:
            process.kill()
            process.wait()


@pytest.mark.parametrize(
    ("times", "seed"), [(3, 1), *(pytest.param(25, n, marks=pytest.mark.slow) for n in (2, 3))]
)
def test_a_follower_that_is_killed_again_and_again(followed: Followed, times: int, seed: int) -> None:
    followed.seed()
    with writing(followed, seed) as writer:
        kill_again_and_again(followed, times, random.Random(seed))
    assert writer.committed > times
    assert followed.catch_up().caught_up
    assert followed.differences() == []


def changed(followed: Followed, seed: int) -> None:
    """Let there be something to carry over: transactions on many files, and single lines."""
    with closing(connect(followed.url)) as connection:
        Writer(connection, followed.layout.datamodel, seed).write(12)


def moments(followed: Followed, log: Path) -> dict[str, int]:
    changed(followed, seed=1)
    return Struck(CATCH_UP, followed.address, followed.data_dir).count(log, CALLS)


def is_killed_at(followed: Followed, moment: Moment, seed: int) -> None:
    changed(followed, seed)
    Struck(CATCH_UP, followed.address, followed.data_dir).kill(moment)
    followed.catch_up()
    assert followed.differences() == []


def test_a_follower_that_is_killed_at_a_system_call(followed: Followed, tmp_path: Path) -> None:
    followed.seed()
    for number, moment in enumerate(some(moments(followed, tmp_path / "log"))):
        is_killed_at(followed, moment, number + 2)


@pytest.mark.slow
def test_a_follower_that_is_killed_at_every_system_call(followed: Followed, tmp_path: Path) -> None:
    followed.seed()
    for number, moment in enumerate(every(moments(followed, tmp_path / "log"))):
        is_killed_at(followed, moment, number + 2)
