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
from typing import NamedTuple

from msgspec.structs import replace

from octavo.errors import BusyError, ConflictError, DamagedError, DiskError, OctavoError, UsageError
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
from octavo.store.families.base import Changes, Family, Owner
from octavo.store.families.log import LogFamily, LogFile
from octavo.store.families.parents import ParentLogs
from octavo.store.journal import Entry, Journal, digest
from octavo.store.layers import Base, Layer, Overlay
from octavo.store.lock import ProcessLock, Turns
from octavo.store.position import NAME as POSITION
from octavo.store.position import PositionFile
from octavo.store.system import Signature, SyncError, read_whole, sync_folder

_LONGEST_HOLD = 0.05
"""seconds for which one process goes on while others may be waiting"""
_LARGEST_JOURNAL = 4 << 20
"""bytes after which the files are synced and the journal begins anew"""


class Lagging(DiskError):
    """A commit has happened, but the files do not show it yet: they will when the store is recovered."""


class Decision(NamedTuple):
    """Somebody else decides whether a prepared commit happens: a database that commits with the store."""

    note: dict[str, str]
    """what to ask about it after a crash"""
    decide: Callable[[], OctavoError | None]
    """Commit there, or not: then why not.  Raises only if nobody can tell."""


class Group:
    """Transactions that are written together."""

    def __init__(self, overlay: Overlay) -> None:
        self.overlay = overlay
        """what they have changed: that of the first, into which the others' were merged"""
        self.decision: Decision | None = None
        self.done = False
        self.error: OctavoError | None = None


class Committer:
    """Lets transactions run in turn, and writes what they change."""

    def __init__(
        self,
        base: Base,
        journal: Journal,
        lock: ProcessLock,
        enter: Callable[[bool], None],
        *,
        batched: bool,
    ) -> None:
        """``enter`` is called whenever the write lock was taken, and told whether there is another lock than
        before: it brings what is in memory up to date.

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
            overlay = Overlay(self.top, self.base.codecs)
            overlay.since = self.world.replaced
            return overlay
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
            try:
                opened = self.lock.acquire(timeout)
            except OSError as error:
                raise DiskError.of(error, "taking the write lock") from error
            self._held_since = time.monotonic()
            try:
                self._enter(opened)
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
                if not overlay.changes and overlay.position is None:
                    return None
                with self.world.change() if self.batched else nullcontext():
                    if self._staged is None:
                        self._staged = Group(overlay)
                    else:
                        self._staged.overlay.merge(overlay)
                    return self._staged
        finally:
            self.abandon()

    def commit(self, overlay: Overlay, decision: Decision | None = None) -> None:
        """End a transaction and make it durable.

        With a ``decision`` it is prepared first, and happens as is decided.  Raises OctavoError if it did not
        happen; Lagging if it did, and cannot be seen yet.
        """
        if decision is not None:
            self._commit_as_decided(overlay, decision)
            return
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

    def _commit_as_decided(self, overlay: Overlay, decision: Decision) -> None:
        with self._condition:
            while self._staged is not None or self._writing is not None:
                if self._writing is None:
                    self._write_staged()
                else:
                    self._condition.wait()
            group = self.stage(overlay)
            if group is not None:
                group.decision = decision
                self._write_staged()
        error = decision.decide() if group is None else group.error
        if error is not None:
            raise error

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
                return self._broken
            overlay = group.overlay
            self.write(overlay.net, group.decision, since=overlay.since, position=overlay.position)
            # What has failed behind it, as compacting a log, is told to whoever writes next.
            return None
        except OctavoError as error:
            return error
        except OSError as error:
            return DiskError.of(error, "writing to the store")

    def write(
        self,
        changes: Changes,
        decision: Decision | None = None,
        *,
        since: int,
        position: str | None = None,
    ) -> None:
        """Make changes of records durable.  The write lock is held.  Raises OctavoError, OSError.

        ``since``: how often, when they began, what is committed had been read again.  ``position``: what is
        to stand in the position's file with them.
        """
        owners: dict[str, Family] = {}
        planned: list[Change] = []
        for family in self.base.concerned(changes):
            for change in family.plan(changes):
                owners[change.file] = family
                planned.append(change)
        if self.world.replaced != since:
            self._check_unchanged(changes)
        files: dict[str, Owner] = {**owners}
        if position is not None:
            planned.append(Replace(POSITION, position))
            files[POSITION] = PositionFile(self.world)
        if planned:
            self._store(planned, files, changes, decision)
            for file, family in owners.items():
                self._compact_if_wasteful(family, file)
        elif decision is not None and (error := decision.decide()) is not None:
            raise error
        if self.journal.end > _LARGEST_JOURNAL:
            # The commit has happened; if the disk fails now, whoever writes next is told.
            with suppress(DiskError):
                self.checkpoint()

    def _check_unchanged(self, changes: Changes) -> None:
        """Raise ConflictError for a record that somebody has edited since it was changed here."""
        for model, changed in changes.items():
            encode = self.base.codecs[model].encode
            for key, (before, _) in changed.items():
                there = self.base.record(model, key)
                if there is not before and (
                    there is None or before is None or encode(there) != encode(before)
                ):
                    raise ConflictError(f"{model}: a record was edited by somebody else just now; try again")

    def _store(
        self,
        planned: list[Change],
        owners: Mapping[str, Owner],
        changes: Changes,
        decision: Decision | None = None,
    ) -> None:
        """Make changes of files by the cheapest way that is atomic, and follow them in memory."""
        self.world.in_flight = frozenset(owners)
        try:
            if decision is None and len(planned) == 1 and self._is_atomic(planned[0]):
                found = self._directly(planned[0], owners[planned[0].file])
            else:
                found = self._by_journal(planned, owners, decision)
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

    def _check_expected(self, file: str, family: Owner) -> None:
        """Raise ConflictError if a file is not in the state that its change was planned for."""
        if self.world.signature(file) != family.expected(file):
            family.suspect(file)
            raise ConflictError(f"{file} was changed by somebody else just now; try again")

    def _is_atomic(self, change: Change) -> bool:
        """Whether a change needs no journal: it is whole or not there by itself."""
        if change.file in self.journal.pending:
            return False
        return not isinstance(change, Append) or change.count == 1

    def _directly(self, change: Change, family: Owner) -> dict[str, Signature]:
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

    def _by_journal(
        self, planned: list[Change], owners: Mapping[str, Owner], decision: Decision | None
    ) -> dict[str, Signature]:
        """Make changes durable together; the states of their files then."""
        for file, family in owners.items():
            self._check_expected(file, family)
        number = self.journal.next_number
        note = None if decision is None else decision.note
        entry = Entry(number, tuple([self._with_before(change) for change in planned]), note)
        # From here on a death calls for recovery: nobody else may take the entry for one that is not there.
        self._begin()
        try:
            self._add(entry)
        except BaseException:
            if self._broken is None:
                self._end()
            raise
        if decision is not None:
            self._decide(number, decision)
        undo: list[Undo] = []
        gone: list[str] = []
        found: dict[str, Signature] = {}
        try:
            for change in planned:
                found |= self._make(change, owners[change.file].expected(change.file), undo, gone)
        except BaseException as error:
            if decision is not None:
                # It has been decided: what is left is done when the store is recovered.
                self._break(error)
                raise Lagging(f"the files lag behind, and have to be recovered: {error}") from error
            self._undo(undo, error, self._take_back)
            raise
        for path in gone:
            discard(self.world.system, path)
        return found

    def _with_before(self, change: Change) -> Change:
        """A change with the digest of what it replaces, so that replaying it replaces nothing else."""
        if isinstance(change, Append) or self.world.signature(change.file) is None:
            return change
        return replace(change, before=digest(read_whole(self.world.path(change.file))[0]))

    def _add(self, entry: Entry, *, durable: bool = True) -> None:
        try:
            self.journal.add(entry, durable=durable)
        except SyncError as error:
            self._break(error)
            raise
        # If this process dies from here on, recovery has to find the entry and make its changes: it begins
        # where the count of commits is odd.
        self._begin()
        self._note_end()

    def _decide(self, number: int, decision: Decision) -> None:
        """Let it be decided whether a prepared entry counts.  Raises why it does not."""
        try:
            error = decision.decide()
        except BaseException as unknown:
            # Only recovery can tell.
            self._break(unknown)
            raise
        if error is not None:
            self._undo([], error, self._take_back)
            raise error
        try:
            # Were this lost, recovery would ask again.
            self._add(Entry(number, kept=True), durable=False)
        except OSError as failed:
            self._break(failed)
            raise Lagging(f"the files lag behind, and have to be recovered: {failed.strerror}") from failed

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
            self.world.state.note_journal(self.journal.end)

    def checkpoint(self) -> None:
        """Sync the files that the journal names, and remove it.  Under the write lock.  Raises DiskError."""
        try:
            self.journal.sync_files()
            # A journal whose removal is not durable must not come back behind what follows.
            self._begin()
            self.journal.begin_anew()
        except OSError as error:
            self._break(error)
            # The journal holds what the files may lack: whoever opens the store next replays it.
            self._begin()
            raise DiskError.of(error, "syncing the store") from error
        self._note_end()
        self._end()

    def _compact_if_wasteful(self, family: Family, file: str) -> None:
        """Compact a log whose superseded lines outweigh its records.

        The commit has happened; if the disk has no room for this, the log stays as it is.
        """
        with suppress(OSError, ConflictError, DiskError, DamagedError):
            if isinstance(family, ParentLogs):
                family.load_if_wasteful(file)
            log = loaded_log(family, file)
            if log is not None and log.is_wasteful:
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
