"""The file of the index below ``cache/``, which LMDB reads and writes, and when it counts.

A file of LMDB that is not whole kills the process that reads it, or finds nothing in it.  So it is used only
if it is known to be whole.  It is, as long as processes have the store open one after the other without a
gap.  The last one syncs it and notes its signature in the shared page (:func:`settle`); that note is taken
back, durably, before the file is changed again.  So a file that fits its note is whole even where the folder
was brought back to an earlier state.  The process that opens the store next removes any other
(:func:`keep_if_whole`).
"""

from __future__ import annotations

import errno
import os
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from octavo.store.changes import beside
from octavo.store.shared import SharedState, boot_id
from octavo.store.system import (
    FILE_MODE,
    FOLDER_MODE,
    SYSTEM,
    FileSystem,
    Signature,
    open_privately,
    signature,
)

if TYPE_CHECKING:
    import lmdb

FOLDER = "cache/index"
_DATA, _LOCK = "data.mdb", "lock.mdb"
_MAP_SIZE = 1 << 36 if struct.calcsize("P") == 8 else 1 << 30
"""bytes of address space, not of disk or memory"""
_TRIES = 10
_LOCK_SIZE = 1 << 14
"""bytes: room for as many readers as LMDB asks for, and more"""


class Environment:
    """An LMDB environment, which a process may open only once.

    Who waits for LMDB's own lock holds up all threads of the process, also the one that has the lock: so they
    wait for each other here.
    """

    def __init__(self, path: str) -> None:
        import lmdb

        data = os.path.join(path, _DATA)
        self._process = os.getpid()
        self.changing = threading.Lock()
        # Open as long as LMDB has it open, so that no other file can have its inode.
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        self._descriptor = os.open(data, flags, FILE_MODE)
        _make_room(os.path.join(path, _LOCK))
        self.lmdb = lmdb.open(
            path,
            map_size=_MAP_SIZE,
            max_dbs=64,
            sync=False,
            metasync=False,
            mode=FILE_MODE,
            max_spare_txns=8,
        )
        if not os.path.samestat(os.fstat(self._descriptor), os.lstat(data)):
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), data)

    def table(
        self, name: str, state: SharedState | None = None, system: FileSystem = SYSTEM
    ) -> lmdb._Database:
        """The table of this name, which is made if it is not there."""
        import lmdb

        with suppress(lmdb.NotFoundError), self.changing:
            return self.lmdb.open_db(name.encode(), create=False)
        with self.writing(None, state, system) as transaction:
            return self.lmdb.open_db(name.encode(), txn=transaction)

    @contextmanager
    def writing(
        self, table: lmdb._Database | None, state: SharedState | None = None, system: FileSystem = SYSTEM
    ) -> Iterator[lmdb.Transaction]:
        """A transaction that changes something, in this table unless it names another.

        ``state`` is told before that the index is not whole any more.
        """
        with self.changing, self.lmdb.begin(write=True, db=table) as transaction:
            if state is not None:
                state.change_index(system)
            yield transaction

    def settle(self, state: SharedState, *, in_use: bool) -> None:
        """Make all that was changed durable, and note that the index is whole.  Raises lmdb.Error."""
        if in_use:
            # Most of it now, so that a commit does not have to wait for it.
            self.lmdb.sync(True)
        # No process changes it between these.
        with self.changing, self.lmdb.begin(write=True):
            self.lmdb.sync(True)
            state.note_whole(Signature.of(os.fstat(self._descriptor)))

    def __del__(self) -> None:
        if hasattr(self, "lmdb"):
            if self._process == os.getpid():
                self.lmdb.close()
            else:
                _never_close(self.lmdb)
        if hasattr(self, "_descriptor"):
            os.close(self._descriptor)


def _never_close(inherited: lmdb.Environment) -> None:
    """Leave what a child of fork has of its parent's environment as it is until the child is gone.

    Its transactions share their slots in LMDB's table of readers with the parent's: ending one here, which
    also happens when Python lets go of the object, would take the slot from the parent.
    """
    import ctypes

    ctypes.pythonapi.Py_IncRef(ctypes.py_object(inherited))


def _make_room(path: str) -> None:
    """Write the file that LMDB maps for its readers, where there is none: were it made without its blocks, a
    full disk would be the death of who touches it.  Raises OSError."""
    if signature(path) is None:
        made = beside(path)
        try:
            with open(made, "xb", opener=open_privately) as file:
                file.write(bytes(_LOCK_SIZE))
            with suppress(FileExistsError):
                os.link(made, path)
        finally:
            with suppress(FileNotFoundError):
                os.unlink(made)


_open: WeakValueDictionary[tuple[int, str, int], Environment] = WeakValueDictionary()
_opening = threading.Lock()


def environment(path: str) -> Environment:
    with _opening:
        # Each by itself: the mode is only for the last folder of those that are made.
        os.makedirs(os.path.dirname(path), FOLDER_MODE, exist_ok=True)
        os.makedirs(path, FOLDER_MODE, exist_ok=True)
        identity = os.getpid(), path, os.stat(path).st_ino
        found = _open.get(identity)
        if found is None:
            found = _open[identity] = Environment(path)
        return found


def place_of(root: str) -> str:
    """The folder of the index of this boot."""
    return os.path.join(root, FOLDER, f"{boot_id():016x}")


def keep_if_whole(root: str, state: SharedState) -> bool:
    """Remove the index of a store, unless it is known to be whole; whether there is one then.

    The write lock is held, and no process has the store open.  Raises OSError.
    """
    data, lock = (signature(os.path.join(place_of(root), name)) for name in (_DATA, _LOCK))
    # LMDB writes the other file anew when it opens the first, but does not make room for it.
    if data is not None and state.is_whole(data) and lock is not None and lock.size >= _LOCK_SIZE:
        return True
    folder = os.path.join(root, FOLDER)
    if os.path.islink(folder):
        os.unlink(folder)
    with suppress(FileNotFoundError):
        # The folder itself may be where a file system is mounted.
        for entry in list(os.scandir(folder)):
            import shutil

            shutil.rmtree(entry) if entry.is_dir(follow_symlinks=False) else os.unlink(entry)
    return False


def settle(state: SharedState | None, *, in_use: bool) -> None:
    """Make the index of a store durable, and note in its page that it is whole, if there is one.

    ``in_use``: threads of this process may be about to commit.  If the system refuses, nothing is noted, and
    the index is made anew one day.
    """
    # A thread may close the page meanwhile, which is a ValueError here.
    with suppress(OSError, ValueError):
        if state is None or not state.is_current or not state.indexed or state.is_index_whole:
            return
        with suppress(failure()):
            environment(place_of(state.root)).settle(state, in_use=in_use)


def failure() -> type[Exception]:
    """What LMDB raises, asked for only when something was raised."""
    import lmdb

    return lmdb.Error
