"""Everything that a store makes is its owner's alone, whatever the umask."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from octavo.layout.load import frozen_layout
from octavo.store.store import Store


@pytest.fixture(autouse=True)
def _open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def test_folders_are_0700_and_files_0600(exported: Path, tmp_path: Path) -> None:
    data = Path(shutil.copytree(exported, tmp_path / "data"))
    log = max(
        (p for p in data.glob("chats/*.jsonl") if p.name != "index.jsonl"), key=lambda p: p.stat().st_size
    )
    with open(log, "ab") as file:
        file.write(b'{"torn')
    with Store.open(data, frozen_layout()) as store:
        message = store.read(lambda view: next(view.rows("Message")))
        assert store.read(lambda view: view.get("Message", message.id)) == message
        with store.transaction() as tx:
            chat = next(tx.rows("Chat"))
            tx.insert([msgspec.structs.replace(chat, id="new")])
            tx.insert([msgspec.structs.replace(next(tx.rows("Character")), id="new")])
            for found in list(tx.rows("Chat")):
                tx.insert([msgspec.structs.replace(message, id=f"in-{found.id}", chatId=found.id)])
        store.put_payload(b"payload")
        store.compact()
        open_ones = [
            str(path.relative_to(data))
            for path in data.rglob("*")
            if stat.S_IMODE(path.lstat().st_mode) & 0o077
        ]
    assert open_ones == []
