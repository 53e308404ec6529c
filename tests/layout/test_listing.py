"""The listing of a data folder: parts of it are listings, and hold each file once."""

from __future__ import annotations

from pathlib import Path

import pytest

from octavo.fold.scaffold import scaffold
from octavo.layout.layout import Layout
from octavo.layout.listing import Files, contents
from octavo.layout.load import frozen_layout

LAYOUT: Layout = frozen_layout()


@pytest.fixture
def files(tmp_path: Path) -> Files:
    scaffold(tmp_path, LAYOUT)
    for number in range(30):
        (tmp_path / "chats" / f"{number}.jsonl").write_bytes(bytes(number * 7 % 30))
        (tmp_path / "characters" / f"{number}.json").touch()
    return contents(LAYOUT, tmp_path).files


def test_chosen_files_are_found_by_their_paths(files: Files) -> None:
    chosen = files.chosen(range(3, len(files), 2))
    assert list(chosen) == files[3::2]
    assert [chosen.number(file.path) for file in chosen] == list(range(len(chosen)))
    assert chosen.number(files[0].path) is None


def test_families_are_chosen_together(files: Files) -> None:
    both = files.of("characters/{id}.json", "chats/{chatId}.jsonl")
    assert [file.path for file in both] == [
        file.path for file in files if file.path.startswith(("characters/", "chats/")) and file.family.varies
    ]


@pytest.mark.parametrize("size", [1, 40, 10_000])
def test_portions_have_every_file_once_the_largest_first(files: Files, size: int) -> None:
    portions = list(files.portions(size))
    assert sorted(file.path for portion in portions for file in portion) == sorted(f.path for f in files)
    largest = [max(file.size for file in portion) for portion in portions]
    assert largest == sorted(largest, reverse=True)
    assert all(portion.size >= size for portion in portions[:-1])
