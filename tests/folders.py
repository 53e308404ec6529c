"""What a data folder holds, to be compared."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any


def tree(root: Path, *, cache: bool = False) -> dict[str, bytes | None]:
    """The content of every file below a folder, by path; of a folder or anything else None.

    Without ``cache`` what lies in ``cache/`` is left out.  The files of locks, which only say which process
    had them last, are left out always.
    """
    found: dict[str, bytes | None] = {}
    for folder, names, files in os.walk(root):
        relative = Path(folder).relative_to(root)
        if not cache and relative == Path("cache"):
            names.clear()
            continue
        found |= {str(relative / name): None for name in names}
        for name in files:
            if relative == Path("cache") and name in ("write.lock", "move.lock"):
                continue
            path = Path(folder, name)
            found[str(relative / name)] = (
                path.read_bytes() if path.is_file() and not path.is_symlink() else None
            )
    return found


def records(root: Path, path: str) -> list[Any]:
    """The lines of a log, decoded."""
    return [json.loads(line) for line in (root / path).read_text("utf-8").splitlines()]


def write_long_ago(path: Path, data: bytes) -> None:
    """Write a file that looks as if it had been there for long."""
    path.write_bytes(data)
    os.utime(path, (0, 0))


def parse(text: str | bytes) -> Any:
    """JSON decoded, but for fractions, which are kept as they are spelled."""
    return json.loads(text, parse_float=lambda fraction: f"\0{fraction}\0")


def spell(data: Any, **options: Any) -> str:
    """What :func:`parse` gave, as JSON again."""
    text = json.dumps(data, **({"ensure_ascii": False} | options))
    return text.replace('"\\u0000', "").replace('\\u0000"', "")


def edit_json(path: Path, change: Callable[[Any], object]) -> None:
    """Change a document or record file in place, keeping its form."""
    data = parse(path.read_text("utf-8"))
    change(data)
    path.write_text(spell(data, indent=2) + "\n", "utf-8")


def edit_line(path: Path, number: int, change: Callable[[Any], object]) -> None:
    """Change one line of a log (counted from 0), keeping its form."""
    lines = path.read_text("utf-8").split("\n")
    data = parse(lines[number])
    change(data)
    lines[number] = spell(data, separators=(",", ":"))
    path.write_text("\n".join(lines), "utf-8")


def beside(target: Path) -> Iterator[str]:
    """The names of what lies beside a folder."""
    return (name for name in sorted(os.listdir(target.parent)) if name != target.name)
