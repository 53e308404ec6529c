"""All files of a store as they are at one moment, while writers go on.

The files are visited without a lock first, each with its signature noted, and again as far as they have
changed meanwhile.  Then, under the write lock, only what has changed since is visited once more: that is all
that writers wait for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress

from octavo.errors import BusyError
from octavo.store.system import Signature

_PASSES = 20


class Visitor:
    """What is done with each file.  A file that has changed is forgotten before it is visited again."""

    def look(self) -> Mapping[str, Signature]:
        """The files there are now, each with the signature of its state."""
        raise NotImplementedError

    def visit(self, file: str) -> None:
        """Take a file in.  FileNotFoundError: it is gone already."""
        raise NotImplementedError

    def forget(self, file: str) -> None:
        """What a file gave does not count any more."""
        raise NotImplementedError


def visit_all(visitor: Visitor, alone: Callable[[], AbstractContextManager[bool]]) -> None:
    """Visit all files as they are at one moment.

    ``alone`` gives a block inside which no process writes, and whether that is sure; if it is not, the files
    are visited until a whole pass finds no change.  Raises BusyError if there never is such a pass.
    """
    seen: dict[str, Signature] = {}
    _catch_up(visitor, seen)
    _catch_up(visitor, seen)
    with alone() as sure:
        for _ in range(_PASSES):
            if _catch_up(visitor, seen) == 0 or sure:
                return
    raise BusyError(0, "a writer that cannot be kept out")


def _catch_up(visitor: Visitor, seen: dict[str, Signature]) -> int:
    """Visit what has changed since it was seen; how many files that were."""
    there = visitor.look()
    gone = seen.keys() - there.keys()
    changed = [file for file, found in there.items() if seen.get(file) != found]
    for file in (*gone, *changed):
        if seen.pop(file, None) is not None:
            visitor.forget(file)
    for file in changed:
        with suppress(FileNotFoundError):
            visitor.visit(file)
            seen[file] = there[file]
    return len(gone) + len(changed)
