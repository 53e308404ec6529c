"""The display of ``follow`` while it runs: one line on a terminal, and messages."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType

import typer

from octavo.cli import console
from octavo.follow.state import FollowReport, Watcher
from octavo.text import size, some

_CLEAR = "\r\x1b[K"


class _Shown(Watcher):
    def __init__(self, *, quiet: bool, as_json: bool) -> None:
        self._quiet, self._over = quiet, False
        self._shows = self.wants_lag = not (quiet or as_json) and sys.stderr.isatty()
        self._bar, self._signals = ExitStack(), ExitStack()
        self.progress = self._bar.enter_context(console.progress(quiet=not self._shows))

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
            typer.echo(line, err=True, nl=False)

    def says(self, text: str) -> None:
        self._clear()
        if not self._quiet:
            typer.echo(console.plain(text), err=True)

    def _clear(self) -> None:
        if self._shows:
            typer.echo(_CLEAR, err=True, nl=False)

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
