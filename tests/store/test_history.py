"""Many writers and readers, in processes and in threads, some killed: a serial order explains it all."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import history
from history import History, prepare
from octavo.backend import Durability
from octavo.store.store import Store
from small_store import broken_constraints, build, layout, state_of, state_on_disk

DURABILITIES: list[Durability] = ["full", "batched"]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    build(tmp_path / "data")
    prepare(tmp_path / "data")
    return tmp_path / "data"


def check(data: Path, logs: list[Path], *, may_be_lost: list[str] | None = None) -> History:
    """Hold everything against what a store opened afterwards answers, and against its files."""
    told = History(logs)
    with Store.open(data, layout()) as store:
        told.check(store, may_be_lost=may_be_lost or ())
        state = state_of(store)
        store.checkpoint()
    assert broken_constraints(state) == []
    assert state_on_disk(data) == state
    return told


def in_threads(data: Path, log: Path, durability: Durability, seconds: float) -> History:
    log.parent.mkdir()
    with Store.open(data, layout(), durability=durability) as store:
        end = time.monotonic() + seconds
        names = [f"thread{n}" for n in range(8)]
        history.work(store, log, names, lambda: time.monotonic() > end, shown=True)
    return check(data, [log])


class Processes:
    """Some of some threads each, each with a log named after it in ``logs``."""

    def __init__(
        self, data: Path, logs: Path, durability: Durability, number: int = 8, threads: int = 1
    ) -> None:
        self.data, self.logs, self.durability, self.threads = data, logs, durability, threads
        self.stop = logs.with_name("stop")
        logs.mkdir()
        self.started = 0
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        for _ in range(number):
            self.start()

    def start(self) -> None:
        name = f"process{self.started}"
        self.started += 1
        arguments = [self.data, self.logs / name, self.stop, self.durability, self.threads]
        path = os.pathsep.join([str(Path(history.__file__).parent), *sys.path])
        self.running[name] = subprocess.Popen(
            [sys.executable, history.__file__, *map(str, arguments)],
            env=os.environ | {"PYTHONPATH": path},
            stderr=subprocess.PIPE,
        )

    def kill(self, name: str) -> None:
        """Kill a process that has worked already, and start another."""
        process = self.running.pop(name)
        while not (log := self.logs / name).exists() or log.stat().st_size < 1000:
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        self.start()

    def end(self) -> None:
        self.stop.touch()
        for process in self.running.values():
            _, errors = process.communicate(timeout=120)
            assert process.returncode == 0, errors.decode()


def in_processes(data: Path, folder: Path, durability: Durability, kills: int, seed: int) -> History:
    chance = random.Random(seed)
    processes = Processes(data, folder / "logs", durability)
    killed = []
    for _ in range(kills):
        time.sleep(chance.uniform(0.02, 0.2))
        killed.append(chance.choice(list(processes.running)))
        processes.kill(killed[-1])
    processes.end()
    logs = list((folder / "logs").iterdir())
    return check(data, logs, may_be_lost=killed if durability == "batched" else [])


def in_processes_that_live(data: Path, folder: Path, durability: Durability, seconds: float) -> History:
    """They come to remember what they have seen, and to be told of what changes, which takes a while."""
    processes = Processes(data, folder / "logs", durability, number=3, threads=3)
    time.sleep(seconds)
    processes.end()
    return check(data, list((folder / "logs").iterdir()))


@pytest.mark.parametrize("durability", DURABILITIES)
def test_threads(data: Path, tmp_path: Path, durability: Durability) -> None:
    assert len(in_threads(data, tmp_path / "logs" / "log", durability, 1.5).done) > 5


@pytest.mark.parametrize("durability", DURABILITIES)
def test_processes_that_live(data: Path, tmp_path: Path, durability: Durability) -> None:
    assert len(in_processes_that_live(data, tmp_path, durability, 2).done) > 5


@pytest.mark.parametrize("durability", DURABILITIES)
def test_processes_that_are_killed(data: Path, tmp_path: Path, durability: Durability) -> None:
    assert len(in_processes(data, tmp_path, durability, 4, seed=1).done) > 5


@pytest.mark.slow
@pytest.mark.parametrize("durability", DURABILITIES)
def test_threads_for_long(data: Path, tmp_path: Path, durability: Durability) -> None:
    in_threads(data, tmp_path / "logs" / "log", durability, 60)


@pytest.mark.slow
@pytest.mark.parametrize("durability", DURABILITIES)
def test_processes_that_live_for_long(data: Path, tmp_path: Path, durability: Durability) -> None:
    in_processes_that_live(data, tmp_path, durability, 60)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("durability", DURABILITIES)
def test_processes_that_are_killed_for_long(
    data: Path, tmp_path: Path, durability: Durability, seed: int
) -> None:
    in_processes(data, tmp_path, durability, 150, seed)
