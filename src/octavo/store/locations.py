"""Where each record of a log per parent stands: the way to a message of which only the id is known.

The index is an LMDB file below ``cache/``, from a record's key to its log, position and length.  It is never
the truth: what it says is read from the log and held against the key, and every log is indexed again whose
signature is not the one that the index has noted.  It is made when it is first needed.

But a file of LMDB that is not whole kills the process that reads it, or finds nothing in it.  So it is used
only if it is known to be whole.  It is, as long as processes have the store open one after the other without
a gap.  The last one syncs it and notes its signature in the shared page (:func:`settle`); that note is taken
back, durably, before the file is changed again.  So a file that fits its note is whole even where the folder
was brought back to an earlier state.  The process that opens the store next removes any other
(:func:`keep_if_whole`).
"""

from __future__ import annotations

import errno
import os
import struct
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from weakref import WeakValueDictionary

import msgspec

from octavo.errors import DamagedError, DiskError
from octavo.layout.layout import FileFamily
from octavo.layout.record import attribute, member
from octavo.layout.stored import Key, Stored, encode
from octavo.layout.storedcodec import Codec
from octavo.store.changes import Append, Change, Remove, beside
from octavo.store.content import Contents, Log
from octavo.store.families.base import Changed, Changes, Found, list_files, read_file
from octavo.store.freshness import Behind, World
from octavo.store.shared import SharedState, boot_id
from octavo.store.system import (
    FILE_MODE,
    FOLDER_MODE,
    SYSTEM,
    FileSystem,
    Signature,
    SyncError,
    open_privately,
    open_signed,
    read_whole,
    signature,
)

if TYPE_CHECKING:
    import lmdb

FOLDER = "cache/index"
_DATA, _LOCK = "data.mdb", "lock.mdb"
_MAP_SIZE = 1 << 36 if struct.calcsize("P") == 8 else 1 << 30
"""bytes of address space, not of disk or memory"""
_LOCK_SIZE = 1 << 14
"""bytes: room for as many readers as LMDB asks for, and more"""
_LONGEST_KEY = 400
_PLACE = struct.Struct("<IQI")
_FILE = struct.Struct("<IQQqq")
_OPEN_FILES = 32
_UNREAD = Signature(0, 0, 0, 0)


class _Environment:
    """An LMDB environment, which a process may open only once.

    Who waits for LMDB's own lock holds up all threads of the process, also the one that has the lock: so they
    wait for each other here.
    """

    def __init__(self, path: str) -> None:
        import lmdb

        data = os.path.join(path, _DATA)
        self._writing = threading.Lock()
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

        with suppress(lmdb.NotFoundError), self._writing:
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
        with self._writing, self.lmdb.begin(write=True, db=table) as transaction:
            if state is not None:
                state.change_index(system)
            yield transaction

    def settle(self, state: SharedState, *, in_use: bool) -> None:
        """Make all that was changed durable, and note that the index is whole.  Raises lmdb.Error."""
        if in_use:
            # Most of it now, so that a commit does not have to wait for it.
            self.lmdb.sync(True)
        # No process changes it between these.
        with self._writing, self.lmdb.begin(write=True):
            self.lmdb.sync(True)
            state.note_whole(Signature.of(os.fstat(self._descriptor)))

    def __del__(self) -> None:
        if hasattr(self, "lmdb"):
            self.lmdb.close()
        if hasattr(self, "_descriptor"):
            os.close(self._descriptor)


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


_open: WeakValueDictionary[tuple[int, str, int], _Environment] = WeakValueDictionary()
_opening = threading.Lock()


def _environment(path: str) -> _Environment:
    with _opening:
        # Each by itself: the mode is only for the last folder of those that are made.
        os.makedirs(os.path.dirname(path), FOLDER_MODE, exist_ok=True)
        os.makedirs(path, FOLDER_MODE, exist_ok=True)
        identity = os.getpid(), path, os.stat(path).st_ino
        found = _open.get(identity)
        if found is None:
            found = _open[identity] = _Environment(path)
        return found


def _place(root: str) -> str:
    """The folder of the index of this boot."""
    return os.path.join(root, FOLDER, f"{boot_id():016x}")


def keep_if_whole(root: str, state: SharedState) -> bool:
    """Remove the index of a store, unless it is known to be whole; whether there is one then.

    The write lock is held, and no process has the store open.  Raises OSError.
    """
    import shutil

    data, lock = (signature(os.path.join(_place(root), name)) for name in (_DATA, _LOCK))
    # LMDB writes the other file anew when it opens the first, but does not make room for it.
    if data is not None and state.is_whole(data) and lock is not None and lock.size >= _LOCK_SIZE:
        return True
    folder = os.path.join(root, FOLDER)
    if os.path.islink(folder):
        os.unlink(folder)
    with suppress(FileNotFoundError):
        # The folder itself may be where a file system is mounted.
        for entry in list(os.scandir(folder)):
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
        with suppress(_failure()):
            _environment(_place(state.root)).settle(state, in_use=in_use)


class _Noted(NamedTuple):
    """What the index holds of a log."""

    number: int
    state: Signature
    """in which it was indexed"""


class Logs(Protocol):
    """What is asked of the family whose records are to be found."""

    world: World
    family: FileFamily
    contents: Contents
    codec: Codec
    model: str

    def understand(self, file: str, data: bytes) -> Log: ...

    def belongs(self, stored: Stored, file: str) -> bool: ...

    def by_file(self, changes: Mapping[Key, Changed]) -> dict[str, dict[Key, Changed]]: ...

    def expected(self, file: str) -> Signature | None: ...

    def in_files(self, files: Iterable[str]) -> Iterator[Stored]: ...


class Locations:
    """Finds the records of one place with a log per parent by their key."""

    def __init__(self, logs: Logs) -> None:
        self.logs, self.world, self.codec = logs, logs.world, logs.codec
        self.path = _place(logs.world.root)
        self._environment: _Environment | None = None
        self._doubtful: set[str] | None = None
        """the logs that may not be as the index has them; None: any but those in ``_looked_at``"""
        self._looked_at: set[str] = set()
        """the logs that are as the index has them, where any other may not be"""
        self._gone: set[str] = set()
        """the logs that went, as far as has been noticed"""
        self._unlisted = True
        """whether logs may be missing of which nobody has noticed that they went"""
        self._broken: set[str] = set()
        """the logs with a line that cannot be read"""
        self._descriptors: dict[str, tuple[int, int]] = {}
        """of logs that were read from, with the inode that each leads to"""
        self._files: dict[int, str] = {}
        self._mutex = logs.world.mutex
        self._key_type: Any = None

    def suspect(self, file: str | None) -> None:
        """A log may have changed; None: any may have."""
        with self._mutex:
            if file is None:
                self._doubt_all()
                self._close_files()
            elif self._doubtful is None:
                self._looked_at.discard(file)
            elif self.logs.family.pattern.fullmatch(file):
                self._doubtful.add(file)

    @property
    def may_lack_logs(self) -> bool:
        """Whether what was not found may be in a log that is missing."""
        return self._unlisted or bool(self._gone)

    def all_are_there(self) -> None:
        """No log is missing."""
        self._unlisted = False
        self._gone.clear()

    def _doubt_all(self) -> None:
        self._doubtful, self._looked_at = None, set()

    def find(self, key: Key) -> Stored | None:
        """The record with this key.  Raises DamagedError, DiskError, Behind."""
        return self.world.steadily(lambda: self._find(key))

    def _find(self, key: Key) -> Stored | None:
        for _ in range(2):
            try:
                return self._find_by_index(key)
            except _failure():
                self._give_up()
            except (PermissionError, SyncError):
                break
            except OSError as error:
                if error.errno not in (errno.EROFS, errno.ENOSPC, errno.EDQUOT):
                    raise DiskError.of(error, "indexing the store") from error
                break
        # There can be no index here.
        files = list_files(self.world, self.logs.family)
        return next((s for s in self.logs.in_files(files) if self.codec.key_of(s) == key), None)

    def _give_up(self) -> None:
        """Do without an index that cannot be used; the next one is made from the logs."""
        import shutil

        self._environment = None
        shutil.rmtree(self.path, ignore_errors=True)

    def _find_by_index(self, key: Key) -> Stored | None:
        if self._environment is None:
            self._make_ready()
        stored = self._read(key)
        if stored is None:
            if self._catch_up():
                stored = self._read(key)
            if stored is None and self._doubtful != self._broken:
                # It may be in a log that cannot be looked at before it has been written.
                raise Behind
            for file in sorted(self._broken) if stored is None else ():
                # It may be what cannot be read.
                self._understand(file)
        # Others change the index and the logs that it leads to.
        self.world.check()
        return stored

    def _make_ready(self) -> None:
        self._open()
        self._doubt_all()
        # Whoever commits from now on follows; what is committed already is looked at.
        if self.world.state is not None:
            self.world.state.note_index()
        self._catch_up()

    def _open(self) -> None:
        self._environment = _environment(self.path)
        model = self.logs.model
        self._places, self._logs = (
            self._environment.table(f"{model} {what}", self.world.state, self.world.system)
            for what in ("places", "logs")
        )
        self._close_files()
        self._files = {}

    def _writing(self) -> AbstractContextManager[lmdb.Transaction]:
        """A transaction that changes the index."""
        return self._opened.writing(self._places, self.world.state, self.world.system)

    @property
    def _opened(self) -> _Environment:
        if self._environment is None:
            raise AssertionError("the index is not open")
        return self._environment

    def _read(self, key: Key) -> Stored | None:
        """What stands where the index says, if it is that record and the log is as the index has it."""
        raw = _raw_key(key)
        with self._opened.lmdb.begin(db=self._places) as transaction:
            found = transaction.get(raw)
            if found is None:
                return None
            number, at, length = _PLACE.unpack(found)
            file = self._file(transaction, number)
            noted = None if file is None else self._noted(file, transaction)
        if file is None or noted is None or noted.number != number or not self._is_current(file, noted.state):
            return None
        text = self._text(file, noted.state.inode, at, length)
        try:
            stored = self.codec.decode(text)
        except DamagedError:
            stored = None
        if stored is None or self.codec.key_of(stored) != key or not self.logs.belongs(stored, file):
            if file in self.world.in_flight:
                # It is just being replaced, and the index follows when it has been.
                raise Behind
            self.world.check()
            # The line is broken; or the log was changed just now; or an edit has left no line of the record.
            self._understand(file)
            self.suspect(file)
            return None
        return stored

    def _is_current(self, file: str, noted: Signature) -> bool:
        """Whether a log is as it was when the index noted this state of it."""
        if file in self._looked_at if self._doubtful is None else file not in self._doubtful:
            return True
        if file in self.world.in_flight:
            return noted == self.logs.expected(file)
        if self.world.signature(file) != noted:
            return False
        if self._doubtful is None:
            self._looked_at.add(file)
        else:
            self._doubtful.discard(file)
        return True

    def _file(self, transaction: lmdb.Transaction, number: int) -> str | None:
        file = self._files.get(number)
        if file is None and (found := transaction.get(_number_key(number), db=self._logs)) is not None:
            file = bytes(found).decode("utf-8", "surrogateescape")
            if not self.logs.family.pattern.fullmatch(file):
                raise _failure()("it names a file that is no log")
            self._files[number] = file
        return file

    def _noted(self, file: str, transaction: lmdb.Transaction) -> _Noted | None:
        """What the index has noted of a log."""
        found = transaction.get(_log_key(file), db=self._logs)
        if found is None:
            return None
        number, *state = _FILE.unpack(found)
        return _Noted(number, Signature(*state))

    def _state_of(self, file: str) -> Signature | None:
        """The state in which a log was indexed; None: it was not."""
        with self._opened.lmdb.begin(db=self._logs) as transaction:
            noted = self._noted(file, transaction)
        return None if noted is None else noted.state

    def _text(self, file: str, inode: int, at: int, length: int) -> bytes:
        """A part of a log that is this inode; nothing if another one has its name by now."""
        held = self._descriptors.get(file)
        if held is not None and held[1] != inode:
            self._close_file(file)
            held = None
        if held is None:
            try:
                descriptor, found = open_signed(self.world.path(file))
            except FileNotFoundError:
                return b""
            except IsADirectoryError as error:
                raise DamagedError("is no regular file", file=file) from error
            except OSError as error:
                raise DiskError.of(error, "reading the store") from error
            held = self._descriptors[file] = descriptor, found.inode
            self.world.place.check()
            if len(self._descriptors) > _OPEN_FILES:
                self._close_file(next(iter(self._descriptors)))
            if found.inode != inode:
                return b""
        return os.pread(held[0], length, at)

    def _catch_up(self) -> bool:
        """Index the logs that are not as the index has them; whether there were any.

        Those that cannot be looked at before they have been written stay doubtful.
        """
        files, in_flight = self._doubtful, self.world.in_flight
        if files is None:
            files = set(list_files(self.world, self.logs.family))
            self._unlisted = True
        changed = False
        for file in sorted(files - in_flight):
            found = self.world.signature(file)
            (self._gone.add if found is None else self._gone.discard)(file)
            if found != self._state_of(file):
                changed = True
                if found is None:
                    self._forget(file)
                else:
                    self._index(file)
        self._doubtful = {f for f in files & in_flight if self._state_of(f) != self.logs.expected(f)}
        self._doubtful |= self._broken
        return changed

    def _understand(self, file: str) -> None:
        """Raise DamagedError if a log is broken."""
        if self.world.signature(file) is not None:
            self.logs.understand(file, read_file(self.world, file)[0])
        self._broken.discard(file)

    @contextmanager
    def _changing(self, file: str, found: Signature | None, own: bool) -> Iterator[lmdb.Transaction]:
        """Change what the index has of a log, which was found in this state; ``None``: it is gone.

        Raises Behind if that is over: what a newer state came to would be replaced by an older one.
        """
        with self._writing() as transaction:
            if not own and (self.world.commits != self.world.known or self.world.signature(file) != found):
                raise Behind
            yield transaction

    def _forget(self, file: str, *, own: bool = False) -> None:
        """A log is gone, and with it every place in it; ``own``: this process's commit has removed it."""
        self._close_file(file)
        self._broken.discard(file)
        with self._changing(file, None, own) as transaction:
            transaction.delete(_log_key(file), db=self._logs)

    def _index(self, file: str, *, own: bool = False) -> None:
        """Index a log anew; ``own``: as this process's commit has just left it."""
        data, found = read_whole(self.world.path(file)) if own else read_file(self.world, file)
        self._close_file(file)
        with self._changing(file, found, own) as transaction:
            self._broken.discard(file)
            number = self._number(transaction, file)
            places: dict[bytes, bytes | None] = {}
            for key, at, length in self._lines(file, data):
                places[_raw_key(key)] = _PLACE.pack(number, at, length) if length else None
            there = [(raw, place) for raw, place in sorted(places.items()) if place is not None]
            transaction.cursor(self._places).putmulti(there)
            for raw in [raw for raw, place in places.items() if place is None]:
                self._drop(transaction, raw, number)
            if file in self._broken:
                # Whoever else looks for a record shall see for himself.
                self._note(transaction, file, number, _UNREAD)
            else:
                self._note(transaction, file, number, found)

    @staticmethod
    def _drop(transaction: lmdb.Transaction, raw: bytes, number: int) -> None:
        """A record is no longer in the log of this number; it may be in another one by now."""
        found = transaction.get(raw)
        if found is not None and _PLACE.unpack(found)[0] == number:
            transaction.delete(raw)

    def _lines(self, file: str, data: bytes) -> Iterator[tuple[Key, int, int]]:
        """Key, position and length of each line; the length of a tombstone's is 0."""
        decode, key_of = self._key_decoder()
        at, unread = 0, False
        while at < len(data):
            end = data.find(b"\n", at)
            line = data[at : len(data) if end < 0 else end]
            try:
                decoded = decode(line)
                yield key_of(decoded), at, 0 if decoded._deleted else len(line)
            except (msgspec.MsgspecError, UnicodeError, RecursionError):
                try:
                    if line.strip():
                        _, key, stored = self.logs.contents.line(line.rstrip(b"\r"))
                        yield key, at, 0 if stored is None else len(line)
                except DamagedError:
                    unread = True
            at += len(line) + 1
        if unread:
            # A torn last line does not count; anything else is for who asks for what may be there.
            try:
                self.logs.understand(file, data)
            except DamagedError:
                self._broken.add(file)

    def _key_decoder(self) -> tuple[Any, Any]:
        keys = self.codec.keys
        if self._key_type is None:
            fields = [f for f, _ in keys.fields]
            self._key_type = msgspec.defstruct(
                "Key",
                [
                    *((attribute(f), *member(f, self.codec.layout.datamodel)) for f in fields),
                    ("_deleted", bool, False),
                ],
                rename={attribute(f): f.name for f in fields},
            )
        return msgspec.json.Decoder(self._key_type).decode, keys.of

    def _number(self, transaction: lmdb.Transaction, file: str) -> int:
        if (noted := self._noted(file, transaction)) is not None:
            return noted.number
        number = int.from_bytes(transaction.get(b"#", b"\0", db=self._logs)) + 1
        transaction.put(b"#", number.to_bytes(4), db=self._logs)
        transaction.put(_number_key(number), file.encode(), db=self._logs)
        return number

    def _note(self, transaction: lmdb.Transaction, file: str, number: int, found: Signature) -> None:
        transaction.put(_log_key(file), _FILE.pack(number, *found), db=self._logs)

    def done(self, changes: Changes, files: Mapping[str, Change], found: Found) -> None:
        """A commit has changed logs: follow it, where there is an index that could.  Under the write lock.

        As :meth:`ParentLogs.done`.
        """
        with self._mutex:
            if self._environment is None and self.world.state is not None and not self.world.state.indexed:
                return
            import lmdb

            try:
                self._follow(changes, files, found)
            except (lmdb.Error, OSError, DiskError):
                # The commit has happened, and an index is no part of it.
                self._give_up()

    def _follow(self, changes: Changes, files: Mapping[str, Change], found: Found) -> None:
        if self._environment is None:
            self._open()
        by_file = self.logs.by_file(changes.get(self.logs.model, {}))
        for file, change in files.items():
            if isinstance(change, Append):
                self._appended(file, change, by_file.get(file, {}), found.get(file))
            elif isinstance(change, Remove):
                self._forget(file, own=True)
            else:
                self._index(file, own=True)

    def _appended(
        self, file: str, change: Append, changed: Mapping[Key, Changed], found: Signature | None
    ) -> None:
        lines = change.lines.encode()
        at = change.at
        with self._writing() as transaction:
            noted = self._noted(file, transaction)
            if noted is None or found is None or noted.state != self.logs.expected(file):
                self.suspect(file)
                return
            for key, change_of in changed.items():
                if change_of.after is None and change_of.before is None:
                    continue
                while lines[at - change.at : at - change.at + 1] == b"\n":
                    at += 1
                end = lines.index(b"\n", at - change.at)
                length = end - (at - change.at)
                if change_of.after is None:
                    self._drop(transaction, _raw_key(key), noted.number)
                else:
                    transaction.put(_raw_key(key), _PLACE.pack(noted.number, at, length))
                at += length + 1
            self._note(transaction, file, noted.number, found)

    def _close_file(self, file: str) -> None:
        if (held := self._descriptors.pop(file, None)) is not None:
            os.close(held[0])

    def _close_files(self) -> None:
        while self._descriptors:
            descriptor, _ = self._descriptors.popitem()[1]
            with suppress(OSError):
                os.close(descriptor)

    def close(self) -> None:
        # Without the mutex: in a child of fork a thread may hold it that is not there.
        self._close_files()
        self._environment = None


def _failure() -> type[Exception]:
    """What LMDB raises, asked for only when something was raised."""
    import lmdb

    return lmdb.Error


def _digest(raw: bytes) -> bytes:
    from hashlib import sha256

    return sha256(raw).digest()


def _raw_key(key: Key) -> bytes:
    raw = encode(key)
    return raw if len(raw) <= _LONGEST_KEY else b"~" + _digest(raw)


def _log_key(file: str) -> bytes:
    raw = file.encode()
    return b"f" + (raw if len(raw) <= _LONGEST_KEY else _digest(raw))


def _number_key(number: int) -> bytes:
    return b"n" + number.to_bytes(4)
