"""Keeping writers out of a store that is not opened: it may be one that cannot be."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from octavo.store import lock, shared


@contextmanager
def write_lock(root: Path, timeout: float | None) -> Iterator[None]:
    """Hold the write lock inside the block, and do nothing else: the store stays as it is found.

    ``cache/`` has to be there.  Raises BusyError after ``timeout`` seconds (None: never), OSError.
    """

    held = lock.ProcessLock(str(root / lock.NAME), lambda: shared.holder_in(str(root)))
    held.acquire(timeout)
    with closing(held):
        yield


@contextmanager
def page(root: Path) -> Iterator[shared.SharedState | None]:
    """The page that the processes with this store open share; None: there is none, or it cannot be had."""
    try:
        state = shared.SharedState(str(root), create=False)
    except OSError:
        yield None
        return
    with closing(state):
        yield state


def needs_recovery(state: shared.SharedState | None) -> bool:
    """Whether the next process that opens the store will recover it."""
    return state is None or not state.counts
