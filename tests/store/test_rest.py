"""A store that is held at rest: its writers wait, its journal is empty, and nothing committed is missing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from folders import records, tree
from octavo.errors import BusyError, DifferenceError, DiskError
from octavo.layout.load import frozen_layout
from octavo.store.journal import NAME, Entry, encode_entry
from octavo.store.offline import at_rest
from octavo.store.store import Store
from octavo.store.system import FileSystem
from strike import Moment, Struck, every, some

LAYOUT = frozen_layout()


@pytest.fixture
def data(exported: Path, tmp_path: Path) -> Path:
    """A data folder of its own, with the sample data."""
    return Path(shutil.copytree(exported, tmp_path / "data"))


def add(store: Store, *ids: str) -> None:
    """Commit some messages at once: of more than one, by way of the journal."""
    with store.transaction() as tx:
        first: Any = next(tx.rows("Message"))
        tx.insert([msgspec.structs.replace(first, id=identifier) for identifier in ids])


def messages(data: Path) -> set[str]:
    """The ids of all messages, as they stand in the files."""
    return {
        line["id"]
        for log in (data / "chats").glob("*-*.jsonl")
        for line in records(data, f"chats/{log.name}")
    }


class Dying(FileSystem):
    """Kills its process when it is to write for the second time."""

    def __init__(self) -> None:
        self.writes = 0

    def write(self, descriptor: int, data: bytes | memoryview, at: int) -> int:
        self.writes += 1
        return os._exit(9) if self.writes == 2 else super().write(descriptor, data, at)


def in_a_process(code: str, data: Path, system: str = "FileSystem") -> subprocess.Popen[str]:
    """Runs code with ``store`` open in a process of its own, which changes the disk by this class."""
    begin = (
        "import os, sys; from test_rest import *\n"
        f"store = Store.open(sys.argv[1], LAYOUT, system={system}())\n"
    )
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    return subprocess.Popen(
        [sys.executable, "-c", begin + code, str(data)],
        stdout=subprocess.PIPE,
        stdin=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )


def test_writers_wait_until_it_ends(data: Path) -> None:
    with Store.open(data, LAYOUT) as store:
        mine = rf"process {os.getpid()} .*; waited 0.05 s"
        with at_rest(data), pytest.raises(BusyError, match=mine), store.transaction(timeout=0.05):
            pass
        add(store, "afterwards")
    assert "afterwards" in messages(data)


def test_it_waits_for_a_writer_and_names_it(data: Path) -> None:
    with in_a_process("with store.transaction():\n print('in', flush=True); sys.stdin.read()", data) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "in\n"
        with (
            pytest.raises(BusyError, match=rf"process {other.pid} .*; waited 0.05 s"),
            at_rest(data, timeout=0.05),
        ):
            pass
        other.communicate("")
    with at_rest(data):
        pass


def test_what_is_in_the_journal_is_brought_into_the_files(data: Path) -> None:
    with Store.open(data, LAYOUT) as store:
        add(store, "one", "other")
        assert (data / NAME).exists()
        with at_rest(data):
            assert os.listdir(data / "journal") == []
            assert {"one", "other"} <= messages(data)
        add(store, "a third", "a fourth")
        assert store.read(lambda view: view.get("Message", "a third")) is not None
    assert {"one", "other", "a third", "a fourth"} <= messages(data)


@pytest.mark.parametrize("page", ["as it was left", "of another boot", "gone"])
def test_a_killed_writer_is_recovered_from(data: Path, page: str) -> None:
    """It had written the journal, and nothing of that into the files."""
    before = messages(data)
    with in_a_process("add(store, 'one', 'other')", data, "Dying") as other:
        assert other.wait() == 9
    assert (data / NAME).exists()
    assert messages(data) == before
    if page == "gone":
        (data / "cache" / "state").unlink()
    elif page == "of another boot":
        words = bytearray((data / "cache" / "state").read_bytes())
        words[8:16] = bytes(8)
        (data / "cache" / "state").write_bytes(words)
    with at_rest(data):
        assert os.listdir(data / "journal") == []
        assert messages(data) == before | {"one", "other"}
    with Store.open(data, LAYOUT) as store:
        assert store.read(lambda view: view.count("Message")) == len(before) + 2


def test_one_killed_with_its_commit_done_is_too(data: Path) -> None:
    with in_a_process("add(store, 'one', 'other'); os._exit(9)", data) as other:
        assert other.wait() == 9
    assert (data / NAME).exists()
    with at_rest(data):
        assert os.listdir(data / "journal") == []
        assert {"one", "other"} <= messages(data)


REST = """
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from octavo.store.offline import at_rest
with at_rest(Path(sys.argv[1])):
    pass
"""
LEFT = {
    "nothing done": ("add(store, 'one', 'other')", "Dying"),
    "all done": ("add(store, 'one', 'other'); os._exit(9)", "FileSystem"),
}
"""how an application was killed whose commit had been written to the journal"""


def interrupted(
    data: Path, tmp_path: Path, left: str, choose: Callable[[dict[str, int]], Iterable[Moment]]
) -> None:
    """Whatever becomes of the emptying of a journal, the store holds what was committed."""
    code, system = LEFT[left]
    with in_a_process(code, data, system) as other:
        assert other.wait() == 9
    expected = messages(data) | {"one", "other"}
    copy = tmp_path / "copy"
    struck = Struck(REST, copy)
    shutil.copytree(data, copy)
    moments = list(choose(struck.count(tmp_path / "log", ("pwrite64", "fdatasync", "unlink"))))
    assert {call for call, _ in moments} >= {"fdatasync", "unlink"}
    for moment in moments:
        for strike in (struck.kill, lambda moment: struck.fail(moment, "EIO")):
            shutil.rmtree(copy)
            shutil.copytree(data, copy)
            strike(moment)
            with Store.open(copy, LAYOUT) as store:
                rows: list[Any] = store.read(lambda view: list(view.rows("Message")))
                assert {row.id for row in rows} == expected, moment
            assert messages(copy) == expected, moment


@pytest.mark.skipif(not shutil.which("strace"), reason="needs strace")
@pytest.mark.parametrize("left", LEFT)
def test_interrupted_at_some_calls(data: Path, tmp_path: Path, left: str) -> None:
    interrupted(data, tmp_path, left, some)


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("strace"), reason="needs strace")
@pytest.mark.parametrize("left", LEFT)
def test_interrupted_at_every_call(data: Path, tmp_path: Path, left: str) -> None:
    interrupted(data, tmp_path, left, every)


def damaged(data: Path) -> str:
    (data / NAME).write_bytes(encode_entry(Entry(1))[:-9] + b"\n" + encode_entry(Entry(2)))
    return "an entry is broken"


def in_doubt(data: Path) -> str:
    (data / NAME).write_bytes(encode_entry(Entry(1, note={"xid": "7"})))
    return "is in doubt"


def unknown(data: Path) -> str:
    (data / "journal" / "changes.bin").write_bytes(b"of a newer version")
    return "unexpected file journal/changes.bin"


@pytest.mark.parametrize("spoil", [damaged, in_doubt, unknown])
def test_a_journal_that_cannot_be_emptied_refuses_and_is_left(data: Path, spoil: Any) -> None:
    reason = spoil(data)
    before = tree(data, cache=True)
    with pytest.raises(DifferenceError, match=reason) as caught, at_rest(data):
        raise AssertionError("not reached")
    assert "move the folder away" in caught.value.hint
    assert tree(data, cache=True) == before
    # The lock was given back.
    with pytest.raises(DifferenceError), at_rest(data, timeout=0):
        pass


def test_a_folder_that_is_no_store_will_do(tmp_path: Path) -> None:
    (tmp_path / "note").write_text("mine")
    with at_rest(tmp_path), pytest.raises(BusyError), at_rest(tmp_path, timeout=0.01):
        pass
    assert sorted(os.listdir(tmp_path)) == ["cache", "note"]


def test_nothing_is_made_where_there_is_no_folder(tmp_path: Path) -> None:
    with pytest.raises(DiskError, match="No such file"), at_rest(tmp_path / "data"):
        pass
    assert os.listdir(tmp_path) == []
