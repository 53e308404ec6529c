"""The paths that ARCHITECTURE.md describes are the paths that the code takes."""

from __future__ import annotations

import re
import shutil
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import octavo
from octavo import connect
from octavo.fold.export import ExportOptions, export
from octavo.layout.load import frozen_layout
from octavo.move.verify import VerifyOptions, verify
from octavo.url import DatabaseUrl

PAGE = Path(__file__).parents[2] / "ARCHITECTURE.md"
SOURCES = Path(octavo.__file__).parent
REFERENCE = re.compile(r"`([a-z_/]+\.py): ([A-Za-z_.]+)`")


def sections() -> dict[str, list[tuple[str, str]]]:
    """The functions that each numbered path of the page names, in its order, by the path's heading."""
    parts = re.split(r"^### (.+)$", PAGE.read_text("utf-8"), flags=re.MULTILINE)
    return {
        heading: [(file, name) for file, name in REFERENCE.findall(text.partition("\n## ")[0])]
        for heading, text in zip(parts[1::2], parts[2::2], strict=True)
    }


def passed(work: Callable[[], object]) -> list[tuple[str, str]]:
    """The functions of Octavo that are called, in any thread, each where it is called first."""
    found: dict[tuple[str, str], None] = {}

    def note(frame: FrameType, event: str, _: Any) -> None:
        if event == "call":
            path = Path(frame.f_code.co_filename)
            if path.is_relative_to(SOURCES):
                found[str(path.relative_to(SOURCES)), frame.f_code.co_qualname] = None

    threading.setprofile(note)
    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return list(found)


def write_to(db: Any, chat: str) -> None:
    db.message.create(data={"chatId": chat, "role": "USER", "content": "hello"})


class World:
    """Sample data on both sides."""

    def __init__(self, url: str, data: Path, files_root: Path) -> None:
        self.url, self.data, self.files_root = url, data, files_root

    def query(self) -> list[tuple[str, str]]:
        with connect("json", data_dir=self.data) as db:
            where: Any = {"title": {"contains": "a"}}
            return passed(lambda: db.chat.find_many(where=where, include={"user": True}))

    def commit(self) -> list[tuple[str, str]]:
        with connect("json", data_dir=self.data) as db:
            chat = db.chat.find_first()
            assert chat is not None
            return passed(lambda: write_to(db, chat.id))

    def recovery(self) -> list[tuple[str, str]]:
        crashed = self.data.with_name("crashed")
        with connect("json", data_dir=self.data) as db:
            chats = db.chat.find_many(take=2)
            with db.tx() as tx:
                for chat in chats:
                    write_to(tx, chat.id)
            shutil.copytree(self.data, crashed)
        assert any((crashed / "journal").iterdir())
        return passed(lambda: connect("json", data_dir=crashed).close())

    def export(self) -> list[tuple[str, str]]:
        url, target = DatabaseUrl.parse(self.url), self.data.with_name("exported")
        return passed(lambda: export(url, target, frozen_layout(), ExportOptions(self.files_root, jobs=1)))

    def verify(self) -> list[tuple[str, str]]:
        url, options = DatabaseUrl.parse(self.url), VerifyOptions(self.files_root, jobs=1)
        return passed(lambda: verify(url, self.data, frozen_layout(), options))

    def dual(self) -> list[tuple[str, str]]:
        with connect("dual", data_dir=self.data, database_url=self.url, files_root=self.files_root) as db:
            chat = db.chat.find_first()
            assert chat is not None
            return passed(lambda: write_to(db, chat.id))


PATHS = {
    "A query": World.query,
    "A commit": World.commit,
    "A recovery": World.recovery,
    "A row of an export": World.export,
    "A row of a verification": World.verify,
    "A write in dual": World.dual,
}


def test_the_page_has_these_paths() -> None:
    assert list(sections()) == list(PATHS)


@pytest.mark.parametrize("heading", PATHS)
def test_the_path_is_the_one_that_the_code_takes(
    heading: str, sample_database: str, sample: tuple[str, Path], exported: Path, tmp_path: Path
) -> None:
    world = World(sample_database, Path(shutil.copytree(exported, tmp_path / "data")), sample[1])
    taken = PATHS[heading](world)
    named = sections()[heading]
    assert len(named) >= 4
    assert [step for step in named if step not in taken] == []
    order = [taken.index(step) for step in named]
    assert order == sorted(order), [named[order.index(n)] for n in sorted(order)]
