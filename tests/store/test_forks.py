"""A child forked at any moment holds none of its parent's locks: not the one of writing, nor any other."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

import pytest

from octavo.backends.divergence import _locked
from octavo.backends.gap import Touched
from octavo.errors import BusyError, UsageError
from octavo.store import disk, phase
from octavo.store.lock import NAME as LOCK
from octavo.store.lock import LockFile, ProcessLock
from octavo.store.payloads import Payloads, is_abandoned
from octavo.store.rules import Rules
from octavo.store.shared import OPENERS, is_open
from octavo.store.store import Store
from octavo.store.system import SYSTEM
from small_store import build, layout, message, revise

WAIT = 30
"""seconds after which something hangs"""
pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="looks at descriptors in /proc")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("forks") / "data"
    build(root)
    (root / "cache").mkdir(exist_ok=True)
    return root


@pytest.fixture
def data(built: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(built, tmp_path / "data"))


def inherited(root: Path) -> list[str]:
    """The files below a folder that this process has open."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue
        if target.startswith(str(root)):
            found.append(os.path.relpath(target, root))
    return sorted(found)


def child(work: Callable[[], object]) -> int:
    """Fork; the child ends with 1 if the work gives or raises anything."""
    pid = os.fork()
    if not pid:
        status = 1
        try:
            status = 1 if work() else 0
        finally:
            os._exit(status)
    return pid


def status(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


@contextmanager
def living_child() -> Iterator[None]:
    """A child that was forked now, and lives as long as the block."""
    pid = child(lambda: time.sleep(WAIT))
    try:
        yield
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


@contextmanager
def _write_lock(root: Path) -> Iterator[None]:
    with closing(ProcessLock(str(root / LOCK), lambda: "")) as lock:
        lock.acquire(0)
        yield


@contextmanager
def _folder_lock(root: Path) -> Iterator[None]:
    folder = disk.lock_folder(root)
    assert folder is not None
    with folder:
        yield


@contextmanager
def _incoming(root: Path) -> Iterator[None]:
    path, file = Payloads(str(root), layout(), SYSTEM)._create()
    with file:
        yield
    Path(path).unlink(missing_ok=True)


def _open_store(root: Path) -> Store:
    return Store.open(root, layout())


HELD: dict[str, Callable[[Path], AbstractContextManager[object]]] = {
    "the write lock": _write_lock,
    "a folder": _folder_lock,
    "the state of the move": phase.changing,
    "what an export wants to know": lambda root: Touched.of(str(root), Rules(layout())),
    "the counters of differences": lambda root: _locked(str(root / "cache" / "counters")),
    "every payload": lambda root: Payloads(str(root), layout(), SYSTEM).kept(),
    "a payload on its way": _incoming,
}


@pytest.mark.parametrize("hold", HELD.values(), ids=HELD)
def test_a_lock_ends_with_its_holder_although_a_child_lives(
    hold: Callable[[Path], AbstractContextManager[object]], data: Path
) -> None:
    with hold(data):
        assert inherited(data), "something is held"
        assert status(child(lambda: inherited(data))) == 0
        pid = child(lambda: time.sleep(WAIT))
    try:
        with hold(data):
            pass
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


@pytest.mark.parametrize("hold", HELD.values(), ids=HELD)
def test_a_child_that_leaves_the_block_ends_nothing_of_its_parent(
    hold: Callable[[Path], AbstractContextManager[object]], data: Path
) -> None:
    """Its copy of the number may be that of another file by then."""
    with hold(data):
        pid = os.fork()
        if not pid:
            own = [os.open("/dev/null", os.O_RDONLY) for _ in range(8)]
    if not pid:
        left = 1
        try:
            for descriptor in own:
                os.fstat(descriptor)
            left = 0
        finally:
            os._exit(left)
    assert status(pid) == 0


def test_a_fork_waits_until_a_lock_that_is_being_opened_is_known(tmp_path: Path) -> None:
    opened = threading.Event()

    def slowly() -> int:
        descriptor = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT)
        opened.set()
        time.sleep(0.1)
        return descriptor

    thread = threading.Thread(target=lambda: LockFile(slowly), daemon=True)
    thread.start()
    assert opened.wait(WAIT)
    assert status(child(lambda: inherited(tmp_path))) == 0
    thread.join(WAIT)


def test_a_child_forked_while_a_thread_waits_for_the_lock_holds_nothing(tmp_path: Path) -> None:
    path = str(tmp_path / "write.lock")
    holder, waiting = ProcessLock(path, lambda: ""), ProcessLock(path, lambda: "")
    holder.acquire(0)
    thread = threading.Thread(target=waiting.acquire, args=[WAIT], daemon=True)
    thread.start()
    time.sleep(0.05)
    with living_child():
        assert status(child(lambda: inherited(tmp_path))) == 0
        holder.close()
        thread.join(WAIT)
        with pytest.raises(BusyError):
            holder.acquire(0)
        waiting.close()
        holder.acquire(0)
        holder.close()


def test_one_that_gave_up_waiting_leaves_no_lock_to_a_child(tmp_path: Path) -> None:
    path = str(tmp_path / "write.lock")
    holder, other = ProcessLock(path, lambda: ""), ProcessLock(path, lambda: "")
    holder.acquire(0)
    with pytest.raises(BusyError):
        other.acquire(0.01)
    with living_child():
        holder.close()
        other.acquire(WAIT)
        other.close()


def test_a_transaction_of_the_parent_is_none_of_its_child(data: Path) -> None:
    with _open_store(data) as store:

        def work() -> bool:
            with pytest.raises(UsageError, match="of another process"):
                transaction.__exit__(None, None, None)
            return "cache/write.lock" in inherited(data)

        transaction = store.transaction()
        with transaction as tx:
            revise(tx, "Chat", "chat-1", title="of the parent")
            assert status(child(work)) == 0
        found = store.get("Chat", "chat-1")
        assert found is not None
        assert found.title == "of the parent"


_WRITER = """
import os, random, sys, threading, time
from pathlib import Path
from octavo.store.store import Store
from small_store import layout, message
store = Store.open(sys.argv[1], layout())
def write(name):
    for number in range(10**6):
        with store.transaction() as tx:
            tx.insert([message(number, id=f"{name} {number}")])
for name in "ab":
    threading.Thread(target=write, args=[name], daemon=True).start()
chance = random.Random(int(sys.argv[2]))
time.sleep(0.1)
for _ in range(int(sys.argv[3])):
    time.sleep(chance.random() * 0.02)
    pid = os.fork()
    if not pid:
        time.sleep(60)
        os._exit(0)
    print(pid, flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("count", [12, pytest.param(200, marks=pytest.mark.slow)])
def test_the_write_lock_dies_with_a_writer_that_forked_at_random_moments(data: Path, count: int) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    paths = os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])
    with subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(data), str(seed), str(count)],
        env=os.environ | {"PYTHONPATH": paths},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        children = [int(process.stdout.readline()) for _ in range(count)]
        process.kill()
        process.wait(WAIT)
        try:
            with Store.open(data, layout(), lock_timeout=5) as store, store.transaction() as tx:
                tx.insert([message(1, id="after")])
        finally:
            for pid in children:
                os.kill(pid, signal.SIGKILL)


def test_a_payload_of_a_killed_writer_is_abandoned_although_a_child_lives(data: Path) -> None:
    made, told = os.pipe()

    def write() -> None:
        path, _ = Payloads(str(data), layout(), SYSTEM)._create()
        pid = child(lambda: time.sleep(WAIT))
        os.write(told, f"{path}\n{pid}\n".encode())
        os.kill(os.getpid(), signal.SIGKILL)

    os.waitpid(child(write), 0)
    path, pid = os.read(made, 4096).decode().splitlines()
    os.utime(path, (0, 0))
    try:
        # The child may not have let go of what it inherited yet.
        until(lambda: is_abandoned(path))
    finally:
        os.kill(int(pid), signal.SIGKILL)
    os.close(made)
    os.close(told)


class TestOpeners:
    """A child that uses the store has it open itself."""

    def test_a_child_has_the_store_open_as_long_as_it_lives(self, data: Path) -> None:
        store = _open_store(data)
        with living_child():
            store.close()
            until(lambda: is_open(str(data)))
        assert not is_open(str(data))

    def test_a_child_of_a_process_that_has_closed_it_has_not(self, data: Path) -> None:
        store = _open_store(data)
        store.close()
        with living_child():
            assert not is_open(str(data))

    def test_it_has_a_lock_of_its_own(self, data: Path) -> None:
        with _open_store(data):
            before = inherited(data).count(OPENERS)
            assert before == 1
            assert status(child(lambda: inherited(data).count(OPENERS) != 1)) == 0


@pytest.mark.parametrize("ends", [os._exit, lambda code: os.kill(os.getpid(), signal.SIGKILL)])
def test_a_child_that_looks_up_ids_costs_its_parent_no_record(
    data: Path, ends: Callable[[int], object]
) -> None:
    """LMDB knows its readers by their process: what a child inherits of them is the parent's."""
    names = ["m0", "m1", "m10", "m11", "m2"]
    with Store.open(data, layout()) as store:
        for _ in range(40):
            assert all(store.get("Message", name) is not None for name in names)
        assert store.get("Message", "nowhere") is None
        for number in range(3):
            child = os.fork()
            if child == 0:
                there = store.get("Message", "m1") is not None
                with store.transaction() as tx:
                    tx.insert([message(50 + number)])
                store.close()
                ends(0 if there else 1)
            os.waitpid(child, 0)
            assert store.engine.base.family("Message")._locations._environment is not None  # type: ignore[attr-defined]
            assert list(store.read(lambda view: view.find("Message", ("chatId",), "chat-2")))
            with store.transaction() as tx:
                tx.insert([message(60 + number, "chat-3")], known_new=["id"])
            names += [f"m{50 + number}", f"m{60 + number}"]
            assert all(store.get("Message", name) is not None for name in names)
