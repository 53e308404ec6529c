"""Files in a data folder that are not Octavo's: they belong to the user, and stay as they are."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

from octavo.layout.layout import Layout
from octavo.store.identity import is_identity

FILES: dict[str, int] = {
    "README.md": 0o644,
    ".gitignore": 0o664,
    ".git/HEAD": 0o644,
    ".git/objects/ab/cdef": 0o444,
    ".git/hooks/pre-commit": 0o755,
    ".git/logs/HEAD": 0o644,
    "docs/deep/er/notes.md": 0o600,
    "characters/.gitkeep": 0o644,
    "characters/draft.json~": 0o644,
    "chats/notes.txt": 0o644,
    "chats/old/index.jsonl": 0o644,
    "journal/.gitkeep": 0o644,
    "binaries/notes.txt": 0o644,
    "binaries/zz/notes.txt": 0o644,
    "tags/.new": 0o644,
    "tags/.draft.new": 0o644,
    ".env.new": 0o600,
    "chats/.mine.incoming": 0o600,
    "settings.json": 0o640,
    "größe\n": 0o644,
    os.fsdecode(b"\xff\xfe"): 0o644,
}
LINKS: dict[str, str] = {
    "elsewhere": "/etc",
    "chats/nowhere": "nothing/there",
    "tags/same": "tags.json",
    "docs/up": "..",
}
FOLDERS: dict[str, int] = {"empty": 0o755, "docs/empty": 0o700, "chats/empty": 0o755}
PIPE = "docs/pipe"


def plant(data: Path) -> None:
    """Put files of every kind into a data folder."""
    for path, mode in FOLDERS.items():
        (data / path).mkdir(parents=True)
        (data / path).chmod(mode)
    for path, mode in FILES.items():
        (data / path).parent.mkdir(parents=True, exist_ok=True)
        (data / path).write_bytes(os.fsencode(f"the content of {path}"))
        (data / path).chmod(mode)
        os.utime(data / path, (1_000_000_000, 1_000_000_000))
    for path, target in LINKS.items():
        (data / path).symlink_to(target)
    os.mkfifo(data / PIPE)
    os.link(data / "README.md", data / "docs" / "README.md")


def found(data: Path, layout: Layout) -> dict[str, tuple[Any, ...]]:
    """What is not Octavo's in a data folder: of each path the kind, the mode, the time, and what it holds."""
    there: dict[str, tuple[Any, ...]] = {}
    for folder, names, files in os.walk(data):
        relative = os.path.relpath(folder, data)
        if relative == "cache":
            names.clear()
            continue
        for name in (*names, *files):
            path = name if relative == "." else f"{relative}/{name}"
            if (
                path in layout.folders
                or layout.family(path)
                or _is_payload(path)
                or path == "journal/changes.jsonl"
                or is_identity(path)
            ):
                continue
            state = os.lstat(data / path)
            holds: Any = None
            if stat.S_ISLNK(state.st_mode):
                holds = os.readlink(data / path)
            elif stat.S_ISREG(state.st_mode):
                holds = (data / path).read_bytes()
            modified = None if stat.S_ISDIR(state.st_mode) else state.st_mtime_ns
            there[path] = (stat.S_IFMT(state.st_mode), stat.S_IMODE(state.st_mode), modified, holds)
    return there


def _is_payload(path: str) -> bool:
    folder, _, name = path.rpartition("/")
    shelf = name if folder == "binaries" else folder.removeprefix("binaries/")
    return path.startswith("binaries/") and len(shelf) == 2 and not shelf.strip("0123456789abcdef")
