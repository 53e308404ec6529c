"""What the tests of the care share: a store to damage, and a process that writes to it meanwhile."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

WRITER = """
import sys, msgspec
from octavo.layout.layout import frozen_layout
from octavo.store.store import Store

store = Store.open(sys.argv[1], frozen_layout())
print("ready", flush=True)
number = 0
while True:
    number += 1
    new = f"busy-{number}"
    with store.transaction() as tx:
        chat = min(tx.rows("Chat"), key=lambda c: c.id)
        message = tx.find("Message", ("chatId",), chat.id)[0]
        tx.insert([msgspec.structs.replace(chat, id=new, title=new)])
        tx.insert([msgspec.structs.replace(message, id=new, chatId=new)])
        tx.insert([msgspec.structs.replace(next(tx.rows("ChatTag")), id=new, chatId=new)])
        tag = next(tx.rows("Tag"))
        tx.insert([msgspec.structs.replace(tag, id=new, name=new, nameLower=new)])
        if number > 5:
            tx.delete([tx.get("Chat", f"busy-{number - 5}")])
            tx.delete([tx.get("Tag", f"busy-{number - 5}")])
    store.put_payload(new.encode())
"""
"""Makes chats with all that belongs to them, and removes them again; of each there is all or nothing."""


@pytest.fixture
def data(exported: Path, tmp_path: Path) -> Path:
    """A store to be damaged."""
    return Path(shutil.copytree(exported, tmp_path / "data"))


@pytest.fixture
def writer(data: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that goes on writing to the store."""
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(data)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()
