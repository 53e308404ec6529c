"""All files of a store as they are at one moment, while writers go on.

The files are visited without a lock first, each with its signature noted, and again as far as they have
changed meanwhile.  Then, under the write lock, only what has changed since is visited once more: that is all
that writers wait for.  What a crash has left in the journal is replayed on copies: no file is changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from octavo.errors import BusyError, DamagedError
from octavo.store.journal import NAME, Journal, outcome
from octavo.store.system import FileSystem, Signature, read_whole

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


class _Unsynced(FileSystem):
    """A file system of which nothing has to last."""

    def sync(self, descriptor: int) -> None:
        pass


@dataclass
class Recovered:
    """What the journal says that the files may lack."""

    root: Path
    """a folder with those of the files that there would be"""
    entries: int = 0
    in_doubt: int = 0
    torn: int = 0
    """bytes at the journal's end of a commit that never returned"""
    files: set[str] = field(default_factory=set)
    """those that the journal names, whether they would be there or not"""
    damage: DamagedError | None = None
    """why it cannot be replayed"""


def recovered(root: Path, scratch: Path) -> Recovered:
    """Replay the journal of the store at ``root`` on copies below ``scratch``.

    Damage is in what is given.  Raises OSError if the copies cannot be written.
    """
    found = Recovered(scratch)
    journal = Journal(str(root), FileSystem())
    try:
        try:
            journal.catch_up(None)
        except OSError as error:
            raise DamagedError(f"cannot be read: {error.strerror}", file=NAME) from error
        found.entries, found.files = len(journal.entries), journal.pending
        found.torn = journal.torn
        _, doubtful = outcome(journal.entries)
        found.in_doubt = len(doubtful)
        if found.files:
            _replay(root, scratch, journal)
    except DamagedError as error:
        found.damage = error
    return found


def _replay(root: Path, scratch: Path, journal: Journal) -> None:
    for file in (*journal.pending, NAME):
        target = scratch / file
        target.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            data, _ = read_whole(str(root / file))
            target.write_bytes(data)
    again = Journal(str(scratch), _Unsynced())
    again.catch_up(None)
    again.replay(lambda note: False)
