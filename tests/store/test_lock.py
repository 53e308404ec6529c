"""One writer at a time, threads and processes, and no lock outlives its holder."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, cast

import pytest

from interrupts import Interrupter
from octavo.errors import BusyError
from octavo.store.lock import ProcessLock
from octavo.store.lock import _forking as forking
from octavo.store.store import Store
from small_store import build, layout, revise

WAIT = 30
"""seconds after which something hangs"""


def lock(path: Path) -> ProcessLock:
    return ProcessLock(str(path), lambda: "somebody")


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


class TestTurns:
    """Threads of one process begin their transactions in turn."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[Store]:
        build(tmp_path / "data")
        with Store.open(tmp_path / "data", layout()) as store:
            yield store

    def test_a_turn_that_only_a_cycle_refers_to_has_been_left(self, store: Store) -> None:
        """An interruption just before a block leaves the exception and the frames that it came through."""
        gc.disable()
        try:
            turn = store.transaction()
            turn.__enter__()
            cycle: list[object] = [turn]
            cycle.append(cycle)
            del turn, cycle
            with store.transaction():
                pass
        finally:
            gc.enable()

    def test_threads_get_their_turn_in_the_order_in_which_they_came(self, store: Store) -> None:
        order: list[int] = []

        def take(number: int) -> None:
            with store.transaction():
                order.append(number)

        threads = []
        with store.transaction():
            for number in range(8):
                threads.append(threading.Thread(target=take, args=[number], daemon=True))
                threads[-1].start()
                until(lambda n=number: len(store.engine.committer._queue) == n + 1)  # type: ignore[misc]
        for thread in threads:
            thread.join(WAIT)
        assert order == list(range(8))

    def test_a_thread_that_gives_up_does_not_get_it(self, store: Store) -> None:
        busy: list[bool] = []

        def give_up(timeout: float) -> None:
            try:
                with store.transaction(timeout=timeout):
                    busy.append(False)
            except BusyError:
                busy.append(True)

        with store.transaction():
            for timeout in (0.01, 0):
                thread = threading.Thread(target=give_up, args=[timeout], daemon=True)
                thread.start()
                thread.join(WAIT)
        assert busy == [True, True]
        with store.transaction(timeout=0):
            pass

    def test_nothing_is_lost_when_time_is_up_just_then(self, store: Store) -> None:
        """A turn that is handed over and given up at the same moment is handed on."""
        held = [0, 0]

        def work() -> None:
            for _ in range(100):
                with suppress(BusyError), store.transaction(timeout=0.0005):
                    held[0] += 1
                    held[1] = max(held[1], held[0])
                    held[0] -= 1

        threads = [threading.Thread(target=work, daemon=True) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(WAIT)
        assert held == [0, 1]
        with store.transaction(timeout=0):
            pass


class TestProcessLock:
    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        return tmp_path / "write.lock"

    def test_one_at_a_time(self, path: Path) -> None:
        one, other = lock(path), lock(path)
        assert one.acquire(0)
        for timeout in (0, 0.02):
            with pytest.raises(BusyError, match="by somebody; waited"):
                other.acquire(timeout)
        one.release()
        # Who gave up waiting may have it for a moment, before he lets go of it.
        assert other.acquire(WAIT)
        other.release()
        assert not one.acquire(0), "its file is open already"
        one.close()
        other.close()

    def test_who_waits_gets_it(self, path: Path) -> None:
        one, other = lock(path), lock(path)
        one.acquire(0)
        got = threading.Event()

        def wait() -> None:
            other.acquire(WAIT)
            got.set()

        thread = threading.Thread(target=wait, daemon=True)
        thread.start()
        assert not got.wait(0.05)
        one.release()
        assert got.wait(WAIT)
        other.close()
        one.close()

    def test_who_gave_up_waiting_does_not_keep_it(self, path: Path) -> None:
        one, other, third = lock(path), lock(path), lock(path)
        one.acquire(0)
        with pytest.raises(BusyError):
            other.acquire(0.02)
        one.release()
        third.acquire(WAIT)
        third.release()
        for each in (one, other, third):
            each.close()

    def test_a_file_that_was_removed_is_not_held(self, path: Path) -> None:
        """Two must not hold the lock by two files of one name."""
        one, other = lock(path), lock(path)
        one.acquire(0)
        path.unlink()
        assert other.acquire(0)
        one.release()
        assert path.exists()
        with pytest.raises(BusyError):
            one.acquire(0)
        other.release()
        assert one.acquire(0)
        one.close()
        other.close()

    def test_a_file_that_goes_while_one_waits(self, path: Path) -> None:
        one, other = lock(path), lock(path)
        one.acquire(0)
        got = threading.Event()

        def wait() -> None:
            other.acquire(WAIT)
            got.set()

        threading.Thread(target=wait, daemon=True).start()
        time.sleep(0.02)
        path.unlink()
        one.release()
        assert got.wait(WAIT)
        assert path.exists()
        with pytest.raises(BusyError):
            lock(path).acquire(0)
        one.close()
        other.close()

    def test_an_interruption_leaves_it_to_the_next(self, path: Path) -> None:
        def work() -> None:
            with closing(lock(path)) as one:
                one.acquire(0)
                one.release()

        counting = Interrupter()
        counting.run(work)
        for at in range(1, len(counting.moments) + 1):
            interrupter = Interrupter(at)
            interrupter.run(work)
            assert not cast(Any, forking)._is_owned(), interrupter.where
            with closing(lock(path)) as other:
                other.acquire(0)

    def test_its_folder_may_go(self, tmp_path: Path) -> None:
        one = lock(tmp_path / "cache" / "write.lock")
        assert one.acquire(0)
        one.close()
        with pytest.raises(FileNotFoundError):
            lock(tmp_path / "no" / "cache" / "write.lock").acquire(0)

    def test_a_link_in_its_place_is_refused(self, path: Path, tmp_path: Path) -> None:
        path.symlink_to(tmp_path / "elsewhere")
        with pytest.raises(OSError, match="symbolic"):
            lock(path).acquire(0)
        assert not (tmp_path / "elsewhere").exists()


class TestStores:
    """The same of stores in several processes."""

    program = """
import sys
from octavo.store.store import Store
from small_store import layout, revise
with Store.open(sys.argv[1], layout()) as store, store.transaction() as tx:
    revise(tx, "Chat", "chat-1", title="theirs")
    print("in", flush=True)
    sys.stdin.readline()
"""

    @pytest.fixture
    def data(self, tmp_path: Path) -> Path:
        build(tmp_path / "data")
        return tmp_path / "data"

    @pytest.fixture
    def holder(self, data: Path) -> Iterator[subprocess.Popen[str]]:
        path = os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])
        with subprocess.Popen(
            [sys.executable, "-c", self.program, str(data)],
            env=os.environ | {"PYTHONPATH": path},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "in\n"
            yield process
            process.kill()

    def test_who_holds_it_is_said(self, data: Path, holder: subprocess.Popen[str]) -> None:
        with Store.open(data, layout(), lock_timeout=0.05) as store:
            with (
                pytest.raises(BusyError, match=rf"process {holder.pid} .*; waited 0.05 s"),
                store.transaction(),
            ):
                pass
            with pytest.raises(BusyError, match="waited 0 s"), store.transaction(timeout=0):
                pass
            assert store.get("Chat", "chat-1") is not None, "who reads does not wait"

    def test_it_dies_with_its_holder(self, data: Path, holder: subprocess.Popen[str]) -> None:
        with Store.open(data, layout()) as store:
            holder.send_signal(signal.SIGKILL)
            with store.transaction(timeout=WAIT) as tx:
                found = tx.get("Chat", "chat-1")
                assert found is not None
                assert found.title == "title"

    def test_a_stopped_holder_still_holds_it(self, data: Path, holder: subprocess.Popen[str]) -> None:
        """There is no time after which a lock is taken from who is slow."""
        with Store.open(data, layout()) as store:
            holder.send_signal(signal.SIGSTOP)
            with pytest.raises(BusyError), store.transaction(timeout=0.2):
                pass
            holder.send_signal(signal.SIGCONT)
            assert holder.stdin is not None
            holder.stdin.write("\n")
            holder.stdin.flush()
            with store.transaction(timeout=WAIT) as tx:
                found = tx.get("Chat", "chat-1")
                assert found is not None
                assert found.title == "theirs"
                revise(tx, "Chat", "chat-1", title="mine")
