"""The state of a move: its phases, who took which step, and that it survives."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from octavo import connect
from octavo.backend import DataBackend
from octavo.errors import DamagedError, UsageError
from octavo.fold.export import ExportOptions, export
from octavo.layout.load import frozen_layout
from octavo.store import phase
from octavo.store.phase import Phase
from octavo.url import DatabaseUrl


@pytest.fixture
def exported_empty(tmp_path: Path, schema_database: str) -> Path:
    """The data folder of a database without rows."""
    options = ExportOptions(tmp_path / "public")
    export(DatabaseUrl.parse(schema_database), tmp_path / "data", frozen_layout(), options)
    return tmp_path / "data"


def test_a_folder_that_is_not_there_is_in_no_phase(tmp_path: Path) -> None:
    state = phase.read(tmp_path / "nowhere")
    assert state.phase is None
    assert state.backend is DataBackend.PRISMA
    assert not state.has_reached(Phase.INVENTORY)


def test_each_step_is_recorded_with_time_who_and_why(tmp_path: Path) -> None:
    with phase.changing(tmp_path) as state:
        state.go(Phase.DUAL_WRITE, "octavo export")
        state.go(Phase.CUTOVER, "octavo cutover", backend=DataBackend.JSON)
    found = phase.read(tmp_path)
    assert [(t.phase, t.backend, t.why) for t in found.transitions] == [
        (Phase.DUAL_WRITE, DataBackend.PRISMA, "octavo export"),
        (Phase.CUTOVER, DataBackend.JSON, "octavo cutover"),
    ]
    assert all("@" in t.who and t.time.endswith("Z") for t in found.transitions)
    assert found.since == found.transitions[-1].time


def test_a_step_that_changes_nothing_is_not_recorded(tmp_path: Path) -> None:
    for _ in range(3):
        with phase.changing(tmp_path) as state:
            state.reach(Phase.SCAFFOLD, "octavo scaffold")
            state.reach(Phase.INVENTORY, "octavo inventory")
    assert len(phase.read(tmp_path).transitions) == 1


@pytest.mark.parametrize("start", Phase)
@pytest.mark.parametrize("end", Phase)
def test_the_only_steps_back_are_a_difference_and_a_rollback(start: Phase, end: Phase) -> None:
    state = phase.Migration()
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
        with phase.changing(tmp_path) as state:
            state.go(Phase.INVENTORY, "")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fails()
    assert phase.read(tmp_path).phase is None


@pytest.mark.parametrize("text", ["", "{", '{"phase": "lunch"}', '{"_version": 2}', "[]"])
def test_a_file_that_cannot_be_understood_is_an_error_that_names_it(tmp_path: Path, text: str) -> None:
    file = tmp_path / phase.NAME
    file.parent.mkdir(parents=True)
    file.write_text(text)
    with pytest.raises(DamagedError, match=phase.NAME):
        phase.read(tmp_path)


def test_the_file_is_plain_to_read(tmp_path: Path) -> None:
    with phase.changing(tmp_path) as state:
        state.go(Phase.INVENTORY, "octavo inventory")
    found = json.loads((tmp_path / phase.NAME).read_text())
    assert list(found)[:3] == ["_version", "phase", "backend"]
    assert found["phase"] == "inventory"


def test_commands_that_change_it_at_once_lose_no_step(tmp_path: Path) -> None:
    def turn(number: int) -> None:
        with phase.changing(tmp_path) as state:
            state.go(Phase.VERIFICATION, str(number))
            state.go(Phase.DUAL_WRITE, str(number))

    threads = [threading.Thread(target=turn, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(phase.read(tmp_path).transitions) == 16


# Who may write


def _state(data: Path, **facts: object) -> None:
    with phase.changing(data) as state:
        for name, value in facts.items():
            setattr(state, name, value)


def _may_write(db: Any) -> bool:
    try:
        db.tag.create(data={"name": "x", "nameLower": "x", "user": {"create": {"email": "new@example.org"}}})
    except UsageError as error:
        return not error.hint
    db.user.delete_many()
    return True


CLOSED = phase.Closed(token="t", command="cutover", who="ada@there", since=phase.now())
FOLLOWING = phase.Following(slot="s", publication="p", since=phase.now())


@pytest.mark.parametrize(
    ("facts", "allowed"),
    [
        ({}, {"prisma", "json", "dual"}),
        ({"backend": DataBackend.JSON, "since": "2026"}, {"json"}),
        ({"following": FOLLOWING}, {"prisma"}),
        ({"rolled_back": True}, {"prisma", "dual"}),
        ({"phase": Phase.SCAFFOLD}, {"prisma", "json", "dual"}),
        ({"phase": Phase.VERIFICATION}, {"prisma", "json", "dual"}),
        ({"phase": Phase.VERIFICATION, "closed": CLOSED}, set()),
        ({"backend": DataBackend.JSON, "since": "2026", "closed": CLOSED}, {"json"}),
    ],
)
def test_who_may_write(
    facts: dict[str, object], allowed: set[str], exported_empty: Path, schema_database: str
) -> None:
    clients = {
        kind: connect(backend=kind, database_url=schema_database, data_dir=exported_empty)
        for kind in DataBackend
    }
    _state(exported_empty, **facts)
    assert {kind.value for kind, db in clients.items() if _may_write(db)} == allowed
    assert all(db.user.count() == 0 for db in clients.values())
    # And all of them again, as soon as nothing speaks against it.
    (exported_empty / phase.NAME).unlink(missing_ok=True)
    assert all(_may_write(db) for db in clients.values())
    for db in clients.values():
        db.close()


def test_who_opens_what_is_not_of_record_is_told_at_once(
    exported_empty: Path, schema_database: str, caplog: pytest.LogCaptureFixture
) -> None:
    _state(exported_empty, backend=DataBackend.JSON, since="2026")
    connect(backend="json", data_dir=exported_empty).close()
    assert not caplog.records
    connect(backend="prisma", database_url=schema_database, data_dir=exported_empty).close()
    [record] = caplog.records
    assert "the files are the backend of record" in record.getMessage()


def test_a_state_that_cannot_be_understood_lets_nobody_write(exported_empty: Path) -> None:
    file = exported_empty / phase.NAME
    file.parent.mkdir()
    file.write_text("{")
    with connect(backend="json", data_dir=exported_empty) as db, pytest.raises(DamagedError):
        db.user.create(data={"email": "a@example.org"})
