"""Replacing a store that applications have open: no commit that was acknowledged is lost."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from command import octavo
from folders import beside, records, tree
from octavo.errors import BusyError, ReplacedError
from octavo.fold.export import ExportOptions, ExportReport, export
from octavo.inspect.progress import SILENT, Progress
from octavo.layout.load import frozen_layout
from octavo.store.journal import NAME, Entry, encode_entry
from octavo.store.store import Store
from octavo.store.view import View
from octavo.url import DatabaseUrl

LAYOUT = frozen_layout()
APPLICATION = """
import sys, itertools, msgspec
from octavo.errors import OctavoError
from octavo.layout.load import frozen_layout
from octavo.store.store import Store
data, name, durability = sys.argv[1:]
with Store.open(data, frozen_layout(), durability=durability) as store:
    message = store.read(lambda view: next(view.rows("Message")))
    for number in itertools.count():
        # One line goes into its log by itself; several changes go by way of the journal.
        ids = [f"{name}-{number}-{n}" for n in range(1 + number % 2)]
        try:
            with store.transaction() as tx:
                tx.insert([msgspec.structs.replace(message, id=one) for one in ids])
        except OctavoError as error:
            print("refused", type(error).__name__, flush=True)
            break
        print("committed", *ids, flush=True)
"""


class Application:
    """A process that commits one message after the other until it is refused."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        self.process = process
        self.lines = [process.stdout.readline()]

    def end(self) -> str:
        """Wait until it is refused.  Gives by which error."""
        self.lines += self.process.communicate()[0].splitlines()
        return self.lines[-1].removeprefix("refused ")

    @property
    def acknowledged(self) -> set[str]:
        """The messages of all transactions whose block ended without an error."""
        return {one for line in self.lines[:-1] for one in line.split()[1:]}


@contextmanager
def applications(data: Path, number: int, durability: str) -> Iterator[list[Application]]:
    """Some of them, each of which has committed by now."""
    with ExitStack() as stack:
        processes = []
        for n in range(number):
            command = [sys.executable, "-c", APPLICATION, str(data), f"app{n}", durability]
            processes.append(
                stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
            )
            stack.callback(processes[-1].kill)
        yield [Application(process) for process in processes]


def messages(data: Path) -> set[str]:
    """The ids of all messages, as they stand in the files."""
    logs = (path for path in (data / "chats").iterdir() if path.stem != "index")
    return {one["id"] for log in logs for one in records(data, f"chats/{log.name}")}


def held(view: View) -> set[str]:
    """The ids of all messages, as the store has them."""
    rows: Iterator[Any] = view.rows("Message")
    return {row.id for row in rows}


def replaced_under_way(url: str, files_root: Path, data: Path, durability: str) -> None:
    exported = tree(data)
    with applications(data, 2, durability) as running:
        done = octavo(
            *("export", "--replace", "--json", "--data-dir", data, "--files-root", files_root),
            DATABASE_URL=url,
        )
        assert done.code == 0, done.err
        assert [application.end() for application in running] == ["ReplacedError"] * 2
    kept = Path(done.answer["replaced"])
    assert list(beside(data)) == [kept.name]
    acknowledged = running[0].acknowledged | running[1].acknowledged
    assert len(acknowledged) >= 2
    assert messages(kept) == acknowledged | messages(data)
    assert tree(data) == exported
    assert os.listdir(kept / "journal") == []
    with Store.open(kept, LAYOUT) as store:
        assert store.read(held) == messages(kept)


@pytest.mark.parametrize("durability", ["full", "batched"])
def test_no_commit_is_lost(
    sample_database: str, sample: tuple[str, Path], data: Path, durability: str
) -> None:
    replaced_under_way(sample_database, sample[1], data, durability)


@pytest.mark.slow
@pytest.mark.parametrize("durability", ["full", "batched"])
@pytest.mark.parametrize("_again", range(20))
def test_no_commit_is_ever_lost(
    sample_database: str, sample: tuple[str, Path], data: Path, durability: str, _again: int
) -> None:
    replaced_under_way(sample_database, sample[1], data, durability)


class Again:
    """Exports once more in the place of the store."""

    def __init__(self, url: str, files_root: Path, data: Path) -> None:
        self.url, self.files_root, self.data = DatabaseUrl.parse(url), files_root, data

    def __call__(self, lock_timeout: float = 30, progress: Progress = SILENT) -> ExportReport:
        options = ExportOptions(self.files_root, replace=True, lock_timeout=lock_timeout)
        return export(self.url, self.data, LAYOUT, options, progress)


@pytest.fixture
def again(sample_database: str, sample: tuple[str, Path], data: Path) -> Again:
    return Again(sample_database, sample[1], data)


def rename(store: Store, name: str) -> None:
    """Give a tag another name."""
    with store.transaction() as tx:
        tag: Any = next(tx.rows("Tag"))
        tx.update([(tag, msgspec.structs.replace(tag, name=name))])


def test_whoever_has_it_open_is_told(again: Again, data: Path) -> None:
    with Store.open(data, LAYOUT) as store:
        rename(store, "before")
        again()
        with pytest.raises(ReplacedError, match="was replaced by another one"):
            store.read(lambda view: view.count("Tag"))
        with pytest.raises(ReplacedError, match="was replaced by another one"):
            rename(store, "after")
    with Store.open(data, LAYOUT) as store:
        rename(store, "at last")
    assert "at last" in (data / "tags/tags.json").read_text()


def test_a_store_that_is_being_written_to_refuses_and_names_who_does(again: Again, data: Path) -> None:
    with Store.open(data, LAYOUT) as store:
        with store.transaction() as tx:
            tag: Any = next(tx.rows("Tag"))
            tx.update([(tag, msgspec.structs.replace(tag, name="kept"))])
            before = tree(data, cache=True)
            with pytest.raises(BusyError, match=rf"process {os.getpid()} .*; waited 0.05 s"):
                again(0.05)
            assert tree(data, cache=True) == before
            assert list(beside(data)) == []
        report = again()
    assert report.kept is not None
    assert "kept" in (report.kept / "tags/tags.json").read_text()


def test_so_does_one_that_is_when_the_export_has_been_made(again: Again, data: Path) -> None:
    with ExitStack() as writing:

        class Begin(Progress):
            def begin(self, phase: str, total: int, unit: str = "rows") -> None:
                if phase == "sync":
                    store = writing.enter_context(Store.open(data, LAYOUT))
                    rename(store, "meanwhile")
                    writing.enter_context(store.transaction())

        with pytest.raises(BusyError):
            again(0.05, Begin())
        assert "meanwhile" in (data / "tags/tags.json").read_text()
        assert list(beside(data)) == []


def test_what_was_committed_while_the_export_was_made_is_kept(again: Again, data: Path) -> None:
    class Commit(Progress):
        def begin(self, phase: str, total: int, unit: str = "rows") -> None:
            if phase == "sync":
                with Store.open(data, LAYOUT) as store:
                    rename(store, "meanwhile")

    report = again(progress=Commit())
    assert report.kept is not None
    assert "meanwhile" in (report.kept / "tags/tags.json").read_text()
    assert "meanwhile" not in (data / "tags/tags.json").read_text()


def test_what_is_in_doubt_refuses(sample_database: str, sample: tuple[str, Path], data: Path) -> None:
    """A transaction of which only another database can tell whether it counts."""
    note = {"xid": "7", "system": "1", "database": "elsewhere", "model": "Tag", "key": '["t"]', "is": "there"}
    (data / NAME).write_bytes(encode_entry(Entry(1, note=note)))
    before = tree(data, cache=True)
    done = octavo(
        *("export", "--replace", "--data-dir", data, "--files-root", sample[1]), DATABASE_URL=sample_database
    )
    assert done.code == 1
    assert "cannot be brought into its files" in done.err
    assert "move the folder away" in done.err
    assert tree(data, cache=True) == before
    assert list(beside(data)) == []


def test_the_new_store_begins_without_what_spoke_of_the_old(again: Again, data: Path) -> None:
    with Store.open(data, LAYOUT) as store:
        message: Any = store.read(lambda view: next(view.rows("Message")))
        assert store.read(lambda view: view.get("Message", message.id)) == message
    (data / "cache" / "baseline").write_text("of earlier")
    before = set(os.listdir(data / "cache"))
    again()
    assert {"state", "index"} < before
    assert set(os.listdir(data / "cache")) == {"baseline", "seed.json", "origin.json"}
