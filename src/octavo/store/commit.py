"""How transactions become durable: one after the other, and those that wait together in one go.

Transactions run one at a time.  When one has ended, its changes are *staged*: the next can run, over them,
while they are being written.  Whatever is staged meanwhile is written together, with one sync (group commit),
by one of the threads that wait for it (see :mod:`octavo.store.writer`).

The write lock is held from the first of these transactions to the end of the last one's commit.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import nullcontext

from octavo.errors import BusyError, ConflictError, DiskError, OctavoError, UsageError
from octavo.store.layers import Layer, Overlay
from octavo.store.lock import ProcessLock, Turns
from octavo.store.writer import Decision, Writer

_LONGEST_HOLD = 0.05
"""seconds for which one process goes on while others may be waiting"""


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
        writer: Writer,
        lock: ProcessLock,
        enter: Callable[[bool], None],
        *,
        batched: bool,
    ) -> None:
        """``enter`` is called whenever the write lock was taken, and told whether there is another lock than
        before: it brings what is in memory up to date.

        ``batched``: commits do not wait to be written; somebody has to call :meth:`flush` now and then.
        """
        self.writer, self.base, self.world, self.lock = writer, writer.base, writer.world, lock
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
        return self.writer.broken is not None

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
                    self._settle()
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
        if self.writer.broken is not None:
            raise self.writer.broken
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

    def settle(self) -> None:
        """Wait until all that was staged has been written, or could not be.  It is this thread's turn."""
        with self._condition:
            self._settle()

    def _settle(self) -> None:
        if self.batched and self._staged is not None and self._writing is None:
            self._write_staged()
        while self._staged is not None or self._writing is not None:
            self._condition.wait()

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
            if self.writer.broken is not None:
                return self.writer.broken
            overlay = group.overlay
            self.writer.write(overlay.net, group.decision, since=overlay.since, position=overlay.position)
            # What has failed behind it, as compacting a log, is told to whoever writes next.
            return None
        except OctavoError as error:
            return error
        except OSError as error:
            return DiskError.of(error, "writing to the store")

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
