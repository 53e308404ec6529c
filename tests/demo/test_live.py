"""The move of an application that goes on writing."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from command import octavo
from octavo import connect
from octavo.demo.application import Note, lost


def test_there_and_back_while_it_writes(tmp_path: Path) -> None:
    done = octavo("demo", "--live", "--messages", 100, "--keep", tmp_path, "--json")
    assert (done.code, done.err) == (0, "")
    steps = [step["step"] for step in done.answer["steps"]]
    order = ["export", "seed", "verify", "cutover", "kill -9", "rollback", "verify", "account"]
    assert [step for step in steps if step in order] == order
    assert done.answer["acknowledged"] > 0
    assert {"data", "public", "application.log"} <= set(os.listdir(tmp_path))


def test_the_same_of_an_application_that_is_followed(tmp_path: Path) -> None:
    done = octavo("demo", "--live", "--follow", "--messages", 100, "--keep", tmp_path, "--json")
    assert (done.code, done.err) == (0, "")
    steps = [step["step"] for step in done.answer["steps"]]
    order = ["follow", "follow", "cutover", "rollback", "verify", "account"]
    assert [step for step in steps if step in order] == order


def test_a_write_that_is_not_there_is_noticed(exported: Path, tmp_path: Path) -> None:
    data = shutil.copytree(exported, tmp_path / "data")
    with connect(backend="json", data_dir=data) as db:
        message = db.message.find_first_or_raise()
        ledger = tmp_path / "ledger"

        def noted(*notes: Note) -> list[Note]:
            ledger.write_text("".join(json.dumps(vars_of(note)) + "\n" for note in notes))
            return lost(db, [ledger])[1]

        def vars_of(note: Note) -> dict[str, str | None]:
            return {"model": note.model, "id": note.id, "content": note.content}

        there = Note("message", message.id, message.content)
        never, other = Note("message", "nowhere", "said"), Note("message", message.id, "said otherwise")
        gone = Note("message", message.id, None)
        assert noted(there) == []
        assert noted(other, there) == []
        assert noted(never, there) == [never]
        assert noted(there, other) == [other]
        assert noted(gone) == [gone]
