"""The file of the index of texts below ``cache/``, which SQLite reads and writes, and when it counts.

It counts only as the process that changed it last has left it: a note beside it has its signature, so that a
file that was damaged, cut or exchanged is never asked.  A process that changes it says so in the note before,
and notes the signature afterwards; if it dies in between, the file is made anew.  What was not synced counts
until the machine is started again (:meth:`SearchFile.settle` syncs it); that a synced file is changed is
noted durably before.  So a search never misses a record because pages of the file are lost.

A connection lives for one piece of work, under the kernel's lock on the note and a lock of this process that
a fork waits for: no connection is ever shared with a child.
"""

from __future__ import annotations

import fcntl
import os
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple
from zlib import crc32

from octavo.errors import is_of_system
from octavo.store.lock import LockFile
from octavo.store.shared import boot_id
from octavo.store.system import FILE_MODE, FOLDER_MODE, Signature, signature

if TYPE_CHECKING:
    import sqlite3

FOLDER = "cache/search"
_NOTE = struct.Struct("<8sQQQQqqI")
_MAGIC = b"octavo t"
_NO_BOOT = 0
_WAIT = 0.5
"""seconds to wait for another process that changes the index, before a search does without it"""
_LATER = 5.0
"""seconds after which an index that could not be used is tried again"""
_CACHE = 16 << 10
"""kilobytes of the file that a connection holds at most"""

_using = threading.RLock()
"""held while a connection is open, and during a fork"""
os.register_at_fork(
    before=_using.acquire,
    after_in_parent=_using.release,
    after_in_child=_using.release,
)


class Unusable(Exception):
    """The index cannot be used now: a search does without it."""


class _Note(NamedTuple):
    generation: int
    """another one for each file that is made"""
    boot: int
    """the boot in which it was changed; 0: what it says is synced"""
    found: Signature | None
    """the state of the file that counts; None: it is being changed"""

    def pack(self) -> bytes:
        state = self.found or Signature(0, 0, 0, 0)
        packed = _NOTE.pack(_MAGIC, self.generation, self.boot, *state, 0)
        return packed[:-4] + crc32(packed[:-4]).to_bytes(4, "little")

    @classmethod
    def unpack(cls, data: bytes) -> _Note | None:
        if len(data) != _NOTE.size or crc32(data[:-4]) != int.from_bytes(data[-4:], "little"):
            return None
        magic, generation, boot, *state, _ = _NOTE.unpack(data)
        if magic != _MAGIC:
            return None
        return cls(generation, boot, Signature(*state) if state[0] else None)


class SearchFile:
    """One index of texts.  ``name`` tells it from those of other layouts and versions."""

    def __init__(self, root: str, name: str, script: str) -> None:
        """``script`` makes its tables."""
        self._folder = os.path.join(root, FOLDER)
        self.path = os.path.join(self._folder, f"{name}.sqlite")
        self._beside = os.path.join(self._folder, f"{name}.note")
        self._script = script
        self._refused_until = 0.0
        self._is_unsettled = False
        """whether this process has changed it, and not synced it since"""
        self.generation = 0
        """which file was used last"""

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection | None]:
        """The file to be asked; None: there is none that counts.  Raises Unusable."""
        if not os.path.lexists(self._beside):
            yield None
            return
        with self._opened(fcntl.LOCK_SH) as lock:
            note = self._counting(lock)
            if note is None:
                yield None
                return
            self.generation = note.generation
            with closing(self._connection()) as connection:
                yield connection

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """The file to be changed, by one transaction; made anew if there is none that counts.

        If the block raises, nothing has changed.  Raises Unusable.
        """
        with self._opened(fcntl.LOCK_EX) as lock:
            note = self._counting(lock)
            if note is None:
                self._remove()
                note = _Note(int.from_bytes(os.urandom(7)) + 1, boot_id(), None)
            was_synced = note.boot == _NO_BOOT
            changing = _Note(note.generation, boot_id(), None)
            self._write(lock, changing)
            if was_synced:
                os.fdatasync(lock.descriptor)
            with closing(self._connection(changes=True)) as connection:
                connection.execute("BEGIN IMMEDIATE")
                try:
                    if not connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone():
                        for statement in self._script.split(";\n"):
                            connection.execute(statement)
                    yield connection
                    connection.execute("COMMIT")
                except BaseException:
                    if connection.in_transaction:
                        connection.execute("ROLLBACK")
                    self._note_state(lock, changing)
                    raise
            self._note_state(lock, changing)
            self._is_unsettled = True
            self.generation = note.generation

    def settle(self) -> None:
        """Make what this process has changed durable, so that it counts after the machine's next start."""
        if not self._is_unsettled:
            return
        with suppress(Unusable), self._opened(fcntl.LOCK_EX) as lock:
            note = self._counting(lock)
            if note is not None and note.boot != _NO_BOOT:
                with LockFile(lambda: os.open(self.path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)) as file:
                    os.fdatasync(file.descriptor)
                self._write(lock, _Note(note.generation, _NO_BOOT, note.found))
                os.fdatasync(lock.descriptor)
            self._is_unsettled = False

    def _refuse(self) -> None:
        """Do without the index for a while, and let it be made anew."""
        self._refused_until = time.monotonic() + _LATER
        self.discard()

    def discard(self) -> None:
        """Let the index be made anew."""
        with suppress(Unusable, OSError), self._locked(fcntl.LOCK_EX) as lock:
            self._write(lock, _Note(1, boot_id(), None))
            self._remove()

    @contextmanager
    def _opened(self, how: int) -> Iterator[LockFile]:
        """The note, locked, with whatever goes wrong in the block as Unusable."""
        if time.monotonic() < self._refused_until:
            raise Unusable
        import sqlite3

        try:
            with self._locked(how) as lock:
                yield lock
        except (sqlite3.Error, OSError) as error:
            if isinstance(error, OSError) and not is_of_system(error):
                raise
            self._refuse()
            raise Unusable from error

    @contextmanager
    def _locked(self, how: int) -> Iterator[LockFile]:
        with _using:
            for folder in (os.path.dirname(self._folder), self._folder):
                with suppress(FileExistsError):
                    os.mkdir(folder, FOLDER_MODE)
            if os.path.islink(self._folder):
                raise Unusable
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            with LockFile(lambda: os.open(self._beside, flags, FILE_MODE)) as lock:
                end = time.monotonic() + _WAIT
                while not lock.lock(how):
                    if time.monotonic() > end:
                        raise Unusable
                    time.sleep(0.002)
                yield lock

    def _counting(self, lock: LockFile) -> _Note | None:
        """The note, if the file is as it says; None: the file does not count."""
        note = _Note.unpack(os.pread(lock.descriptor, _NOTE.size + 1, 0))
        if note is None or note.found is None or note.boot not in (_NO_BOOT, boot_id()):
            return None
        return note if signature(self.path) == note.found else None

    def _note_state(self, lock: LockFile, note: _Note) -> None:
        # The kernel's time stands still for milliseconds: a change within the same ones must show, too.
        with suppress(FileNotFoundError):
            os.utime(self.path, ns=(now := time.time_ns(), now))
        self._write(lock, note._replace(found=signature(self.path)))

    @staticmethod
    def _write(lock: LockFile, note: _Note) -> None:
        os.pwrite(lock.descriptor, note.pack(), 0)
        os.ftruncate(lock.descriptor, _NOTE.size)

    def _remove(self) -> None:
        for ending in ("", "-journal", "-wal", "-shm"):
            with suppress(FileNotFoundError):
                os.unlink(self.path + ending)

    def _connection(self, *, changes: bool = False) -> sqlite3.Connection:
        import sqlite3

        if not changes:
            return sqlite3.connect(f"file:{_quoted(self.path)}?mode=ro", uri=True, isolation_level=None)
        # No other user may read what SQLite makes.
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        os.close(os.open(self.path, flags, FILE_MODE))
        connection = sqlite3.connect(self.path, isolation_level=None)
        for pragma in ("journal_mode=MEMORY", "synchronous=OFF", f"cache_size=-{_CACHE}"):
            connection.execute(f"PRAGMA {pragma}").fetchall()
        return connection


def _quoted(path: str) -> str:
    from urllib.parse import quote

    return quote(path)


def is_there() -> bool:
    """Whether Python's SQLite has all that the index needs."""
    try:
        import sqlite3

        with closing(sqlite3.connect(":memory:")) as connection:
            connection.execute(
                "CREATE VIRTUAL TABLE t USING fts5"
                "(x, content='', detail=none, columnsize=0, tokenize='trigram case_sensitive 1')"
            )
    except (ImportError, sqlite3.Error):
        return False
    return True
