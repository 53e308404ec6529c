"""The move of an application that goes on writing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from command import octavo
from octavo import connect
from octavo.demo.application import Note, lost, tried
from octavo.errors import BusyError, ConflictError, DatabaseError, OctavoError
from octavo.layout.load import frozen_layout
from octavo.store.store import Store


def test_there_and_back_while_it_writes(tmp_path: Path) -> None:
    done = octavo("demo", "--live", "--messages", 100, "--keep", tmp_path, "--json")
    assert (done.code, done.err) == (0, "")
    steps = [step["step"] for step in done.answer["steps"]]
    order = ["export", "seed", "verify", "cutover", "kill -9", "rollback", "verify", "account"]
    assert [step for step in steps if step in order] == order
    assert done.answer["acknowledged"] > 0
    assert {"data", "public", "application.log"} <= set(os.listdir(tmp_path))


@pytest.mark.slow
def test_the_same_of_an_application_that_is_followed(tmp_path: Path) -> None:
    done = octavo("demo", "--live", "--follow", "--messages", 100, "--keep", tmp_path, "--json")
    assert (done.code, done.err) == (0, "")
    steps = [step["step"] for step in done.answer["steps"]]
    order = ["follow", "follow", "cutover", "rollback", "verify", "account"]
    assert [step for step in steps if step in order] == order


def test_the_application_waits_out_whoever_holds_the_store(exported: Path, tmp_path: Path) -> None:
    data = shutil.copytree(exported, tmp_path / "data")
    ledger = tmp_path / "ledger"
    environment = {**os.environ, "DATA_BACKEND": "json", "DATA_DIR": str(data)}
    program = [sys.executable, "-m", "octavo.demo.application", str(ledger), "1"]

    def acknowledged() -> int:
        return len(ledger.read_bytes().splitlines()) if ledger.exists() else 0

    def wait_for(number: int) -> None:
        while acknowledged() < number:
            assert running.poll() is None
            time.sleep(0.01)

    with (
        Store.open(data, frozen_layout()) as store,
        subprocess.Popen(program, env=environment, stderr=subprocess.PIPE) as running,
    ):
        wait_for(3)
        with store.alone():
            # Longer than the two seconds that a transaction waits for its beginning.
            time.sleep(2.5)
            before = acknowledged()
        wait_for(before + 3)
        running.terminate()
        _, said = running.communicate()
    assert (running.returncode, said) == (0, b"")


def test_what_was_not_kept_is_tried_again_and_nothing_else_is() -> None:
    refused: list[OctavoError] = [BusyError(2.0, "another"), ConflictError("met another")]

    def write() -> str:
        if refused:
            raise refused.pop()
        return "kept"

    assert tried(write) == "kept"
    refused[:] = [DatabaseError("lost"), BusyError(2.0, "another")]
    with pytest.raises(DatabaseError):
        tried(write)


def test_a_write_that_is_not_there_is_noticed(exported: Path, tmp_path: Path) -> None:
    data = shutil.copytree(exported, tmp_path / "data")
    with connect(backend="json", data_dir=data) as db:
        message = db.message.find_first_or_raise()
        ledger = tmp_path / "ledger"

        def noted(*notes: Note) -> list[Note]:
            ledger.write_bytes(b"".join(msgspec.json.encode(note) + b"\n" for note in notes))
            return lost(db, [ledger])[1]

        there = Note("message", message.id, message.content)
        never, other = Note("message", "nowhere", "said"), Note("message", message.id, "said otherwise")
        gone = Note("message", message.id, None)
        assert noted(there) == []
        assert noted(other, there) == []
        assert noted(never, there) == [never]
        assert noted(there, other) == [other]
        assert noted(gone) == [gone]
        # A process that is killed may have made the write that it was about to ask for.
        about_to = replace(there, acknowledged=False)
        assert noted(other, about_to) == []
        assert noted(about_to, other) == [other]
        assert noted(replace(never, acknowledged=False), there) == []
