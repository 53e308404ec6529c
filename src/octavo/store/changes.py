"""What a commit does to files: a line appended, a file put in place whole, a file removed.

Each can be done again without harm, which is what makes a journal of them enough (see
:mod:`octavo.store.journal`), and each can be undone while it is not final.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from typing import TypeAlias

import msgspec

from octavo.errors import ConflictError
from octavo.store.system import FileSystem, Signature, open_to_write, read_whole, signature, write_all

Undo: TypeAlias = Callable[[], None]


class Append(msgspec.Struct, frozen=True, tag="append"):
    """Lines at the end of a log that has ``at`` bytes.  ``file`` is relative to the data folder."""

    file: str
    at: int
    lines: str
    count: int = 1


class Replace(msgspec.Struct, frozen=True, tag="replace"):
    """A file's whole content, whether there is one yet or not."""

    file: str
    content: str


class Remove(msgspec.Struct, frozen=True, tag="remove"):
    """A file goes."""

    file: str


Change: TypeAlias = Append | Replace | Remove


def beside(path: str) -> str:
    """A new name in the same folder, for what will be renamed to ``path``."""
    folder, name = os.path.split(path)
    return os.path.join(folder, f".{name[:100]}.{secrets.token_hex(4)}.new")


def is_left_over(name: str) -> bool:
    """Whether a file's name is one that :func:`beside` gives: what a crash may leave."""
    return name.startswith(".") and name.endswith(".new")


def append(system: FileSystem, path: str, change: Append, expected: Signature | None, *, sync: bool) -> Undo:
    """Write lines at the end of a log.

    ``expected`` is the state of the file that the lines were made for; ConflictError if it is another one.
    If the system refuses, the file is as before, and OSError is raised.
    """
    descriptor = open_to_write(path)
    try:
        found = Signature.of(os.fstat(descriptor))
        if found.size != change.at or (expected is not None and found != expected):
            raise ConflictError(f"{change.file} was changed by somebody else")

        def undo() -> None:
            again = open_to_write(path)
            try:
                system.truncate(again, change.at)
            finally:
                os.close(again)

        try:
            write_all(system, descriptor, change.lines.encode(), change.at)
            if sync:
                system.sync(descriptor)
        except OSError:
            system.truncate(descriptor, change.at)
            raise
    finally:
        os.close(descriptor)
    return undo


def write_beside(system: FileSystem, path: str, content: bytes, *, sync: bool) -> str:
    """Write a new file next to ``path``; its name.  If the system refuses, nothing is left of it."""
    made = beside(path)
    descriptor = system.create(made)
    try:
        try:
            write_all(system, descriptor, content, 0)
            if sync:
                system.sync(descriptor)
        finally:
            os.close(descriptor)
    except BaseException:
        discard(system, made)
        raise
    return made


def discard(system: FileSystem, path: str) -> None:
    """Remove what nobody needs any more; if the system refuses, a later clean-up will find it."""
    with suppress(OSError):
        system.remove(path)


def replace(system: FileSystem, path: str, content: bytes, expected: Signature | None) -> Undo:
    """Put a file in place whole, not synced.

    ``expected`` is the state of the file that is replaced, None if there is none; ConflictError if it is
    another one.  If the system refuses, the file is as before, and OSError is raised.
    """
    old = None
    if expected is not None:
        old, found = read_whole(path)
        if found != expected:
            raise ConflictError(f"{os.path.basename(path)} was changed by somebody else")
    elif signature(path) is not None:
        raise ConflictError(f"{os.path.basename(path)} was made by somebody else")
    made = write_beside(system, path, content, sync=False)
    try:
        system.rename(made, path)
    except BaseException:
        discard(system, made)
        raise

    def undo() -> None:
        if old is None:
            system.remove(path)
        else:
            system.rename(write_beside(system, path, old, sync=False), path)

    return undo


def remove(system: FileSystem, path: str, aside: str, expected: Signature | None) -> Undo:
    """Take a file away, to the name ``aside``, from where it can come back.  Raises as :func:`replace`."""
    if expected is not None and signature(path) != expected:
        raise ConflictError(f"{os.path.basename(path)} was changed by somebody else")
    system.rename(path, aside)
    return lambda: system.rename(aside, path)
