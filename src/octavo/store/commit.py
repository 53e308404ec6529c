"""How transactions become durable: one after the other, and those that wait together in one go.

Transactions run one at a time.  When one has ended, its changes are *staged*: the next can run, over them,
while they are being written.  Whatever is staged meanwhile is written together, with one sync (group commit),
by one of the threads that wait for it (see :mod:`octavo.store.writer`).

The write lock is held from the first of these transactions to the end of the last one's commit.

An exception that is not foreseen, such as what a signal handler raises in the main thread, can come out of
any line of this.  Nothing tries to mend what it leaves half done: the committer is *lost*, which lets go of
the kernel's lock as a death of the process would, and recovery decides.  So that no other thread's commit
depends on it, the main thread writes a group only if all of it is its own.
"""

from __future__ import annotations

import gc
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from threading import get_ident
from typing import Any, cast
from weakref import ref

from octavo.errors import BusyError, ConflictError, DiskError, OctavoError, UsageError
from octavo.store.freshness import is_foreseen
from octavo.store.lock import ProcessLock
from octavo.store.overlay import Layer, Overlay
from octavo.store.system import in_background
from octavo.store.writer import Decision, Lagging, Writer, interrupted

_LONGEST_HOLD = 0.05
"""seconds for which one process goes on while others may be waiting"""


class Lost(Exception):
    """The committer was interrupted, and is used no more: begin again with another."""


class Group:
    """Transactions that are written together."""

    def __init__(self, overlay: Overlay) -> None:
        self.overlay = overlay
        """what they have changed: that of the first, into which the others' were merged"""
        self.threads = {get_ident()}
        """those whose transactions they are"""
        self.decision: Decision | None = None
        self.leader = 0
        """the thread that writes it"""
        self.done = False
        self.error: OctavoError | None = None

    def join(self, overlay: Overlay) -> None:
        """Another transaction, which was built on this group, is written with it."""
        self.overlay.merge(overlay)
        self.threads.add(get_ident())


class Turn(AbstractContextManager[Overlay]):
    """The right of a thread to change the store, or its wait for it, as a block.

    Leaving the block gives the turn back, and keeps nothing; :meth:`Committer.commit` ends the turn before.
    A turn to which nothing refers any more has been left too: Python may run a signal handler just as its
    block is about to be entered or left.  (A ``__del__`` would not do: what a handler raises there is
    dropped.)
    """

    def __init__(self, committer: Committer, timeout: float | None) -> None:
        self.committer, self.timeout = committer, timeout
        self.thread = get_ident()
        self.granted: threading.Lock | None = None
        """of a turn that has to be waited for: held until another thread hands it over"""
        self.overlay: Overlay | None = None
        """what the changes go into, when it has begun"""

    def __enter__(self) -> Overlay:
        """Raises BusyError if it takes longer than ``timeout`` seconds (None: forever) to get the turn and
        the write lock; UsageError inside another turn of the thread; Lost, DiskError, DamagedError."""
        try:
            return self.committer.begin(self)
        except BaseException as error:
            self.committer.leave(self, error)
            raise

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self.committer.leave(self, error)


class Committer:
    """Lets transactions run in turn, and writes what they change."""

    def __init__(
        self, writer: Writer, lock: ProcessLock, enter: Callable[[bool], None], *, batched: bool
    ) -> None:
        """``enter`` catches up with others when the lock was taken; it is told whether for the first time.
        ``batched``: commits do not wait to be written; :meth:`flush` has to be called now and then."""
        self.writer, self.base, self.world, self.lock = writer, writer.base, writer.world, lock
        self.batched = batched
        self.is_lost = False
        self._enter = enter
        self._mutex = threading.RLock()
        """held for moments only, and never while anything waits"""
        self._owner: ref[Turn] | None = None
        """whose turn it is"""
        self._queue: deque[ref[Turn]] = deque()
        self._held_since = 0.0
        """when the write lock was taken; 0: it is not held"""
        self._staged: Group | None = None
        self._writing: Group | None = None
        self._waiting: list[tuple[Group | None, int, threading.Lock]] = []
        """the threads that wait: the group of each, which thread it is, and what wakes it"""
        self.is_ended = False
        """whether no transaction begins or is committed any more"""
        self._at_end: Callable[[], None] | None = None
        """what is left to do when nothing is being written any more"""
        self.unreported: OctavoError | None = None
        """why a batch was lost for which no caller waited"""
        # Weakly: what a lost engine has open is kept until nothing refers to that engine any more.
        found = ref(self)
        self.world.wait_for_own_commit = lambda: (own := found()) is not None and own._wait_in_transaction()

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

    # Turns

    def turn(self, timeout: float | None) -> Turn:
        """A block in which it is this thread's turn."""
        return Turn(self, timeout)

    def begin(self, turn: Turn) -> Overlay:
        """Take the turn and the write lock; what a transaction's changes go into."""
        began = time.monotonic()
        self._line_up(turn)
        self._check()
        if self._held_since and began - self._held_since > _LONGEST_HOLD:
            # Other processes may be waiting: let them in when what is staged has been written.
            self.settle()
            with self._mutex:
                self._let_go()
            self._check()
        if self._held_since:
            self.world.place.check()
        else:
            self._take(turn.timeout, began)
        overlay = turn.overlay = Overlay(self.top, self.base.codecs)
        overlay.since = self.world.replaced
        return overlay

    def _line_up(self, turn: Turn) -> None:
        self._refuse_handler()
        owner = None if self._owner is None else self._owner()
        if owner is not None and owner.thread == turn.thread:
            # An interruption may have left its block without leaving it, and a cycle of references with it:
            # an exception and the frames that it came through.
            del owner
            gc.collect()
        with self._mutex:
            if self.is_ended:
                raise _closed()
            if self.is_lost or self.world.torn:
                raise Lost
            while self._owner is not None and (owner := self._owner()) is None:
                self._pass_on()
            if self._owner is None:
                self._owner = ref(turn)
                return
            if owner is not None and owner.thread == turn.thread:
                raise UsageError("a transaction cannot begin inside another one of the same thread")
            turn.granted = threading.Lock()
            turn.granted.acquire()
            self._queue.append(ref(turn))
        turn.granted.acquire(timeout=-1 if turn.timeout is None else max(turn.timeout, 0))
        with self._mutex:
            if self.is_ended:
                raise _closed()
            if self.is_lost or self.world.torn:
                raise Lost
            # It may have been handed over just as the time was up.
            if not self._has(turn):
                raise BusyError(turn.timeout or 0, "another thread of this process")

    def _has(self, turn: Turn) -> bool:
        return self._owner is not None and self._owner() is turn

    def _refuse_handler(self) -> None:
        """Raise UsageError in a signal handler that came in the midst of a commit of the same thread.

        It would wait for itself.
        """
        held: bool = cast(Any, self._mutex)._is_owned()
        if held or (self._writing is not None and self._writing.leader == get_ident()):
            raise _in_its_midst()

    def _check(self) -> None:
        if self.is_lost or self.world.torn:
            raise Lost
        if self.writer.broken is not None:
            # Raised again and again, it must not gather all that it came through.
            raise self.writer.broken.with_traceback(None)
        if self.unreported is not None:
            error, self.unreported = self.unreported, None
            raise error

    def _take(self, timeout: float | None, began: float) -> None:
        """Take the write lock in what is left of the time, and catch up with what others have changed."""
        now = time.monotonic()
        try:
            opened = self.lock.acquire(None if timeout is None else max(timeout - (now - began), 0))
        except OSError as error:
            raise DiskError.of(error, "taking the write lock") from error
        self._held_since = now
        try:
            self._enter(opened)
        except BaseException:
            self._let_go()
            raise

    def _let_go(self) -> None:
        if self.is_lost:
            self.lock.close()
        elif self._held_since:
            self.lock.release()
        self._held_since = 0.0

    def leave(self, turn: Turn, error: BaseException | None = None) -> None:
        """Give a turn back, or the wait for it; nothing of its transaction is kept.

        ``error`` is why: after one that is not foreseen, out of the midst of something, the committer is
        lost.
        """
        if isinstance(error, GeneratorExit):
            # The garbage collector closes generators, in any thread, whatever locks it holds: a wait for
            # another one could last for ever.  A turn of no thread keeps none from waiting for the next.
            turn.thread = 0
            with suppress(RuntimeError):
                in_background(lambda: self._leave_for_another(turn))
            return
        self._leave_now(turn, is_unforeseen=error is not None and not is_foreseen(error))

    def _leave_for_another(self, turn: Turn) -> None:
        turn.thread = get_ident()
        self._leave_now(turn, is_unforeseen=True)

    def _leave_now(self, turn: Turn, *, is_unforeseen: bool) -> None:
        if is_unforeseen and self._has(turn) and (self.world.torn or turn.overlay is None):
            self.lose()
        with self._mutex:
            self._leave(turn)

    def _leave(self, turn: Turn) -> None:
        if turn.granted is not None:
            with suppress(ValueError):
                self._queue.remove(ref(turn))
        # Python forgets a turn that is garbage before it closes the block.
        if self._owner is not None and self._owner() in (turn, None):
            self._pass_on()

    def _pass_on(self) -> None:
        """Hand the turn over to the thread that has waited longest."""
        self._owner = None
        while self._queue:
            following = self._queue.popleft()
            if (turn := following()) is not None and turn.granted is not None:
                self._owner = following
                turn.granted.release()
                return
        self._rest()

    def end(self, close: Callable[[], None]) -> None:
        """Let no transaction begin or be committed any more.

        ``close`` lets go of the lock and of all that is open: at once, or, where a thread is writing, when it
        is through.  What is staged and not being written is given up.
        """
        with self._mutex:
            self.is_ended, self._at_end = True, close
            if self._staged is not None:
                self._fail(self._staged, _closed())
                self._staged = None
            self._wake()
            self._rest()

    def _rest(self) -> None:
        """Give the write lock back when no thread here needs it."""
        if self._at_end is not None and self._writing is None:
            close, self._at_end = self._at_end, None
            close()
            return
        if self._staged is None and self._writing is None and self._owner is None:
            self._let_go()

    # Commits

    def commit(self, turn: Turn, decision: Decision | None = None) -> None:
        """End a transaction and make it durable.

        With a ``decision`` it is prepared first, and happens as is decided.  Raises OctavoError if it did not
        happen; Lagging if it did, and cannot be seen yet.
        """
        try:
            if decision is not None:
                self._commit_as_decided(turn, decision)
                return
            with self._mutex:
                group = self._stage(turn)
                leads = group is not None and not self.batched and self._leads(group)
            if group is None or self.batched:
                return
            if leads:
                self._write(group)
            else:
                self._finish(group)
        except BaseException as error:
            if not is_foreseen(error):
                self.lose()
            self.leave(turn)
            raise

    def _commit_as_decided(self, turn: Turn, decision: Decision) -> None:
        # It is written by itself, and before anything that is built on it.
        self.settle()
        with self._mutex:
            group = self._stage(turn)
            if group is not None:
                group.decision = decision
                self._lead(group)
        if group is not None:
            self._write(group)
        elif (error := decision.decide()) is not None:
            raise error

    def _stage(self, turn: Turn) -> Group | None:
        """End the turn of a transaction, and put its changes into the next group; None: there are none."""
        try:
            if self.is_ended:
                raise _closed()
            if self.is_lost or self.world.torn:
                raise interrupted()
            self._check()
            overlay = turn.overlay
            if overlay is None:
                raise UsageError("the transaction has ended")
            overlay.require_whole()
            if not overlay.changes and overlay.position is None:
                return None
            if not self.batched:
                if self._staged is None:
                    self._staged = Group(overlay)
                elif get_ident() in self._staged.threads:
                    raise _in_its_midst()
                else:
                    self._staged.join(overlay)
            else:
                with self.world.mutex, self.world.change:
                    if self._staged is None:
                        self._staged = Group(overlay)
                    else:
                        self._staged.join(overlay)
            return self._staged
        finally:
            self._leave(turn)

    def _leads(self, group: Group) -> bool:
        """Whether this thread writes a group: it does if the group is staged, and nothing is being written.

        The main thread, which a signal handler can interrupt, writes only what is its own.
        """
        me = get_ident()
        if self._writing is not None or self._staged is not group:
            return False
        if len(group.threads) > 1 and me == threading.main_thread().ident:
            return False
        self._lead(group)
        return True

    def _lead(self, group: Group) -> None:
        group.leader = get_ident()
        # In this order, so that :attr:`top` never lacks it.
        self._writing = group
        self._staged = None

    def _finish(self, group: Group) -> None:
        """Wait until a group is written, or write it.  Raises OctavoError if it could not be."""
        while True:
            with self._mutex:
                leads = self._leads(group)
                if not leads and not group.done:
                    wake = self._wait_for(group)
            if leads:
                self._write(group)
                return
            if group.done:
                break
            wake.acquire()
        if group.error is not None:
            raise group.error

    def _wait_for(self, group: Group | None) -> threading.Lock:
        """What is released when a group, or any, has been written.  The mutex is held."""
        wake = threading.Lock()
        wake.acquire()
        self._waiting.append((group, get_ident(), wake))
        return wake

    def settle(self) -> None:
        """Wait until all that was staged has been written, or could not be.  It is this thread's turn."""
        if self.batched:
            self.write_batch()
        self.wait_until_written(staged=True)

    def wait_until_written(self, *, staged: bool = False) -> bool:
        """Wait for the group that is being written, if there is one; whether there was."""
        self._refuse_handler()
        waited = False
        while True:
            with self._mutex:
                if self._writing is None and not (staged and self._staged is not None):
                    return waited
                wake = self._wait_for(None)
            waited = True
            wake.acquire()

    def flush(self) -> None:
        """Write what is staged, and wait until it is durable.  Raises OctavoError if it could not be, or if
        an earlier batch could not and no caller was told."""
        if not self.batched:
            self.wait_until_written(staged=True)
            return
        error = self.write_batch() or self.unreported
        self.unreported = None
        if error is not None:
            raise error

    def write_batch(self) -> OctavoError | None:
        """Write what is staged; or why it could not be, which the next writer is told, too.

        Others' commits are among it, so that it is not written where a signal handler may run.
        """
        if get_ident() != threading.main_thread().ident:
            return self._write_staged()
        found: list[OctavoError | None] = []
        done = threading.Lock()
        done.acquire()

        def work() -> None:
            try:
                found.append(self._write_staged())
            finally:
                done.release()

        in_background(work)
        done.acquire()
        return found[0] if found else DiskError("the batch could not be written")

    def _write_staged(self) -> OctavoError | None:
        while True:
            self.wait_until_written()
            with self._mutex:
                group = self._staged
                if group is None:
                    self._rest()
                    return None
                if self._writing is None:
                    self._lead(group)
                    break
        try:
            self._write(group)
        except OctavoError as error:
            return error
        return None

    def _write(self, group: Group) -> None:
        """Write a group that this thread leads.  Raises OctavoError if it could not be."""
        try:
            error = self._written_or_not(group)
            with self._mutex:
                self._written(group, error)
        except BaseException:
            self.lose()
            raise
        if error is not None:
            raise error

    def _written(self, group: Group, error: OctavoError | None) -> None:
        """A group was written, or could not be."""
        group.error = error
        if self.batched and self.unreported is None:
            self.unreported = error
        staged = self._staged
        if staged is not None and staged.overlay.below is group.overlay:
            if error is None:
                staged.overlay.below = self.base
            else:
                # What was built on this cannot stand without it.
                self._staged = None
                self._fail(staged, ConflictError(f"built on what could not be stored: {error}"))
        group.overlay.failed = error is not None
        group.done, self._writing = True, None
        self._rest()
        if self._waiting:
            self._wake()

    def _fail(self, group: Group, error: OctavoError) -> None:
        group.overlay.failed = True
        group.error, group.done = error, True

    def _wake(self) -> None:
        """Wake the threads whose group is done, or that wait for any, and one to write what is staged."""
        waiting, self._waiting = self._waiting, []
        staged = self._staged
        # Not the main one, if there is another.
        main = threading.main_thread().ident
        of_staged = [w for w in waiting if w[0] is staged and staged is not None]
        of_staged.sort(key=lambda one: one[1] == main)
        leader = of_staged[0] if of_staged else None
        for one in waiting:
            if one[0] is None or one[0].done or one is leader:
                one[2].release()
            else:
                self._waiting.append(one)

    def _written_or_not(self, group: Group) -> OctavoError | None:
        """Make a group durable, and part of what is in memory; or the reason why it is not."""
        happened = False
        try:
            if self.writer.broken is not None:
                return self.writer.broken.with_traceback(None)
            self.world.place.check()
            self.writer.write(group.overlay, group.decision)
            happened = True
            # What was written may not be in the folder at the path.
            self.world.place.check()
            # What has failed after it, as compacting a log, is told to the next writer.
            return None
        except (OctavoError, OSError) as error:
            if not is_foreseen(error):
                raise
            if happened and group.decision is not None:
                # Another database has committed it.
                return Lagging(f"the files do not show what was committed: {error}")
            return error if isinstance(error, OctavoError) else DiskError.of(error, "writing to the store")

    def _wait_in_transaction(self) -> bool:
        """Let a transaction that has to read a file wait until the group before it is written."""
        owner = None if self._owner is None else self._owner()
        return owner is not None and owner.thread == get_ident() and self.wait_until_written()

    def lose(self) -> None:
        """Give everything up, as if the process had died here: only what is on disk counts now.

        Another thread that is writing, or in a transaction, keeps the write lock until it is through; what
        its transaction has changed is not kept.  Calling this again does no harm.
        """
        writing = self._writing
        leads = writing is not None and writing.leader == get_ident()
        try:
            if self.batched and not (self.world.torn or self.is_lost or leads):
                # What was acknowledged does not go with this.
                self.write_batch()
        finally:
            self._give_up()

    def _give_up(self) -> None:
        self.is_lost = True
        self.world.tear()
        me = get_ident()
        with self._mutex:
            holds = False
            if self._staged is not None:
                self._fail(self._staged, interrupted())
                self._staged = None
                if self.batched:
                    self.unreported = DiskError(
                        "the last batch was lost: the store was interrupted in its midst"
                    )
            if self._writing is not None and self._writing.leader == me:
                if not self._writing.done:
                    reason = "a commit was interrupted: it has happened whole or not at all; look which"
                    self._fail(self._writing, DiskError(reason))
                self._writing, holds = None, True
            owner = None if self._owner is None else self._owner()
            if owner is not None and owner.thread == me:
                self._owner, holds = None, True
            if holds and self._held_since and self.world.state is not None:
                # The process that takes the lock next recovers what may be half done.
                self.world.state.begin()
            self._wake()
            while self._queue:
                turn = self._queue.popleft()()
                if turn is not None and turn.granted is not None:
                    turn.granted.release()
            self._rest()


def _closed() -> UsageError:
    return UsageError("the store is closed")


def _in_its_midst() -> UsageError:
    return UsageError(
        "a signal handler uses the store in the midst of a commit of the thread that it interrupts",
        hint="raise an exception, or set a flag, and do the work when the commit is over",
    )
