"""Many writers and readers, in processes and in threads, some killed: a serial order explains it all."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import history
from history import History, Worker, prepare
from octavo.store.durability import Durability
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
    with Store.open(data, layout(), durability=durability) as store:
        workers = [Worker(store, log, f"thread{n}") for n in range(8)]
        failed: list[BaseException] = []

        end = time.monotonic() + seconds

        def run(worker: Worker) -> None:
            try:
                worker.run(lambda: time.monotonic() > end)
            except BaseException as error:
                failed.append(error)
                raise

        threads = [threading.Thread(target=run, args=[w], daemon=True) for w in workers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(seconds + 60)
        assert not any(thread.is_alive() for thread in threads)
        assert failed == []
    return check(data, [log])


class Processes:
    """Eight of them, each with a log named after it in ``logs``."""

    def __init__(self, data: Path, logs: Path, durability: Durability) -> None:
        self.data, self.logs, self.durability = data, logs, durability
        self.stop = logs.with_name("stop")
        logs.mkdir()
        self.started = 0
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        for _ in range(8):
            self.start()

    def start(self) -> None:
        name = f"process{self.started}"
        self.started += 1
        arguments = [str(self.data), str(self.logs / name), str(self.stop), self.durability]
        path = os.pathsep.join([str(Path(history.__file__).parent), *sys.path])
        self.running[name] = subprocess.Popen(
            [sys.executable, history.__file__, *arguments],
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


@pytest.mark.parametrize("durability", DURABILITIES)
def test_threads(data: Path, tmp_path: Path, durability: Durability) -> None:
    assert len(in_threads(data, tmp_path / "log", durability, 1.5).done) > 20


@pytest.mark.parametrize("durability", DURABILITIES)
def test_processes_that_are_killed(data: Path, tmp_path: Path, durability: Durability) -> None:
    assert len(in_processes(data, tmp_path, durability, 12, seed=1).done) > 20


@pytest.mark.slow
@pytest.mark.parametrize("durability", DURABILITIES)
def test_threads_for_long(data: Path, tmp_path: Path, durability: Durability) -> None:
    in_threads(data, tmp_path / "log", durability, 60)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("durability", DURABILITIES)
def test_processes_that_are_killed_for_long(
    data: Path, tmp_path: Path, durability: Durability, seed: int
) -> None:
    in_processes(data, tmp_path, durability, 150, seed)
