"""How far a long task is: what does the work tells it here, and the command line shows it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from msgspec import Struct


class Progress:
    """Told of phases and rows.  This one says nothing; the command line's draws a bar.

    ``advance`` is called from several threads.
    """

    def begin(self, phase: str, total: int, unit: str = "rows") -> None:
        """A phase begins that will take ``total`` steps, each one ``unit``; 0: their number is unknown."""

    def advance(self, steps: int) -> None:
        """So many more steps are done."""


SILENT = Progress()


class Step(Struct, frozen=True, rename={"name": "step"}):
    """One step that was done: its name, what came of it, how long it took in seconds."""

    name: str
    outcome: str
    seconds: float


Tell = Callable[[Step], object]
"""is given each step when it is done"""


def untold(step: Step) -> None:
    """Report nothing."""


@contextmanager
def timed(steps: list[Step], name: str, tell: Tell = untold) -> Iterator[Callable[[str], None]]:
    """Time a step, and add it to those that were done; what the block tells becomes its outcome."""
    outcome: list[str] = []
    started = time.monotonic()
    yield outcome.append
    steps.append(Step(name, "".join(outcome), round(time.monotonic() - started, 3)))
    tell(steps[-1])
