"""The page that processes share: of this boot, counted by commits, followed by who may only read."""

from __future__ import annotations

import fcntl
import os
import random
import shutil
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from octavo.store.journal import NAME as JOURNAL
from octavo.store.shared import NAME as STATE
from octavo.store.shared import Openers, SharedState, boot_id
from octavo.store.store import Store
from small_store import build, layout, revise, state_of, state_on_disk


@pytest.fixture
def root(tmp_path: Path) -> str:
    (tmp_path / "cache").mkdir()
    Openers(str(tmp_path)).close()
    return str(tmp_path)


def test_a_new_page_is_not_current_before_the_store_was_recovered(root: str) -> None:
    page = SharedState(root, create=True)
    assert not page.is_current
    page.clear()
    page.start()
    assert page.is_current
    assert page.commits % 2 == 0
    page.close()


def test_all_see_one_page(root: str) -> None:
    one, other = SharedState(root, create=True), SharedState(root, create=False)
    one.start()
    before = other.commits
    one.begin()
    one.begin()
    assert other.commits == before + 1
    one.end()
    assert other.commits == before + 2
    one.end()
    assert other.commits == before + 4
    one.note_journal(77)
    one.sign()
    assert (other.journal_end, other.holder()[0]) == (77, os.getpid())
    one.close()
    other.close()


def test_a_page_of_another_boot_is_not_current(root: str) -> None:
    page = SharedState(root, create=True)
    page.start()
    words = page.words
    words[1] = boot_id() ^ 1
    assert not page.is_current
    page.close()


@pytest.mark.parametrize("content", [b"", b"x", bytes(4096), b"\xff" * 4096, b"x" * 5000])
def test_what_is_no_page_is_not_believed(tmp_path: Path, content: bytes) -> None:
    """The store is recovered, and a page made, whatever stands in the place of one."""
    data = tmp_path / "data"
    build(data)
    (data / "cache").mkdir(exist_ok=True)
    (data / "cache" / "state").write_bytes(content)
    before = state_on_disk(data)
    with Store.open(data, layout()) as store:
        assert state_of(store) == before
        with store.transaction() as tx:
            revise(tx, "Chat", "chat-1", title="goes on")
    with Store.open(data, layout()) as store:
        assert store.get("Chat", "chat-1").title == "goes on"  # type: ignore[union-attr]


def test_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    data = tmp_path / "data"
    build(data)
    outside = tmp_path / "outside"
    outside.write_bytes(bytes(4096))
    (data / "cache").mkdir(exist_ok=True)
    (data / "cache" / "state").symlink_to(outside)
    with pytest.raises(OSError, match="symbolic"):
        SharedState(str(data), create=True)
    assert outside.read_bytes() == bytes(4096)


def _journalled(store: Store, title: str) -> None:
    """A commit that leaves a journal."""
    with store.transaction() as tx:
        revise(tx, "Chat", "chat-1", title=title)
        revise(tx, "Chat", "chat-2", title=title)


def _title(store: Store) -> str:
    found = store.get("Chat", "chat-1")
    assert found is not None
    return str(found.title)


def _killed(data: Path, title: str) -> tuple[int, int]:
    """Fork a process that opens the store and commits; it dies when the descriptor is closed."""
    told, tell = os.pipe()
    live, hold = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            os.close(hold)
            store = Store.open(data, layout())
            _journalled(store, title)
            store._last_commit = time.monotonic() + 3600
            os.write(tell, b"x")
            os.read(live, 1)
        finally:
            os._exit(9)
    os.close(live)
    os.close(tell)
    assert os.read(told, 1) == b"x"
    os.close(told)
    return pid, hold


@contextmanager
def another(data: Path, title: str) -> Iterator[None]:
    """Another process has the store open inside the block, has committed, and is killed at its end."""
    pid, hold = _killed(data, title)
    try:
        yield
    finally:
        os.close(hold)
        os.waitpid(pid, 0)


@pytest.fixture
def data(built: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(built, tmp_path / "data"))


class TestBelief:
    """The page is believed while a process has the store open, and no longer."""

    def test_it_is_while_another_process_has_the_store_open(self, data: Path) -> None:
        with another(data, "theirs"):
            journal = (data / JOURNAL).stat()
            with Store.open(data, layout(), lock_timeout=0) as store:
                assert _title(store) == "theirs"
                assert os.path.samestat((data / JOURNAL).stat(), journal), "there was nothing to recover"

    def test_it_is_not_when_the_last_one_was_killed(self, data: Path) -> None:
        with another(data, "theirs"):
            pass
        assert (data / JOURNAL).exists()
        with Store.open(data, layout()) as store:
            assert not (data / JOURNAL).exists(), "the store was recovered"
            assert _title(store) == "theirs"

    def test_one_that_was_killed_ends_it_for_no_other(self, data: Path) -> None:
        with another(data, "first"), another(data, "second"):
            pass
        with another(data, "third") as _, Store.open(data, layout()):
            with another(data, "fourth"):
                pass
            assert (data / JOURNAL).exists()
            with Store.open(data, layout()) as store:
                assert (data / JOURNAL).exists()
                assert _title(store) == "fourth"

    def test_whoever_opens_it_meanwhile_waits_for_no_writer(self, data: Path) -> None:
        with (
            Store.open(data, layout()) as store,
            store.transaction(),
            Store.open(data, layout(), lock_timeout=0) as other,
        ):
            assert _title(other) == "title"

    def test_files_that_have_come_back_are_recovered_although_the_page_knows_better(self, data: Path) -> None:
        """A disk that was pulled and put back: the same folder, on the same boot, with the journal synced and
        no other file."""
        logs = {log: log.read_bytes() for log in (data / "chats").glob("*.jsonl")}
        with another(data, "acknowledged"):
            page = (data / STATE).read_bytes()
        for log, content in logs.items():
            log.write_bytes(content)
        (data / STATE).write_bytes(page)
        with Store.open(data, layout()) as store:
            assert _title(store) == "acknowledged"

    def test_a_copy_of_an_open_store_is_recovered(self, data: Path) -> None:
        copies = [data.with_name("one"), data.with_name("other")]
        with another(data, "theirs"):
            for copy in copies:
                shutil.copytree(data, copy)
            with Store.open(copies[0], layout()) as store:
                assert not (copies[0] / JOURNAL).exists()
                assert _title(store) == "theirs"
                assert (data / JOURNAL).exists()
                # Nor while another copy is open.
                with Store.open(copies[1], layout()) as other:
                    assert not (copies[1] / JOURNAL).exists()
                    assert _title(other) == "theirs"

    def test_the_page_of_another_folder_is_not_believed(self, data: Path) -> None:
        """Put there while a process has the store open."""
        other = Path(shutil.copytree(data, data.with_name("other")))
        with Store.open(other, layout()), another(data, "theirs"):
            page = (other / STATE).read_bytes()
            (data / STATE).write_bytes(page)
            with closing(SharedState(str(data), create=False)) as state:
                assert not state.is_of_here
            with Store.open(data, layout()) as store:
                assert _title(store) == "theirs"

    def test_in_a_folder_that_gets_another_name_it_stays(self, data: Path) -> None:
        with another(data, "theirs"):
            renamed = data.rename(data.with_name("renamed"))
            with Store.open(renamed, layout()) as store:
                assert (renamed / JOURNAL).exists()
                assert _title(store) == "theirs"

    def test_a_child_that_lives_has_the_store_open(self, data: Path) -> None:
        """It shares the page with those who come: what was committed before it was forked is in there."""
        live, hold = os.pipe()
        told, tell = os.pipe()
        parent = os.fork()
        if not parent:
            try:
                store = Store.open(data, layout())
                _journalled(store, "of the parent")
                store._last_commit = time.monotonic() + 3600
                if os.fork():
                    os.read(told, 1)
                else:
                    os.close(hold)
                    os.write(tell, b"xx")
                    os.read(live, 1)
            finally:
                os._exit(9)
        os.close(live)
        os.waitpid(parent, 0)
        assert os.read(told, 1) == b"x"
        with Store.open(data, layout()) as store:
            assert (data / JOURNAL).exists()
            assert _title(store) == "of the parent"
        os.close(hold)
        os.close(told)
        os.close(tell)

    def test_many_that_come_and_go_at_once_lose_nothing(self, data: Path) -> None:
        """The first one is killed or not, and others come in just that moment."""
        with Store.open(data, layout()) as store:
            _journalled(store, "0")
        for number in range(20):
            pids = []
            for _ in range(4):
                pid = os.fork()
                if not pid:
                    status = 1
                    try:
                        store = Store.open(data, layout())
                        with store.transaction() as tx:
                            for name in ("chat-1", "chat-2"):
                                before = tx.get("Chat", name)
                                assert before is not None
                                revise(tx, "Chat", name, title=f"{int(before.title) + 1}")
                        if number % 2 and random.random() < 0.5:
                            store.close()
                        status = 0
                    finally:
                        os._exit(status)
                pids.append(pid)
            assert [os.waitpid(pid, 0)[1] for pid in pids] == [0] * 4
            with Store.open(data, layout()) as store:
                for name in ("chat-1", "chat-2"):
                    found = store.get("Chat", name)
                    assert found is not None
                    assert found.title == f"{4 * (number + 1)}"


class TestWithoutSuchLocks:
    """Where the kernel does not tell who has the store open, each that opens it recovers it."""

    @pytest.fixture(autouse=True)
    def kernel(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("F_OFD_GETLK", "F_OFD_SETLK"):
            monkeypatch.delattr(fcntl, name, raising=False)

    def test_those_that_have_it_open_go_on(self, data: Path) -> None:
        with Store.open(data, layout()) as one, another(data, "theirs"):
            assert _title(one) == "theirs"
            with Store.open(data, layout()) as two:
                assert not (data / JOURNAL).exists()
                for store, other in ((one, two), (two, one)):
                    title = f"of {id(store)}"
                    _journalled(store, title)
                    assert _title(store) == _title(other) == title
                    with store.transaction() as tx:
                        revise(tx, "Message", "m1", content=title)
                    found = other.get("Message", "m1")
                    assert found is not None
                    assert found.content == title

    def test_the_index_is_kept_after_it_was_closed_in_order(self, data: Path) -> None:
        for _ in range(2):
            with Store.open(data, layout()) as store:
                assert store.get("Message", "m1") is not None
            with closing(SharedState(str(data), create=False)) as state:
                assert state.is_index_whole
