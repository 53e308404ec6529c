"""What a commit does to files: a line appended, a file put in place whole, a file removed.

Each can be done again without harm, which is what makes a journal of them enough (see
:mod:`octavo.store.journal`), and each can be undone while it is not final.  What was undone is synced, as
nothing else remembers any more that it has to be.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TypeAlias

import msgspec

from octavo.errors import ConflictError
from octavo.store.system import (
    FileSystem,
    Signature,
    open_to_write,
    read_whole,
    signature,
    sync,
    sync_folder,
    write_all,
)
from octavo.text import pattern

_LEFT_OVER = pattern(r"\..+\.[0-9a-f]{8}\.new", re.DOTALL)

Undo: TypeAlias = Callable[[], None]


class Append(msgspec.Struct, frozen=True, tag="append"):
    """Lines at the end of a log that has ``at`` bytes.  ``file`` is relative to the data folder."""

    file: str
    at: int
    lines: str
    count: int = 1

    @property
    def size(self) -> int:
        """Bytes of its lines."""
        return len(self.lines) if self.lines.isascii() else len(self.lines.encode())


class Replace(msgspec.Struct, frozen=True, tag="replace", omit_defaults=True):
    """A file's whole content, whether there is one yet or not."""

    file: str
    content: str
    before: str = ""
    """of what it replaces the digest, in the journal"""


class Remove(msgspec.Struct, frozen=True, tag="remove", omit_defaults=True):
    """A file goes."""

    file: str
    before: str = ""
    """of what goes the digest, in the journal"""


Change: TypeAlias = Append | Replace | Remove


def beside(path: str) -> str:
    """A new name in the same folder, for what will be renamed to ``path``."""
    folder, name = os.path.split(path)
    return os.path.join(folder, f".{name[:100]}.{os.urandom(4).hex()}.new")


def is_left_over(name: str) -> bool:
    """Whether a file's name is one that :func:`beside` gives: what a crash may leave."""
    return _LEFT_OVER.fullmatch(name) is not None


def append(
    system: FileSystem,
    path: str,
    change: Append,
    expected: Signature | None,
    undo: list[Undo],
    *,
    durable: bool,
) -> Signature:
    """Write lines at the end of a log; the state that the file has then.

    ``expected`` is the state of the file that the lines were made for; ConflictError if it is another one.
    ``undo`` takes what brings the file back, before anything is done to it.  Raises OSError, SyncError.
    """
    descriptor = open_to_write(path)
    try:
        found = Signature.of(os.fstat(descriptor))
        if found.size != change.at or (expected is not None and found != expected):
            raise ConflictError(f"{change.file} was changed by another program")
        undo.append(lambda: _truncate(system, path, change.at))
        write_all(system, descriptor, change.lines.encode(), change.at)
        if durable:
            sync(system, descriptor)
        return Signature.of(os.fstat(descriptor))
    finally:
        os.close(descriptor)


def _truncate(system: FileSystem, path: str, size: int) -> None:
    descriptor = open_to_write(path)
    try:
        system.truncate(descriptor, size)
        sync(system, descriptor)
    finally:
        os.close(descriptor)


def write_beside(system: FileSystem, path: str, content: bytes, *, durable: bool) -> str:
    """Write a new file next to ``path``; its name.  If the system refuses, nothing is left of it."""
    made = beside(path)
    descriptor = system.create(made)
    try:
        try:
            write_all(system, descriptor, content, 0)
            # The kernel's clock for files stands still for milliseconds: by it a file could have the
            # signature of the one before last, whose inode it may get.
            os.utime(descriptor, ns=(now := time.time_ns(), now))
            if durable:
                sync(system, descriptor)
        finally:
            os.close(descriptor)
    except BaseException:
        discard(system, made)
        raise
    return made


def discard(system: FileSystem, path: str) -> None:
    """Remove what is not needed any more; if the system refuses, a later clean-up will find it."""
    with suppress(OSError):
        system.remove(path)


def put_in_place(system: FileSystem, made: str, path: str, undo: list[Undo]) -> None:
    """Give a file that was written beside its name, in place of what has it.  Raises OSError.

    ``undo`` takes what brings the old file back, whether the rename has happened or not.
    """
    old = None if signature(path) is None else read_whole(path)[0]
    new = signature(made)

    def back() -> None:
        there = signature(path)
        if there is None or new is None or there.inode != new.inode:
            return
        if old is not None:
            system.rename(write_beside(system, path, old, durable=True), path)
        else:
            system.remove(path)
        sync_folder(system, os.path.dirname(path))

    undo.append(back)
    system.rename(made, path)


def take_away(system: FileSystem, path: str, undo: list[Undo]) -> str:
    """Take a file away, to the name that is returned, from where it can come back.  Raises OSError.

    ``undo`` takes what brings it back, whether the rename has happened or not.
    """
    aside = beside(path)

    def back() -> None:
        if signature(aside) is not None:
            system.rename(aside, path)
            sync_folder(system, os.path.dirname(path))

    undo.append(back)
    system.rename(path, aside)
    return aside
