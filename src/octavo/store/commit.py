"""How transactions become durable: one after the other, and those that wait together in one go.

Transactions run one at a time.  When one has ended, its changes are *staged*: the next can run, over them,
while they are being written.  Whatever is staged meanwhile is written together, with one sync (group commit),
by one of the threads that wait for it.

What is written, and in which order, is the commit protocol; docs/store.md argues why it is safe:

- one line of one log: written at its end, synced;
- one document or record file: written beside, synced, renamed, its folder synced;
- anything else: an entry of the journal, synced; then the files, unsynced (see :mod:`octavo.store.journal`).

The write lock is held from the first of these transactions to the end of the last one's commit.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext, suppress

from octavo.errors import BusyError, ConflictError, DiskError, OctavoError, UsageError, disk_errors
from octavo.layout.codec import Codec
from octavo.store.changes import (
    Append,
    Change,
    Remove,
    Replace,
    Undo,
    append,
    discard,
    put_in_place,
    take_away,
    write_beside,
)
from octavo.store.families import Changes, Family, LogFamily, LogFile, ParentLogs
from octavo.store.journal import Entry, Journal
from octavo.store.layers import Base, Layer, Overlay
from octavo.store.lock import ProcessLock, Turns
from octavo.store.system import Signature, SyncError, sync_folder

_LONGEST_HOLD = 0.05
"""seconds for which one process goes on while others may be waiting"""
_LARGEST_JOURNAL = 4 << 20
"""bytes after which the files are synced and the journal begins anew"""


class Group:
    """Transactions that are written together."""

    def __init__(self, below: Layer, codecs: Mapping[str, Codec]) -> None:
        self.overlay = Overlay(below, codecs)
        self.done = False
        self.error: OctavoError | None = None


class Committer:
    """Lets transactions run in turn, and writes what they change."""

    def __init__(
        self,
        base: Base,
        journal: Journal,
        lock: ProcessLock,
        enter: Callable[[], None],
        *,
        batched: bool,
    ) -> None:
        """``enter`` is called whenever the write lock was taken: it brings what is in memory up to date.

        ``batched``: commits do not wait to be written; somebody has to call :meth:`flush` now and then.
        """
        self.base, self.world, self.journal, self.lock = base, base.world, journal, lock
        self.batched = batched
        self._enter = enter
        self._turns = Turns()
        self._condition = threading.Condition()
        self._owner = 0
        """the thread whose turn it is"""
        self._held_since = 0.0
        """when the write lock was taken; 0: it is not held"""
        self._staged: Group | None = None
        self._writing: Group | None = None
        self._broken: OctavoError | None = None
        """why nothing can be written any more"""
        self._unreported: OctavoError | None = None
        """why a batch was lost for which nobody waited"""
        self.world.wait_for_own_commit = self._wait_in_transaction

    @property
    def top(self) -> Layer:
        """What is committed and what is about to be."""
        group = self._staged or self._writing
        return self.base if group is None else group.overlay

    @property
    def is_broken(self) -> bool:
        return self._broken is not None

    @property
    def has_staged(self) -> bool:
        return self._staged is not None

    def begin(self, timeout: float | None) -> Overlay:
        """Take the turn and the write lock; what a transaction's changes go into.

        Raises BusyError if that takes longer than ``timeout`` seconds (None: forever).
        DiskError, DamagedError.
        """
        if self._owner == threading.get_ident():
            raise UsageError("a transaction cannot begin inside another one of the same thread")
        end = None if timeout is None else time.monotonic() + timeout
        if not self._turns.acquire(timeout):
            raise BusyError(timeout or 0, "another thread of this process")
        try:
            with self._condition:
                self._owner = threading.get_ident()
                self._check()
                if self._held_since and time.monotonic() - self._held_since > _LONGEST_HOLD:
                    # Others may be waiting: let them in when what is staged has been written.
                    if self.batched and self._staged is not None and self._writing is None:
                        self._write_staged()
                    while self._staged is not None or self._writing is not None:
                        self._condition.wait()
                    self._let_go()
            self._check()
            self._take(None if end is None else max(end - time.monotonic(), 0))
            return Overlay(self.top, self.base.codecs)
        except BaseException:
            self.abandon()
            raise

    def _check(self) -> None:
        if self._broken is not None:
            raise self._broken
        if self._unreported is not None:
            error, self._unreported = self._unreported, None
            raise error

    def _take(self, timeout: float | None) -> None:
        if not self._held_since:
            with disk_errors("taking the write lock"):
                self.lock.acquire(timeout)
            self._held_since = time.monotonic()
            try:
                self._enter()
            except BaseException:
                self._let_go()
                raise

    def _let_go(self) -> None:
        if self._held_since:
            self._held_since = 0.0
            self.lock.release()

    def abandon(self) -> None:
        """Give the turn back; nothing of the transaction is kept."""
        with self._condition:
            self._owner = 0
            self._turns.release()
            self._rest()

    def _rest(self) -> None:
        """Give the write lock back when nobody here needs it."""
        if self._staged is None and self._writing is None and not self._turns.is_taken:
            self._let_go()

    def stage(self, overlay: Overlay) -> Group | None:
        """End the turn of a transaction, and put its changes into the next group; None: there are none."""
        try:
            with self._condition:
                self._check()
                overlay.check()
                if not overlay.changes:
                    return None
                group = self._staged
                if group is None:
                    group = self._staged = Group(self.top, self.base.codecs)
                with self.world.change() if self.batched else nullcontext():
                    group.overlay.merge(overlay)
                return group
        finally:
            self.abandon()

    def commit(self, overlay: Overlay) -> None:
        """End a transaction and make it durable.  Raises OctavoError if that failed, and it is undone."""
        group = self.stage(overlay)
        if group is None or self.batched:
            return
        with self._condition:
            while not group.done:
                if self._writing is None:
                    self._write_staged()
                else:
                    self._condition.wait()
        if group.error is not None:
            raise group.error

    def flush(self) -> None:
        """Write what is staged, and wait until it is durable.  Raises OctavoError if it could not be."""
        with self._condition:
            while self._writing is not None:
                self._condition.wait()
            group = self._staged
            if group is not None:
                self._write_staged()
            self._rest()
        if group is not None and group.error is not None:
            self._unreported = None
            raise group.error

    def _write_staged(self) -> None:
        """Write the staged group.  The condition is held, and given back meanwhile."""
        group = self._staged
        if group is None:
            raise AssertionError("nothing is staged")
        self._staged, self._writing = None, group
        self._condition.release()
        error: OctavoError | None = DiskError("the commit was interrupted, and undone")
        try:
            error = self._write(group)
        finally:
            self._condition.acquire()
            self._written(group, error)

    def _written(self, group: Group, error: OctavoError | None) -> None:
        """A group was written, or could not be."""
        group.error = error
        if self.batched and self._unreported is None:
            self._unreported = error
        staged = self._staged
        if staged is not None and staged.overlay.below is group.overlay:
            if error is None:
                staged.overlay.below = self.base
            else:
                # What was built on this cannot stand without it.
                staged.overlay.failed = True
                staged.error, staged.done = ConflictError(f"built on what could not be stored: {error}"), True
                self._staged = None
        group.overlay.failed = error is not None
        group.done, self._writing = True, None
        self._rest()
        self._condition.notify_all()

    def _write(self, group: Group) -> OctavoError | None:
        """Make a group durable, and part of what is in memory; or the reason why it is not."""
        try:
            if self._broken is not None:
                raise self._broken
            with disk_errors("writing to the store"):
                self.write(group.overlay.net)
        except OctavoError as error:
            return error
        return None

    def write(self, changes: Changes) -> None:
        """Make changes of records durable.  The write lock is held.  Raises OctavoError, OSError."""
        if not changes:
            return
        owners: dict[str, Family] = {}
        planned: list[Change] = []
        for family in self.base.concerned(changes):
            for change in family.plan(changes):
                owners[change.file] = family
                planned.append(change)
        if planned:
            self._store(planned, owners, changes)
            for file, family in owners.items():
                self._compact_if_wasteful(family, file)
        if self.journal.end > _LARGEST_JOURNAL:
            self.checkpoint()

    def _store(self, planned: list[Change], owners: Mapping[str, Family], changes: Changes) -> None:
        """Make changes of files by the cheapest way that is atomic, and follow them in memory."""
        self.world.in_flight = frozenset(owners)
        try:
            if len(planned) == 1 and self._is_atomic(planned[0]):
                found = self._directly(planned[0], owners[planned[0].file])
            else:
                found = self._by_journal(planned, owners)
            with self.world.change():
                for family in dict.fromkeys(owners.values()):
                    own = {change.file: change for change in planned if owners[change.file] is family}
                    family.done(changes, own, found)
                    if isinstance(family, ParentLogs):
                        self.base.locations[family.model].done(changes, own, found)
                self.world.in_flight = frozenset()
                self._end()
        finally:
            self.world.in_flight = frozenset()

    def _check_expected(self, file: str, family: Family) -> None:
        """Raise ConflictError if a file is not in the state that its change was planned for."""
        if self.world.signature(file) != family.expected(file):
            family.suspect(file)
            raise ConflictError(f"{file} was changed by somebody else just now; try again")

    def _is_atomic(self, change: Change) -> bool:
        """Whether a change needs no journal: it is whole or not there by itself."""
        if change.file in self.journal.pending:
            return False
        return not isinstance(change, Append) or change.count == 1

    def _directly(self, change: Change, family: Family) -> dict[str, Signature]:
        """Make a change that is atomic by itself durable; the state of its file then."""
        path, system = self.world.path(change.file), self.world.system
        made = ""
        if not isinstance(change, Append):
            self._check_expected(change.file, family)
        if isinstance(change, Replace):
            made = write_beside(system, path, change.content.encode(), durable=True)
        self._begin()
        undo: list[Undo] = []
        try:
            if isinstance(change, Append):
                expected = family.expected(change.file)
                return {change.file: append(system, path, change, expected, undo, durable=True)}
            if isinstance(change, Replace):
                put_in_place(system, made, path, undo)
                made = ""
            else:
                made = take_away(system, path, undo)
            sync_folder(system, path.rpartition("/")[0])
            return self._found(change)
        except BaseException as error:
            self._undo(undo, error, None)
            raise
        finally:
            if made:
                discard(system, made)

    def _found(self, change: Change) -> dict[str, Signature]:
        found = self.world.signature(change.file)
        return {} if found is None else {change.file: found}

    def _by_journal(self, planned: list[Change], owners: Mapping[str, Family]) -> dict[str, Signature]:
        """Make changes durable together; the states of their files then."""
        for file, family in owners.items():
            self._check_expected(file, family)
        try:
            self.journal.add(Entry(self.journal.next_number, tuple(planned)))
        except SyncError as error:
            self._break(error)
            raise
        self._note_end()
        self._begin()
        undo: list[Undo] = []
        gone: list[str] = []
        found: dict[str, Signature] = {}
        try:
            for change in planned:
                found |= self._make(change, owners[change.file].expected(change.file), undo, gone)
        except BaseException as error:
            self._undo(undo, error, self._take_back)
            raise
        for path in gone:
            discard(self.world.system, path)
        return found

    def _make(
        self, change: Change, expected: Signature | None, undo: list[Undo], gone: list[str]
    ) -> dict[str, Signature]:
        path, system = self.world.path(change.file), self.world.system
        match change:
            case Append():
                return {change.file: append(system, path, change, expected, undo, durable=False)}
            case Replace():
                made = write_beside(system, path, change.content.encode(), durable=False)
                try:
                    put_in_place(system, made, path, undo)
                except BaseException:
                    discard(system, made)
                    raise
            case Remove():
                gone.append(take_away(system, path, undo))
        return self._found(change)

    def _take_back(self) -> None:
        self.journal.take_back()
        self._note_end()

    def _undo(self, undo: list[Undo], error: BaseException, finish: Callable[[], None] | None) -> None:
        """Bring the files back to what they were.  If even that fails, the next open has to recover them."""
        try:
            for step in reversed(undo):
                step()
            if finish is not None:
                finish()
        except (OSError, OctavoError) as failed:
            self._break(failed)
            return
        if isinstance(error, SyncError):
            self._break(error)
        self._end()

    def _break(self, error: BaseException) -> None:
        """Nothing more can be written by this process: what the disk holds is not certain."""
        said = error.strerror if isinstance(error, OSError) else str(error)
        self._broken = DiskError(f"the disk has failed ({said}); close the store and open it again")
        self._broken.__cause__ = error

    def _begin(self) -> None:
        if self.world.state is not None:
            self.world.state.begin()

    def _end(self) -> None:
        if self.world.state is not None:
            self.world.state.end()
        self.world.known = self.world.commits

    def _note_end(self) -> None:
        if self.world.state is not None:
            self.world.state.journal_end = self.journal.end

    def checkpoint(self) -> None:
        """Sync the files that the journal names, and remove it.  Under the write lock.  Raises DiskError."""
        try:
            self.journal.checkpoint()
        except OSError as error:
            self._break(error)
            if self.world.state is not None:
                # The journal holds what the files may lack: whoever opens the store next replays it.
                self.world.state.begin()
            raise DiskError.of(error, "syncing the store") from error
        self._note_end()

    def _compact_if_wasteful(self, family: Family, file: str) -> None:
        """Compact a log whose superseded lines outweigh its records.

        The commit has happened; if the disk has no room for this, the log stays as it is.
        """
        log = loaded_log(family, file)
        if log is not None and log.is_wasteful:
            with suppress(OSError, ConflictError, DiskError):
                self.compact(family, log)

    def compact(self, family: Family, log: LogFile) -> int:
        """Leave one line a record, in order; how many lines went.  The write lock is held.

        Raises ConflictError, OSError.
        """
        lines = one_line_each(family, log)
        superseded = log.log.lines - lines.count(b"\n")
        change = Replace(log.file, lines.decode())
        family.expect(log)
        self._store([change], {log.file: family}, {})
        return superseded

    def _wait_in_transaction(self) -> bool:
        """Let a transaction that has to read a file wait until the group before it is written."""
        if self._owner != threading.get_ident():
            return False
        with self._condition:
            if self._writing is None:
                return False
            while self._writing is not None:
                self._condition.wait()
        return True

    def wait_until_written(self) -> bool:
        """Wait for the group that is being written, if there is one; whether there was."""
        with self._condition:
            there = self._writing is not None
            while self._writing is not None:
                self._condition.wait()
        return there


def one_line_each(family: Family, log: LogFile) -> bytes:
    """What a log holds when it is compacted."""
    return b"".join(
        family.codecs[model].encode(stored) + b"\n"
        for model, live in log.log.live.items()
        for stored in family.in_order(model, live.values())
    )


def loaded_log(family: Family, file: str) -> LogFile | None:
    """The log of this name, if it is in memory."""
    if isinstance(family, LogFamily):
        return family.log
    if isinstance(family, ParentLogs):
        return family.in_memory(file)
    return None
