"""The progress bar on a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, ProgressColumn, Task, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.text import Text

from octavo.inspect.progress import Progress
from octavo.text import size


class _Done(ProgressColumn):
    """How much is done, and how fast it goes; nothing for a phase whose length is not known."""

    def render(self, task: Task) -> Text:
        if task.total is None:
            return Text("")
        in_bytes = task.fields["unit"] == "bytes"
        text = size(task.completed) if in_bytes else f"{task.completed:,.0f}/{task.total:,.0f}"
        if task.speed:
            text += f"  {size(task.speed)}/s" if in_bytes else f"  {task.speed:,.0f} {task.fields['unit']}/s"
        return Text(text)


class _TimeLeft(TimeRemainingColumn):
    def render(self, task: Task) -> Text:
        return Text("") if task.total is None else super().render(task)


class _Bar(Progress):
    def __init__(self, bars: Bars) -> None:
        self.bars = bars
        self.task: TaskID | None = None

    def begin(self, phase: str, total: int, unit: str = "rows") -> None:
        if self.task is not None:
            self.bars.remove_task(self.task)
        self.task = self.bars.add_task(phase, total=total or None, unit=unit)

    def advance(self, steps: int) -> None:
        if self.task is not None:
            self.bars.advance(self.task, steps)


@contextmanager
def bar() -> Iterator[Progress]:
    """A bar on stderr that is gone at the end."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(20),
        _Done(),
        _TimeLeft(compact=True),
    )
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        yield _Bar(bars)
