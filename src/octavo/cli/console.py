"""What commands print: tables and lines on stdout, problems on stderr, progress there too but only to a
terminal.

Text that comes from data is printed by :func:`plain`, so that no terminal acts on it.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from octavo.inspect.progress import Step


SHOWN = 20
"""how many of many things are named"""


def prepare_streams() -> None:
    """Let nothing that is printed fail because the terminal's alphabet lacks a character."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def plain(text: str) -> str:
    """Text from data on one line: control characters, line breaks and the like as escapes."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def short(text: str, limit: int = 60) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def as_json(value: Any) -> str:
    """JSON for people and machines: indented, with what is not printable escaped as JSON escapes it."""
    import msgspec

    plain = msgspec.to_builtins(value, enc_hook=str)
    text = json.dumps(plain, indent=2, ensure_ascii=(sys.stdout.encoding or "").lower() != "utf-8")
    return re.sub(r"[^\n]", lambda c: c[0] if c[0].isprintable() else json.dumps(c[0])[1:-1], text)


def answer(value: Any) -> None:
    """A machine's answer on stdout."""
    click.echo(as_json(value))


def problem(label: str, text: str) -> None:
    """A sentence on stderr: something that is not as it should be."""
    click.echo(f"{_coloured(f'{label}:', 'red')} {plain(text)}", err=True)


def problems(label: str, texts: Iterable[str]) -> None:
    for text in texts:
        problem(label, text)


def detail(text: str) -> None:
    """What belongs to a problem, on a line of its own."""
    click.echo(f"  {plain(text)}", err=True)


def note(text: str) -> None:
    """What is good to know, on stderr."""
    click.echo(plain(text), err=True)


def warning(text: str) -> None:
    """Something to look at that stops nothing, on stderr."""
    click.echo(f"{_coloured('warning:', 'yellow')} {plain(text)}", err=True)


def warnings(texts: Iterable[str]) -> None:
    for text in texts:
        warning(text)


def verdict(good: bool, word: str, text: str) -> None:
    """The one line that matters most."""
    colour = "green" if good else "red"
    click.echo(f"{_coloured(word, colour)}: {plain(text)}")


def _coloured(text: str, colour: str) -> str:
    # Colours are taken out again where the output is no terminal.
    return text if os.environ.get("NO_COLOR") else click.style(text, fg=colour, bold=True)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Aligned columns: the first and the last to the left, numbers in between to the right."""
    cells = [list(head), *([plain(cell) for cell in row] for row in rows)]
    widths = [max(len(row[n]) for row in cells) for n in range(len(head))]
    for row in (cells[0], ["-" * w for w in widths], *cells[1:]):
        aligned = [
            cell.ljust(width) if n in (0, len(head) - 1) else cell.rjust(width)
            for n, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        click.echo("  ".join(aligned).rstrip())


def listed(lines: Sequence[object], total: int = 0) -> None:
    """The first lines, and how many more there are: of ``total``, where not all are given."""
    for line in lines[:SHOWN]:
        click.echo(f"  {plain(str(line))}")
    if (more := max(total, len(lines)) - SHOWN) > 0:
        click.echo(f"  … and {more:,} more")


def section(title: str, lines: Sequence[str]) -> None:
    """Lines under a title; nothing where there are none."""
    if lines:
        click.echo(title)
        listed(lines)


def told(*, quiet: bool) -> Callable[[Step], None]:
    """What prints each step of a move when it has been done."""

    def tell(step: Step) -> None:
        if not quiet:
            click.echo(f"{step.name:<12} {step.seconds:6.1f} s  {plain(step.outcome)}")

    return tell
