"""The journal of somebody else's store: what it may make Octavo do."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from folders import tree
from octavo.errors import DamagedError
from octavo.layout.layout import frozen_layout
from octavo.store.changes import Append, Change, Remove, Replace
from octavo.store.journal import Entry, encode_entry
from octavo.store.store import Store

OUTSIDE = ("../mine", "chats/../../mine", "{absolute}")


@pytest.mark.parametrize("file", OUTSIDE)
@pytest.mark.parametrize("kind", [Append, Replace, Remove])
def test_no_name_in_it_leads_out_of_the_data_folder(
    exported: Path, tmp_path: Path, file: str, kind: type[Change]
) -> None:
    data = Path(shutil.copytree(exported, tmp_path / "data"))
    (tmp_path / "mine").write_text("mine")
    name = file.format(absolute=tmp_path / "mine")
    changes: dict[type[Change], Change] = {
        Append: Append(name, 4, "yours\n"),
        Replace: Replace(name, "yours"),
        Remove: Remove(name),
    }
    (data / "journal/changes.jsonl").write_bytes(encode_entry(Entry(1, (changes[kind],))))
    before = tree(tmp_path)
    with pytest.raises(DamagedError, match="whose path"):
        Store.open(data, frozen_layout())
    assert {k: v for k, v in tree(tmp_path).items() if not k.startswith("data/cache")} == {
        k: v for k, v in before.items() if not k.startswith("data/cache")
    }
