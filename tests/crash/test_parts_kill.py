"""Processes that share an export or a verification are ended at random moments, and started again.

Whatever was ended, starting all parts again is enough: nothing has to be cleaned up by hand, and at no moment
half a store stands at the target.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from folders import tree
from octavo.postgres.embedded import EmbeddedServer
from zygote import Command, Zygote, zygote

ENDS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
LONGEST = 0.5
"""seconds after which a part is ended at the latest"""


class Parts:
    """The parts of one command, as processes."""

    def __init__(self, octavo: Zygote, rng: random.Random, command: list[object]) -> None:
        self.octavo, self.rng, self.command = octavo, rng, command
        self.of = rng.choice((2, 3))
        self.running: list[Command] = []

    def start(self) -> list[Command]:
        """Start all of them, in any order, some a little later."""
        started = []
        for number in self.rng.sample(range(1, self.of + 1), self.of):
            started.append(self.octavo.start(*self.command, "--part", f"{number}/{self.of}"))
            time.sleep(self.rng.choice((0, 0, 0.05)))
        self.running += started
        return started

    def disturb(self) -> None:
        """End some of those that run."""
        chosen = self.rng.sample(self.running, self.rng.randint(1, len(self.running)))
        moments = sorted(self.rng.uniform(0, LONGEST) for _ in chosen)
        for command, moment, before in zip(chosen, moments, [0.0, *moments], strict=False):
            time.sleep(moment - before)
            command.send(self.rng.choice(ENDS))
        for command in chosen:
            if command.wait() is not None:
                self.running.remove(command)

    def end(self) -> None:
        """Wait for all that run."""
        for command in self.running:
            command.wait()
        self.running.clear()


@pytest.fixture(scope="module")
def octavo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zygote]:
    with zygote(tmp_path_factory.mktemp("said")) as made:
        yield made


def where(server: EmbeddedServer, sample: tuple[str, Path], target: Path) -> list[object]:
    url = server.url(sample[0], schema="public")
    return ["--database-url", url, "--data-dir", target, "--files-root", sample[1]]


SEEDS = [range(3), *(pytest.param(range(n, n + 20), marks=pytest.mark.slow) for n in range(3, 203, 20))]


@pytest.mark.parametrize("seeds", SEEDS, ids=str)
def test_an_export_is_started_anew_after_any_part_was_ended(
    octavo: Zygote,
    server: EmbeddedServer,
    sample: tuple[str, Path],
    exported: Path,
    tmp_path: Path,
    seeds: range,
) -> None:
    whole = tree(exported)
    for seed in seeds:
        rng, top = random.Random(seed), tmp_path / str(seed)
        top.mkdir()
        target = top / "above" / "it" / "data"
        options = ["--patience", "30", "--jobs", rng.choice((1, 2)), *where(server, sample, target)]
        parts = Parts(octavo, rng, ["export", *options])
        for _ in range(rng.choice((1, 1, 2))):
            parts.start()
            parts.disturb()
            if rng.random() < 0.5:
                for command in parts.running:
                    command.send(signal.SIGKILL)
                parts.end()
            assert not target.exists() or tree(target) == whole, seed
        started = parts.start()
        parts.end()
        said = [(command.code, command.said) for command in octavo.started[-2 * parts.of :]]
        # Those are refused that run or are written already.
        assert {command.code for command in started} <= {0, 2}, (seed, said)
        assert tree(target) == whole, (seed, said)
        assert os.listdir(target.parent) == [target.name], (seed, said)


@pytest.mark.parametrize("seeds", SEEDS, ids=str)
def test_a_verification_is_whole_when_all_parts_have_run_after_any_was_ended(
    octavo: Zygote,
    server: EmbeddedServer,
    sample: tuple[str, Path],
    exported: Path,
    tmp_path: Path,
    seeds: range,
) -> None:
    for seed in seeds:
        rng, target = random.Random(seed), tmp_path / str(seed)
        shutil.copytree(exported, target)
        parts = Parts(octavo, rng, ["verify", *where(server, sample, target)])
        parts.start()
        parts.disturb()
        parts.end()
        made = list((target / "cache" / "verification").glob("part-*.jsonl"))
        merging = octavo.start("verify", "--merge", "--data-dir", target)
        assert merging.wait() == (0 if len(made) == parts.of else 2), (seed, merging.said)
        assert len(made) == parts.of or re.search("error: (missing: part|no reports)", merging.said)
        again = parts.start()
        parts.end()
        assert [command.code for command in again] == [0] * parts.of, seed
        merging = octavo.start("verify", "--merge", "--data-dir", target)
        assert (merging.wait(), "EQUAL" in merging.said) == (0, True), seed
        assert not list(target.rglob("*.unfinished")), seed
        shutil.rmtree(target)
