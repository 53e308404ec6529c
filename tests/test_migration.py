"""The state of a move: its phases, who took which step, and that it survives."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from octavo import migration
from octavo.backend import DataBackend
from octavo.errors import DamagedError, UsageError
from octavo.migration import Phase


def test_a_folder_that_is_not_there_is_in_no_phase(tmp_path: Path) -> None:
    state = migration.read(tmp_path / "nowhere")
    assert state.phase is None
    assert state.backend is DataBackend.PRISMA
    assert not state.has_reached(Phase.INVENTORY)


def test_each_step_is_recorded_with_time_who_and_why(tmp_path: Path) -> None:
    with migration.changing(tmp_path) as state:
        state.go(Phase.DUAL_WRITE, "octavo export")
        state.go(Phase.CUTOVER, "octavo cutover", backend=DataBackend.JSON)
    found = migration.read(tmp_path)
    assert [(t.phase, t.backend, t.why) for t in found.transitions] == [
        (Phase.DUAL_WRITE, DataBackend.PRISMA, "octavo export"),
        (Phase.CUTOVER, DataBackend.JSON, "octavo cutover"),
    ]
    assert all("@" in t.who and t.time.endswith("Z") for t in found.transitions)
    assert found.since == found.transitions[-1].time


def test_a_step_that_changes_nothing_is_not_recorded(tmp_path: Path) -> None:
    for _ in range(3):
        with migration.changing(tmp_path) as state:
            state.reach(Phase.SCAFFOLD, "octavo scaffold")
            state.reach(Phase.INVENTORY, "octavo inventory")
    assert len(migration.read(tmp_path).transitions) == 1


@pytest.mark.parametrize("start", Phase)
@pytest.mark.parametrize("end", Phase)
def test_the_only_steps_back_are_a_difference_and_a_rollback(start: Phase, end: Phase) -> None:
    state = migration.Migration()
    state.go(start, "")
    back = {(Phase.VERIFICATION, Phase.DUAL_WRITE), (Phase.CUTOVER, Phase.DUAL_WRITE)}
    if list(Phase).index(end) >= list(Phase).index(start) or (start, end) in back:
        state.go(end, "")
        assert state.phase is end
    else:
        with pytest.raises(UsageError, match=f"in the phase {start}"):
            state.go(end, "")


def test_what_raises_changes_nothing(tmp_path: Path) -> None:
    def fails() -> None:
        with migration.changing(tmp_path) as state:
            state.go(Phase.INVENTORY, "")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fails()
    assert migration.read(tmp_path).phase is None


@pytest.mark.parametrize("text", ["", "{", '{"phase": "lunch"}', '{"_version": 2}', "[]"])
def test_a_file_that_cannot_be_understood_is_an_error_that_names_it(tmp_path: Path, text: str) -> None:
    file = tmp_path / migration.NAME
    file.parent.mkdir()
    file.write_text(text)
    with pytest.raises(DamagedError, match=migration.NAME):
        migration.read(tmp_path)


def test_the_file_is_plain_to_read(tmp_path: Path) -> None:
    with migration.changing(tmp_path) as state:
        state.go(Phase.INVENTORY, "octavo inventory")
    found = json.loads((tmp_path / migration.NAME).read_text())
    assert list(found)[:3] == ["_version", "phase", "backend"]
    assert found["phase"] == "inventory"


def test_commands_that_change_it_at_once_lose_no_step(tmp_path: Path) -> None:
    def turn(number: int) -> None:
        with migration.changing(tmp_path) as state:
            state.go(Phase.VERIFICATION, str(number))
            state.go(Phase.DUAL_WRITE, str(number))

    threads = [threading.Thread(target=turn, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(migration.read(tmp_path).transitions) == 16
