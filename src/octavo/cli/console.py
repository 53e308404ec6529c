"""What commands print: tables and lines on stdout, progress on stderr and only to a terminal."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import typer

from octavo.migrate.progress import SILENT, Progress


def plain(text: str, *, keep_lines: bool = False) -> str:
    """Text from data, with control characters as escapes, so that no terminal acts on it."""
    return "".join(c if c.isprintable() or (keep_lines and c == "\n") else ascii(c)[1:-1] for c in text)


def answer(value: Any) -> None:
    """A machine's answer on stdout."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Aligned columns: the first and the last to the left, numbers in between to the right."""
    widths = [max(len(row[n]) for row in (head, *rows)) for n in range(len(head))]
    for row in (head, ["─" * w for w in widths], *rows):
        cells = [
            cell.ljust(width) if n in (0, len(head) - 1) else cell.rjust(width)
            for n, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        typer.echo("  ".join(cells).rstrip())


def listed(lines: Sequence[str], most: int = 20) -> None:
    """Some lines, and how many more there are."""
    for line in lines[:most]:
        typer.echo(f"  {plain(line)}")
    if len(lines) > most:
        typer.echo(f"  … and {len(lines) - most:,} more")


def size(number: float) -> str:
    """A number of bytes for people."""
    for unit in ("bytes", "KB", "MB", "GB"):
        if number < 1000 or unit == "GB":
            return f"{number:.0f} {unit}" if unit == "bytes" else f"{number:.1f} {unit}"
        number /= 1000
    raise AssertionError


@contextmanager
def progress(*, quiet: bool) -> Iterator[Progress]:
    """A bar with rows per second and the time left, if stderr is a terminal; else silence."""
    if quiet or not sys.stderr.isatty():
        yield SILENT
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[speed]}"),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        yield _Bar(bars)


class _Bar(Progress):
    def __init__(self, bars: Any) -> None:
        self.bars, self.task = bars, None

    def begin(self, phase: str, total: int) -> None:
        if self.task is not None:
            self.bars.remove_task(self.task)
        self.task = self.bars.add_task(phase, total=total or None, speed="")

    def advance(self, steps: int) -> None:
        if self.task is not None:
            self.bars.advance(self.task, steps)
            speed = self.bars.tasks[-1].speed if self.bars.tasks else None
            self.bars.update(self.task, speed=f"{speed:,.0f}/s" if speed else "")
