"""What a terminal shows while a command runs: a progress bar, and for ``follow`` one line and messages."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType

import click
from rich.console import Console
from rich.progress import BarColumn, ProgressColumn, Task, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.text import Text

from octavo.cli import console
from octavo.follow.state import FollowReport, Watcher
from octavo.inspect.progress import Progress
from octavo.text import size, some


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


_CLEAR = "\r\x1b[K"


class _Shown(Watcher):
    def __init__(self, *, quiet: bool, as_json: bool) -> None:
        self._quiet, self._over = quiet, False
        self._shows = self.wants_lag = not (quiet or as_json) and sys.stderr.isatty()
        self._bar, self._signals = ExitStack(), ExitStack()
        if self._shows:
            self.progress = self._bar.enter_context(bar())

    def following(self) -> None:
        self._bar.close()
        for number in (signal.SIGINT, signal.SIGTERM):
            # A signal that is ignored (nohup) stays ignored.
            if (before := signal.getsignal(number)) is not signal.SIG_IGN:
                signal.signal(number, self._end)
                self._signals.callback(signal.signal, number, before)

    def _end(self, _number: int, _frame: FrameType | None) -> None:
        self._over = True

    def is_over(self) -> bool:
        return self._over

    def stands(self, report: FollowReport) -> None:
        if self._shows:
            behind = "" if report.behind is None else f"{size(report.behind)} behind, "
            last = f", the last of {report.committed}" if report.committed else ""
            line = f"{_CLEAR}{behind}{some(report.transactions, 'transaction')} carried over{last}"
            click.echo(line, err=True, nl=False)

    def says(self, text: str) -> None:
        self._clear()
        if not self._quiet:
            click.echo(console.plain(text), err=True)

    def _clear(self) -> None:
        if self._shows:
            click.echo(_CLEAR, err=True, nl=False)

    def close(self) -> None:
        self._bar.close()
        self._clear()
        self._signals.close()


@contextmanager
def watching(*, quiet: bool, as_json: bool) -> Iterator[Watcher]:
    """Who tells on stderr how it goes, and ends it in order when a signal comes."""
    shown = _Shown(quiet=quiet, as_json=as_json)
    try:
        yield shown
    finally:
        shown.close()
