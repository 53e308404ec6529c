"""How a transaction's changes get to the disk: by the cheapest way that is atomic.

The changed records become changes of files.  What is written, and in which order, is the commit protocol;
docs/store.md argues why it is safe:

- one line of one log: written at its end, synced (but in a burst of them by the journal, where a sync is
  quicker);
- one document or record file: written beside, synced, renamed, its folder synced;
- anything else: an entry of the journal, synced; then the files, unsynced (see :mod:`octavo.store.journal`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import TypeAlias

import msgspec
from msgspec.structs import replace

from octavo.errors import ConflictError, DamagedError, DiskError, OctavoError
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
from octavo.store.families.base import Changes, Family, LogFile, Owner
from octavo.store.freshness import is_foreseen
from octavo.store.journal import Entry, Journal, digest
from octavo.store.overlay import Base, Overlay
from octavo.store.position import NAME as POSITION
from octavo.store.position import PositionFile
from octavo.store.system import Signature, SyncError, read_whole, sync_folder

_BURST = 0.1
_SHORT = 1 << 15
"""bytes of a line for which that is worth it"""
_REMEMBERED = 1000
"""logs of which it is known when they were written to"""
_LARGEST_JOURNAL = 4 << 20
"""bytes after which the files are synced and the journal begins anew"""


Planned: TypeAlias = tuple[Change, Owner]
"""A change of a file, and what plans for that file."""


class Lagging(DiskError):
    """A commit has happened, but the files do not show it yet: they will when the store is recovered."""


class Decision(msgspec.Struct, frozen=True):
    """Another database, which commits with the store, decides whether a prepared commit happens."""

    note: dict[str, str]
    """what to ask about it after a crash"""
    decide: Callable[[], OctavoError | None]
    """Commit there, or not: then why not.  Raises only if it cannot be told."""


class Writer:
    """Writes to the files of one store.  Under the write lock only, by one thread at a time."""

    def __init__(self, base: Base, journal: Journal) -> None:
        self.base, self.world, self.journal = base, base.world, journal
        self.broken: OctavoError | None = None
        """why nothing can be written any more"""
        self.burst = _BURST
        """seconds in which a log is written to again by way of the journal"""
        self._appended: dict[str, float] = {}
        """when each log was written to last"""

    def write(self, overlay: Overlay, decision: Decision | None = None) -> None:
        """Make what an overlay has changed durable.  The write lock is held.  Raises OctavoError, OSError."""
        changes = overlay.net
        own: list[tuple[Change, Family]] = []
        for family in self.base.concerned(changes):
            for change in family.plan(changes):
                own.append((change, family))
        if self.world.replaced != overlay.since:
            self._check_unchanged(changes)
        planned: list[Planned] = [*own]
        if overlay.position is not None:
            planned.append((Replace(POSITION, overlay.position), PositionFile(self.world)))
        if planned:
            self._store(planned, changes, decision)
            for change, family in own:
                self._compact_if_wasteful(family, change.file)
        elif decision is not None and (error := decision.decide()) is not None:
            raise error
        if self.journal.end > _LARGEST_JOURNAL:
            # The commit has happened; if the disk fails now, the next writer is told.
            with suppress(DiskError):
                self.checkpoint()

    def _check_unchanged(self, changes: Changes) -> None:
        """Raise ConflictError for a record that was edited since it was changed here."""
        for model, changed in changes.items():
            encode = self.base.codecs[model].encode
            for key, (before, _) in changed.items():
                there = self.base.record(model, key)
                if there is not before and (
                    there is None or before is None or encode(there) != encode(before)
                ):
                    raise ConflictError(f"{model}: a record was edited by another program; try again")

    def _store(self, planned: list[Planned], changes: Changes, decision: Decision | None = None) -> None:
        """Make changes of files by the cheapest way that is atomic, and follow them in memory."""
        world = self.world
        if world.torn:
            # The plan was made from what is in memory.
            raise interrupted()
        world.in_flight = frozenset([change.file for change, _ in planned])
        try:
            if decision is None and len(planned) == 1 and self._goes_alone(planned[0][0]):
                found = self._directly(*planned[0])
            else:
                found = self._by_journal(planned, decision)
            with world.mutex, world.change:
                if not world.torn:
                    by_owner: dict[Owner, dict[str, Change]] = {}
                    for change, owner in planned:
                        by_owner.setdefault(owner, {})[change.file] = change
                    texts = vars(self.base).get("texts")
                    for owner, own in by_owner.items():
                        if texts is not None and isinstance(owner, Family):
                            texts.done(owner, changes, own, found)
                        owner.done(changes, own, found)
                    world.follow(found)
                world.in_flight = frozenset()
                self._end()
        finally:
            world.in_flight = frozenset()

    def _check_expected(self, file: str, owner: Owner) -> None:
        """Raise ConflictError if a file is not in the state that its change was planned for."""
        if self.world.signature(file) != owner.expected(file):
            owner.suspect(file)
            raise ConflictError(f"{file} was changed by another program; try again")

    def _goes_alone(self, change: Change) -> bool:
        """Whether a change is made without the journal: it is whole or not there by itself, and not one of
        many that follow each other."""
        if change.file in self.journal.pending:
            return False
        return not isinstance(change, Append) or (change.count == 1 and not self._is_in_burst(change))

    def _is_in_burst(self, change: Append) -> bool:
        now, before = time.monotonic(), self._appended.get(change.file, 0.0)
        if len(self._appended) > _REMEMBERED:
            self._appended.clear()
        self._appended[change.file] = now
        return now - before < self.burst and len(change.lines) < _SHORT

    def _directly(self, change: Change, owner: Owner) -> dict[str, Signature]:
        """Make a change that is atomic by itself durable; the state of its file then."""
        path, system = self.world.path(change.file), self.world.system
        made = ""
        if not isinstance(change, Append):
            self._check_expected(change.file, owner)
        if isinstance(change, Replace):
            made = write_beside(system, path, change.content.encode(), durable=True)
        self._begin()
        undo: list[Undo] = []
        try:
            if isinstance(change, Append):
                expected = owner.expected(change.file)
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

    def _by_journal(self, planned: list[Planned], decision: Decision | None) -> dict[str, Signature]:
        """Make changes durable together; the states of their files then."""
        for change, owner in planned:
            if not isinstance(change, Append):
                self._check_expected(change.file, owner)
        number = self.journal.next_number
        made = tuple([c if isinstance(c, Append) else self._with_before(c) for c, _ in planned])
        entry = Entry(number, made, None if decision is None else decision.note)
        # From here on a death calls for recovery, which looks for the entry and makes its changes.
        self._begin()
        try:
            self._add(entry)
        except BaseException as error:
            if self.broken is None and is_foreseen(error):
                self._end()
            raise
        if decision is not None:
            self._decide(number, decision)
        undo: list[Undo] = []
        gone: list[str] = []
        found: dict[str, Signature] = {}
        try:
            for change, owner in planned:
                found |= self._make(change, owner.expected(change.file), undo, gone)
        except BaseException as error:
            if decision is not None and is_foreseen(error):
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
        if self.world.signature(change.file) is None:
            return change
        return replace(change, before=digest(read_whole(self.world.path(change.file))[0]))

    def _add(self, entry: Entry, *, durable: bool = True) -> None:
        try:
            self.journal.add(entry, durable=durable)
        except SyncError as error:
            self._break(error)
            raise
        self._note_end()

    def _decide(self, number: int, decision: Decision) -> None:
        """Let it be decided whether a prepared entry counts.  Raises why it does not."""
        try:
            error = decision.decide()
        except BaseException as unknown:
            if is_foreseen(unknown):
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
            if not is_foreseen(failed):
                raise
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
        """Bring the files back to what they were.  If even that fails, the next open has to recover them.

        After an exception that is not foreseen nothing is brought back: the count stays odd, and recovery
        decides, as after a death in the same place.
        """
        if not is_foreseen(error):
            return
        try:
            for step in reversed(undo):
                step()
            if finish is not None:
                finish()
        except (OSError, OctavoError) as failed:
            if not is_foreseen(failed):
                raise
            self._break(failed)
            return
        if isinstance(error, SyncError):
            self._break(error)
        self._end()

    def _break(self, error: BaseException) -> None:
        """Nothing more can be written by this process: what the disk holds is not certain."""
        said = error.strerror if isinstance(error, OSError) else str(error)
        self.broken = DiskError(f"the disk has failed ({said}); close the store and open it again")
        self.broken.__cause__ = error

    def _begin(self) -> None:
        if self.world.state is not None:
            self.world.state.begin()

    def _end(self) -> None:
        # A thread that refreshes just now must not take this for another process's commit.
        with self.world.mutex:
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
            # A journal whose removal is not durable must not come back after what follows.
            self._begin()
            self.journal.begin_anew()
        except OSError as error:
            if not is_foreseen(error):
                raise
            self._break(error)
            # The journal holds what the files may lack: the next process that opens the store replays it.
            self._begin()
            raise DiskError.of(error, "syncing the store") from error
        self._note_end()
        self._end()

    def _compact_if_wasteful(self, family: Family, file: str) -> None:
        """Compact a log whose superseded lines outweigh its records.

        The commit has happened; if the disk has no room for this, the log stays as it is.
        """
        try:
            if (log := family.wasteful_log(file)) is not None:
                self.compact(family, log)
        except (OSError, ConflictError, DiskError, DamagedError):
            pass

    def compact(self, family: Family, log: LogFile) -> int:
        """Leave one line a record, in order; how many lines went.  The write lock is held.

        Raises ConflictError, OSError.
        """
        lines = family.one_line_each(log)
        superseded = log.log.lines - lines.count(b"\n")
        change = Replace(log.file, lines.decode())
        family.expect(log)
        self._store([(change, family)], {})
        return superseded


def interrupted() -> ConflictError:
    """The error of a commit whose engine was interrupted by another thread, or before it began."""
    return ConflictError("the store was interrupted in the midst of something; try again")
