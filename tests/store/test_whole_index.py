"""The index of locations is used only if it is known to be whole; any other one is made anew."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import pytest

from faults import child
from octavo.store.indexfile import FOLDER
from octavo.store.shared import NAME as STATE
from octavo.store.shared import SharedState
from octavo.store.store import Store
from octavo.store.system import FileSystem
from small_store import build, erase, layout, message
from stores import Unsynced

PAGE = 4096
WAIT = 30
MANY = [f"many {number:03}" for number in range(100)]
ALL = ["m0", "m1", "m10", "m11", "m2", *MANY]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of some hundred messages, whose index has a page for every purpose."""
    root = tmp_path_factory.mktemp("built") / "data"
    build(root)
    with opened(root) as store, store.transaction() as tx:
        tx.insert([message(number, "chat-3", id=key) for number, key in enumerate(MANY)])
    shutil.rmtree(root / "cache")
    return root


@pytest.fixture
def data(built: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(built, tmp_path / "data"))


def opened(data: Path, system: FileSystem | None = None) -> Store:
    return Store.open(data, layout(), system=system or Unsynced())


def found(store: Store) -> list[str]:
    """The ids under which a message is found, of all that there may be."""
    assert store.get("Message", "nowhere") is None
    return [key for key in ALL if (row := store.get("Message", key)) is not None and row.id == key]


def file(data: Path) -> Path:
    """The file of the index."""
    (only,) = (data / FOLDER).iterdir()
    return only / "data.mdb"


def page(data: Path) -> SharedState:
    return SharedState(str(data), create=False)


def closed_in_order(data: Path) -> None:
    with opened(data) as store:
        assert found(store) == ALL


def killed(data: Path) -> None:
    """A process is killed while it has the store open, and has made the index."""
    with child(lambda connection: _used(data, connection.send)) as connection:
        assert connection.recv() == ALL


def _used(data: Path, tell: Callable[[object], object]) -> None:
    store = opened(data)
    tell(found(store))
    os._exit(signal.SIGKILL)


def is_used(data: Path) -> bool:
    """Whether the index that is there is used as it is by who opens the store now."""
    there = file(data)
    before = there.stat().st_ino, there.stat().st_mtime_ns
    with opened(data) as store:
        assert found(store) == ALL
    return (there.stat().st_ino, there.stat().st_mtime_ns) == before


class TestWhatIsKept:
    def test_one_that_was_closed_in_order(self, data: Path) -> None:
        closed_in_order(data)
        assert is_used(data)
        assert is_used(data)

    def test_in_a_folder_with_another_name(self, data: Path) -> None:
        closed_in_order(data)
        assert is_used(data.rename(data.with_name("renamed")))

    def test_one_that_another_process_follows(self, data: Path) -> None:
        """Whatever becomes of the one that made it."""
        with opened(data) as store:
            killed(data)
            inode = file(data).stat().st_ino
            assert found(store) == ALL
            with opened(data) as other:
                assert found(other) == ALL
                assert file(data).stat().st_ino == inode
        assert is_used(data)

    def test_the_last_one_to_close_syncs_what_others_have_changed(self, data: Path) -> None:
        with opened(data):
            closed_in_order(data)
            with closing(page(data)) as state:
                assert not state.is_index_whole
        assert is_used(data)

    def test_those_that_close_at_once(self, data: Path) -> None:
        closed_in_order(data)
        stores = [opened(data) for _ in range(3)]
        with stores[0].transaction() as tx:
            erase(tx, "Message", MANY[0])
            tx.insert([message(0, "chat-3", id=MANY[0])])
        for store in stores:
            store.close()
        assert is_used(data)

    def test_one_of_a_process_that_was_killed_at_rest(self, data: Path) -> None:
        """The journal is empty by then, and the index durable."""

        def work() -> None:
            store = opened(data)
            assert found(store) == ALL
            with store.transaction() as tx:
                for key in ("m0", "m1"):
                    erase(tx, "Message", key)
                    tx.insert([message(0, id=key)])
                tx.insert([message(0, "chat-2", id="by way of the journal")])
            with closing(page(data)) as state:
                end = time.monotonic() + WAIT
                while not state.is_index_whole and time.monotonic() < end:
                    time.sleep(0.01)
            os._exit(signal.SIGKILL)

        with child(lambda _: work()) as connection, suppress(EOFError):
            connection.recv()
        assert is_used(data)


class TestWhatIsMadeAnew:
    def test_one_that_was_not_closed(self, data: Path) -> None:
        killed(data)
        assert not is_used(data)
        assert is_used(data)

    def test_that_of_a_copy(self, data: Path) -> None:
        closed_in_order(data)
        copy = Path(shutil.copytree(data, data.with_name("copy")))
        assert not is_used(copy)
        assert is_used(copy)
        assert is_used(data)

    def test_that_of_a_copy_of_an_open_store(self, data: Path) -> None:
        with opened(data) as store:
            assert found(store) == ALL
            copy = Path(shutil.copytree(data, data.with_name("copy")))
            assert not is_used(copy)
            assert found(store) == ALL
        assert is_used(data)

    def test_what_was_put_back_over_it(self, data: Path) -> None:
        """In the same file, of the same size and time."""
        closed_in_order(data)
        there = file(data)
        time_before = there.stat().st_mtime_ns
        there.write_bytes(there.read_bytes())
        os.utime(there, ns=(time_before, time_before))
        assert not is_used(data)

    @pytest.mark.parametrize("part", [STATE, "cache"])
    def test_without_a_page_of_state(self, data: Path, part: str) -> None:
        closed_in_order(data)
        kept = file(data).read_bytes(), file(data).relative_to(data)
        if part == STATE:
            (data / STATE).unlink()
        else:
            shutil.rmtree(data / "cache")
            (data / kept[1]).parent.mkdir(parents=True)
            (data / kept[1]).write_bytes(kept[0])
        assert not is_used(data)


def _zeroed(content: bytearray, at: int, _: bytes) -> None:
    content[at : at + PAGE] = bytes(PAGE)


def _torn(content: bytearray, at: int, older: bytes) -> None:
    content[at + PAGE // 2 : at + PAGE] = older[at + PAGE // 2 : at + PAGE].ljust(PAGE // 2, b"\0")


def _exchanged(content: bytearray, at: int, _: bytes) -> None:
    other = (at + PAGE) % len(content)
    content[at : at + PAGE], content[other : other + PAGE] = (
        content[other : other + PAGE],
        content[at : at + PAGE],
    )


def _older(content: bytearray, at: int, older: bytes) -> None:
    content[at : at + PAGE] = older[at : at + PAGE].ljust(PAGE, b"\0")


def _cut(content: bytearray, at: int, _: bytes) -> None:
    del content[at:]


def _cut_in_the_middle(content: bytearray, at: int, _: bytes) -> None:
    del content[at + PAGE // 2 :]


DAMAGE = (_zeroed, _torn, _exchanged, _older, _cut, _cut_in_the_middle)


@pytest.mark.parametrize("left", [closed_in_order, killed], ids=["closed in order", "killed"])
@pytest.mark.parametrize("damage", DAMAGE, ids=lambda damage: damage.__name__.strip("_").replace("_", " "))
def test_no_page_that_a_power_cut_spoils_spoils_an_answer(
    data: Path, left: Callable[[Path], None], damage: Callable[[bytearray, int, bytes], None]
) -> None:
    """Nor does it kill the process that reads it: so another one does."""
    with opened(data) as store:
        assert store.get("Message", "m0") is not None
        older = file(data).read_bytes()
        with store.transaction() as tx:
            for key in MANY[::7]:
                erase(tx, "Message", key)
                tx.insert([message(1, "chat-3", id=key)])
    left(data)
    whole = file(data).read_bytes()
    assert len(whole) > 4 * PAGE
    for at in range(0, len(whole), PAGE):
        content = bytearray(whole)
        damage(content, at, older)
        left(data)
        # In place: the file keeps its inode.
        with open(file(data), "r+b") as there:
            there.write(content)
            there.truncate()
        with child(lambda connection: connection.send(_goes_on(data))) as connection:
            assert connection.recv() == (ALL, True), f"page {at // PAGE}"


def _goes_on(data: Path) -> tuple[list[str], bool]:
    """What is found, and whether a message that is written then is found too."""
    with opened(data) as store:
        before = found(store)
        with store.transaction() as tx:
            tx.insert([message(0, id="one more")])
        there = store.get("Message", "one more") is not None
        with store.transaction() as tx:
            erase(tx, "Message", "one more")
        return before, there and store.get("Message", "one more") is None


class _Durable(Unsynced):
    """Remembers the page of state as it was synced last."""

    def __init__(self, data: Path) -> None:
        self._inode = (data / STATE).stat().st_ino
        self.page = (data / STATE).read_bytes()

    def sync(self, descriptor: int) -> None:
        if os.fstat(descriptor).st_ino == self._inode:
            self.page = os.pread(descriptor, PAGE, 0)


def test_what_the_disk_holds_never_calls_a_changed_index_whole(data: Path) -> None:
    """A page that comes back with the disk, on the same boot and in the same folder, is of some moment
    between its last sync and now.  None of these may call an index whole that was changed after it was."""
    closed_in_order(data)
    system, there = _Durable(data), file(data)
    for number in range(3):
        whole = there.read_bytes()
        with opened(data, system) as store:
            assert found(store) == ALL
            assert there.read_bytes() == whole, "to read is not to change"
            with store.transaction() as tx:
                tx.insert([message(number, id=f"new {number}")])
            store.engine.base.note()
            assert there.read_bytes() != whole
            with closing(page(data)) as state:
                assert not state.is_index_whole
            durable = data.with_name("durable")
            shutil.copytree(data / "cache", durable / "cache", dirs_exist_ok=True)
            (durable / STATE).write_bytes(system.page)
            with closing(page(durable)) as state:
                assert not state.is_index_whole
        with closing(page(data)) as state:
            assert state.is_index_whole


class _PageFails(Unsynced):
    """The page of state cannot be synced."""

    def __init__(self, data: Path) -> None:
        self._inode = (data / STATE).stat().st_ino

    def sync(self, descriptor: int) -> None:
        if os.fstat(descriptor).st_ino == self._inode:
            raise OSError(errno.EIO, os.strerror(errno.EIO))


def test_a_page_that_cannot_be_synced_costs_the_index_and_no_commit(data: Path) -> None:
    closed_in_order(data)
    with opened(data, _PageFails(data)) as store:
        assert found(store) == ALL
        with store.transaction() as tx:
            tx.insert([message(0, id="new")])
        assert store.get("Message", "new") is not None
        assert found(store) == ALL
    with opened(data) as store:
        assert store.get("Message", "new") is not None
        assert found(store) == ALL


def test_a_page_that_cannot_be_synced_stops_no_reader(data: Path) -> None:
    closed_in_order(data)
    log = data / "chats" / "chat-3.jsonl"
    log.write_bytes(b"".join(reversed(log.read_bytes().splitlines(keepends=True))))
    with opened(data, _PageFails(data)) as store:
        assert found(store) == ALL
    assert not is_used(data)
