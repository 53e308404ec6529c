"""Processes share one export, a part each: the files are those of one export alone, or none."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from command import octavo
from folders import beside, tree
from octavo.errors import ConflictError, OctavoError, UsageError
from octavo.fold import export as export_module
from octavo.fold import sharing
from octavo.fold.export import ExportOptions, ExportReport, export
from octavo.fold.parts import Part
from octavo.fold.writer import Writer
from octavo.layout.layout import Layout
from octavo.layout.load import flat_layout, frozen_layout
from octavo.postgres.connection import connect
from octavo.url import DatabaseUrl

KILLED = """
import os, signal, sys, time
from pathlib import Path
from octavo.fold import export as module
from octavo.fold.parts import Part
from octavo.fold.writer import Writer
from octavo.layout.load import frozen_layout
from octavo.url import DatabaseUrl
url, target, files_root, part, left = sys.argv[1:]
module._WORTH_SLICING = 1
write, left = Writer.write, int(left)
def counted(self, connection, task):
    global left
    written = write(self, connection, task)
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return written
Writer.write = counted
options = module.ExportOptions(Path(files_root), 1, part=Part.parse(part))
module.export(DatabaseUrl.parse(url), Path(target), frozen_layout(), options)
"""
"""a part that is killed when it has written so many tasks"""


class World:
    """One database, and the folder into which parts of it are exported."""

    def __init__(self, url: str, target: Path, files_root: Path) -> None:
        self.url, self.target, self.files_root = url, target, files_root
        self.told: list[str] = []
        self.pool = ThreadPoolExecutor(8)

    def run(self, part: str, layout: Layout | None = None, url: str = "", **options: Any) -> ExportReport:
        chosen = ExportOptions(self.files_root, 1, part=Part.parse(part), tell=self.told.append, **options)
        parsed = DatabaseUrl.parse(url or self.url)
        return export(parsed, self.target, layout or frozen_layout(), chosen)

    def start(self, part: str, **options: Any) -> Future[ExportReport]:
        return self.pool.submit(self.run, part, **options)

    def holding(self, part: str, **options: Any) -> Future[ExportReport]:
        """Start a part that is the first, and that others can join from now on."""
        started = self.start(part, **options)
        self.until(lambda: self.facts.exists() or started.done())
        return started

    def killed(self, part: str, after: int) -> None:
        """Run a part that is killed."""
        arguments = [self.url, str(self.target), str(self.files_root), part, str(after)]
        assert subprocess.run([sys.executable, "-c", KILLED, *arguments], check=False).returncode == -9

    @property
    def facts(self) -> Path:
        return self.target.with_name(f".{self.target.name}.octavo-parts") / "export.json"

    def until(self, condition: Callable[[], object]) -> None:
        end = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < end
            time.sleep(0.02)

    def is_whole(self, exported: Path) -> None:
        assert tree(self.target) == tree(exported)
        assert list(beside(self.target)) == []


@pytest.fixture
def world(
    sample_database: str, sample: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[World]:
    monkeypatch.setattr(export_module, "_WORTH_SLICING", 1)
    (tmp_path / "root").mkdir()
    made = World(sample_database, tmp_path / "root" / "data", sample[1])
    with made.pool:
        yield made


@pytest.mark.parametrize("order", ["123", "321"])
def test_all_parts_in_any_order_give_what_one_export_gives(world: World, exported: Path, order: str) -> None:
    first, *others = [f"{number}/3" for number in order]
    holding = world.holding(first)
    reports = [world.run(part) for part in others]
    whole = holding.result()
    world.is_whole(exported)
    assert [str(report.left_to) for report in reports] == [first, first]
    assert whole.left_to is None
    assert whole.counts["Message"] == 150
    assert whole.payloads > 0
    assert whole.files > sum(report.files for report in reports) > 0


def test_parts_that_begin_at_once_agree_on_one_that_holds_the_snapshot(world: World, exported: Path) -> None:
    reports = [started.result() for started in [world.start(f"{n}/4") for n in (1, 2, 3, 4)]]
    world.is_whole(exported)
    assert sum(report.left_to is None for report in reports) == 1


def test_all_parts_read_the_first_ones_snapshot(world: World, exported: Path) -> None:
    holding = world.holding("1/2")
    with connect(world.url) as connection:
        connection.execute("UPDATE messages SET content = 'later'")
        connection.execute("UPDATE tags SET name = name || ' later'")
    world.run("2/2")
    holding.result()
    world.is_whole(exported)


def test_a_missing_part_is_named_and_waited_for(world: World, exported: Path) -> None:
    holding = world.holding("3/3")
    world.run("1/3")
    world.until(lambda: any(text.endswith(": 2/3") for text in world.told))
    assert not world.target.exists()
    world.run("2/3")
    holding.result()
    world.is_whole(exported)


class TestRefused:
    @pytest.fixture
    def holding(self, world: World, exported: Path) -> Iterator[None]:
        """An export of two parts that goes well, whatever tries to join it."""
        holding = world.holding("1/2")
        yield
        world.run("2/2")
        holding.result()
        world.is_whole(exported)

    @pytest.mark.usefixtures("holding")
    def test_the_same_part_twice(self, world: World) -> None:
        with pytest.raises(UsageError, match="1/2 is running already"):
            world.run("1/2")

    def test_a_part_that_is_written(self, world: World) -> None:
        holding = world.holding("1/3")
        world.run("2/3")
        with pytest.raises(UsageError, match="2/3 is written already"):
            world.run("2/3")
        world.run("3/3")
        holding.result()

    @pytest.mark.usefixtures("holding")
    def test_another_number_of_parts(self, world: World) -> None:
        with pytest.raises(UsageError, match="3/3 cannot join: the export under way has 2 parts"):
            world.run("3/3")

    @pytest.mark.usefixtures("holding")
    def test_another_layout(self, world: World) -> None:
        with pytest.raises(UsageError, match=r"2/2 cannot join: .*another layout"):
            world.run("2/2", flat_layout(frozen_layout().datamodel))

    @pytest.mark.usefixtures("holding")
    def test_another_database(
        self, world: World, new_database: Callable[..., str], sample: tuple[str, Path]
    ) -> None:
        other = new_database(sample[0])
        with pytest.raises(UsageError, match="2/2 cannot join: it reads the database test_"):
            world.run("2/2", url=other)

    @pytest.mark.parametrize("change", [("{", "["), ('"building":"', '"building":"../'), ('"of"', '"off"')])
    def test_facts_that_no_part_can_have_written(
        self, world: World, exported: Path, change: tuple[str, str]
    ) -> None:
        holding = world.holding("1/2")
        written = world.facts.read_text()
        world.facts.write_text(written.replace(*change, 1))
        with pytest.raises(UsageError, match=r"export.json cannot be read"):
            world.run("2/2")
        world.facts.write_text(written)
        world.run("2/2")
        holding.result()
        world.is_whole(exported)

    def test_a_dry_run(self, world: World) -> None:
        with pytest.raises(UsageError, match="dry run"):
            world.run("1/2", dry_run=True)
        assert list(beside(world.target)) == []

    def test_a_store_stands_there(self, world: World, exported: Path) -> None:
        shutil.copytree(exported, world.target)
        with pytest.raises(UsageError, match="already holds a store"):
            world.run("1/2")
        world.is_whole(exported)

    def test_no_part_by_that_name(self, world: World) -> None:
        done = octavo("export", "--part", "0/2", "--database-url", world.url, "--data-dir", world.target)
        assert done.code == 2
        assert "not a part" in done.err


@pytest.mark.parametrize("after", [1, 3, 5])
def test_a_killed_part_is_run_again(world: World, exported: Path, after: int) -> None:
    holding = world.holding("2/2")
    world.killed("1/2", after)
    assert not world.target.exists()
    world.run("1/2")
    holding.result()
    world.is_whole(exported)


def test_all_parts_are_started_anew_after_the_one_that_held_the_snapshot_was_killed(
    world: World, exported: Path
) -> None:
    world.killed("1/3", 2)
    reports = [started.result() for started in [world.start(f"{n}/3") for n in (1, 2, 3)]]
    assert sum(report.left_to is None for report in reports) == 1
    assert "part 1/3, which held the snapshot, has ended: the export begins anew" in world.told
    world.is_whole(exported)


def test_the_first_part_gives_up_when_no_other_runs_for_its_patience(world: World) -> None:
    with pytest.raises(ConflictError, match=r"part 2/3 gives up: for 0.5 seconds.*\(missing: 1/3, 3/3\)"):
        world.run("2/3", patience=0.5)
    assert list(beside(world.target)) == []
    assert not world.target.exists()


def test_folders_made_for_the_target_to_lie_in_are_removed_again(world: World) -> None:
    above = world.target.parent / "above"
    world.target = above / "it" / "data"
    with pytest.raises(ConflictError, match="gives up"):
        world.run("2/3", patience=0)
    assert not above.exists()


def test_a_part_that_runs_is_waited_for_beyond_all_patience(
    world: World, exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    holding = world.holding("1/2", patience=0.2)
    write = Writer.write

    def slow(self: Writer, connection: Any, task: Any) -> Any:
        time.sleep(0.1)
        return write(self, connection, task)

    monkeypatch.setattr(Writer, "write", slow)
    world.run("2/2")
    holding.result()
    world.is_whole(exported)


def test_a_part_that_comes_when_the_store_is_put_in_place_is_refused(world: World, exported: Path) -> None:
    ending = sharing._hold(world.facts.parent, [])
    assert ending is not None
    late = world.start("1/2")
    time.sleep(0.3)
    shutil.copytree(exported, world.target)
    ending.close()
    with pytest.raises(UsageError, match="already holds a store"):
        late.result()
    world.is_whole(exported)


def test_a_part_that_comes_again_as_the_export_ends_does_not_join_it(
    world: World, exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock_of, outcome, here, joining = (
        sharing._lock_of,
        sharing._outcome,
        threading.get_ident(),
        threading.Event(),
    )

    def unseen(*about: Any) -> Any:
        return outcome(*about) if joining.is_set() or threading.get_ident() == here else None

    def late(*about: Any) -> Any:
        if threading.get_ident() == here:
            joining.set()
            world.until(lambda: not world.facts.parent.exists())
        return lock_of(*about)

    monkeypatch.setattr(sharing, "_outcome", unseen)
    holding = world.holding("1/2")
    world.run("2/2")
    monkeypatch.setattr(sharing, "_lock_of", late)
    with pytest.raises(UsageError, match="already holds a store"):
        world.run("2/2")
    holding.result()
    world.is_whole(exported)


def test_an_export_without_parts_removes_what_a_killed_one_has_left(world: World, exported: Path) -> None:
    world.killed("1/2", 1)
    assert world.facts.exists()
    export(DatabaseUrl.parse(world.url), world.target, frozen_layout(), ExportOptions(world.files_root, 1))
    world.is_whole(exported)


def test_an_export_without_parts_leaves_those_that_run_alone(world: World, exported: Path) -> None:
    holding = world.holding("1/2", replace=True)
    export(DatabaseUrl.parse(world.url), world.target, frozen_layout(), ExportOptions(world.files_root, 1))
    world.run("2/2", replace=True)
    assert holding.result().kept is not None
    assert tree(world.target) == tree(exported)


def test_a_part_tells_that_the_one_that_held_the_snapshot_has_failed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, failing, beginning = Writer.write, threading.Event(), threading.Event()

    def fails_or_waits(self: Writer, connection: Any, task: Any) -> Any:
        if not beginning.is_set():
            beginning.set()
            failing.wait(60)
            raise OSError(5, "the disk is gone")
        world.until(lambda: not world.facts.exists())
        return write(self, connection, task)

    monkeypatch.setattr(Writer, "write", fails_or_waits)
    holding = world.holding("1/2")
    world.until(beginning.is_set)
    other = world.start("2/2")
    time.sleep(0.5)
    failing.set()
    with pytest.raises(OctavoError, match="the disk is gone"):
        holding.result()
    with pytest.raises(ConflictError, match="part 1/2, which held the snapshot, has ended"):
        other.result()
    assert not world.target.exists()


def test_replacing_by_parts_keeps_the_old_store(world: World, exported: Path) -> None:
    shutil.copytree(exported, world.target)
    (world.target / "auth" / "sessions.jsonl").write_text("of the old one")
    holding = world.holding("1/2", replace=True)
    world.run("2/2", replace=True)
    kept = holding.result().kept
    assert kept is not None
    assert (kept / "auth" / "sessions.jsonl").read_text() == "of the old one"
    assert tree(world.target) == tree(exported)


def test_the_command_says_what_part_it_wrote(world: World) -> None:
    where = ("--database-url", world.url, "--data-dir", world.target, "--files-root", world.files_root)
    holding = world.holding("1/2")
    answer = octavo("export", "--part", "2/2", *where, "--json").answer
    assert (answer["part"], answer["whole"]) == ("2/2", False)
    assert re.fullmatch(r"\d+", str(answer["files"]))
    holding.result()
