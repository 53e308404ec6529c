"""The page that processes share: of this boot, counted by commits, followed by who may only read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from octavo.store.shared import SharedState, boot_id
from octavo.store.store import Store
from small_store import build, layout, revise, state_of, state_on_disk


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state"


def test_a_new_page_is_not_current_before_the_store_was_recovered(path: Path) -> None:
    page = SharedState(str(path), create=True)
    assert not page.is_current
    page.start()
    assert page.is_current
    assert page.commits % 2 == 0
    page.close()


def test_all_see_one_page(path: Path) -> None:
    one, other = SharedState(str(path), create=True), SharedState(str(path), create=False)
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


def test_a_page_of_another_boot_is_not_current(path: Path) -> None:
    page = SharedState(str(path), create=True)
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
        SharedState(str(data / "cache" / "state"), create=True)
    assert outside.read_bytes() == bytes(4096)
