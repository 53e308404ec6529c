"""Where each record of a log stands: the way to a record of which only the key is known.

The index is an LMDB file below ``cache/`` (:mod:`octavo.store.indexfile`), from a record's key to its log,
position and length.  It is never the truth: what it says is read from the log and held against the key, and
every log is indexed again whose signature is not the one that the index has noted.  It is made when it is
first needed.
"""

from __future__ import annotations

import errno
import os
import struct
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from octavo.errors import DamagedError, DiskError
from octavo.layout.codec import Decoded
from octavo.layout.keys import Key
from octavo.store.changes import Append, Change, Remove
from octavo.store.families.base import NOTHING, Changed, Found, opened, read_file
from octavo.store.freshness import Stale
from octavo.store.indexer import LARGE, LONGEST_KEY, Indexer, Logs, Read, digest, raw_key
from octavo.store.indexfile import Environment, environment, failure, place_of
from octavo.store.system import Signature, SyncError, open_signed, read_whole

if TYPE_CHECKING:
    import lmdb

_PLACE = struct.Struct("<IQI")
"""number of the log, position, length"""
_CONTESTED = 1 << 31
"""added to the length where another log had the record, too: by an edit, or before it was moved"""
_STATE = struct.Struct("<QQqq")
_FILE = struct.Struct("<IQQqqQB")
"""number of the log, the signature of the state that is noted, its lineage, and flags"""
_LINEAGE = slice(36, 44)
"""where in such a note the lineage stands: what all states of a log have in common that came from one another
by nothing but appending commits"""
_INDEXED = 1
"""the places of its records are noted"""
_READ_ON = 2
"""processes read it on from states that they know: each commit notes its state at once"""
_INODE = slice(4, 12)
"""where in such a note the inode stands"""
_UNREAD = Signature(0, 0, 0, 0)
_NEWLINE = ord("\n")
_FEWEST_OPEN, _MOST_OPEN = 32, 4096
_FEW_PLACES = 500
"""records after which the index is to note what commits have appended"""
_BATCH = 500
"""lines after which the logs that were read are written to the index"""


class _Ahead(NamedTuple):
    """A log that this process's commits have appended to, and the index has not noted it yet."""

    number: int
    before: bytes
    """what the index notes of it"""
    found: bytes
    """what it is to note"""
    places: set[bytes]
    """the keys of the records that were appended or removed"""


class Locations:
    """Finds the records of one model that lives in logs by their key."""

    def __init__(self, logs: Logs) -> None:
        self.logs, self.world, self.codec = logs, logs.world, logs.codec
        self.path = place_of(logs.world.root)
        self._environment: Environment | None = None
        self._doubtful: set[str] | None = None
        """the logs that may not be as the index has them; None: any but those in ``_looked_at``"""
        self._looked_at: set[str] = set()
        """the logs that are as the index has them, where any other may not be"""
        self.may_lack_logs = True
        """whether what was not found may be in a log that is missing"""
        self._indexer = Indexer(logs)
        self._broken = self._indexer.broken
        self._descriptors: OrderedDict[str, tuple[int, bytes]] = OrderedDict()
        """of logs that were read from, with the inode that each leads to, as it is noted; least recently used
        first"""
        self._most_open = max(_FEWEST_OPEN, min(_MOST_OPEN, os.sysconf("SC_OPEN_MAX") // 4))
        self._ahead: dict[str, _Ahead] = {}
        self._places_ahead: dict[bytes, dict[int, bytes | None]] = {}
        """of the records in those logs, the place by the log's number; None: it is no longer in that log"""
        self._files: dict[int, tuple[str, bytes]] = {}
        """by number, the logs that the index names, and under which key it has what it notes of each"""
        self._mutex = logs.world.mutex

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

    def _doubt_all(self) -> None:
        self._doubtful, self._looked_at = None, set()

    def find(self, key: Key) -> Decoded | None:
        """The record with this key.  Raises DamagedError, DiskError, Stale."""
        if self.world.hurried:
            self.world.take_time()
        return self.world.steadily(partial(self._find, key))

    def _find(self, key: Key) -> Decoded | None:
        for _ in range(2):
            try:
                environment = self._environment or self._make_ready()
                found = self._read(environment, key)
                if found is None and self._catch_up():
                    found = self._read(environment, key)
                if found is None and self._doubtful:
                    self._check_doubtful()
                # Others change the index and the logs that it leads to.
                self.world.check()
                return found
            except failure():
                self._give_up()
            except (PermissionError, SyncError):
                break
            except OSError as error:
                if error.errno not in (errno.EROFS, errno.ENOSPC, errno.EDQUOT):
                    raise DiskError.of(error, "indexing the store") from error
                break
        # There can be no index here.
        return self.logs.look_for(key)

    def _give_up(self) -> None:
        """Do without an index that cannot be used; the next one is made from the logs."""
        import shutil

        self._environment = None
        self._ahead, self._places_ahead = {}, {}
        self._doubt_all()
        shutil.rmtree(self.path, ignore_errors=True)

    def _check_doubtful(self) -> None:
        """Raise an error where a record that was not found may be in a log that could not be read."""
        if self._doubtful != self._broken:
            # A log that cannot be looked at before it has been written.
            raise Stale
        for file in sorted(self._broken):
            self._understand(file)

    def _make_ready(self) -> Environment:
        found = self._open()
        # Commits from now on are followed; what is committed already is looked at.
        if self.world.state is not None:
            self.world.state.note_index()
        return found

    def _open(self) -> Environment:
        found = self._environment = environment(self.path)
        model = self.logs.model
        self._places, self._logs, self._numbers = (
            found.table(f"{model} {what}", self.world.state, self.world.system)
            for what in ("positions", "states", "numbers")
        )
        self._close_files()
        self._files = {}
        self._ahead, self._places_ahead = {}, {}
        # It may be another index than the one that was in use before.
        self._doubt_all()
        return found

    def lineage(self, file: str, found: Signature) -> bytes | None:
        """The lineage of a log in this state, if the index has noted that."""
        with self._mutex:
            if self._environment is None:
                return None
            try:
                with self._environment.lmdb.begin(db=self._logs) as transaction:
                    noted = self._noted(transaction, file, _log_key(file))
            except failure():
                self._give_up()
                return None
        return noted[_LINEAGE] if noted is not None and _STATE.unpack_from(noted, 4) == found else None

    def follow(self, file: str, found: Signature) -> bytes | None:
        """The same; from this state on each commit notes the next one, whether the log is indexed or not."""
        with self._mutex:
            try:
                environment = self._environment or self._make_ready()
                if self._ahead:
                    self._note(environment)
                with self._changing([(file, found)], own=False) as transaction:
                    noted = transaction.get(_log_key(file), db=self._logs)
                    is_known = noted is not None and _STATE.unpack_from(noted, 4) == found
                    flags = _READ_ON | (bytes(noted or b"")[-1] if is_known else 0)
                    made = self._new_note(transaction, file, found, flags)
                    transaction.put(_log_key(file), made, db=self._logs)
                if not is_known:
                    self.suspect(file)
                return made[_LINEAGE]
            except (failure(), OSError):
                # There can be no index here.
                return None

    @property
    def _opened(self) -> Environment:
        if self._environment is None:
            raise AssertionError("the index is not open")
        return self._environment

    def _read(self, environment: Environment, key: Key) -> Decoded | None:
        """What stands where the index says, if it is that record and the log is as the index has it."""
        raw = raw_key(key)
        with environment.lmdb.begin(db=self._places) as transaction:
            place = transaction.get(raw)
            if (ahead := self._places_ahead.get(raw)) is not None:
                if place is not None and _PLACE.unpack(place)[0] in ahead:
                    place = None
                place = next(filter(None, ahead.values()), place)
            if place is None:
                return None
            number, at, length = _PLACE.unpack(place)
            log = self._files.get(number) or self._file(transaction, number)
            noted = None if log is None else self._noted(transaction, log[0], log[1])
        length, is_contested = length & ~_CONTESTED, length & _CONTESTED
        if log is None or noted is None or noted[:4] != place[:4] or not noted[-1] & _INDEXED:
            return self._elsewhere(environment, key, place) if is_contested else None
        if not self._is_current(log[0], noted):
            return None
        file = log[0]
        if not length:
            return self._elsewhere(environment, key, place)
        held = self._descriptors.get(file)
        if held is None or held[1] != noted[_INODE]:
            held = self._hold(file)
            if held is None or held[1] != noted[_INODE]:
                # Another file has its name by now.
                return self._astray(environment, key, place, file, noted)
        self._descriptors.move_to_end(file)
        text = os.pread(held[0], length, at)
        try:
            found = self.codec.decode(text)
            if self.codec.key_of(found.row) == key and self.logs.file_of(found.row) == file:
                return found
        except DamagedError:
            pass
        return self._astray(environment, key, place, file, noted)

    def _astray(
        self, environment: Environment, key: Key, place: bytes, file: str, noted: bytes
    ) -> Decoded | None:
        """There is not what the index says: the record, wherever it is.  Raises DamagedError, Stale."""
        if file in self.world.in_flight:
            # It is just being replaced, and the index follows when it has been.
            raise Stale
        self.world.check()
        # The line may be broken.
        self._understand(file)
        if self.world.signature(file) != Signature(*_STATE.unpack_from(noted, 4)):
            # The log was changed just now.
            self.suspect(file)
            return None
        # Edits have left no line of the record here.
        return self._elsewhere(environment, key, place)

    def _elsewhere(self, environment: Environment, key: Key, place: bytes) -> Decoded | None:
        """A record that is not where the index had it, and may be in another log: there is room for one place
        only.  The index is mended."""
        found = self.logs.look_for(key)
        raw = raw_key(key)
        if found is not None:
            at = self.logs.file_of(found.row)
            self._write([self._understood(at, *read_file(self.world, at))])
        else:
            with environment.writing(self._places, self.world.state, self.world.system) as transaction:
                if transaction.get(raw) == place:
                    transaction.delete(raw)
        return found

    def _is_current(self, file: str, noted: bytes) -> bool:
        """Whether a log is as it was when the index noted this state of it."""
        if file in self._looked_at if self._doubtful is None else file not in self._doubtful:
            return True
        state = Signature(*_STATE.unpack_from(noted, 4))
        if file in self.world.in_flight:
            return state == self.logs.expected(file)
        if self.world.signature(file) != state:
            return False
        if self._doubtful is None:
            self._looked_at.add(file)
        else:
            self._doubtful.discard(file)
        return True

    def _file(self, transaction: lmdb.Transaction, number: int) -> tuple[str, bytes] | None:
        """The log of this number, and the key of what is noted of it."""
        found = transaction.get(number.to_bytes(4), db=self._numbers)
        if found is None:
            return None
        file = bytes(found).decode("utf-8", "surrogateescape")
        if not self.logs.family.pattern.fullmatch(file):
            raise failure()("it names a file that is no log")
        log = self._files[number] = file, _log_key(file)
        return log

    def _noted(self, transaction: lmdb.Transaction, file: str, log_key: bytes) -> bytes | None:
        """What is noted of a log, or is about to be."""
        if (ahead := self._ahead.get(file)) is not None:
            return ahead.found
        noted = transaction.get(log_key, db=self._logs)
        return None if noted is None else bytes(noted)

    def _state_of(self, file: str) -> Signature | None:
        """The state in which a log was indexed; None: it was not."""
        with self._opened.lmdb.begin(db=self._logs) as transaction:
            noted = self._noted(transaction, file, _log_key(file))
        if noted is None or not noted[-1] & _INDEXED:
            return None
        return Signature(*_STATE.unpack_from(noted, 4))

    def _hold(self, file: str) -> tuple[int, bytes] | None:
        """A descriptor of a log, and the inode that it leads to; None: the log is gone."""
        self._close_file(file)
        try:
            descriptor, found = open_signed(self.world.path(file))
        except FileNotFoundError:
            return None
        except IsADirectoryError as error:
            raise DamagedError("is no regular file", file=file) from error
        except OSError as error:
            raise DiskError.of(error, "reading the store") from error
        held = self._descriptors[file] = descriptor, found.inode.to_bytes(8, "little")
        self.world.place.check()
        if len(self._descriptors) > self._most_open:
            self._close_file(next(iter(self._descriptors)))
        return held

    def _catch_up(self) -> bool:
        """Index the logs that are not as the index has them; whether there were any.

        Those that cannot be looked at before they have been written stay doubtful.
        """
        files, in_flight = self._doubtful, self.world.in_flight
        if files is None:
            self.may_lack_logs = True
        changed, lines = False, 0
        read: list[Read] = []
        for file in self.logs.files() if files is None else sorted(files):
            if file in in_flight:
                continue
            found = self.world.signature(file)
            if found is None:
                self.may_lack_logs = True
            if found == self._state_of(file):
                continue
            changed = True
            if found is None or found.size > LARGE or lines > _BATCH:
                self._write(read)
                read, lines = [], 0
            if found is None:
                self._forget(file)
            elif found.size > LARGE:
                self._index_in_pieces(file)
            else:
                read.append(self._understood(file, *read_file(self.world, file)))
                lines += 1 + len(read[-1].places)
        self._write(read)
        self._doubtful = set(self._broken)
        if in_flight:
            own = files if files is not None else filter(self.logs.family.pattern.fullmatch, in_flight)
            self._doubtful |= {
                f for f in in_flight.intersection(own) if self._state_of(f) != self.logs.expected(f)
            }
        return changed

    def _index_in_pieces(self, file: str) -> None:
        """Index a log that is not read at once.  Its state is noted with the last piece."""
        self._close_file(file)
        with opened(self.world, file) as (descriptor, found):
            for piece in self._indexer.pieces(file, descriptor, found):
                self._write([piece])

    def _understand(self, file: str) -> None:
        """Raise DamagedError if a log is broken."""
        if self.world.signature(file) is not None:
            self.logs.understand(file, read_file(self.world, file)[0])
        self._broken.discard(file)

    @contextmanager
    def _changing(
        self, states: Iterable[tuple[str, Signature | None]], own: bool
    ) -> Iterator[lmdb.Transaction]:
        """Change what the index has of logs, which were found in these states; ``None``: it is gone.

        Raises Stale if that is over: what a newer state came to would be replaced by an older one.
        ``own``: they are as this process's commit has just left them.
        """
        world = self.world
        with self._opened.writing(self._places, world.state, world.system) as transaction:
            if not own:
                if world.commits != world.known:
                    raise Stale
                for file, found in states:
                    if world.signature(file) != found:
                        raise Stale
            yield transaction

    def _forget(self, file: str, *, own: bool = False) -> None:
        """A log is gone, and with it every place in it; ``own``: this process's commit has removed it."""
        self._close_file(file)
        self._broken.discard(file)
        self._drop_ahead(file)
        with self._changing([(file, None)], own) as transaction:
            transaction.delete(_log_key(file), db=self._logs)

    def _understood(self, file: str, data: bytes, found: Signature) -> Read:
        """A log as it is to be indexed."""
        self._close_file(file)
        return self._indexer.whole(file, data, found)

    def _write(self, read: list[Read], *, own: bool = False) -> None:
        """Index logs anew, in the order in which they were read."""
        if not read:
            return
        with self._changing([(log.file, log.found) for log in read], own) as transaction:
            there: dict[bytes, bytes] = {}
            gone: list[tuple[bytes, int]] = []
            for log in read:
                self._drop_ahead(log.file)
                # Another process that looks for a record in a broken log reads it itself.
                state = log.found if log.is_whole and log.file not in self._broken else _UNREAD
                log_key = _log_key(log.file)
                made = transaction.get(log_key, db=self._logs)
                if made is None or log.is_whole:
                    flags = _INDEXED | (bytes(made)[-1] & _READ_ON if made else 0)
                    made = self._new_note(transaction, log.file, state, flags)
                    if not transaction.put(log_key, made, db=self._logs, append=True):
                        transaction.put(log_key, made, db=self._logs)
                number = int.from_bytes(made[:4], "little")
                for raw, (at, length) in log.places.items():
                    if length:
                        before = there.get(raw) or transaction.get(raw)
                        other, _, flagged = (number, 0, 0) if before is None else _PLACE.unpack(before)
                        # One's own commit has moved it.
                        flag = flagged & _CONTESTED if own or other == number else _CONTESTED
                        there[raw] = _PLACE.pack(number, at, length | flag)
                    else:
                        gone.append((raw, number))
            transaction.cursor(self._places).putmulti(sorted(there.items()))
            for raw, number in gone:
                self._drop(transaction, raw, number)

    @staticmethod
    def _drop(transaction: lmdb.Transaction, raw: bytes, number: int) -> None:
        """A record is no longer in the log of this number; it may be in another one by now."""
        found = transaction.get(raw)
        if found is not None and _PLACE.unpack(found)[0] == number:
            if _PLACE.unpack(found)[2] & _CONTESTED:
                transaction.put(raw, _PLACE.pack(number, 0, _CONTESTED))
            else:
                transaction.delete(raw)

    def _new_note(self, transaction: lmdb.Transaction, file: str, found: Signature, flags: int) -> bytes:
        """What is to be noted of a log that was read; the lineage is a new one, unless the index has followed
        the log to this state."""
        noted = transaction.get(_log_key(file), db=self._logs)
        lineage = int.from_bytes(os.urandom(8))
        if noted is not None:
            number = int.from_bytes(noted[:4], "little")
            if _STATE.unpack_from(noted, 4) == found:
                lineage = int.from_bytes(noted[_LINEAGE], "little")
        else:
            with transaction.cursor(self._numbers) as numbers:
                number = int.from_bytes(numbers.key()) + 1 if numbers.last() else 1
            transaction.put(number.to_bytes(4), file.encode(), db=self._numbers, append=True)
        return _FILE.pack(number, *found, lineage, flags)

    def done(
        self, by_file: Mapping[str, Mapping[Key, Changed]], files: Mapping[str, Change], found: Found
    ) -> None:
        """A commit has changed logs: follow it, where there is an index that could.  Under the write lock.

        ``by_file`` are the records changed in each; the rest as for :meth:`ParentLogs.done`.
        """
        with self._mutex:
            if self._environment is None and self.world.state is not None and not self.world.state.indexed:
                return
            import lmdb

            try:
                environment = self._environment or self._open()
                for file, change in files.items():
                    if isinstance(change, Append):
                        self._append(environment, change, by_file.get(file, NOTHING), found.get(file))
                    elif isinstance(change, Remove):
                        self._forget(file, own=True)
                    else:
                        made = self._understood(file, *read_whole(self.world.path(file)))
                        self._write([made], own=True)
            except (lmdb.Error, OSError, DiskError):
                # The commit has happened, and an index is no part of it.
                self._give_up()

    def _append(
        self,
        environment: Environment,
        change: Append,
        changed: Mapping[Key, Changed],
        found: Signature | None,
    ) -> None:
        """Follow lines that a commit has appended to a log, if the log was as the index has it.

        The index is changed for many commits at once, which takes a fraction of the time: LMDB writes some
        nine pages for each.  Another process that finds a log in another state than the index has noted would
        read all of it, so that it is changed at once where another one has the store open.
        """
        file, lines, at = change.file, change.lines.encode(), 0
        ahead, expected = self._ahead.get(file), self.logs.expected(file)
        if ahead is None:
            with environment.lmdb.begin(db=self._logs) as transaction:
                noted = transaction.get(_log_key(file))
            number = 0 if noted is None else int.from_bytes(noted[:4], "little")
            before, places = noted or b"", set[bytes]()
        else:
            number, before, noted, places = ahead
        if not noted or found is None or _STATE.unpack_from(noted, 4) != expected:
            self._drop_ahead(file)
            self.suspect(file)
            return
        flags = noted[-1]
        for key, change_of in changed.items() if flags & _INDEXED else ():
            if change_of.after is None and change_of.before is None:
                continue
            while lines[at] == _NEWLINE:
                at += 1
            end = lines.index(b"\n", at)
            raw = raw_key(key)
            places.add(raw)
            place = None if change_of.after is None else _PLACE.pack(number, change.at + at, end - at)
            self._places_ahead.setdefault(raw, {})[number] = place
            at = end + 1
        self._ahead[file] = _Ahead(number, before, noted[:4] + _STATE.pack(*found) + noted[36:], places)
        if not flags & _INDEXED:
            self.suspect(file)
        if flags & _READ_ON or len(self._places_ahead) >= _FEW_PLACES or not self.world.is_alone():
            self._note(environment)

    def _drop_ahead(self, file: str) -> None:
        """What commits have appended to a log is not to be noted any more."""
        if (ahead := self._ahead.pop(file, None)) is not None:
            for raw in ahead.places:
                del self._places_ahead[raw][ahead.number]

    def note(self) -> None:
        """Let the index note what this process's commits have appended to logs."""
        with self._mutex:
            if self._environment is None or not self._ahead:
                return
            import lmdb

            try:
                self._note(self._environment)
            except (lmdb.Error, OSError):
                self._give_up()

    def _note(self, environment: Environment) -> None:
        ahead, places = self._ahead, self._places_ahead
        with environment.writing(self._places, self.world.state, self.world.system) as transaction:
            current = set()
            for file, log in ahead.items():
                log_key = _log_key(file)
                state = Signature(*_STATE.unpack_from(log.found, 4))
                if (
                    transaction.get(log_key, db=self._logs) == log.before
                    and self.world.signature(file) == state
                ):
                    transaction.put(log_key, log.found, db=self._logs)
                    current.add(log.number)
                else:
                    # Another process has indexed it or written to it meanwhile.
                    self.suspect(file)
            for raw, by_log in places.items():
                for number in current.intersection(by_log):
                    self._drop(transaction, raw, number)
                before = transaction.get(raw)
                flag = 0 if before is None else _PLACE.unpack(before)[2] & _CONTESTED
                for number, place in by_log.items():
                    if place is not None and number in current:
                        _, at, length = _PLACE.unpack(place)
                        transaction.put(raw, _PLACE.pack(number, at, length | flag))
        self._ahead, self._places_ahead = {}, {}

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


def _log_key(file: str) -> bytes:
    raw = file.encode()
    return b"f" + (raw if len(raw) <= LONGEST_KEY else digest(raw))
