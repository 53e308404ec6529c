"""Runs code in a process of its own, which is killed, or which the disk fails, at one of its system calls.

Calls are counted for each thread, so the code should have one only: :data:`ONE_THREAD` makes it so where a
pool of workers would be.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

Moment = tuple[str, int]
"""a system call, and which one of its kind, from 1"""

ONE_THREAD = """
import concurrent.futures
class AtOnce(concurrent.futures.ThreadPoolExecutor):
    def submit(self, work, *arguments):
        future = concurrent.futures.Future()
        try:
            future.set_result(work(*arguments))
        except Exception as error:
            future.set_exception(error)
        return future
concurrent.futures.ThreadPoolExecutor = AtOnce
"""


class Struck:
    """A Python script with its arguments; the calls that are struck are counted by strace."""

    def __init__(self, script: str, *arguments: object) -> None:
        self.command = [sys.executable, "-c", script, *map(str, arguments)]

    def count(self, log: Path, calls: Iterable[str]) -> dict[str, int]:
        """How often each of the calls is made in a run that nothing disturbs."""
        calls = list(calls)
        self._trace(str(log), f"trace={','.join(calls)}").check_returncode()
        names = re.findall(r"^\d+ +(\w+)\(", log.read_text(), re.MULTILINE)
        return {name: names.count(name) for name in calls}

    def kill(self, moment: Moment) -> int:
        """Run it, and kill it as it makes a call.  Gives the exit code."""
        return self._trace("/dev/null", *_at(moment, "signal=KILL")).returncode

    def fail(self, moment: Moment, error: str) -> tuple[int, str]:
        """Run it, and let a call fail with an error.  Gives the exit code and what was printed."""
        done = self._trace("/dev/null", *_at(moment, f"error={error}"))
        return done.returncode, done.stdout + done.stderr

    def _trace(self, log: str, *expressions: str) -> subprocess.CompletedProcess[str]:
        strace = ["strace", "-f", "-qq", "-o", log, *(part for e in expressions for part in ("-e", e))]
        return subprocess.run([*strace, *self.command], capture_output=True, text=True, check=False)


def _at(moment: Moment, what: str) -> tuple[str, str]:
    call, number = moment
    return f"trace={call}", f"inject={call}:{what}:when={number}"


def every(counts: dict[str, int]) -> Iterator[Moment]:
    """Every one of the calls."""
    return ((call, number) for call, count in counts.items() for number in range(1, count + 1))


def some(counts: dict[str, int]) -> Iterator[Moment]:
    """Of each call the one in the middle."""
    return ((call, count // 2 + 1) for call, count in counts.items() if count)
