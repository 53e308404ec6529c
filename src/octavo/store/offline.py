"""A data folder that no process has open as a store: its write lock held, its journal emptied, its page read.

For what treats a folder as a whole, such as putting another one in its place.  Nothing is read of the
records, so it works on a folder that no layout fits, and on a store that cannot be opened.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING

from octavo.backend import PathName
from octavo.errors import DamagedError, DatabaseError, DifferenceError, UsageError, disk_errors
from octavo.store import freshness as world
from octavo.store import indexfile, journal, lock, position, shared
from octavo.store.system import FOLDER_MODE, SYSTEM

if TYPE_CHECKING:
    from pathlib import Path

    from octavo.store.engine import Resolve

OWN = frozenset({lock.NAME, shared.NAME, shared.OPENERS, indexfile.FOLDER, world.TORN, position.NAME})
"""what of ``cache/`` speaks of the files of this very folder, and of no other that takes its place"""


def require_store(data_dir: PathName) -> None:
    """Raise UsageError if no store can be there: there is no folder, or nothing but ``cache/`` in it."""
    if not os.path.isdir(data_dir) or not set(os.listdir(data_dir)) - {"cache"}:
        raise UsageError(
            f"{data_dir} is no store",
            hint="make one by `octavo export`, or an empty one by `octavo scaffold`",
        )


@contextmanager
def at_rest(
    root: Path, *, timeout: float | None = lock.TIMEOUT, resolve: Resolve | None = None
) -> Iterator[float]:
    """Hold the write lock of the store in a folder, its journal empty, for the length of a block.

    Writers wait meanwhile; the block is given since when, by the monotonic clock.
    If the block puts another folder in the place of this one, they get an error then, and all that was
    committed before is in the folder that was replaced.  ``resolve`` tells the outcome of a prepared change
    from its note; without it there must be none.

    Raises BusyError, with the holder, if the lock is not free within ``timeout`` seconds (None: for ever);
    DifferenceError if the journal holds what cannot be brought into the files; DiskError.
    """
    # Not by an ExitStack: interrupted in leaving, it would keep the lock until the garbage is collected.
    with closing(_lock_of(root)) as held:
        with disk_errors("taking the write lock"):
            with suppress(FileExistsError):
                os.mkdir(os.path.join(root, "cache"), FOLDER_MODE)
            held.acquire(timeout)
            since = time.monotonic()
            with page(root, absent=FileNotFoundError) as state:
                if state is not None:
                    state.sign()
        _empty_journal(root, resolve)
        yield since


class Resting:
    """A store that is brought to rest several times, and for how long at most its writers waited at once."""

    def __init__(self, root: Path, patience: float) -> None:
        self.root, self.patience = root, patience
        self.longest = 0.0
        """seconds"""

    @contextmanager
    def hold(self) -> Iterator[None]:
        """As :func:`at_rest`."""
        since = None
        try:
            with at_rest(self.root, timeout=self.patience) as since:
                yield
        finally:
            if since is not None:
                self.longest = max(self.longest, time.monotonic() - since)


def _empty_journal(root: Path, resolve: Resolve | None) -> None:
    """Bring what the journal holds into the files.  The write lock is held."""
    folder = os.path.join(root, journal.FOLDER)
    if not _journals(folder):
        return
    try:
        with disk_errors("recovering the store"), page(root, absent=FileNotFoundError) as state:
            found = journal.Journal(os.fspath(root), SYSTEM)
            if state is not None and state.counts:
                # While the count is odd, a failure leaves it to the next who opens the store to recover it.
                state.begin()
                found.catch_up(state.journal_end)
                found.checkpoint()
                state.note_journal(0)
                state.end()
            else:
                # The next process that opens the store recovers the rest; it is not told that this was done.
                found.catch_up(None)
                found.replay(resolve)
                found.checkpoint()
    except (DamagedError, DatabaseError) as error:
        raise _not_at_rest(root, str(error)) from error
    if left := _journals(folder):
        raise _not_at_rest(root, f"unexpected file {journal.FOLDER}/{left[0]}")


def _journals(folder: str) -> list[str]:
    """The journals in a folder, of any version; other files in it are the user's."""
    with disk_errors("looking into the journal"), suppress(FileNotFoundError):
        return sorted(name for name in os.listdir(folder) if name.startswith("changes."))
    return []


def _not_at_rest(root: Path, reason: str) -> DifferenceError:
    return DifferenceError(
        f"{root} has changes in its journal that cannot be brought into its files: {reason}",
        hint="move the folder away yourself, journal and all, to begin with a new one",
    )


@contextmanager
def write_lock(root: Path, timeout: float | None) -> Iterator[None]:
    """Hold the write lock inside the block, and do nothing else: the store stays as it is found.

    ``cache/`` must exist.  Raises BusyError after ``timeout`` seconds (None: never), OSError.
    """
    with closing(_lock_of(root)) as held:
        held.acquire(timeout)
        yield


def _lock_of(root: Path) -> lock.ProcessLock:
    return lock.ProcessLock(os.path.join(root, lock.NAME), lambda: shared.holder_in(os.fspath(root)))


@contextmanager
def page(root: Path, *, absent: type[OSError] = OSError) -> Iterator[shared.SharedState | None]:
    """The page that the processes with this store open share; None if opening it raises ``absent``."""
    try:
        state = shared.SharedState(os.fspath(root), create=False)
    except absent:
        yield None
        return
    with closing(state):
        yield state


def needs_recovery(state: shared.SharedState | None) -> bool:
    """Whether the next process that opens the store will recover it."""
    return state is None or not state.counts
