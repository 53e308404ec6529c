"""The journal of somebody else's store: what it may make Octavo do."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from folders import tree
from octavo.errors import ConflictError, DamagedError
from octavo.layout.layout import frozen_layout
from octavo.store.changes import Append, Change, Remove, Replace
from octavo.store.journal import Entry, Journal, encode_entry, read_entries
from octavo.store.store import Store
from octavo.store.system import SYSTEM
from octavo.store.writer import Decision
from small_store import build, layout, message

JOURNAL = "journal/changes.jsonl"
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
    (data / JOURNAL).write_bytes(encode_entry(Entry(1, (changes[kind],))))
    before = tree(tmp_path)
    with pytest.raises(DamagedError, match="whose path"):
        Store.open(data, frozen_layout())
    assert {k: v for k, v in tree(tmp_path).items() if not k.startswith("data/cache")} == {
        k: v for k, v in before.items() if not k.startswith("data/cache")
    }


def test_writers_in_turn_take_over_a_journal_from_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each reads what the other has added, and writes into the room that is left, or makes more."""
    monkeypatch.setattr("octavo.store.store.IDLE_INTERVAL", 3600.0)
    root = tmp_path / "data"
    build(root)
    stores = [Store.open(root, layout()) for _ in range(2)]
    for store in stores:
        store.engine.writer.burst = 3600.0
    sizes = set()
    for number in range(120):
        store = stores[number // 3 % 2]
        with store.transaction() as tx:
            tx.insert([message(1000 + number, content="so it goes " * 100)])
        if number > 10:
            sizes.add((root / JOURNAL).stat().st_size)
    assert len(sizes) > 1
    assert all(size % 4096 == 0 for size in sizes)
    with stores[0].transaction() as tx:
        assert tx.get("Message", "m1119") is not None
    stores[1].checkpoint()
    with stores[0].transaction() as tx:
        tx.insert([message(2000), message(2001)])
    for store in stores:
        store.close()
    assert not (root / JOURNAL).exists()
    with Store.open(root, layout()) as store:
        found = store.read(lambda view: {row.id for row in view.rows("Message")})
    assert found >= {f"m{1000 + n}" for n in range(120)} | {"m2000", "m2001"}


def test_what_a_crash_left_in_the_room_is_cut_before_anything_is_written_there(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path), SYSTEM)
    (tmp_path / "journal").mkdir()
    for number in range(1, 4):
        journal.add(Entry(number, (Append("chats/chat-1.jsonl", 7, "x\n"),)))
    path = tmp_path / JOURNAL
    data = path.read_bytes()
    torn = encode_entry(Entry(4, (Append("chats/chat-1.jsonl", 9, "y\n" * 50),)))[:90]
    path.write_bytes(data[: journal.end] + torn + data[journal.end + len(torn) :])
    again = Journal(str(tmp_path), SYSTEM)
    again.catch_up(None)
    assert (len(again.entries), again.end, again.torn) == (3, journal.end, len(torn))
    again.add(Entry(4, kept=True))
    assert len(read_entries(path.read_bytes())[0]) == 4


def test_nothing_is_left_of_a_journal_whose_only_entry_was_dropped(tmp_path: Path) -> None:
    root = tmp_path / "data"
    build(root)
    with Store.open(root, layout()) as store:
        decision = Decision({"ask": "nobody"}, lambda: ConflictError("decided against it"))
        with (
            pytest.raises(ConflictError, match="decided against"),
            store.transaction(prepare=lambda: decision) as tx,
        ):
            tx.insert([message(20)])
        assert not (root / JOURNAL).exists()
        with store.transaction() as tx:
            tx.insert([message(21), message(22)])
        assert store.read(lambda view: view.get("Message", "m20")) is None
        assert store.read(lambda view: view.get("Message", "m22")) is not None
