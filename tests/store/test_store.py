"""The store as a whole: opening and closing, what happens to its folder meanwhile, forks, and other users."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from octavo.errors import ConflictError, DamagedError, UsageError
from octavo.store.store import Store
from small_store import build, erase, layout, message, revise, row, state_of, state_on_disk
from stores import Unsynced


@pytest.fixture
def data(tmp_path: Path) -> Path:
    build(tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture
def store(data: Path) -> Iterator[Store]:
    with Store.open(data, layout(), system=Unsynced()) as opened:
        yield opened


def title(store: Store, key: str = "chat-1") -> str:
    found = store.get("Chat", key)
    assert found is not None
    return str(found.title)


def elsewhere(data: Path, code: str) -> None:
    """Let another process do something in a transaction ``tx`` of the store."""
    program = f"""
from octavo.store.store import Store
from small_store import *
with Store.open({str(data)!r}, layout()) as store, store.transaction() as tx:
    {code}
"""
    subprocess.run([sys.executable, "-c", program], check=True, env=environment())


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])}


def test_a_folder_that_is_no_store_is_refused(tmp_path: Path, data: Path) -> None:
    with pytest.raises(UsageError, match="is no store"):
        Store.open(tmp_path / "nowhere", layout())
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="is no store"):
        Store.open(tmp_path / "empty", layout())
    shutil.rmtree(data / "personas")
    with pytest.raises(DamagedError, match="personas: the folder is missing"):
        Store.open(data, layout())


def test_a_folder_that_is_a_link_is_refused(data: Path, tmp_path: Path) -> None:
    (data / "chats").rename(tmp_path / "chats")
    (data / "chats").symlink_to(tmp_path / "chats")
    with pytest.raises(DamagedError, match="chats: is a symbolic link"):
        Store.open(data, layout())


def test_a_closed_store_does_nothing(data: Path) -> None:
    store = Store.open(data, layout())
    store.close()
    store.close()
    for act in (
        lambda: store.read(state_of),  # type: ignore[arg-type]
        lambda: store.get("Chat", "chat-1"),
        lambda: store.transaction().__enter__(),
    ):
        with pytest.raises(UsageError, match="closed"):
            act()


def test_a_transaction_that_raises_changes_nothing(store: Store, data: Path) -> None:
    before = state_on_disk(data)

    def broken() -> None:
        with store.transaction() as tx:
            erase(tx, "User", "user-1")
            assert not list(tx.rows("Message"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        broken()
    assert state_of(store) == before == state_on_disk(data)


def test_a_transaction_that_has_ended_is_of_no_use(store: Store) -> None:
    with store.transaction() as tx:
        pass
    with pytest.raises(UsageError, match="has ended"):
        tx.get("Chat", "chat-1")
    with pytest.raises(UsageError, match="has ended"):
        erase(tx, "Chat", "chat-1")


def test_a_transaction_cannot_begin_in_another(store: Store) -> None:
    with store.transaction() as tx:
        revise(tx, "Chat", "chat-1", title="one")
        with pytest.raises(UsageError, match="inside another"), store.transaction():
            pass
    assert title(store) == "one"


def test_what_another_process_commits_is_seen(store: Store, data: Path) -> None:
    assert title(store) != "theirs"
    elsewhere(data, "revise(tx, 'Chat', 'chat-1', title='theirs')")
    assert title(store) == "theirs"
    elsewhere(data, "erase(tx, 'Chat', 'chat-1')")
    assert store.get("Chat", "chat-1") is None
    assert store.get("Message", "m1") is None
    assert state_of(store) == state_on_disk(data)


def test_a_chat_that_another_process_made_anew_has_no_old_messages(store: Store, data: Path) -> None:
    assert len(store.read(lambda view: view.find("Message", ("chatId",), "chat-1"))) == 3
    elsewhere(data, "erase(tx, 'Chat', 'chat-1')")
    with store.transaction() as tx:
        tx.insert(
            [row("Chat", id="chat-1", userId="user-1", characterId="hero-1", connectionProfileId="profile-1")]
        )
        tx.insert([message(77)])
    there = store.read(lambda view: view.find("Message", ("chatId",), "chat-1"))
    assert [m.id for m in there] == ["m77"]
    assert state_of(store) == state_on_disk(data)


def test_messages_that_change_places_are_found_by_their_ids(store: Store) -> None:
    assert store.get("Message", "m0") is not None
    with store.transaction() as tx:
        revise(tx, "Message", "m0", chatId="chat-2")
        revise(tx, "Message", "m10", chatId="chat-1")
    assert [store.get("Message", key) is None for key in ("m0", "m1", "m10", "m11")] == [False] * 4
    with store.transaction() as tx:
        revise(tx, "Message", "m0", content="found")


class TestAnotherFolderInItsPlace:
    """Somebody moves folders about while the store is open."""

    def test_the_data_folder(self, store: Store, data: Path, tmp_path: Path) -> None:
        shutil.copytree(data, tmp_path / "other", ignore=shutil.ignore_patterns("cache"))
        data.rename(tmp_path / "old")
        (tmp_path / "other").rename(data)
        before = state_on_disk(data)
        with pytest.raises(ConflictError, match="replaced"), store.transaction() as tx:
            erase(tx, "Chat", "chat-1")
        with pytest.raises(ConflictError, match="replaced"):
            title(store)
        assert state_on_disk(data) == state_on_disk(tmp_path / "old") == before

    def test_one_of_its_folders(self, store: Store, data: Path, tmp_path: Path) -> None:
        """What is edited in the new one is seen from then on."""
        assert title(store)
        shutil.copytree(data / "chats", data / "chats.new")
        (data / "chats").rename(tmp_path / "chats.old")
        (data / "chats.new").rename(data / "chats")
        index = data / "chats" / "index.jsonl"
        for name in ("first", "second"):
            lines = index.read_text().splitlines()
            last = [line for line in lines if '"id":"chat-1"' in line][-1]
            before = title(store)
            index.write_text(
                "\n".join([*lines, last.replace(f'"title":"{before}"', f'"title":"{name}"'), ""])
            )
            assert title(store) == name

    def test_a_link_to_another_one(self, store: Store, data: Path, tmp_path: Path) -> None:
        """Nothing is read or written outside of the data folder."""
        assert title(store)
        (data / "chats").rename(tmp_path / "chats")
        (data / "chats").symlink_to(tmp_path / "chats")
        before = {p.name: p.read_bytes() for p in (tmp_path / "chats").iterdir()}
        with pytest.raises(DamagedError, match="chats: is a symbolic link"), store.transaction() as tx:
            revise(tx, "Chat", "chat-1", title="outside")
        with pytest.raises(DamagedError, match="chats: is a symbolic link"):
            title(store)
        assert {p.name: p.read_bytes() for p in (tmp_path / "chats").iterdir()} == before


def test_an_edit_of_what_a_transaction_has_read_is_a_conflict(store: Store, data: Path) -> None:
    """Even if another thread has taken notice of the edit before the transaction ends."""
    path = data / "tags" / "tags.json"

    def edited_meanwhile() -> None:
        with store.transaction() as tx:
            revise(tx, "Tag", "tag-1", name="of the transaction")
            text = path.read_text()
            assert text.count('"nameLower": "t1"') == 1
            path.write_text(text.replace('"nameLower": "t1"', '"nameLower": "edited"'))
            reader = threading.Thread(target=lambda: store.get("Tag", "tag-1"))
            reader.start()
            reader.join()

    with pytest.raises(ConflictError):
        edited_meanwhile()
    found = store.get("Tag", "tag-1")
    assert found is not None
    assert (found.nameLower, found.name) == ("edited", "name")


class TestFork:
    """A child of fork has a store of its own."""

    def test_parent_and_child_go_on(self, store: Store, data: Path) -> None:
        assert store.get("Message", "m0") is not None
        child = os.fork()
        if child == 0:
            try:
                with store.transaction() as tx:
                    revise(tx, "Chat", "chat-1", title="of the child")
                    revise(tx, "Message", "m0", content="of the child")
                os._exit(0)
            finally:
                os._exit(1)
        assert os.waitpid(child, 0)[1] == 0
        assert title(store) == "of the child"
        with store.transaction() as tx:
            revise(tx, "Chat", "chat-1", title="of the parent")
        assert state_of(store) == state_on_disk(data)

    def test_the_child_does_not_end_a_transaction_of_the_parent(self, store: Store, data: Path) -> None:
        child = -1
        try:
            with store.transaction() as tx:
                revise(tx, "Chat", "chat-1", title="of the parent")
                child = os.fork()
                if child:
                    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
                    assert b"of the parent" not in (data / "chats" / "index.jsonl").read_bytes()
        except UsageError:
            if child == 0:
                os._exit(7)
            raise
        finally:
            if child == 0:
                os._exit(1)
        assert title(store) == "of the parent"

    def test_a_child_does_not_keep_the_lock_of_a_parent_that_died(self, data: Path) -> None:
        program = f"""
import os, signal, sys, time
from octavo.store.store import Store
from small_store import *
store = Store.open({str(data)!r}, layout())
with store.transaction() as tx:
    if os.fork() == 0:
        os.close(1)
        time.sleep(600)
        os._exit(0)
    os.kill(os.getpid(), signal.SIGKILL)
"""
        with subprocess.Popen(
            [sys.executable, "-c", program], env=environment(), start_new_session=True
        ) as parent:
            assert parent.wait() != 0
            try:
                with Store.open(data, layout(), lock_timeout=5) as store, store.transaction() as tx:
                    revise(tx, "Chat", "chat-1", title="goes on")
            finally:
                os.killpg(parent.pid, 9)


@pytest.mark.skipif(os.getuid() != 0, reason="only the superuser can become somebody else")
class TestWhoMayOnlyRead:
    """Another user, who may read the files and not write them."""

    program = """
import hashlib, os, shutil, sys
import lmdb
from small_store import *
from octavo.errors import *
from octavo.store import locations, store, view
Store = store.Store
layout()
os.setgid(65534); os.setuid(65534)
with Store.open(sys.argv[1], layout()) as store:
    print(store.get("Chat", "chat-1").title, store.get("Message", "m0").id, flush=True)
    print(store.get("Message", "nowhere"), flush=True)
    try:
        with store.transaction() as tx:
            revise(tx, "Chat", "chat-1", title="x")
    except DiskError as error:
        print(error, flush=True)
    sys.stdin.readline()
    print(store.get("Chat", "chat-1").title, flush=True)
"""

    @pytest.fixture
    def readable(self, data: Path) -> Iterator[Path]:
        for path in [data, *data.rglob("*")]:
            path.chmod(0o755 if path.is_dir() else 0o644)
        above = [p for p in data.parents if p != Path("/") and not p.stat().st_mode & stat.S_IXOTH]
        for path in above:
            path.chmod(path.stat().st_mode | stat.S_IXOTH)
        yield data
        for path in above:
            path.chmod(path.stat().st_mode & ~stat.S_IXOTH)

    def test_reads_and_does_not_write(self, readable: Path) -> None:
        before = state_on_disk(readable)
        with subprocess.Popen(
            [sys.executable, "-c", self.program, str(readable)],
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as other:
            assert other.stdout is not None
            assert other.stdin is not None
            assert other.stdout.readline() == "title m0\n"
            assert other.stdout.readline() == "None\n"
            assert "cannot be written" in other.stdout.readline()
            assert state_on_disk(readable) == before
            with Store.open(readable, layout()) as store, store.transaction() as tx:
                revise(tx, "Chat", "chat-1", title="later")
            for path in readable.rglob("*"):
                path.chmod(0o755 if path.is_dir() else 0o644)
            other.stdin.write("\n")
            other.stdin.flush()
            assert other.stdout.readline() == "later\n"
