"""Whatever stands in the place of the journal, or of a file of records: every caller gets a typed error."""

from __future__ import annotations

import os
import resource
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import octavo as octavo_package
from command import octavo
from octavo.errors import OctavoError
from privileges import without_privileges

MEMORY = 1 << 30
"""bytes that a caller may take more than it has already"""
TERABYTE = 1 << 40
JOURNAL = "journal/changes.jsonl"


@pytest.fixture
def data(exported: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(exported, tmp_path / "data"))


def in_place_of_the_journal(make: Callable[[Path], object]) -> Callable[[Path], None]:
    def spoil(data: Path) -> None:
        shutil.rmtree(data / "journal")
        make(data / "journal")

    return spoil


def sparse(path: Path) -> None:
    """Make a file larger than any memory, which takes no disk."""
    with open(path, "ab") as file:
        file.truncate(TERABYTE)


def sparse_in_between(path: Path) -> None:
    sparse(path)
    with open(path, "ab") as file:
        file.write(b"\n")


def first(data: Path, pattern: str) -> Path:
    return min(path for path in data.glob(pattern) if path.stem != "index")


SPOILT: dict[str, Callable[[Path], object]] = {
    "a journal that cannot be entered": lambda d: (d / "journal").chmod(0o000),
    "a journal that cannot be read": lambda d: os.close(os.open(d / JOURNAL, os.O_CREAT, 0)),
    "a file in the place of the journal's folder": in_place_of_the_journal(Path.touch),
    "a link in the place of the journal's folder": in_place_of_the_journal(lambda p: p.symlink_to("/tmp")),
    "a folder in the place of the journal": lambda d: (d / JOURNAL).mkdir(),
    "a pipe in the place of the journal": lambda d: os.mkfifo(d / JOURNAL),
    "a link in the place of the journal": lambda d: (d / JOURNAL).symlink_to("/dev/zero"),
    "a sparse journal": lambda d: sparse(d / JOURNAL),
    "a journal with a hole": lambda d: sparse_in_between(d / JOURNAL),
    "a sparse log": lambda d: sparse(d / "chats/index.jsonl"),
    "a log with a hole": lambda d: sparse_in_between(d / "chats/index.jsonl"),
    "a sparse log of a parent": lambda d: sparse(first(d, "chats/*.jsonl")),
    "a sparse document": lambda d: sparse(d / "tags/tags.json"),
    "a sparse record": lambda d: sparse(first(d, "characters/*.json")),
    "a log that cannot be read": lambda d: (d / "chats/index.jsonl").chmod(0o000),
}


def client(data: Path) -> str:
    """Ask and write by the client; the name of the error that comes of it."""
    try:
        with octavo_package.connect("json", data_dir=data) as db:
            for model in (db.chat, db.message, db.tag, db.character):
                model.find_many()
            db.tag.create(data={"name": "new", "nameLower": "new", "userId": db.user.find_many()[0].id})
            db.message.find_first(where={"id": "nothing"})
    except OctavoError as error:
        return type(error).__name__
    return "nothing"


COMMANDS = ("doctor",), ("doctor", "--repair"), ("compact",), ("backup",), ("status",)


@pytest.mark.parametrize("name", SPOILT)
def test_every_caller_gets_a_typed_error(data: Path, name: str) -> None:
    SPOILT[name](data)

    def call(there: Path) -> None:
        limit = _data_size() + MEMORY
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
        assert client(there) != "nothing"
        for command in COMMANDS:
            done = octavo(*command, DATA_DIR=str(there))
            assert done.code in (0, 1, 2, 3), done
            assert "defect" not in done.err, done
            assert "not enough memory" not in done.err, done
            if command[0] in ("doctor", "backup"):
                assert done.code != 0, done

    without_privileges(data, call)


def _data_size() -> int:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[5]) * resource.getpagesize()
