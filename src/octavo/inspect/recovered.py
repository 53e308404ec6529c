"""The files that a recovery would change, as it would leave them: made elsewhere, so that none is touched."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from octavo.errors import DamagedError
from octavo.store.journal import NAME, Journal, outcome
from octavo.store.system import FileSystem, read_whole


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
